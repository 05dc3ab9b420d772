//! What holds of every plan, on a model of RDS.

use proptest::prelude::*;

use super::{model::*, *};
use crate::{
    engine::kind::Kind,
    kinds::rds_instance::{
        RdsInstance,
        fields::{self, number},
        version::{self, Step},
    },
};

/// Any of `values`, or none.
fn maybe(values: Vec<Json>) -> impl Strategy<Value = Json> {
    prop_oneof![2 => Just(Json::Null), 3 => proptest::sample::select(values)]
}

fn numbers(values: &[i32]) -> Vec<Json> {
    values.iter().map(|value| json!(value)).collect()
}

fn words(values: &[&str]) -> Vec<Json> {
    values.iter().map(|value| json!(value)).collect()
}

fn switches() -> Vec<Json> {
    vec![json!(true), json!(false)]
}

/// Objects whose fields go into one.
fn parts() -> Vec<BoxedStrategy<Json>> {
    let field = |name: &'static str, values: Vec<Json>| maybe(values).prop_map(move |it| json!({ name: it })).boxed();
    let storage = maybe(vec![
        json!({ "storageType": "gp2" }),
        json!({ "storageType": "gp3" }),
        json!({ "storageType": "io1", "iops": 2_000 }),
        json!({ "storageType": "io2", "iops": 4_000 }),
        json!({ "storageType": "gp3", "allocatedStorage": 500, "iops": 12_000, "storageThroughput": 600 }),
    ]);
    let monitoring = maybe(vec![
        json!({ "monitoringInterval": 0 }),
        json!({ "monitoringInterval": 60, "monitoringRoleARN": "arn:aws:iam::123456789012:role/a" }),
    ]);
    let insights = maybe(vec![
        json!({ "enabled": false }),
        json!({ "enabled": true, "retentionPeriod": 31 }),
        json!({ "enabled": true, "kmsKeyId": "alias/k" }),
    ]);
    vec![
        field("allocatedStorage", numbers(&[20, 21, 22, 40, 500])),
        field("maxAllocatedStorage", numbers(&[20, 100, 1_000])),
        storage.boxed(),
        monitoring.boxed(),
        insights.prop_map(|it| json!({ "performanceInsights": it })).boxed(),
        field("engineVersion", words(&["15", "16", "16.3", "16.4", "17", "17.1"])),
        field("allowMajorVersionUpgrade", switches()),
        field("instanceClass", words(&["db.t4g.micro", "db.r6g.large"])),
        field("port", numbers(&[5_432, 5_433])),
        field("multiAZ", switches()),
        field("dbSubnetGroupName", words(&["default", "private"])),
        field("vpcSecurityGroupIds", vec![json!(["sg-1"]), json!(["sg-2", "sg-1"])]),
        field("dbParameterGroupName", words(&["default.postgres16", "mine"])),
        field("optionGroupName", words(&["default:postgres-16", "mine"])),
        field("publiclyAccessible", switches()),
        field("backupRetentionPeriod", numbers(&[0, 1, 7])),
        field("preferredBackupWindow", words(&["01:00-01:30", "02:00-02:30"])),
        field("preferredMaintenanceWindow", words(&["sun:03:00-sun:04:00", "mon:03:00-mon:04:00"])),
        field("autoMinorVersionUpgrade", switches()),
        field("copyTagsToSnapshot", switches()),
        field("deletionProtection", switches()),
        field("enableIAMDatabaseAuthentication", switches()),
        field("enableCloudwatchLogsExports", vec![json!([]), json!(["postgresql"]), json!(["upgrade", "postgresql"])]),
        field("caCertificateIdentifier", words(&["rds-ca-rsa2048-g1", "rds-ca-ecc384-g1"])),
        field("networkType", words(&["IPV4", "DUAL"])),
        field("applyImmediately", switches()),
        field("rebootOnParameterChange", switches()),
        maybe(vec![json!({ "credentials": { "managedByAWS": {} } })]).boxed(),
    ]
}

fn specs() -> impl Strategy<Value = Json> {
    parts().prop_map(|parts| {
        let fields = parts.into_iter().filter_map(|part| part.as_object().cloned()).flatten();
        fields.filter(|(_, value)| !value.is_null()).collect::<serde_json::Map<_, _>>().into()
    })
}

