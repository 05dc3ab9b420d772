//! One test's world: a namespace, an AWS account behind a proxy of its own, and an operator that runs with
//! exactly the rights of deploy/.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
pub use fairlead_harness::conditions::{condition, is, message, observed, row};
use fairlead_harness::{
    aws_proxy::AwsProxy,
    cluster::Cluster,
    conditions::shown,
    emulator::Emulator,
    fake_aws::{FakeAws, InstanceState},
    operator::{Operator, OperatorSpec},
    sqs::rds_client,
    wait::eventually,
};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// How long anything may take, on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);
/// The region of all databases.
pub const REGION: &str = "eu-west-1";

/// Who answers as AWS.
#[derive(Clone, Copy, Debug)]
pub enum Aws {
    /// The harness's fake, which alone has a database's whole life.
    Fake,
    /// ministack.
    Ministack,
    /// moto.
    Moto,
}

/// One test's world.
pub struct World {
    /// The control plane, shared by the suite.
    pub cluster: &'static Cluster,
    /// Talks to it as an administrator.
    pub admin: Client,
    /// This test's namespace.
    pub namespace: String,
    /// This test's AWS account, of 12 digits.
    pub account: String,
    /// What stands between the operator and AWS.
    pub proxy: AwsProxy,
    /// AWS itself, where it is not the proxy.
    pub aws_url: String,
    fake: Option<FakeAws>,
    access_key: String,
    env: Vec<(String, String)>,
    leases: String,
    operator: Option<Operator>,
}

