//! The planner's tests: decisions as data, and properties on a model of SQS.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{
    SqsQueue,
    api::SQSQueueSpec,
    attributes::Attribute,
    plan::{Desired, Observed, SetAttributes, desired, plan, queue_name},
};
use crate::{
    aws::identity::Identity,
    engine::{
        kind::{Kind, NotYet, Past, Plan, Referent, Referents},
        memory::{Settling, Written},
    },
};

fn identity() -> Identity {
    Identity {
        account_id: "123456789012".into(),
        partition: "aws".into(),
        region: "eu-west-1".into(),
        name: "orders".into(),
        adopted: false,
        created: false,
    }
}

fn spec(json: Value) -> SQSQueueSpec {
    serde_json::from_value(json).unwrap()
}

fn desired_of(json: Value) -> Result<Desired, NotYet> {
    desired(&spec(json), &identity(), &Referents::new())
}

fn planned(desired: &Desired, observed: &Observed, managed: &[&str], settling: &Settling) -> Plan<SetAttributes> {
    let managed: Vec<String> = managed.iter().map(|field| (*field).to_owned()).collect();
    plan(desired, observed, &Past { managed: &managed, settling, password: None })
}

/// What SQS has after a create or a change: it stores what it is given, and drops what is cleared.
fn apply(observed: &mut Observed, SetAttributes(set): &SetAttributes) {
    for (attribute, value) in set {
        match value.as_str() {
            "" => drop(observed.attributes.remove(attribute)),
            value => drop(observed.attributes.insert(*attribute, value.into())),
        }
    }
}

/// The differences that a plan corrects: `field: actual → desired`.
fn check(spec: Value, actual: &[(Attribute, &str)], managed: &[&str], expected: &[&str]) {
    let desired = desired_of(spec).unwrap();
    let attributes = actual.iter().map(|(attribute, value)| (*attribute, (*value).to_owned())).collect();
    let observed = Observed { fifo: desired.fifo, attributes, ..Observed::default() };
    let plan = planned(&desired, &observed, managed, &Settling::new());
    let differences: Vec<_> = plan
        .differences
        .iter()
        .map(|difference| format!("{}: {} → {}", difference.field, difference.actual, difference.desired))
        .collect();
    assert_eq!(differences, expected);
}

#[test]
fn what_a_plan_corrects() {
    use Attribute as A;
    check(json!({}), &[(A::DelaySeconds, "7")], &[], &[]);
    check(json!({ "delaySeconds": 5 }), &[(A::DelaySeconds, "5")], &[], &[]);
    check(json!({ "delaySeconds": 5 }), &[(A::DelaySeconds, "7")], &[], &["delaySeconds: 7 → 5"]);
    check(json!({ "delaySeconds": 0 }), &[], &[], &[]);
    check(json!({}), &[(A::DelaySeconds, "7")], &["delaySeconds"], &["delaySeconds: 7 → 0"]);
    check(json!({}), &[(A::Policy, "{}")], &["policy"], &["policy: {} → "]);
    check(json!({}), &[], &["policy", "aFieldOfTheFuture"], &[]);
    check(json!({ "fifoQueue": true }), &[], &["contentBasedDeduplication"], &[]);
    check(
        json!({ "kmsMasterKeyID": "k" }),
        &[(A::SqsManagedSseEnabled, "false")],
        &["sqsManagedSseEnabled"],
        &["kmsMasterKeyID:  → k"],
    );
}

#[test]
fn without_its_key_a_queue_is_encrypted_by_sqs() {
    let desired = desired_of(json!({})).unwrap();
    let attributes =
        [(Attribute::KmsMasterKeyId, "k".to_owned()), (Attribute::SqsManagedSseEnabled, "false".to_owned())];
    let observed = Observed { attributes: attributes.into(), ..Observed::default() };
    let plan = planned(&desired, &observed, &["kmsMasterKeyID"], &Settling::new());
    let set = BTreeMap::from([
        (Attribute::KmsMasterKeyId, String::new()),
        (Attribute::SqsManagedSseEnabled, "true".to_owned()),
    ]);
    assert_eq!(plan.changes, [SetAttributes(set)]);
}

#[test]
fn an_old_read_just_after_a_write_is_not_drift_but_a_third_value_is() {
    let written = Written { value: "5".into(), old: BTreeSet::from(["0".to_owned()]) };
    let settling = Settling::from([("delaySeconds".into(), written)]);
    let in_sync = |wished: i32, read: &str| {
        let desired = desired_of(json!({ "delaySeconds": wished })).unwrap();
        let attributes = [(Attribute::DelaySeconds, read.to_owned())].into();
        let observed = Observed { attributes, ..Observed::default() };
        planned(&desired, &observed, &["delaySeconds"], &settling).is_empty()
    };
    assert!(in_sync(5, "5") && in_sync(5, "0") && !in_sync(5, "7"));
    // The spec has changed again: an old read may show what is wished, and is not believed.
    assert!(!in_sync(0, "5") && !in_sync(0, "0") && !in_sync(7, "0"));
}

