//! The API server stops, or hangs: the process stays up and goes on by itself.

use std::time::Duration;

use anyhow::{Result, ensure};
use fairlead_harness::{cluster::Cluster, process::Signal};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{Api, api::DeleteParams};
use serde_json::json;

use crate::{
    turn, unready,
    world::{Aws, DEADLINE, World},
};

/// Ends the API server, and starts it again with its port and its etcd.
async fn restart(world: &World) -> Result<()> {
    world.cluster.stop_apiserver(Duration::ZERO).await?;
    world.cluster.start_apiserver().await
}

/// Goes on when it is dropped, so that a test that fails does not stop the others.
struct Hanging(&'static Cluster);

impl Hanging {
    fn new(cluster: &'static Cluster) -> Result<Self> {
        cluster.signal_apiserver(Signal::STOP)?;
        Ok(Self(cluster))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // Fails where it has ended: then there is nothing to go on.
        let _ = self.0.signal_apiserver(Signal::CONT);
    }
}

#[tokio::test]
async fn the_api_server_stops_and_starts_again() -> Result<()> {
    let _turn = turn().await?;
    let world = World::start(Aws::Ministack).await?;
    world.create("old", json!({})).await?;
    world.in_sync("old").await?;
    world.cluster.stop_apiserver(Duration::ZERO).await?;
    let gone = unready(world.operator()?, &["watch of SQSQueue", "watch of ConfigMap"]).await;
    world.cluster.start_apiserver().await?;
    gone?;
    ensure!(world.operator()?.is_running());
    world.operator()?.ready(DEADLINE).await?;
    let what = "an object is taken";
    world.eventually(what, async || world.create("new", json!({})).await.map_err(|error| format!("{error:#}"))).await?;
    world.in_sync("new").await?;
    world.set("old", json!({ "delaySeconds": 3 })).await?;
    ensure!(world.writes() == ["CreateQueue", "CreateQueue", "SetQueueAttributes"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn the_api_server_hangs_for_a_while() -> Result<()> {
    let _turn = turn().await?;
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 3 })).await?;
    world.in_sync("orders").await?;
    let hanging = Hanging::new(world.cluster)?;
    world.drift(&aws_name, "DelaySeconds", "4").await?;
    world.until_attribute(&aws_name, "DelaySeconds", "3").await?;
    // The status of that is now waited for in vain; the process stays up.
    ensure!(world.operator()?.healthz().await?.0 == 200);
    drop(hanging);
    world.set("orders", json!({ "delaySeconds": 5 })).await?;
    world.until_attribute(&aws_name, "DelaySeconds", "5").await?;
    ensure!(world.operator()?.is_running());
    Ok(())
}

#[tokio::test]
async fn a_config_map_that_went_while_the_operator_was_cut_off_comes_back() -> Result<()> {
    let _turn = turn().await?;
    // Its object is not polled: nothing but the ConfigMap's own watch can bring it.
    let world = World::quiet(Aws::Ministack).await?;
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let before = maps.get("orders").await?;
    world.operator()?.stop()?;
    restart(&world).await?;
    maps.delete("orders", &DeleteParams::default()).await?;
    // An API server that has started since knows of no deletion: the list alone tells.
    restart(&world).await?;
    world.operator()?.cont()?;
    let what = "the ConfigMap is back";
    let after = world
        .eventually(what, async || match maps.get_opt("orders").await {
            Ok(Some(map)) => Ok(map),
            other => Err(format!("{other:?}")),
        })
        .await?;
    ensure!(after.metadata.uid != before.metadata.uid && after.data == before.data, "{after:?}");
    Ok(())
}
