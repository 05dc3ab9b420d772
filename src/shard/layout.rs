//! Into how many shards all replicas divide the objects. They must agree: two replicas that count
//! differently would both lead an object.
//!
//! The Lease `fairlead-layout` says it, and so does each shard's Lease. A replica with another count
//! changes them only where nobody leads, and by compare-and-swap, so that of a replica that starts at
//! the same time with the old count one of the two is refused. What it takes over that way counts as
//! held: whoever led it last may still act.

use std::{collections::BTreeMap, time::Duration};

use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use tracing::{info, warn};

use super::{
    Shard,
    clock::{Clock, Moment},
    lease::{Holder, Observation, Sight, Timing},
    leases::{Failure, LAYOUT, Leases, Listing, Purpose, RELEASED, SHARDS, fresh, record_of, released, shards_of},
};

/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(500);
/// How often in a row the API server may give no answer.
const PATIENCE: u32 = 10;

/// Why a replica may not run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// Replicas with another count run.
    #[error(
        "FAIRLEAD_SHARDS is {own}, but replicas with {other} run in this namespace ({lease} says so); to change it, scale to \
         zero replicas, set FAIRLEAD_SHARDS, and scale up again"
    )]
    Differs {
        /// This replica's count.
        own: u8,
        /// The others'.
        other: u8,
        /// Who says so.
        lease: String,
    },
    /// The Leases can't be read or written.
    #[error(
        "the Leases in the namespace {namespace}: {why}; FAIRLEAD_NAMESPACE names it, deploy/rbac.yaml gives the rights"
    )]
    Leases {
        /// Their namespace.
        namespace: String,
        /// What failed.
        why: String,
    },
}

/// Whether a listing speaks of another count than `own`.
///
/// # Errors
/// Where it does.
pub fn check(leases: &[Lease], own: u8) -> Result<(), LayoutError> {
    match leases.iter().find_map(|lease| Some((lease, other_count(lease, own)?))) {
        None => Ok(()),
        Some((lease, other)) => Err(LayoutError::Differs { own, other, lease: name(lease).into() }),
    }
}

