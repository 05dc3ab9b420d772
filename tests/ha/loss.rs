//! Replicas that hang or die in the middle of something.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Latency, Scope},
    replicas::Replicas,
    wait::eventually,
};
use serde_json::json;

use crate::{DEADLINE, churn::Churn, secs, soaks, three, well};

/// For how long a replica hangs: past the end of its Lease in any case.
fn hang() -> Duration {
    if soaks() { secs(30) } else { secs(14) }
}

/// Stops the leader for a while, and answers its number and when it went on.
async fn hung(replicas: &Replicas) -> Result<(usize, Instant)> {
    let leader = replicas.leader(0, DEADLINE).await?;
    let operator = replicas.at(leader)?.operator()?;
    operator.stop_cont(hang()).await?;
    Ok((leader, Instant::now()))
}

/// What a replica that came back does once it has found out: nothing, before it leads again.
async fn idle_since(replicas: &Replicas, index: usize, back: Instant) -> Result<()> {
    let replica = replicas.at(index)?;
    let operator = replica.operator()?;
    // It has found out when it says so.
    let follows = eventually("the old leader to follow", DEADLINE, async || match operator.statusz().await {
        Ok(status) if status["shards"][0]["led"] == false => Ok(()),
        other => Err(format!("{other:?}")),
    });
    follows.await.map_err(|error| replicas.explain(error))?;
    let calls = replicas.mutations().into_iter();
    let late: Vec<_> = calls.filter(|call| call.replica == replica.name && call.arrived >= back).collect();
    ensure!(late.is_empty(), "it went on: {late:?} {}", replicas.explain(anyhow::anyhow!("")));
    Ok(())
}

#[tokio::test]
async fn a_leader_that_hung_changes_nothing_when_it_is_back() -> Result<()> {
    let replicas = three().await?;
    let churn = Churn::start(&replicas);
    let (leader, back) = hung(&replicas).await?;
    churn.stop().await?;
    well(&replicas).await?;
    idle_since(&replicas, leader, back).await
}

#[tokio::test]
async fn a_leader_that_hung_in_the_middle_of_calls_changes_nothing_more() -> Result<()> {
    let replicas = three().await?;
    // As long as a call may still take that begins with the least time left, and the call goes on alone.
    replicas.site.fake.latency(Scope::all(), Latency::fixed(secs(2)));
    let before = replicas.site.fake.count("sqs", "CreateQueue");
    replicas.site.create((0..10).map(|number| format!("slow-{number}")), json!({})).await?;
    // All of them have come to AWS: what is frozen between its permit and its first byte still sends that.
    replicas
        .until("calls under way", DEADLINE, || match replicas.site.fake.count("sqs", "CreateQueue") - before {
            some @ 10.. => Ok(some),
            few => Err(few.to_string()),
        })
        .await?;
    let (leader, back) = hung(&replicas).await?;
    replicas.site.fake.latency(Scope::all(), None);
    well(&replicas).await?;
    idle_since(&replicas, leader, back).await
}

#[tokio::test]
async fn sigkill_in_the_middle_of_calls_loses_nothing() -> Result<()> {
    let mut replicas = three().await?;
    replicas.site.fake.latency(Scope::all(), Latency::fixed(secs(2)));
    replicas.site.create((0..40).map(|number| format!("slow-{number}")), json!({})).await?;
    replicas
        .until("calls under way", DEADLINE, || match replicas.site.fake.count("sqs", "CreateQueue") {
            some @ 10.. => Ok(some),
            few => Err(few.to_string()),
        })
        .await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    replicas.take(leader)?.kill()?;
    replicas.site.fake.latency(Scope::all(), None);
    well(&replicas).await
}
