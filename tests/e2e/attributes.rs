//! Every attribute of a queue and its tags: set at creation, changed, removed from the spec, and
//! changed by hand. What AWS has is read with another client than the operator's.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::tools::Tools;
use serde_json::{Map, Value, json};

use crate::world::{Aws, World, condition, message};

/// A field of the spec, its attribute, two values, and what AWS shows after it left the spec.
struct Row {
    field: &'static str,
    attribute: &'static str,
    first: Value,
    second: Value,
    default: &'static str,
}

fn row(field: &'static str, attribute: &'static str, first: Value, second: Value, default: &'static str) -> Row {
    Row { field, attribute, first, second, default }
}

fn standard() -> Vec<Row> {
    let sources = ["arn:aws:sqs:eu-west-1:123456789012:jobs"];
    let by_queue = json!({ "redrivePermission": "byQueue", "sourceQueueArns": sources });
    let deny_all = json!({ "redrivePermission": "denyAll" });
    let policy = |effect: &str| json!({ "Statement": [{ "Effect": effect, "Principal": "*", "Action": "sqs:SendMessage", "Resource": "*" }] });
    vec![
        row("delaySeconds", "DelaySeconds", json!(5), json!(900), "0"),
        row("maximumMessageSize", "MaximumMessageSize", json!(1_024), json!(262_144), "1048576"),
        row("messageRetentionPeriod", "MessageRetentionPeriod", json!(60), json!(1_209_600), "345600"),
        row("receiveMessageWaitTimeSeconds", "ReceiveMessageWaitTimeSeconds", json!(1), json!(20), "0"),
        row("visibilityTimeout", "VisibilityTimeout", json!(0), json!(43_200), "30"),
        row("sqsManagedSseEnabled", "SqsManagedSseEnabled", json!(false), json!(true), "true"),
        row("policy", "Policy", policy("Allow"), policy("Deny"), ""),
        row("redriveAllowPolicy", "RedriveAllowPolicy", deny_all, by_queue, ""),
    ]
}

fn fifo() -> Vec<Row> {
    vec![
        row("delaySeconds", "DelaySeconds", json!(5), json!(900), "0"),
        row("contentBasedDeduplication", "ContentBasedDeduplication", json!(true), json!(false), "false"),
        // The limit needs the scope, so it comes first here, and leaves first.
        row("fifoThroughputLimit", "FifoThroughputLimit", json!("perMessageGroupId"), json!("perQueue"), "perQueue"),
        row("deduplicationScope", "DeduplicationScope", json!("messageGroup"), json!("queue"), "queue"),
    ]
}

fn encrypted() -> Vec<Row> {
    vec![
        row("kmsDataKeyReusePeriodSeconds", "KmsDataKeyReusePeriodSeconds", json!(60), json!(86_400), "300"),
        row("kmsMasterKeyID", "KmsMasterKeyId", json!("alias/aws/sqs"), json!("alias/shop"), ""),
    ]
}

#[tokio::test]
async fn every_attribute_of_a_standard_queue() -> Result<()> {
    set_change_and_remove(&standard(), json!({}), "").await
}

#[tokio::test]
async fn every_attribute_of_a_fifo_queue() -> Result<()> {
    set_change_and_remove(&fifo(), json!({ "fifoQueue": true }), ".fifo").await
}

#[tokio::test]
async fn a_key_of_ones_own_and_back_to_the_keys_of_sqs() -> Result<()> {
    let (world, aws_name) = set_change_and_remove_on(&encrypted(), json!({}), "").await?;
    // The queue was never without encryption.
    let last = world.proxy.calls_of("SetQueueAttributes").pop().context("nothing was set")?;
    assert_eq!(last.request["Attributes"], json!({ "KmsMasterKeyId": "", "SqsManagedSseEnabled": "true" }));
    assert_eq!(world.attributes(&aws_name).await?["SqsManagedSseEnabled"], "true");
    Ok(())
}

/// One attribute after the other, so that each is seen to be sent alone.
async fn set_change_and_remove(rows: &[Row], base: Value, suffix: &str) -> Result<()> {
    set_change_and_remove_on(rows, base, suffix).await.map(drop)
}

