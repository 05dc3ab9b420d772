//! Objects in several AWS accounts: each in the one that is meant, and in no other ever.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::aws_proxy::{Effect, Fault};
use serde_json::{Value, json};

use crate::{
    account_steps::{another_account, role},
    world::{Aws, World, is, message, row},
};

/// How long it may take until a session is begun anew: at most once a minute, at a probe.
const RENEWED: Duration = Duration::from_secs(180);

#[tokio::test]
async fn the_same_name_in_two_accounts_and_nothing_in_a_third() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let (one, two) = (another_account().await?, another_account().await?);
    world.aws_account("one", &one, json!({ "externalID": "shared-1" })).await?;
    world.aws_account("two", &two, json!({ "perNamespaceSession": true })).await?;
    for short in ["one", "two"] {
        world.create(short, json!({ "name": "orders", "accountRef": world.account_ref(short) })).await?;
    }
    for (short, account) in [("one", &one), ("two", &two)] {
        let object = world.in_sync(short).await?;
        let identity = &object.data["status"]["identity"];
        let arn = format!("arn:aws:sqs:eu-west-1:{}:orders", account.id);
        ensure!(identity["accountID"] == account.id && identity["arn"] == arn, "{identity}");
        ensure!(world.queues_of(account).await? == ["orders"]);
        ensure!(world.tag_in(account, "orders", "fairlead.dev/name").await? == short);
        let told = world.account_until(short, "1 object", |it| it.data["status"]["objects"] == 1).await?;
        ensure!(told.data["status"]["accountID"] == account.id && is(&told, "Ready", "True"), "{}", told.data);
    }
    ensure!(world.queues_of(&world.account).await?.is_empty(), "something was made in the operator's own account");

    let assumed = world.proxy.calls_of("AssumeRole");
    let of = |account: &str, tagged: bool| {
        let all = assumed.iter().filter(|call| call.request["RoleArn"].as_str().unwrap_or_default().contains(account));
        all.filter(|call| (call.request["Tags.member.2.Value"] == world.namespace.as_str()) == tagged).count()
    };
    ensure!(of(&one.id, false) == 1 && of(&two.id, true) == 1 && of(&two.id, false) == 1, "{assumed:?}");
    let cluster = world.cluster_id().await?;
    for call in &assumed {
        ensure!(call.access_key == world.account.access_key && call.request["Tags.member.1.Value"] == cluster.as_str());
        let external = call.request["RoleArn"].as_str().is_some_and(|arn| arn.contains(&one.id));
        ensure!(external == (call.request["ExternalId"] == "shared-1"), "{call:?}");
    }
    for (short, account) in [("one", &one), ("two", &two)] {
        world.delete(short).await?;
        ensure!(world.queues_of(account).await?.is_empty());
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_has_the_account_that_is_meant_for_it() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let (one, two) = (another_account().await?, another_account().await?);
    let meant = json!({ "defaultForNamespaces": [world.namespace] });
    world.aws_account("one", &one, meant.clone()).await?;
    world.create("orders", json!({})).await?;
    let object = world.in_sync("orders").await?;
    ensure!(object.data["status"]["identity"]["accountID"] == one.id, "{}", object.data);

    // Two are meant: nobody guesses, neither for what is there nor for what is new.
    world.aws_account("two", &two, meant).await?;
    let said = world.refused("orders", "AccountAmbiguous").await?;
    ensure!(said.contains(&world.account_name("one")) && said.contains(&world.account_name("two")), "{said}");
    let one_account = world.accounts().get(&world.account_name("one")).await?;
    ensure!(one_account.metadata.finalizers.is_some(), "its queue is in it still: {:?}", one_account.metadata);
    world.create("bills", json!({})).await?;
    let bills = world.stalled("bills", "AccountAmbiguous").await?;
    ensure!(row(&bills) == "FF-T" && bills.metadata.finalizers.is_none(), "{}", bills.data);
    world.patch("bills", json!({ "spec": { "accountRef": world.account_ref("two") } })).await?;
    let bills = world.in_sync("bills").await?;
    ensure!(bills.data["status"]["identity"]["accountID"] == two.id, "{}", bills.data);

    world.patch_account("two", json!({ "defaultForNamespaces": null })).await?;
    world.in_sync("orders").await?;
    ensure!(world.queues_of(&one).await? == [world.aws_name("orders")]);
    ensure!(world.queues_of(&two).await? == [world.aws_name("bills")]);
    ensure!(world.queues_of(&world.account).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_object_that_names_another_account_keeps_its_own_in_use_and_can_be_deleted() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let (one, two) = (another_account().await?, another_account().await?);
    world.aws_account("one", &one, json!({})).await?;
    world.aws_account("two", &two, json!({ "callRate": 1 })).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    world.in_sync("orders").await?;
    world.patch("orders", json!({ "spec": { "accountRef": world.account_ref("two") } })).await?;
    let object = world.stalled("orders", "AccountMismatch").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains(&one.id) && said.contains(&two.id) && said.contains("spec.accountRef back"), "{said}");
    // The account in which the queue is does not go, and serves the deletion.
    world.delete_account("one").await?;
    world.account_says("one", "InUse").await?;
    let begins = format!("fairlead_flow_rate_ceiling{{account=\"{}\",region=\"eu-west-1\"", one.id);
    let metrics = world.operator()?.metrics().await?;
    let ceiling = metrics.lines().find(|line| line.starts_with(&begins)).unwrap_or_default();
    ensure!(ceiling.ends_with(" 100.0"), "another account's rate is in effect: {ceiling:?}");
    world.delete("orders").await?;
    ensure!(world.queues_of(&one).await?.is_empty() && world.queues_of(&two).await?.is_empty());
    world.account_gone("one").await
}

