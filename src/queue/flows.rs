//! What the scheduler keeps of each flow, and whose turn it is: deficit round-robin over the flows
//! that have something ready and may run it. Pure.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap, VecDeque},
    time::{Duration, Instant},
};

use super::{
    circuit::{Circuit, Passage, Turn},
    flow::{Calls, Flow, Priority},
    lanes::{Lanes, Ticket},
    limiter::Limiter,
    scheduler::view::Hold,
    slots::Slots,
    token::{Answer, Report},
};

/// How many calls a flow may make before the next one has its turn: no run reserves more.
pub const QUANTUM: u32 = 4;
/// How much of a flow's rate polls may take.
const POLL_SHARE: f64 = 0.8;
/// How many times more than the ceiling would need polls are stretched at most; the limiter holds back the
/// rest.
const STRETCH_LIMIT: f64 = 4.0;
/// A flow without keys is forgotten after this long, with what its limiter has learned.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(600);
/// Flows that are kept in any case.
const KEPT: usize = 64;
/// The ceiling of a flow that nobody has given one.
const NO_CEILING: f64 = 10_000.0;
/// Loads are counted in millionths of a call a second, so that adding them up is exact.
const MICRO: f64 = 1e6;

/// One flow.
#[derive(Debug)]
pub(super) struct FlowState {
    pub(super) flow: Flow,
    pub(super) limiter: Limiter,
    pub(super) circuit: Circuit,
    pub(super) lanes: Lanes,
    /// How many of its keys run.
    pub(super) running: usize,
    /// How many keys it has.
    pub(super) keys: usize,
    /// What its polls would call at the wished intervals.
    load: u64,
    /// By how much polls are stretched, as was last told.
    stretch: f64,
    deficit: u32,
    place: Place,
    used: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Nothing is ready.
    Idle,
    /// It has its turns.
    Active,
    /// It waits for its rate, its circuit or a probe.
    Parked(u64),
    /// It waits for a slot.
    Blocked,
}

/// What a flow offers at its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// A run of this priority, with so many calls reserved.
    Run { priority: Priority, reserved: u32, mode: Mode },
    /// Nothing yet: the others go first.
    Later,
    /// Nothing before something happens.
    Leave(Leave),
}

/// Why a flow gives up its turns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    Empty,
    NoSlot,
    Until(Option<Instant>),
}

/// What a run is to its flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// One of many.
    Normal,
    /// The one that finds out whether AWS answers again.
    Probe,
    /// It may not call: it only says that AWS does not answer.
    Tell,
}

/// Something about a flow that is worth a log line.
#[derive(Clone, Debug, PartialEq)]
pub enum Notice {
    /// AWS does not answer: the flow is probed only.
    Opened(Flow),
    /// AWS answers again, after so long.
    Closed(Flow, Duration),
    /// Polls are stretched by this factor, since they would call more than the flow's rate; 1 is the
    /// wished interval again.
    Stretched(Flow, f64),
}

/// A flow as metrics show it.
#[derive(Clone, Debug)]
pub struct FlowView {
    /// The flow.
    pub flow: Flow,
    /// Ready keys by priority.
    pub ready: [usize; Priority::COUNT],
    /// Since when the one of them that has been due longest has been due, by priority.
    pub due_since: [Option<Instant>; Priority::COUNT],
    /// Running keys.
    pub running: usize,
    /// Calls a second.
    pub rate: f64,
    /// The most calls a second.
    pub ceiling: f64,
    /// Whether the circuit is open.
    pub open: bool,
    /// By how much polls are stretched.
    pub stretch: f64,
}

/// All flows.
#[derive(Debug)]
pub(super) struct Flows {
    ids: HashMap<Flow, usize>,
    states: Vec<Option<FlowState>>,
    active: VecDeque<usize>,
    blocked: Vec<usize>,
    parked: BinaryHeap<Reverse<(Instant, u64, usize)>>,
    stamp: u64,
    pub(super) notices: Vec<Notice>,
}

impl FlowState {
    fn new(flow: Flow, rate: f64, now: Instant) -> Self {
        Self {
            flow,
            limiter: Limiter::new(rate, now),
            circuit: Circuit::default(),
            lanes: Lanes::new(now),
            running: 0,
            keys: 0,
            load: 0,
            stretch: 1.0,
            deficit: 0,
            place: Place::Idle,
            used: now,
        }
    }

