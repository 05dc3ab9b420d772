//! Storage: it grows, by a tenth at least, and not twice in six hours; AWS may let it grow by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use fairlead_harness::fake_aws::RdsTiming;
use serde_json::json;

use crate::world::{Aws, World, is, message, row};

#[tokio::test]
async fn storage_grows_at_once_or_in_the_window() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let object = world.set("orders", json!({ "allocatedStorage": 40 })).await?;
    ensure!(world.setting("orders", "AllocatedStorage")? == "20", "{}", object.data);
    ensure!(message(&object, "Synced").contains("allocatedStorage becomes 40"), "{}", object.data);
    world.pass_window()?;
    world.until("orders", "40 GiB", |object| object.data["status"]["allocatedStorage"] == 40).await?;

    world.pass_hours(7)?;
    world.set("orders", json!({ "allocatedStorage": 44, "applyImmediately": true })).await?;
    world.until_setting("orders", "AllocatedStorage", "44").await?;
    world.until("orders", "44 GiB", |object| object.data["status"]["allocatedStorage"] == 44).await?;
    ensure!(world.modifies().len() == 2, "{:?}", world.modifies());
    world.quiet(2).await
}

#[tokio::test]
async fn less_storage_and_a_little_more_are_refused_and_nothing_is_asked_of_aws() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "allocatedStorage": 100 })).await?;
    world.in_sync("orders").await?;
    for (size, reason, words) in
        [(99, "StorageCannotShrink", "100 or more"), (109, "StorageGrowsTooLittle", "110 GiB or more")]
    {
        world.patch("orders", json!({ "spec": { "allocatedStorage": size } })).await?;
        let object = world.says("orders", "Stalled", reason).await?;
        let said = message(&object, "Stalled");
        ensure!(said.contains("spec.allocatedStorage") && said.contains(words), "{said}");
        ensure!(row(&object) == "TF-T", "{}", object.data);
    }
    world.quiet(2).await?;
    ensure!(world.modifies().is_empty(), "{:?}", world.modifies());
    // Less than there is keeps nothing else from being changed.
    world.patch("orders", json!({ "spec": { "allocatedStorage": 99, "backupRetentionPeriod": 9 } })).await?;
    world.until_setting("orders", "BackupRetentionPeriod", "9").await?;
    world.says("orders", "Stalled", "StorageCannotShrink").await?;
    // That the spec can't be had does not hide how the database is.
    world.set_status("orders", "failed")?;
    world.until("orders", "failed", |object| object.data["status"]["ready"] == "failed").await?;
    ensure!(row(&world.object("orders").await?) == "FF-T");
    world.set_status("orders", "available")?;
    world.set("orders", json!({ "allocatedStorage": 110 })).await?;
    Ok(())
}

#[tokio::test]
async fn storage_that_aws_lets_grow_is_no_drift() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "allocatedStorage": 20, "maxAllocatedStorage": 100 })).await?;
    world.in_sync("orders").await?;
    world.drift("orders", "AllocatedStorage", "35")?;
    world.until("orders", "35 GiB", |object| object.data["status"]["allocatedStorage"] == 35).await?;
    let object = world.in_sync("orders").await?;
    ensure!(row(&object) == "TT--", "{}", object.data);
    world.quiet(2).await?;
    // Less than there is by now is satisfied as well, and more is another growth.
    world.set("orders", json!({ "allocatedStorage": 30 })).await?;
    world.quiet(1).await?;
    ensure!(world.modifies().is_empty(), "{:?}", world.modifies());
    world.pass_hours(7)?;
    world.set("orders", json!({ "allocatedStorage": 50, "applyImmediately": true })).await?;
    world.until_setting("orders", "AllocatedStorage", "50").await?;
    world.until("orders", "50 GiB", |object| object.data["status"]["allocatedStorage"] == 50).await?;
    world.quiet(2).await
}

#[tokio::test]
async fn a_second_growth_waits_for_its_time() -> Result<()> {
    let world = World::swift().await?;
    let hour = Duration::from_secs(3_600);
    world.fake()?.rds_timing(RdsTiming { storage_optimization: hour, ..RdsTiming::at_once() });
    world.create("orders", json!({ "applyImmediately": true })).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "allocatedStorage": 40 } })).await?;
    world.until_setting("orders", "AllocatedStorage", "40").await?;
    world.in_sync("orders").await?;

    // AWS optimises: nothing is asked of it, but for what is not about storage.
    world.patch("orders", json!({ "spec": { "allocatedStorage": 80, "copyTagsToSnapshot": true } })).await?;
    let object = world.says("orders", "Synced", "ChangeWaiting").await?;
    let said = message(&object, "Synced");
    ensure!(said.contains("allocatedStorage (40 → 80)") && said.contains("storage-optimization"), "{said}");
    world.until_setting("orders", "CopyTagsToSnapshot", "true").await?;
    ensure!(is(&object, "Ready", "True"), "{}", object.data);
    ensure!(world.modifies().len() == 2, "{:?}", world.modifies());

    // It has optimised, and still refuses: there are six hours between two changes.
    world.pass_hours(2)?;
    let object = world.says("orders", "Synced", "WaitingForAWS").await?;
    ensure!(row(&object) == "TFT-" && message(&object, "Synced").contains("600 s"), "{}", object.data);
    ensure!(world.setting("orders", "AllocatedStorage")? == "40");
    world.pass_hours(5)?;
    world.look_now("orders").await?;
    world.until_setting("orders", "AllocatedStorage", "80").await?;
    world.pass_hours(2)?;
    world.in_sync("orders").await?;
    world.quiet(2).await
}

#[tokio::test]
async fn full_storage_is_shown_and_can_grow() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.set_status("orders", "storage-full")?;
    let object = world.says("orders", "Stalled", "StorageFull").await?;
    ensure!(message(&object, "Stalled").contains("raise spec.allocatedStorage"), "{}", object.data);
    ensure!(is(&object, "Ready", "False") && object.data["status"]["ready"] == "storage-full", "{}", object.data);
    world.quiet(2).await?;
    let spec = json!({ "allocatedStorage": 40, "applyImmediately": true, "copyTagsToSnapshot": true });
    world.patch("orders", json!({ "spec": spec })).await?;
    world.until_setting("orders", "AllocatedStorage", "40").await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["ready"] != "storage-full", "{}", object.data);
    // What else was asked had to wait for that.
    world.until_setting("orders", "CopyTagsToSnapshot", "true").await?;
    let first = world.modifies().remove(0);
    ensure!(!first.contains_key("CopyTagsToSnapshot"), "{first:?}");
    world.in_sync("orders").await?;
    world.quiet(2).await
}
