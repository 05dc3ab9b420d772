//! What more replicas bring: the same queues to Ready by one, two and three of them, 16 shards, AWS at 20 ms a
//! call, and each replica held to few calls at once, so that one alone is the bottleneck and not this machine.
//!
//! What was measured, and on what, stands in benches/README.md.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    fake_aws::{Latency, Scope},
    replicas::Replicas,
    site::Site,
    wait::eventually,
};
use serde_json::json;

const DEADLINE: Duration = Duration::from_secs(300);
const QUEUES: usize = 300;
/// Reconciles at once, of each replica: with two calls of 20 ms each, at most 25 queues a second.
const AT_ONCE: &str = "1";

fn main() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        println!("| Replicas | {QUEUES} queues to Ready | Queues a second | Scaling |\n|---|---|---|---|");
        let mut alone = None;
        for count in 1..=3 {
            let took = ready(count).await?.as_secs_f64();
            let alone = *alone.get_or_insert(took);
            #[allow(clippy::cast_precision_loss)]
            let rate = QUEUES as f64 / took;
            println!("| {count} | {took:.1} s | {rate:.0} | × {:.2} |", alone / took);
        }
        Ok(())
    })
}

/// The time from the creation of the queues until the last one is ready, with so many replicas that lead alike.
async fn ready(count: usize) -> Result<Duration> {
    let deploy = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"));
    let site = Site::new(deploy, Path::new(env!("CARGO_BIN_EXE_fairlead"))).await?;
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(20)));
    let site = site
        .env("FAIRLEAD_SHARDS", "16")
        .env("FAIRLEAD_FLOW_CONCURRENCY", AT_ONCE)
        .env("FAIRLEAD_FLOW_RATE", "10000")
        .env("RECONCILE_FREQUENCY_SECONDS", "3600");
    let mut replicas = Replicas::new(site, count).await?;
    replicas.start_all(DEADLINE).await?;
    balanced(&replicas).await?;
    let began = Instant::now();
    replicas.site.create((0..QUEUES).map(|number| format!("queue-{number}")), json!({})).await?;
    let ready = replicas.site.until_ready("queue", QUEUES, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    let creates = replicas.mutations();
    ensure!(creates.len() == QUEUES, "{} changes for {QUEUES} queues", creates.len());
    let busiest = (0..count).map(|index| format!("replica-{index}"));
    let busiest = busiest.map(|name| creates.iter().filter(|call| call.replica == name).count()).max();
    ensure!(busiest.context("no replica")? < QUEUES / count * 3 / 2, "the shards are not shared alike");
    Ok(ready - began)
}

/// Waits until all shards are led, by all replicas alike.
async fn balanced(replicas: &Replicas) -> Result<()> {
    let (floor, ceil) = (16 / replicas.count(), 16_usize.div_ceil(replicas.count()));
    eventually("balanced shards", DEADLINE, async || {
        let led = replicas.led().await.map_err(|error| format!("{error:#}"))?;
        let numbers: Vec<_> = led.iter().map(Vec::len).collect();
        let fair = numbers.iter().all(|number| (floor..=ceil).contains(number));
        if fair && numbers.iter().sum::<usize>() == 16 { Ok(()) } else { Err(format!("{numbers:?}")) }
    })
    .await
}
