//! The table: what AWS's documentation says, and who is known to say something else.
//!
//! A deviation is asserted like everything else: one that disappears fails here, and is then taken out.

use std::pin::Pin;

use anyhow::{Result, ensure};

use crate::instance_checks;
use crate::queues as look;
use crate::target::Kind::{self, Fake, Ministack, Moto};
use crate::target::Target;

pub struct Check {
    pub name: &'static str,
    /// As AWS documents it.
    pub aws: &'static str,
    /// Who answers what instead.
    pub but: &'static [(Kind, &'static str)],
    pub look: for<'a> fn(&'a Target) -> Looking<'a>,
}

pub type Looking<'a> = Pin<Box<dyn Future<Output = Result<String>> + 'a>>;

const NOT_FOUND: &str = "AWS.SimpleQueueService.NonExistentQueue";

const CHECKS: &[Check] = &[
    Check {
        name: "the same create returns the existing queue",
        aws: "the same URL",
        but: &[],
        look: |t| Box::pin(look::same_create(t)),
    },
    Check {
        name: "attributes that a create omits are not compared",
        aws: "the same URL",
        but: &[],
        look: |t| Box::pin(look::omitted_attributes(t)),
    },
    Check {
        name: "other attributes conflict",
        aws: "QueueAlreadyExists",
        but: &[],
        look: |t| Box::pin(look::other_attributes(t)),
    },
    Check {
        name: "a key that the queue has not conflicts",
        aws: "QueueAlreadyExists",
        but: &[(Ministack, "ok")],
        look: |t| Box::pin(look::other_key(t)),
    },
    Check {
        name: "other tags conflict",
        aws: "QueueAlreadyExists",
        but: &[(Ministack, "ok"), (Moto, "ok")],
        look: |t| Box::pin(look::other_tags(t)),
    },
    Check {
        name: "bad attribute values are refused",
        aws: "InvalidAttributeValue, InvalidAttributeValue, InvalidAttributeValue, InvalidAttributeValue",
        but: &[(Moto, "ok, an error without a code, InvalidAttributeValue, InvalidParameterValue")],
        look: |t| Box::pin(look::bad_values(t)),
    },
    Check {
        name: "unknown attributes are refused",
        aws: "InvalidAttributeName, InvalidAttributeName, InvalidAttributeName",
        but: &[(Ministack, "ok, ok, ok"), (Moto, "ok, ok, InvalidAttributeName")],
        look: |t| Box::pin(look::unknown_attributes(t)),
    },
    Check {
        name: "bad names are refused",
        aws: "InvalidParameterValue, InvalidParameterValue, InvalidParameterValue, InvalidParameterValue",
        but: &[
            (Ministack, "ok, ok, ok, InvalidParameterValue"),
            (Moto, "InvalidParameterValue, InvalidParameterValue, ok, InvalidParameterValue"),
        ],
        look: |t| Box::pin(look::bad_names(t)),
    },
    Check {
        name: "a FIFO queue shows its own attributes",
        aws: "ContentBasedDeduplication=false DeduplicationScope=queue FifoQueue=true FifoThroughputLimit=perQueue",
        but: &[(Ministack, "ContentBasedDeduplication=false FifoQueue=true")],
        look: |t| Box::pin(look::fifo(t)),
    },
    Check {
        name: "what does not exist is not found",
        aws: "GetQueueUrl, GetQueueAttributes, SetQueueAttributes, ListQueueTags, TagQueue, UntagQueue, DeleteQueue, \
              SendMessage, ReceiveMessage, PurgeQueue",
        but: &[],
        look: |t| Box::pin(look::not_found(t, NOT_FOUND)),
    },
    Check {
        name: "without names there are no attributes",
        aws: "none",
        but: &[(Ministack, "11")],
        look: |t| Box::pin(look::no_names(t)),
    },
    Check {
        name: "all attributes of a new queue",
        aws: "ApproximateNumberOfMessages ApproximateNumberOfMessagesDelayed ApproximateNumberOfMessagesNotVisible \
              CreatedTimestamp DelaySeconds LastModifiedTimestamp MaximumMessageSize MessageRetentionPeriod QueueArn \
              ReceiveMessageWaitTimeSeconds SqsManagedSseEnabled VisibilityTimeout",
        but: &[(
            Ministack,
            "ApproximateNumberOfMessages ApproximateNumberOfMessagesDelayed ApproximateNumberOfMessagesNotVisible \
             CreatedTimestamp DelaySeconds LastModifiedTimestamp MaximumMessageSize MessageRetentionPeriod QueueArn \
             ReceiveMessageWaitTimeSeconds VisibilityTimeout",
        )],
        look: |t| Box::pin(look::all_names(t)),
    },
    Check {
        name: "defaults",
        aws: "DelaySeconds=0 MaximumMessageSize=1048576 MessageRetentionPeriod=345600 \
              ReceiveMessageWaitTimeSeconds=0 VisibilityTimeout=30",
        but: &[],
        look: |t| Box::pin(look::defaults(t)),
    },
    Check {
        name: "the ARN and the times are computed",
        aws: "right ARN, created=modified",
        but: &[],
        look: |t| Box::pin(look::computed(t)),
    },
    Check {
        name: "numbers are changed",
        aws: "ok, DelaySeconds=9 VisibilityTimeout=77",
        but: &[],
        look: |t| Box::pin(look::change_numbers(t)),
    },
    Check {
        name: "a create sets the policy",
        aws: "set",
        but: &[],
        look: |t| Box::pin(look::created_with(t, "Policy")),
    },
    Check {
        name: "a create sets the redrive allow policy",
        aws: "set",
        but: &[(Moto, "dropped")],
        look: |t| Box::pin(look::created_with(t, "RedriveAllowPolicy")),
    },
    Check {
        name: "a policy is kept and cleared",
        aws: "set, cleared",
        but: &[],
        look: |t| Box::pin(look::clearing(t, "Policy")),
    },
    Check {
        name: "another change keeps the policy",
        aws: "kept",
        but: &[(Moto, "dropped")],
        look: |t| Box::pin(look::policy_after_change(t)),
    },
    Check {
        name: "a redrive policy is kept and cleared",
        aws: "set, cleared",
        but: &[],
        look: |t| Box::pin(look::clearing(t, "RedrivePolicy")),
    },
    Check {
        name: "a redrive allow policy is kept and cleared",
        aws: "set, cleared",
        but: &[(Moto, "dropped, cleared")],
        look: |t| Box::pin(look::clearing(t, "RedriveAllowPolicy")),
    },
    Check {
        name: "a key replaces the managed encryption, and is cleared",
        aws: "KmsDataKeyReusePeriodSeconds=300 KmsMasterKeyId=alias/one SqsManagedSseEnabled=false; \
              SqsManagedSseEnabled=false; SqsManagedSseEnabled=true",
        but: &[
            (Ministack, "KmsMasterKeyId=alias/one; KmsMasterKeyId=; KmsMasterKeyId= SqsManagedSseEnabled=true"),
            (
                Moto,
                "KmsDataKeyReusePeriodSeconds=300 KmsMasterKeyId=alias/one SqsManagedSseEnabled=true; \
             SqsManagedSseEnabled=true; SqsManagedSseEnabled=true",
            ),
        ],
        look: |t| Box::pin(look::encryption(t)),
    },
    Check {
        name: "a dead-letter queue has to exist",
        aws: "InvalidParameterValue",
        but: &[(Ministack, "InvalidAttributeValue"), (Moto, "AWS.SimpleQueueService.NonExistentQueue")],
        look: |t| Box::pin(look::missing_dead_letter(t)),
    },
    Check {
        name: "tags are added, replaced and removed",
        aws: "a=1 b=2; a=1 b=3 c=4; b=3",
        but: &[],
        look: |t| Box::pin(look::tags(t)),
    },
    Check {
        name: "listings are paged only when they are asked to",
        aws: "5 without token; 2 token, 2 token, 1",
        but: &[],
        look: |t| Box::pin(look::listing(t)),
    },
    Check {
        name: "a listing without a match is empty",
        aws: "0",
        but: &[],
        look: |t| Box::pin(look::empty_listing(t)),
    },
    Check {
        name: "messages are counted where they are",
        aws: "3 0 1; 1 2 1; 1 1 1; 0 0 0",
        but: &[],
        look: |t| Box::pin(look::counts(t)),
    },
    Check {
        name: "a deleted queue is gone",
        aws: "ok, AWS.SimpleQueueService.NonExistentQueue",
        but: &[],
        look: |t| Box::pin(look::deleted(t)),
    },
    Check {
        name: "a deleted queue's name is blocked",
        aws: "AWS.SimpleQueueService.QueueDeletedRecently",
        but: &[(Ministack, "ok"), (Moto, "ok")],
        look: |t| Box::pin(look::deleted_recently(t)),
    },
    Check { name: "a caller learns its account", aws: "same account", but: &[], look: |t| Box::pin(look::caller(t)) },
];

