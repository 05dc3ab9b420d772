//! What applying manifests would change: told, and not done.

use anyhow::{Result, ensure};
use serde_json::{Value, json};

use crate::world::World;

fn manifest(name: &str, spec: &str) -> String {
    format!("apiVersion: aws.fairlead.dev/v1alpha1\nkind: SQSQueue\nmetadata:\n  name: {name}\nspec: {spec}\n---\n")
}

fn of<'a>(plan: &'a Value, name: &str) -> &'a Value {
    let end = format!("/{name}");
    let lines = plan["documents"].as_array().map(Vec::as_slice).unwrap_or_default();
    lines.iter().find(|line| line["object"].as_str().is_some_and(|it| it.ends_with(&end))).unwrap_or(&Value::Null)
}

#[tokio::test]
async fn every_outcome_is_told_and_nothing_is_written() -> Result<()> {
    let mut world = World::start().await?;
    world.create("same", json!({ "visibilityTimeout": 45 })).await?;
    world
        .create("changed", json!({ "visibilityTimeout": 45, "delaySeconds": 5, "tags": { "a": "1", "b": "2" } }))
        .await?;
    world.create("standard", json!({})).await?;
    world.create("going", json!({})).await?;
    for name in ["same", "changed", "standard", "going"] {
        world.in_sync(name).await?;
    }
    world.kill_operator()?;
    world.delete("going").await?;
    // Nobody's, and another object's.
    let foreign = world.aws_name("foreign");
    let admin = fairlead_harness::sqs::sqs_client(&world.fake.url(), &world.account, "eu-west-1");
    admin.create_queue().queue_name(&foreign).send().await?;

    let (versions, calls) = (world.versions().await?, world.fake.calls().len());
    let manifests = [
        manifest("same", "{ visibilityTimeout: 45 }"),
        manifest("changed", "{ visibilityTimeout: 60, tags: { a: x } }"),
        manifest("standard", "{ fifoQueue: true }"),
        manifest("going", "{}"),
        manifest("new", "{ messageRetentionPeriod: 600, tags: { team: a } }"),
        manifest("bare", "{}"),
        manifest("foreign", "{}"),
        manifest("sibling", &format!("{{ name: {} }}", world.aws_name("same"))),
        manifest("source", "{ redrivePolicy: { deadLetterQueueRef: { name: new }, maxReceiveCount: 3 } }"),
        manifest("orphan", "{ redrivePolicy: { deadLetterQueueRef: { name: nowhere }, maxReceiveCount: 3 } }"),
        "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: other }\n".to_owned(),
    ];
    let (text, plan, code) = world.plan(&manifests.concat()).await?;
    world.only_read()?;
    let operations: Vec<_> = world.fake.calls().split_off(calls).into_iter().map(|call| call.door).collect();
    ensure!(operations.iter().all(|door| door == "cli"), "somebody else has called: {operations:?}");
    ensure!(world.versions().await? == versions, "it has written something");

    let outcomes = [
        ("same", "nothing"),
        ("going", "delete"),
        ("changed", "update"),
        ("new", "create"),
        ("bare", "create"),
        ("foreign", "refuse"),
        ("sibling", "refuse"),
        ("source", "create"),
        ("orphan", "wait"),
    ];
    for (name, outcome) in outcomes {
        ensure!(of(&plan, name)["planned"]["outcome"] == outcome, "{name}: {:#}", of(&plan, name));
    }
    let mut changes = of(&plan, "changed")["planned"]["changes"].as_array().cloned().unwrap_or_default();
    changes.sort_by_key(|change| change["field"].to_string());
    let change =
        |field: &str, actual: &str, desired: &str| json!({ "field": field, "actual": actual, "desired": desired });
    let expected = [
        change("delaySeconds", "5", "0"),
        change("tags.a", "1", "x"),
        change("tags.b", "2", ""),
        change("visibilityTimeout", "45", "60"),
    ];
    ensure!(changes == expected, "{changes:#?}");
    ensure!(of(&plan, "new")["planned"]["fields"] == json!({ "messageRetentionPeriod": "600" }), "{plan:#}");
    ensure!(of(&plan, "new")["planned"]["resource"]["name"] == world.aws_name("new"), "{plan:#}");
    let redrive = of(&plan, "source")["planned"]["fields"]["redrivePolicy"].to_string();
    ensure!(redrive.contains(&world.aws_name("new")), "{redrive}");
    ensure!(of(&plan, "foreign")["planned"]["reason"] == "NameTaken", "{plan:#}");
    // fifoQueue can't change: the API server's own rule says so.
    let invalid = of(&plan, "standard")["invalid"].to_string();
    ensure!(invalid.contains("fifoQueue"), "{invalid}: {:#}", of(&plan, "standard"));
    ensure!(code == Some(1), "one is invalid");
    for words in [
        "create   SQSQueue",
        "update   SQSQueue",
        "REFUSED  SQSQueue",
        "INVALID  SQSQueue",
        "skipped  ConfigMap other: it is no kind of Fairlead's",
        "45 → 60",
        "with AWS's defaults",
        "standard input, document 3",
        "belongs to SQSQueue",
        "has no owner tags of Fairlead",
        "it is being deleted, which applying a manifest does not stop",
        "note: assumed of 6 objects: that the operator's credentials are of the account of yours",
        "2 refused, 1 invalid, 1 skipped. Nothing was changed.",
    ] {
        ensure!(text.contains(words), "{words:?} is not in\n{text}");
    }
    Ok(())
}

