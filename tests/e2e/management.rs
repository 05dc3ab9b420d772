//! Objects that are only observed, and objects that are paused: what is left alone, and what is said.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    scene::{PAUSED, reason},
    world::{Aws, World, is, message, row},
};

async fn observing() -> Result<World> {
    let world = World::new(Aws::Ministack).await?;
    let pattern = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_OBSERVE", &pattern);
    world.start_operator().await?;
    Ok(world)
}

#[tokio::test]
async fn an_observed_queue_is_read_and_compared_and_never_written() -> Result<()> {
    let world = observing().await?;
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[("DelaySeconds", "3")], &[("team", "them")]).await?;
    let before = world.queue(&aws_name).await?;
    world.create("orders", json!({ "management": "Observe", "delaySeconds": 3 })).await?;
    let object = world.says("orders", "Observed").await?;
    ensure!(row(&object) == "TT--" && object.data["status"]["url"].is_string(), "{}", object.data);

    let spec = json!({ "delaySeconds": 4, "visibilityTimeout": 31, "tags": { "team": "us" } });
    world.patch("orders", json!({ "spec": spec })).await?;
    let object = world.says("orders", "Differs").await?;
    let said = message(&object, "Synced");
    ensure!(row(&object) == "TF--", "{}", object.data);
    ensure!(said.contains("delaySeconds (3 → 4)") && said.contains("visibilityTimeout (30 → 31)"), "{said}");
    world.looked_at(&aws_name, 2).await?;

    ensure!(object.metadata.finalizers.is_none(), "{:?}", object.metadata.finalizers);
    world.delete("orders").await?;
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    Ok(())
}

#[tokio::test]
async fn a_queue_to_observe_that_is_not_there_is_waited_for_and_not_created() -> Result<()> {
    let world = observing().await?;
    world.create("orders", json!({ "management": "Observe" })).await?;
    let object = world.says("orders", "NotFound").await?;
    ensure!(row(&object) == "FF--", "{}", object.data);
    world.foreign_queue(&world.aws_name("orders"), &[], &[]).await?;
    world.says("orders", "Observed").await?;
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_foreign_queue_is_observed_only_with_the_operators_leave() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.foreign_queue(&world.aws_name("orders"), &[], &[]).await?;
    world.create("orders", json!({ "management": "Observe" })).await?;
    let object = world.stalled("orders", "ObserveNotAllowed").await?;
    ensure!(message(&object, "Stalled").contains("FAIRLEAD_ALLOW_OBSERVE"), "{}", object.data);
    ensure!(object.data["status"]["url"].is_null(), "what may not be observed is not shown: {}", object.data);
    world.delete("orders").await?;
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_managed_queue_that_is_then_only_observed_stays() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 3 })).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "management": "Observe", "delaySeconds": 4 } })).await?;
    world.says("orders", "Differs").await?;
    let before = world.queue(&aws_name).await?;
    world.delete("orders").await?;
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_paused_object_makes_no_call() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    for name in ["orders", "witness"] {
        world.create(name, json!({})).await?;
        world.in_sync(name).await?;
    }
    world.annotate("orders", PAUSED, json!("true")).await?;
    let object = world.says("orders", "Paused").await?;
    ensure!(row(&object) == "TF--" && message(&object, "Synced").contains(PAUSED), "{}", object.data);

    world.proxy.clear();
    world.patch("orders", json!({ "spec": { "delaySeconds": 9 } })).await?;
    world
        .until("orders", "seen and paused", |object| {
            crate::world::observed(object) && reason(object, "Synced") == "Paused"
        })
        .await?;
    // The operator works all the while: it polls another queue.
    world.looked_at(&world.aws_name("witness"), 3).await?;
    let calls = world.proxy.calls();
    let about_it = calls.iter().find(|call| call.request.to_string().contains(&world.aws_name("orders")));
    ensure!(about_it.is_none(), "{about_it:?}");

    world.annotate("orders", PAUSED, Value::Null).await?;
    world.in_sync("orders").await?;
    ensure!(world.attributes(&world.aws_name("orders")).await?["DelaySeconds"] == "9");
    Ok(())
}

#[tokio::test]
async fn an_object_that_is_paused_from_the_start_has_no_queue_yet() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create_paused("orders").await?;
    let object = world.says("orders", "Paused").await?;
    ensure!(row(&object) == "FF--" && object.metadata.finalizers.is_none(), "{}", object.data);
    world.create("witness", json!({})).await?;
    world.in_sync("witness").await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    world.annotate("orders", PAUSED, Value::Null).await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_pause_blocks_a_deletion_visibly() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.annotate("orders", PAUSED, json!("true")).await?;
    world.says("orders", "Paused").await?;
    world.ask_deletion("orders").await?;
    let object = world.until("orders", "blocked", |object| is(object, "Stalled", "True")).await?;
    ensure!(row(&object) == "FFTT", "{}", object.data);
    ensure!(message(&object, "Stalled").contains("the deletion waits until the annotation"), "{}", object.data);
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_some());
    world.annotate("orders", PAUSED, Value::Null).await?;
    world.gone("orders").await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    Ok(())
}
