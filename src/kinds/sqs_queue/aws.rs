//! The calls to SQS. They decide nothing.

use std::collections::HashMap;

use aws_sdk_sqs::{Client, types::QueueAttributeName};

use super::{
    QueueUrl,
    attributes::Attribute,
    plan::{Desired, Observed, SetAttributes},
};
use crate::{
    aws::{
        call::Regional,
        errors::{AwsError, ErrorClass},
        identity::Identity,
        tags::{TagChanges, Tags},
    },
    shard::Permit,
};

/// How long a deleted queue's name is blocked, in seconds (`QueueDeletedRecently`).
const NAME_BLOCKED: u64 = 60;

/// SQS's own error codes. The short names: which form comes depends on the protocol and on a header.
pub(super) fn classify(code: &str, message: &str) -> Option<ErrorClass> {
    Some(match code {
        "NonExistentQueue" | "QueueDoesNotExist" => ErrorClass::NotFound,
        "QueueAlreadyExists" | "QueueNameExists" => ErrorClass::Conflict,
        "QueueDeletedRecently" => ErrorClass::Later(NAME_BLOCKED),
        // A role or a dead-letter queue that was made a moment ago may not be known yet.
        "InvalidAttributeValue" | "InvalidParameterValue" if message.contains("Policy") => ErrorClass::PerhapsTerminal,
        "InvalidAttributeName"
        | "InvalidAttributeValue"
        | "InvalidAddress"
        | "InvalidSecurity"
        | "UnsupportedOperation"
        | "OverLimit" => ErrorClass::Terminal,
        _ => return None,
    })
}

pub(super) async fn find(sqs: &Regional<Client>, identity: &Identity) -> Result<Option<QueueUrl>, AwsError> {
    let name = &identity.name;
    let answer = sqs.read("GetQueueUrl", name, |sqs| sqs.get_queue_url().queue_name(name).send()).await;
    Ok(if_found(answer)?.and_then(|answer| answer.queue_url).map(QueueUrl))
}

pub(super) async fn observe(sqs: &Regional<Client>, QueueUrl(url): &QueueUrl) -> Result<Option<Observed>, AwsError> {
    let call = |sqs: &Client| sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All).send();
    let answer = sqs.read("GetQueueAttributes", url, call).await;
    Ok(if_found(answer)?.map(|answer| observed(&answer.attributes.unwrap_or_default())))
}

pub(super) async fn tags(sqs: &Regional<Client>, QueueUrl(url): &QueueUrl) -> Result<Tags, AwsError> {
    let answer = sqs.read("ListQueueTags", url, |sqs| sqs.list_queue_tags().queue_url(url).send()).await?;
    Ok(answer.tags.unwrap_or_default().into_iter().collect())
}

pub(super) async fn create(
    sqs: &Regional<Client>,
    permit: &Permit,
    identity: &Identity,
    desired: &Desired,
    tags: &Tags,
) -> Result<QueueUrl, AwsError> {
    let name = &identity.name;
    let mut attributes = named(&desired.attributes);
    if desired.fifo {
        attributes.insert(QueueAttributeName::FifoQueue, "true".into());
    }
    let tags = tags.clone().into_iter().collect();
    let call =
        |sqs: &Client| sqs.create_queue().queue_name(name).set_attributes(Some(attributes)).set_tags(Some(tags)).send();
    let answer = sqs.mutate(permit, "CreateQueue", name, call).await?;
    Ok(QueueUrl(answer.queue_url.unwrap_or_default()))
}

pub(super) async fn set_attributes(
    sqs: &Regional<Client>,
    permit: &Permit,
    QueueUrl(url): &QueueUrl,
    SetAttributes(attributes): &SetAttributes,
) -> Result<(), AwsError> {
    let call = |sqs: &Client| sqs.set_queue_attributes().queue_url(url).set_attributes(Some(named(attributes))).send();
    sqs.mutate(permit, "SetQueueAttributes", url, call).await?;
    Ok(())
}

pub(super) async fn retag(
    sqs: &Regional<Client>,
    permit: &Permit,
    QueueUrl(url): &QueueUrl,
    TagChanges { set, remove }: &TagChanges,
) -> Result<(), AwsError> {
    if !set.is_empty() {
        let tags = set.clone().into_iter().collect();
        let call = |sqs: &Client| sqs.tag_queue().queue_url(url).set_tags(Some(tags)).send();
        sqs.mutate(permit, "TagQueue", url, call).await?;
    }
    if !remove.is_empty() {
        let call = |sqs: &Client| sqs.untag_queue().queue_url(url).set_tag_keys(Some(remove.clone())).send();
        sqs.mutate(permit, "UntagQueue", url, call).await?;
    }
    Ok(())
}

pub(super) async fn delete(sqs: &Regional<Client>, permit: &Permit, QueueUrl(url): &QueueUrl) -> Result<(), AwsError> {
    let answer = sqs.mutate(permit, "DeleteQueue", url, |sqs| sqs.delete_queue().queue_url(url).send()).await;
    if_found(answer).map(|_| ())
}

fn if_found<T>(answer: Result<T, AwsError>) -> Result<Option<T>, AwsError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(error) if error.class == ErrorClass::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn named<'a>(attributes: impl IntoIterator<Item = (&'a Attribute, &'a String)>) -> HashMap<QueueAttributeName, String> {
    attributes.into_iter().map(|(attribute, value)| (attribute.name().clone(), value.clone())).collect()
}

fn observed(attributes: &HashMap<QueueAttributeName, String>) -> Observed {
    use QueueAttributeName as Name;
    // Whole numbers, though some emulators give fractions of a second.
    let number = |name: Name| attributes.get(&name).and_then(|value| value.split('.').next()?.parse().ok());
    Observed {
        fifo: attributes.get(&Name::FifoQueue).is_some_and(|value| value == "true"),
        attributes: Attribute::all()
            .filter_map(|attribute| Some((attribute, attributes.get(attribute.name())?.clone())))
            .collect(),
        created_at: number(Name::CreatedTimestamp),
        visible: number(Name::ApproximateNumberOfMessages).unwrap_or_default(),
        in_flight: number(Name::ApproximateNumberOfMessagesNotVisible).unwrap_or_default(),
        delayed: number(Name::ApproximateNumberOfMessagesDelayed).unwrap_or_default(),
    }
}
