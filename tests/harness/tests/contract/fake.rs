//! What only the fake does: none of the emulators can be held to it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_credential_types::Credentials;
use aws_sdk_sqs::types::QueueAttributeName as Name;
use aws_smithy_http_client::Builder;
use fairlead_harness::fake_aws::{
    Budget, Effect, FakeAws, Fault, Lag, Latency, Propagation, RoleSettings, Scope, Trouble,
};
use fairlead_harness::sqs::{sqs_client, sts_client};
use fairlead_harness::wait::eventually;
use serde_json::json;

use crate::target::{REGION, code};

const ACCOUNT: &str = "111122223333";
const OTHER: &str = "444455556666";
const MINUTE: Duration = Duration::from_secs(60);
const NOT_FOUND: &str = "AWS.SimpleQueueService.NonExistentQueue";

struct Setup {
    fake: FakeAws,
    sqs: aws_sdk_sqs::Client,
}

fn setup() -> Result<Setup> {
    let fake = FakeAws::start()?;
    Ok(Setup { sqs: sqs_client(&fake.url(), ACCOUNT, REGION), fake })
}

impl Setup {
    async fn create(&self, name: &str) -> String {
        code(self.sqs.create_queue().queue_name(name).send().await)
    }

    fn url(&self, name: &str) -> String {
        format!("{}/{ACCOUNT}/{name}", self.fake.url())
    }

    /// The delay as a read shows it, or the error's code.
    async fn delay(&self, name: &str) -> String {
        let names = [Name::DelaySeconds, Name::QueueArn];
        let read = self.sqs.get_queue_attributes().queue_url(self.url(name)).set_attribute_names(Some(names.into()));
        match read.send().await {
            Ok(read) => read.attributes().and_then(|all| all.get(&Name::DelaySeconds)).cloned().unwrap_or_default(),
            error => code(error),
        }
    }

    async fn set_delay(&self, name: &str, value: &str) -> String {
        let set = self.sqs.set_queue_attributes().queue_url(self.url(name)).attributes(Name::DelaySeconds, value);
        code(set.send().await)
    }

    async fn delete(&self, name: &str) -> String {
        code(self.sqs.delete_queue().queue_url(self.url(name)).send().await)
    }

    /// What a cheap call of a caller is answered.
    async fn answer(&self, account: &str, region: &str) -> String {
        code(sqs_client(&self.fake.url(), account, region).list_queues().send().await)
    }
}

#[tokio::test]
async fn a_deleted_name_is_blocked_for_a_minute_of_the_fakes_clock() -> Result<()> {
    let setup = setup()?;
    assert_eq!(setup.create("orders").await, "ok");
    assert_eq!(setup.delete("orders").await, "ok");
    assert_eq!(setup.create("orders").await, "AWS.SimpleQueueService.QueueDeletedRecently");
    setup.fake.advance(MINUTE);
    assert_eq!(setup.create("orders").await, "ok");
    setup.fake.delete_queue(ACCOUNT, REGION, "orders")?;
    assert_eq!(setup.create("orders").await, "AWS.SimpleQueueService.QueueDeletedRecently");
    Ok(())
}

#[tokio::test]
async fn reads_lag_behind_writes_by_count() -> Result<()> {
    let setup = setup()?;
    let lag = Some(Lag::Reads(2));
    setup.fake.propagate(Propagation { created: lag, changed: lag, deleted: lag });
    assert_eq!(setup.create("orders").await, "ok");
    let listed = setup.sqs.list_queues().send().await?;
    assert_eq!(listed.queue_urls().len(), 0);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(setup.delay("orders").await);
    }
    assert_eq!(setup.set_delay("orders", "5").await, "ok");
    for _ in 0..3 {
        seen.push(setup.delay("orders").await);
    }
    assert_eq!(setup.delete("orders").await, "ok");
    for _ in 0..3 {
        seen.push(setup.delay("orders").await);
    }
    assert_eq!(seen, [NOT_FOUND, NOT_FOUND, "0", "0", "0", "5", "5", "5", NOT_FOUND]);
    Ok(())
}

