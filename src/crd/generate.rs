//! A derived CRD made complete: the rules of the common fields, a spec that may be left out, the
//! status default that kstatus needs, and the annotations that keep GitOps tools from pruning it.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde_json::{Value, json};

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

/// Rules on fields of [`super::spec::CommonSpec`]: (rule, message). Their transitions only fire
/// where the old spec has the field, so that a region or name may be set later.
const COMMON_RULES: [(&str, &str); 4] = [
    (
        "!has(oldSelf.region) || (has(self.region) && self.region == oldSelf.region)",
        "region can't be changed: the resource stays where it was created; create another object for the other region",
    ),
    (
        "!has(oldSelf.name) || (has(self.name) && self.name == oldSelf.name)",
        "name can't be changed: AWS can't rename the resource; create another object with the new name",
    ),
    (
        "!has(self.tags) || self.tags.all(k, !k.startsWith('fairlead.dev/') && !k.startsWith('aws:'))",
        "tags: keys that begin with fairlead.dev/ or aws: are reserved",
    ),
    ("!has(self.tags) || self.tags.all(k, size(k) >= 1 && size(k) <= 128)", "tags: a key has 1 to 128 characters"),
];

/// `crd`, completed.
///
/// # Errors
/// [`GenerateError`] where the derived CRD has an unexpected shape.
pub fn complete(crd: &CustomResourceDefinition) -> Result<Value, GenerateError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    let mut crd = serde_json::to_value(crd).map_err(|e| GenerateError::Write(name.clone(), e.to_string()))?;
    crd["metadata"]["annotations"] = KEEP.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();

    let schema = crd
        .pointer_mut("/spec/versions/0/schema/openAPIV3Schema")
        .ok_or_else(|| GenerateError::Shape(name.clone(), "schema"))?;
    not_nullable(schema);
    if let Some(schema) = schema.as_object_mut() {
        // An object without a spec is one with an empty spec.
        schema.remove("required");
    }
    let spec = schema.pointer_mut("/properties/spec").ok_or_else(|| GenerateError::Shape(name.clone(), "spec"))?;
    let rules = spec
        .as_object_mut()
        .ok_or_else(|| GenerateError::Shape(name.clone(), "spec"))?
        .entry("x-kubernetes-validations")
        .or_insert_with(|| json!([]));
    if let Some(rules) = rules.as_array_mut() {
        rules.extend(COMMON_RULES.iter().map(|(rule, message)| json!({ "rule": rule, "message": message })));
    }
    let status =
        schema.pointer_mut("/properties/status").ok_or_else(|| GenerateError::Shape(name.clone(), "status"))?;
    status["default"] = json!({ "observedGeneration": -1 });
    status["properties"]["observedGeneration"]["default"] = json!(-1);
    Ok(crd)
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

/// `crd` completed, as a YAML document.
///
/// # Errors
/// As [`complete`].
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, GenerateError> {
    let name = crd.metadata.name.clone().unwrap_or_default();
    serde_yaml_ng::to_string(&complete(crd)?).map_err(|e| GenerateError::Write(name, e.to_string()))
}
