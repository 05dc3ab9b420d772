//! Which key runs when. Pure: it is told the time and the random numbers, and holds no client.
//!
//! One entry a key: the highest priority and the earliest due time that were asked for. A key that is
//! asked for while it runs runs again afterwards. What is due waits in its flow, which has its turns
//! with the others ([`super::flows`]); in a flow priorities share ([`super::lanes`]).

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

use super::{
    backoff::backoff,
    flow::{Calls, Flow, Priority},
    flows::{FlowView, Flows, Mode, Notice, load_of},
    lanes::Ticket,
    slots::{Limits, Slots},
    spread::Phase,
    token::Report,
};

pub mod view;

/// How long a key waits whose flow was throttled, before jitter: the flow's rate does the rest.
const AFTER_THROTTLE: Duration = Duration::from_secs(1);

/// Where and how a key runs.
#[derive(Clone, Debug, PartialEq)]
pub struct Terms {
    /// Its flow.
    pub flow: Flow,
    /// The most calls a second of the flow.
    pub rate: f64,
    /// What its runs call.
    pub calls: Calls,
    /// When in an interval it is polled.
    pub phase: Phase,
}

/// When to look at an object again, as its reconcile decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// As a regular look, after about this long: spread, and stretched where the flow is too slow for
    /// all its polls.
    Poll(Duration),
    /// After this long. As after a poll, failures so far are forgotten.
    After(Duration, Priority),
    /// After this long, as if it had not run.
    Again(Duration),
    /// After a backoff that grows with every failure in a row.
    Backoff,
    /// As soon as its flow allows: AWS has throttled the flow, which is not the key's fault.
    Throttled,
    /// When somebody asks for it.
    Wait,
    /// When somebody asks for it, as if it had not run.
    Resume,
}

/// A key that is to run now.
#[derive(Clone, Debug, PartialEq)]
pub struct Ready<K> {
    /// The key.
    pub key: K,
    /// What made it due.
    pub priority: Priority,
    /// How many runs in a row have failed before this one.
    pub failures: u32,
    /// Its flow.
    pub flow: Flow,
    /// How many AWS calls are paid for.
    pub reserved: u32,
    /// For how long AWS has not answered, where the run may call nobody.
    pub shut_for: Option<Duration>,
    /// How long it has been due.
    pub waited: Duration,
}

/// A run that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    /// What it decided.
    pub next: Next,
    /// How many of its reserved calls it has not made.
    pub unused: u32,
    /// A random number from 0 to 1.
    pub jitter: f64,
}

#[derive(Debug)]
struct Entry<K> {
    key: K,
    flow: usize,
    calls: Calls,
    phase: Phase,
    place: Place,
    /// That of the valid ticket.
    stamp: u64,
    failures: u32,
    /// When the next attempt after a failure is due: an earlier one does not count.
    backoff_until: Option<Instant>,
    /// What its polls load the flow with.
    load: u64,
    forgotten: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Idle,
    Due(Priority, Instant),
    Ready(Priority, Instant),
    Running(Running, Option<(Priority, Instant)>),
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Running {
    flow: usize,
    priority: Priority,
    mode: Mode,
    /// Whether it was due, so that a failure counts.
    counts: bool,
}

/// All entries.
#[derive(Debug)]
pub struct Scheduler<K> {
    /// Its hash is seeded, since tenants choose the names, and is asked at each step.
    ids: HashMap<K, usize, ahash::RandomState>,
    entries: Vec<Option<Entry<K>>>,
    free: Vec<usize>,
    flows: Flows,
    slots: Slots,
    due: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    waiting: usize,
    stamp: u64,
    epoch: Instant,
}

impl<K: Clone + Eq + Hash> Scheduler<K> {
    /// An empty scheduler, begun `now`.
    pub fn new(limits: Limits, now: Instant) -> Self {
        Self {
            ids: HashMap::default(),
            entries: Vec::new(),
            free: Vec::new(),
            flows: Flows::new(),
            slots: Slots::new(limits),
            due: BinaryHeap::new(),
            waiting: 0,
            stamp: 0,
            epoch: now,
        }
    }

