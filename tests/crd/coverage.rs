//! No field and no rule of a CRD is without a case in this suite.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::{
    cases::{Case, Kind, RDS, SQS},
    common, manifest, numbers, rds, rules, transitions, words,
};

fn queues() -> Vec<Case> {
    [
        common::all("queueURL"),
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
        rules::connection_keys(),
    ]
    .concat()
}

/// The paths of the fields of a schema, objects with fields of their own left out.
fn leaves(schema: &Value, path: &str, into: &mut BTreeSet<String>) {
    match (schema["properties"].as_object(), &schema["items"]["properties"]) {
        (Some(fields), _) => fields.iter().for_each(|(name, field)| leaves(field, &format!("{path}/{name}"), into)),
        (None, Value::Object(_)) => leaves(&schema["items"], &format!("{path}/0"), into),
        _ => _ = into.insert(path.to_owned()),
    }
}

/// Makes sure that an accepted case sets each field, and that each rule is in a refused case, or in
/// `messages`, with its whole message.
pub fn covered(kind: &Kind, cases: Vec<Case>, messages: &[&str]) -> Result<()> {
    let mut schema = manifest::schema(kind.plural)?;
    let mut fields = BTreeSet::new();
    leaves(&schema["properties"]["spec"], "", &mut fields);
    let specs: Vec<_> = cases.iter().filter(|it| it.refused.is_none()).map(|it| kind.spec(&it.spec)).collect();
    fields.retain(|field| !specs.iter().any(|spec| spec.pointer(field).is_some_and(|value| !value.is_null())));
    ensure!(fields.is_empty(), "no case sets {fields:?}");

    let mut rules = Vec::new();
    manifest::each_rule(&mut schema, &mut |rule| rules.extend(rule["message"].as_str().map(str::to_owned)));
    ensure!(rules.len() > 1, "only {rules:?}");
    let refused: BTreeSet<_> = cases.into_iter().filter_map(|case| case.refused).collect();
    rules.retain(|message| !refused.contains(message) && !messages.contains(&message.as_str()));
    ensure!(rules.is_empty(), "no case is refused by {rules:?}");
    Ok(())
}

#[test]
fn no_field_and_no_rule_of_a_queue_is_without_a_case() -> Result<()> {
    covered(&SQS, queues(), &transitions::MESSAGES)
}

#[test]
fn no_field_and_no_rule_of_a_database_is_without_a_case() -> Result<()> {
    let cases = [common::all("DB_HOST"), rds::values::all(), rds::rules::all()].concat();
    covered(&RDS, cases, &[rds::transitions::MESSAGES.as_slice(), &transitions::COMMON].concat())
}
