//! Which replica may act. All objects are in shards, each led by one replica at a time through one
//! Lease; with one shard that is plain leader election.
//!
//! | File | What it holds |
//! |---|---|
//! | [`lease`] | one Lease, as one replica sees it: the step from event to effects. Pure |
//! | [`assignment`] | which shards to claim and which to give up. Pure |
//! | [`keeper`] | the thread that keeps the Leases: reads, writes, and says what is led |
//! | [`leases`] | the Leases in the API server |
//! | [`layout`] | into how many shards all replicas divide the objects |
//! | [`membership`] | which replicas there are |
//! | [`permit`] | the proof that a shard is led, with a deadline, and what is cut off by it |
//! | [`clock`] | the clocks that all of it is timed with |

pub mod assignment;
pub mod clock;
pub mod keeper;
pub mod layout;
pub mod lease;
pub mod leases;
pub mod membership;
mod notes;
pub mod permit;

pub use permit::{NoPermit, Permit, Permits};

/// A fixed slice of all objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shard(u8);

/// How many shards there may be.
pub const COUNTS: [u8; 2] = [1, 16];

impl Shard {
    /// The one whose leader also keeps what belongs to no shard.
    pub const FIRST: Self = Self(0);

    /// That of an object, of so many (a power of two): by the highest bits of a hash that Kubernetes uses to
    /// the same end (KEP-5866), so that it never changes.
    pub fn of(uid: &str, shards: u8) -> Self {
        let bits = shards.max(1).ilog2();
        let hash = fnv_1a(uid.as_bytes());
        Self(hash.checked_shr(64 - bits).and_then(|top| u8::try_from(top).ok()).unwrap_or_default())
    }

    /// All of so many.
    pub fn all(shards: u8) -> impl Iterator<Item = Self> + Clone {
        (0..shards).map(Self)
    }

    /// Its number, from 0.
    pub fn index(self) -> usize {
        self.0.into()
    }
}

impl std::fmt::Display for Shard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// FNV-1a with 64 bits: <http://www.isthe.com/chongo/tech/comp/fnv/>.
pub(crate) fn fnv_1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of its authors.
        for (text, hash) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv_1a(text.as_bytes()), hash, "{text}");
        }
    }

    #[test]
    fn uids_are_spread_over_all_shards() {
        let mut counts = [0_u32; 16];
        for number in 0..16_000_u32 {
            // As Kubernetes makes them, but for the randomness.
            let uid =
                format!("{:08x}-1c2d-4e3f-8a4b-{:012x}", number.wrapping_mul(2_654_435_761), u64::from(number) * 7_919);
            counts[Shard::of(&uid, 16).index()] += 1;
            assert_eq!(Shard::of(&uid, 1), Shard::FIRST);
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
    }
}
