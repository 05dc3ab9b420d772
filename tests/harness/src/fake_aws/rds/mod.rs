//! RDS: its operations, over the DB instances of every account and region.
//!
//! | File | What it holds |
//! |---|---|
//! | `operations` | what each operation does |
//! | `create`, `modify` | the decisions that take more than a line |
//! | `settings`, `engines`, `storage`, `windows`, `checks` | what is allowed; pure tables and rules |
//! | `instance`, `life`, `snapshot`, `region` | what there is, and its life |
//! | `form`, `names`, `xml` | requests, made-up names, answers |
//! | `control` | what somebody else does or sees |

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod checks;
mod control;
mod create;
mod engines;
mod form;
mod instance;
mod life;
mod modify;
mod names;
mod operations;
mod region;
mod settings;
mod snapshot;
mod storage;
mod windows;
mod xml;

use super::refusal::Refusal;
use super::server;
use create::Asking;
use form::Form;
use names::Names;
use region::Region;
use xml::Times;

pub use control::{InstanceState, SnapshotState};

/// How long things take, by the fake's clock. By default a fraction of a second, but for the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RdsTiming {
    /// `creating`.
    pub create: Duration,
    /// `backing-up`, after a creation with automated backups.
    pub backup: Duration,
    /// For how long a modification that was accepted, and is under way, does not show in the status yet. AWS
    /// takes some seconds; by default none.
    pub notice: Duration,
    /// `modifying` and whatever else a modification shows.
    pub modify: Duration,
    /// `storage-optimization`. For six hours after a change of storage there is no other, however short this is.
    pub storage_optimization: Duration,
    /// `deleting`, after the final snapshot.
    pub delete: Duration,
    /// `rebooting`, `stopping`, `starting`.
    pub reboot: Duration,
    /// A snapshot's `creating`.
    pub snapshot: Duration,
    /// From a creation to the first maintenance window, and from each to the next, whatever
    /// `PreferredMaintenanceWindow` says.
    pub window: Duration,
}

impl Default for RdsTiming {
    fn default() -> RdsTiming {
        const TENTH: Duration = Duration::from_millis(100);
        RdsTiming {
            create: TENTH * 5,
            backup: TENTH * 2,
            notice: Duration::ZERO,
            modify: TENTH * 3,
            storage_optimization: TENTH * 5,
            delete: TENTH * 3,
            reboot: TENTH * 3,
            snapshot: TENTH * 3,
            window: Duration::from_secs(24 * 3_600),
        }
    }
}

impl RdsTiming {
    /// All that takes time is over at once, but for the maintenance window.
    #[must_use]
    pub fn at_once() -> RdsTiming {
        RdsTiming {
            create: Duration::ZERO,
            backup: Duration::ZERO,
            modify: Duration::ZERO,
            storage_optimization: Duration::ZERO,
            delete: Duration::ZERO,
            reboot: Duration::ZERO,
            snapshot: Duration::ZERO,
            ..RdsTiming::default()
        }
    }
}

/// All DB instances and DB snapshots.
#[derive(Debug, Default)]
pub(super) struct Rds {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    timing: RdsTiming,
    /// By account and region.
    regions: HashMap<String, HashMap<String, Region>>,
    /// How many names were made.
    made: u64,
}

/// Where a DB instance or DB snapshot is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
}

impl Rds {
    /// Does what a call asks; answers the XML of its answer.
    pub(super) fn call(&self, asking: &server::Asking<'_>) -> Result<String, Refusal> {
        let server::Asking { operation, account, region, parameters, now, .. } = *asking;
        let mut inner = self.inner();
        let timing = inner.timing;
        let seed = inner.seed(asking.unix(Duration::ZERO));
        let names = Names { account, region, seed };
        let there = inner.region(Place { account, region }, now);
        let asked = Asking { form: Form(parameters), names, now, timing };
        let times = Times { now, unix: &|time| asking.unix(time) };
        let answer = operations::call(there, operation, asked, times);
        // What takes no time is over.
        there.settle(now, &timing);
        answer
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// A region as it is now.
    fn region(&mut self, place: Place<'_>, now: Duration) -> &mut Region {
        let regions = self.regions.entry(place.account.to_owned()).or_default();
        let region = regions.entry(place.region.to_owned()).or_default();
        region.settle(now, &self.timing);
        region
    }

    /// Another for each use, and in each fake.
    fn seed(&mut self, epoch: Duration) -> u64 {
        self.made += 1;
        let nanos = u64::try_from(epoch.as_nanos()).unwrap_or_default();
        nanos.wrapping_add(self.made.wrapping_mul(0xd134_2543_de82_ef95))
    }
}

/// As the states show it.
fn owned(settings: &settings::Settings) -> BTreeMap<String, String> {
    settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}
