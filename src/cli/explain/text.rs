//! The report as text: a screen, the most important first.

use super::report::{Headline, Report, Stands, Told, Unseen};
use crate::{
    cli::{
        ahead::text::{details, verb, why},
        columns::{age, aligned, printable},
        status::Leader,
    },
    crd::status::ResourceIdentity,
    engine::preview::{Outcome, Preview},
    telemetry::object_status::{Differed, FlowStatusz, Last, QueueStand},
};

/// The report as `fairlead explain` prints it.
pub(super) fn text(report: &Report) -> String {
    let Report { kind, namespace, name, .. } = report;
    let old = report.age_seconds.map(|seconds| format!(", {} old", age(seconds))).unwrap_or_default();
    let mut text = format!("{kind} {namespace}/{name}{old}: {}\n", stands(report.headline.stands));
    let headline = match (&*report.headline.reason, &*report.headline.message) {
        ("", "") | ("InSync" | "Available", "") => String::new(),
        ("", message) => printable(message),
        (reason, "") => reason.to_owned(),
        (reason, message) => format!("{reason}: {}", printable(message)),
    };
    if !headline.is_empty() {
        text += &format!("{headline}\n");
    }
    text += &section("What Fairlead says of it", &conditions(&report.conditions, &report.headline));
    let ahead = next(report.next.as_ref(), report.last.as_ref(), &headline);
    text += &section("What the next reconcile would do", &ahead);
    text += &section("Where it stands", &facts(report));
    let events = report.events.iter().map(|event| {
        let when = event.age_seconds.map_or("-".to_owned(), |seconds| format!("{} ago", age(seconds)));
        [format!("  {when}"), event.kind.clone(), event.reason.clone(), event.note.clone()]
    });
    text += &section("Events, the newest first", &aligned(&events.collect::<Vec<_>>()));
    let unseen = report.unseen.iter().map(|Unseen { what, why }| format!("  {what}: {}\n", printable(why)));
    text += &section("What could not be seen", &unseen.collect::<String>());
    text
}

fn section(title: &str, body: &str) -> String {
    if body.is_empty() { String::new() } else { format!("\n{title}\n{body}") }
}

fn stands(stands: Stands) -> &'static str {
    match stands {
        Stands::Ready => "READY, and as its spec says",
        Stands::ReadyAlone => "READY",
        Stands::ReadyNotInSync => "READY, but not as its spec says",
        Stands::NotReady => "NOT READY",
        Stands::Paused => "PAUSED",
        Stands::Deleting => "BEING DELETED",
        Stands::DeletionBlocked => "BEING DELETED, which is blocked",
        Stands::NotYetSeen => "NOT SEEN YET",
    }
}

/// A row each; what the headline says is not said again.
fn conditions(conditions: &[Told], headline: &Headline) -> String {
    let row = |Told { kind, status, reason, message, age_seconds }: &Told| {
        let since = format!("for {}", age(*age_seconds));
        let said = (reason, message) == (&headline.reason, &headline.message) && !message.is_empty();
        let message = if said { "as said above".to_owned() } else { message.clone() };
        [format!("  {kind}"), status.clone(), reason.clone(), since, message]
    };
    aligned(&conditions.iter().map(row).collect::<Vec<_>>())
}

/// What would be done next: as compared with AWS, or else what the last reconcile has found.
fn next(next: Option<&Preview>, last: Option<&Last>, headline: &str) -> String {
    let Some(preview) = next else {
        let differed = last.map(|last| &last.differed).filter(|differed| !differed.is_empty());
        let Some(differed) = differed else { return String::new() };
        let lines = differed.iter().map(|Differed { field, actual, desired }| {
            format!("  {field}  {} → {}\n", printable(actual), printable(desired))
        });
        let told = "  not compared with AWS now; the last reconcile found, as its replica says:\n";
        return format!("{told}{}", lines.collect::<String>());
    };
    let what = match preview.outcome {
        Outcome::Nothing => "nothing: the resource is as the spec says".to_owned(),
        Outcome::Wait => "nothing yet".to_owned(),
        Outcome::Refuse => "nothing: it would refuse".to_owned(),
        Outcome::Paused => "nothing".to_owned(),
        Outcome::Observe => "look only".to_owned(),
        outcome => verb(outcome).to_owned(),
    };
    let why = match why(preview) {
        why if why == headline && !why.is_empty() => "as said above".to_owned(),
        why => why,
    };
    let colon = if why.is_empty() { "" } else { ": " };
    let nothing_said = preview.outcome == Outcome::Nothing && !why.is_empty();
    let what = if nothing_said { "nothing".to_owned() } else { what };
    let looked = match preview.outcome {
        Outcome::Paused | Outcome::Refuse | Outcome::Wait | Outcome::Release | Outcome::Unknown => "",
        _ => "   (compared with AWS just now)",
    };
    format!("  {what}{colon}{why}{looked}\n{}", details(preview, "    "))
}

