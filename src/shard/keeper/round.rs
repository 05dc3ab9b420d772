//! The loop: what has happened, what is to be done.

use std::time::{Duration, Instant};

use futures::{
    StreamExt as _,
    future::BoxFuture,
    stream::{BoxStream, FuturesUnordered},
};
use k8s_openapi::api::coordination::v1::Lease as Object;
use kube::{
    Client,
    runtime::{WatchStreamExt as _, watcher},
};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::{Setup, slot::Slot, troubles::Troubles};
use crate::shard::{
    Shard,
    assignment::{Assigner, Wish as Assigned},
    clock::Moment,
    layout::{self, LayoutError},
    lease::{Event, Now, Sight, Version, Wish, WriteKind},
    leases::{Failure, Leases, Listing, name_of, record_of, sight_in, version_of, written},
    membership::Membership,
    notes,
    permit::Drain,
};

/// How often time alone is looked at.
const TICK: Duration = Duration::from_millis(100);
/// The least time between two assignments of shards.
const ASSIGN_PACE: Duration = Duration::from_millis(20);
/// The least time between two reads.
const READ_PACE: Duration = Duration::from_millis(200);
/// The least time between two new connections.
const RECONNECT_PACE: Duration = Duration::from_millis(200);
/// The longest random wait before a retry.
const JITTER: Duration = Duration::from_millis(200);
/// How long a replica that stops tries to say so.
const FAREWELL: Duration = Duration::from_secs(3);
/// Events that wait to be taken by the API server.
const NOTES: usize = 64;

type Answer = (Shard, Instant, Result<Object, Failure>);

/// The loop, and all that it knows.
pub(super) struct Round {
    setup: Setup,
    client: Client,
    slots: Vec<Slot>,
    membership: Membership,
    assigner: Assigner,
    assigned: Moment,
    writes: FuturesUnordered<BoxFuture<'static, Answer>>,
    notes: FuturesUnordered<BoxFuture<'static, ()>>,
    read: Option<BoxFuture<'static, Result<Listing, Failure>>>,
    read_begun: Moment,
    read_wanted: bool,
    /// When the Leases were last read, and how much time was seen since the last assignment.
    listed: Moment,
    watched: Duration,
    /// The newest resourceVersion of all, and since when only older ones are read.
    newest: u64,
    behind: Option<Moment>,
    beat: Option<BoxFuture<'static, Result<(), Failure>>>,
    beat_begun: Option<Moment>,
    reconnected: Moment,
    troubles: Troubles,
    stopping: bool,
}

impl Round {
    pub(super) fn new(setup: Setup, client: Client) -> Self {
        let now = (setup.clock)();
        let shards = setup.permits.shards();
        let me = setup.replica.identity.clone();
        Self {
            slots: Shard::all(shards).map(|shard| Slot::new(shard, me.clone(), setup.timing, now)).collect(),
            membership: Membership::new(setup.replica.clone(), setup.timing, shards),
            assigner: Assigner::new(me),
            assigned: now,
            writes: FuturesUnordered::new(),
            notes: FuturesUnordered::new(),
            read: None,
            read_begun: now,
            read_wanted: true,
            listed: now,
            watched: Duration::ZERO,
            newest: 0,
            behind: None,
            beat: None,
            beat_begun: None,
            reconnected: now,
            troubles: Troubles::default(),
            stopping: false,
            setup,
            client,
        }
    }

