//! What a kind of AWS resource has to say for itself. The engine does the rest.

use std::{borrow::Cow, collections::BTreeMap, future::Future, hash::Hash, time::Duration};

use aws_config::SdkConfig;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};

use super::{memory::Settling, password::Password};
use crate::{
    accounts::account::{Account, NamedArn},
    aws::{
        Service,
        call::Regional,
        errors::{AwsError, ErrorClass},
        identity::Identity,
        tags::{TagChanges, Tags},
    },
    crd::spec::{CommonSpec, DeletionPolicy},
    queue::flow::Calls,
    shard::Permit,
    telemetry::metrics::catalog::Metric,
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
    const TOTAL: &'static Metric;
    /// The status fields that count messages, where there are any: visible, in flight, delayed.
    const MESSAGES: Option<[&'static str; 3]> = None;
    /// What may become of a resource whose object is deleted; the first is the default.
    const DELETION: &'static [DeletionPolicy];
    /// As what the way to the resource is published.
    const PUBLISHES: Published = Published::ConfigMap;
    /// The published key that holds the password.
    const PASSWORD_KEY: &'static str = "DB_PASSWORD";
    /// How many resources one listing observes by their handles. `None`: each is looked at by itself.
    const SWEEP: Option<usize> = None;
    /// Whether AWS makes some changes later: then the status tells which.
    const DEFERS: bool = false;
    /// Whether a resource that is gone is created again without being asked to.
    const RECREATES: bool = true;

    /// The SDK's client.
    type Client: Clone + Send + Sync + 'static;
    /// The spec as users write it.
    type Spec: DeserializeOwned + Send + Sync;
    /// What the spec asks, validated, with references resolved.
    type Desired: Send + Sync;
    /// How calls address the resource.
    type Handle: Clone + Eq + Hash + Send + Sync + 'static;
    /// What AWS said of the resource.
    type Observed: Clone + Send + Sync + 'static;
    /// What the creating call takes.
    type Creation: Send + Sync;
    /// One call that changes the resource.
    type Change: Send + Sync;
    /// How the resource is deleted.
    type Farewell: Send + Sync;

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
    /// What the creating call takes, where `account` may have defaults for it and `password` is the one that the
    /// resource is to have.
    ///
    /// # Errors
    /// Where something is missing that only a creation needs.
    fn creation(
        desired: &Self::Desired,
        identity: &Identity,
        account: &Account,
        password: Option<&Password>,
    ) -> Result<Self::Creation, NotYet>;
    /// What turns `observed` into `desired`.
    fn plan(desired: &Self::Desired, observed: &Self::Observed, past: &Past<'_>) -> Plan<Self::Change>;
    /// What a creation gives the resource, for people, by the names of the spec's fields. No secret is in it.
    fn shown(creation: &Self::Creation) -> BTreeMap<String, String>;
    /// When a change of `field` takes effect and what it interrupts, for people, where that is not at once and
    /// unnoticed.
    fn effect(_desired: &Self::Desired, _observed: &Self::Observed, _field: &str) -> Option<String> {
        None
    }
    /// How the resource is, whatever its fields.
    fn state(_observed: &Self::Observed) -> State {
        State::AVAILABLE
    }
    /// The handle that an earlier status recorded: then the resource has been there.
    fn handle(status: &Map<String, Value>) -> Option<Self::Handle>;
    /// The handle, where the name alone says it.
    fn handle_of(_identity: &Identity) -> Option<Self::Handle> {
        None
    }
    /// When the resource was created, in seconds since 1970 by AWS's clock.
    fn created_at(observed: &Self::Observed) -> Option<i64>;
    /// Which of all resources that ever had this name it is, where AWS says.
    fn incarnation(_observed: &Self::Observed) -> Option<&str> {
        None
    }
    /// Whether AWS keeps a password of its own for the resource, in place of the one that it was given.
    fn keeps_own_password(_observed: &Self::Observed) -> bool {
        false
    }
    /// The resource's tags, where every observation has them.
    fn tags_in(_observed: &Self::Observed) -> Option<&Tags> {
        None
    }
    /// The resource's ARN.
    fn arn(identity: &Identity) -> String {
        identity.arn(Self::SERVICE)
    }
    /// The kind's own part of the status; null takes a field away.
    fn status(handle: &Self::Handle, observed: &Self::Observed) -> Map<String, Value>;
    /// What the status says of a resource that is not there; null takes a field away.
    fn absent() -> Map<String, Value> {
        Map::new()
    }
    /// Where the resource's password comes from. `object` is the object's name.
    fn password(_spec: &Self::Spec, _object: &str) -> PasswordSource {
        PasswordSource::None
    }
    /// Makes sure that AWS takes `password`.
    ///
    /// # Errors
    /// What is wrong with it, without a part of it.
    fn check_password(_spec: &Self::Spec, _password: &Password) -> Result<(), String> {
        Ok(())
    }
    /// Whether `change` gives the resource the password that the plan was told of.
    fn sets_password(_change: &Self::Change) -> bool {
        false
    }
    /// What applications need to reach the resource. `None`: it can't be reached yet.
    fn connection(
        identity: &Identity,
        handle: &Self::Handle,
        observed: &Self::Observed,
        desired: &Self::Desired,
        password: Option<&Password>,
    ) -> Option<BTreeMap<String, String>>;
    /// How the resource of a deleted object goes. `observed` is there for kinds that sweep.
    fn ending(observed: Option<&Self::Observed>, wish: &Ending<'_>) -> End<Self::Change, Self::Farewell>;
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
    /// The states of those of at most [`SWEEP`](Self::SWEEP) resources that exist, in one read. One that is
    /// not in the answer may exist all the same.
    fn sweep(
        _aws: &Regional<Self::Client>,
        _handles: &[Self::Handle],
    ) -> impl Future<Output = Result<Seen<Self>, AwsError>> + Send {
        std::future::ready(Ok(Vec::new()))
    }
    /// The resource's tags. A read.
    fn tags(aws: &Regional<Self::Client>, handle: &Self::Handle)
    -> impl Future<Output = Result<Tags, AwsError>> + Send;
    /// Creates the resource as `creation` says, and with `tags`.
    fn create(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        identity: &Identity,
        creation: &Self::Creation,
        tags: &Tags,
    ) -> impl Future<Output = Result<Created<Self>, AwsError>> + Send;
    /// Makes one change; answers what AWS says of the resource then, where it does.
    fn change(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        change: &Self::Change,
    ) -> impl Future<Output = Result<Option<Self::Observed>, AwsError>> + Send;
    /// Sets and removes tags.
    fn retag(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        identity: &Identity,
        handle: &Self::Handle,
        changes: &TagChanges,
    ) -> impl Future<Output = Result<(), AwsError>> + Send;
    /// Deletes the resource, or begins to. Not found is success.
    fn delete(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        farewell: &Self::Farewell,
    ) -> impl Future<Output = Result<Gone, AwsError>> + Send;
}

/// The resources that a sweep has seen.
pub type Seen<K> = Vec<(<K as Kind>::Handle, <K as Kind>::Observed)>;

/// As what the way to a resource is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// A ConfigMap.
    ConfigMap,
    /// A Secret.
    Secret,
}

/// Where a resource's password comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PasswordSource {
    /// It has none.
    None,
    /// AWS makes and rotates it.
    Managed,
    /// Fairlead makes it, and keeps it in this Secret.
    Generated {
        /// The Secret's name.
        secret: String,
        /// The field of the spec that names it.
        field: &'static str,
    },
    /// Somebody else's Secret.
    Referenced {
        /// The Secret's name.
        secret: String,
        /// The key in it.
        key: String,
        /// The field of the spec that names it.
        field: &'static str,
    },
}

/// How a resource is, whatever its fields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// What that means for those who use it.
    pub bearing: Bearing,
    /// The same for machines, as a condition's reason.
    pub reason: Cow<'static, str>,
    /// The same for people.
    pub message: String,
}

