//! Databases: what waits for a window, what interrupts, and what can't be.

use anyhow::{Result, ensure};
use fairlead_harness::wait::eventually;
use kube::api::PostParams;
use serde_json::{Value, json};

use crate::world::{DEADLINE, World, is, observed};

fn manifest(name: &str, spec: &Value) -> Value {
    json!({ "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "RDSInstance", "metadata": { "name": name }, "spec": spec })
}

fn spec(more: &Value) -> Value {
    let mut spec = json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 });
    let more = more.as_object().cloned().unwrap_or_default();
    spec.as_object_mut().into_iter().for_each(|spec| spec.extend(more.clone()));
    spec
}

#[tokio::test]
async fn a_database_is_planned_and_explained() -> Result<()> {
    let mut world = World::new().await?;
    world.start_operator(&[("RECONCILE_FREQUENCY_SECONDS", "1")]).await?;
    let object = manifest("orders", &spec(&json!({})));
    world.api("RDSInstance").create(&PostParams::default(), &serde_json::from_value(object)?).await?;
    let look = async || match world.api("RDSInstance").get("orders").await {
        Ok(it) if observed(&it) && is(&it, "Ready", "True") && is(&it, "Synced", "True") => Ok(()),
        other => {
            world.fake.advance(std::time::Duration::from_secs(60));
            Err(format!("{other:?}"))
        }
    };
    eventually("orders is in sync", DEADLINE, look).await?;

    let admin = world.cluster.admin_kubeconfig();
    let args = ["explain", "rds/orders", "-n", &world.namespace, "-o", "json"];
    let ended = world.run(&admin, &args, &[], "").await?;
    let said: Value = serde_json::from_str(&ended.out)?;
    ensure!(said["next"]["outcome"] == "nothing" && said["headline"]["stands"] == "ready", "{said:#}");
    if world.address.is_some() {
        ensure!(said["queue"]["withOthers"] == true || said["queue"]["stand"] == "running", "{said:#}");
        ensure!(said["last"]["outcome"] == "inSync", "{said:#}");
    }

    world.kill_operator()?;
    let versions = world.versions().await?;
    let manifests = [
        manifest("orders", &spec(&json!({ "instanceClass": "db.t4g.small", "deletionProtection": true }))),
        manifest("new", &spec(&json!({ "multiAZ": true }))),
        manifest("bare", &json!({ "engine": "postgres" })),
    ];
    let (text, plan, code) = world.plan(&manifests.map(|it| it.to_string()).join("\n---\n")).await?;
    ensure!(world.versions().await? == versions, "it has written something");
    world.only_read()?;
    ensure!(!text.contains("storageEncrypted, which"), "what the schema gives by itself has not left the spec: {text}");
    for words in [
        "instanceClass       db.t4g.micro → db.t4g.small   (in the next maintenance window",
        "the database is away while AWS makes it",
        "deletionProtection  false → true\n",
        "credentials         a password from a Secret",
        "multiAZ             true",
        "assumed: that the password is in effect: no Secret is read here",
        "spec.instanceClass: a new database instance needs it",
    ] {
        ensure!(text.contains(words), "{words:?} is not in\n{text}");
    }
    ensure!(code == Some(1) && plan["documents"][1]["planned"]["outcome"] == "create", "{plan:#}");

    // Less storage than there is can't be.
    let smaller = manifest("orders", &spec(&json!({ "allocatedStorage": 10 })));
    world.fake.change_instance(&world.account, "eu-west-1", &world.aws_name("orders"), "AllocatedStorage", "40")?;
    let (text, plan, _) = world.plan(&smaller.to_string()).await?;
    let told = plan["documents"][0].to_string();
    ensure!(told.contains("allocatedStorage") && !told.contains("\"update\""), "{text}");
    ensure!(world.versions().await? == versions, "it has written something");
    world.only_read()
}
