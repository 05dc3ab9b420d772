//! The conditions and the status that follow from what was done. Pure.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use serde_json::{Map, Value, json};

use super::{
    converge::{Done, Executed},
    kind::{Bearing, State},
};
use crate::queue::scheduler::Next;

/// Where an object stands: the rows of the table of conditions in `docs/architecture.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Its resource is not there yet, or waits for something.
    New,
    /// Its resource is as its spec says.
    InSync,
    /// Its resource is there, and not yet as its spec says: a change waits.
    Drifted,
    /// Something failed and will be tried again.
    Failing,
    /// Nothing will happen until the spec, or something outside, changes.
    Stalled,
    /// Paused by its annotation.
    Paused,
    /// Only looked at; whether the resource is as the spec says.
    Observed {
        /// Whether it is.
        same: bool,
    },
    /// Being deleted.
    Deleting,
    /// Being deleted, and something has to be done by somebody before that can go on.
    DeletionBlocked,
}

/// Whether the resource is usable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Usable {
    /// Seen just now.
    Yes,
    /// Seen just now that it is not, with the verdict's reason and message.
    No,
    /// Not seen: as the last status says.
    AsBefore,
}

/// What a reconcile came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// Where the object stands.
    pub stage: Stage,
    /// Why, for machines.
    pub reason: String,
    /// Why, for people.
    pub message: String,
    /// Whether the resource is usable.
    pub usable: Usable,
    /// Status fields that were seen or decided, beside the conditions; null takes one away.
    pub fields: Map<String, Value>,
    /// When to look again.
    pub next: Next,
}

/// The reason of Ready and Synced when all is well.
pub const AVAILABLE: &str = "Available";
const IN_SYNC: &str = "InSync";
/// The reason of what is paused.
pub const PAUSED: &str = "Paused";

/// The types of conditions that are ours; others' are left alone.
const TYPES: [&str; 4] = ["Ready", "Synced", "Reconciling", "Stalled"];

impl Verdict {
    /// A verdict without status fields, on a resource that was not looked at.
    pub fn new(stage: Stage, reason: &str, message: impl Into<String>, next: Next) -> Self {
        let (reason, message) = (reason.to_owned(), message.into());
        Self { stage, reason, message, usable: Usable::AsBefore, fields: Map::new(), next }
    }

    /// The status that follows from `old`, at `now`, for an object of `generation`.
    pub fn status(&self, old: &Map<String, Value>, generation: Option<i64>, now: Timestamp) -> Map<String, Value> {
        let mut status = old.clone();
        overlay(&mut status, self.fields.clone());
        if let Some(generation) = generation {
            status.insert("observedGeneration".into(), json!(generation));
        }
        let conditions: Vec<Value> = self.conditions(&conditions(old), generation, now);
        status.insert("conditions".into(), Value::Array(conditions));
        status
    }

    fn conditions(&self, old: &[Condition], generation: Option<i64>, now: Timestamp) -> Vec<Value> {
        let foreign = old.iter().filter(|condition| !TYPES.contains(&condition.type_.as_str())).cloned();
        let ours = TYPES.into_iter().filter_map(|kind| {
            let before = old.iter().find(|condition| condition.type_ == kind);
            let Say { status, reason, message } = self.say(kind, before, generation)?;
            let since =
                before.filter(|before| before.status == status).map(|before| before.last_transition_time.clone());
            Some(Condition {
                type_: kind.into(),
                status: status.into(),
                reason,
                message,
                observed_generation: generation,
                last_transition_time: since.unwrap_or_else(|| Time(truncated(now))),
            })
        });
        ours.chain(foreign).filter_map(|condition| serde_json::to_value(condition).ok()).collect()
    }

    /// What a condition of `kind` says, if it is there at all.
    fn say(&self, kind: &str, before: Option<&Condition>, generation: Option<i64>) -> Option<Say> {
        let own = |status| Some(Say { status, reason: self.reason.clone(), message: self.message.clone() });
        match (kind, self.stage) {
            ("Ready", Stage::New | Stage::Deleting | Stage::DeletionBlocked) => own("False"),
            ("Ready", stage) => match (&self.usable, before) {
                (Usable::Yes, _) => Some(Say {
                    status: "True",
                    reason: AVAILABLE.into(),
                    message: if stage == Stage::InSync { String::new() } else { "as last observed".into() },
                }),
                (Usable::AsBefore, Some(before)) if before.status == "True" => Some(Say::again("True", before)),
                (Usable::No | Usable::AsBefore, _) => own("False"),
            },
            // What was corrected stays to be read until something else happens.
            ("Synced", Stage::InSync | Stage::Observed { same: true }) if self.reason == IN_SYNC => match before {
                Some(before) if before.status == "True" && before.observed_generation == generation => {
                    Some(Say::again("True", before))
                }
                _ => own("True"),
            },
            ("Synced", Stage::InSync | Stage::Observed { same: true }) => own("True"),
            ("Synced", _) => own("False"),
            (
                "Reconciling",
                Stage::New | Stage::Drifted | Stage::Failing | Stage::Deleting | Stage::DeletionBlocked,
            ) => own("True"),
            ("Stalled", Stage::Stalled | Stage::DeletionBlocked) => own("True"),
            _ => None,
        }
    }
}

