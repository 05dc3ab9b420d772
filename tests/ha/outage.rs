//! The API server or its store is away for everybody: nobody loses a Lease by it, or one replica goes on
//! after it. On a control plane that these tests share, and take turns on.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use fairlead_harness::{cluster::Cluster, process::Signal, replicas::lease_of, site::Site};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{DEADLINE, churn::Churn, make, secs, soaks, started, tuned, well};

/// A control plane to disturb, while no other test does.
async fn turn() -> Result<(MutexGuard<'static, ()>, &'static Cluster)> {
    static TURN: Mutex<()> = Mutex::const_new(());
    static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
    let turn = TURN.lock().await;
    Ok((turn, CLUSTER.get_or_try_init(Cluster::start).await?))
}

async fn site_on(cluster: &'static Cluster) -> Result<Site> {
    let (deploy, binary) = (concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"), env!("CARGO_BIN_EXE_fairlead"));
    Ok(tuned(Site::on(cluster, Path::new(deploy), Path::new(binary)).await?))
}

/// Goes on when it is dropped, so that a test that fails does not stop the others.
struct Hanging(&'static Cluster);

impl Hanging {
    fn new(cluster: &'static Cluster) -> Result<Self> {
        cluster.signal_etcd(Signal::STOP)?;
        Ok(Self(cluster))
    }
}

impl Drop for Hanging {
    fn drop(&mut self) {
        // Fails where it has ended: then there is nothing to go on.
        let _ = self.0.signal_etcd(Signal::CONT);
    }
}

#[tokio::test]
async fn the_api_server_is_started_again() -> Result<()> {
    let (_turn, cluster) = turn().await?;
    let replicas = started(site_on(cluster).await?, 3).await?;
    make(&replicas, "old", 5).await?;
    let holder = replicas.holders.holder(&lease_of(0));
    let churn = Churn::start(&replicas);
    cluster.stop_apiserver(secs(4)).await?;
    cluster.start_apiserver().await?;
    make_under_load(&replicas, "after").await?;
    churn.stop().await?;
    well(&replicas).await?;
    println!("restart of the API server: led by {holder:?} before, {:?} after", replicas.holders.holder(&lease_of(0)));
    Ok(())
}

#[tokio::test]
async fn etcd_hangs_for_longer_than_a_lease_lasts() -> Result<()> {
    let (_turn, cluster) = turn().await?;
    let replicas = started(site_on(cluster).await?, 3).await?;
    make(&replicas, "old", 5).await?;
    let before = replicas.holders.holder(&lease_of(0));
    let churn = Churn::start(&replicas);
    let hanging = Hanging::new(cluster)?;
    tokio::time::sleep(pause()).await;
    let calls = replicas.mutations().len();
    // Nobody can renew: nobody may change anything by now.
    tokio::time::sleep(secs(2)).await;
    ensure!(replicas.mutations().len() == calls, "{}", replicas.explain(anyhow::anyhow!("changes without a Lease")));
    for index in 0..3 {
        ensure!(replicas.at(index)?.operator()?.healthz().await?.0 == 200, "an outage is no reason to be killed");
    }
    drop(hanging);
    make_under_load(&replicas, "after").await?;
    churn.stop().await?;
    well(&replicas).await?;
    println!("etcd hung: led by {before:?} before, {:?} after", replicas.holders.holder(&lease_of(0)));
    Ok(())
}

/// Longer than any permit lasts.
fn pause() -> Duration {
    if soaks() { secs(28) } else { secs(10) }
}

/// Creates an object as soon as that is possible, and waits until it is ready.
async fn make_under_load(replicas: &fairlead_harness::replicas::Replicas, name: &str) -> Result<()> {
    let create = async || match replicas.site.create([name.to_owned()], serde_json::json!({})).await {
        Ok(()) => Ok(()),
        Err(error) if format!("{error:#}").contains("already exists") => Ok(()),
        Err(error) => Err(format!("{error:#}")),
    };
    fairlead_harness::wait::eventually("an object is taken", DEADLINE, create).await?;
    replicas.site.until_ready(name, 1, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    Ok(())
}
