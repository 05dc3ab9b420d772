//! When a change takes effect, and what it interrupts, for people who look ahead. As in the user guide's "Settings for
//! DB instances". Pure.

use super::{
    desired::Desired,
    fields::{Field, Value, text},
    observed::Observed,
    plan::REBOOT,
};

/// What is told of a change of `field`, where it is not at once and unnoticed.
pub fn effect(desired: &Desired, observed: &Observed, field: &str) -> Option<String> {
    if field == REBOOT {
        return Some("the database is rebooted: it is away for a short while".into());
    }
    let field = Field::all().find(|known| known.name() == field)?;
    let when = match (field.waits_for_window(), desired.apply_immediately) {
        (true, false) => {
            let window = text(&observed.values, Field::MaintenanceWindow);
            let window = window.map(|window| format!(" ({window} UTC)")).unwrap_or_default();
            Some(format!("in the next maintenance window{window}, or at once with spec.applyImmediately"))
        }
        (true, true) => Some("at once, outside of the maintenance window".to_owned()),
        (false, _) => None,
    };
    let all: Vec<_> = when.into_iter().chain(interruption(desired, observed, field).map(str::to_owned)).collect();
    (!all.is_empty()).then(|| all.join("; "))
}

/// What a change interrupts.
fn interruption(desired: &Desired, observed: &Observed, field: Field) -> Option<&'static str> {
    let zero = |value: Option<&Value>| value == Some(&Value::Number(0));
    match field {
        Field::InstanceClass | Field::EngineVersion | Field::SubnetGroup => {
            Some("the database is away while AWS makes it")
        }
        Field::Port => Some("the database restarts at once"),
        Field::BackupRetention if zero(desired.fields.get(&field)) || zero(observed.values.get(&field)) => {
            Some("switching backups on or off interrupts the database for a short while")
        }
        Field::ParameterGroup => Some("some parameters take effect after a reboot only"),
        Field::CaCertificate => Some("the database may restart"),
        Field::StorageType => Some("the database may be slow, or away, while AWS converts the storage"),
        Field::AllocatedStorage | Field::Iops | Field::StorageThroughput => {
            Some("no interruption, but no other change of storage for 6 hours after it")
        }
        Field::MultiAz => Some("no interruption, but the database may be slow for a while"),
        Field::NetworkType => Some("the database may be away for a short while"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::rds_instance::desired::Credentials;

    #[test]
    fn effects() {
        let observed = |window: Option<&str>, retention| Observed {
            values: [
                window.map(|it| (Field::MaintenanceWindow, Value::Text(it.into()))),
                Some((Field::BackupRetention, Value::Number(retention))),
            ]
            .into_iter()
            .flatten()
            .collect(),
            ..Observed::default()
        };
        let sunday = Some("sun:03:00-sun:03:30");
        for (field, immediately, window, retention, words) in [
            ("instanceClass", false, sunday, 1, "in the next maintenance window (sun:03:00-sun:03:30 UTC), or at once"),
            ("instanceClass", false, None, 1, "in the next maintenance window, or at once with spec.applyImmediately"),
            ("instanceClass", true, sunday, 1, "at once, outside of the maintenance window; the database is away"),
            ("engineVersion", true, sunday, 1, "the database is away while AWS makes it"),
            ("port", false, sunday, 1, "the database restarts at once"),
            ("backupRetentionPeriod", true, sunday, 0, "switching backups on or off"),
            ("backupRetentionPeriod", true, sunday, 1, "at once, outside of the maintenance window"),
            ("allocatedStorage", true, sunday, 1, "no other change of storage for 6 hours"),
            ("dbParameterGroupName", false, sunday, 1, "after a reboot only"),
            (REBOOT, false, sunday, 1, "the database is rebooted"),
            ("deletionProtection", false, sunday, 1, ""),
            ("preferredBackupWindow", false, sunday, 1, ""),
            ("credentials", false, sunday, 1, ""),
            ("tags.team", false, sunday, 1, ""),
        ] {
            let desired = Desired {
                fields: [(Field::BackupRetention, Value::Number(7))].into(),
                credentials: Credentials::Secret,
                allow_major_upgrade: false,
                apply_immediately: immediately,
                reboot: false,
                snapshot: None,
            };
            let told = effect(&desired, &observed(window, retention), field).unwrap_or_default();
            assert!(told.contains(words) && told.is_empty() == words.is_empty(), "{field} {immediately}: {told}");
        }
    }
}
