//! The tools answer.

use anyhow::Result;
use fairlead_harness::kstatus::kstatus;
use fairlead_harness::tools::Tools;
use serde_json::{Value, json};

fn thing(generation: i64, status: Value) -> Value {
    json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1",
        "kind": "SQSQueue",
        "metadata": {"name": "orders", "namespace": "default", "generation": generation},
        "status": status,
    })
}

#[tokio::test]
async fn kstatus_tells_objects_apart() -> Result<()> {
    let reconciling = json!([{"type": "Reconciling", "status": "True"}]);
    let stalled = json!([{"type": "Stalled", "status": "True"}]);
    let mut deleted = thing(1, json!({}));
    deleted["metadata"]["deletionTimestamp"] = json!("2026-01-02T03:04:05Z");
    let answers = kstatus(&[
        thing(1, json!({"observedGeneration": 1})),
        thing(2, json!({"observedGeneration": -1})),
        thing(1, json!({"observedGeneration": 1, "conditions": reconciling})),
        thing(1, json!({"observedGeneration": 1, "conditions": stalled})),
        deleted,
        Value::Null,
    ])
    .await?;
    assert_eq!(answers, ["Current", "InProgress", "InProgress", "Failed", "Terminating", "NotFound"]);
    Ok(())
}

#[test]
fn an_independent_aws_client_is_there() -> Result<()> {
    let python = Tools::moto()?;
    let status = std::process::Command::new(python).args(["-c", "import boto3"]).env_clear().status()?;
    assert!(status.success());
    Ok(())
}
