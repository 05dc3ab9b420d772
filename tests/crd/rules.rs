//! Rules between fields: each in what it lets pass and in what it refuses, with its whole message.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::{Case, SQS, accepted, check, refused};

const NAME: &str = "name: 1 to 80 of letters, digits, - and _, with .fifo at the end for a FIFO queue";
const NAME_LENGTH: &str =
    "name: at most 80 characters, of which the .fifo that is appended to a FIFO queue's name is 5";
const NAME_FIFO: &str = "name ends in .fifo: set fifoQueue to true, or choose another name";
const OBJECT_NAME: &str = "spec.name is needed: metadata.name has a character that an SQS name cannot have (allowed: \
                           letters, digits, - and _)";
const OBJECT_NAME_LENGTH: &str = "spec.name is needed: metadata.name is longer than an SQS name may be (80 characters, \
                                  of which .fifo is 5)";
const OBJECT_NAME_FIFO: &str = "metadata.name ends in .fifo: set spec.fifoQueue to true, or choose another name";

fn long(length: usize) -> String {
    "x".repeat(length)
}

pub fn names() -> Vec<Case> {
    let name = |name: &str| json!({ "name": name });
    let fifo = |name: &str| json!({ "name": name, "fifoQueue": true });
    vec![
        accepted(name("Orders_1-a")),
        accepted(name(&long(80))),
        refused(name(&long(81)), NAME),
        refused(name("a b"), NAME),
        refused(name("a.b"), NAME),
        refused(name(".fifo"), NAME),
        refused(name("orders.fifo"), NAME_FIFO),
        refused(json!({ "name": "orders.fifo", "fifoQueue": false }), NAME_FIFO),
        accepted(fifo("orders.fifo")),
        accepted(fifo("orders")),
        accepted(fifo(&long(75))),
        refused(fifo(&long(76)), NAME_LENGTH),
        accepted(fifo(&(long(75) + ".fifo"))),
        refused(fifo(&(long(76) + ".fifo")), NAME_LENGTH),
        refused(fifo("a.fifo.fifo"), NAME),
    ]
}

pub fn object_names() -> Vec<Case> {
    let (none, fifo, named) = (json!({}), json!({ "fifoQueue": true }), json!({ "name": "orders" }));
    vec![
        refused(none.clone(), OBJECT_NAME).named("my.queue"),
        refused(fifo.clone(), OBJECT_NAME).named("my.queue"),
        accepted(named.clone()).named("my.queue"),
        refused(none.clone(), OBJECT_NAME_FIFO).named("x.fifo"),
        refused(json!({ "fifoQueue": false }), OBJECT_NAME_FIFO).named("x.fifo"),
        accepted(fifo.clone()).named("x.fifo"),
        accepted(named.clone()).named("x.fifo"),
        accepted(none.clone()).named(long(80)),
        refused(none, OBJECT_NAME_LENGTH).named(long(81)),
        accepted(named).named(long(253)),
        accepted(fifo.clone()).named(long(75)),
        refused(fifo.clone(), OBJECT_NAME_LENGTH).named(long(76)),
        accepted(fifo.clone()).named(long(75) + ".fifo"),
        refused(fifo, OBJECT_NAME_LENGTH).named(long(76) + ".fifo"),
    ]
}

pub fn fifo_fields() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, value) in [
        ("contentBasedDeduplication", json!(true)),
        ("contentBasedDeduplication", json!(false)),
        ("deduplicationScope", json!("queue")),
        ("fifoThroughputLimit", json!("perQueue")),
    ] {
        let message = format!("{field} is for FIFO queues: set fifoQueue to true, or remove it");
        cases.push(accepted(json!({ "fifoQueue": true, field: value })));
        cases.push(refused(json!({ "fifoQueue": false, field: value }), &message));
        cases.push(refused(json!({ field: value }), &message));
    }
    let limit = |scope: Value| json!({ "fifoQueue": true, "fifoThroughputLimit": "perMessageGroupId", "deduplicationScope": scope });
    let needs = "fifoThroughputLimit perMessageGroupId needs deduplicationScope messageGroup";
    cases.push(accepted(limit(json!("messageGroup"))));
    cases.push(refused(limit(json!("queue")), needs));
    cases.push(refused(limit(Value::Null), needs));
    cases
}

