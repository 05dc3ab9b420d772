//! What a replica remembers of an object between two reconciles. All of it may be lost: it saves
//! calls, and keeps a lagging read from looking like drift, but nothing depends on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{credentials::Known, last::Said, sweep::SweepKey};
use crate::{
    aws::tags::Tags,
    queue::{flow::Priority, scheduler::Next},
    telemetry::object_status::Last,
};

/// How many looks at a resource go by until its tags are read again.
pub const TAGS_EVERY: u32 = 10;

/// How long the store may lack our own last write.
const STORE_PATIENCE: Duration = Duration::from_secs(10);

/// The fields that we wrote so lately that a read may not show it yet.
pub type Settling = BTreeMap<String, Written>;

/// A field that we wrote lately.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// The value that we wrote last.
    pub value: String,
    /// The values before it, that a read may still show.
    pub old: BTreeSet<String>,
}

/// What is remembered of one object.
#[derive(Debug)]
pub struct Memory<H> {
    /// The object's uid: another one is another object.
    pub uid: String,
    /// The leadership in which all this was seen.
    pub epoch: u64,
    /// Whether in this leadership the object was read from the API server itself, or written: what the
    /// store has may be older than the last leader's writes.
    pub confirmed: bool,
    /// When to look once more at what may still change by calls of the last leader.
    pub second_look: Option<Instant>,
    /// Whether it was reconciled in this leadership.
    pub seen: bool,
    /// The annotation `traceparent`, as the last reconcile saw it.
    pub cause: Option<String>,
    /// The version of the object that our last write to it made.
    pub written: Option<String>,
    /// How its resource is addressed.
    pub handle: Option<H>,
    /// Its resource's tags, as last read or written.
    pub tags: Option<Tags>,
    /// Looks at the resource since its tags were read.
    pub looks: u32,
    /// When we last asked AWS to create the resource, whatever the answer.
    pub attempted: Option<Instant>,
    /// When we created the resource, until AWS shows it.
    pub created: Option<Instant>,
    /// The name of its ConfigMap, empty for none, for which it was made sure that it has no other.
    pub maps_of: Option<String>,
    /// When a status was last written.
    pub status_written: Option<Instant>,
    /// When the object was first found older than our last write to it.
    pub behind_since: Option<Instant>,
    /// When the resource of an object that is being deleted was first not found.
    pub absent_since: Option<Instant>,
    /// The fields that we may have set, beyond those that the status tells.
    pub managed: BTreeSet<String>,
    /// The last value of the annotation that asks for a reconcile.
    pub asked: Option<String>,
    /// How often in a row AWS has refused this spec.
    pub rejections: u32,
    /// When a call that may have changed the resource last ended.
    pub wrote: Option<Instant>,
    /// With which others it is looked at.
    pub sweep: Option<SweepKey>,
    /// Whether the last sweep has not seen it, for an error.
    pub missed: bool,
    /// Its Secrets, as last read or written.
    pub secrets: Option<Known>,
    /// Which password AWS accepted last, where the status may not tell it yet.
    pub accepted: Option<Value>,
    /// That a deletion was begun, and what of.
    pub deleting: Option<String>,
    /// What the reconcile that runs has to say about itself.
    pub said: Said,
    /// What is to be kept of the reconcile that has just ended.
    pub last: Option<Last>,
    /// When the resource was created, by AWS's clock.
    born: Option<i64>,
    settling: BTreeMap<String, (Written, Instant)>,
}

impl<H> Memory<H> {
    /// Of an object that was never seen. `phase` spreads the reading of tags over time.
    pub fn new(uid: String, epoch: u64, phase: u32) -> Self {
        Self {
            uid,
            epoch,
            confirmed: false,
            second_look: None,
            seen: false,
            cause: None,
            written: None,
            handle: None,
            tags: None,
            looks: phase % TAGS_EVERY,
            attempted: None,
            created: None,
            maps_of: None,
            status_written: None,
            behind_since: None,
            absent_since: None,
            managed: BTreeSet::new(),
            asked: None,
            rejections: 0,
            wrote: None,
            sweep: None,
            missed: false,
            secrets: None,
            accepted: None,
            deleting: None,
            said: Said::default(),
            last: None,
            born: None,
            settling: BTreeMap::new(),
        }
    }

    /// Whether an object of `version` is older than our own last write to it, and has not been for so
    /// long that waiting helps no more: then the API server's data was set back.
    pub fn waits_for_store(&mut self, version: Option<&str>, now: Instant) -> bool {
        if !self.is_ahead_of(version) {
            self.behind_since = None;
            return false;
        }
        let since = *self.behind_since.get_or_insert(now);
        now.duration_since(since) < STORE_PATIENCE
    }

