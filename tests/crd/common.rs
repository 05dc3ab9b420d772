//! The fields that every kind's spec begins with: each range and rule, for each kind.

use std::collections::BTreeMap;

use anyhow::Result;
use serde_json::{Value, json};

use crate::cases::{Case, RDS, SQS, accepted, check, refused};

/// All cases for a kind that publishes `key`.
pub fn all(key: &str) -> Vec<Case> {
    [enumerations(), regions(), connections(key), references(), tags()].concat()
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

/// Each value of an enumeration, and another.
pub fn values_of(field: &str, values: &[&str], with: fn(&str, Value) -> Value) -> Vec<Case> {
    let message = format!("spec.{field}: Unsupported value: \"Other\": supported values: \"");
    let mut cases = vec![refused(with(field, json!("Other")), message)];
    cases.extend(values.iter().map(|value| accepted(with(field, json!(value)))));
    cases
}

fn enumerations() -> Vec<Case> {
    let with = |field: &str, value: Value| json!({ field: value });
    let management = values_of("management", &["Manage", "Observe"], with);
    [management, values_of("adoption", &["Never", "Adopt", "AdoptOrCreate"], with)].concat()
}

fn regions() -> Vec<Case> {
    let region = |region: &str| json!({ "region": region });
    let mut cases: Vec<_> = ["eu-west-1", "us-gov-west-1", "cn-north-1", "us-isob-east-1", "eusc-de-east-1"]
        .map(|it| accepted(region(it)))
        .into();
    cases.extend(
        ["", "EU-WEST-1", "eu-west", "eu-west-1a", "eu west 1"]
            .map(|it| refused(region(it), "spec.region in body should match '^[a-z]{2,4}(-[a-z]+)+-[0-9]+$'")),
    );
    let message = "spec.region: Too long: may not be more than 32 bytes";
    cases.push(refused(region(&format!("eu-{}-1", "x".repeat(28))), message));
    cases
}

fn connections(key: &str) -> Vec<Case> {
    let connection = |name: &str| json!({ "connection": { "name": name } });
    let keys = |name: &str| json!({ "connection": { "keys": { key: name } } });
    let many: BTreeMap<_, _> = (0..17).map(|n| (format!("key{n}"), format!("v{n}"))).collect();
    let mut cases: Vec<_> = ["orders", "orders.v1", "0-9"].map(|it| accepted(connection(it))).into();
    cases.extend(
        ["Orders", "-orders", "orders-", "a..b", ".a", "a_b"]
            .map(|it| refused(connection(it), "spec.connection.name in body should match '^[a-z0-9]")),
    );
    cases.extend(["QUEUE_URL", "queue.url", ".env", "a..b", "-"].map(|it| accepted(keys(it))));
    let message = format!("spec.connection.keys.{key} in body should match '^");
    cases.extend(["", ".", "..", "..a", "a b", "a/b"].map(|it| refused(keys(it), &message)));
    cases.extend([
        accepted(connection(&long(253))),
        refused(connection(&long(254)), "spec.connection.name: Too long"),
        refused(connection(""), "spec.connection.name in body should be at least 1 chars"),
        accepted(keys(&long(253))),
        refused(keys(&long(254)), format!("spec.connection.keys.{key}: Too long")),
        refused(json!({ "connection": { "keys": many } }), "spec.connection.keys: Too many: 17: must have at most 16"),
    ]);
    cases
}

fn references() -> Vec<Case> {
    let account = |name: &str| json!({ "accountRef": { "name": name } });
    vec![
        accepted(account("team-a")),
        refused(account(""), "spec.accountRef.name in body should be at least 1 chars"),
        refused(account(&long(254)), "spec.accountRef.name: Too long"),
        refused(json!({ "accountRef": {} }), "spec.accountRef.name: Required value"),
        refused(json!({ "name": "" }), "spec.name in body should be at least 1 chars long"),
        refused(json!({ "name": long(256) }), "spec.name: Too long: may not be more than 255 bytes"),
    ]
}

fn tags() -> Vec<Case> {
    let tag = |key: &str| json!({ "tags": { key: "value" } });
    let tags = |count: usize| (0..count).map(|n| (format!("key{n}"), "value")).collect::<BTreeMap<_, _>>();
    let reserved = "tags: keys that begin with fairlead.dev/ or aws: are reserved";
    let length = "tags: a key has 1 to 128 characters";
    vec![
        accepted(json!({ "tags": tags(40) })),
        refused(json!({ "tags": tags(41) }), "spec.tags: Too many: 41: must have at most 40 items"),
        accepted(json!({ "tags": { "team": long(256), "empty": "" } })),
        refused(json!({ "tags": { "team": long(257) } }), "spec.tags.team: Too long: may not be more than 256 bytes"),
        refused(json!({ "tags": { "team": 5 } }), "spec.tags.team in body must be of type string"),
        accepted(tag("my.fairlead.dev/team")),
        refused(tag("fairlead.dev/uid"), reserved),
        refused(tag("aws:cloudformation:stack-name"), reserved),
        accepted(tag(&long(128))),
        refused(tag(&long(129)), length),
        refused(tag(""), length),
    ]
}

#[tokio::test]
async fn the_fields_of_every_kind_are_judged_alike() -> Result<()> {
    check(&SQS, all("queueURL")).await?;
    check(&RDS, all("DB_HOST")).await
}
