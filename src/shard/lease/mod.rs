//! One Lease, as one replica sees it: a pure step from event to effects. It holds no client, clock or
//! random source, and ages instead of times, so that a model checker can run it as it is
//! (`model/`).
//!
//! Two replicas never act at a time, since
//! - every write is a compare-and-swap on the uid and the resourceVersion that were seen last;
//! - what a holder may do counts from the **start of the request** that was acknowledged, by the faster
//!   of its clocks, and ends a margin before the duration is over;
//! - a standby claims only a version that it saw **unchanged for the whole duration**, from receipt to
//!   receipt, by the slower of its clocks; or one that says that it was released;
//! - a record is a replica's own only if this very process wrote it. Its name in it proves nothing, and
//!   reading never gives validity.
//!
//! Wall clocks never matter. `renewTime` is written for people, and made to differ at each write and between
//! processes: a write that changes nothing leaves the version as it was and would not be seen, and a write whose
//! answer was lost is known by it.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

#[cfg(test)]
mod model;
mod observation;
#[cfg(test)]
mod tests;

pub use observation::{Elapsed, Holder, Observation, Record, Sight, Version};

/// The least time between the starts of two writes, so that failures at once are no storm.
const PACE: Duration = Duration::from_millis(500);

/// The longest that anybody may believe a record to last, as settings allow.
const LONGEST: Duration = Duration::from_secs(300);

/// Each process writes its own remainder of this many microseconds into `renewTime`. Clocks that are behind the
/// record would else lead two of them to the same time, and a record edited by hand to look like a write that
/// was lost.
const SPAN: i64 = 1 << 16;

/// The times of a Lease. [`Timing::check`] says which fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timing {
    /// How long a record must stand unchanged before another replica may claim it.
    pub duration: Duration,
    /// The time from the start of a successful write to the next renewal.
    pub renew_interval: Duration,
    /// The longest wait for the answer to a write.
    pub call_timeout: Duration,
    /// The time between two reads.
    pub observe_interval: Duration,
    /// How long before the end of the duration all work is cut off: room for clocks that differ.
    pub margin: Duration,
    /// No work begins with less than this left until the cut-off.
    pub permit_least: Duration,
}

/// What the replica wants of the Lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wish {
    /// To have it: claim it when that is allowed, and renew it.
    Hold,
    /// Not to claim it. A tenure is renewed all the same: what runs under it is yet to end.
    Leave,
    /// To stop being its holder at once and without a word, so that it has to expire.
    Abandon,
    /// To let it go. Only to be wished when nothing runs under it and nothing can begin.
    Release,
}

/// What has happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// A read has answered. A consistent one (not from a watch) proves that nothing newer was there.
    Read {
        /// What it saw.
        sight: Sight,
        /// Whether it proves that nothing newer was there.
        consistent: bool,
    },
    /// The write in flight was done, and made this version.
    Written(Version),
    /// The write in flight had no effect, since what was there is not what it was decided on.
    Conflict,
    /// The write in flight was refused for another reason, and had no effect.
    Refused,
    /// What became of the write in flight is not known: it may even be done later.
    Unknown,
    /// Another wish.
    Wish(Wish),
}

/// Facts that come with each event.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The time since the last event.
    pub elapsed: Elapsed,
    /// The wall clock, in microseconds since 1970: for people who read the Lease.
    pub wall: i64,
    /// How long to wait before a retry: random, at most 200 ms.
    pub jitter: Duration,
}

/// A write to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Write {
    /// What it is for.
    pub kind: WriteKind,
    /// The version that it replaces; none where it creates.
    pub base: Option<Version>,
    /// Its `renewTime`, in microseconds since 1970.
    pub renewed: i64,
}

/// What a write is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WriteKind {
    /// Creates the Lease, held by nobody and **not** released: whoever held the one before may still act.
    Create,
    /// Becomes the holder.
    Claim,
    /// Stays the holder.
    Renew,
    /// Stops being the holder, and says so.
    Release,
}

/// What is to be done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Effects {
    /// A write to be sent. One is in flight at a time.
    pub send: Option<Write>,
    /// Whether a read would help now.
    pub read: bool,
}

