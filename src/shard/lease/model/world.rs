//! The world around the step: an API server, replicas with their calls under way, work, and what goes wrong.

use super::{
    super::{Elapsed, Event, Flight, Holder, How, Lease, Now, Record, Sight, Timing, Version, Wish, Write, WriteKind},
    mutant::Mutant,
};
use std::{sync::Arc, time::Duration};

/// A tick of the clocks.
pub const TICK: Duration = Duration::from_secs(1);

/// Small, so that few ticks are a lifetime: work stops after two, a claim may come after three.
pub const TIMING: Timing = Timing {
    duration: Duration::from_secs(3),
    renew_interval: TICK,
    call_timeout: TICK,
    observe_interval: TICK,
    margin: TICK,
    permit_least: Duration::ZERO,
};

/// What may go wrong, and how often in a run.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Changes by hand.
    pub edits: u8,
    /// Of these, records put back as they were.
    pub restores: Restores,
    /// Processes killed and started anew, for each replica.
    pub crashes: u8,
    /// Answers that are lost.
    pub losses: bool,
    /// Writes that land after their time-out, or never.
    pub ghosts: bool,
    /// Leases let go, and wanted again.
    pub releases: bool,
    /// Leases given up without a word.
    pub abandons: bool,
    /// Ticks that a replica's clock goes wrong by.
    pub skew: u8,
    /// Answers that arrive in a wrong order.
    pub old_reads: bool,
}

/// Which records may be put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restores {
    None,
    /// Such that all replicas have seen that, or what came after.
    Seen,
    Any,
}

/// The whole: hashed, compared and cloned by the checker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// What the API server has stored, one write after another. The last is what is there now.
    pub history: Vec<Sight>,
    pub replicas: Vec<Replica>,
    pub edits: u8,
    pub skew: u8,
    /// How many Leases there were: each has a uid of its own.
    pub born: u8,
}

/// A replica, over its restarts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    pub lease: Lease,
    pub call: Option<Call>,
    /// A write whose sender does not wait for it any more: it lands, or never does.
    pub ghost: Option<(Arc<str>, Write)>,
    /// Whether it acts, under its leadership.
    pub works: bool,
    /// What goes on of an earlier leadership.
    pub orphan: Option<Orphan>,
    pub restarts: u8,
    /// An acknowledgement that comes after the time-out. Only mutants look at it.
    pub late: Option<(Duration, Version)>,
    /// A check that has allowed to act, where that is not done at once. Only by a mutant.
    pub checked: bool,
}

/// Work whose leadership is gone, and that goes on until its time is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Orphan {
    pub age: Duration,
    /// The restarts of the replica when it was begun: which process it is of.
    pub process: u8,
}

/// A write under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Sent(Write),
    /// Done, and not answered yet.
    Done(Version),
}

impl World {
    /// The first of the replicas leads, and all have seen it.
    pub fn new(replicas: usize, faults: Faults, mutant: Option<Mutant>) -> Self {
        let uid: Arc<str> = "0".into();
        let free = Record {
            version: Version { uid: uid.clone(), number: 1 },
            holder: Holder::Free,
            renewed: 0,
            lasts: TIMING.duration,
        };
        let mut world = Self {
            history: vec![Sight::There(free)],
            replicas: (0..replicas).map(|i| Replica::new(name(i, 0))).collect(),
            edits: faults.edits,
            skew: faults.skew,
            born: 1,
        };
        world.read(0, 0, true, mutant);
        world.land(0, mutant);
        world.answer(0, mutant);
        (1..replicas).for_each(|i| world.read(i, 1, true, mutant));
        world.canonical(mutant);
        world
    }

    pub fn now(&self) -> &Sight {
        &self.history[self.history.len() - 1]
    }

    /// The record that is there.
    pub fn record(&self) -> Option<&Record> {
        match self.now() {
            Sight::There(record) => Some(record),
            Sight::Absent(_) => None,
        }
    }

    fn next_number(&self) -> u64 {
        self.now().number() + 1
    }

