//! The scheduler as a whole: as cases, and against a model of what it promises. Time is told to it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    backoff::backoff,
    circuit::{FIRST_PROBE, OPENS_AFTER},
    flow::{Calls, Flow, Priority},
    flows::{Notice, QUANTUM},
    scheduler::{Ended, Next, Ready, Scheduler, Terms},
    slots::Limits,
    spread::Phase,
    token::{Answer, Report},
};
use crate::aws::Service;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
const WIDE: Limits = Limits { overall: 1_000, region: 1_000, flow: 1_000 };
/// A rate that never holds anything up.
const FAST: f64 = 1e9;

fn flow(number: u32) -> Flow {
    Flow::new("1", &format!("region-{number}"), Service("sqs"))
}

fn terms(number: u32, rate: f64) -> Terms {
    let calls = Calls { change: 2, poll: 1 };
    Terms { flow: flow(number), rate, calls, phase: Phase::of(&number.to_string()) }
}

fn ended(next: Next) -> Ended {
    Ended { next, unused: 0, jitter: 1.0 }
}

/// A scheduler with its clock.
struct Bench {
    it: Scheduler<u32>,
    start: Instant,
    now: Instant,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        let start = Instant::now();
        Self { it: Scheduler::new(limits, start), start, now: start }
    }

    fn add(&mut self, key: u32, terms: &Terms, priority: Priority) {
        self.it.add(key, terms, priority, self.now, self.now);
    }

    fn pop(&mut self) -> Option<Ready<u32>> {
        self.it.pop(self.now)
    }

    fn finish(&mut self, key: u32, next: Next) {
        self.it.finish(&key, ended(next), self.now);
    }

    fn miss(&mut self, number: u32) {
        self.it.report(&flow(number), Report::Ended(Answer::Missed), self.now);
    }

    /// Moves on to when something may be due.
    fn advance(&mut self) {
        self.now = self.it.next_due().unwrap().max(self.now);
    }
}

#[test]
fn a_change_goes_before_a_poll_and_the_same_flow_in_the_order_of_time() {
    let mut bench = Bench::new(WIDE);
    let terms = terms(0, FAST);
    for key in 0..4 {
        bench.add(key, &terms, Priority::Poll);
    }
    bench.add(9, &terms, Priority::Change);
    bench.add(2, &terms, Priority::Change);
    bench.add(2, &terms, Priority::Poll);
    let order: Vec<_> = std::iter::from_fn(|| bench.pop()).map(|ready| ready.key).collect();
    assert_eq!(order, [9, 2, 0, 1, 3]);
}

#[test]
fn asked_for_while_running_runs_again_and_only_then() {
    let mut bench = Bench::new(WIDE);
    bench.add(1, &terms(0, FAST), Priority::Change);
    assert!(bench.pop().is_some());
    bench.add(1, &terms(0, FAST), Priority::Change);
    assert_eq!(bench.pop(), None);
    bench.finish(1, Next::Poll(SECOND));
    assert_eq!(bench.pop().map(|ready| ready.key), Some(1));
    bench.it.remove(&1);
    bench.finish(1, Next::Poll(SECOND));
    assert!(bench.it.is_empty() && bench.it.next_due().is_none());
}

#[test]
fn failures_back_off_where_the_attempt_was_due_and_a_change_forgets_them() {
    let mut bench = Bench::new(WIDE);
    let terms = terms(0, FAST);
    bench.add(1, &terms, Priority::Change);
    for failures in 0..12 {
        let ready = bench.pop().unwrap();
        assert_eq!(ready.failures, failures);
        bench.finish(1, Next::Backoff);
        let due = bench.now + backoff(failures + 1);
        assert_eq!(bench.it.next_due(), Some(due));
        // Something that it waits for happens meanwhile: that attempt is early, and does not count.
        bench.it.wake(&1, Priority::Progress, bench.now);
        assert_eq!(bench.pop().unwrap().failures, failures + 1);
        bench.finish(1, Next::Backoff);
        assert_eq!(bench.it.next_due(), Some(due), "nor does it put off the one that is due");
        bench.advance();
    }
    bench.add(1, &terms, Priority::Change);
    assert_eq!(bench.pop().unwrap().failures, 0);
    bench.finish(1, Next::Backoff);
    assert!(bench.it.next_due() <= Some(bench.now + SECOND));
}

