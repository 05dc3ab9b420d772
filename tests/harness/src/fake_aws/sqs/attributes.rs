//! The attributes that a queue may be given: names, ranges, defaults, and what excludes what.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::fake_aws::refusal::Refusal;

/// By name; AWS sends all values as strings.
pub(super) type Attributes = BTreeMap<&'static str, String>;

struct Attribute {
    name: &'static str,
    rule: Rule,
    /// What a new queue shows that was not given it.
    default: Option<&'static str>,
    fifo_only: bool,
}

enum Rule {
    Number(u64, u64),
    OneOf(&'static [&'static str]),
    /// A JSON object of so many bytes; `""` clears it.
    Document(usize),
    /// `""` clears it.
    Key,
}

const TABLE: &[Attribute] = &[
    any("DelaySeconds", Rule::Number(0, 900), Some("0")),
    any("MaximumMessageSize", Rule::Number(1_024, 1_048_576), Some("1048576")),
    any("MessageRetentionPeriod", Rule::Number(60, 1_209_600), Some("345600")),
    any("ReceiveMessageWaitTimeSeconds", Rule::Number(0, 20), Some("0")),
    any("VisibilityTimeout", Rule::Number(0, 43_200), Some("30")),
    any("Policy", Rule::Document(8_192), None),
    any("RedrivePolicy", Rule::Document(8_192), None),
    any("RedriveAllowPolicy", Rule::Document(8_192), None),
    any(KMS_KEY, Rule::Key, None),
    any(KMS_REUSE, Rule::Number(60, 86_400), None),
    any(MANAGED_SSE, Rule::OneOf(&["true", "false"]), Some("true")),
    fifo("FifoQueue", &["true"], "true"),
    fifo("ContentBasedDeduplication", &["false", "true"], "false"),
    fifo("DeduplicationScope", &["queue", "messageGroup"], "queue"),
    fifo("FifoThroughputLimit", &["perQueue", "perMessageGroupId"], "perQueue"),
];

const KMS_KEY: &str = "KmsMasterKeyId";
const KMS_REUSE: &str = "KmsDataKeyReusePeriodSeconds";
const MANAGED_SSE: &str = "SqsManagedSseEnabled";

const fn any(name: &'static str, rule: Rule, default: Option<&'static str>) -> Attribute {
    Attribute { name, rule, default, fifo_only: false }
}

const fn fifo(name: &'static str, values: &'static [&'static str], default: &'static str) -> Attribute {
    Attribute { name, rule: Rule::OneOf(values), default: Some(default), fifo_only: true }
}

/// Reads attributes as a request gives them. An empty value clears.
pub(super) fn parse(given: &Value, fifo: bool) -> Result<Attributes, Refusal> {
    let given = given.as_object().into_iter().flatten();
    let parsed = given.map(|(name, value)| {
        let attribute = TABLE.iter().find(|attribute| attribute.name == name && (fifo || !attribute.fifo_only));
        let attribute = attribute.ok_or_else(|| unknown(name))?;
        let value = value.as_str().unwrap_or_default();
        if !attribute.rule.allows(attribute.name, value) {
            return Err(Refusal::bad("InvalidAttributeValue", format!("Invalid value for the parameter {name}.")));
        }
        Ok((attribute.name, value.to_owned()))
    });
    let parsed: Attributes = parsed.collect::<Result<_, _>>()?;
    if parsed.get(KMS_KEY).is_some_and(|key| !key.is_empty()) && is(&parsed, MANAGED_SSE, "true") {
        let message = "You can use one type of server-side encryption (SSE) at one time.";
        return Err(Refusal::bad("InvalidAttributeValue", message));
    }
    Ok(parsed)
}

/// What a new queue has that was given nothing.
pub(super) fn defaults(fifo: bool) -> Attributes {
    let table = TABLE.iter().filter(|attribute| fifo || !attribute.fifo_only);
    table.filter_map(|attribute| Some((attribute.name, attribute.default?.to_owned()))).collect()
}

/// The attributes after a change. What the outcome may not be is refused.
pub(super) fn changed(current: &Attributes, change: Attributes) -> Result<Attributes, Refusal> {
    let mut changed = current.clone();
    let key = change.get(KMS_KEY).cloned();
    let managed = is(&change, MANAGED_SSE, "true");
    for (name, value) in change {
        if value.is_empty() {
            changed.remove(name);
        } else {
            changed.insert(name, value);
        }
    }
    // The two kinds of encryption replace each other.
    match key.as_deref() {
        Some("") => drop(changed.remove(KMS_REUSE)),
        Some(_) => {
            changed.insert(MANAGED_SSE, "false".to_owned());
            changed.entry(KMS_REUSE).or_insert_with(|| "300".to_owned());
        }
        None if managed => {
            changed.remove(KMS_KEY);
            changed.remove(KMS_REUSE);
        }
        None => {}
    }
    if is(&changed, "FifoThroughputLimit", "perMessageGroupId") && !is(&changed, "DeduplicationScope", "messageGroup") {
        let message = "Invalid value for the parameter FifoThroughputLimit.";
        return Err(Refusal::bad("InvalidAttributeValue", message));
    }
    Ok(changed)
}

/// The first attribute that a create asks for and an existing queue has not.
pub(super) fn conflict(existing: &Attributes, asked: &Attributes) -> Option<&'static str> {
    let differs = |name: &str, asked: &str| {
        let has = existing.get(name).map_or("", String::as_str);
        let json = |text| serde_json::from_str::<Value>(text).ok().filter(Value::is_object);
        has != asked && (json(has).is_none() || json(has) != json(asked))
    };
    asked.iter().find(|(name, asked)| differs(name, asked)).map(|(name, _)| *name)
}

