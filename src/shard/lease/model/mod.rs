//! The step, as it is, in a model of the world: every order of events is tried, up to a bound. Each rule left
//! out has to be found, or the model would prove nothing.
//!
//! `FAIRLEAD_MODEL_DEPTH` asks for more than the short bounds: so many events in a row (`make soak`).

use std::{sync::Arc, time::Duration};

use stateright::{Model, Property};

use super::{Event, Holder, How, Wish, WriteKind};
use mutant::Mutant;
use world::{Call, Faults, Replica, Restores, TICK, TIMING, World};

mod canonical;
mod cases;
mod mutant;
mod world;

const ONE_AT_WORK: &str = "one at work";
const WHO_HOLDS_LEADS: &str = "who holds leads";
const CAN_BE_HELD: &str = "can be held again";

#[derive(Clone, Debug)]
struct Setting {
    replicas: usize,
    faults: Faults,
    mutant: Option<Mutant>,
    /// Writes that not all replicas have seen.
    behind: usize,
    /// Whether it is tried from each world that the Lease can be held again.
    calm: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Action {
    /// Time passes; for the replica named, so many ticks and not one.
    Tick(Option<(usize, u32)>),
    Read {
        by: usize,
        k: usize,
        consistent: bool,
    },
    Land(usize),
    Answer(usize),
    Lose(usize),
    Haunt(usize),
    LateAnswer(usize),
    Check(usize),
    Begin(usize),
    End(usize),
    EndOrphan(usize),
    Wish(usize, Wish),
    Crash(usize),
    Delete,
    Edit(Arc<str>),
    Restore(usize),
}

impl Setting {
    fn time(&self, world: &World, actions: &mut Vec<Action>) {
        let mut clocks = vec![None];
        if world.skew > 0 {
            clocks.extend((0..self.replicas).flat_map(|i| [Some((i, 0)), Some((i, 2))]));
        }
        actions.extend(clocks.into_iter().filter(|clock| may_pass(world, *clock)).map(Action::Tick));
    }

    fn reads(&self, world: &World, i: usize, actions: &mut Vec<Action>) {
        let newest = world.replicas[i].lease.seen.newest();
        for (k, sight) in world.history.iter().enumerate() {
            if sight.number() >= newest || self.faults.old_reads {
                actions.push(Action::Read { by: i, k, consistent: true });
            }
            if sight.number() > newest {
                actions.push(Action::Read { by: i, k, consistent: false });
            }
        }
    }

    fn calls(&self, world: &World, i: usize, actions: &mut Vec<Action>) {
        let Replica { call, ghost, late, .. } = &world.replicas[i];
        match call {
            Some(Call::Sent(_)) => actions.push(Action::Land(i)),
            Some(Call::Done(_)) => actions.push(Action::Answer(i)),
            None if late.is_some() => actions.push(Action::LateAnswer(i)),
            None => {}
        }
        let may_be_lost = match call {
            Some(Call::Sent(_)) => self.faults.ghosts && ghost.is_none(),
            Some(Call::Done(_)) => self.faults.losses,
            None => false,
        };
        actions.extend(may_be_lost.then_some(Action::Lose(i)));
        if ghost.is_some() {
            actions.push(Action::Haunt(i));
        }
    }

    fn work(&self, world: &World, i: usize, actions: &mut Vec<Action>) {
        let Replica { lease, works, orphan, restarts, checked, .. } = &world.replicas[i];
        let may_begin = !works && lease.wish == Wish::Hold && world.replicas[i].age() < TIMING.stop();
        if self.mutant != Some(Mutant::CheckThenAct) {
            actions.extend(may_begin.then_some(Action::Begin(i)));
        } else if *checked {
            actions.push(Action::Begin(i));
        } else {
            actions.extend(may_begin.then_some(Action::Check(i)));
        }
        actions.extend(works.then_some(Action::End(i)));
        actions.extend(orphan.map(|_| Action::EndOrphan(i)));
        let drained = (!works && orphan.is_none()) || self.mutant == Some(Mutant::ReleaseBeforeDrain);
        if lease.wish != Wish::Hold {
            actions.push(Action::Wish(i, Wish::Hold));
        } else if self.faults.releases && drained && lease.own.is_some() {
            actions.push(Action::Wish(i, Wish::Release));
        }
        if self.faults.abandons && lease.wish == Wish::Hold && lease.tenure.is_some() {
            actions.push(Action::Wish(i, Wish::Abandon));
        }
        if *restarts < self.faults.crashes && (lease.own.is_some() || lease.flight.is_some()) {
            actions.push(Action::Crash(i));
        }
    }

