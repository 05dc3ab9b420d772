//! What a demo plays on: a control plane, an AWS emulator, the operator's replicas.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::cluster::Cluster;
use fairlead_harness::emulator::Emulator;
use fairlead_harness::fake_aws::{FakeAws, RdsTiming};
use fairlead_harness::operator::{Operator, OperatorSpec};
use fairlead_harness::otlp::Collector;
use fairlead_harness::replicas::lease_of;
use fairlead_harness::sqs::{rds_client, sqs_client};
use fairlead_harness::wait::eventually;
use k8s_openapi::api::coordination::v1::Lease;

use super::screen;

/// ministack's default account and region: what it takes an unsigned request for, so that curl is
/// AWS client enough to play with.
pub(super) const ACCESS_KEY: &str = "test";
pub(super) const REGION: &str = "us-east-1";

/// Short, so that a demo is; the operator's own defaults are 30 and 60.
pub(super) const SECONDS: &str = "1";

/// What takes minutes at AWS takes seconds here.
const DATABASE_TIMES: RdsTiming = RdsTiming {
    create: Duration::from_secs(3),
    backup: Duration::from_secs(2),
    notice: Duration::ZERO,
    modify: Duration::from_secs(2),
    storage_optimization: Duration::from_secs(2),
    delete: Duration::from_secs(2),
    reboot: Duration::from_secs(2),
    snapshot: Duration::from_secs(1),
    window: Duration::from_secs(24 * 3_600),
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Where deploy/ has the operator and its Leases.
pub(super) const NAMESPACE: &str = "fairlead-system";

/// Dropped in this order: the replicas go first.
pub(super) struct Stage {
    pub(super) replicas: Vec<Replica>,
    /// How many were started, which numbers them: a pod that replaces another has a name of its own.
    started: usize,
    spec: Option<OperatorSpec>,
    pub(super) cluster: Cluster,
    pub(super) emulator: Emulator,
    pub(super) sqs: aws_sdk_sqs::Client,
    /// RDS: no emulator has the life of a database.
    pub(super) databases: FakeAws,
    pub(super) rds: aws_sdk_rds::Client,
    /// Where traces go, unless the caller has a collector.
    pub(super) collector: Collector,
    deploy: PathBuf,
}

/// A replica of the operator.
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) operator: Operator,
}

impl Stage {
    /// Starts the control plane and the emulator.
    pub(super) async fn start() -> Result<Stage> {
        let (cluster, emulator) = tokio::try_join!(Cluster::start(), Emulator::ministack())?;
        let sqs = sqs_client(&emulator.url(), ACCESS_KEY, REGION);
        let databases = FakeAws::start()?;
        databases.rds_timing(DATABASE_TIMES);
        let rds = rds_client(&databases.url(), ACCESS_KEY, REGION);
        let deploy = std::path::absolute(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy"))?;
        let deploy = deploy.canonicalize().with_context(|| format!("{} is needed", deploy.display()))?;
        let collector = Collector::start().await?;
        let (replicas, started, spec) = (Vec::new(), 0, None);
        Ok(Stage { replicas, started, spec, cluster, emulator, sqs, databases, rds, collector, deploy })
    }

    /// Installs the kinds and the operator's rights.
    pub(super) async fn install(&self) -> Result<()> {
        self.cluster.install(&self.deploy).await
    }

    /// Starts so many replicas and waits until all are ready.
    pub(super) async fn start_replicas(&mut self, count: usize, deadline: Duration) -> Result<()> {
        let binary = program("fairlead")?;
        let kubeconfig = self.cluster.service_account_kubeconfig(NAMESPACE, "fairlead").await?;
        let spec = OperatorSpec::new(binary, kubeconfig, self.emulator.url(), ACCESS_KEY)
            .region(REGION)
            .env("AWS_ENDPOINT_URL_RDS", self.databases.url())
            .env("RECONCILE_FREQUENCY_SECONDS", SECONDS)
            .env("FAIRLEAD_COUNT_INTERVAL", SECONDS)
            .env("FAIRLEAD_ALLOW_ADOPTION", "default/*")
            .env("FAIRLEAD_ALLOW_OBSERVE", "default/*")
            .env("FAIRLEAD_NAMESPACE", NAMESPACE)
            .env("RUST_LOG", "info")
            .env(ENDPOINT, self.collector.endpoint())
            .env("OTEL_BSP_SCHEDULE_DELAY", "500");
        let theirs = std::env::vars().filter(|(name, _)| own_collector().is_some() && name.starts_with("OTEL_"));
        self.spec = Some(theirs.fold(spec, |spec, (name, value)| spec.env(name, value)));
        (0..count).try_for_each(|_| self.start_replica().map(drop))?;
        for replica in &self.replicas {
            replica.operator.ready(deadline).await?;
        }
        Ok(())
    }

    /// Starts one more, and does not wait.
    pub(super) fn start_replica(&mut self) -> Result<&Replica> {
        let spec = self.spec.clone().context("no replica was started yet")?;
        self.started += 1;
        let name = format!("fairlead-{}", self.started);
        let operator = Operator::start(&spec.env("FAIRLEAD_IDENTITY", &name))?;
        self.replicas.push(Replica { name, operator });
        self.replicas.last().context("there is no replica")
    }

    /// Takes a replica away, running or not.
    pub(super) fn take(&mut self, name: &str) -> Result<Replica> {
        let place = self.replicas.iter().position(|replica| replica.name == name);
        Ok(self.replicas.remove(place.with_context(|| format!("{name} does not run"))?))
    }

    /// The name of the replica that leads, once it is another than `before`.
    pub(super) async fn leader(&self, before: Option<&str>, deadline: Duration) -> Result<String> {
        let leases: kube::Api<Lease> = kube::Api::namespaced(self.cluster.admin_client().await?, NAMESPACE);
        eventually("a replica that leads", deadline, async || {
            let lease = leases.get(&lease_of(0)).await.map_err(|error| error.to_string())?;
            let holder = lease.spec.and_then(|spec| spec.holder_identity).unwrap_or_default();
            let name = holder.rsplit_once('_').map(|(name, _)| name).unwrap_or_default();
            let leads = |replica: &Replica| replica.name == name && Some(name) != before;
            if self.replicas.iter().any(leads) { Ok(name.to_owned()) } else { Err(format!("held by {holder:?}")) }
        })
        .await
    }

    /// Adds how the replicas fare, and the ends of their logs, to an error.
    pub(super) fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let explain = |error, replica: &Replica| replica.operator.explain(error).context(replica.name.clone());
        self.replicas.iter().fold(error, explain)
    }

