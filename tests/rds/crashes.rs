//! The operator dies at every step: one instance, one password, one snapshot all the same.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    fake_aws::RdsTiming,
};
use serde_json::json;

use crate::{
    steps::ROTATE,
    world::{Aws, REGION, World},
};

/// That there is one instance, and that AWS was never sent another password than `password`.
fn one_instance(world: &World, password: &str) -> Result<()> {
    let instances = world.fake()?.instances(&world.account, REGION);
    ensure!(instances.len() == 1, "{instances:?}");
    let sent = world.passwords_sent();
    ensure!(sent.iter().all(|sent| sent == password), "{sent:?}");
    Ok(())
}

#[tokio::test]
async fn killed_between_the_password_and_the_create() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    world.proxy.fault(Fault::new("CreateDBInstance", Effect::Blackhole));
    world.create("orders", json!({})).await?;
    world.arrived("CreateDBInstance", 1).await?;
    world.kill_operator()?;
    let source = world.secret("orders-credentials").await?.context("the password is kept before the create")?;
    ensure!(world.instance("orders")?.is_none());

    world.start_operator().await?;
    world.in_sync("orders").await?;
    let password = world.agreed("orders", |_| true).await?;
    ensure!(password == source["password"], "another password");
    ensure!(world.writes() == ["CreateDBInstance", "CreateDBInstance"], "{:?}", world.writes());
    one_instance(&world, &password)
}

#[tokio::test]
async fn killed_between_create_and_status() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    world.proxy.fault(Fault::new("CreateDBInstance", Effect::HoldReply));
    world.create("orders", json!({})).await?;
    let seen = async || match world.instance("orders") {
        Ok(Some(_)) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually("the instance in AWS", seen).await?;
    world.kill_operator()?;
    world.proxy.release();
    let object = world.object("orders").await?;
    ensure!(object.data["status"]["dbiResourceID"].is_null(), "killed too late to test anything: {}", object.data);
    let source = world.secret("orders-credentials").await?.context("the password")?;

    world.start_operator().await?;
    world.in_sync("orders").await?;
    let password = world.agreed("orders", |_| true).await?;
    ensure!(password == source["password"], "another password");
    // Nothing says that AWS has taken the password: it is given it once more.
    let writes = world.writes();
    ensure!(writes == ["CreateDBInstance", "ModifyDBInstance"] || writes == ["CreateDBInstance"], "{writes:?}");
    one_instance(&world, &password)?;
    world.quiet(3).await
}

#[tokio::test]
async fn a_lost_answer_to_the_create_is_found_out_about() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.proxy.fault(Fault::new("CreateDBInstance", Effect::LoseReply));
    let password = world.ready_with_password("orders", json!({})).await?;
    ensure!(world.proxy.calls_of("CreateDBInstance").len() <= 2, "{:?}", world.writes());
    one_instance(&world, &password)
}

#[tokio::test]
async fn killed_while_creating() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    world.fake()?.rds_timing(RdsTiming { create: Duration::from_secs(3_600), ..RdsTiming::default() });
    world.create("orders", json!({})).await?;
    world.until("orders", "creating", |object| object.data["status"]["ready"] == "creating").await?;
    world.kill_operator()?;
    let source = world.secret("orders-credentials").await?.context("the password")?;
    world.start_operator().await?;
    world.quiet(2).await?;
    ensure!(world.secret("orders").await?.is_none(), "nothing is published without an endpoint");
    world.pass_hours(1)?;
    world.in_sync("orders").await?;
    let password = world.agreed("orders", |_| true).await?;
    ensure!(password == source["password"], "another password");
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    one_instance(&world, &password)
}

