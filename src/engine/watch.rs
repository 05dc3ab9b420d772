//! One watch, for ever: it survives whatever the API server does, and says in readiness whether it
//! works.

use std::{
    fmt::Debug,
    pin::pin,
    time::{Duration, Instant},
};

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

/// Seconds that one watch request lasts. A connection that has died silently is noticed 5 s later.
pub const TIMEOUT: u32 = 45;
/// Errors so close to each other are one outage.
const SAME_OUTAGE: Duration = Duration::from_secs(30);

/// The configuration of every watch.
pub fn config() -> watcher::Config {
    watcher::Config::default().timeout(TIMEOUT)
}

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
    let (mut errors, mut last_error) = (0_u32, Instant::now());
    let labels = config.label_selector.clone().unwrap_or_default();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            // A watch that goes on says nothing while nothing happens, and after several errors it tries
            // ever more seldom: as soon as the API server takes one, all is well, or begins afresh.
            () = tokio::time::sleep(PROBE), if listed && failed => {
                let params = WatchParams::default().labels(&labels).timeout(1);
                if bounded(api.watch(&params, "0")).await.is_ok() {
                    info!(kind, "the API server answers again");
                    failed = false;
                    if errors > 1 {
                        events.set(begin());
                    } else {
                        healthy = true;
                        health.up();
                    }
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
                errors = if last_error.elapsed() < SAME_OUTAGE { errors + 1 } else { 1 };
                last_error = Instant::now();
                let why = explain(&error);
                if health.down(why.clone()) {
                    warn!(kind, "{why}");
                }
            }
            None => return,
        }
    }
}