impl Verdict {
    /// What follows from `executed` for a resource in `state`. `was_ready`: its object was told to be ready.
    /// The resource is looked at after `poll`, or after `soon` while it is about to be in another state.
    pub(super) fn done(executed: Executed, state: &State, was_ready: bool, poll: Next, soon: Next) -> Self {
        let Done { corrected, pending, waiting } = executed.done();
        let next = if state.moves() || waiting.is_some() { soon } else { poll };
        let usable = if state.is_usable() { Usable::Yes } else { Usable::No };
        let of_state = |stage| {
            let verdict = Self::new(stage, &state.reason, state.message.clone(), next);
            Self { usable: usable.clone(), ..verdict }
        };
        match (state.bearing, waiting) {
            (Bearing::Stuck, Some(waiting)) => {
                let verdict = of_state(Stage::Stalled);
                Self { message: format!("{}; {waiting}", verdict.message), ..verdict }
            }
            (Bearing::Stuck, None) => of_state(Stage::Stalled),
            (Bearing::Underway, _) => of_state(Stage::Drifted),
            (_, Some(waiting)) => {
                // Usable for the first time only when it is as its spec says.
                let usable = if was_ready { usable } else { Usable::No };
                Self { usable, ..Self::new(Stage::Drifted, "ChangeWaiting", waiting, next) }
            }
            (Bearing::Resting, None) => of_state(Stage::InSync),
            (Bearing::Available | Bearing::Busy, None) => {
                let (reason, message) = match (pending, corrected) {
                    (Some(pending), _) => ("ChangePending".into(), pending),
                    (None, Some(corrected)) => corrected,
                    (None, None) => (IN_SYNC.into(), String::new()),
                };
                Self { usable, ..Self::new(Stage::InSync, &reason, message, next) }
            }
        }
    }
}

struct Say {
    status: &'static str,
    reason: String,
    message: String,
}

impl Say {
    fn again(status: &'static str, before: &Condition) -> Self {
        Self { status, reason: before.reason.clone(), message: before.message.clone() }
    }
}

/// Sets `fields` in a status; null takes one away.
pub fn overlay(status: &mut Map<String, Value>, fields: Map<String, Value>) {
    for (field, value) in fields {
        match value {
            Value::Null => drop(status.remove(&field)),
            value => drop(status.insert(field, value)),
        }
    }
}

/// The conditions of a status.
pub fn conditions(status: &Map<String, Value>) -> Vec<Condition> {
    let conditions = status.get("conditions").cloned().unwrap_or_default();
    serde_json::from_value(conditions).unwrap_or_default()
}

/// Whether a status has a condition of `kind` that is true.
pub fn is_true(status: &Map<String, Value>, kind: &str) -> bool {
    conditions(status).iter().any(|condition| condition.type_ == kind && condition.status == "True")
}

/// The JSON merge patch (RFC 7396) from `old` to `new`; `None` where they are the same.
pub fn merge_patch(old: &Map<String, Value>, new: &Map<String, Value>) -> Option<Map<String, Value>> {
    let mut patch = Map::new();
    for (key, value) in new {
        match (old.get(key), value) {
            (Some(before), after) if before == after => {}
            (Some(Value::Object(before)), Value::Object(after)) => {
                patch.extend(merge_patch(before, after).map(|inner| (key.clone(), inner.into())));
            }
            (_, after) => drop(patch.insert(key.clone(), after.clone())),
        }
    }
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    (!patch.is_empty()).then_some(patch)
}

