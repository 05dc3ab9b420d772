//! The Leases in the API server: how they are listed, watched and written, and what is in them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use k8s_openapi::{
    api::coordination::v1::{Lease, LeaseSpec},
    apimachinery::pkg::apis::meta::v1::{MicroTime, OwnerReference},
};
use kube::{
    Api, Client,
    api::{DeleteParams, ListParams, ObjectMeta, PostParams, Preconditions},
    runtime::watcher,
};
use tracing::debug;

use super::{
    Shard,
    lease::{Event, Holder, Record, Sight, Timing, Version, Write, WriteKind},
};

/// The label that all of them have; its value says what for.
pub const LABEL: &str = "fairlead.dev/lease";
/// The annotation of a Lease whose holder let it go.
pub const RELEASED: &str = "fairlead.dev/released";
/// The annotation that says into how many shards objects are divided.
pub const SHARDS: &str = "fairlead.dev/shards";
/// The annotation of a membership that says which revision of its Deployment a replica is of.
pub const REVISION: &str = "fairlead.dev/revision";
/// The name of the Lease that records the layout.
pub const LAYOUT: &str = "fairlead-layout";
/// What the names of shards' Leases begin with; the shard's number follows.
pub const SHARD: &str = "fairlead-shard-";

/// What a Lease is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Records into how many shards objects are divided.
    Layout,
    /// Says who leads a shard.
    Shard,
    /// Says that a replica is there.
    Member,
}

/// How to connect to the API server. Called again after a failure, since a connection may be dead without
/// a sign.
pub type Connect = Arc<dyn Fn() -> Result<Client, String> + Send + Sync>;

/// The Leases of all replicas.
#[derive(Clone)]
pub struct Leases {
    connect: Connect,
    namespace: Arc<str>,
    timing: Timing,
}

/// All Leases, as one read found them.
#[derive(Clone, Debug)]
pub struct Listing {
    /// The resourceVersion of the whole.
    pub number: u64,
    /// The Leases.
    pub leases: Vec<Lease>,
}

impl Purpose {
    /// The value of the label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Layout => "layout",
            Self::Shard => "shard",
            Self::Member => "member",
        }
    }

    /// What a Lease is for.
    pub fn of(lease: &Lease) -> Option<Self> {
        let label = lease.metadata.labels.as_ref()?.get(LABEL)?;
        [Self::Layout, Self::Shard, Self::Member].into_iter().find(|purpose| purpose.label() == label)
    }
}

/// The name of the Lease of a shard.
pub fn name_of(shard: Shard) -> String {
    format!("{SHARD}{shard}")
}

/// The name of the membership of a replica.
pub fn name_of_member(replica: &str) -> String {
    let fits = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '.' { c.to_ascii_lowercase() } else { '-' };
    format!("fairlead-member-{}", replica.chars().map(fits).collect::<String>().trim_matches(['-', '.']))
}

/// The uid and the version of a Lease.
pub fn version_of(lease: &Lease) -> Option<Version> {
    let number = lease.metadata.resource_version.as_deref()?.parse().ok()?;
    Some(Version { uid: lease.metadata.uid.as_deref()?.into(), number })
}

/// What a Lease says.
pub fn record_of(lease: &Lease) -> Option<Record> {
    let spec = lease.spec.clone().unwrap_or_default();
    let identity = spec.holder_identity.unwrap_or_default();
    let released = annotation(lease, RELEASED) == Some("true") && identity.is_empty();
    let holder = if released { Holder::Free } else { Holder::Held(identity.into()) };
    let renewed = spec.renew_time.map_or(0, |time| time.0.as_microsecond());
    let lasts = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok()).unwrap_or_default();
    Some(Record { version: version_of(lease)?, holder, renewed, lasts: Duration::from_secs(lasts) })
}

/// One of its annotations.
pub fn annotation<'a>(lease: &'a Lease, key: &str) -> Option<&'a str> {
    lease.metadata.annotations.as_ref()?.get(key).map(String::as_str)
}

