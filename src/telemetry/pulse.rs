//! Signs of life of what runs for ever: when each was last seen to go on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// When something was last seen to go on. Clones are the same.
#[derive(Clone, Debug)]
pub struct Pulse {
    begun: Instant,
    last: Arc<AtomicU64>,
}

impl Default for Pulse {
    fn default() -> Self {
        Self { begun: Instant::now(), last: Arc::default() }
    }
}

impl Pulse {
    /// It goes on.
    pub fn beat(&self) {
        let since = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(since.max(1), Ordering::Relaxed);
    }

    /// Whether it was ever seen to go on.
    pub fn was_seen(&self) -> bool {
        self.last.load(Ordering::Relaxed) > 0
    }

    /// For how long it has not been seen to go on; from the start, where it never was.
    pub fn silent_for(&self) -> Duration {
        self.begun.elapsed().saturating_sub(Duration::from_millis(self.last.load(Ordering::Relaxed)))
    }
}

#[cfg(test)]
impl Pulse {
    /// One that was last seen so long ago.
    pub(crate) fn seen(ago: Duration) -> Self {
        let pulse = Self { begun: Instant::now() - ago - Duration::from_millis(1), last: Arc::default() };
        pulse.last.store(1, Ordering::Relaxed);
        pulse
    }

    /// Another one that was last seen at the same time.
    pub(crate) fn apart(&self) -> Self {
        Self { begun: self.begun, last: Arc::new(self.last.load(Ordering::Relaxed).into()) }
    }
}
