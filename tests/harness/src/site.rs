//! Many queues on the fake AWS, and what becomes of them: for the load tests and the benchmarks.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _};
use kube::api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::core::GroupVersionKind;
use kube::runtime::watcher;
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::cluster::Cluster;
use crate::fake_aws::FakeAws;
use crate::operator::{Operator, OperatorSpec};
use crate::wait::eventually;

/// How many requests to the API server are under way at once.
const AT_ONCE: usize = 32;

/// A namespace, a fake AWS of its own, and an operator that acts between them.
pub struct Site {
    /// The control plane, shared by the process.
    pub cluster: &'static Cluster,
    /// The namespace.
    pub namespace: String,
    /// AWS.
    pub fake: FakeAws,
    /// The operator's AWS account.
    pub account: String,
    /// The namespace of its operators' Leases.
    pub leases: String,
    admin: Client,
    binary: PathBuf,
    env: Vec<(String, String)>,
    operator: Option<Operator>,
    seen: Arc<Mutex<HashMap<String, Seen>>>,
    watch: JoinHandle<()>,
}

/// What the watch has seen of an object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// When its condition Ready was first true.
    pub ready: Option<Instant>,
    /// The object as it was last seen.
    pub object: Value,
}

impl Drop for Site {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

impl Site {
    /// A site with the kinds of the deploy directory, and no operator yet; `binary` is what it will run.
    pub async fn new(deploy: &Path, binary: &Path) -> Result<Site> {
        Site::on(Cluster::shared().await?, deploy, binary).await
    }

    /// The same on a control plane that not everybody shares.
    pub async fn on(cluster: &'static Cluster, deploy: &Path, binary: &Path) -> Result<Site> {
        cluster.install(deploy).await?;
        let namespace = cluster.namespace("load").await?;
        let leases = cluster.lease_namespace().await?;
        cluster.grant_leases(&leases, "fairlead").await?;
        let admin = cluster.admin_client().await?;
        let seen = Arc::default();
        let watch = tokio::spawn(follow(queues(&admin, &namespace), Arc::clone(&seen)));
        let env = [
            ("FAIRLEAD_WATCH_NAMESPACES", namespace.as_str()),
            ("FAIRLEAD_NAMESPACE", leases.as_str()),
            ("RUST_LOG", "info"),
        ];
        Ok(Site {
            cluster,
            account: "111122223333".to_owned(),
            fake: FakeAws::start()?,
            admin,
            binary: binary.to_owned(),
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            operator: None,
            seen,
            watch,
            namespace,
            leases,
        })
    }

    /// The same with a variable of the operator set; before it starts.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Site {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Starts the operator, and does not wait. Answers when it was started.
    pub async fn start(&mut self) -> Result<Instant> {
        let kubeconfig = self.cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
        let spec = self.spec(&kubeconfig, &self.fake.url());
        let started = Instant::now();
        self.operator = Some(Operator::start(&spec)?);
        Ok(started)
    }

    /// How an operator of this site is started.
    pub fn spec(&self, kubeconfig: &Path, aws_endpoint: &str) -> OperatorSpec {
        let spec = OperatorSpec::new(&self.binary, kubeconfig, aws_endpoint, &self.account);
        self.env.iter().fold(spec, |spec, (name, value)| spec.env(name, value))
    }

    /// The running operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("no operator runs")
    }

    /// Takes the operator away, running or not.
    pub fn take_operator(&mut self) -> Result<Operator> {
        self.operator.take().context("no operator runs")
    }

    /// The SQSQueues of the namespace.
    pub fn queues(&self) -> Api<DynamicObject> {
        queues(&self.admin, &self.namespace)
    }

    /// The objects of another kind in the namespace.
    pub fn objects(&self, kind: &str, plural: &str) -> Api<DynamicObject> {
        objects(&self.admin, &self.namespace, kind, plural)
    }

    /// Talks to the control plane as an administrator.
    pub fn admin(&self) -> Client {
        self.admin.clone()
    }

    /// Creates SQSQueues of one spec.
    pub async fn create(&self, names: impl IntoIterator<Item = String>, spec: Value) -> Result<()> {
        let api = queues(&self.admin, &self.namespace);
        let make = |name: String| {
            let (api, spec) = (api.clone(), spec.clone());
            async move {
                let object = json!({
                    "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
                    "metadata": { "name": name }, "spec": spec,
                });
                api.create(&PostParams::default(), &serde_json::from_value(object)?).await?;
                anyhow::Ok(())
            }
        };
        futures::stream::iter(names.into_iter().map(make)).buffer_unordered(AT_ONCE).try_collect().await
    }

