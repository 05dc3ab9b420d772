//! The connection to the API server: whether its watches go on, and what to do about connections that have died
//! without a sign.
//!
//! kube-runtime begins a watch anew each time its request has ended, and does not say so; here every request is
//! seen. A request whose answer does not begin in time was perhaps sent on a connection that a firewall has
//! forgotten, and the pool may have more of those: from then on a new pool is used.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::{Request, Response};
use kube::{Client, Config, client::Body};
use tracing::warn;

use crate::telemetry::pulse::Pulse;

/// How long the head of an answer may take. A watch is answered at once; a list of everything is not.
const WATCH_HEAD: Duration = Duration::from_secs(5);
const HEAD: Duration = Duration::from_secs(10);

/// The watches of a client, by path.
#[derive(Clone, Debug, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<String, Pulse>>>);

/// A client that is replaced when it does not answer.
struct Renewable {
    config: Config,
    /// Counts the clients.
    current: Mutex<(u64, Client)>,
}

impl Watches {
    /// A client whose watches are these.
    ///
    /// # Errors
    /// Where the configuration makes none.
    pub fn observe(&self, config: Config) -> Result<Client, String> {
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config.clone()).map_err(|error| error.to_string())?;
        let renewable = Arc::new(Renewable { config, current: Mutex::new((0, client)) });
        let watches = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (renewable, watches) = (renewable.clone(), watches.clone());
            async move {
                let path = watched_path(&request);
                let answer = renewable.send(request, if path.is_some() { WATCH_HEAD } else { HEAD }).await?;
                // An error, too, shows that whoever watches goes on.
                path.into_iter().for_each(|path| watches.answered(path));
                Ok::<_, tower::BoxError>(answer)
            }
        });
        Ok(Client::new(service, namespace))
    }

    /// The watch whose last request was answered longest ago, and how long ago.
    pub fn most_silent(&self) -> Option<(String, Duration)> {
        let watches = lock(&self.0);
        let silent = watches.iter().map(|(path, pulse)| (path.clone(), pulse.silent_for()));
        silent.max_by_key(|(_, silent)| *silent)
    }

    /// Of these paths: for tests.
    #[cfg(test)]
    pub(crate) fn of(watches: impl IntoIterator<Item = (String, Pulse)>) -> Self {
        Self(Arc::new(Mutex::new(watches.into_iter().collect())))
    }

    fn answered(&self, path: String) {
        lock(&self.0).entry(path).or_default().beat();
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The path of a request that watches; a probe, which lasts a second, is none.
fn watched_path<B>(request: &Request<B>) -> Option<String> {
    let query = request.uri().query()?;
    let has = |wanted: &str| query.split('&').any(|part| part == wanted);
    (has("watch=true") && !has("timeoutSeconds=1")).then(|| request.uri().path().to_owned())
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
}
