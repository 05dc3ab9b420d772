//! Where the password comes from, and when it becomes another one.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    fake_aws::{RdsTiming, SnapshotState},
};
use serde_json::{Value, json};

use crate::{
    steps::ROTATE,
    world::{Aws, REGION, World, condition, is, message},
};

const PASSWORD_OF: &str = "aws.fairlead.dev/password-of";
const HOUR: Duration = Duration::from_secs(3_600);

#[tokio::test]
async fn a_generated_password_is_kept_before_the_create_and_published_with_the_endpoint() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.proxy.fault(Fault::new("CreateDBInstance", Effect::HoldReply));
    let object = world.create("orders", json!({ "dbName": "shop", "masterUsername": "boss", "port": 6_000 })).await?;
    world.arrived("CreateDBInstance", 1).await?;
    let source = world.secrets().get("orders-credentials").await?;
    ensure!(source.metadata.annotations.unwrap_or_default()[PASSWORD_OF] == "RDSInstance/orders");
    world.owned("orders-credentials", &object).await?;
    let source = world.secret("orders-credentials").await?.context("the source")?;
    ensure!(source.keys().eq(["password"]) && source["password"].len() >= 30, "{:?}", source.keys());
    ensure!(world.passwords_sent() == [source["password"].clone()]);
    ensure!(world.secret("orders").await?.is_none());
    world.proxy.release();
    world.until("orders", "creating", |object| object.data["status"]["ready"] == "creating").await?;

    let ready = world.in_sync("orders").await?;
    let secret = world.secret("orders").await?.context("the connection")?;
    world.owned("orders", &object).await?;
    ensure!(secret.keys().eq(["DATABASE_URL", "DB_HOST", "DB_NAME", "DB_PASSWORD", "DB_PORT", "DB_USER"]));
    let host = ready.data["status"]["endpoint"].as_str().context("an endpoint")?;
    ensure!(!host.contains(':'), "{host}");
    let password = &source["password"];
    for (key, value) in [
        ("DB_HOST", host),
        ("DB_NAME", "shop"),
        ("DB_PASSWORD", password),
        ("DB_PORT", "6000"),
        ("DB_USER", "boss"),
        ("DATABASE_URL", &format!("postgresql://boss:{password}@{host}:6000/shop")),
    ] {
        ensure!(secret[key] == value, "{key}: {} instead of {value}", secret[key]);
    }
    ensure!(ready.data["status"]["connectionSecret"] == "orders", "{}", ready.data);
    ensure!(ready.data["status"]["credentials"]["secret"] == "orders-credentials", "{}", ready.data);
    world.quiet(2).await
}

#[tokio::test]
async fn each_engine_has_its_url() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    for (engine, scheme, path) in
        [("postgres", "postgresql", "/postgres"), ("mysql", "mysql", ""), ("mariadb", "mysql", "")]
    {
        world.create(engine, json!({ "engine": engine })).await?;
        world.in_sync(engine).await?;
        let secret = world.secret(engine).await?.context("the connection")?;
        let (url, host, port) = (&secret["DATABASE_URL"], &secret["DB_HOST"], &secret["DB_PORT"]);
        let (user, password) = (&secret["DB_USER"], &secret["DB_PASSWORD"]);
        ensure!(*url == format!("{scheme}://{user}:{password}@{host}:{port}{path}"), "{engine}");
        ensure!(secret.get("DB_NAME").map(String::as_str).unwrap_or_default() == path.trim_start_matches('/'));
    }
    Ok(())
}

