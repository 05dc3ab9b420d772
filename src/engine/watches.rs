//! Whether the watches go on. kube-runtime begins a watch anew each time its request has ended, and does not say
//! so; the client sees every request.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder},
};
use tower::{Layer, Service};

use crate::telemetry::pulse::Pulse;

/// The watches of a client, by path.
#[derive(Clone, Debug, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<String, Pulse>>>);

/// A client's requests, of which those that watch are noted.
#[derive(Clone, Debug)]
pub struct Observed<S> {
    inner: S,
    watches: Watches,
}

impl Watches {
    /// A client whose watches are these.
    ///
    /// # Errors
    /// Where the configuration makes none.
    pub fn observe(&self, config: Config) -> Result<Client, String> {
        let builder = ClientBuilder::try_from(config).map_err(|error| error.to_string())?;
        Ok(builder.with_layer(self).build())
    }

    /// The watch whose last request was answered longest ago, and how long ago.
    pub fn most_silent(&self) -> Option<(String, Duration)> {
        let watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = watches.iter().map(|(path, pulse)| (path.clone(), pulse.silent_for()));
        silent.max_by_key(|(_, silent)| *silent)
    }

    fn answered(&self, path: String) {
        let mut watches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        watches.entry(path).or_default().beat();
    }
}

impl<S> Layer<S> for Watches {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, watches: self.clone() }
    }
}

impl<S, B> Service<Request<Body>> for Observed<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let path = watched_path(&request);
        let (watches, answer) = (self.watches.clone(), self.inner.call(request));
        Box::pin(async move {
            let answer = answer.await;
            // An error, too, shows that whoever watches goes on.
            path.into_iter().for_each(|path| watches.answered(path));
            answer
        })
    }
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
