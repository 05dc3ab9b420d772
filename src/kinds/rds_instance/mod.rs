//! Amazon RDS database instances.
//!
//! - [`api`]: spec and status
//! - [`fields`]: the table of fields: names, defaults, when AWS applies a change, how values are compared
//! - [`version`], [`storage`]: the rules of two of them
//! - [`desired`]: from the spec to what is asked; [`creation`]: what the creating call takes
//! - [`observed`]: what AWS said, and the calls that change it, without the SDK's types
//! - [`judge`], [`plan`]: from the two to calls; [`effect`]: what these interrupt, and when
//! - [`state`]: AWS's status words; [`ending`]: how an instance goes; [`connection`]: what is published
//! - `aws`: the calls; `sdk`: between the SDK's types and these
//!
//! All but the last two are pure.

use std::{collections::BTreeMap, time::Duration};

use aws_config::SdkConfig;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;
use serde_json::{Map, Value as Json, json};

use self::fields::{Field, Value};
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
        kind::{Created, End, Ending, Gone, Kind, NotYet, PasswordSource, Past, Plan, Published, Referents, State},
        password::Password,
    },
    queue::flow::Calls,
    shard::Permit,
    telemetry::metrics::catalog::Metric,
};

pub mod api;
mod aws;
pub mod connection;
pub mod creation;
pub mod desired;
pub mod effect;
pub mod ending;
pub mod fields;
pub mod judge;
pub mod observed;
pub mod plan;
mod sdk;
pub mod state;
pub mod storage;
pub mod version;

pub use self::aws::{Listing, list};

#[cfg(test)]
mod tests;

/// How many there are.
static TOTAL: Metric = Metric::gauge("rds_total_instances", &[], "Database instances that are managed or observed");

/// The kind `RDSInstance`.
#[derive(Debug)]
pub struct RdsInstance;

/// How calls address an instance: by its identifier, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InstanceId(pub String);

impl InstanceId {
    fn of(name: &str) -> Self {
        Self(name.to_ascii_lowercase())
    }
}

