//! What is told when something happens.

use std::time::{Duration, Instant, SystemTime};

use prometheus_client::{
    metrics::{counter::Counter, exemplar::HistogramWithExemplars, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::{
    Metrics,
    bounds::Bounds,
    messages::Messages,
    series::{Group, Trace, Value, single},
    table,
};
use crate::{
    kinds::KINDS,
    queue::flow::{Flow, Priority},
    shard::Shard,
};

/// The queue's name in the workqueue metrics.
pub(crate) const QUEUE: Value = Value::Fixed("fairlead");

/// All that is counted and timed.
pub(super) struct Recorders {
    bounds: Bounds,
    pub(super) messages: Messages,
    reconciles: Group<Counter, 2>,
    reconcile_errors: Group<Counter, 1>,
    reconcile_time: Group<HistogramWithExemplars<Trace>, 1>,
    active: Group<Gauge, 1>,
    failures: Group<Counter, 2>,
    adds: Group<Counter, 1>,
    retries: Group<Counter, 1>,
    waited: Group<Histogram, 2>,
    worked: Group<Histogram, 1>,
    flow_wait: Group<Histogram, 4>,
    flow_work: Group<Histogram, 3>,
    throttles: Group<Counter, 3>,
    openings: Group<Counter, 3>,
    calls: Group<Counter, 4>,
    call_time: Group<Histogram, 3>,
    kube_requests: Group<Counter, 3>,
    kube_time: Group<Histogram, 2>,
    turns: Group<Counter, 2>,
    handover: Histogram,
    lease_written: Histogram,
    granted: Counter,
    refused: Counter,
    cut_off: Counter,
    time_to_ready: Group<Histogram, 1>,
    drift: Group<Counter, 2>,
    sweeps: Group<Counter, 2>,
    sweep_time: Group<Histogram, 1>,
    sweep_objects: Group<Counter, 1>,
    spans_exported: Counter,
    spans_dropped: Group<Counter, 1>,
}

impl Recorders {
    pub(super) fn new(it: &mut Registry) -> Self {
        let spans_dropped = Group::new(it, &table::SPANS_DROPPED);
        // That none was lost is worth knowing, too.
        for reason in ["queue_full", "export_failed", "rejected"] {
            let _: Counter = spans_dropped.at([reason.into()]);
        }
        let reconciles = Group::new(it, &table::RECONCILES);
        let reconcile_errors = Group::new(it, &table::RECONCILE_ERRORS);
        let time_to_ready = Group::new(it, &table::TIME_TO_READY);
        // Rates show nothing of what a series is born with, which after a take-over may be much.
        for kind in KINDS.iter().map(|kind| Value::from(kind.kind)) {
            for result in ["success", "requeue", "requeue_after", "error"] {
                let _: Counter = reconciles.at([kind.clone(), result.into()]);
            }
            let _: Counter = reconcile_errors.at([kind.clone()]);
            let _: Histogram = time_to_ready.at([kind]);
        }
        Self {
            bounds: Bounds::default(),
            messages: Messages::default(),
            reconciles,
            reconcile_errors,
            reconcile_time: Group::new(it, &table::RECONCILE_TIME),
            active: Group::new(it, &table::ACTIVE_WORKERS),
            failures: Group::new(it, &table::FAILURES),
            adds: Group::new(it, &table::QUEUE_ADDS),
            retries: Group::new(it, &table::QUEUE_RETRIES),
            waited: Group::new(it, &table::QUEUE_WAITED),
            worked: Group::new(it, &table::QUEUE_WORKED),
            flow_wait: Group::new(it, &table::FLOW_WAIT),
            flow_work: Group::new(it, &table::FLOW_WORK),
            throttles: Group::new(it, &table::FLOW_THROTTLES),
            openings: Group::new(it, &table::FLOW_OPENINGS),
            calls: Group::new(it, &table::CALLS),
            call_time: Group::new(it, &table::CALL_TIME),
            kube_requests: Group::new(it, &table::KUBE_REQUESTS),
            kube_time: Group::new(it, &table::KUBE_TIME),
            turns: Group::new(it, &table::TURNS),
            handover: single(it, &table::HANDOVER),
            lease_written: single(it, &table::LEASE_WRITTEN),
            granted: single(it, &table::PERMITS_GRANTED),
            refused: single(it, &table::PERMITS_REFUSED),
            cut_off: single(it, &table::PERMITS_CUT_OFF),
            time_to_ready,
            drift: Group::new(it, &table::DRIFT),
            sweeps: Group::new(it, &table::SWEEPS),
            sweep_time: Group::new(it, &table::SWEEP_TIME),
            sweep_objects: Group::new(it, &table::SWEEP_OBJECTS),
            spans_exported: single(it, &table::SPANS_EXPORTED),
            spans_dropped,
        }
    }
}

/// Something of a controller that runs, until it is dropped.
#[must_use]
pub struct Active(Gauge);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// A request to the API server. Dropped, it has ended: without an answer, where it was told of none.
#[must_use]
pub struct KubeRequest {
    metrics: Metrics,
    method: &'static str,
    host: Value,
    /// Whether the time to its answer tells anything: not of watches.
    timed: bool,
    begun: Instant,
    code: Option<u16>,
}

impl KubeRequest {
    /// It was answered with this HTTP code.
    pub fn answered(&mut self, code: u16) {
        self.code = Some(code);
    }
}

impl Drop for KubeRequest {
    fn drop(&mut self) {
        let it = &self.metrics.0.recorders;
        let code = self.code.map_or("<error>".into(), |code| code.to_string().into());
        it.kube_requests.at([code, self.method.into(), self.host.clone()]).inc();
        if self.timed {
            it.kube_time.at([self.method.into(), self.host.clone()]).observe(self.begun.elapsed().as_secs_f64());
        }
    }
}

/// Reconciles, and what becomes of objects.
impl Metrics {
    /// A reconcile of `controller` has ended with `result`, as controller-runtime names it; `trace_id` is that of
    /// its trace, where there is one.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration, trace_id: Option<&str>) {
        let it = &self.0.recorders;
        it.reconciles.at([controller.into(), result.into()]).inc();
        if result == "error" {
            it.reconcile_errors.at([controller.into()]).inc();
        }
        let (trace, now) = match trace_id {
            Some(id) => (Some(Trace(id.to_owned())), Some(SystemTime::now())),
            None => (None, None),
        };
        it.reconcile_time.at([controller.into()]).observe(took.as_secs_f64(), trace, now);
    }

    /// A reconcile or sweep of `controller` runs, until what is returned is dropped.
    pub fn active(&self, controller: &'static str) -> Active {
        let gauge = self.0.recorders.active.at([controller.into()]);
        gauge.inc();
        Active(gauge)
    }

    /// A reconcile of an object of `kind` has failed. Reasons are of a fixed set.
    pub fn failed(&self, kind: &'static str, reason: &str) {
        self.0.recorders.failures.at([kind.into(), reason.to_owned().into()]).inc();
    }

    /// An object of `kind` is ready for the first time, so long after it was created.
    pub fn ready_after(&self, kind: &'static str, took: Duration) {
        self.0.recorders.time_to_ready.at([kind.into()]).observe(took.as_secs_f64());
    }

    /// A field of the spec, or `tags`, was corrected that somebody had changed.
    pub fn drift_corrected(&self, kind: &'static str, field: &str) {
        self.0.recorders.drift.at([kind.into(), field.to_owned().into()]).inc();
    }

    /// A sweep that was to see so many objects has ended with `ok`, or with a class of errors.
    pub fn swept(&self, kind: &'static str, result: &'static str, took: Duration, objects: usize) {
        let it = &self.0.recorders;
        it.sweeps.at([kind.into(), result.into()]).inc();
        it.sweep_time.at([kind.into()]).observe(took.as_secs_f64());
        it.sweep_objects.at([kind.into()]).inc_by(u64::try_from(objects).unwrap_or(u64::MAX));
    }

    /// From now on the messages of so many queues are shown at most.
    pub fn show_messages(&self, most: usize) {
        self.0.recorders.messages.show(most);
    }

    /// A queue was looked at: how many messages are visible, in flight and delayed.
    pub fn saw_messages(&self, namespace: &str, name: &str, counts: [u64; 3]) {
        self.0.recorders.messages.saw(namespace, name, counts);
    }

    /// A queue is not there, or not this replica's, any more.
    pub fn forget_messages(&self, namespace: &str, name: &str) {
        self.0.recorders.messages.forget(namespace, name);
    }
}

/// The queue.
impl Metrics {
    /// A key was asked for.
    pub fn added(&self) {
        self.0.recorders.adds.at([QUEUE]).inc();
    }

    /// A key was put back after a failure.
    pub fn retried(&self) {
        self.0.recorders.retries.at([QUEUE]).inc();
    }

    /// A key of `flow` runs that has been due for so long.
    pub fn started(&self, flow: &Flow, priority: Priority, waited: Duration) {
        let (it, waited) = (&self.0.recorders, waited.as_secs_f64());
        it.waited.at([QUEUE, priority.name().into()]).observe(waited);
        let [account, region, service] = self.flow(flow);
        // From its first run on a flow shows that nothing of that has happened yet.
        let _ = it.throttles.at([account.clone(), region.clone(), service.clone()]);
        let _ = it.openings.at([account.clone(), region.clone(), service.clone()]);
        it.flow_wait.at([account, region, service, priority.name().into()]).observe(waited);
    }

    /// A key of `flow` has run for so long.
    pub fn worked(&self, flow: &Flow, took: Duration) {
        let it = &self.0.recorders;
        it.worked.at([QUEUE]).observe(took.as_secs_f64());
        it.flow_work.at(self.flow(flow)).observe(took.as_secs_f64());
    }

    /// AWS has throttled a call in `flow`.
    pub fn throttled(&self, flow: &Flow) {
        self.0.recorders.throttles.at(self.flow(flow)).inc();
    }

    /// AWS answers no more in `flow`.
    pub fn circuit_opened(&self, flow: &Flow) {
        self.0.recorders.openings.at(self.flow(flow)).inc();
    }

    /// AWS has answered a call in `flow`.
    pub fn answered(&self, flow: &Flow) {
        self.0.recorders.bounds.answered(flow);
    }

    /// The label values of a flow.
    pub fn flow(&self, flow: &Flow) -> [Value; 3] {
        self.0.recorders.bounds.flow(flow)
    }
}

/// Calls to AWS and to the API server, and spans.
impl Metrics {
    /// A call to AWS has ended.
    pub fn called(
        &self,
        service: &'static str,
        operation: &'static str,
        region: &str,
        outcome: &'static str,
        took: Duration,
    ) {
        let it = &self.0.recorders;
        let region = it.bounds.region(region);
        it.calls.at([service.into(), operation.into(), region.clone(), outcome.into()]).inc();
        it.call_time.at([service.into(), operation.into(), region]).observe(took.as_secs_f64());
    }

    /// A request to the API server at `host` begins, by this HTTP method.
    pub fn request(&self, method: &'static str, host: Value, watches: bool) -> KubeRequest {
        KubeRequest { metrics: self.clone(), method, host, timed: !watches, begun: Instant::now(), code: None }
    }

    /// The collector took so many spans.
    pub fn spans_exported(&self, n: u64) {
        self.0.recorders.spans_exported.inc_by(n);
    }

    /// So many spans were lost.
    pub fn spans_dropped(&self, reason: &'static str, n: u64) {
        self.0.recorders.spans_dropped.at([reason.into()]).inc_by(n);
    }
}

/// Leaderships.
impl Metrics {
    /// This replica leads a shard from now on, by the last holder's leave or not, so long after that was possible.
    pub fn shard_acquired(&self, shard: Shard, expired: bool, waited: Option<Duration>) {
        self.shard_turn(shard, if expired { "expired-taken" } else { "acquired" });
        if let Some(waited) = waited {
            self.0.recorders.handover.observe(waited.as_secs_f64());
        }
    }

    /// This replica no longer leads a shard.
    pub fn shard_ended(&self, shard: Shard, reason: &'static str) {
        self.shard_turn(shard, reason);
    }

    fn shard_turn(&self, shard: Shard, reason: &'static str) {
        self.0.recorders.turns.at([shard.to_string().into(), reason.into()]).inc();
    }

    /// A reconcile begins with a permit.
    pub fn permit_granted(&self) {
        self.0.recorders.granted.inc();
    }

    /// Something did not begin since the leadership had run out.
    pub fn permit_refused(&self) {
        self.0.recorders.refused.inc();
    }

    /// A call was cut off when the leadership ran out.
    pub fn permit_cut_off(&self) {
        self.0.recorders.cut_off.inc();
    }

    /// A write to a Lease has ended.
    pub fn lease_written(&self, took: Duration) {
        self.0.recorders.lease_written.observe(took.as_secs_f64());
    }
}