/// Kubernetes keeps whole seconds.
fn truncated(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, time::Duration};

    use proptest::prelude::*;

    use super::*;

    const NEXT: Next = Next::Poll(Duration::from_secs(30));

    fn in_sync(corrected: Option<(String, String)>) -> Verdict {
        let executed = Executed::of(Done { corrected, ..Done::default() });
        Verdict::done(executed, &State::AVAILABLE, true, NEXT, NEXT)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// `Ready Synced Reconciling Stalled`, as T, F or - (absent).
    fn row(verdict: &Verdict, old: &Map<String, Value>) -> String {
        let status = verdict.status(old, Some(1), at(0));
        let conditions: BTreeMap<_, _> =
            super::conditions(&status).into_iter().map(|condition| (condition.type_, condition.status)).collect();
        TYPES.map(|kind| conditions.get(kind).map_or("-", |status| &status[..1])).concat()
    }

    #[test]
    fn the_table_of_conditions() {
        let verdict = |stage, usable| Verdict { usable, ..Verdict::new(stage, "Why", "why", NEXT) };
        let new = Map::new();
        let was_ready = in_sync(None).status(&new, Some(1), at(0));
        for (stage, usable, of_new, of_ready) in [
            (Stage::New, Usable::AsBefore, "FFT-", "FFT-"),
            (Stage::InSync, Usable::Yes, "TT--", "TT--"),
            (Stage::Drifted, Usable::Yes, "TFT-", "TFT-"),
            (Stage::Failing, Usable::AsBefore, "FFT-", "TFT-"),
            (Stage::Stalled, Usable::AsBefore, "FF-T", "TF-T"),
            (Stage::Stalled, Usable::No, "FF-T", "FF-T"),
            (Stage::Paused, Usable::AsBefore, "FF--", "TF--"),
            (Stage::Observed { same: true }, Usable::Yes, "TT--", "TT--"),
            (Stage::Observed { same: false }, Usable::Yes, "TF--", "TF--"),
            (Stage::Observed { same: false }, Usable::No, "FF--", "FF--"),
            (Stage::Deleting, Usable::AsBefore, "FFT-", "FFT-"),
            (Stage::DeletionBlocked, Usable::AsBefore, "FFTT", "FFTT"),
        ] {
            let verdict = verdict(stage, usable);
            assert_eq!(row(&verdict, &new), of_new, "{stage:?}, new");
            assert_eq!(row(&verdict, &was_ready), of_ready, "{stage:?}, was ready");
        }
    }

    #[test]
    fn what_a_resource_s_state_and_its_changes_mean() {
        use Bearing::{Available, Busy, Resting, Stuck, Underway};
        let (poll, soon) = (NEXT, Next::Poll(Duration::from_secs(10)));
        let none = || None;
        let some = || Some("text".to_owned());
        for (bearing, pending, waiting, was_ready, expected, reason, next) in [
            (Available, none(), none(), false, "TT--", "InSync", poll),
            (Busy, none(), none(), false, "TT--", "InSync", soon),
            (Underway, none(), none(), false, "FFT-", "Word", soon),
            (Underway, none(), some(), true, "FFT-", "Word", soon),
            (Resting, none(), none(), true, "FT--", "Word", poll),
            (Resting, none(), some(), true, "FFT-", "ChangeWaiting", soon),
            (Stuck, some(), some(), true, "FF-T", "Word", soon),
            (Stuck, none(), none(), true, "FF-T", "Word", poll),
            (Available, some(), none(), false, "TT--", "ChangePending", poll),
            (Available, some(), some(), true, "TFT-", "ChangeWaiting", soon),
            (Available, none(), some(), false, "FFT-", "ChangeWaiting", soon),
        ] {
            let shown = format!("{bearing:?} {pending:?} {waiting:?} {was_ready}");
            let state = State { bearing, reason: "Word".into(), message: "words".into() };
            let executed = Executed::of(Done { pending, waiting, ..Done::default() });
            let verdict = Verdict::done(executed, &state, was_ready, poll, soon);
            assert_eq!((row(&verdict, &Map::new()).as_str(), verdict.reason.as_str()), (expected, reason), "{shown}");
            assert_eq!(verdict.next, next, "{shown}");
        }
    }

    #[test]
    fn nothing_new_is_no_patch_and_others_conditions_stay() {
        let mut old = Map::new();
        old.insert(
            "conditions".into(),
            json!([{"type": "Theirs", "status": "True", "reason": "R", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z"}]),
        );
        let first = in_sync(None).status(&old, Some(1), at(0));
        assert!(is_true(&first, "Theirs") && is_true(&first, "Ready"));
        let second = in_sync(None).status(&first, Some(1), at(100));
        assert_eq!(merge_patch(&first, &second), None);
    }

    #[test]
    fn what_was_corrected_stays_readable_until_the_spec_changes() {
        let corrected = in_sync(Some(("Corrected".into(), "delaySeconds".into())));
        let first = corrected.status(&Map::new(), Some(1), at(0));
        let synced = |status: &Map<String, Value>| {
            conditions(status).into_iter().find(|condition| condition.type_ == "Synced").unwrap().message
        };
        assert_eq!(synced(&in_sync(None).status(&first, Some(1), at(9))), "delaySeconds");
        assert_eq!(synced(&in_sync(None).status(&first, Some(2), at(9))), "");
    }

    fn json_object() -> impl Strategy<Value = Map<String, Value>> {
        let leaf = prop_oneof![Just(json!(1)), Just(json!("a")), Just(json!([1, 2]))];
        let value = leaf.prop_recursive(2, 12, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3).prop_map(|map| json!(map))
        });
        proptest::collection::btree_map("[abcd]", value, 0..4).prop_map(|map| map.into_iter().collect())
    }

    fn apply(to: &mut Value, patch: &Value) {
        let Value::Object(patch) = patch else { return to.clone_from(patch) };
        if !to.is_object() {
            *to = json!({});
        }
        for (key, value) in patch {
            if value.is_null() {
                to.as_object_mut().unwrap().remove(key);
            } else {
                apply(&mut to[key], value);
            }
        }
    }

    proptest! {
        #[test]
        fn a_merge_patch_leads_to_the_new_value(old in json_object(), new in json_object()) {
            let mut patched = Value::Object(old.clone());
            if let Some(patch) = merge_patch(&old, &new) {
                apply(&mut patched, &patch.into());
            }
            prop_assert_eq!(patched, Value::Object(new));
        }
    }
}