    /// Stores what was edited by hand.
    pub fn edit(&mut self, holder: Option<Holder>) {
        self.edits -= 1;
        let number = self.next_number();
        let sight = match (self.record(), holder) {
            (Some(record), Some(holder)) => {
                let version = Version { number, ..record.version.clone() };
                Sight::There(Record { version, holder, renewed: record.renewed, lasts: TIMING.duration })
            }
            _ => Sight::Absent(number),
        };
        self.history.push(sight);
    }

    /// Puts a record back as it was.
    pub fn restore(&mut self, k: usize) {
        self.edits -= 1;
        let number = self.next_number();
        let Sight::There(old) = self.history[k].clone() else { return };
        let uid = match self.record() {
            Some(record) => record.version.uid.clone(),
            None => self.bear(),
        };
        self.history.push(Sight::There(Record { version: Version { uid, number }, ..old }));
    }

    fn bear(&mut self) -> Arc<str> {
        self.born += 1;
        (self.born - 1).to_string().into()
    }

    /// Carries out a write as the API server does: the version that it makes; none where it conflicts.
    pub fn store(&mut self, who: &Arc<str>, write: &Write, mutant: Option<Mutant>) -> Option<Version> {
        let Write { kind, base, renewed } = write;
        let uid = match (base, self.record()) {
            (None, None) => None,
            (Some(base), Some(record)) if record.version == *base || mutant == Some(Mutant::NoCas) => {
                Some(record.version.uid.clone())
            }
            // A PUT without uid to a Lease that is gone creates it.
            (Some(_), None) if mutant == Some(Mutant::PutWithoutUid) => None,
            _ => return None,
        };
        let holder = match kind {
            WriteKind::Create => Holder::Held("".into()),
            WriteKind::Claim | WriteKind::Renew => Holder::Held(who.clone()),
            WriteKind::Release => Holder::Free,
        };
        if let Some(record) = self.record()
            && record.holder == holder
            && record.renewed == *renewed
        {
            return Some(record.version.clone());
        }
        let number = self.next_number();
        let uid = uid.unwrap_or_else(|| self.bear());
        let version = Version { uid, number };
        self.history.push(Sight::There(Record {
            version: version.clone(),
            holder,
            renewed: *renewed,
            lasts: TIMING.duration,
        }));
        Some(version)
    }

    /// The call of a replica reaches the API server.
    pub fn land(&mut self, i: usize, mutant: Option<Mutant>) {
        let call = self.replicas[i].call.take_if(|call| matches!(call, Call::Sent(_)));
        let Some(Call::Sent(write)) = call else { return };
        let me = self.replicas[i].lease.me.clone();
        match self.store(&me, &write, mutant) {
            Some(version) => self.replicas[i].call = Some(Call::Done(version)),
            None => self.step(i, Event::Conflict, Duration::ZERO, mutant),
        }
    }

    /// A replica is told that its call was done.
    pub fn answer(&mut self, i: usize, mutant: Option<Mutant>) {
        let call = self.replicas[i].call.take_if(|call| matches!(call, Call::Done(_)));
        let Some(Call::Done(version)) = call else { return };
        self.step(i, Event::Written(version), Duration::ZERO, mutant);
    }

    /// A replica waits for an answer no longer.
    pub fn lose(&mut self, i: usize, mutant: Option<Mutant>) {
        let replica = &mut self.replicas[i];
        match replica.call.take() {
            Some(Call::Sent(write)) => replica.ghost = Some((replica.lease.me.clone(), write)),
            Some(Call::Done(version)) if mutant == Some(Mutant::LateAcknowledgement) => {
                let flight = replica.lease.flight.as_ref().filter(|flight| flight.write.kind.holds());
                replica.late = flight.map(|flight| (flight.age, version));
            }
            _ => {}
        }
        self.step(i, Event::Unknown, Duration::ZERO, mutant);
    }

    /// A write lands that its sender waits for no longer.
    pub fn haunt(&mut self, i: usize, mutant: Option<Mutant>) {
        if let Some((who, write)) = self.replicas[i].ghost.take() {
            self.store(&who, &write, mutant);
        }
    }

