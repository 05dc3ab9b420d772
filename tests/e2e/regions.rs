//! Regions and partitions: what may be set later, and what ARNs look like.

use anyhow::{Context as _, Result, ensure};
use aws_sdk_sqs::types::QueueAttributeName;
use fairlead_harness::sqs::sqs_client;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use serde_json::{Value, json};

use crate::world::{Aws, World};

#[tokio::test]
async fn the_region_in_effect_may_be_written_down_later() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "region": "eu-west-1" } })).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["identity"]["region"] == "eu-west-1", "{}", object.data);
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn another_region_is_refused() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    for (name, spec) in [("unset", json!({})), ("set", json!({ "region": "eu-west-1" }))] {
        world.create(name, spec).await?;
        world.in_sync(name).await?;
        let refused = world.patch(name, json!({ "spec": { "region": "us-east-1" } })).await;
        let said = refused.map_or_else(|error| format!("{error:#}"), |object| format!("taken: {}", object.data));
        ensure!(said.contains("spec.region can't be changed"), "{said}");
    }
    let regions: Vec<_> = world.proxy.calls().into_iter().map(|call| call.region).collect();
    ensure!(regions.iter().all(|region| region == "eu-west-1"), "{regions:?}");
    Ok(())
}

/// In a region of another partition all ARNs are of that partition. The emulator itself knows only
/// the partition aws, and refuses others as a dead-letter queue's: what counts is what we say and send.
async fn partition(region: &str, partition: &str) -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let arn = |name: &str| format!("arn:{partition}:sqs:{region}:{}:{}", world.account.id, world.aws_name(name));
    world.create("dead", json!({ "region": region })).await?;
    let statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage" });
    let policy = json!({ "Version": "2012-10-17", "Statement": [statement] });
    let spec = json!({ "region": region, "policy": policy });
    world.create("orders", spec).await?;
    let object = world.in_sync("orders").await?;
    let identity = &object.data["status"]["identity"];
    ensure!(identity["arn"] == arn("orders") && identity["region"] == region, "{identity}");

    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    let data = maps.get("orders").await?.data.unwrap_or_default();
    ensure!(data["queueARN"] == arn("orders") && data["region"] == region, "{data:?}");

    let there = sqs_client(&world.aws_url, &world.account.access_key, region);
    let url = there.get_queue_url().queue_name(world.aws_name("orders")).send().await?.queue_url.context("no URL")?;
    let read = there.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send().await?;
    let policy = read.attributes().and_then(|all| all.get(&QueueAttributeName::Policy)).context("no policy")?;
    let policy: Value = serde_json::from_str(policy)?;
    ensure!(policy["Statement"][0]["Resource"] == arn("orders"), "{policy}");

    world.in_sync("dead").await?;
    world.patch("orders", json!({ "spec": { "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" } } } })).await?;
    let sent = async || match world.proxy.calls_of("SetQueueAttributes").last() {
        Some(call) => Ok(call.request["Attributes"]["RedrivePolicy"].clone()),
        None => Err("not yet".to_owned()),
    };
    let redrive = world.eventually("SetQueueAttributes", sent).await?;
    let redrive: Value = serde_json::from_str(redrive.as_str().unwrap_or_default())?;
    ensure!(redrive["deadLetterTargetArn"] == arn("dead"), "{redrive}");

    world.delete("orders").await?;
    let listed = there.list_queues().queue_name_prefix(world.aws_name("orders")).send().await?;
    ensure!(listed.queue_urls().is_empty(), "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn china_is_a_partition_of_its_own() -> Result<()> {
    partition("cn-north-1", "aws-cn").await
}

#[tokio::test]
async fn govcloud_is_a_partition_of_its_own() -> Result<()> {
    partition("us-gov-west-1", "aws-us-gov").await
}
