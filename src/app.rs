//! The wiring of `fairlead run`: which tasks start, and in which order they stop.

use std::{error::Error as _, sync::Arc, time::Duration};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    config::InferConfigError,
    runtime::{reflector, watcher},
};
use tokio::{
    signal::unix::{SignalKind, signal},
    task::JoinSet,
};
use tracing::{info, warn};

use crate::{
    accounts::{self, registry::Accounts},
    aws::{
        account::{Gate, OwnAccount, Reachability},
        call::Observers,
        clients::Clients,
    },
    crd::CONNECTION_LABEL,
    engine::{
        connection::Watches,
        controller::{Context, Controllers},
        leadership,
        objects::{ObjectKey, bounded},
        publish::Connections,
        watch,
    },
    kinds::KINDS,
    queue::{
        dispatcher::Queue,
        flow::Priority,
        scheduler::{Next, Ready},
        token::FlowToken,
    },
    settings::Settings,
    shard::{
        Permits, clock,
        keeper::{self, Keeper, KeeperError},
        lease::Timing,
        leases::Leases,
        membership::Replica,
    },
    telemetry::{
        endpoint,
        health::{Component, Health, Liveness},
        metrics::Metrics,
        pulse::Pulse,
        statusz::statusz,
    },
};

/// How long the first reconciles wait for the account, so that a start does not look like an outage.
const ACCOUNT_WITHIN: Duration = Duration::from_secs(5);
/// … and then for the other accounts: one that can't be reached must not hold up the rest.
const OTHERS_WITHIN: Duration = Duration::from_secs(2);
/// How long running reconciles may take to end.
const DRAIN: Duration = Duration::from_secs(10);
/// How long the release of the Leases may take after that.
const FAREWELL: Duration = Duration::from_secs(5);

