//! The API of an `AWSAccount`: what an administrator writes and what Fairlead reports.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{CustomResource, CustomResourceExt as _, KubeSchema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{
    crd::status::{Condition, ConditionSchema},
    kinds::rds_instance::api::RDSInstanceDefaults,
};

/// The Kubernetes kind.
pub const KIND: &str = "AWSAccount";
/// The AWSAccount that stands for the operator's own credentials.
pub const DEFAULT: &str = "default";

/// An AWS account that objects may use, and how it is reached. A field that is not set allows nothing
/// where it is about adoption or observing, and restricts nothing where it is about regions and ARNs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "aws.fairlead.dev",
    version = "v1alpha1",
    kind = "AWSAccount",
    plural = "awsaccounts",
    shortname = "awsacct",
    category = "fairlead",
    status = "AWSAccountStatus",
    doc = "An AWS account that objects may use. Administrators write it.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.accountID"),
    printcolumn(name = "Objects", type_ = "integer", json_path = ".status.objects"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.roleARN", priority = 1),
    validation = Rule::new("self.metadata.name == 'default' || has(self.spec.roleARN)")
        .message("spec.roleARN is needed: name the IAM role that the operator assumes (only the AWSAccount called default has none, since it stands for the operator's own credentials)"),
    validation = Rule::new("self.metadata.name != 'default' || !(has(self.spec.roleARN) || has(self.spec.externalID) || has(self.spec.perNamespaceSession))")
        .message("spec.roleARN, spec.externalID and spec.perNamespaceSession are not for the AWSAccount called default, which stands for the operator's own credentials: remove them, or choose another name"),
)]
#[serde(rename_all = "camelCase")]
pub struct AWSAccountSpec {
    /// The IAM role that the operator assumes for this account. Needed, except on the AWSAccount called
    /// `default`, which stands for the operator's own credentials.
    #[serde(rename = "roleARN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2_048), regex(pattern = r"^arn:[a-z-]+:iam::[0-9]{12}:role/[A-Za-z0-9_+=,.@/-]+$"))]
    pub role_arn: Option<String>,

    /// The external id that the role's trust policy asks for: 2 to 1224 characters.
    #[serde(rename = "externalID", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 1_224), regex(pattern = r"^[A-Za-z0-9_+=,.@:/-]+$"))]
    pub external_id: Option<String>,

    /// Whether every namespace gets a session of its own, with the session tag `fairlead.dev/namespace`,
    /// so that the role's policies can tell namespaces apart. Default: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub per_namespace_session: Option<bool>,

    /// The namespaces whose objects may use this account: names, or beginnings with `*` at the end.
    #[schemars(schema_with = "namespaces")]
    pub allowed_namespaces: Vec<String>,

    /// The namespaces whose objects use this account where they name none: names, or beginnings with `*`
    /// at the end. A namespace that several AWSAccounts name here has no default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "namespaces")]
    pub default_for_namespaces: Option<Vec<String>>,

    /// The regions that objects may use: names, or beginnings with `*` at the end. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "regions")]
    pub allowed_regions: Option<Vec<String>>,

    /// The KMS keys that objects may name (ids, ARNs or aliases, as objects write them); `*` stands for
    /// any text. Default: any.
    #[serde(rename = "allowedKMSKeys", default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "arns")]
    pub allowed_kms_keys: Option<Vec<String>>,

    /// The IAM roles that objects may name; `*` stands for any text. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "arns")]
    pub allowed_roles: Option<Vec<String>>,

    /// The snapshots that objects may name; `*` stands for any text. Default: any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "arns")]
    pub allowed_snapshots: Option<Vec<String>>,

    /// Objects that may adopt existing resources, as `namespace/name` patterns; `*` stands for any text.
    /// Default: none. On `default` it replaces `FAIRLEAD_ALLOW_ADOPTION`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "objects")]
    pub allow_adoption: Option<Vec<String>>,

    /// Objects that may observe resources that are not theirs, as `allowAdoption`. Default: none. On
    /// `default` it replaces `FAIRLEAD_ALLOW_OBSERVE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "objects")]
    pub allow_observe: Option<Vec<String>>,

    /// Calls a second to one service in one region, at most: 1 to 10000. Default: the operator's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "call_rate")]
    pub call_rate: Option<u32>,

    /// Seconds between two looks at a resource that is in sync: 1 to 86400. Default: the operator's
    /// `RECONCILE_FREQUENCY_SECONDS`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "seconds")]
    pub poll_interval_seconds: Option<u32>,

    /// What new RDSInstances get for fields that they do not set, a region each. Only the creating call
    /// uses it: a change here changes no instance that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["region"]))]
    pub rds_instance_defaults: Option<Vec<RDSInstanceDefaults>>,
}

/// What is known of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AWSAccountStatus {
    /// The generation of the spec that this status speaks of; -1 before the first look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,

    /// The 12-digit AWS account, as AWS says.
    #[serde(rename = "accountID", skip_serializing_if = "Option::is_none")]
    pub account_id: Option<String>,

    /// Objects that have, or may have, a resource in this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<i64>,

    /// `Ready`, `Reconciling` and `Stalled`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Vec<ConditionSchema>", extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The CRD, as derived.
pub fn crd() -> CustomResourceDefinition {
    AWSAccount::crd()
}

fn list(least: usize, longest: usize, pattern: &str) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": least,
        "maxItems": 256,
        "items": { "type": "string", "minLength": 1, "maxLength": longest, "pattern": pattern },
    })
}

fn namespaces(_: &mut SchemaGenerator) -> Schema {
    list(1, 63, r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?|([a-z0-9][-a-z0-9]*)?\*)$")
}

fn regions(_: &mut SchemaGenerator) -> Schema {
    list(1, 33, r"^([a-z0-9-]+\*?|\*)$")
}

fn arns(_: &mut SchemaGenerator) -> Schema {
    list(0, 2_048, r"^\S+$")
}

fn objects(_: &mut SchemaGenerator) -> Schema {
    list(0, 320, r"^[^/\s]+/[^/\s]+$")
}

fn call_rate(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 10_000 })
}

fn seconds(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "format": "int32", "minimum": 1, "maximum": 86_400 })
}
