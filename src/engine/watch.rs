//! One watch, for ever: it survives whatever the API server does, and says in readiness whether it
//! works.

use std::{fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    api::WatchParams,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::objects::bounded;
use crate::telemetry::health::Component;

/// How often, after a watch has failed, the API server is asked whether it takes one again.
const PROBE: Duration = Duration::from_secs(1);

/// Follows `api` and hands every event to `apply`. `explain` puts an error into words.
pub async fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    health: Component,
    kind: &str,
    explain: fn(&watcher::Error) -> String,
    mut apply: impl FnMut(watcher::Event<K>),
) where
    K: Resource + Clone + DeserializeOwned + Debug + Send + 'static,
{
    let begin = || watcher(api.clone(), config.clone()).default_backoff();
    let mut events = pin!(begin());
    let (mut listed, mut healthy, mut failed) = (false, true, false);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            // After an outage the watch itself tries again ever more seldom, and when it works it says
            // nothing while nothing happens: as soon as a watch is taken, begin afresh.
            () = tokio::time::sleep(PROBE), if listed && failed => {
                if bounded(api.watch(&WatchParams::default().timeout(1), "0")).await.is_ok() {
                    info!(kind, "the API server answers again");
                    failed = false;
                    events.set(begin());
                }
                continue;
            }
        };
        match event {
            Some(Ok(event)) => {
                let done = matches!(event, watcher::Event::InitDone);
                let works = done || matches!(event, watcher::Event::Apply(_) | watcher::Event::Delete(_));
                apply(event);
                listed |= done;
                if done || (listed && works && !healthy) {
                    (healthy, failed) = (true, false);
                    health.up();
                }
            }
            Some(Err(error)) => {
                (healthy, failed) = (false, true);
                let why = explain(&error);
                if health.down(why.clone()) {
                    warn!(kind, "{why}");
                }
            }
            None => return,
        }
    }
}
