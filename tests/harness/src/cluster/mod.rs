//! A real Kubernetes control plane on loopback: etcd, API server, and the
//! controllers for namespaces, garbage collection and service accounts.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::ByteString;
use kube::config::{KubeConfigOptions, Kubeconfig};
use tokio::sync::{Mutex, OnceCell};

mod control_plane;
mod kubeconfig;
mod kubectl;
mod leases;

use control_plane::Running;

use crate::http;
use crate::process::Signal;
use crate::run::Scratch;
use crate::tools::{ControlPlane, Tools};

/// A running control plane; dropped means stopped and gone.
#[derive(Debug)]
pub struct Cluster {
    tools: ControlPlane,
    running: Running,
    scratch: Scratch,
    /// The deploy directories that are in place.
    installed: Mutex<HashSet<PathBuf>>,
    made: AtomicU64,
}

/// A refused `kubectl apply`.
#[derive(Clone, Debug)]
pub struct ApplyError {
    /// What kubectl printed: the API server's words.
    pub stderr: String,
}

impl std::fmt::Display for ApplyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "kubectl apply: {}", self.stderr)
    }
}

impl std::error::Error for ApplyError {}

impl Cluster {
    /// Starts a control plane of its own.
    pub async fn start() -> Result<Cluster> {
        let tools = tokio::task::spawn_blocking(Tools::control_plane).await??;
        let scratch = Scratch::new("cluster")?;
        let running = control_plane::start(&tools, scratch.path()).await?;
        Ok(Cluster { tools, running, scratch, installed: Mutex::default(), made: AtomicU64::new(0) })
    }

    /// The control plane that the whole test process shares.
    pub async fn shared() -> Result<&'static Cluster> {
        static SHARED: OnceCell<Cluster> = OnceCell::const_new();
        SHARED.get_or_try_init(Cluster::start).await
    }

    /// A client with all rights. It belongs to the current runtime: one made in
    /// another test hangs when that test ends.
    pub async fn admin_client(&self) -> Result<kube::Client> {
        client(&self.admin_kubeconfig()).await
    }

    /// The path of a kubeconfig with all rights.
    pub fn admin_kubeconfig(&self) -> PathBuf {
        self.running.kubeconfig.clone()
    }

    /// Runs kubectl with all rights; answers what it printed.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        let output = self.run_kubectl(args, "").await?;
        output.map_err(|stderr| anyhow::anyhow!("kubectl {}: {stderr}", args.join(" ")))
    }

    /// Applies YAML as a user would; a refusal keeps the API server's words.
    pub async fn kubectl_apply(&self, yaml: &str) -> Result<String, ApplyError> {
        match self.run_kubectl(&["apply", "-f", "-"], yaml).await {
            Ok(output) => output.map_err(|stderr| ApplyError { stderr }),
            Err(error) => Err(ApplyError { stderr: format!("{error:#}") }),
        }
    }

    /// Creates a namespace whose name begins with `prefix` and is new.
    pub async fn namespace(&self, prefix: &str) -> Result<String> {
        let name = format!("{prefix}-{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.kubectl(&["create", "namespace", &name]).await?;
        Ok(name)
    }

    /// Applies `crds/*.yaml` and `rbac.yaml` of a deploy directory, once, and
    /// waits until the new kinds are served.
    pub async fn install(&self, deploy_dir: &Path) -> Result<()> {
        let deploy_dir = std::path::absolute(deploy_dir)?;
        let mut installed = self.installed.lock().await;
        if installed.contains(&deploy_dir) {
            return Ok(());
        }
        let crds = deploy_dir.join("crds").display().to_string();
        let rbac = deploy_dir.join("rbac.yaml").display().to_string();
        self.kubectl(&["apply", "--server-side", "-f", &crds, "-f", &rbac]).await?;
        let established = "--for=condition=Established";
        self.kubectl(&["wait", established, "--timeout=60s", "-f", &crds]).await?;
        // The garbage collector looks for new kinds twice a minute, and at its start.
        self.running.restart_controllers(&self.tools).await?;
        installed.insert(deploy_dir);
        Ok(())
    }

    /// A kubeconfig that acts as a service account, by a token of it.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        self.service_account_kubeconfig_at(namespace, name, self.address()?).await
    }

    /// The same by way of a proxy before the API server; it listens on 127.0.0.1, as the certificate says.
    pub async fn service_account_kubeconfig_at(
        &self,
        namespace: &str,
        name: &str,
        address: SocketAddr,
    ) -> Result<PathBuf> {
        let lifetime = "--duration=24h";
        let token = self.kubectl(&["create", "token", name, "--namespace", namespace, lifetime]).await?;
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let path = self.scratch.path().join(format!("{namespace}-{name}-{number}.kubeconfig"));
        kubeconfig::write(&path, &format!("https://{address}"), &self.running.ca, token.trim())?;
        Ok(path)
    }

    /// The API server's address.
    pub fn server(&self) -> &str {
        &self.running.server
    }

    /// The same without the scheme.
    pub fn address(&self) -> Result<SocketAddr> {
        Ok(self.server().trim_start_matches("https://").parse()?)
    }

    /// Sends a signal to the API server, such as to let it hang for a while.
    pub fn signal_apiserver(&self, signal: Signal) -> Result<()> {
        self.running.apiserver().signal(signal)
    }

    /// Asks the API server to end, and kills it where it has not within `grace`; with none, at once. One that
    /// is watched takes a minute to end by itself.
    pub async fn stop_apiserver(&self, grace: Duration) -> Result<()> {
        self.running.stop_apiserver(grace).await
    }

    /// Starts the API server again, with the port and the etcd of its predecessor, and waits until it serves.
    pub async fn start_apiserver(&self) -> Result<()> {
        self.running.start_apiserver().await
    }

    /// Sends a signal to etcd, such as to let it hang for a while.
    pub fn signal_etcd(&self, signal: Signal) -> Result<()> {
        self.running.etcd.signal(signal)
    }

    /// Removes an object of Fairlead's from the store, whatever finalizers it has: as the API server does with
    /// one that had none when it read it to delete it, and got one before it was removed.
    pub async fn erase(&self, plural: &str, namespace: &str, name: &str) -> Result<()> {
        let key = ByteString(format!("/registry/aws.fairlead.dev/{plural}/{namespace}/{name}").into_bytes());
        let request = serde_json::json!({ "key": key }).to_string();
        let (status, answer) = http::post(self.running.etcd_port, "/v3/kv/deleterange", &request).await?;
        ensure!(status == 200 && answer.contains(r#""deleted":"1""#), "etcd answers {status}: {answer}");
        Ok(())
    }

    async fn run_kubectl(&self, args: &[&str], input: &str) -> Result<Result<String, String>> {
        let home = self.scratch.path();
        kubectl::run(&self.tools.kubectl, &self.running.kubeconfig, home, args, input).await
    }
}

/// A client on the current runtime, by a kubeconfig file. It does not retry:
/// a test sees what the API server said.
pub async fn client(kubeconfig: &Path) -> Result<kube::Client> {
    let file = Kubeconfig::read_from(kubeconfig)?;
    let mut config = kube::Config::from_custom_kubeconfig(file, &KubeConfigOptions::default())
        .await
        .with_context(|| format!("cannot use {}", kubeconfig.display()))?;
    config.default_retry = false;
    Ok(kube::Client::try_from(config)?)
}
