//! How many messages queues hold: the one metric whose labels name objects, of so many of them as the user says.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use super::{reading::Reading, table};

const STATES: [&str; 3] = ["visible", "in_flight", "delayed"];

/// The counts of the queues that are shown, by namespace and name.
#[derive(Clone, Default)]
pub(super) struct Messages(Arc<Inner>);

#[derive(Default)]
struct Inner {
    most: AtomicUsize,
    queues: Mutex<HashMap<(String, String), [u64; 3]>>,
}

impl Messages {
    /// So many are shown at most.
    pub(super) fn show(&self, most: usize) {
        self.0.most.store(most, Ordering::Relaxed);
    }

    /// A queue was looked at. One that is new is shown where there is room.
    pub(super) fn saw(&self, namespace: &str, name: &str, counts: [u64; 3]) {
        let most = self.0.most.load(Ordering::Relaxed);
        if most == 0 {
            return;
        }
        let key = (namespace.to_owned(), name.to_owned());
        let mut queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() < most || queues.contains_key(&key) {
            queues.insert(key, counts);
        }
    }

    /// A queue is not there, or not this replica's, any more.
    pub(super) fn forget(&self, namespace: &str, name: &str) {
        if self.0.most.load(Ordering::Relaxed) > 0 {
            let key = (namespace.to_owned(), name.to_owned());
            self.0.queues.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
        }
    }

    #[allow(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    pub(super) fn readings(&self) -> Vec<Reading> {
        let queues = self.0.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let of_queue = |((namespace, name), counts): (&(String, String), &[u64; 3])| {
            let (namespace, name): (Arc<str>, Arc<str>) = (namespace.as_str().into(), name.as_str().into());
            STATES.into_iter().zip(*counts).map(move |(state, count)| {
                let labels = [namespace.clone().into(), name.clone().into(), state.into()];
                Reading::new(&table::MESSAGES, labels, count as f64)
            })
        };
        queues.iter().flat_map(of_queue).collect()
    }
}
