//! Every field of a database: set at the creation, changed, changed back, removed from the spec, and changed
//! behind our back. What AWS has is read from the fake itself.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::world::{Aws, World, condition, message};

/// A field of the spec, two values of it, and how AWS has them.
struct Row {
    /// The field's name in the spec.
    field: &'static str,
    /// As DescribeDBInstances shows it.
    setting: &'static str,
    /// What a ModifyDBInstance for it is given: how the names of its parameters begin.
    sent: &'static [&'static str],
    first: Value,
    second: Value,
    /// Whether a change waits for the maintenance window.
    waits: bool,
    /// What AWS has after the field left the spec; `None`: what it had.
    default: Option<&'static str>,
}

fn at_once(
    field: &'static str,
    setting: &'static str,
    sent: &'static [&'static str],
    (first, second): (Value, Value),
    default: Option<&'static str>,
) -> Row {
    Row { field, setting, sent, first, second, waits: false, default }
}

fn in_window(
    field: &'static str,
    setting: &'static str,
    sent: &'static [&'static str],
    values: (Value, Value),
    default: Option<&'static str>,
) -> Row {
    Row { waits: true, ..at_once(field, setting, sent, values, default) }
}

fn network() -> Vec<Row> {
    vec![
        at_once("port", "Port", &["DBPortNumber"], (json!(5_433), json!(5_434)), None),
        at_once(
            "vpcSecurityGroupIds",
            "VpcSecurityGroupIds",
            &["VpcSecurityGroupIds."],
            (json!(["sg-1", "sg-2"]), json!(["sg-2", "sg-3"])),
            None,
        ),
        at_once(
            "publiclyAccessible",
            "PubliclyAccessible",
            &["PubliclyAccessible"],
            (json!(false), json!(true)),
            Some("false"),
        ),
        at_once("networkType", "NetworkType", &["NetworkType"], (json!("IPV4"), json!("DUAL")), None),
        in_window(
            "dbSubnetGroupName",
            "DBSubnetGroupName",
            &["DBSubnetGroupName"],
            (json!("data"), json!("data-2")),
            None,
        ),
        in_window("multiAZ", "MultiAZ", &["MultiAZ"], (json!(false), json!(true)), Some("false")),
        in_window(
            "caCertificateIdentifier",
            "CACertificateIdentifier",
            &["CACertificateIdentifier"],
            (json!("rds-ca-rsa2048-g1"), json!("rds-ca-ecc384-g1")),
            None,
        ),
    ]
}

fn upkeep() -> Vec<Row> {
    vec![
        at_once(
            "preferredBackupWindow",
            "PreferredBackupWindow",
            &["PreferredBackupWindow"],
            (json!("01:00-02:00"), json!("02:00-03:00")),
            None,
        ),
        at_once(
            "preferredMaintenanceWindow",
            "PreferredMaintenanceWindow",
            &["PreferredMaintenanceWindow"],
            (json!("mon:05:00-mon:06:00"), json!("tue:05:00-tue:06:00")),
            None,
        ),
        at_once(
            "backupRetentionPeriod",
            "BackupRetentionPeriod",
            &["BackupRetentionPeriod"],
            (json!(7), json!(14)),
            Some("1"),
        ),
        at_once(
            "copyTagsToSnapshot",
            "CopyTagsToSnapshot",
            &["CopyTagsToSnapshot"],
            (json!(false), json!(true)),
            Some("false"),
        ),
        at_once(
            "autoMinorVersionUpgrade",
            "AutoMinorVersionUpgrade",
            &["AutoMinorVersionUpgrade"],
            (json!(true), json!(false)),
            Some("true"),
        ),
        at_once(
            "deletionProtection",
            "DeletionProtection",
            &["DeletionProtection"],
            (json!(false), json!(true)),
            Some("false"),
        ),
        in_window(
            "enableIAMDatabaseAuthentication",
            "IAMDatabaseAuthenticationEnabled",
            &["EnableIAMDatabaseAuthentication"],
            (json!(false), json!(true)),
            Some("false"),
        ),
        in_window(
            "instanceClass",
            "DBInstanceClass",
            &["DBInstanceClass"],
            (json!("db.t4g.small"), json!("db.t4g.medium")),
            None,
        ),
        in_window(
            "optionGroupName",
            "OptionGroupName",
            &["OptionGroupName"],
            (json!("options"), json!("options-2")),
            None,
        ),
        // AWS has the new group at once, and its parameters after a reboot.
        at_once(
            "dbParameterGroupName",
            "DBParameterGroupName",
            &["DBParameterGroupName"],
            (json!("tuned"), json!("tuned-2")),
            None,
        ),
    ]
}

