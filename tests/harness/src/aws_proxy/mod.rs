//! A reverse proxy before an AWS emulator: a log of every call, and faults.
//!
//! It runs on a thread of its own, so that a test that blocks does not stop it,
//! and so that tests with different runtimes can share one. Bytes and headers
//! pass unchanged. Faults trigger on an operation's occurrence, never on time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context as _, Result};

mod server;
mod state;

pub use crate::aws_http::{Call, Effect, Fault};
use state::State;

/// A running proxy; dropped means that every connection is closed.
#[derive(Debug)]
pub struct AwsProxy {
    addr: SocketAddr,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
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
        self.state.log.calls()
    }

    /// The calls of one operation.
    pub fn calls_of(&self, operation: &str) -> Vec<Call> {
        self.state.log.calls_of(operation)
    }

    /// Forgets the calls so far.
    pub fn clear(&self) {
        self.state.log.clear();
    }

    /// Adds a fault. Each counts the calls of its operation for itself, from
    /// now on; of those that are due, the one added first acts.
    pub fn fault(&self, fault: Fault) {
        self.state.faults.add(fault);
    }

    /// Drops all faults. Answers that are held stay so until released.
    pub fn clear_faults(&self) {
        self.state.faults.clear();
    }

    /// Lets every answer go that [`Effect::HoldReply`] has kept back so far.
    pub fn release(&self) {
        self.state.faults.release();
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
