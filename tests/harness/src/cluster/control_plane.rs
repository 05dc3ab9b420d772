//! Starting etcd, the API server and the controllers.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use pem::{EncodeConfig, LineEnding, Pem};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};

use super::{client, kubeconfig};
use crate::http;
use crate::ports::Port;
use crate::process::{Process, Program, Signal};
use crate::tools::ControlPlane;
use crate::wait::eventually;

/// The processes, in the order in which they are stopped.
#[derive(Debug)]
pub(super) struct Running {
    controllers: Mutex<Process>,
    apiserver: Mutex<Process>,
    /// To start it again with its port, its keys and its etcd.
    apiserver_program: Program,
    pub(super) etcd: Process,
    pub(super) etcd_port: u16,
    _ports: Vec<Port>,
    pub(super) server: String,
    pub(super) ca: PathBuf,
    pub(super) kubeconfig: PathBuf,
}

const APISERVER: &str = "kube-apiserver";

/// About 3 seconds are usual.
const READY: Duration = Duration::from_secs(60);

/// What stands before the point in the DER form of a P-256 public key (RFC 5480).
const P256_PUBLIC_KEY: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// A port may be taken by somebody who does not reserve his.
const TRIES: usize = 3;

/// Starts everything, with its files in `dir`.
pub(super) async fn start(tools: &ControlPlane, dir: &Path) -> Result<Running> {
    let mut tries = 0;
    loop {
        tries += 1;
        let attempt = dir.join(format!("start-{tries}"));
        std::fs::create_dir(&attempt)?;
        match start_once(tools, &attempt).await {
            Err(error) if tries < TRIES && format!("{error:#}").contains("already in use") => {}
            result => return result,
        }
    }
}

impl Running {
    /// Stops the controllers and starts new ones.
    pub(super) async fn restart_controllers(&self, tools: &ControlPlane) -> Result<()> {
        self.controllers().kill()?;
        let fresh = controllers(tools, &self.kubeconfig)?;
        started(&fresh).await.map_err(|error| fresh.explain(error))?;
        *self.controllers() = fresh;
        Ok(())
    }

    /// Asks the API server to end, and kills it where it has not within `grace`.
    pub(super) async fn stop_apiserver(&self, grace: Duration) -> Result<()> {
        if !grace.is_zero() {
            self.apiserver().signal(Signal::TERM)?;
        }
        let ended = eventually("the API server to end", grace, async || match self.apiserver().is_running() {
            true => Err("it runs".to_owned()),
            false => Ok(()),
        });
        if ended.await.is_err() {
            self.apiserver().kill()?;
        }
        Ok(())
    }

    /// Starts the API server again, and waits until it serves.
    pub(super) async fn start_apiserver(&self) -> Result<()> {
        *self.apiserver() = Process::spawn(APISERVER, &self.apiserver_program)?;
        serving(&|| self.apiserver().is_running(), &self.kubeconfig, &self.ca).await
    }

    pub(super) fn apiserver(&self) -> MutexGuard<'_, Process> {
        self.apiserver.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn controllers(&self) -> MutexGuard<'_, Process> {
        self.controllers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn start_once(tools: &ControlPlane, dir: &Path) -> Result<Running> {
    let (client_port, peer_port, api_port) = (Port::reserve()?, Port::reserve()?, Port::reserve()?);
    let etcd = etcd(tools, client_port.number(), peer_port.number())?;
    healthy(&etcd, client_port.number()).await.map_err(|error| etcd.explain(error))?;

    let (key, public) = write_signing_keys(dir)?;
    let token = random_token()?;
    let tokens = dir.join("tokens.csv");
    std::fs::write(&tokens, format!("{token},admin,admin,\"system:masters\"\n"))?;
    let files = ApiFiles { dir, key: &key, public: &public, tokens: &tokens };
    let apiserver_program = apiserver(tools, client_port.number(), api_port.number(), &files);
    let apiserver = Process::spawn(APISERVER, &apiserver_program)?;

    let server = format!("https://127.0.0.1:{}", api_port.number());
    let ca = dir.join("apiserver.crt");
    let kubeconfig = dir.join("admin.kubeconfig");
    kubeconfig::write(&kubeconfig, &server, &ca, &token)?;
    serving(&|| apiserver.is_running(), &kubeconfig, &ca).await.map_err(|error| apiserver.explain(error))?;

    let controllers = controllers(tools, &kubeconfig)?;
    started(&controllers).await.map_err(|error| controllers.explain(error))?;
    Ok(Running {
        controllers: Mutex::new(controllers),
        apiserver: Mutex::new(apiserver),
        apiserver_program,
        etcd,
        etcd_port: client_port.number(),
        _ports: vec![client_port, peer_port, api_port],
        server,
        ca,
        kubeconfig,
    })
}

struct ApiFiles<'a> {
    dir: &'a Path,
    key: &'a Path,
    public: &'a Path,
    tokens: &'a Path,
}