#[tokio::test]
async fn a_source_of_another_name_can_be_chosen() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let spec = json!({ "credentials": { "generate": { "secretName": "orders-master" } } });
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    let source = world.secret("orders-master").await?.context("the source")?;
    ensure!(source["password"] == world.password("orders")?);
    ensure!(world.secret("orders-credentials").await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_source_that_was_edited_goes_to_aws_first_and_is_published_then() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let old = world.ready_with_password("orders", json!({})).await?;
    world.proxy.fault(Fault::new("ModifyDBInstance", Effect::HoldReply));
    world.edit_secret("orders-credentials", "password", "by-hand-1234").await?;
    world.look_now("orders").await?;
    let changed = async || match world.password("orders") {
        Ok(password) if password == "by-hand-1234" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually("AWS has the new password", changed).await?;
    let connection = world.secret("orders").await?.context("the connection")?;
    ensure!(connection["DB_PASSWORD"] == old, "published before AWS has accepted it");
    world.proxy.release();
    world.agreed("orders", |password| password == "by-hand-1234").await?;
    let secret = world.secret("orders").await?.context("the connection")?;
    ensure!(secret["DATABASE_URL"].contains("by-hand-1234"));
    world.in_sync("orders").await?;
    ensure!(world.writes() == ["CreateDBInstance", "ModifyDBInstance"], "{:?}", world.writes());
    world.quiet(3).await
}

#[tokio::test]
async fn a_password_is_rotated_once_for_each_wish() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let first = world.ready_with_password("orders", json!({})).await?;
    world.annotate("orders", ROTATE, json!("1")).await?;
    let second = world.agreed("orders", |password| password != first).await?;
    world.told("orders", "PasswordRotated").await?;
    world.in_sync("orders").await?;
    world.quiet(3).await?;

    world.kill_operator()?;
    world.start_operator().await?;
    world.quiet(3).await?;
    world.annotate("orders", ROTATE, Value::Null).await?;
    world.quiet(3).await?;
    world.look_now("orders").await?;
    world.quiet(3).await?;
    ensure!(world.agreed("orders", |_| true).await? == second, "rotated again");
    world.annotate("orders", ROTATE, json!("1")).await?;
    world.quiet(3).await?;
    ensure!(world.agreed("orders", |_| true).await? == second, "the same wish was granted twice");

    world.annotate("orders", ROTATE, json!("2")).await?;
    let third = world.agreed("orders", |password| password != second).await?;
    ensure!(world.passwords_sent() == [first, second, third]);
    ensure!(world.times_told("orders", "PasswordRotated").await? == 2, "{:?}", world.events("orders").await?);
    Ok(())
}

