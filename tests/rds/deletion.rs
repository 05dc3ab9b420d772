//! What becomes of the database when its object goes, and what may stand in the way.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::fake_aws::{RdsTiming, SnapshotState};
use kube::ResourceExt as _;
use serde_json::json;

use crate::world::{Aws, REGION, World, condition, is, message, row};

const FINALIZER: &str = "aws.fairlead.dev/finalizer";
const HOUR: Duration = Duration::from_secs(3_600);

/// The final snapshot's name.
async fn final_name(world: &World, name: &str) -> Result<String> {
    let uid = world.object(name).await?.uid().context("a uid")?;
    Ok(format!("{}-final-{uid}", world.aws_name(name)))
}

fn snapshots(world: &World) -> Result<Vec<SnapshotState>> {
    Ok(world.fake()?.snapshots(&world.account, REGION))
}

#[tokio::test]
async fn one_final_snapshot_is_made_and_the_object_stays_until_the_database_is_gone() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let expected = final_name(&world, "orders").await?;
    let id = world.database("orders")?.dbi_resource_id;
    world.fake()?.rds_timing(RdsTiming { snapshot: HOUR, delete: HOUR, ..RdsTiming::default() });
    world.ask_deletion("orders").await?;
    let object = world.until("orders", "deleting", |object| object.data["status"]["ready"] == "deleting").await?;
    ensure!(row(&object) == "FFT-" && message(&object, "Ready").contains("snapshot"), "{}", object.data);
    world.quiet(2).await?;
    ensure!(world.object("orders").await?.finalizers() == [FINALIZER], "the database is there still");
    let going = world.database("orders")?;
    ensure!(going.status == "deleting" && going.delete_automated_backups == Some(false), "{going:?}");
    let made = snapshots(&world)?;
    ensure!(made.len() == 1 && made[0].identifier == expected && made[0].dbi_resource_id == id, "{made:?}");
    world.pass_hours(3)?;
    world.gone("orders").await?;
    ensure!(world.writes() == ["CreateDBInstance", "DeleteDBInstance"], "{:?}", world.writes());
    ensure!(snapshots(&world)?.len() == 1);
    world.told("orders", "Deleted").await
}

#[tokio::test]
async fn with_the_policy_delete_nothing_is_kept() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "deletionPolicy": "Delete", "deleteAutomatedBackups": true })).await?;
    world.in_sync("orders").await?;
    world.fake()?.rds_timing(RdsTiming { delete: HOUR, ..RdsTiming::default() });
    world.ask_deletion("orders").await?;
    let object = world.until("orders", "deleting", |object| object.data["status"]["ready"] == "deleting").await?;
    ensure!(!message(&object, "Ready").contains("snapshot"), "{}", object.data);
    ensure!(world.database("orders")?.delete_automated_backups == Some(true));
    world.pass_hours(2)?;
    world.gone("orders").await?;
    ensure!(snapshots(&world)?.is_empty() && world.instance("orders")?.is_none());
    Ok(())
}

#[tokio::test]
async fn with_the_policy_retain_the_database_stays_and_says_so() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "deletionPolicy": "Retain", "deletionProtection": true })).await?;
    world.in_sync("orders").await?;
    let before = world.database("orders")?;
    world.delete("orders").await?;
    let after = world.database("orders")?;
    ensure!(after.tags.contains_key("fairlead.dev/retained"), "{:?}", after.tags);
    ensure!(!after.tags.contains_key("fairlead.dev/uid"), "{:?}", after.tags);
    ensure!((after.settings, after.password) == (before.settings, before.password));
    ensure!(snapshots(&world)?.is_empty() && world.proxy.calls_of("DeleteDBInstance").is_empty());
    world.told("orders", "Retained").await?;
    // An object of the same name goes on with it.
    world.create("orders", json!({ "deletionProtection": true })).await?;
    world.in_sync("orders").await?;
    ensure!(world.proxy.calls_of("CreateDBInstance").iter().filter(|call| call.error.is_none()).count() == 1);
    ensure!(world.database("orders")?.dbi_resource_id == before.dbi_resource_id);
    Ok(())
}

