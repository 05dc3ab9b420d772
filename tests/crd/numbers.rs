//! Ranges of numbers, and values of the wrong type.

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::{Case, SQS, accepted, check, refused};

/// Field, least and greatest value.
const RANGES: [(&str, i64, i64); 7] = [
    ("delaySeconds", 0, 900),
    ("maximumMessageSize", 1_024, 1_048_576),
    ("messageRetentionPeriod", 60, 1_209_600),
    ("receiveMessageWaitTimeSeconds", 0, 20),
    ("visibilityTimeout", 0, 43_200),
    ("kmsDataKeyReusePeriodSeconds", 60, 86_400),
    ("redrivePolicy.maxReceiveCount", 1, 1_000),
];

const SWITCHES: [&str; 4] = ["fifoQueue", "sqsManagedSseEnabled", "contentBasedDeduplication", "connection.enabled"];
const TEXTS: [&str; 8] = [
    "region",
    "name",
    "deletionPolicy",
    "management",
    "adoption",
    "kmsMasterKeyID",
    "connection.name",
    "redrivePolicy.deadLetterTargetARN",
];
const OBJECTS: [&str; 5] =
    ["tags", "connection", "connection.keys", "redrivePolicy", "redrivePolicy.deadLetterQueueRef"];

/// A spec with one field, and what else that field needs.
fn with(field: &str, value: Value) -> Value {
    match field.split_once('.') {
        Some(("redrivePolicy", "maxReceiveCount")) => {
            json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" }, "maxReceiveCount": value } })
        }
        Some((outer, inner)) => json!({ outer: { inner: value } }),
        None if field == "contentBasedDeduplication" => json!({ "fifoQueue": true, field: value }),
        None => json!({ field: value }),
    }
}

pub fn ranges() -> Vec<Case> {
    ranges_of(&RANGES, with)
}

pub fn switches() -> Vec<Case> {
    switches_of(&SWITCHES, with)
}

/// Both ends of each range, and what is beyond them. `with` makes the spec with one field.
pub fn ranges_of(ranges: &[(&str, i64, i64)], with: fn(&str, Value) -> Value) -> Vec<Case> {
    let of = |&(field, least, greatest): &(&str, i64, i64)| {
        let beyond = |word: &str, limit: i64| format!("spec.{field} in body should be {word} than or equal to {limit}");
        [
            accepted(with(field, json!(least))),
            accepted(with(field, json!(greatest))),
            refused(with(field, json!(least - 1)), beyond("greater", least)),
            refused(with(field, json!(greatest + 1)), beyond("less", greatest)),
        ]
    };
    ranges.iter().flat_map(of).collect()
}

/// Both values of each switch.
pub fn switches_of(switches: &[&str], with: fn(&str, Value) -> Value) -> Vec<Case> {
    switches.iter().flat_map(|field| [true, false].map(|value| accepted(with(field, json!(value))))).collect()
}

/// A value of another type in each field.
pub fn wrong_types(kinds: &[(&str, &[&str])], with: fn(&str, Value) -> Value) -> Vec<Case> {
    let wrong = |field: &str, value: Value, kind: &str| {
        refused(with(field, value), format!("spec.{field} in body must be of type {kind}"))
    };
    let mut cases = Vec::new();
    for (kind, fields) in kinds {
        for field in *fields {
            match *kind {
                "integer" => {
                    cases.push(wrong(field, json!("60"), "integer"));
                    cases.push(wrong(field, json!(60.5), "int"));
                }
                "boolean" => cases.push(wrong(field, json!("true"), "boolean")),
                "string" => cases.push(wrong(field, json!(5), "string")),
                "array" => cases.push(wrong(field, json!("a"), "array")),
                _ => cases.push(wrong(field, json!(["a"]), "object")),
            }
        }
    }
    cases
}

#[tokio::test]
async fn ranges_end_where_those_of_sqs_end() -> Result<()> {
    check(&SQS, ranges()).await
}

#[tokio::test]
async fn switches_take_both_values() -> Result<()> {
    check(&SQS, switches()).await
}

#[tokio::test]
async fn values_of_the_wrong_type_are_refused_by_field() -> Result<()> {
    let numbers = RANGES.map(|(field, _, _)| field);
    let kinds: [(&str, &[&str]); 4] =
        [("integer", &numbers), ("boolean", &SWITCHES), ("string", &TEXTS), ("object", &OBJECTS)];
    let mut cases = wrong_types(&kinds, with);
    let keys = json!({ "connection": { "keys": { "queueURL": 5 } } });
    cases.push(refused(keys, "spec.connection.keys.queueURL in body must be of type string"));
    cases.push(refused(json!("none"), "spec in body must be of type object"));
    check(&SQS, cases).await
}

#[tokio::test]
async fn a_field_that_is_not_known_is_refused_by_name() -> Result<()> {
    let cases = vec![
        refused(json!({ "delaySecond": 1 }), "unknown field \"spec.delaySecond\""),
        refused(json!({ "redrivePolicy": { "maxReceive": 1 } }), "unknown field \"spec.redrivePolicy.maxReceive\""),
    ];
    check(&SQS, cases).await
}
