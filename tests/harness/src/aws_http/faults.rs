//! What is to go wrong, by operation and occurrence, never by time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;

/// What is to happen to some calls of an operation.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operation, or `*` for every one.
    pub operation: String,
    /// How the access key of the calls begins; empty for any.
    pub access_key: String,
    /// How many of its calls pass before.
    pub skip: usize,
    /// How many of its calls are then affected.
    pub times: usize,
    /// What happens to them.
    pub effect: Effect,
}

/// What a fault does.
#[derive(Clone)]
pub enum Effect {
    /// AWS refuses: an error answer, and nothing else happens.
    Respond {
        /// The HTTP status.
        status: u16,
        /// AWS's error code; a dotted one is sent as the query-compatible code.
        code: String,
        /// AWS's words.
        message: String,
    },
    /// The call takes effect, and its connection closes without an answer.
    LoseReply,
    /// The call takes effect, and its answer waits for `release`.
    HoldReply,
    /// The call takes effect later.
    Delay(Duration),
    /// Nothing happens, and nothing is ever answered.
    Blackhole,
    /// A successful JSON answer is changed, as by an old read.
    Rewrite(Arc<dyn Fn(Value) -> Value + Send + Sync>),
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Effect::Respond { status, code, .. } => write!(f, "Respond({status} {code})"),
            Effect::LoseReply => f.write_str("LoseReply"),
            Effect::HoldReply => f.write_str("HoldReply"),
            Effect::Delay(delay) => write!(f, "Delay({delay:?})"),
            Effect::Blackhole => f.write_str("Blackhole"),
            Effect::Rewrite(_) => f.write_str("Rewrite"),
        }
    }
}

impl Effect {
    /// [`Effect::Respond`].
    pub fn respond(status: u16, code: impl Into<String>, message: impl Into<String>) -> Effect {
        Effect::Respond { status, code: code.into(), message: message.into() }
    }

    /// [`Effect::Rewrite`].
    pub fn rewrite(change: impl Fn(Value) -> Value + Send + Sync + 'static) -> Effect {
        Effect::Rewrite(Arc::new(change))
    }
}

impl Fault {
    /// Affects the next call of an operation, once.
    pub fn new(operation: impl Into<String>, effect: Effect) -> Fault {
        Fault { operation: operation.into(), access_key: String::new(), skip: 0, times: 1, effect }
    }

    /// Affects only calls whose access key begins so.
    #[must_use]
    pub fn of(mut self, access_key: impl Into<String>) -> Fault {
        self.access_key = access_key.into();
        self
    }

    /// Lets this many calls pass before.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Fault {
        self.skip = skip;
        self
    }

    /// Affects this many calls.
    #[must_use]
    pub fn times(mut self, times: usize) -> Fault {
        self.times = times;
        self
    }

    /// Affects every call from now on.
    #[must_use]
    pub fn always(self) -> Fault {
        self.times(usize::MAX)
    }
}

/// The faults of one server, and the answers that wait for its owner.
#[derive(Debug)]
pub(crate) struct Faults {
    due: Mutex<Vec<Fault>>,
    releases: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Faults {
        Faults { due: Mutex::default(), releases: watch::Sender::new(0) }
    }
}

impl Faults {
    /// Adds a fault. Each counts the calls of its operation for itself, from now on.
    pub(crate) fn add(&self, fault: Fault) {
        self.faults().push(fault);
    }

    /// Drops all faults. Answers that are held stay so until released.
    pub(crate) fn clear(&self) {
        self.faults().clear();
    }

    /// The fate of a call that has arrived: of the faults that are due, the one added first acts.
    pub(crate) fn judge(&self, operation: &str, access_key: &str) -> Option<Effect> {
        judge(&mut self.faults(), operation, access_key)
    }

    /// Lets every answer go that is held so far.
    pub(crate) fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// To be taken when a call arrives; awaited when its answer is there.
    pub(crate) fn releases(&self) -> watch::Receiver<u64> {
        self.releases.subscribe()
    }

    fn faults(&self) -> MutexGuard<'_, Vec<Fault>> {
        self.due.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn judge(faults: &mut [Fault], operation: &str, access_key: &str) -> Option<Effect> {
    let mut effect = None;
    for fault in faults {
        let of_operation = fault.operation == "*" || fault.operation == operation;
        if !of_operation || !access_key.starts_with(&fault.access_key) {
            continue;
        }
        if fault.skip > 0 {
            fault.skip -= 1;
        } else if effect.is_none() && fault.times > 0 {
            fault.times -= 1;
            effect = Some(fault.effect.clone());
        }
    }
    effect
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delay(n: u64) -> Effect {
        Effect::Delay(Duration::from_millis(n))
    }

    /// What becomes of calls of the operations, faults written as their delay.
    fn verdicts(faults: &[Fault], operations: &[&str]) -> Vec<u64> {
        let mut faults = faults.to_vec();
        let judged = operations.iter().map(|operation| match judge(&mut faults, operation, "ASIA1") {
            Some(Effect::Delay(delay)) => delay.as_secs() * 1000 + u64::from(delay.subsec_millis()),
            _ => 0,
        });
        judged.collect()
    }

    #[test]
    fn faults_count_their_own_operation_and_the_first_due_acts() {
        let once = Fault::new("A", delay(1));
        assert_eq!(verdicts(std::slice::from_ref(&once), &["B", "A", "A"]), [0, 1, 0]);
        let later = Fault::new("A", delay(2)).skip(1).times(2);
        assert_eq!(verdicts(&[later], &["A", "A", "B", "A", "A"]), [0, 2, 0, 2, 0]);
        let every = Fault::new("*", delay(3)).always();
        assert_eq!(verdicts(&[once.clone(), every], &["A", "A", "B"]), [1, 3, 3]);
        assert_eq!(verdicts(&[once.clone().of("ASIA2"), once.of("ASIA")], &["A", "A"]), [1, 0]);
    }
}
