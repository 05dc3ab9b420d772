//! Dead-letter queues: by ARN, and by reference to an object that may not be there yet.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::world::{Aws, World, condition, is, message, row};

/// Reacting to an object is a matter of its watch event, not of a poll.
const AT_ONCE: Duration = Duration::from_secs(10);

fn to(name: &str) -> Value {
    json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": name } } })
}

async fn redrive_policy(world: &World, aws_name: &str) -> Result<Value> {
    let attributes = world.attributes(aws_name).await?;
    Ok(serde_json::from_str(attributes.get("RedrivePolicy").context("no redrive policy")?)?)
}

fn arn(world: &World, aws_name: &str) -> String {
    format!("arn:aws:sqs:eu-west-1:{}:{aws_name}", world.account.id)
}

#[tokio::test]
async fn by_arn() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.sqs().create_queue().queue_name("graveyard").send().await?;
    world.sqs().create_queue().queue_name("cemetery").send().await?;
    let (first, second) = (arn(&world, "graveyard"), arn(&world, "cemetery"));
    world.create("orders", json!({ "redrivePolicy": { "deadLetterTargetARN": first, "maxReceiveCount": 3 } })).await?;
    let object = world.in_sync("orders").await?;
    assert_eq!(object.data["status"]["managed"], json!(["redrivePolicy"]));
    let expected = json!({ "deadLetterTargetArn": first, "maxReceiveCount": 3 });
    assert_eq!(redrive_policy(&world, &aws_name).await?, expected);
    world.set("orders", json!({ "redrivePolicy": { "deadLetterTargetARN": second, "maxReceiveCount": null } })).await?;
    let expected = json!({ "deadLetterTargetArn": second, "maxReceiveCount": 10 });
    assert_eq!(redrive_policy(&world, &aws_name).await?, expected, "10 is the default");
    world.set("orders", json!({ "redrivePolicy": null })).await?;
    assert_eq!(world.attributes(&aws_name).await?.get("RedrivePolicy"), None);
    Ok(())
}

#[tokio::test]
async fn other_spellings_of_a_redrive_policy_are_no_drift() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.sqs().create_queue().queue_name("graveyard").send().await?;
    let target = arn(&world, "graveyard");
    world.create("orders", json!({ "redrivePolicy": { "deadLetterTargetARN": target, "maxReceiveCount": 3 } })).await?;
    world.in_sync("orders").await?;
    let theirs = format!(r#"{{ "maxReceiveCount": "3", "deadLetterTargetArn": "{target}" }}"#);
    world.drift(&aws_name, "RedrivePolicy", &theirs).await?;
    world.resyncs(2).await?;
    assert!(world.proxy.calls_of("SetQueueAttributes").is_empty(), "{:?}", world.operations());
    let other = json!({ "deadLetterTargetArn": target, "maxReceiveCount": 4 }).to_string();
    world.drift(&aws_name, "RedrivePolicy", &other).await?;
    world.until("orders", "corrected", |object| message(object, "Synced").contains("redrivePolicy")).await?;
    assert_eq!(redrive_policy(&world, &aws_name).await?["maxReceiveCount"], 3);
    Ok(())
}

#[tokio::test]
async fn a_reference_waits_for_its_target_and_goes_on_at_once() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", to("graveyard")).await?;
    let waiting = |words: &'static str| {
        move |object: &kube::api::DynamicObject| {
            condition(object, "Synced")["reason"] == "WaitingForDependency" && message(object, "Synced").contains(words)
        }
    };
    let object = world.until("orders", "waiting", waiting("graveyard, which does not exist")).await?;
    assert_eq!(row(&object), "FFT-");
    assert_eq!(world.operations(), Vec::<String>::new(), "nothing is created before");

    // A target that is there and not ready is waited for just so.
    let paused = json!({ "metadata": { "annotations": { "aws.fairlead.dev/paused": "true" } } });
    let manifest = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
        "metadata": { "name": "graveyard", "annotations": paused["metadata"]["annotations"] }, "spec": {},
    });
    world.queues().create(&Default::default(), &serde_json::from_value(manifest)?).await?;
    let object = world.until("orders", "waiting", waiting("graveyard to be ready")).await?;
    assert_eq!(row(&object), "FFT-");

    let resumed = Instant::now();
    let running = json!({ "metadata": { "annotations": { "aws.fairlead.dev/paused": null } } });
    world.patch("graveyard", running).await?;
    world.in_sync("orders").await?;
    assert!(resumed.elapsed() < AT_ONCE, "{:?}", resumed.elapsed());
    let policy = redrive_policy(&world, &world.aws_name("orders")).await?;
    assert_eq!(policy["deadLetterTargetArn"], arn(&world, &world.aws_name("graveyard")));
    let created: Vec<_> =
        world.proxy.calls_of("CreateQueue").into_iter().map(|call| call.request["QueueName"].clone()).collect();
    assert_eq!(created, [json!(world.aws_name("graveyard")), json!(world.aws_name("orders"))]);
    Ok(())
}

