//! SQS: its operations, over the queues of every account and region.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;

mod attributes;
mod messages;
mod operations;
mod region;

use super::propagation::Propagation;
use super::refusal::Refusal;
use super::server::Asking;
use region::{Queue, Region};

pub use messages::MessageCounts;

/// A queue as it is, whatever reads see of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueState {
    /// As AWS names it.
    pub arn: String,
    /// What was set, and the defaults that AWS shows of a queue.
    pub attributes: BTreeMap<String, String>,
    /// All of them.
    pub tags: BTreeMap<String, String>,
    /// At this moment.
    pub messages: MessageCounts,
}

/// All queues.
#[derive(Debug, Default)]
pub(super) struct Sqs {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    propagation: Propagation,
    /// By account and region.
    regions: HashMap<String, HashMap<String, Region>>,
}

/// Where a queue is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) name: &'a str,
}

impl Sqs {
    /// Does what a call asks; answers the JSON of its answer.
    pub(super) fn call(&self, asking: &Asking<'_>) -> Result<String, Refusal> {
        operations::call(&mut self.inner(), asking)
    }

    pub(super) fn propagate(&self, propagation: Propagation) {
        self.inner().propagation = propagation;
    }

    pub(super) fn names(&self, account: &str, region: &str) -> Vec<String> {
        let inner = self.inner();
        let region = inner.regions.get(account).and_then(|regions| regions.get(region));
        let names = region.into_iter().flat_map(|region| region.names("", "", Duration::MAX));
        names.map(str::to_owned).collect()
    }

    pub(super) fn queue(&self, place: Place<'_>, now: Duration) -> Option<QueueState> {
        let mut inner = self.inner();
        let queue = inner.region(place.account, place.region)?.get_mut(place.name)?;
        let attributes = queue.attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
        Some(QueueState {
            arn: place.arn(),
            attributes: attributes.collect(),
            tags: queue.tags.clone(),
            messages: queue.messages.counts(now),
        })
    }

    /// Sets an attribute as somebody else would; every read sees it at once.
    pub(super) fn set(&self, place: Place<'_>, attribute: &str, value: &str, now: Duration) -> Result<(), Refusal> {
        let given = Value::Object([(attribute.to_owned(), Value::from(value))].into_iter().collect());
        let change = attributes::parse(&given, place.is_fifo())?;
        let mut inner = self.inner();
        let queue = inner.region(place.account, place.region).and_then(|region| region.get_mut(place.name));
        queue.ok_or_else(not_found)?.change(change, now, None)
    }

    /// Sets a tag, or removes it.
    pub(super) fn tag(&self, place: Place<'_>, key: &str, value: Option<&str>) -> Result<(), Refusal> {
        let mut inner = self.inner();
        let queue = inner.region(place.account, place.region).and_then(|region| region.get_mut(place.name));
        let tags = &mut queue.ok_or_else(not_found)?.tags;
        match value {
            Some(value) => drop(tags.insert(key.to_owned(), value.to_owned())),
            None => drop(tags.remove(key)),
        }
        Ok(())
    }

    pub(super) fn delete(&self, place: Place<'_>, now: Duration) -> Result<(), Refusal> {
        let mut inner = self.inner();
        let lag = inner.propagation.deleted;
        let deleted = inner.region(place.account, place.region).is_some_and(|all| all.delete(place.name, now, lag));
        if deleted { Ok(()) } else { Err(not_found()) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn region(&mut self, account: &str, region: &str) -> Option<&mut Region> {
        self.regions.get_mut(account)?.get_mut(region)
    }

    /// A region to create something in.
    fn region_or_new(&mut self, account: &str, region: &str) -> &mut Region {
        let regions = self.regions.entry(account.to_owned()).or_default();
        regions.entry(region.to_owned()).or_default()
    }

    /// A queue as a read finds it.
    fn read(&mut self, place: Place<'_>, now: Duration) -> Result<&mut Queue, Refusal> {
        let region = self.region(place.account, place.region);
        region.and_then(|region| region.read(place.name, now)).ok_or_else(not_found)
    }

    /// A queue to change.
    fn write(&mut self, place: Place<'_>) -> Result<&mut Queue, Refusal> {
        let region = self.region(place.account, place.region);
        region.and_then(|region| region.get_mut(place.name)).ok_or_else(not_found)
    }
}

impl<'a> Place<'a> {
    /// What a queue's URL or ARN says: all but its last two parts are ignored.
    fn of_url(url: &'a str, region: &'a str) -> Option<Place<'a>> {
        let mut parts = url.rsplit('/');
        let (name, account) = (parts.next()?, parts.next()?);
        (!name.is_empty()).then_some(Place { account, region, name })
    }

    fn of_arn(arn: &'a str) -> Option<Place<'a>> {
        let mut parts = arn.splitn(6, ':').skip(2);
        let service = parts.next()?;
        let (region, account, name) = (parts.next()?, parts.next()?, parts.next()?);
        (service == "sqs").then_some(Place { account, region, name })
    }

    fn arn(&self) -> String {
        let Place { account, region, name } = self;
        format!("arn:{}:sqs:{region}:{account}:{name}", super::partition(region))
    }

    fn is_fifo(&self) -> bool {
        self.name.ends_with(".fifo")
    }
}

fn not_found() -> Refusal {
    Refusal::bad("AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.")
}
