//! When two resource policies mean the same. Pure.
//!
//! IAM ignores order and white space, takes a scalar for a list of one, and AWS stores a 12-digit
//! account as its root ARN. Version, Id and Sid are compared as they are.

use serde_json::{Map, Value};

/// Whether two policy documents mean the same. Text that is no JSON object equals only itself.
pub fn same(a: &str, b: &str) -> bool {
    if a == b {
        return true;
    }
    match (serde_json::from_str(a), serde_json::from_str(b)) {
        (Ok(Value::Object(a)), Ok(Value::Object(b))) => normal(a) == normal(b),
        _ => false,
    }
}

/// `policy` with `arn` as the Resource of statements that name neither Resource nor NotResource.
pub fn with_resource(mut policy: Map<String, Value>, arn: &str) -> Map<String, Value> {
    let complete = |statement: &mut Value| {
        if let Value::Object(statement) = statement
            && !statement.contains_key("Resource")
            && !statement.contains_key("NotResource")
        {
            statement.insert("Resource".into(), arn.into());
        }
    };
    match policy.get_mut("Statement") {
        Some(Value::Array(statements)) => statements.iter_mut().for_each(complete),
        Some(statement) => complete(statement),
        None => {}
    }
    policy
}

fn normal(mut policy: Map<String, Value>) -> Value {
    if let Some(statements) = policy.remove("Statement") {
        let mut statements: Vec<_> = list(statements).into_iter().map(statement).collect();
        sort(&mut statements);
        policy.insert("Statement".into(), statements.into());
    }
    policy.into()
}

fn statement(statement: Value) -> Value {
    let Value::Object(statement) = statement else { return statement };
    let part = |(key, value): (String, Value)| {
        let value = match key.as_str() {
            "Principal" | "NotPrincipal" => each(value, |values| set(values, principal)),
            "Condition" => each(value, |keys| each(keys, |values| set(values, text))),
            "Action" | "NotAction" | "Resource" | "NotResource" => set(value, |value| value),
            _ => value,
        };
        (key, value)
    };
    Value::Object(statement.into_iter().map(part).collect())
}

/// Every value of an object changed by `change`; anything else as it is.
fn each(value: Value, change: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, change(value))).collect(),
        other => other,
    }
}

/// A list without order and repetition, of a list or a scalar.
fn set(value: Value, change: fn(Value) -> Value) -> Value {
    let mut values: Vec<_> = list(value).into_iter().map(change).collect();
    sort(&mut values);
    values.dedup();
    values.into()
}

fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(values) => values,
        scalar => vec![scalar],
    }
}

fn sort(values: &mut [Value]) {
    values.sort_by_key(ToString::to_string);
}

/// An account's root, whether written as 12 digits or as an ARN, of whatever partition.
fn principal(value: Value) -> Value {
    let Value::String(text) = &value else { return text(value) };
    let is_account = |text: &str| text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_account(text) {
        return value;
    }
    match text.split(':').collect::<Vec<_>>().as_slice() {
        ["arn", _, "iam", "", account, "root"] if is_account(account) => (*account).into(),
        _ => value,
    }
}

/// A condition's value: YAML's `false` and 5 are what IAM writes "false" and "5".
fn text(value: Value) -> Value {
    match value {
        Value::Bool(_) | Value::Number(_) => value.to_string().into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(a: Value, b: Value, expected: bool) {
        assert_eq!(same(&a.to_string(), &b.to_string()), expected, "{a}\n{b}");
        assert_eq!(same(&b.to_string(), &a.to_string()), expected, "{b}\n{a}");
    }

    fn allow(part: &str, value: Value) -> Value {
        json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", part: value }] })
    }

    #[test]
    fn what_means_the_same() {
        let statement = json!({ "Effect": "Allow" });
        check(json!({ "Statement": statement }), json!({ "Statement": [statement] }), true);
        check(allow("Action", json!("a")), allow("Action", json!(["a"])), true);
        check(allow("Action", json!(["a", "b"])), allow("Action", json!(["b", "a", "b"])), true);
        check(
            allow("Principal", json!({ "AWS": "123456789012" })),
            allow("Principal", json!({ "AWS": ["arn:aws:iam::123456789012:root"] })),
            true,
        );
        check(
            allow("Condition", json!({ "Bool": { "aws:SecureTransport": false } })),
            allow("Condition", json!({ "Bool": { "aws:SecureTransport": ["false"] } })),
            true,
        );
        check(
            json!({ "Statement": [{ "Sid": "a" }, { "Sid": "b" }] }),
            json!({ "Statement": [{ "Sid": "b" }, { "Sid": "a" }] }),
            true,
        );
    }

    #[test]
    fn what_does_not() {
        check(allow("Action", json!("a")), allow("NotAction", json!("a")), false);
        check(allow("Sid", json!("a")), allow("Sid", json!("A")), false);
        check(json!({ "Version": "2008-10-17" }), json!({ "Version": "2012-10-17" }), false);
        check(allow("Principal", json!("*")), allow("Principal", json!({ "AWS": "*" })), false);
        check(
            allow("Principal", json!({ "AWS": "arn:aws:iam::123456789012:role/x" })),
            allow("Principal", json!({ "AWS": "AROAEXAMPLE" })),
            false,
        );
        assert!(!same("", "{}") && !same("x", "y") && same("x", "x"));
    }

    #[test]
    fn statements_without_a_resource_get_the_queue() {
        let policy = json!({ "Statement": [
            { "Sid": "a" }, { "Sid": "b", "Resource": "other" }, { "Sid": "c", "NotResource": "x" }
        ] });
        let Value::Object(policy) = policy else { unreachable!() };
        let complete = Value::Object(with_resource(policy, "arn"));
        assert_eq!(
            complete,
            json!({ "Statement": [
                { "Sid": "a", "Resource": "arn" }, { "Sid": "b", "Resource": "other" }, { "Sid": "c", "NotResource": "x" }
            ] })
        );
        let Value::Object(single) = json!({ "Statement": { "Sid": "a" } }) else { unreachable!() };
        assert_eq!(with_resource(single, "arn")["Statement"]["Resource"], "arn");
    }
}
