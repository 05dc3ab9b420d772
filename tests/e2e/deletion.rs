//! What becomes of the queue when its object goes, and what may stand in the way.

use anyhow::{Result, ensure};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    wait::eventually,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, api::DeleteParams};
use serde_json::{Value, json};

use crate::{
    scene::PAUSED,
    world::{Aws, DEADLINE, World, message, row},
};

#[tokio::test]
async fn a_retained_queue_is_resumed_by_the_same_object() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.age_queues();
    let aws_name = world.aws_name("orders");
    let spec = json!({ "deletionPolicy": "Retain", "delaySeconds": 2 });
    world.create("orders", spec.clone()).await?;
    world.in_sync("orders").await?;
    world.delete("orders").await?;
    let (retained, tags) = world.queue(&aws_name).await?;
    let time = tags["fairlead.dev/retained"].clone();
    ensure!(time.ends_with('Z') && !tags.contains_key("fairlead.dev/uid"), "{tags:?}");
    world.has_told("orders", "Retained").await?;

    let object = world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    let (resumed, tags) = world.queue(&aws_name).await?;
    ensure!(resumed["CreatedTimestamp"] == retained["CreatedTimestamp"] && resumed["DelaySeconds"] == "2");
    ensure!(Some(&tags["fairlead.dev/uid"]) == object.metadata.uid.as_ref(), "{tags:?}");
    ensure!(!tags.contains_key("fairlead.dev/retained"), "{tags:?}");
    world.has_told("orders", "Resumed").await?;
    let listed = world.sqs().list_queues().queue_name_prefix(&aws_name).send().await?;
    ensure!(listed.queue_urls().len() == 1, "{listed:?}");
    Ok(())
}

#[tokio::test]
async fn a_namespace_goes_with_its_queues() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    for name in ["orders", "bills", "paused"] {
        world.create(name, json!({})).await?;
        world.in_sync(name).await?;
    }
    world.create("stalled", json!({ "policy": 5 })).await?;
    world.stalled("stalled", "InvalidSpec").await?;
    world.annotate("paused", PAUSED, json!("true")).await?;
    world.says("paused", "Paused").await?;

    let namespaces: Api<Namespace> = Api::all(world.admin.clone());
    namespaces.delete(&world.namespace, &DeleteParams::default()).await?;
    for name in ["orders", "bills", "stalled"] {
        world.gone(name).await?;
    }
    let blocked = world.until("paused", "blocked", |object| row(object) == "FFTT").await?;
    ensure!(message(&blocked, "Stalled").contains(PAUSED), "{}", blocked.data);
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    ensure!(world.queue_url(&world.aws_name("paused")).await?.is_some(), "what is paused is not touched");

    world.annotate("paused", PAUSED, Value::Null).await?;
    let what = "the namespace is gone";
    eventually(what, DEADLINE, async || match namespaces.get_opt(&world.namespace).await {
        Ok(None) => Ok(()),
        Ok(Some(namespace)) => Err(format!("{:?}", namespace.status)),
        Err(error) => Err(error.to_string()),
    })
    .await?;
    ensure!(world.queue_url(&world.aws_name("paused")).await?.is_none(), "the queue outlived its namespace");
    Ok(())
}

#[tokio::test]
async fn what_was_deleted_while_the_operator_was_down_is_deleted_after_its_start() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.kill_operator()?;
    world.ask_deletion("orders").await?;
    world.start_operator().await?;
    world.gone("orders").await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_queue_that_is_gone_already_is_no_obstacle() -> Result<()> {
    for restart in [false, true] {
        let mut world = World::start(Aws::Ministack).await?;
        world.create("orders", json!({})).await?;
        world.in_sync("orders").await?;
        world.kill_operator()?;
        let url = world.queue_url(&world.aws_name("orders")).await?.unwrap_or_default();
        world.sqs().delete_queue().queue_url(url).send().await?;
        world.ask_deletion("orders").await?;
        if restart {
            // Its status lost as well: there is only the name to find it by.
            let status = json!({ "status": { "url": null } });
            let patch = kube::api::Patch::Merge(status);
            world.queues().patch_status("orders", &Default::default(), &patch).await?;
        }
        world.start_operator().await?;
        world.gone("orders").await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_fails_is_tried_again() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.proxy.fault(Fault::new("DeleteQueue", Effect::respond(500, "InternalError", "try again")).times(2));
    world.delete("orders").await?;
    ensure!(world.proxy.calls_of("DeleteQueue").len() == 3);
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_is_denied_says_so_and_waits() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.refuse("DeleteQueue", 403, "AccessDenied", "not you");
    world.ask_deletion("orders").await?;
    let object = world.stalled("orders", "AccessDenied").await?;
    let said = message(&object, "Stalled");
    ensure!(row(&object) == "FFTT" && said.contains("sqs:DeleteQueue") && said.contains("request fa017000-"), "{said}");
    ensure!(object.metadata.finalizers == Some(vec!["aws.fairlead.dev/finalizer".to_owned()]));
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_some());
    world.proxy.clear_faults();
    world.reconcile_now("orders").await?;
    world.gone("orders").await?;
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_invalid_spec_does_not_block_a_deletion() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("never", json!({ "policy": 5 })).await?;
    world.stalled("never", "InvalidSpec").await?;
    world.create("later", json!({})).await?;
    world.in_sync("later").await?;
    world.patch("later", json!({ "spec": { "policy": 5 } })).await?;
    let object = world.stalled("later", "InvalidSpec").await?;
    ensure!(row(&object) == "TF-T" && message(&object, "Stalled").contains("spec.policy"), "{}", object.data);
    for name in ["never", "later"] {
        world.delete(name).await?;
    }
    ensure!(world.queue_url(&world.aws_name("later")).await?.is_none());
    ensure!(world.writes() == ["CreateQueue", "DeleteQueue"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn an_invalid_spec_keeps_its_deletion_policy() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({ "deletionPolicy": "Retain" })).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "policy": 5 } })).await?;
    world.stalled("orders", "InvalidSpec").await?;
    world.delete("orders").await?;
    ensure!(world.tags(&world.aws_name("orders")).await?.contains_key("fairlead.dev/retained"));
    Ok(())
}