impl Kind for RdsInstance {
    const KIND: &'static str = "RDSInstance";
    const NOUN: &'static str = "database instance";
    const SERVICE: Service = Service("rds");
    const FIELDS: &'static [&'static str] = &fields::FIELDS;
    const VOLATILE: &'static [&'static str] = &["progress"];
    // DescribeDBInstances shows an instance as soon as CreateDBInstance has answered, or seconds later.
    const APPEARS_WITHIN: Duration = Duration::from_secs(30);
    const CALLS: Calls = Calls { change: 1, poll: 0 };
    const TOTAL: &'static Metric = &TOTAL;
    const DELETION: &'static [DeletionPolicy] =
        &[DeletionPolicy::Snapshot, DeletionPolicy::Delete, DeletionPolicy::Retain];
    const PUBLISHES: Published = Published::Secret;
    const SWEEP: Option<usize> = Some(aws::PAGE);
    const DEFERS: bool = true;
    // It would be an empty database in place of the lost one.
    const RECREATES: bool = false;

    type Client = aws_sdk_rds::Client;
    type Spec = api::RDSInstanceSpec;
    type Desired = desired::Desired;
    type Handle = InstanceId;
    type Observed = observed::Observed;
    type Creation = creation::Creation;
    type Change = observed::Change;
    type Farewell = ending::Farewell;

    fn crd() -> CustomResourceDefinition {
        api::RDSInstance::crd()
    }

    fn common(spec: &Self::Spec) -> &CommonSpec {
        &spec.common
    }

    fn resource_name(_spec: &Self::Spec, wished: &str) -> Result<String, NotYet> {
        desired::resource_name(wished)
    }

    fn references(_spec: &Self::Spec) -> Vec<String> {
        Vec::new()
    }

    fn named_arns(spec: &Self::Spec) -> Vec<NamedArn> {
        let insights = spec.performance_insights.as_ref().and_then(|it| it.kms_key_id.clone());
        let managed = spec.credentials.as_ref().and_then(|it| it.managed_by_aws.as_ref());
        [
            ("kmsKeyId", Named::KmsKey, spec.kms_key_id.clone()),
            ("performanceInsights.kmsKeyId", Named::KmsKey, insights),
            ("credentials.managedByAWS.kmsKeyId", Named::KmsKey, managed.and_then(|it| it.kms_key_id.clone())),
            ("monitoringRoleARN", Named::Role, spec.monitoring_role_arn.clone()),
            ("restoreFromSnapshot", Named::Snapshot, spec.restore_from_snapshot.clone()),
        ]
        .into_iter()
        .filter_map(|(field, what, value)| Some(NamedArn { field, what, value: value? }))
        .collect()
    }

    fn desired(spec: &Self::Spec, _identity: &Identity, _referents: &Referents) -> Result<Self::Desired, NotYet> {
        desired::desired(spec)
    }

    fn managed(desired: &Self::Desired) -> Vec<String> {
        desired.fields.keys().map(|field| field.name().to_owned()).collect()
    }

    fn creation(
        desired: &Self::Desired,
        identity: &Identity,
        account: &Account,
        password: Option<&Password>,
    ) -> Result<Self::Creation, NotYet> {
        let defaults = account.rds_defaults(&identity.region).map(creation::defaults).unwrap_or_default();
        creation::creation(desired, &defaults, &account.called(), password)
    }

    fn plan(desired: &Self::Desired, observed: &Self::Observed, past: &Past<'_>) -> Plan<Self::Change> {
        plan::plan(desired, observed, past)
    }

    fn shown(creation: &Self::Creation) -> BTreeMap<String, String> {
        creation.shown()
    }

    fn effect(desired: &Self::Desired, observed: &Self::Observed, field: &str) -> Option<String> {
        effect::effect(desired, observed, field)
    }

    fn state(observed: &Self::Observed) -> State {
        state::state(&observed.status)
    }

    fn handle(status: &Map<String, Json>) -> Option<Self::Handle> {
        status.get("dbiResourceID")?.as_str()?;
        status.get("identity")?.get("name")?.as_str().map(InstanceId::of)
    }

    fn handle_of(identity: &Identity) -> Option<Self::Handle> {
        Some(InstanceId::of(&identity.name))
    }

    fn created_at(observed: &Self::Observed) -> Option<i64> {
        observed.created_at
    }

    fn incarnation(observed: &Self::Observed) -> Option<&str> {
        observed.resource_id.as_deref()
    }

    fn keeps_own_password(observed: &Self::Observed) -> bool {
        observed.secret.is_some()
    }

    fn tags_in(observed: &Self::Observed) -> Option<&Tags> {
        Some(&observed.tags)
    }

    fn arn(identity: &Identity) -> String {
        let Identity { account_id, partition, region, name, adopted: _, created: _ } = identity;
        format!("arn:{partition}:{}:{region}:{account_id}:db:{}", Self::SERVICE, name.to_ascii_lowercase())
    }

    fn status(_handle: &Self::Handle, observed: &Self::Observed) -> Map<String, Json> {
        let value = |field: Field| observed.values.get(&field).map(Value::json);
        [
            ("ready", Some(json!(observed.status))),
            ("endpoint", observed.host.as_ref().map(|host| json!(host))),
            ("port", value(Field::Port)),
            ("engine", value(Field::Engine)),
            ("dbName", value(Field::DbName)),
            ("masterUsername", value(Field::MasterUsername)),
            ("availabilityZone", value(Field::AvailabilityZone)),
            ("kmsKeyId", value(Field::KmsKey)),
            ("storageEncrypted", value(Field::StorageEncrypted)),
            ("engineVersion", value(Field::EngineVersion)),
            ("instanceClass", value(Field::InstanceClass)),
            ("allocatedStorage", value(Field::AllocatedStorage)),
            ("storageType", value(Field::StorageType)),
            ("multiAZ", value(Field::MultiAz)),
            ("dbiResourceID", observed.resource_id.as_ref().map(|id| json!(id))),
            ("progress", observed.progress.as_ref().map(|progress| json!(progress))),
            ("masterUserSecretARN", observed.secret.as_ref().map(|secret| json!(secret.arn))),
        ]
        .into_iter()
        .map(|(field, value)| (field.to_owned(), value.unwrap_or_default()))
        .collect()
    }

    fn absent() -> Map<String, Json> {
        ["ready", "endpoint", "port", "progress", "pendingChanges"]
            .map(|field| (field.to_owned(), Json::Null))
            .into_iter()
            .collect()
    }

    fn password(spec: &Self::Spec, object: &str) -> PasswordSource {
        desired::password_source(spec.credentials.as_ref(), object)
    }

    fn check_password(spec: &Self::Spec, password: &Password) -> Result<(), String> {
        desired::check_password(&spec.engine, password)
    }

    fn sets_password(change: &Self::Change) -> bool {
        change.sets_password()
    }

    fn connection(
        _identity: &Identity,
        _handle: &Self::Handle,
        observed: &Self::Observed,
        desired: &Self::Desired,
        password: Option<&Password>,
    ) -> Option<BTreeMap<String, String>> {
        connection::connection(observed, desired, password)
    }

    fn ending(observed: Option<&Self::Observed>, wish: &Ending<'_>) -> End<Self::Change, Self::Farewell> {
        ending::ending(observed, wish)
    }

    fn classify(code: &str, message: &str) -> Option<ErrorClass> {
        aws::classify(code, message)
    }

    fn client(config: &SdkConfig) -> Self::Client {
        aws_sdk_rds::Client::new(config)
    }

    async fn find(aws: &Regional<Self::Client>, identity: &Identity) -> Result<Option<Self::Handle>, AwsError> {
        let id = InstanceId::of(&identity.name);
        Ok(aws::observe(aws, &id).await?.map(|_| id))
    }

    async fn observe(aws: &Regional<Self::Client>, handle: &Self::Handle) -> Result<Option<Self::Observed>, AwsError> {
        aws::observe(aws, handle).await
    }

    async fn sweep(
        aws: &Regional<Self::Client>,
        handles: &[Self::Handle],
    ) -> Result<Vec<(Self::Handle, Self::Observed)>, AwsError> {
        aws::sweep(aws, handles).await
    }

    async fn tags(aws: &Regional<Self::Client>, handle: &Self::Handle) -> Result<Tags, AwsError> {
        Ok(aws::observe(aws, handle).await?.map(|observed| observed.tags).unwrap_or_default())
    }

    async fn create(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        identity: &Identity,
        creation: &Self::Creation,
        tags: &Tags,
    ) -> Result<Created<Self>, AwsError> {
        let observed = aws::create(aws, permit, identity, creation, tags).await?;
        let (handle, told) = (InstanceId::of(&identity.name), creation.told());
        Ok(Created { handle, observed, told, has_password: creation.has_password() })
    }

    async fn change(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        change: &Self::Change,
    ) -> Result<Option<Self::Observed>, AwsError> {
        aws::change(aws, permit, handle, change).await
    }

    async fn retag(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        identity: &Identity,
        _handle: &Self::Handle,
        changes: &TagChanges,
    ) -> Result<(), AwsError> {
        aws::retag(aws, permit, &Self::arn(identity), changes).await
    }

    async fn delete(
        aws: &Regional<Self::Client>,
        permit: &Permit,
        handle: &Self::Handle,
        farewell: &Self::Farewell,
    ) -> Result<Gone, AwsError> {
        aws::delete(aws, permit, handle, farewell).await
    }
}
