//! One watch, for ever: it survives whatever the API server does, and says in readiness whether it
//! works.

use std::{fmt::Debug, pin::pin, time::Duration};

use futures::StreamExt as _;
use kube::{
    Api, Resource,
    api::ListParams,
    runtime::{WatchStreamExt as _, watcher},
};
use serde::de::DeserializeOwned;
use tracing::{info, warn};

use super::objects::bounded;
use crate::telemetry::health::Component;

/// How often a watch that has failed is asked whether it works again.
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
    let mut events = pin!(watcher(api.clone(), config).default_backoff());
    let (mut listed, mut healthy) = (false, true);
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            // After an outage a quiet watch says nothing: ask whether the API server answers again.
            () = tokio::time::sleep(PROBE), if listed && !healthy => {
                if bounded(api.list(&ListParams::default().limit(1))).await.is_ok() {
                    info!(kind, "the watch works again");
                    healthy = true;
                    health.up();
                }
                continue;
            }
        };
        match event {
            Some(Ok(event)) => {
                let done = matches!(event, watcher::Event::InitDone);
                apply(event);
                listed |= done;
                if listed && (done || !healthy) {
                    healthy = true;
                    health.up();
                }
            }
            Some(Err(error)) => {
                healthy = false;
                let why = explain(&error);
                if health.down(why.clone()) {
                    warn!(kind, "{why}");
                }
            }
            None => return,
        }
    }
}
