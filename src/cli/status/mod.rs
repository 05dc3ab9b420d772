//! `fairlead status`: who leads what, from the cluster's Leases and from every replica's `/statusz`, which is
//! read through the API server. This file asks; [`report`] concludes and [`table`] prints, both pure.

use std::{collections::BTreeMap, time::Duration};

use futures::{StreamExt as _, future::Either};
use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, Client, ResourceExt, api::ListParams};
use serde::de::DeserializeOwned;

use super::{Failure, access, print};
use crate::{
    app,
    engine::objects::KubeError,
    shard::leases::LABEL,
    telemetry::statusz::{PATH, Statusz},
};
use report::{Candidate, Seen};

mod one;
mod report;
mod table;

pub(super) use one::{Leader, look_at};

/// How long one request may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// How many replicas are asked at once.
const AT_ONCE: usize = 8;
/// More Leases or pods than this no Fairlead has.
const MOST: u32 = 500;
/// How deploy/ labels its pods.
const POD_LABEL: &str = "app.kubernetes.io/name=fairlead";

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    /// The namespace in which Fairlead's Leases and pods are.
    #[arg(long, short, env = "FAIRLEAD_NAMESPACE", default_value = "fairlead-system", value_parser = namespace)]
    namespace: String,

    /// The port of the pods at which metrics and /statusz are served.
    #[arg(long, value_name = "PORT", default_value = "8080", value_parser = port)]
    metrics_port: u16,

    /// The form of what is printed.
    #[arg(long, short, value_name = "FORMAT", default_value = "table")]
    output: Output,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug)]
enum Output {
    Table,
    Json,
}

pub(super) fn main(args: Args) -> Result<(), Failure> {
    access::run(status(args))
}

async fn status(Args { namespace, metrics_port, output }: Args) -> Result<(), Failure> {
    let client = app::cluster::connect().await.map_err(|error| Failure::Runtime(error.to_string()))?;
    let seen = look(&client, &namespace, metrics_port).await.map_err(Failure::Runtime)?;
    if seen.leases.is_empty() {
        return Err(Failure::Runtime(report::nothing(&seen, &elsewhere(&client).await)));
    }
    let report = report::conclude(&seen);
    match output {
        Output::Table => print(&table::text(&report)),
        Output::Json => {
            let text = serde_json::to_string_pretty(&report).map_err(|error| Failure::Runtime(error.to_string()))?;
            print(&(text + "\n"))
        }
    }
}

/// Reads the Leases and the pods, then asks the replicas.
async fn look(client: &Client, namespace: &str, port: u16) -> Result<Seen, String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let (of_leases, of_pods) = (listing(LABEL), listing(POD_LABEL));
    let (leases, pods) = tokio::join!(within(leases.list(&of_leases)), within(pods.list(&of_pods)));
    let leases = leases.map_err(|error| report::not_listed("Leases", namespace, &error))?.items;
    let pods = pods.map(|list| list.items).map_err(|error| report::not_listed("pods", namespace, &error));
    let now = Timestamp::now();

    let asked = report::candidates(&leases, pods.as_deref().unwrap_or_default()).into_iter().map(|candidate| {
        let Candidate { name, instead } = candidate;
        match instead {
            Some(reason) => Either::Left(async { (name, Err(reason)) }),
            None => Either::Right(async {
                let answer = ask(client, namespace, &name, port).await;
                (name, answer)
            }),
        }
    });
    let answers: BTreeMap<_, _> = futures::stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
    Ok(Seen { namespace: namespace.to_owned(), now, leases, pods, answers })
}

/// A replica's `/statusz`, or why it can't be read.
async fn ask(client: &Client, namespace: &str, pod: &str, port: u16) -> Result<Statusz, String> {
    proxied(client, namespace, pod, port, PATH).await
}

/// What a pod answers at `path`, as JSON, or why it can't be read.
async fn proxied<T: DeserializeOwned>(
    client: &Client,
    namespace: &str,
    pod: &str,
    port: u16,
    path: &str,
) -> Result<T, String> {
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}");
    let request = axum::http::Request::get(path).body(Vec::new()).map_err(|error| error.to_string())?;
    let text = within(client.request_text(request)).await.map_err(|error| report::not_told(namespace, &error))?;
    serde_json::from_str(&text).map_err(|error| format!("what answers there is no /statusz of Fairlead: {error}"))
}

/// The other namespaces that hold Leases of Fairlead, where these may be listed.
async fn elsewhere(client: &Client) -> Vec<String> {
    let everywhere: Api<Lease> = Api::all(client.clone());
    let found = within(everywhere.list(&listing(LABEL))).await.map(|list| list.items).unwrap_or_default();
    let mut namespaces: Vec<_> = found.iter().filter_map(ResourceExt::namespace).collect();
    namespaces.sort();
    namespaces.dedup();
    namespaces
}

fn listing(labels: &str) -> ListParams {
    ListParams::default().labels(labels).limit(MOST)
}

/// What the API server answers, waited for so long and no longer.
pub(super) async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, Unanswered> {
    match tokio::time::timeout(TIMEOUT, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(Unanswered::Refused(status)),
        Ok(Err(error)) => Err(Unanswered::Failed(KubeError::from(error).to_string())),
        Err(_) => Err(Unanswered::Failed(format!("no answer within {} s", TIMEOUT.as_secs()))),
    }
}

/// Why a request brought nothing.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The API server, or what it asked in turn, says so.
    Refused(Box<kube::core::Status>),
    /// Anything else.
    Failed(String),
}

pub(super) fn namespace(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let text = text.trim();
    match (1..=63).contains(&text.len()) && text.chars().all(fits) {
        true => Ok(text.into()),
        false => Err("allowed: the name of a namespace".into()),
    }
}

pub(super) fn port(text: &str) -> Result<u16, String> {
    text.trim().parse().ok().filter(|port| *port > 0).ok_or("allowed: a port, 1 to 65535".into())
}

#[cfg(test)]
mod tests;