pub fn encryption() -> Vec<Case> {
    let both = "kmsMasterKeyID and sqsManagedSseEnabled exclude each other: remove one";
    vec![
        accepted(json!({ "kmsMasterKeyID": "alias/a" })),
        accepted(json!({ "sqsManagedSseEnabled": true })),
        accepted(json!({ "kmsMasterKeyID": "alias/a", "sqsManagedSseEnabled": false })),
        refused(json!({ "kmsMasterKeyID": "alias/a", "sqsManagedSseEnabled": true }), both),
    ]
}

pub fn dead_letters() -> Vec<Case> {
    const STANDARD: &str = "arn:aws:sqs:eu-west-1:123456789012:dead";
    const FIFO: &str = "arn:aws:sqs:eu-west-1:123456789012:dead.fifo";
    let arn = |arn: &str, fifo: bool| json!({ "fifoQueue": fifo, "redrivePolicy": { "deadLetterTargetARN": arn } });
    let reference = json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" } } });
    let both = json!({ "deadLetterTargetARN": STANDARD, "deadLetterQueueRef": { "name": "dead" } });
    let one = "redrivePolicy: set deadLetterTargetARN or deadLetterQueueRef, one of them";
    let kind = "redrivePolicy.deadLetterTargetARN: the dead-letter queue of a FIFO queue is FIFO (its name ends in \
                .fifo), that of a standard queue is not";
    let own =
        "spec.redrivePolicy.deadLetterQueueRef: a queue can't be its own dead-letter queue; name another SQSQueue";
    vec![
        accepted(reference.clone()),
        refused(reference, own).named("dead"),
        refused(json!({ "redrivePolicy": {} }), one),
        refused(json!({ "redrivePolicy": { "maxReceiveCount": 3 } }), one),
        refused(json!({ "redrivePolicy": both }), one),
        accepted(arn(STANDARD, false)),
        accepted(arn(FIFO, true)),
        refused(arn(STANDARD, true), kind),
        refused(arn(FIFO, false), kind),
    ]
}

pub fn connection_keys() -> Vec<Case> {
    let keys = |keys: Value| json!({ "connection": { "keys": keys } });
    let known = "connection.keys: published are queueName, queueURL, queueARN, region, deadLetterQueueName, \
                 deadLetterQueueURL and deadLetterQueueARN; use these keys";
    let taken = "connection.keys: a new name is that of another published key; choose another, or rename that one too";
    let twice = "connection.keys: two keys have the same new name; give each its own";
    vec![
        accepted(keys(json!({
            "queueName": "a", "queueURL": "b", "queueARN": "c", "region": "d",
            "deadLetterQueueName": "e", "deadLetterQueueURL": "f", "deadLetterQueueARN": "g",
        }))),
        refused(keys(json!({ "queueUrl": "QUEUE_URL" })), known),
        accepted(keys(json!({ "queueURL": "queueARN", "queueARN": "queueURL" }))),
        refused(keys(json!({ "queueURL": "queueARN" })), taken),
        refused(keys(json!({ "queueURL": "ADDRESS", "queueARN": "ADDRESS" })), twice),
    ]
}

#[tokio::test]
async fn a_name_is_one_for_its_kind_of_queue() -> Result<()> {
    check(&SQS, names()).await
}

#[tokio::test]
async fn an_object_whose_name_is_none_for_sqs_needs_another() -> Result<()> {
    check(&SQS, object_names()).await
}

#[tokio::test]
async fn fifo_fields_need_a_fifo_queue() -> Result<()> {
    check(&SQS, fifo_fields()).await
}

#[tokio::test]
async fn a_kms_key_excludes_keys_that_sqs_owns() -> Result<()> {
    check(&SQS, encryption()).await
}

#[tokio::test]
async fn a_dead_letter_queue_is_told_once_and_fits() -> Result<()> {
    check(&SQS, dead_letters()).await
}

#[tokio::test]
async fn published_keys_stay_apart() -> Result<()> {
    check(&SQS, connection_keys()).await
}
