//! Reading and writing objects. They are kept as JSON: one that no longer fits its types must not
//! keep the others from being read, nor itself from being deleted.

use std::{collections::BTreeMap, future::Future, time::Duration};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, Patch, PatchParams},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::kind::{Kind, NotYet};
use crate::{
    crd::{self, spec::DeletionPolicy, spec::Management},
    shard::{NoPermit, Permit},
};

/// The longest wait for an answer of the API server.
const TIMEOUT: Duration = Duration::from_secs(15);

/// An object of a kind, by name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// A call to the API server that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KubeError {
    /// Somebody else wrote the object at the same time, or it is another one by now.
    #[error("the object was changed by somebody else")]
    Conflict,
    /// The object is gone.
    #[error("the object is gone")]
    Gone,
    /// Something of that name exists.
    #[error("it exists already")]
    Exists,
    /// The API server did not answer in time; the effect is unknown.
    #[error("the API server did not answer within {} s", TIMEOUT.as_secs())]
    Timeout,
    /// There is no connection to the API server; the effect is unknown.
    #[error("the API server can't be reached: {0}")]
    Unreachable(String),
    /// This replica may not write now.
    #[error(transparent)]
    NoPermit(#[from] NoPermit),
    /// Anything else, a missing RBAC rule included.
    #[error("the API server refuses: {0}")]
    Other(String),
}

impl From<kube::Error> for KubeError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => match (status.code, status.reason.as_str()) {
                (409, "AlreadyExists") => Self::Exists,
                (409, _) => Self::Conflict,
                (404, _) => Self::Gone,
                // A uid that differs is told as invalid, not as a conflict.
                (422, _) if status.message.contains("metadata.uid") => Self::Conflict,
                (code, _) => Self::Other(format!("{} ({code})", status.message)),
            },
            kube::Error::Service(error) => Self::Unreachable(innermost(error.as_ref())),
            kube::Error::HyperError(error) => Self::Unreachable(innermost(&error)),
            other => Self::Other(other.to_string()),
        }
    }
}

/// What an error says at its root: "Connection refused", not "client error".
fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let root = std::iter::successors(Some(error), |error| error.source()).last();
    root.map(ToString::to_string).unwrap_or_default()
}

/// `call`, waited for so long and no longer.
///
/// # Errors
/// The call's error, or [`KubeError::Timeout`].
pub async fn bounded<T>(call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, KubeError> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(answer) => answer.map_err(KubeError::from),
        Err(_) => Err(KubeError::Timeout),
    }
}

/// `call`, a write, by the right of `permit`.
///
/// # Errors
/// The call's error, [`KubeError::Timeout`] or [`KubeError::NoPermit`].
pub async fn permitted<T>(permit: &Permit, call: impl Future<Output = Result<T, kube::Error>>) -> Result<T, KubeError> {
    permit.write(bounded(call)).await?
}

/// An object, as it was last read or written.
#[derive(Clone, Debug)]
pub struct Object(pub DynamicObject);

impl Object {
    /// Its name.
    pub fn name(&self) -> &str {
        self.0.metadata.name.as_deref().unwrap_or_default()
    }

    /// Its namespace.
    pub fn namespace(&self) -> &str {
        self.0.metadata.namespace.as_deref().unwrap_or_default()
    }

    /// Its name in the queue, for an object of kind `K`.
    pub fn key<K: Kind>(&self) -> ObjectKey {
        ObjectKey { kind: K::KIND, namespace: self.namespace().into(), name: self.name().into() }
    }

    /// Its uid.
    pub fn uid(&self) -> &str {
        self.0.metadata.uid.as_deref().unwrap_or_default()
    }

    /// Its resourceVersion.
    pub fn version(&self) -> Option<&str> {
        self.0.metadata.resource_version.as_deref()
    }

    /// Its generation.
    pub fn generation(&self) -> Option<i64> {
        self.0.metadata.generation
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.0.metadata.deletion_timestamp.is_some()
    }

