//! The API of an AWSAccount: what an administrator may write, every field and every rule.

use anyhow::Result;
use serde_json::{Value, json};

use crate::{
    cases::{ACCOUNT, Case, accepted, check, refused},
    common::values_of,
    coverage::covered,
    numbers::{ranges_of, switches_of},
    rds::rules::{STORAGE, subnet_group_cases, window_cases},
};

const NEEDED: &str = "spec.roleARN is needed: name the IAM role that the operator assumes (only the AWSAccount called \
                      default has none, since it stands for the operator's own credentials)";
const FORBIDDEN: &str = "spec.roleARN, spec.externalID and spec.perNamespaceSession are not for the AWSAccount called \
                         default, which stands for the operator's own credentials: remove them, or choose another name";

/// A spec with one field as given; null takes it away.
fn with(field: &str, value: Value) -> Value {
    json!({ field: value })
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

/// What new databases get in a region.
fn databases() -> Vec<Case> {
    let region = |region: &str| json!({ "rdsInstanceDefaults": [{ "region": region }] });
    let storage = |kind: &str, size: i64| json!({ "rdsInstanceDefaults": [{ "region": "eu-west-1", "storageType": kind, "allocatedStorage": size }] });
    let mut cases = ranges_of(&[("allocatedStorage", 5, 65_536), ("port", 1_150, 65_535)], with_default);
    cases.extend(switches_of(&["multiAZ"], with_default));
    cases.extend(values_of("storageType", &["gp2", "gp3", "io1", "io2", "standard"], with_default));
    for case in &mut cases {
        // The path of the field is within the list.
        case.refused = case.refused.as_ref().map(|refused| refused.replace("spec.", "spec.rdsInstanceDefaults[0]."));
    }
    cases.extend(window_cases(|field, text| with_default(field, json!(text))));
    cases.extend(subnet_group_cases(|field, text| with_default(field, json!(text))));
    let wrong = |field: &str| format!("spec.rdsInstanceDefaults[0].{field} in body should ");
    cases.extend([
        accepted(region("us-gov-west-1")),
        refused(region("EU"), wrong("region")),
        refused(json!({ "rdsInstanceDefaults": [{}] }), "spec.rdsInstanceDefaults[0].region: Required value"),
        refused(
            json!({ "rdsInstanceDefaults": [{ "region": "eu-west-1" }, { "region": "eu-west-1", "port": 5_432 }] }),
            "spec.rdsInstanceDefaults[1]: Duplicate value",
        ),
        accepted(json!({ "rdsInstanceDefaults": [{ "region": "eu-west-1" }, { "region": "eu-west-2" }] })),
        accepted(with_default("vpcSecurityGroupIds", json!(["sg-0a1b"]))),
        refused(with_default("vpcSecurityGroupIds", json!([])), wrong("vpcSecurityGroupIds")),
        accepted(with_default("kmsKeyId", json!("alias/a"))),
        refused(with_default("kmsKeyId", json!("")), wrong("kmsKeyId")),
        accepted(with_default("instanceClass", json!("db.t4g.micro"))),
        refused(with_default("instanceClass", json!("t4g.micro")), wrong("instanceClass")),
        accepted(storage("gp3", 20)),
        refused(storage("gp3", 19), STORAGE),
        refused(storage("io1", 99), STORAGE),
        refused(storage("standard", 3_073), STORAGE),
        refused(with_default("engine", json!("postgres")), "unknown field \"spec.rdsInstanceDefaults[0].engine\""),
    ]);
    let many = |count: usize| {
        let name =
            |n: usize| format!("eu-{}-1", "abcdefgh".chars().cycle().skip(n % 8).take(1 + n / 8).collect::<String>());
        json!({ "rdsInstanceDefaults": (0..count).map(|n| json!({ "region": name(n) })).collect::<Vec<_>>() })
    };
    cases.extend([accepted(many(64)), refused(many(65), "spec.rdsInstanceDefaults: Too many: 65")]);
    cases
}

fn with_default(field: &str, value: Value) -> Value {
    json!({ "rdsInstanceDefaults": [{ "region": "eu-west-1", field: value }] })
}

#[tokio::test]
async fn every_rule_of_an_account_in_what_it_takes_and_in_what_it_refuses() -> Result<()> {
    check(&ACCOUNT, [roles(), lists(), numbers(), databases()].concat()).await
}

#[test]
fn no_field_and_no_rule_of_an_account_is_without_a_case() -> Result<()> {
    covered(&ACCOUNT, [roles(), lists(), numbers(), databases()].concat(), &[])
}
