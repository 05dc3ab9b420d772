//! How long a key that fails waits. Pure.

use std::time::Duration;

/// The wait after the first failure, before jitter.
pub const FIRST: Duration = Duration::from_secs(1);
/// The longest wait, before jitter.
pub const LAST: Duration = Duration::from_secs(300);

/// The longest wait before the attempt after `failures` failures in a row, from 1.
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (FIRST * 2_u32.pow(doublings)).min(LAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn from_a_second_to_five_minutes() {
        let waits: Vec<_> = (0..=11).map(|failures| backoff(failures).as_secs()).collect();
        assert_eq!(waits, [1, 1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(backoff(u32::MAX), LAST);
    }
}
