//! What a look ahead comes to, as data.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::outcome::{Grounds, Outcome, Preview, comparison, correction, creation};
use crate::{
    accounts::account::Account,
    aws::{identity::Identity, tags::Tags},
    engine::{identity, objects::Object, subject::Subject},
    kinds::sqs_queue::{
        SqsQueue,
        attributes::Attribute,
        plan::{Observed, desired},
    },
    settings::{NameTemplate, Pattern},
};

const UID: &str = "5f3c";

/// A case: what is there, and what is asked.
struct Case {
    spec: Value,
    managed: &'static [&'static str],
    actual: &'static [(Attribute, &'static str)],
    tags: Tags,
    adoption: &'static [&'static str],
    /// The tags that may be removed, where those of all resources are not known.
    removable: Option<&'static [&'static str]>,
}

fn case(spec: Value) -> Case {
    Case { spec, managed: &[], actual: &[], tags: ours(&[]), adoption: &[], removable: None }
}

/// The tags of a resource of this very object, with a user's.
fn ours(more: &[(&str, &str)]) -> Tags {
    owned("c", "orders", Some(UID)).into_iter().chain(more.iter().map(|(key, it)| tag(key, it))).collect()
}

fn tag(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn owned(cluster: &str, name: &str, uid: Option<&str>) -> Tags {
    let owner = [("cluster", cluster), ("namespace", "shop"), ("name", name), ("kind", "SQSQueue")];
    let uid = uid.map_or(("retained", "2026-01-02"), |uid| ("uid", uid));
    owner.into_iter().chain([uid]).map(|(key, it)| tag(&format!("fairlead.dev/{key}"), it)).collect()
}

/// What is decided on a case by `decide`.
fn decided<T>(case: &Case, decide: impl FnOnce(&Grounds<'_>, &Identity, &Observed) -> T) -> T {
    let object = json!({
        "metadata": { "name": "orders", "namespace": "shop", "uid": UID, "finalizers": ["aws.fairlead.dev/finalizer"] },
        "spec": case.spec, "status": { "managed": case.managed },
    });
    let object = Object(serde_json::from_value(object).unwrap());
    let template: NameTemplate = "{name}".parse().unwrap();
    let subject =
        Subject { object: &object, cluster: "c", tags: &[], template: &template, default_region: Some("eu-west-1") };
    let patterns: Vec<Pattern> = case.adoption.iter().map(|pattern| pattern.parse().unwrap()).collect();
    let account = Account::of_process(patterns.clone(), patterns, "c");
    let removable: Option<BTreeSet<String>> =
        case.removable.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect());
    let grounds = Grounds { subject, account: &account, removable_tags: removable.as_ref() };
    let spec = object.spec::<SqsQueue>().unwrap();
    let identity = identity::fix::<SqsQueue>(&spec, &subject.source("123456789012")).unwrap();
    let attributes = case.actual.iter().map(|(attribute, value)| (*attribute, (*value).to_owned())).collect();
    decide(&grounds, &identity, &Observed { attributes, ..Observed::default() })
}

/// What a look at a resource that is there comes to.
fn corrected(case: &Case) -> Preview {
    decided(case, |grounds, identity, observed| {
        let spec = grounds.subject.object.spec::<SqsQueue>().unwrap();
        let desired = desired(&spec, identity, &BTreeMap::new()).unwrap();
        let came_to = correction::<SqsQueue>(grounds, &spec, identity, &desired, observed, &case.tags);
        came_to.unwrap_or_else(|fault| Preview::of_fault::<SqsQueue>(&grounds.subject, &fault))
    })
}

fn changes(preview: &Preview) -> Vec<String> {
    preview.changes.iter().map(|change| format!("{}: {} → {}", change.field, change.actual, change.desired)).collect()
}

#[test]
fn a_resource_that_is_there() {
    use Attribute as A;
    let foreign = Tags::from([tag("team", "b")]);
    let spec = || json!({ "delaySeconds": 5, "tags": { "team": "a" } });
    let team = || ours(&[("team", "a")]);
    let adopt = || json!({ "adoption": "Adopt" });
    let (update, nothing, refuse) = (Outcome::Update, Outcome::Nothing, Outcome::Refuse);
    for (case, outcome, fields, words) in [
        (Case { actual: &[(A::DelaySeconds, "5")], tags: team(), ..case(spec()) }, nothing, vec![], ""),
        (
            Case { actual: &[(A::DelaySeconds, "7")], tags: team(), ..case(spec()) },
            update,
            vec!["delaySeconds: 7 → 5"],
            "",
        ),
        (
            Case { actual: &[(A::DelaySeconds, "5")], tags: ours(&[("team", "b"), ("other", "x")]), ..case(spec()) },
            update,
            vec!["tags.team: b → a"],
            "",
        ),
        // What left the spec goes back; what nobody has set stays.
        (
            Case { managed: &["delaySeconds"], actual: &[(A::DelaySeconds, "7")], ..case(json!({})) },
            update,
            vec!["delaySeconds: 7 → 0"],
            "",
        ),
        (Case { actual: &[(A::DelaySeconds, "7")], ..case(json!({})) }, nothing, vec![], ""),
        (Case { managed: &["tags.team"], tags: team(), ..case(json!({})) }, update, vec!["tags.team: a → "], ""),
        // Which tags all resources have is not known: only those go that a spec had.
        (Case { managed: &["tags.team"], tags: team(), removable: Some(&[]), ..case(json!({})) }, nothing, vec![], ""),
        (
            Case { managed: &["tags.team"], tags: team(), removable: Some(&["team"]), ..case(json!({})) },
            update,
            vec!["tags.team: a → "],
            "",
        ),
        // Whose it is.
        (Case { tags: owned("c", "orders", Some("old")), ..case(json!({})) }, update, vec![], "becomes this one's"),
        (Case { tags: owned("c", "orders", None), ..case(json!({})) }, update, vec![], "retained by this object"),
        (
            Case { tags: owned("c", "bills", Some("x")), ..case(json!({})) },
            refuse,
            vec![],
            "belongs to SQSQueue shop/bills",
        ),
        (Case { tags: owned("d", "orders", Some("x")), ..case(json!({})) }, refuse, vec![], "in another cluster"),
        (Case { tags: foreign.clone(), ..case(json!({})) }, refuse, vec![], "set spec.adoption to take it over"),
        (Case { tags: foreign.clone(), ..case(adopt()) }, refuse, vec![], "FAIRLEAD_ALLOW_ADOPTION does not allow"),
        (
            Case { tags: foreign, adoption: &["shop/*"], ..case(adopt()) },
            update,
            vec![],
            "takes over the existing queue",
        ),
        // Somebody has removed an owner tag.
        (
            Case {
                tags: ours(&[]).into_iter().filter(|(key, _)| key != "fairlead.dev/name").collect(),
                ..case(json!({}))
            },
            update,
            vec![],
            "the owner tags are set",
        ),
        // What can't be.
        (case(json!({ "fifoQueue": true })), refuse, vec![], "spec.fifoQueue is true, but the queue has false"),
    ] {
        let preview = corrected(&case);
        assert_eq!(
            (preview.outcome, changes(&preview)),
            (outcome, fields.iter().map(|it| (*it).to_owned()).collect()),
            "{}: {preview:?}",
            case.spec
        );
        assert!(preview.message.contains(words) && (preview.message.is_empty() == words.is_empty()), "{preview:?}");
        assert_eq!(preview.reason.is_some(), outcome == refuse, "{preview:?}");
    }
}

#[test]
fn a_resource_that_is_only_observed() {
    use Attribute as A;
    let spec = || json!({ "management": "Observe", "delaySeconds": 5 });
    for (case, outcome, fields, words) in [
        (Case { actual: &[(A::DelaySeconds, "5")], ..case(spec()) }, Outcome::Observe, vec![], "is as the spec says"),
        (
            Case { actual: &[(A::DelaySeconds, "7")], ..case(spec()) },
            Outcome::Observe,
            vec!["delaySeconds: 7 → 5"],
            "is left as it is",
        ),
        (
            Case { tags: Tags::new(), ..case(spec()) },
            Outcome::Refuse,
            vec![],
            "does not allow shop/orders to observe it",
        ),
        (
            Case { tags: Tags::new(), adoption: &["*/*"], ..case(json!({})) },
            Outcome::Observe,
            vec![],
            "is as the spec says",
        ),
    ] {
        let preview = decided(&case, |grounds, identity, observed| {
            let spec = grounds.subject.object.spec::<SqsQueue>().unwrap();
            let desired = desired(&spec, identity, &BTreeMap::new()).unwrap();
            let came_to = comparison::<SqsQueue>(grounds, &desired, observed, &case.tags);
            came_to.unwrap_or_else(|fault| Preview::of_fault::<SqsQueue>(&grounds.subject, &fault))
        });
        assert_eq!(
            (preview.outcome, changes(&preview)),
            (outcome, fields.iter().map(|it| (*it).to_owned()).collect()),
            "{preview:?}"
        );
        assert!(preview.message.contains(words), "{preview:?}");
    }
}

#[test]
fn a_creation_shows_what_the_call_is_given_and_no_password() {
    use crate::kinds::rds_instance::{RdsInstance, desired::desired as desired_instance};
    let queue = case(json!({ "fifoQueue": true, "delaySeconds": 5 }));
    let preview = decided(&queue, |grounds, identity, _| {
        let spec = grounds.subject.object.spec::<SqsQueue>().unwrap();
        let desired = desired(&spec, identity, &BTreeMap::new()).unwrap();
        creation::<SqsQueue>(grounds.account, identity, &desired, false).unwrap()
    });
    let fields = [("delaySeconds", "5"), ("fifoQueue", "true")].map(|(field, value)| tag(field, value));
    assert_eq!((preview.outcome, preview.fields), (Outcome::Create, fields.into()));

    let spec = json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 });
    let preview = decided(&case(json!({})), |grounds, identity, _| {
        let desired = desired_instance(&serde_json::from_value(spec.clone()).unwrap()).unwrap();
        creation::<RdsInstance>(grounds.account, identity, &desired, true).unwrap()
    });
    assert_eq!(preview.fields.get("credentials").map(String::as_str), Some("a password from a Secret"));
    assert_eq!(preview.fields.get("instanceClass").map(String::as_str), Some("db.t4g.micro"));
    assert!(preview.message.contains("is created again"), "{preview:?}");
    let desired = desired_instance(&serde_json::from_value(json!({ "engine": "postgres" })).unwrap()).unwrap();
    let preview = decided(&case(json!({})), |grounds, identity, _| {
        let fault = creation::<RdsInstance>(grounds.account, identity, &desired, false).unwrap_err();
        Preview::of_fault::<RdsInstance>(&grounds.subject, &fault)
    });
    assert_eq!((preview.outcome, preview.reason.as_deref()), (Outcome::Refuse, Some("InvalidSpec")), "{preview:?}");
}
