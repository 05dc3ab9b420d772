//! How instances go, and what is published of those that are there.

use std::collections::BTreeMap;

use super::*;
use crate::{
    engine::kind::{End, Ending},
    kinds::rds_instance::{
        connection::connection,
        ending::{Farewell, Kept, Snapshot, ending, kept},
        observed::MasterSecret,
    },
};

const UID: &str = "0a1b2c3d-0000-4000-8000-000000000001";

fn end(observed: &Observed, snapshot: bool, spec: &Json) -> End<Change, Farewell> {
    ending(Some(observed), &Ending { uid: UID, snapshot, spec })
}

#[test]
fn how_an_instance_goes() {
    let protected = || with([(Field::DeletionProtection, Value::Switch(true))]);
    let (open, closed, broken) = (json!({ "deletionProtection": false }), json!({}), json!({ "engine": 5 }));
    for (observed, snapshot, spec, expected) in [
        (
            instance(),
            true,
            &closed,
            "delete with orders-final-0a1b2c3d-0000-4000-8000-000000000001 orders-final-0a1b2c3d-0000-4000-8000-000000000001-db-abc",
        ),
        (instance(), false, &broken, "delete with "),
        (in_status("creating", instance()), false, &closed, "wait: being created"),
        (in_status("deleting", instance()), true, &closed, "wait: final snapshot"),
        (in_status("deleting", protected()), false, &closed, "wait: being deleted"),
        (protected(), true, &open, "unprotect"),
        (in_status("backing-up", protected()), true, &open, "wait: backing-up"),
        (protected(), true, &closed, "blocked: spec.deletionProtection"),
        (protected(), true, &json!({ "deletionProtection": true }), "blocked: spec.deletionPolicy"),
        (protected(), true, &json!({ "deletionProtection": "false" }), "blocked: Retain"),
        (in_status("failed", instance()), true, &closed, "blocked: spec.deletionPolicy to Delete"),
        (in_status("incompatible-network", instance()), true, &closed, "blocked: incompatible-network"),
        (in_status("incompatible-restore", instance()), true, &closed, "blocked: Retain"),
        (in_status("failed", instance()), false, &closed, "delete with "),
        (in_status("stopped", instance()), false, &closed, "delete with "),
    ] {
        let end = end(&observed, snapshot, spec);
        let (what, words) = expected.split_once(": ").unwrap_or((expected, ""));
        match &end {
            End::Delete(farewell) => assert_eq!(format!("delete with {}", farewell.snapshots.join(" ")), expected),
            End::Change(change) => assert_eq!((change, what), (&Change::unprotect(), "unprotect")),
            End::Wait(text) => assert!(what == "wait" && text.contains(words), "{end:?}, {expected}"),
            End::Blocked(text) => assert!(what == "blocked" && text.contains(words), "{end:?}, {expected}"),
        }
    }
    // Nothing is deleted unseen.
    assert!(matches!(ending(None, &Ending { uid: UID, snapshot: true, spec: &closed }), End::Wait(_)));
}

#[test]
fn automated_backups_go_only_where_the_spec_says_so() {
    for (spec, go) in [
        (json!({}), false),
        (json!({ "deleteAutomatedBackups": true }), true),
        (json!({ "deleteAutomatedBackups": false }), false),
    ] {
        let End::Delete(farewell) = end(&instance(), true, &spec) else { panic!("{spec}") };
        assert_eq!(farewell.delete_automated_backups, go, "{spec}");
    }
}

#[test]
fn a_snapshot_of_that_name_counts_only_where_it_is_this_instances() {
    let snapshot =
        |id: Option<&str>, status: &str| Some(Snapshot { resource_id: id.map(str::to_owned), status: status.into() });
    for (ours, there, expected) in [
        (Some("db-A"), snapshot(Some("db-A"), "available"), Kept::Yes),
        (Some("db-A"), snapshot(Some("db-A"), "creating"), Kept::NotYet),
        (Some("db-A"), snapshot(Some("db-A"), "failed"), Kept::No),
        (Some("db-A"), snapshot(Some("db-B"), "available"), Kept::No),
        (Some("db-A"), snapshot(None, "available"), Kept::No),
        (None, snapshot(None, "available"), Kept::No),
        (Some("db-A"), None, Kept::NotYet),
    ] {
        assert_eq!(kept(ours, there.as_ref()), expected, "{ours:?} {there:?}");
    }
}