fn watching() -> Vec<Row> {
    vec![
        at_once(
            "enableCloudwatchLogsExports",
            "EnabledCloudwatchLogsExports",
            &["CloudwatchLogsExportConfiguration."],
            (json!(["postgresql"]), json!(["iam-db-auth-error", "upgrade"])),
            Some(""),
        ),
        // AWS takes the interval with its role only.
        at_once(
            "monitoringRoleARN",
            "MonitoringRoleArn",
            &["MonitoringInterval", "MonitoringRoleArn"],
            (json!("arn:aws:iam::123456789012:role/one"), json!("arn:aws:iam::123456789012:role/two")),
            Some(""),
        ),
        at_once(
            "performanceInsights.retentionPeriod",
            "PerformanceInsightsRetentionPeriod",
            &["EnablePerformanceInsights", "PerformanceInsightsRetentionPeriod"],
            (json!(31), json!(62)),
            Some("7"),
        ),
        // Last of these: the others have no meaning without.
        at_once(
            "performanceInsights.enabled",
            "PerformanceInsightsEnabled",
            &["EnablePerformanceInsights"],
            (json!(true), json!(false)),
            Some("false"),
        ),
    ]
}

/// The volume of a database of 400 GiB, whose speed can be chosen.
fn volume() -> Vec<Row> {
    vec![
        at_once(
            "maxAllocatedStorage",
            "MaxAllocatedStorage",
            &["MaxAllocatedStorage"],
            (json!(1_000), json!(2_000)),
            Some(""),
        ),
        // AWS wants the size and the IOPS with any of the others.
        in_window("iops", "Iops", &["AllocatedStorage", "Iops"], (json!(12_000), json!(15_000)), None),
        in_window(
            "storageThroughput",
            "StorageThroughput",
            &["AllocatedStorage", "Iops", "StorageThroughput"],
            (json!(500), json!(700)),
            None,
        ),
        in_window(
            "allocatedStorage",
            "AllocatedStorage",
            &["AllocatedStorage", "Iops"],
            (json!(400), json!(500)),
            None,
        ),
    ]
}

#[tokio::test]
async fn every_field_of_the_network() -> Result<()> {
    set_change_and_remove(&network(), json!({})).await
}

#[tokio::test]
async fn every_field_of_the_upkeep() -> Result<()> {
    set_change_and_remove(&upkeep(), json!({})).await
}

#[tokio::test]
async fn every_field_of_the_watching() -> Result<()> {
    set_change_and_remove(&watching(), json!({ "monitoringInterval": 60 })).await
}

#[tokio::test]
async fn every_field_of_the_volume() -> Result<()> {
    set_change_and_remove(&volume(), json!({ "storageType": "gp3" })).await
}

#[tokio::test]
async fn the_type_of_the_storage() -> Result<()> {
    let rows = [in_window(
        "storageType",
        "StorageType",
        &["AllocatedStorage", "StorageType"],
        (json!("gp3"), json!("gp2")),
        None,
    )];
    set_change_and_remove(&rows, json!({})).await
}