#[test]
fn a_throttle_slows_the_flow_and_not_the_key() {
    let mut bench = Bench::new(WIDE);
    bench.add(1, &terms(0, 100.0), Priority::Change);
    for _ in 0..5 {
        let ready = bench.pop().unwrap();
        assert_eq!((ready.failures, ready.priority), (0, Priority::Change));
        bench.it.report(&flow(0), Report::Ended(Answer::Throttled(Some(SECOND * 3))), bench.now);
        bench.finish(1, Next::Throttled);
        // The others of its flow wait as well, those of another do not.
        bench.add(2, &terms(0, 100.0), Priority::Change);
        bench.add(3, &terms(1, 100.0), Priority::Poll);
        assert_eq!(bench.pop().map(|ready| ready.key), Some(3));
        assert_eq!(bench.pop(), None);
        bench.finish(3, Next::Wait);
        bench.now += SECOND * 4;
        assert_eq!(bench.pop().map(|ready| ready.key), Some(2));
        bench.finish(2, Next::Wait);
    }
}

#[test]
fn in_a_flow_priorities_share_by_weight_and_startup_is_not_starved() {
    let mut bench = Bench::new(WIDE);
    for (number, priority) in Priority::ALL.into_iter().enumerate() {
        for key in 0..200 {
            bench.add(u32::try_from(number * 1_000 + key).unwrap(), &terms(0, FAST), priority);
        }
    }
    let mut picked = [0; 4];
    for _ in 0..150 {
        let ready = bench.pop().unwrap();
        picked[ready.priority.index()] += 1;
    }
    assert_eq!(picked, [80, 40, 20, 10]);
}

#[test]
fn a_change_overtakes_five_thousand_polls_of_its_flow() {
    let mut bench = Bench::new(Limits { overall: 64, region: 32, flow: 16 });
    let terms = terms(0, 100.0);
    (0..5_000).for_each(|key| bench.add(key, &terms, Priority::Poll));
    let mut running = Vec::new();
    for round in 0..50 {
        while let Some(ready) = bench.pop() {
            running.push(ready.key);
        }
        let asked = bench.now;
        bench.add(10_000 + round, &terms, Priority::Change);
        let started = loop {
            if running.len() > 15 {
                // A call takes 20 ms.
                bench.now += MS * 20;
                running.drain(..).for_each(|key| bench.it.finish(&key, ended(Next::Wait), bench.now));
            }
            match bench.pop() {
                Some(ready) if ready.priority == Priority::Change => break ready.key,
                Some(ready) => panic!("{} was picked before the change", ready.key),
                None => bench.advance(),
            }
        };
        bench.finish(started, Next::Wait);
        let waited = bench.now - asked;
        assert!(waited <= MS * 100, "round {round}: it waited {waited:?}");
        running.drain(..).for_each(|key| bench.it.finish(&key, ended(Next::Wait), bench.now));
        bench.now += MS * 50;
    }
}

#[test]
fn every_ready_flow_is_served_within_a_round() {
    let mut bench = Bench::new(WIDE);
    let flows = 50;
    for key in 0..5_000 {
        // The first flow has most of the keys.
        let number = if key < 4_000 { 0 } else { key % flows };
        bench.add(key, &terms(number, FAST), if key % 3 == 0 { Priority::Change } else { Priority::Poll });
    }
    let mut last: HashMap<Flow, usize> = HashMap::new();
    for pick in 0..900 {
        let ready = bench.pop().unwrap();
        if let Some(before) = last.insert(ready.flow.clone(), pick) {
            assert!(pick - before <= (QUANTUM * flows) as usize, "{} waited {} picks", ready.flow, pick - before);
        }
        bench.it.finish(&ready.key, ended(Next::Wait), bench.now);
    }
    assert_eq!(last.len(), flows as usize);
}

