//! The whole life of a database.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::aws_proxy::{Effect, Fault};
use serde_json::json;

use crate::world::{Aws, World, is, message, row};

#[tokio::test]
async fn a_database_comes_changes_and_goes() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    let created = world.until("orders", "creating", |object| object.data["status"]["ready"] == "creating").await?;
    ensure!(row(&created) == "FFT-", "{}", created.data);
    ensure!(world.secret("orders").await?.is_none(), "nothing is published without an endpoint");
    let source = world.secret("orders-credentials").await?.context("the password is kept before the create")?;

    let ready = world.in_sync("orders").await?;
    let status = &ready.data["status"];
    ensure!(status["instanceClass"] == "db.t4g.micro" && status["allocatedStorage"] == 20, "{status}");
    let instance = world.instance("orders")?.context("an instance")?;
    ensure!(instance.password.as_deref() == source.get("password").map(String::as_str));
    let secret = world.secret_until("orders", "published", |data| data.contains_key("DATABASE_URL")).await?;
    ensure!(secret["DB_PASSWORD"] == source["password"], "the password is the one that AWS has");
    ensure!(status["endpoint"] == secret["DB_HOST"].as_str());
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.operations());
    world.quiet(3).await?;

    world.set("orders", json!({ "backupRetentionPeriod": 7 })).await?;
    ensure!(world.writes() == ["CreateDBInstance", "ModifyDBInstance"], "{:?}", world.operations());
    let pending = world.set("orders", json!({ "allocatedStorage": 40 })).await?;
    ensure!(message(&pending, "Synced").contains("allocatedStorage"), "{}", pending.data);
    world.quiet(3).await?;

    world.delete("orders").await?;
    ensure!(world.instance("orders")?.is_none());
    let snapshots = world.fake()?.snapshots(&world.account, crate::world::REGION);
    ensure!(snapshots.len() == 1, "{snapshots:?}");
    Ok(())
}

#[tokio::test]
async fn a_database_that_was_stopped_is_shown_and_left_so() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.rds().stop_db_instance().db_instance_identifier(world.aws_name("orders")).send().await?;
    let object = world.says("orders", "Ready", "Stopped").await?;
    ensure!(row(&object) == "FT--" && message(&object, "Ready").contains("start it"), "{}", object.data);
    world.quiet(3).await?;
    // A change waits for the start.
    world.patch("orders", json!({ "spec": { "copyTagsToSnapshot": true } })).await?;
    let object = world.says("orders", "Synced", "ChangeWaiting").await?;
    let said = message(&object, "Synced");
    ensure!(said.contains("copyTagsToSnapshot") && said.contains("started"), "{said}");
    world.quiet(2).await?;
    world.rds().start_db_instance().db_instance_identifier(world.aws_name("orders")).send().await?;
    world.until_setting("orders", "CopyTagsToSnapshot", "true").await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn what_only_somebody_can_mend_stalls_and_names_the_way_out() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    for (status, reason, words) in [
        ("failed", "Failed", "restore the latest snapshot"),
        ("incompatible-network", "IncompatibleNetwork", "subnets"),
        ("incompatible-parameters", "IncompatibleParameters", "parameter group"),
        ("inaccessible-encryption-credentials-recoverable", "InaccessibleEncryptionCredentialsRecoverable", "KMS key"),
    ] {
        world.set_status("orders", status)?;
        let object = world.says("orders", "Stalled", reason).await?;
        ensure!(row(&object) == "FF-T" && message(&object, "Stalled").contains(words), "{}", object.data);
        ensure!(object.data["status"]["ready"] == status, "{}", object.data);
    }
    world.quiet(2).await?;
    world.set_status("orders", "available")?;
    let object = world.in_sync("orders").await?;
    ensure!(row(&object) == "TT--", "{}", object.data);
    Ok(())
}

