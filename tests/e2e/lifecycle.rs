//! Create, resync, update, delete: what AWS has, what the status says, how many calls and writes it
//! takes, and what is done about a queue that is not there.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::aws_proxy::{Effect, Fault};
use futures::TryStreamExt as _;
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, PostParams, WatchEvent, WatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::world::{Aws, World, condition, message, row};

#[tokio::test]
async fn the_shortest_queue() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(object.data["status"]["visibleMessages"], 0, "zero is written");
    assert_eq!(message(&object, "Ready"), "");
    let calls = world.operations();
    assert_eq!(calls[..2], ["CreateQueue", "GetQueueAttributes"], "{calls:?}");
    assert!(calls[2..].iter().all(|call| call == "GetQueueAttributes" || call == "ListQueueTags"), "{calls:?}");
    world.told("orders", &["Created"]).await?;
    world.delete("orders").await?;
    assert_eq!(world.queue_url(&world.aws_name("orders")).await?, None);
    Ok(())
}

#[tokio::test]
async fn no_spec_at_all_is_an_empty_one() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let object = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": "orders" },
    });
    world.queues().create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(row(&object), "TT--");
    assert!(object.data.get("spec").is_none(), "we never write one");
    assert_eq!(object.data["status"]["identity"]["name"], world.aws_name("orders"));
    world.delete("orders").await?;
    assert_eq!(world.queue_url(&world.aws_name("orders")).await?, None);
    Ok(())
}

#[tokio::test]
async fn a_fifo_queue() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = format!("{}.fifo", world.aws_name("payments"));
    world.create("payments", json!({ "fifoQueue": true, "delaySeconds": 3 })).await?;
    let object = world.in_sync("payments").await?;
    let identity = &object.data["status"]["identity"];
    assert_eq!(identity["name"], aws_name, "the suffix is appended");
    assert_eq!(identity["arn"], format!("arn:aws:sqs:eu-west-1:{}:{aws_name}", world.account.id));
    let attributes = world.attributes(&aws_name).await?;
    assert_eq!((&*attributes["FifoQueue"], &*attributes["DelaySeconds"]), ("true", "3"));
    world.set("payments", json!({ "delaySeconds": 4 })).await?;
    assert_eq!(world.attributes(&aws_name).await?["DelaySeconds"], "4");
    world.delete("payments").await?;
    assert_eq!(world.queue_url(&aws_name).await?, None);
    Ok(())
}

#[tokio::test]
async fn the_samples_work_as_they_are() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/samples");
    world.cluster.kubectl(&["apply", "-n", &world.namespace, "-f", samples]).await?;
    for name in ["orders", "orders-dead", "payments"] {
        world.in_sync(name).await?;
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_shows_what_people_look_for() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let url = world.queue_url(&world.aws_name("orders")).await?.context("no queue")?;
    let cells = async |output: &[&str]| -> Result<Vec<Vec<String>>> {
        let text = world.cluster.kubectl(&[&["get", "sqs", "-n", &world.namespace], output].concat()).await?;
        Ok(text.lines().map(|line| line.split_whitespace().map(str::to_owned).collect()).collect())
    };
    let narrow = cells(&[]).await?;
    assert_eq!(narrow[0], ["NAME", "READY", "REASON", "MESSAGES", "URL", "AGE"]);
    assert_eq!(narrow[1][..5], ["orders", "True", "Available", "0", &url]);
    let wide = cells(&["-o", "wide"]).await?;
    assert_eq!(wide[0][6..], ["SYNCED", "REGION", "ACCOUNT", "INFLIGHT", "DELAYED"]);
    assert_eq!(wide[1][6..], ["True", "eu-west-1", &world.account.id, "0", "0"]);
    Ok(())
}

#[tokio::test]
async fn an_update_is_two_calls_and_a_deletion_one() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    assert_eq!(world.operations(), ["CreateQueue", "GetQueueAttributes"]);
    world.proxy.clear();
    world.set("orders", json!({ "maximumMessageSize": 2_048 })).await?;
    assert_eq!(
        world.operations(),
        ["GetQueueAttributes", "ListQueueTags", "SetQueueAttributes"],
        "no tag was read yet"
    );
    world.proxy.clear();
    world.set("orders", json!({ "delaySeconds": 5, "visibilityTimeout": 60 })).await?;
    assert_eq!(world.operations(), ["GetQueueAttributes", "SetQueueAttributes"]);
    world.proxy.clear();
    world.set("orders", json!({ "tags": { "team": "shop" } })).await?;
    assert_eq!(world.operations(), ["GetQueueAttributes", "TagQueue"]);
    world.proxy.clear();
    world.delete("orders").await?;
    assert_eq!(world.operations(), ["DeleteQueue"]);
    world.told("orders", &["Created", "Updated", "Updated", "Updated", "Deleted"]).await?;
    let notes = world.notes("orders", "Updated").await?;
    assert!(notes.iter().any(|note| note.contains("delaySeconds (0 → 5)")), "{notes:?}");
    Ok(())
}

#[tokio::test]
async fn a_new_process_reads_the_tags_before_it_changes_anything() -> Result<()> {
    let mut world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.kill_operator()?;
    world.patch("orders", json!({ "spec": { "delaySeconds": 5 } })).await?;
    world.proxy.clear();
    world.start_operator().await?;
    world.in_sync("orders").await?;
    assert_eq!(world.operations(), ["GetQueueAttributes", "ListQueueTags", "SetQueueAttributes"]);
    world.kill_operator()?;
    world.queues().delete("orders", &DeleteParams::default()).await?;
    world.proxy.clear();
    world.start_operator().await?;
    world.gone("orders").await?;
    assert_eq!(world.operations(), ["ListQueueTags", "DeleteQueue"]);
    Ok(())
}

