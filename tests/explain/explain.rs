//! Why an object is as it is, for every way in which it may be.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    fake_aws::{Budget, Effect, Fault, Scope},
    wait::eventually,
};
use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::world::{DEADLINE, World, condition, is};

/// Whether the text has all of these words.
fn has(text: &str, words: &[&str]) -> Result<()> {
    words.iter().try_for_each(|word| {
        ensure!(text.contains(word), "{word:?} is not in\n{text}");
        Ok(())
    })
}

/// What the replica says is there, where the pod proxy reaches it.
fn told(world: &World, said: &Value) -> Result<bool> {
    ensure!(said["replica"].is_string() == world.address.is_some(), "{said:#}");
    if world.address.is_none() {
        eprintln!("this machine has no address but the loopback one: the pod proxy is not tried");
    }
    Ok(world.address.is_some())
}

#[tokio::test]
async fn a_healthy_queue_and_one_that_somebody_has_changed() -> Result<()> {
    let mut world = World::new().await?;
    // Traces are recorded, though nobody takes them.
    world.start_operator(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")]).await?;
    world.create("orders", json!({ "visibilityTimeout": 45, "tags": { "team": "a" } })).await?;
    world.in_sync("orders").await?;
    let versions = world.versions().await?;
    let (text, said) = world.explain("orders").await?;
    has(&text, &["SQSQueue", "orders", "READY, and as its spec says", "nothing: the resource is as the spec says"])?;
    has(&text, &[&world.aws_name("orders"), &world.account, "eu-west-1", "Created", "fairlead-a_"])?;
    ensure!(said["headline"]["stands"] == "ready" && said["next"]["outcome"] == "nothing", "{said:#}");
    ensure!(said["leader"]["leads"] == true && said["leader"]["shard"] == 0, "{said:#}");
    ensure!(said["unseen"] == json!([]), "{said:#}");
    if told(&world, &said)? {
        ensure!(said["queue"]["stand"] == "due" && said["queue"]["priority"] == "poll", "{said:#}");
        ensure!(said["queue"]["dueInSeconds"].as_f64().is_some_and(|due| due > 60.0), "{said:#}");
        ensure!(said["flow"]["account"] == world.account.as_str() && said["flow"]["ceiling"] == 100.0, "{said:#}");
        ensure!(said["flow"]["throttledSecondsAgo"].is_null() && said["queue"]["failures"] == 0, "{said:#}");
        ensure!(said["last"]["outcome"] == "inSync" && said["last"]["errorClass"].is_null(), "{said:#}");
        let trace = said["last"]["traceId"].as_str().unwrap_or_default();
        ensure!(trace.len() == 32 && text.contains(trace), "{said:#}");
        has(&text, &["of at most 100 calls a second", "last reconcile", "in sync", "due in"])?;
    }

    world.fake.set_attribute(&world.account, "eu-west-1", &world.aws_name("orders"), "VisibilityTimeout", "7")?;
    world.fake.tag(&world.account, "eu-west-1", &world.aws_name("orders"), "team", Some("b"))?;
    let (text, said) = world.explain("orders").await?;
    has(&text, &["update", "visibilityTimeout", "7 → 45", "tags.team", "b → a", "compared with AWS just now"])?;
    let changes = json!([
        { "field": "visibilityTimeout", "actual": "7", "desired": "45" },
        { "field": "tags.team", "actual": "b", "desired": "a" },
    ]);
    ensure!(said["next"]["outcome"] == "update" && said["next"]["changes"] == changes, "{said:#}");
    world.only_read()?;
    ensure!(world.versions().await? == versions, "it has written something");

    // What a reconcile then corrects is what was foretold, and its replica tells of it.
    world.patch("orders", json!({ "metadata": { "annotations": { "aws.fairlead.dev/reconcile-at": "1" } } })).await?;
    let corrected = |it: &_| {
        condition(it, "Synced")["message"].as_str().is_some_and(|it| it.contains("visibilityTimeout (7 → 45)"))
    };
    world.until("orders", "corrected", corrected).await?;
    let (_, said) = world.explain("orders").await?;
    ensure!(said["next"]["outcome"] == "nothing", "{said:#}");
    if told(&world, &said)? {
        let differed = json!([{ "field": "visibilityTimeout", "actual": "7", "desired": "45" }]);
        ensure!(said["last"]["differed"] == differed, "{said:#}");
    }
    Ok(())
}

#[tokio::test]
async fn the_kind_goes_by_all_its_names_and_mistakes_are_told() -> Result<()> {
    let world = World::new().await?;
    world.create("orders", json!({})).await?;
    let admin = world.cluster.admin_kubeconfig();
    for object in [
        &["sqsqueue/orders"][..],
        &["sqsqueues/orders"],
        &["SQSQueue/orders"],
        &["sqs/orders"],
        &["queue/orders"],
        &["sqsqueues.aws.fairlead.dev/orders"],
        &["SQSQueue", "orders"],
    ] {
        let args = [&["explain"], object, &["-n", &world.namespace]].concat();
        let ended = world.run(&admin, &args, &[], "").await?;
        ensure!(ended.code == Some(0) && ended.out.starts_with("SQSQueue"), "{object:?}: {ended:?}");
        has(&ended.out, &["NOT SEEN YET", "create", &world.aws_name("orders")])?;
        has(&ended.out, &["What could not be seen", "there are no Leases of Fairlead"])?;
    }
    for (object, code, words) in [
        (&["deployment/orders"][..], 2, "\"deployment\" is no kind of Fairlead's; allowed: sqsqueue, rdsinstance"),
        (&["orders"], 2, "\"orders\": an object is KIND/NAME, or KIND NAME"),
        (&["sqsqueue/Or ders"], 2, "\"Or ders\" is no name of an object"),
        (&["sqsqueue/other"], 1, "there is no SQSQueue other in the namespace"),
    ] {
        let args = [&["explain"], object, &["-n", &world.namespace]].concat();
        let ended = world.run(&admin, &args, &[], "").await?;
        ensure!(ended.code == Some(code) && ended.out.is_empty(), "{object:?}: {ended:?}");
        ensure!(ended.err.lines().count() == 1 && ended.err.contains(words), "{object:?}: {ended:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_aws_denies_or_throttles_is_told_with_the_way_out() -> Result<()> {
    let world = World::start().await?;
    let denied = "User: arn:aws:iam::1:role/fairlead is not authorized to perform: sqs:createqueue on resource: x";
    world.fake.fault(Fault::new("CreateQueue", Effect::respond(403, "AccessDenied", denied)));
    world.create("denied", json!({})).await?;
    world.says("denied", "AccessDenied").await?;
    let (text, said) = world.explain("denied").await?;
    has(&text, &["NOT READY", "AccessDenied: the operator's IAM role lacks the permission sqs:", "  create   ("])?;
    ensure!(said["headline"]["reason"] == "AccessDenied" && said["next"]["outcome"] == "create", "{said:#}");
    ensure!(said["events"][0]["reason"] == "AccessDenied" && said["events"][0]["type"] == "Warning", "{said:#}");
    if told(&world, &said)? {
        ensure!(said["last"]["outcome"] == "stalled" && said["last"]["errorClass"] == "denied", "{said:#}");
        has(&text, &["AWS error class denied"])?;
    }

    let here = Scope { account: Some(world.account.clone()), region: None };
    world.fake.budget(here.clone(), Budget { rate: 0.01, burst: 0.0, retry_after: None });
    world.create("throttled", json!({})).await?;
    world.says("throttled", "Throttled").await?;
    world.fake.budget(here, None);
    let (text, said) = world.explain("throttled").await?;
    ensure!(
        said["headline"]["stands"] == "notReady" || is(&world.in_sync("throttled").await?, "Ready", "True"),
        "{said:#}"
    );
    if told(&world, &said)? {
        ensure!(said["flow"]["throttledSecondsAgo"].is_number(), "{said:#}");
        has(&text, &["THROTTLED by AWS"])?;
    }
    world.only_read()
}

#[tokio::test]
async fn an_open_circuit_is_told_and_since_when() -> Result<()> {
    let world = World::start().await?;
    world.create("orders", json!({})).await?;
    world.in_sync("orders").await?;
    world.way.refuse();
    world.way.cut();
    // The first ones find out that nobody answers, and the circuit opens; whoever comes then is told that.
    let mut shut = None;
    for number in 0..20 {
        let name = format!("more-{number}");
        world.create(&name, json!({})).await?;
        let reason = |it: &DynamicObject| condition(it, "Synced")["reason"].as_str().map(str::to_owned);
        let told = world.until(&name, "told", |it| reason(it).is_some()).await?;
        if reason(&told).as_deref() == Some("AWSUnreachable") {
            shut = Some(name);
            break;
        }
    }
    let shut = shut.context("the circuit did not open")?;
    let (text, said) = world.explain(&shut).await?;
    has(&text, &["NOT READY", "AWSUnreachable", "create"])?;
    ensure!(said["next"]["outcome"] == "create", "the command line has a way of its own: {said:#}");
    if told(&world, &said)? {
        ensure!(said["flow"]["circuitOpenForSeconds"].is_number(), "{said:#}");
        has(&text, &["AWS HAS NOT ANSWERED for", "(circuit open)"])?;
    }
    world.way.pass();
    world.in_sync(&shut).await?;
    Ok(())
}

#[tokio::test]
async fn paused_observed_refused_and_taken_names() -> Result<()> {
    let world = World::start().await?;
    let paused = json!({ "metadata": { "annotations": { "aws.fairlead.dev/paused": "true" } } });
    for name in ["paused", "own", "fixed"] {
        world.create(name, json!({})).await?;
        world.in_sync(name).await?;
    }
    world.patch("paused", paused).await?;
    world.says("paused", "Paused").await?;
    let (text, said) = world.explain("paused").await?;
    has(&text, &["Paused", "nothing: paused by the annotation aws.fairlead.dev/paused"])?;
    ensure!(said["next"]["outcome"] == "paused", "{said:#}");

    world.fake.set_attribute(&world.account, "eu-west-1", &world.aws_name("own"), "VisibilityTimeout", "7")?;
    world.patch("own", json!({ "spec": { "management": "Observe", "visibilityTimeout": 30 } })).await?;
    world.says("own", "Differs").await?;
    let (text, said) = world.explain("own").await?;
    has(&text, &["READY, but not as its spec says", "look only", "visibilityTimeout", "7 → 30"])?;
    ensure!(said["next"]["outcome"] == "observe" && said["next"]["changes"][0]["actual"] == "7", "{said:#}");

    // Somebody else's queue has the name.
    world.create("taken", json!({ "name": world.aws_name("own") })).await?;
    world.says("taken", "NameTaken").await?;
    let (text, said) = world.explain("taken").await?;
    has(&text, &["NOT READY", "NameTaken", "belongs to SQSQueue", "nothing: it would refuse: as said above"])?;
    ensure!(said["next"]["outcome"] == "refuse" && said["next"]["reason"] == "NameTaken", "{said:#}");

    world
        .create(
            "waits",
            json!({ "redrivePolicy": { "deadLetterQueueRef": { "name": "missing" }, "maxReceiveCount": 3 } }),
        )
        .await?;
    world.says("waits", "WaitingForDependency").await?;
    let (text, said) = world.explain("waits").await?;
    has(&text, &["NOT READY", "WaitingForDependency", "nothing yet: as said above", "missing"])?;
    ensure!(said["next"]["outcome"] == "wait", "{said:#}");
    world.only_read()
}

#[tokio::test]
async fn a_deletion_that_is_blocked_and_one_that_retains() -> Result<()> {
    let mut world = World::start().await?;
    for (name, spec) in [("blocked", json!({})), ("kept", json!({ "deletionPolicy": "Retain" })), ("last", json!({}))] {
        world.create(name, spec).await?;
        world.in_sync(name).await?;
    }
    world.patch("blocked", json!({ "metadata": { "annotations": { "aws.fairlead.dev/paused": "true" } } })).await?;
    world.says("blocked", "Paused").await?;
    world.delete("blocked").await?;
    world.until("blocked", "blocked", |it| is(it, "Stalled", "True")).await?;
    let (text, said) = world.explain("blocked").await?;
    has(&text, &["BEING DELETED, which is blocked", "paused: the deletion waits"])?;
    ensure!(said["headline"]["stands"] == "deletionBlocked" && said["next"]["outcome"] == "paused", "{said:#}");

    world.kill_operator()?;
    for (name, outcome, words) in
        [("kept", "retain", "stays, marked as retained"), ("last", "delete", "delete: the queue")]
    {
        world.delete(name).await?;
        let (text, said) = world.explain(name).await?;
        has(&text, &["BEING DELETED", words])?;
        ensure!(said["next"]["outcome"] == outcome, "{said:#}");
    }
    // The Lease runs out, and nobody takes it.
    let look = async || match world.explain("last").await {
        Ok((text, said)) if said["leader"]["leads"] == false && text.contains("has expired") => Ok(text),
        other => Err(format!("{other:?}")),
    };
    let text = eventually("nobody leads", DEADLINE, look).await?;
    has(&text, &["  leader     nobody", "has expired"])?;
    world.only_read()
}
