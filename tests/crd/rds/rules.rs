//! Rules between fields, and rules with a text of their own: what each lets pass and what it refuses.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::{Case, RDS, accepted, check, refused};

const NAME: &str = "name: 1 to 63 of lower-case letters (RDS keeps names in lower case), digits and -, a letter first, \
                    no - at the end and no two in a row";
const OBJECT_NAME: &str = "spec.name is needed: metadata.name is none for RDS (1 to 63 of lower-case letters, digits \
                           and -, a letter first, no - at the end and no two in a row)";
const CLUSTERS: &str = "engine: clusters (aurora, neptune, docdb) are not managed by RDSInstance, since their storage \
                        is not an instance's; use postgres, mysql, mariadb or another engine of single instances";
pub const STORAGE: &str = "allocatedStorage: gp2 and gp3 take 20 to 65536 GiB, io1 and io2 100 to 65536, standard 5 to \
                       3072; change it, or storageType";
const GROWTH: &str = "maxAllocatedStorage: at least 10 percent more than allocatedStorage; raise it, or set it to the \
                      same, and the storage does not grow by itself";
const IOPS_TYPE: &str = "iops: only gp3, io1 and io2 take it; choose one of these as storageType, or remove it";
const IOPS_NEEDED: &str = "iops is needed: io1 and io2 have no default; set it, or choose gp3 as storageType";
const IOPS_RATIO: &str =
    "iops: with io1, from half of allocatedStorage to 50 times allocatedStorage; change one of them";
const IOPS_GP3: &str = "iops: with gp3, 12000 to 64000; change it, or choose io2 as storageType";
const THROUGHPUT_TYPE: &str = "storageThroughput: only gp3 takes it; choose gp3 as storageType, or remove it";
const THROUGHPUT: &str = "storageThroughput: at least 500 (only SQL Server takes less); raise it, or remove it";
const SMALL_GP3: &str = "iops and storageThroughput: with gp3, RDS takes neither below 400 GiB (Oracle: 200 GiB, SQL \
                         Server: no limit); remove them, or raise allocatedStorage";
const DB_NAME: &str = "dbName: a letter, then letters, digits and _; at most 63 characters with postgres, 8 with \
                       Oracle and 64 with others";
const DB_NAME_NONE: &str =
    "dbName: RDS creates no database with SQL Server; remove it, and create the database in the instance";
const RESERVED: &str =
    "masterUsername: rdsadmin is reserved by RDS, and admin and what begins with pg_ by postgres; choose another";
const BACKUP: &str = "preferredBackupWindow: hh24:mi-hh24:mi in UTC, at least 30 minutes, for example 02:00-02:30";
const MAINTENANCE: &str = "preferredMaintenanceWindow: ddd:hh24:mi-ddd:hh24:mi in UTC and in lower case, at least 30 \
                           minutes and less than a day, for example sun:03:00-sun:04:00";

pub fn all() -> Vec<Case> {
    [
        names(),
        engines(),
        storage(),
        provisioned(),
        databases_and_users(),
        encryption(),
        monitoring(),
        windows(),
        groups(),
        credentials(),
        connection_keys(),
    ]
    .concat()
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

fn names() -> Vec<Case> {
    let name = |name: &str| json!({ "name": name });
    let none = json!({});
    let mut cases: Vec<_> = ["a", "orders", "orders-1-a", &long(63)]
        .map(|it| [accepted(name(it)), accepted(none.clone()).named(it)])
        .concat();
    for wrong in ["1orders", "a--b", &long(64)] {
        cases.push(refused(name(wrong), NAME));
        cases.push(refused(none.clone(), OBJECT_NAME).named(wrong));
        cases.push(accepted(name("orders")).named(wrong));
    }
    // Kubernetes itself takes no such names.
    cases.extend(["Orders", "orders-", "-orders", "a_b", "a b"].map(|it| refused(name(it), NAME)));
    cases.extend([refused(name("a.b"), NAME), refused(none, OBJECT_NAME).named("a.b")]);
    cases.push(accepted(name("orders")).named("a.b"));
    cases
}

fn engines() -> Vec<Case> {
    let engine = |engine: &str| json!({ "engine": engine });
    let mut cases: Vec<_> = ["aurora", "aurora-mysql", "aurora-postgresql", "neptune", "docdb"]
        .map(|it| refused(engine(it), CLUSTERS))
        .into();
    cases.extend(["postgres", "mysql", "mariadb", "sqlserver-ex", "oracle-se2"].map(|it| accepted(engine(it))));
    let least = json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 });
    cases.push(accepted(least));
    let zone = |multi: Value| json!({ "availabilityZone": "eu-west-1a", "multiAZ": multi });
    let both = "availabilityZone and multiAZ exclude each other: remove availabilityZone, or set multiAZ to false";
    cases.extend([accepted(zone(json!(false))), accepted(zone(Value::Null)), refused(zone(json!(true)), both)]);
    cases
}

