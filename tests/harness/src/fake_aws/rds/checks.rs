//! What settings may not be together, and what they may not refer to.

use super::engines::Engine;
use super::form::{combination_refused, value_refused};
use super::settings::{self, LOGS, Settings, is_on, text};
use super::windows;
use crate::fake_aws::refusal::Refusal;

/// Refuses references to what does not exist: all names exist but those that say that they are missing.
pub(super) fn references(asked: &Settings) -> Result<(), Refusal> {
    let missing = |name: &str| asked.get(name).filter(|value| value.starts_with("missing"));
    if let Some(name) = missing("DBSubnetGroupName") {
        return Err(Refusal::new(
            404,
            "DBSubnetGroupNotFoundFault",
            format!("DB subnet group '{name}' does not exist."),
        ));
    }
    if let Some(name) = missing("DBParameterGroupName") {
        return Err(Refusal::new(404, "DBParameterGroupNotFound", format!("DBParameterGroup not found: {name}")));
    }
    if let Some(name) = missing("OptionGroupName") {
        let message = format!("Specified OptionGroupName: {name} not found.");
        return Err(Refusal::new(404, "OptionGroupNotFoundFault", message));
    }
    if let Some(name) = missing("CACertificateIdentifier") {
        return Err(Refusal::new(404, "CertificateNotFound", format!("Certificate not found: {name}")));
    }
    let keys = ["KmsKeyId", "PerformanceInsightsKMSKeyId"].map(|name| asked.get(name));
    if let Some(key) = keys.into_iter().flatten().find(|key| key.contains("missing")) {
        let message =
            format!("The specified KMS key [{key}] does not exist, is not enabled or you do not have access.");
        return Err(Refusal::bad("KMSKeyNotAccessibleFault", message));
    }
    Ok(())
}

/// Refuses settings that exclude each other. `all` are those that there would be, `asked` those of the request.
pub(super) fn whole(engine: &Engine, all: &Settings, asked: &Settings) -> Result<(), Refusal> {
    if asked.contains_key("AvailabilityZone") && is_on(all, "MultiAZ") {
        let message = "Requesting a specific availability zone is not valid for Multi-AZ instances: AvailabilityZone, \
            MultiAZ.";
        return Err(combination_refused(message));
    }
    if asked.contains_key("KmsKeyId") && !is_on(all, "StorageEncrypted") {
        return Err(combination_refused("StorageEncrypted must be turned on where KmsKeyId is given."));
    }
    monitoring(all, asked)?;
    insights(all, asked)?;
    let logs: Vec<_> = settings::members(text(asked, LOGS)).collect();
    engine.check_logs(&logs, text(all, "EngineVersion"))?;
    let windows = windows::backup(text(all, "PreferredBackupWindow"))
        .zip(windows::maintenance(text(all, "PreferredMaintenanceWindow")));
    if windows.is_some_and(|(backup, maintenance)| windows::overlap(backup, maintenance)) {
        let message = "The backup window and maintenance window must not overlap: PreferredBackupWindow, \
            PreferredMaintenanceWindow.";
        return Err(value_refused(message));
    }
    Ok(())
}

/// A backup and a maintenance window that do not overlap those that were asked for.
pub(super) fn free_windows(asked: &Settings) -> (String, String) {
    let backups = ["04:00-04:30", "14:00-14:30", "22:00-22:30"];
    let maintenances = ["sun:05:00-sun:05:30", "sun:15:00-sun:15:30", "sun:23:00-sun:23:30"];
    let backup = asked.get("PreferredBackupWindow").map_or(&backups[..], |_| &[]);
    let maintenance = asked.get("PreferredMaintenanceWindow").map_or(&maintenances[..], |_| &[]);
    let apart = |backup: &str, maintenance: &str| {
        let both = windows::backup(backup).zip(windows::maintenance(maintenance));
        both.is_some_and(|(backup, maintenance)| !windows::overlap(backup, maintenance))
    };
    let given = |name| text(asked, name);
    let chosen_backup = backup.iter().find(|one| apart(one, given("PreferredMaintenanceWindow")));
    let chosen_maintenance = maintenance.iter().find(|one| apart(given("PreferredBackupWindow"), one));
    ((*chosen_backup.unwrap_or(&backups[0])).to_owned(), (*chosen_maintenance.unwrap_or(&maintenances[0])).to_owned())
}