#[tokio::test]
async fn a_wish_that_was_there_from_the_beginning_asks_for_nothing() -> Result<()> {
    let world = World::new(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.annotate("orders", ROTATE, json!("1")).await?;
    let mut world = world;
    world.start_operator().await?;
    world.in_sync("orders").await?;
    world.agreed("orders", |_| true).await?;
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    world.quiet(3).await
}

#[tokio::test]
async fn a_password_that_is_rotated_during_the_creation_is_set_after_it() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.fake()?.rds_timing(RdsTiming { create: HOUR, ..RdsTiming::default() });
    world.create("orders", json!({})).await?;
    world.until("orders", "creating", |object| object.data["status"]["ready"] == "creating").await?;
    world.annotate("orders", ROTATE, json!("1")).await?;
    world.told("orders", "PasswordRotated").await?;
    let source = world.secret("orders-credentials").await?.context("the source")?;
    world.quiet(2).await?;
    world.pass_hours(1)?;
    world.in_sync("orders").await?;
    let password = world.agreed("orders", |_| true).await?;
    ensure!(password == source["password"]);
    ensure!(world.writes() == ["CreateDBInstance", "ModifyDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_source_that_was_edited_to_what_aws_would_not_take_is_refused_without_showing_it() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    world.edit_secret("orders-credentials", "password", "by-hand@1234").await?;
    world.look_now("orders").await?;
    let stalled = world.says("orders", "Stalled", "InvalidSpec").await?;
    let said = message(&stalled, "Stalled");
    ensure!(said.contains("spec.credentials.generate.secretName") && said.contains("printable"), "{said}");
    ensure!(!stalled.data.to_string().contains("by-hand"), "{}", stalled.data);
    ensure!(is(&stalled, "Ready", "True"), "{}", stalled.data);
    ensure!(world.secret("orders").await?.context("the connection")?["DB_PASSWORD"] == password);
    world.edit_secret("orders-credentials", "password", "by-hand-1234").await?;
    world.agreed("orders", |password| password == "by-hand-1234").await?;
    world.in_sync("orders").await?;
    ensure!(world.passwords_sent() == [password, "by-hand-1234".into()]);
    Ok(())
}

#[tokio::test]
async fn while_the_instance_is_busy_the_connection_keeps_the_password_that_aws_has() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let old = world.ready_with_password("orders", json!({})).await?;
    world.set_status("orders", "backing-up")?;
    world.annotate("orders", ROTATE, json!("1")).await?;
    let waiting =
        world.until("orders", "the password waits", |object| message(object, "Synced").contains("credentials")).await?;
    ensure!(is(&waiting, "Ready", "True") && is(&waiting, "Synced", "False"), "{}", waiting.data);
    world.quiet(3).await?;
    let connection = world.secret("orders").await?.context("the connection")?;
    ensure!(connection["DB_PASSWORD"] == old && world.password("orders")? == old);
    world.set_status("orders", "available")?;
    let new = world.agreed("orders", |password| password != old).await?;
    world.in_sync("orders").await?;
    ensure!(world.passwords_sent() == [old, new]);
    Ok(())
}

#[tokio::test]
async fn a_referenced_password_is_waited_for() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "credentials": { "secretRef": { "name": "own", "key": "pw" } } })).await?;
    let missing = world.says("orders", "Synced", "WaitingForDependency").await?;
    let said = message(&missing, "Synced");
    ensure!(said.contains("spec.credentials.secretRef") && said.contains("own"), "{said}");
    world.put_secret("own", &[("other", "x")]).await?;
    let missing = world.until("orders", "no key", |object| message(object, "Synced").contains("has no key pw")).await?;
    ensure!(condition(&missing, "Synced")["reason"] == "WaitingForDependency", "{}", missing.data);
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    world.edit_secret("own", "pw", "from-the-user-1").await?;
    world.in_sync("orders").await?;
    ensure!(world.password("orders")? == "from-the-user-1");
    ensure!(world.secret("orders").await?.context("the connection")?["DB_PASSWORD"] == "from-the-user-1");
    ensure!(world.secret("orders-credentials").await?.is_none());
    ensure!(world.owners("own").await?.is_empty(), "it is the user's");

    // Gone again: what works goes on working, and it is said.
    world.drop_secret("own").await?;
    world.look_now("orders").await?;
    let waiting = world.says("orders", "Synced", "WaitingForDependency").await?;
    ensure!(is(&waiting, "Ready", "True"), "{}", waiting.data);
    ensure!(world.secret("orders").await?.context("the connection")?["DB_PASSWORD"] == "from-the-user-1");
    world.put_secret("own", &[("pw", "from-the-user-1")]).await?;
    world.in_sync("orders").await?;
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_referenced_password_that_aws_would_not_take_is_refused_without_showing_it() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.put_secret("own", &[("password", "sh0rt")]).await?;
    world.create("orders", json!({ "credentials": { "secretRef": { "name": "own" } } })).await?;
    for (bad, part) in [("with@sign-1234", "sign-1234"), ("sh0rt", "sh0rt"), ("line-end-1234\n", "line-end")] {
        world.edit_secret("own", "password", bad).await?;
        world.look_now("orders").await?;
        let problem = if bad.len() < 8 { "characters" } else { "printable" };
        let stalled = world.until("orders", problem, |object| message(object, "Stalled").contains(problem)).await?;
        ensure!(condition(&stalled, "Stalled")["reason"] == "InvalidSpec", "{}", stalled.data);
        ensure!(message(&stalled, "Stalled").contains("spec.credentials.secretRef"), "{}", stalled.data);
        ensure!(!stalled.data.to_string().contains(part), "{}", stalled.data);
    }
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    // Nobody touches the object: that the Secret is as it ought to be is seen all the same.
    world.edit_secret("own", "password", "as-it-ought-to-be").await?;
    world.in_sync("orders").await?;
    ensure!(world.password("orders")? == "as-it-ought-to-be");
    Ok(())
}

