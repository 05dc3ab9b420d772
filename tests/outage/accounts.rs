//! What AWSAccounts do to everybody: the one called `default`, and several operators on one cluster.

use anyhow::{Result, ensure};
use kube::api::DeleteParams;
use serde_json::json;

use crate::{
    account_steps::{another_account, role},
    turn,
    world::{Aws, World, condition, is, message},
};

#[tokio::test]
async fn the_default_account_governs_the_operators_own_credentials() -> Result<()> {
    let _turn = turn().await?;
    let world = World::new(Aws::Ministack).await?;
    let everything = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_ADOPTION", &everything);
    world.start_operator().await?;
    world.age_queues();
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;

    let lists = json!({ "allowedNamespaces": [world.namespace], "allowedRegions": ["eu-west-1"] });
    world.create_account("default", lists).await?;
    world
        .eventually("default is known", async || match world.accounts().get("default").await {
            Ok(it) if is(&it, "Ready", "True") && it.data["status"]["objects"] == 1 => {
                let id = it.data["status"]["accountID"] == world.account.id;
                if id { Ok(()) } else { Err(it.data.to_string()) }
            }
            other => Err(format!("{other:?}")),
        })
        .await?;
    world.set("orders", json!({ "delaySeconds": 3 })).await?;
    world.create("far", json!({ "region": "us-east-1" })).await?;
    let far = world.stalled("far", "AccountNotAllowed").await?;
    ensure!(message(&far, "Stalled").contains("AWSAccount default"), "{}", far.data);
    // Its list replaces the setting's.
    world.foreign_queue(&world.aws_name("legacy"), &[], &[]).await?;
    world.create("legacy", json!({ "adoption": "Adopt" })).await?;
    let legacy = world.stalled("legacy", "AdoptionNotAllowed").await?;
    ensure!(message(&legacy, "Stalled").contains("the AWSAccount default's spec.allowAdoption"), "{}", legacy.data);

    // Nothing holds it: without it there is the operator's own account still.
    world.accounts().delete("default", &DeleteParams::default()).await?;
    world.in_sync("legacy").await?;
    world.in_sync("far").await?;
    world.set("orders", json!({ "delaySeconds": 4 })).await?;
    Ok(())
}

#[tokio::test]
async fn two_operators_share_an_account_without_a_fight() -> Result<()> {
    let _turn = turn().await?;
    let (one, two) = (World::start(Aws::Ministack).await?, World::start(Aws::Ministack).await?);
    let account = another_account().await?;
    let spec = json!({ "roleARN": role(&account), "allowedNamespaces": [one.namespace, two.namespace] });
    one.create_account("shared", spec).await?;
    for world in [&one, &two] {
        world.create("orders", json!({ "accountRef": { "name": "shared" } })).await?;
        world.in_sync("orders").await?;
    }
    let finalizers = async || one.accounts().get("shared").await.map(|it| it.metadata.finalizers.unwrap_or_default());
    ensure!(finalizers().await?.len() == 2, "{:?}", finalizers().await?);
    // What both have to say is said, a status at most every 2 s; then nobody writes, while both go on looking.
    for world in [&one, &two] {
        world.resyncs(6).await?;
    }
    let settled = one.accounts().get("shared").await?;
    for world in [&one, &two] {
        world.resyncs(5).await?;
    }
    let later = one.accounts().get("shared").await?;
    ensure!(settled.metadata.resource_version == later.metadata.resource_version, "{} {}", settled.data, later.data);
    ensure!(is(&later, "Ready", "True"), "{}", later.data);

    one.accounts().delete("shared", &DeleteParams::default()).await?;
    one.delete("orders").await?;
    let left = format!("in-use.aws.fairlead.dev/{}", two.namespace);
    one.eventually("one finalizer is left", async || match finalizers().await {
        Ok(all) if all == [left.clone()] => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    ensure!(condition(&one.accounts().get("shared").await?, "Ready")["reason"] == "InUse");
    two.delete("orders").await?;
    one.eventually("the account is gone", async || match one.accounts().get_opt("shared").await {
        Ok(None) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}
