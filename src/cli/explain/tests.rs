//! What is concluded of an object, as data.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::{
    report::{Seen, Stands, conclude},
    target, text,
};
use crate::{
    engine::{
        objects::Object,
        preview::{Outcome, Preview},
    },
    telemetry::object_status::{FlowStatusz, ObjectStatusz, QueueStand},
};

fn seen(conditions: &[(&str, &str, &str)], more: Value) -> Seen {
    let conditions: Vec<_> = conditions
        .iter()
        .map(|(kind, status, reason)| {
            json!({
                "type": kind, "status": status, "reason": reason, "message": format!("about {reason}"),
                "lastTransitionTime": "2026-01-02T03:04:05Z",
            })
        })
        .collect();
    let mut object = json!({
        "metadata": { "name": "orders", "namespace": "shop", "uid": "u", "generation": 2 },
        "status": { "observedGeneration": 2, "conditions": conditions },
    });
    for (field, value) in more.as_object().into_iter().flatten() {
        object["metadata"][field] = value.clone();
    }
    Seen {
        now: "2026-01-02T03:05:05Z".parse::<Timestamp>().unwrap(),
        kind: "SQSQueue",
        object: Object(serde_json::from_value(object).unwrap()),
        leader: None,
        told: None,
        next: None,
        events: Vec::new(),
        unseen: Vec::new(),
    }
}

#[test]
fn the_headline_is_what_matters_most() {
    let deleting = json!({ "deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["f"] });
    let paused = json!({ "annotations": { "aws.fairlead.dev/paused": "true" }, "generation": 3 });
    let none = json!({});
    let (yes, no) = ("True", "False");
    for (conditions, more, stands, reason) in [
        (vec![("Ready", yes, "Available"), ("Synced", yes, "InSync")], &none, Stands::Ready, "InSync"),
        (vec![("Ready", yes, "Available"), ("Synced", no, "AWSError")], &none, Stands::ReadyNotInSync, "AWSError"),
        (
            vec![("Ready", yes, "Available"), ("Synced", no, "X"), ("Stalled", yes, "Denied")],
            &none,
            Stands::ReadyNotInSync,
            "Denied",
        ),
        (vec![("Ready", no, "Creating"), ("Synced", no, "Creating")], &none, Stands::NotReady, "Creating"),
        (vec![("Ready", no, "X"), ("Synced", no, "X"), ("Stalled", yes, "Denied")], &none, Stands::NotReady, "Denied"),
        (vec![("Synced", no, "Paused")], &none, Stands::Paused, "Paused"),
        (vec![], &none, Stands::NotYetSeen, ""),
        (
            vec![("Ready", yes, "Available"), ("Synced", yes, "InSync")],
            &json!({ "generation": 3 }),
            Stands::NotYetSeen,
            "",
        ),
        // A pause is told of any spec.
        (vec![("Ready", yes, "Available"), ("Synced", no, "Paused")], &paused, Stands::Paused, "Paused"),
        (vec![("Ready", yes, "Available")], &deleting, Stands::Deleting, ""),
        (vec![("Ready", no, "Deleting"), ("Synced", no, "Deleting")], &deleting, Stands::Deleting, "Deleting"),
        (
            vec![("Synced", no, "X"), ("Stalled", yes, "DeletionBlocked")],
            &deleting,
            Stands::DeletionBlocked,
            "DeletionBlocked",
        ),
    ] {
        let report = conclude(seen(&conditions, more.clone()));
        assert_eq!((report.headline.stands, &*report.headline.reason), (stands, reason), "{conditions:?} {more}");
    }
}

#[test]
fn the_queue_and_the_flow_in_words() {
    let queue =
        |stand: &str| QueueStand { stand: stand.into(), priority: Some("poll".into()), ..QueueStand::default() };
    let flow = FlowStatusz {
        account: "1".into(),
        region: "r".into(),
        service: "sqs".into(),
        rate: 2.5,
        ceiling: 100.0,
        poll_stretch: 1.0,
        ..FlowStatusz::default()
    };
    for (queue, flow, words) in [
        (QueueStand { due_in_seconds: Some(12.0), ..queue("due") }, flow.clone(), "due in 12s for a regular look\n"),
        (
            QueueStand { due_in_seconds: Some(12.0), with_others: true, ..queue("due") },
            flow.clone(),
            "due in 12s for a regular look, together with others",
        ),
        (
            QueueStand { waiting_for_seconds: Some(3.0), waits_for: Some("token".into()), ..queue("waiting") },
            flow.clone(),
            "has been due for 3.0s for a regular look, and waits for a token",
        ),
        (
            QueueStand { running_for_seconds: Some(3.0), ..queue("running") },
            flow.clone(),
            "runs, for 3.0s for a regular look",
        ),
        (
            QueueStand { failures: 4, backoff_seconds: Some(20.0), ..queue("idle") },
            flow.clone(),
            "4 in a row failed, held back for 20s more",
        ),
        (queue("idle"), flow.clone(), "1/r/sqs: 2.5 of at most 100 calls a second; 0 due, 0 running"),
        (
            queue("idle"),
            FlowStatusz { throttled_seconds_ago: Some(4.0), ..flow.clone() },
            "; THROTTLED by AWS 4.0s ago",
        ),
        (
            queue("idle"),
            FlowStatusz { circuit_open_for_seconds: Some(40.0), ..flow.clone() },
            "AWS HAS NOT ANSWERED for 40s",
        ),
        (queue("idle"), FlowStatusz { poll_stretch: 2.5, ..flow.clone() }, "looks come 2.5 times more seldom"),
    ] {
        let told = ObjectStatusz { queue: Some(queue), flow: Some(flow), ..ObjectStatusz::default() };
        let seen = Seen { told: Some(told), ..seen(&[("Ready", "True", "Available")], json!({})) };
        let text = text::text(&conclude(seen));
        assert!(text.contains(words), "{words:?} is not in\n{text}");
    }
}

#[test]
fn nothing_that_others_write_reaches_the_terminal_as_it_is() {
    let mut seen = seen(&[("Ready", "False", "X"), ("Synced", "False", "Y")], json!({}));
    seen.object.0.data["status"]["conditions"][0]["message"] = json!("\u{1b}[31mred\r\n");
    seen.next = Some(Preview::new(Outcome::Refuse, "a\u{7}b"));
    let text = text::text(&conclude(seen));
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
}

#[test]
fn objects_are_named_as_kubectl_takes_them() {
    for words in [&["sqsqueue/a"][..], &["SQSQueues/a"], &["queue", "a"], &["sqsqueues.aws.fairlead.dev/a"]] {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        let (kind, name) = target(&words).unwrap();
        assert_eq!((kind.kind, &*name), ("SQSQueue", "a"), "{words:?}");
    }
    for words in [&["a"][..], &["sqsqueue/"], &["sqsqueue/a/b"], &["pod/a"], &["sqsqueue", "A"], &["a", "b", "c"]] {
        let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        assert!(target(&words).is_err(), "{words:?}");
    }
}
