//! From spec and observation to calls. Pure: no client, no clock.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::{
    QueueUrl,
    api::{RedrivePolicy, SQSQueueSpec},
    attributes::Attribute,
    policy,
};
use crate::{
    aws::{Service, identity::Identity},
    engine::kind::{CREATE_ONLY, Difference, NotYet, Past, Plan, Referent, Referents, Refused},
};

/// The longest queue name, `.fifo` included.
const NAME_LIMIT: usize = 80;
/// The largest policy in bytes.
const POLICY_LIMIT: usize = 8_192;
/// The most queues that a redriveAllowPolicy may name.
const SOURCE_LIMIT: usize = 10;
/// What SQS takes where a redrive policy names no count.
const DEFAULT_RECEIVE_COUNT: i32 = 10;
const FIFO_SUFFIX: &str = ".fifo";

/// What a spec asks, validated, with references resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Desired {
    /// Whether the queue is FIFO.
    pub fifo: bool,
    /// The attributes that the spec sets.
    pub attributes: BTreeMap<Attribute, String>,
    /// The ARN of the dead-letter queue, where there is one.
    pub dead_letter_arn: Option<String>,
}

/// What AWS said of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Whether the queue is FIFO.
    pub fifo: bool,
    /// Its attributes; one that was never set may be missing.
    pub attributes: BTreeMap<Attribute, String>,
    /// When it was created, in seconds since 1970.
    pub created_at: Option<i64>,
    /// Messages that can be received.
    pub visible: i64,
    /// Messages received and not yet deleted.
    pub in_flight: i64,
    /// Messages whose delivery is delayed.
    pub delayed: i64,
}

/// One SetQueueAttributes call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetAttributes(pub BTreeMap<Attribute, String>);

/// The queue's name, given the wished one.
///
/// # Errors
/// Where SQS would not take it.
pub fn queue_name(spec: &SQSQueueSpec, wished: &str) -> Result<String, NotYet> {
    let fifo = spec.fifo_queue == Some(true);
    let stem = wished.strip_suffix(FIFO_SUFFIX);
    let name = match (fifo, stem) {
        (true, None) => format!("{wished}{FIFO_SUFFIX}"),
        _ => wished.to_owned(),
    };
    let invalid = |problem: &str| Err(NotYet::Invalid(format!("spec.name: the queue's name {name:?} {problem}")));
    let stem = if fifo { stem.unwrap_or(wished) } else { wished };
    if !fifo && wished.ends_with(FIFO_SUFFIX) {
        return invalid("ends in .fifo: set spec.fifoQueue to true, or another name");
    }
    if let Some(bad) = stem.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c)) {
        return invalid(&format!("has {bad:?}: SQS allows letters, digits, - and _"));
    }
    if stem.is_empty() || name.len() > NAME_LIMIT {
        return invalid("is not 1 to 80 characters long: set a shorter spec.name");
    }
    Ok(name)
}

/// What `spec` asks of the queue that `identity` means.
///
/// # Errors
/// Where the spec is invalid in a way that its schema can't tell, or a referenced queue is not there
/// or not ready yet.
pub fn desired(spec: &SQSQueueSpec, identity: &Identity, referents: &Referents) -> Result<Desired, NotYet> {
    // Without `..`: a field that is forgotten here would silently do nothing.
    let SQSQueueSpec {
        common: _,
        fifo_queue,
        delay_seconds,
        maximum_message_size,
        message_retention_period,
        receive_message_wait_time_seconds,
        visibility_timeout,
        policy,
        redrive_policy,
        redrive_allow_policy,
        kms_master_key_id,
        kms_data_key_reuse_period_seconds,
        sqs_managed_sse_enabled,
        content_based_deduplication,
        deduplication_scope,
        fifo_throughput_limit,
    } = spec;
    let fifo = *fifo_queue == Some(true);
    let arn = identity.arn(Service("sqs"));
    let redrive = redrive_policy.as_ref().map(|redrive| resolve(redrive, &arn, fifo, referents)).transpose()?;
    let number = |value: &Option<i32>| value.map(|value| value.to_string());
    let switch = |value: &Option<bool>| value.map(|value| value.to_string());
    let values = [
        (Attribute::DelaySeconds, number(delay_seconds)),
        (Attribute::MaximumMessageSize, number(maximum_message_size)),
        (Attribute::MessageRetentionPeriod, number(message_retention_period)),
        (Attribute::ReceiveMessageWaitTimeSeconds, number(receive_message_wait_time_seconds)),
        (Attribute::VisibilityTimeout, number(visibility_timeout)),
        (Attribute::Policy, policy.as_ref().map(|policy| policy_text(policy, &arn)).transpose()?),
        (Attribute::RedrivePolicy, redrive.as_ref().map(|redrive| redrive.text.clone())),
        (Attribute::RedriveAllowPolicy, redrive_allow_policy.as_ref().map(redrive_allow_text).transpose()?),
        (Attribute::KmsMasterKeyId, kms_master_key_id.clone()),
        (Attribute::KmsDataKeyReusePeriodSeconds, number(kms_data_key_reuse_period_seconds)),
        (Attribute::SqsManagedSseEnabled, switch(sqs_managed_sse_enabled)),
        (Attribute::ContentBasedDeduplication, switch(content_based_deduplication)),
        (Attribute::DeduplicationScope, word(deduplication_scope)),
        (Attribute::FifoThroughputLimit, word(fifo_throughput_limit)),
    ];
    let attributes = values.into_iter().filter_map(|(attribute, value)| Some((attribute, value?))).collect();
    Ok(Desired { fifo, attributes, dead_letter_arn: redrive.map(|redrive| redrive.arn) })
}