/// Why the operator could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// No way to the API server.
    #[error("no way to the Kubernetes API server: {0}")]
    Kubernetes(String),
    /// A CRD is missing.
    #[error("the CRD {0} is not installed; kubectl apply -f deploy/crds brings it")]
    MissingCrd(String),
    /// No AWS credentials.
    #[error("no AWS credentials: {0}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod a role")]
    Credentials(String),
    /// Health or metrics can't be served.
    #[error("{0}")]
    Endpoint(String),
    /// A task that runs for ever has ended.
    #[error("a part of the process has ended, which is a bug in Fairlead: {0}")]
    Task(String),
    /// The settings contradict each other.
    #[error("{0}")]
    Settings(String),
    /// The Leases can't be kept.
    #[error(transparent)]
    Leases(#[from] KeeperError),
    /// A signal handler can't be installed, or a thread started.
    #[error("signals and threads: {0}")]
    Signals(#[from] std::io::Error),
}

/// Runs the operator until SIGTERM or SIGINT. A second signal ends it at once, and the Leases expire.
///
/// # Errors
/// [`AppError`], where it can't start.
pub async fn run(settings: Settings) -> Result<(), AppError> {
    let stop = stop_signals()?;
    let timing = settings.lease_timing().map_err(AppError::Settings)?;
    let config = infer().await?;
    let watches = Watches::default();
    let client = watches.observe(config.clone()).map_err(AppError::Kubernetes)?;
    let cluster = cluster_id(&client, &settings).await?;
    check_crds(&client).await?;
    let (reachability, metrics) = (Reachability::of_own(), Metrics::default());
    let observers = Observers { reachability: reachability.clone(), metrics: metrics.clone() };
    let queue: Queue<ObjectKey> = Queue::new(settings.limits(), metrics.clone());
    let gate = Gate::new(settings.expected_account.clone());
    let tokens = queue.clone();
    let tokens = Arc::new(move |flow| tokens.token(flow));
    let clients = Clients::from_env(settings.region.clone(), gate, observers, tokens).await;
    clients.check_credentials().await.map_err(AppError::Credentials)?;
    let account = OwnAccount::new(&clients);

    let health = Health::default();
    let leases_health = health.component("leases");
    let permits = Permits::new(settings.shards, timing, clock::system(), metrics.clone());
    let (able, ability) = tokio::sync::watch::channel(false);
    let setup = lease_setup(&settings, &config, timing, &permits, &metrics, ability);
    let liveness =
        Liveness { leases: setup.turning.clone(), reading: setup.reading.clone(), queue: queue.pulse(), watches };
    let mut tasks = JoinSet::new();
    let listener = endpoint::bind("FAIRLEAD_HEALTH_ADDR", settings.health_addr).await.map_err(AppError::Endpoint)?;
    tasks.spawn(endpoint::serve(listener, endpoint::health(health.clone(), liveness)));
    let listener = endpoint::bind("FAIRLEAD_METRICS_ADDR", settings.metrics_addr).await.map_err(AppError::Endpoint)?;
    tasks.spawn(account.clone().watch(reachability, health.component("aws")));

    info!(
        version = env!("CARGO_PKG_VERSION"),
        identity = %setup.replica.identity,
        shards = settings.shards,
        leases = setup.leases.namespace(),
        namespaces = settings.watch_namespaces.join(","),
        may_adopt = settings.allow_adoption.len(),
        poll_seconds = settings.reconcile_frequency_seconds,
        "starting"
    );
    let namespaces = namespaces(&settings);
    let (connections, maps) = connections(&client, &namespaces, &health);
    let accounts = Accounts::new(client.clone(), clients.clone(), account.clone(), &settings, &cluster);
    let context = Arc::new(Context {
        client,
        clients,
        accounts: accounts.clone(),
        permits: permits.clone(),
        instance: settings.replica_name(),
        settings,
        cluster,
        queue: queue.clone(),
        connections,
        metrics: metrics.clone(),
    });
    let controllers: Controllers =
        KINDS.iter().map(|kind| (kind.kind, (kind.controller)(context.clone()))).collect::<Vec<_>>().into();
    let read = controllers.clone();
    metrics.read(move || read.iter().flat_map(|(_, controller)| controller.readings()).collect());
    let told = leadership::teller(&setup.replica, &permits, controllers.clone(), queue.clone());
    tasks.spawn(endpoint::serve(listener, endpoint::metrics(metrics.clone()).merge(statusz(told))));
    tasks.spawn(accounts::controller::follow(context.clone(), health.component("watch of AWSAccount")));
    tasks.spawn(accounts::controller::follow_own(context.clone()));
    for (map_watch, component) in maps {
        tasks.spawn(follow_maps(context.clone(), map_watch, component));
    }
    for (kind, controller) in controllers.iter() {
        for namespace in &namespaces {
            let place = namespace.as_deref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
            let component = health.component(format!("watch of {kind}{place}"));
            tasks.spawn(controller.clone().watch(namespace.clone(), component));
        }
    }
    tasks.spawn(leadership::watch_reads(setup.reading.clone(), leases_health));
    tasks.spawn(leadership::follow(permits.clone(), controllers.clone(), accounts.clone()));
    leadership::show(&permits, &metrics);
    let mut keeper = Keeper::start(setup)?;
    let stopper = keeper.stopper();
    let stop = async {
        stop.await;
        info!("stopping: what runs is finished first");
        // Each shard is handed over as soon as nothing of it runs.
        stopper.stop();
    };
    tokio::select! {
        () = dispatch(&queue, &controllers, &health, (account, accounts), &able, stop) => {}
        // They run for ever: without one of them the rest would be blind, and look healthy.
        ended = tasks.join_next() => return Err(AppError::Task(match ended {
            Some(Err(panic)) => panic.to_string(),
            _ => "it came to its end".into(),
        })),
        ended = keeper.ended() => {
            info!("stopped");
            return ended.map_err(AppError::Leases);
        }
    }
    match tokio::time::timeout(FAREWELL, keeper.ended()).await {
        Ok(ended) => ended?,
        Err(_) => warn!("not every Lease could be released: the rest has to expire"),
    }
    info!("stopped");
    Ok(())
}

/// Completes at the first SIGTERM or SIGINT. The second ends the process.
fn stop_signals() -> Result<impl Future<Output = ()>, AppError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let (first, stopped) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut any = async || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        any().await;
        // Nobody waits where the process is ending anyway.
        let _ = first.send(());
        any().await;
        warn!("stopped at once by a second signal: what ran goes on elsewhere, when the Leases have expired");
        std::process::exit(1);
    });
    Ok(async move {
        let _ = stopped.await;
    })
}

