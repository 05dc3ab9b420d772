//! The API of an `RDSInstance`: what a user writes and what Fairlead reports.
//!
//! Names are those of AWS's own parameters in camelCase; ranges are those of the RDS API reference
//! (`CreateDBInstance`). A field that is not set is not managed.
//!
//! - [`defaults`]: what an AWSAccount says of new instances
//! - [`fields`]: the spec's own types and the forms of its texts, which other APIs share
//! - [`status`]: what Fairlead reports

use kube::{CustomResource, KubeSchema};
use serde::{Deserialize, Serialize};

use crate::crd::spec::CommonSpec;

pub mod defaults;
pub mod fields;
pub mod status;

pub use defaults::RDSInstanceDefaults;
pub use fields::{
    Credentials, Generate, LicenseModel, ManagedByAWS, NetworkType, PerformanceInsights, SecretReference, StorageType,
};
pub use status::{PendingChange, RDSInstanceStatus};

/// The database instance that is asked for. A field that is not set is not managed: RDS's default
/// applies, or what others have set. A field that is removed goes back to RDS's default. For a field
/// that is not set, a new instance takes what the AWSAccount's `rdsInstanceDefaults` say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "aws.fairlead.dev",
    version = "v1alpha1",
    kind = "RDSInstance",
    plural = "rdsinstances",
    shortname = "rds",
    shortname = "postgresdb",
    category = "fairlead",
    namespaced,
    status = "RDSInstanceStatus",
    doc = "An Amazon RDS database instance.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.ready"),
    printcolumn(name = "Class", type_ = "string", json_path = ".status.instanceClass"),
    printcolumn(name = "Storage", type_ = "integer", json_path = ".status.allocatedStorage"),
    printcolumn(name = "Endpoint", type_ = "string", json_path = ".status.endpoint"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Synced", type_ = "string", json_path = r#".status.conditions[?(@.type=="Synced")].status"#, priority = 1),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.identity.region", priority = 1),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.identity.accountID", priority = 1),
    printcolumn(name = "Engine", type_ = "string", json_path = ".spec.engine", priority = 1),
    printcolumn(name = "Version", type_ = "string", json_path = ".status.engineVersion", priority = 1),
    validation = Rule::new("has(self.spec.name) || (size(self.metadata.name) <= 63 && self.metadata.name.matches('^[a-z](-?[a-z0-9])*$'))")
        .message("spec.name is needed: metadata.name is none for RDS (1 to 63 of lower-case letters, digits and -, a letter first, no - at the end and no two in a row)"),
    validation = Rule::new("!has(self.status) || !has(self.status.identity) || self.spec.engine == oldSelf.spec.engine || (has(self.status.engine) && self.spec.engine == self.status.engine)")
        .message("spec.engine can't be changed: RDS fixes it when the instance is created; set it back, or create another RDSInstance"),
    validation = Rule::new("!has(self.status) || !has(self.status.identity) || !has(self.spec.dbName) || !has(oldSelf.spec.dbName) || self.spec.dbName == oldSelf.spec.dbName || (has(self.status.dbName) && self.spec.dbName == self.status.dbName)")
        .message("spec.dbName can't be changed: RDS fixes it when the instance is created; set it back, or create another RDSInstance"),
    validation = Rule::new("!has(self.status) || !has(self.status.identity) || !has(self.spec.masterUsername) || !has(oldSelf.spec.masterUsername) || self.spec.masterUsername == oldSelf.spec.masterUsername || (has(self.status.masterUsername) && self.spec.masterUsername == self.status.masterUsername)")
        .message("spec.masterUsername can't be changed: RDS fixes it when the instance is created; set it back, or create another RDSInstance"),
    validation = Rule::new("!has(self.status) || !has(self.status.identity) || !has(self.spec.availabilityZone) || !has(oldSelf.spec.availabilityZone) || self.spec.availabilityZone == oldSelf.spec.availabilityZone || (has(self.status.availabilityZone) && self.spec.availabilityZone == self.status.availabilityZone)")
        .message("spec.availabilityZone can't be changed: RDS fixes it when the instance is created; set it back, or create another RDSInstance"),
    validation = Rule::new("!has(self.status) || !has(self.status.identity) || !has(self.spec.kmsKeyId) || !has(oldSelf.spec.kmsKeyId) || self.spec.kmsKeyId == oldSelf.spec.kmsKeyId || (has(self.status.kmsKeyId) && self.spec.kmsKeyId == self.status.kmsKeyId)")
        .message("spec.kmsKeyId can't be changed: RDS fixes it when the instance is created; set it back, or create another RDSInstance from a snapshot that is encrypted with the new key"),
    validation = Rule::new("!has(self.status) || !has(self.status.identity) || !has(self.spec.storageEncrypted) || (has(oldSelf.spec.storageEncrypted) && self.spec.storageEncrypted == oldSelf.spec.storageEncrypted) || (has(self.status.storageEncrypted) && self.spec.storageEncrypted == self.status.storageEncrypted)")
        .message("spec.storageEncrypted can't be changed (it is true where it is not set): RDS fixes it when the instance is created; set it back, or create another RDSInstance from a snapshot that is encrypted or not"),
    validation = Rule::new("!has(self.spec.credentials) || (has(self.spec.connection) && has(self.spec.connection.enabled) && !self.spec.connection.enabled) || !((has(self.spec.connection) && has(self.spec.connection.name) ? self.spec.connection.name : self.metadata.name) in [has(self.spec.credentials.secretRef) ? self.spec.credentials.secretRef.name : '', has(self.spec.credentials.generate) && has(self.spec.credentials.generate.secretName) ? self.spec.credentials.generate.secretName : ''])")
        .message("spec.credentials: the connection is published in the Secret of that name (connection.name, or else metadata.name); keep the password in another Secret, or set another connection.name"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.name) || (size(self.name) <= 63 && self.name.matches('^[a-z](-?[a-z0-9])*$'))")
        .message("name: 1 to 63 of lower-case letters (RDS keeps names in lower case), digits and -, a letter first, no - at the end and no two in a row"),
    validation = Rule::new("!self.engine.startsWith('aurora') && !(self.engine in ['neptune', 'docdb'])")
        .message("engine: clusters (aurora, neptune, docdb) are not managed by RDSInstance, since their storage is not an instance's; use postgres, mysql, mariadb or another engine of single instances"),
    validation = Rule::new("!has(self.availabilityZone) || !has(self.multiAZ) || !self.multiAZ")
        .message("availabilityZone and multiAZ exclude each other: remove availabilityZone, or set multiAZ to false"),
    validation = Rule::new(fields::STORAGE_RULE).message(fields::STORAGE),
    validation = Rule::new("!has(self.maxAllocatedStorage) || !has(self.allocatedStorage) || self.maxAllocatedStorage == self.allocatedStorage || self.maxAllocatedStorage * 10 >= self.allocatedStorage * 11")
        .message("maxAllocatedStorage: at least 10 percent more than allocatedStorage; raise it, or set it to the same, and the storage does not grow by itself"),
    validation = Rule::new("!has(self.iops) || !has(self.storageType) || self.storageType in ['gp3', 'io1', 'io2']")
        .message("iops: only gp3, io1 and io2 take it; choose one of these as storageType, or remove it"),
    validation = Rule::new("has(self.iops) || !has(self.storageType) || !(self.storageType in ['io1', 'io2'])")
        .message("iops is needed: io1 and io2 have no default; set it, or choose gp3 as storageType"),
    validation = Rule::new("!has(self.iops) || !has(self.storageType) || self.storageType != 'io1' || !has(self.allocatedStorage) || (self.iops * 2 >= self.allocatedStorage && self.iops <= self.allocatedStorage * 50)")
        .message("iops: with io1, from half of allocatedStorage to 50 times allocatedStorage; change one of them"),
    validation = Rule::new("!has(self.storageThroughput) || !has(self.storageType) || self.storageType == 'gp3'")
        .message("storageThroughput: only gp3 takes it; choose gp3 as storageType, or remove it"),
    validation = Rule::new("!(has(self.iops) || has(self.storageThroughput)) || !has(self.storageType) || self.storageType != 'gp3' || !has(self.allocatedStorage) || self.engine.contains('sqlserver') || self.allocatedStorage >= (self.engine.contains('oracle') ? 200 : 400)")
        .message("iops and storageThroughput: with gp3, RDS takes neither below 400 GiB (Oracle: 200 GiB, SQL Server: no limit); remove them, or raise allocatedStorage"),
    validation = Rule::new("!has(self.iops) || !has(self.storageType) || self.storageType != 'gp3' || self.engine.contains('sqlserver') || (self.iops >= 12000 && self.iops <= 64000)")
        .message("iops: with gp3, 12000 to 64000; change it, or choose io2 as storageType"),
    validation = Rule::new("!has(self.storageThroughput) || self.engine.contains('sqlserver') || self.storageThroughput >= 500")
        .message("storageThroughput: at least 500 (only SQL Server takes less); raise it, or remove it"),
    validation = Rule::new("!has(self.dbName) || !self.engine.contains('sqlserver')")
        .message("dbName: RDS creates no database with SQL Server; remove it, and create the database in the instance"),
    validation = Rule::new("!has(self.dbName) || (self.dbName.matches('^[A-Za-z][A-Za-z0-9_]*$') && size(self.dbName) <= (self.engine.contains('oracle') ? 8 : self.engine == 'postgres' ? 63 : 64))")
        .message("dbName: a letter, then letters, digits and _; at most 63 characters with postgres, 8 with Oracle and 64 with others"),
    validation = Rule::new("!has(self.masterUsername) || !(self.masterUsername.lowerAscii() == 'rdsadmin' || (self.engine == 'postgres' && (self.masterUsername.lowerAscii() == 'admin' || self.masterUsername.lowerAscii().startsWith('pg_'))))")
        .message("masterUsername: rdsadmin is reserved by RDS, and admin and what begins with pg_ by postgres; choose another"),
    validation = Rule::new("!has(self.kmsKeyId) || !has(self.storageEncrypted) || self.storageEncrypted")
        .message("kmsKeyId is for encrypted storage: set storageEncrypted to true, or remove it"),
    validation = Rule::new("!has(self.monitoringInterval) || self.monitoringInterval == 0 || has(self.monitoringRoleARN)")
        .message("monitoringInterval: Enhanced Monitoring needs a role; set monitoringRoleARN, or set monitoringInterval to 0"),
    validation = Rule::new("!has(self.monitoringRoleARN) || (has(self.monitoringInterval) && self.monitoringInterval != 0)")
        .message("monitoringRoleARN is for Enhanced Monitoring: set monitoringInterval to other than 0, or remove it"),
    validation = Rule::new("!has(self.connection) || !has(self.connection.keys) || self.connection.keys.all(k, k in ['DB_NAME', 'DB_HOST', 'DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DATABASE_URL', 'DB_SECRET_ARN'])")
        .message("connection.keys: published are DB_NAME, DB_HOST, DB_PORT, DB_USER, DB_PASSWORD, DATABASE_URL and DB_SECRET_ARN; use these keys"),
    validation = Rule::new("!has(self.connection) || !has(self.connection.keys) || self.connection.keys.all(k, !(self.connection.keys[k] in ['DB_NAME', 'DB_HOST', 'DB_PORT', 'DB_USER', 'DB_PASSWORD', 'DATABASE_URL', 'DB_SECRET_ARN']) || self.connection.keys[k] in self.connection.keys)")
        .message("connection.keys: a new name is that of another published key; choose another, or rename that one too"),
)]
pub struct RDSInstanceSpec {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "flattened: a comment would become the schema's description")]
    pub common: CommonSpec,

    /// The database engine, for example `postgres`, `mysql` or `mariadb`. Can't be changed once the
    /// instance exists.
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[a-z0-9-]+$"))]
    pub engine: String,

    /// The engine's version, for example `16` or `16.4`. An instance that AWS has upgraded to a later
    /// minor version is not brought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9._-]+$"))]
    pub engine_version: Option<String>,

    /// Whether engineVersion may name another major version than the instance has. RDS's default is
    /// false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_major_version_upgrade: Option<bool>,

    /// The instance's class, for example `db.t4g.micro`. A new instance needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::instance_class")]
    pub instance_class: Option<String>,

    /// The storage in GiB: 20 to 65536 with gp2 and gp3, 100 to 65536 with io1 and io2, 5 to 3072 with
    /// standard. It can only grow. A new instance that is not restored from a snapshot needs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 65_536))]
    pub allocated_storage: Option<i32>,

    /// The GiB up to which RDS may let the storage grow by itself: at least 10 percent more than
    /// allocatedStorage. The same as allocatedStorage means that it does not grow by itself, which is
    /// RDS's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 5, max = 65_536))]
    pub max_allocated_storage: Option<i32>,

    /// The type of the storage: `gp3`, `gp2`, `io2`, `io1` or `standard` (magnetic).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<StorageType>,

    /// Provisioned I/O operations per second: 1000 to 256000; needed with io1 and io2. With gp3 12000 to
    /// 64000, and only from 400 GiB (Oracle: 200 GiB; SQL Server: 3000 to 16000 at any size).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_000, max = 256_000))]
    pub iops: Option<i32>,

    /// Throughput of gp3 storage in MiB/s: 500 to 4000, and only from 400 GiB (Oracle: 200 GiB; SQL
    /// Server: from 125 at any size).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 125, max = 4_000))]
    pub storage_throughput: Option<i32>,

    /// The database that RDS creates in a new instance (Oracle: the system id). Can't be changed once
    /// the instance exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64))]
    pub db_name: Option<String>,

    /// The master user: a letter, then letters, digits and _, at most 16. Default: `fairlead`. An
    /// instance that is restored from a snapshot has the snapshot's. Can't be changed once the instance
    /// exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 16), regex(pattern = r"^[A-Za-z][A-Za-z0-9_]*$"))]
    pub master_username: Option<String>,

    /// The port: 1150 to 65535. Default: the engine's own. A change restarts the instance at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_150, max = 65_535))]
    pub port: Option<i32>,

    /// Whether there is a standby in another availability zone. RDS's default is false.
    #[serde(rename = "multiAZ", skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,

    /// The availability zone, for example `eu-west-1a`. Excludes multiAZ. Can't be changed once the
    /// instance exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 48), regex(pattern = r"^[a-z]{2,4}(-[a-z0-9]+)+$"))]
    pub availability_zone: Option<String>,

    /// The DB subnet group, and with it the VPC. A change moves the instance, with an outage.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::subnet_group")]
    pub db_subnet_group_name: Option<String>,

    /// The VPC security groups. Default: the VPC's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::security_groups")]
    pub vpc_security_group_ids: Option<Vec<String>>,

    /// The DB parameter group. Default: the engine's own. A change takes effect with a reboot: see
    /// rebootOnParameterChange.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::parameter_group")]
    pub db_parameter_group_name: Option<String>,

    /// The option group. Default: the engine's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[A-Za-z][A-Za-z0-9:.-]*$"))]
    pub option_group_name: Option<String>,

    /// Whether the instance has a public address. `false` where it is not set, for safety: AWS's own
    /// default depends on the subnet group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = false))]
    pub publicly_accessible: Option<bool>,

    /// Whether the storage is encrypted. `true` where it is not set, for safety: AWS's own default is
    /// false. Can't be changed once the instance exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("default" = true))]
    pub storage_encrypted: Option<bool>,

    /// The KMS key (id, ARN or alias) that encrypts the storage. Default: the account's own for RDS. Can't
    /// be changed once the instance exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub kms_key_id: Option<String>,

    /// Days for which automated backups are kept: 0 (none are made) to 35. RDS's default is 1. A change
    /// from or to 0 comes with an outage.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 35))]
    pub backup_retention_period: Option<i32>,

    /// When automated backups are made every day, in UTC: `hh24:mi-hh24:mi`, at least 30 minutes, apart
    /// from preferredMaintenanceWindow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::backup_window")]
    pub preferred_backup_window: Option<String>,

    /// When maintenance may be done every week, in UTC: `ddd:hh24:mi-ddd:hh24:mi`, at least 30 minutes and
    /// less than a day, for example `sun:03:00-sun:04:00`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::maintenance_window")]
    pub preferred_maintenance_window: Option<String>,

    /// Whether AWS upgrades minor versions in the maintenance window. RDS's default is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_minor_version_upgrade: Option<bool>,

    /// Whether the instance's tags are copied to its snapshots. RDS's default is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_tags_to_snapshot: Option<bool>,

    /// Whether AWS refuses to delete the instance. RDS's default is false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,

    /// Whether IAM users and roles may be database users. RDS's default is false.
    #[serde(rename = "enableIAMDatabaseAuthentication", skip_serializing_if = "Option::is_none")]
    pub enable_iam_database_authentication: Option<bool>,

    /// The logs that are exported to CloudWatch Logs, for example `postgresql` and `upgrade`, as the
    /// engine has them. An empty list exports none, which is RDS's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "fields::log_types")]
    pub enable_cloudwatch_logs_exports: Option<Vec<String>>,

    /// Seconds between two points of Enhanced Monitoring: 1, 5, 10, 15, 30 or 60, or 0 for none, which is
    /// RDS's default. Needs monitoringRoleARN.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(extend("enum" = [0, 1, 5, 10, 15, 30, 60]))]
    pub monitoring_interval: Option<i32>,

    /// The IAM role with which Enhanced Monitoring writes to CloudWatch Logs.
    #[serde(rename = "monitoringRoleARN", skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = r"^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$"))]
    pub monitoring_role_arn: Option<String>,

    /// Performance Insights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_insights: Option<PerformanceInsights>,

    /// The certificate authority of the server's certificate, for example `rds-ca-rsa2048-g1`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[A-Za-z0-9-]+$"))]
    pub ca_certificate_identifier: Option<String>,

    /// The licence, where the engine has a choice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub license_model: Option<LicenseModel>,

    /// `IPV4`, or `DUAL` for IPv4 and IPv6. RDS's default is `IPV4`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_type: Option<NetworkType>,

    /// Whether changes that would wait for the maintenance window are made at once. AWS then makes all
    /// changes that wait, also those that others have asked for. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub apply_immediately: Option<bool>,

    /// The snapshot (identifier or ARN) that a new instance is restored from. Only the creating call
    /// uses it: it may be changed or removed at any time, and an instance that exists stays as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512), regex(pattern = r"^[A-Za-z][A-Za-z0-9:._-]*$"))]
    pub restore_from_snapshot: Option<String>,

    /// Whether the instance is rebooted where a parameter waits for it. Default: false, and status says
    /// that a reboot is needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reboot_on_parameter_change: Option<bool>,

    /// Whether the automated backups are deleted with the instance. Default: false, they are kept as
    /// long as backupRetentionPeriod says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delete_automated_backups: Option<bool>,

    /// Where the master user's password comes from. Default: `generate`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
}
