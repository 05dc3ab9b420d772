//! The emulators answer, and the proxy before one logs calls and injects faults.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use aws_sdk_sqs::error::ProvideErrorMetadata as _;
use aws_sdk_sqs::operation::RequestId as _;
use aws_sdk_sqs::types::QueueAttributeName::{All, QueueArn};
use fairlead_harness::aws_proxy::{AwsProxy, Effect, Fault};
use fairlead_harness::emulator::{Account, Emulator};
use fairlead_harness::sqs::{sqs_client, sts_client};
use fairlead_harness::wait::eventually;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(10);

struct Setup {
    proxy: AwsProxy,
    account: Account,
    /// Through the proxy.
    sqs: aws_sdk_sqs::Client,
    /// Around it.
    direct: aws_sdk_sqs::Client,
}

async fn setup() -> Result<Setup> {
    let emulator = Emulator::shared_ministack().await?;
    let account = emulator.account();
    let proxy = AwsProxy::start(&emulator.url())?;
    Ok(Setup {
        sqs: sqs_client(&proxy.url(), &account.access_key, "eu-west-1"),
        direct: sqs_client(&emulator.url(), &account.access_key, "eu-west-1"),
        proxy,
        account,
    })
}

impl Setup {
    async fn exists(&self, name: &str) -> Result<bool> {
        let listed = self.direct.list_queues().queue_name_prefix(name).send().await?;
        Ok(!listed.queue_urls().is_empty())
    }
}

async fn arn(sqs: &aws_sdk_sqs::Client) -> Result<String> {
    let created = sqs.create_queue().queue_name("orders").send().await?;
    let url = created.queue_url().context("no URL")?;
    let read = sqs.get_queue_attributes().queue_url(url).attribute_names(All).send().await?;
    let attributes = read.attributes().context("no attributes")?;
    Ok(attributes.get(&QueueArn).context("no ARN")?.clone())
}

#[tokio::test]
async fn ministack_keeps_accounts_apart() -> Result<()> {
    let emulator = Emulator::shared_ministack().await?;
    let (one, two) = (emulator.account(), emulator.account());
    ensure!(one != two);
    for account in [&one, &two] {
        let sts = sts_client(&emulator.url(), &account.access_key, "eu-west-1");
        let identity = sts.get_caller_identity().send().await?;
        assert_eq!(identity.account(), Some(&*account.id));
        let sqs = sqs_client(&emulator.url(), &account.access_key, "eu-west-1");
        assert_eq!(arn(&sqs).await?, format!("arn:aws:sqs:eu-west-1:{}:orders", account.id));
    }
    Ok(())
}

#[tokio::test]
async fn moto_knows_partitions() -> Result<()> {
    let emulator = Emulator::shared_moto().await?;
    let account = emulator.account();
    for (region, partition) in [("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")] {
        let sts = sts_client(&emulator.url(), &account.access_key, region);
        let identity = sts.get_caller_identity().send().await?;
        assert_eq!(identity.account(), Some(&*account.id));
        let sqs = sqs_client(&emulator.url(), &account.access_key, region);
        let expected = format!("arn:{partition}:sqs:{region}:{}:orders", account.id);
        assert_eq!(arn(&sqs).await?, expected);
    }
    Ok(())
}

#[tokio::test]
async fn every_call_is_logged_in_both_protocols() -> Result<()> {
    let setup = setup().await?;
    arn(&setup.sqs).await?;
    let sts = sts_client(&setup.proxy.url(), &setup.account.access_key, "cn-north-1");
    sts.get_caller_identity().send().await?;
    let calls = setup.proxy.calls();
    let seen: Vec<_> =
        calls.iter().map(|call| (&*call.service, &*call.operation, &*call.region, call.status)).collect();
    assert_eq!(
        seen,
        [
            ("sqs", "CreateQueue", "eu-west-1", Some(200)),
            ("sqs", "GetQueueAttributes", "eu-west-1", Some(200)),
            ("sts", "GetCallerIdentity", "cn-north-1", Some(200)),
        ]
    );
    assert_eq!(calls[0].request, json!({"QueueName": "orders"}));
    assert!(calls.iter().all(|call| call.access_key == setup.account.access_key));
    assert!(calls.iter().all(|call| call.finished >= Some(call.at)));
    setup.proxy.clear();
    assert_eq!(setup.proxy.calls(), []);
    Ok(())
}