#[test]
fn a_queue_of_the_other_type_is_left_alone() {
    let desired = desired_of(json!({ "fifoQueue": true, "delaySeconds": 5 })).unwrap();
    let plan = planned(&desired, &Observed::default(), &[], &Settling::new());
    assert!(plan.changes.is_empty());
    assert_eq!(plan.refused.unwrap().difference.field, "fifoQueue");
}

#[test]
fn names() {
    let name = |spec_json: Value, wished: &str| queue_name(&spec(spec_json), wished);
    assert_eq!(name(json!({}), "orders"), Ok("orders".into()));
    assert_eq!(name(json!({ "fifoQueue": true }), "orders"), Ok("orders.fifo".into()));
    assert_eq!(name(json!({ "fifoQueue": true }), "orders.fifo"), Ok("orders.fifo".into()));
    assert!(name(json!({ "fifoQueue": true }), &"a".repeat(75)).is_ok());
    for (spec_json, wished) in [
        (json!({}), "orders.fifo".to_owned()),
        (json!({}), "my.queue".to_owned()),
        (json!({}), String::new()),
        (json!({}), "a".repeat(81)),
        (json!({ "fifoQueue": true }), "a".repeat(76)),
        (json!({ "fifoQueue": true }), ".fifo".to_owned()),
    ] {
        let Err(NotYet::Invalid(text)) = name(spec_json, &wished) else { panic!("{wished} is taken") };
        assert!(text.starts_with("spec.name: "), "{text}");
    }
}

#[test]
fn documents_are_taken_as_object_or_string_and_refused_by_field() {
    let policy = json!({ "Statement": [{ "Effect": "Allow", "Action": "sqs:*" }] });
    let as_object = desired_of(json!({ "policy": policy })).unwrap();
    let as_string = desired_of(json!({ "policy": policy.to_string() })).unwrap();
    assert_eq!(as_object, as_string);
    assert!(as_object.attributes[&Attribute::Policy].contains("arn:aws:sqs:eu-west-1:123456789012:orders"));
    for (bad, field) in [
        (json!({ "policy": 5 }), "spec.policy"),
        (json!({ "policy": "{" }), "spec.policy"),
        (json!({ "policy": { "Id": "x".repeat(9_000) } }), "spec.policy"),
        (json!({ "redriveAllowPolicy": {} }), "spec.redriveAllowPolicy.redrivePermission"),
        (
            json!({ "redriveAllowPolicy": { "redrivePermission": "byQueue" } }),
            "spec.redriveAllowPolicy.sourceQueueArns",
        ),
        (
            json!({ "redriveAllowPolicy": { "redrivePermission": "allowAll", "sourceQueueArns": ["a"] } }),
            "spec.redriveAllowPolicy.sourceQueueArns",
        ),
        (json!({ "redrivePolicy": {} }), "spec.redrivePolicy"),
        (
            json!({ "redrivePolicy": { "deadLetterTargetARN": "arn:aws:sqs:eu-west-1:123456789012:orders" } }),
            "spec.redrivePolicy: a queue can't be its own",
        ),
        (
            json!({ "redrivePolicy": { "deadLetterTargetARN": "arn:aws:sqs:us-east-1:123456789012:dead" } }),
            "spec.redrivePolicy: the dead-letter queue is in us-east-1 123456789012, this queue in eu-west-1",
        ),
    ] {
        let Err(NotYet::Invalid(text)) = desired_of(bad.clone()) else { panic!("{bad} is taken") };
        assert!(text.starts_with(field), "{text}");
    }
}

