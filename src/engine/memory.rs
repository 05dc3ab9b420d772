//! What a replica remembers of an object between two reconciles. All of it may be lost: it saves
//! calls, and keeps a lagging read from looking like drift, but nothing depends on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::aws::tags::Tags;

/// How many looks at a resource go by until its tags are read again.
pub const TAGS_EVERY: u32 = 10;

/// Fields, and the values that a read may still show although we have written others since.
pub type OldValues = BTreeMap<String, BTreeSet<String>>;

/// What is remembered of one object.
#[derive(Debug)]
pub struct Memory<H> {
    /// The object's uid: another one is another object.
    pub uid: String,
    /// The version of the object that our last write to it made.
    pub written: Option<String>,
    /// How its resource is addressed.
    pub handle: Option<H>,
    /// Its resource's tags, as last read or written.
    pub tags: Option<Tags>,
    /// Looks at the resource since its tags were read.
    pub looks: u32,
    /// When we created the resource.
    pub created: Option<Instant>,
    /// The name of its ConfigMap, empty for none, for which it was made sure that it has no other.
    pub maps_of: Option<String>,
    /// When a status was last written.
    pub status_written: Option<Instant>,
    /// How often in a row AWS has refused this spec.
    pub rejections: u32,
    overwritten: Vec<Overwritten>,
}

#[derive(Debug)]
struct Overwritten {
    field: String,
    value: String,
    until: Instant,
}

impl<H> Memory<H> {
    /// Of an object that was never seen. `phase` spreads the reading of tags over time.
    pub fn new(uid: String, phase: u32) -> Self {
        Self {
            uid,
            written: None,
            handle: None,
            tags: None,
            looks: phase % TAGS_EVERY,
            created: None,
            maps_of: None,
            status_written: None,
            rejections: 0,
            overwritten: Vec::new(),
        }
    }

    /// Whether an object of `version` is older than our own last write to it.
    pub fn is_ahead_of(&self, version: Option<&str>) -> bool {
        match (self.written.as_deref().map(str::parse::<u64>), version.map(str::parse::<u64>)) {
            (Some(Ok(written)), Some(Ok(version))) => version < written,
            _ => false,
        }
    }

    /// Notes that `field`, which had `value`, was overwritten; reads may show `value` for `within`.
    pub fn overwrote(&mut self, field: String, value: String, now: Instant, within: Duration) {
        self.overwritten.retain(|old| old.until > now);
        self.overwritten.push(Overwritten { field, value, until: now + within });
    }

    /// The values that a read may still show.
    pub fn old_values(&self, now: Instant) -> OldValues {
        let mut values = OldValues::new();
        for old in self.overwritten.iter().filter(|old| old.until > now) {
            values.entry(old.field.clone()).or_default().insert(old.value.clone());
        }
        values
    }

    /// Whether it is time to read the tags again; counts this look.
    pub fn tags_are_due(&mut self) -> bool {
        self.looks += 1;
        if self.looks < TAGS_EVERY {
            return false;
        }
        self.looks = 0;
        true
    }

    /// The tags say that the resource is not ours: the next look reads them again, since somebody
    /// may have changed them.
    pub fn doubt_tags(&mut self) {
        self.tags = None;
        self.looks = TAGS_EVERY;
    }

    /// The resource is gone: what was remembered of it is void.
    pub fn forget_resource(&mut self) {
        self.handle = None;
        self.tags = None;
        self.created = None;
        self.overwritten.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_as_a_number() {
        let mut memory = Memory::<()>::new("u".into(), 0);
        assert!(!memory.is_ahead_of(Some("5")));
        memory.written = Some("100".into());
        assert!(memory.is_ahead_of(Some("99")));
        assert!(!memory.is_ahead_of(Some("100")));
        assert!(!memory.is_ahead_of(Some("1000")));
    }

    #[test]
    fn overwritten_values_are_believed_again_in_time() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut memory = Memory::<()>::new("u".into(), 0);
        memory.overwrote("delaySeconds".into(), "0".into(), now, minute);
        memory.overwrote("delaySeconds".into(), "5".into(), now + minute / 2, minute);
        let old = |at| memory.old_values(at).remove("delaySeconds").unwrap_or_default().into_iter().collect::<Vec<_>>();
        assert_eq!(old(now + minute / 2), ["0", "5"]);
        assert_eq!(old(now + minute), ["5"]);
        assert!(old(now + minute * 2).is_empty());
    }

    #[test]
    fn tags_are_due_every_tenth_look() {
        let mut memory = Memory::<()>::new("u".into(), 7);
        let due: Vec<_> = (0..23).filter(|_| memory.tags_are_due()).collect();
        assert_eq!(due, [2, 12, 22]);
    }
}
