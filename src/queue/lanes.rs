//! The ready keys of one flow: a lane a priority, each with its share of the flow. Pure.
//!
//! A lane's turn comes by weighted fair queueing: of the lanes that hold something, the one whose next
//! key would be through first if all were served at once, each by its weight. A lane that was empty
//! starts level with the others, so that a change which comes while polls are served goes next. One that has waited [`PATIENCE`] without a turn goes first.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::flow::Priority;

/// The longest that a lane waits for its turn while its flow has turns at all.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// What a turn costs a lane of weight 1: divisible by all weights.
const STRIDE: u64 = 8;

/// A key's ticket: void as soon as the key is elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The key's entry.
    pub slot: usize,
    /// Which of the entry's tickets.
    pub stamp: u64,
}

/// The lanes of a flow.
#[derive(Clone, Debug)]
pub struct Lanes {
    lanes: [Lane; Priority::COUNT],
    /// The pass of the last turn.
    pass: u64,
}

#[derive(Clone, Debug)]
struct Lane {
    tickets: VecDeque<Ticket>,
    /// How many of them are valid.
    live: usize,
    pass: u64,
    /// When it last had a turn, or got its first ticket.
    turn: Instant,
}

impl Lanes {
    /// All empty.
    pub fn new(now: Instant) -> Self {
        let lane = || Lane { tickets: VecDeque::new(), live: 0, pass: 0, turn: now };
        Self { lanes: Priority::ALL.map(|_| lane()), pass: 0 }
    }

    /// How many keys are ready.
    pub fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.live).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.live == 0)
    }

    /// How many keys of `priority` are ready.
    pub fn len_of(&self, priority: Priority) -> usize {
        self.lanes[priority.index()].live
    }

    /// A key becomes ready.
    pub fn push(&mut self, priority: Priority, ticket: Ticket, now: Instant) {
        let pass = self.pass;
        let lane = &mut self.lanes[priority.index()];
        if lane.live == 0 {
            lane.tickets.clear();
            lane.pass = lane.pass.max(pass);
            lane.turn = now;
        }
        lane.tickets.push_back(ticket);
        lane.live += 1;
    }

    /// A key is ready no more: its ticket is void. `valid` says which tickets are not.
    pub fn withdraw(&mut self, priority: Priority, valid: impl Fn(Ticket) -> bool) {
        let lane = &mut self.lanes[priority.index()];
        lane.live = lane.live.saturating_sub(1);
        // Void tickets are dropped when their turn comes, or when they are the most.
        if lane.tickets.len() > 2 * lane.live + 16 {
            lane.tickets.retain(|ticket| valid(*ticket));
        }
    }

    /// The priority whose turn it is.
    pub fn turn(&self, now: Instant) -> Option<Priority> {
        let waiting = || Priority::ALL.into_iter().filter(|priority| self.lanes[priority.index()].live > 0);
        let waited = |priority: &Priority| now.saturating_duration_since(self.lanes[priority.index()].turn);
        let forgotten = waiting().filter(|priority| waited(priority) >= PATIENCE).max_by_key(waited);
        forgotten.or_else(|| waiting().min_by_key(|priority| self.lanes[priority.index()].pass + stride(*priority)))
    }

    /// The first valid ticket of `priority`.
    pub fn peek(&self, priority: Priority, valid: impl Fn(Ticket) -> bool) -> Option<Ticket> {
        self.lanes[priority.index()].tickets.iter().copied().find(|ticket| valid(*ticket))
    }

    /// The first valid ticket of `priority`, which has its turn with it.
    pub fn pop(&mut self, priority: Priority, now: Instant, valid: impl Fn(Ticket) -> bool) -> Option<Ticket> {
        let lane = &mut self.lanes[priority.index()];
        let ticket = loop {
            let ticket = lane.tickets.pop_front()?;
            if valid(ticket) {
                break ticket;
            }
        };
        lane.live = lane.live.saturating_sub(1);
        lane.turn = now;
        self.pass = self.pass.max(lane.pass);
        lane.pass += stride(priority);
        Some(ticket)
    }
}

/// What a turn costs a lane.
fn stride(priority: Priority) -> u64 {
    STRIDE / u64::from(priority.weight())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(counts: [usize; 4], now: Instant) -> Lanes {
        let mut lanes = Lanes::new(now);
        for (priority, count) in Priority::ALL.into_iter().zip(counts) {
            (0..count).for_each(|slot| lanes.push(priority, Ticket { slot, stamp: 0 }, now));
        }
        lanes
    }

    fn next(lanes: &mut Lanes, now: Instant) -> Option<Priority> {
        let priority = lanes.turn(now)?;
        lanes.pop(priority, now, |_| true).map(|_| priority)
    }

    #[test]
    fn weights_hold() {
        let now = Instant::now();
        let mut lanes = filled([900; 4], now);
        let mut turns = [0; 4];
        (0..1_500).for_each(|_| turns[next(&mut lanes, now).unwrap().index()] += 1);
        assert_eq!(turns, [800, 400, 200, 100]);
        let mut lanes = filled([0, 0, 900, 900], now);
        let mut turns = [0; 4];
        (0..300).for_each(|_| turns[next(&mut lanes, now).unwrap().index()] += 1);
        assert_eq!(turns, [0, 0, 200, 100]);
    }

    #[test]
    fn a_change_that_comes_while_polls_are_served_goes_next() {
        let now = Instant::now();
        let mut lanes = filled([0, 0, 5_000, 5_000], now);
        for round in 0..1_000 {
            // Changes that come all the time have their share, and no more.
            (0..1 + round % 7).for_each(|_| assert!(next(&mut lanes, now).is_some()));
            lanes.push(Priority::Change, Ticket { slot: 0, stamp: 0 }, now);
            assert_eq!(next(&mut lanes, now), Some(Priority::Change), "round {round}");
        }
    }

    #[test]
    fn a_lane_that_has_waited_long_goes_first_once() {
        let now = Instant::now();
        let mut lanes = filled([100, 0, 0, 100], now);
        let late = now + PATIENCE - Duration::from_secs(1);
        for at in [now, late, late] {
            assert_eq!(next(&mut lanes, at), Some(Priority::Change));
        }
        let later = now + PATIENCE;
        assert_eq!(next(&mut lanes, later), Some(Priority::Startup));
        assert_eq!(next(&mut lanes, later), Some(Priority::Change));
    }

    #[test]
    fn void_tickets_are_skipped_and_do_not_pile_up() {
        let now = Instant::now();
        let mut lanes = Lanes::new(now);
        let valid = |ticket: Ticket| ticket.stamp == 9_999;
        for stamp in 0..10_000 {
            lanes.push(Priority::Poll, Ticket { slot: 1, stamp }, now);
            if stamp < 9_999 {
                lanes.withdraw(Priority::Poll, valid);
            }
        }
        assert_eq!(lanes.len(), 1);
        assert!(lanes.lanes[Priority::Poll.index()].tickets.len() < 100);
        assert_eq!(lanes.pop(Priority::Poll, now, valid), Some(Ticket { slot: 1, stamp: 9_999 }));
        assert!(lanes.is_empty());
    }
}
