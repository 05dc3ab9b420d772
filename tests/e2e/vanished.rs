//! Objects that the API server removes though they have a finalizer, as it does with those that are deleted
//! at the moment at which they get one: nothing is left in AWS.

use anyhow::{Result, ensure};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    wait::eventually,
};
use futures::future::try_join_all;
use kube::api::DeleteParams;
use serde_json::json;

use crate::world::{Aws, DEADLINE, World};

/// Waits until there is a queue for `orders`, or none.
async fn queue(world: &World, there: bool) -> Result<()> {
    let what = if there { "the queue in AWS" } else { "the queue to be gone" };
    let name = world.aws_name("orders");
    eventually(what, DEADLINE, async || match world.queue_url(&name).await {
        Ok(url) if url.is_some() == there => Ok(()),
        other => Err(format!("{other:?} after {:?}", world.operations())),
    })
    .await
}

async fn erase(world: &World) -> Result<()> {
    world.cluster.erase("sqsqueues", &world.namespace, "orders").await
}

#[tokio::test]
async fn while_its_queue_is_created() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.proxy.fault(Fault::new("CreateQueue", Effect::HoldReply));
    world.create("orders", json!({})).await?;
    queue(&world, true).await?;
    ensure!(world.object("orders").await?.metadata.finalizers.is_some(), "it was claimed");
    erase(&world).await?;
    world.proxy.release();
    queue(&world, false).await?;
    ensure!(world.proxy.calls_of("CreateQueue").len() == 1, "{:?}", world.operations());
    Ok(())
}

#[tokio::test]
async fn before_its_queue_comes_into_sight() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    // It is created, and nobody hears of it.
    world.proxy.fault(Fault::new("CreateQueue", Effect::LoseReply));
    world.proxy.fault(Fault::new("GetQueueUrl", Effect::respond(400, "QueueDoesNotExist", "not yet")).times(2));
    world.create("orders", json!({})).await?;
    queue(&world, true).await?;
    erase(&world).await?;
    queue(&world, false).await
}

#[tokio::test]
async fn after_all_was_written() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    erase(&world).await?;
    queue(&world, false).await?;
    world.has_told("orders", "Deleted").await
}

#[tokio::test]
async fn a_retained_queue_stays() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({ "deletionPolicy": "Retain" })).await?;
    world.in_sync("orders").await?;
    erase(&world).await?;
    world.has_told("orders", "Retained").await?;
    ensure!(world.tags(&world.aws_name("orders")).await?.contains_key("fairlead.dev/retained"));
    Ok(())
}

#[tokio::test]
async fn another_object_of_its_name_takes_up_what_it_has_left() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let refused = Effect::respond(403, "AccessDenied", "not authorized to perform: sqs:DeleteQueue");
    world.proxy.fault(Fault::new("DeleteQueue", refused).times(1_000));
    erase(&world).await?;
    eventually("an attempt to delete the queue", DEADLINE, async || match world.proxy.calls_of("DeleteQueue").len() {
        0 => Err(format!("{:?}", world.operations())),
        _ => Ok(()),
    })
    .await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let uid = world.object("orders").await?.metadata.uid;
    // What was created within the same second is taken for one's own, until the next look.
    eventually("the queue to be the other one's", DEADLINE, async || {
        let tags = world.tags(&world.aws_name("orders")).await.map_err(|error| format!("{error:#}"))?;
        if tags.get("fairlead.dev/uid") == uid.as_ref() { Ok(()) } else { Err(format!("{tags:?}, not {uid:?}")) }
    })
    .await?;
    ensure!(world.proxy.calls_of("CreateQueue").len() == 2, "{:?}", world.operations());
    Ok(())
}

/// Somebody edits the store by hand, say.
#[tokio::test]
async fn what_this_replica_has_not_created_stays() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.kill_operator()?;
    world.start_operator().await?;
    world.patch("orders", json!({ "spec": { "delaySeconds": 7 } })).await?;
    world.in_sync("orders").await?;
    erase(&world).await?;
    eventually("a warning", DEADLINE, async || {
        let log = world.operator().map_err(|error| error.to_string())?.log();
        if log.contains("removed with its finalizer in place") { Ok(()) } else { Err(log) }
    })
    .await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_some(), "{:?}", world.operations());
    Ok(())
}

/// Whichever of the two writes comes first, and whatever the API server makes of them.
#[tokio::test]
async fn many_that_are_deleted_while_they_are_claimed_leave_nothing() -> Result<()> {
    let mut world = World::new(Aws::Ministack).await?;
    world = world.env("FAIRLEAD_FLOW_RATE", "2000").env("FAIRLEAD_FLOW_CONCURRENCY", "64");
    let names: Vec<_> = (0..300).map(|number| format!("orders-{number}")).collect();
    try_join_all(names.iter().map(|name| world.create(name, json!({})))).await?;
    world.start_operator().await?;
    let (queues, params) = (world.queues(), DeleteParams::default());
    try_join_all(names.iter().map(|name| queues.delete(name, &params))).await?;
    for name in &names {
        world.gone(name).await?;
    }
    eventually("no queue", DEADLINE, async || {
        let status = world.operator().map_err(|error| error.to_string())?.statusz().await;
        let running = status.map_err(|error| format!("{error:#}"))?["queue"]["running"].clone();
        let listed = world.sqs().list_queues().queue_name_prefix(&world.namespace).send().await;
        let left = listed.map_err(|error| format!("{error:?}"))?.queue_urls().to_vec();
        if running == 0 && left.is_empty() { Ok(()) } else { Err(format!("{running} run, {left:?}")) }
    })
    .await
}