    /// Asks for `key` at `at`, on `terms`. A change forgets earlier failures.
    pub fn add(&mut self, key: K, terms: &Terms, priority: Priority, at: Instant, now: Instant) {
        let known = self.ids.get(&key).copied();
        let before = known.and_then(|id| Some(self.entries.get(id)?.as_ref()?.flow));
        let flow = self.flows.id(&terms.flow, before, Some(terms.rate), now);
        let id = known.unwrap_or_else(|| self.insert(key, terms, flow));
        self.entry(id).into_iter().for_each(|entry| entry.forgotten = false);
        self.move_to(id, terms, flow, now);
        self.ask(id, priority, at, now);
    }

    /// Asks for a key that is known, at once and on the terms that it has. Whether it is.
    pub fn wake(&mut self, key: &K, priority: Priority, now: Instant) -> bool {
        let Some(id) = self.ids.get(key).copied() else { return false };
        let known = self.entry(id).is_some_and(|entry| !entry.forgotten);
        if known {
            self.ask(id, priority, now, now);
        }
        known
    }

    /// From now on a key that is known is run on `terms`.
    pub fn settle(&mut self, key: &K, terms: &Terms, now: Instant) {
        if let Some(id) = self.ids.get(key).copied() {
            let flow = self.flows.id(&terms.flow, None, Some(terms.rate), now);
            self.move_to(id, terms, flow, now);
        }
    }

    /// Forgets `key`; where it runs, when that has ended.
    pub fn remove(&mut self, key: &K) {
        let Some(id) = self.ids.get(key).copied() else { return };
        self.withdraw(id);
        let Some(entry) = self.entry(id) else { return };
        match &mut entry.place {
            Place::Running(_, again) => {
                *again = None;
                entry.forgotten = true;
            }
            _ => self.drop_entry(id),
        }
    }

    /// The next key to run, if one is due and may.
    pub fn pop(&mut self, now: Instant) -> Option<Ready<K>> {
        self.ripen(now);
        self.flows.wake(now);
        let Self { entries, flows, slots, .. } = self;
        let valid = |ticket: Ticket| is_valid(entries, ticket);
        let head = |priority, lanes: &super::lanes::Lanes| {
            let ticket = lanes.peek(priority, valid)?;
            Some(entries.get(ticket.slot)?.as_ref()?.calls)
        };
        let (flow_id, priority, reserved, mode) = flows.next(slots, head, now)?;
        let state = flows.get_mut(flow_id)?;
        let ticket = state.lanes.pop(priority, now, valid)?;
        state.running += 1;
        if mode == Mode::Probe {
            state.circuit.probe();
        }
        let since = state.circuit.open_since().filter(|_| mode == Mode::Tell);
        let flow = state.flow.clone();
        slots.take(&flow);
        let entry = entries.get_mut(ticket.slot)?.as_mut()?;
        let due_since = if let Place::Ready(_, since) = entry.place { since } else { now };
        let counts = entry.backoff_until.is_none_or(|until| until <= now);
        entry.place = Place::Running(Running { flow: flow_id, priority, mode, counts }, None);
        Some(Ready {
            key: entry.key.clone(),
            priority,
            failures: entry.failures,
            flow,
            reserved,
            shut_for: since.map(|since| now.saturating_duration_since(since)),
            waited: now.saturating_duration_since(due_since),
        })
    }

    /// A run of `key` has ended.
    pub fn finish(&mut self, key: &K, ended: Ended, now: Instant) {
        let Some(id) = self.ids.get(key).copied() else { return };
        let Some(entry) = self.entry(id) else { return };
        let Place::Running(run, again) = entry.place else { return };
        entry.place = Place::Idle;
        let forgotten = entry.forgotten;
        self.free_slot(run, ended.unused, now);
        if forgotten && again.is_none() {
            self.drop_entry(id);
            return;
        }
        let due = self.decide(id, run, ended, now);
        // Asked for while it ran: whichever is earlier, and the reconcile will decide anew.
        let both = again.into_iter().chain(due).reduce(|(a, at), (b, bt)| (a.min(b), at.min(bt)));
        if let Some((priority, at)) = both {
            self.list(id, priority, at, now);
        }
    }

    /// A flow hears how a call went.
    pub fn report(&mut self, flow: &Flow, report: Report, now: Instant) {
        self.flows.report(flow, report, now);
    }

    /// When [`pop`](Self::pop), which has just given nothing, may next have something, where nothing else
    /// happens.
    pub fn next_due(&self) -> Option<Instant> {
        if self.slots.are_full() {
            return None;
        }
        let due = self.due.peek().map(|Reverse((at, ..))| *at);
        [due, self.flows.next_wake()].into_iter().flatten().min()
    }

