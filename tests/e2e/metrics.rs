//! What Prometheus is told, and what asks for more or fewer looks at a resource.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    scene::reason,
    world::{Aws, World, message},
};

const POLL: &str = "aws.fairlead.dev/poll-interval-seconds";

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
        "# EOF",
    ] {
        ensure!(text.lines().any(|line| line.starts_with(begins)), "no line begins {begins} in:\n{text}");
    }
    ensure!(!text.contains("orders"), "an object's name is a label:\n{text}");
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
