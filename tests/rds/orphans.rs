//! `fairlead orphans`, with the rights that the operator has.

use std::process::Output;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::world::{Aws, REGION, World};

async fn orphans(world: &World, endpoint: &str, args: &[&str]) -> Result<Output> {
    let kubeconfig = world.cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command
        .arg("orphans")
        .args(args)
        .env_clear()
        .env("KUBECONFIG", kubeconfig)
        .env("AWS_ENDPOINT_URL", endpoint)
        .env("AWS_ACCESS_KEY_ID", &world.account)
        .env("AWS_SECRET_ACCESS_KEY", "test")
        .env("AWS_EC2_METADATA_DISABLED", "true");
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

async fn told(world: &World, args: &[&str]) -> Result<Value> {
    let output = orphans(world, &world.proxy.url(), &[&["--output", "json"], args].concat()).await?;
    let report: Value = serde_json::from_slice(&output.stdout)?;
    // AWSAccounts are the whole cluster's: those of other tests are not to be reached from here.
    let others = report["problems"].as_array().into_iter().flatten();
    let others = others.filter_map(|problem| problem["account"].as_str()).all(|it| it.starts_with("AWSAccount "));
    let problems = !report["problems"].as_array().is_none_or(Vec::is_empty);
    ensure!(others && output.status.success() != problems, "{output:?}");
    Ok(report)
}

/// The names in a list of the report.
fn names(report: &Value, list: &str) -> Vec<String> {
    let rows = report[list].as_array().cloned().unwrap_or_default();
    rows.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect()
}

#[tokio::test]
async fn an_instance_whose_object_is_gone_is_listed_and_left_alone() -> Result<()> {
    let mut world = World::start(Aws::Fake).await?;
    world.create("here", json!({})).await?;
    world.create("lost", json!({})).await?;
    world.create("kept", json!({ "deletionPolicy": "Retain" })).await?;
    for name in ["here", "lost", "kept"] {
        world.in_sync(name).await?;
    }
    world.delete("kept").await?;
    // Without --region it looks where the objects are.
    let report = told(&world, &[]).await?;
    ensure!(names(&report, "orphans").is_empty() && report["retainedCount"] == 1, "{report}");

    world.kill_operator()?;
    world.patch("lost", json!({ "metadata": { "finalizers": null } })).await?;
    world.ask_deletion("lost").await?;
    world.gone("lost").await?;
    let (before, writes) = (world.instance("lost")?, world.writes());
    let report = told(&world, &["--retained"]).await?;
    ensure!(names(&report, "orphans") == [world.aws_name("lost")], "{report}");
    ensure!(names(&report, "retained") == [world.aws_name("kept")], "{report}");
    ensure!(report["orphans"][0]["namespace"] == world.namespace.as_str() && report["orphans"][0]["object"] == "lost");
    ensure!(world.instance("lost")? == before && world.writes() == writes, "it only reads");
    let elsewhere = told(&world, &["--region", "eu-west-2,eu-west-3"]).await?;
    ensure!(names(&elsewhere, "orphans").is_empty() && elsewhere["lookedIn"].as_array().map(Vec::len) >= Some(2));

    let output = orphans(&world, &world.proxy.url(), &["--region", REGION]).await?;
    let text = String::from_utf8(output.stdout)?;
    let row = text.lines().find(|line| line.contains(&world.aws_name("lost"))).context(text.clone())?;
    ensure!(row.starts_with(&world.account) && row.contains(&format!("{}/lost", world.namespace)), "{text}");
    ensure!(text.contains("1 more was retained") && text.contains("delete-db-instance"), "{text}");
    Ok(())
}

#[tokio::test]
async fn what_can_not_be_looked_at_is_named() -> Result<()> {
    let world = World::new(Aws::Fake).await?;
    let output = orphans(&world, "http://127.0.0.1:1", &["--region", REGION]).await?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let (out, err) = (String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?);
    ensure!(out.contains("problem: the process's own account: sts:GetCallerIdentity"), "{out}");
    ensure!(err.lines().count() == 1 && err.starts_with("fairlead: not everything could be looked at"), "{err}");
    Ok(())
}
