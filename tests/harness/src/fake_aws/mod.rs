//! A fast fake of AWS over HTTP: SQS, RDS and STS.
//!
//! It has what no emulator has: a clock that can be advanced, blocked names, reads that lag behind writes,
//! budgets, latency and troubles by account and region, faults by occurrence, lost replies. What it answers
//! is held to what the emulators answer by the suite `contract`. It runs on threads of its own, so that a
//! test that blocks does not stop it.
//!
//! | File | What it holds |
//! |---|---|
//! | `server` | connections, and what a call goes through before it is answered |
//! | `sqs/`, `rds/`, `sts` | the services; one more is one more file and a line in `server` |
//! | `limits`, `propagation`, `clock` | what is set from outside; pure but for the clock |
//! | `refusal` | error answers |
//!
//! An access key of twelve digits is that account; temporary credentials act in their role's account; any
//! other key is account 000000000000. Signatures and policies are not looked at.

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};

mod clock;
mod limits;
mod propagation;
mod rds;
mod refusal;
mod server;
mod sqs;
mod sts;

pub use crate::aws_http::{Call, Effect, Fault};
pub use limits::{Budget, Latency, Scope, Trouble};
pub use propagation::{Lag, Propagation};
pub use rds::{InstanceState, RdsTiming, SnapshotState};
pub use sqs::{MessageCounts, QueueState};
pub use sts::{RoleSettings, Session};

use server::Shared;
use sqs::Place;

/// A running fake; dropped means that every connection is closed.
#[derive(Debug)]
pub struct FakeAws {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    thread: Option<JoinHandle<()>>,
}

/// Threads that serve: few, since operator and control plane share the machine.
const WORKERS: usize = 2;

impl FakeAws {
    /// Starts a fake on a loopback port of its own.
    pub fn start() -> Result<FakeAws> {
        let listener = listen()?;
        let shared = Arc::new(Shared::new(listener.local_addr()?));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .thread_name("fake-aws")
            .enable_all()
            .build()?;
        let serving = Arc::clone(&shared);
        let handle = runtime.handle().clone();
        let thread = std::thread::Builder::new()
            .name("fake-aws".to_owned())
            .spawn(move || {
                let accepting = runtime.spawn(server::serve(listener, String::new(), serving));
                // It ends when it is told to; a panic has shown itself already.
                let _ = runtime.block_on(accepting);
            })
            .context("cannot start the fake")?;
        Ok(FakeAws { shared, runtime: handle, thread: Some(thread) })
    }

    /// Opens one more door to the same AWS: the log tells which calls came through it.
    pub fn door(&self, name: &str) -> Result<SocketAddr> {
        let listener = listen()?;
        let addr = listener.local_addr()?;
        self.runtime.spawn(server::serve(listener, name.to_owned(), Arc::clone(&self.shared)));
        Ok(addr)
    }

    /// The endpoint to give to callers.
    pub fn url(&self) -> String {
        format!("http://{}", self.shared.addr)
    }

    /// Skips a time of the fake's clock: whatever is due in it is due at once. Latency is in real time.
    pub fn advance(&self, time: Duration) {
        self.shared.clock.advance(time);
    }

    /// The fake's clock: the time since its start, and what was skipped.
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }
}

/// What befalls callers. `None` takes back what was set for the very same scope.
impl FakeAws {
    /// How long answers take, errors included.
    pub fn latency(&self, scope: Scope, latency: impl Into<Option<Latency>>) {
        self.shared.limits(|limits| limits.latency(scope, latency.into()));
    }

    /// How many calls are answered.
    pub fn budget(&self, scope: Scope, budget: impl Into<Option<Budget>>) {
        self.shared.limits(|limits| limits.budget(scope, budget.into()));
    }

    /// What goes wrong with every call.
    pub fn trouble(&self, scope: Scope, trouble: impl Into<Option<Trouble>>) {
        self.shared.limits(|limits| limits.trouble(scope, trouble.into()));
    }

    /// How long reads of SQS lag behind writes from now on.
    pub fn propagate(&self, propagation: Propagation) {
        self.shared.sqs.propagate(propagation);
    }

    /// Adds a fault. Each counts the calls of its operation for itself, from
    /// now on; of those that are due, the one added first acts. A call in trouble is not counted.
    pub fn fault(&self, fault: Fault) {
        self.shared.faults.add(fault);
    }

    /// Drops all faults. Answers that are held stay so until released.
    pub fn clear_faults(&self) {
        self.shared.faults.clear();
    }

    /// Lets every answer go that [`Effect::HoldReply`] has kept back so far.
    pub fn release(&self) {
        self.shared.faults.release();
    }
}

/// The log. It keeps the latest 200,000 calls, passwords in them included; the counters know them all.
impl FakeAws {
    /// The calls since the start or the last [`FakeAws::clear`], as they arrived.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.log.calls()
    }

    /// The calls of one operation.
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        self.shared.log.calls_of(operation)
    }

    /// How many calls of an operation arrived.
    pub fn count(&self, service: &str, operation: &str) -> u64 {
        self.shared.log.count(service, operation)
    }

    /// How many calls were answered as too many.
    pub fn throttled(&self) -> u64 {
        self.shared.throttled.load(Ordering::Relaxed)
    }

    /// Forgets the calls so far, and begins to count anew.
    pub fn clear(&self) {
        self.shared.log.clear();
        self.shared.throttled.store(0, Ordering::Relaxed);
    }

    /// Keeps only this many calls, for runs of millions; none at all is possible.
    pub fn keep_calls(&self, limit: usize) {
        self.shared.log.keep(limit);
    }
}