/// Makes sure that all replicas divide the objects into so many shards; waits for replicas with another
/// count to be known as gone, at most some more than the Leases' duration.
///
/// # Errors
/// Where they are not, or the Leases can't be read and written.
pub async fn agree(leases: &Leases, own: u8, timing: &Timing, clock: &Clock) -> Result<(), LayoutError> {
    let mut layout = Layout { leases, own, timing, clock, seen: BTreeMap::new(), looked: clock() };
    let mut failures = 0;
    loop {
        let outcome = match leases.client() {
            Ok(client) => layout.look(&client).await,
            Err(why) => Err(Failure::Refused(why).into()),
        };
        match outcome {
            Ok(true) => return Ok(()),
            Ok(false) => failures = 0,
            Err(Trouble::Layout(error)) => return Err(error),
            // Somebody else does the same.
            Err(Trouble::Leases(Failure::Conflict(_))) => {}
            Err(Trouble::Leases(error @ (Failure::Unknown(_) | Failure::Busy(_)))) if failures < PATIENCE => {
                warn!(%error, "the Leases can't be read or written yet");
                failures += 1;
            }
            Err(Trouble::Leases(error)) => {
                return Err(LayoutError::Leases { namespace: leases.namespace().into(), why: error.to_string() });
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks at the Leases until all is agreed.
struct Layout<'a> {
    leases: &'a Leases,
    own: u8,
    timing: &'a Timing,
    clock: &'a Clock,
    seen: BTreeMap<String, Observation>,
    looked: Moment,
}

#[derive(Debug)]
enum Trouble {
    Layout(LayoutError),
    Leases(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Self::Leases(failure)
    }
}

impl Layout<'_> {
    /// One look. Whether all is agreed.
    async fn look(&mut self, client: &Client) -> Result<bool, Trouble> {
        let Self { leases, own, timing, .. } = *self;
        let listing = leases.list(client).await?;
        let now = (self.clock)();
        self.seen.values_mut().for_each(|seen| seen.pass(now.since(self.looked), timing.read_gap()));
        self.looked = now;
        let mut others: Vec<_> = listing.leases.iter().filter(|lease| other_count(lease, own).is_some()).collect();
        if others.is_empty() {
            if !listing.leases.iter().any(|lease| name(lease) == LAYOUT) {
                create(leases, client, &listing, own, timing).await?;
            }
            return Ok(true);
        }
        let mut all_free = true;
        for lease in others.iter().filter(|lease| Purpose::of(lease) == Some(Purpose::Shard)) {
            match is_free(lease, &mut self.seen, timing) {
                Some(free) => all_free &= free,
                None => return check(&listing.leases, own).map(|()| false).map_err(Trouble::Layout),
            }
        }
        if all_free {
            info!(shards = own, "no replica with another count runs: the layout is changed");
            // The layout last: a replica of the old count that starts meanwhile then refuses this one, or is refused.
            others.sort_by_key(|lease| Purpose::of(lease) == Some(Purpose::Layout));
            for lease in others {
                restamp(leases, client, lease, own).await?;
            }
        }
        Ok(false)
    }
}

/// Records the layout; where nothing was there at all, with Leases that are free.
async fn create(leases: &Leases, client: &Client, listing: &Listing, own: u8, timing: &Timing) -> Result<(), Failure> {
    leases.put(client, &fresh(LAYOUT.into(), Purpose::Layout, own)).await?;
    if listing.leases.iter().any(|lease| Purpose::of(lease) == Some(Purpose::Shard)) {
        return Ok(());
    }
    for shard in Shard::all(own) {
        match leases.put(client, &released(shard, own, timing)).await {
            Ok(_) | Err(Failure::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Whether nobody leads by this Lease; nothing where somebody is seen to.
fn is_free(lease: &Lease, seen: &mut BTreeMap<String, Observation>, timing: &Timing) -> Option<bool> {
    let record = record_of(lease)?;
    let free = record.holder == Holder::Free;
    let patience = timing.duration.max(record.lasts);
    let observation = seen.entry(name(lease).into()).or_default();
    let known = observation.record().is_some();
    let newer = observation.read(Sight::There(record), true, patience)?;
    match () {
        () if free => Some(true),
        () if newer && known => None,
        () => Some(observation.unchanged() >= patience),
    }
}

/// Makes a Lease of another count one of ours, or removes it where we have none of its name.
async fn restamp(leases: &Leases, client: &Client, lease: &Lease, own: u8) -> Result<(), Failure> {
    let surplus = Purpose::of(lease) == Some(Purpose::Shard)
        && Shard::all(own).all(|shard| super::leases::name_of(shard) != name(lease));
    if surplus {
        return leases.delete(client, lease).await;
    }
    let mut lease = lease.clone();
    lease.metadata.managed_fields = None;
    let annotations = lease.metadata.annotations.get_or_insert_default();
    annotations.insert(SHARDS.into(), own.to_string());
    annotations.remove(RELEASED);
    if let Some(spec) = &mut lease.spec {
        spec.holder_identity = Some(String::new());
    }
    leases.put(client, &lease).await.map(drop)
}

/// The count that a Lease speaks of, where that is not `own`.
fn other_count(lease: &Lease, own: u8) -> Option<u8> {
    match Purpose::of(lease)? {
        Purpose::Layout | Purpose::Shard => shards_of(lease).filter(|count| *count != own),
        Purpose::Member => None,
    }
}

fn name(lease: &Lease) -> &str {
    lease.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shard::leases::annotation;

    #[test]
    fn who_counts_differently_is_named() {
        let lease = |name: &str, purpose, count| fresh(name.into(), purpose, count);
        let ours = [lease(LAYOUT, Purpose::Layout, 16), lease("fairlead-shard-3", Purpose::Shard, 16)];
        assert_eq!(check(&ours, 16), Ok(()));
        let error = check(&ours, 1).unwrap_err().to_string();
        assert!(error.contains("FAIRLEAD_SHARDS is 1, but replicas with 16 run"), "{error}");
        assert!(error.contains("scale to zero replicas"), "{error}");
        // A membership says nothing of shards.
        assert_eq!(check(&[lease("fairlead-member-a", Purpose::Member, 1)], 16), Ok(()));
        assert_eq!(annotation(&ours[0], SHARDS), Some("16"));
    }
}
