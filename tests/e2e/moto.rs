//! The core of it on another emulator, so that one emulator's mistakes are not our truth.
//!
//! moto does not keep `policy` (any other change drops it) and knows no `redriveAllowPolicy`: those
//! are tested on ministack alone.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::world::{Aws, World, condition, message};

#[tokio::test]
async fn create_update_and_delete() -> Result<()> {
    let world = World::start(Aws::Moto).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 5, "visibilityTimeout": 60 })).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(world.operations()[..2], ["CreateQueue", "GetQueueAttributes"]);
    assert_eq!(object.data["status"]["visibleMessages"], 0);
    let arn = format!("arn:aws:sqs:eu-west-1:{}:{aws_name}", world.account.id);
    assert_eq!(object.data["status"]["identity"]["arn"], arn);
    let attributes = world.attributes(&aws_name).await?;
    assert_eq!(attributes["QueueArn"], arn);
    assert_eq!((&*attributes["DelaySeconds"], &*attributes["VisibilityTimeout"]), ("5", "60"));
    world.set("orders", json!({ "delaySeconds": null, "visibilityTimeout": 90 })).await?;
    let attributes = world.attributes(&aws_name).await?;
    assert_eq!((&*attributes["DelaySeconds"], &*attributes["VisibilityTimeout"]), ("0", "90"));
    world.delete("orders").await?;
    assert_eq!(world.queue_url(&aws_name).await?, None);
    world.told("orders", &["Created", "Updated", "Deleted"]).await
}

#[tokio::test]
async fn resyncs_only_read() -> Result<()> {
    let world = World::start(Aws::Moto).await?;
    let keys = json!({ "kmsMasterKeyID": "alias/shop", "kmsDataKeyReusePeriodSeconds": 60 });
    world.create("orders", keys).await?;
    let before = world.in_sync("orders").await?;
    world.resyncs(3).await?;
    let calls = world.operations();
    ensure!(calls[1..].iter().all(|call| call == "GetQueueAttributes" || call == "ListQueueTags"), "{calls:?}");
    let after = world.queues().get("orders").await?;
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version);
    Ok(())
}

#[tokio::test]
async fn drift_and_deletion_by_hand() -> Result<()> {
    let mut world = World::start(Aws::Moto).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 5 })).await?;
    world.in_sync("orders").await?;
    world.drift(&aws_name, "DelaySeconds", "9").await?;
    let object =
        world.until("orders", "corrected", |object| condition(object, "Synced")["reason"] == "DriftCorrected").await?;
    ensure!(message(&object, "Synced").contains("delaySeconds (9 → 5)"), "{}", message(&object, "Synced"));
    assert_eq!(world.attributes(&aws_name).await?["DelaySeconds"], "5");
    // A process that has created a queue in the last 10 s would believe that AWS does not show it yet.
    world.kill_operator()?;
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    world.sqs().delete_queue().queue_url(url).send().await?;
    world.start_operator().await?;
    world.until_attribute(&aws_name, "DelaySeconds", "5").await?;
    world.told("orders", &["Created", "DriftCorrected", "Recreated"]).await
}

#[tokio::test]
async fn tags() -> Result<()> {
    let world = World::quiet(Aws::Moto).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "tags": { "team": "shop", "stage": "test" } })).await?;
    world.in_sync("orders").await?;
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    world.sqs().tag_queue().queue_url(url).tags("cost-center", "4711").send().await?;
    world.set("orders", json!({ "tags": { "team": "billing", "stage": null } })).await?;
    let tags = world.tags(&aws_name).await?;
    assert_eq!((&*tags["team"], &*tags["cost-center"], tags.get("stage")), ("billing", "4711", None));
    assert_eq!((&*tags["fairlead.dev/name"], &*tags["fairlead.dev/namespace"]), ("orders", &*world.namespace));
    Ok(())
}

#[tokio::test]
async fn fifo_queues_and_their_dead_letter_queues() -> Result<()> {
    let world = World::quiet(Aws::Moto).await?;
    let fifo = |name: &str| format!("{}.fifo", world.aws_name(name));
    let spec = json!({
        "fifoQueue": true, "contentBasedDeduplication": true,
        "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" }, "maxReceiveCount": 3 },
    });
    world.create("payments", spec).await?;
    world.create("dead", json!({ "fifoQueue": true })).await?;
    world.in_sync("payments").await?;
    let attributes = world.attributes(&fifo("payments")).await?;
    assert_eq!((&*attributes["FifoQueue"], &*attributes["ContentBasedDeduplication"]), ("true", "true"));
    let redrive: serde_json::Value = serde_json::from_str(&attributes["RedrivePolicy"])?;
    let arn = world.attributes(&fifo("dead")).await?["QueueArn"].clone();
    assert_eq!(redrive, json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 3 }));
    world.set("payments", json!({ "redrivePolicy": null, "contentBasedDeduplication": null })).await?;
    let attributes = world.attributes(&fifo("payments")).await?;
    assert_eq!((attributes.get("RedrivePolicy"), &*attributes["ContentBasedDeduplication"]), (None, "false"));
    Ok(())
}
