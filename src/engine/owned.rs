//! Whose a published ConfigMap or Secret is. It says so itself, in an annotation, and is deleted with its
//! object by its owner reference. Pure.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::{Map, Value, json};

use super::objects::Object;
use crate::crd::CONNECTION_LABEL;

/// The metadata of what is published as `name` for `object`, which `annotation` says.
pub fn metadata(object: &Object, name: &str, annotation: &str) -> ObjectMeta {
    let types = object.0.types.clone().unwrap_or_default();
    ObjectMeta {
        name: Some(name.into()),
        namespace: Some(object.namespace().into()),
        labels: Some([(CONNECTION_LABEL.to_owned(), types.kind.clone())].into()),
        annotations: Some([(annotation.to_owned(), kind_and_name(object))].into()),
        owner_references: Some(vec![OwnerReference {
            api_version: types.api_version,
            kind: types.kind,
            name: object.name().into(),
            uid: object.uid().into(),
            ..OwnerReference::default()
        }]),
        ..ObjectMeta::default()
    }
}

/// `Kind/name` of the object that something belongs to, as `annotation` says.
pub fn owner_of<'a>(metadata: &'a ObjectMeta, annotation: &str) -> Option<&'a str> {
    metadata.annotations.as_ref()?.get(annotation).map(String::as_str)
}

/// Whether something belongs to `object`, or to an earlier incarnation of it.
pub fn is_of(metadata: &ObjectMeta, annotation: &str, object: &Object) -> bool {
    owner_of(metadata, annotation) == Some(kind_and_name(object).as_str())
}

/// What it takes to give `current` the owner and the labels that are `wished`, if anything. Others' owner
/// references, labels and annotations stay.
pub fn difference(current: &ObjectMeta, wished: &ObjectMeta) -> Option<Map<String, Value>> {
    let owner = wished.owner_references.iter().flatten().next()?;
    let owners = current.owner_references.clone().unwrap_or_default();
    let owned = owners.iter().any(|other| other.uid == owner.uid);
    let has = |label: (&String, &String)| current.labels.iter().flatten().any(|at| at == label);
    if owned && wished.labels.iter().flatten().all(has) {
        return None;
    }
    // An earlier incarnation of the object, as a restored backup has it, owns nothing any more.
    let same = |other: &OwnerReference| (&other.kind, &other.name) == (&owner.kind, &owner.name);
    let owners: Vec<_> = owners.iter().filter(|other| !same(other)).chain([owner]).collect();
    let fields = [("labels", json!(wished.labels)), ("ownerReferences", json!(owners))];
    Some(fields.map(|(field, value)| (field.to_owned(), value)).into_iter().collect())
}

/// What it takes for `current` not to be deleted with `object`, if anything.
pub fn disowned(current: &ObjectMeta, object: &Object) -> Option<Map<String, Value>> {
    let owners = current.owner_references.clone().unwrap_or_default();
    let (ours, others): (Vec<_>, Vec<_>) = owners.into_iter().partition(|owner| owner.uid == object.uid());
    (!ours.is_empty()).then(|| [("ownerReferences".to_owned(), json!(others))].into_iter().collect())
}

/// The metadata of a patch that means exactly `current`, and makes these `changes` to its metadata.
pub fn patch(current: &ObjectMeta, changes: Option<Map<String, Value>>) -> Value {
    let version = [("uid", json!(current.uid)), ("resourceVersion", json!(current.resource_version))];
    let version = version.map(|(field, value)| (field.to_owned(), value));
    Value::Object(version.into_iter().chain(changes.unwrap_or_default()).collect())
}

fn kind_and_name(object: &Object) -> String {
    let kind = object.0.types.as_ref().map_or("", |types| types.kind.as_str());
    format!("{kind}/{}", object.name())
}
