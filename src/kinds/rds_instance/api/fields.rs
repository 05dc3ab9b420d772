//! The types of an `RDSInstance`'s fields, and the forms of their texts.

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// The name of a Secret.
const SECRET: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// How much storage each type takes.
pub(crate) const STORAGE_RULE: &str = "!has(self.storageType) || !has(self.allocatedStorage) \
                                        || (self.storageType == 'standard' ? self.allocatedStorage <= 3072 \
                                        : self.allocatedStorage >= (self.storageType in ['io1', 'io2'] ? 100 : 20))";
/// The same for people.
pub(crate) const STORAGE: &str = "allocatedStorage: gp2 and gp3 take 20 to 65536 GiB, io1 and io2 100 to 65536, \
                                   standard 5 to 3072; change it, or storageType";
/// `hh24:mi`.
const TIME: &str = "([01][0-9]|2[0-3]):[0-5][0-9]";
/// `ddd`.
const DAY: &str = "(mon|tue|wed|thu|fri|sat|sun)";

/// The number of each.
const DAYS: &str = "{'mon': 0, 'tue': 1, 'wed': 2, 'thu': 3, 'fri': 4, 'sat': 5, 'sun': 6}";

/// The type of the storage: `gp3`, `gp2`, `io2`, `io1` or `standard` (magnetic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum StorageType {
    /// General purpose SSD, whose speed depends on its size.
    Gp2,
    /// General purpose SSD.
    Gp3,
    /// Provisioned IOPS SSD.
    Io1,
    /// Provisioned IOPS SSD, Block Express.
    Io2,
    /// Magnetic.
    Standard,
}

/// The licence, where the engine has a choice, as Oracle and Db2 have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum LicenseModel {
    /// AWS's price includes it (Oracle, SQL Server).
    LicenseIncluded,
    /// One's own (Oracle, Db2).
    BringYourOwnLicense,
    /// MySQL's and MariaDB's.
    GeneralPublicLicense,
    /// PostgreSQL's.
    PostgresqlLicense,
    /// One that is bought through AWS Marketplace (Db2).
    MarketplaceLicense,
}

/// `IPV4`, or `DUAL` for IPv4 and IPv6. RDS's default is `IPV4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum NetworkType {
    /// IPv4.
    Ipv4,
    /// IPv4 and IPv6.
    Dual,
}

/// Performance Insights.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.kmsKeyId) || (has(self.enabled) && self.enabled)")
        .message("performanceInsights.kmsKeyId is for enabled Performance Insights: set enabled to true, or remove it"),
    validation = Rule::new("!has(self.retentionPeriod) || (has(self.enabled) && self.enabled)")
        .message("performanceInsights.retentionPeriod is for enabled Performance Insights: set enabled to true, or remove it"),
    validation = Rule::new("!has(self.retentionPeriod) || self.retentionPeriod in [7, 731] || self.retentionPeriod % 31 == 0")
        .message("performanceInsights.retentionPeriod: 7, 731, or a number of months times 31 (31, 62 … 713); choose one of these"),
)]
pub struct PerformanceInsights {
    /// Whether it is on. RDS's default is false.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// The KMS key (id, ARN or alias) that encrypts what it keeps. Default: the account's own for RDS.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub kms_key_id: Option<String>,

    /// Days for which it keeps data: 7, 731, or a number of months times 31 (31 to 713). RDS's default is
    /// 7.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 7, max = 731))]
    pub retention_period: Option<i32>,
}

/// Where the master user's password comes from: one of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.generate), has(self.secretRef), has(self.managedByAWS)].exists_one(set, set)")
    .message("credentials: set generate, secretRef or managedByAWS, one of them"))]
pub struct Credentials {
    /// Fairlead makes the password, and keeps it in a Secret of this namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generate: Option<Generate>,

    /// The password is in a Secret of this namespace, which somebody else writes. Another password there
    /// becomes the instance's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretReference>,

    /// AWS makes the password, keeps it in AWS Secrets Manager and rotates it every 7 days.
    #[serde(rename = "managedByAWS", default, skip_serializing_if = "Option::is_none")]
    pub managed_by_aws: Option<ManagedByAWS>,
}

/// A password that Fairlead makes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Generate {
    /// The Secret that keeps it. Default: the object's name with `-credentials`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET))]
    pub secret_name: Option<String>,
}

