//! The API of an `SQSQueue`: what a user writes and what Fairlead reports.
//!
//! Names are AWS's own attribute names in camelCase; ranges are those of the SQS API reference
//! (`SetQueueAttributes`). A field that is not set is not managed.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::crd::{
    spec::{CommonSpec, LocalReference},
    status::CommonStatus,
};

/// The queue that is asked for. A field that is not set is not managed: SQS's default applies, or what
/// others have set. A field that is removed goes back to SQS's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "aws.fairlead.dev",
    version = "v1alpha1",
    kind = "SQSQueue",
    plural = "sqsqueues",
    shortname = "sqs",
    shortname = "queue",
    category = "fairlead",
    namespaced,
    status = "SQSQueueStatus",
    doc = "An Amazon SQS queue.",
    printcolumn(name = "Ready", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].status"#),
    printcolumn(name = "Reason", type_ = "string", json_path = r#".status.conditions[?(@.type=="Ready")].reason"#),
    printcolumn(name = "Messages", type_ = "integer", json_path = ".status.visibleMessages"),
    printcolumn(name = "URL", type_ = "string", json_path = ".status.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Synced", type_ = "string", json_path = r#".status.conditions[?(@.type=="Synced")].status"#, priority = 1),
    printcolumn(name = "Region", type_ = "string", json_path = ".status.identity.region", priority = 1),
    printcolumn(name = "Account", type_ = "string", json_path = ".status.identity.accountID", priority = 1),
    printcolumn(name = "InFlight", type_ = "integer", json_path = ".status.inFlightMessages", priority = 1),
    printcolumn(name = "Delayed", type_ = "integer", json_path = ".status.delayedMessages", priority = 1),
    validation = Rule::new("has(self.spec) && has(self.spec.name) || self.metadata.name.matches('^[a-z0-9-]+([.]fifo)?$')")
        .message("spec.name is needed: metadata.name has a character that an SQS name cannot have (allowed: letters, digits, - and _)"),
    validation = Rule::new("has(self.spec) && (has(self.spec.name) || (has(self.spec.fifoQueue) && self.spec.fifoQueue)) || !self.metadata.name.endsWith('.fifo')")
        .message("metadata.name ends in .fifo: set spec.fifoQueue to true, or choose another name"),
    validation = Rule::new("(has(self.spec) && has(self.spec.name)) || size(self.metadata.name) <= (has(self.spec) && has(self.spec.fifoQueue) && self.spec.fifoQueue && !self.metadata.name.endsWith('.fifo') ? 75 : 80)")
        .message("spec.name is needed: metadata.name is longer than an SQS name may be (80 characters, of which .fifo is 5)"),
    validation = Rule::new("(has(self.spec) && has(self.spec.fifoQueue) && self.spec.fifoQueue) == (has(oldSelf.spec) && has(oldSelf.spec.fifoQueue) && oldSelf.spec.fifoQueue)")
        .message("spec.fifoQueue can't be changed: SQS fixes a queue's type when it is created; set it back, or create another SQSQueue"),
    validation = Rule::new("!has(self.spec) || !has(self.spec.redrivePolicy) || !has(self.spec.redrivePolicy.deadLetterQueueRef) || self.spec.redrivePolicy.deadLetterQueueRef.name != self.metadata.name")
        .message("spec.redrivePolicy.deadLetterQueueRef: a queue can't be its own dead-letter queue; name another SQSQueue"),
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.name) || self.name.matches('^[A-Za-z0-9_-]{1,80}([.]fifo)?$')")
        .message("name: 1 to 80 of letters, digits, - and _, with .fifo at the end for a FIFO queue"),
    validation = Rule::new("!has(self.name) || size(self.name) <= (has(self.fifoQueue) && self.fifoQueue && !self.name.endsWith('.fifo') ? 75 : 80)")
        .message("name: at most 80 characters, of which the .fifo that is appended to a FIFO queue's name is 5"),
    validation = Rule::new("!has(self.name) || !self.name.endsWith('.fifo') || (has(self.fifoQueue) && self.fifoQueue)")
        .message("name ends in .fifo: set fifoQueue to true, or choose another name"),
    validation = Rule::new("(has(self.fifoQueue) && self.fifoQueue) || !has(self.contentBasedDeduplication)")
        .message("contentBasedDeduplication is for FIFO queues: set fifoQueue to true, or remove it"),
    validation = Rule::new("(has(self.fifoQueue) && self.fifoQueue) || !has(self.deduplicationScope)")
        .message("deduplicationScope is for FIFO queues: set fifoQueue to true, or remove it"),
    validation = Rule::new("(has(self.fifoQueue) && self.fifoQueue) || !has(self.fifoThroughputLimit)")
        .message("fifoThroughputLimit is for FIFO queues: set fifoQueue to true, or remove it"),
    validation = Rule::new("!has(self.fifoThroughputLimit) || self.fifoThroughputLimit != 'perMessageGroupId' || (has(self.deduplicationScope) && self.deduplicationScope == 'messageGroup')")
        .message("fifoThroughputLimit perMessageGroupId needs deduplicationScope messageGroup"),
    validation = Rule::new("!(has(self.kmsMasterKeyID) && has(self.sqsManagedSseEnabled) && self.sqsManagedSseEnabled)")
        .message("kmsMasterKeyID and sqsManagedSseEnabled exclude each other: remove one"),
    validation = Rule::new("!has(self.redrivePolicy) || !has(self.redrivePolicy.deadLetterTargetARN) || self.redrivePolicy.deadLetterTargetARN.endsWith('.fifo') == (has(self.fifoQueue) && self.fifoQueue)")
        .message("redrivePolicy.deadLetterTargetARN: the dead-letter queue of a FIFO queue is FIFO (its name ends in .fifo), that of a standard queue is not"),
    validation = Rule::new("!has(self.connection) || !has(self.connection.keys) || self.connection.keys.all(k, k in ['queueName', 'queueURL', 'queueARN', 'region', 'deadLetterQueueName', 'deadLetterQueueURL', 'deadLetterQueueARN'])")
        .message("connection.keys: published are queueName, queueURL, queueARN, region, deadLetterQueueName, deadLetterQueueURL and deadLetterQueueARN; use these keys"),
    validation = Rule::new("!has(self.connection) || !has(self.connection.keys) || self.connection.keys.all(k, !(self.connection.keys[k] in ['queueName', 'queueURL', 'queueARN', 'region', 'deadLetterQueueName', 'deadLetterQueueURL', 'deadLetterQueueARN']) || self.connection.keys[k] in self.connection.keys)")
        .message("connection.keys: a new name is that of another published key; choose another, or rename that one too"),
)]
pub struct SQSQueueSpec {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "flattened: a comment would become the schema's description")]
    pub common: CommonSpec,

    /// Whether the queue is FIFO. `.fifo` is appended to its name where absent. Can't be changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fifo_queue: Option<bool>,

    /// Seconds by which the delivery of every message is delayed: 0 to 900. SQS's default is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 900))]
    pub delay_seconds: Option<i32>,

    /// The largest message in bytes: 1024 to 1048576.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1_024, max = 1_048_576))]
    pub maximum_message_size: Option<i32>,

    /// Seconds for which SQS keeps a message: 60 to 1209600. SQS's default is 345600 (4 days).
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 1_209_600))]
    pub message_retention_period: Option<i32>,

    /// Seconds for which a receive call waits for a message to arrive (long polling): 0 to 20. SQS's
    /// default is 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 20))]
    pub receive_message_wait_time_seconds: Option<i32>,

    /// Seconds for which a received message is hidden from other receivers: 0 to 43200. SQS's default
    /// is 30.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 43_200))]
    pub visibility_timeout: Option<i32>,

    /// The queue's resource policy, as an object or as a JSON string. A statement without
    /// Resource and NotResource gets the queue's own ARN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_or_string")]
    pub policy: Option<Value>,

    /// Where messages go that were received too often.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redrive_policy: Option<RedrivePolicy>,

    /// Which queues may use this one as their dead-letter queue, as an object
    /// (`redrivePermission`, `sourceQueueArns`) or as a JSON string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object_or_string")]
    pub redrive_allow_policy: Option<Value>,

    /// The KMS key (id, ARN or alias) that encrypts the messages. Excludes sqsManagedSseEnabled.
    #[serde(rename = "kmsMasterKeyID", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 2_048))]
    pub kms_master_key_id: Option<String>,

    /// Seconds for which SQS reuses a data key before it calls KMS again: 60 to 86400. SQS's default is
    /// 300.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 60, max = 86_400))]
    pub kms_data_key_reuse_period_seconds: Option<i32>,

    /// Encryption with keys that SQS owns (SSE-SQS). SQS's default is true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqs_managed_sse_enabled: Option<bool>,

    /// FIFO: whether a message's content makes its deduplication id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_based_deduplication: Option<bool>,

    /// FIFO: whether deduplication is per queue or per message group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deduplication_scope: Option<DeduplicationScope>,

    /// FIFO: whether the throughput quota is per queue or per message group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fifo_throughput_limit: Option<FifoThroughputLimit>,
}

