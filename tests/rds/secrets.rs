//! The two Secrets: renamed, moved, lost, edited and replaced by a stranger's.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::world::{Aws, REGION, World, is, message};

#[tokio::test]
async fn keys_and_name_can_be_chosen() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let keys = json!({ "DB_PASSWORD": "password", "DATABASE_URL": "url" });
    world.create("orders", json!({ "connection": { "name": "orders-env", "keys": keys } })).await?;
    world.in_sync("orders").await?;
    let secret = world.secret("orders-env").await?.context("the connection")?;
    ensure!(secret.keys().eq(["DB_HOST", "DB_NAME", "DB_PORT", "DB_USER", "password", "url"]), "{:?}", secret.keys());
    let password = secret["password"].clone();
    ensure!(world.secret("orders").await?.is_none());

    world.set("orders", json!({ "connection": { "name": "other", "keys": { "DATABASE_URL": null } } })).await?;
    world.no_secret("orders-env").await?;
    let secret = world.secret("other").await?.context("the connection")?;
    ensure!(secret["password"] == password && secret.contains_key("DATABASE_URL") && !secret.contains_key("url"));

    let object = world.set("orders", json!({ "connection": null })).await?;
    world.no_secret("other").await?;
    ensure!(world.agreed("orders", |_| true).await? == password);
    ensure!(object.data["status"]["connectionSecret"] == "orders", "{}", object.data);
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn other_names_of_the_keys_do_not_lose_the_password() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    world.set("orders", json!({ "connection": { "keys": { "DB_PASSWORD": "PGPASSWORD" } } })).await?;
    let secret = world.secret_until("orders", "renamed", |data| data.contains_key("PGPASSWORD")).await?;
    ensure!(secret["PGPASSWORD"] == password && !secret.contains_key("DB_PASSWORD"), "{:?}", secret.keys());
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn it_can_be_switched_off_and_on() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let off = world.set("orders", json!({ "connection": { "enabled": false } })).await?;
    world.no_secret("orders").await?;
    ensure!(off.data["status"]["connectionSecret"].is_null(), "{}", off.data);
    world.kill_operator()?;
    world.start_operator().await?;
    world.quiet(3).await?;
    world.set("orders", json!({ "connection": null })).await?;
    ensure!(world.agreed("orders", |_| true).await? == password);

    world.create("silent", json!({ "connection": { "enabled": false } })).await?;
    world.in_sync("silent").await?;
    ensure!(world.secret("silent").await?.is_none());
    let source = world.secret("silent-credentials").await?.context("the source")?;
    ensure!(world.password("silent")? == source["password"]);
    ensure!(world.writes() == ["CreateDBInstance", "CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn it_follows_the_endpoint() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    world.fake()?.move_endpoint(&world.account, REGION, &world.aws_name("orders"), "moved.example.com")?;
    let moved = world.secret_until("orders", "moved", |data| data["DB_HOST"] == "moved.example.com").await?;
    ensure!(moved["DB_PASSWORD"] == password && moved["DATABASE_URL"].contains("@moved.example.com:"));
    world.until("orders", "moved", |object| object.data["status"]["endpoint"] == "moved.example.com").await?;
    Ok(())
}

#[tokio::test]
async fn the_connection_is_published_again_where_it_was_deleted() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let object = world.object("orders").await?;
    world.drop_secret("orders").await?;
    world.look_now("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password);
    world.owned("orders", &object).await?;
    world.quiet(3).await
}

/// AWS has the password of the source all the while: nothing is sent.
#[tokio::test]
async fn the_connection_is_put_right_where_it_was_edited() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let good = world.secret("orders").await?.context("the connection")?;
    let object = world.object("orders").await?;
    for damage in [
        json!({ "stringData": { "DB_PASSWORD": "of-somebody", "DB_HOST": "example.com", "MORE": "x" } }),
        json!({ "data": { "DB_PASSWORD": null, "DATABASE_URL": null } }),
        json!({ "data": null }),
        json!({ "metadata": { "ownerReferences": null } }),
    ] {
        world.patch_secret("orders", damage.clone()).await?;
        world.look_now("orders").await?;
        world.secret_until("orders", &format!("repaired after {damage}"), |data| *data == good).await?;
        world.owned("orders", &object).await?;
    }
    ensure!(world.password("orders")? == password);
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn what_was_edited_in_both_goes_to_aws() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.ready_with_password("orders", json!({})).await?;
    world.edit_secret("orders", "DB_PASSWORD", "in-both-1234").await?;
    world.edit_secret("orders-credentials", "password", "in-both-1234").await?;
    world.look_now("orders").await?;
    world.agreed("orders", |password| password == "in-both-1234").await?;
    let whole = |url: &String| url.contains("in-both-1234");
    world.secret_until("orders", "put right", |data| data.get("DATABASE_URL").is_some_and(whole)).await?;
    Ok(())
}