    /// Whether it has our finalizer.
    pub fn has_finalizer(&self) -> bool {
        self.0.metadata.finalizers.iter().flatten().any(|finalizer| finalizer == crd::FINALIZER)
    }

    /// One of its annotations.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.0.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// Its status, empty where it has none.
    pub fn status(&self) -> Map<String, Value> {
        self.0.data.get("status").and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// Its spec as JSON, empty where it has none.
    pub fn raw_spec(&self) -> Value {
        match self.0.data.get("spec") {
            Some(spec) if !spec.is_null() => spec.clone(),
            _ => json!({}),
        }
    }

    /// Its spec.
    ///
    /// # Errors
    /// Where it does not fit the kind's type: it was written under another version of the CRD.
    pub fn spec<K: Kind>(&self) -> Result<K::Spec, NotYet> {
        serde_json::from_value(self.raw_spec()).map_err(|error| NotYet::Invalid(format!("spec: {error}")))
    }

    /// The spec's deletion policy, whatever else the spec holds. One that this version does not know
    /// counts as the one that loses nothing.
    pub fn deletion_policy(&self) -> Option<DeletionPolicy> {
        self.field("deletionPolicy").map(|policy| policy.unwrap_or(DeletionPolicy::Retain))
    }

    /// The spec's management policy, whatever else the spec holds. One that this version does not know
    /// counts as the one that changes nothing.
    pub fn management(&self) -> Management {
        self.field("management").map_or(Management::Manage, |management| management.unwrap_or(Management::Observe))
    }

    /// Where it stands, by its own status.
    pub fn standing(&self) -> Standing {
        let status = self.0.data.get("status");
        let observed = status.and_then(|status| status.get("observedGeneration")?.as_i64());
        let mut conditions = status.and_then(|status| status.get("conditions")?.as_array()).into_iter().flatten();
        if self.is_deleting() || observed != self.generation() {
            return Standing::Changed;
        }
        match conditions.any(|condition| condition["type"] == "Synced" && condition["status"] == "True") {
            true => Standing::Settled,
            false => Standing::Unsettled,
        }
    }

    /// The account and the region of its resource, as its status tells them, or its own annotation where the
    /// status was lost.
    pub fn resource_place(&self) -> Option<(String, String)> {
        let place = |identity: &Value| {
            let text = |field: &str| identity.get(field)?.as_str().map(str::to_owned);
            Some((text("accountID")?, text("region")?))
        };
        let told = self.0.data.get("status").and_then(|status| place(status.get("identity")?));
        told.or_else(|| {
            let recorded: Value = serde_json::from_str(self.annotation(crd::IDENTITY)?).ok()?;
            let own = recorded["object"] == format!("{}/{}", self.namespace(), self.name());
            if own { place(&recorded) } else { None }
        })
    }

    /// The region that its spec names.
    pub fn wished_region(&self) -> Option<&str> {
        self.0.data.get("spec")?.get("region")?.as_str()
    }

    /// The AWSAccount that its spec names, whatever else the spec holds.
    pub fn account_ref(&self) -> Option<&str> {
        self.0.data.get("spec")?.get("accountRef")?.get("name")?.as_str()
    }

    /// What a change of which asks for a reconcile.
    pub fn fingerprint(&self) -> Fingerprint {
        let annotation = |key: &str| self.annotation(key).map(str::to_owned);
        Fingerprint {
            uid: self.uid().into(),
            generation: self.generation(),
            deleting: self.is_deleting(),
            finalizer: self.has_finalizer(),
            annotations: ACTED_ON.map(annotation),
        }
    }

    /// A field of the spec: `None` where it is not set, `Some(None)` where it is not understood.
    fn field<T: DeserializeOwned>(&self, name: &str) -> Option<Option<T>> {
        let value = self.0.data.get("spec")?.get(name).filter(|value| !value.is_null())?;
        Some(serde_json::from_value(value.clone()).ok())
    }
}

/// Where an object stands, by its own status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Its spec is not the one that the status speaks of, or it is being deleted.
    Changed,
    /// Its resource is not as its spec says.
    Unsettled,
    /// Its resource was as its spec says, when it was last looked at.
    Settled,
}

