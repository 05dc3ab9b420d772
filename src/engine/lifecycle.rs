//! What is to be done with an object, and whether its resource may be touched. Pure.

use crate::{
    aws::tags::Ownership,
    crd::spec::{Adoption, DeletionPolicy, Management},
};

/// What an object's metadata and spec say about its course.
#[derive(Clone, Copy, Debug)]
pub struct Facts {
    /// It has a deletion timestamp.
    pub deleting: bool,
    /// It has our finalizer.
    pub finalizer: bool,
    /// It is annotated as paused.
    pub paused: bool,
    /// Its management policy.
    pub management: Management,
}

/// What is to be done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Course {
    /// Nothing: it is being deleted, and nothing of it is ours.
    Leave,
    /// Nothing, and say so.
    Pause,
    /// Its deletion is blocked by the pause; say so.
    PauseDeletion,
    /// Delete or retain its resource, then let it go.
    Dispose,
    /// Let it go, without touching its resource.
    Release,
    /// Look at its resource, and compare.
    Observe,
    /// Create or correct its resource.
    Manage,
}

/// The course of an object.
pub fn course(facts: &Facts) -> Course {
    match *facts {
        Facts { deleting: true, finalizer: false, .. } => Course::Leave,
        Facts { deleting: true, paused: true, .. } => Course::PauseDeletion,
        Facts { deleting: true, management: Management::Observe, .. } => Course::Release,
        Facts { deleting: true, .. } => Course::Dispose,
        Facts { paused: true, .. } => Course::Pause,
        Facts { management: Management::Observe, .. } => Course::Observe,
        Facts { management: Management::Manage, .. } => Course::Manage,
    }
}

/// What may be done with a resource that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is ours.
    Proceed,
    /// It was of an earlier incarnation of this object: stamp it, then go on.
    Restamp,
    /// It was retained by this object: resume it.
    Resume,
    /// It is nobody's, and we may take it over.
    Adopt,
    /// It is not ours. The text says whose, and the way out.
    Refuse(String),
}

/// Whether a resource of `ownership` may be managed by an object that asks for `adoption`, where
/// that is `allowed`, or what does not allow it is named. `noun` is what users call the resource.
pub fn claim(ownership: &Ownership, adoption: Adoption, allowed: Result<(), &str>, noun: &str) -> Claim {
    let adoptable = |what: &str| match (adoption, allowed) {
        (Adoption::Never, _) => Claim::Refuse(format!(
            "a {noun} of this name exists and {what}; choose another spec.name, or set spec.adoption to take it over"
        )),
        (_, Err(rule)) => Claim::Refuse(format!(
            "a {noun} of this name exists and {what}; spec.adoption asks to take it over, but {rule} does not allow \
             that for this object"
        )),
        (_, Ok(())) => Claim::Adopt,
    };
    match ownership {
        Ownership::Ours => Claim::Proceed,
        Ownership::Reincarnated => Claim::Restamp,
        Ownership::Retained => Claim::Resume,
        Ownership::Unowned => adoptable("has no owner tags of Fairlead"),
        Ownership::RetainedByOther => adoptable("was retained by another object"),
        Ownership::Sibling { kind, namespace, name } => Claim::Refuse(format!(
            "the {noun} of this name belongs to {kind} {namespace}/{name} of this cluster; choose \
             another spec.name (or, if that object is no more, remove the {noun}'s fairlead.dev/ tags)"
        )),
        Ownership::OtherCluster => Claim::Refuse(format!(
            "the {noun} of this name is managed by Fairlead in another cluster; choose another spec.name"
        )),
    }
}

/// What becomes of the resource of an object that is being deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposal {
    /// It is deleted, and perhaps kept in a last snapshot.
    Delete {
        /// Whether it is.
        snapshot: bool,
    },
    /// It stays, marked as retained.
    Retain,
    /// It is not ours, and stays as it is.
    Spare,
}

