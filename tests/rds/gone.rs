//! A database that is gone is not created again by itself: it would be an empty one in place of the lost one.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::fake_aws::SnapshotState;
use kube::ResourceExt as _;
use serde_json::Value;
use serde_json::json;

use crate::{
    hand::tags_of,
    world::{Aws, REGION, World, message, row},
};

const RECREATE: &str = "aws.fairlead.dev/recreate";

/// A world with a database whose connection is published.
async fn with_a_database() -> Result<World> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.secret_until("orders", "published", |data| data.contains_key("DB_PASSWORD")).await?;
    Ok(world)
}

async fn says_gone(world: &World) -> Result<String> {
    let object = world.says("orders", "Stalled", "ResourceGone").await?;
    ensure!(row(&object) == "FF-T", "{}", object.data);
    Ok(message(&object, "Stalled"))
}

#[tokio::test]
async fn a_lost_database_is_not_created_again_whatever_else_is_lost() -> Result<()> {
    let mut world = with_a_database().await?;
    let uid = world.object("orders").await?.uid().context("a uid")?;
    world.lose("orders")?;
    let said = says_gone(&world).await?;
    ensure!(said.contains(&format!("{RECREATE}: {uid}")) && said.contains("Restore"), "{said}");

    world.kill_operator()?;
    let looks = world.proxy.calls_of("DescribeDBInstances").len();
    world.start_operator().await?;
    let looked = async || match world.proxy.calls_of("DescribeDBInstances").len() {
        now if now > looks + 1 => Ok(()),
        now => Err(format!("{now} looks")),
    };
    world.eventually("it was looked for", looked).await?;
    says_gone(&world).await?;

    // Only the connection Secret says by now that there was one.
    world.kill_operator()?;
    world.lose_status("orders").await?;
    ensure!(world.object("orders").await?.data.get("status").is_none_or(|status| status["conditions"].is_null()));
    world.start_operator().await?;
    says_gone(&world).await?;
    world.look_now("orders").await?;
    world.patch("orders", json!({ "spec": { "backupRetentionPeriod": 7 } })).await?;
    world.until("orders", "seen", crate::world::observed).await?;
    says_gone(&world).await?;
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn the_annotation_lets_it_be_created_once() -> Result<()> {
    let world = with_a_database().await?;
    let uid = world.object("orders").await?.uid().context("a uid")?;
    let first = world.database("orders")?;
    let source = world.secret("orders-credentials").await?.context("the source")?;
    world.lose("orders")?;
    says_gone(&world).await?;
    world.annotate("orders", RECREATE, "true".into()).await?;
    world.look_now("orders").await?;
    says_gone(&world).await?;
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());

    world.annotate("orders", RECREATE, uid.into()).await?;
    world.in_sync("orders").await?;
    let second = world.database("orders")?;
    ensure!(second.dbi_resource_id != first.dbi_resource_id);
    ensure!(second.password.as_deref() == source.get("password").map(String::as_str), "the password is the same");
    world.until("orders", "the wish is granted", |object| !object.annotations().contains_key(RECREATE)).await?;
    world.told("orders", "Recreated").await?;
    ensure!(world.writes() == ["CreateDBInstance"; 2], "{:?}", world.writes());

    world.lose("orders")?;
    says_gone(&world).await?;
    ensure!(world.writes() == ["CreateDBInstance"; 2], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn one_that_is_restored_under_its_name_is_taken_up_again_and_gets_its_password() -> Result<()> {
    let world = with_a_database().await?;
    let (id, lost) = (world.aws_name("orders"), world.database("orders")?);
    let old = SnapshotState {
        identifier: "last-week".into(),
        instance: id.clone(),
        dbi_resource_id: lost.dbi_resource_id.clone(),
        password: Some("of-last-week-1".into()),
        settings: [("StorageEncrypted".to_owned(), "true".to_owned())].into(),
        ..Default::default()
    };
    world.fake()?.add_snapshot(&world.account, REGION, old)?;
    world.lose("orders")?;
    says_gone(&world).await?;

    let tags: Vec<_> = lost.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    let restore = world.rds().restore_db_instance_from_db_snapshot().db_instance_identifier(&id);
    restore.db_snapshot_identifier("last-week").set_tags(Some(tags_of(&tags))).send().await?;
    let object = world.in_sync("orders").await?;
    let restored = world.database("orders")?;
    ensure!(object.data["status"]["dbiResourceID"] == restored.dbi_resource_id, "{}", object.data);
    let secret = world.secret("orders").await?.context("the connection")?;
    ensure!(restored.password.as_ref() == secret.get("DB_PASSWORD"), "it has the snapshot's password still");
    ensure!(restored.password == lost.password, "the password is what it was");
    ensure!(world.writes() == ["CreateDBInstance", "ModifyDBInstance"], "{:?}", world.writes());
    world.quiet(2).await
}

#[tokio::test]
async fn a_stranger_of_the_name_is_not_taken_for_the_lost_one() -> Result<()> {
    let world = with_a_database().await?;
    let id = world.aws_name("orders");
    world.lose("orders")?;
    says_gone(&world).await?;
    world.foreign(&id, &[("team", "them")]).await?;
    let theirs = world.database("orders")?;
    let object = world.says("orders", "Stalled", "NameTaken").await?;
    ensure!(row(&object) == "FF-T", "{}", object.data);
    world.annotate("orders", RECREATE, Value::String(object.uid().context("a uid")?)).await?;
    world.look_now("orders").await?;
    world.delete("orders").await?;
    let after = world.database("orders")?;
    ensure!((after.tags, after.password) == (theirs.tags, theirs.password), "somebody else's database was changed");
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_lost_database_without_a_published_connection_is_not_created_again_after_a_lost_status() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "connection": { "enabled": false } })).await?;
    world.in_sync("orders").await?;
    world.kill_operator()?;
    world.lose("orders")?;
    world.lose_status("orders").await?;
    world.start_operator().await?;
    says_gone(&world).await?;
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}
