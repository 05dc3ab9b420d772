//! Taking over queues that exist: only where the spec asks and the operator's settings allow it.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::{
    scene::owner_tags,
    world::{Aws, World, message, row},
};

/// A world whose operator lets every object of its namespace adopt.
async fn adopting() -> Result<World> {
    let world = World::new(Aws::Ministack).await?;
    let pattern = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_ADOPTION", &pattern);
    world.start_operator().await?;
    world.age_queues();
    Ok(world)
}

#[tokio::test]
async fn without_the_operators_leave_nothing_is_adopted() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    for adoption in ["Adopt", "AdoptOrCreate"] {
        let name = adoption.to_lowercase();
        world.foreign_queue(&world.aws_name(&name), &[], &[]).await?;
        let before = world.queue(&world.aws_name(&name)).await?;
        world.create(&name, json!({ "adoption": adoption })).await?;
        let object = world.stalled(&name, "AdoptionNotAllowed").await?;
        ensure!(row(&object) == "FF-T" && message(&object, "Stalled").contains("FAIRLEAD_ALLOW_ADOPTION"));
        world.delete(&name).await?;
        ensure!(world.queue(&world.aws_name(&name)).await? == before, "the queue was changed");
    }
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn an_adopted_queue_keeps_what_the_spec_does_not_name_and_is_retained() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    let attributes = [("VisibilityTimeout", "77"), ("DelaySeconds", "3")];
    world.foreign_queue(&aws_name, &attributes, &[("team", "them")]).await?;
    world.create("orders", json!({ "adoption": "Adopt", "delaySeconds": 9 })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["identity"]["adopted"] == true, "{}", object.data);
    let (attributes, tags) = world.queue(&aws_name).await?;
    ensure!(attributes["VisibilityTimeout"] == "77" && attributes["DelaySeconds"] == "9", "{attributes:?}");
    ensure!(tags["team"] == "them" && Some(&tags["fairlead.dev/uid"]) == object.metadata.uid.as_ref(), "{tags:?}");
    world.has_told("orders", "Adopted").await?;

    world.delete("orders").await?;
    let (attributes, tags) = world.queue(&aws_name).await?;
    ensure!(attributes["VisibilityTimeout"] == "77" && tags["team"] == "them");
    ensure!(tags.contains_key("fairlead.dev/retained") && !tags.contains_key("fairlead.dev/uid"), "{tags:?}");
    ensure!(!world.operations().contains(&"CreateQueue".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_adopted_queue_is_deleted_where_the_spec_says_so() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[]).await?;
    world.create("orders", json!({ "adoption": "AdoptOrCreate", "deletionPolicy": "Delete" })).await?;
    world.in_sync("orders").await?;
    world.delete("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_none(), "the queue is there still");
    Ok(())
}

#[tokio::test]
async fn adopt_or_create_creates_what_is_not_there() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "adoption": "AdoptOrCreate" })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["identity"]["adopted"].is_null(), "{}", object.data);
    world.delete("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_none(), "a queue of our own is not retained");
    Ok(())
}

#[tokio::test]
async fn adopt_waits_for_a_queue_that_is_not_there() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "adoption": "Adopt" })).await?;
    let object = world.says("orders", "WaitingForDependency").await?;
    let words = format!("there is no queue {aws_name} in eu-west-1 to adopt");
    ensure!(row(&object) == "FFT-" && message(&object, "Ready").contains(&words), "{}", object.data);
    world.foreign_queue(&aws_name, &[], &[]).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["identity"]["adopted"] == true, "{}", object.data);
    ensure!(Some(&world.tags(&aws_name).await?["fairlead.dev/uid"]) == object.metadata.uid.as_ref());
    world.delete("orders").await?;
    ensure!(world.tags(&aws_name).await?.contains_key("fairlead.dev/retained"));
    ensure!(!world.operations().contains(&"CreateQueue".to_owned()));
    Ok(())
}