#[tokio::test]
async fn a_quota_is_waited_for_slowly() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let full = Effect::respond(400, "InstanceQuotaExceeded", "Request would exceed your quota for DB instances.");
    world.proxy.fault(Fault::new("CreateDBInstance", full));
    world.create("orders", json!({})).await?;
    let object = world.says("orders", "Synced", "WaitingForAWS").await?;
    let said = message(&object, "Synced");
    ensure!(row(&object) == "FFT-" && said.contains("300 s") && said.contains("quota"), "{}", object.data);
    world.create("other", json!({})).await?;
    world.in_sync("other").await?;
    world.quiet(4).await?;
    ensure!(world.writes() == ["CreateDBInstance"; 2], "{:?}", world.writes());
    world.look_now("orders").await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn what_a_database_needs_and_is_not_there_is_waited_for() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let missing = Effect::respond(404, "DBSubnetGroupNotFoundFault", "DB subnet group 'data' does not exist.");
    world.proxy.fault(Fault::new("CreateDBInstance", missing).times(2));
    world.create("orders", json!({ "dbSubnetGroupName": "data" })).await?;
    let object = world.says("orders", "Synced", "WaitingForDependency").await?;
    ensure!(row(&object) == "FFT-" && message(&object, "Synced").contains("'data'"), "{}", object.data);
    world.in_sync("orders").await?;

    world.create("bills", json!({ "dbSubnetGroupName": "missing-data" })).await?;
    let object = world.says("bills", "Synced", "WaitingForDependency").await?;
    ensure!(message(&object, "Synced").contains("missing-data"), "{}", object.data);
    world.set("bills", json!({ "dbSubnetGroupName": "data" })).await?;
    // The same of a change.
    world.patch("bills", json!({ "spec": { "dbParameterGroupName": "missing-tuned" } })).await?;
    let object = world.says("bills", "Synced", "WaitingForDependency").await?;
    ensure!(is(&object, "Ready", "True"), "{}", object.data);
    world.set("bills", json!({ "dbParameterGroupName": "tuned" })).await?;
    Ok(())
}

#[tokio::test]
async fn what_aws_refuses_stalls_until_the_spec_changes() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "instanceClass": "db.nonsense" })).await?;
    let object = world.says("orders", "Stalled", "RejectedByAWS").await?;
    ensure!(row(&object) == "FF-T" && message(&object, "Stalled").contains("InvalidParameterValue"), "{}", object.data);
    let refused = world.writes().len();
    world.create("other", json!({})).await?;
    world.in_sync("other").await?;
    world.quiet(2).await?;
    ensure!(world.writes().len() == refused + 1, "{:?}", world.writes());
    world.set("orders", json!({ "instanceClass": "db.t4g.micro" })).await?;
    world.patch("orders", json!({ "spec": { "instanceClass": "db.nonsense" } })).await?;
    let object = world.says("orders", "Stalled", "RejectedByAWS").await?;
    ensure!(row(&object) == "TF-T", "{}", object.data);
    world.set("orders", json!({ "instanceClass": "db.t4g.micro" })).await?;
    Ok(())
}

#[tokio::test]
async fn a_stranger_s_database_of_the_name_is_left_alone() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.foreign(&world.aws_name("orders"), &[("team", "them")]).await?;
    world
        .eventually("it is there", async || match world.database("orders") {
            Ok(instance) if instance.status == "available" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
    let before = world.database("orders")?;
    world.create("orders", json!({ "backupRetentionPeriod": 9 })).await?;
    let object = world.says("orders", "Stalled", "NameTaken").await?;
    ensure!(row(&object) == "FF-T" && message(&object, "Stalled").contains("spec.name"), "{}", object.data);
    ensure!(world.secret("orders").await?.is_none(), "nothing is published of a stranger's database");
    world.look_now("orders").await?;
    world.delete("orders").await?;
    ensure!(world.database("orders")? == before, "it was changed");
    ensure!(world.proxy.calls_of("ModifyDBInstance").is_empty() && world.proxy.calls_of("DeleteDBInstance").is_empty());
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_adopted_stays_when_its_object_goes() -> Result<()> {
    let world = World::new(Aws::Fake).await?;
    let pattern = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_ADOPTION", &pattern);
    world.start_operator().await?;
    world.foreign(&world.aws_name("orders"), &[("team", "them")]).await?;
    let id = world.database("orders")?.dbi_resource_id;
    world
        .create("orders", json!({ "adoption": "Adopt", "backupRetentionPeriod": 9, "storageEncrypted": false }))
        .await?;
    world.in_sync("orders").await?;
    let adopted = world.database("orders")?;
    ensure!(adopted.dbi_resource_id == id && adopted.settings["BackupRetentionPeriod"] == "9", "{adopted:?}");
    ensure!(adopted.tags["team"] == "them" && adopted.tags.contains_key("fairlead.dev/uid"), "{:?}", adopted.tags);
    let secret = world.secret_until("orders", "published", |data| data.contains_key("DB_PASSWORD")).await?;
    ensure!(secret["DB_USER"] == "stranger" && adopted.password.as_ref() == secret.get("DB_PASSWORD"));
    world.told("orders", "Adopted").await?;
    world.delete("orders").await?;
    let left = world.database("orders")?;
    ensure!(left.dbi_resource_id == id && left.tags.contains_key("fairlead.dev/retained"), "{:?}", left.tags);
    ensure!(world.proxy.calls_of("CreateDBInstance").is_empty() && world.proxy.calls_of("DeleteDBInstance").is_empty());
    Ok(())
}