#[test]
fn a_flow_that_never_answers_takes_few_slots_then_none_but_its_probe() {
    let mut bench = Bench::new(Limits { overall: 64, region: 32, flow: 16 });
    (0..200).for_each(|key| bench.add(key, &terms(0, FAST), Priority::Poll));
    let stuck: Vec<_> = std::iter::from_fn(|| bench.pop()).map(|ready| ready.key).collect();
    assert_eq!(stuck.len(), 16);
    bench.now += SECOND * 10;
    for key in &stuck {
        bench.miss(0);
        bench.finish(*key, Next::Backoff);
    }
    assert_eq!(bench.it.notices(), [Notice::Opened(flow(0))]);
    // A change is told why nothing happens, once, without a call.
    bench.add(500, &terms(0, FAST), Priority::Change);
    let told = bench.pop().unwrap();
    assert_eq!((told.key, told.reserved, told.shut_for), (500, 0, Some(Duration::ZERO)));
    bench.finish(500, Next::Backoff);
    assert_eq!(bench.pop(), None);
    // One probe an interval, and never two at once.
    let mut probes = 0;
    let until = bench.now + SECOND * 600;
    while bench.now < until {
        let Some(ready) = bench.pop() else {
            bench.advance();
            continue;
        };
        assert_eq!(ready.shut_for, None);
        assert_eq!(bench.pop(), None, "one probe at a time");
        probes += 1;
        bench.miss(0);
        bench.finish(ready.key, Next::Backoff);
    }
    assert!((10..=15).contains(&probes), "{probes} probes in 600 s");
    let probe = loop {
        match bench.pop() {
            Some(ready) => break ready,
            None => bench.advance(),
        }
    };
    bench.it.report(&flow(0), Report::Ended(Answer::Given), bench.now);
    bench.finish(probe.key, Next::Poll(SECOND * 30));
    assert!(matches!(bench.it.notices()[..], [Notice::Closed(_, after)] if after > SECOND * 500));
    let again: BTreeSet<_> = std::iter::from_fn(|| bench.pop()).map(|ready| ready.key).collect();
    assert!(again.len() >= 15 && again.contains(&500), "all go on: {again:?}");
}

#[test]
fn a_probe_waits_for_nobody_and_ends_without_a_call() {
    let mut bench = Bench::new(WIDE);
    bench.add(1, &terms(0, FAST), Priority::Poll);
    bench.add(2, &terms(0, FAST), Priority::Poll);
    bench.add(3, &terms(0, FAST), Priority::Poll);
    (0..OPENS_AFTER).for_each(|_| bench.miss(0));
    assert_eq!(bench.pop(), None);
    bench.now += FIRST_PROBE;
    let first = bench.pop().unwrap().key;
    assert_eq!(bench.pop(), None);
    bench.finish(first, Next::Wait);
    assert!(bench.pop().is_some(), "it called nobody: the next one probes");
}

#[test]
fn polls_that_would_exceed_the_rate_are_stretched_evenly_and_changes_still_go_first() {
    let mut bench = Bench::new(WIDE);
    let (count, rate) = (1_000_u32, 10.0);
    let terms_of = |key: u32| Terms { phase: Phase::of(&key.to_string()), ..terms(0, rate) };
    for key in 0..count {
        bench.add(key, &terms_of(key), Priority::Startup);
    }
    // 1000 looks every 30 s would be 33 a second; 10 are allowed, of which polls may take 8.
    let (mut runs, mut warm) = (vec![0_u32; count as usize], None);
    let end = bench.start + SECOND * 1_200;
    while bench.now < end {
        while let Some(ready) = bench.pop() {
            if warm.is_some() {
                runs[ready.key as usize] += 1;
            }
            bench.it.finish(&ready.key, ended(Next::Poll(SECOND * 30)), bench.now);
        }
        if warm.is_none() && bench.now > bench.start + SECOND * 400 {
            warm = Some(bench.now);
        }
        bench.advance();
    }
    let stretched = bench.it.notices().into_iter().filter_map(|notice| match notice {
        Notice::Stretched(_, factor) => Some(factor),
        _ => None,
    });
    let last = stretched.last().unwrap();
    assert!((3.0..5.0).contains(&last), "stretched by {last}");
    let total: u32 = runs.iter().sum();
    let a_second = f64::from(total) / (bench.now - warm.unwrap()).as_secs_f64();
    assert!((7.0..9.0).contains(&a_second), "{a_second} polls a second");
    let (least, most) = (runs.iter().min().unwrap(), runs.iter().max().unwrap());
    assert!(most - least <= 3, "from {least} to {most} looks");
}