#[tokio::test]
async fn from_create_to_ready_it_takes_two_writes_a_map_and_an_event() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let created = world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.resyncs(2).await?;
    let since = created.resource_version().context("no version")?;
    let ready = world.queues().get("orders").await?;
    assert_eq!(ready.metadata.generation, created.metadata.generation, "the spec is the user's");
    let finalizer = changes(&world.queues(), &since).await?;
    let shapes: Vec<_> = finalizer.iter().map(|object| (object.finalizers().len(), row(object))).collect();
    assert_eq!(shapes, [(1, "----".to_owned()), (1, "TT--".to_owned())]);
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    assert_eq!(changes(&maps, &since).await?.len(), 1);
    let events: Api<Event> = Api::namespaced(world.admin.clone(), &world.namespace);
    assert_eq!(changes(&events, &since).await?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn ten_resyncs_write_nothing_anywhere() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let policy = json!({ "Statement": [{ "Effect": "Deny", "Principal": "*", "Action": "sqs:*" }] });
    world.create("orders", json!({ "delaySeconds": 5, "policy": policy, "tags": { "team": "shop" } })).await?;
    world.in_sync("orders").await?;
    let before = versions(&world).await?;
    world.resyncs(12).await?;
    assert_eq!(versions(&world).await?, before);
    let calls = world.operations();
    let first = ["CreateQueue", "GetQueueAttributes", "GetQueueAttributes", "ListQueueTags"];
    assert_eq!(calls[..4], first, "the first look after a create sees whose tags have lasted");
    assert_eq!(calls[4..14], vec!["GetQueueAttributes"; 10], "one call each");
    assert_eq!(calls[14], "ListQueueTags", "and the tags at every tenth");
    assert!(calls[15..].iter().all(|call| call == "GetQueueAttributes"), "{calls:?}");
    let log = world.operator()?.log();
    ensure!(!log.contains(" WARN ") && !log.contains(" ERROR "), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_queue_deleted_by_hand_is_created_again() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 5, "tags": { "team": "shop" } })).await?;
    world.in_sync("orders").await?;
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    world.sqs().delete_queue().queue_url(&url).send().await?;
    world.until_attribute(&aws_name, "DelaySeconds", "5").await?;
    assert_eq!(world.tags(&aws_name).await?["team"], "shop");
    world.told("orders", &["Created", "Recreated"]).await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn an_old_read_after_a_write_is_no_drift() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 1 })).await?;
    world.in_sync("orders").await?;
    world.set("orders", json!({ "delaySeconds": 5 })).await?;
    let old = |mut answer: serde_json::Value| {
        answer["Attributes"]["DelaySeconds"] = json!("1");
        answer
    };
    world.proxy.fault(Fault::new("GetQueueAttributes", Effect::rewrite(old)).always());
    world.resyncs(3).await?;
    assert_eq!(world.proxy.calls_of("SetQueueAttributes").len(), 1);
    assert_eq!(row(&world.queues().get("orders").await?), "TT--");
    world.proxy.clear_faults();
    // A value that never was ours is drift, however short ago we wrote.
    world.drift(&aws_name, "DelaySeconds", "9").await?;
    world.until_attribute(&aws_name, "DelaySeconds", "5").await
}

#[tokio::test]
async fn a_name_that_was_deleted_recently_is_waited_for() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let code = "AWS.SimpleQueueService.QueueDeletedRecently";
    let words = "You must wait 60 seconds after deleting a queue before you can create another with the same name.";
    world.proxy.fault(Fault::new("CreateQueue", Effect::respond(400, code, words)));
    world.create("orders", json!({})).await?;
    let waiting = world
        .until("orders", "waiting for AWS", |object| condition(object, "Synced")["reason"] == "WaitingForAWS")
        .await?;
    assert_eq!(row(&waiting), "FFT-");
    let text = message(&waiting, "Synced");
    ensure!(text.starts_with("AWS asks to wait 60 s") && text.contains("QueueDeletedRecently"), "{text}");
    // In place of the minute.
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    assert_eq!(world.proxy.calls_of("CreateQueue").len(), 2);
    Ok(())
}

/// All objects that were added or changed since a version, one entry a write.
async fn changes<K>(api: &Api<K>, since: &str) -> Result<Vec<K>>
where
    K: Clone + DeserializeOwned + std::fmt::Debug,
{
    let events: Vec<WatchEvent<K>> = api.watch(&WatchParams::default().timeout(1), since).await?.try_collect().await?;
    let mut changed = Vec::new();
    for event in events {
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => changed.push(object),
            WatchEvent::Bookmark(_) => {}
            other => anyhow::bail!("{other:?}"),
        }
    }
    Ok(changed)
}

/// Everything that the operator writes, with its version.
async fn versions(world: &World) -> Result<Vec<(String, Option<String>)>> {
    fn version(kind: &str, object: &impl kube::ResourceExt) -> (String, Option<String>) {
        (format!("{kind} {}", object.name_any()), object.resource_version())
    }
    let all = Default::default();
    let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
    let events: Api<Event> = Api::namespaced(world.admin.clone(), &world.namespace);
    let mut versions = Vec::new();
    versions.extend(world.queues().list(&all).await?.iter().map(|object: &DynamicObject| version("queue", object)));
    versions.extend(maps.list(&all).await?.iter().map(|map| version("map", map)));
    versions.extend(events.list(&all).await?.iter().map(|event| version("event", event)));
    ensure!(versions.len() >= 3, "{versions:?}");
    Ok(versions)
}
