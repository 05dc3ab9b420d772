//! The whole life of a database on emulators, so that our fake's mistakes are not our truth.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_rds::types::DbInstance;
use kube::ResourceExt as _;
use serde_json::json;

use crate::{
    fields::pending,
    world::{Aws, World, condition},
};

#[tokio::test]
async fn a_whole_life_on_ministack() -> Result<()> {
    whole_life(Aws::Ministack).await
}

#[tokio::test]
async fn a_whole_life_on_moto() -> Result<()> {
    whole_life(Aws::Moto).await
}

async fn whole_life(aws: Aws) -> Result<()> {
    let world = World::start(aws).await?;
    world.create("orders", json!({ "dbName": "shop", "tags": { "team": "shop" } })).await?;
    let object = world.in_sync("orders").await?;
    let instance = described(&world).await?.context("an instance")?;
    ensure!(instance.db_instance_class() == Some("db.t4g.micro") && instance.allocated_storage() == Some(20));
    let tag = |key: &str| instance.tag_list().iter().find(|tag| tag.key() == Some(key)).and_then(|tag| tag.value());
    ensure!(tag("team") == Some("shop") && tag("fairlead.dev/name") == Some("orders"), "{:?}", instance.tag_list());
    ensure!(object.data["status"]["dbiResourceID"].is_string(), "{}", object.data);
    let secret = world.secret_until("orders", "published", |data| data.contains_key("DATABASE_URL")).await?;
    ensure!(secret["DB_NAME"] == "shop" && secret["DB_USER"] == "fairlead", "{:?}", secret.keys());
    world.quiet(2).await?;

    world.set("orders", json!({ "copyTagsToSnapshot": true })).await?;
    let object = world.set("orders", json!({ "instanceClass": "db.t4g.small" })).await?;
    // moto knows no window: whatever is asked of it is in force at once.
    if let Aws::Ministack = aws {
        ensure!(condition(&object, "Synced")["reason"] == "ChangePending", "{}", object.data);
        ensure!(pending(&object, "instanceClass")["value"] == "db.t4g.small", "{}", object.data);
    }
    world.set("orders", json!({ "applyImmediately": true, "tags": { "team": null, "tier": "1" } })).await?;
    let look = async || match described(&world).await {
        Ok(Some(instance)) if instance.db_instance_class() == Some("db.t4g.small") => Ok(instance),
        other => Err(format!("{other:?}")),
    };
    let instance = world.eventually("another class", look).await?;
    ensure!(instance.copy_tags_to_snapshot() == Some(true), "{instance:?}");
    let keys: Vec<_> = instance.tag_list().iter().filter_map(|tag| tag.key()).collect();
    ensure!(keys.contains(&"tier") && !keys.contains(&"team"), "{keys:?}");
    world.quiet(2).await?;

    let final_name = format!("{}-final-{}", world.aws_name("orders"), object.uid().context("a uid")?);
    world.delete("orders").await?;
    ensure!(described(&world).await?.is_none());
    let answer = world.rds().describe_db_snapshots().send().await?;
    let name = world.aws_name("orders");
    let ours = answer.db_snapshots().iter().filter(|it| it.db_instance_identifier() == Some(&name));
    // moto makes one more when an instance is created: an automated one.
    let ours: Vec<_> = ours.filter(|it| it.snapshot_type() == Some("manual")).collect();
    ensure!(ours.len() == 1 && ours[0].db_snapshot_identifier() == Some(&final_name), "{answer:?}");
    Ok(())
}

/// The instance of the object, as another client than the operator's sees it.
async fn described(world: &World) -> Result<Option<DbInstance>> {
    let answer = world.rds().describe_db_instances().send().await?;
    let name = world.aws_name("orders");
    Ok(answer.db_instances().iter().find(|it| it.db_instance_identifier() == Some(&name)).cloned())
}