#[tokio::test]
async fn a_stranger_s_secret_in_place_of_the_connection_stays_as_it_is() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    world.drop_secret("orders").await?;
    world.put_secret("orders", &[("DB_PASSWORD", "of-a-stranger")]).await?;
    world.look_now("orders").await?;
    let object = world.says("orders", "Ready", "ConnectionConflict").await?;
    ensure!(is(&object, "Ready", "False"), "{}", object.data);
    ensure!(message(&object, "Ready").contains("spec.connection.name"), "{}", object.data);
    let secret = world.secret("orders").await?.context("the stranger's")?;
    ensure!(secret.len() == 1 && secret["DB_PASSWORD"] == "of-a-stranger", "{:?}", secret.keys());
    ensure!(world.password("orders")? == password);

    // Another name is a way out; and so is the stranger's leave.
    world.set("orders", json!({ "connection": { "name": "orders-env" } })).await?;
    ensure!(world.secret("orders-env").await?.context("the connection")?["DB_PASSWORD"] == password);
    ensure!(world.secret("orders").await?.context("the stranger's")?["DB_PASSWORD"] == "of-a-stranger");
    world.drop_secret("orders").await?;
    world.set("orders", json!({ "connection": null })).await?;
    ensure!(world.agreed("orders", |_| true).await? == password);
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn no_instance_is_created_where_a_secret_s_name_is_taken() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    for (object, taken, field) in [
        ("orders", "orders", "spec.connection.name"),
        ("bills", "bills-credentials", "spec.credentials.generate.secretName"),
    ] {
        world.put_secret(taken, &[("password", "of-a-stranger")]).await?;
        world.create(object, json!({})).await?;
        let said = world.says(object, "Ready", "ConnectionConflict").await?;
        ensure!(is(&said, "Ready", "False") && is(&said, "Stalled", "True"), "{}", said.data);
        ensure!(message(&said, "Ready").contains(field), "{}", said.data);
        let secret = world.secret(taken).await?.context("the stranger's")?;
        ensure!(secret.len() == 1 && secret["password"] == "of-a-stranger", "{:?}", secret.keys());
        ensure!(world.writes().is_empty(), "{:?}", world.writes());
    }
    // As soon as the names are free, and somebody asks for a look.
    for (object, taken) in [("orders", "orders"), ("bills", "bills-credentials")] {
        world.drop_secret(taken).await?;
        world.look_now(object).await?;
        world.in_sync(object).await?;
        world.agreed(object, |_| true).await?;
    }
    Ok(())
}

#[tokio::test]
async fn the_two_secrets_may_not_be_one() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "connection": { "name": "orders-credentials" } })).await?;
    let said = world.says("orders", "Ready", "ConnectionConflict").await?;
    ensure!(is(&said, "Stalled", "True"), "{}", said.data);
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    world.set("orders", json!({ "connection": null })).await?;
    world.agreed("orders", |_| true).await?;
    Ok(())
}

#[tokio::test]
async fn a_stranger_s_secret_in_place_of_the_source_stays_as_it_is() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    world.drop_secret("orders-credentials").await?;
    world.put_secret("orders-credentials", &[("password", "of-a-stranger")]).await?;
    world.look_now("orders").await?;
    let object = world.says("orders", "Ready", "ConnectionConflict").await?;
    ensure!(message(&object, "Ready").contains("spec.credentials.generate.secretName"), "{}", object.data);
    let secret = world.secret("orders-credentials").await?.context("the stranger's")?;
    ensure!(secret.len() == 1 && secret["password"] == "of-a-stranger", "{:?}", secret.keys());
    ensure!(world.password("orders")? == password);
    world.drop_secret("orders-credentials").await?;
    world.look_now("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password);
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_lost_source_is_restored_from_the_connection() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let object = world.object("orders").await?;
    for (running, emptied) in [(true, false), (false, false), (true, true)] {
        if !running {
            world.kill_operator()?;
        }
        match emptied {
            true => world.edit_secret("orders-credentials", "password", "").await?,
            false => world.drop_secret("orders-credentials").await?,
        }
        if !running {
            world.start_operator().await?;
        }
        world.look_now("orders").await?;
        ensure!(world.agreed("orders", |_| true).await? == password, "another password");
        world.owned("orders-credentials", &object).await?;
    }
    world.told("orders", "PasswordRestored").await?;
    world.quiet(3).await?;
    ensure!(world.passwords_sent().iter().all(|sent| *sent == password));
    Ok(())
}

#[tokio::test]
async fn where_both_are_lost_a_new_password_is_made() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let lost = world.ready_with_password("orders", json!({})).await?;
    world.drop_secret("orders").await?;
    world.drop_secret("orders-credentials").await?;
    world.look_now("orders").await?;
    let new = world.agreed("orders", |password| password != lost).await?;
    world.told("orders", "PasswordReplaced").await?;
    world.in_sync("orders").await?;
    ensure!(world.passwords_sent() == [lost, new]);
    ensure!(world.times_told("orders", "PasswordReplaced").await? == 1);
    world.quiet(3).await
}

