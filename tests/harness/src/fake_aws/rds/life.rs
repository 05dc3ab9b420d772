//! What goes on with a DB instance.

use std::collections::VecDeque;
use std::time::Duration;

use super::RdsTiming;
use super::storage;

#[derive(Clone, Debug)]
pub(super) struct Life {
    /// What goes on, the present first. A step ends at its time, or with the one before it if that is later.
    pub(super) steps: VecDeque<Step>,
    pub(super) stopped: bool,
    /// What somebody has decreed.
    pub(super) pinned: Option<String>,
    /// When pending values apply by themselves.
    pub(super) window: Duration,
    /// When storage was last changed.
    pub(super) storage_changed: Option<Duration>,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) status: &'static str,
    pub(super) until: Duration,
    pub(super) then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    Nothing,
    /// It has an address.
    Created,
    /// Pending values become settings.
    Apply,
    /// The new password is in force.
    Password,
    /// The parameters of its group are in force.
    Parameters,
    Stopped,
    Started,
    Gone,
}

/// How an instance came to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    New,
    Snapshot,
}

impl Life {
    pub(super) fn begin(origin: Origin, backups: bool, now: Duration, timing: &RdsTiming) -> Life {
        let created = now + timing.create;
        let mut steps = VecDeque::from([Step { status: "creating", until: created, then: Then::Created }]);
        match origin {
            Origin::New if backups => {
                steps.push_back(Step { status: "backing-up", until: created + timing.backup, then: Then::Password });
            }
            Origin::New => steps.push_back(Step { status: "available", until: created, then: Then::Password }),
            Origin::Snapshot => {
                steps.push_back(Step { status: "modifying", until: created + timing.modify, then: Then::Password });
            }
        }
        Life { steps, stopped: false, pinned: None, window: now + timing.window, storage_changed: None }
    }

    pub(super) fn status(&self) -> &str {
        if let Some(pinned) = &self.pinned {
            return pinned;
        }
        let idle = if self.stopped { "stopped" } else { "available" };
        self.steps.front().map_or(idle, |step| step.status)
    }

    /// Whether storage may not be changed again yet.
    pub(super) fn storage_pauses(&self, now: Duration) -> bool {
        self.status() == "storage-optimization"
            || self.storage_changed.is_some_and(|changed| now < changed + storage::PAUSE)
    }

    /// Something comes before all that goes on.
    pub(super) fn first(&mut self, status: &'static str, until: Duration, then: Then) {
        self.steps.push_front(Step { status, until, then });
    }

    /// A modification comes before all that goes on, and is not seen at once.
    pub(super) fn modify(&mut self, status: &'static str, now: Duration, timing: &RdsTiming, then: Then) {
        let before = self.steps.front().map_or("available", |step| step.status);
        self.first(status, now + timing.notice + timing.modify, then);
        if !timing.notice.is_zero() {
            self.first(before, now + timing.notice, Then::Nothing);
        }
    }
}
