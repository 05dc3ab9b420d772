//! A replica: the keeper as it is, and work by the permits that it has granted.

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep},
};

use super::{
    TIMING,
    api::{Api, Link},
};
use crate::{
    shard::{
        Permits, Shard,
        clock::{Clock, Moment},
        keeper::{Setup, keep},
        leases::Leases,
        membership,
    },
    telemetry::{metrics::Metrics, pulse::Pulse},
};

/// A pod, and the process that runs in it at the moment.
pub(super) struct Replica {
    pub(super) link: Arc<Mutex<Link>>,
    number: usize,
    shards: u8,
    api: Arc<Api>,
    rng: fastrand::Rng,
    clock: Clock,
    starts: u32,
    process: Option<Process>,
}

struct Process {
    permits: Permits,
    frozen: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
    stop: mpsc::Sender<()>,
}

impl Replica {
    pub(super) fn new(number: usize, shards: u8, seed: u64, api: Arc<Api>) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ (number as u64 + 1) << 32);
        // All clocks within 6 % of the truth: what the margin bears.
        let rate = 0.97 + 0.06 * rng.f64();
        let begun = Instant::now();
        let clock: Clock = Arc::new(move || Moment::of(Duration::from_secs(9) + begun.elapsed().mul_f64(rate)));
        let link = Arc::default();
        Self { link, number, shards, api, rng, clock, starts: 0, process: None }
    }

    /// Starts a process, where none runs: one whose keeper has ended, has ended.
    pub(super) fn start(&mut self) {
        let runs = |process: &Process| process.tasks.first().is_some_and(|keeper| !keeper.is_finished());
        if self.process.as_ref().is_some_and(runs) {
            return;
        }
        self.process.take().into_iter().flat_map(|process| process.tasks).for_each(|task| task.abort());
        self.starts += 1;
        let (pod, api, link) = (format!("r{}", self.number), self.api.clone(), self.link.clone());
        let identity: Arc<str> = format!("{pod}_{}", self.starts).into();
        let metrics = Metrics::default();
        let permits = Permits::new(self.shards, TIMING, self.clock.clone(), metrics.clone());
        let setup = Setup {
            leases: Leases::new(Arc::new(move || Ok(api.client(link.clone()))), "sim", TIMING),
            replica: membership::Replica {
                identity: identity.clone(),
                pod,
                pod_uid: String::new(),
                revision: String::new(),
                started: 0,
            },
            timing: TIMING,
            permits: permits.clone(),
            clock: self.clock.clone(),
            // Wall clocks must not matter: all of them stand still, some in the future.
            wall: [|| 0, || 1 << 50, || 1_700_000_000_000_000][self.number % 3],
            metrics,
            able: watch::channel(true).1,
            turning: Pulse::default(),
            reading: Pulse::default(),
        };
        let (stop, stops) = mpsc::channel(1);
        let frozen = Arc::new(AtomicBool::new(false));
        let freezes = |future: Pin<Box<dyn Future<Output = ()> + Send>>| Freezing { future, frozen: frozen.clone() };
        let kept = Box::pin(async { drop(keep(setup, stops).await) });
        let mut tasks = vec![tokio::spawn(freezes(kept))];
        for shard in Shard::all(self.shards) {
            let work = work(shard, permits.clone(), identity.clone(), self.api.clone(), self.rng.fork());
            tasks.push(tokio::spawn(freezes(Box::pin(work))));
        }
        self.api.note(format!("{identity} starts"));
        self.process = Some(Process { permits, frozen, tasks, stop });
    }

    /// SIGKILL.
    pub(super) fn kill(&mut self) {
        self.api.note(format!("r{} is killed", self.number));
        self.process.take().into_iter().flat_map(|process| process.tasks).for_each(|task| task.abort());
    }

    /// SIGTERM.
    pub(super) fn stop(&mut self) {
        self.api.note(format!("r{} is stopped", self.number));
        if let Some(mut process) = self.process.take() {
            let _ = process.stop.try_send(());
            // Its keeper ends by itself, and its workers with it.
            let keeper = process.tasks.remove(0);
            tokio::spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(30), keeper).await;
                process.tasks.iter().for_each(JoinHandle::abort);
            });
        }
    }

    /// SIGSTOP and SIGCONT.
    pub(super) fn freeze(&mut self, frozen: bool) {
        if let Some(process) = &self.process {
            process.frozen.store(frozen, Ordering::Relaxed);
        }
    }

    /// How many shards it leads.
    pub(super) fn led(&self) -> usize {
        let Some(Process { permits, .. }) = &self.process else { return 0 };
        Shard::all(self.shards).filter(|shard| permits.glimpse(*shard).led).count()
    }
}

/// Works in a shard whenever that is allowed.
async fn work(shard: Shard, permits: Permits, me: Arc<str>, api: Arc<Api>, mut rng: fastrand::Rng) {
    loop {
        sleep(Duration::from_millis(rng.u64(50..600))).await;
        let Ok(permit) = permits.grant(shard) else { continue };
        let steps = rng.u32(1..20);
        let call = async {
            for _ in 0..steps {
                api.work(shard.index() as u8, permit.epoch(), &me);
                sleep(Duration::from_millis(100)).await;
            }
        };
        // Cut off or not: the next permit will tell.
        let _ = permit.spend(call).await;
    }
}

/// A task that can be frozen.
struct Freezing {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    frozen: Arc<AtomicBool>,
}

impl Future for Freezing {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.frozen.load(Ordering::Relaxed) {
            let waker = context.waker().clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(50)).await;
                waker.wake();
            });
            return Poll::Pending;
        }
        self.future.as_mut().poll(context)
    }
}
