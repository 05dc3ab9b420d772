//! What Prometheus is told, and what asks for more or fewer looks at a resource.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{
    scene::reason,
    world::{Aws, World, condition, message},
};

const POLL: &str = "aws.fairlead.dev/poll-interval-seconds";

/// The value of the series that begins so, labels included.
fn value(text: &str, begins: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix(begins)?.split(' ').nth(1)?.parse().ok())
}

/// Waits until the series that begins so has a value that fits.
async fn until(world: &World, begins: &str, fits: impl Fn(Option<f64>) -> bool) -> Result<()> {
    let look = async || match world.operator().map(|operator| operator.metrics()) {
        Ok(metrics) => {
            let text = metrics.await.map_err(|error| format!("{error:#}"))?;
            if fits(value(&text, begins)) { Ok(()) } else { Err(text) }
        }
        Err(error) => Err(format!("{error:#}")),
    };
    world.eventually(begins, look).await
}

#[tokio::test]
async fn metrics_have_the_names_that_dashboards_know() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.resyncs(2).await?;
    let text = world.operator()?.metrics().await?;
    let account = &world.account.id;
    for begins in [
        "controller_runtime_reconcile_total{controller=\"SQSQueue\",result=\"requeue_after\"} ",
        "controller_runtime_reconcile_time_seconds_bucket{le=\"0.005\",controller=\"SQSQueue\"} ",
        "workqueue_depth{name=\"fairlead\"} 0",
        "workqueue_adds_total{name=\"fairlead\"} ",
        "workqueue_queue_duration_seconds_count{name=\"fairlead\",priority=\"change\"} ",
        "workqueue_unfinished_work_seconds{name=\"fairlead\"} ",
        "sqs_total_queues 1",
        "fairlead_objects{kind=\"SQSQueue\",ready=\"true\"} 1",
        "fairlead_aws_calls_total{service=\"sqs\",operation=\"CreateQueue\",region=\"eu-west-1\",outcome=\"ok\"} 1",
        "fairlead_aws_calls_total{service=\"sts\",operation=\"GetCallerIdentity\"",
        &format!("fairlead_flow_rate{{account=\"{account}\",region=\"eu-west-1\",service=\"sqs\"}} "),
        &format!("fairlead_flow_circuit_open{{account=\"{account}\",region=\"eu-west-1\",service=\"sqs\"}} 0"),
        &format!("fairlead_flow_throttles_total{{account=\"{account}\",region=\"eu-west-1\",service=\"sqs\"}} 0"),
        &format!(
            "fairlead_flow_wait_seconds_count{{account=\"{account}\",region=\"eu-west-1\",service=\"sqs\",priority=\"poll\"}} "
        ),
        "fairlead_objects_by_condition{kind=\"SQSQueue\",condition=\"Ready\",status=\"True\"} 1",
        "fairlead_objects_by_condition{kind=\"SQSQueue\",condition=\"Stalled\",status=\"absent\"} 1",
        "fairlead_object_unready_oldest_seconds{kind=\"SQSQueue\"} 0",
        "fairlead_time_to_ready_seconds_count{kind=\"SQSQueue\"} 1",
        "controller_runtime_max_concurrent_reconciles{controller=\"SQSQueue\"} 64",
        "controller_runtime_active_workers{controller=\"SQSQueue\"} ",
        "rest_client_requests_total{code=\"200\",method=\"PATCH\",host=\"127.0.0.1:",
        "rest_client_request_duration_seconds_count{verb=\"PATCH\",host=\"127.0.0.1:",
        "fairlead_shards 1",
        "fairlead_lease_age_seconds{name=\"fairlead-shard-0\"} ",
        "fairlead_permits_outstanding ",
        "process_open_fds ",
        "tokio_workers ",
        "# EOF",
    ] {
        ensure!(text.lines().any(|line| line.starts_with(begins)), "no line begins {begins} in:\n{text}");
    }
    ensure!(!text.contains("orders"), "an object's name is a label:\n{text}");
    for (begins, least, most) in [
        ("fairlead_permits_granted_total", 3.0, 1e3),
        ("process_resident_memory_bytes", 1e6, 1e9),
        ("process_cpu_seconds_total", 0.01, 1e3),
        ("process_start_time_seconds", 1.7e9, 1e10),
        ("tokio_worker_busy_seconds_total", 0.001, 1e3),
        ("tokio_alive_tasks", 5.0, 1e3),
        ("fairlead_time_to_ready_seconds_sum{kind=\"SQSQueue\"}", 0.01, 60.0),
        ("fairlead_lease_age_seconds", 0.0, 8.0),
    ] {
        let value = value(&text, begins).with_context(|| format!("no {begins} in:\n{text}"))?;
        ensure!((least..=most).contains(&value), "{begins} is {value}");
    }
    // The watches ask anew when their time is over, and not before.
    for resource in ["sqsqueues", "rdsinstances", "configmaps"] {
        let watch = format!("fairlead_watch_age_seconds{{resource=\"{resource}\",namespace=\"{}\"}}", world.namespace);
        let age = value(&text, &watch).with_context(|| format!("no {watch} in:\n{text}"))?;
        ensure!((0.0..60.0).contains(&age), "{watch} is {age}");
    }
    as_documented(&text)
}

