//! DB instances and DB snapshots as answers show them.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::form::Tags;
use super::instance::Instance;
use super::names::Names;
use super::settings::{self, LOGS, text};
use super::snapshot::Snapshot;
use crate::aws_http::answer::escape;

/// XML as it is written.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

/// The time, and how a time of the fake's clock is told.
#[derive(Clone, Copy)]
pub(super) struct Times<'a> {
    pub(super) now: Duration,
    pub(super) unix: &'a dyn Fn(Duration) -> Duration,
}

/// Settings that are shown under their own names, if there are any.
const PLAIN: &[&str] = &[
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "AvailabilityZone",
    "BackupRetentionPeriod",
    "BackupTarget",
    "CACertificateIdentifier",
    "CharacterSetName",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBName",
    "DatabaseInsightsMode",
    "DedicatedLogVolume",
    "DeletionProtection",
    "Engine",
    "EngineLifecycleSupport",
    "EngineVersion",
    "IAMDatabaseAuthenticationEnabled",
    "Iops",
    "KmsKeyId",
    "LicenseModel",
    "MasterUsername",
    "MaxAllocatedStorage",
    "MonitoringInterval",
    "MonitoringRoleArn",
    "MultiAZ",
    "NetworkType",
    "PerformanceInsightsEnabled",
    "PerformanceInsightsKMSKeyId",
    "PerformanceInsightsRetentionPeriod",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PubliclyAccessible",
    "StorageEncrypted",
    "StorageThroughput",
    "StorageType",
    "Timezone",
];

/// What can be shown as pending; anything else waits unseen.
pub(super) const PENDING: &[&str] = &[
    "AllocatedStorage",
    "BackupRetentionPeriod",
    "CACertificateIdentifier",
    "DBInstanceClass",
    "DBInstanceIdentifier",
    "DBSubnetGroupName",
    "DedicatedLogVolume",
    "EngineVersion",
    "IAMDatabaseAuthenticationEnabled",
    "Iops",
    "LicenseModel",
    "MultiAZ",
    "StorageThroughput",
    "StorageType",
];

impl Xml {
    pub(super) fn leaf(&mut self, name: &str, text: &str) {
        self.within(name, |xml| xml.0.push_str(&escape(text)));
    }

    pub(super) fn within(&mut self, name: &str, write: impl FnOnce(&mut Xml)) {
        self.0.extend(["<", name, ">"]);
        write(self);
        self.0.extend(["</", name, ">"]);
    }
}

impl Times<'_> {
    fn text(self, time: Duration) -> String {
        let millis = i64::try_from((self.unix)(time).as_millis()).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX).to_string()
    }
}

/// The query protocol's wrapping.
pub(super) fn answer(operation: &str, result: Xml) -> String {
    let result = result.0;
    format!(
        "<{operation}Response xmlns=\"http://rds.amazonaws.com/doc/2014-10-31/\">\
         <{operation}Result>{result}</{operation}Result></{operation}Response>"
    )
}

pub(super) fn show_tags(xml: &mut Xml, tags: &Tags) {
    xml.within("TagList", |xml| {
        for (key, value) in tags {
            xml.within("Tag", |xml| {
                xml.leaf("Key", key);
                xml.leaf("Value", value);
            });
        }
    });
}

pub(super) fn show_instance(xml: &mut Xml, instance: &Instance, names: &Names<'_>, times: Times<'_>) {
    xml.within("DBInstance", |xml| {
        let all = &instance.settings;
        for name in PLAIN {
            if let Some(value) = all.get(name) {
                xml.leaf(name, value);
            }
        }
        xml.leaf("DBInstanceStatus", instance.status());
        xml.leaf("DbiResourceId", &instance.resource_id);
        xml.leaf("DBInstanceArn", &names.instance(instance.identifier()));
        xml.leaf("DbInstancePort", "0");
        xml.leaf("CustomerOwnedIpEnabled", "false");
        if let Some(created) = instance.created {
            xml.leaf("InstanceCreateTime", &times.text(created));
            xml.within("Endpoint", |xml| {
                xml.leaf("Address", &instance.host);
                xml.leaf("Port", text(all, "Port"));
                xml.leaf("HostedZoneId", "Z29XKXDKYMONMX");
            });
        }
        if settings::is_on(all, "MultiAZ") {
            xml.leaf("SecondaryAvailabilityZone", &format!("{}b", names.region));
        }
        show_groups(xml, instance, names);
        show_pending(xml, instance);
        show_secret(xml, instance, times);
        if let Some(logs) = all.get(LOGS).filter(|logs| !logs.is_empty()) {
            xml.within(LOGS, |xml| settings::members(logs).for_each(|log| xml.leaf("member", log)));
        }
        show_tags(xml, &instance.tags);
    });
}

