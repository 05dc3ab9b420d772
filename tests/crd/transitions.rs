//! What can't be changed once it is set, or ever.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::cases::{Kind, RDS, SQS, Server};

const FIFO: &str = "spec.fifoQueue can't be changed: SQS fixes a queue's type when it is created; set it back, or \
                    create another SQSQueue";
const REGION: &str = "spec.region can't be changed: the resource stays where it was created (status.identity.region); \
                      set that, or create another object for the other region";
const NAME: &str = "spec.name can't be changed: AWS can't rename the resource (status.identity.name); set that, or \
                    create another object with the new name";

/// The messages about fields of every kind.
pub const COMMON: [&str; 2] = [REGION, NAME];
/// The messages about an SQSQueue.
pub const MESSAGES: [&str; 3] = [FIFO, REGION, NAME];

/// From one spec (null: none at all) to another, and the refusal.
pub type Change<'a> = (Value, Value, Option<&'a str>);

/// Each change of an object whose resource is not there yet.
async fn check(changes: Vec<Change<'_>>) -> Result<()> {
    check_with(&SQS, None, changes).await
}

/// Each change of an object whose status tells `identity`.
pub async fn check_with(kind: &Kind, identity: Option<Value>, changes: Vec<Change<'_>>) -> Result<()> {
    let status = identity.map(|identity| json!({ "identity": identity }));
    check_with_status(kind, status, changes).await
}

