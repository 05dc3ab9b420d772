//! Replicas that are asked to stop: what runs is finished, then a standby goes on.

use std::time::Instant;

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Latency, Scope},
    replicas::lease_of,
    wait::eventually,
};
use k8s_openapi::api::events::v1::Event;
use kube::{Api, api::ListParams};
use serde_json::json;

use crate::{DEADLINE, LEASE, churn::Churn, make, ms, secs, site, started, three, well};

#[tokio::test]
async fn of_three_with_one_shard_two_are_warm_standbys() -> Result<()> {
    let replicas = three().await?;
    let led = replicas.led().await?;
    ensure!(led.iter().flatten().count() == 1, "{led:?}");
    for index in 0..3 {
        ensure!(replicas.at(index)?.operator()?.readyz().await?.0 == 200, "a standby is ready");
        let status = replicas.at(index)?.operator()?.statusz().await?;
        ensure!(status["shards"][0]["objects"] == 5, "a standby knows every object: {status}");
    }
    let leader = replicas.leader(0, DEADLINE).await?;
    let name = &replicas.at(leader)?.name;
    let others = replicas.site.fake.calls().into_iter();
    let others: Vec<_> = others.filter(|call| call.service == "sqs" && call.door != *name).collect();
    ensure!(others.is_empty(), "standbys call AWS: {others:?}");
    Ok(())
}

/// SIGINT does what SIGTERM does; and each change of the holder is told in an event on the Lease.
#[tokio::test]
async fn sigint_hands_over_too_and_events_tell_who_leads() -> Result<()> {
    let mut replicas = three().await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let operator = replicas.take(leader)?;
    operator.interrupt()?;
    ensure!(operator.exit_code(DEADLINE).await? == 0);
    let next = replicas.leader(0, DEADLINE).await?;
    ensure!(next != leader);
    let released = replicas.holders.records().into_iter().any(|record| record.released && record.holder.is_none());
    ensure!(released, "the Lease was let go");
    let events: Api<Event> = Api::namespaced(replicas.site.admin(), &replicas.site.leases);
    let both = [leader, next].map(|index| replicas.at(index).map(|replica| replica.name.clone()));
    for name in both {
        let name = name?;
        eventually(&format!("an event that {name} leads"), DEADLINE, async || {
            let all = events.list(&ListParams::default()).await.map_err(|error| error.to_string())?.items;
            let of_lease = |event: &&Event| {
                let lease = event.regarding.as_ref().and_then(|it| it.name.as_deref());
                let note = event.note.as_deref().unwrap_or_default();
                event.reason.as_deref() == Some("LeaderElection")
                    && lease == Some(&lease_of(0))
                    && note.starts_with(&name)
                    && note.ends_with("became leader")
            };
            let told = all.iter().find(of_lease).is_some();
            if told { Ok(()) } else { Err(format!("{all:?}")) }
        })
        .await?;
    }
    well(&replicas).await
}

#[tokio::test]
async fn a_call_that_takes_long_is_waited_for_at_most_as_long_as_it_may() -> Result<()> {
    let replicas = three().await?;
    replicas.site.fake.latency(Scope::all(), Latency::fixed(secs(30)));
    replicas.site.create(["slow".to_owned()], json!({})).await?;
    let call = replicas
        .until("the slow call", DEADLINE, || replicas.first("CreateQueue", "slow").ok_or("none".to_owned()))
        .await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    ensure!(call.replica == replicas.at(leader)?.name);
    let operator = replicas.at(leader)?.operator()?;
    let begun = Instant::now();
    operator.terminate()?;
    let code = operator.exit_code(DEADLINE).await.map_err(|error| replicas.explain(error))?;
    println!("SIGTERM during a call of 30 s: ended with {code} after {:.1?}", begun.elapsed());
    ensure!(code == 0);
    replicas.site.fake.latency(Scope::all(), None);
    well(&replicas).await
}

#[tokio::test]
async fn a_second_sigterm_ends_it_at_once_and_its_lease_expires() -> Result<()> {
    let mut replicas = three().await?;
    replicas.site.fake.latency(Scope::all(), Latency::fixed(secs(5)));
    replicas.site.create(["slow".to_owned()], json!({})).await?;
    replicas
        .until("the slow call", DEADLINE, || replicas.first("CreateQueue", "slow").ok_or("none".to_owned()))
        .await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let operator = replicas.take(leader)?;
    operator.terminate()?;
    replicas
        .until("the first to be heard", DEADLINE, || match operator.log().contains("stopping") {
            true => Ok(()),
            false => Err("not yet".to_owned()),
        })
        .await?;
    let second = Instant::now();
    operator.terminate()?;
    operator.exit_code(DEADLINE).await?;
    ensure!(second.elapsed() < secs(4), "it took {:?}", second.elapsed());
    replicas.site.fake.latency(Scope::all(), None);
    let next = replicas.leader(0, DEADLINE).await?;
    ensure!(next != leader);
    let released = replicas.holders.records().into_iter().any(|record| record.released && record.at >= second);
    ensure!(!released, "what was cut off can't have been released");
    well(&replicas).await
}

#[tokio::test]
async fn three_are_replaced_one_after_the_other_under_load() -> Result<()> {
    let mut replicas = started(site().await?.env("FAIRLEAD_SHARDS", "16"), 3).await?;
    make(&replicas, "old", 10).await?;
    let churn = Churn::start(&replicas);
    for index in 0..3 {
        let old = replicas.take(index)?;
        old.terminate()?;
        let code = old.exit_code(DEADLINE).await.map_err(|error| replicas.explain(error))?;
        ensure!(code == 0, "it ended with {code}:\n{}", old.log());
        replicas.start(index)?;
        replicas.ready(index, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    }
    let created = churn.stop().await?;
    well(&replicas).await?;
    println!("a rolling restart of 3 while {created} objects were created");
    // Nothing had to expire.
    for shard in 0..16 {
        let records = replicas.holders.records().into_iter().filter(|record| record.lease == lease_of(shard));
        let records: Vec<_> = records.filter(|record| !record.deleted).collect();
        for pair in records.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let taken = before.holder.is_some() && after.holder.is_some() && before.holder != after.holder;
            ensure!(!taken, "shard {shard} was taken, not given: {}", replicas.explain(anyhow::anyhow!("")));
        }
    }
    Ok(())
}

#[tokio::test]
async fn sigterm_in_a_burst_loses_and_repeats_nothing() -> Result<()> {
    let replicas = three().await?;
    replicas.site.fake.latency(Scope::all(), Latency::fixed(ms(200)));
    replicas.site.create((0..60).map(|number| format!("burst-{number}")), json!({})).await?;
    replicas
        .until("some of the queues", DEADLINE, || match replicas.site.fake.count("sqs", "CreateQueue") {
            some @ 15.. => Ok(some),
            few => Err(few.to_string()),
        })
        .await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let operator = replicas.at(leader)?.operator()?;
    let begun = Instant::now();
    operator.terminate()?;
    ensure!(operator.exit_code(DEADLINE).await? == 0);
    ensure!(begun.elapsed() < LEASE, "it took {:?} to finish calls of 200 ms", begun.elapsed());
    replicas.site.fake.latency(Scope::all(), None);
    well(&replicas).await?;
    let creates = replicas.mutations().into_iter().filter(|call| call.operation == "CreateQueue").count();
    ensure!(creates == 65, "{creates} creates: {}", replicas.explain(anyhow::anyhow!("")));
    Ok(())
}
