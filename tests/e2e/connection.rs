//! The connection ConfigMap: what is in it, that it is kept true, and that nobody else's is touched.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::{
    Api,
    api::{DeleteParams, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::world::{Aws, World, condition, message, row};

fn maps(world: &World) -> Api<ConfigMap> {
    Api::namespaced(world.admin.clone(), &world.namespace)
}

/// Waits until the ConfigMap is as wished; shows it where it is not.
async fn until_map(world: &World, name: &str, what: &str, fits: impl Fn(&ConfigMap) -> bool) -> Result<ConfigMap> {
    let look = async || match maps(world).get_opt(name).await {
        Ok(Some(map)) if fits(&map) => Ok(map),
        other => Err(format!("{other:?}")),
    };
    world.eventually(&format!("the ConfigMap {name}: {what}"), look).await
}

async fn until_no_map(world: &World, name: &str) -> Result<()> {
    let look = async || match maps(world).get_opt(name).await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually(&format!("no ConfigMap {name}"), look).await
}

async fn data(world: &World, name: &str) -> Result<BTreeMap<String, String>> {
    maps(world).get(name).await?.data.context("no data")
}

async fn edit(world: &World, name: &str, patch: Value) -> Result<()> {
    maps(world).patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

#[tokio::test]
async fn it_has_all_that_applications_need() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("dead", json!({})).await?;
    let redrive = json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" } } });
    let created = world.create("orders", redrive).await?;
    let object = world.in_sync("orders").await?;
    let (name, dead) = (world.aws_name("orders"), world.aws_name("dead"));
    let arn = |name: &str| format!("arn:aws:sqs:eu-west-1:{}:{name}", world.account.id);
    let expected: BTreeMap<_, _> = [
        ("queueName", name.clone()),
        ("queueURL", world.queue_url(&name).await?.context("no queue")?),
        ("queueARN", arn(&name)),
        ("region", "eu-west-1".into()),
        ("deadLetterQueueName", dead.clone()),
        ("deadLetterQueueURL", world.queue_url(&dead).await?.context("no queue")?),
        ("deadLetterQueueARN", arn(&dead)),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    let map = maps(&world).get("orders").await?;
    assert_eq!(map.data, Some(expected));
    let owners = map.metadata.owner_references.unwrap_or_default();
    let owners: Vec<_> = owners.iter().map(|owner| (&*owner.kind, &*owner.name, Some(&owner.uid))).collect();
    assert_eq!(owners, [("SQSQueue", "orders", created.metadata.uid.as_ref())]);
    assert_eq!(object.data["status"]["url"], data(&world, "orders").await?["queueURL"]);

    world.set("orders", json!({ "redrivePolicy": null })).await?;
    let keys: Vec<_> = data(&world, "orders").await?.into_keys().collect();
    assert_eq!(keys, ["queueARN", "queueName", "queueURL", "region"]);
    world.delete("orders").await?;
    until_no_map(&world, "orders").await
}

#[tokio::test]
async fn keys_and_name_can_be_chosen() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let keys = json!({ "queueURL": "QUEUE_URL", "region": "AWS_REGION" });
    world.create("orders", json!({ "connection": { "name": "orders-env", "keys": keys } })).await?;
    world.in_sync("orders").await?;
    let keys: Vec<_> = data(&world, "orders-env").await?.into_keys().collect();
    assert_eq!(keys, ["AWS_REGION", "QUEUE_URL", "queueARN", "queueName"]);
    assert_eq!(maps(&world).get_opt("orders").await?, None);
    world.set("orders", json!({ "connection": { "name": "other" } })).await?;
    until_no_map(&world, "orders-env").await?;
    until_map(&world, "other", "there", |_| true).await?;
    world.set("orders", json!({ "connection": null })).await?;
    until_no_map(&world, "other").await?;
    let keys: Vec<_> = data(&world, "orders").await?.into_keys().collect();
    assert_eq!(keys, ["queueARN", "queueName", "queueURL", "region"]);
    Ok(())
}

#[tokio::test]
async fn it_can_be_switched_off_and_on() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.set("orders", json!({ "connection": { "enabled": false } })).await?;
    until_no_map(&world, "orders").await?;
    world.set("orders", json!({ "connection": null })).await?;
    until_map(&world, "orders", "there again", |_| true).await?;
    world.create("silent", json!({ "connection": { "enabled": false } })).await?;
    world.in_sync("silent").await?;
    assert_eq!(maps(&world).get_opt("silent").await?, None);
    Ok(())
}

