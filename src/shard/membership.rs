//! Which replicas there are, by one Lease each. That is a hint for the assignment of shards, no more: the
//! shards' own Leases give safety.

use std::{collections::BTreeMap, sync::Arc};

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};

use super::{
    assignment::Member,
    lease::{Elapsed, Observation, Sight, Timing},
    leases::{
        Listing, Purpose, REVISION, SHARDS, annotation, fresh, micro_time, name_of_member, owned_by, record_of,
        whole_seconds,
    },
};

/// What a replica says of itself.
#[derive(Clone, Debug)]
pub struct Replica {
    /// The name of this process, and of no other before or after it.
    pub identity: Arc<str>,
    /// The name of its pod.
    pub pod: String,
    /// The uid of its pod, empty where that is not known.
    pub pod_uid: String,
    /// The revision of its Deployment, empty where that is not known.
    pub revision: String,
    /// When the process started, in microseconds since 1970.
    pub started: i64,
}

/// All replicas, as this one sees them.
#[derive(Debug)]
pub struct Membership {
    replica: Replica,
    timing: Timing,
    shards: u8,
    others: BTreeMap<String, Seen>,
}

#[derive(Debug)]
struct Seen {
    observation: Observation,
    lease: Lease,
}

impl Membership {
    /// Nobody was seen yet.
    pub fn new(replica: Replica, timing: Timing, shards: u8) -> Self {
        Self { replica, timing, shards, others: BTreeMap::new() }
    }

    /// The name of this replica's Lease.
    pub fn name(&self) -> String {
        name_of_member(&self.replica.pod)
    }

    /// Time passes.
    pub fn pass(&mut self, elapsed: Elapsed) {
        self.others.values_mut().for_each(|seen| seen.observation.pass(elapsed, self.timing.read_gap()));
    }

    /// Begins anew.
    pub fn forget(&mut self) {
        self.others.clear();
    }

    /// Takes what a read has found.
    pub fn read(&mut self, listing: &Listing) {
        let members = listing.leases.iter().filter(|lease| Purpose::of(lease) == Some(Purpose::Member));
        let mut before = std::mem::take(&mut self.others);
        for lease in members {
            let (Some(name), Some(record)) = (lease.metadata.name.clone(), record_of(lease)) else { continue };
            let mut observation = before.remove(&name).map(|seen| seen.observation).unwrap_or_default();
            observation.read(Sight::There(record), true, self.timing.duration);
            self.others.insert(name, Seen { observation, lease: lease.clone() });
        }
    }

    /// The replicas that are there, this one as far as it has said so.
    pub fn members(&self) -> Vec<Member> {
        let live = self.others.values().filter(|seen| seen.observation.unchanged() < self.timing.duration);
        live.filter_map(|seen| member(&seen.lease)).collect()
    }

    /// This replica's own Lease, while it is.
    pub fn own(&self) -> Option<&Lease> {
        let seen = self.others.get(&self.name())?;
        (holder(&seen.lease) == Some(&*self.replica.identity)).then_some(&seen.lease)
    }

