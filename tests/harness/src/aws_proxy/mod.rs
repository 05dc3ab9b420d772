//! A reverse proxy before an AWS emulator: a log of every call, and faults.
//!
//! It runs on a thread of its own, so that a test that blocks does not stop it,
//! and so that tests with different runtimes can share one. Bytes and headers
//! pass unchanged. Faults trigger on an operation's occurrence, never on time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::Value;

mod answer;
mod request;
mod server;
mod state;

use state::State;

/// A running proxy; dropped means that every connection is closed.
#[derive(Debug)]
pub struct AwsProxy {
    addr: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

/// One call as the proxy saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// When it had arrived in full.
    pub at: Instant,
    /// `sqs`, `sts`, …: from the signature.
    pub service: String,
    /// `CreateQueue`, …
    pub operation: String,
    /// From the signature.
    pub region: String,
    /// From the signature.
    pub access_key: String,
    /// The parameters: JSON as sent, or a form's fields as an object of strings.
    pub request: Value,
    /// The status of the answer that went to the caller, if one did.
    pub status: Option<u16>,
    /// When the call was over: answered, or its connection closed.
    pub finished: Option<Instant>,
}

/// What is to happen to some calls of an operation.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The operation, or `*` for every one.
    pub operation: String,
    /// How the access key of the calls begins; empty for any.
    pub access_key: String,
    /// How many of its calls pass before.
    pub skip: usize,
    /// How many of its calls are then affected.
    pub times: usize,
    /// What happens to them.
    pub effect: Effect,
}

/// What a fault does.
#[derive(Clone)]
pub enum Effect {
    /// AWS refuses: an error answer, nothing is forwarded.
    Respond {
        /// The HTTP status.
        status: u16,
        /// AWS's error code; a dotted one is sent as the query-compatible code.
        code: String,
        /// AWS's words.
        message: String,
    },
    /// The call takes effect, and its connection closes without an answer.
    LoseReply,
    /// The call takes effect, and its answer waits for [`AwsProxy::release`].
    HoldReply,
    /// The call is forwarded later.
    Delay(Duration),
    /// Nothing is forwarded and nothing ever answered.
    Blackhole,
    /// A successful JSON answer is changed, as by an old read.
    Rewrite(Arc<dyn Fn(Value) -> Value + Send + Sync>),
}

impl std::fmt::Debug for Effect {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Effect::Respond { status, code, .. } => write!(f, "Respond({status} {code})"),
            Effect::LoseReply => f.write_str("LoseReply"),
            Effect::HoldReply => f.write_str("HoldReply"),
            Effect::Delay(delay) => write!(f, "Delay({delay:?})"),
            Effect::Blackhole => f.write_str("Blackhole"),
            Effect::Rewrite(_) => f.write_str("Rewrite"),
        }
    }
}

impl Effect {
    /// [`Effect::Respond`].
    pub fn respond(status: u16, code: impl Into<String>, message: impl Into<String>) -> Effect {
        Effect::Respond { status, code: code.into(), message: message.into() }
    }

    /// [`Effect::Rewrite`].
    pub fn rewrite(change: impl Fn(Value) -> Value + Send + Sync + 'static) -> Effect {
        Effect::Rewrite(Arc::new(change))
    }
}

impl Fault {
    /// Affects the next call of an operation, once.
    pub fn new(operation: impl Into<String>, effect: Effect) -> Fault {
        Fault { operation: operation.into(), access_key: String::new(), skip: 0, times: 1, effect }
    }

    /// Affects only calls whose access key begins so.
    #[must_use]
    pub fn of(mut self, access_key: impl Into<String>) -> Fault {
        self.access_key = access_key.into();
        self
    }

    /// Lets this many calls pass before.
    #[must_use]
    pub fn skip(mut self, skip: usize) -> Fault {
        self.skip = skip;
        self
    }

    /// Affects this many calls.
    #[must_use]
    pub fn times(mut self, times: usize) -> Fault {
        self.times = times;
        self
    }

    /// Affects every call from now on.
    #[must_use]
    pub fn always(self) -> Fault {
        self.times(usize::MAX)
    }
}

impl AwsProxy {
    /// Starts a proxy before `upstream`, an `http://` URL.
    pub fn start(upstream: &str) -> Result<AwsProxy> {
        let upstream = upstream.trim_end_matches('/').to_owned();
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let addr = listener.local_addr()?;
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new()
            .name("aws-proxy".to_owned())
            .spawn(move || runtime.block_on(server::serve(listener, upstream, shared)))
            .context("cannot start the proxy")?;
        Ok(AwsProxy { addr, state, thread: Some(thread) })
    }

    /// The endpoint to give to callers.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Every call since the start or the last [`AwsProxy::clear`], as they arrived.
    pub fn calls(&self) -> Vec<Call> {
        self.state.calls()
    }

    /// The calls of one operation.
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        let mut calls = self.calls();
        calls.retain(|call| call.operation == operation);
        calls
    }

    /// Forgets the calls so far.
    pub fn clear(&self) {
        self.state.clear();
    }

    /// Adds a fault. Each counts the calls of its operation for itself, from
    /// now on; of those that are due, the one added first acts.
    pub fn fault(&self, fault: Fault) {
        self.state.add(fault);
    }

    /// Drops all faults. Answers that are held stay so until released.
    pub fn clear_faults(&self) {
        self.state.clear_faults();
    }

    /// Lets every answer go that [`Effect::HoldReply`] has kept back so far.
    pub fn release(&self) {
        self.state.release();
    }

    /// While true, every call is answered 503 and nothing is forwarded.
    pub fn unavailable(&self, unavailable: bool) {
        self.state.set_unavailable(unavailable);
    }
}

impl Drop for AwsProxy {
    fn drop(&mut self) {
        self.state.stop();
        if let Some(thread) = self.thread.take() {
            // A panic of the proxy has shown itself to its callers already.
            let _ = thread.join();
        }
    }
}