/// The shards that objects are divided into, as a Lease says.
pub fn shards_of(lease: &Lease) -> Option<u8> {
    annotation(lease, SHARDS)?.parse().ok()
}

/// The Lease of a shard as `write` is to leave it; `before` is what it replaces.
pub fn written(shard: Shard, shards: u8, me: &str, write: &Write, before: Option<&Lease>, timing: &Timing) -> Lease {
    let mut lease = before.cloned().unwrap_or_else(|| fresh(name_of(shard), Purpose::Shard, shards));
    let metadata = &mut lease.metadata;
    metadata.managed_fields = None;
    if let Some(base) = &write.base {
        metadata.uid = Some(base.uid.to_string());
        metadata.resource_version = Some(base.number.to_string());
    }
    let annotations = metadata.annotations.get_or_insert_default();
    match write.kind {
        WriteKind::Release => drop(annotations.insert(RELEASED.into(), "true".into())),
        WriteKind::Create | WriteKind::Claim | WriteKind::Renew => drop(annotations.remove(RELEASED)),
    }
    let spec = lease.spec.get_or_insert_default();
    let renewed = micro_time(write.renewed);
    match write.kind {
        WriteKind::Create | WriteKind::Release => spec.holder_identity = Some(String::new()),
        WriteKind::Renew => {}
        WriteKind::Claim => {
            spec.acquire_time = Some(renewed.clone());
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or_default().saturating_add(1));
        }
    }
    if let WriteKind::Claim | WriteKind::Renew = write.kind {
        spec.holder_identity = Some(me.into());
    }
    spec.renew_time = Some(renewed);
    spec.lease_duration_seconds = Some(whole_seconds(timing.duration));
    lease
}

/// A Lease that was never held, and is free.
pub fn released(shard: Shard, shards: u8, timing: &Timing) -> Lease {
    let mut lease = fresh(name_of(shard), Purpose::Shard, shards);
    lease.metadata.annotations.get_or_insert_default().insert(RELEASED.into(), "true".into());
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(String::new()),
        lease_duration_seconds: Some(whole_seconds(timing.duration)),
        ..LeaseSpec::default()
    });
    lease
}

/// A Lease with nothing but its metadata.
pub fn fresh(name: String, purpose: Purpose, shards: u8) -> Lease {
    let labels = [(LABEL, purpose.label()), ("app.kubernetes.io/name", "fairlead")];
    let labels = labels.map(|(key, value)| (key.to_owned(), value.to_owned()));
    Lease {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels.into()),
            annotations: Some(BTreeMap::from([(SHARDS.to_owned(), shards.to_string())])),
            ..ObjectMeta::default()
        },
        spec: None,
    }
}

/// The owner of what is to go with a pod.
pub fn owned_by(pod: &str, uid: &str) -> OwnerReference {
    OwnerReference {
        api_version: "v1".into(),
        kind: "Pod".into(),
        name: pod.into(),
        uid: uid.into(),
        ..OwnerReference::default()
    }
}

/// Microseconds since 1970 as Kubernetes writes them.
pub fn micro_time(microseconds: i64) -> MicroTime {
    MicroTime(Timestamp::from_microsecond(microseconds).unwrap_or_default())
}

/// A duration as a Lease tells it: rounded up, since it is a promise not to act later.
pub fn whole_seconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis().div_ceil(1_000)).unwrap_or(i32::MAX)
}

impl Leases {
    /// Those of `namespace`.
    pub fn new(connect: Connect, namespace: &str, timing: Timing) -> Self {
        Self { connect, namespace: namespace.into(), timing }
    }

