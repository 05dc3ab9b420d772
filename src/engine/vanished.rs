//! Objects that are gone although they had our finalizer.
//!
//! The API server reads an object, sees that it has no finalizer, and then removes it, whatever was written to
//! it in between (kubernetes/kubernetes#77988). So an object can be deleted at the moment at which we claim it:
//! both writes succeed, we create its resource, and nothing is left that would say that it is to go. What the
//! watch tells of such an object can't be mistaken: it had the finalizer, and was not being deleted.
//!
//! It is kept here, as one that is being deleted, until its resource is gone. Who removes an object from the
//! store by hand, long after it was created, means something else: then the resource stays.

use std::{
    collections::HashMap,
    sync::Mutex,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::DynamicObject;

use super::{
    controller::lock,
    memory::Memory,
    objects::{Object, ObjectKey},
};

/// For how long after our create an object may vanish by that: the API server's longest request takes a minute.
const WITHIN: Duration = Duration::from_secs(120);

/// The objects that have vanished, and whose resources are still to go.
#[derive(Debug, Default)]
pub(super) struct Vanished(Mutex<HashMap<ObjectKey, (DynamicObject, Instant)>>);

impl Vanished {
    /// Whether an object that is gone, as the watch tells it, has vanished: what is let go was being deleted.
    pub(super) fn is(object: &Object) -> bool {
        object.has_finalizer() && !object.is_deleting()
    }

    /// Keeps an object, as one that is being deleted.
    pub(super) fn keep(&self, key: ObjectKey, mut object: DynamicObject, now: Instant) {
        object.metadata.deletion_timestamp = Some(Time(Timestamp::now()));
        lock(&self.0).insert(key, (object, now));
    }

    /// The object of a name that has vanished.
    pub(super) fn get(&self, key: &ObjectKey) -> Option<Object> {
        lock(&self.0).get(key).map(|(object, _)| Object(object.clone()))
    }

    /// Whether the object of this name has vanished.
    pub(super) fn has(&self, key: &ObjectKey) -> bool {
        lock(&self.0).contains_key(key)
    }

    /// Forgets it. Whether it was kept.
    pub(super) fn forget(&self, key: &ObjectKey) -> bool {
        lock(&self.0).remove(key).is_some()
    }

    /// Whether it has vanished so soon after we asked for its resource that it was deleted while we claimed it.
    pub(super) fn was_claimed<H>(&self, key: &ObjectKey, memory: &Memory<H>) -> bool {
        let at = lock(&self.0).get(key).map(|(_, at)| *at);
        // It may also have been asked for after it had vanished.
        at.zip(memory.attempted).is_some_and(|(at, attempted)| at.saturating_duration_since(attempted) < WITHIN)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(finalizer: bool, deleting: bool) -> Object {
        let mut metadata = json!({ "name": "orders", "namespace": "shop", "uid": "u" });
        if finalizer {
            metadata["finalizers"] = json!([crate::crd::FINALIZER]);
        }
        if deleting {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        Object(serde_json::from_value(json!({ "metadata": metadata })).unwrap())
    }

    #[test]
    fn what_had_the_finalizer_and_was_not_being_deleted_has_vanished() {
        for (finalizer, deleting, vanished) in
            [(false, false, false), (false, true, false), (true, true, false), (true, false, true)]
        {
            assert_eq!(Vanished::is(&object(finalizer, deleting)), vanished, "{finalizer} {deleting}");
        }
    }

    #[test]
    fn only_what_was_asked_for_lately_goes_with_its_object() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let key = ObjectKey { kind: "SQSQueue", namespace: "shop".into(), name: "orders".into() };
        let vanished = Vanished::default();
        let mut memory = Memory::<()>::new("u".into(), 1, 0);
        for (attempted, at, claimed) in
            [(None, 5, false), (Some(0), 5, true), (Some(0), 119, true), (Some(0), 120, false), (Some(6), 5, true)]
        {
            memory.attempted = attempted.map(|attempted| start + second * attempted);
            assert!(!vanished.was_claimed(&key, &memory), "it is there");
            vanished.keep(key.clone(), object(true, false).0, start + second * at);
            assert_eq!(vanished.was_claimed(&key, &memory), claimed, "asked for at {attempted:?}, vanished at {at}");
            assert!(vanished.get(&key).unwrap().is_deleting());
            assert!(vanished.forget(&key) && !vanished.has(&key));
        }
    }
}
