//! Queues that are so young that their age does not tell whose they are. AWS itself refuses a create
//! with other tags; the emulators answer with the queue that is there.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use crate::world::{Aws, World, row};

#[tokio::test]
async fn of_two_objects_that_want_one_name_at_once_one_gets_it() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let name = world.aws_name("duo");
    for object in ["duo-a", "duo-b"] {
        world.create(object, json!({ "name": name })).await?;
    }
    let (a, b) = world
        .eventually("one has it, and one is refused", async || {
            let get = async |name| world.queues().get(name).await.map_err(|error| error.to_string());
            let (a, b) = (get("duo-a").await?, get("duo-b").await?);
            match (row(&a).as_str(), row(&b).as_str()) {
                ("TT--", "FF-T") | ("FF-T", "TT--") => Ok((a, b)),
                rows => Err(format!("{rows:?}")),
            }
        })
        .await?;
    let (winner, loser) = if row(&a) == "TT--" { (a, "duo-b") } else { (b, "duo-a") };
    world.delete(loser).await?;
    ensure!(world.tags(&name).await?.get("fairlead.dev/uid") == winner.metadata.uid.as_ref());
    Ok(())
}

#[tokio::test]
async fn what_was_retained_a_moment_ago_is_not_deleted_by_another_object() -> Result<()> {
    // Without polls nothing is read between create and deletion.
    let world = World::quiet(Aws::Ministack).await?;
    let name = world.aws_name("kept");
    world.create("first", json!({ "name": name, "deletionPolicy": "Retain" })).await?;
    world.in_sync("first").await?;
    world.delete("first").await?;
    world.create("second", json!({ "name": name })).await?;
    world.until("second", "looked at", |object| row(object) != "----").await?;
    world.delete("second").await?;
    world.queue_url(&name).await?.context("a retained queue was deleted")?;
    Ok(())
}
