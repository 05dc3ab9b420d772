//! What kube-leader-election 0.44 answers in five situations. It talks to a Lease in memory that behaves as the
//! API server does: a merge patch with a resourceVersion that is not the current one is a conflict, and one
//! without any is applied. Every case prints what was seen, and the program fails where that is not what
//! decision 12 says.

use std::{
    convert::Infallible,
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use kube_leader_election::{LeaseLock, LeaseLockParams, LeaseLockResult};
use serde_json::{Value, json};
use tokio::sync::Barrier;

type Outcome = Result<(), Box<dyn Error>>;

const LONG_AGO: &str = "2020-01-01T00:00:00.000000Z";
const FAR_AHEAD: &str = "2099-01-01T00:00:00.000000Z";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    two_candidates().await?;
    renewal_after_takeover().await?;
    release_after_takeover().await?;
    clock_of_a_dead_holder().await?;
    empty_spec().await
}

/// Both have read the expired Lease before either writes.
async fn two_candidates() -> Outcome {
    println!("1. Two candidates find one expired Lease");
    let server = Server::new(lease("dead", LONG_AGO));
    let both_have_read = Arc::new(Barrier::new(2));
    let hook = || {
        let barrier = Arc::clone(&both_have_read);
        Hook::Wait(barrier)
    };
    let (a, b) = (server.candidate("A", hook()), server.candidate("B", hook()));
    let (a, b) = tokio::join!(a.try_acquire_or_renew(), b.try_acquire_or_renew());
    let (a, b) = (told(&a?), told(&b?));
    println!("   A is told {a}; B is told {b}; the Lease names {}", server.holder());
    server.print_writes();
    ensure(a.starts_with("Acquired") && b.starts_with("Acquired"))
}

/// A's Lease ran out, and B took it between A's read and A's write.
async fn renewal_after_takeover() -> Outcome {
    println!("2. A renews, and B has taken over between A's read and A's write");
    let server = Server::new(lease("A", LONG_AGO));
    let a = server.candidate("A", Hook::TakenOverBy("B")).try_acquire_or_renew().await?;
    println!("   A is told {}", told(&a));
    server.print_writes();
    ensure(told(&a) == "Acquired, in a Lease that names B")
}

/// The same with A giving its Lease back.
async fn release_after_takeover() -> Outcome {
    println!("3. A steps down, and B has taken over between A's read and A's write");
    let server = Server::new(lease("A", LONG_AGO));
    let a = server.candidate("A", Hook::TakenOverBy("B")).step_down().await;
    println!("   A is told {a:?}; the Lease names {:?}: B's leadership is gone, and B is not told", server.holder());
    server.print_writes();
    ensure(a.is_ok() && server.holder().is_empty())
}

/// Nobody renews it, whoever waits for however long.
async fn clock_of_a_dead_holder() -> Outcome {
    println!("4. A dead holder's clock was ahead: its last renewTime is {FAR_AHEAD}");
    let server = Server::new(lease("dead", FAR_AHEAD));
    let a = server.candidate("A", Hook::None).try_acquire_or_renew().await?;
    println!("   A is told {}, and will be until then", told(&a));
    ensure(told(&a).starts_with("NotAcquired"))
}

/// Somebody has made the Lease beforehand, or emptied it.
async fn empty_spec() -> Outcome {
    println!("5. A Lease with an empty spec");
    let mut empty = lease("", LONG_AGO);
    empty["spec"] = json!({});
    let server = Server::new(empty);
    let a = server.candidate("A", Hook::None);
    for attempt in 1..=2 {
        match a.try_acquire_or_renew().await {
            Err(error) => println!("   attempt {attempt} fails: {error}"),
            Ok(_) => return Err("it was acquired".into()),
        }
    }
    Ok(())
}

/// An API server with one Lease.
#[derive(Clone)]
struct Server(Arc<Mutex<State>>);

struct State {
    lease: Value,
    version: u64,
    /// The patches, in order.
    writes: Vec<Value>,
}

