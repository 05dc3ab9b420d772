//! The task that runs what is due, at most so many at once. Waiting is a due time: nobody sleeps
//! in a worker.

use std::{
    future::Future,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::{sync::Notify, task::JoinSet};
use tracing::error;

use super::scheduler::{Next, Priority, Ready, Scheduler};

/// A handle to the queue, for those who ask for work.
#[derive(Debug)]
pub struct Queue<K> {
    scheduler: Arc<Mutex<Scheduler<K>>>,
    wake: Arc<Notify>,
}

impl<K> Clone for Queue<K> {
    fn clone(&self) -> Self {
        Self { scheduler: self.scheduler.clone(), wake: self.wake.clone() }
    }
}

impl<K: Clone + Eq + Hash + Ord + Send + Sync + std::fmt::Debug + 'static> Queue<K> {
    /// An empty queue that runs `concurrency` keys at once.
    pub fn new(concurrency: usize) -> Self {
        Self { scheduler: Arc::new(Mutex::new(Scheduler::new(concurrency))), wake: Arc::default() }
    }

    /// Asks for `key` at `at`.
    pub fn add(&self, key: K, priority: Priority, at: Instant) {
        self.with(|scheduler| scheduler.add(key, priority, at));
        self.wake.notify_one();
    }

    /// Forgets `key`.
    pub fn remove(&self, key: &K) {
        self.with(|scheduler| scheduler.remove(key));
    }

    /// Runs what is due with `work` until `stop` completes, then waits for what still runs.
    pub async fn run<W, F>(&self, work: W, stop: impl Future<Output = ()>)
    where
        W: Fn(Ready<K>) -> F,
        F: Future<Output = Next> + Send + 'static,
    {
        let mut workers = JoinSet::new();
        let mut keys = std::collections::HashMap::new();
        tokio::pin!(stop);
        loop {
            let now = tokio::time::Instant::now().into_std();
            while let Some(ready) = self.with(|scheduler| scheduler.pop(now)) {
                let key = ready.key.clone();
                let task = workers.spawn(work(ready));
                keys.insert(task.id(), key);
            }
            let due = self.with(|scheduler| scheduler.next_due());
            let due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = &mut stop => break,
                () = self.wake.notified() => {}
                () = due => {}
                Some(ended) = workers.join_next_with_id() => {
                    let (id, next) = match ended {
                        Ok((id, next)) => (id, next),
                        Err(panic) => {
                            let key = keys.get(&panic.id());
                            error!(%panic, ?key, "a reconcile ended without an answer: this is a bug in Fairlead");
                            (panic.id(), Next::Backoff)
                        }
                    };
                    if let Some(key) = keys.remove(&id) {
                        let now = tokio::time::Instant::now().into_std();
                        self.with(|scheduler| scheduler.finish(&key, next, now, fastrand::f64()));
                    }
                }
            }
        }
        while workers.join_next().await.is_some() {}
    }

    fn with<T>(&self, work: impl FnOnce(&mut Scheduler<K>) -> T) -> T {
        work(&mut self.scheduler.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicUsize, Ordering},
        time::Duration,
    };

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn runs_what_is_due_and_finishes_what_runs() {
        let queue = Queue::new(2);
        let (started, ended) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let now = tokio::time::Instant::now().into_std();
        for key in 0..5 {
            queue.add(key, Priority::Change, now);
        }
        queue.add(9, Priority::Change, now + Duration::from_secs(3_600));
        let work = |_: Ready<i32>| {
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
        let queue = Queue::new(2);
        let runs = Arc::new(AtomicUsize::new(0));
        queue.add("bad", Priority::Change, tokio::time::Instant::now().into_std());
        let work = |_: Ready<&'static str>| {
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