/// Accounts.
impl FakeAws {
    /// Registers a role, or changes it. Roles that are not registered cannot be assumed.
    pub fn role(&self, arn: &str, settings: RoleSettings) -> Result<()> {
        self.shared.sts.role(arn, settings)
    }

    /// Forgets a role: it cannot be assumed, and its credentials are not taken any more.
    pub fn revoke_role(&self, arn: &str) {
        self.shared.sts.revoke(arn);
    }

    /// The temporary credentials that were handed out.
    pub fn sessions(&self) -> Vec<Session> {
        self.shared.sts.sessions()
    }
}

/// What somebody else does in AWS, or sees there. No call is logged, no lag shown.
impl FakeAws {
    /// A queue.
    pub fn queue(&self, account: &str, region: &str, name: &str) -> Option<QueueState> {
        self.shared.sqs.queue(Place { account, region, name }, self.now())
    }

    /// The names of all queues, in order.
    pub fn queues(&self, account: &str, region: &str) -> Vec<String> {
        self.shared.sqs.names(account, region)
    }

    /// Sets an attribute of a queue; `""` clears one that can be cleared.
    pub fn set_attribute(&self, account: &str, region: &str, name: &str, attribute: &str, value: &str) -> Result<()> {
        let done = self.shared.sqs.set(Place { account, region, name }, attribute, value, self.now());
        done.map_err(|refusal| anyhow!("{name}: {}", refusal.message))
    }

    /// Sets a tag of a queue, or removes it.
    pub fn tag(&self, account: &str, region: &str, name: &str, key: &str, value: Option<&str>) -> Result<()> {
        let done = self.shared.sqs.tag(Place { account, region, name }, key, value);
        done.map_err(|refusal| anyhow!("{name}: {}", refusal.message))
    }

    /// Deletes a queue. Its name is blocked as after any deletion.
    pub fn delete_queue(&self, account: &str, region: &str, name: &str) -> Result<()> {
        let done = self.shared.sqs.delete(Place { account, region, name }, self.now());
        done.map_err(|refusal| anyhow!("{name}: {}", refusal.message))
    }
}

/// What somebody else does with DB instances in AWS, or sees there. No call is logged.
impl FakeAws {
    /// How long things take with DB instances, from now on.
    pub fn rds_timing(&self, timing: RdsTiming) {
        self.shared.rds.timing(timing);
    }

    /// The identifiers of all DB instances, those that are being deleted included, in order.
    pub fn instances(&self, account: &str, region: &str) -> Vec<String> {
        self.shared.rds.identifiers(rds::Place { account, region }, self.now())
    }

    /// A DB instance.
    pub fn instance(&self, account: &str, region: &str, id: &str) -> Option<InstanceState> {
        self.shared.rds.state(rds::Place { account, region }, id, self.now())
    }

    /// Changes a setting of a DB instance at once, by its name in a request or an answer: a colleague's change
    /// (`BackupRetentionPeriod`), autoscaling (`AllocatedStorage`), AWS's own upgrade (`EngineVersion`), another
    /// password (`MasterUserPassword`). Only the value by itself is judged. Lists are written
    /// with commas; `""` takes away `MaxAllocatedStorage`, `MonitoringRoleArn` and log exports.
    pub fn change_instance(&self, account: &str, region: &str, id: &str, parameter: &str, value: &str) -> Result<()> {
        self.shared.rds.change(rds::Place { account, region }, id, parameter, value, self.now())
    }

    /// Pins the status of a DB instance, to any word of AWS's. `available` unpins it, and what goes on with it
    /// is then over; a deletion or a start unpins it too, and so does growth where it is `storage-full`.
    pub fn set_instance_status(&self, account: &str, region: &str, id: &str, status: &str) -> Result<()> {
        self.shared.rds.pin(rds::Place { account, region }, id, status, self.now())
    }

    /// Sets a tag of a DB instance, or removes it.
    pub fn tag_instance(&self, account: &str, region: &str, id: &str, key: &str, value: Option<&str>) -> Result<()> {
        self.shared.rds.tag(rds::Place { account, region }, id, key, value, self.now())
    }

    /// Removes a DB instance, protected or not: it is gone at once, without a snapshot.
    pub fn delete_instance(&self, account: &str, region: &str, id: &str) -> Result<()> {
        self.shared.rds.remove(rds::Place { account, region }, id, self.now())
    }

    /// Puts a DB snapshot there, of an instance that need not exist.
    pub fn add_snapshot(&self, account: &str, region: &str, snapshot: SnapshotState) -> Result<()> {
        let epoch = self.shared.clock.unix(Duration::ZERO);
        self.shared.rds.add_snapshot(rds::Place { account, region }, snapshot, self.now(), epoch)
    }

    /// All DB snapshots, in the order of their names.
    pub fn snapshots(&self, account: &str, region: &str) -> Vec<SnapshotState> {
        self.shared.rds.snapshots(rds::Place { account, region }, self.now())
    }

    /// Gives a DB instance another host name.
    pub fn move_endpoint(&self, account: &str, region: &str, id: &str, host: &str) -> Result<()> {
        self.shared.rds.move_host(rds::Place { account, region }, id, host, self.now())
    }
}

impl Drop for FakeAws {
    fn drop(&mut self) {
        self.shared.stopped.send_replace(true);
        if let Some(thread) = self.thread.take() {
            // A panic of the fake has shown itself to its callers already.
            let _ = thread.join();
        }
    }
}

fn listen() -> Result<TcpListener> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// As ARNs begin in a region.
fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}
