//! The settings of a DB instance: their names in requests and answers, what they may be, and when a change
//! of them applies.

use std::collections::BTreeMap;

use super::form::{self, Form, value_refused};
use super::windows;
use crate::fake_aws::refusal::Refusal;

/// By the name under which an instance shows them. Lists are kept sorted, with commas.
pub(super) type Settings = BTreeMap<&'static str, String>;

#[derive(Debug)]
pub(super) struct Setting {
    pub(super) name: &'static str,
    /// In a request that creates; empty where none has it.
    create: &'static str,
    /// In a request that modifies; empty where none has it.
    modify: &'static str,
    rule: Rule,
    pub(super) when: When,
}

#[derive(Debug)]
enum Rule {
    Text,
    /// Text that AWS keeps in lower case.
    Folded,
    Identifier,
    Class,
    Flag,
    Number(u64, u64),
    OneOf(&'static [&'static str]),
    /// Members are called so.
    List(&'static str),
    BackupWindow,
    MaintenanceWindow,
}

/// When a modification applies that does not ask for it immediately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    Now,
    Window,
}

/// Which names a request uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    Create,
    Restore,
    Modify,
}

use Rule::{Class, Flag, Folded, List, Number, OneOf, Text};

const TABLE: &[Setting] = &[
    Setting {
        name: IDENTIFIER,
        create: "",
        modify: "NewDBInstanceIdentifier",
        rule: Rule::Identifier,
        when: When::Window,
    },
    window("DBInstanceClass", Class),
    fixed("Engine", Text),
    window("EngineVersion", Text),
    fixed("MasterUsername", Text),
    fixed("DBName", Text),
    window("AllocatedStorage", Number(0, u64::MAX)),
    now("MaxAllocatedStorage", Number(0, u64::MAX)),
    window("StorageType", OneOf(&["gp2", "gp3", "io1", "io2", "standard"])),
    window("Iops", Number(0, u64::MAX)),
    window("StorageThroughput", Number(0, u64::MAX)),
    fixed("StorageEncrypted", Flag),
    fixed("KmsKeyId", Text),
    fixed("AvailabilityZone", Text),
    window("MultiAZ", Flag),
    window("DBSubnetGroupName", Folded),
    now("VpcSecurityGroupIds", List("VpcSecurityGroupId")),
    now("PubliclyAccessible", Flag),
    Setting { name: "Port", create: "Port", modify: "DBPortNumber", rule: Number(1_150, 65_535), when: When::Now },
    now("NetworkType", OneOf(&["IPV4", "DUAL"])),
    now("DBParameterGroupName", Folded),
    window("OptionGroupName", Folded),
    window("BackupRetentionPeriod", Number(0, 35)),
    now("PreferredBackupWindow", Rule::BackupWindow),
    now("PreferredMaintenanceWindow", Rule::MaintenanceWindow),
    now("CopyTagsToSnapshot", Flag),
    now("AutoMinorVersionUpgrade", Flag),
    now("DeletionProtection", Flag),
    window("LicenseModel", Text),
    renamed("IAMDatabaseAuthenticationEnabled", "EnableIAMDatabaseAuthentication", Flag, When::Window),
    now("MonitoringInterval", OneOf(&["0", "1", "5", "10", "15", "30", "60"])),
    now("MonitoringRoleArn", Text),
    renamed("PerformanceInsightsEnabled", "EnablePerformanceInsights", Flag, When::Now),
    now("PerformanceInsightsKMSKeyId", Text),
    now("PerformanceInsightsRetentionPeriod", Number(7, 731)),
    now("DatabaseInsightsMode", OneOf(&["standard", "advanced"])),
    Setting {
        name: LOGS,
        create: "EnableCloudwatchLogsExports",
        // CloudwatchLogsExportConfiguration says what to add and what to remove.
        modify: "",
        rule: List("member"),
        when: When::Now,
    },
    window("CACertificateIdentifier", Text),
    window("DedicatedLogVolume", Flag),
    now(
        "EngineLifecycleSupport",
        OneOf(&["open-source-rds-extended-support", "open-source-rds-extended-support-disabled"]),
    ),
    fixed("CharacterSetName", Text),
    fixed("Timezone", Text),
    fixed("BackupTarget", OneOf(&["region", "outposts"])),
];

