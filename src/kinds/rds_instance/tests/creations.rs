//! Names, passwords, what the creating call takes.

use super::*;
use crate::{
    engine::kind::PasswordSource,
    kinds::rds_instance::{
        creation::{Creation, Master, creation, defaults},
        desired::{check_password, password_source, resource_name},
    },
};

#[test]
fn names() {
    let longest = "a".repeat(63);
    for (wished, name) in [("orders", "orders"), ("Shop-Orders-2", "shop-orders-2"), ("a", "a"), (&longest, &longest)] {
        assert_eq!(resource_name(wished), Ok(name.to_owned()));
    }
    for wished in ["", "1st", "-a", "a-", "a--b", "a.b", "a_b", "ä", &"a".repeat(64)] {
        let message = message(resource_name(wished));
        assert!(message.starts_with("spec.name: ") && message.contains("set a"), "{wished}: {message}");
    }
}

#[test]
fn passwords_that_rds_takes() {
    for (engine, password, fine) in [
        ("postgres", "correct-horse".to_owned(), true),
        ("postgres", "short".to_owned(), false),
        ("postgres", "p".repeat(128), true),
        ("postgres", "p".repeat(129), false),
        ("mysql", "p".repeat(42), false),
        ("oracle-se2", "p".repeat(31), false),
        ("postgres", "with a space".to_owned(), false),
        ("postgres", "with/slash".to_owned(), false),
        ("postgres", "with@at-sign".to_owned(), false),
        ("postgres", "with\"quote".to_owned(), false),
        ("postgres", "with&ampersand'".to_owned(), true),
        ("oracle-se2", "with&ampersand".to_owned(), false),
        ("postgres", "with-ümlaut".to_owned(), false),
    ] {
        let checked = check_password(engine, &Password::from(password.clone()));
        assert_eq!(checked.is_ok(), fine, "{engine} {password}: {checked:?}");
        assert!(!checked.err().unwrap_or_default().contains(&password));
    }
}

#[test]
fn where_the_password_comes_from() {
    let source = |credentials: Json| {
        let fields = if credentials.is_null() { json!({}) } else { json!({ "credentials": credentials }) };
        password_source(spec(postgres(fields)).credentials.as_ref(), "orders")
    };
    let generated =
        |secret: &str| PasswordSource::Generated { secret: secret.into(), field: "credentials.generate.secretName" };
    assert_eq!(source(Json::Null), generated("orders-credentials"));
    assert_eq!(source(json!({ "generate": { "secretName": "mine" } })), generated("mine"));
    assert_eq!(source(json!({ "managedByAWS": {} })), PasswordSource::Managed);
    assert_eq!(
        source(json!({ "secretRef": { "name": "theirs", "key": "pw" } })),
        PasswordSource::Referenced { secret: "theirs".into(), key: "pw".into(), field: "credentials.secretRef" }
    );
    for both in [json!({}), json!({ "generate": {}, "managedByAWS": {} })] {
        let refused = desired(&spec(postgres(json!({ "credentials": both }))));
        assert!(message(refused).starts_with("spec.credentials: "));
    }
}

fn created(fields: Json, account: Json) -> Result<Creation, NotYet> {
    let mut account = account;
    account["region"] = json!("eu-west-1");
    let defaults = defaults(&serde_json::from_value(account).unwrap());
    creation(&desired_of(fields), &defaults, "AWSAccount team-a", Some(&password()))
}

/// `field value` of each value that the call is given.
fn given(creation: &Creation) -> Vec<String> {
    creation.fields.iter().map(|(field, value)| format!("{} {value}", field.name())).collect()
}

