//! The watches of a kind, and which event asks for a reconcile.
//!
//! Every replica keeps every object. An event asks for a reconcile only if it changes what
//! [`Fingerprint`] holds: our own status writes, and others' metadata, do not.

use std::{
    collections::{BTreeSet, HashMap},
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ObjectMeta},
    core::GroupVersionKind,
    runtime::{
        reflector::{ObjectRef, Store, store},
        watcher,
    },
};

use opentelemetry::KeyValue;
use tracing::{Instrument as _, Span, warn};

use super::{
    kind::{Kind, Referent},
    last::Lasts,
    memory::{Memory, TAGS_EVERY},
    objects::{Fingerprint, Object, ObjectKey, Standing, Writer},
    publish::Connections,
    reconcile::{Run, WITHOUT_PERMIT},
    secrets::Secrets,
    shown::{Shown, Tally},
    status::is_true,
    sweep::{SweepKey, Sweeps},
    traced,
    vanished::Vanished,
    watch,
};
use crate::{
    accounts::api::DEFAULT,
    accounts::registry::Accounts,
    aws::clients::Clients,
    crd::{GROUP, VERSION},
    queue::{
        dispatcher::Queue,
        flow::{Flow, Priority},
        scheduler::{Next, Ready, Terms},
        spread::Phase,
        token::FlowToken,
    },
    settings::{self, Settings},
    shard::{NoPermit, Permits, Shard},
    telemetry::{
        health::Component,
        metrics::{Metrics, Reading, table},
        object_status::ObjectStatusz,
        traces::spans,
    },
};

/// How soon to see whether the store has our own last write.
const STORE_RECHECK: Duration = Duration::from_millis(100);

/// What the queue runs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Task {
    /// An object is reconciled.
    Object(ObjectKey),
    /// Resources are looked at together.
    Sweep(Box<SweepKey>),
}

impl Task {
    /// The kind of whose controller it is.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Object(key) => key.kind,
            Self::Sweep(key) => key.kind,
        }
    }
}

impl From<&ObjectKey> for Task {
    fn from(key: &ObjectKey) -> Self {
        Self::Object(key.clone())
    }
}

/// A future that is boxed, so that controllers of different kinds have one type.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// What all controllers share.
pub struct Context {
    /// The API server.
    pub client: Client,
    /// AWS.
    pub clients: Clients,
    /// What is known of every AWS account.
    pub accounts: Accounts,
    /// What grants permits.
    pub permits: Permits,
    /// The settings.
    pub settings: Settings,
    /// The cluster's id, for owner tags.
    pub cluster: String,
    /// This process's name, for events.
    pub instance: String,
    /// The work queue.
    pub queue: Queue<Task>,
    /// The published ConfigMaps.
    pub connections: Connections,
    /// Secrets.
    pub secrets: Secrets,
    /// The metrics.
    pub metrics: Metrics,
}

/// The controllers of all kinds.
pub type Controllers = Arc<[(&'static str, Arc<dyn AnyController>)]>;

/// A controller, whatever its kind.
pub trait AnyController: Send + Sync {
    /// Runs one reconcile or sweep, which calls AWS by the right of `token`.
    fn run(self: Arc<Self>, ready: Ready<Task>, token: FlowToken) -> BoxFuture<Next>;
    /// Watches the objects of one namespace, or of all, for ever.
    fn watch(self: Arc<Self>, namespace: Option<String>, health: Component) -> BoxFuture<()>;
    /// Puts every object into the flow that it has by now.
    fn settle(&self);
    /// Begins to reconcile the objects of a shard.
    fn lead(&self, shard: Shard);
    /// Ends to: another replica does, or will.
    fn leave(&self, shard: Shard);
    /// How many objects of a shard there are.
    fn count(&self, shard: Shard) -> usize;
    /// What this replica, of this name, knows of one object.
    fn tell(&self, replica: &str, namespace: &str, name: &str) -> ObjectStatusz;
    /// The objects as Prometheus sees them.
    fn readings(&self) -> Vec<Reading>;
}

/// The controller of a kind.
pub struct Controller<K: Kind> {
    /// What all controllers share.
    pub context: Arc<Context>,
    /// Writes objects of this kind.
    pub writer: Writer,
    resource: ApiResource,
    stores: Mutex<HashMap<Option<String>, Store<DynamicObject>>>,
    known: Mutex<HashMap<ObjectKey, Known>>,
    memories: Mutex<HashMap<ObjectKey, Memory<K::Handle>>>,
    referrers: Mutex<HashMap<ObjectKey, BTreeSet<ObjectKey>>>,
    vanished: Vanished,
    pub(super) sweeps: Sweeps<K::Handle, K::Observed>,
    pub(super) lasts: Lasts,
}

/// An object as its last event, or our own last write, left it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    fingerprint: Fingerprint,
    referent: Referable,
    shown: Shown,
}

/// What others that refer to an object look at.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Referable {
    ready: bool,
    arn: Option<String>,
}

