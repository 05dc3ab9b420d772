//! How commands that only read reach the cluster and AWS.

use std::{sync::Arc, time::Duration};

use kube::{
    Api, Client,
    api::{ApiResource, DynamicObject, ListParams},
};

use super::Failure;
use crate::{
    aws::{
        account::{Gate, Reachability},
        call::Observers,
        clients::Clients,
        errors::{AwsError, ErrorClass},
    },
    engine::objects::{KubeError, Object, bounded},
    queue::token::FlowToken,
    telemetry::metrics::Metrics,
};

/// How often a call is made that AWS asks to make later.
const ATTEMPTS: u32 = 5;
/// … and how long is waited before the next.
const PAUSE: Duration = Duration::from_secs(1);
/// How many objects the API server is asked for at once.
const PAGE: u32 = 500;

/// Runs a command to its end.
pub(super) fn run(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Runtime(format!("the runtime does not start: {error}")))?;
    runtime.block_on(command)
}

/// The ways to AWS that the environment names. There are few calls, one after the other: nobody rations them.
///
/// # Errors
/// Why there are no credentials.
pub(super) async fn clients(default_region: Option<String>) -> Result<Clients, String> {
    let observers = Observers { reachability: Reachability::of_own(), metrics: Metrics::default() };
    let clients = Clients::from_env(default_region, Gate::new(None), observers, Arc::new(FlowToken::unrationed)).await;
    clients.check_credentials().await.map_err(|why| format!("no AWS credentials: {why}"))?;
    Ok(clients)
}

/// A read, made again a few times where AWS asks to make it later.
pub(super) async fn patiently<T>(mut call: impl AsyncFnMut() -> Result<T, AwsError>) -> Result<T, AwsError> {
    let mut attempt = 1;
    loop {
        match call().await {
            Err(AwsError { class: ErrorClass::Throttle | ErrorClass::Later(_) | ErrorClass::Transient, .. })
                if attempt < ATTEMPTS =>
            {
                tokio::time::sleep(PAUSE * attempt).await;
                attempt += 1;
            }
            answer => return answer,
        }
    }
}

/// All objects of a kind, of the whole cluster.
pub(super) async fn list(client: &Client, resource: &ApiResource) -> Result<Vec<Object>, String> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), resource);
    let mut params = ListParams::default().limit(PAGE);
    let mut objects = Vec::new();
    loop {
        let page = bounded(api.list(&params)).await.map_err(|error| not_listed(resource, &error))?;
        objects.extend(page.items.into_iter().map(Object));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}

fn not_listed(resource: &ApiResource, error: &KubeError) -> String {
    let ApiResource { plural, group, .. } = resource;
    match error {
        KubeError::Gone => format!("the CRD {plural}.{group} is not installed"),
        error => format!(
            "{plural} can't be listed, for which `list` on {plural}.{group} in all namespaces is needed: {error}"
        ),
    }
}
