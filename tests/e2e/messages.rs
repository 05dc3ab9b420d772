//! Message counts: read at each look, written as often as the settings say.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use kube::api::DynamicObject;
use serde_json::json;

use crate::world::{Aws, World};

/// Visible, in flight, delayed: as the status says; -1 where it does not.
fn counts(object: &DynamicObject) -> [i64; 3] {
    ["visibleMessages", "inFlightMessages", "delayedMessages"]
        .map(|field| object.data["status"][field].as_i64().unwrap_or(-1))
}

async fn until_counts(world: &World, expected: [i64; 3]) -> Result<()> {
    world.until("orders", &format!("{expected:?} messages"), |object| counts(object) == expected).await?;
    Ok(())
}

async fn send(world: &World, url: &str, delay: i32) -> Result<()> {
    world.sqs().send_message().queue_url(url).message_body("x").delay_seconds(delay).send().await?;
    Ok(())
}

/// A world whose operator looks every second, and writes counts as `interval` says; a queue in it
/// that is in sync, and its URL.
async fn with_count_interval(interval: &str) -> Result<(World, String)> {
    let mut world = World::new(Aws::Ministack).await?.env("FAIRLEAD_COUNT_INTERVAL", interval);
    world.start_operator().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let url = world.queue_url(&world.aws_name("orders")).await?.context("no queue")?;
    Ok((world, url))
}

/// The world sets RECONCILE_FREQUENCY_SECONDS to 1 and not FAIRLEAD_COUNT_INTERVAL: what the user
/// said of the frequency holds for counts too, in place of the minute that is their default.
#[tokio::test]
async fn counts_follow_the_queue_as_often_as_the_user_says() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    assert_eq!(counts(&world.in_sync("orders").await?), [0, 0, 0], "zeros are written");
    let url = world.queue_url(&world.aws_name("orders")).await?.context("no queue")?;
    for delay in [0, 0, 0, 900] {
        send(&world, &url, delay).await?;
    }
    until_counts(&world, [3, 0, 1]).await?;
    let received = world.sqs().receive_message().queue_url(&url).max_number_of_messages(1).send().await?;
    until_counts(&world, [2, 1, 1]).await?;
    let handle = received.messages().first().and_then(|message| message.receipt_handle()).context("no message")?;
    world.sqs().delete_message().queue_url(&url).receipt_handle(handle).send().await?;
    until_counts(&world, [2, 0, 1]).await?;
    let wide = world.cluster.kubectl(&["get", "sqs", "-n", &world.namespace, "-o", "wide"]).await?;
    let cells: Vec<_> = wide.lines().nth(1).context("no line")?.split_whitespace().collect();
    assert_eq!((cells[3], &cells[9..]), ("2", ["0", "1"].as_slice()), "{wide}");
    world.sqs().purge_queue().queue_url(&url).send().await?;
    until_counts(&world, [0, 0, 0]).await?;
    world.told("orders", &["Created"]).await
}

#[tokio::test]
async fn counts_are_written_with_other_changes_alone_where_that_is_asked() -> Result<()> {
    only_with_other_changes("off").await
}

#[tokio::test]
async fn counts_are_not_written_before_their_time() -> Result<()> {
    only_with_other_changes("3600").await
}

async fn only_with_other_changes(interval: &str) -> Result<()> {
    let (world, url) = with_count_interval(interval).await?;
    world.resyncs(1).await?;
    let before = world.queues().get("orders").await?;
    send(&world, &url, 0).await?;
    world.resyncs(3).await?;
    let after = world.queues().get("orders").await?;
    assert_eq!(after.metadata.resource_version, before.metadata.resource_version, "no write");
    assert_eq!(counts(&after), [0, 0, 0]);
    let object = world.set("orders", json!({ "delaySeconds": 1 })).await?;
    assert_eq!(counts(&object), [1, 0, 0], "what is written anyhow is up to date");
    Ok(())
}

#[tokio::test]
async fn counts_that_change_often_are_written_once_in_their_interval() -> Result<()> {
    let (world, url) = with_count_interval("4").await?;
    let (mut last, mut written) = (0, Vec::new());
    for _ in 0..3 {
        send(&world, &url, 0).await?;
        let object = world.until("orders", "another count", |object| counts(object)[0] > last).await?;
        last = counts(&object)[0];
        written.push(Instant::now());
    }
    for pair in written.windows(2) {
        // Without the interval it would be the next look, within a second.
        let pause = pair[1] - pair[0];
        ensure!(pause > Duration::from_millis(2_900), "{written:?}");
    }
    Ok(())
}