#[test]
fn a_dead_letter_queue_is_waited_for() {
    let arn = "arn:aws:sqs:eu-west-1:123456789012:dead";
    let check = |referent: Option<Referent>| {
        let spec = spec(json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": "dead" } } }));
        assert_eq!(SqsQueue::references(&spec), ["dead"]);
        desired(&spec, &identity(), &Referents::from([("dead".to_owned(), referent)]))
    };
    let there = |ready, spec| Some(Referent { ready, spec, arn: Some(arn.into()) });
    assert!(matches!(check(None), Err(NotYet::Waiting(text)) if text.contains("does not exist")));
    assert!(matches!(check(there(false, json!({}))), Err(NotYet::Waiting(text)) if text.contains("to be ready")));
    assert!(matches!(check(there(true, json!({ "fifoQueue": true }))), Err(NotYet::Invalid(_))));
    let redrive = check(there(true, json!({}))).unwrap().attributes[&Attribute::RedrivePolicy].clone();
    assert!(
        Attribute::RedrivePolicy
            .same(&redrive, &json!({ "deadLetterTargetArn": arn, "maxReceiveCount": 10 }).to_string())
    );
}

fn specs() -> impl Strategy<Value = Value> {
    let number = |low: i32, high: i32| proptest::option::of(low..=high);
    let policies = prop_oneof![
        Just(json!({ "Statement": [{ "Sid": "a" }, { "Sid": "b" }] })),
        Just(json!({ "Version": "2012-10-17", "Statement": { "Principal": { "AWS": "123456789012" } } })),
        Just(json!(r#"{"Statement":[{"Sid":"b"},{"Sid":"a"}]}"#)),
    ];
    let redrives = prop_oneof![
        Just(json!({ "deadLetterTargetARN": "arn:aws:sqs:eu-west-1:123456789012:a", "maxReceiveCount": 3 })),
        Just(json!({ "deadLetterTargetARN": "arn:aws:sqs:eu-west-1:123456789012:b" })),
    ];
    let allows = prop_oneof![
        Just(json!({ "redrivePermission": "denyAll" })),
        Just(json!({ "redrivePermission": "byQueue", "sourceQueueArns": ["a", "b"] })),
    ];
    let encryption = prop_oneof![
        Just(json!({})),
        Just(json!({ "kmsMasterKeyID": "alias/k" })),
        Just(json!({ "sqsManagedSseEnabled": false })),
        Just(json!({ "sqsManagedSseEnabled": true, "kmsDataKeyReusePeriodSeconds": 60 })),
    ];
    let fifo = prop_oneof![
        Just(json!({})),
        Just(json!({ "contentBasedDeduplication": true })),
        Just(json!({ "deduplicationScope": "messageGroup", "fifoThroughputLimit": "perMessageGroupId" })),
    ];
    use proptest::option::of;
    let numbers = (number(0, 900), number(1_024, 4_096), number(60, 90), number(0, 20), number(0, 60));
    (numbers, of(policies), of(redrives), of(allows), encryption, fifo).prop_map(
        |((delay, size, retention, wait, visibility), policy, redrive, allow, encryption, fifo)| {
            let fields = [
                ("delaySeconds", json!(delay)),
                ("maximumMessageSize", json!(size)),
                ("messageRetentionPeriod", json!(retention)),
                ("receiveMessageWaitTimeSeconds", json!(wait)),
                ("visibilityTimeout", json!(visibility)),
                ("policy", json!(policy)),
                ("redrivePolicy", json!(redrive)),
                ("redriveAllowPolicy", json!(allow)),
            ];
            let mut spec = json!({ "fifoQueue": true });
            let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
            let parts = [encryption, fifo].into_iter().filter_map(|part| part.as_object().cloned()).flatten();
            for (name, value) in fields.chain(parts).filter(|(_, value)| !value.is_null()) {
                spec[name] = value;
            }
            spec
        },
    )
}

fn queues() -> impl Strategy<Value = Observed> {
    let attributes: Vec<_> = Attribute::all().collect();
    let values = prop_oneof![Just("0"), Just("true"), Just("60"), Just("{}"), Just("queue"), Just("x")];
    proptest::collection::btree_map(proptest::sample::select(attributes), values.prop_map(str::to_owned), 0..14)
        .prop_map(|attributes| Observed { fifo: true, attributes, ..Observed::default() })
}

fn fields() -> impl Strategy<Value = Vec<String>> {
    let all: Vec<_> = SqsQueue::FIELDS.iter().copied().chain(["aFieldOfTheFuture"]).map(str::to_owned).collect();
    proptest::sample::subsequence(all, 0..8)
}

proptest! {
    #[test]
    fn a_plan_leads_to_a_queue_that_needs_none(json in specs(), mut queue in queues(), managed in fields()) {
        let desired = desired_of(json).unwrap();
        let past = Past { managed: &managed, settling: &Settling::new(), password: None };
        let first = plan(&desired, &queue, &past);
        prop_assert!(first.changes.len() <= 1);
        for change in &first.changes {
            apply(&mut queue, change);
        }
        let second = plan(&desired, &queue, &past);
        prop_assert!(second.is_empty(), "{:?}\n{:?}", first, second);
    }

    #[test]
    fn a_plan_touches_no_unmanaged_field(json in specs(), queue in queues(), managed in fields()) {
        let desired = desired_of(json).unwrap();
        let plan = plan(&desired, &queue, &Past { managed: &managed, settling: &Settling::new(), password: None });
        for SetAttributes(set) in &plan.changes {
            for attribute in set.keys() {
                let ours = desired.attributes.contains_key(attribute)
                    || managed.iter().any(|field| field == attribute.field())
                    // Removing the KMS key turns SQS's own encryption on.
                    || (*attribute == Attribute::SqsManagedSseEnabled && set.contains_key(&Attribute::KmsMasterKeyId));
                prop_assert!(ours, "{attribute:?}");
            }
        }
    }

    #[test]
    fn a_queue_made_from_a_spec_needs_no_plan(json in specs()) {
        let desired = desired_of(json).unwrap();
        let created = Observed { fifo: true, attributes: desired.attributes.clone(), ..Observed::default() };
        prop_assert!(planned(&desired, &created, &[], &Settling::new()).is_empty());
    }
}
