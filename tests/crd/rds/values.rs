//! Ranges, enumerations, patterns, lengths and types of single fields.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cases::{Case, RDS, accepted, check, refused},
    common::values_of,
    numbers::{ranges_of, switches_of, wrong_types},
};

/// Field, least and greatest value.
const RANGES: [(&str, i64, i64); 7] = [
    ("allocatedStorage", 5, 65_536),
    ("maxAllocatedStorage", 5, 65_536),
    ("iops", 1_000, 256_000),
    ("storageThroughput", 125, 4_000),
    ("port", 1_150, 65_535),
    ("backupRetentionPeriod", 0, 35),
    ("performanceInsights.retentionPeriod", 7, 731),
];

const SWITCHES: [&str; 13] = [
    "allowMajorVersionUpgrade",
    "multiAZ",
    "publiclyAccessible",
    "storageEncrypted",
    "autoMinorVersionUpgrade",
    "copyTagsToSnapshot",
    "deletionProtection",
    "enableIAMDatabaseAuthentication",
    "performanceInsights.enabled",
    "applyImmediately",
    "rebootOnParameterChange",
    "deleteAutomatedBackups",
    "connection.enabled",
];

const TEXTS: [&str; 29] = [
    "region",
    "name",
    "deletionPolicy",
    "management",
    "adoption",
    "connection.name",
    "engine",
    "engineVersion",
    "instanceClass",
    "storageType",
    "dbName",
    "masterUsername",
    "availabilityZone",
    "dbSubnetGroupName",
    "dbParameterGroupName",
    "optionGroupName",
    "kmsKeyId",
    "preferredBackupWindow",
    "preferredMaintenanceWindow",
    "monitoringRoleARN",
    "performanceInsights.kmsKeyId",
    "caCertificateIdentifier",
    "licenseModel",
    "networkType",
    "restoreFromSnapshot",
    "credentials.generate.secretName",
    "credentials.secretRef.name",
    "credentials.secretRef.key",
    "credentials.managedByAWS.kmsKeyId",
];
const LISTS: [&str; 2] = ["vpcSecurityGroupIds", "enableCloudwatchLogsExports"];
const OBJECTS: [&str; 8] = [
    "tags",
    "connection",
    "connection.keys",
    "performanceInsights",
    "credentials",
    "credentials.generate",
    "credentials.secretRef",
    "credentials.managedByAWS",
];

pub fn all() -> Vec<Case> {
    [ranges(), switches(), enumerations(), patterns(), lengths()].concat()
}

/// A spec with one field, and what else that field needs.
fn with(field: &str, value: Value) -> Value {
    match field {
        "engine" => json!({ "engine": value }),
        // Below 500 only with SQL Server.
        "storageThroughput" => json!({ "engine": "sqlserver-se", field: value }),
        "performanceInsights.retentionPeriod" | "performanceInsights.kmsKeyId" => {
            let (_, inner) = field.split_once('.').unwrap_or_default();
            json!({ "performanceInsights": { "enabled": true, inner: value } })
        }
        "monitoringRoleARN" => json!({ "monitoringInterval": 60, field: value }),
        "credentials.secretRef.key" => json!({ "credentials": { "secretRef": { "name": "a", "key": value } } }),
        _ => field.rsplit('.').fold(value, |inner, name| json!({ name: inner })),
    }
}

fn ranges() -> Vec<Case> {
    let mut cases = ranges_of(&RANGES, with);
    cases.extend([1, 5, 10, 15, 30].map(|it| accepted(interval(it))));
    cases.extend([0, 60].map(|it| accepted(interval(it))));
    let values = r#"supported values: "0", "1", "5", "10", "15", "30", "60""#;
    cases.extend(
        [-1, 2, 59, 61]
            .map(|it| refused(interval(it), format!("spec.monitoringInterval: Unsupported value: {it}: {values}"))),
    );
    cases
}

fn interval(seconds: i64) -> Value {
    match seconds {
        0 => json!({ "monitoringInterval": 0 }),
        _ => json!({ "monitoringInterval": seconds, "monitoringRoleARN": "arn:aws:iam::123456789012:role/m" }),
    }
}