    /// What has happened to flows since the last time.
    pub fn notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.flows.notices)
    }

    /// All flows, for metrics.
    pub fn flows(&self) -> Vec<FlowView> {
        let mut due_since: HashMap<usize, [Option<Instant>; Priority::COUNT]> = HashMap::new();
        for entry in self.entries.iter().flatten() {
            if let Place::Ready(priority, since) = entry.place {
                let oldest = &mut due_since.entry(entry.flow).or_default()[priority.index()];
                *oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
            }
        }
        self.flows.views(|id| due_since.get(&id).copied().unwrap_or_default())
    }

    /// How many keys run.
    pub fn running(&self) -> usize {
        self.slots.held()
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    fn entry(&mut self, id: usize) -> Option<&mut Entry<K>> {
        self.entries.get_mut(id)?.as_mut()
    }

    fn insert(&mut self, key: K, terms: &Terms, flow: usize) -> usize {
        let entry = Entry {
            key: key.clone(),
            flow,
            calls: terms.calls,
            phase: terms.phase,
            place: Place::Idle,
            stamp: 0,
            failures: 0,
            backoff_until: None,
            load: 0,
            forgotten: false,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                self.entries.len() - 1
            }
        };
        self.ids.insert(key, id);
        self.flows.get_mut(flow).into_iter().for_each(|state| state.keys += 1);
        id
    }

    /// The terms of an entry are these from now on. One that is ready goes over to its new flow.
    fn move_to(&mut self, id: usize, terms: &Terms, flow: usize, now: Instant) {
        let Some(entry) = self.entry(id) else { return };
        (entry.calls, entry.phase) = (terms.calls, terms.phase);
        let before = entry.flow;
        if before == flow {
            return;
        }
        let place = entry.place;
        self.withdraw(id);
        let Some(entry) = self.entry(id) else { return };
        entry.flow = flow;
        let load = entry.load;
        self.flows.reload(before, load, 0);
        self.flows.reload(flow, 0, load);
        self.flows.get_mut(before).into_iter().for_each(|state| state.keys = state.keys.saturating_sub(1));
        self.flows.get_mut(flow).into_iter().for_each(|state| state.keys += 1);
        if let Place::Due(priority, at) | Place::Ready(priority, at) = place {
            self.list(id, priority, at, now);
        }
    }

    fn ask(&mut self, id: usize, priority: Priority, at: Instant, now: Instant) {
        let Some(entry) = self.entry(id) else { return };
        if priority == Priority::Change {
            (entry.failures, entry.backoff_until) = (0, None);
        }
        match &mut entry.place {
            Place::Idle => self.list(id, priority, at, now),
            Place::Running(_, again) => {
                let (before, due) = again.unwrap_or((priority, at));
                *again = Some((before.min(priority), due.min(at)));
            }
            Place::Due(before, due) | Place::Ready(before, due) => {
                let (raised, earlier) = ((*before).min(priority), (*due).min(at));
                // Asking once more for what is listed as it is would only lose it its place.
                if (raised, earlier) != (*before, *due) {
                    self.withdraw(id);
                    self.list(id, raised, earlier, now);
                }
            }
        }
    }

    /// Takes an idle entry up as due, or as ready where it is due already.
    fn list(&mut self, id: usize, priority: Priority, at: Instant, now: Instant) {
        self.stamp += 1;
        let stamp = self.stamp;
        let Some(entry) = self.entry(id) else { return };
        if at <= now {
            (entry.place, entry.stamp) = (Place::Ready(priority, at), stamp);
            let flow = entry.flow;
            self.flows.ready(flow, priority, Ticket { slot: id, stamp }, now);
            return;
        }
        (entry.place, entry.stamp) = (Place::Due(priority, at), stamp);
        self.due.push(Reverse((at, stamp, id)));
        self.waiting += 1;
        // Void tickets are dropped when their time comes, or when they are the most.
        if self.due.len() > 2 * self.waiting + 64 {
            let entries = &self.entries;
            self.due.retain(|Reverse((_, stamp, slot))| is_valid(entries, Ticket { slot: *slot, stamp: *stamp }));
        }
    }

    /// Takes an entry out of where it waits. One that runs stays.
    fn withdraw(&mut self, id: usize) {
        let Some(entry) = self.entry(id) else { return };
        let (flow, place) = (entry.flow, entry.place);
        if !matches!(place, Place::Running(..)) {
            (entry.place, entry.stamp) = (Place::Idle, 0);
        }
        match place {
            Place::Due(..) => self.waiting -= 1,
            Place::Ready(priority, _) => {
                let entries = &self.entries;
                if let Some(state) = self.flows.get_mut(flow) {
                    state.lanes.withdraw(priority, |ticket| is_valid(entries, ticket));
                }
            }
            Place::Idle | Place::Running(..) => {}
        }
    }

    fn drop_entry(&mut self, id: usize) {
        let Some(entry) = self.entries.get_mut(id).and_then(Option::take) else { return };
        self.flows.reload(entry.flow, entry.load, 0);
        self.flows.get_mut(entry.flow).into_iter().for_each(|state| state.keys = state.keys.saturating_sub(1));
        self.ids.remove(&entry.key);
        self.free.push(id);
    }

    /// What is due becomes ready.
    fn ripen(&mut self, now: Instant) {
        while let Some(Reverse((at, stamp, id))) = self.due.peek().copied() {
            if at > now {
                return;
            }
            self.due.pop();
            let Some(entry) = self.entry(id).filter(|entry| entry.stamp == stamp) else { continue };
            let Place::Due(priority, at) = entry.place else { continue };
            entry.place = Place::Ready(priority, at);
            let flow = entry.flow;
            self.waiting -= 1;
            self.flows.ready(flow, priority, Ticket { slot: id, stamp }, now);
        }
    }

    fn free_slot(&mut self, run: Running, unused: u32, now: Instant) {
        if let Some(state) = self.flows.get_mut(run.flow) {
            state.running = state.running.saturating_sub(1);
            state.limiter.give_back(unused, now);
            if run.mode == Mode::Probe {
                state.circuit.probe_ended(now);
            }
            self.slots.give_back(&state.flow);
        }
        self.flows.unblock();
        self.flows.activate(run.flow);
    }

    /// When and as what the entry is due after its run, where nobody has asked for it meanwhile.
    fn decide(&mut self, id: usize, run: Running, ended: Ended, now: Instant) -> Option<(Priority, Instant)> {
        let (epoch, jitter) = (self.epoch, ended.jitter.clamp(0.0, 1.0));
        let entry = self.entry(id)?;
        if !matches!(ended.next, Next::Backoff | Next::Throttled | Next::Again(_) | Next::Resume) {
            (entry.failures, entry.backoff_until) = (0, None);
        }
        let (flow, calls, phase, old) = (entry.flow, entry.calls, entry.phase, entry.load);
        // What goes on being polled when this is over still counts.
        let unchanged = matches!(ended.next, Next::Backoff | Next::Throttled | Next::Again(_) | Next::Resume);
        let mut load = if unchanged { old } else { 0 };
        let due = match ended.next {
            Next::Poll(wished) => {
                load = load_of(calls.poll, wished);
                self.flows.reload(flow, old, load);
                let stretched = wished.mul_f64(self.flows.stretch(flow));
                Some((Priority::Poll, phase.next(epoch, now, stretched)))
            }
            Next::After(pause, priority) => Some((priority, now + pause)),
            // It has told that AWS does not answer, and waits for that with the others.
            Next::Backoff if run.mode == Mode::Tell => Some((Priority::Progress, now)),
            Next::Backoff => {
                if run.counts {
                    entry.failures = entry.failures.saturating_add(1);
                    entry.backoff_until = Some(now + backoff(entry.failures).mul_f64(jitter));
                }
                let until = entry.backoff_until.unwrap_or(now).max(now);
                Some((Priority::Progress, until))
            }
            Next::Again(pause) => Some((run.priority, now + pause)),
            Next::Throttled => Some((run.priority, now + AFTER_THROTTLE.mul_f64(jitter))),
            Next::Wait | Next::Resume => None,
        };
        if !matches!(ended.next, Next::Poll(_)) {
            self.flows.reload(flow, old, load);
        }
        self.entry(id)?.load = load;
        due
    }
}

fn is_valid<K>(entries: &[Option<Entry<K>>], Ticket { slot, stamp }: Ticket) -> bool {
    entries.get(slot).and_then(Option::as_ref).is_some_and(|entry| entry.stamp == stamp && stamp != 0)
}
