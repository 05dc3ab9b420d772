//! What Fairlead reports of an `RDSInstance`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::status::{CommonStatus, SecretStatus};

/// What Fairlead last saw of a database instance.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct RDSInstanceStatus {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "flattened: a comment would become the schema's description")]
    pub common: CommonStatus,

    #[serde(flatten)]
    #[allow(missing_docs, reason = "flattened: a comment would become the schema's description")]
    pub secrets: SecretStatus,

    /// The instance's status in AWS's own word, for example `available`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,

    /// The host of the instance.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,

    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,

    /// The engine. This and what follows down to `storageEncrypted` is fixed since the creation: a spec may be set
    /// back to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine: Option<String>,

    /// The database that the instance was created with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub db_name: Option<String>,

    /// The master user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub master_username: Option<String>,

    /// The availability zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub availability_zone: Option<String>,

    /// The KMS key that encrypts the storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,

    /// Whether the storage is encrypted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_encrypted: Option<bool>,

    /// The engine's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,

    /// The instance's class.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub instance_class: Option<String>,

    /// The storage in GiB; more than the spec's where it has grown by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allocated_storage: Option<i32>,

    /// The type of the storage.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,

    /// Whether there is a standby in another availability zone.
    #[serde(rename = "multiAZ", skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,

    /// The id that the instance keeps under any name.
    #[serde(rename = "dbiResourceID", skip_serializing_if = "Option::is_none")]
    pub dbi_resource_id: Option<String>,

    /// How far AWS is with what it is doing, in percent, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub progress: Option<String>,

    /// What AWS has accepted, and will do later.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub pending_changes: Vec<PendingChange>,

    /// Values that the instance was created with because the AWSAccount has them as defaults, by the
    /// field of the spec.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub defaults: BTreeMap<String, String>,

    /// The secret in AWS Secrets Manager that holds the master user's password, where AWS manages it.
    #[serde(rename = "masterUserSecretARN", skip_serializing_if = "Option::is_none")]
    pub master_user_secret_arn: Option<String>,
}

/// A change that AWS has accepted, and will make later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PendingChange {
    /// The field of the spec.
    pub field: String,
    /// The value to come.
    pub value: String,
    /// When it comes.
    pub applies: String,
}