#[test]
fn snapshots_have_names_that_aws_takes() {
    for (identifier, uid, id) in
        [("orders", UID, "db-ABC"), ("o-r-d", "--x--", "db-"), (&"a".repeat(63), &"u".repeat(250), "db-A")]
    {
        let observed = Observed { identifier: identifier.into(), resource_id: Some(id.into()), ..instance() };
        let spec = json!({});
        let End::Delete(farewell) = ending(Some(&observed), &Ending { uid, snapshot: true, spec: &spec }) else {
            panic!()
        };
        assert!(!farewell.snapshots.is_empty());
        for name in farewell.snapshots {
            assert!(name.len() <= 255 && !name.contains("--") && !name.ends_with('-'), "{name}");
            assert!(name.starts_with(|c: char| c.is_ascii_lowercase()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
        }
    }
}

fn published(
    engine: &str,
    fields: Json,
    observed: &Observed,
    password: Option<&str>,
) -> Option<BTreeMap<String, String>> {
    let mut json = fields;
    json["engine"] = json!(engine);
    let password = password.map(|it| Password::from(it.to_owned()));
    connection(observed, &desired(&spec(json)).unwrap(), password.as_ref())
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

#[test]
fn a_url_says_what_the_other_keys_say() {
    for (engine, scheme, name, password) in [
        ("postgres", "postgresql", Some("orders"), "correct-horse"),
        ("postgres", "postgresql", None, "p#?%&+=:;[]{}|\\^`<>~!$*(),.-_"),
        ("mysql", "mysql", Some("orders_2"), "a:b%40c"),
        ("mariadb", "mysql", None, "simple"),
        ("sqlserver-ex", "sqlserver", None, "simple"),
        ("oracle-se2", "oracle", Some("ORCL"), "simple"),
    ] {
        let observed = with(name.map(|name| (Field::DbName, text(name))));
        let data = published(engine, json!({}), &observed, Some(password)).unwrap();
        let expected_name = name.or((engine == "postgres").then_some("postgres"));
        assert_eq!(data.get("DB_NAME").map(String::as_str), expected_name, "{engine}");
        let (actual_scheme, rest) = data["DATABASE_URL"].split_once("://").unwrap();
        let (login, place) = rest.split_once('@').unwrap();
        let (user, secret) = login.split_once(':').unwrap();
        let (address, path) = place.split_once('/').unwrap_or((place, ""));
        assert_eq!(actual_scheme, scheme);
        assert_eq!((decoded(user), decoded(secret)), (data["DB_USER"].clone(), data["DB_PASSWORD"].clone()));
        assert_eq!(address, format!("{}:{}", data["DB_HOST"], data["DB_PORT"]));
        assert_eq!(decoded(path), expected_name.unwrap_or_default());
        assert_eq!(data["DB_HOST"], "orders.abc.eu-west-1.rds.amazonaws.com");
    }
}

#[test]
fn what_can_not_be_reached_is_not_published() {
    let managed = || json!({ "credentials": { "managedByAWS": {} } });
    let secret = Some(MasterSecret { arn: "arn:secret".into(), key: None });
    let with_secret = Observed { secret, ..instance() };
    let data = published("postgres", managed(), &with_secret, None).unwrap();
    assert_eq!(data["DB_SECRET_ARN"], "arn:secret");
    assert!(!data.contains_key("DB_PASSWORD") && !data.contains_key("DATABASE_URL"));
    assert_eq!(published("postgres", managed(), &instance(), None), None);
    assert_eq!(published("postgres", json!({}), &instance(), None), None);
    let homeless = Observed { host: None, ..instance() };
    assert_eq!(published("postgres", json!({}), &homeless, Some("correct-horse")), None);
}