#[tokio::test]
async fn deletion_protection_holds_until_the_spec_turns_it_off() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("ours", json!({ "deletionProtection": true })).await?;
    world.create("theirs", json!({})).await?;
    for name in ["ours", "theirs"] {
        world.in_sync(name).await?;
    }
    // Somebody's own, which the spec says nothing of.
    world.drift("theirs", "DeletionProtection", "true")?;
    for name in ["ours", "theirs"] {
        world.ask_deletion(name).await?;
        let object = world.says(name, "Stalled", "DeletionBlocked").await?;
        let said = message(&object, "Stalled");
        ensure!(row(&object) == "FFTT" && said.contains("spec.deletionProtection to false"), "{}", object.data);
        ensure!(object.finalizers() == [FINALIZER]);
    }
    ensure!(world.writes() == ["CreateDBInstance", "CreateDBInstance"], "{:?}", world.writes());
    for name in ["ours", "theirs"] {
        world.patch(name, json!({ "spec": { "deletionProtection": false } })).await?;
        world.gone(name).await?;
    }
    for modify in world.modifies() {
        let names: Vec<_> = modify.keys().filter(|name| *name != "ApplyImmediately").collect();
        ensure!(names == ["DeletionProtection"], "{modify:?}");
    }
    ensure!(world.modifies().len() == 2 && snapshots(&world)?.len() == 2, "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_being_created_is_deleted_after_that() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.fake()?.rds_timing(RdsTiming { create: HOUR, ..RdsTiming::default() });
    world.create("orders", json!({})).await?;
    world.until("orders", "creating", |object| object.data["status"]["ready"] == "creating").await?;
    world.ask_deletion("orders").await?;
    let object = world.says("orders", "Ready", "Deleting").await?;
    ensure!(row(&object) == "FFT-" && message(&object, "Ready").contains("being created"), "{}", object.data);
    world.quiet(2).await?;
    world.pass_hours(2)?;
    world.gone("orders").await?;
    ensure!(world.writes() == ["CreateDBInstance", "DeleteDBInstance"], "{:?}", world.writes());
    ensure!(snapshots(&world)?.len() == 1);
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_being_modified_can_be_deleted() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.fake()?.rds_timing(RdsTiming { modify: HOUR, ..RdsTiming::default() });
    world.set("orders", json!({ "port": 6_000 })).await?;
    ensure!(world.database("orders")?.status == "modifying");
    world.delete("orders").await?;
    ensure!(snapshots(&world)?.len() == 1 && world.instance("orders")?.is_none());
    Ok(())
}

#[tokio::test]
async fn where_aws_makes_no_snapshot_somebody_has_to_decide() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let cases = [
        ("one", "failed", "Delete"),
        ("two", "incompatible-network", "Delete"),
        ("three", "incompatible-restore", "Retain"),
    ];
    for (name, ..) in cases {
        world.create(name, json!({})).await?;
    }
    for (name, status, policy) in cases {
        world.in_sync(name).await?;
        world.set_status(name, status)?;
        world.ask_deletion(name).await?;
        let object = world.says(name, "Stalled", "DeletionBlocked").await?;
        let said = message(&object, "Stalled");
        ensure!(said.contains(status) && said.contains("Delete") && said.contains("Retain"), "{said}");
        ensure!(world.instance(name)?.is_some());
        world.patch(name, json!({ "spec": { "deletionPolicy": policy } })).await?;
        world.gone(name).await?;
        ensure!(world.instance(name)?.is_some() == (policy == "Retain"), "{name}");
    }
    ensure!(snapshots(&world)?.is_empty());
    Ok(())
}

#[tokio::test]
async fn a_snapshot_of_another_database_does_not_count() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let (taken, id) = (final_name(&world, "orders").await?, world.database("orders")?.dbi_resource_id);
    let other = SnapshotState { identifier: taken.clone(), instance: world.aws_name("orders"), ..Default::default() };
    world.fake()?.add_snapshot(&world.account, REGION, other)?;
    world.delete("orders").await?;
    let all = snapshots(&world)?;
    let ours: Vec<_> = all.iter().filter(|snapshot| snapshot.dbi_resource_id == id).collect();
    ensure!(all.len() == 2 && ours.len() == 1 && ours[0].identifier.starts_with(&taken), "{all:?}");
    Ok(())
}

#[tokio::test]
async fn an_invalid_spec_does_not_block_a_deletion_and_keeps_its_policy() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let cases = [("one", "Snapshot"), ("two", "Delete"), ("three", "Retain")];
    for (name, policy) in cases {
        world.create(name, json!({ "deletionPolicy": policy })).await?;
    }
    for (name, _) in cases {
        world.in_sync(name).await?;
        world.annotate(name, "aws.fairlead.dev/poll-interval-seconds", "often".into()).await?;
        world.says(name, "Stalled", "InvalidSpec").await?;
        world.delete(name).await?;
    }
    ensure!(snapshots(&world)?.len() == 1 && world.instance("two")?.is_none());
    ensure!(world.database("three")?.tags.contains_key("fairlead.dev/retained"));
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_gone_already_is_no_obstacle() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    for (name, policy) in [("one", "Snapshot"), ("two", "Retain")] {
        world.create(name, json!({ "deletionPolicy": policy })).await?;
        world.in_sync(name).await?;
        world.lose(name)?;
        world.delete(name).await?;
    }
    ensure!(world.proxy.calls_of("DeleteDBInstance").is_empty(), "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_aws_refuses_says_so_and_goes_on() -> Result<()> {
    use fairlead_harness::aws_proxy::{Effect, Fault};
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.proxy.fault(Fault::new("DeleteDBInstance", Effect::respond(403, "AccessDenied", "not you")).always());
    world.ask_deletion("orders").await?;
    let object = world.says("orders", "Stalled", "AccessDenied").await?;
    ensure!(row(&object) == "FFTT" && message(&object, "Stalled").contains("rds:DeleteDBInstance"), "{}", object.data);
    ensure!(is(&object, "Ready", "False") && condition(&object, "Synced")["status"] == "False");
    world.proxy.clear_faults();
    world.look_now("orders").await?;
    world.gone("orders").await?;
    ensure!(snapshots(&world)?.len() == 1);
    Ok(())
}