/// Each series has the type and the labels that `docs/metrics.md` says.
fn as_documented(text: &str) -> Result<()> {
    let docs = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md"))?;
    let mut known = BTreeMap::new();
    for line in docs.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' ', '`'])).collect();
        if let [name, form @ ("counter" | "gauge" | "histogram"), _unit, labels, ..] = cells.as_slice() {
            let labels: BTreeSet<_> = labels.split(", ").map(|label| label.trim_matches('`').to_owned()).collect();
            known.insert((*name).to_owned(), ((*form).to_owned(), labels));
        }
    }
    ensure!(known.len() > 50, "{docs}");
    let forms: BTreeMap<_, _> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let name = line.split(['{', ' ']).next().unwrap_or_default();
        let stems = ["_bucket", "_sum", "_count"].iter().filter_map(|suffix| name.strip_suffix(suffix));
        let name = stems.into_iter().find(|stem| forms.get(stem) == Some(&"histogram")).unwrap_or(name);
        let (form, labels) = known.get(name).with_context(|| format!("not documented: {line}"))?;
        let told = forms.get(name.strip_suffix("_total").unwrap_or(name)).copied().unwrap_or_default();
        let inner = line.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map_or("", |(inner, _)| inner);
        let has = inner.split(',').map(|label| label.split('=').next().unwrap_or_default().to_owned());
        let has: BTreeSet<_> = has.into_iter().filter(|label| label != "le").collect();
        ensure!(
            told == form && (&has == labels || (has.is_empty() && labels.contains(""))),
            "{line}: {form} {labels:?}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn drift_is_counted_by_field_and_a_change_of_the_spec_is_none() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({ "delaySeconds": 5, "tags": { "team": "us" } })).await?;
    world.in_sync("orders").await?;
    world.set("orders", json!({ "delaySeconds": 7 })).await?;
    let aws_name = world.aws_name("orders");
    world.drift(&aws_name, "DelaySeconds", "9").await?;
    world.until_attribute(&aws_name, "DelaySeconds", "7").await?;
    let of_field = |field: &str| format!("fairlead_drift_corrections_total{{kind=\"SQSQueue\",field=\"{field}\"}}");
    until(&world, &of_field("delaySeconds"), |value| value == Some(1.0)).await?;
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    world.sqs().tag_queue().queue_url(url).tags("team", "them").send().await?;
    until(&world, &of_field("tags"), |value| value == Some(1.0)).await?;
    let text = world.operator()?.metrics().await?;
    ensure!(text.matches("fairlead_drift_corrections_total{").count() == 2, "{text}");
    Ok(())
}

