//! The clocks that leases are timed with. Two of them, since each can be wrong: one goes on while the
//! machine sleeps, the other is not slewed by time synchronisation. Wall clocks are set at will, and
//! never used.

use std::{sync::Arc, time::Duration};

use super::lease::Elapsed;

/// A moment by both clocks; since the machine's start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    boot: Duration,
    raw: Duration,
}

/// What tells the time. Tests have their own.
pub type Clock = Arc<dyn Fn() -> Moment + Send + Sync>;

impl Moment {
    /// By clocks that agree: for tests.
    pub fn of(time: Duration) -> Self {
        Self { boot: time, raw: time }
    }

    /// The time since `earlier`, by both clocks.
    pub fn since(self, earlier: Self) -> Elapsed {
        let (boot, raw) = (self.boot.saturating_sub(earlier.boot), self.raw.saturating_sub(earlier.raw));
        Elapsed { longest: boot.max(raw), shortest: boot.min(raw) }
    }

    /// So much earlier.
    #[must_use]
    pub fn before(self, time: Duration) -> Self {
        Self { boot: self.boot.saturating_sub(time), raw: self.raw.saturating_sub(time) }
    }
}

/// The clocks of this machine.
pub fn system() -> Clock {
    Arc::new(now)
}

#[cfg(target_os = "linux")]
fn now() -> Moment {
    use rustix::time::{ClockId, clock_gettime};
    let read = |id| {
        let time = clock_gettime(id);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or_default())
    };
    Moment { boot: read(ClockId::Boottime), raw: read(ClockId::MonotonicRaw) }
}

/// Elsewhere there is one clock.
#[cfg(not(target_os = "linux"))]
fn now() -> Moment {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    Moment::of(START.elapsed())
}
