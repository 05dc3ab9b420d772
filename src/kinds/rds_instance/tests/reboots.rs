//! What a plan does about reboots and passwords.

use super::*;
use crate::kinds::rds_instance::observed::{MasterSecret, NewMaster};

#[test]
fn a_parameter_that_waits_for_a_reboot() {
    let observed = Observed { parameters_wait: true, ..instance() };
    let group = json!({ "dbParameterGroupName": "default.postgres16" });
    let rebooting = json!({ "dbParameterGroupName": "default.postgres16", "rebootOnParameterChange": true });
    assert_eq!(planned(json!({}), &observed), Plan::default());
    let applies = |plan: Plan<Change>| plan.pending.into_iter().map(|it| it.applies).collect::<Vec<_>>();
    let asks = planned(group, &observed);
    assert!(asks.changes.is_empty());
    assert_eq!(applies(asks), ["after a reboot (set spec.rebootOnParameterChange, or reboot by hand)"]);
    let reboots = planned(rebooting.clone(), &observed);
    assert_eq!((reboots.changes, reboots.pending), (vec![Change::Reboot], vec![]));
    let settling = wrote("rebootOnParameterChange", "pending-reboot", "in-sync");
    assert_eq!(applies(planned_after(rebooting.clone(), &observed, &[], &settling)), ["as soon as AWS has applied it"]);
    // Not together with a change, and not while AWS works.
    let mut wished = rebooting.clone();
    wished["multiAZ"] = json!(true);
    let plan = planned(wished, &observed);
    modification(&plan);
    assert_eq!(applies(plan), ["after a reboot, which follows"]);
    let busy = planned(rebooting, &in_status("modifying", observed));
    assert!(busy.changes.is_empty());
    assert_eq!(applies(busy), ["after a reboot, which follows"]);
}

/// The credentials in the spec, the secret in AWS, whether the password is new, and what is sent.
#[test]
fn passwords() {
    let secret = |key: &str| Some(MasterSecret { arn: "arn:secret".into(), key: Some(key.into()) });
    let managed = || json!({ "credentials": { "managedByAWS": { "kmsKeyId": "1234" } } });
    let known = password();
    let run = |fields: Json, secret: Option<MasterSecret>, password, settling: &Settling| {
        let past = Past { managed: &[], settling, password };
        plan(&desired_of(fields), &Observed { secret, ..instance() }, &past)
    };
    let none = Settling::new();
    let new = Some(&known);
    let no_longer = NewMaster::NoLongerManaged(password());
    for (fields, actual, password, told, expected) in [
        (json!({}), None, None, "", None),
        (json!({}), None, new, "credentials: … → set", Some(NewMaster::Password(password()))),
        (managed(), None, None, "credentials: … → managed by AWS", Some(NewMaster::Managed(Some("1234".into())))),
        (managed(), secret("arn:aws:kms:eu-west-1:123456789012:key/1234"), None, "", None),
        (json!({}), secret("k"), new, "credentials: managed by AWS → set", Some(no_longer)),
    ] {
        let plan = run(fields.clone(), actual, password, &none);
        assert_eq!(differences(&plan).join(" "), told, "{fields}");
        assert!(!format!("{plan:?}").contains(known.expose()), "{plan:?}");
        let sent = plan.changes.first().map(|change| match change {
            Change::Modify(Modify { master, .. }) => master.clone(),
            Change::Reboot => None,
        });
        assert_eq!(sent.flatten(), expected, "{fields}");
        assert_eq!(plan.changes.iter().any(Change::sets_password), password.is_some(), "{fields}");
    }
    assert!(run(json!({}), secret("k"), None, &none).waiting.unwrap().ends_with("waits until the password is known"));
    assert_eq!(run(managed(), None, None, &wrote("credentials", "…", "managed by AWS")), Plan::default());
    assert_eq!(run(json!({}), secret("k"), new, &wrote("credentials", "managed by AWS", "set")), Plan::default());
    let refused = run(managed(), secret("arn:aws:kms:eu-west-1:123456789012:key/9"), None, &none).refused.unwrap();
    assert_eq!(refused.difference.field, "credentials.managedByAWS.kmsKeyId");
    let busy = plan(
        &desired_of(json!({})),
        &in_status("backing-up", instance()),
        &Past { managed: &[], settling: &none, password: new },
    );
    assert!(busy.changes.is_empty() && busy.waiting.unwrap().starts_with("credentials (… → set) waits until"));
}