#[tokio::test]
async fn the_licence() -> Result<()> {
    let rows = [in_window(
        "licenseModel",
        "LicenseModel",
        &["LicenseModel"],
        (json!("license-included"), json!("bring-your-own-license")),
        None,
    )];
    set_change_and_remove(&rows, json!({ "engine": "oracle-se2", "instanceClass": "db.m5.large" })).await
}

/// One field after the other, so that each is seen to be sent alone.
async fn set_change_and_remove(rows: &[Row], mut spec: Value) -> Result<()> {
    let world = World::swift().await?;
    for row in rows {
        merge(&mut spec, patch(row, row.first.clone()));
    }
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    for row in rows {
        ensure!(has(&world, row, &row.first)?, "{} at the creation: {:?}", row.field, world.database("orders")?);
    }
    ensure!(world.writes() == ["CreateDBInstance"], "{:?}", world.writes());
    let mut modified = 0;
    for row in rows {
        for value in [&row.second, &row.first, &row.second] {
            change(&world, row, value).await?;
            modified += 1;
            sent_alone(&world, row, modified)?;
        }
        world.pass_window()?;
        world.until_setting("orders", row.setting, &text(&row.second)).await?;
        // Storage that was changed can't be changed again at once.
        world.pass_hours(7)?;
        if row.field != "dbParameterGroupName" {
            world.until("orders", "nothing is pending", |object| pending(object, row.field).is_null()).await?;
        }

        remove(&world, row).await?;
        let expected = row.default.map_or_else(|| text(&row.second), str::to_owned);
        if expected != text(&row.second) {
            modified += 1;
            sent_alone(&world, row, modified)?;
            if row.waits {
                ensure!(world.database("orders")?.pending.get(row.setting) == Some(&expected), "{} removed", row.field);
                // It is not ours any more, and comes all the same.
                world.quiet(1).await?;
                let object = world.object("orders").await?;
                ensure!(pending(&object, row.field)["value"] == expected, "{}", object.data["status"]);
                world.pass_window()?;
            }
        }
        world.until_setting("orders", row.setting, &expected).await?;
        world.quiet(1).await?;
        ensure!(world.modifies().len() == modified, "{}: {:?}", row.field, world.modifies().last());
    }
    Ok(())
}

/// Sets a field, and makes sure that AWS has the value, or has it pending.
async fn change(world: &World, row: &Row, value: &Value) -> Result<()> {
    let object = world.set("orders", patch(row, value.clone())).await?;
    let instance = world.database("orders")?;
    let waits = row.waits && *value == row.second;
    let waiting = instance.pending.get(row.setting).map(String::as_str);
    // AWS tells an option group that waits among the memberships, not among the pending values.
    let told = row.field != "optionGroupName";
    let expected = (waits && told).then(|| text(value));
    ensure!(waiting == expected.as_deref(), "{} → {value}: {instance:?}", row.field);
    ensure!(has(world, row, if waits { &row.first } else { value })?, "{} → {value}: {instance:?}", row.field);
    if waits {
        let said = message(&object, "Synced");
        ensure!(condition(&object, "Synced")["reason"] == "ChangePending", "{}", object.data);
        ensure!(said.contains(row.field) && said.contains(&text(value)) && said.contains("window"), "{said}");
        ensure!(pending(&object, row.field)["value"] == text(value), "{}", object.data["status"]);
    } else {
        ensure!(pending(&object, row.field).is_null() || row.field == "dbParameterGroupName", "{}", object.data);
    }
    Ok(())
}

/// Takes a field out of the spec, with what has no meaning without it.
async fn remove(world: &World, row: &Row) -> Result<()> {
    let removal = match row.field {
        "monitoringRoleARN" => json!({ "monitoringRoleARN": null, "monitoringInterval": null }),
        _ => patch(row, Value::Null),
    };
    world.set("orders", removal).await?;
    Ok(())
}

