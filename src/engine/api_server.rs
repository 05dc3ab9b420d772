//! The connection to the API server: whether its watches go on, and what to do about connections that have died
//! without a sign.
//!
//! kube-runtime begins a watch anew each time its request has ended, and does not say so; here every request is
//! seen. A request whose answer does not begin in time was perhaps sent on a connection that a firewall has
//! forgotten, and the pool may have more of those: from then on a new pool is used.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use http::{Method, Request, Response, StatusCode};
use kube::{Client, Config, client::Body};
use opentelemetry::KeyValue;
use tracing::{Instrument as _, Span, debug, warn};

use crate::telemetry::{
    metrics::{KubeRequest, Metrics, Reading, Value, table},
    pulse::Pulse,
    thinned::Thinned,
    traces::spans::{self, Unended},
};

/// How long the head of an answer may take. A watch is answered at once; a list of everything is not.
const WATCH_HEAD: Duration = Duration::from_secs(5);
const HEAD: Duration = Duration::from_secs(10);

/// The header in which the API server says how its audit log names a request.
const AUDIT_ID: &str = "audit-id";

/// The watches of a client, by path.
#[derive(Clone, Debug, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<String, Watch>>>);

/// When a watch was last answered.
#[derive(Debug, Default)]
struct Watch {
    /// With anything.
    answered: Pulse,
    /// With success: only then is anything heard.
    granted: Pulse,
}

/// A client that is replaced when it does not answer.
struct Renewable {
    config: Config,
    /// Counts the clients.
    current: Mutex<(u64, Client)>,
}

impl Watches {
    /// A client whose watches are these, and whose requests are counted.
    ///
    /// # Errors
    /// Where the configuration makes none.
    pub fn observe(&self, config: Config, metrics: &Metrics) -> Result<Client, String> {
        let namespace = config.default_namespace.clone();
        let host: Arc<str> = config.cluster_url.host().unwrap_or_default().into();
        let counter = Counter::new(&config, metrics);
        let client = Client::try_from(config.clone()).map_err(|error| error.to_string())?;
        let renewable = Arc::new(Renewable { config, current: Mutex::new((0, client)) });
        let watches = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (renewable, watches, host) = (renewable.clone(), watches.clone(), host.clone());
            let mut counted = counter.begin(&request);
            async move {
                let path = watched_path(&request);
                let patience = if path.is_some() { WATCH_HEAD } else { HEAD };
                let answer = traced(request, &host, |request| renewable.send(request, patience)).await?;
                counted.answered(answer.status().as_u16());
                path.into_iter().for_each(|path| watches.answered(path, answer.status()));
                Ok::<_, tower::BoxError>(answer)
            }
        });
        Ok(Client::new(service, namespace))
    }

    /// The watch whose last request was answered longest ago, and how long ago.
    pub fn most_silent(&self) -> Option<(String, Duration)> {
        let watches = lock(&self.0);
        let silent = watches.iter().map(|(path, watch)| (path.clone(), watch.answered.silent_for()));
        silent.max_by_key(|(_, silent)| *silent)
    }

    /// How long ago each watch was last granted, as Prometheus sees it.
    pub fn readings(&self) -> Vec<Reading> {
        let of_watch = |(path, watch): (&String, &Watch)| {
            let (resource, namespace) = target(path);
            let labels = [resource.to_owned().into(), namespace.to_owned().into()];
            Reading::new(&table::WATCH_AGE, labels, watch.granted.silent_for().as_secs_f64())
        };
        lock(&self.0).iter().map(of_watch).collect()
    }

    /// Of these paths: for tests.
    #[cfg(test)]
    pub(crate) fn of(watches: impl IntoIterator<Item = (String, Pulse)>) -> Self {
        let watch = |(path, pulse): (String, Pulse)| (path, Watch { answered: pulse.clone(), granted: pulse.apart() });
        Self(Arc::new(Mutex::new(watches.into_iter().map(watch).collect())))
    }

    /// An error, too, shows that whoever watches goes on; it is heard of nothing, though.
    fn answered(&self, path: String, status: StatusCode) {
        let mut watches = lock(&self.0);
        let watch = watches.entry(path).or_default();
        watch.answered.beat();
        if status.is_success() {
            watch.granted.beat();
        }
    }
}

/// A client whose requests are counted, and of which nothing else is kept.
///
/// # Errors
/// Where the configuration makes none.
pub fn counted(config: Config, metrics: &Metrics) -> Result<Client, String> {
    let (namespace, counter) = (config.default_namespace.clone(), Counter::new(&config, metrics));
    let client = Client::try_from(config).map_err(|error| error.to_string())?;
    let service = tower::service_fn(move |request: Request<Body>| {
        let (client, mut counted) = (client.clone(), counter.begin(&request));
        async move {
            let answer = client.send(request).await?;
            counted.answered(answer.status().as_u16());
            Ok::<_, tower::BoxError>(answer)
        }
    });
    Ok(Client::new(service, namespace))
}

/// Counts requests.
#[derive(Clone)]
struct Counter {
    metrics: Metrics,
    host: Value,
}

impl Counter {
    fn new(config: &Config, metrics: &Metrics) -> Self {
        // Not the whole authority, which may hold a password.
        let host = config.cluster_url.host().unwrap_or_default();
        let host = config.cluster_url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        Self { metrics: metrics.clone(), host: host.into() }
    }

    fn begin<B>(&self, request: &Request<B>) -> KubeRequest {
        let method = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE]
            .iter()
            .zip(["GET", "POST", "PUT", "PATCH", "DELETE"])
            .find_map(|(method, name)| (method == request.method()).then_some(name));
        self.metrics.request(method.unwrap_or("other"), self.host.clone(), asks(request, "watch=true"))
    }
}

