//! A DB snapshot.

use std::time::Duration;

use super::form::Tags;
use super::instance::Instance;
use super::settings::{self, Settings};

#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) identifier: String,
    /// The instance it was made of.
    pub(super) instance: String,
    /// That instance's, which tells it from another of the same name.
    pub(super) resource_id: String,
    /// Those of the instance that a snapshot keeps.
    pub(super) settings: Settings,
    pub(super) tags: Tags,
    /// Those of the instance.
    pub(super) source_tags: Tags,
    pub(super) password: Option<String>,
    pub(super) instance_created: Option<Duration>,
    pub(super) made: Duration,
    /// It is being created before.
    pub(super) ready: Duration,
}

/// What is in a snapshot besides the data.
pub(super) const KEPT: &[&str] = &[
    "AllocatedStorage",
    "AvailabilityZone",
    "BackupRetentionPeriod",
    "CharacterSetName",
    "DBInstanceClass",
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
    "StorageEncrypted",
    "StorageThroughput",
    "StorageType",
    "Timezone",
];

impl Snapshot {
    pub(super) fn of(
        instance: &Instance,
        identifier: String,
        own_tags: Tags,
        now: Duration,
        ready: Duration,
    ) -> Snapshot {
        let kept = instance.settings.iter().filter(|(name, _)| KEPT.contains(name));
        let copied = settings::is_on(&instance.settings, "CopyTagsToSnapshot");
        let mut tags = if copied { instance.tags.clone() } else { Tags::new() };
        tags.extend(own_tags);
        Snapshot {
            identifier,
            instance: instance.identifier().to_owned(),
            resource_id: instance.resource_id.clone(),
            settings: kept.map(|(name, value)| (*name, value.clone())).collect(),
            tags,
            source_tags: instance.tags.clone(),
            password: instance.password.clone(),
            instance_created: instance.created,
            made: now,
            ready,
        }
    }

    pub(super) fn status(&self, now: Duration) -> &'static str {
        if now < self.ready { "creating" } else { "available" }
    }
}
