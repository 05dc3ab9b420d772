//! What a run holds to call AWS with. Every call goes through [`FlowToken::call`], which charges the
//! flow and tells it how AWS answered; a call that was reserved at the dispatch costs nothing more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use super::flow::Flow;

/// How AWS answered a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With a result or an error.
    Given,
    /// That there were too many calls, perhaps with a pause to keep.
    Throttled(Option<Duration>),
    /// Not at all.
    Missed,
}

/// What a token tells its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// A call begins that nobody has reserved.
    Unreserved,
    /// A call has ended.
    Ended(Answer),
}

/// Hears the reports about a flow.
pub type Listener = Arc<dyn Fn(&Flow, Report) + Send + Sync>;

/// The right to call AWS in one flow. Clones share what was reserved.
#[derive(Clone)]
pub struct FlowToken(Arc<Inner>);

struct Inner {
    flow: Flow,
    shut_for: Option<Duration>,
    reserved: AtomicU32,
    listener: Listener,
}

/// The flow's circuit is open: nothing was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shut {
    /// For how long AWS has not answered.
    pub since: Duration,
}

/// A call that was let through; to be ended by its answer.
#[must_use]
pub struct Admitted<'a>(&'a Inner);

impl std::fmt::Debug for FlowToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FlowToken({})", self.0.flow)
    }
}

impl FlowToken {
    /// The right to call in `flow`, with so many calls `reserved`. Where the circuit has been open for
    /// `shut_for`, no call is let through.
    pub fn new(flow: Flow, reserved: u32, shut_for: Option<Duration>, listener: Listener) -> Self {
        Self(Arc::new(Inner { flow, shut_for, reserved: AtomicU32::new(reserved), listener }))
    }

    /// The right to call in `flow` for those who are not run by the queue: nothing is reserved, nothing held
    /// back, and nothing learned.
    pub fn unrationed(flow: Flow) -> Self {
        Self::new(flow, 0, None, Arc::new(|_, _| ()))
    }

    /// The flow.
    pub fn flow(&self) -> &Flow {
        &self.0.flow
    }

    /// The right to call in another flow, where the run turns out to need that. Nothing is reserved
    /// there; its own flow keeps what was.
    #[must_use]
    pub fn within(&self, flow: &Flow) -> Self {
        if self.0.flow == *flow {
            return self.clone();
        }
        Self::new(flow.clone(), 0, None, self.0.listener.clone())
    }

    /// For how long AWS has not answered, where no call is let through.
    pub fn shut_for(&self) -> Option<Duration> {
        self.0.shut_for
    }

    /// How many calls were reserved and not made.
    pub fn unused(&self) -> u32 {
        self.0.reserved.load(Ordering::Relaxed)
    }

    /// Begins a call.
    ///
    /// # Errors
    /// [`Shut`] while the circuit is open.
    pub fn call(&self) -> Result<Admitted<'_>, Shut> {
        let inner = &*self.0;
        if let Some(since) = inner.shut_for {
            return Err(Shut { since });
        }
        let one_less = |reserved: u32| reserved.checked_sub(1);
        if inner.reserved.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_err() {
            (inner.listener)(&inner.flow, Report::Unreserved);
        }
        Ok(Admitted(inner))
    }
}

impl Admitted<'_> {
    /// The call has ended.
    pub fn ended(self, answer: Answer) {
        (self.0.listener)(&self.0.flow, Report::Ended(answer));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::aws::Service;

    #[test]
    fn reserved_calls_are_charged_once_and_others_as_they_come() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener: Listener = {
            let heard = heard.clone();
            Arc::new(move |flow: &Flow, report| heard.lock().unwrap().push((flow.region.to_string(), report)))
        };
        let flow = |region| Flow::new("1", region, Service("sqs"));
        let token = FlowToken::new(flow("a"), 2, None, listener.clone());
        let clone = token.clone();
        token.call().ok().unwrap().ended(Answer::Given);
        assert_eq!(token.unused(), 1);
        clone.call().ok().unwrap().ended(Answer::Missed);
        clone.call().ok().unwrap().ended(Answer::Throttled(None));
        token.within(&flow("b")).call().ok().unwrap().ended(Answer::Given);
        let ended = |answer| Report::Ended(answer);
        let expected = [
            ("a", ended(Answer::Given)),
            ("a", ended(Answer::Missed)),
            ("a", Report::Unreserved),
            ("a", ended(Answer::Throttled(None))),
            ("b", Report::Unreserved),
            ("b", ended(Answer::Given)),
        ];
        assert_eq!(*heard.lock().unwrap(), expected.map(|(region, report)| (region.to_owned(), report)));
        let since = Duration::from_secs(9);
        let shut = FlowToken::new(flow("a"), 2, Some(since), listener);
        assert_eq!(shut.call().err(), Some(Shut { since }));
    }
}
