//! Traces, which are exported through OTLP where the standard variable `OTEL_EXPORTER_OTLP_ENDPOINT` is set.
//!
//! [`spans`] says which spans there are. They are made with the macros of `tracing` under a target of their own, so
//! that without traces they cost nothing, and `RUST_LOG` has no say in them. [`config`] reads the variables, and
//! [`export`] sends.

use std::{sync::Arc, time::Duration};

use opentelemetry::{KeyValue, trace::TracerProvider as _};
use opentelemetry_sdk::{
    Resource,
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::SdkTracerProvider,
};
use tracing::{Event, Level, Metadata, Subscriber, field::Field, warn};
use tracing_subscriber::{
    Layer,
    filter::{LevelFilter, filter_fn},
    layer::Context,
    registry::LookupSpan,
};

use super::metrics::{Metrics, Reading, table};
use crate::settings::Settings;
use config::{Config, Protocol};
use export::{Bounded, Load};

mod config;
mod export;
mod exporters;
pub mod spans;

pub use spans::current_trace_id;

/// How long the last spans may take to leave when the process ends.
const FAREWELL: Duration = Duration::from_secs(3);
/// Where a pod finds its namespace.
const NAMESPACE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/namespace";
/// The library that exports, as its log lines name it.
const EXPORTER: &str = "opentelemetry-otlp";

/// The traces of this process.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    config: Config,
    load: Arc<Load>,
}

/// Begins to export, on the runtime that this is called in. Nothing where no endpoint is set.
///
/// # Errors
/// One line that names the variable that is not understood, or the file that can't be read.
pub fn start(settings: &Settings, metrics: &Metrics) -> Result<Option<Traces>, String> {
    let Some(mut config) = config::read(|name| std::env::var(name).ok())? else { return Ok(None) };
    let exporter = exporters::make(&config)?;
    let load = Arc::new(Load::new(&mut config, metrics.clone()));
    let provider = SdkTracerProvider::builder()
        .with_resource(resource(settings))
        .with_span_processor(Bounded::new(exporter, &config, &load))
        .build();
    opentelemetry::global::set_tracer_provider(provider.clone());
    let read = load.clone();
    metrics.read(move || readings(&read));
    Ok(Some(Traces { provider, config, load }))
}

impl Traces {
    /// What makes spans of those of `tracing`, and hears what a collector rejects.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let spans = tracing_opentelemetry::layer()
            .with_tracer(self.provider.tracer("fairlead"))
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_target(false)
            // Spans are handed to futures, which pass them on; nobody asks OpenTelemetry what is current.
            .with_context_activation(false)
            // A line about an error does not mean that what the span is of has failed.
            .with_error_events_to_status(false)
            .with_filter(filter_fn(is_traced).with_max_level_hint(LevelFilter::INFO));
        let rejects =
            filter_fn(|event| event.is_event() && event.target() == EXPORTER && *event.level() == Level::WARN);
        spans.and_then(Rejected(self.load.clone()).with_filter(rejects.with_max_level_hint(LevelFilter::WARN)))
    }

    /// Says where spans go.
    pub fn announce(&self) {
        let Config { endpoint, protocol, chosen, .. } = &self.config;
        tracing::info!(endpoint, %protocol, "traces are exported");
        if !chosen && *protocol == Protocol::Http && endpoint.ends_with(":4317") {
            warn!("port 4317 is usually that of gRPC: OTEL_EXPORTER_OTLP_PROTOCOL=grpc uses it");
        }
    }

    /// Sends what still waits, and ends. Best effort, for a few seconds.
    pub async fn end(self) {
        let ended = tokio::task::spawn_blocking(move || self.provider.shutdown_with_timeout(FAREWELL));
        if !matches!(tokio::time::timeout(FAREWELL, ended).await, Ok(Ok(Ok(())))) {
            warn!("the last spans could not be exported");
        }
    }
}

/// Whether a span, or a log line within one, is part of a trace.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    match metadata.is_span() {
        true => metadata.target() == spans::TARGET,
        false => *metadata.level() <= Level::INFO && metadata.target().starts_with("fairlead"),
    }
}

/// Who exports. What the user's variables say wins.
fn resource(settings: &Settings) -> Resource {
    let pod = settings.replica_name();
    let instance = settings.pod_uid.clone().unwrap_or_else(|| pod.clone());
    let mut own = vec![
        KeyValue::new("service.name", "fairlead"),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance),
        KeyValue::new("k8s.pod.name", pod),
    ];
    let of_pod = || std::fs::read_to_string(NAMESPACE).ok().map(|text| text.trim().to_owned());
    own.extend(settings.namespace.clone().or_else(of_pod).map(|name| KeyValue::new("k8s.namespace.name", name)));
    own.extend(settings.pod_uid.clone().map(|uid| KeyValue::new("k8s.pod.uid", uid)));
    let named = std::env::var("OTEL_SERVICE_NAME").ok().filter(|name| !name.is_empty());
    Resource::builder_empty()
        .with_attributes(own)
        .with_detectors(&[Box::new(TelemetryResourceDetector), Box::new(EnvResourceDetector::new())])
        .with_attributes(named.map(|name| KeyValue::new("service.name", name)))
        .build()
}

fn readings(load: &Load) -> Vec<Reading> {
    let (waiting, capacity) = load.queue();
    vec![Reading::count(&table::SPAN_QUEUE, [], waiting), Reading::count(&table::SPAN_QUEUE_CAPACITY, [], capacity)]
}

/// Counts what a collector took and then rejected: the library tells it in a log line alone.
struct Rejected(Arc<Load>);

impl<S: Subscriber> Layer<S> for Rejected {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut count = Count(0);
        event.record(&mut count);
        if count.0 > 0 {
            self.0.rejects(count.0);
        }
    }
}

struct Count(u64);

impl tracing::field::Visit for Count {
    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "rejected_spans" {
            self.0 = u64::try_from(value).unwrap_or_default();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn std::fmt::Debug) {}
}
