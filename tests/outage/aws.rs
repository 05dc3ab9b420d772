//! AWS is away: the process stays up, says so, and goes on by itself.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::{
    operator, turn, unready,
    world::{Aws, DEADLINE, World, message, row},
};

#[tokio::test]
async fn aws_is_away_at_the_start() -> Result<()> {
    let _turn = turn().await?;
    let world = World::new(Aws::Ministack).await?;
    world.proxy.unavailable(true);
    world.create("orders", json!({})).await?;
    let operator = operator(&world, "fairlead").await?;
    unready(&operator, &["aws: AWS does not answer", "sts:GetCallerIdentity"]).await?;
    let object = world.says("orders", "AccountUnknown").await?;
    ensure!(row(&object) == "FFT-" && object.metadata.finalizers.is_none(), "{}", object.data);
    world.proxy.unavailable(false);
    operator.ready(DEADLINE).await?;
    world.in_sync("orders").await?;
    Ok(())
}

#[tokio::test]
async fn aws_goes_away_and_comes_back() -> Result<()> {
    let _turn = turn().await?;
    let world = World::start(Aws::Ministack).await?;
    world.create("old", json!({})).await?;
    world.in_sync("old").await?;
    world.proxy.unavailable(true);
    unready(world.operator()?, &["aws: AWS does not answer", "ServiceUnavailable"]).await?;
    let old = world.says("old", "AWSError").await?;
    ensure!(row(&old) == "TFT-" && message(&old, "Reconciling").contains("ServiceUnavailable"), "{}", old.data);
    world.create("new", json!({})).await?;
    let new = world.says("new", "AWSError").await?;
    ensure!(row(&new) == "FFT-", "{}", new.data);
    world.proxy.unavailable(false);
    world.operator()?.ready(DEADLINE).await?;
    world.in_sync("old").await?;
    world.in_sync("new").await?;
    Ok(())
}
