//! Log lines that come by the hundred when something is away: some of them, and how many were left out.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// So many of a minute are logged.
const MOST: u32 = 10;
const MINUTE: Duration = Duration::from_secs(60);

/// The lines of one place in the code.
#[derive(Debug)]
pub struct Thinned(Mutex<Option<Minute>>);

#[derive(Debug)]
struct Minute {
    began: Instant,
    logged: u32,
    left_out: u64,
}

impl Thinned {
    /// Nothing was logged yet.
    #[allow(clippy::new_without_default, reason = "it is for statics")]
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Whether a line is logged at `now`, and then how many before it were not.
    pub fn pass(&self, now: Instant) -> Option<u64> {
        let mut minute = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match minute.as_mut().filter(|minute| now.saturating_duration_since(minute.began) < MINUTE) {
            Some(minute) if minute.logged >= MOST => {
                minute.left_out += 1;
                None
            }
            Some(minute) => {
                minute.logged += 1;
                Some(0)
            }
            None => {
                let left_out = minute.take().map_or(0, |minute| minute.left_out);
                *minute = Some(Minute { began: now, logged: 1, left_out: 0 });
                Some(left_out)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_a_minute_and_then_how_many_were_left_out() {
        let (thinned, start) = (Thinned::new(), Instant::now());
        let at = |second: u64| thinned.pass(start + Duration::from_secs(second));
        assert!((0..10).all(|_| at(0) == Some(0)));
        assert!((0..500).all(|_| at(59).is_none()));
        assert_eq!((at(60), at(61), at(200)), (Some(500), Some(0), Some(0)));
    }
}
