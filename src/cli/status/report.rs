//! What is concluded from what was read. The records of the cluster and the answers of the replicas were not
//! read at one moment: what disagrees is told, not judged.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::ResourceExt;
use serde::Serialize;

use super::{POD_LABEL, Unanswered};
use crate::{
    shard::leases::{LAYOUT, RELEASED, SHARD, SHARDS, annotation},
    telemetry::statusz::{ShardStatusz, Statusz},
};

/// More shards than this no layout has.
const MOST_SHARDS: u16 = 256;
/// A difference of clocks that is worth a word, in seconds.
const SKEW: f64 = 2.0;

/// What was read.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) now: Timestamp,
    pub(super) leases: Vec<Lease>,
    /// The pods, or why they can't be listed.
    pub(super) pods: Result<Vec<Pod>, String>,
    /// What each pod said at /statusz, or why it said nothing.
    pub(super) answers: BTreeMap<String, Result<Statusz, String>>,
}

/// A pod that is probably a replica.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Candidate {
    pub(super) name: String,
    /// Why asking it would be in vain.
    pub(super) instead: Option<String>,
}

/// What is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    pub(super) namespace: String,
    pub(super) read_at: Timestamp,
    /// What the layout says; nothing where it is missing.
    pub(super) shard_count: Option<u16>,
    pub(super) shards: Vec<Shard>,
    pub(super) replicas: Vec<Replica>,
    /// What a person should know besides.
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Shard {
    pub(super) shard: u16,
    pub(super) state: State,
    pub(super) holder: Option<String>,
    pub(super) draining: bool,
    pub(super) renewed_seconds_ago: Option<f64>,
    pub(super) led_for_seconds: Option<f64>,
    pub(super) objects: Option<usize>,
    pub(super) outstanding_permits: Option<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    /// Held, and renewed within its duration.
    Led,
    /// Held, and not renewed for longer than its duration, by this machine's clock.
    Expired,
    /// Given back.
    Released,
    /// Without a holder, and not given back: somebody has edited it.
    Emptied,
    /// There is no such Lease.
    Missing,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) identity: Option<String>,
    pub(super) role: Option<Role>,
    pub(super) leads: Vec<u16>,
    pub(super) queue_depth: Option<usize>,
    pub(super) running: Option<usize>,
    pub(super) version: Option<String>,
    /// Why its /statusz can't be read.
    pub(super) problem: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Role {
    Leader,
    Draining,
    Standby,
}

/// The pods by their label, and those that hold a Lease.
pub(super) fn candidates(leases: &[Lease], pods: &[Pod]) -> Vec<Candidate> {
    let holders = leases.iter().filter_map(holder).map(|identity| pod_of(identity).to_owned());
    let names: BTreeSet<_> = pods.iter().map(ResourceExt::name_any).chain(holders).collect();
    let candidate = |name: String| {
        let pod = pods.iter().find(|pod| pod.name_any() == name);
        let phase = pod.and_then(|pod| pod.status.as_ref()?.phase.as_deref());
        // It becomes a part of a path, and whoever may write Leases chooses it.
        let is_name = name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c));
        let instead = match phase {
            _ if !is_name || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) => {
                Some("no pod can have this name".into())
            }
            Some(phase @ ("Pending" | "Succeeded" | "Failed")) => Some(format!("its pod is {phase}")),
            _ => None,
        };
        Candidate { name, instead }
    };
    names.into_iter().map(candidate).collect()
}

/// The whole report.
pub(super) fn conclude(seen: &Seen) -> Report {
    let layout = seen.leases.iter().find(|lease| lease.name_any() == LAYOUT);
    let shard_count =
        layout.and_then(|lease| annotation(lease, SHARDS)?.parse().ok()).filter(|count| *count <= MOST_SHARDS);
    let by_number: BTreeMap<u16, &Lease> = seen
        .leases
        .iter()
        .filter_map(|lease| Some((lease.name_any().strip_prefix(SHARD)?.parse().ok()?, lease)))
        .collect();
    let numbers: BTreeSet<u16> = match shard_count {
        Some(count) => (0..count).collect(),
        None => by_number.keys().copied().collect(),
    };
    let shards: Vec<_> = numbers.iter().map(|number| shard(*number, by_number.get(number).copied(), seen)).collect();
    let replicas: Vec<_> = seen.answers.iter().map(|(name, answer)| replica(name, answer, &shards)).collect();
    let mut notes = Vec::new();
    notes.extend(of_layout(layout, shard_count, by_number.keys().copied()));
    shards.iter().for_each(|shard| notes.extend(of_shard(shard, by_number.get(&shard.shard).copied())));
    seen.answers.iter().for_each(|(name, answer)| {
        if let Ok(answer) = answer {
            notes.extend(of_answer(name, answer, shard_count, &shards));
        }
    });
    match &seen.pods {
        Err(why) => notes.push(format!("{why}: only replicas that hold a Lease are shown")),
        Ok(pods) if pods.is_empty() && seen.answers.values().all(Result::is_err) => {
            notes.push(format!("no pod has the label {POD_LABEL} here: only replicas that hold a Lease are shown"));
        }
        Ok(_) => {}
    }
    Report { namespace: seen.namespace.clone(), read_at: seen.now, shard_count, shards, replicas, notes }
}