fn monitoring(all: &Settings, asked: &Settings) -> Result<(), Refusal> {
    let on = text(all, "MonitoringInterval") != "0";
    if on && text(all, "MonitoringRoleArn").is_empty() {
        let message = "A MonitoringRoleARN value is required if you specify a MonitoringInterval value other than 0.";
        return Err(combination_refused(message));
    }
    if !on && asked.contains_key("MonitoringRoleArn") {
        let message = "You must specify a MonitoringInterval value other than 0 when you specify a MonitoringRoleARN \
            value.";
        return Err(combination_refused(message));
    }
    Ok(())
}

fn insights(all: &Settings, asked: &Settings) -> Result<(), Refusal> {
    let retention = settings::number(all, "PerformanceInsightsRetentionPeriod");
    if !is_on(all, "PerformanceInsightsEnabled") {
        let given = ["PerformanceInsightsRetentionPeriod", "PerformanceInsightsKMSKeyId"];
        return match given.iter().find(|name| asked.contains_key(**name)) {
            Some(name) => {
                let message = format!("{name} can only be given where EnablePerformanceInsights is turned on.");
                Err(combination_refused(message))
            }
            None => Ok(()),
        };
    }
    if retention.is_some_and(|days| !(days == 7 || days == 731 || (days % 31 == 0 && days <= 23 * 31))) {
        let message = "PerformanceInsightsRetentionPeriod must be 7, a multiple of 31 up to 713, or 731 days.";
        return Err(value_refused(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_aws::rds::engines;

    type Pairs = &'static [(&'static str, &'static str)];

    #[test]
    fn settings_exclude_each_other() -> Result<(), Refusal> {
        let (value, combination) = (Some("InvalidParameterValue"), Some("InvalidParameterCombination"));
        let cases: &[(Pairs, Option<&str>)] = &[
            (&[], None),
            (&[("AvailabilityZone", "eu-west-1a")], None),
            (&[("AvailabilityZone", "eu-west-1a"), ("MultiAZ", "true")], combination),
            (&[("KmsKeyId", "x")], combination),
            (&[("MonitoringInterval", "60")], combination),
            (&[("MonitoringRoleArn", "r")], combination),
            (&[("MonitoringInterval", "60"), ("MonitoringRoleArn", "r")], None),
            (&[("PerformanceInsightsRetentionPeriod", "7")], combination),
            (&[("PerformanceInsightsEnabled", "true"), ("PerformanceInsightsRetentionPeriod", "62")], None),
            (&[("PerformanceInsightsEnabled", "true"), ("PerformanceInsightsRetentionPeriod", "8")], value),
            (&[(LOGS, "postgresql,upgrade")], None),
            (&[(LOGS, "slowquery")], combination),
            (&[("PreferredBackupWindow", "05:00-06:00"), ("PreferredMaintenanceWindow", "sun:05:00-sun:05:30")], value),
        ];
        for (asked, expected) in cases {
            let asked: Settings = asked.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
            let mut all = Settings::from([("MonitoringInterval", "0".to_owned())]);
            all.extend(asked.clone());
            let refused = whole(engines::find("postgres")?, &all, &asked).err().map(|refusal| refusal.code);
            assert_eq!(refused.as_deref(), *expected, "{asked:?}");
        }
        Ok(())
    }

    #[test]
    fn default_windows_keep_off_those_asked_for() {
        let cases = [
            ("PreferredBackupWindow", "05:00-06:00", ("04:00-04:30", "sun:15:00-sun:15:30")),
            ("PreferredMaintenanceWindow", "sun:04:00-sun:08:00", ("14:00-14:30", "sun:05:00-sun:05:30")),
        ];
        for (name, asked, (backup, maintenance)) in cases {
            let free = free_windows(&Settings::from([(name, asked.to_owned())]));
            assert_eq!(free, (backup.to_owned(), maintenance.to_owned()), "{name}");
        }
    }
}