#[tokio::test]
async fn another_call_rate_holds_at_once() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let one = another_account().await?;
    world.aws_account("one", &one, json!({ "callRate": 40 })).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    world.in_sync("orders").await?;
    let begins = format!("fairlead_flow_rate_ceiling{{account=\"{}\",region=\"eu-west-1\"", one.id);
    for (rate, shown) in [(40, " 40.0"), (50, " 50.0")] {
        world.patch_account("one", json!({ "callRate": rate })).await?;
        world
            .eventually(shown, async || match world.operator().map(|operator| operator.metrics()) {
                Ok(metrics) => {
                    let text = metrics.await.map_err(|error| format!("{error:#}"))?;
                    let line = text.lines().find(|line| line.starts_with(&begins)).unwrap_or_default().to_owned();
                    if line.ends_with(shown) { Ok(()) } else { Err(line) }
                }
                Err(error) => Err(format!("{error:#}")),
            })
            .await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_account_that_is_not_there_is_waited_for() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let one = another_account().await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    let object = world.stalled("orders", "AccountNotFound").await?;
    ensure!(message(&object, "Stalled").contains(&world.account_name("one")), "{}", object.data);
    ensure!(row(&object) == "FF-T" && object.metadata.finalizers.is_none(), "{}", object.data);
    ensure!(world.sqs_calls().is_empty(), "{:?}", world.operations());
    world.aws_account("one", &one, json!({})).await?;
    world.in_sync("orders").await?;
    ensure!(world.queues_of(&one).await? == [world.aws_name("orders")]);
    Ok(())
}