/// Makes sure that there were so many changes, and that the last one was of this field alone.
fn sent_alone(world: &World, row: &Row, count: usize) -> Result<()> {
    let modifies = world.modifies();
    ensure!(modifies.len() == count, "{}: {} changes, not {count}: {modifies:?}", row.field, modifies.len());
    let last = modifies.last().cloned().unwrap_or_default();
    let mut names = last.keys().filter(|name| *name != "ApplyImmediately");
    ensure!(names.all(|name| row.sent.iter().any(|sent| name.starts_with(sent))), "{}: {last:?}", row.field);
    ensure!(last.get("ApplyImmediately").is_none_or(|flag| flag == "false"), "{}: {last:?}", row.field);
    Ok(())
}

/// What the status says of a field that is pending; null where it says nothing.
pub fn pending(object: &kube::api::DynamicObject, field: &str) -> Value {
    let all = object.data["status"]["pendingChanges"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|pending| pending["field"] == field).unwrap_or_default()
}

/// The spec's part that sets a field; its name may be of a field in a group.
fn patch(row: &Row, value: Value) -> Value {
    match row.field.split_once('.') {
        Some((group, field)) => json!({ group: { field: value } }),
        None => json!({ row.field: value }),
    }
}

fn merge(into: &mut Value, patch: Value) {
    match patch {
        Value::Object(fields) => {
            if !into.is_object() {
                *into = json!({});
            }
            for (field, value) in fields {
                merge(&mut into[field], value);
            }
        }
        value => *into = value,
    }
}

fn has(world: &World, row: &Row, value: &Value) -> Result<bool> {
    Ok(world.setting("orders", row.setting)? == text(value))
}

/// A value as AWS has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(members) => members.iter().map(text_of).collect::<Vec<_>>().join(","),
        other => other.to_string(),
    }
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[tokio::test]
async fn with_apply_immediately_nothing_waits_for_a_window() -> Result<()> {
    let world = World::swift().await?;
    let rows: Vec<_> = network().into_iter().chain(upkeep()).filter(|row| row.waits).collect();
    let mut spec = json!({ "applyImmediately": true });
    for row in &rows {
        merge(&mut spec, patch(row, row.first.clone()));
    }
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    for (row, count) in rows.iter().zip(1..) {
        world.set("orders", patch(row, row.second.clone())).await?;
        world.until_setting("orders", row.setting, &text(&row.second)).await?;
        let modifies = world.modifies();
        let last = modifies.last().cloned().unwrap_or_default();
        ensure!(modifies.len() == count && last["ApplyImmediately"] == "true", "{}: {last:?}", row.field);
        ensure!(world.database("orders")?.pending.is_empty(), "{}", row.field);
    }
    // AWS makes this one at once by itself: nothing else is to be hurried by it.
    world.set("orders", json!({ "copyTagsToSnapshot": true })).await?;
    let last = world.modifies().pop().unwrap_or_default();
    ensure!(last.get("ApplyImmediately").is_none_or(|flag| flag == "false"), "{last:?}");
    world.quiet(2).await
}

#[tokio::test]
async fn what_is_changed_behind_our_back_is_corrected_and_named() -> Result<()> {
    let world = World::swift().await?;
    let rows: Vec<_> = network().into_iter().chain(upkeep()).collect();
    let mut spec = json!({});
    for row in &rows {
        merge(&mut spec, patch(row, row.first.clone()));
    }
    world.create("orders", spec).await?;
    world.in_sync("orders").await?;
    for row in &rows {
        world.drift("orders", row.setting, &text(&row.second))?;
    }
    world.told("orders", "DriftCorrected").await?;
    world.quiet(2).await?;
    let note = world.notes("orders", "DriftCorrected").await?.concat();
    for row in &rows {
        ensure!(note.contains(row.field), "{} in {note}", row.field);
    }
    world.pass_window()?;
    for row in &rows {
        world.until_setting("orders", row.setting, &text(&row.first)).await?;
    }
    // A look may have come between two of the changes by hand.
    ensure!(world.modifies().len() <= 2, "{:?}", world.modifies());
    world.quiet(2).await
}

