//! What a look ahead comes to, as text. Pure.

use crate::{
    cli::columns::printable,
    engine::preview::{FieldChange, Outcome, Preview},
};

/// Values longer than this are cut; `-o json` has them whole.
const VALUE_LIMIT: usize = 100;

/// What would be done, in a word or two.
pub(in crate::cli) fn verb(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Create => "create",
        Outcome::Update => "update",
        Outcome::Nothing => "nothing",
        Outcome::Wait => "wait",
        Outcome::Refuse => "refused",
        Outcome::Paused => "paused",
        Outcome::Observe => "observe",
        Outcome::Delete => "delete",
        Outcome::Retain => "retain",
        Outcome::Spare => "leave alone",
        Outcome::Release => "let go",
        Outcome::Unknown => "unknown",
    }
}

/// The lines below that: what is said, the fields, what AWS does later, and what was assumed.
pub(in crate::cli) fn details(preview: &Preview, indent: &str) -> String {
    let Preview { outcome, reason: _, message: _, resource: _, fields, changes, pending, assumed } = preview;
    let mut lines: Vec<String> = Vec::new();
    let width = fields.keys().map(String::len).max().unwrap_or_default();
    lines.extend(fields.iter().map(|(field, value)| format!("{field:width$}  {}", short(value))));
    if fields.is_empty() && *outcome == Outcome::Create {
        lines.push("with AWS's defaults".to_owned());
    }
    let width = changes.iter().map(|change| change.field.len()).max().unwrap_or_default();
    for FieldChange { field, actual, desired, effect } in changes {
        let effect = effect.as_ref().map(|effect| format!("   ({effect})")).unwrap_or_default();
        lines.push(format!("{field:width$}  {} → {}{effect}", short(actual), short(desired)));
    }
    let later = |it: &crate::engine::kind::Pending| format!("later: {} becomes {} {}", it.field, it.value, it.applies);
    lines.extend(pending.iter().map(later));
    lines.extend(assumed.iter().map(|assumed| format!("assumed: {assumed}")));
    lines.iter().map(|line| format!("{indent}{}\n", printable(line))).collect()
}

/// Why, with the reason that the conditions have.
pub(in crate::cli) fn why(preview: &Preview) -> String {
    let Preview { reason, message, .. } = preview;
    match (reason, message.is_empty()) {
        (Some(reason), false) => format!("{reason}: {}", printable(message)),
        (Some(reason), true) => reason.clone(),
        (None, _) => printable(message),
    }
}

fn short(value: &str) -> String {
    match value.char_indices().nth(VALUE_LIMIT) {
        Some((end, _)) => format!("{}…", &value[..end]),
        None if value.is_empty() => "none".into(),
        None => value.to_owned(),
    }
}
