//! When polls are due, so that they never come as a herd: each object has a phase of its own, from its
//! uid. Pure.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    time::{Duration, Instant},
};

/// By how much an object's interval differs from the wished one, either way.
const DEVIATION: f64 = 0.1;
/// The longest time over which the first looks after a start are spread.
const START_WINDOW: Duration = Duration::from_secs(30);

/// Where in every interval an object is due: from 0 to below 1, always the same for a uid.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Phase(f64);

impl Phase {
    /// The phase of the object with this uid.
    pub fn of(uid: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        // 53 bits are what a double holds.
        #[allow(clippy::cast_precision_loss, reason = "53 bits fit")]
        Self((hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// The object's own interval: the wished one, give or take a tenth.
    fn interval(self, wished: Duration) -> Duration {
        wished.mul_f64(1.0 - DEVIATION + 2.0 * DEVIATION * self.0)
    }

    /// When an object that was just looked at is next due: at its phase of the interval after
    /// `epoch`, at least half an interval and at most one and a half from `now`.
    pub fn next(self, epoch: Instant, now: Instant, wished: Duration) -> Instant {
        let interval = self.interval(wished).as_secs_f64();
        if interval <= 0.0 {
            return now;
        }
        let earliest = now.saturating_duration_since(epoch).as_secs_f64() + interval / 2.0;
        let offset = self.0 * interval;
        let at = offset + interval * ((earliest - offset) / interval).ceil();
        now + Duration::from_secs_f64((at - earliest + interval / 2.0).clamp(0.0, interval * 1.5))
    }

    /// When an object that was found at the start is first due.
    pub fn first(self, now: Instant, wished: Duration) -> Instant {
        now + wished.min(START_WINDOW).mul_f64(self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// The most that fall into one second of the interval, of a thousand.
    fn crowd(due: impl Fn(Phase) -> Instant, start: Instant, seconds: usize) -> usize {
        let mut buckets = vec![0_usize; seconds];
        for number in 0..1_000 {
            let after = due(Phase::of(&format!("uid-{number}"))).duration_since(start);
            buckets[usize::try_from(after.as_secs()).unwrap().min(seconds - 1)] += 1;
        }
        buckets.into_iter().max().unwrap_or_default()
    }

    #[test]
    fn neither_the_start_nor_what_was_made_together_comes_as_a_herd() {
        let start = Instant::now();
        let first = crowd(|phase| phase.first(start, SECOND * 30), start, 30);
        let next = crowd(|phase| phase.next(start, start + SECOND * 7, SECOND * 30), start, 60);
        assert!(first < 60 && next < 70, "{first} and {next} of 1000 in one second of 30");
        let hourly = crowd(|phase| phase.first(start, SECOND * 3_600), start, 30);
        assert!(hourly < 60, "the start is not spread over an hour: {hourly}");
    }

    proptest! {
        #[test]
        fn an_object_is_due_once_an_interval_give_or_take_a_tenth(
            uid in "[a-f0-9]{8}", wished in 1_u32..4_000, late in 0_u32..1_000_000
        ) {
            let (phase, wished, epoch) = (Phase::of(&uid), SECOND * wished, Instant::now());
            let now = epoch + Duration::from_millis(u64::from(late));
            let first = phase.next(epoch, now, wished);
            let after = first.duration_since(now).as_secs_f64() / wished.as_secs_f64();
            prop_assert!((0.44..=1.66).contains(&after), "{after}");
            // From then on it keeps its own rhythm, though each look takes a moment.
            let mut at = first;
            for _ in 0..5 {
                let next = phase.next(epoch, at + Duration::from_millis(50), wished);
                let period = next.duration_since(at).as_secs_f64() / wished.as_secs_f64();
                prop_assert!((0.89..=1.11).contains(&period), "{period}");
                at = next;
            }
        }
    }
}
