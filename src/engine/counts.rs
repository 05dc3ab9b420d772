//! What a reconcile tells the metrics. What it decides on is pure.
//!
//! Whether an object is ready for the first time, its status alone has to say: another replica may have led it
//! before. So a condition Ready that is not true from the first status on has the time of the object's creation as
//! its last transition: it has not been true since then. Whatever has become true, and false again, has a later
//! time; and so, by a second, has what was paused or stalled meanwhile: nobody could expect it to become ready.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Map, Value, json};

use super::{
    faults::Fault,
    kind::{Difference, Kind},
    objects::KubeError,
    reconcile::Run,
    status::{PAUSED, Verdict, conditions, is_true},
    subject::TAG_FIELD,
};

const READY: &str = "Ready";

impl<K: Kind> Run<'_, K> {
    /// A reconcile has failed; `verdict` is what follows from that.
    pub(super) fn count_failure(&self, fault: &Fault, verdict: Option<&Verdict>) {
        if let Some(reason) = failure(fault, verdict) {
            self.controller.context.metrics.failed(K::KIND, reason);
        }
    }

    /// The status could not be written.
    pub(super) fn count_unwritten(&self, error: &KubeError) {
        self.count_failure(&Fault::Kube(error.clone()), None);
    }

    /// A status was written in the place of `old`.
    pub(super) fn count_ready(&self, old: &Map<String, Value>, new: &Map<String, Value>) {
        if let Some(took) = self.created().and_then(|created| first_ready(old, new, created, Timestamp::now())) {
            self.controller.context.metrics.ready_after(K::KIND, took);
        }
    }

    /// Has a status that is the first one say since when the object is not ready.
    pub(super) fn since_creation(&self, old: &Map<String, Value>, new: &mut Map<String, Value>) {
        if let Some(created) = self.created() {
            since_creation(old, new, created);
        }
    }

    /// The resource was looked at.
    pub(super) fn count_messages(&self, verdict: &Verdict) {
        let Some(fields) = K::MESSAGES else { return };
        let (metrics, key) = (&self.controller.context.metrics, &self.key);
        let [visible, in_flight, delayed] = fields.map(|field| verdict.fields.get(field).and_then(Value::as_u64));
        match (visible, in_flight, delayed) {
            _ if self.absent => metrics.forget_messages(&key.namespace, &key.name),
            (Some(visible), Some(in_flight), Some(delayed)) => {
                metrics.saw_messages(&key.namespace, &key.name, [visible, in_flight, delayed]);
            }
            _ => {}
        }
    }

    /// Drift was corrected.
    pub(super) fn count_drift(&self, differences: &[Difference], tags: &[String]) {
        let fields =
            differences.iter().map(|difference| difference.field.as_str()).chain(tags.iter().map(String::as_str));
        fields.map(field).for_each(|field| self.controller.context.metrics.drift_corrected(K::KIND, field));
    }

    fn created(&self) -> Option<Timestamp> {
        self.object.0.metadata.creation_timestamp.as_ref().map(|time| time.0)
    }
}

/// As what a failure counts, if it is one. To wait is none.
fn failure<'a>(fault: &Fault, verdict: Option<&'a Verdict>) -> Option<&'a str> {
    match fault {
        Fault::Unseen | Fault::Waiting(_) | Fault::Appearing(_) | Fault::Kube(KubeError::Gone) => None,
        fault if fault.is_no_permit() => None,
        Fault::Kube(KubeError::Conflict) | Fault::Outdated(_) => Some("Conflict"),
        _ => Some(verdict.map_or("KubernetesError", |verdict| &verdict.reason)),
    }
}

/// The field of the spec, as metrics name it.
fn field(field: &str) -> &str {
    if field.starts_with(TAG_FIELD) { "tags" } else { field.split('.').next().unwrap_or(field) }
}

fn ready(status: &Map<String, Value>) -> Option<Condition> {
    conditions(status).into_iter().find(|condition| condition.type_ == READY)
}

/// Whether by this status an object waits for people, and not for Fairlead.
fn held_up(status: &Map<String, Value>) -> bool {
    is_true(status, "Stalled") || ready(status).is_some_and(|ready| ready.reason == PAUSED)
}

/// How long after its creation an object became ready for the first time, if it does so by its `new` status and
/// was not held up.
fn first_ready(
    old: &Map<String, Value>,
    new: &Map<String, Value>,
    created: Timestamp,
    now: Timestamp,
) -> Option<Duration> {
    let is_ready = ready(new).is_some_and(|ready| ready.status == "True");
    let never_before = ready(old).is_none_or(|ready| ready.status != "True" && ready.last_transition_time.0 <= created);
    (is_ready && never_before && !held_up(old)).then(|| now.duration_since(created).try_into().unwrap_or_default())
}