fn storage() -> Vec<Case> {
    let of = |kind: &str, size: i64| match kind {
        "io1" | "io2" => json!({ "storageType": kind, "allocatedStorage": size, "iops": 50 * size.clamp(100, 5_000) }),
        _ => json!({ "storageType": kind, "allocatedStorage": size }),
    };
    let mut cases = Vec::new();
    for (kind, least, most) in
        [("gp2", 20, 65_536), ("gp3", 20, 65_536), ("io1", 100, 65_536), ("io2", 100, 65_536), ("standard", 5, 3_072)]
    {
        cases.extend([accepted(of(kind, least)), accepted(of(kind, most))]);
        cases.push(match least {
            5 => refused(of(kind, most + 1), STORAGE),
            _ => refused(of(kind, least - 1), STORAGE),
        });
    }
    let growth = |size: i64, most: i64| json!({ "allocatedStorage": size, "maxAllocatedStorage": most });
    cases.extend([
        accepted(growth(100, 110)),
        accepted(growth(101, 112)),
        accepted(growth(100, 65_536)),
        accepted(growth(100, 100)),
        refused(growth(100, 109), GROWTH),
        refused(growth(101, 111), GROWTH),
        refused(growth(100, 99), GROWTH),
    ]);
    cases
}

fn provisioned() -> Vec<Case> {
    let gp3 = |engine: &str, size: i64, iops: Value, throughput: Value| {
        json!({
            "engine": engine, "storageType": "gp3", "allocatedStorage": size,
            "iops": iops, "storageThroughput": throughput,
        })
    };
    let mut cases = vec![
        refused(json!({ "storageType": "gp2", "iops": 3_000 }), IOPS_TYPE),
        refused(json!({ "storageType": "standard", "iops": 3_000 }), IOPS_TYPE),
        refused(json!({ "storageType": "io1" }), IOPS_NEEDED),
        refused(json!({ "storageType": "io2" }), IOPS_NEEDED),
        accepted(json!({ "storageType": "io1", "iops": 1_000 })),
        accepted(json!({ "storageType": "gp3", "iops": 12_000 })),
        accepted(json!({ "storageType": "gp3", "iops": 64_000 })),
        refused(json!({ "storageType": "gp3", "iops": 11_999 }), IOPS_GP3),
        refused(json!({ "storageType": "gp3", "iops": 64_001 }), IOPS_GP3),
        accepted(json!({ "storageThroughput": 500 })),
        refused(json!({ "storageThroughput": 499 }), THROUGHPUT),
    ];
    cases.extend(
        ["gp2", "standard"].map(|it| refused(json!({ "storageType": it, "storageThroughput": 500 }), THROUGHPUT_TYPE)),
    );
    cases.extend(
        ["io1", "io2"]
            .map(|it| refused(json!({ "storageType": it, "iops": 1_000, "storageThroughput": 500 }), THROUGHPUT_TYPE)),
    );
    for (kind, size, iops, fits) in [
        ("io1", 2_000, 1_000, true),
        ("io1", 2_001, 1_000, false),
        ("io1", 100, 5_000, true),
        ("io1", 100, 5_001, false),
        ("io2", 100, 5_001, true),
    ] {
        let spec = json!({ "storageType": kind, "allocatedStorage": size, "iops": iops });
        cases.push(if fits { accepted(spec) } else { refused(spec, IOPS_RATIO) });
    }
    for (engine, from) in [("postgres", 400), ("mysql", 400), ("mariadb", 400), ("db2-se", 400), ("oracle-ee", 200)] {
        for (iops, throughput) in
            [(json!(12_000), Value::Null), (Value::Null, json!(500)), (json!(64_000), json!(4_000))]
        {
            cases.push(accepted(gp3(engine, from, iops.clone(), throughput.clone())));
            cases.push(refused(gp3(engine, from - 1, iops, throughput), SMALL_GP3));
        }
        cases.push(accepted(gp3(engine, from - 1, Value::Null, Value::Null)));
    }
    cases.push(accepted(gp3("sqlserver-se", 20, json!(3_000), json!(125))));
    cases
}