#[test]
fn what_the_creating_call_is_given() {
    let small = json!({ "instanceClass": "db.t4g.micro", "allocatedStorage": 20 });
    let creation = created(small, json!({})).unwrap();
    assert_eq!(
        given(&creation),
        [
            "engine postgres",
            "instanceClass db.t4g.micro",
            "allocatedStorage 20",
            "storageType gp3",
            "masterUsername fairlead",
            "publiclyAccessible false",
            "storageEncrypted true",
        ]
    );
    assert_eq!((creation.master.clone(), creation.has_password()), (Master::Password(password()), true));
    assert!(creation.told().is_empty());
    assert!(!format!("{creation:?}").contains(password().expose()));
    let limited = json!({ "instanceClass": "c", "allocatedStorage": 20, "maxAllocatedStorage": 20 });
    assert!(!created(limited, json!({})).unwrap().fields.contains_key(&Field::MaxAllocatedStorage));
}

#[test]
fn the_accounts_defaults_are_for_what_the_spec_does_not_say() {
    let account = || {
        json!({
            "instanceClass": "db.r6g.large", "allocatedStorage": 100, "storageType": "gp2", "port": 5_555,
            "multiAZ": true, "kmsKeyId": "alias/a", "dbSubnetGroupName": "private", "vpcSecurityGroupIds": ["sg-9"],
        })
    };
    let creation = created(json!({ "instanceClass": "db.t4g.micro" }), account()).unwrap();
    let told: Vec<_> = creation.defaults.keys().map(String::as_str).collect();
    assert_eq!(
        told,
        ["allocatedStorage", "dbSubnetGroupName", "kmsKeyId", "multiAZ", "port", "storageType", "vpcSecurityGroupIds"]
    );
    assert_eq!(creation.told()["defaults"]["vpcSecurityGroupIds"], "sg-9");
    assert!(given(&creation).contains(&"instanceClass db.t4g.micro".to_owned()));
    let bare =
        json!({ "instanceClass": "c", "allocatedStorage": 20, "storageEncrypted": false, "availabilityZone": "a" });
    let creation = created(bare, account()).unwrap();
    for excluded in ["kmsKeyId", "multiAZ", "instanceClass"] {
        assert!(!creation.defaults.contains_key(excluded), "{excluded}");
    }
}

#[test]
fn what_only_a_creation_needs_is_asked_for() {
    for (fields, field) in [
        (json!({ "allocatedStorage": 20 }), "instanceClass"),
        (json!({ "instanceClass": "db.t4g.micro" }), "allocatedStorage"),
    ] {
        let message = message(created(fields, json!({})));
        assert!(message.starts_with(&format!("spec.{field}: ")), "{message}");
        assert!(message.contains(&format!("spec.rdsInstanceDefaults.{field} of AWSAccount team-a")), "{message}");
    }
    let without = creation(
        &desired_of(json!({ "instanceClass": "c", "allocatedStorage": 20 })),
        &Values::new(),
        "AWSAccount a",
        None,
    );
    assert!(matches!(without, Err(NotYet::Waiting(_))));
}

#[test]
fn a_managed_password_is_asked_of_aws() {
    let fields = json!({
        "instanceClass": "c", "allocatedStorage": 20, "credentials": { "managedByAWS": { "kmsKeyId": "k" } },
    });
    let creation = creation(&desired_of(fields), &Values::new(), "AWSAccount a", None).unwrap();
    assert_eq!((creation.master.clone(), creation.has_password()), (Master::Managed(Some("k".into())), false));
}

#[test]
fn a_snapshot_brings_most_with_it() {
    let fields = json!({
        "restoreFromSnapshot": "last", "dbName": "orders", "masterUsername": "admin", "engineVersion": "16",
        "storageEncrypted": true, "monitoringInterval": 0, "backupRetentionPeriod": 7,
    });
    let account = json!({ "allocatedStorage": 20, "kmsKeyId": "k", "port": 5_555, "preferredMaintenanceWindow": "w" });
    let creation = created(fields, account).unwrap();
    assert_eq!(
        given(&creation),
        ["engine postgres", "port 5555", "publiclyAccessible false", "backupRetentionPeriod 7"]
    );
    assert_eq!((creation.snapshot.as_deref(), creation.has_password()), (Some("last"), false));
    assert_eq!(creation.defaults.keys().collect::<Vec<_>>(), ["port"]);
}