/// A condition Ready that comes new and is not true has not been true since the object was `created`; from a second
/// later on, where the object is held up.
fn since_creation(old: &Map<String, Value>, new: &mut Map<String, Value>, created: Timestamp) {
    let since = match ready(old) {
        Some(ready) if ready.status == "True" || ready.last_transition_time.0 > created => return,
        _ if held_up(new) => created + Duration::from_secs(1),
        None => created,
        Some(_) => return,
    };
    let mut conditions = new.get_mut("conditions").and_then(Value::as_array_mut).into_iter().flatten();
    if let Some(ready) = conditions.find(|it| it["type"] == READY && it["status"] != "True") {
        ready["lastTransitionTime"] = json!(Time(since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::status::Stage, queue::scheduler::Next, shard::NoPermit};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A status with a condition Ready of this reason and, where that is `Stalled`, one that says so.
    fn because(reason: &str, ready: &str, since: i64) -> Map<String, Value> {
        let mut status = status(Some((ready, since)));
        status["conditions"][0]["reason"] = json!(reason);
        if reason == "Stalled" {
            let stalled = json!({ "type": reason, "status": "True", "reason": "R", "message": "", "lastTransitionTime": Time(at(since)) });
            status["conditions"].as_array_mut().unwrap().push(stalled);
        }
        status
    }

    fn status(ready: Option<(&str, i64)>) -> Map<String, Value> {
        let condition = |(status, since)| {
            let since = Time(at(since));
            json!({ "type": "Ready", "status": status, "reason": "R", "message": "", "lastTransitionTime": since })
        };
        let conditions: Vec<_> = ready.map(condition).into_iter().collect();
        Map::from_iter([("conditions".to_owned(), json!(conditions))])
    }

    #[test]
    fn the_first_ready_counts_and_no_other() {
        for (old, new, expected) in [
            (None, Some(("True", 130)), Some(30)),
            (None, Some(("False", 130)), None),
            // As `since_creation` has it.
            (Some(("False", 100)), Some(("True", 130)), Some(30)),
            (Some(("Unknown", 100)), Some(("True", 130)), Some(30)),
            // It was ready, and recovers; or an earlier version has written this.
            (Some(("False", 101)), Some(("True", 130)), None),
            (Some(("True", 110)), Some(("True", 110)), None),
            (Some(("False", 100)), Some(("False", 100)), None),
        ] {
            let took = first_ready(&status(old), &status(new), at(100), at(130));
            assert_eq!(took, expected.map(Duration::from_secs), "{old:?} {new:?}");
        }
        // The clock of the API server is ahead.
        assert_eq!(first_ready(&status(None), &status(Some(("True", 90))), at(100), at(90)), Some(Duration::ZERO));
    }

    #[test]
    fn an_object_that_was_never_ready_says_since_when() {
        for (old, new, expected) in [
            (None, Some(("False", 130)), Some(("False", 100))),
            (None, Some(("True", 130)), Some(("True", 130))),
            (None, None, None),
            (Some(("False", 120)), Some(("False", 120)), Some(("False", 120))),
            (Some(("True", 120)), Some(("False", 130)), Some(("False", 130))),
        ] {
            let mut changed = status(new);
            since_creation(&status(old), &mut changed, at(100));
            assert_eq!(changed, status(expected), "{old:?} {new:?}");
        }
    }

    #[test]
    fn an_object_that_was_held_up_does_not_count_as_late() {
        let (created, empty) = (at(100), Map::new());
        for (reason, counts) in [("Stalled", false), ("Paused", false), ("DependencyNotReady", true)] {
            // At once, and after a while; then it goes on, and becomes ready.
            for old in [&empty, &because("Creating", "False", 100)] {
                let mut held = because(reason, "False", 100);
                since_creation(old, &mut held, created);
                let since = ready(&held).unwrap().last_transition_time.0;
                assert_eq!(since, at(if counts { 100 } else { 101 }), "{reason}");
                let mut goes_on = because("Creating", "False", since.as_second());
                since_creation(&held, &mut goes_on, created);
                for before in [&held, &goes_on] {
                    let took = first_ready(before, &because("Available", "True", 130), created, at(130));
                    assert_eq!(took.is_some(), counts, "{reason}: {before:?}");
                }
            }
            // As an earlier version has written it.
            let took =
                first_ready(&because(reason, "False", 100), &because("Available", "True", 130), created, at(130));
            assert_eq!(took.is_some(), counts, "{reason}");
            // It was ready before.
            let mut paused = because(reason, "False", 130);
            since_creation(&because("Available", "True", 110), &mut paused, created);
            assert_eq!(ready(&paused).unwrap().last_transition_time.0, at(130), "{reason}");
        }
    }

    #[test]
    fn what_counts_as_a_failure() {
        let told = Verdict::new(Stage::Failing, "Told", "", Next::Backoff);
        let text = || "text".to_owned();
        for (fault, expected) in [
            (Fault::Unseen, None),
            (Fault::Waiting(text()), None),
            (Fault::Appearing(text()), None),
            (Fault::Kube(KubeError::Gone), None),
            (Fault::Kube(KubeError::NoPermit(NoPermit::RunsOut)), None),
            (Fault::Kube(KubeError::Conflict), Some("Conflict")),
            (Fault::Kube(KubeError::Timeout), Some("Told")),
            (Fault::Invalid(text()), Some("Told")),
            (Fault::NotOurs(text()), Some("Told")),
        ] {
            assert_eq!(failure(&fault, Some(&told)), expected, "{fault:?}");
        }
        assert_eq!(failure(&Fault::Kube(KubeError::Timeout), None), Some("KubernetesError"));
    }

    #[test]
    fn fields_are_those_of_the_spec() {
        for (name, expected) in [
            ("delaySeconds", "delaySeconds"),
            ("tags.team", "tags"),
            ("tags.a.b", "tags"),
            ("parameters.work_mem", "parameters"),
            ("tagsOfOthers", "tagsOfOthers"),
        ] {
            assert_eq!(field(name), expected);
        }
    }
}
