//! What people see: names, columns and explanations in kubectl.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::{Kind, RDS, SQS, Server};

/// What kubectl shows of a kind.
struct Shown {
    kind: &'static Kind,
    /// What finds it.
    names: &'static [&'static str],
    /// The kind's own part of a status.
    status: fn() -> Value,
    /// The columns and their values, AGE left out.
    columns: &'static [(&'static str, &'static str)],
    wide: &'static [(&'static str, &'static str)],
    /// What has fields of its own.
    objects: &'static [&'static str],
    /// Fields, and a part of their texts.
    texts: &'static [(&'static str, &'static str)],
}

const ALL: [Shown; 2] = [
    Shown {
        kind: &SQS,
        names: &["sqs", "queue", "sqsqueue", "sqsqueues", "SQSQueue", "sqsqueues.aws.fairlead.dev"],
        status: || json!({ "url": "http://queue/orders", "visibleMessages": 0, "inFlightMessages": 2, "delayedMessages": 3 }),
        columns: &[
            ("NAME", "orders"),
            ("READY", "True"),
            ("REASON", "Available"),
            ("MESSAGES", "0"),
            ("URL", "http://queue/orders"),
        ],
        wide: &[
            ("SYNCED", "False"),
            ("REGION", "eu-west-1"),
            ("ACCOUNT", "123456789012"),
            ("INFLIGHT", "2"),
            ("DELAYED", "3"),
        ],
        objects: &["spec.redrivePolicy"],
        texts: &[
            ("spec", "The queue that is asked for. A field that is not set is not managed"),
            ("spec.fifoQueue", "`.fifo` is appended to its name where absent. Can't be changed."),
            ("spec.visibilityTimeout", "0 to 43200. SQS's default is 30."),
            ("spec.policy", "as an object or as a JSON string"),
            ("spec.deletionPolicy", "is deleted: `Delete` (default: it is deleted), `Retain` (default of an adopted"),
        ],
    },
    Shown {
        kind: &RDS,
        names: &["rds", "postgresdb", "rdsinstance", "rdsinstances", "RDSInstance", "rdsinstances.aws.fairlead.dev"],
        status: || {
            json!({
                "ready": "available", "endpoint": "orders.rds.amazonaws.com", "port": 5_432, "engineVersion": "16.4",
                "instanceClass": "db.t4g.micro", "allocatedStorage": 20, "storageType": "gp3", "multiAZ": false,
                "dbiResourceID": "db-1", "progress": "50", "defaults": { "port": "5432" },
                "pendingChanges": [{ "field": "multiAZ", "value": "true", "applies": "in the window" }],
                "masterUserSecretARN": "arn", "credentials": { "secret": "orders-owner", "version": "1" },
                "connectionSecret": "orders",
            })
        },
        columns: &[
            ("NAME", "orders"),
            ("READY", "True"),
            ("REASON", "Available"),
            ("STATUS", "available"),
            ("CLASS", "db.t4g.micro"),
            ("STORAGE", "20"),
            ("ENDPOINT", "orders.rds.amazonaws.com"),
        ],
        wide: &[
            ("SYNCED", "False"),
            ("REGION", "eu-west-1"),
            ("ACCOUNT", "123456789012"),
            ("ENGINE", "postgres"),
            ("VERSION", "16.4"),
        ],
        objects: &[
            "spec.performanceInsights",
            "spec.credentials",
            "spec.credentials.generate",
            "spec.credentials.secretRef",
            "spec.credentials.managedByAWS",
            "status.pendingChanges",
            "status.credentials",
        ],
        texts: &[
            ("spec", "The database instance that is asked for. A field that is not set is not managed"),
            ("spec.masterUsername", "Default: `fairlead`."),
            ("spec.allocatedStorage", "20 to 65536 with gp2 and gp3"),
            ("spec.publiclyAccessible", "`false` where it is not set, for safety"),
            ("spec.storageEncrypted", "`true` where it is not set, for safety"),
            ("spec.restoreFromSnapshot", "it may be changed or removed at any time"),
            ("spec.networkType", "`IPV4`, or `DUAL`"),
            ("spec.deletionPolicy", "is deleted: `Snapshot` (default: it is deleted, and what it holds is kept"),
        ],
    },
];