/// What happens between a candidate's read and its write.
#[derive(Clone)]
enum Hook {
    None,
    /// The others read too.
    Wait(Arc<Barrier>),
    /// Another one takes the Lease.
    TakenOverBy(&'static str),
}

impl Server {
    fn new(lease: Value) -> Self {
        Self(Arc::new(Mutex::new(State { lease, version: 1, writes: Vec::new() })))
    }

    fn candidate(&self, name: &str, hook: Hook) -> LeaseLock {
        let server = self.clone();
        let service = tower::service_fn(move |request| {
            let (server, hook) = (server.clone(), hook.clone());
            async move { server.answer(request, hook).await }
        });
        let params =
            LeaseLockParams { lease_name: "leader".into(), holder_id: name.into(), lease_ttl: Duration::from_secs(15) };
        LeaseLock::new(kube::Client::new(service, "default"), "default", params)
    }

    async fn answer(&self, request: Request<Body>, hook: Hook) -> Result<Response<Full<bytes::Bytes>>, Infallible> {
        let reads = request.method() == Method::GET;
        let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
        let (code, answer) = match reads {
            true => {
                let read = self.with(State::read);
                match hook {
                    Hook::None => {}
                    Hook::Wait(barrier) => {
                        barrier.wait().await;
                    }
                    Hook::TakenOverBy(other) => {
                        self.with(|state| state.apply(&json!({ "spec": { "holderIdentity": other } })));
                    }
                }
                (StatusCode::OK, read)
            }
            false => self.with(|state| state.patch(serde_json::from_slice(&body).unwrap_or_default())),
        };
        let mut response = Response::new(Full::new(answer.to_string().into()));
        *response.status_mut() = code;
        Ok(response)
    }

    fn holder(&self) -> String {
        self.with(|state| state.lease["spec"]["holderIdentity"].as_str().unwrap_or_default().to_owned())
    }

    fn print_writes(&self) {
        self.with(|state| {
            for patch in &state.writes {
                let version = &patch["metadata"]["resourceVersion"];
                println!("   written: a merge patch with resourceVersion {version} and spec {}", patch["spec"]);
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl State {
    fn read(&mut self) -> Value {
        let mut lease = self.lease.clone();
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        lease
    }

    fn patch(&mut self, patch: Value) -> (StatusCode, Value) {
        let expected = patch["metadata"]["resourceVersion"].as_str();
        if expected.is_some_and(|expected| expected != self.version.to_string()) {
            let conflict = json!({ "kind": "Status", "status": "Failure", "reason": "Conflict", "code": 409 });
            return (StatusCode::CONFLICT, conflict);
        }
        self.apply(&patch);
        self.writes.push(patch);
        (StatusCode::OK, self.read())
    }

    fn apply(&mut self, patch: &Value) {
        merge(&mut self.lease, patch);
        self.version += 1;
    }
}

/// A JSON merge patch (RFC 7386).
fn merge(target: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    for (name, value) in fields {
        match value {
            Value::Null => drop(target.as_object_mut().and_then(|target| target.remove(name))),
            value => merge(&mut target[name], value),
        }
    }
}

fn lease(holder: &str, renewed: &str) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": { "name": "leader" },
        "spec": { "holderIdentity": holder, "acquireTime": renewed, "renewTime": renewed,
                  "leaseDurationSeconds": 15, "leaseTransitions": 1 },
    })
}

fn told(result: &LeaseLockResult) -> String {
    let word = match result {
        LeaseLockResult::Acquired(_) => "Acquired",
        LeaseLockResult::NotAcquired(_) => "NotAcquired",
    };
    let holder = result.lease().and_then(|lease| lease.spec.as_ref()?.holder_identity.as_deref());
    format!("{word}, in a Lease that names {}", holder.unwrap_or("nobody"))
}

fn ensure(seen: bool) -> Outcome {
    if seen { Ok(()) } else { Err("this is not what decision 12 says".into()) }
}
