//! What an AWSAccount says of the instances that are created in a region of it.

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::fields::{self, StorageType};

/// Values for new database instances of one region, where the RDSInstance does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(fields::STORAGE_RULE).message(fields::STORAGE))]
pub struct RDSInstanceDefaults {
    /// The region.
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]{2,4}(-[a-z]+)+-[0-9]+$"))]
    pub region: String,

    /// The DB subnet group, and with it the VPC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::subnet_group")]
    pub db_subnet_group_name: Option<String>,

    /// The VPC security groups.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::security_groups")]
    pub vpc_security_group_ids: Option<Vec<String>>,

    /// The KMS key (id, ARN or alias) that encrypts the storage of encrypted instances.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub kms_key_id: Option<String>,

    /// The instance's class, for example `db.t4g.micro`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::instance_class")]
    pub instance_class: Option<String>,

    /// The storage in GiB: 20 to 65536 with gp2 and gp3, 100 to 65536 with io1 and io2, 5 to 3072 with
    /// standard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 65_536))]
    pub allocated_storage: Option<i32>,

    /// The type of the storage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<StorageType>,

    /// The port: 1150 to 65535.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_150, max = 65_535))]
    pub port: Option<i32>,

    /// Whether there is a standby in another availability zone. Not for an RDSInstance that names its
    /// availabilityZone.
    #[serde(rename = "multiAZ", default, skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,

    /// When automated backups are made every day, in UTC: `hh24:mi-hh24:mi`, at least 30 minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::backup_window")]
    pub preferred_backup_window: Option<String>,

    /// When maintenance may be done every week, in UTC: `ddd:hh24:mi-ddd:hh24:mi`, at least 30 minutes and
    /// less than a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::maintenance_window")]
    pub preferred_maintenance_window: Option<String>,
}
