//! The fields that every kind's spec begins with. Kinds flatten [`CommonSpec`] into their own.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The part of a spec that is the same for every kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CommonSpec {
    /// The AWS region, for example `eu-west-1`. Default: the operator's. Can't be changed once the
    /// resource exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32), regex(pattern = r"^[a-z]{2,4}(-[a-z]+)+-[0-9]+$"))]
    pub region: Option<String>,

    /// The account of the resource. Default: the one that is meant for the namespace, else the
    /// operator's own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account_ref: Option<AccountReference>,

    /// The resource's name in AWS. Default: the object's name, in the form that the operator's
    /// `FAIRLEAD_RESOURCE_NAME` gives. Can't be changed once the resource exists.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255))]
    pub name: Option<String>,

    /// What becomes of the AWS resource when this object is deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_policy: Option<DeletionPolicy>,

    /// Whether the resource is managed or only observed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub management: Option<Management>,

    /// Whether a resource that exists already may be taken over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adoption: Option<Adoption>,

    /// Tags for the AWS resource, at most 40. Tags set by others are left alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "tags")]
    pub tags: Option<BTreeMap<String, String>>,

    /// Where the resource's address is published for applications.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection: Option<Connection>,
}

/// What becomes of the AWS resource when this object is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It is deleted, and what it holds is kept in a last snapshot.
    Snapshot,
    /// It is deleted.
    Delete,
    /// It stays, marked as retained; the same object created again resumes it.
    Retain,
}

/// `Manage` (default) keeps the resource as this spec says; `Observe` only reads and compares it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Management {
    /// Created, corrected and deleted.
    Manage,
    /// Read and compared, never written.
    Observe,
}

/// Whether a resource that exists already may be taken over: `Never` (default), `Adopt` (it must
/// exist) or `AdoptOrCreate`. The operator's settings must allow it as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Adoption {
    /// A resource of that name that is not this object's is an error.
    Never,
    /// The resource must exist, and is taken over.
    Adopt,
    /// Taken over where it exists, created where it does not.
    AdoptOrCreate,
}

/// Where the resource's address is published.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Connection {
    /// `false` publishes nothing. Default: `true`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,

    /// Name of the published object. Default: this object's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 253),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: Option<String>,

    /// Other names for published keys, for example `queueURL: QUEUE_URL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "keys")]
    pub keys: Option<BTreeMap<String, String>>,
}

/// An object of the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// An `AWSAccount` of the cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccountReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// AWS allows 50 tags; the rest is for the owner's and the operator's.
fn tags(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 40,
        "additionalProperties": { "type": "string", "maxLength": 256 },
    })
}

/// Values are what Kubernetes takes as a ConfigMap's key.
fn keys(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {
            "type": "string",
            "maxLength": 253,
            "pattern": r"^\.?[-_a-zA-Z0-9][-._a-zA-Z0-9]*$",
        },
    })
}

impl CommonSpec {
    /// `management`, with its default.
    pub fn management(&self) -> Management {
        self.management.unwrap_or(Management::Manage)
    }

    /// `adoption`, with its default.
    pub fn adoption(&self) -> Adoption {
        self.adoption.unwrap_or(Adoption::Never)
    }
}

impl Connection {
    /// The published key for `key`: its new name, where the spec gives one.
    pub fn key<'a>(&'a self, key: &'a str) -> &'a str {
        self.keys.as_ref().and_then(|keys| keys.get(key)).map_or(key, String::as_str)
    }
}
