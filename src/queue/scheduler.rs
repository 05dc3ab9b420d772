//! Which entry runs when. Pure: it is told the time and the random numbers, and holds no client.
//!
//! One entry a key: the highest priority and the earliest due time that were asked for. A key that
//! is asked for while it runs runs again afterwards, as soon as it was asked for. Failures back off
//! from 1 s to 5 min with full jitter; a change of the object starts afresh.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
    time::{Duration, Instant},
};

/// The backoff after the first failure, before jitter.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// The longest backoff, before jitter.
pub const BACKOFF_LAST: Duration = Duration::from_secs(300);

/// What makes an object due; the first goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Its spec changed, or it is being deleted.
    Change,
    /// Something that it waits for may have happened.
    Progress,
    /// It is time to look at its resource again.
    Poll,
    /// It was found when the process started.
    Startup,
}

/// When to look at an object again, as its reconcile decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// After this long; failures so far are forgotten.
    After(Duration, Priority),
    /// After a backoff that grows with every failure in a row.
    Backoff,
    /// When somebody asks for it.
    Wait,
}

/// A key that is to run now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ready<K> {
    /// The key.
    pub key: K,
    /// How many runs in a row have failed before this one.
    pub failures: u32,
}

/// What goes first: of what is only due, whatever has been due longest, or a slow start would never
/// get past the polls of what has started.
fn rank(priority: Priority) -> Priority {
    match priority {
        Priority::Startup => Priority::Poll,
        other => other,
    }
}

#[derive(Debug)]
struct Entry {
    priority: Priority,
    due: Option<Instant>,
    running: bool,
    failures: u32,
}

/// All entries.
#[derive(Debug)]
pub struct Scheduler<K> {
    entries: HashMap<K, Entry>,
    due: BTreeSet<(Instant, K)>,
    ready: BTreeSet<(Priority, Instant, K)>,
    running: usize,
    limit: usize,
}

/// The longest wait before the attempt after `failures` failures in a row, from 1.
pub fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    (BACKOFF_FIRST * 2_u32.pow(doublings)).min(BACKOFF_LAST)
}

impl<K: Clone + Eq + Hash + Ord> Scheduler<K> {
    /// An empty scheduler that lets `limit` keys run at once.
    pub fn new(limit: usize) -> Self {
        Self { entries: HashMap::new(), due: BTreeSet::new(), ready: BTreeSet::new(), running: 0, limit: limit.max(1) }
    }

    /// Asks for `key` at `at`. A change forgets earlier failures.
    pub fn add(&mut self, key: K, priority: Priority, at: Instant) {
        let entry =
            self.entries.entry(key.clone()).or_insert(Entry { priority, due: None, running: false, failures: 0 });
        if priority == Priority::Change {
            entry.failures = 0;
        }
        let (old_priority, old_due) = (entry.priority, entry.due);
        entry.priority = if old_due.is_some() { old_priority.min(priority) } else { priority };
        entry.due = Some(old_due.map_or(at, |due| due.min(at)));
        if !entry.running {
            let due = entry.due;
            self.unlist(&key, old_priority, old_due);
            self.due.extend(due.map(|due| (due, key)));
        }
    }

