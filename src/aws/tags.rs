//! The owner tags, and what the tags on a resource say about whose it is. Pure.
//!
//! Every resource carries `fairlead.dev/{cluster,namespace,name,kind,uid}`. The first four are
//! the owner; the uid says which incarnation of the object. A retained resource has
//! `fairlead.dev/retained` in place of the uid.

use std::collections::BTreeMap;

/// The tag that a resource keeps which was there before its object: to be retained by default.
pub const ADOPTED: &str = "fairlead.dev/adopted";

/// Tags by key.
pub type Tags = BTreeMap<String, String>;

/// The prefix of the tags that are Fairlead's own.
pub const PREFIX: &str = "fairlead.dev/";
/// The tag that holds the owner's cluster.
pub const CLUSTER: &str = "fairlead.dev/cluster";
/// The tag that holds the owner's uid.
pub const UID: &str = "fairlead.dev/uid";
/// The tag that replaces the uid on a retained resource; its value is the time.
pub const RETAINED: &str = "fairlead.dev/retained";

/// The object that a resource belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster id.
    pub cluster: String,
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// The object's kind.
    pub kind: String,
    /// The object's uid.
    pub uid: String,
}

/// Whose a resource is, by its tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// This very object's.
    Ours,
    /// Of an object of the same name, but another incarnation: to be stamped with our uid.
    Reincarnated,
    /// Retained by an object of the same name: it may resume.
    Retained,
    /// Of another object of this cluster.
    Sibling {
        /// Its kind.
        kind: String,
        /// Its namespace.
        namespace: String,
        /// Its name.
        name: String,
    },
    /// Retained by another object, of this cluster or another.
    RetainedByOther,
    /// Managed by Fairlead in another cluster.
    OtherCluster,
    /// Without owner tags.
    Unowned,
}

impl Owner {
    /// The tags that say so.
    pub fn tags(&self) -> Tags {
        let Self { cluster, namespace, name, kind, uid } = self;
        [("cluster", cluster), ("namespace", namespace), ("name", name), ("kind", kind), ("uid", uid)]
            .map(|(key, value)| (format!("{PREFIX}{key}"), value.clone()))
            .into()
    }

    /// Whose the resource with these `tags` is, seen by this owner.
    pub fn of(&self, tags: &Tags) -> Ownership {
        let tag = |key: &str| tags.get(&format!("{PREFIX}{key}")).map(String::as_str);
        // A uid is never given twice: this is ours, though somebody has removed other tags.
        if (tag("cluster"), tag("uid")) == (Some(self.cluster.as_str()), Some(self.uid.as_str())) {
            return Ownership::Ours;
        }
        let (Some(cluster), Some(namespace), Some(name), Some(kind)) =
            (tag("cluster"), tag("namespace"), tag("name"), tag("kind"))
        else {
            return Ownership::Unowned;
        };
        let same = (cluster, namespace, name, kind)
            == (self.cluster.as_str(), self.namespace.as_str(), self.name.as_str(), self.kind.as_str());
        match (same, tag("uid"), tag("retained")) {
            (true, Some(uid), _) if uid == self.uid => Ownership::Ours,
            (true, Some(_), _) => Ownership::Reincarnated,
            // Neither uid nor mark: a retain that was cut off between its two calls.
            (true, None, _) => Ownership::Retained,
            (false, None, Some(_)) => Ownership::RetainedByOther,
            (false, ..) if cluster == self.cluster => {
                Ownership::Sibling { kind: kind.into(), namespace: namespace.into(), name: name.into() }
            }
            (false, ..) => Ownership::OtherCluster,
        }
    }
}

/// The changes that turn the tags of a resource into those that are wished.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TagChanges {
    /// To be set, with their values.
    pub set: Tags,
    /// To be removed.
    pub remove: Vec<String>,
}