#[tokio::test]
async fn reads_lag_behind_writes_by_time() -> Result<()> {
    let setup = setup()?;
    let lag = Some(Lag::Time(MINUTE));
    setup.fake.propagate(Propagation { created: lag, changed: lag, deleted: lag });
    assert_eq!(setup.create("orders").await, "ok");
    let mut seen = vec![setup.delay("orders").await];
    setup.fake.advance(MINUTE);
    seen.push(setup.delay("orders").await);
    setup.set_delay("orders", "5").await;
    seen.push(setup.delay("orders").await);
    // What somebody else did long ago is seen at once, and so is the state itself.
    let state = setup.fake.queue(ACCOUNT, REGION, "orders").context("no queue")?;
    assert_eq!(state.attributes.get("DelaySeconds").map(String::as_str), Some("5"));
    setup.fake.set_attribute(ACCOUNT, REGION, "orders", "DelaySeconds", "6")?;
    seen.push(setup.delay("orders").await);
    setup.delete("orders").await;
    seen.push(setup.delay("orders").await);
    setup.fake.advance(MINUTE);
    seen.push(setup.delay("orders").await);
    assert_eq!(seen, [NOT_FOUND, "0", "0", "6", "6", NOT_FOUND]);
    Ok(())
}

#[tokio::test]
async fn what_others_do_is_seen() -> Result<()> {
    let setup = setup()?;
    assert_eq!(setup.create("orders").await, "ok");
    setup.fake.tag(ACCOUNT, REGION, "orders", "team", Some("shop"))?;
    let tags = setup.sqs.list_queue_tags().queue_url(setup.url("orders")).send().await?;
    assert_eq!(tags.tags().and_then(|tags| tags.get("team")).map(String::as_str), Some("shop"));
    setup.fake.tag(ACCOUNT, REGION, "orders", "team", None)?;
    let state = setup.fake.queue(ACCOUNT, REGION, "orders").context("no queue")?;
    assert!(state.tags.is_empty());
    assert_eq!(state.arn, format!("arn:aws:sqs:{REGION}:{ACCOUNT}:orders"));
    assert_eq!(setup.fake.queues(ACCOUNT, REGION), ["orders"]);
    assert!(setup.fake.queues(OTHER, REGION).is_empty());
    assert!(setup.fake.set_attribute(ACCOUNT, REGION, "orders", "Size", "1").is_err());
    assert!(setup.fake.delete_queue(ACCOUNT, REGION, "never-made").is_err());
    // Another account is told nothing of it, and may not touch it.
    let other = sqs_client(&setup.fake.url(), OTHER, REGION);
    assert_eq!(code(other.delete_queue().queue_url(setup.url("orders")).send().await), "AccessDenied");
    let asked = other.get_queue_url().queue_name("orders").queue_owner_aws_account_id(ACCOUNT);
    assert_eq!(code(asked.send().await), NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_budget_refuses_what_is_too_much() -> Result<()> {
    let setup = setup()?;
    // A rate at which nothing comes back during the test.
    let budget = Budget::new(0.001, 2.0).retry_after(Duration::from_millis(1_500));
    setup.fake.budget(Scope::account(ACCOUNT), budget);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(setup.answer(ACCOUNT, REGION).await);
    }
    assert_eq!(answers, ["ok", "ok", "RequestThrottled"]);
    let error = setup.sqs.list_queues().send().await.err().context("answered")?;
    let raw = error.raw_response().context("no answer")?;
    assert_eq!((raw.status().as_u16(), raw.headers().get("retry-after")), (400, Some("2")));
    // Another region, another account and another service have budgets of their own, or none.
    assert_eq!(setup.answer(ACCOUNT, "us-east-1").await, "ok");
    assert_eq!(setup.answer(OTHER, REGION).await, "ok");
    let sts = sts_client(&setup.fake.url(), ACCOUNT, REGION);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(code(sts.get_caller_identity().send().await));
    }
    assert_eq!(answers, ["ok", "ok", "Throttling"]);
    assert_eq!(setup.fake.throttled(), 3);
    setup.fake.advance(Duration::from_secs(1_000));
    assert_eq!(setup.answer(ACCOUNT, REGION).await, "ok");
    setup.fake.budget(Scope::account(ACCOUNT), None);
    assert_eq!(setup.answer(ACCOUNT, REGION).await, "ok");
    assert_eq!(setup.answer(ACCOUNT, REGION).await, "ok");
    Ok(())
}

#[tokio::test]
async fn latency_is_of_a_scope() -> Result<()> {
    let setup = setup()?;
    let latency = Duration::from_millis(120);
    setup.fake.latency(Scope::all(), Latency::fixed(latency));
    setup.fake.latency(Scope::region("us-east-1"), Latency::default());
    let took = async |region| {
        let began = Instant::now();
        let answer = setup.answer(ACCOUNT, region).await;
        (answer, began.elapsed())
    };
    let (answer, slow) = took(REGION).await;
    assert_eq!(answer, "ok");
    assert!(slow >= latency, "{slow:?}");
    // Of some calls one at least is fast, however busy the machine is.
    let mut fastest = Duration::MAX;
    for _ in 0..20 {
        fastest = fastest.min(took("us-east-1").await.1);
    }
    assert!(fastest < latency, "{fastest:?}");
    Ok(())
}

