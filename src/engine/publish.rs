//! Connection ConfigMaps: what applications need to reach a resource. Each belongs to its object,
//! is recognised by an annotation, and is kept true; one that is not ours is never touched.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, PoisonError},
};

use k8s_openapi::{api::core::v1::ConfigMap, apimachinery::pkg::apis::meta::v1::ObjectMeta};
use kube::{
    Api, Client,
    api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions},
    runtime::reflector::{ObjectRef, Store},
};
use serde_json::json;

use super::{
    faults::Fault,
    objects::{KubeError, Object, ObjectKey, bounded},
    owned,
    traced::publishing,
};
use crate::{crd::CONNECTION_OF, shard::Permit};

type Name = (String, String);
type Data = BTreeMap<String, String>;

/// The published ConfigMaps.
pub struct Connections {
    client: Client,
    stores: Vec<(Option<String>, Store<ConfigMap>)>,
    published: Mutex<HashMap<Name, ConfigMap>>,
}

impl Connections {
    /// The ConfigMaps in `stores`, each of one namespace or of all.
    pub fn new(client: Client, stores: Vec<(Option<String>, Store<ConfigMap>)>) -> Self {
        Self { client, stores, published: Mutex::default() }
    }

    /// Makes sure that the name is free for `object`.
    ///
    /// # Errors
    /// [`Fault::ConnectionConflict`] where it is somebody else's.
    pub async fn check_free(&self, object: &Object, name: &str) -> Result<(), Fault> {
        match self.current(object, name).await? {
            Some(map) if !owned::is_of(&map.metadata, CONNECTION_OF, object) => Err(taken(name)),
            _ => Ok(()),
        }
    }