impl<K: Kind> Controller<K> {
    /// A controller that watches nothing yet.
    pub fn new(context: Arc<Context>) -> Self {
        let resource = resource::<K>();
        Self {
            writer: Writer::new(context.client.clone(), resource.clone()),
            context,
            resource,
            stores: Mutex::default(),
            known: Mutex::default(),
            memories: Mutex::default(),
            referrers: Mutex::default(),
            vanished: Vanished::default(),
            sweeps: Sweeps::default(),
            lasts: Lasts::default(),
        }
    }

    /// An object of this kind by name, if there is one.
    pub fn object(&self, key: &ObjectKey) -> Option<Object> {
        let stores = lock(&self.stores);
        let store = stores.get(&Some(key.namespace.clone())).or_else(|| stores.get(&None))?;
        let reference = ObjectRef::new_with(&key.name, self.resource.clone()).within(&key.namespace);
        store.get(&reference).map(|object| Object((*object).clone()))
    }

    /// What another object sees of `key`; `referrer` is asked to reconcile when that changes.
    pub fn referent(&self, key: &ObjectKey, referrer: &ObjectKey) -> Option<Referent> {
        lock(&self.referrers).entry(key.clone()).or_default().insert(referrer.clone());
        Some(referent(&self.object(key)?))
    }

    /// Says that our own write is about to leave the object like this, so that its event asks for
    /// nothing.
    pub fn expect(&self, key: &ObjectKey, fingerprint: Fingerprint) {
        if let Some(known) = lock(&self.known).get_mut(key) {
            known.fingerprint = fingerprint;
        }
    }

    fn applied(&self, object: &Object, priority: Priority) {
        let key = key_of::<K>(&object.0.metadata);
        if self.vanished.forget(&key) {
            warn!(object = %key, "takes up what the object of this name has left that was removed with its finalizer");
        }
        let account_id = object.resource_place().map(|(account_id, _)| account_id);
        self.context.accounts.saw(&key, object.account_ref(), account_id, object.has_finalizer());
        let now = Known { fingerprint: object.fingerprint(), referent: referable(object), shown: Shown::of(object) };
        let before = lock(&self.known).insert(key.clone(), now.clone());
        if before.as_ref().map(|before| &before.fingerprint) != Some(&now.fingerprint) {
            let (priority, at) = match priority {
                Priority::Startup if before.is_none() => self.first_look(object),
                _ => (Priority::Change, Instant::now()),
            };
            if self.leads(object.uid()) {
                self.context.queue.add((&key).into(), &self.terms(object), priority, at);
            }
        }
        if before.map(|before| before.referent) != Some(now.referent) {
            self.wake_referrers(&key);
        }
    }

    /// Whether this replica leads the shard of an object.
    fn leads(&self, uid: &str) -> bool {
        self.context.permits.leads(self.context.permits.shard_of(uid)).is_some()
    }

    fn keys_in(&self, shard: Shard) -> Vec<ObjectKey> {
        let of_shard = |known: &Known| self.context.permits.shard_of(&known.fingerprint.uid) == shard;
        lock(&self.known).iter().filter(|(_, known)| of_shard(known)).map(|(key, _)| key.clone()).collect()
    }

    /// When a list, or a shard that this replica leads from now on, asks for an object.
    fn first_look(&self, object: &Object) -> (Priority, Instant) {
        let now = Instant::now();
        match object.standing() {
            Standing::Changed => (Priority::Change, now),
            Standing::Unsettled => (Priority::Progress, now),
            // All are seen with a few calls: the sooner they ask, the fewer.
            Standing::Settled if K::SWEEP.is_some() => (Priority::Startup, now),
            Standing::Settled => (Priority::Startup, Phase::of(object.uid()).first(now, self.poll_interval(object))),
        }
    }

