//! What AWS refuses or fails to answer: what is said, what is tried again, and what recovers.

use anyhow::{Result, ensure};
use fairlead_harness::aws_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::{
    scene::reason,
    world::{Aws, World, condition, message, row},
};

/// A denial of `operation` stalls the object, naming the action; lifted, the object goes on.
async fn denied(operation: &str, spec: Value, change: Option<Value>) -> Result<()> {
    let world = World::new(Aws::Ministack).await?;
    let pattern = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_ADOPTION", &pattern);
    world.start_operator().await?;
    world.age_queues();
    let existed = change.is_some();
    if let Some(change) = change {
        world.create("orders", spec).await?;
        world.in_sync("orders").await?;
        world.refuse(operation, 403, "AccessDenied", "no identity-based policy allows it");
        world.patch("orders", json!({ "spec": change })).await?;
    } else {
        world.refuse(operation, 403, "AccessDenied", "no identity-based policy allows it");
        world.create("orders", spec).await?;
    }
    let object = world.stalled("orders", "AccessDenied").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains(&format!("lacks the permission sqs:{operation}")), "{said}");
    ensure!(said.contains("AccessDenied: no identity-based policy") && said.contains("(request fa017000-"), "{said}");
    ensure!(row(&object) == if existed { "TF-T" } else { "FF-T" }, "{}", object.data);
    world.proxy.clear_faults();
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_denied_create_names_the_action() -> Result<()> {
    denied("CreateQueue", json!({}), None).await
}

#[tokio::test]
async fn a_denied_find_names_the_action() -> Result<()> {
    denied("GetQueueUrl", json!({ "adoption": "AdoptOrCreate" }), None).await
}

#[tokio::test]
async fn a_denied_read_of_tags_names_the_action() -> Result<()> {
    denied("ListQueueTags", json!({}), None).await
}

#[tokio::test]
async fn a_denied_change_names_the_action() -> Result<()> {
    denied("SetQueueAttributes", json!({}), Some(json!({ "delaySeconds": 5 }))).await
}

#[tokio::test]
async fn a_denied_tag_names_the_action() -> Result<()> {
    denied("TagQueue", json!({}), Some(json!({ "tags": { "team": "us" } }))).await
}

#[tokio::test]
async fn a_denied_untag_names_the_action() -> Result<()> {
    denied("UntagQueue", json!({ "tags": { "team": "us" } }), Some(json!({ "tags": null }))).await
}

#[tokio::test]
async fn a_denied_read_names_the_action_and_keeps_ready() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.refuse("GetQueueAttributes", 403, "AccessDenied", "not you");
    let object = world.stalled("orders", "AccessDenied").await?;
    ensure!(
        row(&object) == "TF-T" && message(&object, "Stalled").contains("sqs:GetQueueAttributes"),
        "{}",
        object.data
    );
    world.proxy.clear_faults();
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn the_action_that_aws_names_is_the_one_that_is_missing() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let words = "User: arn:aws:iam::1:user/x is not authorized to perform: sqs:tagqueue on resource: y";
    world.refuse("CreateQueue", 403, "AccessDenied", words);
    world.create("orders", json!({})).await?;
    let object = world.stalled("orders", "AccessDenied").await?;
    ensure!(message(&object, "Stalled").contains("lacks the permission sqs:tagqueue"), "{}", object.data);
    Ok(())
}

