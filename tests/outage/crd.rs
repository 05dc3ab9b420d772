//! The CRD goes, or changes: the data in AWS stays.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    turn, unready,
    world::{Aws, DEADLINE, World, message},
};

const CRD: &str = "sqsqueues.aws.fairlead.dev";

/// Puts the CRD back as deploy/ has it.
async fn restore(world: &World) -> Result<()> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/crds");
    world.cluster.kubectl(&["apply", "--server-side", "--force-conflicts", "-f", path]).await?;
    let established = ["wait", "--for=condition=Established", "--timeout=60s", "-f", path];
    world.cluster.kubectl(&established).await?;
    world
        .eventually("the kind is served", async || match world.queues().list(&Default::default()).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
        .await
}

#[tokio::test]
async fn a_lost_crd_loses_no_queue() -> Result<()> {
    let _turn = turn().await?;
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "deletionPolicy": "Delete", "delaySeconds": 3 })).await?;
    world.in_sync("orders").await?;
    let before = world.attributes(&aws_name).await?;

    world.cluster.kubectl(&["delete", "crd", CRD, "--timeout=60s"]).await?;
    let (attributes, tags) = world.queue(&aws_name).await?;
    ensure!(attributes == before, "{attributes:?}");
    ensure!(tags.contains_key("fairlead.dev/retained") && !tags.contains_key("fairlead.dev/uid"), "{tags:?}");
    world.has_told("orders", "Retained").await?;
    let notes = world.notes("orders", "Retained").await?;
    ensure!(notes[0].contains("because the CRD itself is being deleted"), "{notes:?}");
    unready(world.operator()?, &[&format!("the CRD {CRD} is not installed")]).await?;
    ensure!(world.operator()?.is_running());

    restore(&world).await?;
    world.operator()?.ready(DEADLINE).await?;
    let object = world.create("orders", json!({ "delaySeconds": 3 })).await?;
    world.in_sync("orders").await?;
    world.has_told("orders", "Resumed").await?;
    let (attributes, tags) = world.queue(&aws_name).await?;
    ensure!(attributes == before, "{attributes:?}");
    ensure!(Some(&tags["fairlead.dev/uid"]) == object.metadata.uid.as_ref(), "{tags:?}");
    ensure!(!world.operations().contains(&"DeleteQueue".to_owned()));
    Ok(())
}

#[tokio::test]
async fn an_object_of_another_version_of_the_crd_stalls_and_can_be_deleted() -> Result<()> {
    let _turn = turn().await?;
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({ "delaySeconds": 3 })).await?;
    world.create("witness", json!({})).await?;
    world.in_sync("orders").await?;
    let path = "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/delaySeconds";
    let looser = json!([{ "op": "replace", "path": path, "value": { "x-kubernetes-preserve-unknown-fields": true } }]);
    world.cluster.kubectl(&["patch", "crd", CRD, "--type=json", "-p", &looser.to_string()]).await?;
    let what = "a text is taken";
    world
        .eventually(what, async || match world.patch("orders", json!({ "spec": { "delaySeconds": "soon" } })).await {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("{error:#}")),
        })
        .await?;
    let object = world.stalled("orders", "InvalidSpec").await?;
    ensure!(message(&object, "Stalled").contains("soon"), "{}", object.data);
    world.delete("orders").await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    // It has held nobody else up.
    world.set("witness", json!({ "delaySeconds": 4 })).await?;
    restore(&world).await
}