/// Where messages go that were received too often.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.deadLetterTargetARN) != has(self.deadLetterQueueRef)")
    .message("redrivePolicy: set deadLetterTargetARN or deadLetterQueueRef, one of them"))]
pub struct RedrivePolicy {
    /// The dead-letter queue's ARN. It is in the same account and region.
    #[serde(rename = "deadLetterTargetARN", default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256), regex(pattern = r"^arn:[a-z-]+:sqs:[a-z0-9-]+:[0-9]{12}:[A-Za-z0-9_.-]+$"))]
    pub dead_letter_target_arn: Option<String>,

    /// The dead-letter queue as an SQSQueue of the same namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dead_letter_queue_ref: Option<LocalReference>,

    /// How often a message may be received before it goes to the dead-letter queue: 1 to 1000. SQS's
    /// default is 10.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000))]
    pub max_receive_count: Option<i32>,
}

/// FIFO: whether deduplication is per `queue` (default) or per `messageGroup`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum DeduplicationScope {
    /// The whole queue.
    Queue,
    /// One message group.
    MessageGroup,
}

/// FIFO: whether the throughput quota is `perQueue` (default) or `perMessageGroupId`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum FifoThroughputLimit {
    /// The whole queue.
    PerQueue,
    /// One message group.
    PerMessageGroupId,
}

/// What Fairlead last saw of a queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SQSQueueStatus {
    #[serde(flatten)]
    #[allow(missing_docs, reason = "flattened: a comment would become the schema's description")]
    pub common: CommonStatus,

    /// The queue's URL.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,

    /// Messages that can be received, approximately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visible_messages: Option<i64>,

    /// Messages received and not yet deleted, approximately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight_messages: Option<i64>,

    /// Messages whose delivery is delayed, approximately.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delayed_messages: Option<i64>,
}

/// A JSON document as a YAML object or as a string. The API server can't express "object or
/// string", so other types are refused by the planner, which names the field.
fn object_or_string(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({ "x-kubernetes-preserve-unknown-fields": true })
}