#[test]
fn a_clock_that_jumps_neither_stalls_nor_floods() {
    let mut bench = Bench::new(WIDE);
    bench.now += SECOND * 1_000_000;
    (0..500).for_each(|key| bench.add(key, &terms(0, 100.0), Priority::Poll));
    let first = std::iter::from_fn(|| bench.pop()).count();
    assert!(first <= 13, "the burst of a quarter of 100 a second: {first}");
    bench.now += SECOND * 1_000_000;
    let second = std::iter::from_fn(|| bench.pop()).count();
    assert!((1..=51).contains(&second), "a full bucket at most: {second}");
    bench.now -= SECOND * 500_000;
    assert_eq!(bench.pop(), None, "nothing for a clock that goes back");
    bench.now += SECOND * 500_001;
    assert!(bench.pop().is_some(), "and it goes on");
}

#[test]
fn a_rate_that_is_low_for_a_while_does_not_put_polls_off_for_hours() {
    let mut bench = Bench::new(WIDE);
    for key in 0..5_000 {
        bench.add(key, &terms(0, 100.0), Priority::Poll);
    }
    for second in 0..120 {
        bench.now = bench.start + SECOND * second;
        bench.it.report(&flow(0), Report::Ended(Answer::Throttled(None)), bench.now);
        while let Some(ready) = bench.pop() {
            bench.it.finish(&ready.key, ended(Next::Poll(SECOND * 30)), bench.now);
        }
    }
    let view = &bench.it.flows()[0];
    assert!(view.rate < 1.0 && view.stretch <= 9.0, "{view:?}");
}

#[test]
fn a_flow_tells_since_when_its_keys_have_been_due() {
    let mut bench = Bench::new(WIDE);
    let due_since =
        |bench: &Bench| bench.it.flows()[0].due_since.map(|since| since.map(|it| (it - bench.start).as_secs()));
    for (key, priority, at) in [(1, Priority::Change, 5), (2, Priority::Poll, 7), (3, Priority::Poll, 6)] {
        bench.now = bench.start + SECOND * at;
        bench.add(key, &terms(0, FAST), priority);
    }
    // The one that waits for its time is not due.
    bench.it.add(4, &terms(0, FAST), Priority::Startup, bench.now + SECOND, bench.now);
    assert_eq!(due_since(&bench), [Some(5), None, Some(6), None]);
    assert_eq!(bench.pop().unwrap().key, 1);
    assert_eq!(due_since(&bench), [None, None, Some(6), None]);
    // Raised to a change, it has been due for as long as before.
    bench.it.wake(&2, Priority::Change, bench.now + SECOND);
    assert_eq!(due_since(&bench), [Some(7), None, Some(6), None]);
}

#[test]
fn a_run_that_was_none_keeps_priority_and_failures() {
    let mut bench = Bench::new(WIDE);
    bench.add(1, &terms(0, FAST), Priority::Change);
    for _ in 0..3 {
        assert!(bench.pop().is_some());
        bench.finish(1, Next::Backoff);
        bench.advance();
    }
    bench.it.wake(&1, Priority::Progress, bench.now);
    let before = bench.pop().unwrap();
    bench.finish(1, Next::Again(SECOND));
    bench.advance();
    let after = bench.pop().unwrap();
    assert_eq!((after.failures, after.priority), (before.failures, before.priority));
    assert_eq!(after.failures, 3);
}

#[test]
fn another_flow_takes_what_is_ready_with_it() {
    let mut bench = Bench::new(WIDE);
    bench.add(1, &terms(0, FAST), Priority::Change);
    bench.it.settle(&1, &terms(1, FAST), bench.now);
    assert_eq!(bench.pop().unwrap().flow, flow(1));
    bench.it.settle(&1, &terms(2, FAST), bench.now);
    bench.finish(1, Next::Poll(SECOND));
    bench.advance();
    assert_eq!(bench.pop().unwrap().flow, flow(2));
    let held: Vec<_> = bench.it.flows().into_iter().map(|view| (view.flow, view.running)).collect();
    assert_eq!(held, [(flow(2), 1)], "flows without keys are not shown");
}

#[derive(Clone, Debug)]
enum Step {
    Add(u32, u32, Priority, u32),
    Wake(u32, Priority),
    Remove(u32),
    Pop,
    Finish(usize, Next),
    Tick(u32),
    Report(u32, Answer),
}