    /// A new connection.
    ///
    /// # Errors
    /// Where the configuration makes none.
    pub fn client(&self) -> Result<Client, String> {
        (self.connect)()
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The API.
    pub fn api(&self, client: &Client) -> Api<Lease> {
        Api::namespaced(client.clone(), &self.namespace)
    }

    /// How the Leases are watched.
    pub fn watched() -> watcher::Config {
        watcher::Config::default().labels(LABEL).timeout(45)
    }

    /// All Leases, newly read: the API server answers with nothing older than what it had when asked.
    ///
    /// # Errors
    /// What failed.
    pub async fn list(&self, client: &Client) -> Result<Listing, Failure> {
        let params = ListParams::default().labels(LABEL);
        let list = self.bounded(self.api(client).list(&params)).await?;
        let number = list.metadata.resource_version.as_deref().and_then(|number| number.parse().ok());
        let number = number.ok_or_else(|| Failure::Unknown("a list without a resourceVersion".into()))?;
        Ok(Listing { number, leases: list.items })
    }

    /// Creates or replaces a Lease: what the API server made of it.
    ///
    /// # Errors
    /// Whether it may have had its effect all the same.
    pub async fn put(&self, client: &Client, lease: &Lease) -> Result<Lease, Failure> {
        let (api, params) = (self.api(client), PostParams::default());
        match &lease.metadata.resource_version {
            Some(_) => {
                let name = lease.metadata.name.clone().unwrap_or_default();
                self.bounded(api.replace(&name, &params, lease)).await
            }
            None => match self.bounded(api.create(&params, lease)).await {
                // Not of the Lease, which is yet to be.
                Err(Failure::Conflict(why)) if why.ends_with("(404)") => Err(Failure::Refused(why)),
                outcome => outcome,
            },
        }
    }

    /// Deletes a Lease, if it is still the one that was seen.
    ///
    /// # Errors
    /// What failed.
    pub async fn delete(&self, client: &Client, lease: &Lease) -> Result<(), Failure> {
        let ObjectMeta { name, uid, resource_version, .. } = lease.metadata.clone();
        let params = DeleteParams::default().preconditions(Preconditions { uid, resource_version });
        self.bounded(self.api(client).delete(&name.unwrap_or_default(), &params)).await.map(drop)
    }

    async fn bounded<T>(&self, call: impl Future<Output = kube::Result<T>>) -> Result<T, Failure> {
        match tokio::time::timeout(self.timing.call_timeout, call).await {
            Ok(answer) => answer.map_err(Failure::from),
            Err(_) => Err(Failure::Unknown(format!("no answer within {:?}", self.timing.call_timeout))),
        }
    }
}

/// A write that failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// What was there is not what it was decided on. It had no effect.
    #[error("{0}")]
    Conflict(String),
    /// It was refused, and had no effect.
    #[error("{0}")]
    Refused(String),
    /// The API server has too much to do. It had no effect.
    #[error("{0}")]
    Busy(String),
    /// It may have had its effect, or have it yet.
    #[error("{0}")]
    Unknown(String),
}

impl Failure {
    /// What the step is told.
    pub fn event(&self) -> Event {
        match self {
            Self::Conflict(_) => Event::Conflict,
            Self::Refused(_) | Self::Busy(_) => Event::Refused,
            Self::Unknown(_) => Event::Unknown,
        }
    }
}

impl From<kube::Error> for Failure {
    fn from(error: kube::Error) -> Self {
        debug!(%error, "a Lease");
        match error {
            kube::Error::Api(status) => {
                let text = format!("{} ({})", status.message, status.code);
                match status.code {
                    404 | 409 => Self::Conflict(text),
                    // A uid that differs is told as invalid, too.
                    422 if status.message.contains("metadata.uid") => Self::Conflict(text),
                    429 => Self::Busy(text),
                    400..=499 => Self::Refused(text),
                    _ => Self::Unknown(text),
                }
            }
            other => Self::Unknown(other.to_string()),
        }
    }
}

/// What a listing says of one shard.
pub fn sight_in(listing: &Listing, shard: Shard) -> (Sight, Option<&Lease>) {
    let name = name_of(shard);
    let lease = listing.leases.iter().find(|lease| lease.metadata.name.as_deref() == Some(&name));
    match lease.and_then(|lease| Some((record_of(lease)?, lease))) {
        Some((record, lease)) => (Sight::There(record), Some(lease)),
        None => (Sight::Absent(listing.number), None),
    }
}