/// What a resource's state means for those who use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bearing {
    /// It can be used, and stays as it is.
    Available,
    /// It can be used, and is about to be in another state.
    Busy,
    /// It can't be used, and is about to be in another state.
    Underway,
    /// It can't be used, and somebody wants it so.
    Resting,
    /// It can't be used until somebody does something about it.
    Stuck,
}

impl State {
    /// Of a resource that can be used, and stays as it is.
    pub const AVAILABLE: Self =
        Self { bearing: Bearing::Available, reason: Cow::Borrowed("Available"), message: String::new() };

    /// Whether the resource can be used.
    pub fn is_usable(&self) -> bool {
        matches!(self.bearing, Bearing::Available | Bearing::Busy)
    }

    /// Whether it is about to be in another state.
    pub fn moves(&self) -> bool {
        matches!(self.bearing, Bearing::Busy | Bearing::Underway)
    }
}

/// A resource that was just created.
pub struct Created<K: Kind> {
    /// How calls address it.
    pub handle: K::Handle,
    /// What AWS said of it, where it did.
    pub observed: Option<K::Observed>,
    /// Status fields about the creation, which stay.
    pub told: Map<String, Value>,
    /// Whether it has the password that the creating call was given.
    pub has_password: bool,
}

/// What the end of a resource depends on. The spec may be invalid by now, or of another version.
#[derive(Clone, Copy, Debug)]
pub struct Ending<'a> {
    /// The object's uid.
    pub uid: &'a str,
    /// Whether what it holds is kept in a last snapshot.
    pub snapshot: bool,
    /// The spec, as JSON.
    pub spec: &'a Value,
}