fn databases_and_users() -> Vec<Case> {
    let database = |engine: &str, name: &str| json!({ "engine": engine, "dbName": name });
    let user = |engine: &str, name: &str| json!({ "engine": engine, "masterUsername": name });
    let mut cases = Vec::new();
    for (engine, most) in [("postgres", 63), ("mysql", 64), ("mariadb", 64), ("oracle-se2", 8), ("custom-oracle-ee", 8)]
    {
        cases.push(accepted(database(engine, &long(most))));
        cases.push(match most {
            64 => refused(database(engine, &long(65)), "spec.dbName: Too long: may not be more than 64 bytes"),
            _ => refused(database(engine, &long(most + 1)), DB_NAME),
        });
    }
    cases.extend(["Orders_1", "o"].map(|it| accepted(database("postgres", it))));
    cases.extend(["1orders", "_orders", "a-b", "a b"].map(|it| refused(database("postgres", it), DB_NAME)));
    cases.push(refused(database("postgres", ""), "spec.dbName in body should be at least 1 chars long"));
    cases.extend(["sqlserver-ex", "custom-sqlserver-ee"].map(|it| refused(database(it, "orders"), DB_NAME_NONE)));
    for (engine, name, taken) in [
        ("postgres", "rdsadmin", true),
        ("postgres", "RdsAdmin", true),
        ("mysql", "rdsadmin", true),
        ("postgres", "admin", true),
        ("postgres", "pg_owner", true),
        ("mysql", "admin", false),
        ("mysql", "pg_owner", false),
        ("postgres", "postgres", false),
        ("postgres", "admin1", false),
    ] {
        cases.push(if taken { refused(user(engine, name), RESERVED) } else { accepted(user(engine, name)) });
    }
    cases
}

fn encryption() -> Vec<Case> {
    let key = |encrypted: Value| json!({ "kmsKeyId": "alias/a", "storageEncrypted": encrypted });
    vec![
        accepted(key(json!(true))),
        // It is true where it is not set.
        accepted(json!({ "kmsKeyId": "alias/a" })),
        refused(key(json!(false)), "kmsKeyId is for encrypted storage: set storageEncrypted to true, or remove it"),
        accepted(json!({ "storageEncrypted": false })),
    ]
}

fn monitoring() -> Vec<Case> {
    const ROLE: &str = "arn:aws:iam::123456789012:role/monitoring";
    let role = |interval: Value| json!({ "monitoringInterval": interval, "monitoringRoleARN": ROLE });
    let unused = "monitoringRoleARN is for Enhanced Monitoring: set monitoringInterval to other than 0, or remove it";
    let missing = "monitoringInterval: Enhanced Monitoring needs a role; set monitoringRoleARN, or set \
                   monitoringInterval to 0";
    let insights = |insights: Value| json!({ "performanceInsights": insights });
    let mut cases = vec![
        accepted(role(json!(60))),
        refused(role(json!(0)), unused),
        refused(role(Value::Null), unused),
        refused(json!({ "monitoringInterval": 60 }), missing),
        accepted(json!({ "monitoringInterval": 0 })),
        accepted(insights(json!({}))),
        accepted(insights(json!({ "enabled": false }))),
    ];
    for (field, value) in [("kmsKeyId", json!("alias/a")), ("retentionPeriod", json!(7))] {
        let message = format!(
            "performanceInsights.{field} is for enabled Performance Insights: set enabled to true, or remove it"
        );
        cases.push(accepted(insights(json!({ "enabled": true, field: value }))));
        cases.push(refused(insights(json!({ "enabled": false, field: value })), &message));
        cases.push(refused(insights(json!({ field: value })), &message));
    }
    let days = |days: i64| insights(json!({ "enabled": true, "retentionPeriod": days }));
    let months = "performanceInsights.retentionPeriod: 7, 731, or a number of months times 31 (31, 62 … 713); choose \
                  one of these";
    cases.extend([7, 31, 62, 713, 731].map(|it| accepted(days(it))));
    cases.extend([8, 30, 94, 730].map(|it| refused(days(it), months)));
    cases
}

