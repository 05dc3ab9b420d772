//! How long it takes from a leader's end to the first reconcile by its successor: measured.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Effect, Fault},
    replicas::{
        Replicas,
        holders::{ROUNDED, Record},
        lease_of,
        mutations::Mutation,
    },
};
use serde_json::json;

use crate::{DEADLINE, LEASE, runs, secs, three, well};

/// What was measured, by what it means.
#[derive(Default)]
struct Times(Vec<(&'static str, Vec<Duration>)>);

impl Times {
    fn note(&mut self, what: &'static str, time: Duration) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, times)) => times.push(time),
            None => self.0.push((what, vec![time])),
        }
    }
}

impl Drop for Times {
    /// Also after a failure: what was measured until then says something.
    fn drop(&mut self) {
        for (what, times) in &mut self.0 {
            times.sort_unstable();
            let at = |percent: usize| times[(times.len() * percent).div_ceil(100).clamp(1, times.len()) - 1];
            println!("{what}: min {:.2?}, median {:.2?}, p99 {:.2?} of {}", times[0], at(50), at(99), times.len());
        }
    }
}

/// An object is created; when its first call arrives in AWS, and whose it is.
async fn created(replicas: &Replicas, name: &str) -> Result<Mutation> {
    replicas.site.create([name.to_owned()], json!({})).await?;
    replicas
        .until(&format!("CreateQueue of {name}"), DEADLINE, || {
            replicas.first("CreateQueue", name).ok_or("no call".to_owned())
        })
        .await
}

/// The record by which somebody else took the shard's Lease over from its holder before `leader`.
async fn taken(replicas: &Replicas, from: &str, since: Instant) -> Result<Record> {
    replicas
        .until("a new holder", DEADLINE, || {
            let records = replicas.holders.records();
            let taken = records.into_iter().find(|record| {
                let by = record.holder.as_deref();
                record.lease == lease_of(0) && record.at >= since && by.is_some_and(|holder| holder != from)
            });
            taken.ok_or("none".to_owned())
        })
        .await
}

/// The last time that a holder began to write the shard's Lease, as it says itself.
fn last_written(replicas: &Replicas, holder: &str) -> Option<Instant> {
    let records = replicas.holders.records().into_iter();
    records.filter(|record| record.holder.as_deref() == Some(holder)).filter_map(|record| record.written).max()
}

/// No permit of the old one can overlap with those of the new one: it began to write its last renewal at
/// least a Lease's duration before the new one began to claim.
fn apart(replicas: &Replicas, old: &str, new: &Record) -> Result<()> {
    let last = last_written(replicas, old);
    let gap = new.written.zip(last).map(|(new, last)| new.saturating_duration_since(last));
    match gap.is_some_and(|gap| gap + ROUNDED >= LEASE) {
        true => Ok(()),
        false => Err(replicas.explain(anyhow::anyhow!("claimed {gap:?} after the last renewal of {old} began"))),
    }
}

#[tokio::test]
async fn after_sigterm_a_standby_goes_on() -> Result<()> {
    let mut replicas = three().await?;
    let mut times = Times::default();
    for run in 0..runs() {
        let leader = replicas.leader(0, DEADLINE).await?;
        let name = replicas.at(leader)?.name.clone();
        let begun = Instant::now();
        replicas.at(leader)?.operator()?.terminate()?;
        let call = created(&replicas, &format!("term-{run}")).await?;
        times.note("SIGTERM to the first reconcile of a new object", call.arrived - begun);
        ensure!(call.replica != name, "one that stops has begun something new");
        let old = replicas.at(leader)?.identity()?.to_owned();
        let new = taken(&replicas, &old, begun).await?;
        let records = replicas.holders.records();
        let released = records.into_iter().find(|record| record.at >= begun && record.released);
        if let Some(released) = released {
            times.note("SIGTERM to the release", released.at - begun);
            times.note("release to the next holder", new.at - released.at);
        }
        let code = replicas.take(leader)?.exit_code(DEADLINE).await?;
        ensure!(code == 0, "it ended with {code}");
        replicas.start(leader)?;
        replicas.ready(leader, DEADLINE).await?;
        well(&replicas).await?;
    }
    Ok(())
}

#[tokio::test]
async fn after_sigkill_a_standby_goes_on() -> Result<()> {
    let mut replicas = three().await?;
    let mut times = Times::default();
    for run in 0..runs() {
        let leader = replicas.leader(0, DEADLINE).await?;
        let old = replicas.at(leader)?.identity()?.to_owned();
        let begun = Instant::now();
        replicas.take(leader)?.kill()?;
        let call = created(&replicas, &format!("kill-{run}")).await?;
        times.note("SIGKILL to the first reconcile of a new object", call.arrived - begun);
        let new = taken(&replicas, &old, begun).await?;
        apart(&replicas, &old, &new)?;
        replicas.start(leader)?;
        replicas.ready(leader, DEADLINE).await?;
        well(&replicas).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_leader_that_is_cut_off_stops_before_another_starts() -> Result<()> {
    let replicas = three().await?;
    let mut times = Times::default();
    for run in 0..runs() {
        let leader = replicas.leader(0, DEADLINE).await?;
        let old = replicas.at(leader)?.identity()?.to_owned();
        let name = replicas.at(leader)?.name.clone();
        // A change of two calls, so long that the second is under way when the time is over.
        busy(&replicas, run).await?;
        let begun = Instant::now();
        replicas.at(leader)?.api.black_hole();
        let call = created(&replicas, &format!("cut-{run}")).await?;
        let new = taken(&replicas, &old, begun).await?;
        apart(&replicas, &old, &new)?;
        let calls = replicas.mutations().into_iter().filter(|call| call.replica == name);
        if let Some(last) = calls.filter_map(|call| call.ended).filter(|ended| *ended >= begun).max() {
            times.note("partition: the end of the old leader's last change", last - begun);
            ensure!(last <= new.at, "the old leader went on: {}", replicas.explain(anyhow::anyhow!("")));
        }
        times.note("partition: the first reconcile of a new object", call.arrived - begun);
        ensure!(call.replica != name, "the old leader was not cut off");
        replicas.site.fake.clear_faults();
        replicas.at(leader)?.api.pass();
        replicas.at(leader)?.operator()?.ready(DEADLINE).await?;
        well(&replicas).await?;
        let again = replicas.mutations().into_iter().filter(|call| call.replica == name && call.arrived >= new.at);
        ensure!(again.count() == 0, "the old leader went on: {}", replicas.explain(anyhow::anyhow!("")));
    }
    Ok(())
}

/// Has five queues changed by two calls each of three seconds, of which the first is under way.
async fn busy(replicas: &Replicas, run: usize) -> Result<()> {
    let site = &replicas.site;
    for operation in ["SetQueueAttributes", "TagQueue"] {
        site.fake.fault(Fault::new(operation, Effect::Delay(secs(3))).times(5));
    }
    let under_way = || replicas.mutations().iter().filter(|call| call.ended.is_none()).count();
    for number in 0..5 {
        let spec = json!({ "delaySeconds": run + 1, "tags": { "run": run.to_string() } });
        site.change(&format!("old-{number}"), spec).await?;
    }
    replicas
        .until("five changes under way", DEADLINE, || match under_way() {
            5 => Ok(()),
            other => Err(other.to_string()),
        })
        .await
}
