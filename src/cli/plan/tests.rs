//! Manifests, and how they are checked where no API server is, as data.

use serde_json::{Value, json};

use super::{check, manifests::parse};
use crate::{
    engine::objects::Object,
    kinds::{KINDS, Registration},
};

fn queue() -> &'static Registration {
    &KINDS[0]
}

fn manifest(spec: Value) -> Value {
    json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": "orders" }, "spec": spec,
    })
}

#[test]
fn documents_are_counted_and_taken_apart() {
    let text = "a: 1\n---\n---\nkind: List\nitems: [{ b: 2 }, { c: 3 }]\n---\nwords\n---\nd: [\n---\ne: 5\n";
    let told: Vec<_> = parse("f.yaml", text)
        .into_iter()
        .map(|document| match document.content {
            Ok(value) => format!("{}: {value}", document.place),
            Err(_) => format!("{}: wrong", document.place),
        })
        .collect();
    let expected = [
        r#"f.yaml, document 1: {"a":1}"#,
        r#"f.yaml, document 3, item 1: {"b":2}"#,
        r#"f.yaml, document 3, item 2: {"c":3}"#,
        "f.yaml, document 4: wrong",
        "f.yaml, document 5: wrong",
    ];
    assert_eq!(told, expected);
    assert_eq!(parse("f.yaml", ""), []);
    assert_eq!(parse("f.yaml", "# nothing\n"), []);
}

#[test]
fn the_schema_is_checked_without_a_server() {
    for (spec, wrong) in [
        (json!({}), &[][..]),
        (json!({ "delaySeconds": 900, "tags": { "any": "thing" }, "fifoQueue": false }), &[]),
        (json!({ "delaySeconds": 901 }), &["spec.delaySeconds: 901 is above 900"]),
        (json!({ "delaySeconds": -1 }), &["spec.delaySeconds: -1 is below 0"]),
        (json!({ "delaySeconds": "5" }), &["spec.delaySeconds: \"5\" is no integer"]),
        (json!({ "delaySecond": 5 }), &["spec.delaySecond: there is no such field"]),
        (
            json!({ "management": "Perhaps" }),
            &["spec.management: \"Perhaps\" is not allowed; allowed: \"Manage\", \"Observe\""],
        ),
        (json!({ "connection": { "nam": "x" } }), &["spec.connection.nam: there is no such field"]),
        (json!({ "accountRef": {} }), &["spec.accountRef.name: it is needed"]),
        (json!({ "tags": { "a": 1 } }), &["spec.tags.a: 1 is no string"]),
        (json!({ "delaySeconds": null }), &[]),
    ] {
        let object = check::merged(queue(), &manifest(spec.clone()), "shop", None).unwrap();
        assert_eq!(check::by_schema(queue(), &object), wrong, "{spec}");
    }
}

#[test]
fn the_clusters_object_keeps_what_a_manifest_has_no_say_in() {
    let live = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
        "metadata": {
            "name": "orders", "namespace": "shop", "uid": "u", "resourceVersion": "7", "generation": 2,
            "finalizers": ["f"], "annotations": {
                "aws.fairlead.dev/identity": "{}",
                "kubectl.kubernetes.io/last-applied-configuration": r#"{"spec":{"delaySeconds":1}}"#,
            },
        },
        "spec": { "delaySeconds": 1, "visibilityTimeout": 5, "tags": { "a": "1" } },
        "status": { "managed": ["delaySeconds"] },
    });
    let live = Object(serde_json::from_value(live).unwrap());
    let mut wished = manifest(json!({ "tags": { "b": "2" } }));
    wished["metadata"]["uid"] = json!("another");
    wished["metadata"]["annotations"] = json!({ "own": "x" });
    wished["status"] = json!({ "managed": ["nothing"] });
    let object = check::merged(queue(), &wished, "shop", Some(&live)).unwrap();
    assert_eq!((object.uid(), object.version(), object.generation()), ("u", Some("7"), Some(2)));
    assert_eq!(object.raw_spec(), json!({ "tags": { "b": "2" } }));
    assert_eq!(object.status().get("managed"), Some(&json!(["delaySeconds"])));
    assert_eq!((object.annotation("own"), object.annotation("aws.fairlead.dev/identity")), (Some("x"), Some("{}")));
    // Applying removes what an earlier manifest had, and leaves what somebody else has set.
    let left = check::left_out(&live, &object).unwrap();
    assert!(left.contains("spec.visibilityTimeout") && !left.contains("delaySeconds"), "{left}");
    assert_eq!(check::tag_keys(&live), ["a"]);

    let object = check::merged(queue(), &wished, "shop", None).unwrap();
    assert_eq!((object.uid(), object.namespace(), object.status().len()), ("", "shop", 0));
    let other = json!({ "apiVersion": "aws.fairlead.dev/v9", "kind": "SQSQueue", "metadata": { "name": "orders" } });
    let said = check::merged(queue(), &other, "shop", None).unwrap_err();
    assert!(said.starts_with("apiVersion: \"aws.fairlead.dev/v9\" is not known"), "{said}");
}