    pub(super) async fn run(mut self, mut stops: mpsc::Receiver<()>) -> Result<(), LayoutError> {
        let permits = self.setup.permits.clone();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut able = self.setup.able.clone();
        let mut watch = self.watch();
        loop {
            self.setup.turning.beat();
            tokio::select! {
                biased;
                _ = stops.recv(), if !self.stopping => self.stop(),
                Some((shard, begun, answer)) = self.writes.next(), if !self.writes.is_empty() => {
                    self.written(shard, begun, answer);
                }
                listing = some(&mut self.read) => {
                    self.read = None;
                    self.listed(listing)?;
                }
                beaten = some(&mut self.beat) => {
                    self.beat = None;
                    match beaten {
                        Ok(()) => self.troubles.over("membership"),
                        Err(Failure::Conflict(_)) => {}
                        Err(error) => {
                            self.troubles.tell("membership", &error);
                            self.reconnect_after(&error);
                        }
                    }
                }
                Some(()) = self.notes.next(), if !self.notes.is_empty() => {}
                Some(event) = watch.next() => self.watched(event)?,
                () = permits.given_back(), if self.slots.iter().any(|slot| slot.giving.is_some()) => {}
                Ok(()) = able.changed() => {}
                _ = ticks.tick() => self.tick(),
            }
            self.assign();
            self.hand_over();
            self.begin_read();
            self.begin_beat();
            if self.is_over() {
                self.farewell().await;
                return Ok(());
            }
        }
    }

