//! What a plan does, case by case.

use super::*;
use crate::{engine::kind::CREATE_ONLY, kinds::rds_instance::observed::LogChange};

/// Fields, values that differ from [`instance`]'s, and what a plan then corrects.
#[test]
fn what_a_plan_corrects() {
    let large = || (Field::InstanceClass, text("db.r6g.large"));
    for (fields, values, managed, expected) in [
        (json!({}), vec![large()], vec![], vec![]),
        (json!({ "instanceClass": "db.t4g.micro" }), vec![], vec![], vec![]),
        (
            json!({ "instanceClass": "db.t4g.micro" }),
            vec![large()],
            vec![],
            vec!["instanceClass: db.r6g.large → db.t4g.micro"],
        ),
        // What has no default stays.
        (json!({}), vec![large()], vec!["instanceClass"], vec![]),
        (json!({}), vec![(Field::MultiAz, Value::Switch(true))], vec!["multiAZ"], vec!["multiAZ: true → false"]),
        (
            json!({}),
            vec![(Field::AutoMinorVersionUpgrade, Value::Switch(false)), (Field::BackupRetention, Value::Number(7))],
            vec!["autoMinorVersionUpgrade", "backupRetentionPeriod", "aFieldOfTheFuture"],
            vec!["backupRetentionPeriod: 7 → 1", "autoMinorVersionUpgrade: false → true"],
        ),
        (
            json!({}),
            vec![(Field::LogExports, set(&["postgresql"]))],
            vec!["enableCloudwatchLogsExports"],
            vec!["enableCloudwatchLogsExports: postgresql → "],
        ),
        (
            json!({}),
            vec![(Field::MaxAllocatedStorage, Value::Number(100))],
            vec!["maxAllocatedStorage"],
            vec!["maxAllocatedStorage: 100 → off"],
        ),
        (
            json!({ "allocatedStorage": 20, "maxAllocatedStorage": 20 }),
            vec![(Field::MaxAllocatedStorage, Value::Number(100))],
            vec![],
            vec!["maxAllocatedStorage: 100 → off"],
        ),
        (
            json!({ "vpcSecurityGroupIds": ["sg-2", "sg-1"] }),
            vec![(Field::SecurityGroups, set(&["sg-1", "sg-2"]))],
            vec![],
            vec![],
        ),
        (json!({ "vpcSecurityGroupIds": ["sg-2"] }), vec![], vec![], vec!["vpcSecurityGroupIds: sg-1 → sg-2"]),
        (json!({ "preferredMaintenanceWindow": "Sun:03:00-Sun:04:00" }), vec![], vec![], vec![]),
        (json!({ "engineVersion": "16" }), vec![], vec![], vec![]),
        (json!({ "engineVersion": "16.2" }), vec![], vec![], vec![]),
        (json!({ "engineVersion": "16.4" }), vec![], vec![], vec!["engineVersion: 16.3 → 16.4"]),
        // The storage has grown by itself, up to a limit of the spec's or of another's.
        (
            json!({ "allocatedStorage": 20, "maxAllocatedStorage": 100 }),
            vec![(Field::AllocatedStorage, Value::Number(40)), (Field::MaxAllocatedStorage, Value::Number(100))],
            vec![],
            vec![],
        ),
        (
            json!({ "allocatedStorage": 20 }),
            vec![(Field::AllocatedStorage, Value::Number(40)), (Field::MaxAllocatedStorage, Value::Number(40))],
            vec![],
            vec![],
        ),
        // It is where the primary is.
        (json!({ "availabilityZone": "eu-west-1b" }), vec![(Field::MultiAz, Value::Switch(true))], vec![], vec![]),
        // Without monitoring there is no role, without Performance Insights no retention.
        (json!({ "monitoringInterval": 0, "monitoringRoleARN": "arn:role" }), vec![], vec![], vec![]),
        (json!({ "performanceInsights": { "enabled": false, "retentionPeriod": 31 } }), vec![], vec![], vec![]),
    ] {
        let plan = planned_after(fields.clone(), &with(values), &managed, &Settling::new());
        assert_eq!(differences(&plan), expected, "{fields}");
        assert_eq!((plan.refused, plan.waiting, plan.notice), (None, None, None), "{fields}");
    }
}

