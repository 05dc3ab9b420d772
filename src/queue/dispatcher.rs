//! The task that runs what is due. Waiting is a due time: nobody sleeps in a worker.

use std::{
    collections::HashMap,
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::{
    sync::Notify,
    task::{self, JoinSet},
};
use tracing::{error, info, warn};

use super::{
    flow::{Flow, Priority},
    flows::Notice,
    scheduler::{Ended, Next, Ready, Scheduler, Terms, view::KeyView},
    shown,
    slots::Limits,
    token::{Answer, FlowToken, Listener, Report},
};
use crate::telemetry::{
    metrics::{Metrics, Reading},
    pulse::Pulse,
};

/// How often it shows that it goes on, while there is nothing to do.
const PULSE: Duration = Duration::from_secs(5);

/// A handle to the queue, for those who ask for work.
pub struct Queue<K> {
    shared: Arc<Shared<K>>,
}

struct Shared<K> {
    pulse: Pulse,
    scheduler: Mutex<Scheduler<K>>,
    running: Mutex<HashMap<task::Id, Worker<K>>>,
    wake: Notify,
    metrics: Metrics,
}

/// A run that is under way.
struct Worker<K> {
    key: K,
    token: FlowToken,
    started: Instant,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<K: Clone + Eq + Hash + Send + Sync + std::fmt::Debug + 'static> Queue<K> {
    /// An empty queue that runs no more at once than `limits` say.
    pub fn new(limits: Limits, metrics: Metrics) -> Self {
        let shared = Arc::new(Shared {
            pulse: Pulse::default(),
            scheduler: Mutex::new(Scheduler::new(limits, now())),
            running: Mutex::default(),
            wake: Notify::new(),
            metrics: metrics.clone(),
        });
        let read = Arc::downgrade(&shared);
        metrics.read(move || read.upgrade().map(|shared| shared.readings()).unwrap_or_default());
        Self { shared }
    }

    /// Asks for `key` at `at`, on `terms`.
    pub fn add(&self, key: K, terms: &Terms, priority: Priority, at: Instant) {
        self.shared.with(|scheduler| scheduler.add(key, terms, priority, at, now()));
        self.shared.metrics.added();
        self.shared.wake.notify_one();
    }

    /// Asks for `key` now, on the terms that it was last asked for with. One that is not known is not
    /// there.
    pub fn wake(&self, key: &K, priority: Priority) {
        if self.shared.with(|scheduler| scheduler.wake(key, priority, now())) {
            self.shared.metrics.added();
            self.shared.wake.notify_one();
        }
    }

    /// From now on `key` is run on `terms`, when it is run.
    pub fn settle(&self, key: &K, terms: &Terms) {
        self.shared.with(|scheduler| scheduler.settle(key, terms, now()));
        self.shared.wake.notify_one();
    }

    /// Forgets `key`.
    pub fn remove(&self, key: &K) {
        self.shared.with(|scheduler| scheduler.remove(key));
    }

    /// The right to call AWS in `flow` for those who are not run by the queue: nothing is reserved, nothing
    /// held back, and nothing learned.
    pub fn token(&self, flow: Flow) -> FlowToken {
        FlowToken::unrationed(flow)
    }

    /// Shows that what is due is run.
    pub fn pulse(&self) -> Pulse {
        self.shared.pulse.clone()
    }

    /// How `key` stands, and for how long it has run where it does; nothing where it is not known.
    pub fn view(&self, key: &K) -> Option<(KeyView, Option<Duration>)> {
        let now = now();
        let view = self.shared.with(|scheduler| scheduler.view(key, now))?;
        let running = lock(&self.shared.running);
        let started = running.values().find(|worker| worker.key == *key).map(|worker| worker.started);
        Some((view, started.map(|started| now.saturating_duration_since(started))))
    }

    /// How many keys are due, and how many run.
    pub fn load(&self) -> (usize, usize) {
        let flows = self.shared.with(|scheduler| scheduler.flows());
        (flows.iter().flat_map(|flow| flow.ready).sum(), lock(&self.shared.running).len())
    }

    /// Runs what is due with `work` until `stop` completes, then waits for what still runs.
    pub async fn run<W, F>(&self, work: W, stop: impl Future<Output = ()>)
    where
        W: Fn(Ready<K>, FlowToken) -> F,
        F: Future<Output = Next> + Send + 'static,
    {
        let mut workers = JoinSet::new();
        tokio::pin!(stop);
        loop {
            self.shared.pulse.beat();
            let (due, notices) = self.start_ready(&work, &mut workers);
            notices.iter().for_each(|notice| tell(notice, &self.shared.metrics));
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => break,
                () = self.shared.wake.notified() => {}
                () = due => {}
                () = tokio::time::sleep(PULSE) => {}
                Some(ended) = workers.join_next_with_id() => self.ended(ended),
            }
            while let Some(ended) = workers.try_join_next_with_id() {
                self.ended(ended);
            }
        }
        while let Some(ended) = workers.join_next_with_id().await {
            self.ended(ended);
        }
    }

    /// Starts what may run. When the next may, and what has happened to flows.
    fn start_ready<W, F>(&self, work: &W, workers: &mut JoinSet<Next>) -> (Option<Instant>, Vec<Notice>)
    where
        W: Fn(Ready<K>, FlowToken) -> F,
        F: Future<Output = Next> + Send + 'static,
    {
        let started = now();
        while let Some(ready) = self.shared.with(|scheduler| scheduler.pop(started)) {
            self.shared.metrics.started(&ready.flow, ready.priority, ready.waited);
            let token = FlowToken::new(ready.flow.clone(), ready.reserved, ready.shut_for, self.listener());
            let worker = Worker { key: ready.key.clone(), token: token.clone(), started };
            let task = workers.spawn(work(ready, token));
            lock(&self.shared.running).insert(task.id(), worker);
        }
        self.shared.with(|scheduler| (scheduler.next_due(), scheduler.notices()))
    }

    fn ended(&self, ended: Result<(task::Id, Next), task::JoinError>) {
        let (id, next) = match ended {
            Ok((id, next)) => (id, next),
            Err(panic) => {
                let key = lock(&self.shared.running).get(&panic.id()).map(|worker| worker.key.clone());
                error!(%panic, ?key, "a reconcile ended without an answer: this is a bug in Fairlead");
                (panic.id(), Next::Backoff)
            }
        };
        let Some(Worker { key, token, started }) = lock(&self.shared.running).remove(&id) else { return };
        let now = now();
        self.shared.metrics.worked(token.flow(), now.saturating_duration_since(started));
        if next == Next::Backoff {
            self.shared.metrics.retried();
        }
        let ended = Ended { next, unused: token.unused(), jitter: fastrand::f64() };
        self.shared.with(|scheduler| scheduler.finish(&key, ended, now));
    }

    fn listener(&self) -> Listener {
        let shared = self.shared.clone();
        Arc::new(move |flow, report| {
            if let Report::Ended(Answer::Given | Answer::Throttled(_)) = report {
                shared.metrics.answered(flow);
            }
            if let Report::Ended(Answer::Throttled(_)) = report {
                shared.metrics.throttled(flow);
            }
            shared.with(|scheduler| scheduler.report(flow, report, now()));
            shared.wake.notify_one();
        })
    }
}