/// Windows as they have to be and as they must not be, shared with AWSAccounts.
pub fn window_cases(with: fn(&str, &str) -> Value) -> Vec<Case> {
    let (backup, maintenance) = ("preferredBackupWindow", "preferredMaintenanceWindow");
    let mut cases: Vec<_> = ["00:00-00:30", "23:45-00:15", "02:00-01:59"].map(|it| accepted(with(backup, it))).into();
    cases.extend(
        ["", "2:00-3:00", "02:00-02:29", "02:00-02:00", "24:00-25:00", "02:60-03:30", "02:00–03:00", "02:00/03:00"]
            .map(|it| refused(with(backup, it), BACKUP)),
    );
    cases.extend(
        ["sun:03:00-sun:03:30", "sun:23:45-mon:00:15", "tue:12:00-wed:11:59"].map(|it| accepted(with(maintenance, it))),
    );
    cases.extend(
        [
            "",
            "Sun:03:00-Sun:03:30",
            "sun:03:00-sun:03:29",
            "sun:03:00-sun:03:00",
            "sun:03:00-mon:03:00",
            "sun:03:00-sat:03:00",
            "day:03:00-day:04:00",
            "sun:3:00-sun:4:00",
            "03:00-04:00",
        ]
        .map(|it| refused(with(maintenance, it), MAINTENANCE)),
    );
    let long = |field: &str, most: usize| format!("{field}: Too long: may not be more than {most} bytes");
    cases.push(refused(with(backup, "02:00-02:30 "), long(backup, 11)));
    cases.push(refused(with(maintenance, "sun:03:00-sun:04:00 "), long(maintenance, 19)));
    cases
}

fn windows() -> Vec<Case> {
    window_cases(|field, window| json!({ field: window }))
}

/// Names of groups as they have to be and as they must not be, shared with AWSAccounts.
pub fn subnet_group_cases(with: fn(&str, &str) -> Value) -> Vec<Case> {
    let field = "dbSubnetGroupName";
    let message = "dbSubnetGroupName: lower-case letters (RDS keeps it in lower case), digits, spaces, ., _ and -";
    let mut cases: Vec<_> = ["default", "my group.1_a-b"].map(|it| accepted(with(field, it))).into();
    cases.extend(["", "Group", "a/b"].map(|it| refused(with(field, it), message)));
    cases
}

fn groups() -> Vec<Case> {
    let parameters = |name: &str| json!({ "dbParameterGroupName": name });
    let message =
        "dbParameterGroupName: lower-case letters (RDS keeps it in lower case), digits, . and -, a letter first";
    let mut cases = subnet_group_cases(|field, name| json!({ field: name }));
    cases.extend(["default.postgres16", "own-1"].map(|it| accepted(parameters(it))));
    cases.extend(["", "Own", "1own", "a_b"].map(|it| refused(parameters(it), message)));
    cases
}