#[tokio::test]
async fn a_referenced_password_that_changes_goes_to_aws_first_and_is_published_then() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.put_secret("own", &[("password", "the-first-one")]).await?;
    world.create("orders", json!({ "credentials": { "secretRef": { "name": "own" } } })).await?;
    world.in_sync("orders").await?;
    world.proxy.fault(Fault::new("ModifyDBInstance", Effect::HoldReply));
    world.edit_secret("own", "password", "the-second-one").await?;
    world.look_now("orders").await?;
    world.arrived("ModifyDBInstance", 1).await?;
    ensure!(world.secret("orders").await?.context("the connection")?["DB_PASSWORD"] == "the-first-one");
    world.proxy.release();
    world.secret_until("orders", "the new password", |data| data["DB_PASSWORD"] == "the-second-one").await?;
    ensure!(world.password("orders")? == "the-second-one");
    // A change of its metadata alone is none.
    world.patch_secret("own", json!({ "metadata": { "labels": { "seen": "true" } } })).await?;
    world.look_now("orders").await?;
    world.quiet(3).await?;
    ensure!(world.passwords_sent() == ["the-first-one", "the-second-one"]);
    Ok(())
}

#[tokio::test]
async fn a_password_can_come_from_elsewhere() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let generated = world.ready_with_password("orders", json!({})).await?;
    world.put_secret("own", &[("password", "of-the-user")]).await?;
    world.set("orders", json!({ "credentials": { "secretRef": { "name": "own" } } })).await?;
    world.secret_until("orders", "the user's", |data| data["DB_PASSWORD"] == "of-the-user").await?;
    ensure!(world.password("orders")? == "of-the-user");
    world.set("orders", json!({ "credentials": null })).await?;
    ensure!(world.agreed("orders", |_| true).await? == generated, "the generated password is kept");
    Ok(())
}

#[tokio::test]
async fn aws_may_manage_the_password() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "credentials": { "managedByAWS": {} } })).await?;
    let ready = world.in_sync("orders").await?;
    let arn = world.database("orders")?.secret_arn.context("a secret in AWS")?;
    ensure!(ready.data["status"]["masterUserSecretARN"] == arn, "{}", ready.data);
    let secret = world.secret_until("orders", "published", |data| data.contains_key("DB_SECRET_ARN")).await?;
    ensure!(secret["DB_SECRET_ARN"] == arn);
    ensure!(secret.keys().eq(["DB_HOST", "DB_NAME", "DB_PORT", "DB_SECRET_ARN", "DB_USER"]), "{:?}", secret.keys());
    ensure!(world.secret("orders-credentials").await?.is_none(), "no password is made");
    ensure!(world.passwords_sent().is_empty());
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    world.quiet(3).await
}

#[tokio::test]
async fn aws_may_take_the_password_over_and_hand_it_back() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    for restarts in [false, true] {
        world.set("orders", json!({ "credentials": { "managedByAWS": {} } })).await?;
        let secret = world.secret_until("orders", "the ARN", |data| data.contains_key("DB_SECRET_ARN")).await?;
        ensure!(!secret.contains_key("DB_PASSWORD") && !secret.contains_key("DATABASE_URL"), "{:?}", secret.keys());
        world.quiet(3).await?;
        if restarts {
            world.kill_operator()?;
        }
        world.patch("orders", json!({ "spec": { "credentials": null } })).await?;
        if restarts {
            world.start_operator().await?;
        }
        let ready = world.in_sync("orders").await?;
        ensure!(ready.data["status"]["masterUserSecretARN"].is_null(), "{}", ready.data);
        ensure!(world.agreed("orders", |_| true).await? == password, "the generated password is kept");
        let secret = world.secret("orders").await?.context("the connection")?;
        ensure!(!secret.contains_key("DB_SECRET_ARN"), "{:?}", secret.keys());
        world.quiet(3).await?;
    }
    ensure!(world.passwords_sent().iter().eq([&password, &password, &password]));
    Ok(())
}

