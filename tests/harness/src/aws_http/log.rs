//! The log of calls: cheap to fill, bounded, and counted beyond its bound.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde_json::Value;

/// One call as it arrived.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When it had arrived in full.
    pub at: Instant,
    /// `sqs`, `sts`, …: from the signature.
    pub service: String,
    /// `CreateQueue`, …
    pub operation: String,
    /// From the signature.
    pub region: String,
    /// From the signature.
    pub access_key: String,
    /// Which of the server's doors it came through; empty for the one that all share.
    pub door: String,
    /// The account that the key stands for; empty where the log's keeper does not know.
    pub account: String,
    /// The parameters: JSON as sent, or a form's fields as an object of strings.
    pub request: Value,
    /// The status of the answer that went to the caller, if one did.
    pub status: Option<u16>,
    /// The error code of that answer, if it was an error.
    pub error: Option<String>,
    /// When the call was over: answered, or its connection closed.
    pub finished: Option<Instant>,
}

/// The calls of one server.
#[derive(Debug)]
pub(crate) struct Log {
    inner: Mutex<Inner>,
}

/// A call that is not over yet. Dropped, it is noted as over even when its
/// caller has gone and the future with it.
pub(crate) struct Entry<'a> {
    log: &'a Log,
    number: usize,
    outcome: Outcome,
}

/// How a call ended; the default is without an answer.
#[derive(Debug, Default)]
struct Outcome {
    status: Option<u16>,
    error: Option<String>,
}

#[derive(Debug)]
struct Inner {
    /// The number of the first call that is kept.
    first: usize,
    limit: usize,
    kept: VecDeque<(Call, Arc<Value>)>,
    /// By service and operation.
    counts: HashMap<String, HashMap<String, u64>>,
}

/// Some hundred megabytes at most, and more than any test reads.
const LIMIT: usize = 200_000;

impl Default for Log {
    fn default() -> Log {
        let inner = Inner { first: 0, limit: LIMIT, kept: VecDeque::new(), counts: HashMap::new() };
        Log { inner: Mutex::new(inner) }
    }
}

impl Log {
    /// Notes a call that has arrived, and its parameters.
    pub(crate) fn arrived(&self, call: Call, request: Arc<Value>) -> Entry<'_> {
        let mut inner = self.inner();
        inner.count(&call.service, &call.operation);
        let number = inner.first + inner.kept.len();
        inner.kept.push_back((call, request));
        let forgotten = inner.shorten();
        drop(inner);
        drop(forgotten);
        Entry { log: self, number, outcome: Outcome::default() }
    }

    /// The calls that are kept, as they arrived.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.inner().kept.iter().map(whole).collect()
    }

    /// The calls of one operation.
    pub(crate) fn calls_of(&self, operation: &str) -> Vec<Call> {
        self.inner().kept.iter().filter(|(call, _)| call.operation == operation).map(whole).collect()
    }

    /// How many calls of an operation there were, those no longer kept included.
    pub(crate) fn count(&self, service: &str, operation: &str) -> u64 {
        let inner = self.inner();
        let count = inner.counts.get(service).and_then(|operations| operations.get(operation));
        count.copied().unwrap_or_default()
    }

    /// Forgets the calls so far, and begins to count anew.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner();
        inner.first += inner.kept.len();
        inner.kept.clear();
        inner.counts.clear();
    }

    /// Keeps this many calls, the latest.
    pub(crate) fn keep(&self, limit: usize) {
        let mut inner = self.inner();
        inner.limit = limit;
        while inner.shorten().is_some() {}
    }

    fn finished(&self, number: usize, outcome: Outcome) {
        let now = Instant::now();
        let mut inner = self.inner();
        let index = number.checked_sub(inner.first);
        if let Some((call, _)) = index.and_then(|index| inner.kept.get_mut(index)) {
            let Outcome { status, error } = outcome;
            call.status = status;
            call.error = error;
            call.finished = Some(now);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry<'_> {
    /// Notes the answer that goes to the caller.
    pub(crate) fn answered(&mut self, status: u16, error: Option<String>) {
        self.outcome = Outcome { status: Some(status), error };
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.log.finished(self.number, std::mem::take(&mut self.outcome));
    }
}

impl Inner {
    fn count(&mut self, service: &str, operation: &str) {
        if let Some(count) = self.counts.get_mut(service).and_then(|operations| operations.get_mut(operation)) {
            *count += 1;
            return;
        }
        self.counts.entry(service.to_owned()).or_default().insert(operation.to_owned(), 1);
    }

    /// Takes out the oldest call of too many.
    fn shorten(&mut self) -> Option<(Call, Arc<Value>)> {
        if self.kept.len() <= self.limit {
            return None;
        }
        self.first += 1;
        self.kept.pop_front()
    }
}

fn whole((call, request): &(Call, Arc<Value>)) -> Call {
    Call { request: Value::clone(request), ..call.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(operation: &str) -> Call {
        Call {
            at: Instant::now(),
            service: "sqs".to_owned(),
            operation: operation.to_owned(),
            region: String::new(),
            access_key: String::new(),
            door: String::new(),
            account: String::new(),
            request: Value::Null,
            status: None,
            error: None,
            finished: None,
        }
    }

    #[test]
    fn the_latest_calls_are_kept_and_all_are_counted() {
        let log = Log::default();
        log.keep(2);
        for operation in ["A", "B", "A"] {
            log.arrived(call(operation), Arc::default()).answered(200, None);
        }
        let kept: Vec<_> = log.calls().into_iter().map(|call| (call.operation, call.status)).collect();
        assert_eq!(kept, [("B".to_owned(), Some(200)), ("A".to_owned(), Some(200))]);
        assert_eq!(log.count("sqs", "A"), 2);
        log.keep(0);
        assert_eq!(log.calls(), []);
        log.clear();
        assert_eq!(log.count("sqs", "A"), 0);
    }

    #[test]
    fn an_end_after_the_log_was_cleared_changes_nothing() {
        let log = Log::default();
        let entry = log.arrived(call("A"), Arc::default());
        log.clear();
        let _second = log.arrived(call("B"), Arc::default());
        drop(entry);
        assert!(log.calls()[0].finished.is_none());
    }
}
