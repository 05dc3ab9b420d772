//! What a trace of each thing that happens to a queue looks like.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    fake_aws::{Budget, Effect, Fault, Scope},
    otlp::{Collector, Span, check_parents},
    wait::eventually,
};
use serde_json::{Value, json};

use crate::{DEADLINE, reconciled, site, tree};

/// The one span of this name.
fn one<'a>(trace: &'a [Span], name: &str) -> Result<&'a Span> {
    let mut found = trace.iter().filter(|span| span.name == name);
    let span = found.next().with_context(|| format!("no {name} in {:#?}", tree(trace)))?;
    ensure!(found.next().is_none(), "two {name} in {:#?}", tree(trace));
    Ok(span)
}

/// That a span has these attributes.
fn has(span: &Span, expected: Value) -> Result<()> {
    for (name, value) in expected.as_object().context("an object")? {
        let actual = span.attributes.get(name);
        ensure!(actual == Some(value), "{}: {name} is {actual:?}, not {value}", span.outline());
    }
    Ok(())
}

/// That a span has these attributes, whatever they are.
fn tells(span: &Span, names: &[&str]) -> Result<()> {
    for name in names {
        ensure!(!span.text(name).is_empty(), "{} does not tell {name}: {:?}", span.outline(), span.attributes);
    }
    Ok(())
}

#[tokio::test]
async fn a_creation() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    site.until_ready("orders", 1, DEADLINE).await?;
    let trace = collector.trace("the creation", DEADLINE, reconciled("orders", "Created")).await?;
    check_parents(&trace, None)?;
    assert_eq!(
        tree(&trace),
        [
            "reconcile SQSQueue",
            "  PATCH sqsqueues",
            "  action create",
            "    SQS/CreateQueue",
            "  SQS/GetQueueAttributes",
            "  plan",
            "  publish",
            "    POST configmaps",
            "  POST events",
            "  status",
            "    PATCH sqsqueues/status",
        ]
    );
    let root = one(&trace, "reconcile SQSQueue")?;
    let flow = format!("{}/eu-west-1/sqs", site.account);
    has(
        root,
        json!({
            "fairlead.object.kind": "SQSQueue", "k8s.namespace.name": site.namespace, "fairlead.object.name": "orders",
            "fairlead.object.generation": 1, "fairlead.queue.priority": "change", "fairlead.queue.attempt": 1,
            "fairlead.flow": flow, "cloud.account.id": site.account, "cloud.region": "eu-west-1",
            "fairlead.service": "sqs", "fairlead.shard": 0, "fairlead.result": "requeue_after",
        }),
    )?;
    tells(root, &["fairlead.object.uid", "fairlead.queue.wait_seconds"])?;
    ensure!(root.kind == "internal" && root.error.is_none(), "{root:?}");
    let call = one(&trace, "SQS/CreateQueue")?;
    has(
        call,
        json!({
            "rpc.system": "aws-api", "rpc.service": "SQS", "rpc.method": "CreateQueue", "cloud.region": "eu-west-1",
            "server.address": "127.0.0.1", "http.response.status_code": 200, "http.request.resend_count": 0,
        }),
    )?;
    tells(call, &["aws.request_id"])?;
    let write = one(&trace, "PATCH sqsqueues/status")?;
    has(
        write,
        json!({ "http.request.method": "PATCH", "server.address": "127.0.0.1", "http.response.status_code": 200 }),
    )?;
    tells(write, &["k8s.audit_id", "url.path"])?;
    ensure!(call.kind == "client" && write.kind == "client", "{} {}", call.kind, write.kind);
    has(one(&trace, "plan")?, json!({ "fairlead.plan.changes": 0, "fairlead.plan.fields": [] }))?;
    ensure!(root.events.iter().any(|(name, _)| name.contains("created the")), "{:?}", root.events);
    Ok(())
}

#[tokio::test]
async fn an_update_a_drift_and_a_deletion() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    site.until_ready("orders", 1, DEADLINE).await?;

    site.change("orders", json!({ "delaySeconds": 5 })).await?;
    let trace = collector.trace("the update", DEADLINE, reconciled("orders", "Updated")).await?;
    check_parents(&trace, None)?;
    ensure!(
        tree(&trace).starts_with(&["reconcile SQSQueue".to_owned(), "  observe".to_owned()]),
        "{:#?}",
        tree(&trace)
    );
    ensure!(tree(&trace).windows(2).any(|pair| pair == ["  action change", "    SQS/SetQueueAttributes"]));
    has(one(&trace, "plan")?, json!({ "fairlead.plan.changes": 1, "fairlead.plan.fields": ["delaySeconds"] }))?;
    has(one(&trace, "reconcile SQSQueue")?, json!({ "fairlead.queue.priority": "change" }))?;

    site.fake.set_attribute(&site.account, "eu-west-1", "orders", "DelaySeconds", "77")?;
    // A replica believes for a while that a read may be older than its own write.
    let trace = collector.trace("the correction", DEADLINE * 2, reconciled("orders", "DriftCorrected")).await?;
    has(one(&trace, "plan")?, json!({ "fairlead.plan.changes": 1, "fairlead.plan.fields": ["delaySeconds"] }))?;
    has(one(&trace, "reconcile SQSQueue")?, json!({ "fairlead.queue.priority": "poll" }))?;

    site.delete(["orders".to_owned()]).await?;
    let trace = collector.trace("the deletion", DEADLINE, reconciled("orders", "Deleted")).await?;
    check_parents(&trace, None)?;
    ensure!(
        tree(&trace).windows(2).any(|pair| pair == ["  action delete", "    SQS/DeleteQueue"]),
        "{:#?}",
        tree(&trace)
    );
    one(&trace, "PATCH sqsqueues")?;
    Ok(())
}

