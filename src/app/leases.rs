//! How this replica keeps its Leases.

use std::sync::Arc;

use kube::Config;
use tokio::sync::watch;

use crate::{
    engine::api_server,
    settings::Settings,
    shard::{Permits, clock, keeper, lease::Timing, leases::Leases, membership::Replica},
    telemetry::{metrics::Metrics, pulse::Pulse},
};

/// What it takes to keep the Leases.
pub(super) fn setup(
    settings: &Settings,
    config: &Config,
    timing: Timing,
    permits: &Permits,
    metrics: &Metrics,
    able: watch::Receiver<bool>,
) -> keeper::Setup {
    let pod = settings.replica_name();
    let replica = Replica {
        identity: format!("{pod}_{:08x}", fastrand::u32(..)).into(),
        pod,
        pod_uid: settings.pod_uid.clone().unwrap_or_default(),
        revision: settings.revision.clone().unwrap_or_default(),
        started: wall(),
    };
    let namespace = settings.namespace.clone().unwrap_or_else(|| config.default_namespace.clone());
    let (config, counting) = (config.clone(), metrics.clone());
    let connect = Arc::new(move || api_server::counted(config.clone(), &counting));
    keeper::Setup {
        leases: Leases::new(connect, &namespace, timing),
        replica,
        timing,
        permits: permits.clone(),
        clock: clock::system(),
        wall,
        metrics: metrics.clone(),
        able,
        turning: Pulse::default(),
        reading: Pulse::default(),
    }
}

fn wall() -> i64 {
    jiff::Timestamp::now().as_microsecond()
}
