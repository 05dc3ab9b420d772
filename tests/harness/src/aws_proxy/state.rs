//! What the proxy's thread and its owner share: calls, faults, switches.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

use super::{Call, Effect};
use crate::aws_http::faults::Faults;
use crate::aws_http::log::Log;

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) faults: Faults,
    unavailable: AtomicBool,
    stopped: watch::Sender<bool>,
}

/// What is to be done with a call that has arrived.
#[derive(Debug)]
pub(super) enum Verdict {
    Forward,
    Unavailable,
    Fault(Effect),
}

impl Default for State {
    fn default() -> State {
        State {
            log: Log::default(),
            faults: Faults::default(),
            unavailable: AtomicBool::new(false),
            stopped: watch::Sender::new(false),
        }
    }
}

impl State {
    pub(super) fn judge(&self, call: &Call) -> Verdict {
        if self.unavailable.load(Ordering::SeqCst) {
            return Verdict::Unavailable;
        }
        self.faults.judge(&call.operation, &call.access_key).map_or(Verdict::Forward, Verdict::Fault)
    }

    pub(super) fn set_unavailable(&self, unavailable: bool) {
        self.unavailable.store(unavailable, Ordering::SeqCst);
    }

    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    pub(super) async fn stopped(&self) {
        // The sender is in `self`: it cannot be gone.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }
}