#[tokio::test]
async fn refusals_look_like_aws() -> Result<()> {
    let setup = setup().await?;
    let code = "AWS.SimpleQueueService.QueueDeletedRecently";
    setup.proxy.fault(Fault::new("CreateQueue", Effect::respond(400, code, "wait 60 s")).skip(1));
    setup.proxy.fault(Fault::new("CreateQueue", Effect::respond(400, "RequestThrottled", "slow down")));
    let mut codes = Vec::new();
    for _ in 0..3 {
        let made = setup.sqs.create_queue().queue_name("refused").send().await;
        let error = made.err();
        let id = error.as_ref().and_then(|error| error.request_id());
        assert_eq!(id.is_some(), error.is_some());
        codes.push(error.and_then(|error| error.code().map(str::to_owned)));
    }
    let [first, second, third] = &codes[..] else {
        anyhow::bail!("{codes:?}");
    };
    assert_eq!(first.as_deref(), Some("RequestThrottled"));
    assert_eq!(second.as_deref(), Some(code));
    assert_eq!(third.as_deref(), None);

    let sts = sts_client(&setup.proxy.url(), &setup.account.access_key, "eu-west-1");
    let effect = Effect::respond(403, "InvalidClientTokenId", "The token <x> is invalid");
    setup.proxy.fault(Fault::new("GetCallerIdentity", effect));
    let error = sts.get_caller_identity().send().await.err().context("not refused")?;
    assert_eq!(error.code(), Some("InvalidClientTokenId"));
    assert_eq!(error.message(), Some("The token <x> is invalid"));
    Ok(())
}

#[tokio::test]
async fn a_lost_reply_has_taken_effect() -> Result<()> {
    let setup = setup().await?;
    setup.proxy.fault(Fault::new("CreateQueue", Effect::LoseReply));
    let error = setup.sqs.create_queue().queue_name("lost").send().await.err();
    assert!(error.context("answered")?.as_service_error().is_none());
    assert!(setup.exists("lost").await?);
    let calls = setup.proxy.calls();
    assert_eq!(calls.len(), 1);
    assert_eq!(calls[0].status, None);
    assert!(calls[0].finished.is_some());
    Ok(())
}

#[tokio::test]
async fn a_held_reply_comes_when_released() -> Result<()> {
    let setup = setup().await?;
    setup.proxy.fault(Fault::new("CreateQueue", Effect::HoldReply));
    let call = tokio::spawn(setup.sqs.create_queue().queue_name("held").send());
    eventually("the queue", SOON, async || match setup.exists("held").await {
        Ok(true) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await?;
    assert_eq!(setup.proxy.calls()[0].status, None);
    assert!(!call.is_finished());
    setup.proxy.release();
    call.await??;
    assert_eq!(setup.proxy.calls()[0].status, Some(200));
    Ok(())
}

#[tokio::test]
async fn a_black_hole_ends_with_the_proxy() -> Result<()> {
    let setup = setup().await?;
    setup.proxy.fault(Fault::new("*", Effect::Blackhole).always());
    let call = tokio::spawn(setup.sqs.create_queue().queue_name("swallowed").send());
    eventually("the call", SOON, async || match setup.proxy.calls().len() {
        1 => Ok(()),
        n => Err(format!("{n} calls")),
    })
    .await?;
    assert!(!setup.exists("swallowed").await?);
    let Setup { proxy, .. } = setup;
    drop(proxy);
    assert!(call.await?.is_err());
    Ok(())
}

#[tokio::test]
async fn delays_rewrites_and_outages() -> Result<()> {
    let setup = setup().await?;
    let delay = Duration::from_millis(80);
    setup.proxy.fault(Fault::new("CreateQueue", Effect::Delay(delay)));
    setup.proxy.fault(Fault::new(
        "GetQueueAttributes",
        Effect::rewrite(|mut reply: Value| {
            reply["Attributes"]["QueueArn"] = json!("old");
            reply
        }),
    ));
    let began = Instant::now();
    assert_eq!(arn(&setup.sqs).await?, "old");
    assert!(began.elapsed() >= delay);
    assert!(arn(&setup.sqs).await?.ends_with(":orders"));

    setup.proxy.unavailable(true);
    let error = setup.sqs.list_queues().send().await.err().context("answered")?;
    assert_eq!(error.raw_response().map(|raw| raw.status().as_u16()), Some(503));
    setup.proxy.unavailable(false);
    setup.sqs.list_queues().send().await?;
    Ok(())
}