fn switches() -> Vec<Case> {
    switches_of(&SWITCHES, with)
}

fn enumerations() -> Vec<Case> {
    let storage = |field: &str, value: Value| match value.as_str() {
        Some("io1" | "io2") => json!({ field: value, "iops": 1_000 }),
        _ => json!({ field: value }),
    };
    let licenses = [
        "license-included",
        "bring-your-own-license",
        "general-public-license",
        "postgresql-license",
        "marketplace-license",
    ];
    [
        values_of("deletionPolicy", &["Snapshot", "Delete", "Retain"], with),
        values_of("storageType", &["gp2", "gp3", "io1", "io2", "standard"], storage),
        values_of("licenseModel", &licenses, with),
        values_of("networkType", &["IPV4", "DUAL"], with),
    ]
    .concat()
}

fn patterns() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, right, wrong) in [
        ("engine", vec!["postgres", "mysql", "oracle-se2-cdb", "db2-ae"], vec!["Postgres", "my sql", "a_b"]),
        ("engineVersion", vec!["16", "16.4", "19.0.0.0.ru-2023-04.rur-2023-04.r1", "15.00.4073.23.v1"], vec!["1 6"]),
        ("instanceClass", vec!["db.t4g.micro", "db.r5.12xlarge.tpc2.mem4x"], vec!["t4g.micro", "db", "db.M5.large"]),
        ("masterUsername", vec!["Owner_1", "a"], vec!["1a", "_a", "a-b", "a b"]),
        ("availabilityZone", vec!["eu-west-1a", "us-west-2-lax-1a"], vec!["EU-WEST-1A", "a", "eu west"]),
        ("optionGroupName", vec!["default:postgres-16", "Own-1"], vec!["1a", "a_b"]),
        (
            "monitoringRoleARN",
            vec!["arn:aws:iam::123456789012:role/path/monitoring", "arn:aws-cn:iam::123456789012:role/m"],
            vec!["monitoring", "arn:aws:iam::123456789012:user/m", "arn:aws:iam::1:role/m"],
        ),
        ("caCertificateIdentifier", vec!["rds-ca-rsa2048-g1"], vec!["a b", "a_b"]),
        (
            "restoreFromSnapshot",
            vec!["last-1", "rds:orders-2026-01-01-00-00", "arn:aws:rds:eu-west-1:123456789012:snapshot:rds:last"],
            vec!["a b", "1a", "a/b"],
        ),
        ("credentials.generate.secretName", vec!["a", "orders.v1-2"], vec!["A", "-a", "a-", "a..b", "a_b"]),
        ("credentials.secretRef.name", vec!["a", "orders.v1-2"], vec!["A", "-a", "a-", "a..b", "a_b"]),
        ("credentials.secretRef.key", vec!["password", "DB_PASSWORD", ".a-b"], vec!["a b", "a/b"]),
    ] {
        cases.extend(right.into_iter().map(|it| accepted(with(field, json!(it)))));
        let message = format!("spec.{field} in body should match '^");
        cases.extend(wrong.into_iter().map(|it| refused(with(field, json!(it)), &message)));
    }
    for (field, right, wrong) in [
        ("vpcSecurityGroupIds", vec!["sg-0123456789abcdef0", "sg-1a2b3c4d"], vec!["vpc-1", "SG-1", "sg-", "sg-1 "]),
        ("enableCloudwatchLogsExports", vec!["postgresql", "iam-db-auth-error", "diag.log"], vec!["Audit", "a b", ""]),
    ] {
        cases.push(accepted(with(field, json!(right))));
        let message = format!("spec.{field}[0] in body should match '^");
        cases.extend(wrong.into_iter().map(|it| refused(with(field, json!([it])), &message)));
        cases.push(refused(
            with(field, json!([right[0], right[0]])),
            format!("spec.{field}[1]: Duplicate value: \"{}\"", right[0]),
        ));
    }
    cases.push(accepted(with("enableCloudwatchLogsExports", json!([]))));
    cases.push(refused(
        with("vpcSecurityGroupIds", json!([])),
        "spec.vpcSecurityGroupIds in body should have at least 1 items",
    ));
    cases
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, beginning, least, most) in [
        ("engine", "e", 1, 64),
        ("engineVersion", "1", 1, 64),
        ("instanceClass", "db.", 4, 64),
        ("masterUsername", "u", 1, 16),
        ("availabilityZone", "eu-", 4, 48),
        ("dbSubnetGroupName", "g", 1, 255),
        ("dbParameterGroupName", "g", 1, 255),
        ("optionGroupName", "g", 1, 255),
        ("kmsKeyId", "k", 1, 2_048),
        ("monitoringRoleARN", "arn:aws:iam::123456789012:role/", 32, 2_048),
        ("performanceInsights.kmsKeyId", "k", 1, 2_048),
        ("caCertificateIdentifier", "c", 1, 64),
        ("restoreFromSnapshot", "s", 1, 512),
        ("credentials.generate.secretName", "s", 1, 253),
        ("credentials.secretRef.name", "s", 1, 253),
        ("credentials.secretRef.key", "k", 1, 253),
        ("credentials.managedByAWS.kmsKeyId", "k", 1, 2_048),
    ] {
        let long = |length: usize| with(field, json!(format!("{beginning:x<length$}")));
        cases.extend([accepted(long(least)), accepted(long(most))]);
        cases.push(refused(long(most + 1), format!("spec.{field}: Too long: may not be more than {most} bytes")));
        cases.push(refused(with(field, json!("")), format!("spec.{field}")));
    }
    let many = |count: usize, of: &str| (0..count).map(|n| format!("{of}{n}")).collect::<Vec<_>>();
    for (field, of) in [("vpcSecurityGroupIds", "sg-"), ("enableCloudwatchLogsExports", "log")] {
        cases.push(accepted(with(field, json!(many(16, of)))));
        let message = format!("spec.{field}: Too many: 17: must have at most 16 items");
        cases.push(refused(with(field, json!(many(17, of))), message));
    }
    cases.push(refused(
        with("vpcSecurityGroupIds", json!([format!("sg-{:x<30}", "")])),
        "spec.vpcSecurityGroupIds[0]: Too long",
    ));
    cases.push(refused(
        with("enableCloudwatchLogsExports", json!(["x".repeat(64)])),
        "spec.enableCloudwatchLogsExports[0]: Too long",
    ));
    cases.push(refused(with("credentials.secretRef", json!({})), "spec.credentials.secretRef.name: Required value"));
    cases.push(refused(with("engine", Value::Null), "spec.engine: Required value"));
    cases
}

