//! Leases that people edit, names that are used twice, and counts of shards that differ.

use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    fake_aws::{Effect, Fault},
    replicas::{Replicas, lease_of},
    wait::eventually,
};
use k8s_openapi::api::coordination::v1::Lease;
use kube::{
    Api,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};

use crate::{DEADLINE, LEASE, churn::Churn, make, secs, site, started, three, well};

/// What somebody does to a Lease.
#[derive(Clone, Copy, Debug)]
enum Hand {
    /// Names another holder.
    Rename,
    /// Empties the holder, without saying that it was released.
    Empty,
    /// Deletes it.
    Delete,
}

async fn touch(replicas: &Replicas, hand: Hand) -> Result<()> {
    let leases: Api<Lease> = Api::namespaced(replicas.site.admin(), &replicas.site.leases);
    let holder = |holder: Value| Patch::Merge(json!({ "spec": { "holderIdentity": holder } }));
    let (name, params) = (lease_of(0), PatchParams::default());
    match hand {
        Hand::Rename => drop(leases.patch(&name, &params, &holder(json!("somebody-else_12345678"))).await?),
        Hand::Empty => drop(leases.patch(&name, &params, &holder(json!(""))).await?),
        Hand::Delete => drop(leases.delete(&name, &DeleteParams::default()).await?),
    }
    Ok(())
}

/// Whatever was done, the Lease counts as held: nobody claims it before its time.
async fn survives(hand: Hand) -> Result<()> {
    let replicas = three().await?;
    let churn = Churn::start(&replicas);
    tokio::time::sleep(secs(1)).await;
    let begun = Instant::now();
    touch(&replicas, hand).await?;
    let claim = replicas
        .until("a new epoch", DEADLINE, || {
            let records = replicas.holders.records().into_iter().filter(|it| it.lease == lease_of(0));
            let mut after = records.skip_while(|it| !is_of(hand, it)).filter(|it| !it.deleted);
            let ours = |holder: &str| replicas.by_identity(holder).is_some();
            let claim = after.find(|it| it.holder.as_deref().is_some_and(ours));
            claim.ok_or("none".to_owned())
        })
        .await?;
    let waited = claim.written.context("it does not say when it was written")?.saturating_duration_since(begun);
    ensure!(waited >= LEASE, "claimed after {waited:?}: {}", replicas.explain(anyhow::anyhow!("{hand:?}")));
    println!("{hand:?}: claimed after {waited:.2?}");
    churn.stop().await?;
    well(&replicas).await
}

/// Whether a record is what was made by hand.
fn is_of(hand: Hand, record: &fairlead_harness::replicas::holders::Record) -> bool {
    match hand {
        Hand::Rename => record.holder.as_deref() == Some("somebody-else_12345678"),
        Hand::Empty => record.holder.is_none() && !record.released,
        Hand::Delete => record.deleted,
    }
}

#[tokio::test]
async fn a_lease_that_names_somebody_else_is_waited_for() -> Result<()> {
    survives(Hand::Rename).await
}

#[tokio::test]
async fn a_lease_that_was_emptied_is_waited_for() -> Result<()> {
    survives(Hand::Empty).await
}

#[tokio::test]
async fn a_lease_that_was_deleted_is_waited_for() -> Result<()> {
    survives(Hand::Delete).await
}

#[tokio::test]
async fn two_processes_of_one_name_are_told_apart() -> Result<()> {
    let site = site().await?;
    let mut replicas = Replicas::new(site, 2).await?;
    for index in 0..2 {
        let spec = replicas.spec(index)?.env("FAIRLEAD_IDENTITY", "twin");
        replicas.start_as(index, &spec)?;
    }
    for index in 0..2 {
        replicas.ready(index, DEADLINE).await?;
    }
    let (one, two) = (replicas.at(0)?.identity()?.to_owned(), replicas.at(1)?.identity()?.to_owned());
    ensure!(one != two && one.starts_with("twin_") && two.starts_with("twin_"), "{one} {two}");
    let leader = replicas.leader(0, DEADLINE).await?;
    make(&replicas, "old", 5).await?;
    ensure!(replicas.mutations().iter().all(|call| call.replica == format!("replica-{leader}")));
    let gone = Instant::now();
    replicas.take(leader)?.kill()?;
    let churn = Churn::start(&replicas);
    let next = 1 - leader;
    let heir = replicas.at(next)?.identity()?.to_owned();
    replicas
        .until("the other to lead", DEADLINE, || match replicas.holders.holder(&lease_of(0)) {
            Some(holder) if holder == heir => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await?;
    ensure!(gone.elapsed() > LEASE - secs(3), "a namesake's Lease was taken for its own: {:?}", gone.elapsed());
    churn.stop().await?;
    well(&replicas).await
}

#[tokio::test]
async fn another_count_of_shards_is_refused_with_the_way_out() -> Result<()> {
    let mut replicas = started(site().await?, 1).await?;
    make(&replicas, "old", 2).await?;
    let kubeconfig = replicas.site.cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
    let endpoint = replicas.site.fake.url();
    let other =
        replicas.site.spec(&kubeconfig, &endpoint).env("FAIRLEAD_SHARDS", "16").env("FAIRLEAD_IDENTITY", "other");
    let operator = fairlead_harness::operator::Operator::start(&other)?;
    let code = operator.exit_code(DEADLINE).await?;
    let log = operator.log();
    ensure!(code == 1 && log.contains("FAIRLEAD_SHARDS") && log.contains("scale"), "{code} {log}");
    // Nothing has come of it for the one that runs, and scaled to zero the other is taken.
    make(&replicas, "new", 2).await?;
    let old = replicas.take(0)?;
    old.terminate()?;
    old.exit_code(DEADLINE).await?;
    Ok(())
}

/// What all these tests rely on: two that lead the same objects would be found out.
#[tokio::test]
async fn two_that_do_not_share_their_leases_are_found_out() -> Result<()> {
    let mut replicas = Replicas::new(site().await?, 2).await?;
    for index in 0..2 {
        let leases = replicas.site.cluster.lease_namespace().await?;
        replicas.site.cluster.grant_leases(&leases, "fairlead").await?;
        let spec = replicas.spec(index)?.env("FAIRLEAD_NAMESPACE", leases);
        replicas.start_as(index, &spec)?;
    }
    let both = eventually("both to lead", DEADLINE, async || match replicas.led().await {
        Ok(led) if led.iter().all(|led| led.len() == 1) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    both.await.map_err(|error| replicas.explain(error))?;
    replicas.site.create((0..3).map(|number| format!("both-{number}")), json!({ "delaySeconds": 1 })).await?;
    replicas.settled(DEADLINE).await?;
    // Versions of the object keep two from writing it, and so from creating its queue: drift needs no write.
    let site = &replicas.site;
    site.fake.fault(Fault::new("SetQueueAttributes", Effect::Delay(secs(5))).always());
    for number in 0..3 {
        site.fake.set_attribute(&site.account, "eu-west-1", &format!("both-{number}"), "DelaySeconds", "7")?;
    }
    let found = eventually("two at once", DEADLINE, async || match replicas.check_apart() {
        Err(_) => Ok(()),
        Ok(()) => Err("no two yet".to_owned()),
    });
    found.await.map_err(|error| replicas.explain(error))
}