/// Fields, and what is sent.
#[test]
fn values_that_aws_wants_together_are_sent_together() {
    let insights =
        [(Field::PerformanceInsights, Value::Switch(true)), (Field::PerformanceInsightsRetention, Value::Number(7))];
    let monitored = [(Field::MonitoringInterval, Value::Number(30)), (Field::MonitoringRole, text("arn:a"))];
    let io1 = [
        (Field::StorageType, text("io1")),
        (Field::AllocatedStorage, Value::Number(100)),
        (Field::Iops, Value::Number(1_000)),
    ];
    for (fields, observed, expected) in [
        (json!({ "allocatedStorage": 40 }), instance(), vec!["allocatedStorage 40"]),
        (json!({ "allocatedStorage": 400 }), instance(), vec!["allocatedStorage 400", "iops 12000"]),
        (json!({ "allocatedStorage": 200 }), with(io1.clone()), vec!["allocatedStorage 200", "iops 1000"]),
        (json!({ "iops": 2_000 }), with(io1), vec!["allocatedStorage 100", "iops 2000"]),
        (json!({ "storageType": "gp2" }), instance(), vec!["allocatedStorage 20", "storageType gp2"]),
        (
            json!({ "allocatedStorage": 100, "storageType": "io2", "iops": 4_000 }),
            instance(),
            vec!["allocatedStorage 100", "storageType io2", "iops 4000"],
        ),
        (
            json!({ "allocatedStorage": 40, "maxAllocatedStorage": 40 }),
            with([(Field::MaxAllocatedStorage, Value::Number(100))]),
            vec!["allocatedStorage 40", "maxAllocatedStorage 40"],
        ),
        (
            json!({ "monitoringInterval": 60, "monitoringRoleARN": "arn:a" }),
            with(monitored.clone()),
            vec!["monitoringInterval 60", "monitoringRoleARN arn:a"],
        ),
        (
            json!({ "monitoringInterval": 30, "monitoringRoleARN": "arn:b" }),
            with(monitored.clone()),
            vec!["monitoringInterval 30", "monitoringRoleARN arn:b"],
        ),
        (json!({ "monitoringInterval": 0 }), with(monitored), vec!["monitoringInterval 0"]),
        (
            json!({ "performanceInsights": { "enabled": true, "retentionPeriod": 31 } }),
            with(insights),
            vec!["performanceInsights.enabled true", "performanceInsights.retentionPeriod 31"],
        ),
    ] {
        let plan = planned(fields.clone(), &observed);
        let modify = modification(&plan);
        let sent: Vec<_> = modify.set.iter().map(|(field, value)| format!("{} {value}", field.name())).collect();
        assert_eq!(sent, expected, "{fields}");
        assert!(!modify.apply_immediately);
    }
}

#[test]
fn log_exports_are_enabled_and_disabled() {
    let plan = planned(
        json!({ "enableCloudwatchLogsExports": ["postgresql"] }),
        &with([(Field::LogExports, set(&["upgrade"]))]),
    );
    let names = |name: &str| [name.to_owned()].into();
    let logs = Some(LogChange { enable: names("postgresql"), disable: names("upgrade") });
    assert_eq!(modification(&plan), &Modify { logs, ..Modify::default() });
}

