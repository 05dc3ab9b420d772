//! Reading and writing Secrets. They are read by name and never listed or watched: the operator has no right
//! to see what is not its business.

use std::collections::BTreeMap;

use k8s_openapi::{ByteString, api::core::v1::Secret};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
};
use serde_json::{Map, Value, json};

use super::{
    objects::{KubeError, Object, bounded},
    owned,
    password::Password,
    traced::publishing,
};
use crate::shard::Permit;

/// A Secret's data. The values are kept as passwords are: not to be printed.
pub type SecretData = BTreeMap<String, Password>;

/// Reads and writes Secrets.
#[derive(Clone)]
pub struct Secrets {
    client: Client,
}

impl Secrets {
    /// Through `client`.
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// A Secret, if there is one of that name.
    ///
    /// # Errors
    /// The call's error.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<Secret>, KubeError> {
        bounded(self.api(namespace).get_opt(name)).await
    }

    /// Creates a Secret of `object`, with `annotation` as the one that says so and further `annotations`.
    ///
    /// # Errors
    /// [`KubeError::Exists`] where the name is taken; the call's error.
    pub async fn create(
        &self,
        permit: &Permit,
        object: &Object,
        name: &str,
        annotation: &str,
        annotations: BTreeMap<String, String>,
        data: &SecretData,
    ) -> Result<Secret, KubeError> {
        let mut metadata = owned::metadata(object, name, annotation);
        metadata.annotations.get_or_insert_default().extend(annotations);
        let text = data.iter().map(|(key, value)| (key.clone(), value.expose().to_owned())).collect();
        let secret = Secret { metadata, string_data: Some(text), type_: Some("Opaque".into()), ..Secret::default() };
        publishing(permit, self.api(object.namespace()).create(&PostParams::default(), &secret)).await
    }

    /// Makes `current` hold `data` and belong to its object, writing only on a difference. Where `data` is
    /// all that it may hold, the rest is taken out. Answers the Secret as it is then.
    ///
    /// # Errors
    /// [`KubeError::Conflict`] where it was changed meanwhile, or is gone; the call's error.
    pub async fn mend(
        &self,
        permit: &Permit,
        current: &Secret,
        metadata: Option<Map<String, Value>>,
        data: &SecretData,
        whole: bool,
    ) -> Result<Option<Secret>, KubeError> {
        let before = data_of(current);
        let changed = data.iter().filter(|(key, value)| before.get(*key) != Some(value));
        let changed: Map<_, _> = changed.map(|(key, value)| (key.clone(), json!(value.expose()))).collect();
        let stale = before.keys().filter(|key| whole && !data.contains_key(*key));
        let stale: Map<_, _> = stale.map(|key| (key.clone(), Value::Null)).collect();
        if metadata.is_none() && changed.is_empty() && stale.is_empty() {
            return Ok(None);
        }
        let mut patch = json!({ "metadata": owned::patch(&current.metadata, metadata) });
        if !changed.is_empty() {
            patch["stringData"] = changed.into();
        }
        if !stale.is_empty() {
            patch["data"] = stale.into();
        }
        let (namespace, name) = place(current);
        let call = self.api(namespace);
        match publishing(permit, call.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await {
            // It is the Secret that is gone, not the object.
            Err(KubeError::Gone) => Err(KubeError::Conflict),
            outcome => outcome.map(Some),
        }
    }

    /// Deletes a Secret, as it was read.
    ///
    /// # Errors
    /// The call's error.
    pub async fn delete(&self, permit: &Permit, current: &Secret) -> Result<(), KubeError> {
        let (uid, resource_version) = (current.metadata.uid.clone(), current.metadata.resource_version.clone());
        let preconditions = Preconditions { uid, resource_version };
        let (namespace, name) = place(current);
        let call = self.api(namespace);
        match publishing(permit, call.delete(name, &DeleteParams::default().preconditions(preconditions))).await {
            Ok(_) | Err(KubeError::Gone) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn api(&self, namespace: &str) -> Api<Secret> {
        Api::namespaced(self.client.clone(), namespace)
    }
}

/// What a Secret holds; what is no text is left out.
pub fn data_of(secret: &Secret) -> SecretData {
    let text = |ByteString(bytes): &ByteString| String::from_utf8(bytes.clone()).ok().map(Password::from);
    secret.data.iter().flatten().filter_map(|(key, value)| Some((key.clone(), text(value)?))).collect()
}

fn place(secret: &Secret) -> (&str, &str) {
    (secret.metadata.namespace.as_deref().unwrap_or_default(), secret.metadata.name.as_deref().unwrap_or_default())
}
