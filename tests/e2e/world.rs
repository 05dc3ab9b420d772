//! One test's world: a namespace, an AWS account behind a proxy of its own, and an operator that
//! runs with exactly the rights of deploy/.

use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, anyhow};
pub use fairlead_harness::conditions::{condition, is, message, observed, row};
use fairlead_harness::{
    aws_proxy::AwsProxy,
    cluster::Cluster,
    conditions::shown,
    emulator::{Account, Emulator},
    fake_aws::FakeAws,
    operator::{Operator, OperatorSpec},
    sqs::sqs_client,
    wait::eventually,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

/// How long anything may take, on a slow machine.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// Which AWS emulator a test runs on.
#[derive(Clone, Copy, Debug)]
pub enum Aws {
    /// The harness's fake, which alone has databases.
    #[allow(dead_code, reason = "for suites that share this file")]
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
    /// This test's AWS account.
    pub account: Account,
    /// What stands between the operator and AWS.
    pub proxy: AwsProxy,
    /// The emulator itself.
    pub aws_url: String,
    /// Further variables of the operator.
    pub env: Vec<(String, String)>,
    /// Where the operator's Leases are: of this test alone, and not deleted with its objects.
    /// The namespace of its operators' Leases.
    pub leases: String,
    operator: Option<Operator>,
    _fake: Option<FakeAws>,
}

impl World {
    /// A world without an operator.
    pub async fn new(aws: Aws) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        cluster.install(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))).await?;
        let mut fake = None;
        let emulated = |emulator: &Emulator| (emulator.url(), emulator.account());
        let (aws_url, account) = match aws {
            // It takes an access key's account from the key.
            Aws::Fake => {
                let id = "310000000001".to_owned();
                (fake.insert(FakeAws::start()?).url(), Account { access_key: id.clone(), id })
            }
            Aws::Ministack => emulated(Emulator::shared_ministack().await?),
            Aws::Moto => emulated(Emulator::shared_moto().await?),
        };
        let namespace = cluster.namespace("e2e").await?;
        let leases = cluster.lease_namespace().await?;
        // Names are of this namespace alone, also where two tests share an account.
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
            account,
            proxy: AwsProxy::start(&aws_url)?,
            aws_url,
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            namespace,
            leases,
            operator: None,
            _fake: fake,
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
        let operator = self.launch("fairlead").await?;
        operator.ready(DEADLINE).await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// Starts an operator as this service account of `fairlead-system`, and does not wait.
    pub async fn launch(&self, account: &str) -> Result<Operator> {
        self.cluster.grant_leases(&self.leases, account).await?;
        self.launch_with(account).await
    }

    /// The same with the rights to Leases that it has already.
    pub async fn launch_with(&self, account: &str) -> Result<Operator> {
        let kubeconfig = self.cluster.service_account_kubeconfig("fairlead-system", account).await?;
        let binary = env!("CARGO_BIN_EXE_fairlead");
        let mut spec = OperatorSpec::new(binary, kubeconfig, self.proxy.url(), &self.account.access_key);
        for (name, value) in &self.env {
            spec = spec.env(name, value);
        }
        Operator::start(&spec)
    }

    /// The running operator.
    pub fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("no operator runs")
    }

    /// Kills the operator, as a crash would.
    pub fn kill_operator(&mut self) -> Result<()> {
        self.operator.take().context("no operator runs")?.kill()
    }

    /// The AWS name of the object `name`.
    pub fn aws_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Another AWS client than the operator's, not through the proxy.
    pub fn sqs(&self) -> aws_sdk_sqs::Client {
        sqs_client(&self.aws_url, &self.account.access_key, "eu-west-1")
    }

    /// All SQSQueues of the namespace.
    pub fn queues(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "SQSQueue");
        let resource = ApiResource::from_gvk_with_plural(&kind, "sqsqueues");
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    /// All RDSInstances of the namespace.
    #[allow(dead_code, reason = "for suites that share this file")]
    pub fn databases(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "RDSInstance");
        let resource = ApiResource::from_gvk_with_plural(&kind, "rdsinstances");
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    /// Creates an SQSQueue.
    pub async fn create(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
            "metadata": { "name": name }, "spec": spec,
        });
        Ok(self.queues().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Changes an SQSQueue by a merge patch.
    pub async fn patch(&self, name: &str, patch: Value) -> Result<DynamicObject> {
        Ok(self.queues().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    /// Deletes an SQSQueue and waits until it is gone.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.queues().delete(name, &DeleteParams::default()).await?;
        self.gone(name).await
    }

    /// Waits until an SQSQueue is gone.
    pub async fn gone(&self, name: &str) -> Result<()> {
        let look = async || match self.queues().get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(object)) => Err(shown(&object)),
            Err(error) => Err(error.to_string()),
        };
        self.explained(eventually(&format!("{name} is gone"), DEADLINE, look).await)
    }

    /// Waits until an SQSQueue's status fits.
    pub async fn until(&self, name: &str, what: &str, fits: impl Fn(&DynamicObject) -> bool) -> Result<DynamicObject> {
        let look = async || match self.queues().get(name).await {
            Ok(object) if fits(&object) => Ok(object),
            Ok(object) => Err(shown(&object)),
            Err(error) => Err(error.to_string()),
        };
        self.explained(eventually(&format!("{name}: {what}"), DEADLINE, look).await)
    }

    /// Waits until an SQSQueue is in sync with its present generation.
    pub async fn in_sync(&self, name: &str) -> Result<DynamicObject> {
        self.until(name, "in sync", |object| {
            observed(object) && is(object, "Ready", "True") && is(object, "Synced", "True")
        })
        .await
    }

    /// The URL of the queue in AWS, if there is one.
    pub async fn queue_url(&self, aws_name: &str) -> Result<Option<String>> {
        match self.sqs().get_queue_url().queue_name(aws_name).send().await {
            Ok(found) => Ok(found.queue_url),
            Err(error) if error.as_service_error().is_some_and(|e| e.is_queue_does_not_exist()) => Ok(None),
            Err(error) => Err(anyhow!("{error:?}")),
        }
    }

    /// The queue's attributes in AWS, by their AWS names.
    pub async fn attributes(&self, aws_name: &str) -> Result<std::collections::BTreeMap<String, String>> {
        let url = self.queue_url(aws_name).await?.with_context(|| format!("there is no queue {aws_name}"))?;
        let all = aws_sdk_sqs::types::QueueAttributeName::All;
        let answer = self.sqs().get_queue_attributes().queue_url(url).attribute_names(all).send().await?;
        let attributes = answer.attributes.unwrap_or_default();
        Ok(attributes.into_iter().map(|(name, value)| (name.as_str().to_owned(), value)).collect())
    }

    /// The queue's tags in AWS.
    pub async fn tags(&self, aws_name: &str) -> Result<std::collections::BTreeMap<String, String>> {
        let url = self.queue_url(aws_name).await?.with_context(|| format!("there is no queue {aws_name}"))?;
        let answer = self.sqs().list_queue_tags().queue_url(url).send().await?;
        Ok(answer.tags.unwrap_or_default().into_iter().collect())
    }

    /// Makes the object be reconciled now, and waits until its resource was looked at.
    pub async fn reconcile_now(&self, name: &str) -> Result<()> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let before = self.proxy.calls().len();
        let stamp = COUNT.fetch_add(1, Ordering::Relaxed).to_string();
        self.patch(name, json!({ "metadata": { "annotations": { "aws.fairlead.dev/reconcile-at": stamp } } })).await?;
        let look = async || match self.proxy.calls().len() > before {
            true => Ok(()),
            false => Err("no AWS call".to_owned()),
        };
        self.explained(eventually(&format!("{name} is reconciled"), DEADLINE, look).await)
    }

    /// The names of the AWS operations called so far, in order.
    pub fn operations(&self) -> Vec<String> {
        self.proxy.calls().into_iter().filter(|call| call.service == "sqs").map(|call| call.operation).collect()
    }

    /// The reasons of the events about an SQSQueue, in order.
    pub async fn events(&self, name: &str) -> Result<Vec<String>> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.admin.clone(), &self.namespace);
        let mut events = api.list(&Default::default()).await?.items;
        events.retain(|event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name)));
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        Ok(events.into_iter().filter_map(|event| event.reason).collect())
    }

    fn explained<T>(&self, outcome: Result<T>) -> Result<T> {
        outcome.map_err(|error| match &self.operator {
            Some(operator) => operator.explain(error),
            None => error,
        })
    }
}

