//! Policies: as string or object, completed, compared by meaning.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::world::{Aws, World, condition, message, row};

/// The same policy in ways that AWS takes for one; the last is as AWS might write it.
fn spellings() -> Vec<Value> {
    let text = r#"{"Version":"2012-10-17","Statement":[
        {"Sid":"a","Effect":"Allow","Principal":{"AWS":"123456789012"},"Action":["sqs:SendMessage","sqs:ReceiveMessage"]},
        {"Sid":"b","Effect":"Deny","Principal":"*","Action":"sqs:*","Condition":{"Bool":{"aws:SecureTransport":"false"}}}]}"#;
    let other = json!({
        "Statement": [
            { "Sid": "b", "Effect": "Deny", "Principal": "*", "Action": ["sqs:*"],
              "Condition": { "Bool": { "aws:SecureTransport": false } } },
            { "Sid": "a", "Effect": "Allow", "Principal": { "AWS": ["arn:aws:iam::123456789012:root"] },
              "Action": ["sqs:ReceiveMessage", "sqs:SendMessage"] },
        ],
        "Version": "2012-10-17",
    });
    vec![json!(text), json!(text.replace('\n', "").replace("  ", "")), other]
}

async fn policy(world: &World) -> Result<Value> {
    let attributes = world.attributes(&world.aws_name("orders")).await?;
    Ok(serde_json::from_str(attributes.get("Policy").context("no policy")?)?)
}

#[tokio::test]
async fn other_spellings_of_a_policy_are_not_written_to_aws() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let mut spellings = spellings().into_iter();
    world.create("orders", json!({ "policy": spellings.next() })).await?;
    world.in_sync("orders").await?;
    let before = policy(&world).await?;
    for spelling in spellings {
        let object = world.set("orders", json!({ "policy": spelling })).await?;
        assert_eq!(row(&object), "TT--");
    }
    world.reconcile_now("orders").await?;
    assert_eq!(policy(&world).await?, before);
    assert!(world.proxy.calls_of("SetQueueAttributes").is_empty(), "{:?}", world.operations());
    world.told("orders", &["Created"]).await
}

#[tokio::test]
async fn an_object_with_its_keys_in_another_order_is_no_change_at_all() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let manifest = |statement: &str| {
        format!(
            "apiVersion: aws.fairlead.dev/v1alpha1\nkind: SQSQueue\nmetadata: {{name: orders, namespace: {}}}\n\
             spec: {{policy: {{Statement: [{{{statement}}}]}}}}",
            world.namespace
        )
    };
    world.cluster.kubectl_apply(&manifest("Effect: Deny, Principal: '*', Action: 'sqs:*'")).await?;
    world.in_sync("orders").await?;
    world.resyncs(1).await?;
    let before = world.queues().get("orders").await?;
    let said = world.cluster.kubectl_apply(&manifest("Action: 'sqs:*', Effect: Deny, Principal: '*'")).await?;
    ensure!(said.contains("orders") && !said.contains("created"), "{said}");
    world.resyncs(2).await?;
    let after = world.queues().get("orders").await?;
    assert_eq!(after.metadata.generation, before.metadata.generation);
    assert_eq!(after.data["status"], before.data["status"]);
    assert!(world.proxy.calls_of("SetQueueAttributes").is_empty(), "{:?}", world.operations());
    Ok(())
}

#[tokio::test]
async fn aws_may_write_a_policy_in_its_own_way() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let aws_name = world.aws_name("orders");
    let mut spellings = spellings();
    let theirs = spellings.pop().context("none")?;
    world.create("orders", json!({ "policy": spellings[0] })).await?;
    let object = world.in_sync("orders").await?;
    // What we sent has the queue's ARN in each statement.
    let mut theirs = theirs;
    for statement in theirs["Statement"].as_array_mut().context("no statements")? {
        statement["Resource"] = json!([object.data["status"]["identity"]["arn"]]);
    }
    world.drift(&aws_name, "Policy", &theirs.to_string()).await?;
    world.resyncs(2).await?;
    assert!(world.proxy.calls_of("SetQueueAttributes").is_empty(), "the same, written otherwise");
    theirs["Statement"][0]["Effect"] = json!("Allow");
    world.drift(&aws_name, "Policy", &theirs.to_string()).await?;
    world.until("orders", "corrected", |object| condition(object, "Synced")["reason"] == "DriftCorrected").await?;
    assert_eq!(policy(&world).await?["Statement"][1]["Effect"], "Deny");
    Ok(())
}

