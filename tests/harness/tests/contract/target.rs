//! What the checks run against.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context as _, Result};
use aws_sdk_sqs::error::{ProvideErrorMetadata, SdkError};
use fairlead_harness::emulator::Emulator;
use fairlead_harness::fake_aws::{FakeAws, RdsTiming};
use fairlead_harness::sqs::{rds_client, sqs_client, sts_client};

/// Who answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fake,
    Ministack,
    Moto,
}

/// An account at one of them, in a region.
pub struct Target {
    pub account: String,
    pub rds: aws_sdk_rds::Client,
    pub sqs: aws_sdk_sqs::Client,
    pub sts: aws_sdk_sts::Client,
}

pub const REGION: &str = "eu-west-1";

impl Target {
    /// A fresh account; of moto the only one.
    pub async fn of(kind: Kind) -> Result<Target> {
        let (url, key, account) = match kind {
            Kind::Fake => {
                let account = fresh_account();
                (shared_fake()?.url(), account.clone(), account)
            }
            Kind::Ministack => emulated(Emulator::shared_ministack().await?),
            Kind::Moto => emulated(Emulator::shared_moto().await?),
        };
        Ok(Target {
            account,
            rds: rds_client(&url, &key, REGION),
            sqs: sqs_client(&url, &key, REGION),
            sts: sts_client(&url, &key, REGION),
        })
    }

    /// Makes a queue with nothing but a name.
    pub async fn make(&self, name: &str) -> Result<String> {
        let made = self.sqs.create_queue().queue_name(name).send().await?;
        Ok(made.queue_url().context("no URL")?.to_owned())
    }
}

/// An account of the fake that no other test uses.
pub fn fresh_account() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(200_000_000_001);
    NEXT.fetch_add(1, Ordering::Relaxed).to_string()
}

/// The error's code, or `ok`.
pub fn code<T, E: ProvideErrorMetadata, R>(answer: Result<T, SdkError<E, R>>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(SdkError::ServiceError(error)) => error.err().code().unwrap_or("an error without a code").to_owned(),
        Err(error) => format!("no answer: {error}"),
    }
}

fn emulated(emulator: &Emulator) -> (String, String, String) {
    let account = emulator.account();
    (emulator.url(), account.access_key, account.id)
}

fn shared_fake() -> Result<&'static FakeAws> {
    static SHARED: OnceLock<FakeAws> = OnceLock::new();
    if SHARED.get().is_none() {
        let fake = FakeAws::start()?;
        // As with the emulators, for which nothing takes time.
        fake.rds_timing(RdsTiming::at_once());
        // Of two that start at once, one is dropped again.
        let _ = SHARED.set(fake);
    }
    SHARED.get().context("no fake")
}