fn priority() -> impl Strategy<Value = Priority> {
    (0..Priority::COUNT).prop_map(|index| Priority::ALL[index])
}

fn step() -> impl Strategy<Value = Step> {
    let next = prop_oneof![
        Just(Next::Backoff),
        Just(Next::Wait),
        Just(Next::Throttled),
        Just(Next::Poll(SECOND)),
        Just(Next::After(Duration::ZERO, Priority::Progress)),
    ];
    let answer = prop_oneof![
        4 => Just(Answer::Given),
        1 => Just(Answer::Throttled(None)),
        2 => Just(Answer::Missed),
    ];
    prop_oneof![
        4 => (0_u32..12, 0_u32..4, priority(), 0_u32..4).prop_map(|(k, f, p, s)| Step::Add(k, f, p, s)),
        1 => (0_u32..12, priority()).prop_map(|(key, priority)| Step::Wake(key, priority)),
        1 => (0_u32..12).prop_map(Step::Remove),
        6 => Just(Step::Pop),
        4 => (0_usize..12, next).prop_map(|(nth, next)| Step::Finish(nth, next)),
        2 => (0_u32..3_000).prop_map(Step::Tick),
        2 => (0_u32..4, answer).prop_map(|(flow, answer)| Step::Report(flow, answer)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever happens: no key runs twice at once, none is lost, no cap is exceeded.
    #[test]
    fn no_entry_is_lost_or_runs_twice_at_once_and_no_cap_is_exceeded(
        steps in proptest::collection::vec(step(), 1..300), flow_cap in 1_usize..4, overall in 1_usize..8
    ) {
        let limits = Limits { overall, region: 3, flow: flow_cap };
        let mut bench = Bench::new(limits);
        let mut running: BTreeMap<u32, Flow> = BTreeMap::new();
        // The keys that are asked for, or will be by their last run, and have not run since.
        let mut wanted: BTreeSet<u32> = BTreeSet::new();
        let mut alive: BTreeSet<u32> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Add(key, number, priority, after) => {
                    let at = bench.now + SECOND * after;
                    bench.it.add(key, &terms(number, 50.0), priority, at, bench.now);
                    wanted.insert(key);
                    alive.insert(key);
                }
                Step::Wake(key, priority) => {
                    if bench.it.wake(&key, priority, bench.now) {
                        wanted.insert(key);
                    }
                }
                Step::Remove(key) => {
                    bench.it.remove(&key);
                    wanted.remove(&key);
                    alive.remove(&key);
                }
                Step::Pop => {
                    if let Some(ready) = bench.pop() {
                        prop_assert!(wanted.remove(&ready.key), "{} was not wanted", ready.key);
                        prop_assert!(running.insert(ready.key, ready.flow).is_none(), "{} runs twice", ready.key);
                    }
                }
                Step::Finish(nth, next) => {
                    let Some(key) = running.keys().nth(nth % running.len().max(1)).copied() else { continue };
                    running.remove(&key);
                    bench.finish(key, next);
                    if alive.contains(&key) && next != Next::Wait {
                        wanted.insert(key);
                    }
                }
                Step::Tick(ms) => bench.now += MS * ms,
                Step::Report(number, answer) => bench.it.report(&flow(number), Report::Ended(answer), bench.now),
            }
            prop_assert_eq!(bench.it.running(), running.len());
            prop_assert!(running.len() <= overall);
            for flow in running.values() {
                let held = running.values().filter(|other| *other == flow).count();
                prop_assert!(held <= flow_cap.min(3), "{} holds {}", flow, held);
            }
        }
        // Now AWS answers, everything ends, and all that is wanted runs: nothing is lost.
        for (key, _) in std::mem::take(&mut running) {
            bench.finish(key, Next::Wait);
        }
        for number in 0..4 {
            bench.it.report(&flow(number), Report::Ended(Answer::Given), bench.now);
        }
        for _ in 0..200 {
            while let Some(ready) = bench.pop() {
                wanted.remove(&ready.key);
                bench.finish(ready.key, Next::Wait);
            }
            let Some(due) = bench.it.next_due() else { break };
            bench.now = due.max(bench.now);
        }
        prop_assert!(wanted.is_empty(), "lost: {:?}", wanted);
    }
}