/// The calls that turn `observed` into `desired`: at most one, since SQS takes all attributes
/// together.
pub fn plan(desired: &Desired, observed: &Observed, past: &Past<'_>) -> Plan<SetAttributes> {
    if desired.fifo != observed.fifo {
        let (actual, desired) = (observed.fifo.to_string(), desired.fifo.to_string());
        let settles_within = std::time::Duration::ZERO;
        let difference = Difference { field: "fifoQueue".into(), actual, desired, settles_within };
        let refused = Refused { reason: "ImmutableField", difference, why: CREATE_ONLY.into() };
        return Plan { refused: Some(refused), ..Plan::default() };
    }
    let mut set = BTreeMap::new();
    let mut differences = Vec::new();
    for attribute in Attribute::all() {
        let Some(wished) = wished(attribute, desired, past) else { continue };
        let actual = observed.attributes.get(&attribute).map_or(attribute.default_value(), String::as_str);
        let in_effect = match past.settling.get(attribute.field()) {
            // What we wrote last is in effect, whatever a read shows; a third value is somebody else's.
            Some(written) if attribute.same(&written.value, &wished) => {
                attribute.same(actual, &wished) || written.old.iter().any(|old| attribute.same(old, actual))
            }
            // What is wished now is not what we wrote last: a read that shows it is an old one.
            Some(_) => false,
            None => attribute.same(actual, &wished),
        };
        if in_effect {
            continue;
        }
        differences.push(Difference {
            field: attribute.field().into(),
            actual: actual.into(),
            desired: wished.clone(),
            settles_within: attribute.settles_within(),
        });
        set.insert(attribute, wished);
    }
    // Without a key of its own a queue would be left unencrypted.
    if set.get(&Attribute::KmsMasterKeyId).is_some_and(String::is_empty) {
        set.entry(Attribute::SqsManagedSseEnabled)
            .or_insert_with(|| Attribute::SqsManagedSseEnabled.default_value().into());
    }
    let changes = if set.is_empty() { Vec::new() } else { vec![SetAttributes(set)] };
    Plan { changes, differences, ..Plan::default() }
}