fn credentials() -> Vec<Case> {
    let of = |credentials: Value| json!({ "credentials": credentials });
    let one = "credentials: set generate, secretRef or managedByAWS, one of them";
    let (generate, aws) = (json!({}), json!({ "kmsKeyId": "alias/a" }));
    let reference = json!({ "name": "orders-owner" });
    let mut cases = vec![
        accepted(of(json!({ "generate": generate }))),
        accepted(of(json!({ "secretRef": reference }))),
        accepted(of(json!({ "secretRef": { "name": "orders-owner", "key": "pass" } }))),
        accepted(of(json!({ "managedByAWS": {} }))),
        accepted(of(json!({ "managedByAWS": aws }))),
        refused(of(json!({})), one),
        refused(of(json!({ "generate": generate, "secretRef": reference })), one),
        refused(of(json!({ "generate": generate, "managedByAWS": aws })), one),
        refused(of(json!({ "secretRef": reference, "managedByAWS": aws })), one),
        refused(of(json!({ "generate": generate, "secretRef": reference, "managedByAWS": aws })), one),
    ];
    let taken = "spec.credentials: the connection is published in the Secret of that name (connection.name, or else \
                 metadata.name); keep the password in another Secret, or set another connection.name";
    for source in [
        |name: &str| json!({ "generate": { "secretName": name } }),
        |name: &str| json!({ "secretRef": { "name": name } }),
    ] {
        let both = |name: &str, connection: Value| json!({ "credentials": source(name), "connection": connection });
        cases.extend([
            accepted(both("orders-owner", Value::Null)),
            refused(both("orders", Value::Null), taken),
            refused(both("orders", json!({ "enabled": true })), taken),
            accepted(both("orders", json!({ "enabled": false }))),
            accepted(both("orders", json!({ "name": "orders-database" }))),
            refused(both("orders-database", json!({ "name": "orders-database" })), taken),
        ]);
    }
    cases
}

fn connection_keys() -> Vec<Case> {
    let keys = |keys: Value| json!({ "connection": { "keys": keys } });
    let known = "connection.keys: published are DB_NAME, DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DATABASE_URL and \
                 DB_SECRET_ARN; use these keys";
    let taken = "connection.keys: a new name is that of another published key; choose another, or rename that one too";
    let twice = "connection.keys: two keys have the same new name; give each its own";
    vec![
        accepted(keys(json!({
            "DB_NAME": "a", "DB_HOST": "b", "DB_PORT": "c", "DB_USER": "d", "DB_PASSWORD": "e", "DATABASE_URL": "f",
            "DB_SECRET_ARN": "g",
        }))),
        refused(keys(json!({ "db_name": "NAME" })), known),
        refused(keys(json!({ "queueURL": "NAME" })), known),
        accepted(keys(json!({ "DB_HOST": "DB_NAME", "DB_NAME": "DB_HOST" }))),
        refused(keys(json!({ "DB_HOST": "DB_NAME" })), taken),
        refused(keys(json!({ "DB_HOST": "ADDRESS", "DB_PORT": "ADDRESS" })), twice),
    ]
}

#[tokio::test]
async fn a_name_is_one_that_rds_keeps_as_it_is() -> Result<()> {
    check(&RDS, names()).await
}

#[tokio::test]
async fn engines_of_clusters_are_refused() -> Result<()> {
    check(&RDS, engines()).await
}

#[tokio::test]
async fn storage_is_as_its_type_takes_it() -> Result<()> {
    check(&RDS, storage()).await
}

#[tokio::test]
async fn provisioned_performance_is_as_type_size_and_engine_take_it() -> Result<()> {
    check(&RDS, provisioned()).await
}

#[tokio::test]
async fn databases_and_users_are_named_as_the_engine_takes_it() -> Result<()> {
    check(&RDS, databases_and_users()).await
}

#[tokio::test]
async fn a_key_is_for_encrypted_storage() -> Result<()> {
    check(&RDS, encryption()).await
}

#[tokio::test]
async fn monitoring_is_told_as_a_whole() -> Result<()> {
    check(&RDS, monitoring()).await
}

#[tokio::test]
async fn windows_are_long_enough() -> Result<()> {
    check(&RDS, windows()).await
}

#[tokio::test]
async fn groups_are_named_as_rds_keeps_them() -> Result<()> {
    check(&RDS, groups()).await
}

#[tokio::test]
async fn a_password_has_one_source() -> Result<()> {
    check(&RDS, credentials()).await
}

#[tokio::test]
async fn published_keys_stay_apart() -> Result<()> {
    check(&RDS, connection_keys()).await
}