#[tokio::test]
async fn a_setting_that_the_spec_does_not_name_is_left_alone() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "backupRetentionPeriod": 7 })).await?;
    world.in_sync("orders").await?;
    world.drift("orders", "DeletionProtection", "true")?;
    world.drift("orders", "DBInstanceClass", "db.t4g.micro")?;
    world.quiet(2).await?;
    world.set("orders", json!({ "backupRetentionPeriod": 8 })).await?;
    ensure!(world.setting("orders", "DeletionProtection")? == "true");
    Ok(())
}

#[tokio::test]
async fn a_change_that_waits_is_in_force_after_the_window_and_can_be_taken_back_before() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({ "preferredMaintenanceWindow": "sun:03:00-sun:04:00" })).await?;
    world.in_sync("orders").await?;
    let object = world.set("orders", json!({ "instanceClass": "db.t4g.small" })).await?;
    let said = message(&object, "Synced");
    ensure!(crate::world::row(&object) == "TT--", "{}", object.data);
    ensure!(condition(&object, "Synced")["reason"] == "ChangePending", "{}", object.data);
    ensure!(said.contains("instanceClass becomes db.t4g.small") && said.contains("sun:03:00-sun:04:00"), "{said}");
    let told = pending(&object, "instanceClass");
    ensure!(told["value"] == "db.t4g.small" && object.data["status"]["instanceClass"] == "db.t4g.micro", "{told}");
    world.quiet(2).await?;

    let object = world.set("orders", json!({ "instanceClass": "db.t4g.micro" })).await?;
    ensure!(world.database("orders")?.pending.is_empty() && pending(&object, "instanceClass").is_null());
    world.pass_window()?;
    world.quiet(2).await?;
    ensure!(world.setting("orders", "DBInstanceClass")? == "db.t4g.micro");

    world.set("orders", json!({ "instanceClass": "db.t4g.small" })).await?;
    world.pass_window()?;
    let object = world
        .until("orders", "in force", |object| {
            object.data["status"]["instanceClass"] == "db.t4g.small" && pending(object, "instanceClass").is_null()
        })
        .await?;
    ensure!(object.data["status"]["pendingChanges"].as_array().is_none_or(Vec::is_empty), "{}", object.data);
    ensure!(world.modifies().len() == 3, "{:?}", world.modifies());
    world.quiet(2).await
}

#[tokio::test]
async fn a_change_that_waits_can_be_asked_for_at_once() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.set("orders", json!({ "instanceClass": "db.t4g.small" })).await?;
    ensure!(world.setting("orders", "DBInstanceClass")? == "db.t4g.micro");
    world.patch("orders", json!({ "spec": { "applyImmediately": true } })).await?;
    world.until_setting("orders", "DBInstanceClass", "db.t4g.small").await?;
    world.in_sync("orders").await?;
    ensure!(world.modifies().len() == 2, "{:?}", world.modifies());
    world.quiet(2).await
}

