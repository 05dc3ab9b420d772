//! With what rights it shows what, and what it says of those that are missing.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::wait::eventually;
use serde_json::{Value, json};

use crate::world::World;

const NO_AWS: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];

fn get_queues() -> Value {
    json!({ "apiGroups": ["aws.fairlead.dev"], "resources": ["sqsqueues"], "verbs": ["get"] })
}

#[tokio::test]
async fn with_get_on_the_object_alone_it_answers_and_names_what_it_lacks() -> Result<()> {
    let world = World::start().await?;
    world.create("orders", json!({ "visibilityTimeout": 45 })).await?;
    world.in_sync("orders").await?;
    let person = world.person("person", json!([get_queues()])).await?;
    let args = ["explain", "sqsqueue/orders", "-n", &world.namespace];
    let ended = world.run(&person, &args, &NO_AWS, "").await?;
    if std::env::var_os("SHOW").is_some() {
        eprintln!("----- restricted\n{}", ended.out);
    }
    ensure!(ended.code == Some(0) && ended.err.is_empty(), "{ended:?}");
    for words in [
        "READY, and as its spec says",
        &world.aws_name("orders"),
        "What could not be seen",
        &format!("events: you need `list` on events in {}, which the role view grants", world.namespace),
        &format!("you need `list` on leases.coordination.k8s.io in {}", world.leases),
        &format!("you need `list` on pods in {}", world.leases),
        "the resource in AWS: no AWS credentials",
    ] {
        ensure!(ended.out.contains(words), "{words:?} is not in\n{}", ended.out);
    }
    ensure!(world.calls().is_empty(), "without credentials nothing is called: {:?}", world.calls());

    // With credentials and nothing else, the resource is compared all the same.
    let ended = world.run(&person, &args, &[], "").await?;
    ensure!(ended.code == Some(0) && ended.out.contains("nothing: the resource is as the spec says"), "{ended:?}");
    ensure!(ended.out.contains("assumed: that this cluster is the one that the owner tags name"), "{ended:?}");

    // Nothing at all is another matter.
    let other = world.run(&person, &["explain", "rdsinstance/orders", "-n", &world.namespace], &NO_AWS, "").await?;
    ensure!(other.code == Some(1) && other.err.contains("can't be read, for which you need `get`"), "{other:?}");
    Ok(())
}

#[tokio::test]
async fn the_example_role_shows_all_that_is_not_in_aws() -> Result<()> {
    let world = World::start().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    // As it is shipped; the replicas of this test are in another namespace.
    let shipped = include_str!("../../deploy/rbac.yaml");
    let status = shipped.split("\n---\n").find(|it| it.contains("name: fairlead-status")).context("no such role")?;
    world.cluster.kubectl_apply(&status.replace("fairlead-system", &world.leases)).await?;
    let person = world.person("helper", json!([get_queues()])).await?;
    let subject = format!("--serviceaccount={}:helper", world.namespace);
    let name = format!("{}-explains", world.namespace);
    let explain = ["create", "clusterrolebinding", &name, "--clusterrole=fairlead-explain", &subject];
    world.cluster.kubectl(&explain).await?;
    let status = ["create", "rolebinding", &name, "--role=fairlead-status", &subject, "--namespace", &world.leases];
    world.cluster.kubectl(&status).await?;
    let args = ["explain", "sqsqueue/orders", "-n", &world.namespace, "-o", "json"];
    let look = async || {
        let ended = world.run(&person, &args, &NO_AWS, "").await.map_err(|error| error.to_string())?;
        let said: Value = serde_json::from_str(&ended.out).map_err(|error| format!("{error}: {ended:?}"))?;
        let unseen: Vec<_> = said["unseen"].as_array().into_iter().flatten().cloned().collect();
        let only_aws = unseen.iter().all(|it| it["what"] == "the resource in AWS");
        if only_aws || world.address.is_none() { Ok(said) } else { Err(format!("{unseen:?}")) }
    };
    let said = eventually("the role to be in effect", Duration::from_secs(30), look).await?;
    ensure!(said["leader"]["leads"] == true && said["events"][0]["reason"] == "Created", "{said:#}");
    if world.address.is_some() {
        ensure!(said["last"]["outcome"] == "inSync" && said["queue"]["stand"] == "due", "{said:#}");
    }
    // What somebody asks costs the operator no call of AWS.
    let before = world.fake.calls().len();
    world.run(&person, &args, &NO_AWS, "").await?;
    ensure!(world.fake.calls().len() == before, "{:?}", world.fake.calls().last());
    Ok(())
}
