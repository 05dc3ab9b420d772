//! What the proxy's thread and its owner share: calls, faults, switches.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::{Call, Effect, Fault};

#[derive(Debug)]
pub(super) struct State {
    inner: Mutex<Inner>,
    releases: watch::Sender<u64>,
    stopped: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct Inner {
    /// The number of the first call that is kept.
    first: usize,
    calls: Vec<Call>,
    faults: Vec<Fault>,
    unavailable: bool,
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
        State { inner: Mutex::default(), releases: watch::Sender::new(0), stopped: watch::Sender::new(false) }
    }
}

impl State {
    /// Notes a call; answers its number and its fate.
    pub(super) fn arrived(&self, call: Call) -> (usize, Verdict) {
        let mut inner = self.inner();
        let verdict = inner.judge(&call.operation, &call.access_key);
        inner.calls.push(call);
        (inner.first + inner.calls.len() - 1, verdict)
    }

    /// Notes how a call ended.
    pub(super) fn finished(&self, number: usize, status: Option<u16>) {
        let mut inner = self.inner();
        let index = number.checked_sub(inner.first);
        if let Some(call) = index.and_then(|index| inner.calls.get_mut(index)) {
            call.status = status;
            call.finished = Some(Instant::now());
        }
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.inner().calls.clone()
    }

    pub(super) fn clear(&self) {
        let mut inner = self.inner();
        inner.first += inner.calls.len();
        inner.calls.clear();
    }

    pub(super) fn add(&self, fault: Fault) {
        self.inner().faults.push(fault);
    }

    pub(super) fn clear_faults(&self) {
        self.inner().faults.clear();
    }

    pub(super) fn set_unavailable(&self, unavailable: bool) {
        self.inner().unavailable = unavailable;
    }

    pub(super) fn release(&self) {
        self.releases.send_modify(|count| *count += 1);
    }

    /// To be taken when a call arrives; awaited when its answer is there.
    pub(super) fn releases(&self) -> watch::Receiver<u64> {
        self.releases.subscribe()
    }

    pub(super) fn stop(&self) {
        self.stopped.send_replace(true);
    }

    pub(super) async fn stopped(&self) {
        // The sender is in `self`: it cannot be gone.
        let _ = self.stopped.subscribe().wait_for(|stopped| *stopped).await;
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn judge(&mut self, operation: &str, access_key: &str) -> Verdict {
        if self.unavailable {
            return Verdict::Unavailable;
        }
        let mut effect = None;
        for fault in &mut self.faults {
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
        effect.map_or(Verdict::Forward, Verdict::Fault)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn delay(n: u64) -> Effect {
        Effect::Delay(Duration::from_millis(n))
    }

    /// The verdicts on calls of the operations, faults written as their delay.
    fn verdicts(faults: &[Fault], operations: &[&str]) -> Vec<u64> {
        let mut inner = Inner { faults: faults.to_vec(), ..Inner::default() };
        let judged = operations.iter().map(|operation| match inner.judge(operation, "ASIA1") {
            Verdict::Fault(Effect::Delay(delay)) => delay.as_secs() * 1000 + u64::from(delay.subsec_millis()),
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
