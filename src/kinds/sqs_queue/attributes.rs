//! The table of queue attributes. Names, ranges and defaults are those of the SQS API reference
//! (`SetQueueAttributes`); values travel as strings.

use std::time::Duration;

use aws_sdk_sqs::types::QueueAttributeName;
use serde_json::Value;

use super::policy;

/// A queue attribute that a spec can set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "AWS's own names")]
pub enum Attribute {
    DelaySeconds,
    MaximumMessageSize,
    MessageRetentionPeriod,
    ReceiveMessageWaitTimeSeconds,
    VisibilityTimeout,
    Policy,
    RedrivePolicy,
    RedriveAllowPolicy,
    KmsMasterKeyId,
    KmsDataKeyReusePeriodSeconds,
    SqsManagedSseEnabled,
    ContentBasedDeduplication,
    DeduplicationScope,
    FifoThroughputLimit,
}

/// How two values of an attribute are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Text,
    Policy,
    Json,
}

struct Row {
    attribute: Attribute,
    name: QueueAttributeName,
    field: &'static str,
    default: &'static str,
    comparison: Comparison,
}

const fn row(
    attribute: Attribute,
    name: QueueAttributeName,
    field: &'static str,
    default: &'static str,
    comparison: Comparison,
) -> Row {
    Row { attribute, name, field, default, comparison }
}

const COUNT: usize = 14;

/// Attribute, its name, its field in the spec, and what it is when nobody has set it. Policies are
/// cleared by an empty value.
static TABLE: [Row; COUNT] = {
    use Attribute as A;
    use Comparison::{Json, Policy, Text};
    use QueueAttributeName as N;
    [
        row(A::DelaySeconds, N::DelaySeconds, "delaySeconds", "0", Text),
        row(A::MaximumMessageSize, N::MaximumMessageSize, "maximumMessageSize", "1048576", Text),
        row(A::MessageRetentionPeriod, N::MessageRetentionPeriod, "messageRetentionPeriod", "345600", Text),
        row(
            A::ReceiveMessageWaitTimeSeconds,
            N::ReceiveMessageWaitTimeSeconds,
            "receiveMessageWaitTimeSeconds",
            "0",
            Text,
        ),
        row(A::VisibilityTimeout, N::VisibilityTimeout, "visibilityTimeout", "30", Text),
        row(A::Policy, N::Policy, "policy", "", Policy),
        row(A::RedrivePolicy, N::RedrivePolicy, "redrivePolicy", "", Json),
        row(A::RedriveAllowPolicy, N::RedriveAllowPolicy, "redriveAllowPolicy", "", Json),
        row(A::KmsMasterKeyId, N::KmsMasterKeyId, "kmsMasterKeyID", "", Text),
        row(
            A::KmsDataKeyReusePeriodSeconds,
            N::KmsDataKeyReusePeriodSeconds,
            "kmsDataKeyReusePeriodSeconds",
            "300",
            Text,
        ),
        row(A::SqsManagedSseEnabled, N::SqsManagedSseEnabled, "sqsManagedSseEnabled", "true", Text),
        row(A::ContentBasedDeduplication, N::ContentBasedDeduplication, "contentBasedDeduplication", "false", Text),
        row(A::DeduplicationScope, N::DeduplicationScope, "deduplicationScope", "queue", Text),
        row(A::FifoThroughputLimit, N::FifoThroughputLimit, "fifoThroughputLimit", "perQueue", Text),
    ]
};

/// The fields of the spec that are attributes.
pub static FIELDS: [&str; COUNT] = {
    let mut fields = [""; COUNT];
    let mut index = 0;
    while index < COUNT {
        fields[index] = TABLE[index].field;
        index += 1;
    }
    fields
};

impl Attribute {
    /// All attributes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|row| row.attribute)
    }

    /// Its name in the API.
    pub fn name(self) -> &'static QueueAttributeName {
        &self.row().name
    }

    /// Its field in the spec.
    pub fn field(self) -> &'static str {
        self.row().field
    }

    /// Its value when nobody has set it.
    pub fn default_value(self) -> &'static str {
        self.row().default
    }

    /// Whether it exists on FIFO queues alone.
    pub fn is_fifo(self) -> bool {
        matches!(self, Self::ContentBasedDeduplication | Self::DeduplicationScope | Self::FifoThroughputLimit)
    }

    /// How long reads may show an old value (SQS: "most attributes within 60 seconds,
    /// MessageRetentionPeriod up to 15 minutes").
    pub fn settles_within(self) -> Duration {
        match self {
            Self::MessageRetentionPeriod => Duration::from_secs(15 * 60),
            _ => Duration::from_secs(60),
        }
    }

    /// Whether two values mean the same.
    pub fn same(self, a: &str, b: &str) -> bool {
        a == b
            || match self.row().comparison {
                Comparison::Text => false,
                Comparison::Policy => policy::same(a, b),
                Comparison::Json => self.document(a).is_some_and(|a| self.document(b) == Some(a)),
            }
    }

    fn row(self) -> &'static Row {
        // The table is in the order of the enum; a test holds it to that.
        &TABLE[self as usize]
    }

    /// A redrive document, with what AWS writes in several ways written in one.
    fn document(self, text: &str) -> Option<Value> {
        let mut document: Value = match text {
            // A queue that never had one allows all.
            "" if self == Self::RedriveAllowPolicy => serde_json::json!({ "redrivePermission": "allowAll" }),
            "" => Value::Null,
            text => serde_json::from_str(text).ok()?,
        };
        if let Some(count) = document.get_mut("maxReceiveCount")
            && let Some(number) = count.as_str().and_then(|text| text.parse::<i64>().ok())
        {
            *count = number.into();
        }
        if let Some(arns) = document.get_mut("sourceQueueArns").and_then(Value::as_array_mut) {
            arns.sort_by_key(ToString::to_string);
        }
        Some(document)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_the_order_of_the_enum() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(row.attribute as usize, index);
            assert_eq!(row.name.as_str(), format!("{:?}", row.attribute));
        }
    }

    #[test]
    fn documents_are_compared_by_meaning() {
        let redrive = Attribute::RedrivePolicy;
        assert!(redrive.same(
            r#"{"deadLetterTargetArn":"a","maxReceiveCount":"5"}"#,
            r#"{ "maxReceiveCount": 5, "deadLetterTargetArn": "a" }"#
        ));
        assert!(!redrive.same(r#"{"deadLetterTargetArn":"a","maxReceiveCount":5}"#, ""));
        assert!(!redrive.same("", "x") && !redrive.same("x", "y"), "garbage equals nothing but itself");
        let allow = Attribute::RedriveAllowPolicy;
        assert!(allow.same("", r#"{"redrivePermission":"allowAll"}"#));
        assert!(allow.same(
            r#"{"redrivePermission":"byQueue","sourceQueueArns":["a","b"]}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":["b","a"]}"#
        ));
        assert!(!Attribute::DelaySeconds.same("5", "05"));
    }
}
