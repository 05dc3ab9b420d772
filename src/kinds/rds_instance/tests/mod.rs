//! The tests of decisions: as data, and as properties on a model of RDS.
//!
//! - here: helpers
//! - [`plans`]: what a plan does, case by case; [`reboots`]: about reboots and passwords
//! - [`model`]: RDS, as far as plans depend on it; [`properties`]: what holds of every plan
//! - [`creations`]: names, passwords, what the creating call takes
//! - [`calls`]: what the SDK is given and answers, classes of errors
//! - [`ends`]: how instances go, and what is published

use serde_json::{Value as Json, json};

use super::{
    api::RDSInstanceSpec,
    desired::{Desired, desired},
    fields::{Field, Value, Values},
    observed::{Change, Modify, Observed},
    plan::plan,
};
use crate::engine::{
    kind::{NotYet, Past, Plan},
    memory::{Settling, Written},
    password::Password,
};

mod calls;
mod creations;
mod ends;
mod model;
mod plans;
mod properties;
mod reboots;

fn spec(json: Json) -> RDSInstanceSpec {
    serde_json::from_value(json).unwrap()
}

/// A spec of PostgreSQL, with `fields`.
fn postgres(fields: Json) -> Json {
    let mut spec = json!({ "engine": "postgres" });
    spec.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    spec
}

fn desired_of(fields: Json) -> Desired {
    desired(&spec(postgres(fields))).unwrap()
}

fn text(text: &str) -> Value {
    Value::Text(text.into())
}

fn set(names: &[&str]) -> Value {
    Value::Set(names.iter().map(|name| (*name).to_owned()).collect())
}

/// An instance as AWS makes one of a small spec.
fn instance() -> Observed {
    let values = [
        (Field::Engine, text("postgres")),
        (Field::EngineVersion, text("16.3")),
        (Field::InstanceClass, text("db.t4g.micro")),
        (Field::AllocatedStorage, Value::Number(20)),
        (Field::StorageType, text("gp3")),
        (Field::Iops, Value::Number(3_000)),
        (Field::StorageThroughput, Value::Number(125)),
        (Field::MasterUsername, text("fairlead")),
        (Field::Port, Value::Number(5_432)),
        (Field::MultiAz, Value::Switch(false)),
        (Field::AvailabilityZone, text("eu-west-1a")),
        (Field::SubnetGroup, text("default")),
        (Field::SecurityGroups, set(&["sg-1"])),
        (Field::ParameterGroup, text("default.postgres16")),
        (Field::OptionGroup, text("default:postgres-16")),
        (Field::PubliclyAccessible, Value::Switch(false)),
        (Field::StorageEncrypted, Value::Switch(true)),
        (Field::KmsKey, text("arn:aws:kms:eu-west-1:123456789012:key/1234")),
        (Field::BackupRetention, Value::Number(1)),
        (Field::BackupWindow, text("01:00-01:30")),
        (Field::MaintenanceWindow, text("sun:03:00-sun:04:00")),
        (Field::AutoMinorVersionUpgrade, Value::Switch(true)),
        (Field::CopyTagsToSnapshot, Value::Switch(false)),
        (Field::DeletionProtection, Value::Switch(false)),
        (Field::IamAuthentication, Value::Switch(false)),
        (Field::LogExports, set(&[])),
        (Field::MonitoringInterval, Value::Number(0)),
        (Field::PerformanceInsights, Value::Switch(false)),
        (Field::CaCertificate, text("rds-ca-rsa2048-g1")),
        (Field::LicenseModel, text("postgresql-license")),
        (Field::NetworkType, text("IPV4")),
    ];
    Observed {
        identifier: "orders".into(),
        status: "available".into(),
        values: values.into(),
        host: Some("orders.abc.eu-west-1.rds.amazonaws.com".into()),
        resource_id: Some("db-ABC".into()),
        ..Observed::default()
    }
}

/// An instance with other values.
fn with(values: impl IntoIterator<Item = (Field, Value)>) -> Observed {
    let mut observed = instance();
    observed.values.extend(values);
    observed
}

/// An instance for which these values wait.
fn waiting(pending: impl Into<Values>) -> Observed {
    Observed { pending: pending.into(), ..instance() }
}

fn in_status(status: &str, observed: Observed) -> Observed {
    Observed { status: status.into(), ..observed }
}

/// The plan for an instance whose fields we have not set before.
fn planned(fields: Json, observed: &Observed) -> Plan<Change> {
    planned_after(fields, observed, &[], &Settling::new())
}

fn planned_after(fields: Json, observed: &Observed, managed: &[&str], settling: &Settling) -> Plan<Change> {
    let managed: Vec<String> = managed.iter().map(|field| (*field).to_owned()).collect();
    plan(&desired_of(fields), observed, &Past { managed: &managed, settling, password: None })
}

/// The one modification of a plan.
fn modification(plan: &Plan<Change>) -> &Modify {
    match plan.changes.as_slice() {
        [Change::Modify(modify)] => modify,
        other => panic!("no single modification: {other:?} of {plan:?}"),
    }
}

/// `field: actual → desired` of each difference.
fn differences(plan: &Plan<Change>) -> Vec<String> {
    plan.differences.iter().map(|it| format!("{}: {} → {}", it.field, it.actual, it.desired)).collect()
}

/// What was just written to a field.
fn wrote(field: &str, old: &str, value: &str) -> Settling {
    let written = Written { value: value.into(), old: [old.to_owned()].into() };
    [(field.to_owned(), written)].into()
}

fn password() -> Password {
    Password::from("correct-horse".to_owned())
}

fn message<T: std::fmt::Debug>(outcome: Result<T, NotYet>) -> String {
    match outcome {
        Err(NotYet::Invalid(message) | NotYet::Waiting(message)) => message,
        other => panic!("{other:?}"),
    }
}
