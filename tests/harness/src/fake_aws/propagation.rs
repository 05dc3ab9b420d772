//! How long reads lag behind writes.

use std::time::Duration;

/// How long something that was written is not seen yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lag {
    /// For this many reads of the resource.
    Reads(u32),
    /// For this long, by the fake's clock.
    Time(Duration),
}

/// What lags; nothing by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Propagation {
    /// After a create, reads say not found.
    pub created: Option<Lag>,
    /// After a change of attributes, reads show the old ones.
    pub changed: Option<Lag>,
    /// After a delete, reads still succeed.
    pub deleted: Option<Lag>,
}

/// What is left of a lag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    Reads(u32),
    Until(Duration),
}

impl Pending {
    pub(super) fn new(lag: Lag, now: Duration) -> Pending {
        match lag {
            Lag::Reads(reads) => Pending::Reads(reads),
            Lag::Time(time) => Pending::Until(now + time),
        }
    }

    pub(super) fn is_pending(self, now: Duration) -> bool {
        match self {
            Pending::Reads(left) => left > 0,
            Pending::Until(end) => now < end,
        }
    }

    /// Whether a read comes too early; it is counted.
    pub(super) fn read(&mut self, now: Duration) -> bool {
        let pending = self.is_pending(now);
        if let Pending::Reads(left) = self {
            *left = left.saturating_sub(1);
        }
        pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Which of three reads, half a second apart, come too early.
    fn early(lag: Lag) -> Vec<bool> {
        let mut pending = Pending::new(lag, SECOND);
        (2..5).map(|halves| pending.read(SECOND * halves / 2)).collect()
    }

    #[test]
    fn a_lag_ends_by_reads_or_by_time() {
        assert_eq!(early(Lag::Reads(2)), [true, true, false]);
        assert_eq!(early(Lag::Reads(0)), [false, false, false]);
        assert_eq!(early(Lag::Time(SECOND)), [true, true, false]);
        assert_eq!(early(Lag::Time(SECOND / 2)), [true, false, false]);
    }
}
