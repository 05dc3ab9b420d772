//! Others that write the same object by server-side apply: nobody loses a field, nobody fights.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::{
    scene::IDENTITY,
    world::{Aws, World, condition, is, observed},
};

/// What Argo CD does at every sync.
async fn sync(world: &World, manifest: &std::path::Path, force: bool) -> Result<()> {
    let path = manifest.display().to_string();
    let mut args = vec!["apply", "--server-side", "--field-manager=argocd", "-n", &world.namespace, "-f", &path];
    if force {
        args.push("--force-conflicts");
    }
    world.cluster.kubectl(&args).await.map(drop)
}

#[tokio::test]
async fn repeated_applies_change_nothing_and_lose_nothing() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let directory = std::env::temp_dir().join(format!("fairlead-{}-{}", world.namespace, std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let manifest = directory.join("orders.yaml");
    std::fs::write(
        &manifest,
        "{apiVersion: aws.fairlead.dev/v1alpha1, kind: SQSQueue, metadata: {name: orders, labels: {app: shop}, \
         annotations: {example.com/owner: them}}, spec: {delaySeconds: 3}}",
    )?;
    sync(&world, &manifest, false).await?;
    world.in_sync("orders").await?;
    let theirs = json!({ "status": { "conditions": [{
        "type": "Audited", "status": "True", "reason": "Checked", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }] } });
    let theirs = Patch::Apply(json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": "orders" },
        "status": theirs["status"],
    }));
    world.queues().patch_status("orders", &PatchParams::apply("auditor"), &theirs).await?;
    world.looked_at(&world.aws_name("orders"), 2).await?;
    let settled = world.object("orders").await?;
    ensure!(is(&settled, "Audited", "True") && is(&settled, "Ready", "True"), "{}", settled.data);

    for force in [false, true, false] {
        sync(&world, &manifest, force).await?;
        world.looked_at(&world.aws_name("orders"), 2).await?;
        let object = world.object("orders").await?;
        ensure!(
            object.metadata.resource_version == settled.metadata.resource_version,
            "written by somebody: {:?}\n{}",
            object.metadata.managed_fields,
            object.data
        );
    }
    // A real change goes through, and takes nothing of ours or theirs away.
    std::fs::write(&manifest, std::fs::read_to_string(&manifest)?.replace("delaySeconds: 3", "delaySeconds: 4"))?;
    sync(&world, &manifest, false).await?;
    let object = world
        .until("orders", "the change is in effect", |object| {
            observed(object) && is(object, "Synced", "True") && object.data["spec"]["delaySeconds"] == 4
        })
        .await?;
    ensure!(world.attributes(&world.aws_name("orders")).await?["DelaySeconds"] == "4");
    ensure!(condition(&object, "Audited")["reason"] == "Checked", "{}", object.data);
    let annotations = object.metadata.annotations.unwrap_or_default();
    ensure!(annotations.contains_key(IDENTITY) && annotations["example.com/owner"] == "them", "{annotations:?}");
    ensure!(object.metadata.finalizers == Some(vec!["aws.fairlead.dev/finalizer".to_owned()]));
    ensure!(object.data["spec"] == json!({ "delaySeconds": 4 }), "the spec is theirs alone: {}", object.data);
    std::fs::remove_dir_all(&directory)?;
    Ok(())
}

#[tokio::test]
async fn a_deletion_by_another_manager_keeps_others_finalizers() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let finalizers = ["example.com/hold", "aws.fairlead.dev/finalizer"];
    world.patch("orders", json!({ "metadata": { "finalizers": finalizers } })).await?;
    world.ask_deletion("orders").await?;
    let object = world
        .until("orders", "released by us", |object| {
            object.metadata.finalizers == Some(vec!["example.com/hold".to_owned()])
        })
        .await?;
    ensure!(object.metadata.deletion_timestamp.is_some());
    ensure!(world.queue_url(&world.aws_name("orders")).await?.is_none());
    world.patch("orders", json!({ "metadata": { "finalizers": null } })).await?;
    world.gone("orders").await
}
