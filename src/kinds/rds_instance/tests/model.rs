//! RDS, as far as plans depend on it: what it does with a modification, and in a maintenance window.

use super::*;
use crate::kinds::rds_instance::{
    fields::{self, number, switch},
    observed::{LogChange, MasterSecret, NewMaster},
    storage::{Growth, growth},
    version::{self, Step},
};

/// Makes `change`, as far as RDS makes it at once.
///
/// # Errors
/// What RDS would refuse.
pub fn apply(instance: &mut Observed, change: &Change) -> Result<(), String> {
    let Change::Modify(modify) = change else {
        instance.parameters_wait = false;
        return Ok(());
    };
    let Modify { set, logs, master, allow_major_upgrade, apply_immediately } = modify;
    if set.is_empty() && logs.is_none() && master.is_none() {
        return Err("nothing to modify".into());
    }
    for (field, value) in set {
        let value = accepted(instance, *field, value, *allow_major_upgrade)?;
        let actual = instance.values.get(field);
        let waits = field.waits_for_window() && !is_at_once(*field, actual, &value);
        // A new value replaces one that waits.
        instance.pending.remove(field);
        match actual == Some(&value) {
            true => {}
            false if waits => drop(instance.pending.insert(*field, value)),
            false => make(instance, *field, value),
        }
    }
    if let Some(LogChange { enable, disable }) = logs {
        let exports = &(&fields::set(&instance.values, Field::LogExports) | enable) - disable;
        instance.values.insert(Field::LogExports, Value::Set(exports));
    }
    match master {
        Some(NewMaster::Managed(key)) => {
            instance.secret = Some(MasterSecret { arn: "arn:secret".into(), key: key.clone() });
        }
        Some(NewMaster::NoLongerManaged(_)) if instance.secret.is_none() => return Err("not managed".into()),
        Some(NewMaster::NoLongerManaged(_)) => instance.secret = None,
        Some(NewMaster::Password(_)) if instance.secret.is_some() => return Err("managed".into()),
        Some(NewMaster::Password(_)) | None => {}
    }
    if *apply_immediately {
        window(instance);
    }
    Ok(())
}

/// Makes all that waits.
pub fn window(instance: &mut Observed) {
    for (field, value) in std::mem::take(&mut instance.pending) {
        make(instance, field, value);
    }
    instance.other_pending.clear();
}

/// The value as RDS takes it.
fn accepted(instance: &Observed, field: Field, value: &Value, major: bool) -> Result<Value, String> {
    if field.is_create_only() {
        return Err(format!("{field:?} can't be changed"));
    }
    let actual = instance.values.get(&field);
    match (field, actual, value) {
        (Field::AllocatedStorage, Some(Value::Number(from)), Value::Number(to)) => match growth(*from, *to) {
            Growth::Shrinks => Err(format!("storage can't shrink from {from} to {to}")),
            Growth::TooLittle(least) => Ok(Value::Number(least)),
            _ => Ok(value.clone()),
        },
        (Field::EngineVersion, Some(Value::Text(from)), Value::Text(to)) => match version::step("postgres", from, to) {
            Step::Back => Err(format!("no way back from {from} to {to}")),
            Step::Major if !major => Err(format!("{to} is another major version than {from}")),
            // A major version alone means its default minor one.
            _ if to != from && !to.contains('.') => Ok(text(&format!("{to}.2"))),
            Step::None if to != from => Err(format!("no way back from {from} to {to}")),
            _ => Ok(value.clone()),
        },
        _ => Ok(value.clone()),
    }
}

fn is_at_once(field: Field, actual: Option<&Value>, value: &Value) -> bool {
    let backups = |value: &Value| *value != Value::Number(0);
    field == Field::BackupRetention && actual.is_some_and(backups) && backups(value)
}

fn make(instance: &mut Observed, field: Field, value: Value) {
    if field == Field::ParameterGroup {
        instance.parameters_wait = true;
    }
    instance.values.insert(field, value);
    normalise(&mut instance.values);
}

/// Leaves away what AWS tells only of some instances.
pub fn normalise(values: &mut Values) {
    if number(values, Field::MaxAllocatedStorage) <= number(values, Field::AllocatedStorage) {
        values.remove(&Field::MaxAllocatedStorage);
    }
    if number(values, Field::MonitoringInterval) == Some(0) {
        values.remove(&Field::MonitoringRole);
    }
    match switch(values, Field::PerformanceInsights) {
        Some(true) => drop(values.entry(Field::PerformanceInsightsRetention).or_insert(Value::Number(7))),
        _ => {
            values.remove(&Field::PerformanceInsightsKey);
            values.remove(&Field::PerformanceInsightsRetention);
        }
    }
    if matches!(fields::text(values, Field::StorageType), Some("gp2" | "standard")) {
        values.remove(&Field::Iops);
        values.remove(&Field::StorageThroughput);
    }
}