/// What applications need to reach the queue, and its dead-letter queue.
pub fn connection(identity: &Identity, url: &QueueUrl, desired: &Desired) -> BTreeMap<String, String> {
    let mut data: BTreeMap<_, _> = [
        ("queueName", identity.name.clone()),
        ("queueURL", url.0.clone()),
        ("queueARN", identity.arn(Service("sqs"))),
        ("region", identity.region.clone()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into();
    if let Some(arn) = &desired.dead_letter_arn {
        let name = arn.rsplit(':').next().unwrap_or_default();
        // A dead-letter queue is in the same account and region, so its URL differs in the name alone.
        let base = url.0.rsplit_once('/').map_or("", |(base, _)| base);
        data.insert("deadLetterQueueName".into(), name.into());
        data.insert("deadLetterQueueURL".into(), format!("{base}/{name}"));
        data.insert("deadLetterQueueARN".into(), arn.clone());
    }
    data
}

/// The value that an attribute ought to have; `None` where that is not ours to say.
fn wished(attribute: Attribute, desired: &Desired, past: &Past<'_>) -> Option<String> {
    if let Some(value) = desired.attributes.get(&attribute) {
        return Some(value.clone());
    }
    let was_ours = past.managed.iter().any(|field| field == attribute.field());
    let applies = match attribute {
        // Back to SSE-SQS, except where the spec has a KMS key by now.
        Attribute::SqsManagedSseEnabled => !desired.attributes.contains_key(&Attribute::KmsMasterKeyId),
        attribute => desired.fifo || !attribute.is_fifo(),
    };
    (was_ours && applies).then(|| attribute.default_value().to_owned())
}

struct Redrive {
    arn: String,
    text: String,
}

fn resolve(redrive: &RedrivePolicy, own_arn: &str, fifo: bool, referents: &Referents) -> Result<Redrive, NotYet> {
    let RedrivePolicy { dead_letter_target_arn, dead_letter_queue_ref, max_receive_count } = redrive;
    let arn = match (dead_letter_target_arn, dead_letter_queue_ref) {
        (Some(arn), None) => arn.clone(),
        (None, Some(reference)) => dead_letter_arn(&reference.name, fifo, referents)?,
        _ => {
            return Err(NotYet::Invalid(
                "spec.redrivePolicy: set deadLetterTargetARN or deadLetterQueueRef, one of them".into(),
            ));
        }
    };
    let place = |arn: &str| arn.split(':').skip(3).take(2).map(str::to_owned).collect::<Vec<_>>().join(" ");
    if place(&arn) != place(own_arn) {
        return Err(NotYet::Invalid(format!(
            "spec.redrivePolicy: the dead-letter queue is in {}, this queue in {}; SQS wants both in one region and \
             account",
            place(&arn),
            place(own_arn)
        )));
    }
    if arn == own_arn {
        return Err(NotYet::Invalid("spec.redrivePolicy: a queue can't be its own dead-letter queue".into()));
    }
    let max_receive_count = max_receive_count.unwrap_or(DEFAULT_RECEIVE_COUNT);
    let text = json!({ "deadLetterTargetArn": arn, "maxReceiveCount": max_receive_count }).to_string();
    Ok(Redrive { arn, text })
}

fn dead_letter_arn(name: &str, fifo: bool, referents: &Referents) -> Result<String, NotYet> {
    const FIELD: &str = "spec.redrivePolicy.deadLetterQueueRef";
    let Some(Referent { ready, spec, arn }) = referents.get(name).and_then(Option::as_ref) else {
        return Err(NotYet::Waiting(format!("{FIELD}: waiting for SQSQueue {name}, which does not exist")));
    };
    if (spec.get("fifoQueue") == Some(&Value::Bool(true))) != fifo {
        return Err(NotYet::Invalid(format!(
            "{FIELD}: SQSQueue {name} is of the other type; the dead-letter queue of a FIFO queue is FIFO, that of a \
             standard queue is standard"
        )));
    }
    match arn {
        Some(arn) if *ready => Ok(arn.clone()),
        _ => Err(NotYet::Waiting(format!("{FIELD}: waiting for SQSQueue {name} to be ready"))),
    }
}

fn policy_text(policy: &Value, arn: &str) -> Result<String, NotYet> {
    let policy = policy::with_resource(document("policy", policy)?, arn);
    let text = Value::Object(policy).to_string();
    if text.len() > POLICY_LIMIT {
        return Err(NotYet::Invalid(format!(
            "spec.policy: {} bytes, and SQS takes at most {POLICY_LIMIT}: shorten it",
            text.len()
        )));
    }
    Ok(text)
}

fn redrive_allow_text(value: &Value) -> Result<String, NotYet> {
    let document = document("redriveAllowPolicy", value)?;
    let invalid = |problem: &str| Err(NotYet::Invalid(format!("spec.redriveAllowPolicy{problem}")));
    let sources = document.get("sourceQueueArns").and_then(Value::as_array).map(Vec::len);
    match (document.get("redrivePermission").and_then(Value::as_str), sources) {
        (Some("allowAll" | "denyAll"), None) => {}
        (Some("byQueue"), Some(1..=SOURCE_LIMIT)) => {}
        (Some("byQueue"), _) => return invalid(".sourceQueueArns: byQueue needs 1 to 10 queue ARNs"),
        (Some("allowAll" | "denyAll"), Some(_)) => {
            return invalid(".sourceQueueArns: only byQueue takes it; remove it");
        }
        _ => return invalid(".redrivePermission: allowAll, denyAll or byQueue"),
    }
    Ok(Value::Object(document).to_string())
}

/// A document that was given as an object or as a JSON string.
fn document(field: &str, value: &Value) -> Result<Map<String, Value>, NotYet> {
    match value {
        Value::Object(document) => Ok(document.clone()),
        Value::String(text) => serde_json::from_str(text)
            .map_err(|error| NotYet::Invalid(format!("spec.{field}: the string is no JSON object: {error}"))),
        _ => Err(NotYet::Invalid(format!("spec.{field}: an object, or a string of JSON"))),
    }
}

/// A value of an enumeration, as AWS writes it.
fn word<T: Serialize>(value: &Option<T>) -> Option<String> {
    serde_json::to_value(value.as_ref()?).ok()?.as_str().map(str::to_owned)
}
