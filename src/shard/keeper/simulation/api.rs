//! The API server: Leases with versions, as little of HTTP as the client needs, and what it has seen of work.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::body::Body as Answer;
use futures::StreamExt as _;
use http::{Method, Request, Response};
use kube::{Client, client::Body};
use serde_json::{Value, json};
use tokio::{
    sync::broadcast,
    time::{Instant, sleep},
};

/// Old states that reads may still show.
const HISTORY: usize = 40;

/// The API server, and who watches over the replicas.
pub(super) struct Api(Mutex<World>);

struct World {
    version: u64,
    leases: BTreeMap<String, Value>,
    history: VecDeque<(u64, BTreeMap<String, Value>)>,
    watchers: broadcast::Sender<Value>,
    rng: fastrand::Rng,
    work: BTreeMap<u8, Work>,
    turns: usize,
    wrong: Option<String>,
    log: VecDeque<String>,
    begun: Instant,
}

/// The last that was done in a shard.
struct Work {
    epoch: u64,
    replica: String,
    at: Instant,
}

/// How a replica reaches the server.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Link {
    /// Not at all.
    pub cut: bool,
    /// Its requests, and the answers, each take up to this long.
    pub slow: Duration,
    /// Of a hundred requests, so many are lost, as are so many answers, and so many writes are done much later.
    pub loss: u8,
    /// Of a hundred reads, so many are old.
    pub old: u8,
}

/// What becomes of one request.
enum Fate {
    Lost,
    AnswerLost,
    Late(Duration),
    Well,
}

impl Api {
    pub(super) fn new(seed: u64) -> Self {
        let (watchers, _) = broadcast::channel(256);
        Self(Mutex::new(World {
            version: 10,
            leases: BTreeMap::new(),
            history: VecDeque::new(),
            watchers,
            rng: fastrand::Rng::with_seed(seed ^ 0xa91),
            work: BTreeMap::new(),
            turns: 0,
            wrong: None,
            log: VecDeque::new(),
            begun: Instant::now(),
        }))
    }

    fn world(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// A client that reaches the server by a link.
    pub(super) fn client(self: &Arc<Self>, link: Arc<Mutex<Link>>) -> Client {
        let api = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (api, link) = (api.clone(), link.clone());
            async move { Ok::<_, tower::BoxError>(api.receive(request, &link).await) }
        });
        Client::new(service, "sim")
    }

    /// A request on its way, and its answer.
    async fn receive(self: Arc<Self>, request: Request<Body>, link: &Mutex<Link>) -> Response<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap_or_default();
        let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let state = *link.lock().unwrap();
        let (fate, there, back) = self.world().fate(state);
        let never = std::future::pending::<Response<Answer>>;
        if state.cut {
            return never().await;
        }
        sleep(there).await;
        let (method, uri) = (parts.method, parts.uri);
        match fate {
            Fate::Lost => return never().await,
            Fate::Late(after) if method != Method::GET => {
                tokio::spawn(async move {
                    sleep(after).await;
                    self.world().answer(&method, &uri, &body, 0);
                });
                return never().await;
            }
            _ => {}
        }
        if uri.query().is_some_and(|query| query.contains("watch=true")) {
            return self.watch(uri.query().unwrap_or_default());
        }
        let answer = self.world().answer(&method, &uri, &body, state.old);
        if matches!(fate, Fate::AnswerLost) {
            return never().await;
        }
        sleep(back).await;
        if link.lock().unwrap().cut {
            return never().await;
        }
        answer
    }

    /// A watch from now on, which may begin with a gap that the client is told of, and breaks at some time.
    fn watch(&self, _: &str) -> Response<Answer> {
        let mut world = self.world();
        if world.rng.u8(..100) < 5 {
            return failure(410, "Expired", "too old resource version");
        }
        let (events, lasts) = (world.watchers.subscribe(), world.rng.u64(1..60));
        let events = futures::stream::unfold(events, |mut events| async {
            let event = events.recv().await.ok()?;
            Some((Ok::<_, std::convert::Infallible>(format!("{event}\n")), events))
        });
        Response::new(Answer::from_stream(events.take_until(Box::pin(sleep(Duration::from_secs(lasts))))))
    }

    /// Somebody edits a Lease by hand.
    pub(super) fn edit(&self, name: &str, edit: impl FnOnce(&mut Value)) {
        let mut world = self.world();
        if let Some(mut lease) = world.leases.get(name).cloned() {
            edit(&mut lease);
            world.note(format!("by hand: {name}: {}", lease["spec"]["holderIdentity"]));
            world.store(name, lease);
        }
    }

    /// Somebody deletes a Lease by hand.
    pub(super) fn delete(&self, name: &str) {
        let mut world = self.world();
        world.note(format!("by hand: {name} is deleted"));
        world.remove(name);
    }

    /// A Lease as it was some versions ago.
    pub(super) fn earlier(&self, name: &str) -> Option<Value> {
        self.world().history.front()?.1.get(name).cloned()
    }

    /// Work is done in a shard.
    pub(super) fn work(&self, shard: u8, epoch: u64, replica: &str) {
        let mut world = self.world();
        let now = Instant::now();
        let before = world.work.insert(shard, Work { epoch, replica: replica.into(), at: now });
        if let Some(before) = before {
            if epoch < before.epoch || (epoch == before.epoch && replica != before.replica) {
                let why = format!(
                    "shard {shard}: {replica} works in {epoch}, after {} in {}\n{}",
                    before.replica,
                    before.epoch,
                    world.log.iter().cloned().collect::<Vec<_>>().join("\n")
                );
                world.wrong.get_or_insert(why);
            }
            if epoch != before.epoch {
                world.turns += 1;
                world.note(format!("shard {shard}: {replica} works in {epoch}"));
            }
        }
    }

    /// Whether nothing wrong was seen.
    pub(super) fn verdict(&self) -> Result<(), String> {
        self.world().wrong.clone().map_or(Ok(()), Err)
    }

    /// How often a shard has changed its leader.
    pub(super) fn turns(&self) -> usize {
        self.world().turns
    }

    /// Whether in each shard something was done lately.
    pub(super) fn all_worked_on(&self, shards: u8, lately: Duration) -> bool {
        let world = self.world();
        (0..shards).all(|shard| world.work.get(&shard).is_some_and(|work| work.at.elapsed() < lately))
    }

    pub(super) fn note(&self, what: String) {
        self.world().note(what);
    }

    /// What has happened, and how the Leases are.
    pub(super) fn tell(&self) -> String {
        let world = self.world();
        let leases =
            world.leases.values().map(|lease| lease["metadata"]["name"].to_string() + &lease["spec"].to_string());
        world.log.iter().cloned().chain(leases).collect::<Vec<_>>().join("\n")
    }
}

