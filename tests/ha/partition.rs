//! Replicas that are cut off from AWS, or from the API server in part, and packets that come late.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Effect, Fault, Scope, Trouble},
    replicas::{Replicas, lease_of},
    tcp_proxy::Direction,
    wait::eventually,
};
use serde_json::json;

use crate::{DEADLINE, LEASE, make, secs, site, started, three, well};

/// How late packets are: ten seconds past the end of a Lease.
const LATE: Duration = secs(18);

#[tokio::test]
async fn a_leader_that_cannot_reach_aws_keeps_its_lease() -> Result<()> {
    const BAD: &str = "us-east-1";
    let replicas = three().await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let holder = replicas.holders.holder(&lease_of(0));
    // A region that is away: its circuit opens, and another one is served.
    replicas.site.fake.trouble(Scope::region(BAD), Trouble::Closed);
    replicas.site.create((0..20).map(|number| format!("dark-{number}")), json!({ "region": BAD })).await?;
    let open = format!("fairlead_flow_circuit_open{{account=\"{}\",region=\"{BAD}\"", replicas.site.account);
    let operator = replicas.at(leader)?.operator()?;
    let opened = eventually("the circuit to open", DEADLINE, async || {
        let text = operator.metrics().await.map_err(|error| format!("{error:#}"))?;
        let line = text.lines().find(|line| line.starts_with(&open)).unwrap_or_default();
        if line.ends_with(" 1.0") { Ok(()) } else { Err(line.to_owned()) }
    });
    opened.await.map_err(|error| replicas.explain(error))?;
    replicas.site.create(["well".to_owned()], json!({})).await?;
    replicas.site.until_ready("well", 1, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    // All of AWS is away for longer than a Lease lasts without renewals.
    replicas.at(leader)?.aws.black_hole();
    tokio::time::sleep(LEASE + secs(4)).await;
    ensure!(
        replicas.holders.holder(&lease_of(0)) == holder,
        "{}",
        replicas.explain(anyhow::anyhow!("it changed hands"))
    );
    ensure!(operator.healthz().await?.0 == 200, "another process could reach AWS no better");
    replicas.at(leader)?.aws.cut();
    replicas.at(leader)?.aws.pass();
    replicas.site.fake.trouble(Scope::region(BAD), None);
    replicas.site.until_ready("dark", 20, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    replicas.site.create(["after".to_owned()], json!({})).await?;
    replicas.site.until_ready("after", 1, DEADLINE).await.map_err(|error| replicas.explain(error))?;
    ensure!(replicas.holders.holder(&lease_of(0)) == holder);
    replicas.check_apart()
}

/// Waits until the leader has sent something that is on its way to AWS.
async fn sent(replicas: &Replicas, leader: usize) -> Result<()> {
    let aws = &replicas.at(leader)?.aws;
    replicas
        .until("a call on its way", DEADLINE, || match aws.held() {
            0 => Err("none".to_owned()),
            _ => Ok(()),
        })
        .await
}

#[tokio::test]
async fn a_create_that_arrives_after_the_leader_has_changed_makes_nothing_twice() -> Result<()> {
    let mut replicas = three().await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let name = replicas.at(leader)?.name.clone();
    replicas.at(leader)?.aws.delay(Direction::Up, LATE);
    replicas.site.create(["late".to_owned()], json!({})).await?;
    sent(&replicas, leader).await?;
    replicas.take(leader)?.kill()?;
    let first = replicas
        .until("the new leader's create", DEADLINE, || replicas.first("CreateQueue", "late").ok_or("none".to_owned()))
        .await?;
    ensure!(first.replica != name, "the late one came first: {}", replicas.explain(anyhow::anyhow!("")));
    replicas
        .until("the late create", DEADLINE, || {
            let calls = replicas.mutations().into_iter();
            let mut late = calls.filter(|call| call.replica == name && call.queue == "late");
            late.next().ok_or("it has not come".to_owned())
        })
        .await?;
    replicas.settled(DEADLINE).await
}

#[tokio::test]
async fn a_change_that_arrives_after_the_leader_has_changed_is_corrected() -> Result<()> {
    // With one object, the call after a look is the change, where that look is not a poll that began before it.
    let mut replicas = started(site().await?.env("RECONCILE_FREQUENCY_SECONDS", "15"), 3).await?;
    make(&replicas, "old", 1).await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let (name, site) = (replicas.at(leader)?.name.clone(), &replicas.site);
    let seen = async |what: &str, operation: &str, finished: bool| {
        let calls = || site.fake.calls_of(operation).into_iter().filter(|call| call.finished.is_some() == finished);
        replicas.until(what, DEADLINE, || calls().next().ok_or("no call".to_owned())).await
    };
    seen("its tags to be read, as they are before a change", "ListQueueTags", true).await?;
    // It sees what is to be changed; then its packets become late.
    site.fake.fault(Fault::new("GetQueueAttributes", Effect::HoldReply).always());
    site.change("old-0", json!({ "delaySeconds": 5 })).await?;
    seen("a look that is held", "GetQueueAttributes", false).await?;
    replicas.at(leader)?.aws.delay(Direction::Up, LATE);
    site.fake.clear_faults();
    site.fake.release();
    sent(&replicas, leader).await?;
    replicas.take(leader)?.kill()?;
    let site = &replicas.site;
    site.change("old-0", json!({ "delaySeconds": 6 })).await?;
    let delay = || {
        let queue = site.fake.queue(&site.account, "eu-west-1", "old-0");
        queue.and_then(|queue| queue.attributes.get("DelaySeconds").cloned())
    };
    let until = async |what: &str, value: &str| {
        replicas
            .until(what, DEADLINE, || match delay() {
                Some(now) if now == value => Ok(()),
                other => Err(format!("{other:?}")),
            })
            .await
    };
    until("the new leader's change", "6").await?;
    replicas
        .until("the late change", DEADLINE, || {
            let calls = replicas.mutations().into_iter();
            let mut late = calls.filter(|call| call.replica == name && call.operation == "SetQueueAttributes");
            late.next().ok_or("it has not come".to_owned())
        })
        .await?;
    until("the late change to be corrected", "6").await?;
    replicas.settled(DEADLINE).await
}

#[tokio::test]
async fn slow_packets_to_the_api_server_lose_no_lease() -> Result<()> {
    let replicas = three().await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let holder = replicas.holders.holder(&lease_of(0));
    for index in 0..3 {
        replicas.at(index)?.api.delay(Direction::Up, secs(1) / 4);
        replicas.at(index)?.api.delay(Direction::Down, secs(1) / 4);
    }
    make(&replicas, "slow", 5).await?;
    tokio::time::sleep(LEASE + secs(4)).await;
    make(&replicas, "slower", 5).await?;
    ensure!(
        replicas.holders.holder(&lease_of(0)) == holder,
        "{}",
        replicas.explain(anyhow::anyhow!("it changed hands"))
    );
    ensure!(replicas.at(leader)?.operator()?.healthz().await?.0 == 200);
    replicas.check_apart()
}

/// The connections that there are freeze, as where a firewall forgets them; new ones pass.
#[tokio::test]
async fn a_frozen_connection_is_found_out_about() -> Result<()> {
    let replicas = three().await?;
    let leader = replicas.leader(0, DEADLINE).await?;
    let begun = Instant::now();
    for index in 0..3 {
        replicas.at(index)?.api.freeze_existing();
    }
    // Only a watch can tell of a new object.
    replicas.site.create(["after".to_owned()], json!({})).await?;
    let mut dead: Option<(Duration, String)> = None;
    let ready = eventually("the new object to be ready", secs(75), async || {
        for index in 0..3 {
            let health = match replicas.at(index) {
                Ok(replica) => replica.operator().map(|operator| operator.healthz()),
                Err(error) => Err(error),
            };
            let (status, body) = health.map_err(|e| e.to_string())?.await.map_err(|error| format!("{error:#}"))?;
            if status != 200 && dead.is_none() {
                dead = Some((begun.elapsed(), format!("replica {index}: {body}")));
            }
        }
        replicas.site.seen("after").and_then(|seen| seen.ready).ok_or(format!("not yet; liveness: {dead:?}"))
    });
    let ready = ready.await.map_err(|error| replicas.explain(error))?;
    println!("a frozen connection: a new object was ready after {:.1?}; not alive: {dead:?}", ready - begun);
    ensure!(ready - begun < secs(65), "it took {:?}; not alive: {dead:?}", ready - begun);
    // Whoever has led meanwhile, the Lease was not lost by connections alone.
    let now = replicas.leader(0, DEADLINE).await?;
    println!("led by {leader} before, and by {now} after");
    well(&replicas).await
}
