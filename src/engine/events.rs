//! Events: what happened to an object, told once. Their names follow from what they tell, so that
//! telling it again after a crash makes no second one.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Instant,
};

use jiff::Timestamp;
use k8s_openapi::{
    api::{core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta},
};
use kube::{Api, Client, api::PostParams};
use tracing::{debug, warn};

use super::{
    objects::{KubeError, Object, permitted},
    status::{Stage, Verdict, is_true},
};
use crate::{
    crd,
    shard::Permit,
    telemetry::{thinned::Thinned, traces},
};

/// The API server takes notes of at most 1,024 bytes.
const NOTE_LIMIT: usize = 1_000;

/// Something that happened to an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Happening {
    /// Whether somebody should look at it.
    pub warning: bool,
    /// What, for machines.
    pub reason: String,
    /// What, for people.
    pub note: String,
}

impl Happening {
    /// Something good or neutral.
    pub fn normal(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: false, reason: reason.into(), note: note.into() }
    }

    /// Something that somebody should look at.
    pub fn warning(reason: &str, note: impl Into<String>) -> Self {
        Self { warning: true, reason: reason.into(), note: note.into() }
    }
}

/// What a verdict tells that the status before it did not. Where something has `happened` already,
/// being in sync is no news. Pure.
pub fn transition(before: &Object, verdict: &Verdict, happened: &[Happening]) -> Option<Happening> {
    let status = before.status();
    let told = super::status::conditions(&status).into_iter().any(|condition| {
        ["Synced", "Stalled"].contains(&condition.type_.as_str()) && condition.reason == verdict.reason
    });
    let Verdict { stage, reason, message, .. } = verdict;
    match stage {
        _ if told => None,
        Stage::Failing | Stage::Stalled | Stage::DeletionBlocked => Some(Happening::warning(reason, message)),
        Stage::New | Stage::Drifted | Stage::Paused | Stage::Observed { same: false } => {
            Some(Happening::normal(reason, message))
        }
        Stage::InSync | Stage::Observed { same: true } if happened.is_empty() && !is_true(&status, "Synced") => {
            Some(Happening::normal(reason, "the resource is as the spec says"))
        }
        Stage::InSync | Stage::Observed { same: true } | Stage::Deleting => None,
    }
}

/// Tells what happened to `object`. Best effort: a lost event is no reason to fail.
pub async fn tell(client: &Client, permit: &Permit, instance: &str, object: &Object, happening: &Happening) {
    let types = object.0.types.clone().unwrap_or_default();
    let event = Event {
        metadata: ObjectMeta {
            name: Some(name(object, happening)),
            namespace: Some(object.namespace().into()),
            annotations: traces::current_trace_id().map(|id| BTreeMap::from([(crd::TRACE_ID.to_owned(), id)])),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(Timestamp::now())),
        type_: Some(if happening.warning { "Warning" } else { "Normal" }.into()),
        reason: Some(happening.reason.clone()),
        action: Some("Reconcile".into()),
        note: Some(fitting(&happening.note).to_owned()),
        reporting_controller: Some("aws.fairlead.dev".into()),
        reporting_instance: Some(instance.into()),
        regarding: Some(ObjectReference {
            api_version: Some(types.api_version),
            kind: Some(types.kind),
            namespace: Some(object.namespace().into()),
            name: Some(object.name().into()),
            uid: Some(object.uid().into()),
            ..ObjectReference::default()
        }),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), object.namespace());
    match permitted(permit, api.create(&PostParams::default(), &event)).await {
        Ok(_) | Err(KubeError::Exists | KubeError::NoPermit(_)) => {}
        // A namespace that is being deleted takes none.
        Err(error) if error.to_string().contains("being terminated") => {
            debug!(%error, reason = happening.reason, "the event was not taken");
        }
        Err(error) => {
            static LINES: Thinned = Thinned::new();
            if let Some(left_out) = LINES.pass(Instant::now()) {
                warn!(%error, reason = happening.reason, left_out, "the event was not taken");
            }
        }
    }
}

/// As much of a note as fits, without half a character at its end.
fn fitting(note: &str) -> &str {
    &note[..note.floor_char_boundary(NOTE_LIMIT)]
}

fn name(object: &Object, happening: &Happening) -> String {
    let mut hasher = DefaultHasher::new();
    (object.uid(), object.version(), happening).hash(&mut hasher);
    let name: String = object.name().chars().take(200).collect();
    format!("{}.{:016x}", name.trim_end_matches(['.', '-']), hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_fits_by_its_bytes_and_ends_with_a_whole_character() {
        for (character, whole) in [("a", 1_000), ("é", 500), ("→", 333), ("🦀", 250)] {
            let long = character.repeat(2_000);
            assert_eq!(fitting(&long), character.repeat(whole), "{character}");
            assert_eq!(fitting(&character.repeat(whole)), character.repeat(whole), "what fits stays whole");
        }
    }
}