/// The name in the table of an attribute that a read asks for.
pub(super) fn known(name: &str) -> Option<&'static str> {
    TABLE.iter().map(|attribute| attribute.name).find(|known| *known == name)
}

pub(super) fn unknown(name: &str) -> Refusal {
    Refusal::bad("InvalidAttributeName", format!("Unknown Attribute {name}."))
}

fn is(attributes: &Attributes, name: &str, value: &str) -> bool {
    attributes.get(name).is_some_and(|is| is == value)
}

impl Rule {
    fn allows(&self, name: &str, value: &str) -> bool {
        match self {
            Rule::Number(from, to) => value.parse().is_ok_and(|number: u64| (*from..=*to).contains(&number)),
            Rule::OneOf(values) => values.contains(&value),
            Rule::Key => true,
            Rule::Document(_) if value.is_empty() => true,
            Rule::Document(bytes) => {
                let document = serde_json::from_str(value).unwrap_or(Value::Null);
                value.len() <= *bytes && document.is_object() && document_is_valid(name, &document)
            }
        }
    }
}

fn document_is_valid(name: &str, document: &Value) -> bool {
    match name {
        "RedrivePolicy" => {
            // Both 3 and "3" are taken.
            let count = document.get("maxReceiveCount").unwrap_or(&Value::Null);
            let count = count.as_u64().or_else(|| count.as_str()?.parse().ok());
            let target = document.get("deadLetterTargetArn").and_then(Value::as_str);
            target.is_some() && count.is_some_and(|count| (1..=1_000).contains(&count))
        }
        "RedriveAllowPolicy" => {
            let permission = document.get("redrivePermission").and_then(Value::as_str);
            let sources = document.get("sourceQueueArns").and_then(Value::as_array).map_or(0, Vec::len);
            permission.is_some_and(|one| match one {
                "allowAll" | "denyAll" => sources == 0,
                one => one == "byQueue" && (1..=10).contains(&sources),
            })
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_and_values_are_judged() {
        let bad = |code| Some(code);
        let (name, value) = ("InvalidAttributeName", "InvalidAttributeValue");
        let cases = [
            (json!({}), None),
            (json!({"DelaySeconds": "900", "VisibilityTimeout": "0"}), None),
            (json!({"DelaySeconds": "901"}), bad(value)),
            (json!({"DelaySeconds": ""}), bad(value)),
            (json!({"DelaySecs": "1"}), bad(name)),
            (json!({"FifoQueue": "true"}), bad(name)),
            (json!({"Policy": ""}), None),
            (json!({"Policy": "{"}), bad(value)),
            (json!({"Policy": format!("{{\"Id\":\"{}\"}}", "x".repeat(8_192))}), bad(value)),
            (json!({"RedrivePolicy": r#"{"deadLetterTargetArn":"a","maxReceiveCount":"3"}"#}), None),
            (json!({"RedrivePolicy": r#"{"deadLetterTargetArn":"a","maxReceiveCount":1001}"#}), bad(value)),
            (json!({"RedriveAllowPolicy": r#"{"redrivePermission":"denyAll"}"#}), None),
            (json!({"RedriveAllowPolicy": r#"{"redrivePermission":"byQueue"}"#}), bad(value)),
            (json!({"KmsMasterKeyId": "alias/x", "SqsManagedSseEnabled": "true"}), bad(value)),
            (json!({"KmsMasterKeyId": "alias/x", "SqsManagedSseEnabled": "false"}), None),
        ];
        for (given, expected) in cases {
            let refused = parse(&given, false).err().map(|refusal| refusal.code);
            assert_eq!(refused.as_deref(), expected, "{given}");
        }
    }

    #[test]
    fn the_kinds_of_encryption_replace_each_other() -> Result<(), Refusal> {
        let standard = defaults(false);
        let keyed = changed(&standard, [(KMS_KEY, "alias/x".to_owned())].into())?;
        assert_eq!((&*keyed[MANAGED_SSE], &*keyed[KMS_REUSE]), ("false", "300"));
        assert_eq!(changed(&keyed, [(MANAGED_SSE, "true".to_owned())].into())?, standard);
        let cleared = changed(&keyed, [(KMS_KEY, String::new())].into())?;
        assert!(!cleared.contains_key(KMS_KEY) && !cleared.contains_key(KMS_REUSE));
        Ok(())
    }

    #[test]
    fn only_what_is_asked_for_conflicts() {
        let existing = Attributes::from([("DelaySeconds", "5".to_owned()), ("Policy", "{\"a\": 1}".to_owned())]);
        let cases = [
            (Attributes::new(), None),
            (Attributes::from([("DelaySeconds", "5".to_owned())]), None),
            (Attributes::from([("Policy", "{\"a\":1}".to_owned())]), None),
            (Attributes::from([("DelaySeconds", "6".to_owned())]), Some("DelaySeconds")),
            (Attributes::from([(KMS_KEY, "alias/x".to_owned())]), Some(KMS_KEY)),
        ];
        for (asked, expected) in cases {
            assert_eq!(conflict(&existing, &asked), expected, "{asked:?}");
        }
    }
}