impl TagChanges {
    /// What it takes to have `desired` on a resource with the tags `actual`, where `managed` names
    /// the keys that we set earlier. Foreign tags stay.
    pub fn between(desired: &Tags, actual: &Tags, managed: &[&str]) -> Self {
        let set = desired
            .iter()
            .filter(|(key, value)| actual.get(*key) != Some(value))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let stale = |key: &str| !desired.contains_key(key) && actual.contains_key(key);
        let remove = managed
            .iter()
            .copied()
            .chain([RETAINED])
            .filter(|key| stale(key))
            .map(str::to_owned)
            .collect::<std::collections::BTreeSet<_>>();
        Self { set, remove: remove.into_iter().collect() }
    }

    /// Whether there is nothing to change.
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.remove.is_empty()
    }

    /// `tags` after these changes.
    pub fn applied_to(&self, tags: &Tags) -> Tags {
        let mut tags = tags.clone();
        tags.retain(|key, _| !self.remove.contains(key));
        tags.extend(self.set.clone());
        tags
    }

    /// The users' keys that differ, as fields of the spec.
    pub fn fields(&self) -> Vec<String> {
        self.set
            .keys()
            .chain(&self.remove)
            .filter(|key| !key.starts_with(PREFIX))
            .map(|key| format!("tags.{key}"))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn owner() -> Owner {
        Owner {
            cluster: "c".into(),
            namespace: "shop".into(),
            name: "orders".into(),
            kind: "SQSQueue".into(),
            uid: "u1".into(),
        }
    }

    fn owned_by(change: impl FnOnce(&mut Tags)) -> Ownership {
        let mut tags = owner().tags();
        change(&mut tags);
        owner().of(&tags)
    }

    #[test]
    fn ownership() {
        let set = |key: &'static str, value: &'static str| {
            move |tags: &mut Tags| {
                tags.insert(format!("{PREFIX}{key}"), value.to_owned());
            }
        };
        assert_eq!(owned_by(|_| ()), Ownership::Ours);
        assert_eq!(owned_by(set("uid", "u2")), Ownership::Reincarnated);
        assert_eq!(owned_by(set("cluster", "d")), Ownership::OtherCluster);
        let other = |tags: &mut Tags| {
            set("uid", "u2")(tags);
            set("name", "other")(tags);
        };
        assert_eq!(
            owned_by(other),
            Ownership::Sibling { kind: "SQSQueue".into(), namespace: "shop".into(), name: "other".into() }
        );
        let retain = |tags: &mut Tags| {
            tags.remove(UID);
            tags.insert(RETAINED.into(), "2026-01-01T00:00:00Z".into());
        };
        assert_eq!(owned_by(retain), Ownership::Retained);
        assert_eq!(
            owned_by(|tags| {
                retain(tags);
                set("namespace", "elsewhere")(tags);
            }),
            Ownership::RetainedByOther
        );
        assert_eq!(owned_by(|tags| drop(tags.remove("fairlead.dev/kind"))), Ownership::Ours);
        assert_eq!(owned_by(|tags| drop(tags.remove("fairlead.dev/cluster"))), Ownership::Unowned);
        assert_eq!(owner().of(&Tags::new()), Ownership::Unowned);
    }

    fn tags() -> impl Strategy<Value = Tags> {
        proptest::collection::btree_map("[abc]|fairlead.dev/(uid|retained)", "[xy]", 0..5)
    }

    proptest! {
        #[test]
        fn changes_reach_the_desired_tags_and_spare_foreign_ones(
            desired in tags(), actual in tags(), managed in proptest::collection::vec("[abc]", 0..3)
        ) {
            let managed: Vec<&str> = managed.iter().map(String::as_str).collect();
            let after = TagChanges::between(&desired, &actual, &managed).applied_to(&actual);
            prop_assert!(TagChanges::between(&desired, &after, &managed).is_empty());
            for (key, value) in &desired {
                prop_assert_eq!(after.get(key), Some(value));
            }
            for (key, value) in &actual {
                let ours = desired.contains_key(key) || managed.contains(&key.as_str()) || key == RETAINED;
                prop_assert!(ours || after.get(key) == Some(value));
            }
        }
    }
}
