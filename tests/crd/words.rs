//! Enumerations, patterns, lengths and counts.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::{Case, accepted, check, refused};

fn fifo(mut spec: Value) -> Value {
    spec["fifoQueue"] = json!(true);
    spec
}

pub fn enumerations() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, values) in [
        ("deletionPolicy", vec!["Delete", "Retain"]),
        ("management", vec!["Manage", "Observe"]),
        ("adoption", vec!["Never", "Adopt", "AdoptOrCreate"]),
        ("deduplicationScope", vec!["queue", "messageGroup"]),
    ] {
        let message = format!("spec.{field}: Unsupported value: \"Other\": supported values: \"");
        cases.push(refused(fifo(json!({ field: "Other" })), message));
        cases.extend(values.iter().map(|value| accepted(fifo(json!({ field: value })))));
    }
    let limit = |value: &str| fifo(json!({ "deduplicationScope": "messageGroup", "fifoThroughputLimit": value }));
    cases.push(accepted(limit("perQueue")));
    cases.push(accepted(limit("perMessageGroupId")));
    cases.push(refused(limit("Other"), "spec.fifoThroughputLimit: Unsupported value: \"Other\""));
    cases
}

pub fn patterns() -> Vec<Case> {
    let arn = |arn: &str| json!({ "redrivePolicy": { "deadLetterTargetARN": arn } });
    let connection = |name: &str| json!({ "connection": { "name": name } });
    let key = |key: &str| json!({ "connection": { "keys": { "queueURL": key } } });
    let region = |region: &str| json!({ "region": region });
    let mut cases: Vec<_> = ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-isob-east-1", "eusc-de-east-1"]
        .map(|it| accepted(region(it)))
        .into();
    cases.extend(
        ["", "EU-WEST-1", "eu-west", "eu-west-1a", "eu west 1"]
            .map(|it| refused(region(it), "spec.region in body should match '^[a-z]{2,4}(-[a-z]+)+-[0-9]+$'")),
    );
    cases.extend([
        refused(region(&format!("eu-{}-1", "x".repeat(28))), "spec.region: Too long: may not be more than 32 bytes"),
        accepted(arn("arn:aws:sqs:eu-west-1:123456789012:dead")),
        accepted(arn("arn:aws-us-gov:sqs:us-gov-west-1:123456789012:dead_1")),
        refused(arn("dead"), "spec.redrivePolicy.deadLetterTargetARN in body should match '^arn:"),
        refused(arn("arn:aws:sns:eu-west-1:123456789012:dead"), "deadLetterTargetARN in body should match '^arn:"),
        refused(arn("arn:aws:sqs:eu-west-1:1234:dead"), "deadLetterTargetARN in body should match '^arn:"),
        refused(
            arn(&format!("arn:aws:sqs:eu-west-1:123456789012:{}", "x".repeat(222))),
            "spec.redrivePolicy.deadLetterTargetARN: Too long: may not be more than 256 bytes",
        ),
    ]);
    cases.extend(["orders", "orders.v1", "0-9"].map(|it| accepted(connection(it))));
    cases.extend(
        ["Orders", "-orders", "orders-", "a..b", ".a", "a_b"]
            .map(|it| refused(connection(it), "spec.connection.name in body should match '^[a-z0-9]")),
    );
    cases.extend(["QUEUE_URL", "queue.url", ".env", "a..b", "-"].map(|it| accepted(key(it))));
    cases.extend(
        ["", ".", "..", "..a", "a b", "a/b"]
            .map(|it| refused(key(it), "spec.connection.keys.queueURL in body should match '^")),
    );
    cases
}

pub fn lengths() -> Vec<Case> {
    let long = |length: usize| "x".repeat(length);
    let tags = |count: usize| (0..count).map(|n| (format!("key{n}"), "value")).collect::<BTreeMap<_, _>>();
    let reference = |name: String| json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": name } } });
    let keys = |count: usize| (0..count).map(|n| (format!("key{n}"), format!("v{n}"))).collect::<BTreeMap<_, _>>();
    vec![
        accepted(json!({ "kmsMasterKeyID": "k" })),
        accepted(json!({ "kmsMasterKeyID": long(2_048) })),
        refused(json!({ "kmsMasterKeyID": "" }), "spec.kmsMasterKeyID in body should be at least 1 chars long"),
        refused(json!({ "kmsMasterKeyID": long(2_049) }), "spec.kmsMasterKeyID: Too long: may not be more than 2048"),
        accepted(json!({ "connection": { "name": long(253) } })),
        refused(json!({ "connection": { "name": long(254) } }), "spec.connection.name: Too long"),
        refused(json!({ "connection": { "name": "" } }), "spec.connection.name in body should be at least 1 chars"),
        accepted(json!({ "connection": { "keys": { "queueURL": long(253) } } })),
        refused(
            json!({ "connection": { "keys": { "queueURL": long(254) } } }),
            "spec.connection.keys.queueURL: Too long",
        ),
        refused(
            json!({ "connection": { "keys": keys(17) } }),
            "spec.connection.keys: Too many: 17: must have at most 16",
        ),
        accepted(json!({ "tags": tags(40) })),
        refused(json!({ "tags": tags(41) }), "spec.tags: Too many: 41: must have at most 40 items"),
        accepted(json!({ "tags": { "team": long(256), "empty": "" } })),
        refused(json!({ "tags": { "team": long(257) } }), "spec.tags.team: Too long: may not be more than 256 bytes"),
        accepted(json!({ "accountRef": { "name": "team-a" } })),
        refused(json!({ "accountRef": { "name": "" } }), "spec.accountRef.name in body should be at least 1 chars"),
        refused(json!({ "accountRef": { "name": long(254) } }), "spec.accountRef.name: Too long"),
        refused(json!({ "accountRef": {} }), "spec.accountRef.name: Required value"),
        accepted(reference("d".into())),
        accepted(reference(long(253))),
        refused(reference(String::new()), "spec.redrivePolicy.deadLetterQueueRef.name in body should be at least 1"),
        refused(reference(long(254)), "spec.redrivePolicy.deadLetterQueueRef.name: Too long"),
        refused(json!({ "redrivePolicy": { "deadLetterQueueRef": {} } }), "deadLetterQueueRef.name: Required value"),
        refused(json!({ "name": "" }), "spec.name in body should be at least 1 chars long"),
        refused(json!({ "name": long(256) }), "spec.name: Too long: may not be more than 255 bytes"),
    ]
}

pub fn documents() -> Vec<Case> {
    let policy = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Principal": "*" }] });
    let allow = json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["arn:aws:sqs:eu-west-1:123456789012:a"] });
    vec![
        accepted(json!({ "policy": policy })),
        accepted(json!({ "policy": policy.to_string() })),
        accepted(json!({ "redriveAllowPolicy": allow })),
        accepted(json!({ "redriveAllowPolicy": allow.to_string() })),
        accepted(json!({ "policy": null, "redriveAllowPolicy": null })),
    ]
}

#[tokio::test]
async fn enumerations_take_their_values_and_no_other() -> Result<()> {
    check(enumerations()).await
}

#[tokio::test]
async fn texts_have_the_form_that_aws_and_kubernetes_take() -> Result<()> {
    check(patterns()).await
}

#[tokio::test]
async fn lengths_and_counts_are_bounded() -> Result<()> {
    check(lengths()).await
}

#[tokio::test]
async fn documents_are_an_object_or_a_string() -> Result<()> {
    check(documents()).await
}