#[tokio::test]
async fn both_in_one_go_and_a_new_target_later() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", to("graveyard")).await?;
    world.create("graveyard", json!({})).await?;
    world.create("cemetery", json!({})).await?;
    world.in_sync("orders").await?;
    world.in_sync("cemetery").await?;
    world.set("orders", to("cemetery")).await?;
    let policy = redrive_policy(&world, &world.aws_name("orders")).await?;
    assert_eq!(policy["deadLetterTargetArn"], arn(&world, &world.aws_name("cemetery")));
    Ok(())
}

#[tokio::test]
async fn a_target_that_goes_leaves_the_queue_working_and_says_so() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("graveyard", json!({})).await?;
    world.create("orders", to("graveyard")).await?;
    world.in_sync("orders").await?;
    world.delete("graveyard").await?;
    let object = world
        .until("orders", "missing its target", |object| condition(object, "Synced")["reason"] == "WaitingForDependency")
        .await?;
    assert_eq!(row(&object), "TFT-");
    world.create("graveyard", json!({})).await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn fifo_and_standard_do_not_go_together() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("standard", json!({})).await?;
    world.create("fifo", json!({ "fifoQueue": true })).await?;
    world.in_sync("standard").await?;
    world.in_sync("fifo").await?;
    for (name, fifo, wrong, right) in [("orders", false, "fifo", "standard"), ("payments", true, "standard", "fifo")] {
        let mut spec = to(wrong);
        spec["fifoQueue"] = json!(fifo);
        world.create(name, spec).await?;
        let object = world.until(name, "stalled", |object| is(object, "Stalled", "True")).await?;
        assert_eq!(row(&object), "FF-T");
        let text = message(&object, "Stalled");
        assert!(text.contains("spec.redrivePolicy.deadLetterQueueRef") && text.contains("of the other type"), "{text}");
        world.set(name, to(right)).await?;
    }
    assert_eq!(world.proxy.calls_of("CreateQueue").len(), 4, "none was created with the wrong target");
    Ok(())
}

#[tokio::test]
async fn a_queue_is_not_its_own_dead_letter_queue() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let own = arn(&world, &world.aws_name("orders"));
    // By reference the API server itself refuses it; an ARN it can't know.
    let refused = world.create("orders", to("orders")).await.map(drop);
    ensure!(format!("{refused:?}").contains("can't be its own dead-letter queue"), "{refused:?}");
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "redrivePolicy": { "deadLetterTargetARN": own } } })).await?;
    let words = "can't be its own dead-letter queue";
    let object = world.until("orders", "stalled", |object| message(object, "Stalled").contains(words)).await?;
    assert_eq!(row(&object), "TF-T", "it still works as it did");
    world.set("orders", json!({ "redrivePolicy": null })).await?;
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_not_ready_does_not_stop_the_repair_of_its_source() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("graveyard", json!({})).await?;
    let mut spec = to("graveyard");
    spec["delaySeconds"] = json!(3);
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    world.patch("graveyard", json!({ "spec": { "connection": { "name": "orders" } } })).await?;
    world.until("graveyard", "not ready", |object| is(object, "Ready", "False")).await?;
    world.looked_at(&aws_name, 2).await?;
    world.drift(&aws_name, "DelaySeconds", "4").await?;
    world.until_attribute(&aws_name, "DelaySeconds", "3").await?;
    world.in_sync("orders").await?;
    ensure!(is(&world.object("graveyard").await?, "Ready", "False"), "the target is ready again");
    Ok(())
}
