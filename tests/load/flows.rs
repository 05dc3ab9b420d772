//! One region in trouble: the others go on.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Budget, Latency, RoleSettings, Scope, Trouble},
    site::reason,
};
use serde_json::json;

use crate::{DEADLINE, names, site};

const BAD: &str = "us-east-1";

#[tokio::test]
async fn a_slow_region_does_not_hold_up_another() -> Result<()> {
    let mut site = site().await?;
    site.fake.latency(Scope::region(BAD), Latency::fixed(Duration::from_secs(5)));
    site.create(names("slow", 100), json!({ "region": BAD })).await?;
    site.start().await?;
    site.until("calls to the slow region", DEADLINE, || {
        let slow = site.fake.calls().into_iter().filter(|call| call.region == BAD).count();
        if slow >= 16 { Ok(()) } else { Err(format!("{slow}")) }
    })
    .await?;
    site.create(names("well", 20), json!({})).await?;
    site.until_ready("well", 20, DEADLINE).await?;
    ensure!(site.ready("slow") < 100, "the slow ones were first, so this shows nothing");
    // A flow's cap holds.
    let running = site.metric(&format!("fairlead_flow_running{{account=\"{}\",region=\"{BAD}\"", site.account)).await?;
    ensure!(running.is_some_and(|running| running <= 16.0), "{running:?} run in the slow region");
    Ok(())
}

#[tokio::test]
async fn a_throttled_region_slows_itself_alone_and_recovers() -> Result<()> {
    let mut site = site().await?;
    site.fake.budget(Scope::region(BAD), Budget::new(2.0, 2.0));
    site.create(names("throttled", 60), json!({ "region": BAD })).await?;
    site.start().await?;
    site.until("a throttle", DEADLINE, || match site.fake.throttled() {
        0 => Err("none".to_owned()),
        _ => Ok(()),
    })
    .await?;
    site.create(names("well", 20), json!({})).await?;
    site.until_ready("well", 20, DEADLINE).await?;
    ensure!(site.ready("throttled") < 60, "the throttled ones were first, so this shows nothing");
    let begins = format!("fairlead_flow_rate{{account=\"{}\",region=\"{BAD}\"", site.account);
    let rate = site.metric(&begins).await?;
    ensure!(rate.is_some_and(|rate| rate < 25.0), "the rate has learned nothing: {rate:?}");
    site.fake.budget(Scope::region(BAD), None);
    site.until_ready("throttled", 60, DEADLINE).await?;
    Ok(())
}

#[tokio::test]
async fn a_region_that_does_not_answer_costs_probes_and_says_so() -> Result<()> {
    let mut site = site().await?;
    site.fake.trouble(Scope::region(BAD), Trouble::Closed);
    site.create(names("dark", 40), json!({ "region": BAD })).await?;
    site.start().await?;
    let open = format!("fairlead_flow_circuit_open{{account=\"{}\",region=\"{BAD}\"", site.account);
    fairlead_harness::wait::eventually("the circuit to open", DEADLINE, async || match site.metric(&open).await {
        Ok(Some(1.0)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    // Calls that were under way when it opened still come in.
    let running = format!("fairlead_flow_running{{account=\"{}\",region=\"{BAD}\"", site.account);
    fairlead_harness::wait::eventually("what was under way to end", DEADLINE, async || {
        match site.metric(&running).await {
            Ok(Some(running)) if running <= 1.0 => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await?;
    let calls = || site.fake.calls().into_iter().filter(|call| call.region == BAD).count();
    let (before, since) = (calls(), Instant::now());
    // Each that waits is told why, without a call; one in another region is served.
    site.create(names("late", 10), json!({ "region": BAD })).await?;
    site.create(names("well", 10), json!({})).await?;
    site.until_ready("well", 10, DEADLINE).await?;
    site.until("all late ones to say why", DEADLINE, || {
        let told = names("late", 10).filter(|name| {
            let object = site.seen(name).map(|seen| seen.object).unwrap_or_default();
            ["AWSUnreachable", "AWSError"].contains(&reason(&object, "Synced"))
        });
        let told = told.count();
        if told == 10 { Ok(()) } else { Err(format!("{told} of 10")) }
    })
    .await?;
    // The pauses between probes double, from 5 s on; one probe may be under way at either end.
    let (probes, elapsed) = (calls() - before, since.elapsed());
    let due = (elapsed.as_secs_f64() / 5.0 + 1.0).log2().floor();
    ensure!(probes as f64 <= due + 2.0, "{probes} calls in {elapsed:?} while the circuit was open");
    let log = site.operator()?.log();
    ensure!(log.matches("AWS does not answer: calls are held back").count() == 1, "{log}");
    site.fake.trouble(Scope::region(BAD), None);
    site.until_ready("dark", 40, DEADLINE).await?;
    site.until_ready("late", 10, DEADLINE).await?;
    Ok(())
}

/// As the one above, where calls get no answer at all and end by their time-out.
#[tokio::test]
async fn a_black_hole_takes_some_slots_then_one() -> Result<()> {
    let mut site = site().await?;
    site.fake.trouble(Scope::region(BAD), Trouble::BlackHole);
    site.create(names("dark", 40), json!({ "region": BAD })).await?;
    site.start().await?;
    let calls = || site.fake.calls().into_iter().filter(|call| call.region == BAD).count();
    site.until("calls into the dark", DEADLINE, || if calls() >= 16 { Ok(()) } else { Err(calls().to_string()) })
        .await?;
    site.create(names("well", 20), json!({})).await?;
    site.until_ready("well", 20, DEADLINE).await?;
    ensure!(calls() == 16, "{} calls into the dark at once", calls());
    let open = format!("fairlead_flow_circuit_open{{account=\"{}\",region=\"{BAD}\"", site.account);
    fairlead_harness::wait::eventually("the circuit to open", DEADLINE, async || match site.metric(&open).await {
        Ok(Some(1.0)) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    site.fake.trouble(Scope::region(BAD), None);
    site.until_ready("dark", 40, DEADLINE).await?;
    Ok(())
}

#[tokio::test]
async fn expired_credentials_of_one_account_do_not_hold_up_another() -> Result<()> {
    const OTHER: &str = "444455556666";
    let mut site = site().await?;
    let arn = format!("arn:aws:iam::{OTHER}:role/fairlead");
    site.fake.role(&arn, RoleSettings::default())?;
    let account = format!("other-{}", site.namespace);
    let manifest = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "AWSAccount", "metadata": { "name": account },
        "spec": { "roleARN": arn, "allowedNamespaces": [site.namespace] },
    });
    site.cluster.kubectl_apply(&manifest.to_string()).await?;
    site.fake.trouble(Scope::account(OTHER), Trouble::ExpiredCredentials);
    site.create(names("expired", 60), json!({ "accountRef": { "name": account } })).await?;
    site.start().await?;
    site.until("a condition that says so", DEADLINE, || {
        let object = site.seen("expired-0").map(|seen| seen.object).unwrap_or_default();
        let why = reason(&object, "Synced").to_owned();
        if why == "CredentialsError" { Ok(()) } else { Err(why) }
    })
    .await?;
    site.create(names("well", 20), json!({})).await?;
    site.until_ready("well", 20, DEADLINE).await?;
    ensure!(site.ready("expired") == 0, "some were ready with expired credentials");
    site.fake.trouble(Scope::account(OTHER), None);
    site.until_ready("expired", 60, DEADLINE).await?;
    ensure!(
        site.fake.queues(OTHER, "eu-west-1").len() == 60 && site.fake.queues(&site.account, "eu-west-1").len() == 20
    );
    Ok(())
}
