//! What disturbs a whole control plane: CRDs that go, AWS that is away, an API server that stops,
//! permissions that are missing. The tests take turns on a control plane of their own.

#[allow(dead_code, reason = "shared with the end-to-end suite, which uses all of it")]
#[path = "../e2e/account_steps.rs"]
mod account_steps;
mod accounts;
mod apiserver;
mod aws;
mod crd;
mod rbac;
#[allow(dead_code, reason = "shared with the end-to-end suite, which uses all of it")]
#[path = "../e2e/scene.rs"]
mod scene;
#[allow(dead_code, reason = "shared with the end-to-end suite, which uses all of it")]
#[path = "../e2e/world.rs"]
mod world;

use anyhow::{Result, ensure};
use fairlead::kinds::{rds_instance::api::RDSInstance, sqs_queue::api::SQSQueue};
use fairlead_harness::{operator::Operator, wait::eventually};
use kube::{
    Api, ResourceExt as _,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams},
};
use serde_json::json;
use tokio::sync::{Mutex, MutexGuard};

use world::{Aws, DEADLINE, World};

/// Waits until no other test disturbs the control plane, and removes what the last one has left.
async fn turn() -> Result<MutexGuard<'static, ()>> {
    static TURN: Mutex<()> = Mutex::const_new(());
    let turn = TURN.lock().await;
    let world = World::new(Aws::Ministack).await?;
    for resource in [ApiResource::erase::<SQSQueue>(&()), ApiResource::erase::<RDSInstance>(&())] {
        let everywhere: Api<DynamicObject> = Api::all_with(world.admin.clone(), &resource);
        for object in everywhere.list(&Default::default()).await? {
            // Its operator is gone with its test.
            let namespace = object.namespace().unwrap_or_default();
            let there: Api<DynamicObject> = Api::namespaced_with(world.admin.clone(), &namespace, &resource);
            let released = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
            there.patch(&object.name_any(), &PatchParams::default(), &released).await?;
            if object.metadata.deletion_timestamp.is_none() {
                there.delete(&object.name_any(), &DeleteParams::default()).await?;
            }
        }
    }
    for account in world.accounts().list(&Default::default()).await? {
        let released = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        world.accounts().patch(&account.name_any(), &PatchParams::default(), &released).await?;
        world.accounts().delete(&account.name_any(), &DeleteParams::default()).await?;
    }
    Ok(turn)
}

/// Starts an operator as this service account of `fairlead-system`, and does not wait.
async fn operator(world: &World, account: &str) -> Result<Operator> {
    world.launch(account).await
}

/// Waits until the operator is alive, not ready, and says all of `words`.
async fn unready(operator: &Operator, words: &[&str]) -> Result<()> {
    let what = format!("/readyz to say {words:?}");
    let said = eventually(&what, DEADLINE, async || match operator.readyz().await {
        Ok((503, body)) if words.iter().all(|word| body.contains(word)) => Ok(()),
        other => Err(format!("{other:?}")),
    });
    said.await.map_err(|error| operator.explain(error))?;
    ensure!(operator.healthz().await?.0 == 200, "not ready is not dead");
    Ok(())
}