    /// Forgets `key`. Where it runs, it may be run once more, as its run says.
    pub fn remove(&mut self, key: &K) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        let (priority, due) = (entry.priority, entry.due.take());
        if entry.running {
            return;
        }
        self.entries.remove(key);
        self.unlist(key, priority, due);
    }

    /// The next key to run, if one is due and fewer than the limit run.
    pub fn pop(&mut self, now: Instant) -> Option<Ready<K>> {
        while self.due.first().is_some_and(|(due, _)| *due <= now) {
            let (due, key) = self.due.pop_first()?;
            let priority = self.entries.get(&key)?.priority;
            self.ready.insert((rank(priority), due, key));
        }
        if self.running >= self.limit {
            return None;
        }
        let (_, _, key) = self.ready.pop_first()?;
        let entry = self.entries.get_mut(&key)?;
        entry.due = None;
        entry.running = true;
        self.running += 1;
        Some(Ready { failures: entry.failures, key })
    }

    /// A run of `key` has ended. `jitter` is a random number from 0 to 1.
    pub fn finish(&mut self, key: &K, next: Next, now: Instant, jitter: f64) {
        let Some(entry) = self.entries.get_mut(key).filter(|entry| entry.running) else { return };
        entry.running = false;
        self.running -= 1;
        let asked = entry.due.take();
        match next {
            Next::After(..) | Next::Wait => entry.failures = 0,
            Next::Backoff => entry.failures = entry.failures.saturating_add(1),
        }
        let (failures, asked_priority) = (entry.failures, entry.priority);
        match (asked, next) {
            // Asked for while it ran: that goes first, and the reconcile will decide anew.
            (Some(at), _) => self.list(key, asked_priority, at),
            (None, Next::After(pause, priority)) => self.list(key, priority, now + pause),
            (None, Next::Backoff) => {
                self.list(key, Priority::Progress, now + backoff(failures).mul_f64(jitter.clamp(0.0, 1.0)));
            }
            (None, Next::Wait) => {
                self.entries.remove(key);
            }
        }
    }

    /// When [`pop`](Self::pop) may next have something, if no key runs into the limit.
    pub fn next_due(&self) -> Option<Instant> {
        if self.running >= self.limit {
            return None;
        }
        let ready = self.ready.first().map(|(_, due, _)| *due);
        ready.or_else(|| self.due.first().map(|(due, _)| *due))
    }

    /// How many keys run.
    pub fn running(&self) -> usize {
        self.running
    }

    fn list(&mut self, key: &K, priority: Priority, due: Instant) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.priority = priority;
            entry.due = Some(due);
            self.due.insert((due, key.clone()));
        }
    }

    fn unlist(&mut self, key: &K, priority: Priority, due: Option<Instant>) {
        if let Some(due) = due {
            self.due.remove(&(due, key.clone()));
            self.ready.remove(&(rank(priority), due, key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_highest_priority_goes_first_then_the_earliest() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(8);
        scheduler.add("poll", Priority::Poll, now);
        scheduler.add("late", Priority::Change, now + SECOND);
        scheduler.add("change", Priority::Change, now);
        scheduler.add("raised", Priority::Startup, now);
        scheduler.add("raised", Priority::Change, now + SECOND);
        let order: Vec<_> = std::iter::from_fn(|| scheduler.pop(now)).map(|ready| ready.key).collect();
        assert_eq!(order, ["change", "raised", "poll"]);
        assert_eq!(scheduler.next_due(), Some(now + SECOND));
    }

    #[test]
    fn asked_for_while_running_runs_again_and_only_then() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(8);
        scheduler.add("a", Priority::Change, now);
        assert!(scheduler.pop(now).is_some());
        scheduler.add("a", Priority::Change, now);
        assert_eq!(scheduler.pop(now), None);
        scheduler.finish(&"a", Next::After(SECOND, Priority::Poll), now, 0.5);
        assert_eq!(scheduler.pop(now).map(|ready| ready.key), Some("a"));
    }

    #[test]
    fn what_was_found_at_the_start_is_not_starved_by_polls() {
        let start = Instant::now();
        let mut scheduler = Scheduler::new(1);
        let starting = ["s0", "s1", "s2", "s3"];
        starting.into_iter().for_each(|key| scheduler.add(key, Priority::Startup, start));
        // At any time another poll is due: of those, none may pass what was due before it.
        for poll in ["p0", "p1", "p2", "p3"] {
            scheduler.add(poll, Priority::Poll, start + SECOND);
        }
        let mut order = Vec::new();
        for second in 1..=8 {
            let now = start + SECOND * second;
            let key = scheduler.pop(now).unwrap().key;
            order.push(key);
            scheduler.finish(&key, Next::After(SECOND, Priority::Poll), now, 0.5);
        }
        assert_eq!(order[..4], starting, "{order:?}");
        scheduler.add("c", Priority::Change, start + SECOND * 9);
        assert_eq!(scheduler.pop(start + SECOND * 9).unwrap().key, "c", "a change goes first all the same");
    }

    #[test]
    fn failures_back_off_and_a_change_forgets_them() {
        let now = Instant::now();
        let mut scheduler = Scheduler::new(8);
        scheduler.add("a", Priority::Change, now);
        let mut at = now;
        for failures in 0..12 {
            let ready = scheduler.pop(at).unwrap();
            assert_eq!(ready.failures, failures);
            scheduler.finish(&"a", Next::Backoff, at, 1.0);
            assert_eq!(scheduler.next_due(), Some(at + backoff(failures + 1)));
            at += backoff(failures + 1);
        }
        assert_eq!(backoff(1), BACKOFF_FIRST);
        assert_eq!(backoff(40), BACKOFF_LAST);
        scheduler.add("a", Priority::Change, at);
        assert_eq!(scheduler.pop(at).unwrap().failures, 0);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Add(u8, Priority, u8),
        Remove(u8),
        Pop,
        Finish(u8, Next),
        Tick,
    }

    fn step() -> impl Strategy<Value = Step> {
        let priority = prop_oneof![Just(Priority::Change), Just(Priority::Poll), Just(Priority::Startup)];
        let next = prop_oneof![
            Just(Next::Backoff),
            Just(Next::Wait),
            Just(Next::After(SECOND, Priority::Poll)),
            Just(Next::After(Duration::ZERO, Priority::Progress)),
        ];
        prop_oneof![
            3 => (0_u8..6, priority, 0_u8..4).prop_map(|(key, priority, after)| Step::Add(key, priority, after)),
            1 => (0_u8..6).prop_map(Step::Remove),
            4 => Just(Step::Pop),
            4 => (0_u8..6, next).prop_map(|(key, next)| Step::Finish(key, next)),
            2 => Just(Step::Tick),
        ]
    }

    proptest! {
        #[test]
        fn no_entry_is_lost_or_runs_twice_at_once(steps in proptest::collection::vec(step(), 1..200)) {
            let mut now = Instant::now();
            let mut scheduler = Scheduler::new(3);
            let mut running = BTreeMap::new();
            let mut wanted = BTreeMap::new();
            for step in steps {
                match step {
                    Step::Add(key, priority, after) => {
                        let at = now + SECOND * u32::from(after);
                        scheduler.add(key, priority, at);
                        wanted.entry(key).and_modify(|due: &mut Instant| *due = at.min(*due)).or_insert(at);
                    }
                    Step::Remove(key) => {
                        scheduler.remove(&key);
                        wanted.remove(&key);
                    }
                    Step::Pop => {
                        if let Some(Ready { key, .. }) = scheduler.pop(now) {
                            prop_assert!(running.insert(key, ()).is_none(), "{key} runs twice");
                            let due = wanted.remove(&key);
                            prop_assert!(due.is_some_and(|due| due <= now), "{key} was not due");
                        } else {
                            let ready = wanted.iter().any(|(key, due)| *due <= now && !running.contains_key(key));
                            prop_assert!(!ready || running.len() == 3, "something due was not given out");
                        }
                    }
                    Step::Finish(key, next) => {
                        scheduler.finish(&key, next, now, 0.0);
                        if running.remove(&key).is_some() && !wanted.contains_key(&key) {
                            match next {
                                Next::After(pause, _) => drop(wanted.insert(key, now + pause)),
                                Next::Backoff => drop(wanted.insert(key, now)),
                                Next::Wait => {}
                            }
                        }
                    }
                    Step::Tick => now += SECOND,
                }
                prop_assert!(scheduler.running() == running.len() && running.len() <= 3);
            }
        }
    }
}