#[tokio::test]
async fn a_refused_value_stalls_at_once_and_a_new_spec_is_tried() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.refuse("CreateQueue", 400, "InvalidAttributeValue", "Invalid value for the parameter DelaySeconds.");
    world.create("orders", json!({ "delaySeconds": 5 })).await?;
    let object = world.stalled("orders", "RejectedByAWS").await?;
    ensure!(
        message(&object, "Stalled").contains("InvalidAttributeValue: Invalid value for the parameter DelaySeconds")
    );
    ensure!(world.proxy.calls_of("CreateQueue").len() == 1);
    world.proxy.clear_faults();
    world.patch("orders", json!({ "spec": { "delaySeconds": 6 } })).await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn a_refused_policy_is_tried_a_few_times_before_it_stalls() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.refuse("CreateQueue", 400, "InvalidAttributeValue", "Invalid value for the parameter Policy.");
    let policy =
        json!({ "Statement": { "Effect": "Allow", "Principal": "arn:aws:iam::1:role/new", "Action": "sqs:*" } });
    world.create("orders", json!({ "policy": policy })).await?;
    let object = world.says("orders", "AWSError").await?;
    ensure!(
        row(&object) == "FFT-" && message(&object, "Reconciling").contains("next attempt within"),
        "{}",
        object.data
    );
    let object = world.stalled("orders", "RejectedByAWS").await?;
    ensure!(row(&object) == "FF-T" && message(&object, "Stalled").contains("parameter Policy"), "{}", object.data);
    let tries = world.proxy.calls_of("CreateQueue").len();
    ensure!(tries == 6, "{tries}");
    world.proxy.clear_faults();
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    Ok(())
}

/// A new object that meets this error says so with this reason, and recovers when it is over.
async fn transient(status: u16, code: &str, expected: &str) -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.refuse("CreateQueue", status, code, "some words");
    world.create("orders", json!({})).await?;
    let object = world.says("orders", expected).await?;
    let said = message(&object, "Reconciling");
    ensure!(row(&object) == "FFT-" && reason(&object, "Reconciling") == expected, "{}", object.data);
    let short = code.rsplit('.').next().unwrap_or(code);
    ensure!(said.contains(&format!("{short}: some words (request fa017000-")), "{said}");
    world.proxy.clear_faults();
    world.reconcile_now("orders").await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn throttling_is_waited_out() -> Result<()> {
    transient(403, "RequestThrottled", "Throttled").await
}

#[tokio::test]
async fn a_server_error_is_waited_out() -> Result<()> {
    transient(500, "InternalError", "AWSError").await
}

#[tokio::test]
async fn an_expired_token_is_a_credentials_error() -> Result<()> {
    transient(403, "ExpiredToken", "CredentialsError").await
}

#[tokio::test]
async fn a_name_that_was_deleted_a_moment_ago_is_waited_for() -> Result<()> {
    transient(400, "AWS.SimpleQueueService.QueueDeletedRecently", "WaitingForAWS").await
}

#[tokio::test]
async fn recovery_comes_by_itself() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.proxy.fault(Fault::new("CreateQueue", Effect::respond(503, "ServiceUnavailable", "")).times(3));
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    ensure!(world.proxy.calls_of("CreateQueue").len() == 4, "{:?}", world.operations());
    Ok(())
}

#[tokio::test]
async fn failed_polls_do_not_flip_ready() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    let ready = condition(&world.in_sync("orders").await?, "Ready");
    for (status, code, expected) in [(500, "InternalError", "AWSError"), (403, "RequestThrottled", "Throttled")] {
        world.refuse("GetQueueAttributes", status, code, "");
        let object = world.says("orders", expected).await?;
        ensure!(row(&object) == "TFT-", "{}", object.data);
        ensure!(condition(&object, "Ready") == ready, "{}", object.data);
        world.proxy.clear_faults();
        world.reconcile_now("orders").await?;
        world.in_sync("orders").await?;
    }
    ensure!(world.writes() == ["CreateQueue"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn a_queue_that_aws_does_not_show_yet_is_not_created_twice() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let unknown =
        Effect::respond(400, "AWS.SimpleQueueService.NonExistentQueue", "The specified queue does not exist.");
    world.proxy.fault(Fault::new("GetQueueAttributes", unknown.clone()).times(2));
    world.proxy.fault(Fault::new("GetQueueUrl", unknown).times(2));
    world.create("orders", json!({})).await?;
    let object = world.says("orders", "Creating").await?;
    ensure!(row(&object) == "FFT-", "{}", object.data);
    world.in_sync("orders").await?;
    ensure!(world.proxy.calls_of("CreateQueue").len() == 1, "{:?}", world.operations());
    Ok(())
}