/// Fields, values, the field, the reason and words of the refusal.
#[test]
fn what_aws_cannot_do_is_refused_with_the_way_out() {
    let actual = |field, value| vec![(field, value)];
    let key = "arn:aws:kms:eu-west-1:123456789012:key/9999";
    let insights = vec![
        (Field::PerformanceInsights, Value::Switch(true)),
        (Field::PerformanceInsightsKey, text("arn:aws:kms:eu-west-1:123456789012:key/1")),
    ];
    for (fields, values, field, reason, words) in [
        (
            json!({ "allocatedStorage": 20 }),
            actual(Field::AllocatedStorage, Value::Number(40)),
            "allocatedStorage",
            "StorageCannotShrink",
            "40 or more",
        ),
        (json!({ "allocatedStorage": 21 }), vec![], "allocatedStorage", "StorageGrowsTooLittle", "22 GiB"),
        (
            json!({ "allocatedStorage": 20, "maxAllocatedStorage": 30 }),
            actual(Field::AllocatedStorage, Value::Number(40)),
            "allocatedStorage",
            "StorageCannotShrink",
            "40",
        ),
        (
            json!({ "iops": 12_500 }),
            actual(Field::Iops, Value::Number(12_000)),
            "iops",
            "IOPSGrowTooLittle",
            "13200 IOPS",
        ),
        (
            json!({ "engineVersion": "17" }),
            vec![],
            "engineVersion",
            "MajorUpgradeNotAllowed",
            "spec.allowMajorVersionUpgrade",
        ),
        (json!({ "engineVersion": "15" }), vec![], "engineVersion", "VersionCannotGoBack", "snapshot"),
        (
            json!({ "engineVersion": "15", "allowMajorVersionUpgrade": true }),
            vec![],
            "engineVersion",
            "VersionCannotGoBack",
            "snapshot",
        ),
        (json!({ "masterUsername": "admin" }), vec![], "masterUsername", "ImmutableField", CREATE_ONLY),
        (json!({ "dbName": "orders" }), vec![], "dbName", "ImmutableField", CREATE_ONLY),
        (json!({ "storageEncrypted": false }), vec![], "storageEncrypted", "ImmutableField", CREATE_ONLY),
        (json!({ "kmsKeyId": key }), vec![], "kmsKeyId", "ImmutableField", CREATE_ONLY),
        (json!({ "availabilityZone": "eu-west-1b" }), vec![], "availabilityZone", "ImmutableField", CREATE_ONLY),
        (json!({}), actual(Field::Engine, text("mysql")), "engine", "ImmutableField", CREATE_ONLY),
        (
            json!({ "performanceInsights": { "enabled": true, "kmsKeyId": key } }),
            insights,
            "performanceInsights.kmsKeyId",
            "ImmutableField",
            "remove it",
        ),
    ] {
        let mut wished = fields.clone();
        wished["multiAZ"] = json!(true);
        let plan = planned(wished, &with(values.clone()));
        let plan = if reason == "StorageCannotShrink" {
            // That there is more than is asked keeps nothing else from being done, and is told afterwards.
            assert_eq!(modification(&plan).set.get(&Field::MultiAz), Some(&Value::Switch(true)), "{fields}");
            planned(fields.clone(), &with(values))
        } else {
            plan
        };
        // The other differences wait: nothing may be done.
        assert!(plan.changes.is_empty() && plan.differences.is_empty(), "{fields}");
        let refused = plan.refused.unwrap_or_else(|| panic!("{fields} is not refused"));
        assert_eq!((refused.difference.field.as_str(), refused.reason), (field, reason), "{fields}");
        assert!(refused.why.contains(words), "{fields}: {}", refused.why);
    }
    for fields in [json!({ "kmsKeyId": "alias/orders" }), json!({ "kmsKeyId": "1234" }), json!({ "dbName": "orders" })]
    {
        let observed = with([(Field::DbName, text("ORDERS"))]);
        assert_eq!(planned(fields.clone(), &observed).refused, None, "{fields}");
    }
}

#[test]
fn a_major_upgrade_is_allowed_only_where_it_is_one() {
    let allowed = |version: &str| {
        let plan = planned(json!({ "engineVersion": version, "allowMajorVersionUpgrade": true }), &instance());
        modification(&plan).allow_major_upgrade
    };
    assert!(allowed("17") && !allowed("16.4"));
}

