//! Amazon SQS queues.
//!
//! - [`api`]: spec and status
//! - [`attributes`]: the table of queue attributes: names, defaults, how values are compared
//! - [`policy`]: when two resource policies mean the same
//! - [`plan`]: from spec and observation to calls. Pure
//! - [`aws`]: the calls

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value, json};

use crate::{
    accounts::account::{Account, Named, NamedArn},
    aws::{
        Service,
        call::Regional,
        errors::{AwsError, ErrorClass},
        identity::Identity,
        tags::{TagChanges, Tags},
    },
    crd::spec::{CommonSpec, DeletionPolicy},
    engine::{
        kind::{Created, End, Ending, Gone, Kind, NotYet, Past, Plan, Referents},
        password::Password,
    },
    queue::flow::Calls,
    shard::Permit,
    telemetry::metrics::catalog::Metric,
};

pub mod api;
pub mod attributes;
mod aws;
pub mod plan;
pub mod policy;

#[cfg(test)]
mod tests;

/// How many there are.
static TOTAL: Metric = Metric::gauge("sqs_total_queues", &[], "Queues that are managed or observed");

/// The kind `SQSQueue`.
#[derive(Debug)]
pub struct SqsQueue;

/// How calls address a queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct QueueUrl(pub String);

impl Kind for SqsQueue {
    const KIND: &'static str = "SQSQueue";
    const NOUN: &'static str = "queue";
    const SERVICE: Service = Service("sqs");
    const FIELDS: &'static [&'static str] = &attributes::FIELDS;
    const VOLATILE: &'static [&'static str] = &["visibleMessages", "inFlightMessages", "delayedMessages"];
    // SQS asks to wait "at least one second" after CreateQueue.
    const APPEARS_WITHIN: Duration = Duration::from_secs(10);
    const CALLS: Calls = Calls { change: 2, poll: 1 };
    const TOTAL: &'static Metric = &TOTAL;
    const MESSAGES: Option<[&'static str; 3]> = Some(["visibleMessages", "inFlightMessages", "delayedMessages"]);
    const DELETION: &'static [DeletionPolicy] = &[DeletionPolicy::Delete, DeletionPolicy::Retain];

    type Client = aws_sdk_sqs::Client;
    type Spec = api::SQSQueueSpec;
    type Desired = plan::Desired;
    type Handle = QueueUrl;
    type Observed = plan::Observed;
    type Creation = plan::Desired;
    type Change = plan::SetAttributes;
    type Farewell = ();

    fn crd() -> CustomResourceDefinition {
        api::SQSQueue::crd()
    }

    fn common(spec: &Self::Spec) -> &CommonSpec {
        &spec.common
    }

    fn resource_name(spec: &Self::Spec, wished: &str) -> Result<String, NotYet> {
        plan::queue_name(spec, wished)
    }

    fn references(spec: &Self::Spec) -> Vec<String> {
        let redrive = spec.redrive_policy.as_ref();
        redrive
            .and_then(|redrive| redrive.dead_letter_queue_ref.as_ref())
            .map(|to| to.name.clone())
            .into_iter()
            .collect()
    }

    fn named_arns(spec: &Self::Spec) -> Vec<NamedArn> {
        let key = spec.kms_master_key_id.clone();
        key.map(|value| NamedArn { field: "kmsMasterKeyID", what: Named::KmsKey, value }).into_iter().collect()
    }

    fn desired(spec: &Self::Spec, identity: &Identity, referents: &Referents) -> Result<Self::Desired, NotYet> {
        plan::desired(spec, identity, referents)
    }

    fn managed(desired: &Self::Desired) -> Vec<String> {
        desired.attributes.keys().map(|attribute| attribute.field().to_owned()).collect()
    }

    fn creation(
        desired: &Self::Desired,
        _identity: &Identity,
        _account: &Account,
        _password: Option<&Password>,
    ) -> Result<Self::Creation, NotYet> {
        Ok(desired.clone())
    }

    fn shown(creation: &Self::Creation) -> BTreeMap<String, String> {
        let fifo = creation.fifo.then(|| ("fifoQueue".to_owned(), "true".to_owned()));
        let attributes = creation.attributes.iter();
        attributes.map(|(attribute, value)| (attribute.field().to_owned(), value.clone())).chain(fifo).collect()
    }

    fn plan(desired: &Self::Desired, observed: &Self::Observed, past: &Past<'_>) -> Plan<Self::Change> {
        plan::plan(desired, observed, past)
    }

    fn handle(status: &Map<String, Value>) -> Option<Self::Handle> {
        status.get("url")?.as_str().map(|url| QueueUrl(url.into()))
    }

    fn created_at(observed: &Self::Observed) -> Option<i64> {
        observed.created_at
    }

    fn status(handle: &Self::Handle, observed: &Self::Observed) -> Map<String, Value> {
        [
            ("url", json!(handle.0)),
            ("visibleMessages", json!(observed.visible)),
            ("inFlightMessages", json!(observed.in_flight)),
            ("delayedMessages", json!(observed.delayed)),
        ]
        .map(|(field, value)| (field.to_owned(), value))
        .into_iter()
        .collect()
    }

    fn connection(
        identity: &Identity,
        handle: &Self::Handle,
        _observed: &Self::Observed,
        desired: &Self::Desired,
        _password: Option<&Password>,
    ) -> Option<BTreeMap<String, String>> {
        Some(plan::connection(identity, handle, desired))
    }

    fn ending(_observed: Option<&Self::Observed>, _wish: &Ending<'_>) -> End<Self::Change, Self::Farewell> {
        End::Delete(())
    }

    fn classify(code: &str, message: &str) -> Option<ErrorClass> {
        aws::classify(code, message)
    }

    fn client(config: &SdkConfig) -> Self::Client {
        aws_sdk_sqs::Client::new(config)
    }

    async fn find(aws: &Regional<Self::Client>, identity: &Identity) -> Result<Option<Self::Handle>, AwsError> {
        aws::find(aws, identity).await
    }

    async fn observe(aws: &Regional<Self::Client>, handle: &Self::Handle) -> Result<Option<Self::Observed>, AwsError> {
        aws::observe(aws, handle).await
    }

    async fn tags(aws: &Regional<Self::Client>, handle: &Self::Handle) -> Result<Tags, AwsError> {
        aws::tags(aws, handle).await
    }

    async fn create(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        identity: &Identity,
        creation: &Self::Creation,
        tags: &Tags,
    ) -> Result<Created<Self>, AwsError> {
        let handle = aws::create(aws, permit, identity, creation, tags).await?;
        Ok(Created { handle, observed: None, told: Map::new(), has_password: false })
    }

    async fn change(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        change: &Self::Change,
    ) -> Result<Option<Self::Observed>, AwsError> {
        aws::set_attributes(aws, permit, handle, change).await.map(|()| None)
    }

    async fn retag(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        _identity: &Identity,
        handle: &Self::Handle,
        changes: &TagChanges,
    ) -> Result<(), AwsError> {
        aws::retag(aws, permit, handle, changes).await
    }

    async fn delete(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        (): &Self::Farewell,
    ) -> Result<Gone, AwsError> {
        aws::delete(aws, permit, handle).await.map(|()| Gone::Now)
    }
}