/// What it takes to keep the Leases.
fn lease_setup(
    settings: &Settings,
    config: &Config,
    timing: Timing,
    permits: &Permits,
    metrics: &Metrics,
    able: tokio::sync::watch::Receiver<bool>,
) -> keeper::Setup {
    let pod = settings.replica_name();
    let replica = Replica {
        identity: format!("{pod}_{:08x}", fastrand::u32(..)).into(),
        pod,
        pod_uid: settings.pod_uid.clone().unwrap_or_default(),
        revision: settings.revision.clone().unwrap_or_default(),
        started: wall(),
    };
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let config = config.clone();
    let connect = Arc::new(move || Client::try_from(config.clone()).map_err(|error| error.to_string()));
    keeper::Setup {
        leases: Leases::new(connect, &namespace, timing),
        replica,
        timing,
        permits: permits.clone(),
        clock: clock::system(),
        wall,
        metrics: metrics.clone(),
        able,
        turning: Pulse::default(),
        reading: Pulse::default(),
    }
}

fn wall() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}

/// Runs what is due until `stop`, after every cache has been filled.
async fn dispatch(
    queue: &Queue<ObjectKey>,
    controllers: &Controllers,
    health: &Health,
    (account, accounts): (OwnAccount, Accounts),
    able: &tokio::sync::watch::Sender<bool>,
    stop: impl Future<Output = ()>,
) {
    tokio::pin!(stop);
    tokio::select! {
        () = caches_filled(health) => {}
        () = &mut stop => return,
    }
    // What is not known then, the objects say; as soon as it is they are looked at again.
    let _ = tokio::time::timeout(ACCOUNT_WITHIN, account.known()).await;
    let _ = tokio::time::timeout(OTHERS_WITHIN, all_asked(&accounts)).await;
    accounts.objects_are_known();
    // Most were seen before their account was known.
    controllers.iter().for_each(|(_, controller)| controller.settle());
    able.send_replace(true);
    info!("reconciling");
    let work = |ready: Ready<ObjectKey>, token: FlowToken| {
        let controller = controllers.iter().find(|(kind, _)| *kind == ready.key.kind).map(|(_, it)| it.clone());
        async move {
            match controller {
                Some(controller) => controller.reconcile(ready, token).await,
                None => Next::Wait,
            }
        }
    };
    let (begin, stopping) = tokio::sync::oneshot::channel();
    let stopping = async move {
        let _ = stopping.await;
    };
    let drained = queue.run(work, stopping);
    tokio::pin!(drained);
    tokio::select! {
        () = &mut drained => return,
        () = &mut stop => {}
    }
    let _ = begin.send(());
    if tokio::time::timeout(DRAIN, drained).await.is_err() {
        warn!("what still runs after {} s is cut off; whoever leads next goes on with it", DRAIN.as_secs());
    }
}

