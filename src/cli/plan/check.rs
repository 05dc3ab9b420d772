//! Whether an object is valid, and how it would be in the cluster.
//!
//! Where an API server answers, it says so: a dry run of the write that applying comes to, which checks the schema
//! and the CEL rules, also those that compare with the object before. Without, the schema that this program has.

use kube::{
    Client,
    api::DynamicObject,
    core::{Status, response::StatusDetails},
};
use serde_json::{Value, json};

use crate::{
    cli::status::{Unanswered, within},
    engine::objects::Object,
    kinds::Registration,
};

/// What kubectl keeps of the last manifest that it has applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Fields of the metadata that the cluster has the say in.
const OF_CLUSTER: [&str; 7] = [
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "finalizers",
];

/// The object, as it would be: the spec is the manifest's with the schema's defaults, what the cluster has the say in is the cluster's.
pub(super) fn merged(
    kind: &Registration,
    manifest: &Value,
    namespace: &str,
    live: Option<&Object>,
) -> Result<Object, String> {
    let mut object = manifest.clone();
    let resource = (kind.resource)();
    object["apiVersion"] = json!(resource.api_version);
    if manifest["apiVersion"] != object["apiVersion"] {
        return Err(format!("apiVersion: {} is not known; known is {}", manifest["apiVersion"], resource.api_version));
    }
    let Some(fields) = object.as_object_mut() else { return Err("it is no manifest: it has no fields".into()) };
    drop(fields.remove("status"));
    if !fields.contains_key("spec") {
        fields.insert("spec".into(), json!({}));
    }
    object["metadata"]["namespace"] = json!(namespace);
    let metadata = &mut object["metadata"];
    for field in OF_CLUSTER {
        metadata.as_object_mut().into_iter().for_each(|metadata| drop(metadata.remove(field)));
    }
    if let Some(live) = live {
        let there = serde_json::to_value(&live.0).map_err(|error| error.to_string())?;
        for field in OF_CLUSTER.iter().filter(|field| !there["metadata"][**field].is_null()) {
            metadata[*field] = there["metadata"][*field].clone();
        }
        let mut annotations = there["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        annotations.extend(metadata["annotations"].as_object().cloned().unwrap_or_default());
        if !annotations.is_empty() {
            metadata["annotations"] = Value::Object(annotations);
        }
        if !there["status"].is_null() {
            object["status"] = there["status"].clone();
        }
    }
    if let Some(spec) = object["spec"].as_object_mut() {
        let defaults = schema_of(kind);
        for (field, schema) in defaults["properties"].as_object().into_iter().flatten() {
            if let Some(default) = schema.get("default").filter(|_| !spec.contains_key(field)) {
                spec.insert(field.clone(), default.clone());
            }
        }
    }
    serde_json::from_value(object).map(Object).map_err(|error| error.to_string())
}

/// The schema of the spec, as this program has it.
fn schema_of(kind: &Registration) -> Value {
    let crd = (kind.crd)();
    let schema = crd.spec.versions.first().and_then(|version| version.schema.as_ref()?.open_api_v3_schema.clone());
    serde_json::to_value(schema).unwrap_or_default()["properties"]["spec"].take()
}

/// What is assumed of fields that the cluster's object has and the manifest has not: applying removes only those
/// that an earlier version of the manifest had.
pub(super) fn left_out(live: &Object, wished: &Object) -> Option<String> {
    let before: Option<Value> = live.annotation(LAST_APPLIED).and_then(|text| serde_json::from_str(text).ok());
    let (there, wished) = (live.raw_spec(), wished.raw_spec());
    let applied = |field: &str| before.as_ref().is_some_and(|before| before["spec"].get(field).is_some());
    let fields = there.as_object().into_iter().flatten().map(|(field, _)| field);
    let left: Vec<_> = fields.filter(|field| wished.get(field).is_none() && !applied(field)).cloned().collect();
    (!left.is_empty()).then(|| {
        format!(
            "that spec.{}, which the cluster's object has and the manifest has not, leaves it",
            left.join(", spec.")
        )
    })
}

/// The keys of the tags that a spec has.
pub(super) fn tag_keys(object: &Object) -> Vec<String> {
    let spec = object.raw_spec();
    spec["tags"].as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
}

/// The object as the API server would have it, and what could not be made sure.
///
/// # Errors
/// What is wrong with it, a line each: field and reason.
pub(super) async fn valid(
    client: Option<&Client>,
    kind: &Registration,
    object: Object,
    live: Option<&Object>,
) -> Result<(Object, Option<String>), Vec<String>> {
    let doubt = match client {
        None => None,
        Some(client) => match dry_run(client, kind, &object, live).await {
            Ok(answer) => {
                // Its spec has the schema's defaults; what else it answers is of an object that will not be.
                let mut object = object;
                object.0.data["spec"] = answer.data.get("spec").cloned().unwrap_or_else(|| json!({}));
                return Ok((object, None));
            }
            Err(Unanswered::Refused(status)) => match refusal(&status) {
                Some(wrong) => return Err(wrong),
                None => Some(format!("{} ({})", status.message, status.code)),
            },
            Err(Unanswered::Failed(why)) => Some(why),
        },
    };
    let wrong = by_schema(kind, &object);
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let said = doubt.map_or("no API server was asked".to_owned(), |why| format!("the API server does not say: {why}"));
    Ok((object, Some(format!("that the API server takes it, by the schema's rules ({said})"))))
}

/// What the API server would make of it. A dry run: it writes nothing.
async fn dry_run(
    client: &Client,
    kind: &Registration,
    object: &Object,
    live: Option<&Object>,
) -> Result<DynamicObject, Unanswered> {
    const NOTHING_WRITTEN: &str = "dryRun=All&fieldValidation=Strict&fieldManager=fairlead-plan";
    let resource = (kind.resource)();
    let (group, version, plural) = (&resource.group, &resource.version, &resource.plural);
    let path = format!("/apis/{group}/{version}/namespaces/{}/{plural}", object.namespace());
    let request = match live {
        Some(_) => axum::http::Request::put(format!("{path}/{}?{NOTHING_WRITTEN}", object.name())),
        None => axum::http::Request::post(format!("{path}?{NOTHING_WRITTEN}")),
    };
    let failed = |why: String| Unanswered::Failed(why);
    let mut sent = object.0.clone();
    if let Some(fields) = sent.data.as_object_mut() {
        drop(fields.remove("status"));
    }
    let body = serde_json::to_vec(&sent).map_err(|error| failed(error.to_string()))?;
    let request = request.header("content-type", "application/json").body(body);
    within(client.request(request.map_err(|error| failed(error.to_string()))?)).await
}

/// What is wrong with the object, where a refusal says that: a line each.
fn refusal(status: &Status) -> Option<Vec<String>> {
    // A webhook that takes no dry run says nothing of the object.
    if !matches!(status.code, 400 | 422) || status.message.contains("does not support dry run") {
        return None;
    }
    let causes = status.details.as_ref().map(|StatusDetails { causes, .. }| causes.as_slice()).unwrap_or_default();
    let cause = |cause: &kube::core::response::StatusCause| match cause.field.as_str() {
        "" | "<nil>" => cause.message.trim_start_matches("Invalid value: ").to_owned(),
        field => format!("{field}: {}", cause.message),
    };
    let mut lines: Vec<_> = causes.iter().map(cause).collect();
    lines.dedup();
    Some(if lines.is_empty() { vec![status.message.clone()] } else { lines })
}

/// What this program's own schema says of the object, a line each. It knows no CEL.
pub(super) fn by_schema(kind: &Registration, object: &Object) -> Vec<String> {
    let mut wrong = Vec::new();
    judge("spec", &object.raw_spec(), &schema_of(kind), &mut wrong);
    wrong
}

fn judge(path: &str, value: &Value, schema: &Value, wrong: &mut Vec<String>) {
    if value.is_null() {
        return;
    }
    let kind = schema["type"].as_str().unwrap_or_default();
    let fits = match (kind, value) {
        ("object", Value::Object(_)) | ("array", Value::Array(_)) | ("string", Value::String(_)) => true,
        ("integer", Value::Number(number)) => number.is_i64() || number.is_u64(),
        ("number", Value::Number(_)) | ("boolean", Value::Bool(_)) | ("", _) => true,
        _ => schema["x-kubernetes-int-or-string"] == true,
    };
    if !fits {
        wrong.push(format!("{path}: {value} is no {kind}"));
        return;
    }
    if let Some(allowed) = schema["enum"].as_array().filter(|allowed| !allowed.contains(value)) {
        let allowed: Vec<_> = allowed.iter().filter(|it| !it.is_null()).map(ToString::to_string).collect();
        wrong.push(format!("{path}: {value} is not allowed; allowed: {}", allowed.join(", ")));
    }
    let size = match value {
        Value::String(text) => i64::try_from(text.chars().count()).ok(),
        Value::Array(items) => i64::try_from(items.len()).ok(),
        Value::Object(fields) => i64::try_from(fields.len()).ok(),
        number => number.as_i64(),
    };
    let (least, most) = match value {
        Value::String(_) => ("minLength", "maxLength"),
        Value::Array(_) => ("minItems", "maxItems"),
        Value::Object(_) => ("minProperties", "maxProperties"),
        _ => ("minimum", "maximum"),
    };
    let bound = |name: &str| schema[name].as_f64();
    #[allow(clippy::cast_precision_loss, reason = "bounds are far below 2^53")]
    if let Some(size) = size.map(|size| size as f64) {
        let what = if value.is_number() { value.to_string() } else { format!("its size {size}") };
        if let Some(least) = bound(least).filter(|least| size < *least) {
            wrong.push(format!("{path}: {what} is below {least}"));
        }
        if let Some(most) = bound(most).filter(|most| size > *most) {
            wrong.push(format!("{path}: {what} is above {most}"));
        }
    }
    match value {
        Value::Object(fields) => judge_fields(path, fields, schema, wrong),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .for_each(|(index, item)| judge(&format!("{path}[{index}]"), item, &schema["items"], wrong)),
        _ => {}
    }
}

fn judge_fields(path: &str, fields: &serde_json::Map<String, Value>, schema: &Value, wrong: &mut Vec<String>) {
    let free = schema["x-kubernetes-preserve-unknown-fields"] == true;
    for (field, value) in fields {
        let path = format!("{path}.{field}");
        match (schema["properties"].get(field), schema.get("additionalProperties")) {
            (Some(known), _) => judge(&path, value, known, wrong),
            (None, Some(any)) if any.is_object() => judge(&path, value, any, wrong),
            (None, _) if free || schema["type"].is_null() => {}
            (None, _) => wrong.push(format!("{path}: there is no such field")),
        }
    }
    for required in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if !fields.contains_key(required) {
            wrong.push(format!("{path}.{required}: it is needed"));
        }
    }
}
