//! What becomes of an object when it is stored: defaults, nulls, the status.

use anyhow::Result;
use fairlead_harness::kstatus::kstatus;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cases::{RDS, SQS, Server};

#[tokio::test]
async fn a_spec_may_be_left_out_empty_or_null() -> Result<()> {
    let server = Server::new(&SQS).await?;
    let without = server.create(&SQS.object("without", None)).await?;
    assert_eq!(without.data.get("spec"), None, "nothing is added");
    let empty = server.create(&SQS.object("empty", Some(&json!({})))).await?;
    assert_eq!(empty.data["spec"], json!({}));
    let null = server.create(&SQS.object("null", Some(&json!(null)))).await?;
    assert_eq!(null.data.get("spec"), None);
    Ok(())
}

#[tokio::test]
async fn a_spec_with_a_needed_field_may_not_be_left_out() -> Result<()> {
    let server = Server::new(&RDS).await?;
    for (spec, message) in [
        (None, "spec: Required value"),
        (Some(json!(null)), "spec: Required value"),
        (Some(json!({})), "spec.engine: Required value"),
    ] {
        let refused = server.ask(&RDS.object("without", spec.as_ref())).await?.unwrap_or_default();
        assert!(refused.contains(message), "{spec:?}: {refused}");
    }
    Ok(())
}

#[tokio::test]
async fn nothing_is_added_to_a_database_but_what_is_about_safety() -> Result<()> {
    let server = Server::new(&RDS).await?;
    let spec = json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 });
    let mut expected = spec.clone();
    expected["publiclyAccessible"] = json!(false);
    expected["storageEncrypted"] = json!(true);
    let stored = server.create(&RDS.object("orders", Some(&spec))).await?;
    assert_eq!(stored.data["spec"], expected);
    Ok(())
}

#[tokio::test]
async fn a_null_is_as_good_as_nothing_in_every_field() -> Result<()> {
    for kind in [&SQS, &RDS] {
        let server = Server::new(kind).await?;
        let schema = crate::manifest::schema(kind.plural)?;
        let fields = schema["properties"]["spec"]["properties"].as_object().cloned().unwrap_or_default();
        assert!(fields.len() > 20, "{fields:?}");
        let needed = kind.spec(&json!({}));
        let mut nulls: serde_json::Value = fields.keys().map(|field| (field.clone(), json!(null))).collect();
        for (field, value) in needed.as_object().into_iter().flatten() {
            nulls[field] = value.clone();
        }
        let stored = server.create(&kind.object("nulls", Some(&nulls))).await?;
        let without = server.create(&kind.object("without", Some(&needed))).await?;
        let mut left = stored.data["spec"].as_object().cloned().unwrap_or_default();
        left.retain(|_, value| !value.is_null());
        assert_eq!(json!(left), without.data["spec"]);
        assert!(kind.understood(&stored.data["spec"]));
    }
    Ok(())
}

/// Server-side apply keeps a null to the end, for every CRD: here it is at least refused by name.
#[tokio::test]
async fn a_null_that_is_applied_by_the_server_is_refused_by_field() -> Result<()> {
    let server = Server::new(&SQS).await?;
    let null = SQS.object("applied", Some(&json!({ "delaySeconds": null })));
    let applied = server.objects.patch("applied", &PatchParams::apply("crd-tests"), &Patch::Apply(null)).await;
    let refused = applied.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("spec.delaySeconds in body must be of type integer: \"null\""), "{refused}");
    Ok(())
}

#[tokio::test]
async fn a_document_is_stored_as_it_was_written() -> Result<()> {
    let server = Server::new(&SQS).await?;
    let spec = json!({
        "policy": { "Version": "2012-10-17", "Statement": [{ "Sid": "a", "Condition": { "Bool": { "x": false } } }] },
        "redriveAllowPolicy": "{ \"redrivePermission\" : \"denyAll\" }",
    });
    let stored = server.create(&SQS.object("documents", Some(&spec))).await?;
    assert_eq!(stored.data["spec"], spec);
    Ok(())
}

#[tokio::test]
async fn a_fresh_object_is_not_taken_for_a_current_one() -> Result<()> {
    for kind in [&SQS, &RDS] {
        let server = Server::new(kind).await?;
        let mut fresh = kind.object("fresh", Some(&kind.spec(&json!({}))));
        // As kubectl create -f of a copied object would.
        fresh["status"] = json!({ "managed": ["copied"], "observedGeneration": 1 });
        let stored = server.create(&fresh).await?;
        assert_eq!(stored.data["status"], json!({ "observedGeneration": -1 }));
        assert_eq!(kstatus(&[serde_json::to_value(&stored)?]).await?, ["InProgress"]);

        let observed = server.set_status("fresh", &json!({ "observedGeneration": 1, "managed": ["tags.a"] })).await?;
        assert_eq!(kstatus(&[serde_json::to_value(&observed)?]).await?, ["Current"]);
    }
    Ok(())
}

#[tokio::test]
async fn status_and_spec_are_written_apart() -> Result<()> {
    for kind in [&SQS, &RDS] {
        let server = Server::new(kind).await?;
        let spec = |value: &str| json!({ "tags": { "team": value } });
        server.create(&kind.object("apart", Some(&kind.spec(&spec("one"))))).await?;
        let both = Patch::Merge(json!({ "spec": spec("two"), "status": { "managed": ["a"] } }));
        let status = server.objects.patch_status("apart", &PatchParams::default(), &both).await?;
        assert_eq!((&status.data["spec"]["tags"]["team"], status.metadata.generation), (&json!("one"), Some(1)));
        let both = Patch::Merge(json!({ "spec": spec("two"), "status": { "managed": ["b"] } }));
        let spec = server.objects.patch("apart", &PatchParams::default(), &both).await?;
        assert_eq!((&spec.data["status"]["managed"], spec.metadata.generation), (&json!(["a"]), Some(2)));
    }
    Ok(())
}

#[tokio::test]
async fn a_generated_name_is_judged_as_a_given_one() -> Result<()> {
    for kind in [&SQS, &RDS] {
        let server = Server::new(kind).await?;
        let create = async |prefix: &str| {
            let mut object = kind.object("", kind.optional(&json!(null)).as_ref());
            object["metadata"] = json!({ "generateName": prefix });
            server.create(&object).await
        };
        create("orders-").await?;
        let refused = create("my.name-").await.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(refused.contains("spec.name is needed"), "{refused}");
    }
    Ok(())
}
