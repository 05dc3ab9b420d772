//! Many databases are looked at together: a resync takes a call for each hundred, whatever else the account has.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    fake_aws::RdsTiming,
    wait::eventually,
};
use serde_json::json;

use crate::world::{Aws, World, is, observed};

const OURS: usize = 250;
const THEIRS: usize = 200;
const PERIOD: Duration = Duration::from_secs(20);
/// How long all of them may take to be there, on a busy machine.
const LONG: Duration = Duration::from_secs(300);
/// The attempts of one call that fails.
const ATTEMPTS: usize = 3;

#[tokio::test]
async fn a_resync_of_250_takes_three_calls() -> Result<()> {
    let mut world = World::new(Aws::Fake).await?;
    world = world.env("RECONCILE_FREQUENCY_SECONDS", &PERIOD.as_secs().to_string()).env("RUST_LOG", "info");
    world.fake()?.rds_timing(RdsTiming::at_once());
    for number in 0..THEIRS {
        world.foreign(&format!("theirs-{number:03}"), &[]).await?;
    }
    world.start_operator().await?;
    for number in 0..OURS {
        world.create(&format!("db-{number:03}"), json!({ "copyTagsToSnapshot": true })).await?;
    }
    all_in_sync(&world).await?;
    pass(PERIOD * 2).await?;

    world.proxy.clear();
    pass(PERIOD * 3).await?;
    // Whose credentials they are is asked as well, once a while.
    let calls: Vec<_> = world.proxy.calls().into_iter().filter(|call| call.service == "rds").collect();
    let most = OURS.div_ceil(100) * 3 + 1;
    eprintln!("{} calls in three periods of {OURS} databases", calls.len());
    ensure!(calls.len() <= most, "{} calls, not {most}: {:?}", calls.len(), world.operations());
    let mut seen = std::collections::BTreeSet::new();
    for call in &calls {
        ensure!(call.operation == "DescribeDBInstances", "{call:?}");
        ensure!(call.request["Filters.Filter.1.Name"] == "db-instance-id" && call.request["MaxRecords"] == "100");
        let names: Vec<_> = names_in(&call.request).collect();
        ensure!(names.len() <= 100 && names.iter().all(|name| name.starts_with(&world.namespace)), "{names:?}");
        seen.extend(names);
    }
    ensure!(seen.len() == OURS, "{} databases were looked at", seen.len());

    // What one asks for meanwhile is not kept waiting, and what is changed by hand is seen.
    world.set("db-007", json!({ "backupRetentionPeriod": 9 })).await?;
    world.drift("db-100", "CopyTagsToSnapshot", "false")?;
    world.until_setting("db-100", "CopyTagsToSnapshot", "true").await?;

    // A page fails, with all attempts: it is tried again as the page that it was.
    world.proxy.clear();
    world
        .proxy
        .fault(Fault::new("DescribeDBInstances", Effect::respond(500, "InternalFailure", "try again")).times(ATTEMPTS));
    let failing = Instant::now();
    eventually("the calls have failed", LONG, async || match failed(&world) {
        ATTEMPTS => Ok(()),
        other => Err(format!("{other} calls have failed")),
    })
    .await?;
    pass(PERIOD).await?;
    let periods = usize::try_from(failing.elapsed().as_secs() / PERIOD.as_secs()).unwrap_or_default() + 1;
    let (count, most) = (world.operations().len(), OURS.div_ceil(100) * periods + ATTEMPTS + 1);
    eprintln!("{count} calls in {:?} with a page that failed", failing.elapsed());
    ensure!(count <= most, "{count} calls, not {most}: {:?}", world.operations());
    all_in_sync(&world).await?;
    ensure!(world.writes().is_empty(), "{:?}", world.writes());

    let metrics = world.operator()?.metrics().await?;
    for (series, least, most) in [
        ("fairlead_sweeps_total{kind=\"RDSInstance\",result=\"ok\"} ", 6.0, 1e4),
        ("fairlead_sweeps_total{kind=\"RDSInstance\",result=\"server_error\"} ", 1.0, 1e2),
        ("fairlead_sweep_duration_seconds_count{kind=\"RDSInstance\"} ", 7.0, 1e4),
        ("fairlead_sweep_objects_total{kind=\"RDSInstance\"} ", 1e3, 1e5),
    ] {
        let value = metrics.lines().find_map(|line| line.strip_prefix(series)?.parse::<f64>().ok());
        ensure!(value.is_some_and(|value| (least..=most).contains(&value)), "{series}is {value:?}");
    }
    Ok(())
}

fn failed(world: &World) -> usize {
    world.proxy.calls().iter().filter(|call| call.error.is_some()).count()
}

fn names_in(request: &serde_json::Value) -> impl Iterator<Item = String> {
    let all = request.as_object().into_iter().flatten();
    all.filter(|(name, _)| name.starts_with("Filters.Filter.1.Values"))
        .filter_map(|(_, value)| value.as_str().map(str::to_owned))
}

async fn all_in_sync(world: &World) -> Result<()> {
    eventually("all are in sync", LONG, async || {
        let all = world.databases().list(&Default::default()).await.map_err(|error| error.to_string())?.items;
        let fits = |object: &&kube::api::DynamicObject| {
            observed(object) && is(object, "Ready", "True") && is(object, "Synced", "True")
        };
        match all.iter().filter(fits).count() {
            OURS => Ok(()),
            count => Err(format!("{count} of {} are", all.len())),
        }
    })
    .await
}

/// Lets real time pass: a resync has no other sign than its calls.
async fn pass(time: Duration) -> Result<()> {
    let begin = Instant::now();
    eventually("time passes", time * 2, async || match begin.elapsed() {
        passed if passed >= time => Ok(()),
        passed => Err(format!("{passed:?}")),
    })
    .await
}