pub(super) const IDENTIFIER: &str = "DBInstanceIdentifier";
pub(super) const LOGS: &str = "EnabledCloudwatchLogsExports";

/// What `RestoreDBInstanceFromDBSnapshot` has no parameter for: a later modification sets it, if anything.
const NOT_RESTORED: &[&str] = &[
    "Engine",
    "EngineVersion",
    "MasterUsername",
    "MaxAllocatedStorage",
    "StorageEncrypted",
    "KmsKeyId",
    "PreferredMaintenanceWindow",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod",
    "DatabaseInsightsMode",
    "CharacterSetName",
    "Timezone",
];

const fn fixed(name: &'static str, rule: Rule) -> Setting {
    Setting { name, create: name, modify: "", rule, when: When::Window }
}

const fn now(name: &'static str, rule: Rule) -> Setting {
    Setting { name, create: name, modify: name, rule, when: When::Now }
}

const fn window(name: &'static str, rule: Rule) -> Setting {
    Setting { name, create: name, modify: name, rule, when: When::Window }
}

const fn renamed(name: &'static str, asked: &'static str, rule: Rule, when: When) -> Setting {
    Setting { name, create: asked, modify: asked, rule, when }
}

/// What a request asks for, each value by itself valid.
pub(super) fn parse(form: Form<'_>, request: Request) -> Result<Settings, Refusal> {
    let mut asked = Settings::new();
    for setting in TABLE {
        let parameter = match request {
            Request::Restore if NOT_RESTORED.contains(&setting.name) => "",
            Request::Create | Request::Restore => setting.create,
            Request::Modify => setting.modify,
        };
        if parameter.is_empty() {
            continue;
        }
        if let List(member) = setting.rule {
            if form.has_list(parameter, member) {
                asked.insert(setting.name, list(form.list(parameter, member)));
            }
        } else if let Some(value) = form.text(parameter) {
            asked.insert(setting.name, setting.rule.read(parameter, value)?);
        }
    }
    Ok(asked)
}

/// A setting by any of its names.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    TABLE.iter().find(|setting| [setting.name, setting.create, setting.modify].contains(&name) && !name.is_empty())
}

/// When a modification of this setting applies.
pub(super) fn when(name: &str) -> When {
    find(name).map_or(When::Now, |setting| setting.when)
}

/// A list as it is kept.
pub(super) fn list<'a>(members: impl IntoIterator<Item = &'a str>) -> String {
    let mut members: Vec<_> = members.into_iter().filter(|member| !member.is_empty()).collect();
    members.sort_unstable();
    members.dedup();
    members.join(",")
}

pub(super) fn members(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').filter(|member| !member.is_empty())
}

pub(super) fn number(settings: &Settings, name: &str) -> Option<u64> {
    settings.get(name).and_then(|value| value.parse().ok())
}

pub(super) fn is_on(settings: &Settings, name: &str) -> bool {
    settings.get(name).is_some_and(|value| value == "true")
}

/// Text, empty where there is none.
pub(super) fn text<'a>(settings: &'a Settings, name: &str) -> &'a str {
    settings.get(name).map_or("", String::as_str)
}

impl Setting {
    /// Whether an instance may be without it.
    pub(super) fn is_optional(&self) -> bool {
        ["MaxAllocatedStorage", "MonitoringRoleArn", LOGS].contains(&self.name)
    }

    /// A value as it is kept, whatever the form in which somebody writes it.
    pub(super) fn read(&self, value: &str) -> Result<String, Refusal> {
        self.rule.read(self.name, value)
    }
}