    /// Changes the spec of an SQSQueue.
    pub async fn change(&self, name: &str, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        queues(&self.admin, &self.namespace).patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Asks for the deletion of SQSQueues, and does not wait.
    pub async fn delete(&self, names: impl IntoIterator<Item = String>) -> Result<()> {
        let api = queues(&self.admin, &self.namespace);
        let delete = |name: String| {
            let api = api.clone();
            async move { api.delete(&name, &DeleteParams::default()).await.map(drop) }
        };
        let deletions = futures::stream::iter(names.into_iter().map(delete));
        Ok(deletions.buffer_unordered(AT_ONCE).try_collect().await?)
    }

    /// What was seen of an object.
    pub fn seen(&self, name: &str) -> Option<Seen> {
        self.all_seen().get(name).cloned()
    }

    /// How many objects there are whose names begin so.
    pub fn count(&self, prefix: &str) -> usize {
        self.all_seen().keys().filter(|name| name.starts_with(prefix)).count()
    }

    /// How many of them have been ready.
    pub fn ready(&self, prefix: &str) -> usize {
        let seen = self.all_seen();
        seen.iter().filter(|(name, seen)| name.starts_with(prefix) && seen.ready.is_some()).count()
    }

    /// Waits until so many objects whose names begin so have been ready: when the last one became so.
    pub async fn until_ready(&self, prefix: &str, count: usize, deadline: Duration) -> Result<Instant> {
        let what = format!("{count} queues {prefix}* to be ready");
        self.until(&what, deadline, || match self.ready(prefix) {
            ready if ready >= count => Ok(()),
            ready => Err(format!("{ready} are")),
        })
        .await?;
        let seen = self.all_seen();
        let times = seen.iter().filter(|(name, _)| name.starts_with(prefix)).filter_map(|(_, seen)| seen.ready);
        times.max().context("none was ready")
    }

    /// Waits until no object is left whose name begins so.
    pub async fn until_gone(&self, prefix: &str, deadline: Duration) -> Result<()> {
        self.until(&format!("{prefix}* to be gone"), deadline, || match self.count(prefix) {
            0 => Ok(()),
            left => Err(format!("{left} are left")),
        })
        .await
    }

    /// Waits until `check` answers; its error is what was seen instead.
    pub async fn until<T>(&self, what: &str, deadline: Duration, check: impl Fn() -> Result<T, String>) -> Result<T> {
        let outcome = eventually(what, deadline, async || check()).await;
        outcome.map_err(|error| match &self.operator {
            Some(operator) => operator.explain(error),
            None => error,
        })
    }

    /// The value of a metric whose line begins so, labels included.
    pub async fn metric(&self, begins: &str) -> Result<Option<f64>> {
        let text = self.operator()?.metrics().await?;
        let line = text.lines().find(|line| line.starts_with(begins));
        line.and_then(|line| line.rsplit(' ').next()).map(|value| Ok(value.parse()?)).transpose()
    }

    /// Everything that was seen and is not gone, by name.
    pub fn all_seen(&self) -> std::sync::MutexGuard<'_, HashMap<String, Seen>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The reason of a condition, empty where it is absent.
pub fn reason<'a>(object: &'a Value, kind: &str) -> &'a str {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    let condition = conditions.iter().find(|condition| condition["type"] == kind);
    condition.and_then(|condition| condition["reason"].as_str()).unwrap_or_default()
}

fn queues(client: &Client, namespace: &str) -> Api<DynamicObject> {
    objects(client, namespace, "SQSQueue", "sqsqueues")
}

fn objects(client: &Client, namespace: &str, kind: &str, plural: &str) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", kind);
    Api::namespaced_with(client.clone(), namespace, &ApiResource::from_gvk_with_plural(&kind, plural))
}

async fn follow(api: Api<DynamicObject>, seen: Arc<Mutex<HashMap<String, Seen>>>) {
    let mut events = std::pin::pin!(watcher(api, watcher::Config::default()));
    while let Some(event) = events.next().await {
        let now = Instant::now();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Ok(watcher::Event::Apply(object) | watcher::Event::InitApply(object)) => {
                let name = object.name_any();
                let before = seen.get(&name).and_then(|seen: &Seen| seen.ready);
                let ready = before.or_else(|| is_ready(&object.data).then_some(now));
                let mut data = object.data;
                data["metadata"] = json!({ "generation": object.metadata.generation });
                seen.insert(name, Seen { ready, object: data });
            }
            Ok(watcher::Event::Delete(object)) => drop(seen.remove(&object.name_any())),
            // Its own backoff goes on.
            Ok(watcher::Event::Init | watcher::Event::InitDone) | Err(_) => {}
        }
    }
}

fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
    conditions.iter().any(|condition| condition["type"] == "Ready" && condition["status"] == "True")
}
