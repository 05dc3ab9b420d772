//! What a kind of AWS resource has to say for itself. The engine does the rest.

use std::{collections::BTreeMap, future::Future, time::Duration};

use aws_config::SdkConfig;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::memory::Settling;
use crate::{
    accounts::account::NamedArn,
    aws::{
        Service,
        call::Regional,
        errors::{AwsError, ErrorClass},
        identity::Identity,
        tags::{TagChanges, Tags},
    },
    crd::spec::CommonSpec,
    queue::flow::Calls,
    shard::Permit,
};

/// A kind of AWS resource.
///
/// The first group of functions decides and is pure; the second calls AWS and decides nothing.
pub trait Kind: Send + Sync + Sized + 'static {
    /// The Kubernetes kind, for example `SQSQueue`.
    const KIND: &'static str;
    /// What users call the resource, for messages: `queue`.
    const NOUN: &'static str;
    /// The AWS service.
    const SERVICE: Service;
    /// The fields of the spec that may be in the list of managed ones, tags apart.
    const FIELDS: &'static [&'static str];
    /// Status fields that change by themselves; a status that differs in these alone is written
    /// seldom.
    const VOLATILE: &'static [&'static str];
    /// How long after a create AWS may still deny that the resource exists.
    const APPEARS_WITHIN: Duration;

    /// The AWS calls of a usual run, which its dispatch reserves.
    const CALLS: Calls;
    /// The metric that counts the resources there are.
    const TOTAL: &'static str;

    /// The SDK's client.
    type Client: Clone + Send + Sync + 'static;
    /// The spec as users write it.
    type Spec: DeserializeOwned + Send + Sync;
    /// What the spec asks, validated, with references resolved.
    type Desired: Send + Sync;
    /// How calls address the resource.
    type Handle: Clone + Send + Sync;
    /// What AWS said of the resource.
    type Observed: Send + Sync;
    /// One call that changes the resource.
    type Change: Send + Sync;

    /// The CRD, as derived from the spec's and status's types.
    fn crd() -> CustomResourceDefinition;
    /// The part of the spec that all kinds share.
    fn common(spec: &Self::Spec) -> &CommonSpec;
    /// The AWS name, given the wished one.
    ///
    /// # Errors
    /// Where AWS would not take the name.
    fn resource_name(spec: &Self::Spec, wished: &str) -> Result<String, NotYet>;
    /// Names of the objects of this kind and namespace that the spec refers to.
    fn references(spec: &Self::Spec) -> Vec<String>;
    /// What the spec names by an ARN, id or alias, and an account may restrict.
    fn named_arns(spec: &Self::Spec) -> Vec<NamedArn>;
    /// What the spec asks.
    ///
    /// # Errors
    /// Where the spec is invalid, or a referenced object is not there yet.
    fn desired(spec: &Self::Spec, identity: &Identity, referents: &Referents) -> Result<Self::Desired, NotYet>;
    /// The fields that the spec manages, by their names in the spec.
    fn managed(desired: &Self::Desired) -> Vec<String>;
    /// What turns `observed` into `desired`.
    fn plan(desired: &Self::Desired, observed: &Self::Observed, past: &Past<'_>) -> Plan<Self::Change>;
    /// The handle that an earlier status recorded.
    fn handle(status: &Map<String, Value>) -> Option<Self::Handle>;
    /// When the resource was created, in seconds since 1970 by AWS's clock.
    fn created_at(observed: &Self::Observed) -> Option<i64>;
    /// The kind's own part of the status.
    fn status(handle: &Self::Handle, observed: &Self::Observed) -> Map<String, Value>;
    /// What applications need to reach the resource.
    fn connection(identity: &Identity, handle: &Self::Handle, desired: &Self::Desired) -> BTreeMap<String, String>;
    /// Classes of the service's own error codes.
    fn classify(code: &str, message: &str) -> Option<ErrorClass>;
    /// The SDK's client for a region.
    fn client(config: &SdkConfig) -> Self::Client;

    /// The resource by its identity, if it exists. A read.
    fn find(
        aws: &Regional<Self::Client>,
        identity: &Identity,
    ) -> impl Future<Output = Result<Option<Self::Handle>, AwsError>> + Send;
    /// The resource's state, if it exists. A read.
    fn observe(
        aws: &Regional<Self::Client>,
        handle: &Self::Handle,
    ) -> impl Future<Output = Result<Option<Self::Observed>, AwsError>> + Send;
    /// The resource's tags. A read.
    fn tags(aws: &Regional<Self::Client>, handle: &Self::Handle)
    -> impl Future<Output = Result<Tags, AwsError>> + Send;
    /// Creates the resource with everything that `desired` says, and with `tags`.
    fn create(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        identity: &Identity,
        desired: &Self::Desired,
        tags: &Tags,
    ) -> impl Future<Output = Result<Self::Handle, AwsError>> + Send;
    /// Makes one change.
    fn change(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        change: &Self::Change,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// Sets and removes tags.
    fn retag(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        changes: &TagChanges,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// Deletes the resource. Not found is success.
    fn delete(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
}

/// Why a spec can't be worked on, for now or at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotYet {
    /// The spec is invalid; the text names the field and the way out.
    Invalid(String),
    /// Another object is not there or not ready; the text says which.
    Waiting(String),
}

/// The objects that a spec refers to, by name; `None` where there is none of that name.
pub type Referents = BTreeMap<String, Option<Referent>>;

/// An object that another one refers to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Referent {
    /// Whether its condition Ready is true.
    pub ready: bool,
    /// Its spec, as JSON.
    pub spec: Value,
    /// Its resource's ARN, once it has one.
    pub arn: Option<String>,
}

/// What a plan has to know beside spec and observation.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// The fields that we set earlier.
    pub managed: &'a [String],
    /// The fields that we wrote so lately that a read may not show it yet.
    pub settling: &'a Settling,
}

/// What turns an observation into what is desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<C> {
    /// The calls, in order.
    pub changes: Vec<C>,
    /// The fields that they change.
    pub differences: Vec<Difference>,
    /// A field that AWS can't change and that differs: nothing may be done.
    pub immutable: Option<Difference>,
}

/// A field whose actual value is not the desired one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The field's name in the spec.
    pub field: String,
    /// What AWS has.
    pub actual: String,
    /// What the spec asks, or AWS's default where the field left the spec.
    pub desired: String,
    /// How long reads may show the actual value after it was changed.
    pub settles_within: Duration,
}

impl<C> Plan<C> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.immutable.is_none()
    }
}

impl<C> Default for Plan<C> {
    fn default() -> Self {
        Self { changes: Vec::new(), differences: Vec::new(), immutable: None }
    }
}