async fn all_asked(accounts: &Accounts) {
    while !accounts.all_asked() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn caches_filled(health: &Health) {
    while health.problems().iter().any(|problem| problem.starts_with("watch of ")) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A client of the cluster that the environment names.
///
/// # Errors
/// Where it names none.
pub(crate) async fn connect() -> Result<Client, AppError> {
    Client::try_from(infer().await?).map_err(|error| AppError::Kubernetes(error.to_string()))
}

async fn infer() -> Result<Config, AppError> {
    let mut config = Config::infer().await.map_err(|error| AppError::Kubernetes(no_config(&error)))?;
    // The queue retries, with fairness and backoff; a client that does so too would hide it.
    config.default_retry = false;
    Ok(config)
}

/// Where KUBECONFIG is set it was meant, and nothing else is to be told about.
fn no_config(error: &InferConfigError) -> String {
    // A parse error draws a picture of the place in the lines after its first.
    let first_line = |text: String| text.lines().next().unwrap_or_default().to_owned();
    let kubeconfig = error.source().map(|error| first_line(error.to_string())).unwrap_or_default();
    match std::env::var("KUBECONFIG") {
        Ok(path) if !path.is_empty() => format!("KUBECONFIG={path}: {kubeconfig}"),
        _ => format!("{kubeconfig}, and this is no pod; set KUBECONFIG, or run in a pod with a ServiceAccount"),
    }
}

async fn cluster_id(client: &Client, settings: &Settings) -> Result<String, AppError> {
    if let Some(id) = &settings.cluster_id {
        return Ok(id.clone());
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = bounded(namespaces.get("kube-system")).await;
    let system = system.map_err(|error| AppError::Kubernetes(format!("reading the namespace kube-system: {error}")))?;
    Ok(system.metadata.uid.unwrap_or_default())
}

async fn check_crds(client: &Client) -> Result<(), AppError> {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let crds = KINDS.iter().map(|kind| (kind.crd)()).chain([accounts::api::crd()]);
    for name in crds.filter_map(|crd| crd.metadata.name) {
        match bounded(api.get_opt(&name)).await {
            Ok(Some(_)) => {}
            Ok(None) => return Err(AppError::MissingCrd(name)),
            Err(error) => return Err(AppError::Kubernetes(format!("reading the CRD {name}: {error}"))),
        }
    }
    Ok(())
}

/// The namespaces to watch; `None` stands for all of them.
fn namespaces(settings: &Settings) -> Vec<Option<String>> {
    match settings.watch_namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    }
}

type MapWatch = (reflector::store::Writer<ConfigMap>, Api<ConfigMap>);

/// The published ConfigMaps, and the watches that fill them.
fn connections(
    client: &Client,
    namespaces: &[Option<String>],
    health: &Health,
) -> (Connections, Vec<(MapWatch, Component)>) {
    let (mut stores, mut watches) = (Vec::new(), Vec::new());
    for namespace in namespaces {
        let writer = reflector::store::Writer::default();
        stores.push((namespace.clone(), writer.as_reader()));
        let (api, place) = match namespace {
            Some(namespace) => (Api::namespaced(client.clone(), namespace), format!(" in {namespace}")),
            None => (Api::all(client.clone()), String::new()),
        };
        watches.push(((writer, api), health.component(format!("watch of ConfigMap{place}"))));
    }
    (Connections::new(client.clone(), stores), watches)
}

/// Follows the published ConfigMaps; one that somebody has changed brings its object.
async fn follow_maps(context: Arc<Context>, (mut writer, api): MapWatch, health: Component) {
    let config = watch::config().labels(CONNECTION_LABEL);
    let apply = |mut event: watcher::Event<ConfigMap>| {
        if let watcher::Event::Apply(map) | watcher::Event::InitApply(map) = &mut event {
            map.metadata.managed_fields = None;
        }
        writer.apply_watcher_event(&event);
        let disturbed = match &event {
            watcher::Event::Apply(map) => context.connections.disturbed(map, false).into_iter().collect(),
            watcher::Event::Delete(map) => context.connections.disturbed(map, true).into_iter().collect(),
            watcher::Event::InitDone => context.connections.all_disturbed(),
            watcher::Event::InitApply(_) | watcher::Event::Init => Vec::new(),
        };
        for key in disturbed {
            context.queue.wake(&key, Priority::Progress);
        }
    };
    watch::follow(api, config, health, "ConfigMap", |error| error.to_string(), apply).await;
}