impl World {
    /// Changes an SQSQueue's spec, and waits until it is in sync with that.
    pub async fn set(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        self.patch(name, json!({ "spec": spec })).await?;
        self.in_sync(name).await
    }

    /// Waits until `look` answers; its error is what was seen instead.
    pub async fn eventually<T>(&self, what: &str, look: impl AsyncFnMut() -> Result<T, String>) -> Result<T> {
        self.explained(eventually(what, DEADLINE, look).await)
    }

    /// Waits until an attribute of a queue has this value in AWS; "" stands for one that is not set.
    pub async fn until_attribute(&self, aws_name: &str, attribute: &str, value: &str) -> Result<()> {
        let look = async || match self.attributes(aws_name).await {
            Ok(all) if all.get(attribute).map_or("", String::as_str) == value => Ok(()),
            Ok(all) => Err(format!("{all:?}")),
            Err(error) => Err(format!("{error:#}")),
        };
        self.eventually(&format!("{attribute} = {value:?}"), look).await
    }

    /// Waits until so many further looks at the only resource of this world are over, with all that
    /// follows from them.
    pub async fn resyncs(&self, count: usize) -> Result<()> {
        // The look after the last one begins when that one's reconcile has ended.
        let enough = self.proxy.calls_of("GetQueueAttributes").len() + count + 1;
        let look = async || match self.proxy.calls_of("GetQueueAttributes").len() {
            looks if looks >= enough => Ok(()),
            looks => Err(format!("{looks} looks of {enough}")),
        };
        self.eventually("resyncs", look).await
    }

