//! Several replicas, each a process behind TCP proxies of its own, on a real API server and the fake AWS:
//! whatever befalls them, no two change one resource at the same time, and everything is in sync in the end.
//!
//! What is asserted is safety, and that all goes on within generous deadlines. How long a hand-over takes is
//! printed: `make soak` runs every measured case often, and the long forms of the others.

mod churn;
mod handover;
mod leases;
mod loss;
mod outage;
mod partition;
mod shards;
mod times;

use std::{path::Path, time::Duration};

use anyhow::Result;
use fairlead_harness::{
    fake_aws::{Latency, Scope},
    replicas::Replicas,
    site::Site,
};
use serde_json::json;

/// How long anything may take, on a slow machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// How long a Lease lasts without its holder.
const LEASE: Duration = Duration::from_secs(8);

/// A site whose operators run the built binary.
async fn site() -> Result<Site> {
    let (deploy, binary) = (concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"), env!("CARGO_BIN_EXE_fairlead"));
    Ok(tuned(Site::new(Path::new(deploy), Path::new(binary)).await?))
}

/// Looks at resources often, and AWS takes its time.
fn tuned(site: Site) -> Site {
    site.fake.latency(Scope::all(), Latency { fixed: ms(10), jitter: ms(40), seed: 1 });
    site.env("RECONCILE_FREQUENCY_SECONDS", "3").env("FAIRLEAD_FLOW_RATE", "1000")
}

/// So many ready replicas of a site, of which one leads.
async fn started(site: Site, count: usize) -> Result<Replicas> {
    let mut replicas = Replicas::new(site, count).await?;
    if let Err(error) = replicas.start_all(DEADLINE).await {
        return Err(replicas.explain(error));
    }
    replicas.leader(0, DEADLINE).await?;
    Ok(replicas)
}

/// Three ready replicas of which one leads everything, and some objects in sync.
async fn three() -> Result<Replicas> {
    let replicas = started(site().await?, 3).await?;
    make(&replicas, "old", 5).await?;
    Ok(replicas)
}

/// Creates objects, and waits until they are in sync.
async fn make(replicas: &Replicas, prefix: &str, count: usize) -> Result<()> {
    replicas.site.create((0..count).map(|number| format!("{prefix}-{number}")), json!({})).await?;
    replicas.settled(DEADLINE).await
}

/// All is in sync in the end, and no two replicas have changed one queue at the same time.
async fn well(replicas: &Replicas) -> Result<()> {
    replicas.settled(DEADLINE).await?;
    replicas.check_apart()
}

/// How often measured cases run: more than once in a soak.
fn runs() -> usize {
    std::env::var("FAIRLEAD_SOAK_RUNS").ok().and_then(|runs| runs.parse().ok()).unwrap_or(1)
}

/// Whether cases take their long form.
fn soaks() -> bool {
    std::env::var_os("FAIRLEAD_SOAK_RUNS").is_some()
}

const fn ms(number: u64) -> Duration {
    Duration::from_millis(number)
}

const fn secs(number: u64) -> Duration {
    Duration::from_secs(number)
}