impl World {
    /// A world without an operator.
    pub async fn new(aws: Aws) -> Result<Self> {
        static ACCOUNTS: AtomicU64 = AtomicU64::new(310_000_000_001);
        let cluster = Cluster::shared().await?;
        cluster.install(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))).await?;
        let emulated = |emulator: &Emulator| {
            let account = emulator.account();
            (emulator.url(), account.access_key, account.id)
        };
        let mut fake = None;
        let (aws_url, access_key, account) = match aws {
            Aws::Fake => {
                let account = ACCOUNTS.fetch_add(1, Ordering::Relaxed).to_string();
                let url = fake.insert(FakeAws::start()?).url();
                (url, account.clone(), account)
            }
            Aws::Ministack => emulated(Emulator::shared_ministack().await?),
            Aws::Moto => emulated(Emulator::shared_moto().await?),
        };
        let namespace = cluster.namespace("rds").await?;
        let leases = cluster.lease_namespace().await?;
        let env = [
            ("FAIRLEAD_WATCH_NAMESPACES", namespace.as_str()),
            ("FAIRLEAD_NAMESPACE", leases.as_str()),
            ("FAIRLEAD_RESOURCE_NAME", "{namespace}-{name}"),
            ("RECONCILE_FREQUENCY_SECONDS", "1"),
            ("RUST_LOG", "info,fairlead=debug"),
        ];
        Ok(Self {
            cluster,
            admin: cluster.admin_client().await?,
            proxy: AwsProxy::start(&aws_url)?,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            operator: None,
            account,
            access_key,
            aws_url,
            fake,
            namespace,
            leases,
        })
    }

    /// A world with a ready operator.
    pub async fn start(aws: Aws) -> Result<Self> {
        let mut world = Self::new(aws).await?;
        world.start_operator().await?;
        Ok(world)
    }

    /// The same world with a variable of the operator set; before it starts.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.into(), value.into()));
        self
    }

    /// Starts the operator and waits until it is ready.
    pub async fn start_operator(&mut self) -> Result<()> {
        self.cluster.grant_leases(&self.leases, "fairlead").await?;
        let kubeconfig = self.cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
        let binary = env!("CARGO_BIN_EXE_fairlead");
        let spec = OperatorSpec::new(binary, kubeconfig, self.proxy.url(), &self.access_key).region(REGION);
        let spec = self.env.iter().fold(spec, |spec, (name, value)| spec.env(name, value));
        let operator = Operator::start(&spec)?;
        operator.ready(DEADLINE).await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// The running operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("no operator runs")
    }

    /// Kills the operator, as a crash would.
    pub fn kill_operator(&mut self) -> Result<()> {
        self.operator.take().context("no operator runs")?.kill()
    }

    /// The fake AWS.
    pub fn fake(&self) -> Result<&FakeAws> {
        self.fake.as_ref().context("this world is not on the fake")
    }

    /// A client of RDS as somebody else has it, who does not come by the proxy.
    pub fn rds(&self) -> aws_sdk_rds::Client {
        rds_client(&self.aws_url, &self.access_key, REGION)
    }

    /// The AWS name of the object `name`.
    pub fn aws_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// The instance of the object `name` at the fake, if there is one.
    pub fn instance(&self, name: &str) -> Result<Option<InstanceState>> {
        Ok(self.fake()?.instance(&self.account, REGION, &self.aws_name(name)))
    }

    /// All RDSInstances of the namespace.
    pub fn databases(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "RDSInstance");
        let resource = ApiResource::from_gvk_with_plural(&kind, "rdsinstances");
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    /// Creates an RDSInstance: a small PostgreSQL, with what `spec` says beside.
    pub async fn create(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        let mut whole = json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 });
        for (field, value) in spec.as_object().into_iter().flatten() {
            whole[field] = value.clone();
        }
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "RDSInstance",
            "metadata": { "name": name }, "spec": whole,
        });
        Ok(self.databases().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Changes an RDSInstance by a merge patch.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<DynamicObject> {
        Ok(self.databases().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Sets an annotation; null removes it.
    pub async fn annotate(&self, name: &str, annotation: &str, value: Value) -> Result<DynamicObject> {
        self.patch(name, json!({ "metadata": { "annotations": { annotation: value } } })).await
    }

    /// Changes an RDSInstance's spec, and waits until it is in sync with that.
    pub async fn set(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        self.patch(name, json!({ "spec": spec })).await?;
        self.in_sync(name).await
    }

    /// Asks for the deletion of an RDSInstance, and does not wait.
    pub async fn ask_deletion(&self, name: &str) -> Result<()> {
        self.databases().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Deletes an RDSInstance and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.ask_deletion(name).await?;
        self.gone(name).await
    }

    /// Waits until an RDSInstance is gone.
    pub async fn gone(&self, name: &str) -> Result<()> {
        self.eventually(&format!("{name} is gone"), async || match self.databases().get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(object)) => Err(shown(&object)),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Waits until an RDSInstance's status fits.
    pub async fn until(&self, name: &str, what: &str, fits: impl Fn(&DynamicObject) -> bool) -> Result<DynamicObject> {
        self.eventually(&format!("{name}: {what}"), async || match self.databases().get(name).await {
            Ok(object) if fits(&object) => Ok(object),
            Ok(object) => Err(shown(&object)),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Waits until an RDSInstance is ready, and in sync with its present generation.
    pub async fn in_sync(&self, name: &str) -> Result<DynamicObject> {
        self.until(name, "in sync", |object| {
            observed(object) && is(object, "Ready", "True") && is(object, "Synced", "True")
        })
        .await
    }

    /// Waits until a condition has this reason.
    pub async fn says(&self, name: &str, kind: &str, reason: &str) -> Result<DynamicObject> {
        self.until(name, &format!("{kind}: {reason}"), |object| condition(object, kind)["reason"] == reason).await
    }

    /// The RDSInstance as it is now.
    pub async fn object(&self, name: &str) -> Result<DynamicObject> {
        Ok(self.databases().get(name).await?)
    }

    /// All Secrets of the namespace.
    pub fn secrets(&self) -> Api<Secret> {
        Api::namespaced(self.admin.clone(), &self.namespace)
    }

    /// What a Secret holds, if it is there.
    pub async fn secret(&self, name: &str) -> Result<Option<BTreeMap<String, String>>> {
        let secret = self.secrets().get_opt(name).await?;
        let text = |bytes: k8s_openapi::ByteString| String::from_utf8_lossy(&bytes.0).into_owned();
        Ok(secret.map(|secret| secret.data.unwrap_or_default().into_iter().map(|(k, v)| (k, text(v))).collect()))
    }

    /// Waits until a Secret fits.
    pub async fn secret_until(
        &self,
        name: &str,
        what: &str,
        fits: impl Fn(&BTreeMap<String, String>) -> bool,
    ) -> Result<BTreeMap<String, String>> {
        self.eventually(&format!("the Secret {name}: {what}"), async || match self.secret(name).await {
            Ok(Some(data)) if fits(&data) => Ok(data),
            Ok(other) => Err(format!("keys {:?}", other.map(|data| data.into_keys().collect::<Vec<_>>()))),
            Err(error) => Err(format!("{error:#}")),
        })
        .await
    }

    /// Has the Secrets of an object read now, not in five minutes.
    pub async fn look_now(&self, name: &str) -> Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let stamp = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        self.annotate(name, "aws.fairlead.dev/reconcile-at", stamp.into()).await?;
        Ok(())
    }

    /// The names of the RDS operations called so far, in order.
    pub fn operations(&self) -> Vec<String> {
        self.proxy.calls().into_iter().filter(|call| call.service == "rds").map(|call| call.operation).collect()
    }

    /// Those of them that change something.
    pub fn writes(&self) -> Vec<String> {
        self.operations().into_iter().filter(|operation| !operation.starts_with("Describe")).collect()
    }

    /// Waits until so many further looks have been had at the databases of this world, and nothing was changed.
    pub async fn quiet(&self, looks: usize) -> Result<()> {
        let (before, writes) = (self.proxy.calls_of("DescribeDBInstances").len(), self.writes().len());
        let look = async || match self.proxy.calls_of("DescribeDBInstances").len() - before {
            seen if seen > looks => Ok(()),
            seen => Err(format!("{seen} looks")),
        };
        self.eventually("further looks", look).await?;
        ensure!(self.writes().len() == writes, "{:?}", &self.writes()[writes..]);
        Ok(())
    }

    /// The reasons of the events about an RDSInstance, in order.
    pub async fn events(&self, name: &str) -> Result<Vec<String>> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.admin.clone(), &self.namespace);
        let mut events = api.list(&Default::default()).await?.items;
        events.retain(|event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name)));
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        Ok(events.into_iter().filter_map(|event| event.reason).collect())
    }

    /// Waits until `look` answers; its error is what was seen instead.
    pub async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> Result<T> {
        eventually(what, DEADLINE, look).await.map_err(|error| match &self.operator {
            Some(operator) => operator.explain(error),
            None => error,
        })
    }
}
