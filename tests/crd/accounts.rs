//! The API of an AWSAccount: what an administrator may write, every field and every rule.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use fairlead::accounts::api::AWSAccountSpec;
use kube::{
    Api,
    api::{ApiResource, DynamicObject, PostParams},
    core::{GroupVersionKind, Request},
};
use serde_json::{Value, json};

use crate::{
    cases::{Case, Server, accepted, refusal, refused},
    coverage::leaves,
    manifest,
};

const NEEDED: &str = "spec.roleARN is needed: name the IAM role that the operator assumes (only the AWSAccount called \
                      default has none, since it stands for the operator's own credentials)";
const FORBIDDEN: &str = "spec.roleARN, spec.externalID and spec.perNamespaceSession are not for the AWSAccount called \
                         default, which stands for the operator's own credentials: remove them, or choose another name";

/// A valid spec with one field as given; null takes it away.
fn with(field: &str, value: Value) -> Value {
    let mut spec = json!({ "roleARN": "arn:aws:iam::111122223333:role/fairlead", "allowedNamespaces": ["shop"] });
    spec[field] = value;
    if spec[field].is_null() {
        spec.as_object_mut().map(|spec| spec.remove(field));
    }
    spec
}

fn roles() -> Vec<Case> {
    let arn = |arn: &str| with("roleARN", json!(arn));
    let mut default = with("roleARN", Value::Null);
    let own = default.clone();
    default["perNamespaceSession"] = json!(false);
    let mut external = own.clone();
    external["externalID"] = json!("x-1");
    vec![
        accepted(arn("arn:aws:iam::111122223333:role/fairlead")),
        accepted(arn("arn:aws-cn:iam::111122223333:role/path/to/fairlead_1+=,.@-")),
        refused(arn("arn:aws:iam::1234:role/a"), "spec.roleARN in body should match '^arn:"),
        refused(arn("arn:aws:iam::111122223333:user/a"), "spec.roleARN in body should match '^arn:"),
        refused(arn(&format!("arn:aws:iam::111122223333:role/{}", "x".repeat(2_048))), "spec.roleARN: Too long"),
        refused(own.clone(), NEEDED),
        accepted(own).named("default"),
        refused(arn("arn:aws:iam::111122223333:role/a"), FORBIDDEN).named("default"),
        refused(default, FORBIDDEN).named("default"),
        refused(external, FORBIDDEN).named("default"),
        accepted(with("externalID", json!("a-Z_0+=,.@:/"))),
        refused(with("externalID", json!("x")), "spec.externalID in body should be at least 2 chars"),
        refused(with("externalID", json!("a b")), "spec.externalID in body should match"),
        refused(with("externalID", json!("x".repeat(1_225))), "spec.externalID: Too long"),
        accepted(with("perNamespaceSession", json!(true))),
    ]
}