/// What a change of which asks for a reconcile: not status, and not others' metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fingerprint {
    /// The object's uid.
    pub uid: String,
    generation: Option<i64>,
    deleting: bool,
    finalizer: bool,
    annotations: [Option<String>; ACTED_ON.len()],
}

/// The annotations that the operator acts on.
const ACTED_ON: [&str; 6] =
    [crd::PAUSED, crd::RECONCILE_AT, crd::IDENTITY, crd::POLL_INTERVAL, crd::RECREATE, crd::ROTATE_PASSWORD];

/// Writes objects of one kind. Every write carries the uid and the version that it was decided on,
/// and takes a permit.
#[derive(Clone)]
pub struct Writer {
    client: Client,
    resource: ApiResource,
}

enum Part {
    Whole,
    Status,
}

impl Writer {
    /// A writer of objects of `resource`.
    pub fn new(client: Client, resource: ApiResource) -> Self {
        Self { client, resource }
    }

    /// Sets the finalizer and the identity, in one write.
    ///
    /// # Errors
    /// The call's error.
    pub async fn claim(&self, permit: &Permit, object: &Object, identity: &str) -> Result<Object, KubeError> {
        let after = Self::claimed(object, identity).0.metadata;
        let metadata = json!({ "finalizers": after.finalizers, "annotations": { crd::IDENTITY: identity } });
        self.patch(permit, object, Part::Whole, json!({ "metadata": metadata })).await
    }

    /// The object as [`claim`](Self::claim) will make it.
    pub fn claimed(object: &Object, identity: &str) -> Object {
        let mut after = object.clone();
        let metadata = &mut after.0.metadata;
        if !object.has_finalizer() {
            metadata.finalizers.get_or_insert_default().push(crd::FINALIZER.into());
        }
        metadata.annotations.get_or_insert_with(BTreeMap::new).insert(crd::IDENTITY.into(), identity.into());
        after
    }

    /// Removes an annotation.
    ///
    /// # Errors
    /// The call's error.
    pub async fn unannotate(&self, permit: &Permit, object: &Object, key: &str) -> Result<Object, KubeError> {
        self.patch(permit, object, Part::Whole, json!({ "metadata": { "annotations": { key: null } } })).await
    }

    /// The object as [`unannotate`](Self::unannotate) will make it.
    pub fn without_annotation(object: &Object, key: &str) -> Object {
        let mut after = object.clone();
        after.0.metadata.annotations.iter_mut().for_each(|annotations| drop(annotations.remove(key)));
        after
    }

    /// Removes the finalizer.
    ///
    /// # Errors
    /// The call's error.
    pub async fn release(&self, permit: &Permit, object: &Object) -> Result<Object, KubeError> {
        let others: Vec<_> =
            object.0.metadata.finalizers.iter().flatten().filter(|finalizer| *finalizer != crd::FINALIZER).collect();
        self.patch(permit, object, Part::Whole, json!({ "metadata": { "finalizers": others } })).await
    }

    /// Sets all finalizers.
    ///
    /// # Errors
    /// The call's error.
    pub async fn finalizers(&self, permit: &Permit, object: &Object, all: Vec<String>) -> Result<Object, KubeError> {
        self.patch(permit, object, Part::Whole, json!({ "metadata": { "finalizers": all } })).await
    }

    /// Patches the status.
    ///
    /// # Errors
    /// The call's error.
    pub async fn status(
        &self,
        permit: &Permit,
        object: &Object,
        patch: Map<String, Value>,
    ) -> Result<Object, KubeError> {
        self.patch(permit, object, Part::Status, json!({ "metadata": {}, "status": patch })).await
    }