/// What becomes of a resource of `ownership`, where the spec has `policy`, the kind takes those that are
/// `known` (the first is its default), the resource was or was not `adopted`, and the object's CRD is or is
/// not itself being deleted.
pub fn disposal(
    ownership: &Ownership,
    policy: Option<DeletionPolicy>,
    known: &[DeletionPolicy],
    adopted: bool,
    crd_is_deleted: bool,
) -> Disposal {
    let ours = matches!(ownership, Ownership::Ours | Ownership::Reincarnated | Ownership::Retained);
    let default = if adopted { None } else { known.first().copied() };
    let policy = policy.or(default).filter(|policy| known.contains(policy)).unwrap_or(DeletionPolicy::Retain);
    match (ours, crd_is_deleted, policy) {
        (false, ..) => Disposal::Spare,
        (true, true, _) | (true, false, DeletionPolicy::Retain) => Disposal::Retain,
        (true, false, DeletionPolicy::Delete) => Disposal::Delete { snapshot: false },
        (true, false, DeletionPolicy::Snapshot) => Disposal::Delete { snapshot: true },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn course_of(deleting: bool, finalizer: bool, paused: bool, management: Management) -> Course {
        course(&Facts { deleting, finalizer, paused, management })
    }

    #[test]
    fn courses() {
        use Management::{Manage, Observe};
        for finalizer in [false, true] {
            assert_eq!(course_of(false, finalizer, false, Manage), Course::Manage);
            assert_eq!(course_of(false, finalizer, false, Observe), Course::Observe);
            assert_eq!(course_of(false, finalizer, true, Manage), Course::Pause);
            assert_eq!(course_of(false, finalizer, true, Observe), Course::Pause);
        }
        for paused in [false, true] {
            assert_eq!(course_of(true, false, paused, Manage), Course::Leave);
        }
        for (finalizer, paused, management) in [false, true]
            .map(|finalizer| [false, true].map(|paused| [Manage, Observe].map(|m| (finalizer, paused, m))))
            .concat()
            .concat()
        {
            let course = course_of(true, finalizer, paused, management);
            assert!(!matches!(course, Course::Manage | Course::Observe), "what is being deleted is never created");
        }
        assert_eq!(course_of(true, true, true, Manage), Course::PauseDeletion);
        assert_eq!(course_of(true, true, false, Manage), Course::Dispose);
        assert_eq!(course_of(true, true, false, Observe), Course::Release);
    }

    fn ownerships() -> [Ownership; 7] {
        let sibling = Ownership::Sibling { kind: "SQSQueue".into(), namespace: "a".into(), name: "b".into() };
        [
            Ownership::Ours,
            Ownership::Reincarnated,
            Ownership::Retained,
            Ownership::Unowned,
            Ownership::RetainedByOther,
            Ownership::OtherCluster,
            sibling,
        ]
    }

    #[test]
    fn only_what_is_nobodys_is_adopted_and_only_where_asked_and_allowed() {
        for ownership in ownerships() {
            for adoption in [Adoption::Never, Adoption::Adopt, Adoption::AdoptOrCreate] {
                for allowed in [Ok(()), Err("a rule")] {
                    let adoptable = matches!(ownership, Ownership::Unowned | Ownership::RetainedByOther);
                    let adopts = claim(&ownership, adoption, allowed, "queue") == Claim::Adopt;
                    assert_eq!(
                        adopts,
                        adoptable && allowed.is_ok() && adoption != Adoption::Never,
                        "{ownership:?} {adoption:?}"
                    );
                }
            }
        }
        let Claim::Refuse(text) = claim(&ownerships()[6], Adoption::Adopt, Ok(()), "queue") else { panic!("refused") };
        assert!(text.contains("SQSQueue a/b"), "{text}");
    }

    #[test]
    fn nothing_that_is_not_ours_is_deleted_and_a_lost_crd_deletes_nothing() {
        use DeletionPolicy::{Delete, Retain, Snapshot};
        let deletes = |disposal| matches!(disposal, Disposal::Delete { .. });
        for known in [&[Delete, Retain][..], &[Snapshot, Delete, Retain]] {
            for ownership in ownerships() {
                for policy in [None, Some(Delete), Some(Snapshot), Some(Retain)] {
                    for adopted in [false, true] {
                        assert!(!deletes(disposal(&ownership, policy, known, adopted, true)));
                        let disposal = disposal(&ownership, policy, known, adopted, false);
                        let ours = matches!(ownership, Ownership::Ours | Ownership::Reincarnated | Ownership::Retained);
                        let asked = policy.or(if adopted { None } else { Some(known[0]) });
                        let asked = asked.filter(|asked| *asked != Retain && known.contains(asked));
                        let expected = match asked.filter(|_| ours) {
                            Some(asked) => Disposal::Delete { snapshot: asked == Snapshot },
                            None if ours => Disposal::Retain,
                            None => Disposal::Spare,
                        };
                        assert_eq!(disposal, expected, "{ownership:?} {policy:?} {known:?} {adopted}");
                    }
                }
            }
        }
    }
}