fn shard(number: u16, lease: Option<&Lease>, seen: &Seen) -> Shard {
    let spec = lease.and_then(|lease| lease.spec.as_ref());
    let ago = |time: Timestamp| seen.now.duration_since(time).as_secs_f64();
    let renewed = spec.and_then(|spec| Some(ago(spec.renew_time.as_ref()?.0)));
    let lasts = spec.and_then(|spec| spec.lease_duration_seconds).map(f64::from);
    let holder = lease.and_then(holder);
    let state = match (lease, holder) {
        (None, _) => State::Missing,
        (Some(lease), None) if annotation(lease, RELEASED) == Some("true") => State::Released,
        (Some(_), None) => State::Emptied,
        (Some(_), Some(_)) if renewed.zip(lasts).is_some_and(|(renewed, lasts)| renewed > lasts) => State::Expired,
        (Some(_), Some(_)) => State::Led,
    };
    let answers = || seen.answers.values().filter_map(|answer| answer.as_ref().ok());
    let of_holder = answers().find(|answer| Some(answer.identity.as_str()) == holder).and_then(|it| of(it, number));
    // Every replica stores every object, so that any of them can count.
    let counted = of_holder.or_else(|| answers().find_map(|answer| of(answer, number)));
    Shard {
        shard: number,
        state,
        holder: holder.map(str::to_owned),
        draining: of_holder.is_some_and(|shard| shard.draining),
        renewed_seconds_ago: renewed.filter(|_| holder.is_some()),
        led_for_seconds: spec.and_then(|spec| Some(ago(spec.acquire_time.as_ref()?.0))).filter(|_| state == State::Led),
        objects: counted.map(|shard| shard.objects),
        outstanding_permits: of_holder.map(|shard| shard.outstanding_permits),
    }
}

fn replica(name: &str, answer: &Result<Statusz, String>, shards: &[Shard]) -> Replica {
    let told = answer.as_ref().ok();
    let held = shards.iter().filter(|shard| shard.state == State::Led);
    let own: Vec<_> = held
        .filter(|shard| match (told, shard.holder.as_deref()) {
            (Some(told), holder) => holder == Some(told.identity.as_str()),
            (None, holder) => holder.is_some_and(|holder| pod_of(holder) == name),
        })
        .collect();
    let role = match (own.is_empty(), told) {
        (false, _) if own.iter().all(|shard| shard.draining) => Some(Role::Draining),
        (false, _) => Some(Role::Leader),
        (true, Some(_)) => Some(Role::Standby),
        (true, None) => None,
    };
    Replica {
        name: name.to_owned(),
        identity: told.map(|told| told.identity.clone()).or_else(|| own.first()?.holder.clone()),
        role,
        leads: own.iter().map(|shard| shard.shard).collect(),
        queue_depth: told.map(|told| told.queue.depth),
        running: told.map(|told| told.queue.running),
        version: told.map(|told| told.version.clone()),
        problem: answer.as_ref().err().cloned(),
    }
}

fn of_layout(layout: Option<&Lease>, count: Option<u16>, numbers: impl Iterator<Item = u16>) -> Vec<String> {
    let Some(count) = count else {
        let what = if layout.is_some() { "has no number of shards" } else { "is missing" };
        return vec![format!("the Lease {LAYOUT} {what}: how many shards there are is not known")];
    };
    let beyond: Vec<_> = numbers.filter(|number| *number >= count).map(|number| number.to_string()).collect();
    match beyond.is_empty() {
        true => Vec::new(),
        false => vec![format!(
            "the layout says {count} {}, and there are Leases of others: {SHARD}{{{}}}. They are left over from a \
             resize, and can be deleted",
            shards_word(count),
            beyond.join(",")
        )],
    }
}

fn of_shard(shard: &Shard, lease: Option<&Lease>) -> Option<String> {
    let name = format!("{SHARD}{}", shard.shard);
    match (shard.state, shard.renewed_seconds_ago) {
        (State::Missing, _) => Some(format!("the Lease {name} is missing: the shard has no leader")),
        (State::Emptied, _) => Some(format!(
            "{name} has no holder and was not released, so it was edited: it counts as held for its whole duration"
        )),
        (State::Expired, Some(ago)) => {
            let lasts = lease.and_then(|lease| lease.spec.as_ref()?.lease_duration_seconds).unwrap_or_default();
            Some(format!(
                "{name} lasts {lasts} s and was renewed {ago:.0} s ago, by this machine's clock: it is expired if \
                 that agrees with its holder's. Replicas do not judge by that: they watch it for {lasts} s"
            ))
        }
        (State::Led, None) => Some(format!("{name} has a holder and no renewTime: it was edited")),
        (_, Some(ago)) if ago < -SKEW => Some(format!(
            "{name} was renewed {:.0} s in the future: this machine's clock and its holder's differ",
            -ago
        )),
        _ => None,
    }
}