#[tokio::test]
async fn troubles_are_of_a_scope_and_end() -> Result<()> {
    let setup = setup()?;
    let cases = [
        (Trouble::Unavailable, "ServiceUnavailable"),
        (Trouble::ExpiredCredentials, "ExpiredToken"),
        (Trouble::Closed, "no answer: dispatch failure"),
    ];
    for (trouble, expected) in cases {
        setup.fake.trouble(Scope::of(ACCOUNT, REGION), trouble);
        assert_eq!(setup.answer(ACCOUNT, REGION).await, expected, "{trouble:?}");
        assert_eq!(setup.answer(ACCOUNT, "us-east-1").await, "ok");
        assert_eq!(setup.answer(OTHER, REGION).await, "ok");
        setup.fake.trouble(Scope::of(ACCOUNT, REGION), None);
        assert_eq!(setup.answer(ACCOUNT, REGION).await, "ok");
    }
    Ok(())
}

#[tokio::test]
async fn a_black_hole_swallows_calls_for_good() -> Result<()> {
    let setup = setup()?;
    setup.fake.trouble(Scope::account(ACCOUNT), Trouble::BlackHole);
    let call = tokio::spawn(setup.sqs.create_queue().queue_name("swallowed").send());
    eventually("the call", MINUTE, async || match setup.fake.calls().len() {
        1 => Ok(()),
        n => Err(format!("{n} calls")),
    })
    .await?;
    setup.fake.trouble(Scope::account(ACCOUNT), None);
    assert_eq!(setup.create("another").await, "ok");
    assert_eq!(setup.fake.queues(ACCOUNT, REGION), ["another"]);
    assert!(!call.is_finished());
    assert_eq!(setup.fake.calls()[0].finished, None);
    let Setup { fake, .. } = setup;
    drop(fake);
    assert!(call.await?.is_err());
    Ok(())
}

#[tokio::test]
async fn faults_come_by_occurrence() -> Result<()> {
    let setup = setup()?;
    setup.fake.fault(Fault::new("CreateQueue", Effect::LoseReply).skip(1));
    setup.fake.fault(Fault::new("ListQueues", Effect::respond(403, "AccessDenied", "no")));
    let rewritten = Effect::rewrite(|mut answer| {
        answer["Attributes"]["DelaySeconds"] = json!("7");
        answer
    });
    setup.fake.fault(Fault::new("GetQueueAttributes", rewritten).times(2));
    assert_eq!(setup.create("first").await, "ok");
    assert_eq!(setup.create("lost").await, "no answer: dispatch failure");
    assert_eq!(setup.create("third").await, "ok");
    assert_eq!(setup.fake.queues(ACCOUNT, REGION), ["first", "lost", "third"]);
    assert_eq!(setup.answer(ACCOUNT, REGION).await, "AccessDenied");
    assert_eq!(setup.answer(ACCOUNT, REGION).await, "ok");
    assert_eq!(setup.delay("first").await, "7");
    assert_eq!(setup.delay("never-made").await, NOT_FOUND);
    assert_eq!(setup.delay("first").await, "0");
    Ok(())
}

#[tokio::test]
async fn a_held_reply_comes_when_released() -> Result<()> {
    let setup = setup()?;
    setup.fake.fault(Fault::new("CreateQueue", Effect::HoldReply));
    let call = tokio::spawn(setup.sqs.create_queue().queue_name("held").send());
    eventually("the queue", MINUTE, async || {
        let queues = setup.fake.queues(ACCOUNT, REGION);
        if queues == ["held"] { Ok(()) } else { Err(format!("{queues:?}")) }
    })
    .await?;
    assert!(!call.is_finished());
    setup.fake.release();
    call.await??;
    Ok(())
}