async fn set_change_and_remove_on(rows: &[Row], mut base: Value, suffix: &str) -> Result<(World, String)> {
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = format!("{}{suffix}", world.aws_name("orders"));
    let mut managed: BTreeSet<String> = rows.iter().map(|row| row.field.to_owned()).collect();
    for row in rows {
        base[row.field] = row.first.clone();
    }
    world.create("orders", base).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(object.data["status"]["managed"], json!(managed));
    let actual = world.attributes(&aws_name).await?;
    for row in rows {
        ensure!(shows(&actual, row.attribute, &row.first), "{} at creation: {actual:?}", row.field);
    }
    for row in rows {
        world.set("orders", json!({ row.field: row.second })).await?;
        let actual = world.attributes(&aws_name).await?;
        ensure!(shows(&actual, row.attribute, &row.second), "{} changed: {actual:?}", row.field);
        let sent = world.proxy.calls_of("SetQueueAttributes").pop().context("nothing was set")?;
        let names = sent.request["Attributes"].as_object().map(|sent| sent.keys().cloned().collect::<Vec<_>>());
        assert_eq!(names.unwrap_or_default(), [row.attribute]);
    }
    for row in rows {
        let object = world.set("orders", json!({ row.field: null })).await?;
        let actual = world.attributes(&aws_name).await?;
        assert_eq!(actual.get(row.attribute).map_or("", String::as_str), row.default, "{} removed", row.field);
        managed.remove(row.field);
        let left = object.data["status"].get("managed").cloned().unwrap_or(json!([]));
        assert_eq!(left, json!(managed), "{} is ours no longer", row.field);
    }
    Ok((world, aws_name))
}

/// Whether AWS has this value: documents by their meaning as JSON, anything else as text.
fn shows(actual: &BTreeMap<String, String>, attribute: &str, value: &Value) -> bool {
    let actual = actual.get(attribute).map_or("", String::as_str);
    match value {
        Value::Object(_) => serde_json::from_str::<Value>(actual).is_ok_and(|actual| actual == *value),
        Value::String(text) => actual == text,
        other => other.to_string().as_str() == actual,
    }
}

#[tokio::test]
async fn what_is_not_in_the_spec_is_left_alone() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "delaySeconds": 5 })).await?;
    world.in_sync("orders").await?;
    world.drift(&aws_name, "VisibilityTimeout", "77").await?;
    world.resyncs(2).await?;
    world.set("orders", json!({ "delaySeconds": 6 })).await?;
    assert_eq!(world.attributes(&aws_name).await?["VisibilityTimeout"], "77");
    world.set("orders", json!({ "visibilityTimeout": 60 })).await?;
    assert_eq!(world.attributes(&aws_name).await?["VisibilityTimeout"], "60");
    Ok(())
}

#[tokio::test]
async fn drift_of_every_attribute_is_corrected_and_named() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let rows = standard();
    drift_and_repair(&world, "orders", &rows, json!({}), "").await?;
    let rows = fifo();
    drift_and_repair(&world, "payments", &rows, json!({ "fifoQueue": true }), ".fifo").await?;
    let rows = encrypted();
    drift_and_repair(&world, "secrets", &rows, json!({}), "").await
}

async fn drift_and_repair(world: &World, name: &str, rows: &[Row], mut spec: Value, suffix: &str) -> Result<()> {
    let aws_name = format!("{}{suffix}", world.aws_name(name));
    for row in rows {
        spec[row.field] = row.first.clone();
    }
    world.create(name, spec).await?;
    world.in_sync(name).await?;
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    let mut by_hand = world.sqs().set_queue_attributes().queue_url(url);
    for row in rows {
        let text = row.second.as_str().map_or_else(|| row.second.to_string(), str::to_owned);
        by_hand = by_hand.attributes(row.attribute.into(), text);
    }
    by_hand.send().await?;
    let corrected = |object: &kube::api::DynamicObject| condition(object, "Synced")["reason"] == "DriftCorrected";
    let object = world.until(name, "drift corrected", corrected).await?;
    world.told(name, &["Created", "DriftCorrected"]).await?;
    let actual = world.attributes(&aws_name).await?;
    let note = world.notes(name, "DriftCorrected").await?.concat();
    let text = message(&object, "Synced");
    for row in rows {
        ensure!(shows(&actual, row.attribute, &row.first), "{}: {actual:?}", row.field);
        ensure!(text.contains(row.field), "{} in {text}", row.field);
        ensure!(note.contains(row.field), "{} in {note}", row.field);
    }
    Ok(())
}

