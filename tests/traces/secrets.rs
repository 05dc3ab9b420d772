//! What no span may hold: credentials, passwords, and what the collector's headers say.

use anyhow::{Result, ensure};
use fairlead_harness::otlp::{Collector, Mood};
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, api::PostParams};
use serde_json::json;

use crate::{DEADLINE, site};

const PASSWORD: &str = "Canaryz7Q9yellowish4bird";
const HEADER: &str = "Canaryk4W2turquoise4bird";
const KEY: &str = "Canarym3X8violet4bird";

#[tokio::test]
async fn no_span_and_no_line_holds_a_secret() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector)
        .await?
        // Finest, with the SDK's own requests and answers.
        .env("RUST_LOG", "trace")
        .env("LOG_SIGNABLE_BODY", "true")
        .env("LOG_SENSITIVE_BODIES", "true")
        .env("AWS_SECRET_ACCESS_KEY", KEY)
        .env("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer%20{HEADER}"));
    site.start().await?;
    let secret = json!({ "metadata": { "name": "the-password" }, "stringData": { "password": PASSWORD } });
    let secrets: Api<Secret> = Api::namespaced(site.admin(), &site.namespace);
    secrets.create(&PostParams::default(), &serde_json::from_value(secret)?).await?;
    let object = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "RDSInstance", "metadata": { "name": "shop" },
        "spec": {
            "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20,
            "credentials": { "secretRef": { "name": "the-password" } },
        },
    });
    let databases = site.objects("RDSInstance", "rdsinstances");
    databases.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    site.create(["orders".to_owned()], json!({})).await?;
    site.until("the database's password to be sent", DEADLINE, || match site.fake.count("rds", "CreateDBInstance") {
        1.. => Ok(()),
        0 => Err("none".into()),
    })
    .await?;
    site.until("spans of it", DEADLINE, || {
        let spans = collector.spans();
        match spans.iter().any(|span| span.name == "RDS/CreateDBInstance") {
            true => Ok(()),
            false => Err(format!("{} spans", spans.len())),
        }
    })
    .await?;
    ensure!(collector.requests().iter().all(|request| request.headers["authorization"].contains(HEADER)));

    // A collector that repeats what it was told, in its refusal.
    collector.set(Mood::Refusing);
    let operator = site.operator()?;
    site.until("a complaint", DEADLINE, || match operator.log().contains("spans could not be exported") {
        true => Ok(()),
        false => Err("none".into()),
    })
    .await?;
    let (spans, log) = (format!("{:?}", collector.spans()), operator.log());
    for canary in [PASSWORD, HEADER, KEY] {
        ensure!(!spans.contains(canary), "a span holds {canary}");
        let line = log.lines().find(|line| line.contains(canary));
        ensure!(line.is_none(), "a line holds {canary}: {}", line.unwrap_or_default());
    }
    Ok(())
}