#[tokio::test]
async fn namespaces_regions_and_keys_are_allowed_by_the_account() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let (one, two) = (another_account().await?, another_account().await?);
    let elsewhere = json!({ "roleARN": role(&one), "allowedNamespaces": [format!("{}-other", world.namespace)] });
    world.create_account(&world.account_name("one"), elsewhere).await?;
    let lists = json!({ "allowedRegions": ["eu-*"], "allowedKMSKeys": ["alias/shop-*"] });
    world.aws_account("two", &two, lists).await?;
    for (name, spec, words) in [
        ("namespace", json!({ "accountRef": world.account_ref("one") }), "spec.allowedNamespaces"),
        ("region", json!({ "accountRef": world.account_ref("two"), "region": "us-east-1" }), "spec.allowedRegions"),
        ("key", json!({ "accountRef": world.account_ref("two"), "kmsMasterKeyID": "alias/x" }), "spec.allowedKMSKeys"),
    ] {
        world.create(name, spec).await?;
        let object = world.stalled(name, "AccountNotAllowed").await?;
        ensure!(message(&object, "Stalled").contains(words), "{}", object.data);
        ensure!(row(&object) == "FF-T" && object.metadata.finalizers.is_none(), "{}", object.data);
    }
    ensure!(world.sqs_calls().is_empty(), "{:?}", world.operations());
    // Nothing is asked of an account that nobody here may use.
    let assumed = world.proxy.calls_of("AssumeRole");
    ensure!(assumed.iter().all(|call| call.request["RoleArn"] == role(&two)), "{assumed:?}");

    world.patch_account("one", json!({ "allowedNamespaces": [world.namespace] })).await?;
    world.in_sync("namespace").await?;
    world.patch("region", json!({ "spec": { "region": "eu-central-1" } })).await?;
    world.in_sync("region").await?;
    world.patch_account("two", json!({ "allowedKMSKeys": null })).await?;
    world.in_sync("key").await?;
    Ok(())
}

#[tokio::test]
async fn what_is_there_when_a_namespace_is_withdrawn_can_be_deleted_and_not_changed() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    world.in_sync("orders").await?;
    world.patch_account("one", json!({ "allowedNamespaces": ["nobody"], "allowedRegions": ["us-east-1"] })).await?;
    let object = world.stalled("orders", "AccountNotAllowed").await?;
    ensure!(row(&object) == "TF-T", "it works on: {}", object.data);
    world.proxy.clear();
    world.patch("orders", json!({ "spec": { "delaySeconds": 5 } })).await?;
    world.until("orders", "seen", |object| crate::world::observed(object) && is(object, "Stalled", "True")).await?;
    ensure!(world.sqs_calls().is_empty(), "{:?}", world.operations());
    world.delete("orders").await?;
    ensure!(world.queues_of(&one).await?.is_empty(), "the queue is there still");
    Ok(())
}

#[tokio::test]
async fn a_revoked_role_stops_its_own_objects_alone_and_they_recover() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    world.create("own", json!({})).await?;
    world.in_sync("orders").await?;
    let own = world.in_sync("own").await?;

    // Its sessions are ended, and nobody gets another.
    world.refuse("AssumeRole", 403, "AccessDenied", "User: x is not authorized to perform: sts:AssumeRole");
    let expired = Effect::respond(403, "ExpiredToken", "The security token included in the request is expired");
    let ended = world.sqs_calls().into_iter().map(|call| call.access_key).find(|key| key.starts_with("ASIA"));
    let ended = ended.context("no call with a session")?;
    world.proxy.fault(Fault::new("*", expired.clone()).of(&ended).always());
    let object = world.says("orders", "CredentialsError").await?;
    ensure!(row(&object) == "TFT-", "it is as last observed: {}", object.data);
    let said = message(&object, "Reconciling");
    ensure!(said.contains(&world.account_name("one")) && said.contains("spec.roleARN"), "{said}");
    let account = world.account_says("one", "CredentialsError").await?;
    ensure!(row(&account) == "F-T-", "{}", account.data);
    world.looked_at(&world.aws_name("own"), 2).await?;
    ensure!(world.object("own").await?.data["status"] == own.data["status"], "the other account is disturbed");
    ensure!(world.operator()?.readyz().await?.0 == 200, "one account makes nobody unready");

    // The role can be assumed again, and the old session stays ended: a new one is begun.
    world.proxy.clear_faults();
    world.proxy.fault(Fault::new("*", expired).of(&ended).always());
    world.account_in(RENEWED, "one", "Available").await?;
    world.in_sync("orders").await?;
    ensure!(world.proxy.calls_of("AssumeRole").iter().filter(|call| call.status == Some(200)).count() == 2);
    Ok(())
}

