//! Enumerations, patterns, lengths and counts.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cases::{Case, SQS, accepted, check, refused},
    common::values_of,
};

fn fifo(mut spec: Value) -> Value {
    spec["fifoQueue"] = json!(true);
    spec
}

pub fn enumerations() -> Vec<Case> {
    let with = |field: &str, value: Value| fifo(json!({ field: value }));
    let mut cases = values_of("deletionPolicy", &["Delete", "Retain"], with);
    cases.push(refused(with("deletionPolicy", json!("Snapshot")), "spec.deletionPolicy: Unsupported value"));
    cases.extend(values_of("deduplicationScope", &["queue", "messageGroup"], with));
    let limit = |value: &str| fifo(json!({ "deduplicationScope": "messageGroup", "fifoThroughputLimit": value }));
    cases.push(accepted(limit("perQueue")));
    cases.push(accepted(limit("perMessageGroupId")));
    cases.push(refused(limit("Other"), "spec.fifoThroughputLimit: Unsupported value: \"Other\""));
    cases
}

pub fn patterns() -> Vec<Case> {
    let arn = |arn: &str| json!({ "redrivePolicy": { "deadLetterTargetARN": arn } });
    vec![
        accepted(arn("arn:aws:sqs:eu-west-1:123456789012:dead")),
        accepted(arn("arn:aws-us-gov:sqs:us-gov-west-1:123456789012:dead_1")),
        refused(arn("dead"), "spec.redrivePolicy.deadLetterTargetARN in body should match '^arn:"),
        refused(arn("arn:aws:sns:eu-west-1:123456789012:dead"), "deadLetterTargetARN in body should match '^arn:"),
        refused(arn("arn:aws:sqs:eu-west-1:1234:dead"), "deadLetterTargetARN in body should match '^arn:"),
        refused(
            arn(&format!("arn:aws:sqs:eu-west-1:123456789012:{}", "x".repeat(222))),
            "spec.redrivePolicy.deadLetterTargetARN: Too long: may not be more than 256 bytes",
        ),
    ]
}

pub fn lengths() -> Vec<Case> {
    let long = |length: usize| "x".repeat(length);
    let reference = |name: String| json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": name } } });
    vec![
        accepted(json!({ "kmsMasterKeyID": "k" })),
        accepted(json!({ "kmsMasterKeyID": long(2_048) })),
        refused(json!({ "kmsMasterKeyID": "" }), "spec.kmsMasterKeyID in body should be at least 1 chars long"),
        refused(json!({ "kmsMasterKeyID": long(2_049) }), "spec.kmsMasterKeyID: Too long: may not be more than 2048"),
        accepted(reference("d".into())),
        accepted(reference(long(253))),
        refused(reference(String::new()), "spec.redrivePolicy.deadLetterQueueRef.name in body should be at least 1"),
        refused(reference(long(254)), "spec.redrivePolicy.deadLetterQueueRef.name: Too long"),
        refused(json!({ "redrivePolicy": { "deadLetterQueueRef": {} } }), "deadLetterQueueRef.name: Required value"),
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
    check(&SQS, enumerations()).await
}

#[tokio::test]
async fn texts_have_the_form_that_aws_and_kubernetes_take() -> Result<()> {
    check(&SQS, patterns()).await
}

#[tokio::test]
async fn lengths_and_counts_are_bounded() -> Result<()> {
    check(&SQS, lengths()).await
}

#[tokio::test]
async fn documents_are_an_object_or_a_string() -> Result<()> {
    check(&SQS, documents()).await
}
