//! Who should hold which shard. Every replica computes it for itself, and from the same view comes to
//! the same answer. Pure.

use std::cmp::Reverse;

use super::Holding;

/// A member that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its lease identity.
    pub identity: &'a str,
    /// Its revision is the newest. Where some are not, a rollout is under way.
    pub newest: bool,
    /// It may get more than it holds.
    pub takes: bool,
}

/// For each shard, who should hold it: `None` where nobody can. The order of the candidates, each of
/// which comes once, does not matter.
///
/// Each keeps its best-scored shards up to its quota (in a rollout, everything); the rest goes to those
/// below their quota, the newest revision first, then by score. So of all balanced assignments this is
/// one with the fewest moves, and a view that lags a little differs in few shards.
pub fn target<'a>(candidates: &[Candidate<'a>], holdings: &[Holding]) -> Vec<Option<&'a str>> {
    let rollout = candidates.iter().any(|candidate| !candidate.newest);
    let place = |holder: &str| candidates.iter().position(|candidate| candidate.identity == holder);
    let holders: Vec<Option<usize>> =
        holdings.iter().map(|holding| holding.holder().and_then(|holder| place(holder))).collect();
    let quotas = quotas(candidates, &holders);
    let mut counts = vec![0; candidates.len()];
    let mut target = vec![None; holdings.len()];
    for (place, candidate) in candidates.iter().enumerate() {
        let mut own: Vec<usize> = (0..holders.len()).filter(|shard| holders[*shard] == Some(place)).collect();
        if !rollout && own.len() > quotas[place] {
            own.sort_by_cached_key(|shard| Reverse(score(candidate.identity, *shard)));
            own.truncate(quotas[place]);
        }
        counts[place] = own.len();
        own.into_iter().for_each(|shard| target[shard] = Some(place));
    }
    for shard in (0..target.len()).filter(|shard| target[*shard].is_none()).collect::<Vec<_>>() {
        let best = |below_quota: bool| {
            let takers = (0..candidates.len())
                .filter(|place| candidates[*place].takes && (!below_quota || counts[*place] < quotas[*place]));
            takers.max_by_key(|place| {
                let Candidate { identity, newest, takes: _ } = candidates[*place];
                let emptiest = Reverse(if below_quota { 0 } else { counts[*place] });
                (newest, emptiest, score(identity, shard), identity)
            })
        };
        // What nobody has room for stays where it is.
        let chosen = best(true).or(holders[shard]).or_else(|| best(false));
        chosen.into_iter().for_each(|place| counts[place] += 1);
        target[shard] = chosen;
    }
    target.into_iter().map(|place| place.map(|place| candidates[place].identity)).collect()
}

/// How many shards each candidate should hold: the floor of the average, or one more. Whoever holds
/// more than the floor is first in line for that one, so that it does not move. Among those the count
/// does not matter: it changes while shards move, and the quotas would with it.
fn quotas(candidates: &[Candidate<'_>], holders: &[Option<usize>]) -> Vec<usize> {
    let floor = holders.len().checked_div(candidates.len()).unwrap_or(0);
    let extra = holders.len().checked_rem(candidates.len()).unwrap_or(0);
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by_cached_key(|place| {
        let held = holders.iter().filter(|holder| **holder == Some(*place)).count();
        let Candidate { identity, newest, takes } = candidates[*place];
        (!newest, held <= floor, !takes, identity)
    });
    let mut quotas = vec![floor; candidates.len()];
    order.into_iter().take(extra).for_each(|place| quotas[place] += 1);
    quotas
}

/// How well a shard suits a member (rendezvous hashing): FNV-1a-64, whose high bits hardly see the last
/// bytes, followed by MurmurHash3's finaliser. Replicas of different releases must agree: never change it.
pub fn score(identity: &str, shard: usize) -> u64 {
    let bytes = identity.bytes().chain((shard as u64).to_le_bytes());
    let mut hash = bytes
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    for factor in [0xff51_afd7_ed55_8ccd, 0xc4ce_b9fe_1a85_ec53] {
        hash = (hash ^ (hash >> 33)).wrapping_mul(factor);
    }
    hash ^ (hash >> 33)
}
