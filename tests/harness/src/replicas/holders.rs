//! Who held which Lease, and when: every record that a watch has seen.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::StreamExt as _;
use k8s_openapi::api::coordination::v1::Lease;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client, ResourceExt as _};
use tokio::task::JoinHandle;

/// A holder rounds its time up, to one that no other process writes: by less than this.
pub const ROUNDED: Duration = Duration::from_millis(66);

/// The Leases of a namespace as they change.
#[derive(Debug)]
pub struct Holders {
    records: Arc<Mutex<Vec<Record>>>,
    watch: JoinHandle<()>,
}

/// A Lease as it was seen.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// When it was seen.
    pub at: Instant,
    /// Its name.
    pub lease: String,
    /// Its holder; empty or missing are both `None`.
    pub holder: Option<String>,
    /// When its holder began the request that wrote it, as it says itself: at most [`ROUNDED`] earlier.
    pub written: Option<Instant>,
    /// Whether its holder has released it.
    pub released: bool,
    /// Whether it was deleted.
    pub deleted: bool,
    /// Its version.
    pub version: String,
}

impl Holders {
    /// Begins to watch.
    pub fn watch(client: Client, namespace: &str) -> Holders {
        let records = Arc::default();
        let watch = tokio::spawn(follow(Api::namespaced(client, namespace), Arc::clone(&records)));
        Holders { records, watch }
    }

    /// All that was seen.
    pub fn records(&self) -> Vec<Record> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The latest record of a Lease.
    pub fn latest(&self, lease: &str) -> Option<Record> {
        self.records().into_iter().rev().find(|record| record.lease == lease)
    }

    /// Who holds a Lease, as last seen.
    pub fn holder(&self, lease: &str) -> Option<String> {
        self.latest(lease).filter(|record| !record.deleted).and_then(|record| record.holder)
    }

    /// The changes of holder, a line each, with seconds since `origin`.
    pub fn story(&self, origin: Instant) -> String {
        let mut last = std::collections::BTreeMap::new();
        let mut lines = Vec::new();
        for record in self.records() {
            let now = (record.holder.clone(), record.released, record.deleted);
            if last.insert(record.lease.clone(), now.clone()) != Some(now) {
                let seconds = record.at.saturating_duration_since(origin).as_secs_f64();
                let holder = record.holder.as_deref().unwrap_or("nobody");
                let how = if record.deleted {
                    " (deleted)"
                } else if record.released {
                    " (released)"
                } else {
                    ""
                };
                lines.push(format!("{seconds:8.3} {} {holder}{how}", record.lease));
            }
        }
        lines.join("\n")
    }
}

impl Drop for Holders {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

async fn follow(api: Api<Lease>, records: Arc<Mutex<Vec<Record>>>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()).default_backoff());
    while let Some(event) = events.next().await {
        let record = match event {
            Ok(watcher::Event::Apply(lease) | watcher::Event::InitApply(lease)) => record(&lease, false),
            Ok(watcher::Event::Delete(lease)) => record(&lease, true),
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => continue,
        };
        let mut records = records.lock().unwrap_or_else(PoisonError::into_inner);
        let before = records.iter().rev().find(|before| before.lease == record.lease);
        // A list shows again what the watch has shown before.
        if before.is_none_or(|before| (&before.version, before.deleted) != (&record.version, record.deleted)) {
            records.push(record);
        }
    }
}

fn record(lease: &Lease, deleted: bool) -> Record {
    let spec = lease.spec.clone().unwrap_or_default();
    Record {
        at: Instant::now(),
        lease: lease.name_any(),
        holder: spec.holder_identity.filter(|holder| !holder.is_empty()),
        written: spec.renew_time.and_then(|time| instant(time.0.as_microsecond())),
        released: lease.annotations().contains_key("fairlead.dev/released"),
        deleted,
        version: lease.resource_version().unwrap_or_default(),
    }
}

/// The moment of a time since the epoch, on the clock that calls are timed with.
fn instant(micros: i64) -> Option<Instant> {
    let then = Duration::from_micros(u64::try_from(micros).ok()?);
    let age = SystemTime::now().duration_since(UNIX_EPOCH).ok()?.saturating_sub(then);
    Instant::now().checked_sub(age)
}