#[tokio::test]
async fn a_source_that_is_lost_while_nothing_is_published_is_replaced() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "connection": { "enabled": false } })).await?;
    world.in_sync("orders").await?;
    let lost = world.password("orders")?;
    world.drop_secret("orders-credentials").await?;
    world.look_now("orders").await?;
    world.told("orders", "PasswordReplaced").await?;
    world.in_sync("orders").await?;
    let source = world.secret("orders-credentials").await?.context("the source")?;
    let replaced = async || match world.password("orders") {
        Ok(password) if password == source["password"] => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually("AWS has the new password", replaced).await?;
    ensure!(world.passwords_sent() == [lost, source["password"].clone()]);
    Ok(())
}

#[tokio::test]
async fn a_lost_owner_is_set_again_and_the_password_stays() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({})).await?;
    let object = world.object("orders").await?;
    for secret in ["orders", "orders-credentials"] {
        world.patch_secret(secret, json!({ "metadata": { "ownerReferences": null } })).await?;
    }
    world.look_now("orders").await?;
    for secret in ["orders", "orders-credentials"] {
        world.owned(secret, &object).await?;
    }
    world.quiet(3).await?;
    ensure!(world.agreed("orders", |_| true).await? == password);
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn secrets_outlive_an_object_whose_instance_is_retained() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let password = world.ready_with_password("orders", json!({ "deletionPolicy": "Retain" })).await?;
    world.delete("orders").await?;
    for secret in ["orders", "orders-credentials"] {
        ensure!(world.owners(secret).await?.is_empty(), "{secret} goes with its object");
    }
    ensure!(world.instance("orders")?.is_some());

    let again = world.create("orders", json!({ "deletionPolicy": "Retain" })).await?;
    world.in_sync("orders").await?;
    ensure!(world.agreed("orders", |_| true).await? == password, "another password");
    for secret in ["orders", "orders-credentials"] {
        world.owned(secret, &again).await?;
    }
    world.told("orders", "Resumed").await?;
    ensure!(world.proxy.calls_of("CreateDBInstance").len() == 1, "{:?}", world.writes());
    ensure!(world.passwords_sent().iter().all(|sent| *sent == password));
    Ok(())
}

#[tokio::test]
async fn retaining_takes_the_owner_off_secrets_that_the_spec_names_no_longer() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    let spec = json!({
        "deletionPolicy": "Retain", "connection": { "name": "orders-env" },
        "credentials": { "generate": { "secretName": "orders-master" } },
    });
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    world.kill_operator()?;
    // By now it names others.
    let spec = json!({ "connection": { "name": "new" }, "credentials": { "generate": { "secretName": "newer" } } });
    world.patch("orders", json!({ "spec": spec })).await?;
    world.ask_deletion("orders").await?;
    world.start_operator().await?;
    world.gone("orders").await?;
    for secret in ["orders-env", "orders-master"] {
        ensure!(world.owners(secret).await?.is_empty(), "{secret} goes with its object");
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_needs_no_secret() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    for (name, spec) in [
        ("orders", Value::Null),
        ("bills", json!({ "credentials": { "secretRef": { "name": "own" } }, "deletionPolicy": "Delete" })),
        ("kept", json!({ "deletionPolicy": "Retain" })),
    ] {
        world.put_secret("own", &[("password", "of-the-user-1")]).await?;
        world.create(name, spec).await?;
        world.in_sync(name).await?;
        world.kill_operator()?;
        for secret in [name.to_owned(), format!("{name}-credentials"), "own".to_owned()] {
            if world.secret(&secret).await?.is_some() {
                world.drop_secret(&secret).await?;
            }
        }
        world.ask_deletion(name).await?;
        world.start_operator().await?;
        world.gone(name).await?;
        ensure!(world.instance(name)?.is_some() == (name == "kept"));
        ensure!(world.secret(name).await?.is_none());
        ensure!(world.secret(&format!("{name}-credentials")).await?.is_none());
    }
    Ok(())
}

#[tokio::test]
async fn an_object_that_only_observes_leaves_the_secrets_of_a_database_that_stays() -> Result<()> {
    let world = World::new(Aws::Fake).await?.env("FAIRLEAD_ALLOW_OBSERVE", "*/*");
    let mut world = world;
    world.start_operator().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.secret_until("orders", "published", |data| data.contains_key("DB_PASSWORD")).await?;
    world.patch("orders", json!({ "spec": { "management": "Observe" } })).await?;
    world.says("orders", "Synced", "Observed").await?;
    world.delete("orders").await?;
    ensure!(world.instance("orders")?.is_some());
    for secret in ["orders", "orders-credentials"] {
        ensure!(world.owners(secret).await?.is_empty(), "{secret} goes with its object");
    }
    Ok(())
}

#[tokio::test]
async fn a_database_that_is_deleted_leaves_no_secret_and_its_name_is_free() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    let create = async || world.create("orders", json!({ "deletionPolicy": "Delete" })).await;
    create().await?;
    world.in_sync("orders").await?;
    world.secret_until("orders", "published", |data| data.contains_key("DB_PASSWORD")).await?;
    world.delete("orders").await?;
    for secret in ["orders", "orders-credentials"] {
        ensure!(world.secret(secret).await?.is_none(), "{secret} is left");
    }
    create().await?;
    world.in_sync("orders").await?;
    Ok(())
}