/// What every kind has.
const OBJECTS: [&str; 6] =
    ["spec", "spec.connection", "spec.accountRef", "status", "status.identity", "status.conditions"];

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

impl Shown {
    fn singular(&self) -> String {
        self.kind.name.to_lowercase()
    }

    /// A server with one object whose every column has a value.
    async fn stored(&self) -> Result<Server> {
        let server = Server::new(self.kind).await?;
        server.create(&self.kind.object("orders", self.kind.optional(&Value::Null).as_ref())).await?;
        let condition = |kind: &str, status: &str, reason: &str| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            })
        };
        let mut status = json!({
            "observedGeneration": 1,
            "identity": { "accountID": "123456789012", "region": "eu-west-1", "name": "orders", "arn": "arn:orders" },
            "conditions": [condition("Ready", "True", "Available"), condition("Synced", "False", "Correcting")],
        });
        for (field, value) in (self.status)().as_object().into_iter().flatten() {
            status[field] = value.clone();
        }
        let stored = server.set_status("orders", &status).await?;
        assert_eq!(stored.data["status"], status, "the schema knows each field");
        Ok(server)
    }
}

#[tokio::test]
async fn the_columns_of_get() -> Result<()> {
    for shown in &ALL {
        let server = shown.stored().await?;
        let printed = server.kubectl(&["get", shown.kind.plural]).await?;
        let lines: Vec<_> = printed.lines().map(words).collect();
        let (mut names, values): (Vec<_>, Vec<_>) = shown.columns.iter().copied().unzip();
        names.push("AGE");
        assert_eq!((lines.len(), &lines[0]), (2, &names), "{printed}");
        assert_eq!((lines[1].len(), &lines[1][..values.len()]), (names.len(), values.as_slice()), "{printed}");

        let printed = server.kubectl(&["get", shown.kind.plural, "-o", "wide"]).await?;
        let lines: Vec<_> = printed.lines().map(words).collect();
        let (wide, values): (Vec<_>, Vec<_>) = shown.wide.iter().copied().unzip();
        assert_eq!(lines[0], [names.clone(), wide].concat(), "{printed}");
        assert_eq!(lines[1][names.len()..], values, "{printed}");
    }
    Ok(())
}

#[tokio::test]
async fn every_name_finds_the_kind() -> Result<()> {
    for shown in &ALL {
        let server = shown.stored().await?;
        let found = format!("{}.aws.fairlead.dev/orders\n", shown.singular());
        for name in shown.names.iter().chain(&["fairlead"]) {
            assert_eq!(server.kubectl(&["get", name, "-o", "name"]).await?, found, "{name}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn kubectl_waits_for_readiness() -> Result<()> {
    for shown in &ALL {
        let object = format!("{}.aws.fairlead.dev/orders", shown.singular());
        let server = shown.stored().await?;
        let printed = server.kubectl(&["wait", &object, "--for=condition=Ready", "--timeout=30s"]).await?;
        assert_eq!(printed, format!("{object} condition met\n"));
    }
    Ok(())
}

#[tokio::test]
async fn explain_leaves_no_field_without_a_text() -> Result<()> {
    let cluster = Server::new(&SQS).await?.cluster;
    for shown in &ALL {
        let all = cluster.kubectl(&["explain", shown.kind.plural, "--recursive"]).await?;
        for path in OBJECTS.iter().chain(shown.objects) {
            assert!(all.contains(path.rsplit('.').next().unwrap_or_default()), "{path}: {all}");
            let printed = cluster.kubectl(&["explain", &format!("{}.{path}", shown.singular())]).await?;
            assert!(!printed.contains("<no description>"), "{path}: {printed}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn explain_tells_what_a_field_is_for() -> Result<()> {
    let cluster = Server::new(&SQS).await?.cluster;
    for shown in &ALL {
        for (path, text) in shown.texts.iter().chain(&[("spec.region", "Can't be changed once the resource exists.")]) {
            // kubectl breaks lines.
            let path = format!("{}.{path}", shown.singular());
            let printed = words(&cluster.kubectl(&["explain", &path]).await?).join(" ");
            assert!(printed.contains(text), "{path}: {printed}");
        }
    }
    Ok(())
}