#[tokio::test]
async fn a_parameter_group_is_in_force_after_a_reboot_that_the_spec_allows() -> Result<()> {
    let world = World::start(Aws::Fake).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let object = world.set("orders", json!({ "dbParameterGroupName": "tuned" })).await?;
    let told = pending(&object, "dbParameterGroupName");
    ensure!(told["applies"].to_string().contains("rebootOnParameterChange"), "{told}");
    world.quiet(2).await?;
    ensure!(world.database("orders")?.parameter_apply_status == "pending-reboot");
    world.patch("orders", json!({ "spec": { "rebootOnParameterChange": true } })).await?;
    world
        .eventually("its parameters are in force", async || match world.database("orders") {
            Ok(instance) if instance.parameter_apply_status == "in-sync" => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
    let object = world.in_sync("orders").await?;
    ensure!(pending(&object, "dbParameterGroupName").is_null(), "{}", object.data);
    world.quiet(2).await?;
    ensure!(world.writes() == ["CreateDBInstance", "ModifyDBInstance", "RebootDBInstance"], "{:?}", world.writes());
    Ok(())
}

#[tokio::test]
async fn what_else_is_hurried_is_told_before_it_is_done() -> Result<()> {
    // Time enough between two looks for seeing what is told.
    let mut world = World::new(Aws::Fake).await?.env("RECONCILE_FREQUENCY_SECONDS", "6");
    world.start_operator().await?;
    world.create("orders", json!({ "multiAZ": false })).await?;
    world.in_sync("orders").await?;
    let theirs = world.rds().modify_db_instance().db_instance_identifier(world.aws_name("orders"));
    theirs.option_group_name("theirs").send().await?;
    let object = world.says("orders", "Synced", "ChangePending").await?;
    let told = pending(&object, "optionGroupName");
    ensure!(told["value"] == "theirs" && told["applies"].to_string().contains("window"), "{told}");
    world.patch("orders", json!({ "spec": { "applyImmediately": true, "multiAZ": true } })).await?;
    let object = world.says("orders", "Synced", "ChangeWaiting").await?;
    let said = message(&object, "Synced");
    ensure!(said.contains("optionGroupName theirs") && said.contains("applyImmediately"), "{said}");
    ensure!(world.modifies().is_empty(), "told first: {:?}", world.modifies());
    world.until_setting("orders", "MultiAZ", "true").await?;
    ensure!(world.setting("orders", "OptionGroupName")? == "theirs", "AWS makes what waits, too");
    world.in_sync("orders").await?;
    ensure!(world.modifies().len() == 1, "{:?}", world.modifies());
    world.quiet(1).await
}

#[tokio::test]
async fn tags_are_set_changed_and_removed_and_others_tags_stay() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "tags": { "team": "shop", "stage": "test" } })).await?;
    world.in_sync("orders").await?;
    let place = (&world.account, crate::world::REGION, world.aws_name("orders"));
    world.fake()?.tag_instance(place.0, place.1, &place.2, "cost-center", Some("4711"))?;
    world.set("orders", json!({ "tags": { "team": "billing", "stage": null, "tier": "1" } })).await?;
    let own = |world: &World| -> Result<Vec<String>> {
        let tags = world.database("orders")?.tags;
        let own = tags.into_iter().filter(|(key, _)| !key.starts_with("fairlead.dev/"));
        Ok(own.map(|(key, value)| format!("{key}={value}")).collect())
    };
    ensure!(own(&world)? == ["cost-center=4711", "team=billing", "tier=1"], "{:?}", own(&world)?);
    world.fake()?.tag_instance(place.0, place.1, &place.2, "team", Some("thieves"))?;
    world.told("orders", "DriftCorrected").await?;
    ensure!(own(&world)? == ["cost-center=4711", "team=billing", "tier=1"], "{:?}", own(&world)?);
    world.set("orders", json!({ "tags": null })).await?;
    ensure!(own(&world)? == ["cost-center=4711"], "{:?}", own(&world)?);
    ensure!(world.modifies().is_empty());
    world.quiet(2).await
}

#[tokio::test]
async fn what_is_fixed_at_the_creation_is_refused_by_the_api_server_or_by_us() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "dbName": "orders", "masterUsername": "owner" })).await?;
    world.in_sync("orders").await?;
    for (field, value) in [("engine", json!("mysql")), ("dbName", json!("other")), ("masterUsername", json!("me"))] {
        let refused = world.patch("orders", json!({ "spec": { field: value } })).await;
        let said = refused.err().map(|error| format!("{error:#}")).unwrap_or_default();
        ensure!(said.contains(field) && said.contains("create another RDSInstance"), "{field}: {said:?}");
    }
    let aurora = world.create("cluster", json!({ "engine": "aurora-postgresql" })).await;
    let said = aurora.err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(said.contains("aurora") && said.contains("not managed by RDSInstance"), "{said:?}");
    world.quiet(1).await
}