fn lists() -> Vec<Case> {
    let mut cases = vec![
        refused(with("allowedNamespaces", Value::Null), "spec.allowedNamespaces: Required value"),
        refused(with("allowedNamespaces", json!([])), "spec.allowedNamespaces in body should have at least 1 items"),
        refused(with("allowedRegions", json!([])), "spec.allowedRegions in body should have at least 1 items"),
        // To allow none of these makes sense.
        accepted(with("allowedKMSKeys", json!([]))),
        accepted(with("allowAdoption", json!([]))),
    ];
    for field in ["allowedNamespaces", "defaultForNamespaces"] {
        cases.extend(["shop", "shop-*", "*", "0-9"].map(|it| accepted(with(field, json!([it])))));
        let message = format!("spec.{field}[0] in body should match");
        cases.extend(["Shop", "*-shop", "a*b", "shop-", "a/b"].map(|it| refused(with(field, json!([it])), &message)));
    }
    cases.extend(["eu-west-1", "eu-*", "*"].map(|it| accepted(with("allowedRegions", json!([it])))));
    cases.extend(
        ["EU", "*-1", "eu west"]
            .map(|it| refused(with("allowedRegions", json!([it])), "spec.allowedRegions[0] in body should match")),
    );
    for field in ["allowedKMSKeys", "allowedRoles", "allowedSnapshots"] {
        cases.extend(["alias/shop-*", "arn:aws:kms:*:*:key/*"].map(|it| accepted(with(field, json!([it])))));
        cases.push(refused(with(field, json!(["a b"])), format!("spec.{field}[0] in body should match")));
        cases.push(refused(with(field, json!([""])), format!("spec.{field}[0] in body should be at least 1 chars")));
    }
    for field in ["allowAdoption", "allowObserve"] {
        cases.extend(["shop/*", "*/*", "team-*/legacy-*-q"].map(|it| accepted(with(field, json!([it])))));
        let message = format!("spec.{field}[0] in body should match");
        cases.extend(["shop", "/a", "a/", "a/b/c"].map(|it| refused(with(field, json!([it])), &message)));
    }
    let many: Vec<_> = (0..257).map(|number| format!("n{number}")).collect();
    cases.push(refused(with("allowedNamespaces", json!(many)), "spec.allowedNamespaces: Too many: 257"));
    cases
}

fn numbers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (field, most) in [("callRate", 10_000), ("pollIntervalSeconds", 86_400)] {
        cases.extend([1, most].map(|number| accepted(with(field, json!(number)))));
        cases
            .push(refused(with(field, json!(0)), format!("spec.{field} in body should be greater than or equal to 1")));
        let message = format!("spec.{field} in body should be less than or equal to {most}");
        cases.push(refused(with(field, json!(most + 1)), message));
        cases.push(refused(with(field, json!(1.5)), format!("spec.{field} in body must be of type int32")));
    }
    cases.push(refused(with("unknown", json!(1)), "unknown field \"spec.unknown\""));
    cases
}

#[tokio::test]
async fn every_rule_of_an_account_in_what_it_takes_and_in_what_it_refuses() -> Result<()> {
    let client = Server::new().await?.cluster.admin_client().await?;
    let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "AWSAccount");
    let accounts: Api<DynamicObject> =
        Api::all_with(client.clone(), &ApiResource::from_gvk_with_plural(&kind, "awsaccounts"));
    let mut wrong = Vec::new();
    for Case { name, spec, refused } in [roles(), lists(), numbers()].concat() {
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "AWSAccount",
            "metadata": { "name": name }, "spec": spec,
        });
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let mut request = Request::new(accounts.resource_url()).create(&params, serde_json::to_vec(&object)?)?;
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
        let answer = refusal(client.request::<DynamicObject>(request).await)?;
        let fits = match (&refused, &answer) {
            // What the schema takes, the operator has to understand.
            (None, None) => serde_json::from_value::<AWSAccountSpec>(spec.clone()).is_ok(),
            (Some(message), Some(answer)) => answer.contains(message.as_str()),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name} {spec}\n  expected: {refused:?}\n  answered: {answer:?}"));
        }
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

#[test]
fn no_field_and_no_rule_of_an_account_is_without_a_case() -> Result<()> {
    let mut schema = manifest::schema_of("awsaccounts")?;
    let cases = [roles(), lists(), numbers()].concat();
    let mut fields = BTreeSet::new();
    leaves(&schema["properties"]["spec"], "", &mut fields);
    fields.retain(|field| !cases.iter().any(|case| case.refused.is_none() && case.spec.pointer(field).is_some()));
    ensure!(fields.is_empty(), "no case sets {fields:?}");
    let mut rules = Vec::new();
    manifest::each_rule(&mut schema, &mut |rule| rules.extend(rule["message"].as_str().map(str::to_owned)));
    rules.retain(|message| !cases.iter().any(|case| case.refused.as_ref() == Some(message)));
    ensure!(rules.is_empty(), "no case is refused by {rules:?}");
    Ok(())
}