/// Fields, what waits, and what is said to be pending or else to differ.
#[test]
fn a_pending_value_is_in_effect_and_another_one_is_replaced() {
    let large = || [(Field::InstanceClass, text("db.r6g.large"))];
    let pending = |plan: &Plan<Change>| {
        plan.pending.iter().map(|it| format!("{} {} {}", it.field, it.value, it.applies)).collect::<Vec<_>>()
    };
    let plan = planned(json!({ "instanceClass": "db.r6g.large" }), &waiting(large()));
    assert!(plan.changes.is_empty());
    assert_eq!(pending(&plan), ["instanceClass db.r6g.large in the maintenance window sun:03:00-sun:04:00"]);
    let plan = planned(
        json!({ "enableCloudwatchLogsExports": ["upgrade"] }),
        &waiting([(Field::LogExports, set(&["upgrade"]))]),
    );
    assert!(plan.changes.is_empty());
    assert_eq!(pending(&plan), ["enableCloudwatchLogsExports upgrade as soon as AWS has applied it"]);
    for (fields, waits, field, value) in [
        // Taken back, also where the actual value is the desired one.
        (json!({ "instanceClass": "db.t4g.micro" }), large().into(), Field::InstanceClass, text("db.t4g.micro")),
        (json!({ "instanceClass": "db.t4g.small" }), large().into(), Field::InstanceClass, text("db.t4g.small")),
        (
            json!({ "allocatedStorage": 20 }),
            Values::from([(Field::AllocatedStorage, Value::Number(40))]),
            Field::AllocatedStorage,
            Value::Number(20),
        ),
        (
            json!({ "engineVersion": "16" }),
            [(Field::EngineVersion, text("17.1"))].into(),
            Field::EngineVersion,
            text("16.3"),
        ),
    ] {
        let plan = planned(fields.clone(), &waiting(waits));
        assert_eq!(modification(&plan).set.get(&field), Some(&value), "{fields}");
        assert!(plan.pending.is_empty(), "{fields}");
    }
    // What waits and is not ours to say stays, and is told.
    let plan = planned(json!({ "applyImmediately": true }), &waiting(large()));
    assert_eq!(pending(&plan), ["instanceClass db.r6g.large in the maintenance window sun:03:00-sun:04:00"]);
    assert_eq!(plan, Plan { pending: plan.pending.clone(), ..Plan::default() });
    // AWS takes a group of another family only when the version is in effect.
    let plan = planned(
        json!({ "engineVersion": "17", "allowMajorVersionUpgrade": true, "dbParameterGroupName": "mine-17" }),
        &waiting([(Field::EngineVersion, text("17.1"))]),
    );
    assert!(plan.changes.is_empty(), "{plan:?}");
    assert!(
        pending(&plan).contains(&"dbParameterGroupName mine-17 when the pending major version is in effect".into())
    );
}

#[test]
fn what_waits_is_made_at_once_where_the_spec_says_so() {
    let fields = json!({ "instanceClass": "db.r6g.large", "applyImmediately": true });
    let waits = || waiting([(Field::InstanceClass, text("db.r6g.large"))]);
    let plan = planned(fields.clone(), &waits());
    assert!(modification(&plan).apply_immediately);
    assert_eq!(
        (differences(&plan), plan.notice),
        (vec!["instanceClass: db.r6g.large → db.r6g.large".to_owned()], None)
    );
    // AWS is at it, or has just been told.
    let settling = wrote("instanceClass", "db.t4g.micro", "db.r6g.large");
    for plan in
        [planned(fields.clone(), &in_status("modifying", waits())), planned_after(fields, &waits(), &[], &settling)]
    {
        assert!(plan.changes.is_empty() && plan.waiting.is_none(), "{plan:?}");
        assert_eq!(plan.pending[0].applies, "as soon as AWS has applied it");
    }
}