    /// What it offers at its turn. A run is taken from the limiter.
    fn offer(&mut self, slots: &Slots, calls: impl Fn(Priority, &Lanes) -> Option<Calls>, now: Instant) -> Offer {
        let Some(turn) = self.lanes.turn(now) else { return Offer::Leave(Leave::Empty) };
        let (mode, priority) = match self.circuit.passage(now) {
            Passage::Free => (Mode::Normal, turn),
            Passage::Probe => (Mode::Probe, turn),
            // Those who wait for a change are told why nothing happens.
            Passage::Shut(_) if self.lanes.len_of(Priority::Change) > 0 => (Mode::Tell, Priority::Change),
            Passage::Shut(until) => return Offer::Leave(Leave::Until(until)),
        };
        if !slots.allow(&self.flow, self.running, mode == Mode::Normal) {
            return Offer::Leave(Leave::NoSlot);
        }
        let Some(calls) = calls(priority, &self.lanes) else { return Offer::Leave(Leave::Empty) };
        let cost = calls.of(priority).clamp(1, QUANTUM);
        if self.deficit < cost {
            self.deficit += QUANTUM;
            return Offer::Later;
        }
        let reserved = if mode == Mode::Tell { 0 } else { calls.of(priority).min(QUANTUM) };
        if let Err(at) = self.limiter.take(reserved, now) {
            return Offer::Leave(Leave::Until(Some(at)));
        }
        self.deficit -= cost;
        Offer::Run { priority, reserved, mode }
    }

    /// What its ready keys wait for.
    pub(super) fn hold(&self) -> Hold {
        match self.place {
            _ if self.circuit.open_since().is_some() => Hold::Circuit,
            Place::Parked(_) => Hold::Token,
            Place::Blocked => Hold::Slot,
            Place::Active | Place::Idle => Hold::Turn,
        }
    }

    /// By how much polls are to be stretched.
    pub(super) fn stretch(&self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "far below 2^53")]
        let wished = self.load as f64 / MICRO;
        // What is scheduled stays scheduled: a rate that is low for a while must not blind for hours.
        let rate = self.limiter.sustainable().max(self.limiter.ceiling() / STRETCH_LIMIT);
        (wished / (POLL_SHARE * rate)).max(1.0)
    }
}

impl Flows {
    pub(super) fn new() -> Self {
        Self {
            ids: HashMap::new(),
            states: Vec::new(),
            active: VecDeque::new(),
            blocked: Vec::new(),
            parked: BinaryHeap::new(),
            stamp: 0,
            notices: Vec::new(),
        }
    }

    /// The flow's id, which is probably `guess`, with `rate` as its ceiling where that is given.
    pub(super) fn id(&mut self, flow: &Flow, guess: Option<usize>, rate: Option<f64>, now: Instant) -> usize {
        let guessed = guess.filter(|id| self.get(*id).is_some_and(|state| state.flow == *flow));
        if let Some(id) = guessed.or_else(|| self.ids.get(flow).copied()) {
            if let (Some(rate), Some(state)) = (rate, self.get_mut(id))
                && (state.limiter.ceiling() - rate).abs() > f64::EPSILON
            {
                state.limiter.set_ceiling(rate, now);
            }
            return id;
        }
        self.forget_unused(now);
        let state = FlowState::new(flow.clone(), rate.unwrap_or(NO_CEILING), now);
        let id = match self.states.iter().position(Option::is_none) {
            Some(free) => {
                self.states[free] = Some(state);
                free
            }
            None => {
                self.states.push(Some(state));
                self.states.len() - 1
            }
        };
        self.ids.insert(flow.clone(), id);
        id
    }

    pub(super) fn get(&self, id: usize) -> Option<&FlowState> {
        self.states.get(id)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, id: usize) -> Option<&mut FlowState> {
        self.states.get_mut(id)?.as_mut()
    }

    /// Something of the flow became ready, or may run now.
    pub(super) fn activate(&mut self, id: usize) {
        let Some(state) = self.get_mut(id) else { return };
        let (before, ready) = (state.place, !state.lanes.is_empty());
        if before == Place::Active {
            return;
        }
        state.place = if ready { Place::Active } else { Place::Idle };
        if before == Place::Blocked {
            self.blocked.retain(|other| *other != id);
        }
        if ready {
            self.active.push_back(id);
        }
    }

    /// A key of `priority` became ready.
    pub(super) fn ready(&mut self, id: usize, priority: Priority, ticket: Ticket, now: Instant) {
        let Some(state) = self.get_mut(id) else { return };
        state.lanes.push(priority, ticket, now);
        let told = priority == Priority::Change && state.circuit.open_since().is_some();
        match state.place {
            Place::Active | Place::Blocked => {}
            Place::Parked(_) if !told => {}
            Place::Idle | Place::Parked(_) => self.activate(id),
        }
    }

    /// Slots became free.
    pub(super) fn unblock(&mut self) {
        for id in std::mem::take(&mut self.blocked) {
            if let Some(state) = self.get_mut(id) {
                state.place = Place::Active;
                self.active.push_back(id);
            }
        }
    }

    /// Wakes the flows whose wait is over.
    pub(super) fn wake(&mut self, now: Instant) {
        while let Some(Reverse((at, stamp, id))) = self.parked.peek().copied() {
            if at > now {
                return;
            }
            self.parked.pop();
            if self.get(id).is_some_and(|state| state.place == Place::Parked(stamp)) {
                self.activate(id);
            }
        }
    }

    /// When the next flow's wait is over, at the earliest.
    pub(super) fn next_wake(&self) -> Option<Instant> {
        self.parked.peek().map(|Reverse((at, ..))| *at)
    }

