//! Labels whose values tenants may choose: a hundred have series of their own, the rest share one. Most of the hundred
//! are for where AWS has answered, so that somebody who invents regions takes but a few.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use super::series::Value;
use crate::queue::flow::Flow;

/// How many have series of their own.
pub(super) const OWN: usize = 100;
/// How many of those may be such as AWS has never answered in.
pub(super) const UNANSWERED: usize = 20;
const OTHER: Value = Value::Fixed("other");

/// The regions and flows that have series of their own.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    regions: Mutex<Own<Arc<str>>>,
    flows: Mutex<Own<Flow>>,
}

/// Those that have series of their own, and whether AWS has ever answered there.
#[derive(Debug)]
struct Own<T> {
    all: HashMap<T, bool>,
    unanswered: usize,
}

impl Bounds {
    /// The label value of a region.
    pub(super) fn region(&self, region: &str) -> Value {
        let mut regions = lock(&self.regions);
        if let Some((known, _)) = regions.all.get_key_value(region) {
            return known.clone().into();
        }
        let region: Arc<str> = region.into();
        if regions.take(&region) { region.into() } else { OTHER }
    }

    /// The label values of a flow: account, region and service.
    pub(super) fn flow(&self, flow: &Flow) -> [Value; 3] {
        let service = flow.service.0.into();
        match lock(&self.flows).take(flow) {
            true => [flow.account.clone().into(), flow.region.clone().into(), service],
            false => [OTHER, OTHER, service],
        }
    }

    /// AWS has answered in a flow, and so in its region.
    pub(super) fn answered(&self, flow: &Flow) {
        lock(&self.flows).answered(flow);
        lock(&self.regions).answered(&flow.region);
    }
}

impl<T> Default for Own<T> {
    fn default() -> Self {
        Self { all: HashMap::new(), unanswered: 0 }
    }
}

impl<T: Clone + Eq + Hash> Own<T> {
    /// Whether this is one of them, if need be from now on.
    fn take(&mut self, it: &T) -> bool {
        if self.all.contains_key(it) {
            return true;
        }
        let room = self.all.len() < OWN && self.unanswered < UNANSWERED;
        if room {
            self.all.insert(it.clone(), false);
            self.unanswered += 1;
        }
        room
    }

    /// AWS has answered there: it is one of them, where there is room.
    fn answered(&mut self, it: &T) {
        let room = self.all.len() < OWN;
        match self.all.get_mut(it) {
            Some(true) => {}
            Some(answered) => {
                *answered = true;
                self.unanswered -= 1;
            }
            None if room => drop(self.all.insert(it.clone(), true)),
            None => {}
        }
    }
}

fn lock<T>(own: &Mutex<Own<T>>) -> MutexGuard<'_, Own<T>> {
    own.lock().unwrap_or_else(PoisonError::into_inner)
}