    /// A world with a ready operator that looks at a resource by itself once an hour.
    pub async fn quiet(aws: Aws) -> Result<Self> {
        let mut world = Self::new(aws).await?.env("RECONCILE_FREQUENCY_SECONDS", "3600");
        world.start_operator().await?;
        Ok(world)
    }

    /// Changes an attribute of a queue behind the operator's back.
    pub async fn drift(&self, aws_name: &str, attribute: &str, value: &str) -> Result<()> {
        let url = self.queue_url(aws_name).await?.with_context(|| format!("there is no queue {aws_name}"))?;
        self.sqs().set_queue_attributes().queue_url(url).attributes(attribute.into(), value).send().await?;
        Ok(())
    }

    /// Waits until the events about an SQSQueue have these reasons, in order.
    pub async fn told(&self, name: &str, reasons: &[&str]) -> Result<()> {
        let look = async || match self.events(name).await {
            Ok(told) if told == reasons => Ok(()),
            other => Err(format!("{other:?}")),
        };
        self.eventually(&format!("{name}: the events {reasons:?}"), look).await
    }

    /// Has a resource looked at until its tags have been read, which is at every tenth look.
    pub async fn read_tags(&self, name: &str) -> Result<()> {
        let before = self.proxy.calls_of("ListQueueTags").len();
        for _ in 0..20 {
            if self.proxy.calls_of("ListQueueTags").len() > before {
                return Ok(());
            }
            self.reconcile_now(name).await?;
        }
        Err(anyhow!("twenty looks, and the tags were not read: {:?}", self.operations()))
    }

    /// The notes of the events about an SQSQueue that have this reason.
    pub async fn notes(&self, name: &str, reason: &str) -> Result<Vec<String>> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.admin.clone(), &self.namespace);
        let mut events = api.list(&Default::default()).await?.items;
        events.retain(|event| event.reason.as_deref() == Some(reason));
        events.retain(|event| event.regarding.as_ref().is_some_and(|object| object.name.as_deref() == Some(name)));
        Ok(events.into_iter().filter_map(|event| event.note).collect())
    }
}