/// Each change of an object with a status.
pub async fn check_with_status(kind: &Kind, status: Option<Value>, changes: Vec<Change<'_>>) -> Result<()> {
    let server = Server::new(kind).await?;
    let mut wrong = Vec::new();
    for (number, (before, after, refused)) in changes.into_iter().enumerate() {
        let name = format!("object-{number}");
        let mut stored = server.create(&kind.object(&name, kind.optional(&before).as_ref())).await?;
        if let Some(status) = &status {
            stored = server.set_status(&name, status).await?;
        }
        let answer = server.ask_replace(&stored, &kind.object(&name, kind.optional(&after).as_ref())).await?;
        let fits = match (refused, &answer) {
            (None, None) => true,
            (Some(message), Some(answer)) => answer.contains(message),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{before} → {after}\n  expected: {refused:?}\n  answered: {answer:?}"));
        }
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

/// An identity as status tells it.
pub fn identity(name: &str) -> Option<Value> {
    Some(json!({ "accountID": "123456789012", "region": "eu-west-1", "name": name, "arn": "arn" }))
}

#[tokio::test]
async fn the_type_of_a_queue() -> Result<()> {
    let (fifo, standard) = (json!({ "fifoQueue": true }), json!({ "fifoQueue": false }));
    check(vec![
        (fifo.clone(), fifo.clone(), None),
        (fifo.clone(), json!({ "fifoQueue": true, "delaySeconds": 1 }), None),
        (fifo.clone(), standard.clone(), Some(FIFO)),
        (fifo.clone(), json!({}), Some(FIFO)),
        (fifo.clone(), Value::Null, Some(FIFO)),
        (standard.clone(), fifo.clone(), Some(FIFO)),
        (json!({}), fifo.clone(), Some(FIFO)),
        (Value::Null, fifo, Some(FIFO)),
        // Not FIFO, said or unsaid, is the same.
        (json!({}), standard.clone(), None),
        (Value::Null, standard.clone(), None),
        (standard.clone(), json!({}), None),
        (standard, Value::Null, None),
    ])
    .await
}

#[tokio::test]
async fn the_region() -> Result<()> {
    for kind in [&SQS, &RDS] {
        regions(kind).await?;
    }
    Ok(())
}

async fn regions(kind: &Kind) -> Result<()> {
    let region = |region: &str| json!({ "region": region });
    let (same, other, third) = (region("eu-west-1"), region("eu-west-2"), region("eu-west-3"));
    let with_tags = |region: &str| json!({ "region": region, "tags": { "team": "a" } });
    let changes = vec![
        (same.clone(), with_tags("eu-west-1"), None),
        (same.clone(), other.clone(), Some(REGION)),
        (json!({}), other.clone(), Some(REGION)),
        (Value::Null, other.clone(), Some(REGION)),
        (json!({}), same.clone(), None),
        (Value::Null, same.clone(), None),
        (same.clone(), json!({}), None),
        (same.clone(), Value::Null, None),
        // What a restored backup says wrongly blocks nothing, and can be put right.
        (other.clone(), with_tags("eu-west-2"), None),
        (other.clone(), third.clone(), Some(REGION)),
        (other.clone(), same.clone(), None),
    ];
    check_with(kind, identity("orders"), changes).await?;
    // Nothing was made yet: a mistake can be put right.
    let changes = vec![(other.clone(), same, None), (other.clone(), third, None), (other, Value::Null, None)];
    check_with(kind, None, changes).await
}

#[tokio::test]
async fn the_name() -> Result<()> {
    for kind in [&SQS, &RDS] {
        names(kind).await?;
    }
    let fifo = |name: &str| json!({ "fifoQueue": true, "name": name });
    let changes = vec![
        (json!({ "fifoQueue": true }), fifo("orders"), None),
        (json!({ "fifoQueue": true }), fifo("orders.fifo"), None),
        (json!({ "fifoQueue": true }), fifo("bills"), Some(NAME)),
    ];
    check_with(&SQS, identity("orders.fifo"), changes).await
}

async fn names(kind: &Kind) -> Result<()> {
    let name = |name: &str| json!({ "name": name });
    let changes = vec![
        (name("orders"), json!({ "name": "orders", "tags": { "team": "a" } }), None),
        (name("orders"), name("bills"), Some(NAME)),
        (json!({}), name("bills"), Some(NAME)),
        (Value::Null, name("bills"), Some(NAME)),
        (json!({}), name("orders"), None),
        (name("orders"), json!({}), None),
        (name("bills"), name("orders"), None),
    ];
    check_with(kind, identity("orders"), changes).await?;
    check_with(kind, None, vec![(name("taken"), name("free"), None), (name("taken"), Value::Null, None)]).await
}

#[tokio::test]
async fn everything_else_can_be_set_changed_and_removed() -> Result<()> {
    let one = json!({
        "deletionPolicy": "Retain", "management": "Observe", "adoption": "Adopt", "tags": { "a": "1" },
        "connection": { "enabled": false, "name": "one", "keys": { "queueURL": "ONE" } },
        "delaySeconds": 1, "maximumMessageSize": 2_000, "messageRetentionPeriod": 61,
        "receiveMessageWaitTimeSeconds": 1, "visibilityTimeout": 1, "policy": {}, "redriveAllowPolicy": "{}",
        "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" }, "maxReceiveCount": 1 },
        "kmsMasterKeyID": "alias/one", "kmsDataKeyReusePeriodSeconds": 61,
    });
    let other = json!({
        "deletionPolicy": "Delete", "management": "Manage", "adoption": "Never", "tags": { "b": "2" },
        "connection": { "enabled": true, "name": "other", "keys": { "queueARN": "OTHER" } },
        "delaySeconds": 2, "maximumMessageSize": 3_000, "messageRetentionPeriod": 62,
        "receiveMessageWaitTimeSeconds": 2, "visibilityTimeout": 2, "policy": "{}", "redriveAllowPolicy": {},
        "redrivePolicy": { "deadLetterTargetARN": "arn:aws:sqs:eu-west-1:123456789012:d", "maxReceiveCount": 2 },
        "kmsDataKeyReusePeriodSeconds": 62, "sqsManagedSseEnabled": true,
    });
    check(vec![
        (Value::Null, one.clone(), None),
        (one.clone(), other.clone(), None),
        (other, one.clone(), None),
        (one, Value::Null, None),
    ])
    .await
}
