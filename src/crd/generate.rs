//! A derived CRD made complete: the rules of the common fields, what may become of a deleted object's
//! resource, a spec that may be left out, the status default that kstatus needs, and the annotations
//! that keep GitOps tools from pruning it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

use super::spec::DeletionPolicy;
use crate::{
    accounts::api,
    kinds::{KINDS, Registration},
};

/// Why a CRD could not be completed or printed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The derived CRD has not the shape that kube's derive gives.
    #[error("the CRD {0} has no {1}")]
    Shape(String, &'static str),
    /// It is no JSON or YAML.
    #[error("the CRD {0} cannot be written: {1}")]
    Write(String, String),
}

/// Losing a CRD loses every object: nothing may prune it by itself.
const KEEP: [(&str, &str); 3] = [
    ("helm.sh/resource-policy", "keep"),
    ("argocd.argoproj.io/sync-options", "Prune=false,Delete=false"),
    ("kustomize.toolkit.fluxcd.io/prune", "disabled"),
];

/// Rules on an object that concern its [`super::spec::CommonSpec`]: (rule, message, field). They stand
/// at the root, where there is an old self also if the old object had no spec, and where the status
/// says which resource was made. Before one was, everything may change; afterwards a region or name may
/// be removed, or set to the one in effect. A field that stays as it was is never complained of, or a
/// finalizer could not be removed.
const TRANSITIONS: [(&str, &str, &str); 2] = [
    (
        "!has(self.spec) || !has(self.spec.region) \
         || (has(oldSelf.spec) && has(oldSelf.spec.region) && self.spec.region == oldSelf.spec.region) \
         || !has(self.status) || !has(self.status.identity) || self.spec.region == self.status.identity.region",
        "spec.region can't be changed: the resource stays where it was created (status.identity.region); set that, or create another object for the other region",
        ".spec.region",
    ),
    (
        "!has(self.spec) || !has(self.spec.name) \
         || (has(oldSelf.spec) && has(oldSelf.spec.name) && self.spec.name == oldSelf.spec.name) \
         || !has(self.status) || !has(self.status.identity) \
         || self.status.identity.name in [self.spec.name, self.spec.name + '.fifo']",
        "spec.name can't be changed: AWS can't rename the resource (status.identity.name); set that, or create another object with the new name",
        ".spec.name",
    ),
];

/// Rules on [`super::spec::CommonSpec`]: (rule, message).
const COMMON_RULES: [(&str, &str); 3] = [
    (
        "!has(self.tags) || self.tags.all(k, !k.startsWith('fairlead.dev/') && !k.startsWith('aws:'))",
        "tags: keys that begin with fairlead.dev/ or aws: are reserved",
    ),
    ("!has(self.tags) || self.tags.all(k, size(k) >= 1 && size(k) <= 128)", "tags: a key has 1 to 128 characters"),
    (
        "!has(self.connection) || !has(self.connection.keys) || self.connection.keys.all(a, self.connection.keys.exists_one(b, self.connection.keys[a] == self.connection.keys[b]))",
        "connection.keys: two keys have the same new name; give each its own",
    ),
];

/// The CRD of a kind of AWS resource, completed.
///
/// # Errors
/// [`GenerateError`] where the derived CRD has an unexpected shape.
pub fn complete(kind: &Registration) -> Result<Value, GenerateError> {
    let crd = (kind.crd)();
    let name = crd.metadata.name.clone().unwrap_or_default();
    let mut crd = finished(&crd)?;
    let schema = schema_of(&mut crd, &name)?;
    let needed = schema.pointer("/properties/spec/required").is_some();
    if let (false, Some(schema)) = (needed, schema.as_object_mut()) {
        // An object without a spec is one with an empty spec.
        schema.remove("required");
    }
    let spec = schema.pointer_mut("/properties/spec").ok_or_else(|| GenerateError::Shape(name.clone(), "spec"))?;
    let policy = spec.pointer_mut("/properties/deletionPolicy");
    limit(policy.ok_or_else(|| GenerateError::Shape(name.clone(), "deletionPolicy"))?, kind.deletion);
    add_rules(spec, COMMON_RULES.map(|(rule, message)| json!({ "rule": rule, "message": message })));
    let transition = |(rule, message, field)| json!({ "rule": rule, "message": message, "fieldPath": field });
    add_rules(schema, TRANSITIONS.map(transition));
    Ok(crd)
}

