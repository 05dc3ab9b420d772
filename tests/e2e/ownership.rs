//! A name that is taken: whose the queue is, and that nothing is done to somebody else's.

use anyhow::{Result, ensure};
use fairlead_harness::aws_proxy::{Effect, Fault};
use serde_json::json;

use crate::{
    scene::owner_tags,
    world::{Aws, World, message, row},
};

/// An object whose queue's name is taken by a queue with these tags is refused with these words, and
/// leaves that queue as it is, also when it is deleted.
async fn refused(tags: &[(&str, &str)], spec: serde_json::Value, words: &str) -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[("VisibilityTimeout", "30")], tags).await?;
    let before = world.queue(&aws_name).await?;
    world.create("orders", spec).await?;
    let object = world.stalled("orders", "NameTaken").await?;
    ensure!(row(&object) == "FF-T" && message(&object, "Ready").contains(words), "{}", object.data);
    ensure!(object.data["status"]["url"].is_null(), "a foreign queue is not shown as its own: {}", object.data);
    world.reconciled("orders").await?;
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    world.delete("orders").await?;
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed at the deletion");
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    world.told("orders", &["NameTaken", "Spared"]).await
}

#[tokio::test]
async fn a_queue_without_owner_tags_is_not_ours() -> Result<()> {
    refused(
        &[("team", "them")],
        json!({ "visibilityTimeout": 30 }),
        "no owner tags of Fairlead; choose another spec.name",
    )
    .await
}

#[tokio::test]
async fn a_queue_of_another_cluster_is_not_ours() -> Result<()> {
    refused(
        &owner_tags("another-cluster", "shop", "orders", "u-1"),
        json!({}),
        "managed by Fairlead in another cluster",
    )
    .await
}

#[tokio::test]
async fn a_queue_with_other_attributes_is_not_ours_either() -> Result<()> {
    refused(&[], json!({ "visibilityTimeout": 31 }), "no owner tags of Fairlead").await
}

#[tokio::test]
async fn a_queue_of_another_object_is_not_ours() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    let cluster = world.cluster_id().await?;
    world.foreign_queue(&aws_name, &[], &owner_tags(&cluster, "shop", "bills", "u-1")).await?;
    let before = world.queue(&aws_name).await?;
    world.create("orders", json!({})).await?;
    let object = world.stalled("orders", "NameTaken").await?;
    ensure!(message(&object, "Stalled").contains("belongs to SQSQueue shop/bills of this cluster"), "{}", object.data);
    world.delete("orders").await?;
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    Ok(())
}

#[tokio::test]
async fn aws_refuses_a_create_with_other_tags() -> Result<()> {
    // What AWS answers, and moto does not: it takes the new tags.
    let world = World::start(Aws::Moto).await?;
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[("team", "them")]).await?;
    let conflict = Effect::respond(400, "QueueAlreadyExists", "A queue already exists with the same name");
    world.proxy.fault(Fault::new("CreateQueue", conflict).always());
    world.create("orders", json!({})).await?;
    world.stalled("orders", "NameTaken").await?;
    world.delete("orders").await?;
    ensure!(world.tags(&aws_name).await? == [("team".to_owned(), "them".to_owned())].into(), "the tags were changed");
    Ok(())
}

#[tokio::test]
async fn a_restart_does_not_make_a_foreign_queue_ours() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[]).await?;
    let before = world.queue(&aws_name).await?;
    world.create("orders", json!({})).await?;
    let refused = world.stalled("orders", "NameTaken").await?;
    world.kill_operator()?;
    world.start_operator().await?;
    world.reconciled("orders").await?;
    let object = world.object("orders").await?;
    ensure!(object.data["status"]["conditions"] == refused.data["status"]["conditions"], "{}", object.data);
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    Ok(())
}

#[tokio::test]
async fn the_second_object_of_a_name_says_who_has_it_and_follows() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let shared = world.aws_name("shared");
    world.create("first", json!({ "name": shared })).await?;
    world.in_sync("first").await?;
    world.create("second", json!({ "name": shared })).await?;
    let second = world.stalled("second", "NameTaken").await?;
    let words = format!("belongs to SQSQueue {}/first of this cluster", world.namespace);
    ensure!(message(&second, "Stalled").contains(&words), "{}", second.data);
    world.delete("first").await?;
    ensure!(world.queue_url(&shared).await?.is_none(), "the first object's queue is there still");
    world.reconcile_now("second").await?;
    world.in_sync("second").await?;
    ensure!(world.tags(&shared).await?["fairlead.dev/name"] == "second");
    Ok(())
}

#[tokio::test]
async fn a_queue_that_was_handed_over_by_its_tags_is_taken_at_the_next_look() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[]).await?;
    let uid = world.create("orders", json!({})).await?.metadata.uid.unwrap_or_default();
    world.stalled("orders", "NameTaken").await?;
    let url = world.queue_url(&aws_name).await?.unwrap_or_default();
    let cluster = world.cluster_id().await?;
    let tags = owner_tags(&cluster, &world.namespace, "orders", "earlier");
    let tags = tags.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    world.sqs().tag_queue().queue_url(url).set_tags(Some(tags)).send().await?;
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    ensure!(world.tags(&aws_name).await?["fairlead.dev/uid"] == uid);
    world.has_told("orders", "Restamped").await
}

#[tokio::test]
async fn a_queue_that_others_took_by_its_tags_is_let_go() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let url = world.queue_url(&aws_name).await?.unwrap_or_default();
    let theirs = [("fairlead.dev/cluster".to_owned(), "another-cluster".to_owned())].into();
    world.sqs().tag_queue().queue_url(url).set_tags(Some(theirs)).send().await?;
    let before = world.queue(&aws_name).await?;
    // Tags are read at every tenth look.
    let object = world.stalled("orders", "NameTaken").await?;
    ensure!(row(&object) == "FF-T", "it was ready, and is no more: {}", object.data);
    world.delete("orders").await?;
    ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    Ok(())
}

#[tokio::test]
async fn a_queue_that_others_made_anew_is_not_corrected() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 3 })).await?;
    world.in_sync("orders").await?;
    let ours = world.attributes(&aws_name).await?;
    // Too soon for the operator to see that ours is gone; by AWS's clock it is a second later.
    world.proxy.fault(Fault::new("GetQueueAttributes", Effect::Delay(std::time::Duration::from_secs(3))));
    world.looked_at(&aws_name, 0).await?;
    world
        .eventually("another queue of that name", async || {
            let url = world.queue_url(&aws_name).await.map_err(|error| error.to_string())?;
            if let Some(url) = url {
                world.sqs().delete_queue().queue_url(url).send().await.map_err(|error| format!("{error:?}"))?;
            }
            world.foreign_queue(&aws_name, &[], &[]).await.map_err(|error| error.to_string())?;
            let theirs = world.attributes(&aws_name).await.map_err(|error| error.to_string())?;
            match theirs["CreatedTimestamp"] == ours["CreatedTimestamp"] {
                true => Err("not a second later".to_owned()),
                false => Ok(()),
            }
        })
        .await?;
    let object = world.stalled("orders", "NameTaken").await?;
    ensure!(row(&object) == "FF-T", "it was ready, and is no more: {}", object.data);
    ensure!(world.attributes(&aws_name).await?["DelaySeconds"] == "0", "a foreign queue was corrected");
    world.delete("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_some(), "a foreign queue was deleted");
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    Ok(())
}