    /// The watch tells that an object is gone.
    fn gone(&self, object: DynamicObject) {
        let key = key_of::<K>(&object.metadata);
        let object = Object(object);
        if !(Vanished::is(&object) && self.leads(object.uid()) && lock(&self.known).contains_key(&key)) {
            return self.deleted(&key);
        }
        let terms = self.terms(&object);
        self.vanished.keep(key.clone(), object.0, Instant::now());
        self.context.queue.add((&key).into(), &terms, Priority::Change, Instant::now());
        self.wake_referrers(&key);
    }

    /// What has vanished is done with. Another one of its name may have come meanwhile.
    fn forget_vanished(&self, key: &ObjectKey) {
        if self.vanished.forget(key) {
            self.deleted(key);
            self.object(key).iter().for_each(|object| self.applied(object, Priority::Change));
        }
    }

    fn deleted(&self, key: &ObjectKey) {
        self.vanished.forget(key);
        lock(&self.known).remove(key);
        lock(&self.memories).remove(key);
        self.forget_messages(key);
        self.context.queue.remove(&key.into());
        self.sweeps.forget(key);
        self.lasts.forget(key);
        self.context.connections.forget(key);
        self.context.accounts.forget(key);
        self.wake_referrers(key);
        lock(&self.referrers).retain(|_, referrers| {
            referrers.remove(key);
            !referrers.is_empty()
        });
    }

    fn forget_messages(&self, key: &ObjectKey) {
        if K::MESSAGES.is_some() {
            self.context.metrics.forget_messages(&key.namespace, &key.name);
        }
    }

    fn wake_referrers(&self, key: &ObjectKey) {
        let referrers = lock(&self.referrers).get(key).cloned().unwrap_or_default();
        for referrer in referrers {
            self.context.queue.wake(&(&referrer).into(), Priority::Progress);
        }
    }

    /// After a list: what it has is applied, and what it no longer has is gone.
    fn listed(&self, namespace: Option<&str>, store: &Store<DynamicObject>) {
        let objects = store.state();
        let present: BTreeSet<_> = objects.iter().map(|object| key_of::<K>(&object.metadata)).collect();
        let gone: Vec<_> = lock(&self.known)
            .keys()
            .filter(|key| namespace.is_none_or(|namespace| key.namespace == namespace))
            .filter(|key| !present.contains(*key) && !self.vanished.has(key))
            .cloned()
            .collect();
        gone.iter().for_each(|key| self.deleted(key));
        objects.iter().for_each(|object| self.applied(&Object((**object).clone()), Priority::Startup));
    }

    /// How often the resource of `object` is looked at while it is in sync.
    pub fn poll_interval(&self, object: &Object) -> Duration {
        let own = object.annotation(crate::crd::POLL_INTERVAL).and_then(|text| settings::seconds(text).ok());
        let accounts = &self.context.accounts;
        let of_account = || accounts.resolve(object.namespace(), object.account_ref()).ok()?.poll;
        let of_kind = || self.context.settings.poll_interval_of(K::KIND);
        own.map(Duration::from_secs).or_else(of_account).unwrap_or_else(of_kind)
    }

    /// Where and how `object` is reconciled.
    pub(super) fn terms(&self, object: &Object) -> Terms {
        let told = object.resource_place();
        let account = self.context.accounts.resolve(object.namespace(), object.account_ref()).ok();
        let id = told.as_ref().map(|(id, _)| id.as_str()).or_else(|| account.as_ref()?.id.as_deref());
        // Another account than that of the resource has no say in its rate.
        let own = account
            .as_ref()
            .filter(|account| account.id.as_deref() == id && account.allows_namespace(object.namespace()));
        let rate = own.and_then(|account| account.call_rate);
        let rate = rate.map_or_else(|| f64::from(self.context.settings.flow_rate), f64::from);
        // The replicas share what AWS allows.
        let rate = rate * self.context.permits.share();
        let region = told.as_ref().map(|(_, region)| region.as_str()).or_else(|| object.wished_region());
        let region = region.or_else(|| self.context.clients.default_region()).unwrap_or_default();
        let flow = match (id, &account) {
            (Some(id), _) => Flow::new(id, region, K::SERVICE),
            // Until its id is known, an account's objects wait in one flow.
            (None, Some(account)) => Flow::new(account.name.as_deref().unwrap_or(DEFAULT), "", K::SERVICE),
            (None, None) => Flow::new("none", "", K::SERVICE),
        };
        Terms { flow, rate, calls: K::CALLS, phase: Phase::of(object.uid()) }
    }