/// Makes the schema of a deletion policy take `policies` only, and say what each does.
fn limit(schema: &mut Value, policies: &[DeletionPolicy]) {
    let told = policies.iter().enumerate().map(|(number, policy)| {
        let default = if number == 0 { "default: " } else { "" };
        format!("`{policy:?}` ({default}{})", meaning(*policy))
    });
    let told = told.collect::<Vec<_>>().join(", ");
    schema["description"] = json!(format!("What becomes of the AWS resource when this object is deleted: {told}."));
    schema["enum"] = json!(policies);
}

fn meaning(policy: DeletionPolicy) -> &'static str {
    match policy {
        DeletionPolicy::Snapshot => "it is deleted, and what it holds is kept in a last snapshot",
        DeletionPolicy::Delete => "it is deleted",
        DeletionPolicy::Retain => {
            "default of an adopted resource: it stays, marked as retained, and the same object created again resumes it"
        }
    }
}

/// A CRD, with what every CRD of ours needs.
fn finished(crd: &CustomResourceDefinition) -> Result<Value, GenerateError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let mut crd = serde_json::to_value(crd).map_err(|e| GenerateError::Write(name.clone(), e.to_string()))?;
    crd["metadata"]["annotations"] = KEEP.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();

    let schema = schema_of(&mut crd, &name)?;
    not_nullable(schema);
    unwrapped(schema);
    let status =
        schema.pointer_mut("/properties/status").ok_or_else(|| GenerateError::Shape(name.clone(), "status"))?;
    status["default"] = json!({ "observedGeneration": -1 });
    status["properties"]["observedGeneration"]["default"] = json!(-1);
    Ok(crd)
}

fn schema_of<'a>(crd: &'a mut Value, name: &str) -> Result<&'a mut Value, GenerateError> {
    let schema = crd.pointer_mut("/spec/versions/0/schema/openAPIV3Schema");
    schema.ok_or_else(|| GenerateError::Shape(name.to_owned(), "schema"))
}

fn add_rules(schema: &mut Value, rules: impl IntoIterator<Item = Value>) {
    let all = &mut schema["x-kubernetes-validations"];
    let before = all.as_array().cloned().unwrap_or_default();
    *all = before.into_iter().chain(rules).collect();
}

/// A description's lines, where a comment in the source was wrapped, as one: kubectl wraps them itself.
fn unwrapped(schema: &mut Value) {
    match schema {
        Value::Object(schema) => {
            if let Some(Value::String(description)) = schema.get_mut("description") {
                let paragraphs = description.split("\n\n").map(|paragraph| paragraph.replace('\n', " "));
                *description = paragraphs.collect::<Vec<_>>().join("\n\n");
            }
            schema.values_mut().for_each(unwrapped);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(unwrapped),
        _ => {}
    }
}

/// The API server drops a null where it is not allowed: the field is then not set, which is what it
/// means, and no rule has to tell the two apart.
fn not_nullable(schema: &mut Value) {
    match schema {
        Value::Object(schema) => {
            schema.remove("nullable");
            schema.values_mut().for_each(not_nullable);
        }
        Value::Array(schemas) => schemas.iter_mut().for_each(not_nullable),
        _ => {}
    }
}

/// All CRDs, by plural name, as YAML documents.
///
/// # Errors
/// [`GenerateError`], of the first that is no CRD of ours.
pub fn all() -> Result<Vec<(String, String)>, GenerateError> {
    let accounts = api::crd();
    let kinds = KINDS.iter().map(|kind| Ok((complete(kind)?, (kind.crd)())));
    let all = kinds.chain([finished(&accounts).map(|finished| (finished, accounts))]);
    all.map(|crd: Result<(Value, CustomResourceDefinition), GenerateError>| {
        let (finished, crd) = crd?;
        let plural = crd.spec.names.plural;
        let yaml = serde_yaml_ng::to_string(&finished);
        Ok((plural.clone(), yaml.map_err(|e| GenerateError::Write(plural, e.to_string()))?))
    })
    .collect()
}
