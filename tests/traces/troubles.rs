//! A collector that is away, slow, silent or lying costs spans, which are counted: neither time, nor memory, nor
//! anything else.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    otlp::{Collector, Mood},
    site::Site,
    wait::eventually,
};
use serde_json::json;

use crate::{DEADLINE, site};

/// How many queues each test has.
const QUEUES: usize = 100;
/// How many spans may wait.
const CAPACITY: f64 = 300.0;

/// The value of a metric, 0 where it has none.
async fn metric(site: &Site, begins: &str) -> Result<f64> {
    let read = async || site.metric(begins).await.map_err(|error| format!("{error:#}"));
    Ok(eventually(begins, DEADLINE, read).await?.unwrap_or_default())
}

/// Makes queues while the collector is like this, and looks at them often. What was lost, by reason.
async fn with(collector: &Collector, protocol: &str, lost: &str) -> Result<Site> {
    let mut site = site(collector)
        .await?
        .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        .env("OTEL_BSP_MAX_QUEUE_SIZE", &CAPACITY.to_string())
        .env("OTEL_BSP_EXPORT_TIMEOUT", "1000")
        .env("FAIRLEAD_FLOW_RATE", "10000")
        .env("RECONCILE_FREQUENCY_SECONDS", "1");
    site.create((0..QUEUES).map(|number| format!("many-{number}")), json!({})).await?;
    site.start().await?;
    site.until_ready("many", QUEUES, DEADLINE).await?;
    let dropped = format!("fairlead_spans_dropped_total{{reason=\"{lost}\"}}");
    eventually("spans to be lost, and polls to go on", DEADLINE, async || {
        let read = async |begins: &str| metric(&site, begins).await.map_err(|error| error.to_string());
        let (dropped, waiting) = (read(&dropped).await?, read("fairlead_span_queue ").await?);
        let reconciles = site.fake.count("sqs", "GetQueueAttributes");
        // More than may wait were made: what is lost is lost, and nothing grows.
        match dropped > CAPACITY && waiting <= CAPACITY && reconciles > 2 * QUEUES as u64 {
            true => Ok(()),
            false => Err(format!("{dropped} dropped, {waiting} waiting, {reconciles} looks")),
        }
    })
    .await
    .map_err(|error| site.operator().map_or_else(|none| none, |operator| operator.explain(error)))?;
    Ok(site)
}

/// The complaints about spans in a log.
fn complaints(site: &Site) -> Result<usize> {
    Ok(site.operator()?.log().matches("spans could not be exported").count())
}

#[tokio::test]
async fn one_that_refuses_is_told_of_once_and_taken_again_when_it_is_good() -> Result<()> {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start().await?;
        collector.set(Mood::Refusing);
        let site = with(&collector, protocol, "export_failed").await?;
        ensure!(complaints(&site)? == 1, "{protocol}: {} complaints", complaints(&site)?);
        collector.set(Mood::Good);
        let operator = site.operator()?;
        site.until("spans again", DEADLINE, || match operator.log().contains("spans are exported again") {
            true if collector.count() > 0 => Ok(()),
            _ => Err(format!("{} spans", collector.count())),
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn one_that_is_away() -> Result<()> {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start().await?;
        collector.end();
        let site = with(&collector, protocol, "export_failed").await?;
        ensure!(complaints(&site)? == 1, "{protocol}: {} complaints", complaints(&site)?);
    }
    Ok(())
}

#[tokio::test]
async fn one_that_never_answers_and_one_that_never_stops() -> Result<()> {
    for (mood, protocol) in [
        (Mood::Silent, "grpc"),
        (Mood::Silent, "http/protobuf"),
        (Mood::Endless, "grpc"),
        (Mood::Endless, "http/protobuf"),
    ] {
        let collector = Collector::start().await?;
        collector.set(mood);
        let lost = if mood == Mood::Silent { "queue_full" } else { "export_failed" };
        let mut site = with(&collector, protocol, lost).await.with_context(|| format!("{mood:?} by {protocol}"))?;
        let before = metric(&site, "process_resident_memory_bytes").await?;
        let looks = site.fake.count("sqs", "GetQueueAttributes");
        site.until("many more spans", DEADLINE, || match site.fake.count("sqs", "GetQueueAttributes") - looks {
            more if more > 5 * QUEUES as u64 => Ok(()),
            more => Err(format!("{more} looks")),
        })
        .await?;
        let grown = metric(&site, "process_resident_memory_bytes").await? - before;
        ensure!(before > 1e6 && grown < 30e6, "{mood:?} by {protocol}: from {before} by {grown} bytes");
        // It ends as soon as ever.
        let operator = site.take_operator()?;
        operator.terminate()?;
        ensure!(operator.exit_code(Duration::from_secs(30)).await? == 0);
    }
    Ok(())
}

#[tokio::test]
async fn one_that_is_slow_and_one_that_lies() -> Result<()> {
    let collector = Collector::start().await?;
    collector.set(Mood::Slow(Duration::from_millis(800)));
    with(&collector, "grpc", "queue_full").await?;
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start().await?;
        collector.set(Mood::Rejecting);
        with(&collector, protocol, "rejected").await?;
    }
    Ok(())
}