    async fn reconcile(&self, key: ObjectKey, ready: &Ready<Task>, token: FlowToken) -> Next {
        let started = Instant::now();
        let (next, span) = self.reconcile_once(key, ready, token).await;
        let result = match next {
            Next::Backoff => "error",
            Next::Throttled => "requeue",
            Next::Poll(_) | Next::After(..) | Next::Again(_) => "requeue_after",
            Next::Wait | Next::Resume => "success",
        };
        spans::add(&span, || vec![KeyValue::new("fairlead.result", result)]);
        self.context.metrics.reconciled(K::KIND, result, started.elapsed(), spans::trace_id(&span).as_deref());
        next
    }

    /// Reconciles an object: what to do next, and the span that shows it.
    async fn reconcile_once(&self, key: ObjectKey, ready: &Ready<Task>, token: FlowToken) -> (Next, Span) {
        let present = self.object(&key);
        let vanished = present.is_none();
        let Some(object) = present.or_else(|| self.vanished.get(&key)) else { return (Next::Wait, Span::none()) };
        let shard = self.context.permits.shard_of(object.uid());
        let permit = match self.context.permits.grant(shard) {
            Ok(permit) => permit,
            // Its shard's next leader goes on with it; of one that has vanished, it knows nothing.
            Err(NoPermit::NotLed) => {
                if vanished {
                    self.forget_vanished(&key);
                }
                return (Next::Wait, Span::none());
            }
            Err(_) => return (Next::Again(WITHOUT_PERMIT), Span::none()),
        };
        let terms = self.terms(&object);
        self.context.queue.settle(&ready.key, &terms);
        if terms.flow != ready.flow {
            // Its account has become known, say: there it waits for its turn as the others do.
            return (Next::Again(Duration::ZERO), Span::none());
        }
        let memory = lock(&self.memories)
            .remove(&key)
            .filter(|memory| memory.uid == object.uid() && memory.epoch == permit.epoch());
        let mut memory = memory.unwrap_or_else(|| {
            let phase = object.uid().bytes().fold(0_u32, |sum, byte| sum + u32::from(byte)) % TAGS_EVERY;
            Memory::new(object.uid().into(), permit.epoch(), phase)
        });
        let epoch = permit.epoch();
        if vanished && !self.vanished.was_claimed(&key, &memory) {
            warn!(object = %key, "removed with its finalizer in place: its resource, if there is one, stays");
            self.forget_vanished(&key);
            return (Next::Wait, Span::none());
        }
        let (next, memory, span) = if memory.waits_for_store(object.version(), Instant::now()) {
            // The store has not yet seen what we wrote: to decide now would be to decide on the past.
            (Next::Again(STORE_RECHECK), memory, Span::none())
        } else {
            let span = traced::begin(&object, &mut memory, ready, shard);
            let mut run = Run::new(self, object.clone(), memory, key.clone(), ready, token, permit);
            run.vanished = vanished;
            let (next, memory) = run.finish().instrument(span.clone()).await;
            if vanished && next == Next::Wait {
                self.forget_vanished(&key);
            }
            (self.join_sweep(&object, next, &memory), memory, span)
        };
        let mut memory = memory;
        let led = self.context.permits.leads(self.context.permits.shard_of(&memory.uid)) == Some(epoch);
        if led && lock(&self.known).contains_key(&key) {
            self.lasts.note(&key, memory.last.take());
            lock(&self.memories).insert(key, memory);
        } else {
            self.sweeps.forget(&key);
            self.forget_messages(&key);
        }
        (next, span)
    }

    async fn follow(&self, namespace: Option<String>, health: Component) {
        let api: Api<DynamicObject> = match &namespace {
            Some(namespace) => Api::namespaced_with(self.context.client.clone(), namespace, &self.resource),
            None => Api::all_with(self.context.client.clone(), &self.resource),
        };
        let mut writer = store::Writer::new(self.resource.clone());
        let reader = writer.as_reader();
        lock(&self.stores).insert(namespace.clone(), reader.clone());
        let apply = |mut event: watcher::Event<DynamicObject>| {
            if let watcher::Event::Apply(object) | watcher::Event::InitApply(object) = &mut event {
                object.metadata.managed_fields = None;
            }
            writer.apply_watcher_event(&event);
            match event {
                watcher::Event::Apply(object) => self.applied(&Object(object), Priority::Change),
                watcher::Event::Delete(object) => self.gone(object),
                watcher::Event::InitDone => self.listed(namespace.as_deref(), &reader),
                watcher::Event::Init | watcher::Event::InitApply(_) => {}
            }
        };
        watch::follow(api, watch::config(), health, K::KIND, explain::<K>, apply).await;
    }
}