#[tokio::test]
async fn a_role_that_can_not_be_assumed_is_named_with_the_way_out() -> Result<()> {
    let world = World::start(Aws::Ministack).await?;
    let one = another_account().await?;
    world.refuse("AssumeRole", 403, "AccessDenied", "User: x is not authorized to perform: sts:AssumeRole");
    world.aws_account("one", &one, json!({})).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    let said = world.refused("orders", "CredentialsError").await?;
    for word in [world.account_name("one"), role(&one), "AccessDenied".into(), "trust policy".into()] {
        ensure!(said.contains(&word), "{said}");
    }
    let account = world.account_says("one", "CredentialsError").await?;
    ensure!(message(&account, "Ready").contains("AccessDenied"), "{}", account.data);
    world.create("own", json!({})).await?;
    world.in_sync("own").await?;
    ensure!(world.queues_of(&world.account).await? == [world.aws_name("own")]);

    world.proxy.clear_faults();
    world.in_sync("orders").await?;
    world.account_says("one", "Available").await?;
    ensure!(world.queues_of(&one).await? == [world.aws_name("orders")]);
    Ok(())
}

#[tokio::test]
async fn an_account_stays_while_it_is_used() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    let free = world.account_says("one", "Available").await?;
    ensure!(free.metadata.finalizers.is_none(), "{:?}", free.metadata);
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    world.in_sync("orders").await?;
    let used = world.account_until("one", "in use", |it| it.metadata.finalizers.is_some()).await?;
    let finalizer = format!("in-use.aws.fairlead.dev/{}", world.namespace);
    ensure!(used.metadata.finalizers == Some(vec![finalizer]), "{:?}", used.metadata);

    world.delete_account("one").await?;
    let waits = world.account_says("one", "InUse").await?;
    let said = message(&waits, "Ready");
    ensure!(said.contains("1 object") && said.contains(&format!("SQSQueue/{}/orders", world.namespace)), "{said}");
    world.create("bills", json!({ "accountRef": world.account_ref("one") })).await?;
    let said = world.refused("bills", "AccountDeleting").await?;
    ensure!(said.contains("is being deleted"), "{said}");
    // What is there goes on.
    world.set("orders", json!({ "delaySeconds": 7 })).await?;
    world.delete("orders").await?;
    world.account_gone("one").await?;
    world.refused("bills", "AccountNotFound").await?;
    ensure!(world.queues_of(&one).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn an_account_is_held_before_anything_is_made_in_it() -> Result<()> {
    let mut world = World::new(Aws::Ministack).await?;
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    world.start_operator().await?;
    world.account_says("one", "Available").await?;
    // The create takes effect, and the operator ends before it knows.
    world.proxy.fault(Fault::new("CreateQueue", Effect::HoldReply).always());
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    world.called("CreateQueue", 1).await?;
    world.kill_operator()?;
    let account = world.accounts().get(&world.account_name("one")).await?;
    ensure!(account.metadata.finalizers.is_some(), "{:?}", account.metadata);
    world.proxy.clear_faults();
    world.proxy.release();
    world.start_operator().await?;
    world.in_sync("orders").await?;
    world.delete_account("one").await?;
    world.account_says("one", "InUse").await?;
    world.delete("orders").await?;
    world.account_gone("one").await
}

#[tokio::test]
async fn a_role_that_leads_elsewhere_moves_nothing() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let (one, two) = (another_account().await?, another_account().await?);
    world.aws_account("one", &one, json!({})).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one"), "delaySeconds": 3 })).await?;
    world.in_sync("orders").await?;
    world.proxy.clear();
    world.patch_account("one", json!({ "roleARN": role(&two) })).await?;
    let object = world.stalled("orders", "AccountMismatch").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains(&one.id) && said.contains(&two.id) && said.contains("spec.roleARN"), "{said}");
    world.patch("orders", json!({ "spec": { "delaySeconds": 5 } })).await?;
    world.ask_deletion("orders").await?;
    world.until("orders", "blocked", |object| row(object) == "FFTT").await?;
    ensure!(world.sqs_calls().is_empty(), "{:?}", world.operations());
    ensure!(world.queues_of(&two).await?.is_empty() && world.queues_of(&one).await? == [world.aws_name("orders")]);

    world.patch_account("one", json!({ "roleARN": role(&one) })).await?;
    world.gone("orders").await?;
    ensure!(world.queues_of(&one).await?.is_empty());
    Ok(())
}

