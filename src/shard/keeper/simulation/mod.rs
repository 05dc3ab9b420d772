//! Replicas in virtual time, against an API server in the process that is as bad as it may be: replicas are cut
//! off, frozen, killed and stopped, requests and answers are late or lost, writes are done long after whoever sent
//! them has given up, reads are old, watches break, clocks differ, and somebody edits Leases by hand.
//!
//! What must hold, whatever happens: work under a shard is never done by two leaderships in turns, and when all is
//! well again every shard is led and worked on, evenly.
//!
//! `FAIRLEAD_SIMULATION_SEEDS=5000` runs so many, `FAIRLEAD_SIMULATION_SEED=7` that one alone.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

mod api;
mod faults;
mod replica;

use api::Api;
use faults::Plan;
use replica::Replica;

use crate::shard::lease::Timing;

const SECOND: Duration = Duration::from_secs(1);
const TIMING: Timing = Timing::SHIPPED;
/// How long things go wrong, and how long they then may take to be well.
const TROUBLE: Duration = Duration::from_secs(90);
/// Longer than a member may be left out, which is the longest memory of a bad time.
const PEACE: Duration = Duration::from_secs(700);

#[test]
fn one_shard_is_never_worked_on_by_two() {
    simulate(1, 100);
}

#[test]
fn sixteen_shards_are_never_worked_on_by_two() {
    simulate(16, 10);
}

/// Runs seeds, on all cores, and shows the first that fails.
fn simulate(shards: u8, seeds: u64) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seeds: Vec<u64> = match number("FAIRLEAD_SIMULATION_SEED") {
        Some(seed) => vec![seed],
        None => (0..number("FAIRLEAD_SIMULATION_SEEDS").map_or(seeds, |all| all / u64::from(shards))).collect(),
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let (failed, failures) = mpsc::channel();
    let turns = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for part in 0..cores {
            let (seeds, failed, turns) = (&seeds, failed.clone(), &turns);
            scope.spawn(move || {
                for seed in seeds.iter().skip(part).step_by(cores) {
                    match run(shards, *seed) {
                        Ok(changes) => drop(turns.fetch_add(changes, std::sync::atomic::Ordering::Relaxed)),
                        Err(why) => return failed.send((*seed, why)).unwrap(),
                    }
                }
            });
        }
    });
    drop(failed);
    if let Some((seed, why)) = failures.iter().min_by_key(|(seed, _)| *seed) {
        panic!("with {shards} shards, FAIRLEAD_SIMULATION_SEED={seed}: {why}");
    }
    let turns = turns.into_inner();
    println!("{} seeds with {shards} shards: {turns} times a shard has changed its leader", seeds.len());
    assert!(turns > seeds.len(), "nothing has happened");
}

/// One simulation: how often a shard has changed its leader.
fn run(shards: u8, seed: u64) -> Result<usize, String> {
    fastrand::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let api = Arc::new(Api::new(seed));
        let mut replicas: Vec<_> = (0..3).map(|number| Replica::new(number, shards, seed, api.clone())).collect();
        let mut plan = Plan::new(seed, shards);
        let begun = tokio::time::Instant::now();
        replicas.iter_mut().for_each(Replica::start);
        while begun.elapsed() < TROUBLE {
            tokio::time::sleep(plan.pause()).await;
            plan.strike(&api, &mut replicas);
            api.verdict()?;
        }
        plan.heal(&api, &mut replicas);
        let healed = tokio::time::Instant::now();
        // Balance may wait for memories of the bad time; being led may not.
        let mut led_by = None;
        loop {
            tokio::time::sleep(SECOND).await;
            replicas.iter_mut().for_each(Replica::start);
            api.verdict()?;
            let counts: Vec<_> = replicas.iter().map(Replica::led).collect();
            let all_led = counts.iter().sum::<usize>() == usize::from(shards) && api.all_worked_on(shards, SECOND * 5);
            if all_led {
                led_by.get_or_insert(healed.elapsed());
            }
            let spread = counts.iter().max().unwrap_or(&0) - counts.iter().min().unwrap_or(&0);
            if all_led && spread <= 1 {
                return Ok(api.turns());
            }
            if led_by.is_none() && healed.elapsed() > SECOND * 60 {
                return Err(format!("not all shards are led a minute after all is well: {counts:?}\n{}", api.tell()));
            }
            if healed.elapsed() > PEACE {
                return Err(format!("unevenly led: {counts:?}\n{}", api.tell()));
            }
        }
    })
}
