//! Metrics for Prometheus. Names are controller-runtime's and client-go's where those have one, so that
//! existing dashboards fit; ours begin with `fairlead_`. No label holds the name of an object, and
//! regions beyond the first hundred share one value, since tenants may write any into a spec.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _, text::encode},
    metrics::{
        MetricType,
        counter::Counter,
        family::{Family, MetricConstructor},
        gauge::{ConstGauge, Gauge},
        histogram::Histogram,
    },
    registry::Registry,
};

use crate::shard::Shard;

/// The queue's name in the workqueue metrics.
const QUEUE: &str = "fairlead";
/// Regions that have a label value of their own.
const REGIONS: usize = 100;
/// From a fast call to one that times out, in seconds.
const CALL_BUCKETS: [f64; 12] = [0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// From at once to a poll interval and more, in seconds.
const WAIT_BUCKETS: [f64; 12] = [0.001, 0.005, 0.02, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0, 300.0, 1_800.0];

/// All metrics of the process.
#[derive(Clone)]
pub struct Metrics(Arc<Inner>);

struct Inner {
    registry: Mutex<Registry>,
    reconciles: Family<ReconcileLabels, Counter>,
    reconcile_errors: Family<ControllerLabels, Counter>,
    reconcile_time: Family<ControllerLabels, Histogram, Buckets>,
    queue: QueueMetrics,
    calls: Family<CallLabels, Counter>,
    call_time: Family<OperationLabels, Histogram, Buckets>,
    regions: Mutex<HashSet<Arc<str>>>,
    shards: ShardMetrics,
}

struct ShardMetrics {
    turns: Family<TurnLabels, Counter>,
    handover: Histogram,
    written: Histogram,
    refused: Counter,
    cut_off: Counter,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TurnLabels {
    shard: u64,
    reason: &'static str,
}

struct QueueMetrics {
    adds: Family<QueueLabels, Counter>,
    retries: Family<QueueLabels, Counter>,
    waited: Family<PriorityLabels, Histogram, Buckets>,
    worked: Family<QueueLabels, Histogram, Buckets>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReconcileLabels {
    controller: &'static str,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ControllerLabels {
    controller: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct QueueLabels {
    name: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PriorityLabels {
    name: &'static str,
    priority: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    service: &'static str,
    operation: &'static str,
    region: Arc<str>,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    service: &'static str,
    operation: &'static str,
    region: Arc<str>,
}

/// A histogram's buckets.
#[derive(Clone, Copy)]
struct Buckets(&'static [f64]);

impl MetricConstructor<Histogram> for Buckets {
    fn new_metric(&self) -> Histogram {
        Histogram::new(self.0.iter().copied())
    }
}

/// A gauge that is read when Prometheus asks.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub help: &'static str,
    /// Its labels.
    pub labels: Vec<(&'static str, String)>,
    /// Its value.
    pub value: f64,
}

struct Readings<F>(F);

impl<F> fmt::Debug for Readings<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Readings")
    }
}

impl<F: Fn() -> Vec<Reading> + Send + Sync + 'static> Collector for Readings<F> {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut readings = (self.0)();
        // All of one name stand together.
        readings.sort_by_key(|reading| reading.name);
        for same in readings.chunk_by(|a, b| a.name == b.name) {
            let Some(Reading { name, help, .. }) = same.first() else { continue };
            let mut encoder = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            for Reading { labels, value, .. } in same {
                let labels: Vec<_> = labels.iter().map(|(key, value)| (*key, value.as_str())).collect();
                ConstGauge::new(*value).encode(encoder.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let (reconciles, reconcile_errors, calls) = (Family::default(), Family::default(), Family::default());
        let reconcile_time = Family::new_with_constructor(Buckets(&CALL_BUCKETS));
        let call_time = Family::new_with_constructor(Buckets(&CALL_BUCKETS));
        let queue = QueueMetrics {
            adds: Family::default(),
            retries: Family::default(),
            waited: Family::new_with_constructor(Buckets(&WAIT_BUCKETS)),
            worked: Family::new_with_constructor(Buckets(&CALL_BUCKETS)),
        };
        let shards = ShardMetrics {
            turns: Family::default(),
            handover: Buckets(&CALL_BUCKETS).new_metric(),
            written: Buckets(&CALL_BUCKETS).new_metric(),
            refused: Counter::default(),
            cut_off: Counter::default(),
        };
        let info = Family::<Vec<(&str, &str)>, Gauge>::default();
        info.get_or_create(&vec![("version", env!("CARGO_PKG_VERSION"))]).set(1);

        // A counter's name gets its `_total` when it is written.
        let mut registry = Registry::default();
        let it = &mut registry;
        it.register("controller_runtime_reconcile", "Reconciles by result", Family::clone(&reconciles));
        it.register("controller_runtime_reconcile_errors", "Reconciles that failed", Family::clone(&reconcile_errors));
        it.register(
            "controller_runtime_reconcile_time_seconds",
            "How long reconciles take",
            Family::clone(&reconcile_time),
        );
        it.register("workqueue_adds", "How often a key was asked for", queue.adds.clone());
        it.register("workqueue_retries", "How often a key was put back after a failure", queue.retries.clone());
        it.register("workqueue_queue_duration_seconds", "How long keys were due before they ran", queue.waited.clone());
        it.register("workqueue_work_duration_seconds", "How long keys ran", queue.worked.clone());
        it.register(
            "fairlead_aws_calls",
            "Calls to AWS by outcome: ok, or the class of the error",
            Family::clone(&calls),
        );
        it.register("fairlead_aws_call_duration_seconds", "How long calls to AWS take", Family::clone(&call_time));
        it.register(
            "fairlead_shard_transitions",
            "Leaderships that began (acquired, expired-taken) or ended (released, lost)",
            shards.turns.clone(),
        );
        it.register(
            "fairlead_handover_seconds",
            "From seeing that a Lease is free or has expired to holding it",
            shards.handover.clone(),
        );
        it.register("fairlead_lease_write_seconds", "How long writes to Leases take", shards.written.clone());
        it.register(
            "fairlead_permits_refused",
            "Reconciles and calls that did not begin since the leadership had run out",
            shards.refused.clone(),
        );
        it.register(
            "fairlead_permits_cut_off",
            "Calls that were cut off when the leadership ran out",
            shards.cut_off.clone(),
        );
        it.register("fairlead_build_info", "The version that runs", info);
        Self(Arc::new(Inner {
            registry: Mutex::new(registry),
            reconciles,
            reconcile_errors,
            reconcile_time,
            queue,
            calls,
            call_time,
            regions: Mutex::default(),
            shards,
        }))
    }
}

impl Metrics {
    /// Adds gauges that are read when Prometheus asks.
    pub fn read(&self, readings: impl Fn() -> Vec<Reading> + Send + Sync + 'static) {
        let mut registry = self.0.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(Readings(readings)));
    }

    /// All metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// Where they can't be written, which would be a bug.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.0.registry.lock().unwrap_or_else(PoisonError::into_inner))?;
        Ok(text)
    }

    /// A reconcile of `controller` has ended with `result`, as controller-runtime names it.
    pub fn reconciled(&self, controller: &'static str, result: &'static str, took: Duration) {
        self.0.reconciles.get_or_create(&ReconcileLabels { controller, result }).inc();
        if result == "error" {
            self.0.reconcile_errors.get_or_create(&ControllerLabels { controller }).inc();
        }
        self.0.reconcile_time.get_or_create(&ControllerLabels { controller }).observe(took.as_secs_f64());
    }

    /// A key was asked for.
    pub fn added(&self) {
        self.0.queue.adds.get_or_create(&QueueLabels { name: QUEUE }).inc();
    }

    /// A key was put back after a failure.
    pub fn retried(&self) {
        self.0.queue.retries.get_or_create(&QueueLabels { name: QUEUE }).inc();
    }

    /// A key runs that has been due for so long.
    pub fn started(&self, priority: &'static str, waited: Duration) {
        self.0.queue.waited.get_or_create(&PriorityLabels { name: QUEUE, priority }).observe(waited.as_secs_f64());
    }

    /// A key has run for so long.
    pub fn worked(&self, took: Duration) {
        self.0.queue.worked.get_or_create(&QueueLabels { name: QUEUE }).observe(took.as_secs_f64());
    }

    /// A call to AWS has ended.
    pub fn called(
        &self,
        service: &'static str,
        operation: &'static str,
        region: &str,
        outcome: &'static str,
        took: Duration,
    ) {
        let region = self.region(region);
        let labels = CallLabels { service, operation, region: region.clone(), outcome };
        self.0.calls.get_or_create(&labels).inc();
        let labels = OperationLabels { service, operation, region };
        self.0.call_time.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// This replica leads a shard from now on, by the last holder's leave or not, so long after that was possible.
    pub fn shard_acquired(&self, shard: Shard, expired: bool, waited: Option<Duration>) {
        self.shard_turn(shard, if expired { "expired-taken" } else { "acquired" });
        if let Some(waited) = waited {
            self.0.shards.handover.observe(waited.as_secs_f64());
        }
    }

    /// This replica no longer leads a shard.
    pub fn shard_ended(&self, shard: Shard, reason: &'static str) {
        self.shard_turn(shard, reason);
    }

    fn shard_turn(&self, shard: Shard, reason: &'static str) {
        let labels = TurnLabels { shard: shard.index().try_into().unwrap_or(u64::MAX), reason };
        self.0.shards.turns.get_or_create(&labels).inc();
    }

    /// Something did not begin since the leadership had run out.
    pub fn permit_refused(&self) {
        self.0.shards.refused.inc();
    }

    /// A call was cut off when the leadership ran out.
    pub fn permit_cut_off(&self) {
        self.0.shards.cut_off.inc();
    }

    /// A write to a Lease has ended.
    pub fn lease_written(&self, took: Duration) {
        self.0.shards.written.observe(took.as_secs_f64());
    }

    /// The label value of a region: its own for the first hundred.
    fn region(&self, region: &str) -> Arc<str> {
        let mut regions = self.0.regions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = regions.get(region) {
            return known.clone();
        }
        if regions.len() >= REGIONS {
            return "other".into();
        }
        let region: Arc<str> = region.into();
        regions.insert(region.clone());
        region
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_dashboards_know() {
        let metrics = Metrics::default();
        metrics.reconciled("SQSQueue", "error", Duration::from_millis(30));
        metrics.added();
        metrics.retried();
        metrics.started("change", Duration::ZERO);
        metrics.worked(Duration::ZERO);
        metrics.called("sqs", "CreateQueue", "eu-west-1", "ok", Duration::from_millis(30));
        let reading = |name, value| Reading { name, help: "h", labels: vec![("kind", "SQSQueue".into())], value };
        metrics.read(move || vec![reading("b", 1.0), reading("a", 2.5), reading("b", 3.0)]);
        let text = metrics.text().unwrap();
        for line in [
            r#"controller_runtime_reconcile_total{controller="SQSQueue",result="error"} 1"#,
            r#"controller_runtime_reconcile_errors_total{controller="SQSQueue"} 1"#,
            r#"controller_runtime_reconcile_time_seconds_count{controller="SQSQueue"} 1"#,
            r#"workqueue_adds_total{name="fairlead"} 1"#,
            r#"workqueue_retries_total{name="fairlead"} 1"#,
            r#"workqueue_queue_duration_seconds_count{name="fairlead",priority="change"} 1"#,
            r#"workqueue_work_duration_seconds_count{name="fairlead"} 1"#,
            r#"fairlead_aws_calls_total{service="sqs",operation="CreateQueue",region="eu-west-1",outcome="ok"} 1"#,
            r#"a{kind="SQSQueue"} 2.5"#,
            r#"b{kind="SQSQueue"} 3.0"#,
            "# EOF",
        ] {
            assert!(text.lines().any(|it| it == line), "no line {line} in:\n{text}");
        }
        assert_eq!(text.matches("# TYPE b gauge").count(), 1);
    }

    #[test]
    fn tenants_cannot_make_series_without_bound() {
        let metrics = Metrics::default();
        for number in 0..1_000 {
            metrics.called("sqs", "CreateQueue", &format!("xx-made-{number}"), "Transient", Duration::ZERO);
        }
        let text = metrics.text().unwrap();
        assert_eq!(text.lines().filter(|line| line.starts_with("fairlead_aws_calls_total")).count(), REGIONS + 1);
        assert!(text.contains(r#"region="other",outcome="Transient"} 900"#));
    }
}
