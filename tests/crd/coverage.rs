//! No field and no rule of the CRD is without a case in this suite.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{cases::Case, manifest, numbers, rules, transitions, words};

fn all() -> Vec<Case> {
    [
        numbers::ranges(),
        numbers::switches(),
        words::enumerations(),
        words::patterns(),
        words::lengths(),
        words::documents(),
        rules::names(),
        rules::object_names(),
        rules::fifo_fields(),
        rules::encryption(),
        rules::dead_letters(),
        rules::tags(),
        rules::connection_keys(),
    ]
    .concat()
}

/// The paths of the fields of a schema, objects with fields of their own left out.
pub fn leaves(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    match schema["properties"].as_object() {
        Some(fields) => fields.iter().for_each(|(name, field)| leaves(field, &format!("{path}/{name}"), into)),
        None => _ = into.insert(path.to_owned()),
    }
}

#[test]
fn every_field_is_set_in_an_accepted_case() -> Result<()> {
    let mut fields = BTreeSet::new();
    leaves(&manifest::schema()?["properties"]["spec"], "", &mut fields);
    let accepted: Vec<_> = all().into_iter().filter(|case| case.refused.is_none()).collect();
    fields.retain(|field| !accepted.iter().any(|case| case.spec.pointer(field).is_some_and(|value| !value.is_null())));
    ensure!(fields.is_empty(), "no case sets {fields:?}");
    Ok(())
}

#[test]
fn every_rule_is_in_a_refused_case_with_its_whole_message() -> Result<()> {
    let refused: BTreeSet<String> =
        all().into_iter().filter_map(|case| case.refused).chain(transitions::MESSAGES.map(str::to_owned)).collect();
    let mut rules = Vec::new();
    manifest::each_rule(&mut manifest::schema()?, &mut |rule| {
        rules.extend(rule["message"].as_str().map(str::to_owned));
    });
    ensure!(rules.len() > 10, "only {rules:?}");
    rules.retain(|message| !refused.contains(message));
    ensure!(rules.is_empty(), "no case is refused by {rules:?}");
    Ok(())
}