#[tokio::test]
async fn ranges_end_where_those_of_rds_end() -> Result<()> {
    check(&RDS, ranges()).await
}

#[tokio::test]
async fn switches_take_both_values() -> Result<()> {
    check(&RDS, switches()).await
}

#[tokio::test]
async fn enumerations_take_their_values_and_no_other() -> Result<()> {
    check(&RDS, enumerations()).await
}

#[tokio::test]
async fn texts_have_the_form_that_aws_and_kubernetes_take() -> Result<()> {
    check(&RDS, patterns()).await
}

#[tokio::test]
async fn lengths_and_counts_are_bounded() -> Result<()> {
    check(&RDS, lengths()).await
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused_by_field() -> Result<()> {
    let numbers: Vec<_> = RANGES.iter().map(|(field, _, _)| *field).chain(["monitoringInterval"]).collect();
    let kinds: [(&str, &[&str]); 5] =
        [("integer", &numbers), ("boolean", &SWITCHES), ("string", &TEXTS), ("array", &LISTS), ("object", &OBJECTS)];
    let mut cases = wrong_types(&kinds, with);
    cases.push(refused(json!("none"), "spec in body must be of type object"));
    cases.extend(LISTS.map(|it| refused(with(it, json!([5])), format!("spec.{it}[0] in body must be of type string"))));
    check(&RDS, cases).await
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_by_name() -> Result<()> {
    let unknown = ["multiAz", "kmsKeyID", "engineVersions", "performanceInsights.retention", "credentials.password"];
    check(&RDS, unknown.map(|it| refused(with(it, json!(1)), format!("unknown field \"spec.{it}\""))).to_vec()).await
}