#[tokio::test]
async fn a_statement_without_resource_gets_the_queues_arn() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let statement = |extra: Value| {
        let mut statement = json!({ "Effect": "Allow", "Principal": "*", "Action": "sqs:SendMessage" });
        if let (Some(statement), Value::Object(extra)) = (statement.as_object_mut(), extra) {
            statement.extend(extra);
        }
        statement
    };
    let statements = [
        statement(json!({})),
        statement(json!({ "Resource": "arn:aws:sqs:*:*:jobs" })),
        statement(json!({ "NotResource": "arn:aws:sqs:*:*:other" })),
    ];
    world.create("orders", json!({ "policy": { "Statement": statements } })).await?;
    let object = world.in_sync("orders").await?;
    let mut expected = statements;
    expected[0]["Resource"] = object.data["status"]["identity"]["arn"].clone();
    assert_eq!(policy(&world).await?["Statement"], json!(expected));
    assert_eq!(object.data["spec"]["policy"]["Statement"][0].get("Resource"), None, "the spec stays the user's");
    // One statement need not be in a list, and a string is completed as well.
    let single = json!({ "Statement": statement(json!({})) }).to_string();
    world.set("orders", json!({ "policy": single })).await?;
    assert_eq!(policy(&world).await?["Statement"]["Resource"], object.data["status"]["identity"]["arn"]);
    Ok(())
}

#[tokio::test]
async fn other_spellings_of_a_redrive_allow_policy_are_not_written() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let aws_name = world.aws_name("dead");
    let arns = ["arn:aws:sqs:eu-west-1:123456789012:a", "arn:aws:sqs:eu-west-1:123456789012:b"];
    let by_queue = |arns: &[&str]| json!({ "redrivePermission": "byQueue", "sourceQueueArns": arns });
    world.create("dead", json!({ "redriveAllowPolicy": by_queue(&arns) })).await?;
    world.in_sync("dead").await?;
    world.set("dead", json!({ "redriveAllowPolicy": by_queue(&[arns[1], arns[0]]) })).await?;
    world.set("dead", json!({ "redriveAllowPolicy": by_queue(&arns).to_string() })).await?;
    assert!(world.proxy.calls_of("SetQueueAttributes").is_empty(), "{:?}", world.operations());
    let actual = world.attributes(&aws_name).await?["RedriveAllowPolicy"].clone();
    assert_eq!(serde_json::from_str::<Value>(&actual)?, by_queue(&arns));
    world.set("dead", json!({ "redriveAllowPolicy": by_queue(&arns[..1]).to_string() })).await?;
    let actual = world.attributes(&aws_name).await?["RedriveAllowPolicy"].clone();
    assert_eq!(serde_json::from_str::<Value>(&actual)?, by_queue(&arns[..1]));
    world.set("dead", json!({ "redriveAllowPolicy": null })).await?;
    assert_eq!(world.attributes(&aws_name).await?.get("RedriveAllowPolicy"), None);
    Ok(())
}

#[tokio::test]
async fn a_document_that_is_none_stalls_and_names_its_field() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    world.create("orders", json!({ "policy": 5 })).await?;
    for (spec, words) in [
        (json!({ "policy": 5 }), "spec.policy: an object, or a string of JSON"),
        (json!({ "policy": "{" }), "spec.policy: the string is no JSON object"),
        (json!({ "policy": { "Id": "x".repeat(8_192) } }), "and SQS takes at most 8192"),
        (
            json!({ "policy": null, "redriveAllowPolicy": { "redrivePermission": "some" } }),
            "allowAll, denyAll or byQueue",
        ),
        (
            json!({ "redriveAllowPolicy": { "redrivePermission": "byQueue", "sourceQueueArns": [] } }),
            "byQueue needs 1 to 10 queue ARNs",
        ),
    ] {
        world.patch("orders", json!({ "spec": spec })).await?;
        let stalled = world
            .until("orders", words, |object| {
                crate::world::observed(object) && message(object, "Stalled").contains(words)
            })
            .await?;
        assert_eq!((row(&stalled).as_str(), &condition(&stalled, "Ready")["reason"]), ("FF-T", &json!("InvalidSpec")));
    }
    assert_eq!(world.operations(), Vec::<String>::new(), "nothing was asked of AWS");
    world.set("orders", json!({ "redriveAllowPolicy": null })).await?;
    Ok(())
}
