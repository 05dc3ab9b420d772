//! What people see: names, columns and explanations in kubectl.

use anyhow::Result;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cases::{Server, object};

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A server with one queue whose every column has a value.
async fn with_a_queue() -> Result<Server> {
    let server = Server::new().await?;
    server.create(&object("orders", None)).await?;
    let condition = |kind: &str, status: &str, reason: &str| {
        json!({
            "type": kind, "status": status, "reason": reason, "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        })
    };
    let status = json!({ "status": {
        "observedGeneration": 1, "url": "http://queue/orders",
        "visibleMessages": 0, "inFlightMessages": 2, "delayedMessages": 3,
        "identity": { "accountID": "123456789012", "region": "eu-west-1", "name": "orders", "arn": "arn:orders" },
        "conditions": [condition("Ready", "True", "Available"), condition("Synced", "False", "Correcting")],
    } });
    server.queues.patch_status("orders", &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(server)
}

#[tokio::test]
async fn the_columns_of_get() -> Result<()> {
    let printed = with_a_queue().await?.kubectl(&["get", "sqs"]).await?;
    let lines: Vec<_> = printed.lines().map(words).collect();
    assert_eq!(lines[0], ["NAME", "READY", "REASON", "MESSAGES", "URL", "AGE"]);
    assert_eq!(lines[1][..5], ["orders", "True", "Available", "0", "http://queue/orders"]);
    assert_eq!((lines.len(), lines[1].len()), (2, 6), "{printed}");
    Ok(())
}

#[tokio::test]
async fn the_columns_of_get_wide() -> Result<()> {
    let printed = with_a_queue().await?.kubectl(&["get", "sqs", "-o", "wide"]).await?;
    let lines: Vec<_> = printed.lines().map(words).collect();
    assert_eq!(lines[0][..6], ["NAME", "READY", "REASON", "MESSAGES", "URL", "AGE"]);
    assert_eq!(lines[0][6..], ["SYNCED", "REGION", "ACCOUNT", "INFLIGHT", "DELAYED"]);
    assert_eq!(lines[1][6..], ["False", "eu-west-1", "123456789012", "2", "3"]);
    Ok(())
}

#[tokio::test]
async fn every_name_finds_the_kind() -> Result<()> {
    let server = with_a_queue().await?;
    for name in ["sqs", "queue", "sqsqueue", "sqsqueues", "SQSQueue", "sqsqueues.aws.fairlead.dev", "fairlead"] {
        assert_eq!(server.kubectl(&["get", name, "-o", "name"]).await?, "sqsqueue.aws.fairlead.dev/orders\n", "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_waits_for_readiness() -> Result<()> {
    let server = with_a_queue().await?;
    let printed = server.kubectl(&["wait", "sqs/orders", "--for=condition=Ready", "--timeout=30s"]).await?;
    assert_eq!(printed, "sqsqueue.aws.fairlead.dev/orders condition met\n");
    Ok(())
}

#[tokio::test]
async fn explain_leaves_no_field_without_a_text() -> Result<()> {
    let cluster = Server::new().await?.cluster;
    let all = cluster.kubectl(&["explain", "sqsqueue", "--recursive"]).await?;
    assert!(all.contains("deadLetterQueueRef"), "{all}");
    for path in ["spec", "spec.connection", "spec.redrivePolicy", "status", "status.identity", "status.conditions"] {
        let printed = cluster.kubectl(&["explain", &format!("sqsqueue.{path}")]).await?;
        assert!(!printed.contains("<no description>"), "{path}: {printed}");
    }
    Ok(())
}

#[tokio::test]
async fn explain_tells_what_a_field_is_for() -> Result<()> {
    let cluster = Server::new().await?.cluster;
    for (path, text) in [
        ("spec", "The queue that is asked for. A field that is not set is not managed"),
        ("spec.fifoQueue", "`.fifo` is appended to its name where absent. Can't be changed."),
        ("spec.visibilityTimeout", "0 to 43200. SQS's default is 30."),
        ("spec.policy", "as an object or as a JSON string"),
        ("spec.deletionPolicy", "What becomes of the AWS resource when this object is deleted"),
        ("spec.region", "Can't be changed once the resource exists."),
    ] {
        // kubectl breaks lines.
        let printed = words(&cluster.kubectl(&["explain", &format!("sqsqueue.{path}")]).await?).join(" ");
        assert!(printed.contains(text), "{path}: {printed}");
    }
    Ok(())
}