#[tokio::test]
async fn a_password_that_somebody_lets_aws_manage_is_taken_back() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let call = world.rds().modify_db_instance().db_instance_identifier(world.aws_name("orders"));
    call.manage_master_user_password(true).send().await?;
    ensure!(world.database("orders")?.secret_arn.is_some());
    let back = async || match world.password("orders") {
        Ok(now) if now == password => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually("the password is the generated one again", back).await?;
    world.in_sync("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password);
    Ok(())
}

#[tokio::test]
async fn a_restored_instance_is_ready_only_with_the_password_of_its_secret() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let snapshot = SnapshotState {
        identifier: "last-week".into(),
        instance: "lost".into(),
        password: Some("of-last-week".into()),
        ..SnapshotState::default()
    };
    world.fake()?.add_snapshot(&world.account, REGION, snapshot)?;
    world.proxy.fault(Fault::new("ModifyDBInstance", Effect::HoldReply));
    world.create("orders", json!({ "restoreFromSnapshot": "last-week", "storageEncrypted": false })).await?;
    world.arrived("ModifyDBInstance", 1).await?;
    let object = world.object("orders").await?;
    ensure!(is(&object, "Ready", "False"), "{}", object.data);
    ensure!(world.secret("orders").await?.is_none(), "AWS has not accepted its password");
    let source = world.secret("orders-credentials").await?.context("the password")?;
    world.proxy.release();
    world.in_sync("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == source["password"]);
    ensure!(world.secret("orders").await?.context("the connection")?["DB_USER"] == "postgres", "the snapshot's user");
    let writes = world.writes();
    ensure!(writes == ["RestoreDBInstanceFromDBSnapshot", "ModifyDBInstance"], "{writes:?}");
    world.quiet(3).await
}

#[tokio::test]
async fn a_change_whose_answer_was_lost_and_that_was_taken_back_leaves_aws_with_what_is_published() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.put_secret("orders-credentials", &[("password", "first-password")]).await?;
    world.create("orders", json!({ "credentials": { "secretRef": { "name": "orders-credentials" } } })).await?;
    world.in_sync("orders").await?;
    world.secret_until("orders", "published", |data| data.contains_key("DB_PASSWORD")).await?;
    // Until the wish is taken back, nothing more comes through than the one change.
    world.proxy.fault(Fault::new("ModifyDBInstance", Effect::LoseReply));
    world
        .proxy
        .fault(Fault::new("ModifyDBInstance", Effect::respond(500, "InternalFailure", "later")).skip(1).always());
    world.edit_secret("orders-credentials", "password", "second-password").await?;
    world.look_now("orders").await?;
    let second = async || match world.password("orders") {
        Ok(password) if password == "second-password" => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually("AWS has the second password", second).await?;
    world.edit_secret("orders-credentials", "password", "first-password").await?;
    world.look_now("orders").await?;
    world.until("orders", "seen", crate::world::observed).await?;
    world.proxy.clear_faults();
    world.agreed("orders", |password| password == "first-password").await?;
    Ok(())
}

#[tokio::test]
async fn a_password_moves_with_its_secret_s_name() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let spec = json!({ "connection": { "enabled": false }, "credentials": { "generate": { "secretName": "one" } } });
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    let before = world.password("orders")?;
    world.set("orders", json!({ "credentials": { "generate": { "secretName": "other" } } })).await?;
    let moved = world.secret_until("other", "there", |data| data.contains_key("password")).await?;
    ensure!(moved["password"] == before && world.password("orders")? == before);
    ensure!(!world.events("orders").await?.iter().any(|reason| reason == "PasswordReplaced"));
    Ok(())
}