/// One Lease, as one replica sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    me: Arc<str>,
    timing: Timing,
    /// How long a record must stand unchanged: as long as anybody whose record was seen may have believed.
    patience: Duration,
    wish: Wish,
    seen: Observation,
    /// The version that this process knows it wrote last.
    own: Option<Version>,
    /// The `renewTime` of writes to the newest version whose outcome is not known. They all have the same.
    unsure: Option<i64>,
    tenure: Option<Tenure>,
    flight: Option<Flight>,
    retry_in: Duration,
    /// After a conflict nothing is written before a read has answered.
    must_read: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tenure {
    epoch: u64,
    /// Since the start of the last write that was acknowledged; not counted beyond the duration.
    age: Duration,
    how: How,
}

/// What a claim was founded on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum How {
    /// The Lease was released, or never held.
    Released,
    /// The holder has not renewed it: what it did last may still take effect.
    Expired,
    /// The record was this process's own, by a write whose answer was lost.
    Again,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Flight {
    write: Write,
    how: How,
    age: Duration,
}

/// The leadership of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    /// The resourceVersion of the write by which it began.
    pub epoch: u64,
    /// The time since the request began by which it was last renewed.
    pub age: Duration,
    /// How it began.
    pub how: How,
}

impl WriteKind {
    /// Whether it leaves this process as the holder.
    fn holds(self) -> bool {
        matches!(self, Self::Claim | Self::Renew)
    }
}

impl Timing {
    /// What settings have where nothing is set.
    #[cfg(test)]
    pub(crate) const SHIPPED: Self = Self {
        duration: Duration::from_secs(8),
        renew_interval: Duration::from_secs(2),
        call_timeout: Duration::from_millis(1_500),
        observe_interval: Duration::from_secs(1),
        margin: Duration::from_secs(1),
        permit_least: Duration::from_secs(2),
    };

    /// From the start of a renewal to the cut-off of all work.
    pub fn stop(&self) -> Duration {
        self.duration.saturating_sub(self.margin)
    }

    /// Two reads farther apart say nothing of the time between them.
    pub fn read_gap(&self) -> Duration {
        self.observe_interval * 3
    }

    /// Whether the times fit each other.
    ///
    /// # Errors
    /// What does not, and the way out.
    pub fn check(&self) -> Result<(), String> {
        let (duration, least) = (self.duration, self.renew_interval + self.call_timeout.max(PACE) * 2);
        let left = self.stop().saturating_sub(self.permit_least);
        if self.margin * 16 < duration {
            return Err(format!(
                "FAIRLEAD_LEASE_MARGIN is less than a 16th of FAIRLEAD_LEASE_DURATION ({duration:?}): clocks may differ by \
                 more; allowed: {:?} and more",
                duration / 16
            ));
        }
        if left < least {
            return Err(format!(
                "FAIRLEAD_LEASE_DURATION less FAIRLEAD_LEASE_MARGIN and FAIRLEAD_LEASE_PERMIT_LEAST is {left:?}, and a renewal \
                 that fails once needs {least:?} (FAIRLEAD_LEASE_RENEW_INTERVAL and twice FAIRLEAD_LEASE_CALL_TIMEOUT): make \
                 the duration longer, or the others shorter"
            ));
        }
        if duration < Duration::from_secs(2) {
            return Err(format!(
                "FAIRLEAD_LEASE_DURATION is {duration:?}: a write that fails at once is tried again after \
                 {PACE:?}, so that less than 2 s would be lost by chance"
            ));
        }
        if self.observe_interval > Duration::from_secs(3) {
            return Err("FAIRLEAD_LEASE_OBSERVE_INTERVAL is more than 3 s: what is read so seldom says little".into());
        }
        if self.observe_interval * 3 > self.duration {
            return Err(format!(
                "FAIRLEAD_LEASE_OBSERVE_INTERVAL is more than a third of FAIRLEAD_LEASE_DURATION ({duration:?}): a change \
                 would be seen too late"
            ));
        }
        Ok(())
    }
}

