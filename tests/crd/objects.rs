//! What becomes of an object when it is stored: defaults, nulls, the status.

use anyhow::Result;
use fairlead_harness::kstatus::kstatus;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cases::{Server, object};

#[tokio::test]
async fn a_spec_may_be_left_out_empty_or_null() -> Result<()> {
    let server = Server::new().await?;
    let without = server.create(&object("without", None)).await?;
    assert_eq!(without.data.get("spec"), None, "nothing is added");
    let empty = server.create(&object("empty", Some(&json!({})))).await?;
    assert_eq!(empty.data["spec"], json!({}));
    let null = server.create(&object("null", Some(&json!(null)))).await?;
    assert_eq!(null.data.get("spec"), None);
    Ok(())
}

#[tokio::test]
async fn a_null_is_as_good_as_nothing_in_every_field() -> Result<()> {
    let server = Server::new().await?;
    let schema = crate::manifest::schema()?;
    let fields = schema["properties"]["spec"]["properties"].as_object().cloned().unwrap_or_default();
    assert!(fields.len() > 20, "{fields:?}");
    let nulls = fields.keys().map(|field| (field.clone(), json!(null))).collect();
    let stored = server.create(&object("nulls", Some(&nulls))).await?;
    let left = stored.data["spec"].as_object().cloned().unwrap_or_default();
    assert!(left.values().all(serde_json::Value::is_null), "{left:?}");
    let spec: fairlead::kinds::sqs_queue::api::SQSQueueSpec = serde_json::from_value(stored.data["spec"].clone())?;
    assert_eq!(spec, Default::default());
    Ok(())
}

/// Server-side apply keeps a null to the end, for every CRD: here it is at least refused by name.
#[tokio::test]
async fn a_null_that_is_applied_by_the_server_is_refused_by_field() -> Result<()> {
    let server = Server::new().await?;
    let null = object("applied", Some(&json!({ "delaySeconds": null })));
    let applied = server.queues.patch("applied", &PatchParams::apply("crd-tests"), &Patch::Apply(null)).await;
    let refused = applied.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("spec.delaySeconds in body must be of type integer: \"null\""), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_document_is_stored_as_it_was_written() -> Result<()> {
    let server = Server::new().await?;
    let spec = json!({
        "policy": { "Version": "2012-10-17", "Statement": [{ "Sid": "a", "Condition": { "Bool": { "x": false } } }] },
        "redriveAllowPolicy": "{ \"redrivePermission\" : \"denyAll\" }",
    });
    let stored = server.create(&object("documents", Some(&spec))).await?;
    assert_eq!(stored.data["spec"], spec);
    Ok(())
}

#[tokio::test]
async fn a_fresh_object_is_not_taken_for_a_current_one() -> Result<()> {
    let server = Server::new().await?;
    let mut fresh = object("fresh", Some(&json!({})));
    // As kubectl create -f of a copied object would.
    fresh["status"] = json!({ "url": "http://copied", "observedGeneration": 1 });
    let stored = server.create(&fresh).await?;
    assert_eq!(stored.data["status"], json!({ "observedGeneration": -1 }));
    assert_eq!(kstatus(&[serde_json::to_value(&stored)?]).await?, ["InProgress"]);

    let status = Patch::Merge(json!({ "status": { "observedGeneration": 1, "url": "http://queue" } }));
    let observed = server.queues.patch_status("fresh", &PatchParams::default(), &status).await?;
    assert_eq!(kstatus(&[serde_json::to_value(&observed)?]).await?, ["Current"]);
    Ok(())
}

#[tokio::test]
async fn status_and_spec_are_written_apart() -> Result<()> {
    let server = Server::new().await?;
    server.create(&object("apart", Some(&json!({ "delaySeconds": 1 })))).await?;
    let both = Patch::Merge(json!({ "spec": { "delaySeconds": 2 }, "status": { "url": "http://queue" } }));
    let status = server.queues.patch_status("apart", &PatchParams::default(), &both).await?;
    assert_eq!((&status.data["spec"]["delaySeconds"], status.metadata.generation), (&json!(1), Some(1)));
    let both = Patch::Merge(json!({ "spec": { "delaySeconds": 2 }, "status": { "url": "http://other" } }));
    let spec = server.queues.patch("apart", &PatchParams::default(), &both).await?;
    assert_eq!((&spec.data["status"]["url"], spec.metadata.generation), (&json!("http://queue"), Some(2)));
    Ok(())
}

#[tokio::test]
async fn a_generated_name_is_judged_as_a_given_one() -> Result<()> {
    let server = Server::new().await?;
    let create = async |prefix: &str| {
        let mut object = object("", None);
        object["metadata"] = json!({ "generateName": prefix });
        server.create(&object).await
    };
    create("orders-").await?;
    let refused = create("my.queue-").await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("spec.name is needed"), "{refused}");
    Ok(())
}
