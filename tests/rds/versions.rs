//! Engine versions: a newer minor one is as good as the asked one, and nothing ever goes back.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::world::{World, message, row};

#[tokio::test]
async fn a_major_version_stands_for_any_of_its_minor_ones() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "engineVersion": "16" })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["engineVersion"] == "16.4", "{}", object.data);
    world.quiet(2).await?;
    world.drift("orders", "EngineVersion", "16.9")?;
    world.until("orders", "16.9", |object| object.data["status"]["engineVersion"] == "16.9").await?;
    let object = world.in_sync("orders").await?;
    ensure!(row(&object) == "TT--", "{}", object.data);
    world.quiet(2).await?;
    ensure!(world.modifies().is_empty(), "{:?}", world.modifies());
    Ok(())
}

#[tokio::test]
async fn nothing_goes_back_to_an_earlier_version() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "engineVersion": "16.4" })).await?;
    world.in_sync("orders").await?;
    world.drift("orders", "EngineVersion", "16.8")?;
    world.until("orders", "16.8", |object| object.data["status"]["engineVersion"] == "16.8").await?;
    for version in ["16.4", "16.2", "16"] {
        world.set("orders", json!({ "engineVersion": version })).await?;
    }
    world.patch("orders", json!({ "spec": { "engineVersion": "15.9", "allowMajorVersionUpgrade": true } })).await?;
    let object = world.says("orders", "Stalled", "VersionCannotGoBack").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains("spec.engineVersion is 15.9") && said.contains("16.8"), "{said}");
    ensure!(row(&object) == "TF-T", "{}", object.data);
    world.quiet(2).await?;
    ensure!(world.modifies().is_empty(), "{:?}", world.modifies());
    Ok(())
}

#[tokio::test]
async fn a_minor_upgrade_waits_for_the_window_and_a_major_one_for_leave() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "engineVersion": "16.3" })).await?;
    world.in_sync("orders").await?;
    let object = world.set("orders", json!({ "engineVersion": "16.4" })).await?;
    ensure!(message(&object, "Synced").contains("engineVersion becomes 16.4"), "{}", object.data);
    world.set("orders", json!({ "engineVersion": "16.3" })).await?;
    ensure!(world.database("orders")?.pending.is_empty(), "taken back");
    world.set("orders", json!({ "engineVersion": "16.4" })).await?;
    world.pass_window()?;
    world.until_setting("orders", "EngineVersion", "16.4").await?;

    world.patch("orders", json!({ "spec": { "engineVersion": "17" } })).await?;
    let object = world.says("orders", "Stalled", "MajorUpgradeNotAllowed").await?;
    ensure!(message(&object, "Stalled").contains("spec.allowMajorVersionUpgrade"), "{}", object.data);
    ensure!(world.modifies().len() == 3, "{:?}", world.modifies());
    ensure!(world.modifies().iter().all(|modify| modify.get("AllowMajorVersionUpgrade").is_none()));
    world.set("orders", json!({ "allowMajorVersionUpgrade": true, "applyImmediately": true })).await?;
    world.until("orders", "17", |object| object.data["status"]["engineVersion"] == "17.4").await?;
    let last = world.modifies().pop().unwrap_or_default();
    ensure!(last["AllowMajorVersionUpgrade"] == "true" && last["EngineVersion"] == "17", "{last:?}");
    world.set("orders", json!({ "allowMajorVersionUpgrade": null, "applyImmediately": null })).await?;
    world.quiet(2).await?;
    ensure!(world.modifies().len() == 4, "{:?}", world.modifies());
    Ok(())
}
