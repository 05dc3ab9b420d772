//! The fields that every kind's status begins with. Kinds flatten [`CommonStatus`] into their own, and
//! [`SecretStatus`] where their resources have a password.

pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The part of a status that is the same for every kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CommonStatus {
    /// The generation of the spec that this status speaks of; -1 before the first reconcile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// What the object's resource is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity: Option<ResourceIdentity>,

    /// The fields of the spec that Fairlead has set in AWS, and therefore resets to AWS's default
    /// when they leave the spec. Tags appear as `tags.<key>`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub managed: Vec<String>,

    /// `Ready`, `Synced`, `Reconciling` and `Stalled`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<ConditionSchema>", extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// A resource, as its status shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ResourceIdentity {
    /// The 12-digit AWS account.
    #[serde(rename = "accountID")]
    pub account_id: String,
    /// The AWS region.
    pub region: String,
    /// The name in AWS.
    pub name: String,
    /// The Amazon resource name.
    pub arn: String,
    /// Whether the resource was there before this object.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub adopted: bool,
}

/// The part of a status that is the same for every kind whose resources have a password.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SecretStatus {
    /// The password that AWS accepted last: where it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<CredentialsStatus>,

    /// The Secret in which the connection is published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_secret: Option<String>,
}

/// Where a password is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CredentialsStatus {
    /// The Secret's name.
    pub secret: String,
    /// The Secret's resourceVersion when AWS accepted its password.
    pub version: String,
    /// The id of the resource that has it, which another one of the same name does not share.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

/// A standard Kubernetes condition.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ConditionSchema {
    /// `Ready`, `Synced`, `Reconciling` or `Stalled`.
    #[expect(dead_code, reason = "a schema only")]
    r#type: String,
    /// `True`, `False` or `Unknown`.
    #[expect(dead_code, reason = "a schema only")]
    status: String,
    /// Why, in one word for programs.
    #[expect(dead_code, reason = "a schema only")]
    reason: String,
    /// Why, for people: the error, the field and the way out.
    #[expect(dead_code, reason = "a schema only")]
    message: String,
    /// The generation of the spec that the condition speaks of.
    #[expect(dead_code, reason = "a schema only")]
    observed_generation: Option<i64>,
    /// When its status last changed.
    #[expect(dead_code, reason = "a schema only")]
    #[schemars(extend("format" = "date-time"))]
    last_transition_time: String,
}