/// Values that an instance may have, or that may wait for it.
fn values_of(of: impl Fn(Field) -> bool) -> impl Strategy<Value = Values> {
    let values: Vec<_> = [
        (Field::EngineVersion, vec![text("15.4"), text("16.2"), text("16.4"), text("17.2")]),
        (Field::InstanceClass, vec![text("db.r6g.large"), text("db.t4g.small")]),
        (Field::AllocatedStorage, [40, 100, 500].map(Value::Number).to_vec()),
        (Field::MaxAllocatedStorage, [50, 100, 1_000].map(Value::Number).to_vec()),
        (Field::StorageType, vec![text("gp2"), text("io1")]),
        (Field::Iops, [1_000, 12_000].map(Value::Number).to_vec()),
        (Field::Port, vec![Value::Number(5_433)]),
        (Field::MultiAz, vec![Value::Switch(true)]),
        (Field::SubnetGroup, vec![text("private")]),
        (Field::SecurityGroups, vec![set(&["sg-2"]), set(&["sg-1", "sg-2"])]),
        (Field::OptionGroup, vec![text("mine")]),
        (Field::BackupRetention, [0, 7].map(Value::Number).to_vec()),
        (Field::AutoMinorVersionUpgrade, vec![Value::Switch(false)]),
        (Field::DeletionProtection, vec![Value::Switch(true)]),
        (Field::IamAuthentication, vec![Value::Switch(true)]),
        (Field::LogExports, vec![set(&["upgrade"]), set(&["postgresql"])]),
        (Field::MonitoringInterval, vec![Value::Number(30)]),
        (Field::CaCertificate, vec![text("rds-ca-ecc384-g1")]),
    ]
    .into_iter()
    .filter(|(field, _)| of(*field))
    .flat_map(|(field, values)| values.into_iter().map(move |value| (field, value)))
    .collect();
    let most = values.len().min(8);
    proptest::sample::subsequence(values, 0..=most).prop_map(|values| values.into_iter().collect())
}

fn instances() -> impl Strategy<Value = Observed> {
    let statuses = prop_oneof![6 => Just("available"), 1 => Just("storage-optimization"), 1 => Just("storage-full"), 1 => Just("backing-up"), 1 => Just("stopped")];
    let other = proptest::option::of(Just(("DedicatedLogVolume".to_owned(), "true".to_owned())));
    let pending = prop_oneof![Just(Values::new()), values_of(Field::waits_for_window)];
    (values_of(|_| true), pending, other, any::<bool>(), statuses, any::<bool>()).prop_map(
        |(values, pending, other, parameters_wait, status, managed)| {
            let mut observed = with(values);
            normalise(&mut observed.values);
            // What waits differs from what is, and storage does not shrink.
            observed.pending = pending;
            let (actual, storage) = (observed.values.clone(), number(&observed.values, Field::AllocatedStorage));
            observed.pending.retain(|field, value| match (field, &*value) {
                (Field::AllocatedStorage, Value::Number(value)) => Some(*value) > storage,
                (Field::EngineVersion, Value::Text(to)) => {
                    let from = fields::text(&actual, Field::EngineVersion).unwrap();
                    matches!(version::step("postgres", from, to), Step::Minor | Step::Major)
                }
                _ => actual.get(field) != Some(value),
            });
            observed.other_pending = other.into_iter().collect();
            observed.parameters_wait = parameters_wait;
            observed.status = status.into();
            observed.secret = managed.then(Default::default);
            observed
        },
    )
}

fn managed_fields() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<_> = RdsInstance::FIELDS.iter().copied().chain(["aFieldOfTheFuture"]).map(str::to_owned).collect();
    proptest::sample::subsequence(all, 0..10)
}

fn plan_of(desired: &Desired, observed: &Observed, managed: &[String]) -> Plan<Change> {
    let password = password();
    let past = Past { managed, settling: &Settling::new(), password: observed.secret.is_some().then_some(&password) };
    plan(desired, observed, &past)
}

/// Plans, applies and lets time pass until nothing is planned; how many rounds that took.
fn settle(desired: &Desired, observed: &mut Observed, managed: &[String]) -> Result<u32, String> {
    for round in 0..6 {
        let plan = plan_of(desired, observed, managed);
        for change in &plan.changes {
            apply(observed, change).map_err(|refusal| format!("{refusal}: {change:?}"))?;
        }
        if plan.changes.is_empty() && plan.pending.is_empty() && plan.waiting.is_none() {
            return Ok(round);
        }
        if plan.changes.is_empty() {
            window(observed);
            observed.status = "available".into();
            // Somebody reboots by hand.
            observed.parameters_wait &= desired.reboot;
        }
    }
    Err(format!("it does not settle: {:?}", plan_of(desired, observed, managed)))
}