    /// The object as the API server has it now: nothing older than what it had when asked.
    ///
    /// # Errors
    /// The call's error; [`KubeError::Gone`] where there is none of its name.
    pub async fn read(&self, object: &Object) -> Result<Object, KubeError> {
        Ok(Object(bounded(self.api(object).get(object.name())).await?))
    }

    fn api(&self, object: &Object) -> Api<DynamicObject> {
        match object.namespace() {
            "" => Api::all_with(self.client.clone(), &self.resource),
            namespace => Api::namespaced_with(self.client.clone(), namespace, &self.resource),
        }
    }

    async fn patch(&self, permit: &Permit, object: &Object, part: Part, mut patch: Value) -> Result<Object, KubeError> {
        patch["metadata"]["uid"] = json!(object.uid());
        patch["metadata"]["resourceVersion"] = json!(object.version());
        let api = self.api(object);
        let (params, patch) = (PatchParams::default(), Patch::Merge(patch));
        let written = match part {
            Part::Whole => permitted(permit, api.patch(object.name(), &params, &patch)).await?,
            Part::Status => permitted(permit, api.patch_status(object.name(), &params, &patch)).await?,
        };
        Ok(Object(written))
    }
}

#[cfg(test)]
mod tests {
    use kube::core::Status;

    use super::*;

    fn object(spec: Value) -> Object {
        let mut object = json!({ "metadata": { "name": "orders", "namespace": "shop" } });
        if !spec.is_null() {
            object["spec"] = spec;
        }
        Object(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn policies_are_read_from_any_spec_and_what_is_not_understood_loses_nothing() {
        use DeletionPolicy::{Delete, Retain};
        use Management::{Manage, Observe};
        for (spec, deletion, management) in [
            (Value::Null, None, Manage),
            (json!({}), None, Manage),
            (json!({ "deletionPolicy": null, "management": null }), None, Manage),
            (json!({ "deletionPolicy": "Delete", "management": "Manage" }), Some(Delete), Manage),
            (json!({ "deletionPolicy": "Retain", "management": "Observe" }), Some(Retain), Observe),
            (json!({ "deletionPolicy": "Retain", "policy": 5, "unknown": [] }), Some(Retain), Manage),
            (json!({ "deletionPolicy": "Archive", "management": "ManageSome" }), Some(Retain), Observe),
            (json!({ "deletionPolicy": "delete", "management": "manage" }), Some(Retain), Observe),
            (json!({ "deletionPolicy": 1, "management": {} }), Some(Retain), Observe),
        ] {
            let object = object(spec.clone());
            assert_eq!((object.deletion_policy(), object.management()), (deletion, management), "{spec}");
        }
    }

    #[test]
    fn refusals_of_the_api_server() {
        let other = |text: &str| KubeError::Other(text.into());
        let uid = "Precondition failed: UID in precondition: a, UID in object meta: b";
        let immutable = "SQSQueue \"a\" is invalid: metadata.uid: Invalid value: \"b\": field is immutable";
        let invalid = "SQSQueue \"a\" is invalid: spec.delaySeconds: Invalid value: 901";
        for (code, reason, message, expected) in [
            (409, "AlreadyExists", "x", KubeError::Exists),
            (409, "Conflict", "the object has been modified", KubeError::Conflict),
            (409, "Conflict", uid, KubeError::Conflict),
            (404, "NotFound", "x", KubeError::Gone),
            (422, "Invalid", immutable, KubeError::Conflict),
            (422, "Invalid", invalid, other(&format!("{invalid} (422)"))),
            (403, "Forbidden", "metadata.uid", other("metadata.uid (403)")),
        ] {
            let error = kube::Error::Api(Status::failure(message, reason).with_code(code).boxed());
            assert_eq!(KubeError::from(error), expected, "{code} {reason}: {message}");
        }
    }
}