    /// The next run, and whose it is. `calls` says what the flow's next key of a priority calls.
    pub(super) fn next(
        &mut self,
        slots: &Slots,
        calls: impl Fn(Priority, &Lanes) -> Option<Calls>,
        now: Instant,
    ) -> Option<(usize, Priority, u32, Mode)> {
        // Each visit serves a flow, takes it out, or gives it what it needs at the next one.
        for _ in 0..=2 * self.active.len() {
            if slots.are_full() {
                return None;
            }
            let id = *self.active.front()?;
            let Some(state) = self.get_mut(id) else {
                self.active.pop_front();
                continue;
            };
            match state.offer(slots, &calls, now) {
                Offer::Run { priority, reserved, mode } => return Some((id, priority, reserved, mode)),
                Offer::Later => self.active.rotate_left(1),
                Offer::Leave(why) => {
                    self.active.pop_front();
                    self.leave(id, why);
                }
            }
        }
        None
    }

    fn leave(&mut self, id: usize, why: Leave) {
        self.stamp += 1;
        let stamp = self.stamp;
        let Some(state) = self.get_mut(id) else { return };
        state.place = match why {
            Leave::Empty => Place::Idle,
            Leave::NoSlot => Place::Blocked,
            Leave::Until(_) => Place::Parked(stamp),
        };
        match why {
            Leave::Empty => state.deficit = 0,
            Leave::NoSlot => self.blocked.push(id),
            Leave::Until(Some(at)) => self.parked.push(Reverse((at, stamp, id))),
            // What ends the probe activates it.
            Leave::Until(None) => {}
        }
    }

    /// The flow hears how a call went.
    pub(super) fn report(&mut self, flow: &Flow, report: Report, now: Instant) {
        let id = self.id(flow, None, None, now);
        let Some(state) = self.get_mut(id) else { return };
        state.used = now;
        let since = state.circuit.open_since();
        let turn = match report {
            Report::Unreserved => {
                state.limiter.charge();
                None
            }
            Report::Ended(Answer::Given) => state.circuit.answered(),
            Report::Ended(Answer::Throttled(pause)) => {
                state.limiter.throttled(pause, now);
                state.circuit.answered()
            }
            Report::Ended(Answer::Missed) => state.circuit.missed(now),
        };
        match turn {
            Some(Turn::Opened) => self.notices.push(Notice::Opened(flow.clone())),
            Some(Turn::Closed) => {
                let after = now.saturating_duration_since(since.unwrap_or(now));
                self.notices.push(Notice::Closed(flow.clone(), after));
                self.activate(id);
            }
            None => {}
        }
    }

    /// A key's polls load the flow with `new` instead of `old`.
    pub(super) fn reload(&mut self, id: usize, old: u64, new: u64) {
        if let Some(state) = self.get_mut(id) {
            state.load = state.load.saturating_sub(old).saturating_add(new);
        }
    }

    /// By how much polls of the flow are stretched now; tells where that is news.
    pub(super) fn stretch(&mut self, id: usize) -> f64 {
        let Some(state) = self.get_mut(id) else { return 1.0 };
        let (before, now) = (state.stretch, state.stretch());
        let news = match (before > 1.0, now >= 1.1) {
            (false, stretched) => stretched,
            (true, false) => now <= 1.0,
            (true, true) => now > before * 1.5 || now < before / 1.5,
        };
        if news {
            state.stretch = now;
            let notice = Notice::Stretched(state.flow.clone(), now);
            self.notices.push(notice);
        }
        now
    }

    /// All flows that have keys; `due_since` says of a flow since when keys have been due.
    pub(super) fn views(&self, due_since: impl Fn(usize) -> [Option<Instant>; Priority::COUNT]) -> Vec<FlowView> {
        let view = |(id, state): (usize, &FlowState)| FlowView {
            flow: state.flow.clone(),
            ready: Priority::ALL.map(|priority| state.lanes.len_of(priority)),
            due_since: due_since(id),
            running: state.running,
            rate: state.limiter.rate(),
            ceiling: state.limiter.ceiling(),
            open: state.circuit.open_since().is_some(),
            stretch: state.stretch(),
        };
        let in_use = |(_, state): &(usize, &FlowState)| state.keys > 0 || state.running > 0;
        let states = self.states.iter().enumerate().filter_map(|(id, state)| Some((id, state.as_ref()?)));
        states.filter(in_use).map(view).collect()
    }

    fn forget_unused(&mut self, now: Instant) {
        if self.ids.len() < KEPT {
            return;
        }
        for state in &mut self.states {
            let unused = state.as_ref().is_some_and(|state| {
                state.keys == 0
                    && state.running == 0
                    && state.place == Place::Idle
                    && now.saturating_duration_since(state.used) > FORGOTTEN_AFTER
            });
            if unused && let Some(state) = state.take() {
                self.ids.remove(&state.flow);
            }
        }
    }
}

/// The load of one key that is polled at `interval`, in millionths of a call a second.
pub(super) fn load_of(calls: u32, interval: Duration) -> u64 {
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
    let load = (f64::from(calls) * MICRO / interval.as_secs_f64().max(0.001)) as u64;
    load
}
