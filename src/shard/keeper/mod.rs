//! Keeps the Leases: one loop, on a thread of its own, so that busy workers do not make it late. It reads
//! all Leases every second, lets each one's [step](super::lease) decide, writes what that says, and
//! tells [`Permits`] what is led. A watch makes it faster, and is needed for nothing.

mod round;
#[cfg(test)]
mod simulation;
mod slot;
mod troubles;

use tokio::sync::{mpsc, watch};

use self::round::Round;
use super::{
    Permits, Shard,
    clock::Clock,
    layout::{self, LayoutError},
    lease::Timing,
    leases::Leases,
    membership::Replica,
};
use crate::telemetry::{metrics::Metrics, pulse::Pulse};

/// What it takes to keep the Leases.
#[derive(Clone)]
pub struct Setup {
    /// The Leases.
    pub leases: Leases,
    /// This replica.
    pub replica: Replica,
    /// Their times.
    pub timing: Timing,
    /// What grants permits by them.
    pub permits: Permits,
    /// The clocks that count.
    pub clock: Clock,
    /// The wall clock, in microseconds since 1970.
    pub wall: fn() -> i64,
    /// Who counts.
    pub metrics: Metrics,
    /// Whether this replica can work: before that it wants no shard.
    pub able: watch::Receiver<bool>,
    /// Shows that the loop goes on.
    pub turning: Pulse,
    /// Shows that the Leases can be read.
    pub reading: Pulse,
}

/// The keeper's thread.
pub struct Keeper {
    stop: mpsc::Sender<()>,
    ended: tokio::sync::oneshot::Receiver<Result<(), LayoutError>>,
}

impl Keeper {
    /// Starts the thread.
    ///
    /// # Errors
    /// Where there can be none.
    pub fn start(setup: Setup) -> std::io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stops) = mpsc::channel(1);
        let (end, ended) = tokio::sync::oneshot::channel();
        std::thread::Builder::new().name("leases".into()).spawn(move || {
            // Whoever waits for it has gone where this fails.
            let _ = end.send(runtime.block_on(keep(setup, stops)));
        })?;
        Ok(Self { stop, ended })
    }

    /// What tells it to stop.
    pub fn stopper(&self) -> Stopper {
        Stopper(self.stop.clone())
    }

    /// Completes when the thread has ended: after a stop, or for a reason.
    ///
    /// # Errors
    /// Where replicas with another layout run, or a panic has ended it.
    pub async fn ended(&mut self) -> Result<(), KeeperError> {
        match (&mut self.ended).await {
            Ok(outcome) => Ok(outcome?),
            Err(_) => Err(KeeperError::Panicked),
        }
    }
}

/// Tells the keeper to stop.
pub struct Stopper(mpsc::Sender<()>);

impl Stopper {
    /// Has everything handed over: nothing begins any more, and each shard is released as soon as nothing of it
    /// runs.
    pub fn stop(&self) {
        // One that was told already is on its way.
        let _ = self.0.try_send(());
    }
}

/// Why the Leases are no longer kept.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// Replicas with another layout run.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A bug.
    #[error("the thread that keeps the Leases has ended, which is a bug in Fairlead")]
    Panicked,
}

/// Keeps the Leases until told to stop.
///
/// # Errors
/// Where replicas with another layout run.
pub async fn keep(setup: Setup, mut stops: mpsc::Receiver<()>) -> Result<(), LayoutError> {
    let shards = setup.permits.shards();
    tokio::select! {
        agreed = layout::agree(&setup.leases, shards, &setup.timing, &setup.clock) => agreed?,
        _ = stops.recv() => return Ok(()),
    }
    let client = setup.leases.client().map_err(|why| failed(&setup, why))?;
    let outcome = Round::new(setup.clone(), client).run(stops).await;
    Shard::all(shards).for_each(|shard| setup.permits.lost(shard));
    outcome
}

fn failed(setup: &Setup, why: String) -> LayoutError {
    LayoutError::Leases { namespace: setup.leases.namespace().into(), why }
}