#[tokio::test]
async fn invalid_manifests_are_told_by_file_document_and_field() -> Result<()> {
    let world = World::new().await?;
    let manifests = [
        manifest("range", "{ delaySeconds: 901 }"),
        manifest("typo", "{ visibilityTimout: 5 }"),
        manifest("kind", "{ delaySeconds: soon }"),
        manifest("suffix", "{ name: orders.fifo }"),
        "just text\n---\n".to_owned(),
        "a: [\n".to_owned(),
    ];
    let expected = [
        ("range", "document 1: ", "delaySeconds"),
        ("typo", "document 2: ", "visibilityTimout"),
        ("kind", "document 3: ", "delaySeconds"),
        ("suffix", "document 4: ", "fifo"),
    ];
    let nowhere = std::path::PathBuf::from("/nonexistent");
    for kubeconfig in [world.cluster.admin_kubeconfig(), nowhere] {
        let (text, plan, code) = world.plan_as(&kubeconfig, &manifests.concat()).await?;
        ensure!(code == Some(1), "{text}");
        for (name, place, field) in expected {
            let line = text.lines().skip_while(|line| !line.ends_with(&format!("/{name}"))).nth(1).unwrap_or_default();
            ensure!(line.contains(place) && line.contains(field), "{name}: {line}\n{text}");
        }
        ensure!(text.contains("document 5: it is no manifest") && text.contains("document 6: "), "{text}");
        ensure!(plan["documents"].as_array().map(Vec::len) == Some(6), "{plan:#}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_cluster_it_goes_by_the_manifests_and_says_what_it_assumes() -> Result<()> {
    let world = World::start().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    let nowhere = std::path::PathBuf::from("/nonexistent");
    let manifests = manifest("orders", "{ delaySeconds: 3 }") + &manifest("new", "{}");
    let (text, plan, code) = world.plan_as(&nowhere, &manifests).await?;
    ensure!(code == Some(0), "{text}");
    ensure!(text.contains("no cluster was looked at") && text.contains("assumed: "), "{text}");
    // Its owner tags are taken at their word: an object of this name would take it up.
    ensure!(of(&plan, "orders")["planned"]["outcome"] == "update", "{plan:#}");
    ensure!(text.contains("is taken up by this one"), "{text}");
    ensure!(of(&plan, "new")["planned"]["outcome"] == "create", "{plan:#}");

    // A kubeconfig whose server does not answer is no cluster either.
    let dead = world.cluster.service_account_kubeconfig_at("fairlead-system", "fairlead", ([127, 0, 0, 1], 1).into());
    let (text, plan, code) = world.plan_as(&dead.await?, &manifests).await?;
    ensure!(code == Some(0) && text.contains("no cluster was looked at"), "{text}");
    ensure!(of(&plan, "new")["planned"]["outcome"] == "create", "{plan:#}");
    Ok(())
}

#[tokio::test]
async fn a_plan_of_who_may_only_look_is_checked_by_the_schema() -> Result<()> {
    let world = World::new().await?;
    let rules = json!([{ "apiGroups": ["aws.fairlead.dev"], "resources": ["sqsqueues"], "verbs": ["get"] }]);
    let person = world.person("viewer", rules).await?;
    let (text, plan, code) = world.plan_as(&person, &manifest("new", "{ delaySeconds: 3 }")).await?;
    ensure!(code == Some(0) && of(&plan, "new")["planned"]["outcome"] == "create", "{text}");
    ensure!(text.contains("assumed: that the API server takes it") && text.contains("(403)"), "{text}");
    ensure!(text.contains("not seen: which AWSAccounts there are"), "{text}");
    world.only_read()
}

#[tokio::test]
async fn files_directories_and_wrong_usage() -> Result<()> {
    let world = World::new().await?;
    let scratch = std::env::temp_dir().join(format!("fairlead-plan-{}", std::process::id()));
    std::fs::create_dir_all(scratch.join("empty"))?;
    std::fs::write(scratch.join("a.yaml"), manifest("a", "{}") + &manifest("b", "{}"))?;
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": [
        { "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": "c" } },
    ] });
    std::fs::write(scratch.join("c.json"), list.to_string())?;
    std::fs::write(scratch.join("notes.txt"), "no manifest")?;
    let admin = world.cluster.admin_kubeconfig();
    let (directory, empty) = (scratch.display().to_string(), scratch.join("empty").display().to_string());
    let ended = world.run(&admin, &["plan", "-n", &world.namespace, "-f", &directory], &[], "").await?;
    let counted = ended.out.contains("3 to create. Nothing was changed.");
    ensure!(ended.code == Some(0) && counted && ended.out.contains("c.json, document 1, item 1"), "{ended:?}");
    for (args, code, words) in [
        (&["plan"][..], 2, "--filename"),
        (&["plan", "-f", "-"], 2, "there is no manifest in -"),
        (&["plan", "-f", "/nonexistent.yaml"], 1, "/nonexistent.yaml: "),
        (&["plan", "-f", &empty], 1, "there is no .yaml, .yml or .json in this directory"),
    ] {
        let ended = world.run(&admin, args, &[], "").await?;
        ensure!(ended.code == Some(code) && ended.err.contains(words), "{args:?}: {ended:?}");
        ensure!(ended.out.is_empty() && ended.err.lines().count() == 1, "{args:?}: {ended:?}");
    }
    let none = [("AWS_ACCESS_KEY_ID", ""), ("AWS_SECRET_ACCESS_KEY", "")];
    let ended = world.run(&admin, &["plan", "-f", &directory], &none, "").await?;
    ensure!(ended.code == Some(1) && ended.err.contains("no AWS credentials"), "{ended:?}");
    std::fs::remove_dir_all(&scratch)?;
    Ok(())
}