    fn edits(&self, world: &World, actions: &mut Vec<Action>) {
        if world.edits == 0 {
            return;
        }
        if world.record().is_some() {
            let names = world.replicas.iter().map(|replica| replica.lease.me.clone());
            actions.push(Action::Delete);
            actions.extend(["".into(), "hand".into()].into_iter().chain(names).map(Action::Edit));
        }
        let seen = world.replicas.iter().map(|replica| replica.lease.seen.newest()).min();
        let most = match self.faults.restores {
            Restores::None => 0,
            Restores::Seen => seen.unwrap_or_default(),
            Restores::Any => u64::MAX,
        };
        let old = world.history.iter().enumerate().filter(|(_, sight)| sight.number() <= most);
        actions.extend(old.map(|(k, _)| Action::Restore(k)));
    }
}

impl Model for Setting {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.replicas, self.faults, self.mutant)]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        self.time(world, actions);
        for i in 0..self.replicas {
            self.reads(world, i, actions);
            self.calls(world, i, actions);
            self.work(world, i, actions);
        }
        self.edits(world, actions);
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        act(&mut next, action, self.mutant);
        next.canonical(self.mutant);
        (next != *world).then_some(next)
    }

    fn within_boundary(&self, world: &World) -> bool {
        world.history.len() <= self.behind
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(ONE_AT_WORK, |_, world| at_work(world) <= 1),
            Property::always(WHO_HOLDS_LEADS, |setting: &Self, world: &World| {
                let Faults { edits, losses, ghosts, abandons, .. } = setting.faults;
                losses
                    || ghosts
                    || abandons
                    || edits > 0
                    || world.replicas.iter().all(|replica| leads_if_holds(world, replica))
            }),
            Property::always(CAN_BE_HELD, |setting: &Self, world: &World| !setting.calm || can_be_held(world)),
            Property::sometimes("taken over when it has run out", |_, world| acquires(world, How::Expired)),
            Property::sometimes("taken over when it was released", |setting: &Self, world: &World| {
                !setting.faults.releases || acquires(world, How::Released)
            }),
            Property::sometimes("claimed again after a lost answer", |setting: &Self, world: &World| {
                !setting.faults.losses || acquires(world, How::Again)
            }),
            Property::sometimes("renewed though it had run out", |_, world| goes_on(world)),
        ]
    }
}

fn act(world: &mut World, action: Action, mutant: Option<Mutant>) {
    match action {
        Action::Tick(clock) => {
            world.skew -= u8::from(clock.is_some());
            world.tick(|i| ticks(i, clock), mutant);
        }
        Action::Read { by, k, consistent } => world.read(by, k, consistent, mutant),
        Action::Land(i) => world.land(i, mutant),
        Action::Answer(i) => world.answer(i, mutant),
        Action::Lose(i) => world.lose(i, mutant),
        Action::Haunt(i) => world.haunt(i, mutant),
        Action::LateAnswer(i) => world.late_answer(i, mutant),
        Action::Check(i) => world.replicas[i].checked = true,
        Action::Begin(i) => (world.replicas[i].works, world.replicas[i].checked) = (true, false),
        Action::End(i) => world.replicas[i].works = false,
        Action::EndOrphan(i) => world.replicas[i].orphan = None,
        Action::Wish(i, wish) => world.step(i, Event::Wish(wish), Duration::ZERO, mutant),
        Action::Crash(i) => world.crash(i, mutant),
        Action::Delete => world.edit(None),
        Action::Edit(name) => world.edit(Some(Holder::Held(name))),
        Action::Restore(k) => world.restore(k),
    }
}

fn ticks(i: usize, clock: Option<(usize, u32)>) -> u32 {
    clock.filter(|(whose, _)| *whose == i).map_or(1, |(_, ticks)| ticks)
}

/// Whether all that is done has ended when this time has passed.
fn may_pass(world: &World, clock: Option<(usize, u32)>) -> bool {
    world.replicas.iter().enumerate().all(|(i, replica)| {
        let ends = |age: Duration| age + TICK * ticks(i, clock) < TIMING.stop();
        (!replica.works || ends(replica.age())) && replica.orphan.is_none_or(|orphan| ends(orphan.age))
    })
}

fn at_work(world: &World) -> usize {
    world.replicas.iter().map(Replica::at_work).sum()
}

/// Where no answer is lost and nobody meddles, who holds the Lease by its record knows it.
fn leads_if_holds(world: &World, Replica { lease, call, .. }: &Replica) -> bool {
    let holds = world.record().is_some_and(|record| record.holder.identity() == Some(&lease.me));
    !holds || call.is_some() || lease.wish != Wish::Hold || lease.leadership().is_some()
}

fn acquires(world: &World, on: How) -> bool {
    world.replicas.iter().any(|Replica { lease, call, .. }| {
        let flight = lease.flight.as_ref().filter(|_| matches!(call, Some(Call::Done(_))));
        flight.is_some_and(|flight| flight.write.kind == WriteKind::Claim && flight.how == on)
    })
}

fn goes_on(world: &World) -> bool {
    world.replicas.iter().any(|replica| {
        let flight = replica.lease.flight.as_ref().filter(|_| matches!(replica.call, Some(Call::Done(_))));
        let valid = flight.is_some_and(|it| it.write.kind == WriteKind::Renew && it.age < TIMING.stop());
        valid && replica.lease.leadership().is_some_and(|leadership| leadership.age >= TIMING.stop())
    })
}

/// Whether somebody comes to hold the Lease where from now on nothing goes wrong.
fn can_be_held(world: &World) -> bool {
    let mut world = world.clone();
    for i in 0..world.replicas.len() {
        world.replicas[i] = Replica { works: false, orphan: None, ..world.replicas[i].clone() };
        world.step(i, Event::Wish(Wish::Hold), Duration::ZERO, None);
    }
    (0..12).any(|_| {
        for i in 0..world.replicas.len() {
            world.land(i, None);
            world.answer(i, None);
            let newest = world.history.len() - 1;
            world.read(i, newest, true, None);
            world.land(i, None);
            world.answer(i, None);
        }
        let held = world.replicas.iter().any(|replica| replica.age() < TIMING.stop());
        world.tick(|_| 1, None);
        held
    })
}