#[tokio::test]
async fn an_object_is_ready_for_the_first_time_once() -> Result<()> {
    const TOOK: &str = "fairlead_time_to_ready_seconds_count{kind=\"SQSQueue\"}";
    const OLDEST: &str = "fairlead_object_unready_oldest_seconds{kind=\"SQSQueue\"}";
    const SAYS: &str = "fairlead_objects_by_condition{kind=\"SQSQueue\",condition";
    let mut world = World::start(Aws::Ministack).await?;
    // What nobody could expect to become ready does not count.
    world.refuse("CreateQueue", 403, "AccessDenied", "no identity-based policy allows it");
    world.create("refused", json!({})).await?;
    world.stalled("refused", "AccessDenied").await?;
    world.proxy.clear_faults();
    world.reconcile_now("refused").await?;
    world.in_sync("refused").await?;
    world.delete("refused").await?;
    world.refuse("CreateQueue", 500, "InternalFailure", "try again");
    world.create("orders", json!({})).await?;
    let object = world.says("orders", "AWSError").await?;
    let since = &condition(&object, "Ready")["lastTransitionTime"];
    let created = json!(object.metadata.creation_timestamp);
    ensure!(*since == created, "not ready since {since}, created {created}");
    until(&world, OLDEST, |value| value.is_some_and(|value| (1.0..60.0).contains(&value))).await?;
    let text = world.operator()?.metrics().await?;
    for (begins, expected) in [
        (TOOK.to_owned(), Some(0.0)),
        (format!("{SAYS}=\"Ready\",status=\"False\"}}"), Some(1.0)),
        (format!("{SAYS}=\"Stalled\",status=\"absent\"}}"), Some(1.0)),
        ("fairlead_reconcile_failures_total{kind=\"SQSQueue\",reason=\"AccessDenied\"}".into(), Some(1.0)),
    ] {
        ensure!(value(&text, &begins) == expected, "{begins} is not {expected:?} in:\n{text}");
    }
    // Another process, which has the object's status alone to know it by.
    world.proxy.clear_faults();
    world.kill_operator()?;
    world.start_operator().await?;
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    until(&world, TOOK, |value| value == Some(1.0)).await?;
    until(&world, OLDEST, |value| value == Some(0.0)).await?;
    // It is not ready for a while, and recovers: in the process that knows it, and in another one.
    let url = world.queue_url(&world.aws_name("orders")).await?.context("no queue")?;
    let cluster = world.cluster_id().await?;
    for (restart, expected) in [(false, 1.0), (true, 0.0)] {
        world.sqs().tag_queue().queue_url(&url).tags("fairlead.dev/cluster", "another").send().await?;
        world.stalled("orders", "NameTaken").await?;
        until(&world, &format!("{SAYS}=\"Ready\",status=\"False\"}}"), |value| value == Some(1.0)).await?;
        if restart {
            world.kill_operator()?;
            world.start_operator().await?;
        }
        world.sqs().tag_queue().queue_url(&url).tags("fairlead.dev/cluster", &cluster).send().await?;
        world.reconcile_now("orders").await?;
        world.in_sync("orders").await?;
        until(&world, &format!("{SAYS}=\"Ready\",status=\"True\"}}"), |value| value == Some(1.0)).await?;
        let text = world.operator()?.metrics().await?;
        ensure!(value(&text, TOOK) == Some(expected), "a recovery counts:\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn messages_are_shown_of_as_many_queues_as_the_user_says() -> Result<()> {
    let mut world = World::new(Aws::Ministack).await?.env("FAIRLEAD_MESSAGE_METRICS", "1");
    world.start_operator().await?;
    let of = |name: &str, state: &str| {
        let namespace = &world.namespace;
        format!("fairlead_sqs_messages{{namespace=\"{namespace}\",name=\"{name}\",state=\"{state}\"}}")
    };
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.create("bills", json!({})).await?;
    world.in_sync("bills").await?;
    for (name, delay) in [("orders", 0), ("orders", 0), ("orders", 900), ("bills", 0)] {
        let url = world.queue_url(&world.aws_name(name)).await?.context("no queue")?;
        world.sqs().send_message().queue_url(url).message_body("x").delay_seconds(delay).send().await?;
    }
    for (state, count) in [("visible", 2.0), ("in_flight", 0.0), ("delayed", 1.0)] {
        until(&world, &of("orders", state), |value| value == Some(count)).await?;
    }
    let text = world.operator()?.metrics().await?;
    ensure!(text.matches("fairlead_sqs_messages{").count() == 3, "more than one queue is shown:\n{text}");
    as_documented(&text)?;
    // What goes makes room.
    world.delete("orders").await?;
    until(&world, &of("bills", "visible"), |value| value == Some(1.0)).await?;
    let text = world.operator()?.metrics().await?;
    ensure!(text.matches("fairlead_sqs_messages{").count() == 3, "a queue that is gone is shown:\n{text}");
    Ok(())
}

#[tokio::test]
async fn an_annotation_sets_the_interval_of_one_object() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.annotate("orders", POLL, json!("1")).await?;
    world.resyncs(3).await?;
    world.annotate("orders", POLL, json!("often")).await?;
    let object = world.stalled("orders", "InvalidSpec").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains(POLL) && said.contains("\"often\"") && said.contains("1 to 86400"), "{said}");
    world.annotate("orders", POLL, Value::Null).await?;
    let object = world.in_sync("orders").await?;
    ensure!(reason(&object, "Synced") == "InSync", "{}", object.data);
    Ok(())
}

#[tokio::test]
async fn a_setting_sets_the_interval_of_a_kind() -> Result<()> {
    let mut world = World::new(Aws::Ministack)
        .await?
        .env("RECONCILE_FREQUENCY_SECONDS", "3600")
        .env("FAIRLEAD_POLL_INTERVALS", "SQSQueue=1");
    world.start_operator().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.resyncs(3).await
}
