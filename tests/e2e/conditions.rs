//! The table of conditions, every row reached for real; and what `kubectl wait`, `kubectl get` and a
//! kstatus library make of it.

use anyhow::{Result, ensure};
use fairlead_harness::kstatus::kstatus;
use serde_json::json;

use crate::{
    scene::{PAUSED, reason},
    world::{Aws, World, condition, row},
};

/// Waits until the object's conditions are this row for this reason, and compares what tools say.
async fn stands(world: &World, name: &str, expected: &str, why: &str, computed: &str) -> Result<()> {
    let object = world
        .until(name, &format!("{expected} {why}"), |object| {
            crate::world::observed(object) && row(object) == expected && reason(object, "Synced") == why
        })
        .await?;
    ensure!(kstatus(&[serde_json::to_value(&object)?]).await? == [computed], "{name}: {}", object.data);
    for kind in ["Ready", "Synced", "Reconciling", "Stalled"] {
        let said = condition(&object, kind);
        let Some(status) = said["status"].as_str() else { continue };
        let (wanted, resource) = (format!("--for=condition={kind}={status}"), format!("sqs/{name}"));
        world.cluster.kubectl(&["wait", &wanted, "--timeout=20s", &resource, "-n", &world.namespace]).await?;
        let texts = [&said["reason"], &said["lastTransitionTime"]];
        ensure!(texts.iter().all(|text| text.as_str().is_some_and(|text| !text.is_empty())), "{said}");
        ensure!(said["observedGeneration"].as_i64() == object.metadata.generation, "{said}");
    }
    let line = world.cluster.kubectl(&["get", "sqs", name, "-n", &world.namespace, "--no-headers"]).await?;
    let columns: Vec<_> = line.split_whitespace().take(3).collect();
    let ready = condition(&object, "Ready");
    ensure!(columns == [name, ready["status"].as_str().unwrap_or_default(), &reason(&object, "Ready")], "{line}");
    Ok(())
}

#[tokio::test]
async fn new_and_in_sync() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let waits = json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" } } });
    world.create("orders", waits.clone()).await?;
    stands(&world, "orders", "FFT-", "WaitingForDependency", "InProgress").await?;
    world.create("dead", json!({})).await?;
    stands(&world, "dead", "TT--", "InSync", "Current").await?;
    stands(&world, "orders", "TT--", "InSync", "Current").await
}

#[tokio::test]
async fn a_change_that_waits() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" } } } })).await?;
    stands(&world, "orders", "TFT-", "WaitingForDependency", "InProgress").await
}

#[tokio::test]
async fn failing() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("old", json!({})).await?;
    world.in_sync("old").await?;
    world.refuse("CreateQueue", 500, "InternalError", "");
    world.refuse("SetQueueAttributes", 500, "InternalError", "");
    world.create("new", json!({})).await?;
    world.patch("old", json!({ "spec": { "delaySeconds": 1 } })).await?;
    stands(&world, "new", "FFT-", "AWSError", "InProgress").await?;
    stands(&world, "old", "TFT-", "AWSError", "InProgress").await
}

#[tokio::test]
async fn stalled() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("old", json!({})).await?;
    world.in_sync("old").await?;
    world.refuse("CreateQueue", 403, "AccessDenied", "");
    world.create("new", json!({})).await?;
    world.patch("old", json!({ "spec": { "policy": 5 } })).await?;
    stands(&world, "new", "FF-T", "AccessDenied", "Failed").await?;
    stands(&world, "old", "TF-T", "InvalidSpec", "Failed").await
}

#[tokio::test]
async fn a_taken_config_map() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.cluster.kubectl(&["create", "configmap", "orders", "-n", &world.namespace]).await?;
    world.create("orders", json!({})).await?;
    stands(&world, "orders", "FF-T", "ConnectionConflict", "Failed").await?;
    ensure!(world.writes().is_empty(), "found before the create: {:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn paused() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create_paused("new").await?;
    stands(&world, "new", "FF--", "Paused", "InProgress").await?;
    world.create("old", json!({})).await?;
    world.in_sync("old").await?;
    world.annotate("old", PAUSED, json!("true")).await?;
    stands(&world, "old", "TF--", "Paused", "Current").await
}

#[tokio::test]
async fn observed() -> Result<()> {
    let world = World::new(Aws::Ministack).await?;
    let pattern = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_OBSERVE", &pattern);
    world.start_operator().await?;
    world.create("orders", json!({ "management": "Observe", "delaySeconds": 3 })).await?;
    stands(&world, "orders", "FF--", "NotFound", "InProgress").await?;
    world.foreign_queue(&world.aws_name("orders"), &[("DelaySeconds", "3")], &[]).await?;
    stands(&world, "orders", "TT--", "Observed", "Current").await?;
    world.patch("orders", json!({ "spec": { "delaySeconds": 4 } })).await?;
    stands(&world, "orders", "TF--", "Differs", "Current").await
}

#[tokio::test]
async fn deleting() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.refuse("DeleteQueue", 500, "InternalError", "");
    world.ask_deletion("orders").await?;
    stands(&world, "orders", "FFT-", "AWSError", "Terminating").await?;
    world.proxy.clear_faults();
    world.refuse("DeleteQueue", 403, "AccessDenied", "");
    stands(&world, "orders", "FFTT", "AccessDenied", "Terminating").await?;
    world.proxy.clear_faults();
    world.reconcile_now("orders").await?;
    world.gone("orders").await
}

#[tokio::test]
async fn an_object_that_nobody_has_looked_at_is_in_progress() -> Result<()> {
    let world = World::new(Aws::Ministack).await?;
    let object = world.create("orders", json!({})).await?;
    ensure!(kstatus(&[serde_json::to_value(&object)?]).await? == ["InProgress"], "{}", object.data);
    Ok(())
}
