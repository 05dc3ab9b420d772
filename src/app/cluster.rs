//! What the process finds in its cluster at its start, and the watches of published ConfigMaps.

use std::{error::Error as _, sync::Arc};

use k8s_openapi::{
    api::core::v1::{ConfigMap, Namespace},
    apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition,
};
use kube::{
    Api, Client, Config,
    config::InferConfigError,
    runtime::{reflector, watcher},
};

use super::AppError;
use crate::{
    accounts,
    crd::CONNECTION_LABEL,
    engine::{controller::Context, objects::bounded, publish::Connections, watch},
    kinds::KINDS,
    queue::flow::Priority,
    settings::Settings,
    telemetry::health::{Component, Health},
};

/// A client of the cluster that the environment names.
///
/// # Errors
/// Where it names none.
pub(crate) async fn connect() -> Result<Client, AppError> {
    Client::try_from(infer().await?).map_err(|error| AppError::Kubernetes(error.to_string()))
}

pub(super) async fn infer() -> Result<Config, AppError> {
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

/// The cluster's id, for owner tags: the one that is `given`, else the cluster's own.
pub(crate) async fn id(client: &Client, given: Option<&str>) -> Result<String, AppError> {
    if let Some(id) = given {
        return Ok(id.to_owned());
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let system = bounded(namespaces.get("kube-system")).await;
    let system = system.map_err(|error| AppError::Kubernetes(format!("reading the namespace kube-system: {error}")))?;
    Ok(system.metadata.uid.unwrap_or_default())
}

/// Makes sure that the CRDs are there.
pub(super) async fn check_crds(client: &Client) -> Result<(), AppError> {
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
pub(super) fn namespaces(settings: &Settings) -> Vec<Option<String>> {
    match settings.watch_namespaces.as_slice() {
        [] => vec![None],
        namespaces => namespaces.iter().cloned().map(Some).collect(),
    }
}

pub(super) type MapWatch = (reflector::store::Writer<ConfigMap>, Api<ConfigMap>);

/// The published ConfigMaps, and the watches that fill them.
pub(super) fn connections(
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
pub(super) async fn follow_maps(context: Arc<Context>, ((mut writer, api), health): (MapWatch, Component)) {
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
            context.queue.wake(&(&key).into(), Priority::Progress);
        }
    };
    watch::follow(api, config, health, "ConfigMap", |error| error.to_string(), apply).await;
}
