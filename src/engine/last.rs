//! What is kept of every object's last reconcile, and told of an object to those who ask. Bounded by the objects that
//! this replica leads.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::{
    controller::{Controller, Task, lock},
    converge::shortened,
    kind::{Difference, Kind},
    objects::ObjectKey,
    status::Stage,
};
use crate::{
    queue::{
        dispatcher::Queue,
        scheduler::view::{FlowStand, Hold, KeyView, Stand},
    },
    telemetry::{
        object_status::{Differed, FlowStatusz, Last, ObjectStatusz, QueueStand},
        traces::current_trace_id,
    },
};

/// How many fields that differed are kept.
const FIELDS: usize = 16;

/// What a reconcile has to say about itself at its end.
#[derive(Debug, Default)]
pub struct Said {
    /// Where the object stands, and why.
    pub told: Option<(Stage, String)>,
    /// What class of error AWS has answered with.
    pub error_class: Option<&'static str>,
    differed: Vec<Differed>,
}

impl Said {
    /// Notes the fields that differ.
    pub fn differs<'a>(&mut self, differences: impl Iterator<Item = &'a Difference>) {
        let short = |Difference { field, actual, desired, .. }: &Difference| Differed {
            field: field.clone(),
            actual: shortened(actual),
            desired: shortened(desired),
        };
        self.differed = differences.take(FIELDS).map(short).collect();
    }

    /// What is kept of it. To be asked within its span.
    pub fn kept(self, took: Duration) -> Last {
        let Self { told, error_class, differed } = self;
        let (stage, reason) = told.map_or((None, None), |(stage, reason)| (Some(stage), Some(reason)));
        Last {
            at: Timestamp::now(),
            took_seconds: (took.as_secs_f64() * 1_000.0).round() / 1_000.0,
            outcome: stage.map_or("nothing", outcome).into(),
            reason,
            error_class: error_class.map(str::to_owned),
            trace_id: current_trace_id(),
            differed,
        }
    }
}

fn outcome(stage: Stage) -> &'static str {
    match stage {
        Stage::New => "underway",
        Stage::InSync => "inSync",
        Stage::Drifted => "drifted",
        Stage::Failing => "failing",
        Stage::Stalled => "stalled",
        Stage::Paused => "paused",
        Stage::Observed { .. } => "observed",
        Stage::Deleting => "deleting",
        Stage::DeletionBlocked => "deletionBlocked",
    }
}

/// The last reconcile of every object.
#[derive(Debug, Default)]
pub struct Lasts(Mutex<HashMap<ObjectKey, Last>>);

impl Lasts {
    /// Keeps one in the place of an earlier one.
    pub fn note(&self, key: &ObjectKey, last: Option<Last>) {
        last.into_iter().for_each(|last| drop(lock(&self.0).insert(key.clone(), last)));
    }

    /// Forgets an object.
    pub fn forget(&self, key: &ObjectKey) {
        lock(&self.0).remove(key);
    }
}

impl<K: Kind> Controller<K> {
    /// What this replica, of this name, knows of an object.
    pub(super) fn told(&self, replica: &str, key: &ObjectKey) -> ObjectStatusz {
        let nothing = ObjectStatusz { replica: replica.to_owned(), ..ObjectStatusz::default() };
        let Some(object) = self.object(key) else { return nothing };
        let permits = &self.context.permits;
        let shard = permits.shard_of(object.uid());
        let (queue, flow) = stand(&self.context.queue, key, self.sweeps.wanted(key)).unzip();
        ObjectStatusz {
            uid: Some(object.uid().to_owned()),
            shard: u16::try_from(shard.index()).ok(),
            led: permits.leads(shard).is_some(),
            queue,
            flow,
            last: lock(&self.lasts.0).get(key).cloned(),
            ..nothing
        }
    }
}

/// Where an object is in the queue, where its resource is perhaps wanted to be seen with others.
fn stand(
    queue: &Queue<Task>,
    key: &ObjectKey,
    wanted: Option<(super::sweep::SweepKey, Instant)>,
) -> Option<(QueueStand, FlowStatusz)> {
    let own = queue.view(&key.into());
    let waits = own.as_ref().is_none_or(|(view, _)| view.stand == Stand::Idle);
    let sweep = wanted.filter(|_| waits).and_then(|(sweep, at)| {
        let (view, _) = queue.view(&Task::Sweep(Box::new(sweep)))?;
        let left = at.saturating_duration_since(Instant::now());
        let stand = match view.stand {
            Stand::Due(priority, within) => Stand::Due(priority, within.max(left)),
            stand => stand,
        };
        Some((KeyView { stand, ..view }, None))
    });
    let with_others = sweep.is_some();
    let (view, running) = sweep.or(own)?;
    let KeyView { stand, failures, backoff, flow } = view;
    let told = QueueStand { failures, with_others, backoff_seconds: backoff.map(rounded), ..QueueStand::default() };
    let told = match stand {
        Stand::Idle => QueueStand { stand: "idle".into(), ..told },
        Stand::Due(priority, within) => QueueStand {
            stand: "due".into(),
            priority: Some(priority.name().into()),
            due_in_seconds: Some(rounded(within)),
            ..told
        },
        Stand::Waiting(priority, since, hold) => QueueStand {
            stand: "waiting".into(),
            priority: Some(priority.name().into()),
            waiting_for_seconds: Some(rounded(since)),
            waits_for: Some(name_of(hold).into()),
            ..told
        },
        Stand::Running(priority, _) => QueueStand {
            stand: "running".into(),
            priority: Some(priority.name().into()),
            running_for_seconds: running.map(rounded),
            ..told
        },
    };
    Some((told, of_flow(flow)))
}

fn of_flow(stand: FlowStand) -> FlowStatusz {
    let FlowStand { flow, rate, ceiling, throttled, paused, open, stretch, ready, running } = stand;
    FlowStatusz {
        account: flow.account.to_string(),
        region: flow.region.to_string(),
        service: flow.service.to_string(),
        rate: (rate * 10.0).round() / 10.0,
        ceiling,
        throttled_seconds_ago: throttled.map(rounded),
        paused_for_seconds: paused.map(rounded),
        circuit_open_for_seconds: open.map(rounded),
        poll_stretch: (stretch * 10.0).round() / 10.0,
        due: ready,
        running,
    }
}

fn name_of(hold: Hold) -> &'static str {
    match hold {
        Hold::Turn => "turn",
        Hold::Slot => "slot",
        Hold::Token => "token",
        Hold::Circuit => "circuit",
    }
}

/// Seconds, to a tenth.
fn rounded(time: Duration) -> f64 {
    (time.as_secs_f64() * 10.0).round() / 10.0
}