#[tokio::test]
async fn tags_are_set_changed_and_removed_and_others_tags_stay() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "tags": { "team": "shop", "stage": "test" } })).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(object.data["status"]["managed"], json!(["tags.stage", "tags.team"]));
    let owner = ["cluster", "kind", "name", "namespace", "uid"].map(|key| format!("fairlead.dev/{key}"));
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    world.sqs().tag_queue().queue_url(url).tags("cost-center", "4711").send().await?;
    // This replica has to learn of the foreign tag: it reads tags seldom.
    world.read_tags("orders").await?;
    let object = world.set("orders", json!({ "tags": { "team": "billing", "stage": null, "tier": "1" } })).await?;
    assert_eq!(object.data["status"]["managed"], json!(["tags.team", "tags.tier"]));
    let mut tags = world.tags(&aws_name).await?;
    for key in owner {
        ensure!(tags.remove(&key).is_some(), "{key} of {tags:?}");
    }
    let expected = [("cost-center", "4711"), ("team", "billing"), ("tier", "1")];
    assert_eq!(tags, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    world.set("orders", json!({ "tags": null })).await?;
    assert_eq!(user_tags(&world, &aws_name).await?, ["cost-center=4711"]);
    Ok(())
}

#[tokio::test]
async fn tags_changed_by_hand_are_put_right() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "tags": { "team": "shop", "stage": "test" } })).await?;
    world.in_sync("orders").await?;
    let url = world.queue_url(&aws_name).await?.context("no queue")?;
    world.sqs().tag_queue().queue_url(&url).tags("team", "thieves").send().await?;
    world.sqs().untag_queue().queue_url(&url).tag_keys("stage").send().await?;
    world.read_tags("orders").await?;
    world.told("orders", &["Created", "DriftCorrected"]).await?;
    assert_eq!(user_tags(&world, &aws_name).await?, ["stage=test", "team=shop"]);
    let note = world.notes("orders", "DriftCorrected").await?.concat();
    ensure!(note.contains("tags.team") && note.contains("tags.stage"), "{note}");
    Ok(())
}

#[tokio::test]
async fn tags_for_every_resource() -> Result<()> {
    let mut world = World::new(Aws::Ministack).await?.env("FAIRLEAD_TAGS", "team=platform,stage=test");
    world.start_operator().await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({ "tags": { "team": "shop" } })).await?;
    world.in_sync("orders").await?;
    assert_eq!(user_tags(&world, &aws_name).await?, ["stage=test", "team=shop"], "the spec's tag wins");
    world.set("orders", json!({ "tags": null })).await?;
    assert_eq!(
        user_tags(&world, &aws_name).await?,
        ["stage=test", "team=platform"],
        "and gives way to the general one"
    );
    world.kill_operator()?;
    let mut world = world.env("FAIRLEAD_TAGS", "stage=live");
    world.start_operator().await?;
    let look = async || match user_tags(&world, &aws_name).await {
        Ok(tags) if tags == ["stage=live"] => Ok(()),
        other => Err(format!("{other:?}")),
    };
    world.eventually("the new general tags", look).await
}

/// The queue's tags that are not the owner's.
async fn user_tags(world: &World, aws_name: &str) -> Result<Vec<String>> {
    let tags = world.tags(aws_name).await?.into_iter().filter(|(key, _)| !key.starts_with("fairlead.dev/"));
    Ok(tags.map(|(key, value)| format!("{key}={value}")).collect())
}

#[tokio::test]
async fn boto3_sees_the_same() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    let spec: Map<String, Value> = standard().into_iter().map(|row| (row.field.to_owned(), row.first)).collect();
    world.create("orders", spec.into()).await?;
    world.in_sync("orders").await?;
    let seen = boto3(&world, &aws_name).await?;
    let attributes: BTreeMap<String, String> = serde_json::from_value(seen["attributes"].clone())?;
    for row in standard() {
        ensure!(shows(&attributes, row.attribute, &row.first), "{}: {attributes:?}", row.field);
    }
    assert_eq!(seen["tags"]["fairlead.dev/name"], "orders");
    Ok(())
}

/// Attributes and tags of a queue, as AWS's Python SDK reads them.
async fn boto3(world: &World, aws_name: &str) -> Result<Value> {
    const SCRIPT: &str = "import boto3, json, sys
endpoint, key, name = sys.argv[1:]
sqs = boto3.client('sqs', endpoint_url=endpoint, region_name='eu-west-1', aws_access_key_id=key,
                   aws_secret_access_key='test')
url = sqs.get_queue_url(QueueName=name)['QueueUrl']
attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=['All'])['Attributes']
print(json.dumps({'attributes': attributes, 'tags': sqs.list_queue_tags(QueueUrl=url)['Tags']}))";
    let arguments = [world.aws_url.clone(), world.account.access_key.clone(), aws_name.to_owned()];
    let run = move || -> Result<Value> {
        let mut python = std::process::Command::new(Tools::moto()?);
        let output = python.env_clear().env("PATH", "/usr/bin:/bin").args(["-c", SCRIPT]).args(arguments).output()?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    tokio::task::spawn_blocking(run).await?
}
