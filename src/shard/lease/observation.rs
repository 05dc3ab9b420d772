//! What was seen of a Lease, and for how long it has stood unchanged.

use std::{sync::Arc, time::Duration};

/// A time that has passed, by clocks that may disagree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Elapsed {
    /// By the clock that went fastest: for a holder.
    pub longest: Duration,
    /// By the clock that went slowest: for a standby.
    pub shortest: Duration,
}

/// Which write made a record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// The uid of the Lease.
    pub uid: Arc<str>,
    /// Its resourceVersion. It grows with each write to the cluster, also over deletion and creation.
    pub number: u64,
}

/// Who holds a Lease, by its record.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Holder {
    /// Nobody, and the record says that the last holder let it go.
    Free,
    /// Somebody. An empty name without the mark of a release is a hand's work, and whoever held the Lease
    /// before may still act.
    Held(Arc<str>),
}

/// A Lease as one write left it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Record {
    /// Which write.
    pub version: Version,
    /// Who holds it.
    pub holder: Holder,
    /// Its `renewTime`, in microseconds since 1970.
    pub renewed: i64,
    /// How long its writer believes that it lasts.
    pub lasts: Duration,
}

/// What a read saw.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Sight {
    /// There was no Lease at this resourceVersion of the whole list.
    Absent(u64),
    /// There was this one.
    There(Record),
}

/// What was seen of a Lease. Only goes forward.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Observation {
    newest: Option<Sight>,
    unchanged: Duration,
    /// Since the receipt of the last read that counts, where that is not too long ago.
    since_read: Option<Elapsed>,
}

impl Holder {
    /// The holder's name.
    pub fn identity(&self) -> Option<&Arc<str>> {
        match self {
            Self::Free => None,
            Self::Held(identity) => Some(identity).filter(|identity| !identity.is_empty()),
        }
    }
}

impl Sight {
    /// The resourceVersion that it proves.
    pub fn number(&self) -> u64 {
        match self {
            Self::Absent(number) => *number,
            Self::There(record) => record.version.number,
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Absent(_), Self::Absent(_)) => true,
            (Self::There(one), Self::There(other)) => one.version == other.version,
            _ => false,
        }
    }
}

impl Observation {
    /// The newest record, where there is a Lease.
    pub fn record(&self) -> Option<&Record> {
        match self.newest.as_ref()? {
            Sight::Absent(_) => None,
            Sight::There(record) => Some(record),
        }
    }

    /// The newest resourceVersion.
    pub fn newest(&self) -> u64 {
        self.newest.as_ref().map_or(0, Sight::number)
    }

    /// For how long it has provably stood as it is.
    pub fn unchanged(&self) -> Duration {
        self.unchanged
    }

    /// Whether a read now, if it saw no change, would prove that it stood as it is for `duration`.
    pub fn is_ripe(&self, duration: Duration) -> bool {
        let since = self.since_read.map_or(Duration::ZERO, |since| since.shortest);
        self.unchanged < duration && self.unchanged + since >= duration
    }

    /// Time passes. After more than `gap` the last read says nothing of the time until the next.
    pub fn pass(&mut self, elapsed: Elapsed, gap: Duration) {
        self.since_read = self.since_read.and_then(|since| {
            let longest = since.longest + elapsed.longest;
            (longest <= gap).then(|| Elapsed { longest, shortest: since.shortest + elapsed.shortest })
        });
    }

    /// Takes what a read saw; counts unchanged time up to `most`. Whether that is newer; nothing where it is
    /// older than what is known. What is not known to be the newest, that of a watch, proves nothing of the time
    /// before it.
    pub fn read(&mut self, sight: Sight, consistent: bool, most: Duration) -> Option<bool> {
        let same = self.newest.as_ref().is_some_and(|newest| newest.is_same(&sight));
        if sight.number() < self.newest() || (sight.number() == self.newest() && self.newest.is_some() && !same) {
            return None;
        }
        if !same {
            *self = Self { newest: Some(sight), unchanged: Duration::ZERO, since_read: Some(Elapsed::default()) };
            return Some(true);
        }
        self.newest = Some(sight);
        if consistent {
            let since = self.since_read.unwrap_or_default().shortest;
            self.unchanged = (self.unchanged + since).min(most);
            self.since_read = Some(Elapsed::default());
        }
        Some(false)
    }

    /// For a model: the newest sight, to renumber it.
    #[cfg(test)]
    pub(super) fn newest_mut(&mut self) -> Option<&mut Sight> {
        self.newest.as_mut()
    }

    /// For a model: forgets the time, where nothing depends on it.
    #[cfg(test)]
    pub(super) fn forget_time(&mut self) {
        (self.unchanged, self.since_read) = (Duration::ZERO, None);
    }

    /// Takes what this process itself has written.
    pub fn wrote(&mut self, record: Record) {
        let sight = Sight::There(record);
        *self = Self { newest: Some(sight), unchanged: Duration::ZERO, since_read: Some(Elapsed::default()) };
    }
}
