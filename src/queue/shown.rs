//! The queue as Prometheus sees it. Pure.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use super::{
    flow::{Flow, Priority},
    flows::FlowView,
};
use crate::telemetry::metrics::{QUEUE, Reading, Value, table};

/// The flows that share one set of label values.
#[derive(Clone, Copy, Debug, Default)]
struct Shown {
    ready: [usize; Priority::COUNT],
    oldest: [Duration; Priority::COUNT],
    running: usize,
    rate: f64,
    ceiling: f64,
    open: bool,
    stretch: f64,
}

impl Shown {
    fn add(&mut self, view: &FlowView, now: Instant) {
        let FlowView { flow: _, ready, due_since, running, rate, ceiling, open, stretch } = view;
        for priority in Priority::ALL.map(Priority::index) {
            self.ready[priority] += ready[priority];
            let age = due_since[priority].map(|since| now.saturating_duration_since(since)).unwrap_or_default();
            self.oldest[priority] = self.oldest[priority].max(age);
        }
        self.running += running;
        self.rate += rate;
        self.ceiling += ceiling;
        self.open |= open;
        self.stretch = self.stretch.max(*stretch);
    }

    fn readings(self, labels: &[Value; 3]) -> Vec<Reading> {
        let Self { ready, oldest, running, rate, ceiling, open, stretch } = self;
        let mut readings = vec![
            Reading::count(&table::FLOW_RUNNING, labels.clone(), running),
            Reading::new(&table::FLOW_RATE, labels.clone(), rate),
            Reading::new(&table::FLOW_CEILING, labels.clone(), ceiling),
            Reading::new(&table::FLOW_OPEN, labels.clone(), f64::from(u8::from(open))),
            Reading::new(&table::FLOW_STRETCH, labels.clone(), stretch),
        ];
        for priority in Priority::ALL {
            let [account, region, service] = labels.clone();
            let labels = [account, region, service, priority.name().into()];
            let (ready, oldest) = (ready[priority.index()], oldest[priority.index()]);
            readings.push(Reading::count(&table::FLOW_READY, labels.clone(), ready));
            readings.push(Reading::new(&table::FLOW_OLDEST, labels, oldest.as_secs_f64()));
        }
        readings
    }
}

/// What there is to read of `flows`, and of what has been `running` for so long. `labels` are a flow's: those that
/// have the same are shown as one.
pub(super) fn readings(
    flows: &[FlowView],
    running: &[Duration],
    now: Instant,
    labels: impl Fn(&Flow) -> [Value; 3],
) -> Vec<Reading> {
    let ready = flows.iter().flat_map(|flow| flow.ready).sum();
    let running = running.iter().map(Duration::as_secs_f64);
    let mut readings = vec![
        Reading::count(&table::QUEUE_DEPTH, [QUEUE], ready),
        Reading::new(&table::QUEUE_UNFINISHED, [QUEUE], running.clone().sum()),
        Reading::new(&table::QUEUE_LONGEST, [QUEUE], running.fold(0.0, f64::max)),
    ];
    let mut shown: BTreeMap<[Value; 3], Shown> = BTreeMap::new();
    for view in flows {
        shown.entry(labels(&view.flow)).or_default().add(view, now);
    }
    readings.extend(shown.iter().flat_map(|(labels, shown)| shown.readings(labels)));
    readings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Service;

    const SECOND: Duration = Duration::from_secs(1);

    fn view(region: &str, now: Instant, ages: [Option<u32>; 4], rate: f64, open: bool) -> FlowView {
        FlowView {
            flow: Flow::new("1", region, Service("sqs")),
            ready: ages.map(|age| usize::from(age.is_some())),
            due_since: ages.map(|age| age.map(|age| now - SECOND * age)),
            running: 1,
            rate,
            ceiling: rate * 2.0,
            open,
            stretch: rate,
        }
    }

    #[test]
    fn flows_that_share_their_labels_are_added_up_and_the_oldest_counts() {
        let now = Instant::now() + SECOND * 1_000;
        let flows = [
            view("a", now, [Some(3), None, Some(40), None], 10.0, false),
            view("b", now, [Some(5), None, Some(20), None], 2.0, true),
            view("own", now, [None; 4], 1.0, false),
        ];
        let labels = |flow: &Flow| {
            let region = if &*flow.region == "own" { "own" } else { "other" };
            ["1".into(), region.into(), "sqs".into()]
        };
        let readings = readings(&flows, &[SECOND, SECOND * 3], now, labels);
        let value = |name: &str, labels: &[&str]| {
            let found = readings.iter().map(Reading::parts).find(|(it, values, _)| *it == name && values == labels);
            found.map(|(.., value)| value)
        };
        for (name, labels, expected) in [
            ("workqueue_depth", ["fairlead"].as_slice(), 4.0),
            ("workqueue_unfinished_work_seconds", &["fairlead"], 4.0),
            ("workqueue_longest_running_processor_seconds", &["fairlead"], 3.0),
            ("fairlead_flow_running", &["1", "other", "sqs"], 2.0),
            ("fairlead_flow_rate", &["1", "other", "sqs"], 12.0),
            ("fairlead_flow_rate_ceiling", &["1", "other", "sqs"], 24.0),
            ("fairlead_flow_circuit_open", &["1", "other", "sqs"], 1.0),
            ("fairlead_flow_poll_stretch", &["1", "other", "sqs"], 10.0),
            ("fairlead_flow_ready", &["1", "other", "sqs", "change"], 2.0),
            ("fairlead_flow_oldest_seconds", &["1", "other", "sqs", "change"], 5.0),
            ("fairlead_flow_oldest_seconds", &["1", "other", "sqs", "progress"], 0.0),
            ("fairlead_flow_oldest_seconds", &["1", "other", "sqs", "poll"], 40.0),
            ("fairlead_flow_circuit_open", &["1", "own", "sqs"], 0.0),
            ("fairlead_flow_oldest_seconds", &["1", "own", "sqs", "poll"], 0.0),
        ] {
            assert_eq!(value(name, labels), Some(expected), "{name} {labels:?} in {readings:?}");
        }
    }
}