impl Lease {
    /// A Lease that was not seen yet. `me` names this process, and no other before or after it.
    pub fn new(me: Arc<str>, timing: Timing) -> Self {
        Self {
            me,
            timing,
            patience: timing.duration,
            wish: Wish::Leave,
            seen: Observation::default(),
            own: None,
            unsure: None,
            tenure: None,
            flight: None,
            retry_in: Duration::ZERO,
            must_read: false,
        }
    }

    /// The leadership, if the newest record seen is that of this process and was acknowledged. It may have
    /// run out: see its age.
    pub fn leadership(&self) -> Option<Leadership> {
        let Tenure { epoch, age, how } = self.tenure.as_ref()?;
        Some(Leadership { epoch: *epoch, age: *age, how: *how })
    }

    /// What the replica wants of it.
    pub fn wish(&self) -> Wish {
        self.wish
    }

    /// Who holds it, as far as was seen.
    pub fn holder(&self) -> Option<&Arc<str>> {
        self.seen.record()?.holder.identity()
    }

    /// The newest record that was seen.
    pub fn record(&self) -> Option<&Record> {
        self.seen.record()
    }

    /// Whether a release that was wished is done, or void.
    pub fn is_let_go(&self) -> bool {
        self.tenure.is_none() && self.flight.is_none() && self.unsure.is_none() && !self.is_own()
    }

    /// Takes an event: what is to be done.
    pub fn step(&mut self, event: Event, now: Now) -> Effects {
        self.pass(now.elapsed);
        let mut read = false;
        match event {
            Event::Tick => {}
            Event::Wish(wish) => {
                self.wish = wish;
                if wish == Wish::Abandon {
                    // From now on the record is like anybody's.
                    (self.tenure, self.own, self.unsure) = (None, None, None);
                }
            }
            Event::Read { sight, consistent } => self.read(sight, consistent),
            Event::Written(version) => read = !self.written(version),
            Event::Conflict => {
                self.flight = None;
                self.must_read = true;
                read = true;
            }
            Event::Refused => {
                self.end_flight(now.jitter);
                read = true;
            }
            Event::Unknown => {
                self.doubt();
                self.end_flight(now.jitter);
                read = true;
            }
        }
        let send = self.decide(now.wall);
        let read = read || (self.wish == Wish::Hold && self.tenure.is_none() && self.seen.is_ripe(self.patience));
        Effects { send, read }
    }

    fn pass(&mut self, elapsed: Elapsed) {
        let Timing { duration, .. } = self.timing;
        self.seen.pass(elapsed, self.timing.read_gap());
        if let Some(tenure) = &mut self.tenure {
            tenure.age = (tenure.age + elapsed.longest).min(duration);
        }
        if let Some(flight) = &mut self.flight {
            flight.age = (flight.age + elapsed.longest).min(duration);
        }
        self.retry_in = self.retry_in.saturating_sub(elapsed.shortest);
    }

    fn read(&mut self, sight: Sight, consistent: bool) {
        let before = self.seen.record().map(|record| record.version.clone());
        if let Sight::There(record) = &sight {
            self.patience = self.patience.max(record.lasts.min(LONGEST));
        }
        let Some(newer) = self.seen.read(sight, consistent, self.patience) else { return };
        self.must_read &= !consistent;
        if newer {
            // It replaces what was seen before, or it was seen already or never will be.
            let in_flight = self.flight.as_ref().map(|flight| &flight.write);
            let in_flight = in_flight.filter(|write| write.kind.holds() && write.base == before).map(|it| it.renewed);
            let mine = self.seen.record().is_some_and(|record| {
                let written = Some(record.renewed) == self.unsure || Some(record.renewed) == in_flight;
                self.own.as_ref() == Some(&record.version) || (written && record.holder.identity() == Some(&self.me))
            });
            let mine = mine && self.wish != Wish::Abandon;
            self.unsure = None;
            self.own = self.seen.record().filter(|_| mine).map(|record| record.version.clone());
            if !mine {
                self.tenure = None;
            }
        }
    }