/// How the end of a resource goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<C, F> {
    /// It is to be deleted now.
    Delete(F),
    /// Something has to be changed first.
    Change(C),
    /// It has to be waited for; the text says what.
    Wait(String),
    /// Somebody has to do something first; the text says what.
    Blocked(String),
}

/// What a deletion has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gone {
    /// The resource is gone.
    Now,
    /// It is going: to be looked at again.
    Later,
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
    /// The password that the resource is to have, where AWS may not have it yet.
    pub password: Option<&'a Password>,
}

/// What turns an observation into what is desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan<C> {
    /// The calls, in order.
    pub changes: Vec<C>,
    /// The fields that they change.
    pub differences: Vec<Difference>,
    /// What the spec asks and AWS can't do: nothing may be done.
    pub refused: Option<Refused>,
    /// What AWS has accepted, and will do later.
    pub pending: Vec<Pending>,
    /// What differs and can't be changed now: which fields, and why.
    pub waiting: Option<String>,
    /// What has to be told before the changes are made, since it goes beyond the spec.
    pub notice: Option<String>,
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

/// A field that can't be as the spec asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Why, for machines: `ImmutableField` and the like.
    pub reason: &'static str,
    /// What differs.
    pub difference: Difference,
    /// Why, and the way out; what follows "spec.x is 5, but the queue has 6 and ".
    pub why: String,
}

/// A change that AWS has accepted, and will make later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The field's name in the spec.
    pub field: String,
    /// The value to come.
    pub value: String,
    /// When, for people.
    pub applies: String,
}

/// The end of the text about a field that is fixed when the resource is created.
pub const CREATE_ONLY: &str = "AWS can't change that: set it back, or create another object";

impl<C> Plan<C> {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.refused.is_none()
    }
}

impl<C> Default for Plan<C> {
    fn default() -> Self {
        Self {
            changes: Vec::new(),
            differences: Vec::new(),
            refused: None,
            pending: Vec::new(),
            waiting: None,
            notice: None,
        }
    }
}