#[tokio::test]
async fn a_value_that_is_missing_in_both_places_is_named_with_both() -> Result<()> {
    let world = World::swift().await?;
    world.create("orders", json!({ "instanceClass": null })).await?;
    let object = world.says("orders", "Stalled", "InvalidSpec").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains("spec.instanceClass") && said.contains("spec.rdsInstanceDefaults.instanceClass"), "{said}");
    ensure!(world.writes().is_empty(), "{:?}", world.writes());
    world.set("orders", json!({ "instanceClass": "db.t4g.micro" })).await?;
    Ok(())
}

#[tokio::test]
async fn the_account_s_defaults_are_for_new_databases_alone() -> Result<()> {
    let world = World::swift().await?;
    let defaults = |class: &str| {
        json!({ "rdsInstanceDefaults": [
            {
                "region": "eu-west-1", "instanceClass": class, "allocatedStorage": 30, "dbSubnetGroupName": "data",
                "vpcSecurityGroupIds": ["sg-9"], "storageType": "gp2", "port": 6000, "multiAZ": true,
                "preferredBackupWindow": "01:00-02:00", "preferredMaintenanceWindow": "mon:05:00-mon:06:00",
                "kmsKeyId": "1234abcd-12ab-34cd-56ef-1234567890ab",
            },
            { "region": "us-east-1", "instanceClass": "db.x1.large" },
        ] })
    };
    let account = world.aws_account(defaults("db.m5.large")).await?;
    let bare = json!({ "instanceClass": null, "allocatedStorage": null, "accountRef": account });
    world.create("orders", bare.clone()).await?;
    let object = world.in_sync("orders").await?;
    let told = &object.data["status"]["defaults"];
    for (field, setting, value) in [
        ("instanceClass", "DBInstanceClass", "db.m5.large"),
        ("allocatedStorage", "AllocatedStorage", "30"),
        ("dbSubnetGroupName", "DBSubnetGroupName", "data"),
        ("vpcSecurityGroupIds", "VpcSecurityGroupIds", "sg-9"),
        ("storageType", "StorageType", "gp2"),
        ("port", "Port", "6000"),
        ("multiAZ", "MultiAZ", "true"),
        ("preferredBackupWindow", "PreferredBackupWindow", "01:00-02:00"),
        ("preferredMaintenanceWindow", "PreferredMaintenanceWindow", "mon:05:00-mon:06:00"),
    ] {
        ensure!(world.setting("orders", setting)? == value && told[field] == value, "{field}: {told}");
    }
    ensure!(world.setting("orders", "KmsKeyId")?.ends_with("1234567890ab") && told["kmsKeyId"].is_string(), "{told}");

    world.patch_account(defaults("db.m5.xlarge")).await?;
    world.quiet(2).await?;
    world.look_now("orders").await?;
    world.quiet(2).await?;
    ensure!(world.setting("orders", "DBInstanceClass")? == "db.m5.large");
    ensure!(world.object("orders").await?.data["status"]["defaults"]["instanceClass"] == "db.m5.large");
    // What the spec says comes before, and a new one has the new default.
    let mut spec = bare;
    spec["port"] = json!(7_000);
    world.create("bills", spec).await?;
    let object = world.in_sync("bills").await?;
    ensure!(world.setting("bills", "DBInstanceClass")? == "db.m5.xlarge" && world.setting("bills", "Port")? == "7000");
    ensure!(object.data["status"]["defaults"].get("port").is_none(), "{}", object.data["status"]);
    for name in ["orders", "bills"] {
        world.patch(name, json!({ "spec": { "deletionPolicy": "Delete" } })).await?;
        world.delete(name).await?;
    }
    Ok(())
}
