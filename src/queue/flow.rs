//! Flows, priorities, and what a run costs.

use std::{fmt, sync::Arc};

use crate::aws::Service;

/// The unit of fairness, rate limiting and circuit breaking.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flow {
    /// The 12-digit account; the name of what will tell it, while it is not known.
    pub account: Arc<str>,
    /// The region.
    pub region: Arc<str>,
    /// The service.
    pub service: Service,
}

impl Flow {
    /// A flow.
    pub fn new(account: &str, region: &str, service: Service) -> Self {
        Self { account: account.into(), region: region.into(), service }
    }
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.account, self.region, self.service)
    }
}

/// What makes an object due. In a flow each gets its share, by its weight.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Its spec changed, or it is being deleted.
    Change,
    /// Something that it waits for may have happened.
    Progress,
    /// It is time to look at its resource again.
    Poll,
    /// It was found in sync when the process started.
    Startup,
}

impl Priority {
    /// All priorities, the most urgent first.
    pub const ALL: [Self; 4] = [Self::Change, Self::Progress, Self::Poll, Self::Startup];
    /// How many priorities there are.
    pub const COUNT: usize = Self::ALL.len();

    /// Its place in [`ALL`](Self::ALL).
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its share of a flow, where all priorities have something ready.
    pub fn weight(self) -> u32 {
        match self {
            Self::Change => 8,
            Self::Progress => 4,
            Self::Poll => 2,
            Self::Startup => 1,
        }
    }

    /// Its name, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Change => "change",
            Self::Progress => "progress",
            Self::Poll => "poll",
            Self::Startup => "startup",
        }
    }
}

/// The AWS calls that a run of a kind usually makes, and that its dispatch therefore reserves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls {
    /// Of a run after a change.
    pub change: u32,
    /// Of a regular look.
    pub poll: u32,
}

impl Calls {
    /// What a run of `priority` reserves.
    pub fn of(self, priority: Priority) -> u32 {
        match priority {
            Priority::Change | Priority::Progress => self.change,
            Priority::Poll | Priority::Startup => self.poll,
        }
    }
}
