//! What an object's status says, whatever its kind.

use kube::ResourceExt as _;
use kube::api::DynamicObject;
use serde_json::Value;

/// Whether the status speaks of the present generation.
pub fn observed(object: &DynamicObject) -> bool {
    object.data["status"]["observedGeneration"].as_i64() == object.metadata.generation
}

/// A condition, as JSON; null where it is absent.
pub fn condition(object: &DynamicObject, kind: &str) -> Value {
    let conditions = object.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
    conditions.into_iter().find(|condition| condition["type"] == kind).unwrap_or_default()
}

/// Whether a condition has this status.
pub fn is(object: &DynamicObject, kind: &str, status: &str) -> bool {
    condition(object, kind)["status"] == status
}

/// The message of a condition.
pub fn message(object: &DynamicObject, kind: &str) -> String {
    condition(object, kind)["message"].as_str().unwrap_or_default().to_owned()
}

/// `Ready Synced Reconciling Stalled`, as T, F or - (absent).
pub fn row(object: &DynamicObject) -> String {
    ["Ready", "Synced", "Reconciling", "Stalled"]
        .map(|kind| condition(object, kind)["status"].as_str().map_or("-", |status| &status[..1]).to_owned())
        .concat()
}

/// An object for an error: metadata, spec and status.
pub fn shown(object: &DynamicObject) -> String {
    format!("{} {} {}", object.name_any(), serde_json::to_string(&object.metadata).unwrap_or_default(), object.data)
}
