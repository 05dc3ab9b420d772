//! Backup and maintenance windows.

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
/// No window is shorter.
const SHORTEST: u32 = 30;

/// A window: its begin and its length, in minutes of a day or of a week.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Window {
    begin: u32,
    length: u32,
}

/// `hh24:mi-hh24:mi`
pub(super) fn backup(text: &str) -> Option<Window> {
    let (begin, end) = text.split_once('-')?;
    window(time(begin)?, time(end)?, DAY)
}

/// `ddd:hh24:mi-ddd:hh24:mi`
pub(super) fn maintenance(text: &str) -> Option<Window> {
    let (begin, end) = text.split_once('-')?;
    window(day_time(begin)?, day_time(end)?, WEEK)
}

/// Whether a backup window falls into a maintenance window.
pub(super) fn overlap(backup: Window, maintenance: Window) -> bool {
    let begins = (0..7).map(|day| day * DAY + backup.begin);
    begins.into_iter().any(|begin| {
        let behind = |from: u32, to: u32| (to + WEEK - from) % WEEK;
        behind(begin, maintenance.begin) < backup.length || behind(maintenance.begin, begin) < maintenance.length
    })
}

fn window(begin: u32, end: u32, of: u32) -> Option<Window> {
    let length = (end + of - begin) % of;
    (length >= SHORTEST).then_some(Window { begin, length })
}

fn day_time(text: &str) -> Option<u32> {
    let (day, rest) = text.split_once(':')?;
    let day = DAYS.iter().position(|name| *name == day).and_then(|day| u32::try_from(day).ok())?;
    Some(day * DAY + time(rest)?)
}

fn time(text: &str) -> Option<u32> {
    let (hour, minute) = text.split_once(':')?;
    if hour.len() != 2 || minute.len() != 2 {
        return None;
    }
    let (hour, minute): (u32, u32) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_overlap_by_the_week() {
        let cases = [
            ("04:00-04:30", "sun:05:00-sun:05:30", false),
            ("04:45-05:15", "sun:05:00-sun:05:30", true),
            ("05:30-06:00", "sun:05:00-sun:05:30", false),
            ("05:00-05:30", "sun:04:00-sun:06:00", true),
            ("23:45-00:15", "mon:00:00-mon:00:30", true),
            ("12:00-12:30", "sun:23:00-tue:01:00", true),
        ];
        for (one, other, expected) in cases {
            let (Some(backup), Some(maintenance)) = (backup(one), maintenance(other)) else {
                panic!("{one} {other}");
            };
            assert_eq!(overlap(backup, maintenance), expected, "{one} {other}");
        }
    }
}