impl Renewable {
    /// Sends a request, and waits so long for the head of the answer.
    async fn send(&self, request: Request<Body>, patience: Duration) -> Result<Response<Body>, tower::BoxError> {
        let (number, client) = lock(&self.current).clone();
        match tokio::time::timeout(patience, client.send(request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                self.renew(number);
                Err(format!("the API server did not answer within {} s", patience.as_secs()).into())
            }
        }
    }

    /// Replaces the client of this number, where nobody has.
    fn renew(&self, number: u64) {
        let mut current = lock(&self.current);
        if current.0 == number {
            match Client::try_from(self.config.clone()) {
                Ok(client) => *current = (number + 1, client),
                Err(error) => warn!(%error, "no new connection to the API server"),
            }
        }
    }
}

/// Sends a request to `host`; one that writes, within a span.
async fn traced<F>(request: Request<Body>, host: &str, send: impl FnOnce(Request<Body>) -> F) -> F::Output
where
    F: Future<Output = Result<Response<Body>, tower::BoxError>>,
{
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let span = match method {
        Method::GET => Span::none(),
        _ => spans::kubernetes_write(method.as_str(), &path, host),
    };
    let unended = Unended::of(&span);
    let answer = send(request).instrument(span.clone()).await;
    unended.ended();
    match &answer {
        Ok(answer) => {
            let (status, id) = (answer.status(), answer.headers().get(AUDIT_ID).and_then(|id| id.to_str().ok()));
            spans::add(&span, || {
                let mut attributes = vec![KeyValue::new("http.response.status_code", i64::from(status.as_u16()))];
                attributes.extend(id.map(|id| KeyValue::new("k8s.audit_id", id.to_owned())));
                attributes
            });
            if !status.is_success() {
                spans::fail(&span, status.as_str(), status.canonical_reason().unwrap_or_default());
            }
            tell(&method, &path, status, id);
        }
        Err(error) => spans::fail(&span, "no_answer", &error.to_string()),
    }
    answer
}

/// Logs a request by the id under which the API server's audit log has it.
fn tell(method: &Method, path: &str, status: StatusCode, request_id: Option<&str>) {
    static LINES: Thinned = Thinned::new();
    // What reads says itself what it can't.
    let refused = *method != Method::GET && !status.is_success() && ![404, 409, 410].contains(&status.as_u16());
    match refused.then(|| LINES.pass(Instant::now())).flatten() {
        Some(left_out) => {
            warn!(%method, path, status = status.as_u16(), request_id, left_out, "the API server refuses a request");
        }
        None => debug!(%method, path, status = status.as_u16(), request_id, "Kubernetes call"),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path of a request that watches; a probe, which lasts a second, is none.
fn watched_path<B>(request: &Request<B>) -> Option<String> {
    let watches = asks(request, "watch=true") && !asks(request, "timeoutSeconds=1");
    watches.then(|| request.uri().path().to_owned())
}

/// Whether a request's query has this part.
fn asks<B>(request: &Request<B>, wanted: &str) -> bool {
    request.uri().query().unwrap_or_default().split('&').any(|part| part == wanted)
}

/// The resource and the namespace that a path names; the namespace is empty where it is all of them.
fn target(path: &str) -> (&str, &str) {
    let mut parts = path.rsplit('/');
    let resource = parts.next().unwrap_or_default();
    match (parts.next(), parts.next()) {
        (Some(namespace), Some("namespaces")) => (resource, namespace),
        _ => (resource, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_probes_are_no_watches() {
        for (uri, path) in [
            ("/apis/x/v1/a?watch=true&timeoutSeconds=55", Some("/apis/x/v1/a")),
            ("/apis/x/v1/a?&watch=true&timeoutSeconds=1", None),
            ("/apis/x/v1/a?limit=500", None),
            ("/apis/x/v1/a", None),
        ] {
            let request = Request::get(uri).body(()).unwrap();
            assert_eq!(watched_path(&request).as_deref(), path, "{uri}");
        }
    }

    #[test]
    fn a_watch_that_is_refused_goes_on_and_hears_nothing() {
        const PATH: &str = "/api/v1/configmaps";
        for (status, granted) in [(200, true), (403, false), (404, false), (429, false), (503, false)] {
            let watches = Watches::of([(PATH.to_owned(), Pulse::seen(Duration::from_secs(300)))]);
            watches.answered(PATH.to_owned(), StatusCode::from_u16(status).unwrap());
            let silent = watches.most_silent().unwrap().1;
            assert!(silent < Duration::from_secs(60), "{status}: {silent:?}");
            let readings = watches.readings();
            let (.., age) = readings[0].parts();
            assert_eq!(age < 60.0, granted, "{status}: {age}");
        }
    }

    #[test]
    fn a_path_names_a_resource_and_perhaps_a_namespace() {
        for (path, expected) in [
            ("/apis/aws.fairlead.dev/v1alpha1/sqsqueues", ("sqsqueues", "")),
            ("/apis/aws.fairlead.dev/v1alpha1/namespaces/shop/sqsqueues", ("sqsqueues", "shop")),
            ("/api/v1/configmaps", ("configmaps", "")),
            ("/api/v1/namespaces/shop/configmaps", ("configmaps", "shop")),
            ("/api/v1/namespaces", ("namespaces", "")),
        ] {
            assert_eq!(target(path), expected, "{path}");
        }
    }
}
