//! What a demo plays on: a control plane, an AWS emulator, the operator.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::cluster::Cluster;
use fairlead_harness::emulator::Emulator;
use fairlead_harness::operator::{Operator, OperatorSpec};
use fairlead_harness::sqs::sqs_client;

use super::screen;

/// ministack's default account and region: what it takes an unsigned request for, so that curl is
/// AWS client enough to play with.
pub(super) const ACCESS_KEY: &str = "test";
pub(super) const REGION: &str = "us-east-1";

/// Short, so that a demo is; the operator's own defaults are 30 and 60.
pub(super) const SECONDS: &str = "1";

/// Dropped in this order: the operator goes first.
pub(super) struct Stage {
    operator: Option<Operator>,
    pub(super) cluster: Cluster,
    pub(super) emulator: Emulator,
    pub(super) sqs: aws_sdk_sqs::Client,
    deploy: PathBuf,
}

impl Stage {
    /// Starts the control plane and the emulator.
    pub(super) async fn start() -> Result<Stage> {
        let (cluster, emulator) = tokio::try_join!(Cluster::start(), Emulator::ministack())?;
        let sqs = sqs_client(&emulator.url(), ACCESS_KEY, REGION);
        let deploy = std::path::absolute(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy"))?;
        let deploy = deploy.canonicalize().with_context(|| format!("{} is needed", deploy.display()))?;
        Ok(Stage { operator: None, cluster, emulator, sqs, deploy })
    }

    /// Installs the kinds and the operator's rights.
    pub(super) async fn install(&self) -> Result<()> {
        self.cluster.install(&self.deploy).await
    }

    /// Starts the operator and waits until it is ready.
    pub(super) async fn start_operator(&mut self, deadline: Duration) -> Result<()> {
        let binary = std::env::current_exe()?.with_file_name("fairlead");
        ensure!(binary.is_file(), "{} is missing; `make demo` builds it", binary.display());
        let kubeconfig = self.cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
        let spec = OperatorSpec::new(binary, kubeconfig, self.emulator.url(), ACCESS_KEY)
            .region(REGION)
            .env("RECONCILE_FREQUENCY_SECONDS", SECONDS)
            .env("FAIRLEAD_COUNT_INTERVAL", SECONDS)
            .env("FAIRLEAD_ALLOW_ADOPTION", "default/*")
            .env("FAIRLEAD_ALLOW_OBSERVE", "default/*")
            // Its Leases are where deploy/ has them.
            .env("FAIRLEAD_NAMESPACE", "fairlead-system")
            .env("RUST_LOG", "info");
        let operator = Operator::start(&spec)?;
        operator.ready(deadline).await?;
        self.operator = Some(operator);
        Ok(())
    }

    /// The running operator.
    pub(super) fn operator(&self) -> Result<&Operator> {
        self.operator.as_ref().context("the operator does not run yet")
    }

    /// Runs a kubectl command, shown as it would be typed in the checkout.
    pub(super) async fn kubectl(&self, typed: &str, args: &[&str]) -> Result<String> {
        screen::command(&format!("kubectl {typed}"));
        self.cluster.kubectl(args).await
    }

    /// A file or directory of deploy/.
    pub(super) fn deploy(&self, name: &str) -> String {
        self.deploy.join(name).display().to_string()
    }

    /// The environment in which a person can go on playing, as shell commands.
    pub(super) fn environment(&self) -> Result<Vec<String>> {
        let kubectl = fairlead_harness::tools::Tools::control_plane()?.kubectl;
        let programs = kubectl.parent().context("kubectl has no directory")?;
        Ok(vec![
            format!("export PATH={}:$PATH", programs.display()),
            format!("export KUBECONFIG={}", self.cluster.admin_kubeconfig().display()),
            format!("export AWS_ENDPOINT_URL={} AWS_REGION={REGION} AWS_DEFAULT_REGION={REGION}", self.emulator.url()),
            format!("export AWS_ACCESS_KEY_ID={ACCESS_KEY} AWS_SECRET_ACCESS_KEY=test"),
        ])
    }
}
