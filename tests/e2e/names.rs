//! The name of an object's queue: it may be chosen again while there is no queue, and never after;
//! and a copy of a manifest is another object.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::sqs::sqs_client;
use kube::api::{DynamicObject, Patch, PostParams};
use serde_json::{Value, json};

use crate::{
    scene::IDENTITY,
    world::{Aws, World, message},
};

/// The identity that an object's annotation records.
fn identity(object: &DynamicObject) -> Result<Value> {
    let annotations = object.metadata.annotations.as_ref().context("no annotations")?;
    Ok(serde_json::from_str(annotations.get(IDENTITY).context("no identity")?)?)
}

#[tokio::test]
async fn a_taken_name_can_be_changed_for_a_free_one() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let (taken, free) = (world.aws_name("orders"), world.aws_name("free"));
    world.foreign_queue(&taken, &[], &[("team", "them")]).await?;
    let theirs = world.queue(&taken).await?;
    world.create("orders", json!({})).await?;
    let object = world.stalled("orders", "NameTaken").await?;
    ensure!(identity(&object)?["name"] == taken, "{:?}", object.metadata);
    world.proxy.clear_faults();
    world.patch("orders", json!({ "spec": { "name": free } })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(identity(&object)?["name"] == free, "{:?}", object.metadata);
    ensure!(object.data["status"]["identity"]["name"] == free, "{}", object.data);
    ensure!(Some(&world.tags(&free).await?["fairlead.dev/uid"]) == object.metadata.uid.as_ref());
    world.delete("orders").await?;
    ensure!(world.queue_url(&free).await?.is_none(), "the queue outlived its object");
    ensure!(world.queue(&taken).await? == theirs, "somebody else's queue was changed");
    Ok(())
}

#[tokio::test]
async fn where_the_name_is_taken_another_region_can_be_chosen() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[]).await?;
    let theirs = world.queue(&aws_name).await?;
    world.create("orders", json!({})).await?;
    world.stalled("orders", "NameTaken").await?;
    world.proxy.clear_faults();
    world.patch("orders", json!({ "spec": { "region": "eu-central-1" } })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(identity(&object)?["region"] == "eu-central-1", "{:?}", object.metadata);
    let there = sqs_client(&world.aws_url, &world.account.access_key, "eu-central-1");
    there.get_queue_url().queue_name(&aws_name).send().await?;
    ensure!(world.queue(&aws_name).await? == theirs, "somebody else's queue was changed");
    Ok(())
}

#[tokio::test]
async fn a_name_that_aws_refused_can_be_changed() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let free = world.aws_name("free");
    world.refuse("CreateQueue", 403, "AccessDenied", "not this name");
    world.create("orders", json!({})).await?;
    world.stalled("orders", "AccessDenied").await?;
    world.proxy.clear_faults();
    world.patch("orders", json!({ "spec": { "name": free } })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(identity(&object)?["name"] == free, "{:?}", object.metadata);
    Ok(())
}

#[tokio::test]
async fn the_name_of_a_queue_that_is_ours_is_fixed() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    let (old, new) = (world.aws_name("orders"), world.aws_name("another"));
    let object = world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let renamed = json!({ "spec": { "name": new } });
    let refused = world.patch("orders", renamed.clone()).await.err().map(|error| format!("{error:#}"));
    ensure!(refused.as_ref().is_some_and(|said| said.contains("spec.name can't be changed")), "{refused:?}");
    // Without its status nothing but the annotation and the tags say so.
    world.kill_operator()?;
    let lost = Patch::Merge(json!({ "status": { "url": null, "identity": null } }));
    world.queues().patch_status("orders", &Default::default(), &lost).await?;
    world.patch("orders", renamed).await?;
    world.start_operator().await?;
    let stalled = world.stalled("orders", "InvalidSpec").await?;
    let said = message(&stalled, "Stalled");
    ensure!(said.contains(&format!("{old:?}")) && said.contains(&format!("{new:?}")), "{said}");
    ensure!(identity(&stalled)?["name"] == old, "{:?}", stalled.metadata);
    ensure!(world.tags(&old).await?.get("fairlead.dev/uid") == object.metadata.uid.as_ref());
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    world.delete("orders").await?;
    ensure!(world.queue_url(&old).await?.is_none(), "the queue outlived its object");
    Ok(())
}

/// `kubectl get -o yaml` of one object, applied under another name.
async fn copy(world: &World, object: &DynamicObject, name: &str) -> Result<DynamicObject> {
    let mut copy = serde_json::to_value(object)?;
    let metadata = json!({
        "name": name, "annotations": object.metadata.annotations, "finalizers": object.metadata.finalizers,
    });
    copy["metadata"] = metadata;
    Ok(world.queues().create(&PostParams::default(), &serde_json::from_value(copy)?).await?)
}

#[tokio::test]
async fn a_copied_manifest_gets_a_queue_of_its_own() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let (orders, payments) = (world.aws_name("orders"), world.aws_name("payments"));
    world.create("orders", json!({ "delaySeconds": 3 })).await?;
    let original = world.in_sync("orders").await?;
    let before = world.queue(&orders).await?;
    let created = copy(&world, &original, "payments").await?;
    ensure!(identity(&created)? == identity(&original)?, "the copy is none: {:?}", created.metadata);
    let object = world.in_sync("payments").await?;
    ensure!(identity(&object)?["name"] == payments, "{:?}", object.metadata);
    let (attributes, tags) = world.queue(&payments).await?;
    ensure!(attributes["DelaySeconds"] == "3" && tags["fairlead.dev/name"] == "payments", "{tags:?}");
    world.delete("payments").await?;
    ensure!(world.queue_url(&payments).await?.is_none(), "the copy's queue outlived it");
    ensure!(world.queue(&orders).await? == before, "the original's queue was changed");
    Ok(())
}

#[tokio::test]
async fn a_copied_manifest_that_is_deleted_at_once_leaves_the_original_its_queue() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    let orders = world.aws_name("orders");
    world.create("orders", json!({})).await?;
    let original = world.in_sync("orders").await?;
    let before = world.queue(&orders).await?;
    world.kill_operator()?;
    copy(&world, &original, "payments").await?;
    world.ask_deletion("payments").await?;
    world.start_operator().await?;
    world.gone("payments").await?;
    ensure!(world.queue(&orders).await? == before, "the original's queue was changed");
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    Ok(())
}