proptest! {
    #[test]
    fn a_plan_leads_to_an_instance_that_needs_none(
        json in specs(), mut observed in instances(), managed in managed_fields()
    ) {
        let desired = desired_of(json);
        if plan_of(&desired, &observed, &managed).refused.is_none() {
            let first = plan_of(&desired, &observed, &managed);
            for change in &first.changes {
                prop_assert_eq!(apply(&mut observed, change), Ok(()), "{:?}", change);
            }
            // At once nothing is left to send but a reboot, and a parameter group that waited for another version,
            // whatever still waits for the window.
            let second = plan_of(&desired, &observed, &managed);
            let may_follow = |change: &Change| match change {
                Change::Reboot => true,
                Change::Modify(modify) => modify.set.keys().all(|field| *field == Field::ParameterGroup),
            };
            prop_assert!(second.changes.iter().all(may_follow), "{first:?}\n{second:?}");
            let settled = settle(&desired, &mut observed, &managed);
            let refused = plan_of(&desired, &observed, &managed).refused;
            prop_assert!(settled.is_ok() || refused.is_some(), "{settled:?} {refused:?}");
        }
    }

    #[test]
    fn a_plan_sends_what_differs_and_no_more(
        json in specs(), observed in instances(), managed in managed_fields()
    ) {
        let desired = desired_of(json);
        let plan = plan_of(&desired, &observed, &managed);
        prop_assert!(plan.refused.is_none() || plan.changes.is_empty());
        prop_assert!(plan.changes.len() <= 1);
        let Some(Change::Modify(modify)) = plan.changes.first() else { return Ok(()) };
        for (field, value) in &modify.set {
            let differs = plan.differences.iter().any(|it| it.field == field.name());
            let as_is = observed.in_effect(*field) == Some(value);
            // AWS gives these IOPS itself to storage that grows so far.
            let striped = *field == Field::Iops && *value == Value::Number(12_000);
            prop_assert!(differs || as_is || striped, "{field:?} {value} {plan:?}");
            prop_assert!(!field.is_create_only());
            let ours = desired.fields.contains_key(field) || managed.iter().any(|name| name == field.name());
            prop_assert!(ours || as_is || striped, "{field:?} is not ours: {plan:?}");
        }
    }

    #[test]
    fn storage_never_shrinks_and_no_version_goes_back(
        json in specs(), observed in instances(), managed in managed_fields()
    ) {
        let desired = desired_of(json);
        let plan = plan_of(&desired, &observed, &managed);
        let Some(Change::Modify(modify)) = plan.changes.first() else { return Ok(()) };
        if let Some(storage) = number(&modify.set, Field::AllocatedStorage) {
            prop_assert!(Some(storage) >= number(&observed.values, Field::AllocatedStorage));
        }
        if let Some(to) = fields::text(&modify.set, Field::EngineVersion) {
            let from = fields::text(&observed.values, Field::EngineVersion).unwrap();
            let step = version::step("postgres", from, to);
            prop_assert!(step != Step::Back && (step != Step::None || from == to), "{from} → {to}");
            prop_assert!(step != Step::Major || desired.allow_major_upgrade);
        }
    }

    #[test]
    fn what_is_made_at_once_unasked_is_told(
        json in specs(), mut observed in instances(), managed in managed_fields()
    ) {
        let desired = desired_of(json);
        let before = observed.clone();
        let plan = plan_of(&desired, &observed, &managed);
        let Some(change @ Change::Modify(modify)) = plan.changes.first() else { return Ok(()) };
        prop_assert_eq!(apply(&mut observed, change), Ok(()));
        let flushed = before.pending.iter().filter(|(field, _)| !modify.set.contains_key(field));
        let flushed: Vec<_> = flushed.filter(|_| observed.pending.is_empty() && modify.apply_immediately).collect();
        let others = modify.apply_immediately && !before.other_pending.is_empty();
        let notice = plan.notice.clone().unwrap_or_default();
        prop_assert_eq!(plan.notice.is_some(), !flushed.is_empty() || others, "{:?}", plan);
        for (field, value) in flushed {
            prop_assert!(notice.contains(&format!("{} {value}", field.name())), "{notice}");
        }
    }

    #[test]
    fn nothing_is_sent_to_an_instance_that_takes_nothing(
        json in specs(), observed in instances(), status in "creating|deleting|stopped|backing-up|modifying|failed|new"
    ) {
        let observed = in_status(&status, observed);
        let plan = plan_of(&desired_of(json), &observed, &[]);
        prop_assert!(plan.changes.is_empty() && plan.differences.is_empty());
    }
}
