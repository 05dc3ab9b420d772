//! Sixteen shards: every replica leads some.

use std::time::Duration;

use anyhow::{Result, ensure};
use fairlead_harness::{replicas::Replicas, wait::eventually};

use crate::{DEADLINE, churn::Churn, make, site, started, well};

/// Waits until each of 16 shards is led, by `count` replicas alike; who leads how many.
async fn balanced(replicas: &Replicas, count: usize) -> Result<Vec<usize>> {
    let what = format!("16 shards on {count} replicas");
    let balanced = eventually(&what, DEADLINE, async || {
        let led = replicas.led().await.map_err(|error| format!("{error:#}"))?;
        let numbers: Vec<_> = led.iter().map(Vec::len).collect();
        let mut all: Vec<_> = led.into_iter().flatten().collect();
        all.sort_unstable();
        let fair = numbers.iter().filter(|led| (16 / count..=16_usize.div_ceil(count)).contains(led)).count();
        if all == (0..16).collect::<Vec<_>>() && fair == count { Ok(numbers) } else { Err(format!("{numbers:?}")) }
    });
    balanced.await.map_err(|error| replicas.explain(error))
}

#[tokio::test]
async fn shards_are_shared_and_a_lost_replica_is_replaced() -> Result<()> {
    let mut replicas = started(site().await?.env("FAIRLEAD_SHARDS", "16"), 3).await?;
    let mut led = balanced(&replicas, 3).await?;
    led.sort_unstable();
    ensure!(led == [5, 5, 6], "{led:?}");
    make(&replicas, "old", 40).await?;
    let doors: std::collections::BTreeSet<_> = replicas.mutations().into_iter().map(|call| call.replica).collect();
    ensure!(doors.len() == 3, "only {doors:?} have worked");

    let churn = Churn::start(&replicas);
    replicas.take(1)?.kill()?;
    balanced(&replicas, 2).await?;
    replicas.start(1)?;
    replicas.ready(1, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    let begun = std::time::Instant::now();
    balanced(&replicas, 3).await?;
    println!("balanced {:.1?} after a replica had come back", begun.elapsed());
    churn.stop().await?;
    well(&replicas).await
}

#[tokio::test]
async fn a_replica_that_is_cut_off_loses_its_shards_alone() -> Result<()> {
    let replicas = started(site().await?.env("FAIRLEAD_SHARDS", "16"), 3).await?;
    balanced(&replicas, 3).await?;
    let churn = Churn::start(&replicas);
    let before = replicas.led().await?;
    replicas.at(2)?.api.black_hole();
    let all = Duration::from_secs(60);
    let taken = eventually("the other two to lead everything", all, async || {
        let led = replicas.led().await.map_err(|error| format!("{error:#}"))?;
        match led[0].len() + led[1].len() {
            16 => Ok(led),
            _ => Err(format!("{led:?}")),
        }
    });
    let after = taken.await.map_err(|error| replicas.explain(error))?;
    for index in 0..2 {
        let kept = before[index].iter().filter(|shard| after[index].contains(shard)).count();
        ensure!(kept == before[index].len(), "{before:?} {after:?}: the others' shards moved");
    }
    ensure!(
        after[2].is_empty(),
        "the one that is cut off leads still: {after:?} {}",
        replicas.explain(anyhow::anyhow!(""))
    );
    replicas.at(2)?.api.pass();
    churn.stop().await?;
    well(&replicas).await
}