    /// An acknowledgement arrives that its receiver waits for no longer.
    pub fn late_answer(&mut self, i: usize, mutant: Option<Mutant>) {
        let replica = &mut self.replicas[i];
        if let Some((age, version)) = replica.late.take() {
            let write = Write { kind: WriteKind::Renew, base: None, renewed: 0 };
            replica.lease.flight = Some(Flight { write, how: How::Again, age });
            replica.lease.seen = Default::default();
            self.step(i, Event::Written(version), Duration::ZERO, mutant);
        }
    }

    pub fn read(&mut self, i: usize, k: usize, consistent: bool, mutant: Option<Mutant>) {
        let sight = self.history[k].clone();
        self.step(i, Event::Read { sight, consistent }, Duration::ZERO, mutant);
    }

    /// Time passes: for each replica so many ticks.
    pub fn tick(&mut self, ticks: impl Fn(usize) -> u32, mutant: Option<Mutant>) {
        for i in 0..self.replicas.len() {
            let elapsed = TICK * ticks(i);
            if let Some(orphan) = &mut self.replicas[i].orphan {
                orphan.age += elapsed;
            }
            if let Some((age, _)) = &mut self.replicas[i].late {
                *age = (*age + elapsed).min(TIMING.stop());
            }
            self.step(i, Event::Tick, elapsed, mutant);
        }
    }

    /// Kills the process of a replica, and starts another. What it was at goes on elsewhere for a while.
    pub fn crash(&mut self, i: usize, mutant: Option<Mutant>) {
        let replica = &mut self.replicas[i];
        let restarts = replica.restarts + 1;
        let new = Replica::new(name(i, if mutant == Some(Mutant::SameIdentity) { 0 } else { restarts }));
        let old = std::mem::replace(replica, new);
        replica.restarts = restarts;
        replica.orphan = if old.works { Some(Orphan { age: old.age(), process: old.restarts }) } else { old.orphan };
        replica.ghost = match old.call {
            Some(Call::Sent(write)) => Some((old.lease.me, write)),
            _ => old.ghost,
        };
    }

    /// Lets a replica take an event, and sends what it decides.
    pub fn step(&mut self, i: usize, event: Event, elapsed: Duration, mutant: Option<Mutant>) {
        let current = self.record().map(|record| record.version.clone());
        let replica = &mut self.replicas[i];
        let age = replica.age() + elapsed;
        // No wall clock helps: each renewTime is the one before and a bit.
        let now =
            Now { elapsed: Elapsed { longest: elapsed, shortest: elapsed }, wall: i64::MIN, jitter: Duration::ZERO };
        let send = match mutant {
            None => replica.lease.step(event, now).send,
            Some(mutant) => mutant.step(&mut replica.lease, event, now, current),
        };
        if let Some(write) = send {
            replica.call = Some(Call::Sent(write));
        }
        // What runs under a leadership that is gone may run until its time is over.
        if replica.works && replica.lease.tenure.is_none() {
            replica.works = false;
            replica.orphan = Some(Orphan { age, process: replica.restarts });
        }
    }
}

impl Replica {
    fn new(me: Arc<str>) -> Self {
        let mut lease = Lease::new(me, TIMING);
        lease.wish = Wish::Hold;
        Self { lease, call: None, ghost: None, works: false, orphan: None, restarts: 0, late: None, checked: false }
    }

    /// How many processes of it act.
    pub fn at_work(&self) -> usize {
        let orphan = self.orphan.filter(|orphan| !self.works || orphan.process != self.restarts);
        usize::from(self.works) + usize::from(orphan.is_some())
    }

    /// The age of its leadership.
    pub fn age(&self) -> Duration {
        self.lease.leadership().map_or(TIMING.duration, |leadership| leadership.age)
    }
}

fn name(i: usize, restarts: u8) -> Arc<str> {
    format!("{i}_{restarts}").into()
}
