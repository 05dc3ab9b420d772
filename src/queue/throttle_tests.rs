//! The scheduler and its limiter against an AWS that throttles, in virtual time: what is new gets there, however
//! low the rate, and whatever is polled beside it.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant},
};

use super::{
    flow::{Calls, Flow, Priority},
    scheduler::{Ended, Next, Scheduler, Terms},
    slots::Limits,
    spread::Phase,
    token::{Answer, Report},
};
use crate::aws::Service;

const SECOND: Duration = Duration::from_secs(1);
const MS: Duration = Duration::from_millis(1);
/// How often objects in sync are looked at.
const POLL: Duration = Duration::from_secs(3);

/// AWS, and who calls it.
#[derive(Clone, Copy, Debug)]
struct Case {
    /// New objects, each of two calls.
    new: u32,
    /// Objects that are in sync from the start.
    old: u32,
    /// The calls that AWS allows in a second, and at once.
    allowed: f64,
    /// The most calls a second of the flow.
    ceiling: f64,
    /// Which have their parts of the objects and of the ceiling.
    replicas: u32,
    seed: u64,
}

/// What came of it.
#[derive(Debug, Default)]
struct Outcome {
    calls: u32,
    throttled: u32,
}

/// A run that is under way.
struct Run {
    reserved: u32,
    calls: u32,
    /// What it still has to call.
    left: u32,
}

/// How far an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Its queue is created, then looked at.
    New,
    /// It was created: looked at, and whose it is, in one run.
    Created,
    Ready,
}

/// Runs until all new objects are ready; after `limit`, how many are not.
fn simulate(case: Case, limit: Duration) -> Result<Outcome, usize> {
    let start = Instant::now();
    let flow = Flow::new("1", "eu-west-1", Service("sqs"));
    let mut all: Vec<_> =
        (0..case.replicas).map(|_| Scheduler::new(Limits { overall: 64, region: 48, flow: 16 }, start)).collect();
    let mut random = fastrand::Rng::with_seed(case.seed);
    let mut stages: BTreeMap<u32, Stage> =
        (0..case.new + case.old).map(|key| (key, if key < case.new { Stage::New } else { Stage::Ready })).collect();
    let of = |key: u32| usize::try_from(key % case.replicas).unwrap();
    for (key, stage) in &stages {
        let terms = Terms {
            flow: flow.clone(),
            rate: case.ceiling / f64::from(case.replicas),
            calls: Calls { change: 2, poll: 1 },
            phase: Phase::of(&format!("{} {key}", case.seed)),
        };
        let priority = if *stage == Stage::New { Priority::Change } else { Priority::Startup };
        all[of(*key)].add(*key, &terms, priority, start, start);
    }
    let (mut outcome, mut budget, mut filled) = (Outcome::default(), case.allowed, start);
    let mut runs: BTreeMap<u32, Run> = BTreeMap::new();
    let mut answers: BinaryHeap<Reverse<(Instant, u32)>> = BinaryHeap::new();
    let mut now = start;
    while now < start + limit {
        for scheduler in &mut all {
            while let Some(ready) = scheduler.pop(now) {
                let stage = stages[&ready.key];
                let left = if stage == Stage::Ready { 1 + u32::from(random.u32(0..10) == 0) } else { 2 };
                runs.insert(ready.key, Run { reserved: ready.reserved, calls: 0, left });
                answers.push(Reverse((now + MS * random.u32(20..80), ready.key)));
            }
        }
        let due = answers.peek().map(|Reverse((at, _))| *at);
        let due = due.into_iter().chain(all.iter().filter_map(Scheduler::next_due)).min().unwrap();
        now = due.max(now);
        while let Some(Reverse((at, key))) = answers.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            answers.pop();
            let scheduler = &mut all[of(key)];
            budget = (budget + case.allowed * (at - filled).as_secs_f64()).min(case.allowed);
            filled = at;
            let run = runs.get_mut(&key).unwrap();
            run.calls += 1;
            outcome.calls += 1;
            if run.calls > run.reserved {
                scheduler.report(&flow, Report::Unreserved, now);
            }
            let passes = budget >= 1.0;
            let answer = if passes { Answer::Given } else { Answer::Throttled(None) };
            scheduler.report(&flow, Report::Ended(answer), now);
            let stage = stages.get_mut(&key).unwrap();
            if passes {
                budget -= 1.0;
                run.left -= 1;
                if run.left > 0 {
                    if *stage == Stage::New {
                        *stage = Stage::Created;
                    }
                    answers.push(Reverse((now + MS * random.u32(20..80), key)));
                    continue;
                }
                *stage = Stage::Ready;
            }
            outcome.throttled += u32::from(!passes);
            let next = if passes { Next::Poll(POLL) } else { Next::Throttled };
            let unused = run.reserved.saturating_sub(run.calls);
            runs.remove(&key);
            scheduler.finish(&key, Ended { next, unused, jitter: random.f64() }, now);
        }
        if stages.values().all(|stage| *stage == Stage::Ready) {
            return Ok(outcome);
        }
    }
    Err(stages.values().filter(|stage| **stage != Stage::Ready).count())
}

/// A run that is throttled begins anew: where too many calls are, one of several calls never comes to its end.
#[test]
fn what_is_new_gets_there_however_little_aws_allows() {
    for (new, old, allowed, ceiling, replicas, within, throttled) in [
        (30, 0, 4.0, 100.0, 3, 100, 0.3),
        (30, 150, 4.0, 100.0, 3, 120, 0.3),
        (30, 0, 4.0, 100.0, 1, 30, 0.3),
        (30, 0, 4.0, 1_000.0, 1, 40, 0.8),
        (30, 0, 4.0, 1_000.0, 3, 130, 0.7),
        (20, 20, 8.0, 100.0, 3, 30, 0.3),
    ] {
        let (mut calls, mut refused) = (0, 0);
        for seed in 0..10 {
            let case = Case { new, old, allowed, ceiling, replicas, seed };
            let outcome = simulate(case, SECOND * within).unwrap_or_else(|left| panic!("{case:?}: {left} are left"));
            (calls, refused) = (calls + outcome.calls, refused + outcome.throttled);
        }
        let share = f64::from(refused) / f64::from(calls);
        assert!(share < throttled, "{allowed} of {ceiling} for {replicas}: {share:.2} of {calls} throttled");
    }
}
