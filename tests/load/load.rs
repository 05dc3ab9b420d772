//! Many objects at once: nothing is lost, nothing is made twice, and users go first.

use std::time::Duration;

use anyhow::{Result, ensure};
use fairlead_harness::{
    fake_aws::{Budget, Latency, Scope},
    site::Site,
    wait::eventually,
};
use serde_json::json;

use crate::{DEADLINE, names, site, turn};

/// Beyond what any of these tests reaches.
const FAST: &str = "10000";

fn calls(site: &Site) -> u64 {
    let operations = ["CreateQueue", "GetQueueAttributes", "ListQueueTags", "SetQueueAttributes", "TagQueue"];
    operations.into_iter().map(|operation| site.fake.count("sqs", operation)).sum()
}

#[tokio::test]
async fn a_burst_of_five_thousand_is_made_once_each() -> Result<()> {
    let _turn = turn().await;
    let mut site = site().await?.env("FAIRLEAD_FLOW_RATE", FAST);
    site.create(names("burst", 5_000), json!({})).await?;
    site.start().await?;
    site.until_ready("burst", 5_000, DEADLINE * 2).await?;
    ensure!(site.fake.count("sqs", "CreateQueue") == 5_000, "{} creates", site.fake.count("sqs", "CreateQueue"));
    ensure!(site.fake.queues(&site.account, "eu-west-1").len() == 5_000);
    ensure!(site.metric("sqs_total_queues ").await? == Some(5_000.0));
    Ok(())
}

#[tokio::test]
async fn a_stop_in_the_middle_of_a_burst_loses_nothing() -> Result<()> {
    let _turn = turn().await;
    let mut site = site().await?.env("FAIRLEAD_FLOW_RATE", FAST);
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(50)));
    site.create(names("burst", 400), json!({})).await?;
    site.start().await?;
    site.until("some of the queues", DEADLINE, || match site.fake.count("sqs", "CreateQueue") {
        some @ 50.. => Ok(some),
        few => Err(few.to_string()),
    })
    .await?;
    let operator = site.take_operator()?;
    operator.terminate()?;
    ensure!(operator.exit_code(DEADLINE).await? == 0);
    let made = site.fake.count("sqs", "CreateQueue");
    ensure!(made < 400, "all were made before the stop, so this shows nothing");
    site.start().await?;
    site.until_ready("burst", 400, DEADLINE).await?;
    ensure!(site.fake.count("sqs", "CreateQueue") == 400, "{} creates", site.fake.count("sqs", "CreateQueue"));
    Ok(())
}

#[tokio::test]
async fn where_aws_allows_fifty_calls_a_second_few_are_throttled() -> Result<()> {
    let _turn = turn().await;
    let mut site = site().await?;
    site.fake.budget(Scope::all(), Budget::new(50.0, 50.0));
    site.create(names("many", 500), json!({})).await?;
    site.start().await?;
    site.until_ready("many", 500, DEADLINE).await?;
    let (throttled, calls) = (site.fake.throttled(), calls(&site));
    // Counted with those that were throttled.
    ensure!(throttled * 100 <= calls * 3, "{throttled} of {calls} calls were throttled");
    ensure!(site.fake.queues(&site.account, "eu-west-1").len() == 500);
    Ok(())
}

#[tokio::test]
async fn changes_and_deletions_overtake_polls() -> Result<()> {
    let _turn = turn().await;
    let mut site = site().await?.env("FAIRLEAD_FLOW_RATE", FAST);
    site.create(names("polled", 600), json!({})).await?;
    site.start().await?;
    site.until_ready("polled", 600, DEADLINE).await?;
    // From now on there are far more polls than the rate allows.
    let operator = site.take_operator()?;
    operator.terminate()?;
    operator.exit_code(DEADLINE).await?;
    let mut site = site.env("FAIRLEAD_FLOW_RATE", "20").env("RECONCILE_FREQUENCY_SECONDS", "5");
    site.start().await?;
    let looks = site.fake.count("sqs", "GetQueueAttributes");
    site.until("polls", DEADLINE, || match site.fake.count("sqs", "GetQueueAttributes") - looks {
        some @ 40.. => Ok(some),
        few => Err(few.to_string()),
    })
    .await?;
    for number in 0..10 {
        let (changed, deleted) = (format!("polled-{number}"), format!("polled-{}", 300 + number));
        let before = site.fake.count("sqs", "GetQueueAttributes");
        site.change(&changed, json!({ "delaySeconds": 5 })).await?;
        site.delete([deleted.clone()]).await?;
        site.until("the change and the deletion", DEADLINE, || {
            let queue = site.fake.queue(&site.account, "eu-west-1", &changed);
            let delay = queue.and_then(|queue| queue.attributes.get("DelaySeconds").cloned());
            let gone = site.fake.queue(&site.account, "eu-west-1", &deleted).is_none();
            if delay.as_deref() == Some("5") && gone { Ok(()) } else { Err(format!("delay {delay:?}, gone {gone}")) }
        })
        .await?;
        let between = site.fake.count("sqs", "GetQueueAttributes") - before;
        ensure!(between < 60, "{between} looks went before a change, of 600 that waited");
    }
    // A queue counts from its first look on.
    let begins = format!("fairlead_flow_poll_stretch{{account=\"{}\"", site.account);
    eventually("polls to be stretched", DEADLINE, async || match site.metric(&begins).await {
        Ok(Some(stretch)) if stretch > 1.5 => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    ensure!(site.operator()?.log().contains("they are stretched"), "no log line says so");
    Ok(())
}