fn of_answer(name: &str, told: &Statusz, count: Option<u16>, shards: &[Shard]) -> Vec<String> {
    let mut notes = Vec::new();
    let own = u16::try_from(told.shards.len()).unwrap_or(u16::MAX);
    if let Some(count) = count.filter(|count| *count != own) {
        notes.push(format!(
            "{name} runs with {own} {}, and the layout says {count}: give all replicas the same FAIRLEAD_SHARDS",
            shards_word(own)
        ));
    }
    for shard in shards {
        let (number, holder) = (shard.shard, shard.holder.as_deref());
        let says = of(told, number).is_some_and(|shard| shard.led);
        match holder {
            Some(holder) if holder != told.identity && pod_of(holder) == name => notes.push(format!(
                "{SHARD}{number} names {holder}, another process of that name than the one that answers, {}: the one \
                 before it, or a second one with the same FAIRLEAD_IDENTITY",
                told.identity
            )),
            holder if says && holder != Some(told.identity.as_str()) => notes.push(format!(
                "{name} said that it leads shard {number}, which its Lease did not when it was read, a moment before"
            )),
            Some(holder) if !says && holder == told.identity && shard.state == State::Led => {
                notes.push(format!("{SHARD}{number} names {name}, which said a moment later that it does not lead it"))
            }
            _ => {}
        }
    }
    notes
}

/// What is told where there are no Leases at all.
pub(super) fn nothing(seen: &Seen, elsewhere: &[String]) -> String {
    let namespace = &seen.namespace;
    let pods = match &seen.pods {
        Ok(pods) if pods.is_empty() => {
            "no pod with the label app.kubernetes.io/name=fairlead is there either: is Fairlead installed in another \
             namespace (--namespace)?"
                .to_owned()
        }
        Ok(pods) => format!(
            "{} of Fairlead there: see the log of one for why it made none (kubectl -n {namespace} logs {}); it \
             needs the Role of deploy/rbac.yaml, and FAIRLEAD_NAMESPACE to be this namespace",
            match pods.len() {
                1 => "1 pod is".to_owned(),
                many => format!("{many} pods are"),
            },
            pods.first().map(ResourceExt::name_any).unwrap_or_default()
        ),
        Err(why) => format!("{why}; is it another one (--namespace)?"),
    };
    match elsewhere {
        [] => format!("no Leases of Fairlead in the namespace {namespace}; {pods}"),
        found => format!(
            "no Leases of Fairlead in the namespace {namespace}; there are some in {}: use --namespace",
            found.join(", ")
        ),
    }
}

/// Why Leases or pods can't be listed.
pub(super) fn not_listed(what: &str, namespace: &str, error: &Unanswered) -> String {
    match error {
        Unanswered::Refused(status) if status.code == 403 => format!(
            "{what} can't be listed: you need `list` on {} in {namespace}, which the Role fairlead-status grants",
            if what == "Leases" { "leases.coordination.k8s.io" } else { "pods" }
        ),
        Unanswered::Refused(status) => {
            format!("{what} in {namespace} can't be listed: {} ({})", status.message, status.code)
        }
        Unanswered::Failed(why) => format!("{what} in {namespace} can't be listed: {why}"),
    }
}

/// Why a pod's /statusz can't be read.
pub(super) fn not_told(namespace: &str, error: &Unanswered) -> String {
    let status = match error {
        Unanswered::Refused(status) => status,
        Unanswered::Failed(why) => return why.clone(),
    };
    // Of its own refusals the API server gives a reason; what a pod answers, it passes on.
    let (code, by_api_server) = (status.code, !status.reason.is_empty() && !status.reason.contains(' '));
    match code {
        403 if by_api_server => {
            format!("forbidden: you need `get` on pods/proxy in {namespace}, which the Role fairlead-status grants")
        }
        404 if by_api_server => "no pod of this name: it is gone, or this replica runs outside the cluster".into(),
        404 => "the pod has no /statusz: it is of an older version, or --metrics-port is another".into(),
        502..=504 => {
            let message = status.message.trim_start_matches("error trying to reach service: ");
            format!("the API server can't reach it: {message}")
        }
        code => format!("{} ({code})", status.message),
    }
}

pub(super) fn shards_word(count: u16) -> &'static str {
    if count == 1 { "shard" } else { "shards" }
}

fn of(told: &Statusz, number: u16) -> Option<&ShardStatusz> {
    told.shards.iter().find(|shard| shard.shard == number)
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

/// An identity is the pod's name, `_` and what is random.
pub(super) fn pod_of(identity: &str) -> &str {
    identity.rsplit_once('_').map_or(identity, |(pod, _)| pod)
}
