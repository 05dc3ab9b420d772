//! The way of spans out of the process. What waits is bounded, what is lost is counted, and nobody waits for a
//! collector: the library's own thread gathers batches, and the runtime sends them.

use std::{
    future::Future,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use opentelemetry::Context;
use opentelemetry_sdk::{
    Resource,
    error::{OTelSdkError, OTelSdkResult},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Span, SpanData, SpanExporter, SpanProcessor},
};
use secrecy::{ExposeSecret, SecretString};
use tokio::runtime::Handle;
use tracing::{info, warn};

use super::config::Config;
use crate::telemetry::metrics::Metrics;

/// How often a collector that takes nothing is complained of.
const AGAIN: Duration = Duration::from_secs(600);
/// How much of a collector's answer a log line holds.
const TEXT_LIMIT: usize = 200;
/// What is shorter is no secret, and is part of too many words.
const SECRET_LEAST: usize = 6;

/// Spans under way, and what became of others.
pub(super) struct Load {
    waiting: AtomicUsize,
    capacity: usize,
    /// How many are being sent, and how many of them the collector says to have rejected. Exports follow each other.
    sending: AtomicUsize,
    rejected: AtomicUsize,
    ended: AtomicBool,
    metrics: Metrics,
    trouble: Mutex<Option<Trouble>>,
    secrets: Vec<SecretString>,
}

/// Exports fail.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    told: Instant,
    lost: usize,
}

impl Load {
    pub(super) fn new(config: &mut Config, metrics: Metrics) -> Self {
        let secrets = std::mem::take(&mut config.secrets);
        Self {
            waiting: AtomicUsize::default(),
            capacity: config.queue,
            sending: AtomicUsize::default(),
            rejected: AtomicUsize::default(),
            ended: AtomicBool::default(),
            metrics,
            trouble: Mutex::default(),
            secrets,
        }
    }

    /// How many spans wait or are being sent, and how many may.
    pub(super) fn queue(&self) -> (usize, usize) {
        (self.waiting.load(Ordering::Relaxed), self.capacity)
    }

    /// Whether one more may wait.
    fn enter(&self) -> bool {
        let one_more = |waiting: usize| (waiting < self.capacity).then_some(waiting + 1);
        let open = !self.ended.load(Ordering::Relaxed);
        let entered = open && self.waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok();
        if !entered {
            self.metrics.spans_dropped("queue_full", 1);
        }
        entered
    }

    /// An export of so many begins.
    fn begins(&self, spans: usize) {
        self.sending.store(spans, Ordering::Relaxed);
        self.rejected.store(0, Ordering::Relaxed);
    }

    /// The collector says that it took what is being sent, and rejected so many of them: it may say anything.
    pub(super) fn rejects(&self, spans: u64) {
        let spans = usize::try_from(spans).unwrap_or(usize::MAX).min(self.sending.load(Ordering::Relaxed));
        self.rejected.store(spans, Ordering::Relaxed);
    }

    /// An export of `spans` has ended.
    fn ends(&self, spans: usize, result: &OTelSdkResult) {
        self.waiting.fetch_sub(spans, Ordering::Relaxed);
        let rejected = self.rejected.swap(0, Ordering::Relaxed).min(spans);
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = result else {
            self.metrics.spans_exported(count(spans - rejected));
            self.metrics.spans_dropped("rejected", count(rejected));
            if let Some(Trouble { lost, .. }) = trouble.take() {
                info!(lost, "spans are exported again");
            }
            return;
        };
        self.metrics.spans_dropped("export_failed", count(spans));
        let now = Instant::now();
        let lost = trouble.map_or(0, |trouble| trouble.lost) + spans;
        let told = trouble.map(|trouble| trouble.told).filter(|told| now.duration_since(*told) < AGAIN);
        if told.is_none() {
            warn!(error = self.printable(&error.to_string()), lost, "spans could not be exported, and are lost");
        }
        *trouble = Some(Trouble { told: told.unwrap_or(now), lost });
    }

    /// The start of what a collector said, without what it may have been told in headers.
    fn printable(&self, text: &str) -> String {
        let secrets = self.secrets.iter().map(ExposeSecret::expose_secret).filter(|text| text.len() >= SECRET_LEAST);
        let text = secrets.fold(text.to_owned(), |text, secret| text.replace(secret, "…"));
        text.chars().take(TEXT_LIMIT).collect()
    }
}

/// Lets the library gather spans, as long as there is room.
#[derive(Debug)]
pub(super) struct Bounded {
    inner: BatchSpanProcessor,
    load: Arc<Load>,
}