#[tokio::test]
async fn queues_that_other_objects_manage_are_not_adoptable() -> Result<()> {
    let world = adopting().await?;
    let cluster = world.cluster_id().await?;
    for (name, cluster, words) in [
        ("sibling", cluster.as_str(), "belongs to SQSQueue shop/bills"),
        ("stranger", "another-cluster", "another cluster"),
    ] {
        let aws_name = world.aws_name(name);
        world.foreign_queue(&aws_name, &[], &owner_tags(cluster, "shop", "bills", "u-1")).await?;
        let before = world.queue(&aws_name).await?;
        world.create(name, json!({ "adoption": "Adopt", "deletionPolicy": "Delete" })).await?;
        let object = world.stalled(name, "NameTaken").await?;
        ensure!(message(&object, "Stalled").contains(words), "{}", object.data);
        world.delete(name).await?;
        ensure!(world.queue(&aws_name).await? == before, "the queue was changed");
    }
    Ok(())
}

#[tokio::test]
async fn a_refused_name_can_be_adopted_later() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[]).await?;
    world.create("orders", json!({})).await?;
    world.stalled("orders", "NameTaken").await?;
    world.patch("orders", json!({ "spec": { "adoption": "Adopt" } })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["identity"]["adopted"] == true, "{}", object.data);
    // Once it is ours, the field is no longer needed.
    world.patch("orders", json!({ "spec": { "adoption": Value::Null } })).await?;
    world.in_sync("orders").await?;
    world.delete("orders").await?;
    ensure!(world.tags(&aws_name).await?.contains_key("fairlead.dev/retained"));
    Ok(())
}

#[tokio::test]
async fn what_another_object_retained_needs_adoption() -> Result<()> {
    let world = adopting().await?;
    let shared = world.aws_name("shared");
    world.create("first", json!({ "name": shared, "deletionPolicy": "Retain" })).await?;
    world.in_sync("first").await?;
    world.delete("first").await?;
    world.create("second", json!({ "name": shared })).await?;
    let second = world.stalled("second", "NameTaken").await?;
    ensure!(message(&second, "Stalled").contains("was retained by another object"), "{}", second.data);
    world.patch("second", json!({ "spec": { "adoption": "Adopt" } })).await?;
    let second = world.in_sync("second").await?;
    let tags = world.tags(&shared).await?;
    ensure!(tags["fairlead.dev/name"] == "second" && Some(&tags["fairlead.dev/uid"]) == second.metadata.uid.as_ref());
    ensure!(!tags.contains_key("fairlead.dev/retained"), "{tags:?}");
    Ok(())
}

#[tokio::test]
async fn what_was_adopted_once_is_retained_for_ever() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    world.foreign_queue(&aws_name, &[], &[]).await?;
    world.create("orders", json!({ "adoption": "Adopt" })).await?;
    world.in_sync("orders").await?;
    world.delete("orders").await?;
    ensure!(world.tags(&aws_name).await?["fairlead.dev/adopted"] == "true");
    // What is applied again says nothing of the queue's past; its tags do.
    for _ in 0..2 {
        world.create("orders", json!({})).await?;
        let object = world.in_sync("orders").await?;
        ensure!(object.data["status"]["identity"]["adopted"] == true, "{}", object.data);
        world.has_told("orders", "Resumed").await?;
        world.delete("orders").await?;
        let tags = world.tags(&aws_name).await?;
        ensure!(tags.contains_key("fairlead.dev/retained") && tags.contains_key("fairlead.dev/adopted"), "{tags:?}");
    }
    ensure!(!world.operations().contains(&"DeleteQueue".to_owned()), "{:?}", world.operations());
    Ok(())
}

#[tokio::test]
async fn what_the_object_itself_created_and_retained_is_not_adopted() -> Result<()> {
    let world = adopting().await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "adoption": "AdoptOrCreate", "deletionPolicy": "Retain" })).await?;
    world.in_sync("orders").await?;
    world.delete("orders").await?;
    ensure!(world.tags(&aws_name).await?.contains_key("fairlead.dev/retained"));
    world.create("orders", json!({ "adoption": "AdoptOrCreate" })).await?;
    let object = world.in_sync("orders").await?;
    world.has_told("orders", "Resumed").await?;
    ensure!(object.data["status"]["identity"]["adopted"].is_null(), "{}", object.data);
    ensure!(!world.tags(&aws_name).await?.contains_key("fairlead.dev/adopted"));
    world.delete("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_none(), "a queue of our own is not retained");
    Ok(())
}
