//! What is told of a plan. Pure.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{
    cli::{
        ahead::text::{details, verb, why},
        columns::printable,
    },
    crd::status::ResourceIdentity,
    engine::preview::{Outcome, Preview},
};

/// The reason of specs that are no valid ones.
const INVALID: &str = "InvalidSpec";

/// What is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    /// What was not seen, and therefore assumed, of everything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) assumed: Vec<String>,
    /// A line for each document.
    #[serde(rename = "documents")]
    pub(super) lines: Vec<Line>,
}

/// A document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line {
    #[serde(skip)]
    pub(super) number: usize,
    /// File and document.
    pub(super) place: String,
    /// Kind, namespace and name.
    pub(super) object: String,
    #[serde(flatten)]
    pub(super) verdict: Verdict,
}

/// What becomes of a document.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Verdict {
    /// What would be done.
    Planned(Box<Preview>),
    /// Nothing: why.
    Skipped(String),
    /// It is no valid object: what is wrong.
    Invalid(Vec<String>),
}

impl Verdict {
    /// What was assumed.
    fn assumed(&self) -> impl Iterator<Item = &str> {
        let planned = if let Self::Planned(preview) = self { Some(preview) } else { None };
        planned.into_iter().flat_map(|preview| preview.assumed.iter().map(String::as_str))
    }

    /// The same; a spec that turned out to be invalid is told as that.
    fn told(&self) -> Told<'_> {
        match self {
            Self::Skipped(why) => Told::Skipped(why),
            Self::Invalid(wrong) => Told::Invalid(wrong.iter().map(String::as_str).collect()),
            Self::Planned(preview) if preview.reason.as_deref() == Some(INVALID) => {
                Told::Invalid(vec![&preview.message])
            }
            Self::Planned(preview) => Told::Planned(preview),
        }
    }
}

enum Told<'a> {
    Planned(&'a Preview),
    Skipped(&'a str),
    Invalid(Vec<&'a str>),
}

/// The plan as `fairlead plan` prints it.
pub(super) fn text(report: &Report) -> String {
    let Report { assumed, lines } = report;
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for assumed in lines.iter().flat_map(|line| line.verdict.assumed()) {
        *counts.entry(assumed).or_default() += 1;
    }
    counts.retain(|_, count| *count > 1);
    let shared = counts.iter().map(|(assumed, count)| format!("assumed of {count} objects: {assumed}"));
    let notes: Vec<_> = assumed.iter().cloned().chain(shared).collect();
    let mut text: String = notes.iter().map(|note| format!("note: {}\n", printable(note))).collect();
    if !notes.is_empty() {
        text += "\n";
    }
    lines.iter().for_each(|line| text += &of_line(line, &|assumed| counts.contains_key(assumed)));
    text + "\n" + &sum(lines) + "\n"
}

/// A document, but for what is `told` already.
fn of_line(Line { number: _, place, object, verdict }: &Line, told: &dyn Fn(&str) -> bool) -> String {
    let (object, place) = (printable(object), printable(place));
    match verdict.told() {
        Told::Skipped(why) => format!("{:8} {object}: {why}   ({place})\n", "skipped"),
        Told::Invalid(wrong) => {
            let lines = wrong.iter().map(|wrong| format!("         {place}: {}\n", printable(wrong)));
            format!("{:8} {object}\n{}", "INVALID", lines.collect::<String>())
        }
        Told::Planned(preview) => {
            let resource = preview.resource.as_ref().map(of_resource).unwrap_or_default();
            let word = match preview.outcome {
                Outcome::Refuse => "REFUSED",
                Outcome::Unknown => "UNKNOWN",
                outcome => verb(outcome),
            };
            let why = why(preview);
            let why = if why.is_empty() { why } else { format!("         {why}\n") };
            let mut preview = preview.clone();
            preview.assumed.retain(|assumed| !told(assumed));
            format!("{word:8} {object}{resource}   ({place})\n{why}{}", details(&preview, "         "))
        }
    }
}

fn of_resource(ResourceIdentity { account_id, region, name, .. }: &ResourceIdentity) -> String {
    format!(": {} in {region} of {account_id}", printable(name))
}

fn sum(lines: &[Line]) -> String {
    let mut counts: BTreeMap<(u8, &str), usize> = BTreeMap::new();
    for line in lines {
        let what = match line.verdict.told() {
            Told::Skipped(_) => (8, "skipped"),
            Told::Invalid(_) => (7, "invalid"),
            Told::Planned(preview) => match preview.outcome {
                Outcome::Create => (0, "to create"),
                Outcome::Update => (1, "to update"),
                Outcome::Delete | Outcome::Retain | Outcome::Spare | Outcome::Release => (2, "being deleted"),
                Outcome::Wait => (3, "waiting"),
                Outcome::Nothing | Outcome::Paused | Outcome::Observe => (4, "with nothing to do"),
                Outcome::Refuse => (5, "refused"),
                Outcome::Unknown => (6, "that can't be told"),
            },
        };
        *counts.entry(what).or_default() += 1;
    }
    let counts: Vec<_> = counts.iter().map(|((_, what), count)| format!("{count} {what}")).collect();
    format!("{}. Nothing was changed.", counts.join(", "))
}

/// Why the plan is none of all the manifests.
pub(super) fn failure(report: &Report) -> Option<String> {
    let count = |is: fn(&Told<'_>) -> bool| report.lines.iter().filter(|line| is(&line.verdict.told())).count();
    let invalid = count(|told| matches!(told, Told::Invalid(_)));
    let unknown = count(|told| matches!(told, Told::Planned(preview) if preview.outcome == Outcome::Unknown));
    let objects = |count: usize| if count == 1 { "1 object".to_owned() } else { format!("{count} objects") };
    match (invalid, unknown) {
        (0, 0) => None,
        (0, unknown) => Some(format!("what becomes of {} can't be told", objects(unknown))),
        (invalid, 0) => Some(format!("{} of these manifests can't be applied", objects(invalid))),
        (invalid, unknown) => Some(format!(
            "{} of these manifests can't be applied, and what becomes of {} can't be told",
            objects(invalid),
            objects(unknown)
        )),
    }
}
