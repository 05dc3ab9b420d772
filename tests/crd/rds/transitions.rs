//! What can't be changed once the instance exists.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cases::RDS,
    transitions::{Change, check_with, check_with_status, identity},
};

const ENGINE: &str = "spec.engine can't be changed: RDS fixes it when the instance is created; set it back, or create \
                      another RDSInstance";
const DB_NAME: &str = "spec.dbName can't be changed: RDS fixes it when the instance is created; set it back, \
                       or create another RDSInstance";
const USER: &str = "spec.masterUsername can't be changed: RDS fixes it when the instance is created; set it \
                    back, or create another RDSInstance";
const ZONE: &str = "spec.availabilityZone can't be changed: RDS fixes it when the instance is created; set it \
                    back, or create another RDSInstance";
const KEY: &str = "spec.kmsKeyId can't be changed: RDS fixes it when the instance is created; set it back, or \
                   create another RDSInstance from a snapshot that is encrypted with the new key";
const ENCRYPTED: &str = "spec.storageEncrypted can't be changed (it is true where it is not set): RDS fixes it when \
                         the instance is created; set it back, or create another RDSInstance from a snapshot that is \
                         encrypted or not";

/// The messages of this suite.
pub const MESSAGES: [&str; 6] = [ENGINE, DB_NAME, USER, ZONE, KEY, ENCRYPTED];

/// With a resource, and before there is one, when everything may change.
async fn check(changes: Vec<Change<'_>>) -> Result<()> {
    let free = changes.iter().map(|(before, after, _)| (before.clone(), after.clone(), None)).collect();
    check_with(&RDS, identity("orders"), changes).await?;
    check_with(&RDS, None, free).await
}

#[tokio::test]
async fn what_rds_fixes_at_creation_can_be_removed_and_comes_back_but_does_not_change() -> Result<()> {
    let mut changes = Vec::new();
    for (field, one, other, message) in [
        ("dbName", "orders", "bills", DB_NAME),
        ("masterUsername", "owner", "other", USER),
        ("availabilityZone", "eu-west-1a", "eu-west-1b", ZONE),
        ("kmsKeyId", "alias/a", "alias/b", KEY),
    ] {
        let with = |value: &str| json!({ field: value });
        changes.extend([
            (with(one), json!({ field: one, "tags": { "team": "a" } }), None),
            (with(one), with(other), Some(message)),
            (with(one), json!({}), None),
            // Whether that is what was created, the operator can tell.
            (json!({}), with(one), None),
        ]);
    }
    check(changes).await
}

#[tokio::test]
async fn what_was_written_wrongly_may_be_set_to_what_is_there() -> Result<()> {
    let mut status = json!({ "identity": identity("orders") });
    let mut changes = Vec::new();
    for (field, is, wrong, other, message) in [
        ("engine", json!("mysql"), json!("postgres"), json!("mariadb"), ENGINE),
        ("dbName", json!("orders"), json!("bills"), json!("other"), DB_NAME),
        ("masterUsername", json!("owner"), json!("bills"), json!("other"), USER),
        ("availabilityZone", json!("eu-west-1a"), json!("eu-west-1b"), json!("eu-west-1c"), ZONE),
        ("kmsKeyId", json!("alias/a"), json!("alias/b"), json!("alias/c"), KEY),
    ] {
        status[field] = is.clone();
        changes.push((json!({ field: wrong }), json!({ field: is }), None));
        changes.push((json!({ field: wrong }), json!({ field: other }), Some(message)));
    }
    status["storageEncrypted"] = json!(false);
    changes.push((json!({}), json!({ "storageEncrypted": false }), None));
    check_with_status(&RDS, Some(status), changes).await
}

#[tokio::test]
async fn the_engine_stays() -> Result<()> {
    let engine = |engine: &str| json!({ "engine": engine });
    check(vec![
        (engine("mysql"), json!({ "engine": "mysql", "tags": { "team": "a" } }), None),
        (engine("mysql"), engine("mariadb"), Some(ENGINE)),
    ])
    .await
}

