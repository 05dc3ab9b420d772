//! One test's world: a namespace, a fake of AWS with a door for each who calls, an operator that the pod proxy reaches,
//! and the command line as another person.

use std::{
    net::{SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
pub use fairlead_harness::conditions::{condition, is, observed};
use fairlead_harness::{
    cluster::Cluster,
    conditions::shown,
    fake_aws::{Call, FakeAws},
    operator::{Operator, OperatorSpec},
    ports::Port,
    tcp_proxy::TcpProxy,
    wait::eventually,
};
use kube::{
    Api, Client,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

pub const DEADLINE: Duration = Duration::from_secs(60);
pub const REGION: &str = "eu-west-1";
const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");
/// The pod that the operator is said to be.
const POD: &str = "fairlead-a";

pub struct World {
    pub cluster: &'static Cluster,
    pub admin: Client,
    pub namespace: String,
    pub leases: String,
    pub account: String,
    pub fake: FakeAws,
    /// The operator's way to AWS.
    pub way: TcpProxy,
    /// That of the command line.
    cli: SocketAddr,
    port: Port,
    /// Where the pod proxy reaches this machine; it goes to no loopback address.
    pub address: Option<String>,
    operator: Option<Operator>,
}

/// What a command came to.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl World {
    pub async fn new() -> Result<Self> {
        static ACCOUNTS: AtomicU64 = AtomicU64::new(410_000_000_001);
        let cluster = Cluster::shared().await?;
        cluster.install(Path::new(DEPLOY)).await?;
        let fake = FakeAws::start()?;
        // Nothing is sent: this only looks up which address would be used.
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        let address =
            socket.connect("192.0.2.1:9").ok().and_then(|()| Some(socket.local_addr().ok()?.ip().to_string()));
        Ok(Self {
            cluster,
            admin: cluster.admin_client().await?,
            namespace: cluster.namespace("shop").await?,
            leases: cluster.lease_namespace().await?,
            account: ACCOUNTS.fetch_add(1, Ordering::Relaxed).to_string(),
            way: TcpProxy::start(fake.door("operator")?)?,
            cli: fake.door("cli")?,
            fake,
            port: Port::reserve()?,
            address,
            operator: None,
        })
    }

    /// A world with an operator that is ready.
    pub async fn start() -> Result<Self> {
        let mut world = Self::new().await?;
        world.start_operator(&[]).await?;
        Ok(world)
    }

    pub async fn start_operator(&mut self, env: &[(&str, &str)]) -> Result<()> {
        self.cluster.grant_leases(&self.leases, "fairlead").await?;
        let kubeconfig = self.cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
        let endpoint = format!("http://{}", self.way.addr());
        let metrics = format!("0.0.0.0:{}", self.port.number());
        let mut spec = OperatorSpec::new(env!("CARGO_BIN_EXE_fairlead"), kubeconfig, endpoint, &self.account)
            .region(REGION)
            .env("FAIRLEAD_WATCH_NAMESPACES", &self.namespace)
            .env("FAIRLEAD_NAMESPACE", &self.leases)
            .env("FAIRLEAD_RESOURCE_NAME", "{namespace}-{name}")
            .env("FAIRLEAD_IDENTITY", POD)
            .env("FAIRLEAD_METRICS_ADDR", metrics)
            .env("RECONCILE_FREQUENCY_SECONDS", "3600");
        for (name, value) in env {
            spec = spec.env(*name, *value);
        }
        let operator = Operator::start(&spec)?;
        operator.ready(DEADLINE).await?;
        self.operator = Some(operator);
        if let Some(ip) = &self.address {
            self.pod(ip).await?;
        }
        Ok(())
    }

    pub fn kill_operator(&mut self) -> Result<()> {
        self.operator.take().context("no operator")?.kill()
    }

    /// A pod at the address at which the operator serves.
    async fn pod(&self, ip: &str) -> Result<()> {
        let restricted = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": POD, "namespace": self.leases, "labels": { "app.kubernetes.io/name": "fairlead" } },
            "spec": {
                "containers": [{ "name": "fairlead", "image": "fairlead", "securityContext": restricted }],
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            },
        });
        let made = eventually("the pod", DEADLINE, async || {
            self.cluster.kubectl_apply(&pod.to_string()).await.map_err(|error| error.to_string())
        });
        made.await?;
        let status = json!({ "status": { "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] } }).to_string();
        let patch = ["patch", "pod", POD, "--namespace", &self.leases, "--subresource=status", "-p", &status];
        self.cluster.kubectl(&patch).await.map(drop)
    }

    pub fn api(&self, kind: &str) -> Api<DynamicObject> {
        let plural = format!("{}s", kind.to_lowercase());
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &plural);
        Api::namespaced_with(self.admin.clone(), &self.namespace, &resource)
    }

    pub fn queues(&self) -> Api<DynamicObject> {
        self.api("SQSQueue")
    }

    pub async fn create(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": name }, "spec": spec,
        });
        Ok(self.queues().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    pub async fn patch(&self, name: &str, patch: Value) -> Result<DynamicObject> {
        Ok(self.queues().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?)
    }

    pub async fn delete(&self, name: &str) -> Result<()> {
        Ok(self.queues().delete(name, &DeleteParams::default()).await.map(drop)?)
    }

    /// Waits until an SQSQueue fits.
    pub async fn until(&self, name: &str, what: &str, fits: impl Fn(&DynamicObject) -> bool) -> Result<DynamicObject> {
        let what = format!("{name}: {what}");
        let outcome = eventually(&what, DEADLINE, async || match self.queues().get(name).await {
            Ok(object) if fits(&object) => Ok(object),
            Ok(object) => Err(shown(&object)),
            Err(error) => Err(error.to_string()),
        });
        outcome.await.map_err(|error| match &self.operator {
            Some(operator) => operator.explain(error),
            None => error,
        })
    }

    pub async fn in_sync(&self, name: &str) -> Result<DynamicObject> {
        let fits = |it: &DynamicObject| observed(it) && is(it, "Ready", "True") && is(it, "Synced", "True");
        self.until(name, "in sync", fits).await
    }

    /// Waits until the condition Synced has this reason.
    pub async fn says(&self, name: &str, reason: &str) -> Result<DynamicObject> {
        self.until(name, reason, |it| observed(it) && condition(it, "Synced")["reason"] == reason).await
    }

    pub fn aws_name(&self, name: &str) -> String {
        format!("{}-{name}", self.namespace)
    }

    /// Runs the command line with these variables beside those of its world.
    pub async fn run(&self, kubeconfig: &Path, args: &[&str], env: &[(&str, &str)], input: &str) -> Result<Ended> {
        let (endpoint, port) = (format!("http://{}", self.cli), self.port.number().to_string());
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fairlead"));
        command.args(args).env_clear();
        if args.first() == Some(&"explain") {
            command.args(["--metrics-port", &port]);
        }
        command
            .env("KUBECONFIG", kubeconfig)
            .env("FAIRLEAD_NAMESPACE", &self.leases)
            .env("FAIRLEAD_RESOURCE_NAME", "{namespace}-{name}")
            .env("AWS_ENDPOINT_URL", endpoint)
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", &self.account)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .envs(env.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.to_owned();
        let Output { status, stdout, stderr } = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                // A command that does not read may be over already.
                let _ = std::io::Write::write_all(&mut stdin, input.as_bytes());
            }
            child.wait_with_output()
        })
        .await??;
        Ok(Ended { code: status.code(), out: String::from_utf8(stdout)?, err: String::from_utf8(stderr)? })
    }

    /// What `fairlead explain` says of an SQSQueue, to an administrator: as text, and as JSON.
    pub async fn explain(&self, name: &str) -> Result<(String, Value)> {
        let (admin, object) = (self.cluster.admin_kubeconfig(), format!("sqsqueue/{name}"));
        let args = ["explain", &object, "-n", &self.namespace];
        let text = self.run(&admin, &args, &[], "").await?;
        ensure!(text.code == Some(0) && text.err.is_empty(), "{text:?}");
        let said = self.run(&admin, &[&args[..], &["-o", "json"]].concat(), &[], "").await?;
        ensure!(said.code == Some(0), "{said:?}");
        if std::env::var_os("SHOW").is_some() {
            eprintln!("----- {name}\n{}", text.out);
        }
        Ok((text.out, serde_json::from_str(&said.out)?))
    }

    /// What `fairlead plan` says of manifests, to an administrator: as text, as JSON, and the exit code.
    pub async fn plan(&self, manifests: &str) -> Result<(String, Value, Option<i32>)> {
        self.plan_as(&self.cluster.admin_kubeconfig(), manifests).await
    }

    pub async fn plan_as(&self, kubeconfig: &Path, manifests: &str) -> Result<(String, Value, Option<i32>)> {
        let args = ["plan", "-f", "-", "-n", &self.namespace];
        let text = self.run(kubeconfig, &args, &[], manifests).await?;
        let said = self.run(kubeconfig, &[&args[..], &["-o", "json"]].concat(), &[], manifests).await?;
        ensure!(text.code == said.code, "{text:?} {said:?}");
        if std::env::var_os("SHOW").is_some() {
            eprintln!("----- plan ({:?})\n{}{}", text.code, text.out, text.err);
        }
        let json = serde_json::from_str(&said.out).with_context(|| format!("{said:?}"))?;
        Ok((text.out, json, text.code))
    }

    /// The calls that the command line has made.
    pub fn calls(&self) -> Vec<Call> {
        self.fake.calls().into_iter().filter(|call| call.door == "cli").collect()
    }

    /// Makes sure that the command line has only read, and that it has read something.
    pub fn only_read(&self) -> Result<()> {
        const READS: [&str; 5] =
            ["GetCallerIdentity", "GetQueueUrl", "GetQueueAttributes", "ListQueueTags", "DescribeDBInstances"];
        let calls: Vec<_> = self.calls().into_iter().map(|call| call.operation).collect();
        ensure!(!calls.is_empty(), "nothing was read");
        ensure!(calls.iter().all(|call| READS.contains(&call.as_str())), "{calls:?}");
        Ok(())
    }

    /// The resourceVersions of all that is in the namespace.
    pub async fn versions(&self) -> Result<String> {
        let kinds = "sqsqueues,rdsinstances,configmaps,secrets,events";
        let columns = "-o=custom-columns=K:.kind,N:.metadata.name,V:.metadata.resourceVersion";
        self.cluster.kubectl(&["get", kinds, "--namespace", &self.namespace, columns, "--ignore-not-found"]).await
    }

    /// A kubeconfig of somebody who may do this and no more, in the namespace.
    pub async fn person(&self, name: &str, rules: Value) -> Result<PathBuf> {
        let namespace = &self.namespace;
        let meta = json!({ "name": name, "namespace": namespace });
        let rbac = "rbac.authorization.k8s.io";
        for object in [
            json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta }),
            json!({ "apiVersion": format!("{rbac}/v1"), "kind": "Role", "metadata": meta, "rules": rules }),
            json!({
                "apiVersion": format!("{rbac}/v1"), "kind": "RoleBinding", "metadata": meta,
                "roleRef": { "apiGroup": rbac, "kind": "Role", "name": name },
                "subjects": [{ "kind": "ServiceAccount", "name": name, "namespace": namespace }],
            }),
        ] {
            self.cluster.kubectl_apply(&object.to_string()).await?;
        }
        let kubeconfig = self.cluster.service_account_kubeconfig(namespace, name).await?;
        let allowed = eventually("the role to be in effect", DEADLINE, async || {
            let user = format!("--as=system:serviceaccount:{namespace}:{name}");
            let asked = ["auth", "can-i", "get", "sqsqueues.aws.fairlead.dev", "--namespace", namespace, &user];
            self.cluster.kubectl(&asked).await.map_err(|error| error.to_string())
        });
        allowed.await?;
        Ok(kubeconfig)
    }
}