/// With a poll an hour away, so that each of these is seen by the watch.
#[tokio::test]
async fn what_is_done_to_it_by_hand_is_put_right_at_once() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let good = maps(&world).get("orders").await?;
    let same = |map: &ConfigMap| {
        map.data == good.data
            && map.metadata.labels == good.metadata.labels
            && map.metadata.owner_references == good.metadata.owner_references
    };
    for damage in [
        json!({ "data": { "queueURL": "http://example.com", "region": null, "more": "x" } }),
        json!({ "data": null }),
        json!({ "metadata": { "ownerReferences": null } }),
        json!({ "metadata": { "labels": null } }),
    ] {
        edit(&world, "orders", damage.clone()).await?;
        until_map(&world, "orders", &format!("repaired after {damage}"), same).await?;
    }
    maps(&world).delete("orders", &DeleteParams::default()).await?;
    until_map(&world, "orders", "created again", same).await?;
    Ok(())
}

#[tokio::test]
async fn what_others_write_on_it_stays() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let theirs = json!({ "labels": { "theirs": "x" }, "annotations": { "theirs": "y" } });
    edit(&world, "orders", json!({ "metadata": theirs, "data": { "more": "x" } })).await?;
    let wanted = |map: &ConfigMap| !map.data.iter().flatten().any(|(key, _)| key == "more");
    let map = until_map(&world, "orders", "repaired", wanted).await?;
    let ObjectMeta { labels, annotations, .. } = map.metadata;
    let (labels, annotations) = (labels.unwrap_or_default(), annotations.unwrap_or_default());
    assert_eq!((&*labels["theirs"], &*annotations["theirs"]), ("x", "y"));
    Ok(())
}

async fn foreign(world: &World, name: &str) -> Result<ConfigMap> {
    let map = ConfigMap {
        metadata: ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() },
        data: Some([("mine".to_owned(), "hands off".to_owned())].into()),
        ..ConfigMap::default()
    };
    Ok(maps(world).create(&PostParams::default(), &map).await?)
}

#[tokio::test]
async fn somebody_elses_map_is_found_before_the_create_and_never_touched() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let theirs = foreign(&world, "orders").await?;
    world.create("orders", json!({})).await?;
    let conflict = |object: &kube::api::DynamicObject| condition(object, "Ready")["reason"] == "ConnectionConflict";
    let object = world.until("orders", "in conflict", conflict).await?;
    assert_eq!(row(&object), "FF-T");
    let text = message(&object, "Ready");
    ensure!(text.contains("spec.connection.name") && text.contains("ConfigMap orders"), "{text}");
    assert_eq!(world.operations(), Vec::<String>::new(), "nothing is created in AWS");
    world.told("orders", &["ConnectionConflict"]).await?;
    assert_eq!(maps(&world).get("orders").await?, theirs);

    maps(&world).delete("orders", &DeleteParams::default()).await?;
    // In place of the next look, half a minute away: the operator's watch sees its own maps alone.
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    until_map(&world, "orders", "ours", |map| map.data.iter().flatten().any(|(key, _)| key == "queueURL")).await?;
    Ok(())
}

#[tokio::test]
async fn a_new_name_that_is_somebody_elses_is_refused_as_well() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let theirs = foreign(&world, "taken").await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "connection": { "name": "taken" } } })).await?;
    let conflict = |object: &kube::api::DynamicObject| condition(object, "Ready")["reason"] == "ConnectionConflict";
    let object = world.until("orders", "in conflict", conflict).await?;
    assert_eq!(row(&object), "FF-T");
    assert_eq!(maps(&world).get("taken").await?, theirs);
    world.set("orders", json!({ "connection": { "name": "free" } })).await?;
    until_map(&world, "free", "there", |_| true).await?;
    assert_eq!(maps(&world).get("taken").await?, theirs);
    until_no_map(&world, "orders").await
}

#[tokio::test]
async fn two_objects_do_not_share_a_map() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("first", json!({ "connection": { "name": "shared" } })).await?;
    world.in_sync("first").await?;
    let before = maps(&world).get("shared").await?;
    world.create("second", json!({ "connection": { "name": "shared" } })).await?;
    let conflict = |object: &kube::api::DynamicObject| condition(object, "Ready")["reason"] == "ConnectionConflict";
    world.until("second", "in conflict", conflict).await?;
    assert_eq!(world.queue_url(&world.aws_name("second")).await?, None);
    assert_eq!(maps(&world).get("shared").await?, before);
    Ok(())
}