fn etcd(tools: &ControlPlane, client: u16, peer: u16) -> Result<Process> {
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let program = Program::new(&tools.etcd)
        // Relative: the process has a directory of its own.
        .flag("data-dir", "data")
        .flag("listen-client-urls", &client)
        .flag("advertise-client-urls", &client)
        .flag("listen-peer-urls", &peer)
        .flag("initial-advertise-peer-urls", &peer)
        .flag("initial-cluster", format!("default={peer}"))
        .flag("log-level", "warn")
        // Nothing here has to survive a crash of the machine.
        .arg("--unsafe-no-fsync");
    Process::spawn("etcd", &program)
}

fn apiserver(tools: &ControlPlane, etcd: u16, port: u16, files: &ApiFiles<'_>) -> Program {
    Program::new(&tools.apiserver)
        .flag("etcd-servers", format!("http://127.0.0.1:{etcd}"))
        .flag("cert-dir", files.dir)
        .flag("secure-port", port.to_string())
        .flag("bind-address", "127.0.0.1")
        // Else it wants a network beside the loopback one.
        .flag("advertise-address", "127.0.0.1")
        .flag("endpoint-reconciler-type", "none")
        .flag("service-account-issuer", "https://kubernetes.default.svc")
        .flag("service-account-key-file", files.public)
        .flag("service-account-signing-key-file", files.key)
        .flag("token-auth-file", files.tokens)
        .flag("authorization-mode", "RBAC")
        .flag("service-cluster-ip-range", "10.0.0.0/24")
        .flag("disable-admission-plugins", "ServiceAccount")
        // The operator is to be measured, not the server's manners.
        .flag("max-requests-inflight", "3000")
        .flag("max-mutating-requests-inflight", "1500")
}

fn controllers(tools: &ControlPlane, kubeconfig: &Path) -> Result<Process> {
    let program = Program::new(&tools.controller_manager)
        .flag("kubeconfig", kubeconfig)
        .flag("controllers", "namespace-controller,garbage-collector-controller,serviceaccount-controller")
        .flag("leader-elect", "false")
        .flag("secure-port", "0")
        .flag("kube-api-qps", "500")
        .flag("kube-api-burst", "1000")
        // Says when the garbage collector knows every kind.
        .flag("v", "2");
    Process::spawn("kube-controller-manager", &program)
}

async fn healthy(etcd: &Process, port: u16) -> Result<()> {
    eventually_alive(&|| etcd.is_running(), "etcd's /health", async || match http::get(port, "/health").await {
        Ok((200, _)) => Ok(()),
        Ok((status, body)) => Err(format!("HTTP {status}: {body}")),
        Err(error) => Err(format!("{error:#}")),
    })
    .await
}

async fn serving(runs: &impl Fn() -> bool, kubeconfig: &Path, ca: &Path) -> Result<()> {
    eventually_alive(runs, "the API server's /readyz", async || {
        if !ca.exists() {
            return Err("no certificate yet".to_owned());
        }
        let client = client(kubeconfig).await.map_err(|error| format!("{error:#}"))?;
        let request = http_request("/readyz").map_err(|error| format!("{error:#}"))?;
        match client.request_text(request).await {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    })
    .await
}

async fn started(controllers: &Process) -> Result<()> {
    eventually_alive(&|| controllers.is_running(), "the garbage collector", async || {
        let log = controllers.log();
        if log.contains("Proceeding to collect garbage") {
            Ok(())
        } else {
            Err(log.lines().last().unwrap_or("an empty log").to_owned())
        }
    })
    .await
}

/// Like `eventually`, but gives up at once when the process has ended.
async fn eventually_alive(
    runs: &impl Fn() -> bool,
    what: &str,
    mut check: impl AsyncFnMut() -> Result<(), String>,
) -> Result<()> {
    let alive = eventually(what, READY, async || if runs() { check().await.map(|()| true) } else { Ok(false) });
    if !alive.await? {
        bail!("waited for {what}, but the process has ended");
    }
    Ok(())
}

fn http_request(path: &str) -> Result<hyper::Request<Vec<u8>>> {
    hyper::Request::get(path).body(Vec::new()).context("no request")
}

/// Makes the key pair of service account tokens; answers where the private and
/// the public key are.
fn write_signing_keys(dir: &Path) -> Result<(PathBuf, PathBuf)> {
    let refused = |_| anyhow!("cannot make a key");
    let random = SystemRandom::new();
    let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
    let key = EcdsaKeyPair::generate_pkcs8(algorithm, &random).map_err(refused)?;
    let pair = EcdsaKeyPair::from_pkcs8(algorithm, key.as_ref(), &random)
        .map_err(|error| anyhow!("cannot make a key: {error}"))?;
    let public = [P256_PUBLIC_KEY, pair.public_key().as_ref()].concat();
    Ok((
        write_pem(dir.join("tokens.key"), "PRIVATE KEY", key.as_ref())?,
        write_pem(dir.join("tokens.pub"), "PUBLIC KEY", &public)?,
    ))
}

fn write_pem(path: PathBuf, tag: &str, der: &[u8]) -> Result<PathBuf> {
    let unix = EncodeConfig::new().set_line_ending(LineEnding::LF);
    std::fs::write(&path, pem::encode_config(&Pem::new(tag, der), unix))?;
    Ok(path)
}

fn random_token() -> Result<String> {
    let mut bytes = [0_u8; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow!("no random bytes"))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