#[tokio::test]
async fn a_role_is_assumed_until_it_expires_or_is_revoked() -> Result<()> {
    let setup = setup()?;
    let arn = format!("arn:aws:iam::{OTHER}:role/teams/fairlead");
    let settings = RoleSettings { external_id: Some("shop".to_owned()), lifetime: Some(MINUTE) };
    setup.fake.role(&arn, settings)?;
    ensure!(setup.fake.role("arn:aws:iam::1:user/x", RoleSettings::default()).is_err());
    let sts = sts_client(&setup.fake.url(), ACCOUNT, REGION);
    let tag = aws_sdk_sts::types::Tag::builder().key("team").value("a shop").build()?;
    let assume = || sts.assume_role().role_arn(&arn).role_session_name("test").tags(tag.clone());

    assert_eq!(code(assume().send().await), "AccessDenied");
    assert_eq!(code(assume().external_id("another").send().await), "AccessDenied");
    let unknown = format!("arn:aws:iam::{OTHER}:role/unknown");
    assert_eq!(code(assume().role_arn(unknown).external_id("shop").send().await), "AccessDenied");

    let assumed = assume().external_id("shop").send().await?;
    let credentials = assumed.credentials().context("no credentials")?;
    let as_role = sts_of(&setup.fake, credentials, true);
    let identity = as_role.get_caller_identity().send().await?;
    assert_eq!(identity.account(), Some(OTHER));
    assert_eq!(identity.arn(), Some(&*format!("arn:aws:sts::{OTHER}:assumed-role/fairlead/test")));
    // The key alone is not enough.
    let without_token = sts_of(&setup.fake, credentials, false);
    assert_eq!(code(without_token.get_caller_identity().send().await), "InvalidClientTokenId");
    let calls = setup.fake.calls_of("GetCallerIdentity");
    assert_eq!(calls[0].account, OTHER);

    let sessions = setup.fake.sessions();
    assert_eq!(sessions.len(), 1);
    assert_eq!((&*sessions[0].role_arn, &*sessions[0].by), (&*arn, ACCOUNT));
    assert_eq!(sessions[0].tags.get("team").map(String::as_str), Some("a shop"));

    setup.fake.advance(MINUTE);
    assert_eq!(code(as_role.get_caller_identity().send().await), "ExpiredToken");
    setup.fake.role(&arn, RoleSettings::default())?;
    let assumed = assume().send().await?;
    let as_role = sts_of(&setup.fake, assumed.credentials().context("no credentials")?, true);
    assert_eq!(code(as_role.get_caller_identity().send().await), "ok");
    setup.fake.revoke_role(&arn);
    assert_eq!(code(as_role.get_caller_identity().send().await), "InvalidClientTokenId");
    assert_eq!(code(assume().send().await), "AccessDenied");
    Ok(())
}

#[tokio::test]
async fn every_call_is_logged_and_counted() -> Result<()> {
    let setup = setup()?;
    setup.create("orders").await;
    setup.delay("never-made").await;
    let sts = sts_client(&setup.fake.url(), "AKIAUNKNOWN", "cn-north-1");
    sts.get_caller_identity().send().await?;
    let calls = setup.fake.calls();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| {
            (&*call.service, &*call.operation, &*call.region, &*call.account, call.status, call.error.as_deref())
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("sqs", "CreateQueue", REGION, ACCOUNT, Some(200), None),
            ("sqs", "GetQueueAttributes", REGION, ACCOUNT, Some(400), Some(NOT_FOUND)),
            ("sts", "GetCallerIdentity", "cn-north-1", "000000000000", Some(200), None),
        ]
    );
    assert_eq!(calls[0].request, json!({"QueueName": "orders"}));
    assert_eq!(calls[2].access_key, "AKIAUNKNOWN");
    assert!(calls.iter().all(|call| call.finished >= Some(call.at)));
    assert_eq!(setup.fake.count("sqs", "CreateQueue"), 1);
    setup.fake.clear();
    assert_eq!((setup.fake.calls(), setup.fake.count("sqs", "CreateQueue")), (Vec::new(), 0));
    setup.fake.keep_calls(1);
    for _ in 0..3 {
        setup.answer(ACCOUNT, REGION).await;
    }
    assert_eq!((setup.fake.calls().len(), setup.fake.count("sqs", "ListQueues")), (1, 3));
    Ok(())
}

/// A client with temporary credentials.
fn sts_of(fake: &FakeAws, given: &aws_sdk_sts::types::Credentials, token: bool) -> aws_sdk_sts::Client {
    let token = token.then(|| given.session_token().to_owned());
    let credentials = Credentials::new(given.access_key_id(), given.secret_access_key(), token, None, "harness");
    let config = aws_sdk_sts::Config::builder()
        .behavior_version(aws_sdk_sts::config::BehaviorVersion::latest())
        .http_client(Builder::new().build_http())
        .retry_config(aws_sdk_sts::config::retry::RetryConfig::disabled())
        .endpoint_url(fake.url())
        .credentials_provider(credentials)
        .region(aws_sdk_sts::config::Region::new(REGION))
        .build();
    aws_sdk_sts::Client::from_conf(config)
}
