//! `fairlead run` as a child process with an environment that is fully known.

use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::{Context as _, Result};

use serde_json::Value;

use crate::http;
use crate::ports::Port;
use crate::process::{Process, Program, Signal};
use crate::wait::eventually;

/// How to start a replica.
#[derive(Clone, Debug)]
pub struct OperatorSpec {
    /// The program.
    pub binary: PathBuf,
    /// With whose rights it talks to the cluster.
    pub kubeconfig: PathBuf,
    /// The AWS endpoint, of an emulator or a proxy.
    pub aws_endpoint: String,
    /// The AWS access key, which in ministack names the account.
    pub access_key: String,
    /// The default region.
    pub region: String,
    /// Further variables; they win over the ones set here.
    pub env: Vec<(String, String)>,
    /// Arguments after `run`.
    pub args: Vec<String>,
}

/// A running replica; dropped means killed.
#[derive(Debug)]
pub struct Operator {
    process: Process,
    health: Port,
    metrics: Port,
}

impl OperatorSpec {
    /// A replica in `eu-west-1` with nothing else set.
    pub fn new(
        binary: impl Into<PathBuf>,
        kubeconfig: impl Into<PathBuf>,
        aws_endpoint: impl Into<String>,
        access_key: impl Into<String>,
    ) -> OperatorSpec {
        OperatorSpec {
            binary: binary.into(),
            kubeconfig: kubeconfig.into(),
            aws_endpoint: aws_endpoint.into(),
            access_key: access_key.into(),
            region: "eu-west-1".to_owned(),
            env: Vec::new(),
            args: Vec::new(),
        }
    }

    /// Sets a variable.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> OperatorSpec {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Adds an argument after `run`.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> OperatorSpec {
        self.args.push(arg.into());
        self
    }

    /// Sets the default region.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> OperatorSpec {
        self.region = region.into();
        self
    }
}

impl Operator {
    /// Starts a replica, and does not wait for it.
    pub fn start(spec: &OperatorSpec) -> Result<Operator> {
        let OperatorSpec { binary, kubeconfig, aws_endpoint, access_key, region, env, args } = spec;
        let (health, metrics) = (Port::reserve()?, Port::reserve()?);
        let mut program = Program::new(std::path::absolute(binary)?)
            .arg("run")
            .env("PATH", "/usr/bin:/bin")
            .env("KUBECONFIG", kubeconfig)
            .env("AWS_ENDPOINT_URL", aws_endpoint)
            .env("AWS_ACCESS_KEY_ID", access_key)
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .env("AWS_REGION", region)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("FAIRLEAD_HEALTH_ADDR", format!("127.0.0.1:{}", health.number()))
            .env("FAIRLEAD_METRICS_ADDR", format!("127.0.0.1:{}", metrics.number()))
            .env("RUST_LOG", "info,fairlead=debug")
            .env("RUST_BACKTRACE", "1");
        for (name, value) in env {
            program = program.env(name, value);
        }
        for arg in args {
            program = program.arg(arg);
        }
        let process = Process::spawn("fairlead", &program)?;
        Ok(Operator { process, health, metrics })
    }

    /// Waits until `/readyz` answers 200.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let ready = eventually("the operator's /readyz", deadline, async || {
            if !self.process.is_running() {
                return Ok(false);
            }
            match self.readyz().await {
                Ok((200, _)) => Ok(true),
                Ok((status, body)) => Err(format!("HTTP {status}: {body}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await;
        match ready {
            Ok(true) => Ok(()),
            Ok(false) => Err(self.explain(anyhow::anyhow!("the operator ended too soon"))),
            Err(error) => Err(self.explain(error)),
        }
    }

    /// One look at `/readyz`: status code and body.
    pub async fn readyz(&self) -> Result<(u16, String)> {
        http::get(self.health.number(), "/readyz").await
    }

    /// One look at `/healthz`: status code and body.
    pub async fn healthz(&self) -> Result<(u16, String)> {
        http::get(self.health.number(), "/healthz").await
    }

    /// One look at `/metrics`.
    pub async fn metrics(&self) -> Result<String> {
        let (status, text) = http::get(self.metrics.number(), "/metrics").await?;
        anyhow::ensure!(status == 200, "/metrics: HTTP {status}: {text}");
        Ok(text)
    }

    /// One look at `/statusz`.
    pub async fn statusz(&self) -> Result<Value> {
        let (status, text) = http::get(self.metrics.number(), "/statusz").await?;
        anyhow::ensure!(status == 200, "/statusz: HTTP {status}: {text}");
        Ok(serde_json::from_str(&text)?)
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&self) -> Result<()> {
        self.process.kill().map(drop)
    }

    /// SIGTERM, and does not wait.
    pub fn terminate(&self) -> Result<()> {
        self.process.signal(Signal::TERM)
    }

    /// SIGINT, as Ctrl-C sends it, and does not wait.
    pub fn interrupt(&self) -> Result<()> {
        self.process.signal(Signal::INT)
    }

    /// SIGSTOP: a replica that hangs.
    pub fn stop(&self) -> Result<()> {
        self.process.signal(Signal::STOP)
    }

    /// SIGCONT: it comes back.
    pub fn cont(&self) -> Result<()> {
        self.process.signal(Signal::CONT)
    }

    /// Stopped for a while.
    pub async fn stop_cont(&self, pause: Duration) -> Result<()> {
        self.stop()?;
        tokio::time::sleep(pause).await;
        self.cont()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// How it ended, if it has.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        self.process.exit_status()
    }

    /// Where its metrics are.
    pub fn metrics_address(&self) -> String {
        format!("127.0.0.1:{}", self.metrics.number())
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// How many seconds of CPU it has taken.
    pub fn cpu(&self) -> Result<f64> {
        // Linux gives it in hundredths of a second, after the name in parentheses.
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()))?;
        let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace().skip(11).take(2);
        Ok(fields.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0)
    }

    /// The most memory that it has held, in MB.
    pub fn peak_memory(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no VmHWM")?;
        Ok(line.trim().trim_end_matches(" kB").trim().parse::<f64>()? / 1_024.0)
    }

    /// All it has printed.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Adds how it fares, and the end of its log, to an error.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        self.process.explain(error)
    }

    /// Waits for its end; an end by a signal is an error.
    pub async fn exit_code(&self, deadline: Duration) -> Result<i32> {
        let status = self.process.wait_exit(deadline).await?;
        status.code().with_context(|| format!("the operator: {status}"))
    }
}
