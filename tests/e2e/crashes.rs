//! The operator dies, answers get lost, and objects come back from a backup: one queue all the same.

use anyhow::{Result, ensure};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    wait::eventually,
};
use kube::api::{DynamicObject, PostParams};
use serde_json::{Value, json};

use crate::{
    scene::IDENTITY,
    world::{Aws, DEADLINE, World, message},
};

/// Waits until so many CreateQueue calls have arrived.
async fn creating(world: &World, calls: usize) -> Result<()> {
    eventually("CreateQueue", DEADLINE, async || match world.proxy.calls_of("CreateQueue").len() {
        seen if seen >= calls => Ok(()),
        seen => Err(format!("{seen} calls")),
    })
    .await
}

/// That there is one queue, and that it is this object's.
async fn one_queue(world: &World, object: &DynamicObject) -> Result<()> {
    let listed = world.sqs().list_queues().queue_name_prefix(&world.namespace).send().await?;
    ensure!(listed.queue_urls().len() == 1, "{listed:?}");
    let tags = world.tags(&world.aws_name("orders")).await?;
    ensure!(tags.get("fairlead.dev/uid") == object.metadata.uid.as_ref(), "{tags:?}");
    Ok(())
}

#[tokio::test]
async fn killed_between_create_and_status() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.proxy.fault(Fault::new("CreateQueue", Effect::HoldReply));
    world.create("orders", json!({ "delaySeconds": 3 })).await?;
    let what = "the queue in AWS";
    eventually(what, DEADLINE, async || match world.queue_url(&world.aws_name("orders")).await {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    world.kill_operator()?;
    world.proxy.release();
    let object = world.object("orders").await?;
    ensure!(object.data["status"]["url"].is_null(), "killed too late to test anything: {}", object.data);
    world.start_operator().await?;
    let object = world.in_sync("orders").await?;
    one_queue(&world, &object).await?;
    ensure!(world.proxy.calls_of("CreateQueue").len() == 1, "{:?}", world.operations());
    Ok(())
}

#[tokio::test]
async fn killed_between_finalizer_and_create() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.proxy.fault(Fault::new("CreateQueue", Effect::Blackhole));
    world.create("orders", json!({})).await?;
    creating(&world, 1).await?;
    world.kill_operator()?;
    let object = world.object("orders").await?;
    ensure!(object.metadata.finalizers.is_some(), "the finalizer is there before the first create");
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    world.start_operator().await?;
    let object = world.in_sync("orders").await?;
    one_queue(&world, &object).await
}

#[tokio::test]
async fn killed_before_create_and_deleted_meanwhile() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.proxy.fault(Fault::new("CreateQueue", Effect::HoldReply));
    world.create("orders", json!({})).await?;
    creating(&world, 1).await?;
    world.kill_operator()?;
    world.proxy.release();
    world.ask_deletion("orders").await?;
    world.start_operator().await?;
    world.gone("orders").await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none(), "the queue outlived its object");
    Ok(())
}

#[tokio::test]
async fn lost_answers_are_found_out_about() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    let lose = |operation: &str| world.proxy.fault(Fault::new(operation, Effect::LoseReply));
    lose("CreateQueue");
    let object = world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    one_queue(&world, &object).await?;

    lose("SetQueueAttributes");
    world.patch("orders", json!({ "spec": { "delaySeconds": 7 } })).await?;
    world.in_sync("orders").await?;
    ensure!(world.attributes(&aws_name).await?["DelaySeconds"] == "7");

    lose("TagQueue");
    world.patch("orders", json!({ "spec": { "tags": { "team": "us" } } })).await?;
    world.in_sync("orders").await?;
    ensure!(world.tags(&aws_name).await?["team"] == "us");

    lose("UntagQueue");
    world.patch("orders", json!({ "spec": { "tags": Value::Null } })).await?;
    world.in_sync("orders").await?;
    ensure!(!world.tags(&aws_name).await?.contains_key("team"));

    lose("DeleteQueue");
    world.delete("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn restored_from_a_backup_without_status_and_uid() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.age_queues();
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let before = world.attributes(&world.aws_name("orders")).await?;
    world.kill_operator()?;
    let lost = world.lose_object("orders").await?;
    let restored = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
        "metadata": { "name": "orders", "annotations": lost.metadata.annotations },
        "spec": lost.data["spec"],
    });
    let restored = world.queues().create(&PostParams::default(), &serde_json::from_value(restored)?).await?;
    ensure!(restored.metadata.uid != lost.metadata.uid);
    // The identity wins over a setting that changed meanwhile.
    let mut world = world.env("FAIRLEAD_RESOURCE_NAME", "other-{namespace}-{name}");
    world.start_operator().await?;
    world.in_sync("orders").await?;
    one_queue(&world, &restored).await?;
    ensure!(world.attributes(&world.aws_name("orders")).await? == before, "the queue was touched");
    ensure!(world.proxy.calls_of("CreateQueue").len() == 1, "{:?}", world.operations());
    world.has_told("orders", "Restamped").await
}

#[tokio::test]
async fn an_identity_that_was_edited_stalls_and_one_that_was_removed_comes_back() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    let object = world.in_sync("orders").await?;
    let annotations = object.metadata.annotations.unwrap_or_default();
    let identity: Value = serde_json::from_str(&annotations[IDENTITY])?;
    let mut edited = identity.clone();
    edited["name"] = json!("another");
    for bad in [edited.to_string(), "{".to_owned()] {
        world.annotate("orders", IDENTITY, json!(bad)).await?;
        let object = world.stalled("orders", "InvalidSpec").await?;
        let said = message(&object, "Stalled");
        let repair = format!("set it to '{}'", annotations[IDENTITY]);
        ensure!(said.contains(IDENTITY) && said.contains(&repair), "{said}");
        world.annotate("orders", IDENTITY, json!(annotations[IDENTITY])).await?;
        world.in_sync("orders").await?;
    }
    world.annotate("orders", IDENTITY, Value::Null).await?;
    world
        .until("orders", "the identity is back", |object| {
            object.metadata.annotations.as_ref().and_then(|annotations| annotations.get(IDENTITY))
                == Some(&annotations[IDENTITY])
        })
        .await?;
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_field_that_was_set_and_could_not_be_told_is_reset_all_the_same() -> Result<()> {
    for operation in ["CreateQueue", "SetQueueAttributes"] {
        let world = World::quiet(Aws::Ministack).await?;
        let aws_name = world.aws_name("orders");
        if operation == "CreateQueue" {
            world.proxy.fault(Fault::new(operation, Effect::HoldReply));
            world.create("orders", json!({ "delaySeconds": 3, "tags": { "team": "us" } })).await?;
        } else {
            world.create("orders", json!({})).await?;
            world.in_sync("orders").await?;
            world.proxy.fault(Fault::new(operation, Effect::HoldReply));
            let spec = json!({ "delaySeconds": 3, "tags": { "team": "us" } });
            world.patch("orders", json!({ "spec": spec })).await?;
        }
        world.until_attribute(&aws_name, "DelaySeconds", "3").await?;
        // The object changes before its status can be written: that write is a conflict.
        world.patch("orders", json!({ "spec": { "delaySeconds": null, "tags": null } })).await?;
        world.proxy.release();
        world.until_attribute(&aws_name, "DelaySeconds", "0").await?;
        let object = world.in_sync("orders").await?;
        ensure!(object.data["status"]["managed"].is_null(), "{}", object.data);
        ensure!(!world.tags(&aws_name).await?.contains_key("team"), "the tag is there still");
    }
    Ok(())
}