impl World {
    fn note(&mut self, what: String) {
        let at = self.begun.elapsed().as_secs_f64();
        self.log.push_back(format!("{at:8.3} {what}"));
        if self.log.len() > 60 {
            self.log.pop_front();
        }
    }

    fn fate(&mut self, link: Link) -> (Fate, Duration, Duration) {
        let mut time = |most: Duration| Duration::from_micros(self.rng.u64(0..=1_000 + most.as_micros() as u64));
        let (there, back) = (time(link.slow), time(link.slow));
        let fate = match self.rng.u8(..100) {
            chance if chance < link.loss => Fate::Lost,
            chance if chance < link.loss.saturating_mul(2) => Fate::AnswerLost,
            chance if chance < link.loss.saturating_mul(3) => {
                Fate::Late(Duration::from_millis(self.rng.u64(100..20_000)))
            }
            _ => Fate::Well,
        };
        (fate, there, back)
    }

    fn answer(&mut self, method: &Method, uri: &http::Uri, body: &Value, old: u8) -> Response<Answer> {
        if !uri.path().contains("/leases") {
            return success(201, body.clone());
        }
        let name = uri.path().split("/leases/").nth(1).map(str::to_owned);
        match (method.as_str(), name) {
            ("GET", None) => self.list(old),
            ("POST", None) => self.create(body.clone()),
            ("PUT", Some(name)) => self.replace(&name, body.clone()),
            ("DELETE", Some(name)) => match self.remove(&name) {
                true => success(200, json!({ "kind": "Status", "apiVersion": "v1", "status": "Success" })),
                false => failure(404, "NotFound", "not found"),
            },
            _ => failure(405, "MethodNotAllowed", "the simulation has no such request"),
        }
    }

    fn list(&mut self, old: u8) -> Response<Answer> {
        let is_old = self.rng.u8(..100) < old && !self.history.is_empty();
        let (version, leases) = match is_old {
            true => self.history[self.rng.usize(..self.history.len())].clone(),
            false => (self.version, self.leases.clone()),
        };
        let items: Vec<_> = leases.into_values().collect();
        let list = json!({
            "kind": "LeaseList", "apiVersion": "coordination.k8s.io/v1",
            "metadata": { "resourceVersion": version.to_string() }, "items": items,
        });
        success(200, list)
    }

    fn create(&mut self, mut lease: Value) -> Response<Answer> {
        let name = lease["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        if self.leases.contains_key(&name) {
            return failure(409, "AlreadyExists", "already exists");
        }
        lease["metadata"]["uid"] = json!(format!("uid-{}", self.version));
        lease["metadata"]["namespace"] = json!("sim");
        success(201, self.store(&name, lease))
    }

    fn replace(&mut self, name: &str, lease: Value) -> Response<Answer> {
        let Some(current) = self.leases.get(name) else { return failure(409, "Conflict", "the uid is of none") };
        let same = |field: &str| current["metadata"][field] == lease["metadata"][field];
        if !same("uid") || !same("resourceVersion") {
            return failure(409, "Conflict", "the object has been modified");
        }
        if current["spec"] == lease["spec"] && current["metadata"]["annotations"] == lease["metadata"]["annotations"] {
            return success(200, current.clone());
        }
        success(200, self.store(name, lease))
    }

    fn store(&mut self, name: &str, mut lease: Value) -> Value {
        self.history.push_back((self.version, self.leases.clone()));
        if self.history.len() > HISTORY {
            self.history.pop_front();
        }
        let kind = if self.leases.contains_key(name) { "MODIFIED" } else { "ADDED" };
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        lease["kind"] = json!("Lease");
        lease["apiVersion"] = json!("coordination.k8s.io/v1");
        self.leases.insert(name.into(), lease.clone());
        // Without watchers nobody hears it.
        let _ = self.watchers.send(json!({ "type": kind, "object": lease }));
        lease
    }

    fn remove(&mut self, name: &str) -> bool {
        let Some(mut lease) = self.leases.get(name).cloned() else { return false };
        self.history.push_back((self.version, self.leases.clone()));
        self.version += 1;
        lease["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.leases.remove(name);
        let _ = self.watchers.send(json!({ "type": "DELETED", "object": lease }));
        true
    }
}

fn success(code: u16, body: Value) -> Response<Answer> {
    Response::builder().status(code).body(Answer::from(body.to_string())).unwrap()
}

fn failure(code: u16, reason: &str, message: &str) -> Response<Answer> {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message,
    });
    success(code, status)
}