    fn watch(&self) -> BoxStream<'static, watcher::Result<watcher::Event<Object>>> {
        watcher(self.setup.leases.api(&self.client), Leases::watched()).default_backoff().boxed()
    }

    fn tick(&mut self) {
        for index in 0..self.slots.len() {
            self.step(index, Event::Tick);
        }
    }

    /// Takes a listing.
    fn listed(&mut self, listing: Result<Listing, Failure>) -> Result<(), LayoutError> {
        let listing = match listing {
            Ok(listing) => listing,
            Err(error) => {
                self.troubles.tell("list", &error);
                self.reconnect_after(&error);
                return Ok(());
            }
        };
        self.troubles.over("list");
        self.setup.reading.beat();
        layout::check(&listing.leases, self.setup.permits.shards())?;
        self.credit(&listing);
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index) else { continue };
            let (sight, object) = sight_in(&listing, slot.shard);
            slot.saw(object);
            self.step(index, Event::Read { sight, consistent: true });
        }
        self.membership.read(&listing);
        Ok(())
    }

    /// Counts the time that was seen, and finds out that the API server's data was set back.
    fn credit(&mut self, listing: &Listing) {
        let now = (self.setup.clock)();
        let since = now.since(self.listed);
        if since.longest <= self.setup.timing.read_gap() {
            self.watched += since.shortest;
        }
        self.listed = now;
        if listing.number >= self.newest {
            (self.newest, self.behind) = (listing.number, None);
            return;
        }
        // One answer may be late. For so long it is the truth: nothing that was known holds any more.
        let behind = *self.behind.get_or_insert(now);
        if now.since(behind).shortest >= self.setup.timing.duration {
            warn!("the API server's data was set back: the Leases are looked at anew");
            (self.newest, self.behind) = (listing.number, None);
            let Self { slots, setup, .. } = self;
            slots.iter_mut().for_each(|slot| slot.forget(now, setup));
            self.membership.forget();
        }
    }

    /// Takes an event of the watch. Its errors are its own: it begins again.
    fn watched(&mut self, event: watcher::Result<watcher::Event<Object>>) -> Result<(), LayoutError> {
        let (object, gone) = match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => (object, false),
            Ok(watcher::Event::Delete(object)) => (object, true),
            Ok(watcher::Event::Init) => return Ok(()),
            Ok(watcher::Event::InitDone) => {
                self.troubles.over("watch");
                return Ok(());
            }
            Err(error) => {
                self.troubles.tell("watch", &failure_of(error));
                return Ok(());
            }
        };
        if !gone {
            layout::check(std::slice::from_ref(&object), self.setup.permits.shards())?;
        }
        let named = |slot: &Slot| object.metadata.name.as_deref() == Some(&name_of(slot.shard));
        let Some(index) = self.slots.iter().position(named) else { return Ok(()) };
        let Some(Version { number, .. }) = version_of(&object) else { return Ok(()) };
        let sight = match record_of(&object) {
            Some(record) if !gone => Sight::There(record),
            _ => Sight::Absent(number),
        };
        if let Some(slot) = self.slots.get_mut(index) {
            slot.saw(Some(&object).filter(|_| !gone));
        }
        self.step(index, Event::Read { sight, consistent: false });
        Ok(())
    }

    /// Takes the answer to a write.
    fn written(&mut self, shard: Shard, begun: Instant, answer: Result<Object, Failure>) {
        self.setup.metrics.lease_written(begun.elapsed());
        let event = match &answer {
            Ok(object) => {
                self.troubles.over("update");
                version_of(object).map_or(Event::Unknown, Event::Written)
            }
            // That another one was faster is no trouble.
            Err(error @ Failure::Conflict(_)) => {
                debug!(%shard, %error, "a write to the shard's Lease");
                error.event()
            }
            Err(error) => {
                self.troubles.tell("update", error);
                self.reconnect_after(error);
                error.event()
            }
        };
        if let (Some(slot), Ok(object)) = (self.slots.get_mut(shard.index()), &answer) {
            slot.saw(Some(object));
        }
        self.step(shard.index(), event);
    }

    fn step(&mut self, index: usize, event: Event) {
        let Self { setup, slots, writes, client, .. } = self;
        let Some(slot) = slots.get_mut(index) else { return };
        let now = (setup.clock)();
        let facts =
            Now { elapsed: now.since(slot.stepped), wall: (setup.wall)(), jitter: JITTER.mul_f64(fastrand::f64()) };
        slot.stepped = now;
        let acknowledged = matches!(event, Event::Written(_));
        let effects = slot.lease.step(event, facts);
        self.read_wanted |= effects.read;
        if let Some(write) = effects.send {
            let before = slot.object.as_ref().filter(|_| write.base.is_some());
            let me = &setup.replica.identity;
            let object = written(slot.shard, setup.permits.shards(), me, &write, before, &setup.timing);
            let (leases, client, shard) = (setup.leases.clone(), client.clone(), slot.shard);
            let begun = Instant::now();
            writes.push(Box::pin(async move { (shard, begun, leases.put(&client, &object).await) }));
            if write.kind == WriteKind::Release {
                slot.ended("released", now, setup);
            }
        }
        if slot.tell(acknowledged, self.stopping, now, setup) {
            self.note(index);
        }
    }

    /// Writes an event about the Lease.
    fn note(&mut self, index: usize) {
        let Self { setup, slots, notes, client, .. } = self;
        let Some(object) = slots.get(index).and_then(|slot| slot.object.as_ref()) else { return };
        if notes.len() < NOTES {
            let note = notes::became_leader(client, object, &setup.replica, setup.timing.call_timeout);
            notes.push(Box::pin(note));
        }
    }

    /// Decides which shards this replica wants.
    fn assign(&mut self) {
        let now = (self.setup.clock)();
        let elapsed = now.since(self.assigned);
        if elapsed.longest < ASSIGN_PACE {
            return;
        }
        self.assigned = now;
        self.membership.pass(elapsed);
        let wishes = match self.stopping || !*self.setup.able.borrow() {
            true => vec![Assigned::Leave; self.slots.len()],
            false => {
                let me = &self.setup.replica.identity;
                let holdings: Vec<_> = self.slots.iter().map(|slot| slot.holding(me)).collect();
                let watched = std::mem::take(&mut self.watched);
                self.assigner.decide(&self.membership.members(), &holdings, watched)
            }
        };
        for (index, wish) in wishes.into_iter().enumerate() {
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.giving.is_none()) else { continue };
            let wish = match wish {
                Assigned::Claim | Assigned::Keep => Wish::Hold,
                Assigned::Leave => Wish::Leave,
                Assigned::Give => {
                    slot.giving = Some(now);
                    self.setup.permits.close(slot.shard);
                    Wish::Leave
                }
            };
            self.wish(index, wish);
        }
    }

    /// Lets go of what is to be handed over, once nothing of it runs.
    fn hand_over(&mut self) {
        for index in 0..self.slots.len() {
            let Some(slot) = self.slots.get_mut(index).filter(|slot| slot.giving.is_some()) else { continue };
            let wish = match self.setup.permits.drain(slot.shard) {
                Drain::Running if slot.lease.leadership().is_some() => Wish::Leave,
                Drain::Clean => Wish::Release,
                Drain::Tainted | Drain::Running => Wish::Abandon,
            };
            let over = slot.lease.is_let_go() || (wish == Wish::Abandon && slot.lease.leadership().is_none());
            if over && !self.stopping {
                slot.giving = None;
            }
            self.wish(index, wish);
        }
    }

    fn wish(&mut self, index: usize, wish: Wish) {
        if self.slots.get(index).is_some_and(|slot| slot.lease.wish() != wish) {
            self.step(index, Event::Wish(wish));
        }
    }

    /// Begins to hand everything over.
    fn stop(&mut self) {
        self.stopping = true;
        if let Some(mut own) = self.membership.own().cloned() {
            own.metadata.resource_version = None;
            let (leases, client) = (self.setup.leases.clone(), self.client.clone());
            self.beat = Some(Box::pin(async move { leases.delete(&client, &own).await }));
        }
        let now = (self.setup.clock)();
        for slot in &mut self.slots {
            slot.giving.get_or_insert(now);
            self.setup.permits.close(slot.shard);
        }
    }

    fn is_over(&self) -> bool {
        let gone = |slot: &Slot| slot.lease.is_let_go() || slot.lease.wish() == Wish::Abandon;
        self.stopping && self.beat.is_none() && self.slots.iter().all(gone)
    }

    /// Waits for events that are on their way, not for long.
    async fn farewell(mut self) {
        let all = async { while self.notes.next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, all).await;
    }

    fn begin_read(&mut self) {
        let now = (self.setup.clock)();
        let since = now.since(self.read_begun).longest;
        let due = since >= self.setup.timing.observe_interval || (self.read_wanted && since >= READ_PACE);
        if self.read.is_none() && due {
            self.read_begun = now;
            self.read_wanted = false;
            let (leases, client) = (self.setup.leases.clone(), self.client.clone());
            self.read = Some(Box::pin(async move { leases.list(&client).await }));
        }
    }

    /// Says that this replica is there, where others want to know.
    fn begin_beat(&mut self) {
        let now = (self.setup.clock)();
        let due = self.beat_begun.is_none_or(|begun| now.since(begun).longest >= self.setup.timing.renew_interval);
        if self.slots.len() < 2 || self.stopping || !*self.setup.able.borrow() || self.beat.is_some() || !due {
            return;
        }
        self.beat_begun = Some(now);
        if let Some(lease) = self.membership.beat((self.setup.wall)()) {
            let (leases, client) = (self.setup.leases.clone(), self.client.clone());
            self.beat = Some(Box::pin(async move { leases.put(&client, &lease).await.map(drop) }));
        }
    }

    /// A connection on which no answer came is not used again.
    fn reconnect_after(&mut self, error: &Failure) {
        let now = (self.setup.clock)();
        if !matches!(error, Failure::Unknown(_)) || now.since(self.reconnected).longest < RECONNECT_PACE {
            return;
        }
        if let Ok(client) = self.setup.leases.client() {
            (self.client, self.reconnected) = (client, now);
        }
    }
}

fn failure_of(error: watcher::Error) -> Failure {
    use watcher::Error::{InitialListFailed, WatchFailed, WatchStartFailed};
    match error {
        InitialListFailed(error) | WatchStartFailed(error) | WatchFailed(error) => error.into(),
        other => Failure::Unknown(other.to_string()),
    }
}

/// Completes when there is a future and it does.
async fn some<T>(future: &mut Option<BoxFuture<'static, T>>) -> T {
    match future {
        Some(future) => future.await,
        None => std::future::pending().await,
    }
}