impl<K: Kind> AnyController for Controller<K> {
    fn run(self: Arc<Self>, ready: Ready<Task>, token: FlowToken) -> BoxFuture<Next> {
        Box::pin(async move {
            let _active = self.context.metrics.active(K::KIND);
            match ready.key.clone() {
                Task::Object(key) => self.reconcile(key, &ready, token).await,
                Task::Sweep(sweep) => self.sweep(&sweep, token).await,
            }
        })
    }

    fn watch(self: Arc<Self>, namespace: Option<String>, health: Component) -> BoxFuture<()> {
        Box::pin(async move { self.follow(namespace, health).await })
    }

    fn settle(&self) {
        let keys: Vec<_> = lock(&self.known).keys().cloned().collect();
        for key in keys {
            if let Some(object) = self.object(&key) {
                self.context.queue.settle(&(&key).into(), &self.terms(&object));
            }
        }
    }

    fn lead(&self, shard: Shard) {
        for key in self.keys_in(shard) {
            if let Some(object) = self.object(&key) {
                let (priority, at) = self.first_look(&object);
                self.context.queue.add((&key).into(), &self.terms(&object), priority, at);
            }
        }
    }

    fn leave(&self, shard: Shard) {
        for key in self.keys_in(shard) {
            self.context.queue.remove(&(&key).into());
            self.sweeps.forget(&key);
            self.lasts.forget(&key);
            self.context.connections.forget(&key);
            lock(&self.memories).remove(&key);
            self.forget_messages(&key);
            self.forget_vanished(&key);
        }
    }

    fn count(&self, shard: Shard) -> usize {
        self.keys_in(shard).len()
    }

    fn tell(&self, replica: &str, namespace: &str, name: &str) -> ObjectStatusz {
        self.told(replica, &ObjectKey { kind: K::KIND, namespace: namespace.into(), name: name.into() })
    }

    fn readings(&self) -> Vec<Reading> {
        let mut tally = Tally::default();
        // Each object is one replica's, so that the sum over all replicas is right.
        for known in lock(&self.known).values().filter(|known| self.leads(&known.fingerprint.uid)) {
            tally.add(known.shown, known.referent.ready, known.referent.arn.is_some());
        }
        let mut readings = tally.readings(K::KIND, K::TOTAL, Timestamp::now().as_second());
        let limit = self.context.settings.limits().overall;
        readings.push(Reading::count(&table::MAX_WORKERS, [K::KIND.into()], limit));
        readings
    }
}

/// The API resource of a kind.
pub fn resource<K: Kind>() -> ApiResource {
    let plural = K::crd().spec.names.plural;
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(GROUP, VERSION, K::KIND), &plural)
}

fn key_of<K: Kind>(metadata: &ObjectMeta) -> ObjectKey {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    ObjectKey { kind: K::KIND, namespace: text(&metadata.namespace), name: text(&metadata.name) }
}

/// What others that refer to an object see of it.
pub fn referent(object: &Object) -> Referent {
    let Referable { ready, arn } = referable(object);
    Referent { ready, arn, spec: object.raw_spec() }
}

fn referable(object: &Object) -> Referable {
    let status = object.status();
    let arn = status.get("identity").and_then(|identity| identity.get("arn")?.as_str()).map(str::to_owned);
    Referable { ready: is_true(&status, "Ready") && !object.is_deleting(), arn }
}

fn explain<K: Kind>(error: &watcher::Error) -> String {
    let missing = |error: &kube::Error| matches!(error, kube::Error::Api(status) if status.code == 404);
    match error {
        watcher::Error::InitialListFailed(error) | watcher::Error::WatchStartFailed(error) if missing(error) => {
            let crd = K::crd().metadata.name.unwrap_or_default();
            format!("the CRD {crd} is not installed; kubectl apply -f deploy/crds brings it")
        }
        error => error.to_string(),
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