    fn is_ahead_of(&self, version: Option<&str>) -> bool {
        match (self.written.as_deref().map(str::parse::<u64>), version.map(str::parse::<u64>)) {
            (Some(Ok(written)), Some(Ok(version))) => version < written,
            _ => false,
        }
    }

    /// Notes that `field` was changed from `actual` to `value`; reads may show `actual` for `within`.
    pub fn changed(&mut self, field: &str, actual: &str, value: &str, now: Instant, within: Duration) {
        self.settling.retain(|_, (_, until)| *until > now);
        let (written, until) = self.settling.entry(field.into()).or_insert_with(|| (Written::default(), now));
        *until = now + within;
        written.old.insert(actual.into());
        written.old.remove(value);
        written.value = value.into();
    }

    /// The fields that a read may not show as we wrote them.
    pub fn settling(&self, now: Instant) -> Settling {
        let recent = self.settling.iter().filter(|(_, (_, until))| *until > now);
        recent.map(|(field, (written, _))| (field.clone(), written.clone())).collect()
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

    /// Notes when the resource that was just seen was created. Where that is not when the last one was,
    /// it is another one of the same name: whose, its tags will say.
    pub fn recognise(&mut self, born: Option<i64>) {
        if self.born.is_some() && born.is_some() && self.born != born {
            self.doubt_tags();
            self.settling.clear();
        }
        self.born = born.or(self.born);
    }

    /// The tags say that the resource is not ours: the next look reads them again, since somebody
    /// may have changed them.
    pub fn doubt_tags(&mut self) {
        self.tags = None;
        self.looks = TAGS_EVERY;
    }

    /// The next look, or the second one where that is due before it.
    pub fn look_again(&mut self, next: Next, now: Instant) -> Next {
        let Some(at) = self.second_look else { return next };
        let left = at.saturating_duration_since(now);
        match next {
            _ if left.is_zero() => {
                self.second_look = None;
                next
            }
            Next::Poll(after) | Next::After(after, _) if after > left => Next::After(left, Priority::Progress),
            _ => next,
        }
    }

    /// The resource is gone: what was remembered of it is void.
    pub fn forget_resource(&mut self) {
        self.handle = None;
        self.sweep = None;
        self.accepted = None;
        self.tags = None;
        self.created = None;
        self.born = None;
        self.settling.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_compared_as_a_number() {
        let mut memory = Memory::<()>::new("u".into(), 1, 0);
        assert!(!memory.is_ahead_of(Some("5")));
        memory.written = Some("100".into());
        assert!(memory.is_ahead_of(Some("99")));
        assert!(!memory.is_ahead_of(Some("100")));
        assert!(!memory.is_ahead_of(Some("1000")));
    }

    #[test]
    fn a_written_field_settles_in_time() {
        let (now, minute) = (Instant::now(), Duration::from_secs(60));
        let mut memory = Memory::<()>::new("u".into(), 1, 0);
        let settling = |memory: &Memory<()>, at| {
            let Written { value, old } = memory.settling(at).remove("delaySeconds").unwrap_or_default();
            (value, old.into_iter().collect::<Vec<_>>().join(" "))
        };
        memory.changed("delaySeconds", "0", "5", now, minute);
        assert_eq!(settling(&memory, now), ("5".into(), "0".into()));
        memory.changed("delaySeconds", "5", "7", now + minute / 2, minute);
        assert_eq!(settling(&memory, now + minute), ("7".into(), "0 5".into()));
        memory.changed("delaySeconds", "7", "0", now + minute, minute);
        assert_eq!(settling(&memory, now + minute), ("0".into(), "5 7".into()), "what was written is no old value");
        assert_eq!(settling(&memory, now + minute * 2), Default::default());
    }

    #[test]
    fn tags_are_due_every_tenth_look() {
        let mut memory = Memory::<()>::new("u".into(), 1, 7);
        let due: Vec<_> = (0..23).filter(|_| memory.tags_are_due()).collect();
        assert_eq!(due, [2, 12, 22]);
    }

    #[test]
    fn a_store_that_is_behind_is_waited_for_ten_seconds_each_time() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let mut memory = Memory::<()>::new("u".into(), 1, 0);
        assert!(!memory.waits_for_store(Some("99"), start), "nothing was written yet");
        memory.written = Some("100".into());
        for (after, version, waits) in [
            (0, "99", true),
            (9, "99", true),
            (10, "99", false),
            (11, "99", false),
            (12, "100", false),
            (13, "99", true),
            (22, "99", true),
            (23, "99", false),
        ] {
            assert_eq!(
                memory.waits_for_store(Some(version), start + second * after),
                waits,
                "{version} after {after} s"
            );
        }
    }
}
