//! How one key stands, for those who ask about it. It changes nothing.

use std::{
    hash::Hash,
    time::{Duration, Instant},
};

use super::{Entry, Place, Running, Scheduler};
use crate::queue::{
    flow::{Flow, Priority},
    flows::FlowState,
};

/// How a key stands.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyView {
    /// Where it is.
    pub stand: Stand,
    /// How many runs in a row have failed.
    pub failures: u32,
    /// How much longer a failure holds it back.
    pub backoff: Option<Duration>,
    /// Its flow.
    pub flow: FlowStand,
}

/// Where a key is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stand {
    /// Nobody has asked for it.
    Idle,
    /// It is due after this long.
    Due(Priority, Duration),
    /// It has been due for this long, and waits.
    Waiting(Priority, Duration, Hold),
    /// It runs; whether it was asked for again meanwhile.
    Running(Priority, bool),
}

/// What a key that is due waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// Its turn.
    Turn,
    /// A free slot: as many run as may.
    Slot,
    /// A token: its flow has called AWS as often as it may, or keeps a pause that AWS asked for.
    Token,
    /// AWS: it does not answer in its flow.
    Circuit,
}

/// How a flow stands.
#[derive(Clone, Debug, PartialEq)]
pub struct FlowStand {
    /// The flow.
    pub flow: Flow,
    /// Calls a second.
    pub rate: f64,
    /// The most calls a second.
    pub ceiling: f64,
    /// How long ago AWS has throttled it, as long as that is felt.
    pub throttled: Option<Duration>,
    /// How much longer it keeps a pause that AWS has asked for.
    pub paused: Option<Duration>,
    /// For how long AWS has not answered.
    pub open: Option<Duration>,
    /// By how much polls are stretched.
    pub stretch: f64,
    /// Keys that are due and do not run.
    pub ready: usize,
    /// Keys that run.
    pub running: usize,
}

impl<K: Clone + Eq + Hash> Scheduler<K> {
    /// How `key` stands `now`, where it is known.
    pub fn view(&self, key: &K, now: Instant) -> Option<KeyView> {
        let entry = self.entries.get(*self.ids.get(key)?)?.as_ref()?;
        let flow = self.flows.get(entry.flow)?;
        let Entry { place, failures, backoff_until, .. } = entry;
        let left = |until: Instant| until.checked_duration_since(now).filter(|left| !left.is_zero());
        let stand = match place {
            Place::Idle => Stand::Idle,
            Place::Due(priority, at) | Place::Ready(priority, at) if *at > now => {
                Stand::Due(*priority, at.saturating_duration_since(now))
            }
            Place::Due(priority, since) | Place::Ready(priority, since) => {
                Stand::Waiting(*priority, now.saturating_duration_since(*since), flow.hold())
            }
            Place::Running(Running { priority, .. }, again) => Stand::Running(*priority, again.is_some()),
        };
        let backoff = backoff_until.and_then(left);
        Some(KeyView { stand, failures: *failures, backoff, flow: flow_stand(flow, now) })
    }
}

fn flow_stand(state: &FlowState, now: Instant) -> FlowStand {
    let ago = |at: Instant| now.saturating_duration_since(at);
    FlowStand {
        flow: state.flow.clone(),
        rate: state.limiter.rate(),
        ceiling: state.limiter.ceiling(),
        throttled: state.limiter.throttled_at().map(ago),
        paused: state.limiter.paused_until().and_then(|until| until.checked_duration_since(now)),
        open: state.circuit.open_since().map(ago),
        stretch: state.stretch(),
        ready: Priority::ALL.map(|priority| state.lanes.len_of(priority)).into_iter().sum(),
        running: state.running,
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::{Ended, Next, Terms},
        *,
    };
    use crate::{
        aws::Service,
        queue::{
            flow::Calls,
            slots::Limits,
            spread::Phase,
            token::{Answer, Report},
        },
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn terms() -> Terms {
        Terms {
            flow: Flow::new("1", "eu-west-1", Service("sqs")),
            rate: 100.0,
            calls: Calls { change: 2, poll: 1 },
            phase: Phase::of("u"),
        }
    }

    #[test]
    fn a_key_is_told_through_its_life() {
        let start = Instant::now();
        let mut scheduler = Scheduler::new(Limits { overall: 1, region: 1, flow: 1 }, start);
        let stand = |scheduler: &Scheduler<&str>, at| scheduler.view(&"a", at).map(|view| view.stand);
        assert_eq!(stand(&scheduler, start), None);
        scheduler.add("a", &terms(), Priority::Poll, start + 10 * SECOND, start);
        assert_eq!(stand(&scheduler, start + SECOND), Some(Stand::Due(Priority::Poll, 9 * SECOND)));
        // Due, though nobody has looked yet.
        assert_eq!(
            stand(&scheduler, start + 12 * SECOND),
            Some(Stand::Waiting(Priority::Poll, 2 * SECOND, Hold::Turn))
        );
        let now = start + 12 * SECOND;
        assert_eq!(scheduler.pop(now).unwrap().key, "a");
        assert_eq!(stand(&scheduler, now), Some(Stand::Running(Priority::Poll, false)));
        scheduler.add("b", &terms(), Priority::Change, now, now);
        scheduler.add("a", &terms(), Priority::Change, now, now);
        assert_eq!(stand(&scheduler, now), Some(Stand::Running(Priority::Poll, true)));
        scheduler.finish(&"a", Ended { next: Next::Wait, unused: 0, jitter: 1.0 }, now);
        let other = scheduler.pop(now).unwrap().key;
        let waits = if other == "a" { "b" } else { "a" };
        assert!(scheduler.pop(now).is_none());
        let hold = scheduler.view(&waits, now).unwrap().stand;
        assert!(matches!(hold, Stand::Waiting(Priority::Change, _, Hold::Slot | Hold::Turn)), "{hold:?}");
        scheduler.finish(&other, Ended { next: Next::Backoff, unused: 0, jitter: 1.0 }, now);
        let view = scheduler.view(&other, now).unwrap();
        assert_eq!((view.failures, view.backoff), (1, Some(SECOND)), "{view:?}");
    }

    #[test]
    fn a_flow_that_is_throttled_or_shut_is_told() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(Limits { overall: 9, region: 9, flow: 9 }, now);
        let flow = terms().flow;
        scheduler.add("a", &terms(), Priority::Poll, now + SECOND, now);
        let told = |scheduler: &Scheduler<&str>, at| scheduler.view(&"a", at).unwrap();
        let calm = told(&scheduler, now).flow;
        assert_eq!((calm.throttled, calm.paused, calm.open, calm.rate, calm.ceiling), (None, None, None, 25.0, 100.0));
        scheduler.report(&flow, Report::Ended(Answer::Throttled(Some(5 * SECOND))), now);
        let throttled = told(&scheduler, now + 2 * SECOND);
        assert_eq!((throttled.flow.throttled, throttled.flow.paused), (Some(2 * SECOND), Some(3 * SECOND)));
        assert!(scheduler.pop(now + 2 * SECOND).is_none());
        let stand = told(&scheduler, now + 2 * SECOND).stand;
        assert_eq!(stand, Stand::Waiting(Priority::Poll, SECOND, Hold::Token));
        for _ in 0..crate::queue::circuit::OPENS_AFTER {
            scheduler.report(&flow, Report::Ended(Answer::Missed), now + 2 * SECOND);
        }
        let view = told(&scheduler, now + 3 * SECOND);
        assert_eq!(view.flow.open, Some(SECOND));
        assert_eq!(view.stand, Stand::Waiting(Priority::Poll, 2 * SECOND, Hold::Circuit));
    }
}