fn facts(report: &Report) -> String {
    let Report { resource, leader, replica, queue, flow, last, .. } = report;
    let rows = [
        ("resource", resource.as_ref().map(of_resource)),
        ("leader", leader.as_ref().map(of_leader).or_else(|| replica.clone())),
        ("queue", queue.as_ref().map(of_queue)),
        ("flow", flow.as_ref().map(of_flow)),
        ("last reconcile", last.as_ref().map(|last| of_last(last, report.read_at))),
        ("trace", last.as_ref().and_then(|last| last.trace_id.clone())),
        ("differed then", last.as_ref().and_then(differed)),
    ];
    let rows: Vec<_> = rows.into_iter().filter_map(|(what, said)| Some([format!("  {what}"), said?])).collect();
    aligned(&rows)
}

fn of_resource(ResourceIdentity { account_id, region, name, arn, adopted }: &ResourceIdentity) -> String {
    let adopted = if *adopted { ", adopted" } else { "" };
    format!("{name} in {region} of the account {account_id}{adopted}: {arn}")
}

fn of_leader(Leader { shard, shards, holder, leads, renewed_seconds_ago }: &Leader) -> String {
    let of = if *shards == 1 { String::new() } else { format!(" (shard {shard} of {shards})") };
    let renewed = renewed_seconds_ago.map(|ago| format!(", renewed {} ago", age(ago))).unwrap_or_default();
    match (holder, leads) {
        (Some(holder), true) => format!("{holder}{of}{renewed}"),
        (Some(holder), false) => format!("nobody{of}: the Lease of {holder} has expired{renewed}"),
        (None, _) => format!("nobody{of}: another replica takes over within seconds, where one runs"),
    }
}

fn of_queue(queue: &QueueStand) -> String {
    let as_what = match queue.priority.as_deref() {
        Some("change") => " for a change",
        Some("progress") => " for what it waited for",
        Some("poll") => " for a regular look",
        Some("startup") => " for its first look",
        _ => "",
    };
    let seconds = |seconds: Option<f64>| age(seconds.unwrap_or_default());
    let stand = match queue.stand.as_str() {
        "due" => format!("due in {}{as_what}", seconds(queue.due_in_seconds)),
        "running" => format!("runs, for {}{as_what}", seconds(queue.running_for_seconds)),
        "waiting" => {
            let what = match queue.waits_for.as_deref() {
                Some("token") => "a token: its flow calls AWS as often as it may",
                Some("slot") => "a free slot: as many reconciles run as may",
                Some("circuit") => "AWS to answer again",
                _ => "its turn",
            };
            format!("has been due for {}{as_what}, and waits for {what}", seconds(queue.waiting_for_seconds))
        }
        _ => "not due: it is looked at when something changes".to_owned(),
    };
    let others = if queue.with_others { ", together with others" } else { "" };
    let failures = match (queue.failures, queue.backoff_seconds) {
        (0, _) => String::new(),
        (failures, backoff) => {
            let backoff = backoff.map(|left| format!(", held back for {} more", age(left))).unwrap_or_default();
            format!("; {failures} in a row failed{backoff}")
        }
    };
    format!("{stand}{others}{failures}")
}

fn of_flow(flow: &FlowStatusz) -> String {
    let FlowStatusz { account, region, service, rate, ceiling, poll_stretch, due, running, .. } = flow;
    let mut text = format!("{account}/{region}/{service}: {rate} of at most {ceiling} calls a second");
    if let Some(open) = flow.circuit_open_for_seconds {
        text += &format!("; AWS HAS NOT ANSWERED for {} (circuit open)", age(open));
    }
    if let Some(ago) = flow.throttled_seconds_ago {
        text += &format!("; THROTTLED by AWS {} ago", age(ago));
    }
    if let Some(left) = flow.paused_for_seconds {
        text += &format!("; AWS asked for a pause, {} more", age(left));
    }
    if *poll_stretch > 1.0 {
        text += &format!("; looks come {poll_stretch} times more seldom, to fit the rate");
    }
    format!("{text}; {due} due, {running} running")
}

fn of_last(last: &Last, now: jiff::Timestamp) -> String {
    let Last { at, took_seconds, outcome, reason, error_class, .. } = last;
    let ago = age(now.duration_since(*at).as_secs_f64());
    let reason = reason.as_ref().filter(|reason| !reason.eq_ignore_ascii_case(outcome));
    let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
    let class = error_class.as_ref().map(|class| format!(", AWS error class {class}")).unwrap_or_default();
    format!("{ago} ago, took {took_seconds} s: {}{reason}{class}", words(outcome))
}

fn words(outcome: &str) -> &str {
    match outcome {
        "inSync" => "in sync",
        "deletionBlocked" => "deletion blocked",
        "underway" => "under way",
        outcome => outcome,
    }
}

fn differed(last: &Last) -> Option<String> {
    let one = |Differed { field, actual, desired }: &Differed| format!("{field} ({actual} → {desired})");
    let all: Vec<_> = last.differed.iter().map(one).collect();
    (!all.is_empty()).then(|| all.join(", "))
}