#[tokio::test]
async fn a_retention_that_ends_halfway_is_finished() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({ "deletionPolicy": "Retain" })).await?;
    world.in_sync("orders").await?;
    world.refuse("UntagQueue", 500, "InternalError", "");
    world.ask_deletion("orders").await?;
    world.says("orders", "AWSError").await?;
    world.kill_operator()?;
    world.proxy.clear_faults();
    world.start_operator().await?;
    world.gone("orders").await?;
    let tags = world.tags(&world.aws_name("orders")).await?;
    ensure!(tags.contains_key("fairlead.dev/retained") && !tags.contains_key("fairlead.dev/uid"), "{tags:?}");
    Ok(())
}

#[tokio::test]
async fn a_deletion_that_is_tried_again_spares_who_took_the_name_meanwhile() -> Result<()> {
    // Without polls the operator knows the tags as it read them before.
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.read_tags("orders").await?;
    world.proxy.fault(Fault::new("DeleteQueue", Effect::LoseReply));
    for fault in [Fault::new("DeleteQueue", again()).skip(1), Fault::new("ListQueueTags", again())] {
        world.proxy.fault(fault.always());
    }
    world.ask_deletion("orders").await?;
    world.until_queue(&aws_name, false).await?;
    world.foreign_queue(&aws_name, &[("DelaySeconds", "7")], &[("team", "them")]).await?;
    let theirs = world.queue(&aws_name).await?;
    world.proxy.clear_faults();
    world.gone("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_some(), "somebody else's queue was deleted");
    ensure!(world.queue(&aws_name).await? == theirs, "somebody else's queue was changed");
    ensure!(world.proxy.calls_of("DeleteQueue").len() == 1, "{:?}", world.operations());
    world.has_told("orders", "Spared").await
}

#[tokio::test]
async fn a_queue_to_retain_that_is_gone_already_is_no_obstacle() -> Result<()> {
    let world = World::new(Aws::Ministack).await?.env("RECONCILE_FREQUENCY_SECONDS", "3600");
    let pattern = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_ADOPTION", &pattern);
    world.start_operator().await?;
    world.foreign_queue(&world.aws_name("adopted"), &[], &[]).await?;
    for (name, spec) in
        [("retained", json!({ "deletionPolicy": "Retain" })), ("adopted", json!({ "adoption": "Adopt" }))]
    {
        world.create(name, spec).await?;
        world.in_sync(name).await?;
        world.delete_queue(&world.aws_name(name)).await?;
        world.ask_deletion(name).await?;
    }
    for name in ["retained", "adopted"] {
        world.gone(name).await?;
        // Told after the object was let go.
        world.has_told(name, "Deleted").await?;
        ensure!(world.notes(name, "Deleted").await? == ["the queue was gone already"]);
    }
    Ok(())
}

#[tokio::test]
async fn a_queue_that_aws_does_not_show_yet_is_deleted_with_its_object() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.hide_queues();
    world.create("orders", json!({})).await?;
    world.says("orders", "Creating").await?;
    world.proxy.clear();
    world.ask_deletion("orders").await?;
    world.called("ListQueueTags", 2).await?;
    let object = world.object("orders").await?;
    ensure!(object.metadata.finalizers.is_some(), "{}", object.data);
    ensure!(row(&object) == "FFT-" && message(&object, "Ready").contains("comes into sight"), "{}", object.data);
    world.proxy.clear_faults();
    world.gone("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_none(), "the queue outlived its object");
    Ok(())
}

#[tokio::test]
async fn a_queue_that_nobody_remembers_and_aws_does_not_show_yet_is_deleted_with_its_object() -> Result<()> {
    let mut world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    world.proxy.fault(Fault::new("CreateQueue", Effect::HoldReply));
    world.create("orders", json!({})).await?;
    world.until_queue(&aws_name, true).await?;
    world.kill_operator()?;
    world.proxy.release();
    world.hide_queues();
    world.proxy.clear();
    world.ask_deletion("orders").await?;
    world.start_operator().await?;
    world.called("GetQueueUrl", 2).await?;
    world.proxy.clear_faults();
    world.gone("orders").await?;
    ensure!(world.queue_url(&aws_name).await?.is_none(), "the queue outlived its object");
    Ok(())
}

fn again() -> Effect {
    Effect::respond(500, "InternalError", "try again")
}