    /// Makes the ConfigMap `name` of `object` hold `data`, writing only on a difference.
    ///
    /// # Errors
    /// [`Fault::ConnectionConflict`] where the name is somebody else's; the call's error.
    pub async fn publish(&self, permit: &Permit, object: &Object, name: &str, data: Data) -> Result<(), Fault> {
        let wished = map_of(object, name, data);
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), object.namespace());
        let current = match self.cached(object.namespace(), name) {
            Some(map) => Some(map),
            None => {
                self.expect(&wished);
                match publishing(permit, api.create(&PostParams::default(), &wished)).await {
                    Ok(_) => return Ok(()),
                    Err(KubeError::Exists) => self.read(object.namespace(), name).await?,
                    Err(error) => return Err(error.into()),
                }
            }
        };
        // Gone between two reads: the next reconcile creates it.
        let Some(current) = current else { return Err(KubeError::Conflict.into()) };
        if !owned::is_of(&current.metadata, CONNECTION_OF, object) {
            self.unexpect(object.namespace(), name);
            return Err(taken(name));
        }
        self.expect(&wished);
        let Some(patch) = difference(&current, &wished) else { return Ok(()) };
        match publishing(permit, api.patch(name, &PatchParams::default(), &Patch::Merge(patch))).await {
            // It is the ConfigMap that is gone, not the object.
            Err(KubeError::Gone) => Err(KubeError::Conflict.into()),
            outcome => Ok(outcome.map(drop)?),
        }
    }

    /// Deletes the ConfigMaps of `object` other than `keep`: it was renamed or switched off.
    ///
    /// # Errors
    /// The call's error.
    pub async fn retract(&self, permit: &Permit, object: &Object, keep: Option<&str>) -> Result<(), Fault> {
        let store = self.stores.iter().find(|(namespace, _)| covers(namespace.as_deref(), object.namespace()));
        let stale = store.map(|(_, store)| {
            store.state_filter(|map| {
                let metadata = &map.metadata;
                metadata.namespace.as_deref() == Some(object.namespace())
                    && metadata.name.as_deref() != keep
                    && owned::is_of(metadata, CONNECTION_OF, object)
            })
        });
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), object.namespace());
        for map in stale.unwrap_or_default() {
            let ObjectMeta { name: Some(name), uid, resource_version, .. } = &map.metadata else { continue };
            self.unexpect(object.namespace(), name);
            let preconditions = Preconditions { uid: uid.clone(), resource_version: resource_version.clone() };
            match publishing(permit, api.delete(name, &DeleteParams::default().preconditions(preconditions))).await {
                Ok(_) | Err(KubeError::Gone) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// The object that has to look, after an event about `map`: `None` where we made it so.
    pub fn disturbed(&self, map: &ConfigMap, deleted: bool) -> Option<ObjectKey> {
        let ObjectMeta { name: Some(name), namespace: Some(namespace), .. } = &map.metadata else { return None };
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        // Not published by this process: its object looks at it by itself when it is first reconciled.
        let wished = published.get(&(namespace.clone(), name.clone()))?;
        if !deleted && owner_of(map) == owner_of(wished) && difference(map, wished).is_none() {
            return None;
        }
        let (kind, owner) = owner_of(wished)?.split_once('/')?;
        let kind = crate::kinds::KINDS.iter().map(|known| known.kind).find(|known| *known == kind)?;
        Some(ObjectKey { kind, namespace: namespace.clone(), name: owner.into() })
    }

    /// The objects whose ConfigMaps are not as they were published: after a list, which tells of no
    /// deletion.
    pub fn all_disturbed(&self) -> Vec<ObjectKey> {
        let published = self.published.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let disturbed =
            published.into_iter().filter_map(|((namespace, name), wished)| match self.cached(&namespace, &name) {
                Some(map) => self.disturbed(&map, false),
                None => self.disturbed(&wished, true),
            });
        disturbed.collect()
    }

    /// Forgets what was published for an object that is gone.
    pub fn forget(&self, object: &ObjectKey) {
        let owner = format!("{}/{}", object.kind, object.name);
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.retain(|(namespace, _), map| *namespace != object.namespace || owner_of(map) != Some(&owner));
    }

    async fn current(&self, object: &Object, name: &str) -> Result<Option<ConfigMap>, KubeError> {
        match self.cached(object.namespace(), name) {
            Some(map) => Ok(Some(map)),
            // The watch only sees maps with our label.
            None => self.read(object.namespace(), name).await,
        }
    }

    async fn read(&self, namespace: &str, name: &str) -> Result<Option<ConfigMap>, KubeError> {
        let api: Api<ConfigMap> = Api::namespaced(self.client.clone(), namespace);
        bounded(api.get_opt(name)).await
    }

    fn cached(&self, namespace: &str, name: &str) -> Option<ConfigMap> {
        let (_, store) = self.stores.iter().find(|(watched, _)| covers(watched.as_deref(), namespace))?;
        store.get(&ObjectRef::new(name).within(namespace)).map(|map| (*map).clone())
    }

    fn expect(&self, map: &ConfigMap) {
        let ObjectMeta { name: Some(name), namespace: Some(namespace), .. } = &map.metadata else { return };
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.insert((namespace.clone(), name.clone()), map.clone());
    }

    fn unexpect(&self, namespace: &str, name: &str) {
        let mut published = self.published.lock().unwrap_or_else(PoisonError::into_inner);
        published.remove(&(namespace.into(), name.into()));
    }
}

fn covers(watched: Option<&str>, namespace: &str) -> bool {
    watched.is_none_or(|watched| watched == namespace)
}

fn taken(name: &str) -> Fault {
    Fault::ConnectionConflict(format!(
        "spec.connection.name: the ConfigMap {name} exists and is not this object's; set another name there"
    ))
}

fn owner_of(map: &ConfigMap) -> Option<&str> {
    owned::owner_of(&map.metadata, CONNECTION_OF)
}

fn map_of(object: &Object, name: &str, data: Data) -> ConfigMap {
    let metadata = owned::metadata(object, name, CONNECTION_OF);
    ConfigMap { metadata, data: Some(data), ..ConfigMap::default() }
}

/// The patch that makes `current` what is `wished`, if it takes one. Others' owner references,
/// labels and annotations stay. Pure.
fn difference(current: &ConfigMap, wished: &ConfigMap) -> Option<serde_json::Value> {
    let metadata = owned::difference(&current.metadata, &wished.metadata);
    let empty = Data::new();
    let (before, after) = (current.data.as_ref().unwrap_or(&empty), wished.data.as_ref().unwrap_or(&empty));
    if metadata.is_none() && before == after {
        return None;
    }
    let removed = before.keys().filter(|key| !after.contains_key(*key)).map(|key| (key.clone(), None));
    let data: BTreeMap<_, _> =
        after.iter().map(|(key, value)| (key.clone(), Some(value.clone()))).chain(removed).collect();
    Some(json!({ "metadata": owned::patch(&current.metadata, metadata), "data": data }))
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kube::{api::DynamicObject, core::TypeMeta};

    use super::*;

    fn object(uid: &str) -> Object {
        Object(DynamicObject {
            types: Some(TypeMeta { api_version: "aws.fairlead.dev/v1alpha1".into(), kind: "SQSQueue".into() }),
            metadata: ObjectMeta {
                name: Some("orders".into()),
                namespace: Some("shop".into()),
                uid: Some(uid.into()),
                ..ObjectMeta::default()
            },
            data: json!({}),
        })
    }

    fn data(pairs: &[(&str, &str)]) -> Data {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_is_as_wished_is_not_written() {
        let map = map_of(&object("u1"), "orders", data(&[("queueURL", "x")]));
        assert_eq!(difference(&map, &map), None);
        assert!(owned::is_of(&map.metadata, CONNECTION_OF, &object("u2")), "another incarnation recognises it");
    }

    #[test]
    fn differences_are_mended_and_others_owners_stay() {
        let wished = map_of(&object("u2"), "orders", data(&[("queueURL", "x")]));
        let mut current = map_of(&object("u1"), "orders", data(&[("queueURL", "y"), ("old", "z")]));
        let other =
            OwnerReference { kind: "App".into(), name: "a".into(), uid: "u9".into(), ..OwnerReference::default() };
        current.metadata.owner_references.get_or_insert_default().push(other);
        let patch = difference(&current, &wished).unwrap();
        assert_eq!(patch["data"], json!({ "queueURL": "x", "old": null }));
        let owners: Vec<_> =
            patch["metadata"]["ownerReferences"].as_array().unwrap().iter().map(|owner| &owner["uid"]).collect();
        assert_eq!(owners, ["u9", "u2"]);

        let mut unowned = wished.clone();
        unowned.metadata.owner_references = None;
        assert!(difference(&unowned, &wished).is_some(), "a lost owner reference is repaired");
    }
}
