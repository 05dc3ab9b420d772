//! The fake's clock: real time, and what was skipped of it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

#[derive(Debug)]
pub(super) struct Clock {
    started: Instant,
    /// The wall clock's time at the start, since the epoch.
    epoch: Duration,
    /// In nanoseconds.
    skipped: AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Clock {
        let epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Clock { started: Instant::now(), epoch, skipped: AtomicU64::new(0) }
    }

    /// Skips a time: whatever is due in it is due at once.
    pub(super) fn advance(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        self.skipped.fetch_add(nanos, Ordering::SeqCst);
    }

    /// The time since the start.
    pub(super) fn now(&self) -> Duration {
        self.started.elapsed() + Duration::from_nanos(self.skipped.load(Ordering::SeqCst))
    }

    /// A time of this clock since the epoch.
    pub(super) fn unix(&self, time: Duration) -> Duration {
        self.epoch + time
    }
}