impl<K: Clone + Eq + Hash> Shared<K> {
    fn with<T>(&self, work: impl FnOnce(&mut Scheduler<K>) -> T) -> T {
        work(&mut lock(&self.scheduler))
    }

    /// The queue as Prometheus sees it.
    fn readings(&self) -> Vec<Reading> {
        let now = now();
        let flows = self.with(|scheduler| scheduler.flows());
        let running: Vec<_> =
            lock(&self.running).values().map(|worker| now.saturating_duration_since(worker.started)).collect();
        shown::readings(&flows, &running, now, |flow| self.metrics.flow(flow))
    }
}

fn tell(notice: &Notice, metrics: &Metrics) {
    match notice {
        Notice::Opened(flow) => {
            metrics.circuit_opened(flow);
            warn!(%flow, "AWS does not answer: calls are held back, and one at a time finds out when it does again");
        }
        Notice::Closed(flow, after) => info!(%flow, seconds = after.as_secs(), "AWS answers again"),
        Notice::Stretched(flow, factor) if *factor <= 1.0 => info!(%flow, "polls come at the wished interval again"),
        Notice::Stretched(flow, factor) => {
            let factor = format!("{factor:.1}");
            warn!(%flow, factor, "polls at the wished interval would call more than the flow's rate: they are stretched");
        }
    }
}

/// The time, which tests can hold still.
fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;
    use crate::{
        aws::Service,
        queue::{flow::Calls, spread::Phase},
    };

    const LIMITS: Limits = Limits { overall: 2, region: 2, flow: 2 };

    fn terms() -> Terms {
        Terms {
            flow: Flow::new("1", "eu-west-1", Service("sqs")),
            rate: 100.0,
            calls: Calls { change: 2, poll: 1 },
            phase: Phase::of("u"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn runs_what_is_due_and_finishes_what_runs() {
        let queue = Queue::new(LIMITS, Metrics::default());
        let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for key in 0..5 {
            queue.add(key, &terms(), Priority::Change, now());
        }
        queue.add(9, &terms(), Priority::Change, now() + Duration::from_secs(3_600));
        let work = |_: Ready<i32>, _| {
            let (started, ended) = (started.clone(), ended.clone());
            async move {
                let running = started.fetch_add(1, Ordering::SeqCst) + 1 - ended.load(Ordering::SeqCst);
                assert!(running <= 2);
                tokio::time::sleep(Duration::from_secs(10)).await;
                ended.fetch_add(1, Ordering::SeqCst);
                Next::Wait
            }
        };
        // Five keys, two at a time, 10 s each: the stop comes while the last one runs.
        queue.run(work, tokio::time::sleep(Duration::from_secs(25))).await;
        assert_eq!((started.load(Ordering::SeqCst), ended.load(Ordering::SeqCst)), (5, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_panic_is_a_failure_of_that_key_alone() {
        let queue = Queue::new(LIMITS, Metrics::default());
        let runs = Arc::new(AtomicUsize::new(0));
        queue.add("bad", &terms(), Priority::Change, now());
        let work = |_: Ready<&'static str>, _| {
            let runs = runs.clone();
            async move {
                assert!(runs.fetch_add(1, Ordering::SeqCst) > 0, "the first run fails");
                Next::Wait
            }
        };
        queue.run(work, tokio::time::sleep(Duration::from_secs(5))).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
