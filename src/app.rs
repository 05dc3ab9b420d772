//! The wiring of `fairlead run`: which tasks start, and in which order they stop.

use std::{sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    signal::unix::{SignalKind, signal},
    sync::{oneshot, watch},
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
    engine::{
        api_server::Watches,
        controller::{Context, Controllers, Task},
        leadership,
        secrets::Secrets,
    },
    kinds::KINDS,
    queue::{
        dispatcher::Queue,
        scheduler::{Next, Ready},
        token::FlowToken,
    },
    settings::Settings,
    shard::{
        Permits, clock,
        keeper::{self, Keeper, KeeperError},
    },
    telemetry::{
        endpoint,
        health::{Health, Liveness},
        metrics::{Metrics, process},
        object_status::objects,
        statusz::statusz,
    },
};

pub(crate) mod cluster;
mod leases;

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
pub async fn run(settings: Settings, metrics: Metrics) -> Result<(), AppError> {
    let stop = stop_signals()?;
    let timing = settings.lease_timing().map_err(AppError::Settings)?;
    let config = cluster::infer().await?;
    let (health, watches) = (Health::default(), Watches::default());
    let client = watches.observe(config.clone(), &metrics).map_err(AppError::Kubernetes)?;
    let cluster = cluster::id(&client, settings.cluster_id.as_deref()).await?;
    cluster::check_crds(&client).await?;
    let queue: Queue<Task> = Queue::new(settings.limits(), metrics.clone());
    let (clients, reachability) = aws(&settings, &metrics, &queue).await?;
    let account = OwnAccount::new(&clients);
    let leases_health = health.component("leases");
    let permits = Permits::new(settings.shards, timing, clock::system(), metrics.clone());
    let (able, ability) = watch::channel(false);
    let setup = leases::setup(&settings, &config, timing, &permits, &metrics, ability);

    let mut tasks = JoinSet::new();
    let liveness = Liveness {
        leases: setup.turning.clone(),
        reading: setup.reading.clone(),
        queue: queue.pulse(),
        watches: watches.clone(),
    };
    let listener = endpoint::bind("FAIRLEAD_HEALTH_ADDR", settings.health_addr).await.map_err(AppError::Endpoint)?;
    tasks.spawn(endpoint::serve(listener, endpoint::health(health.clone(), liveness)));
    let listener = endpoint::bind("FAIRLEAD_METRICS_ADDR", settings.metrics_addr).await.map_err(AppError::Endpoint)?;
    announce(&settings, &setup);
    let namespaces = cluster::namespaces(&settings);
    let (connections, maps) = cluster::connections(&client, &namespaces, &health);
    let accounts = Accounts::new(client.clone(), clients.clone(), account.clone(), &settings, &cluster);
    let context = Arc::new(Context {
        secrets: Secrets::new(client.clone()),
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
    show(&metrics, &permits, &controllers, watches);
    metrics.show_messages(context.settings.message_metrics.into());
    let told = leadership::teller(&setup.replica, &permits, controllers.clone(), queue.clone());
    let of_objects = objects(leadership::object_teller(&setup.replica, controllers.clone()));
    let shown = endpoint::metrics(metrics.clone()).merge(statusz(told)).merge(of_objects);
    tasks.spawn(endpoint::serve(listener, shown));
    tasks.spawn(account.clone().watch(reachability, health.component("aws")));
    tasks.spawn(accounts::controller::follow(context.clone(), health.component("watch of AWSAccount")));
    tasks.spawn(accounts::controller::follow_own(context.clone()));
    maps.into_iter().for_each(|map| drop(tasks.spawn(cluster::follow_maps(context.clone(), map))));
    for (kind, controller) in controllers.iter() {
        for namespace in &namespaces {
            let place = namespace.as_deref().map_or_else(String::new, |namespace| format!(" in {namespace}"));
            let component = health.component(format!("watch of {kind}{place}"));
            tasks.spawn(controller.clone().watch(namespace.clone(), component));
        }
    }
    tasks.spawn(leadership::watch_reads(setup.reading.clone(), leases_health));
    tasks.spawn(leadership::follow(permits, controllers.clone(), accounts.clone()));
    let keeper = Keeper::start(setup)?;
    let work = Work { queue, controllers, health, account, accounts, able };
    work.until(stop, keeper, tasks).await?;
    info!("stopped");
    Ok(())
}

/// The way to AWS.
async fn aws(settings: &Settings, metrics: &Metrics, queue: &Queue<Task>) -> Result<(Clients, Reachability), AppError> {
    let reachability = Reachability::of_own();
    let observers = Observers { reachability: reachability.clone(), metrics: metrics.clone() };
    let (gate, queue) = (Gate::new(settings.expected_account.clone()), queue.clone());
    let tokens = Arc::new(move |flow| queue.token(flow));
    let clients = Clients::from_env(settings.region.clone(), gate, observers, tokens).await;
    clients.check_credentials().await.map_err(AppError::Credentials)?;
    Ok((clients, reachability))
}

fn announce(settings: &Settings, setup: &keeper::Setup) {
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
}

/// What is read when Prometheus asks.
fn show(metrics: &Metrics, permits: &Permits, controllers: &Controllers, watches: Watches) {
    let read = controllers.clone();
    metrics.read(move || read.iter().flat_map(|(_, controller)| controller.readings()).collect());
    leadership::show(permits, metrics);
    metrics.read(move || watches.readings());
    metrics.read(process::readings);
    let handle = Handle::current();
    metrics.read(move || process::runtime(&handle));
}

/// What reconciles.
struct Work {
    queue: Queue<Task>,
    controllers: Controllers,
    health: Health,
    account: OwnAccount,
    accounts: Accounts,
    able: watch::Sender<bool>,
}

impl Work {
    /// Works until `stop`, then hands everything over.
    async fn until(
        self,
        stop: impl Future<Output = ()>,
        mut keeper: Keeper,
        mut tasks: JoinSet<()>,
    ) -> Result<(), AppError> {
        let stopper = keeper.stopper();
        let stop = async {
            stop.await;
            info!("stopping: what runs is finished first");
            // Each shard is handed over as soon as nothing of it runs.
            stopper.stop();
        };
        tokio::select! {
            () = self.dispatch(stop) => {}
            // They run for ever: without one of them the rest would be blind, and look healthy.
            ended = tasks.join_next() => return Err(AppError::Task(match ended {
                Some(Err(panic)) => panic.to_string(),
                _ => "it came to its end".into(),
            })),
            // All is handed over; what still runs has no permit.
            ended = keeper.ended() => return Ok(ended?),
        }
        match tokio::time::timeout(FAREWELL, keeper.ended()).await {
            Ok(ended) => Ok(ended?),
            Err(_) => {
                warn!("not every Lease could be released: the rest has to expire");
                Ok(())
            }
        }
    }

    /// Runs what is due until `stop`, after every cache has been filled.
    async fn dispatch(&self, stop: impl Future<Output = ()>) {
        let Self { queue, controllers, health, account, accounts, able } = self;
        tokio::pin!(stop);
        tokio::select! {
            () = caches_filled(health) => {}
            () = &mut stop => return,
        }
        // What is not known then, the objects say; as soon as it is they are looked at again.
        let known = async {
            let _ = tokio::time::timeout(ACCOUNT_WITHIN, account.known()).await;
            let _ = tokio::time::timeout(OTHERS_WITHIN, all_asked(accounts)).await;
        };
        tokio::select! {
            () = known => {}
            () = &mut stop => return,
        }
        accounts.objects_are_known();
        able.send_replace(true);
        info!("reconciling");
        let work = |ready: Ready<Task>, token: FlowToken| {
            let controller = controllers.iter().find(|(kind, _)| *kind == ready.key.kind()).map(|(_, it)| it.clone());
            async move {
                match controller {
                    Some(controller) => controller.run(ready, token).await,
                    None => Next::Wait,
                }
            }
        };
        let (begin, stopping) = oneshot::channel::<()>();
        let drained = queue.run(work, async { drop(stopping.await) });
        tokio::pin!(drained);
        tokio::select! {
            () = &mut drained => return,
            () = &mut stop => drop(begin),
        }
        if tokio::time::timeout(DRAIN, drained).await.is_err() {
            warn!("what still runs after {} s is cut off; whoever leads next goes on with it", DRAIN.as_secs());
        }
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