fn show_groups(xml: &mut Xml, instance: &Instance, names: &Names<'_>) {
    let all = &instance.settings;
    xml.within("VpcSecurityGroups", |xml| {
        for group in settings::members(text(all, "VpcSecurityGroupIds")) {
            xml.within("VpcSecurityGroupMembership", |xml| {
                xml.leaf("VpcSecurityGroupId", group);
                xml.leaf("Status", "active");
            });
        }
    });
    xml.within("DBParameterGroups", |xml| {
        xml.within("DBParameterGroup", |xml| {
            xml.leaf("DBParameterGroupName", text(all, "DBParameterGroupName"));
            xml.leaf("ParameterApplyStatus", if instance.parameters_in_sync { "in-sync" } else { "pending-reboot" });
        });
    });
    xml.within("OptionGroupMemberships", |xml| {
        let pending = instance.pending.get("OptionGroupName").map(|name| (&**name, "pending-maintenance-apply"));
        for (name, status) in [(text(all, "OptionGroupName"), "in-sync")].into_iter().chain(pending) {
            xml.within("OptionGroupMembership", |xml| {
                xml.leaf("OptionGroupName", name);
                xml.leaf("Status", status);
            });
        }
    });
    xml.within("DBSubnetGroup", |xml| {
        let name = text(all, "DBSubnetGroupName");
        xml.leaf("DBSubnetGroupName", name);
        xml.leaf("DBSubnetGroupDescription", name);
        xml.leaf("DBSubnetGroupArn", &names.subnet_group(name));
        xml.leaf("VpcId", "vpc-fake");
        xml.leaf("SubnetGroupStatus", "Complete");
        xml.within("Subnets", |xml| {
            for zone in ["a", "b", "c"] {
                xml.within("Subnet", |xml| {
                    xml.leaf("SubnetIdentifier", &format!("subnet-{zone}"));
                    xml.within("SubnetAvailabilityZone", |xml| xml.leaf("Name", &format!("{}{zone}", names.region)));
                    xml.leaf("SubnetStatus", "Active");
                });
            }
        });
    });
}

fn show_pending(xml: &mut Xml, instance: &Instance) {
    xml.within("PendingModifiedValues", |xml| {
        for name in PENDING {
            if let Some(value) = instance.pending.get(name) {
                xml.leaf(name, value);
            }
        }
        if instance.password_pending {
            xml.leaf("MasterUserPassword", "****");
        }
    });
}

fn show_secret(xml: &mut Xml, instance: &Instance, times: Times<'_>) {
    if let Some(secret) = &instance.secret {
        xml.within("MasterUserSecret", |xml| {
            xml.leaf("SecretArn", &secret.arn);
            xml.leaf("SecretStatus", secret.status(times.now));
            xml.leaf("KmsKeyId", &secret.kms_key);
        });
    }
}

pub(super) fn show_snapshot(xml: &mut Xml, snapshot: &Snapshot, names: &Names<'_>, times: Times<'_>) {
    let all = &snapshot.settings;
    let shown = [
        "AllocatedStorage",
        "AvailabilityZone",
        "BackupRetentionPeriod",
        "DedicatedLogVolume",
        "Engine",
        "EngineVersion",
        "IAMDatabaseAuthenticationEnabled",
        "Iops",
        "KmsKeyId",
        "LicenseModel",
        "MasterUsername",
        "OptionGroupName",
        "Port",
        "PreferredBackupWindow",
        "StorageThroughput",
        "StorageType",
        "Timezone",
    ];
    xml.within("DBSnapshot", |xml| {
        for name in shown {
            if let Some(value) = all.get(name) {
                xml.leaf(name, value);
            }
        }
        let status = snapshot.status(times.now);
        xml.leaf("DBSnapshotIdentifier", &snapshot.identifier);
        xml.leaf("DBSnapshotArn", &names.snapshot(&snapshot.identifier));
        xml.leaf("DBInstanceIdentifier", &snapshot.instance);
        xml.leaf("DbiResourceId", &snapshot.resource_id);
        xml.leaf("Encrypted", if text(all, "StorageEncrypted") == "true" { "true" } else { "false" });
        xml.leaf("SnapshotType", "manual");
        xml.leaf("SnapshotTarget", "region");
        xml.leaf("VpcId", "vpc-fake");
        xml.leaf("Status", status);
        xml.leaf("PercentProgress", if status == "available" { "100" } else { "0" });
        if let Some(created) = snapshot.instance_created {
            xml.leaf("InstanceCreateTime", &times.text(created));
        }
        if status == "available" {
            xml.leaf("SnapshotCreateTime", &times.text(snapshot.made));
        }
        show_tags(xml, &snapshot.tags);
    });
}