/// A password in a Secret.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretReference {
    /// The Secret's name.
    #[schemars(length(min = 1, max = 253), regex(pattern = SECRET))]
    pub name: String,

    /// The key of the password in the Secret. Default: `password`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub key: Option<String>,
}

/// A password that AWS makes and rotates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManagedByAWS {
    /// The KMS key (id, ARN or alias) that encrypts it. Default: the account's own for Secrets Manager.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub kms_key_id: Option<String>,
}

impl StorageType {
    /// As AWS calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gp2 => "gp2",
            Self::Gp3 => "gp3",
            Self::Io1 => "io1",
            Self::Io2 => "io2",
            Self::Standard => "standard",
        }
    }
}

impl LicenseModel {
    /// As AWS calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LicenseIncluded => "license-included",
            Self::BringYourOwnLicense => "bring-your-own-license",
            Self::GeneralPublicLicense => "general-public-license",
            Self::PostgresqlLicense => "postgresql-license",
            Self::MarketplaceLicense => "marketplace-license",
        }
    }
}

impl NetworkType {
    /// As AWS calls it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ipv4 => "IPV4",
            Self::Dual => "DUAL",
        }
    }
}

impl Generate {
    /// The name of the Secret of the object called `object`.
    pub fn secret_name(&self, object: &str) -> String {
        self.secret_name.clone().unwrap_or_else(|| format!("{object}-credentials"))
    }
}

impl SecretReference {
    /// The key of the password in the Secret.
    pub fn key(&self) -> &str {
        self.key.as_deref().unwrap_or("password")
    }
}

/// An instance's class.
pub(crate) fn instance_class(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "maxLength": 64, "pattern": r"^db(\.[a-z0-9-]+)+$" })
}

/// A DB subnet group.
pub(crate) fn subnet_group(_: &mut SchemaGenerator) -> Schema {
    ruled(
        255,
        "self.matches('^[a-z0-9 ._-]+$')",
        "dbSubnetGroupName: lower-case letters (RDS keeps it in lower case), digits, spaces, ., _ and -",
    )
}

/// A DB parameter group.
pub(crate) fn parameter_group(_: &mut SchemaGenerator) -> Schema {
    ruled(
        255,
        "self.matches('^[a-z][a-z0-9.-]*$')",
        "dbParameterGroupName: lower-case letters (RDS keeps it in lower case), digits, . and -, a letter first",
    )
}

/// When automated backups are made every day.
pub(crate) fn backup_window(_: &mut SchemaGenerator) -> Schema {
    let minute =
        |at: usize| format!("int(self.substring({at}, {})) * 60 + int(self.substring({}, {}))", at + 2, at + 3, at + 5);
    let length = format!("({} - ({}) + 1440) % 1440", minute(6), minute(0));
    ruled(
        11,
        &format!("self.matches('^{TIME}-{TIME}$') && {length} >= 30"),
        "preferredBackupWindow: hh24:mi-hh24:mi in UTC, at least 30 minutes, for example 02:00-02:30",
    )
}

/// When maintenance may be done every week.
pub(crate) fn maintenance_window(_: &mut SchemaGenerator) -> Schema {
    let minute = |at: usize| {
        let time =
            format!("int(self.substring({}, {})) * 60 + int(self.substring({}, {}))", at + 4, at + 6, at + 7, at + 9);
        format!("{DAYS}[self.substring({at}, {})] * 1440 + {time}", at + 3)
    };
    let length = format!("({} - ({}) + 10080) % 10080", minute(10), minute(0));
    ruled(
        19,
        &format!("self.matches('^{DAY}:{TIME}-{DAY}:{TIME}$') && {length} >= 30 && {length} < 1440"),
        "preferredMaintenanceWindow: ddd:hh24:mi-ddd:hh24:mi in UTC and in lower case, at least 30 minutes and less than a day, for example sun:03:00-sun:04:00",
    )
}

/// VPC security groups. RDS takes an empty list for none at all.
pub(crate) fn security_groups(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "maxLength": 32, "pattern": r"^sg-[0-9a-z]+$" },
    })
}

/// Types of logs.
pub(crate) fn log_types(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "set",
        "items": { "type": "string", "maxLength": 63, "pattern": r"^[a-z][a-z0-9._-]*$" },
    })
}

/// A text of at most `longest` characters, for which `rule` holds.
fn ruled(longest: usize, rule: &str, message: &str) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": longest,
        "x-kubernetes-validations": [{ "rule": rule, "message": message }],
    })
}