impl Bounded {
    /// Sends through `exporter`, on the runtime that this is called in.
    pub(super) fn new<E: SpanExporter + 'static>(exporter: E, config: &Config, load: &Arc<Load>) -> Self {
        let settings = BatchConfigBuilder::default()
            .with_max_queue_size(config.queue)
            .with_max_export_batch_size(config.batch)
            .with_scheduled_delay(config.delay)
            .build();
        let sending = Sending {
            inner: Arc::new(exporter),
            runtime: Handle::current(),
            patience: config.patience,
            load: load.clone(),
        };
        Self { inner: BatchSpanProcessor::builder(sending).with_batch_config(settings).build(), load: load.clone() }
    }
}

impl SpanProcessor for Bounded {
    fn on_start(&self, span: &mut Span, context: &Context) {
        self.inner.on_start(span, context);
    }

    fn on_end(&self, span: SpanData) {
        // What waits here includes what is being sent, so the library's queue is never full.
        if span.span_context.is_sampled() && self.load.enter() {
            self.inner.on_end(span);
        }
    }

    fn force_flush(&self) -> OTelSdkResult {
        self.inner.force_flush()
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.load.ended.store(true, Ordering::Relaxed);
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.inner.set_resource(resource);
    }
}

/// Sends on the runtime, not on the thread that gathers: clients of HTTP need one.
struct Sending<E> {
    inner: Arc<E>,
    runtime: Handle,
    patience: Duration,
    load: Arc<Load>,
}

impl<E: SpanExporter + 'static> SpanExporter for Sending<E> {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        let (inner, patience, load, spans) = (self.inner.clone(), self.patience, self.load.clone(), batch.len());
        load.begins(spans);
        let sent = self.runtime.spawn(async move { tokio::time::timeout(patience, inner.export(batch)).await });
        async move {
            let result = match sent.await {
                Ok(Ok(result)) => result,
                Ok(Err(_)) => Err(OTelSdkError::Timeout(patience)),
                Err(ended) => Err(OTelSdkError::InternalFailure(ended.to_string())),
            };
            load.ends(spans, &result);
            result
        }
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.inner.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        // It is set before the first export, so nobody else has it.
        if let Some(inner) = Arc::get_mut(&mut self.inner) {
            inner.set_resource(resource);
        }
    }
}

impl<E> std::fmt::Debug for Sending<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sending").finish_non_exhaustive()
    }
}

fn count(spans: usize) -> u64 {
    u64::try_from(spans).unwrap_or(u64::MAX)
}

impl std::fmt::Debug for Load {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Load").field("queue", &self.queue()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::traces::config;

    fn load() -> Load {
        let get = |name: &str| match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => Some("http://collector:4318".to_owned()),
            "OTEL_EXPORTER_OTLP_HEADERS" => Some("authorization=Bearer%20canary4711,x-scope-orgid=1".into()),
            "OTEL_BSP_MAX_QUEUE_SIZE" => Some("3".into()),
            _ => None,
        };
        Load::new(&mut config::read(get).unwrap().unwrap(), Metrics::default())
    }

    fn counted(load: &Load) -> String {
        let text = load.metrics.text().unwrap();
        let lines = text.lines().filter(|line| line.starts_with("fairlead_spans_"));
        let value = |line: &str| line.rsplit(' ').next().unwrap_or_default().to_owned();
        let of = |part: &str| lines.clone().find(|line| line.contains(part)).map(value).unwrap_or_default();
        ["exported", "queue_full", "export_failed", "rejected"].map(|part| format!("{part} {}", of(part))).join(", ")
    }

    #[test]
    fn every_span_is_waiting_or_counted() {
        let load = load();
        let failed = Err(OTelSdkError::Timeout(Duration::ZERO));
        assert_eq!((0..5).filter(|_| load.enter()).count(), 3);
        // As much as a collector can lie.
        for (result, rejected) in [(&Ok(()), u64::MAX), (&failed, 0), (&Ok(()), 0)] {
            load.begins(1);
            load.rejects(rejected);
            load.ends(1, result);
        }
        assert_eq!(load.queue(), (0, 3));
        load.ended.store(true, Ordering::Relaxed);
        assert!(!load.enter(), "nobody sends it any more");
        assert_eq!(counted(&load), "exported 1, queue_full 3, export_failed 1, rejected 1");
    }

    #[test]
    fn what_a_collector_says_is_cut_and_holds_no_header() {
        let load = load();
        assert_eq!(load.printable("1 refused: Bearer canary4711"), "1 refused: …");
        assert_eq!(load.printable(&"x".repeat(5_000)).len(), TEXT_LIMIT);
    }
}
