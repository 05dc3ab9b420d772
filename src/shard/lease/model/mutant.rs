//! The rules left out, one each: the checker has to find what each of them is for.

use super::super::{Event, Flight, Holder, How, Lease, Now, Record, Sight, Tenure, Version, Wish, Write, WriteKind};
use std::time::Duration;

/// A rule left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A write replaces whatever is there.
    NoCas,
    /// A write carries a resourceVersion and no uid: to a Lease that is gone, it creates it.
    PutWithoutUid,
    /// Validity counts from the acknowledgement.
    ValidFromAcknowledgement,
    /// An acknowledgement is taken after the time-out.
    LateAcknowledgement,
    /// An older version is taken for the newest.
    OlderVersion,
    /// A claim replaces what is there now, and not what stood unchanged.
    FreshVersion,
    /// A renewal writes what is there already, and its answer is taken for a renewal.
    NoopRenewal,
    /// Who finds no Lease creates it as its own.
    AbsentAtOnce,
    /// An empty holder is free without the mark.
    EmptiedAtOnce,
    /// A record is a replica's own by the name in it.
    NameIsMine,
    /// A process has the name of the one before it, and knows its records by it.
    SameIdentity,
    /// To read the own record is as good as to write it.
    ReadGivesValidity,
    /// The Lease is let go while work goes on.
    ReleaseBeforeDrain,
    /// What a check has allowed begins at any time later.
    CheckThenAct,
}

impl Mutant {
    /// The step with a rule left out. `current` is what the API server has.
    pub fn step(self, lease: &mut Lease, event: Event, now: Now, current: Option<Version>) -> Option<Write> {
        let event = self.forge(lease, event);
        let (is_read, is_written) = (matches!(event, Event::Read { .. }), matches!(event, Event::Written(_)));
        let send = lease.step(event, now).send;
        let record = lease.seen.record().cloned();
        match self {
            Self::ValidFromAcknowledgement if is_written => age(lease, Duration::ZERO),
            Self::ReadGivesValidity if is_read && lease.own.is_some() => {
                lease.tenure = Some(Tenure { epoch: 0, age: Duration::ZERO, how: How::Again });
            }
            Self::NameIsMine | Self::SameIdentity if is_read => {
                let mine = record.filter(|record| record.holder.identity() == Some(&lease.me));
                lease.own = mine.map(|record| record.version);
            }
            _ => {}
        }
        self.corrupt(lease, send, current)
    }

    fn forge(self, lease: &mut Lease, event: Event) -> Event {
        match event {
            Event::Read { sight: Sight::There(record), consistent }
                if self == Self::EmptiedAtOnce && record.holder == Holder::Held("".into()) =>
            {
                Event::Read { sight: Sight::There(Record { holder: Holder::Free, ..record }), consistent }
            }
            Event::Read { ref sight, .. } if self == Self::OlderVersion && sight.number() < lease.seen.newest() => {
                lease.seen = Default::default();
                event
            }
            Event::Written(version)
                if self == Self::NoopRenewal
                    && lease.flight.as_ref().is_some_and(|it| it.write.base.as_ref() == Some(&version)) =>
            {
                let flight = lease.flight.take();
                age(lease, flight.map_or(Duration::ZERO, |flight| flight.age));
                Event::Tick
            }
            event => event,
        }
    }

    fn corrupt(self, lease: &mut Lease, send: Option<Write>, current: Option<Version>) -> Option<Write> {
        let renewed = lease.seen.record().map(|record| record.renewed);
        let write = match send {
            Some(write) if self == Self::FreshVersion && write.kind == WriteKind::Claim && current.is_some() => {
                Write { base: current, ..write }
            }
            Some(write) if self == Self::NoopRenewal && write.kind == WriteKind::Renew => {
                Write { renewed: renewed.unwrap_or(write.renewed), ..write }
            }
            None if self == Self::AbsentAtOnce
                && lease.seen.newest() > 0
                && renewed.is_none()
                && lease.flight.is_none()
                && lease.wish == Wish::Hold =>
            {
                Write { kind: WriteKind::Claim, base: None, renewed: 0 }
            }
            other => return other,
        };
        lease.flight = Some(Flight { write: write.clone(), how: How::Released, age: Duration::ZERO });
        Some(write)
    }
}

fn age(lease: &mut Lease, age: Duration) {
    if let Some(tenure) = &mut lease.tenure {
        tenure.age = age;
    }
}