#[tokio::test]
async fn adoption_and_observing_are_allowed_by_the_account_alone() -> Result<()> {
    let world = World::new(Aws::Ministack).await?;
    let everything = format!("{}/*", world.namespace);
    let mut world = world.env("FAIRLEAD_ALLOW_ADOPTION", &everything).env("FAIRLEAD_ALLOW_OBSERVE", &everything);
    world.start_operator().await?;
    world.age_queues();
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    world.sqs_of(&one).create_queue().queue_name("legacy").send().await?;
    let spec = |more: Value| {
        let mut spec = json!({ "name": "legacy", "accountRef": world.account_ref("one") });
        more.as_object().into_iter().flatten().for_each(|(field, value)| spec[field] = value.clone());
        spec
    };
    for (name, more, reason, field) in [
        ("adopt", json!({ "adoption": "Adopt" }), "AdoptionNotAllowed", "allowAdoption"),
        ("observe", json!({ "management": "Observe" }), "ObserveNotAllowed", "allowObserve"),
    ] {
        world.create(name, spec(more)).await?;
        let said = world.refused(name, reason).await?;
        ensure!(said.contains(&format!("the AWSAccount {}'s spec.{field}", world.account_name("one"))), "{said}");
    }
    let allowed = json!({ "allowObserve": [everything.replace('*', "obs*")], "allowAdoption": [everything] });
    world.patch_account("one", allowed).await?;
    world.until("observe", "observed", |object| is(object, "Ready", "True")).await?;
    let object = world.in_sync("adopt").await?;
    ensure!(object.data["status"]["identity"]["adopted"] == true, "{}", object.data);
    Ok(())
}

#[tokio::test]
async fn another_account_than_the_expected_one_is_not_used() -> Result<()> {
    let world = World::new(Aws::Ministack).await?.env("FAIRLEAD_EXPECTED_ACCOUNT", "999999999999");
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    world.create("own", json!({})).await?;
    world.create("orders", json!({ "accountRef": world.account_ref("one") })).await?;
    let operator = world.launch("fairlead").await?;
    let object = world.stalled("own", "AccountMismatch").await?;
    let said = message(&object, "Stalled");
    ensure!(said.contains(&world.account.id) && said.contains("FAIRLEAD_EXPECTED_ACCOUNT is 999999999999"), "{said}");
    world.refused("orders", "CredentialsError").await?;
    let (status, body) = operator.readyz().await?;
    ensure!(status == 503 && body.contains("FAIRLEAD_EXPECTED_ACCOUNT"), "{status} {body}");
    ensure!(operator.healthz().await?.0 == 200 && operator.is_running());
    let made: Vec<_> = world.proxy.calls().into_iter().map(|call| call.operation).collect();
    ensure!(!made.is_empty() && made.iter().all(|operation| operation == "GetCallerIdentity"), "{made:?}");
    Ok(())
}

#[tokio::test]
async fn many_objects_share_one_session_and_one_client() -> Result<()> {
    let world = World::quiet(Aws::Ministack).await?;
    let one = another_account().await?;
    world.aws_account("one", &one, json!({})).await?;
    for number in 0..20 {
        let spec = json!({ "accountRef": world.account_ref("one") });
        world.create(&format!("queue-{number}"), spec).await?;
    }
    for number in 0..20 {
        world.in_sync(&format!("queue-{number}")).await?;
    }
    ensure!(world.proxy.calls_of("AssumeRole").len() == 1, "{:?}", world.proxy.calls_of("AssumeRole"));
    ensure!(world.proxy.calls_of("GetCallerIdentity").len() <= 4);
    // One finalizer, however many objects came at once.
    let account = world.account_until("one", "20 objects", |it| it.data["status"]["objects"] == 20).await?;
    ensure!(account.metadata.finalizers.as_ref().map(Vec::len) == Some(1), "{:?}", account.metadata);
    Ok(())
}