#[test]
fn what_is_made_with_it_unasked_is_told_before() {
    let mut observed = waiting([(Field::InstanceClass, text("db.r6g.large")), (Field::MultiAz, Value::Switch(true))]);
    observed.other_pending.insert("DedicatedLogVolume".into(), "true".into());
    let at_once = |mut fields: Json| {
        fields["applyImmediately"] = json!(true);
        planned(fields, &observed)
    };
    let notice = at_once(json!({ "allocatedStorage": 40, "multiAZ": true })).notice.unwrap();
    assert!(
        notice.contains("spec.applyImmediately")
            && notice.ends_with(": instanceClass db.r6g.large, DedicatedLogVolume true"),
        "{notice}"
    );
    // What AWS makes at once in any case leaves alone what waits.
    let plan = at_once(json!({ "deletionProtection": true }));
    assert!(!modification(&plan).apply_immediately && plan.notice.is_none());
    assert_eq!(planned(json!({ "allocatedStorage": 40 }), &observed).notice, None);
}

#[test]
fn an_old_read_just_after_a_write_is_not_drift_but_a_third_value_is() {
    let settling = wrote("port", "5432", "5433");
    let in_sync = |wished: i32, read: i32| {
        let observed = with([(Field::Port, Value::Number(read))]);
        planned_after(json!({ "port": wished }), &observed, &["port"], &settling).is_empty()
    };
    assert!(in_sync(5_433, 5_433) && in_sync(5_433, 5_432) && !in_sync(5_433, 5_555));
    assert!(!in_sync(5_432, 5_432) && !in_sync(5_432, 5_433));
}

/// The status, and what waits: the rest is sent.
#[test]
fn what_cannot_be_changed_now_waits() {
    let fields = json!({ "instanceClass": "db.r6g.large", "allocatedStorage": 40, "maxAllocatedStorage": 100 });
    let sent = |plan: &Plan<Change>| plan.differences.iter().map(|it| it.field.clone()).collect::<Vec<_>>().join(" ");
    for (status, expected, waits) in [
        ("available", "instanceClass allocatedStorage maxAllocatedStorage", None),
        (
            "storage-optimization",
            "instanceClass maxAllocatedStorage",
            Some("allocatedStorage (20 → 40) waits until the database instance is no longer storage-optimization"),
        ),
        (
            "storage-full",
            "allocatedStorage maxAllocatedStorage",
            Some("instanceClass (db.t4g.micro → db.r6g.large) waits until the database instance has storage again"),
        ),
        (
            "stopped",
            "",
            Some(
                "instanceClass (db.t4g.micro → db.r6g.large), allocatedStorage (20 → 40), maxAllocatedStorage (off → 100) wait until the database instance is started",
            ),
        ),
        ("creating", "", None),
        ("deleting", "", None),
    ] {
        let plan = planned(fields.clone(), &in_status(status, instance()));
        assert_eq!((sent(&plan).as_str(), plan.waiting.as_deref()), (expected, waits), "{status}");
    }
    let backed_up = planned(json!({ "multiAZ": true }), &in_status("backing-up", instance())).waiting.unwrap();
    assert_eq!(backed_up, "multiAZ (false → true) waits until the database instance is no longer backing-up");
}

#[test]
fn a_field_that_leaves_the_spec_returns_once_and_what_is_set_back_recovers() {
    let protected = with([(Field::DeletionProtection, Value::Switch(true))]);
    let mut observed = protected.clone();
    let plan = planned_after(json!({}), &observed, &["deletionProtection"], &Settling::new());
    model::apply(&mut observed, &plan.changes[0]).unwrap();
    assert!(planned_after(json!({}), &observed, &["deletionProtection"], &Settling::new()).is_empty());
    // Somebody sets it, and we no longer care.
    assert!(planned(json!({}), &protected).is_empty());
    let large = with([(Field::AllocatedStorage, Value::Number(100))]);
    assert!(planned(json!({ "allocatedStorage": 20 }), &large).refused.is_some());
    assert_eq!(planned(json!({ "allocatedStorage": 100 }), &large), Plan::default());
}