    /// Runs a kubectl command, shown as it would be typed in the checkout.
    pub(super) async fn kubectl(&self, typed: &str, args: &[&str]) -> Result<String> {
        screen::command(&format!("kubectl {typed}"));
        self.cluster.kubectl(args).await
    }

    /// Runs a fairlead command with the rights of a person, shown as it would be typed.
    pub(super) async fn fairlead(&self, typed: &str, args: &[&str]) -> Result<String> {
        screen::command(&format!("fairlead {typed}"));
        let ran = tokio::process::Command::new(program("fairlead")?)
            .args(args)
            .env_clear()
            .env("KUBECONFIG", self.cluster.admin_kubeconfig())
            .env("AWS_ENDPOINT_URL", self.emulator.url())
            .env("AWS_REGION", REGION)
            .env("AWS_ACCESS_KEY_ID", ACCESS_KEY)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .output()
            .await?;
        ensure!(ran.status.success(), "fairlead {typed}: {}", String::from_utf8_lossy(&ran.stderr));
        Ok(String::from_utf8(ran.stdout)?)
    }

    /// A file or directory of deploy/.
    pub(super) fn deploy(&self, name: &str) -> String {
        self.deploy.join(name).display().to_string()
    }

    /// The environment in which a person can go on playing, as shell commands.
    pub(super) fn environment(&self) -> Result<Vec<String>> {
        let kubectl = fairlead_harness::tools::Tools::control_plane()?.kubectl;
        let programs = kubectl.parent().context("kubectl has no directory")?;
        let fairlead = program("fairlead")?;
        let fairlead = fairlead.parent().context("fairlead has no directory")?;
        Ok(vec![
            format!("export PATH={}:{}:$PATH", programs.display(), fairlead.display()),
            format!("export KUBECONFIG={}", self.cluster.admin_kubeconfig().display()),
            format!("export AWS_ENDPOINT_URL={} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}", self.emulator.url()),
            format!("export AWS_ENDPOINT_URL_RDS={}", self.databases.url()),
            format!("export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY=test"),
        ])
    }
}

/// The collector of whoever runs the demo.
pub(super) fn own_collector() -> Option<String> {
    std::env::var(ENDPOINT).ok().filter(|endpoint| !endpoint.is_empty())
}

/// A program that was built beside this one.
fn program(name: &str) -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name(name);
    ensure!(binary.is_file(), "{} is missing; `make demo` builds it", binary.display());
    Ok(binary)
}
