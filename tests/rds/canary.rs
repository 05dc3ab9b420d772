//! A password is nowhere but in its Secrets and in what AWS is sent: not in the log at its finest, not in an event,
//! a status or an error.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::aws_proxy::{Effect, Fault};
use k8s_openapi::{ByteString, api::events::v1::Event};
use kube::Api;
use serde_json::json;

use crate::{
    steps::ROTATE,
    world::{Aws, World},
};

const CANARY: &str = "Canary+z7=Q9%yellowish4bird";
const SECOND: &str = "Canary+k4=W2%turquoise4bird";

/// The forms in which a password may be found in a text: as it is, in a form, in a URL, in a Secret's JSON.
fn forms(password: &str) -> Result<Vec<String>> {
    let in_secret = serde_json::to_value(ByteString(password.as_bytes().to_vec()))?;
    let in_secret = in_secret.as_str().context("a text")?.trim_end_matches('=').to_owned();
    // What is between the signs is the same however they are encoded.
    let core = password.split(|c: char| !c.is_ascii_alphanumeric()).max_by_key(|part| part.len()).context("a part")?;
    let decimal = core.bytes().map(|byte| byte.to_string()).collect::<Vec<_>>().join(", ");
    Ok(vec![password.to_owned(), in_secret, core.to_owned(), decimal])
}

/// That the operator has told `password` nowhere.
async fn told_nowhere(world: &World, log: &str, password: &str) -> Result<()> {
    let objects = world.databases().list(&Default::default()).await?;
    let events: Api<Event> = Api::namespaced(world.admin.clone(), &world.namespace);
    let events = events.list(&Default::default()).await?;
    let metrics = world.operator()?.metrics().await?;
    let statusz = world.operator()?.statusz().await?.to_string();
    for form in forms(password)? {
        for (place, text) in [
            ("the log", log),
            ("an object", &serde_json::to_string(&objects)?),
            ("an event", &serde_json::to_string(&events)?),
            ("the metrics", &metrics),
            ("/statusz", &statusz),
        ] {
            let line = text.lines().find(|line| line.contains(&form));
            ensure!(line.is_none(), "a password is in {place}: {}", line.unwrap_or_default());
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_password_is_told_nowhere() -> Result<()> {
    // The last two have the SDK log requests and answers as they are.
    let world = World::new(Aws::Fake).await?.env("RUST_LOG", "trace");
    let mut world = world.env("LOG_SIGNABLE_BODY", "true").env("LOG_SENSITIVE_BODIES", "true");
    world.start_operator().await?;
    world.put_secret("the-password", &[("password", CANARY)]).await?;
    world.create("own", json!({ "credentials": { "secretRef": { "name": "the-password" } } })).await?;
    world.create("generated", json!({})).await?;
    world.in_sync("own").await?;
    world.in_sync("generated").await?;
    let generated = world.agreed("generated", |_| true).await?;
    ensure!(world.secret("own").await?.context("the connection")?["DB_PASSWORD"] == CANARY);

    // AWS refuses another one, can't be reached, loses an answer, and takes it.
    let refuse =
        Effect::respond(400, "InvalidParameterValue", "The parameter MasterUserPassword is not a valid password.");
    world.proxy.fault(Fault::new("ModifyDBInstance", refuse));
    world.edit_secret("the-password", "password", SECOND).await?;
    world.look_now("own").await?;
    world.says("own", "Stalled", "RejectedByAWS").await?;
    world.proxy.unavailable(true);
    world.look_now("own").await?;
    world.annotate("generated", ROTATE, json!("1")).await?;
    for name in ["own", "generated"] {
        world.until(name, "AWS can't be reached", |object| crate::world::is(object, "Synced", "False")).await?;
    }
    world
        .until("own", "AWS can't be reached", |object| {
            crate::world::condition(object, "Synced")["reason"] != "RejectedByAWS"
        })
        .await?;
    world.proxy.fault(Fault::new("ModifyDBInstance", Effect::LoseReply).times(2));
    world.proxy.unavailable(false);
    world.look_now("own").await?;
    world.in_sync("own").await?;
    world.in_sync("generated").await?;
    world.secret_until("own", "the second", |data| data["DB_PASSWORD"] == SECOND).await?;
    let rotated = world.agreed("generated", |password| password != generated).await?;

    // What AWS would not take, and a Secret that is in the way.
    world.edit_secret("the-password", "password", &format!("{CANARY}@")).await?;
    world.look_now("own").await?;
    world.says("own", "Stalled", "InvalidSpec").await?;
    world.drop_secret("generated").await?;
    world.put_secret("generated", &[("x", "of-a-stranger")]).await?;
    world.look_now("generated").await?;
    world.says("generated", "Stalled", "ConnectionConflict").await?;
    world.delete("own").await?;

    let log = world.operator()?.log();
    ensure!(log.contains("TRACE") && log.lines().count() > 200, "the log is not at its finest");
    for password in [CANARY, SECOND, &generated, &rotated] {
        told_nowhere(&world, &log, password).await?;
    }
    Ok(())
}
