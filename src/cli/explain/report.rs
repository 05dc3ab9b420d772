//! What is concluded from what was seen. Pure.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;
use serde::Serialize;

use crate::{
    cli::status::Leader,
    crd::status::ResourceIdentity,
    engine::{objects::Object, preview::Preview, status::conditions},
    telemetry::object_status::{FlowStatusz, Last, ObjectStatusz, QueueStand},
};

/// How many events are told, the newest first.
const EVENTS: usize = 6;

/// What was seen.
pub(super) struct Seen {
    pub(super) now: Timestamp,
    pub(super) kind: &'static str,
    pub(super) object: Object,
    pub(super) leader: Option<Leader>,
    pub(super) told: Option<ObjectStatusz>,
    pub(super) next: Option<Preview>,
    pub(super) events: Vec<Event>,
    pub(super) unseen: Vec<Unseen>,
}

/// What is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) kind: &'static str,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) read_at: Timestamp,
    /// Since when it has existed, in seconds.
    pub(super) age_seconds: Option<f64>,
    pub(super) headline: Headline,
    pub(super) conditions: Vec<Told>,
    pub(super) resource: Option<ResourceIdentity>,
    pub(super) leader: Option<Leader>,
    pub(super) replica: Option<String>,
    pub(super) queue: Option<QueueStand>,
    pub(super) flow: Option<FlowStatusz>,
    pub(super) last: Option<Last>,
    /// Compared with AWS just now, with the credentials of whoever asks.
    pub(super) next: Option<Preview>,
    pub(super) events: Vec<Happened>,
    pub(super) unseen: Vec<Unseen>,
}

/// The answer in a line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Headline {
    /// How it stands.
    pub(super) stands: Stands,
    /// Why, for machines.
    pub(super) reason: String,
    /// Why, for people.
    pub(super) message: String,
}

/// How an object stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Stands {
    /// Usable, and as the spec says.
    Ready,
    /// Usable, and not as the spec says.
    ReadyNotInSync,
    /// Ready, and nothing is said of its spec.
    ReadyAlone,
    /// Not usable.
    NotReady,
    /// Paused.
    Paused,
    /// Being deleted.
    Deleting,
    /// Being deleted, and stuck.
    DeletionBlocked,
    /// Nobody has looked at its present spec yet.
    NotYetSeen,
}

/// A condition.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Told {
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) status: String,
    pub(super) reason: String,
    pub(super) message: String,
    pub(super) age_seconds: f64,
}

/// An event.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Happened {
    pub(super) age_seconds: Option<f64>,
    #[serde(rename = "type")]
    pub(super) kind: String,
    pub(super) reason: String,
    pub(super) note: String,
}

/// What could not be seen, and why: with the way to see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Unseen {
    pub(super) what: String,
    pub(super) why: String,
}

impl Unseen {
    pub(super) fn new(what: &str, why: impl Into<String>) -> Self {
        Self { what: what.into(), why: why.into() }
    }
}

/// The whole report.
pub(super) fn conclude(seen: Seen) -> Report {
    let Seen { now, kind, object, leader, told, next, events, unseen } = seen;
    let ago = |time: Timestamp| now.duration_since(time).as_secs_f64();
    let status = object.status();
    let resource = status.get("identity").and_then(|identity| serde_json::from_value(identity.clone()).ok());
    let resource = resource.or_else(|| next.as_ref()?.resource.clone());
    let said: Vec<_> = conditions(&status)
        .into_iter()
        .map(|condition| Told {
            kind: condition.type_,
            status: condition.status,
            reason: condition.reason,
            message: condition.message,
            age_seconds: ago(condition.last_transition_time.0),
        })
        .collect();
    let ObjectStatusz { replica, queue, flow, last, .. } = told.clone().unwrap_or_default();
    Report {
        kind,
        namespace: object.namespace().to_owned(),
        name: object.name().to_owned(),
        read_at: now,
        age_seconds: object.0.metadata.creation_timestamp.as_ref().map(|time| ago(time.0)),
        headline: headline(&object, &said),
        conditions: said,
        resource,
        leader,
        replica: told.map(|_| replica),
        queue,
        flow,
        last,
        next,
        events: newest(events, now),
        unseen,
    }
}

fn headline(object: &Object, said: &[Told]) -> Headline {
    let of = |kind: &str, status: &str| said.iter().find(|told| told.kind == kind && told.status == status);
    let because = |stands, told: &Told| Headline { stands, reason: told.reason.clone(), message: told.message.clone() };
    let simply = |stands, message: &str| Headline { stands, reason: String::new(), message: message.to_owned() };
    let observed = object.status().get("observedGeneration").and_then(serde_json::Value::as_i64);
    match (of("Ready", "True"), of("Ready", "False"), of("Synced", "False"), of("Stalled", "True")) {
        (.., Some(stalled)) if object.is_deleting() => because(Stands::DeletionBlocked, stalled),
        (_, not_ready, synced, _) if object.is_deleting() => match synced.or(not_ready) {
            Some(told) => because(Stands::Deleting, told),
            None => simply(Stands::Deleting, "nobody has begun with that yet"),
        },
        (_, _, Some(synced), _) if synced.reason == "Paused" => because(Stands::Paused, synced),
        _ if observed != object.generation() => {
            simply(Stands::NotYetSeen, "nobody has reconciled the present spec yet")
        }
        (Some(_), _, None, None) => match of("Synced", "True") {
            Some(synced) => because(Stands::Ready, synced),
            None => simply(Stands::ReadyAlone, "nobody says whether it is as its spec says"),
        },
        (Some(_), _, _, Some(stalled)) => because(Stands::ReadyNotInSync, stalled),
        (Some(_), _, Some(synced), None) => because(Stands::ReadyNotInSync, synced),
        (None, _, _, Some(stalled)) => because(Stands::NotReady, stalled),
        (None, Some(ready), ..) => because(Stands::NotReady, ready),
        (None, None, Some(synced), None) => because(Stands::NotReady, synced),
        (None, None, None, None) => simply(Stands::NotYetSeen, "it has no conditions yet"),
    }
}

fn newest(events: Vec<Event>, now: Timestamp) -> Vec<Happened> {
    let time = |event: &Event| {
        let last = event.last_timestamp.as_ref().map(|time| time.0);
        let series = event.series.as_ref().and_then(|series| series.last_observed_time.as_ref()).map(|time| time.0);
        let made = event.metadata.creation_timestamp.as_ref().map(|time| time.0);
        series.max(last).or(event.event_time.as_ref().map(|time| time.0)).or(made)
    };
    let mut told: Vec<_> = events
        .into_iter()
        .map(|event| Happened {
            age_seconds: time(&event).map(|at| now.duration_since(at).as_secs_f64()),
            kind: event.type_.unwrap_or_default(),
            reason: event.reason.unwrap_or_default(),
            note: event.message.unwrap_or_default(),
        })
        .collect();
    let age = |happened: &Happened| happened.age_seconds.unwrap_or(f64::MAX);
    told.sort_by(|one, other| age(one).total_cmp(&age(other)));
    told.truncate(EVENTS);
    told
}
