//! How fast the scheduler decides: a key asked for and given out, with many keys waiting. What was
//! measured, and on what, stands in benches/README.md.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use fairlead::{
    aws::Service,
    engine::objects::ObjectKey,
    queue::{
        flow::{Calls, Flow, Priority},
        scheduler::{Ended, Next, Scheduler, Terms},
        slots::Limits,
        spread::Phase,
    },
};

const KEYS: usize = 100_000;
const FLOWS: usize = 100;
/// Pushes and pops that one measurement times.
const ROUNDS: usize = 10_000;
/// Nothing is held up: the time is the scheduler's own.
const WIDE: Limits = Limits { overall: 1_000_000, region: 1_000_000, flow: 1_000_000 };

struct Setup {
    scheduler: Scheduler<ObjectKey>,
    terms: Vec<Terms>,
    now: Instant,
}

fn setup() -> Setup {
    let now = Instant::now();
    let terms: Vec<_> = (0..FLOWS)
        .map(|number| Terms {
            flow: Flow::new(&format!("{:012}", number / 20), &format!("eu-west-{}", number % 20), Service("sqs")),
            rate: 1e9,
            calls: Calls { change: 2, poll: 1 },
            phase: Phase::of(&number.to_string()),
        })
        .collect();
    let keys: Vec<_> = (0..KEYS)
        .map(|number| ObjectKey {
            kind: "SQSQueue",
            namespace: format!("team-{}", number % 50),
            name: format!("queue-{number}"),
        })
        .collect();
    let mut scheduler = Scheduler::new(WIDE, now);
    for (number, key) in keys.iter().enumerate() {
        // All ready, so that the lanes are as full as they get.
        scheduler.add(key.clone(), &terms[number % FLOWS], Priority::ALL[number % 4], now, now);
    }
    Setup { scheduler, terms, now }
}

/// A key is given out, ends, and is asked for again: with 100,000 keys ready in 100 flows.
fn push_and_pop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler");
    group.throughput(Throughput::Elements(ROUNDS as u64)).measurement_time(Duration::from_secs(10));
    group.bench_function("push+pop, 100,000 keys, 100 flows", |bencher| {
        bencher.iter_batched_ref(
            setup,
            |Setup { scheduler, terms, now }| {
                for round in 0..ROUNDS {
                    let ready = scheduler.pop(*now);
                    assert!(ready.is_some(), "nothing is ready");
                    let Some(ready) = ready else { break };
                    let ended = Ended { next: Next::Wait, unused: 0, jitter: 0.5 };
                    scheduler.finish(&ready.key, ended, *now);
                    // On its own terms, which are those of its number.
                    let number: usize = ready.key.name["queue-".len()..].parse().unwrap_or_default();
                    scheduler.add(ready.key, &terms[number % FLOWS], Priority::ALL[round % 4], *now, *now);
                }
                black_box(scheduler.running())
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

/// The same while keys wait for their time: each is polled again after 30 s.
fn polls(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scheduler");
    group.throughput(Throughput::Elements(ROUNDS as u64)).measurement_time(Duration::from_secs(10));
    group.bench_function("poll again, 100,000 keys, 100 flows", |bencher| {
        bencher.iter_batched_ref(
            setup,
            |Setup { scheduler, now, .. }| {
                for _ in 0..ROUNDS {
                    let ready = scheduler.pop(*now);
                    assert!(ready.is_some(), "nothing is ready");
                    let Some(ready) = ready else { break };
                    let ended = Ended { next: Next::Poll(Duration::from_secs(30)), unused: 0, jitter: 0.5 };
                    scheduler.finish(&ready.key, ended, *now);
                }
            },
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

criterion_group!(benches, push_and_pop, polls);
criterion_main!(benches);