    /// The Lease by which this replica says that it is there; nothing while another process does so by the same
    /// name.
    pub fn beat(&self, wall: i64) -> Option<Lease> {
        let seen = self.others.get(&self.name());
        let mine = seen.is_some_and(|seen| holder(&seen.lease) == Some(&*self.replica.identity));
        if seen.is_some_and(|seen| !mine && seen.observation.unchanged() < self.timing.duration) {
            return None;
        }
        let mut lease = match seen {
            Some(seen) => seen.lease.clone(),
            None => fresh(self.name(), Purpose::Member, self.shards),
        };
        let before = lease.spec.take().unwrap_or_default();
        // A write that changes nothing leaves the version as it was, and would not be seen.
        let renewed = wall.max(before.renew_time.map_or(0, |time| time.0.as_microsecond().saturating_add(1)));
        let starts = before.lease_transitions.unwrap_or_default().saturating_add(i32::from(!mine));
        lease.metadata.managed_fields = None;
        let annotations = lease.metadata.annotations.get_or_insert_default();
        annotations.insert(REVISION.into(), self.replica.revision.clone());
        annotations.insert(SHARDS.into(), self.shards.to_string());
        if !self.replica.pod_uid.is_empty() {
            lease.metadata.owner_references = Some(vec![owned_by(&self.replica.pod, &self.replica.pod_uid)]);
        }
        lease.spec = Some(LeaseSpec {
            holder_identity: Some(self.replica.identity.to_string()),
            acquire_time: Some(micro_time(self.replica.started)),
            renew_time: Some(micro_time(renewed)),
            lease_duration_seconds: Some(whole_seconds(self.timing.duration)),
            lease_transitions: Some(starts),
            ..LeaseSpec::default()
        });
        Some(lease)
    }
}

fn holder(lease: &Lease) -> Option<&str> {
    lease.spec.as_ref()?.holder_identity.as_deref()
}

fn member(lease: &Lease) -> Option<Member> {
    let spec = lease.spec.as_ref()?;
    Some(Member {
        identity: spec.holder_identity.as_deref()?.into(),
        revision: annotation(lease, REVISION).unwrap_or_default().into(),
        started: spec.acquire_time.as_ref().map_or(0, |time| time.0.as_microsecond()),
        starts: spec.lease_transitions.and_then(|starts| u32::try_from(starts).ok()).unwrap_or(1).max(1),
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const TIMING: Timing = Timing::SHIPPED;

    fn membership(identity: &str, pod: &str) -> Membership {
        let replica = Replica {
            identity: identity.into(),
            pod: pod.into(),
            pod_uid: "u".into(),
            revision: "r1".into(),
            started: 5,
        };
        Membership::new(replica, TIMING, 16)
    }

    fn stored(mut lease: Lease, version: u64) -> Lease {
        lease.metadata.uid = Some("l".into());
        lease.metadata.resource_version = Some(version.to_string());
        lease
    }

    #[test]
    fn a_restart_in_the_same_pod_counts_once_the_one_before_is_known_as_gone() {
        let first = stored(membership("pod_1", "pod").beat(1).unwrap(), 10);
        let mut second = membership("pod_2", "pod");
        let second_after = |membership: &mut Membership, seconds: u32| {
            for _ in 0..seconds {
                let second = Duration::from_secs(1);
                membership.pass(Elapsed { longest: second, shortest: second });
                membership.read(&Listing { number: 11, leases: vec![first.clone()] });
            }
        };
        second.read(&Listing { number: 11, leases: vec![first.clone()] });
        second_after(&mut second, 7);
        assert!(second.beat(9).is_none(), "the one before may be there");
        assert_eq!(second.members().len(), 1);
        second_after(&mut second, 1);
        assert!(second.members().is_empty());
        let lease = second.beat(9).unwrap();
        assert_eq!(lease.metadata.resource_version.as_deref(), Some("10"), "decided on what was seen");
        second.read(&Listing { number: 12, leases: vec![stored(lease, 12)] });
        let member = Member { identity: "pod_2".into(), revision: "r1".into(), started: 5, starts: 2 };
        assert_eq!(second.members(), [member]);
        let next = second.beat(9).and_then(|lease| lease.spec).unwrap();
        assert_eq!(next.lease_transitions, Some(2), "the same start");
        assert_eq!(next.renew_time, Some(micro_time(10)), "it differs, also where the clock stands");
    }

    #[test]
    fn any_pod_name_makes_a_lease_name() {
        for (pod, name) in
            [("fairlead-7c9-x", "fairlead-member-fairlead-7c9-x"), ("Mac.local_1", "fairlead-member-mac.local-1")]
        {
            assert_eq!(name_of_member(pod), name);
        }
    }
}