    /// Takes an acknowledgement. Whether it was worth something.
    fn written(&mut self, version: Version) -> bool {
        let Some(Flight { write, how, age }) = self.flight.take() else { return false };
        let Write { kind, base, renewed } = write;
        // With the version that was sent nothing was written. A version older than the newest seen was
        // replaced since.
        if base.is_some_and(|base| version.number <= base.number) || self.seen.newest() > version.number {
            self.retry_in = PACE.saturating_sub(age);
            return false;
        }
        let holder = match kind {
            WriteKind::Create => Holder::Held("".into()),
            WriteKind::Release => Holder::Free,
            WriteKind::Claim | WriteKind::Renew => Holder::Held(self.me.clone()),
        };
        self.seen.wrote(Record { version: version.clone(), holder, renewed, lasts: self.timing.duration });
        self.unsure = None;
        self.retry_in = Duration::ZERO;
        self.own = None;
        if kind.holds() && self.wish != Wish::Abandon {
            // A tenure goes on, however late: nobody has held the Lease in between.
            let (epoch, how) = self.tenure.as_ref().map_or((version.number, how), |tenure| (tenure.epoch, tenure.how));
            self.tenure = Some(Tenure { epoch, age, how });
            self.own = Some(version);
        }
        true
    }

    /// The outcome of the write in flight is not known. Where what it was to replace is gone, it can't be done
    /// any more.
    fn doubt(&mut self) {
        let Some(Flight { write, .. }) = &self.flight else { return };
        let base = self.seen.record().map(|record| &record.version);
        if write.kind.holds() && write.base.as_ref() == base && self.wish != Wish::Abandon {
            self.unsure = Some(write.renewed);
        }
    }

    fn end_flight(&mut self, jitter: Duration) {
        if let Some(flight) = self.flight.take() {
            self.retry_in = PACE.saturating_sub(flight.age).max(jitter);
        }
    }

    /// What a claim would be founded on now, where one is allowed.
    pub fn claimable(&self) -> Option<How> {
        let record = self.seen.record()?;
        match record.holder {
            _ if self.is_own() => Some(How::Again),
            Holder::Free => Some(How::Released),
            Holder::Held(_) => (self.seen.unchanged() >= self.patience).then_some(How::Expired),
        }
    }

    fn is_own(&self) -> bool {
        self.own.is_some()
    }

    fn decide(&mut self, wall: i64) -> Option<Write> {
        if self.flight.is_some() || self.must_read || !self.retry_in.is_zero() {
            return None;
        }
        let Some(record) = self.seen.record() else {
            // Whoever creates them released is given the time to.
            let create =
                matches!(self.wish, Wish::Hold | Wish::Leave) && self.seen.unchanged() >= self.timing.renew_interval;
            return create.then(|| self.send(WriteKind::Create, How::Released, None, wall));
        };
        let base = Some(record.version.clone());
        let due = self.tenure.as_ref().is_some_and(|tenure| tenure.age >= self.timing.renew_interval);
        match self.wish {
            Wish::Release if self.is_own() => {
                self.tenure = None;
                Some(self.send(WriteKind::Release, How::Released, base, wall))
            }
            Wish::Hold | Wish::Leave if due => Some(self.send(WriteKind::Renew, How::Again, base, wall)),
            Wish::Hold if self.tenure.is_none() => {
                let how = self.claimable()?;
                Some(self.send(WriteKind::Claim, how, base, wall))
            }
            _ => None,
        }
    }

    fn send(&mut self, kind: WriteKind, how: How, base: Option<Version>, wall: i64) -> Write {
        // The same for each try on one version: whichever is done, it can be told as this process's own.
        let least = wall.max(self.seen.record().map_or(0, |record| record.renewed.saturating_add(1)));
        let renewed = self
            .unsure
            .unwrap_or_else(|| least.saturating_add(remainder(&self.me).wrapping_sub(least).rem_euclid(SPAN)));
        let write = Write { kind, base, renewed };
        self.flight = Some(Flight { write: write.clone(), how, age: Duration::ZERO });
        write
    }
}

fn remainder(me: &str) -> i64 {
    let mut hasher = DefaultHasher::new();
    me.hash(&mut hasher);
    (hasher.finish() as u16).into()
}