/// Runs the whole table, and says everything that is wrong with it.
async fn hold(kind: Kind) -> Result<()> {
    let target = Target::of(kind).await?;
    let mut wrong = Vec::new();
    for Check { name, aws, but, look } in CHECKS.iter().chain(instance_checks::CHECKS) {
        let expected = but.iter().find(|(who, _)| *who == kind).map_or(*aws, |(_, answer)| *answer);
        let seen = look(&target).await.unwrap_or_else(|error| format!("error: {error:#}"));
        if seen != expected {
            wrong.push(format!("{name}\n    expected: {expected}\n    answered: {seen}"));
        }
    }
    ensure!(wrong.is_empty(), "{kind:?}:\n  {}", wrong.join("\n  "));
    Ok(())
}

#[tokio::test]
async fn the_fake_answers_as_documented() -> Result<()> {
    for check in CHECKS.iter().chain(instance_checks::CHECKS) {
        ensure!(check.but.iter().all(|(kind, _)| *kind != Fake), "{}: the fake may not deviate", check.name);
    }
    hold(Fake).await
}

#[tokio::test]
async fn ministack_answers_as_documented_or_as_known() -> Result<()> {
    hold(Ministack).await
}

#[tokio::test]
async fn moto_answers_as_documented_or_as_known() -> Result<()> {
    hold(Moto).await
}