impl Rule {
    fn read(&self, parameter: &str, value: &str) -> Result<String, Refusal> {
        let refused =
            |why: String| value_refused(format!("Invalid value for the parameter {parameter}: {value}. {why}"));
        let blank = || value_refused(format!("The parameter {parameter} must be provided and must not be blank."));
        match self {
            List(_) => Ok(list(members(value))),
            _ if value.is_empty() => Err(blank()),
            Text => Ok(value.to_owned()),
            Folded => Ok(value.to_ascii_lowercase()),
            Rule::Identifier => form::identifier(parameter, value, 63),
            Class => {
                let known = value.strip_prefix("db.").is_some_and(|rest| rest.split('.').count() >= 2);
                if known { Ok(value.to_owned()) } else { Err(refused("Invalid DB Instance class.".to_owned())) }
            }
            Flag => form::flag(parameter, value).map(|flag| flag.to_string()),
            Number(from, to) => {
                let number = value.parse::<u64>().ok().filter(|number| (from..=to).contains(&number));
                let number = number.ok_or_else(|| refused(format!("It must be from {from} to {to}.")))?;
                Ok(number.to_string())
            }
            OneOf(values) if values.contains(&value) => Ok(value.to_owned()),
            OneOf(values) => Err(refused(format!("It must be one of {}.", values.join(", ")))),
            Rule::BackupWindow | Rule::MaintenanceWindow => {
                let backup = matches!(self, Rule::BackupWindow);
                let folded = value.to_ascii_lowercase();
                let read = if backup { windows::backup(&folded) } else { windows::maintenance(&folded) };
                let shape = if backup { "hh24:mi-hh24:mi" } else { "ddd:hh24:mi-ddd:hh24:mi" };
                read.map(|_| folded).ok_or_else(|| refused(format!("It must be {shape}, of at least 30 minutes.")))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn requests_name_settings_differently() -> Result<(), Refusal> {
        let fields = json!({
            "Port": "5433",
            "DBPortNumber": "5434",
            "KmsKeyId": "alias/x",
            "EnableIAMDatabaseAuthentication": "true",
            "VpcSecurityGroupIds.VpcSecurityGroupId.1": "sg-2",
            "VpcSecurityGroupIds.VpcSecurityGroupId.2": "sg-1",
        });
        let names = [("Port", "5433"), ("KmsKeyId", "alias/x")];
        let common = [("IAMDatabaseAuthenticationEnabled", "true"), ("VpcSecurityGroupIds", "sg-1,sg-2")];
        let expected = |own: &[(&'static str, &str)]| -> Settings {
            own.iter().chain(&common).map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        assert_eq!(parse(Form(&fields), Request::Create)?, expected(&names));
        assert_eq!(parse(Form(&fields), Request::Restore)?, expected(&names[..1]));
        assert_eq!(parse(Form(&fields), Request::Modify)?, expected(&[("Port", "5434")]));
        Ok(())
    }

    #[test]
    fn values_are_judged() {
        let cases = [
            ("BackupRetentionPeriod", "35", true),
            ("BackupRetentionPeriod", "36", false),
            ("Port", "1149", false),
            ("MonitoringInterval", "60", true),
            ("MonitoringInterval", "2", false),
            ("StorageType", "gp4", false),
            ("DBInstanceClass", "db.t4g.micro", true),
            ("DBInstanceClass", "t4g.micro", false),
            ("MultiAZ", "yes", false),
            ("PreferredBackupWindow", "04:00-04:30", true),
            ("PreferredBackupWindow", "04:00-04:29", false),
            ("PreferredMaintenanceWindow", "Sun:05:00-Sun:06:00", true),
            ("PreferredMaintenanceWindow", "05:00-06:00", false),
        ];
        for (name, value, expected) in cases {
            let read = find(name).map(|setting| setting.read(value).is_ok());
            assert_eq!(read, Some(expected), "{name} {value}");
        }
    }
}