#[tokio::test]
async fn killed_when_available() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let versions = async || -> Result<_> {
        let of = async |name| world.secrets().get(name).await.map(|secret| secret.metadata.resource_version);
        Ok((of("orders").await?, of("orders-credentials").await?))
    };
    let before = versions().await?;
    world.kill_operator()?;
    world.start_operator().await?;
    world.quiet(3).await?;
    world.in_sync("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password, "another password");
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    let of = async |name| world.secrets().get(name).await.map(|secret| secret.metadata.resource_version);
    ensure!((of("orders").await?, of("orders-credentials").await?) == before, "the Secrets were written");
    one_instance(&world, &password)
}

#[tokio::test]
async fn killed_while_a_new_password_is_on_its_way() -> Result<()> {
    for effect in [Effect::Blackhole, Effect::HoldReply] {
        let mut world = World::start(Aws::Fake).await?;
        let old = world.ready_with_password("orders", json!({})).await?;
        world.proxy.fault(Fault::new("ModifyDBInstance", effect.clone()));
        world.annotate("orders", ROTATE, json!("1")).await?;
        world.arrived("ModifyDBInstance", 1).await?;
        world.kill_operator()?;
        world.proxy.release();
        let source = world.secret("orders-credentials").await?.context("the password")?;
        let connection = world.secret("orders").await?.context("the connection")?;
        ensure!(source["password"] != old && connection["DB_PASSWORD"] == old, "{effect:?}");

        world.start_operator().await?;
        let new = world.agreed("orders", |password| password != old).await?;
        ensure!(new == source["password"], "{effect:?}: yet another password");
        world.in_sync("orders").await?;
        ensure!(world.writes() == ["CreateDBInstance", "ModifyDBInstance", "ModifyDBInstance"], "{:?}", world.writes());
        world.quiet(3).await?;
        ensure!(world.passwords_sent().iter().eq([&old, &new, &new]), "{effect:?}");
    }
    Ok(())
}

#[tokio::test]
async fn killed_between_the_final_snapshot_and_the_end() -> Result<()> {
    for effect in [Effect::LoseReply, Effect::HoldReply, Effect::Blackhole] {
        let mut world = World::start(Aws::Fake).await?;
        world.ready_with_password("orders", json!({})).await?;
        world.proxy.fault(Fault::new("DeleteDBInstance", effect.clone()));
        world.ask_deletion("orders").await?;
        world.arrived("DeleteDBInstance", 1).await?;
        world.kill_operator()?;
        world.proxy.release();
        world.start_operator().await?;
        world.gone("orders").await?;
        ensure!(world.instance("orders")?.is_none());
        let snapshots = world.fake()?.snapshots(&world.account, REGION);
        ensure!(snapshots.len() == 1, "{effect:?}: {snapshots:?}");
    }
    Ok(())
}

#[tokio::test]
async fn killed_while_retaining() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({ "deletionPolicy": "Retain" })).await?;
    world.proxy.fault(Fault::new("AddTagsToResource", Effect::HoldReply));
    world.ask_deletion("orders").await?;
    world.arrived("AddTagsToResource", 1).await?;
    world.kill_operator()?;
    world.proxy.release();
    world.start_operator().await?;
    world.gone("orders").await?;
    for secret in ["orders", "orders-credentials"] {
        ensure!(world.owners(secret).await?.is_empty(), "{secret} goes with its object");
    }
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password, "another password");
    one_instance(&world, &password)
}

#[tokio::test]
async fn restored_from_a_backup_without_status_uid_and_owners() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    world.kill_operator()?;
    let restored = world.restore_from_backup("orders").await?;
    world.start_operator().await?;
    world.in_sync("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password, "another password");
    for secret in ["orders", "orders-credentials"] {
        world.owned(secret, &restored).await?;
    }
    ensure!(world.proxy.calls_of("CreateDBInstance").len() == 1, "{:?}", world.writes());
    let tags = world.database("orders")?.tags;
    ensure!(tags.get("fairlead.dev/uid") == restored.metadata.uid.as_ref(), "{tags:?}");
    world.told("orders", "Restamped").await?;
    one_instance(&world, &password)?;
    world.quiet(3).await
}
