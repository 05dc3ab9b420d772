//! Worlds that go on alike are made the same, so that there are finitely many of them.

use super::{
    super::{Flight, Holder, How, Lease, Record, SPAN, Sight, Write},
    mutant::Mutant,
    world::{Call, Replica, TIMING, World},
};

/// A number that counts from anywhere.
enum Number<'a> {
    Version(&'a mut u64),
    Time(&'a mut i64),
    /// That of a creation: it replaces nothing, so any will do.
    Birth(&'a mut i64),
}

impl World {
    /// Forgets what nothing depends on, and counts versions and renewTimes from the least that is referred to.
    pub fn canonical(&mut self, mutant: Option<Mutant>) {
        self.lay_ghosts(mutant);
        self.replicas.iter_mut().for_each(|replica| forget(&mut replica.lease));
        let (mut version, mut time) = (self.now().number(), i64::MAX);
        for replica in &mut self.replicas {
            numbers(replica, &mut |number| match number {
                Number::Version(it) => version = version.min(*it),
                Number::Time(it) => time = time.min(*it),
                Number::Birth(_) => {}
            });
        }
        self.history.retain(|sight| sight.number() >= version);
        // A late acknowledgement says a version, and needs no record.
        let late = self.replicas.iter().filter_map(|replica| replica.late.as_ref());
        version = late.fold(version, |least, (_, late)| least.min(late.number));
        self.history.iter_mut().for_each(|sight| {
            in_sight(sight, &mut |number| {
                if let Number::Time(it) = number {
                    time = time.min(*it);
                }
            });
        });
        let time = time.div_euclid(SPAN) * SPAN;
        let mut renumber = |number: Number<'_>| match number {
            Number::Version(it) => *it -= version - 1,
            Number::Time(it) => *it -= time,
            Number::Birth(it) => *it = 0,
        };
        self.history.iter_mut().for_each(|sight| in_sight(sight, &mut renumber));
        for replica in &mut self.replicas {
            numbers(replica, &mut renumber);
            if let Some((_, late)) = &mut replica.late {
                renumber(Number::Version(&mut late.number));
            }
        }
    }

    /// A late write whose base is gone can't land any more.
    fn lay_ghosts(&mut self, mutant: Option<Mutant>) {
        if matches!(mutant, Some(Mutant::NoCas | Mutant::PutWithoutUid)) {
            return;
        }
        let current = self.record().map(|record| record.version.clone());
        let may_vanish = self.edits > 0;
        for replica in &mut self.replicas {
            replica.ghost.take_if(|(_, write)| write.base != current && !(write.base.is_none() && may_vanish));
        }
    }
}

fn forget(lease: &mut Lease) {
    // How long a record stands unchanged is asked only where it is another's.
    if lease.own.is_some() || lease.record().is_some_and(|record| record.holder == Holder::Free) {
        lease.seen.forget_time();
    }
    // Epochs are compared by nobody, and after the cut-off all ages are alike.
    if let Some(tenure) = &mut lease.tenure {
        (tenure.epoch, tenure.how) = (0, How::Released);
        tenure.age = tenure.age.min(TIMING.stop());
    }
    if let Some(flight) = &mut lease.flight {
        flight.age = flight.age.min(TIMING.stop());
    }
}

fn numbers(replica: &mut Replica, visit: &mut impl FnMut(Number<'_>)) {
    let Replica { lease, call, ghost, late: _, works: _, orphan: _, restarts: _, checked: _ } = replica;
    let Lease {
        seen,
        own,
        unsure,
        flight,
        me: _,
        timing: _,
        wish: _,
        tenure: _,
        retry_in: _,
        must_read: _,
        patience: _,
    } = lease;
    if let Some(sight) = seen.newest_mut() {
        in_sight(sight, visit);
    }
    if let Some(version) = own {
        visit(Number::Version(&mut version.number));
    }
    if let Some(time) = unsure {
        visit(Number::Time(time));
    }
    if let Some(Flight { write, .. }) = flight {
        in_write(write, visit);
    }
    match call {
        Some(Call::Sent(write)) => in_write(write, visit),
        Some(Call::Done(version)) => visit(Number::Version(&mut version.number)),
        None => {}
    }
    if let Some((_, write)) = ghost {
        in_write(write, visit);
    }
}

fn in_sight(sight: &mut Sight, visit: &mut impl FnMut(Number<'_>)) {
    match sight {
        Sight::Absent(number) => visit(Number::Version(number)),
        Sight::There(Record { version, renewed, .. }) => {
            visit(Number::Version(&mut version.number));
            visit(Number::Time(renewed));
        }
    }
}

fn in_write(Write { base, renewed, kind: _ }: &mut Write, visit: &mut impl FnMut(Number<'_>)) {
    match base {
        Some(version) => {
            visit(Number::Version(&mut version.number));
            visit(Number::Time(renewed));
        }
        None => visit(Number::Birth(renewed)),
    }
}
