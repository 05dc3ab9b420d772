//! What leads to a trace, and what a trace leads to: log lines, events, exemplars, and the trace that caused a spec.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    otlp::{Collector, Span},
    wait::eventually,
};
use k8s_openapi::api::events::v1::Event;
use kube::{
    Api,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{DEADLINE, reconciled, site};

const CAUSE: (&str, &str) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");

#[tokio::test]
async fn log_lines_events_and_exemplars_name_the_trace() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?.env("FAIRLEAD_LOG_FORMAT", "json").env("RUST_LOG", "warn,fairlead=info");
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    site.until_ready("orders", 1, DEADLINE).await?;
    let trace = collector.trace("the creation", DEADLINE, reconciled("orders", "Created")).await?;
    let id = &trace[0].trace;

    let log = site.operator()?.log();
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(&line[line.find('{')?..]).ok());
    let created = lines.into_iter().find(|line| line["reason"] == "Created").context("no line of the creation")?;
    assert_eq!(created["span"], json!({ "name": "reconcile", "trace_id": id }), "{created}");

    let events: Api<Event> = Api::namespaced(site.admin(), &site.namespace);
    let events = events.list(&Default::default()).await?;
    let created = events.items.iter().find(|event| event.reason.as_deref() == Some("Created")).context("no event")?;
    let annotation = created.metadata.annotations.as_ref().and_then(|all| all.get("aws.fairlead.dev/trace-id"));
    assert_eq!(annotation, Some(id));

    let known: Vec<_> = collector.spans().into_iter().map(|span| span.trace).collect();
    eventually("an exemplar", DEADLINE, async || {
        let text = site.operator().map_err(|e| e.to_string())?.metrics().await.map_err(|e| e.to_string())?;
        let lines = text.lines().filter(|line| line.starts_with("controller_runtime_reconcile_time_seconds_bucket"));
        let ids: Vec<_> = lines.filter_map(|line| line.split("trace_id=\"").nth(1)?.split('"').next()).collect();
        match ids.iter().any(|id| known.iter().any(|known| known == id)) {
            true => Ok(()),
            false => Err(format!("exemplars {ids:?}")),
        }
    })
    .await
}

#[tokio::test]
async fn without_an_endpoint_nothing_is_traced_and_lines_are_as_they_were() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?.env("OTEL_EXPORTER_OTLP_ENDPOINT", "");
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    site.until_ready("orders", 1, DEADLINE).await?;
    let log = site.operator()?.log();
    ensure!(
        log.contains("created the")
            && !log.contains("trace_id")
            && !log.contains("reconcile{")
            && !log.contains(" reconcile:"),
        "{log}"
    );
    let metrics = site.operator()?.metrics().await?;
    ensure!(!metrics.contains("fairlead_span_queue") && !metrics.contains("trace_id"), "{metrics}");
    ensure!(collector.count() == 0);
    Ok(())
}

#[tokio::test]
async fn the_trace_that_caused_a_spec_is_parent_once_and_linked_to_afterwards() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    let (trace, span) = CAUSE;
    let object = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
        "metadata": { "name": "orders", "annotations": { "traceparent": format!("00-{trace}-{span}-01") } },
        "spec": {},
    });
    site.queues().create(&Default::default(), &serde_json::from_value(object)?).await?;
    let caused = |found: &Span| found.trace == trace && found.parent == span;
    let first = collector.trace("the caused reconcile", DEADLINE, caused).await?;
    ensure!(first.iter().any(|span| span.name == "SQS/CreateQueue"), "{first:?}");
    fairlead_harness::otlp::check_parents(&first, Some(span))?;

    let linked = |found: &Span| reconciled("orders", "InSync")(found) && found.links == [(trace.into(), span.into())];
    let later = collector.trace("a later reconcile", DEADLINE, linked).await?;
    ensure!(later[0].trace != trace && later[0].parent.is_empty());

    // Another cause, of another generation, is a parent again; a spec that changes without one has none.
    let other = "1af7651916cd43dd8448eb211c80319c";
    let patch = json!({
        "metadata": { "annotations": { "traceparent": format!("00-{other}-{span}-01") } },
        "spec": { "delaySeconds": 5 },
    });
    site.queues().patch("orders", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let second = collector.trace("the change", DEADLINE, |found| found.trace == other && found.parent == span).await?;
    ensure!(second.iter().any(|span| span.name == "SQS/SetQueueAttributes"), "{second:?}");
    site.change("orders", json!({ "delaySeconds": 6 })).await?;
    let third = collector.trace("the uncaused change", DEADLINE, reconciled("orders", "Updated")).await?;
    ensure!(third[0].trace != other && third[0].links == [(other.into(), span.into())], "{:?}", third[0]);

    // An annotation that comes first, and is seen before its spec changes, is a parent all the same.
    let first = "2af7651916cd43dd8448eb211c80319c";
    let patch = json!({ "metadata": { "annotations": { "traceparent": format!("00-{first}-{span}-01") } } });
    site.queues().patch("orders", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let seen = |found: &Span| found.links == [(first.into(), span.into())];
    collector.trace("a poll in between", DEADLINE, seen).await?;
    site.change("orders", json!({ "delaySeconds": 8 })).await?;
    let fourth = collector.trace("the change after it", DEADLINE, |found| found.trace == first).await?;
    ensure!(fourth.iter().any(|span| span.name == "SQS/SetQueueAttributes"), "{fourth:?}");

    // What is not understood is passed over.
    let patch = json!({ "metadata": { "annotations": { "traceparent": "nonsense" } }, "spec": { "delaySeconds": 7 } });
    site.queues().patch("orders", &PatchParams::default(), &Patch::Merge(patch)).await?;
    let plain = |found: &Span| reconciled("orders", "Updated")(found) && found.links.is_empty();
    collector.trace("a change with a bad cause", DEADLINE, plain).await?;
    Ok(())
}