#[tokio::test]
async fn a_look_that_changes_nothing_writes_nothing() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    let expected = ["reconcile SQSQueue", "  observe", "    SQS/GetQueueAttributes", "  plan"];
    // Every tenth look reads the tags too.
    eventually("a poll", DEADLINE, async || {
        let spans = collector.spans();
        let polls = spans.iter().filter(|span| span.text("fairlead.queue.priority") == "poll");
        let whole = |root: &Span| spans.iter().filter(|span| span.trace == root.trace).cloned().collect::<Vec<_>>();
        let trees: Vec<_> = polls.map(|root| tree(&whole(root))).collect();
        if trees.iter().any(|tree| *tree == expected) { Ok(()) } else { Err(format!("{trees:#?}")) }
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_throttle_and_a_failure() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    site.create(["first".to_owned()], json!({})).await?;
    site.until_ready("first", 1, DEADLINE).await?;
    site.fake.budget(Scope::all(), Budget::new(0.2, 0.0));
    site.create(["orders".to_owned()], json!({})).await?;
    let trace = collector.trace("the throttle", DEADLINE, reconciled("orders", "Throttled")).await?;
    let (root, call) = (one(&trace, "reconcile SQSQueue")?, one(&trace, "SQS/CreateQueue")?);
    has(root, json!({ "error.type": "throttle", "fairlead.result": "requeue" }))?;
    has(call, json!({ "error.type": "throttle", "aws.error.code": "RequestThrottled" }))?;
    tells(call, &["aws.request_id", "http.response.status_code"])?;
    ensure!(root.error.as_deref().is_some_and(|error| error.contains("RequestThrottled")), "{root:?}");

    site.fake.budget(Scope::all(), None);
    site.until_ready("orders", 1, DEADLINE).await?;
    let denied = Effect::respond(403, "AccessDenied", "not authorized to perform: sqs:CreateQueue");
    site.fake.fault(Fault::new("CreateQueue", denied));
    site.create(["denied".to_owned()], json!({})).await?;
    let trace = collector.trace("the denial", DEADLINE, reconciled("denied", "AccessDenied")).await?;
    let root = one(&trace, "reconcile SQSQueue")?;
    has(root, json!({ "error.type": "denied" }))?;
    ensure!(root.error.as_deref().is_some_and(|error| error.contains("sqs:CreateQueue")), "{root:?}");

    let broken = Effect::respond(500, "InternalError", "oops");
    (0..3).for_each(|_| site.fake.fault(Fault::new("CreateQueue", broken.clone())));
    site.create(["broken".to_owned()], json!({})).await?;
    let again = |span: &Span| reconciled("broken", "AWSError")(span) && span.text("fairlead.queue.attempt") == "2";
    let trace = collector.trace("a second attempt", DEADLINE, again).await?;
    has(one(&trace, "reconcile SQSQueue")?, json!({ "error.type": "server_error", "fairlead.result": "error" }))?;
    Ok(())
}

#[tokio::test]
async fn a_lead_begins_and_is_handed_over() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    let named = |name: &'static str| move |span: &Span| span.name == name;
    let taken = collector.trace("the lead", DEADLINE, named("take over shard")).await?;
    has(&taken[0], json!({ "fairlead.shard": 0, "fairlead.lease.reason": "released" }))?;
    tells(&taken[0], &["fairlead.lease.epoch"])?;
    let operator = site.take_operator()?;
    operator.terminate()?;
    ensure!(operator.exit_code(Duration::from_secs(30)).await? == 0, "{}", operator.log());
    // The last spans leave before the process ends.
    let given = collector.spans().into_iter().find(|span| span.name == "hand over shard").context("no hand-over")?;
    has(&given, json!({ "fairlead.shard": 0, "fairlead.lease.reason": "released" }))?;
    Ok(())
}

#[tokio::test]
async fn databases_are_seen_by_sweeps() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    let databases = site.objects("RDSInstance", "rdsinstances");
    let object = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "RDSInstance", "metadata": { "name": "shop" },
        "spec": { "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 },
    });
    databases.create(&kube::api::PostParams::default(), &serde_json::from_value(object)?).await?;
    let sweep = collector.trace("a sweep", DEADLINE, |span| span.name == "sweep RDSInstance").await?;
    assert_eq!(tree(&sweep), ["sweep RDSInstance", "  RDS/DescribeDBInstances"]);
    has(&sweep[0], json!({ "fairlead.sweep.objects": 1, "fairlead.service": "rds" }))?;
    let created = eventually("the creation's trace", DEADLINE, async || {
        let spans = collector.spans();
        let call = spans.iter().find(|span| span.name == "RDS/CreateDBInstance").cloned();
        call.ok_or_else(|| format!("{:?}", spans.iter().map(Span::outline).collect::<Vec<_>>()))
    })
    .await?;
    tells(&created, &["aws.request_id", "server.address"])?;
    Ok(())
}