#[tokio::test]
async fn encryption_stays_as_it_is_said_or_unsaid() -> Result<()> {
    let encrypted = |encrypted: bool| json!({ "storageEncrypted": encrypted });
    check(vec![
        (encrypted(false), json!({ "storageEncrypted": false, "tags": { "team": "a" } }), None),
        (encrypted(false), encrypted(true), Some(ENCRYPTED)),
        (encrypted(true), encrypted(false), Some(ENCRYPTED)),
        (encrypted(false), json!({}), Some(ENCRYPTED)),
        (encrypted(true), json!({}), None),
        (json!({}), encrypted(true), None),
        (json!({}), encrypted(false), Some(ENCRYPTED)),
    ])
    .await
}

#[tokio::test]
async fn everything_else_can_be_set_changed_and_removed() -> Result<()> {
    let (mut one, mut other) = (json!({}), json!({}));
    for (field, before, after) in [
        ("deletionPolicy", json!("Retain"), json!("Snapshot")),
        ("management", json!("Observe"), json!("Manage")),
        ("adoption", json!("Adopt"), json!("Never")),
        ("tags", json!({ "a": "1" }), json!({ "b": "2" })),
        ("connection", json!({ "name": "one", "keys": { "DB_HOST": "ONE" } }), json!({ "enabled": false })),
        ("engineVersion", json!("16.4"), json!("17")),
        ("allowMajorVersionUpgrade", json!(true), json!(false)),
        ("instanceClass", json!("db.t4g.micro"), json!("db.m7g.large")),
        // Less storage is refused where the actual size is known.
        ("allocatedStorage", json!(400), json!(100)),
        ("maxAllocatedStorage", json!(440), json!(200)),
        ("storageType", json!("gp3"), json!("io2")),
        ("iops", json!(12_000), json!(5_000)),
        ("storageThroughput", json!(500), Value::Null),
        ("port", json!(5_432), json!(5_433)),
        ("multiAZ", json!(true), json!(false)),
        ("dbSubnetGroupName", json!("one"), json!("other")),
        ("vpcSecurityGroupIds", json!(["sg-1"]), json!(["sg-2", "sg-3"])),
        ("dbParameterGroupName", json!("one"), json!("other")),
        ("optionGroupName", json!("one"), json!("other")),
        ("publiclyAccessible", json!(true), json!(false)),
        ("backupRetentionPeriod", json!(0), json!(35)),
        ("preferredBackupWindow", json!("02:00-02:30"), json!("04:00-04:30")),
        ("preferredMaintenanceWindow", json!("sun:03:00-sun:04:00"), json!("mon:03:00-mon:04:00")),
        ("autoMinorVersionUpgrade", json!(true), json!(false)),
        ("copyTagsToSnapshot", json!(true), json!(false)),
        ("deletionProtection", json!(true), json!(false)),
        ("enableIAMDatabaseAuthentication", json!(true), json!(false)),
        ("enableCloudwatchLogsExports", json!(["postgresql"]), json!([])),
        ("monitoringInterval", json!(60), json!(0)),
        ("monitoringRoleARN", json!("arn:aws:iam::123456789012:role/one"), Value::Null),
        ("performanceInsights", json!({ "enabled": true, "retentionPeriod": 7 }), json!({ "enabled": false })),
        ("caCertificateIdentifier", json!("rds-ca-rsa2048-g1"), json!("rds-ca-ecc384-g1")),
        ("licenseModel", json!("postgresql-license"), json!("license-included")),
        ("networkType", json!("IPV4"), json!("DUAL")),
        ("applyImmediately", json!(true), json!(false)),
        ("restoreFromSnapshot", json!("one"), json!("other")),
        ("rebootOnParameterChange", json!(true), json!(false)),
        ("deleteAutomatedBackups", json!(true), json!(false)),
        ("credentials", json!({ "generate": { "secretName": "one-owner" } }), json!({ "managedByAWS": {} })),
    ] {
        one[field] = before;
        other[field] = after;
    }
    check(vec![
        (Value::Null, one.clone(), None),
        (one.clone(), other.clone(), None),
        (other, one.clone(), None),
        (one, Value::Null, None),
    ])
    .await
}
