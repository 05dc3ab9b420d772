//! A Prometheus server that scrapes operators and judges rules, as a cluster's would.
//!
//! Series get the labels that deploy/prometheus/podmonitor.yaml gives them: `job`, `namespace` and `pod`,
//! which win over labels of the same name in what is scraped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::http;
use crate::ports::Port;
use crate::process::{Process, Program, Signal};
use crate::tools::{Packaged, Tools};
use crate::wait::eventually;

/// A running server with data of its own; dropped means stopped.
#[derive(Debug)]
pub struct Prometheus {
    port: Port,
    process: Process,
}

/// What is to be scraped.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// The label `pod`.
    pub pod: String,
    /// Host and port.
    pub address: String,
}

/// How a target fares.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its label `pod`.
    pub pod: String,
    /// `up`, `down` or `unknown`.
    pub health: String,
    /// What was wrong at the last scrape; empty where nothing was.
    pub last_error: String,
}

/// A series of an answer.
#[derive(Clone, Debug)]
pub struct Series {
    /// Its labels, `__name__` among them.
    pub labels: Value,
    /// Its values, each with its time: one where it was asked for an instant.
    pub values: Vec<(f64, f64)>,
}

/// An exemplar of a series.
#[derive(Clone, Debug)]
pub struct Exemplar {
    /// The labels of its series.
    pub series: Value,
    /// Its own labels.
    pub labels: Value,
    /// The value that was observed.
    pub value: f64,
}

/// The label `job`.
pub const JOB: &str = "fairlead";
/// The label `namespace`.
pub const NAMESPACE: &str = "fairlead-system";

/// On a busy machine.
const READY: Duration = Duration::from_secs(60);
const QUERY: Duration = Duration::from_secs(30);
const STOP: Duration = Duration::from_secs(10);

impl Prometheus {
    /// Starts a server that scrapes `targets` every second, and evaluates the rules of `rules` as often.
    pub async fn start(targets: &[Scraped], rules: &[PathBuf]) -> Result<Prometheus> {
        let installed = tokio::task::spawn_blocking(Tools::prometheus).await??;
        let port = Port::reserve()?;
        let program = program(&installed, "prometheus")?
            // Relative to the process's own directory, as the data are.
            .flag("config.file", "prometheus.yml")
            .flag("storage.tsdb.path", "data")
            .flag("web.listen-address", format!("127.0.0.1:{}", port.number()))
            .flag("enable-feature", "exemplar-storage")
            .flag("log.format", "logfmt");
        let process = Process::prepared("prometheus", &program, |dir| {
            std::fs::write(dir.join("prometheus.yml"), configuration(targets, rules)).map_err(Into::into)
        })?;
        let prometheus = Prometheus { port, process };
        match prometheus.ready().await {
            Ok(()) => Ok(prometheus),
            Err(error) => Err(prometheus.process.explain(error)),
        }
    }

    /// The process, to read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// What `expression` is now.
    pub async fn query(&self, expression: &str) -> Result<Vec<Series>> {
        let data = self.get("query", &[("query", expression)]).await?;
        series(&data)
    }

    /// What `expression` was from `back` ago until now, every `step`.
    pub async fn query_range(&self, expression: &str, back: Duration, step: Duration) -> Result<Vec<Series>> {
        let end = now()?;
        let start = end - back.as_secs_f64();
        let (start, end, step) = (start.to_string(), end.to_string(), step.as_secs_f64().to_string());
        let asked = [("query", expression), ("start", &start), ("end", &end), ("step", &step)];
        let data = self.get("query_range", &asked).await?;
        series(&data)
    }

    /// The exemplars of the series in `expression`, from `back` ago until now.
    pub async fn exemplars(&self, expression: &str, back: Duration) -> Result<Vec<Exemplar>> {
        let end = now()?;
        let (start, end) = ((end - back.as_secs_f64()).to_string(), end.to_string());
        let data = self.get("query_exemplars", &[("query", expression), ("start", &start), ("end", &end)]).await?;
        let mut all = Vec::new();
        for series in array(&data)? {
            for exemplar in array(&series["exemplars"])? {
                let value = exemplar["value"].as_str().context("an exemplar has no value")?.parse()?;
                let (series, labels) = (series["seriesLabels"].clone(), exemplar["labels"].clone());
                all.push(Exemplar { series, labels, value });
            }
        }
        Ok(all)
    }

    /// Everything that is scraped, and how that went the last time.
    pub async fn targets(&self) -> Result<Vec<Target>> {
        let data = self.get("targets", &[("state", "active")]).await?;
        let text = |value: &Value| value.as_str().map(str::to_owned).context("a target lacks a text");
        let targets = array(&data["activeTargets"])?.iter().map(|target| {
            Ok(Target {
                pod: text(&target["labels"]["pod"])?,
                health: text(&target["health"])?,
                last_error: text(&target["lastError"])?,
            })
        });
        targets.collect()
    }

    /// The metrics that were scraped, with type and help: names are as they are told, without `_total`.
    pub async fn metadata(&self) -> Result<Value> {
        self.get("metadata", &[]).await
    }

    /// Every rule, with its health and last error.
    pub async fn rules(&self) -> Result<Vec<Value>> {
        let data = self.get("rules", &[]).await?;
        let mut all = Vec::new();
        for group in array(&data["groups"])? {
            all.extend(array(&group["rules"])?.iter().cloned());
        }
        Ok(all)
    }

    async fn get(&self, what: &str, asked: &[(&str, &str)]) -> Result<Value> {
        let asked: Vec<_> = asked.iter().map(|(name, value)| format!("{name}={}", escaped(value))).collect();
        let path = format!("/api/v1/{what}?{}", asked.join("&"));
        let (status, body) = http::get_within(self.port.number(), &path, QUERY).await?;
        let mut answer: Value =
            serde_json::from_str(&body).with_context(|| format!("{what}: HTTP {status}: {body}"))?;
        ensure!(status == 200 && answer["status"] == "success", "{what}: HTTP {status}: {}", answer["error"]);
        Ok(answer["data"].take())
    }

    async fn ready(&self) -> Result<()> {
        let ready = eventually("prometheus to be ready", READY, async || {
            if !self.process.is_running() {
                return Ok(false);
            }
            match http::get(self.port.number(), "/-/ready").await {
                Ok((200, _)) => Ok(true),
                Ok((status, body)) => Err(format!("HTTP {status}: {body}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await?;
        ensure!(ready, "prometheus ended before it was ready");
        Ok(())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Else it may be killed in the midst of a write, and say so in nobody's log.
        self.process.end(Signal::TERM, STOP);
    }
}

/// Runs promtool with `args` in `dir`: what it printed on both outputs, and whether it was content.
pub async fn promtool(dir: &Path, args: &[&str]) -> Result<(bool, String)> {
    let (dir, args) = (dir.to_owned(), args.iter().map(|&arg| arg.to_owned()).collect::<Vec<_>>());
    let run = move || -> Result<Output> {
        let installed = Tools::prometheus()?;
        let mut promtool = Command::new(installed.program("promtool"));
        promtool.args(args).current_dir(dir).env_clear().envs(installed.environment()?);
        promtool.output().context("cannot start promtool")
    };
    let output = tokio::task::spawn_blocking(run).await??;
    let printed = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok((output.status.success(), printed))
}

fn program(installed: &Packaged, name: &str) -> Result<Program> {
    let environment = installed.environment()?;
    let program = Program::new(installed.program(name));
    Ok(environment.into_iter().fold(program, |program, (name, value)| program.env(name, value)))
}

/// JSON is YAML.
fn configuration(targets: &[Scraped], rules: &[PathBuf]) -> String {
    let every = "1s";
    let targets = targets.iter().map(|Scraped { pod, address }| {
        serde_json::json!({ "targets": [address], "labels": { "namespace": NAMESPACE, "pod": pod } })
    });
    let configuration = serde_json::json!({
        "global": { "scrape_interval": every, "scrape_timeout": every, "evaluation_interval": every },
        "rule_files": rules,
        "scrape_configs": [{ "job_name": JOB, "static_configs": targets.collect::<Vec<_>>() }],
    });
    configuration.to_string()
}

fn series(data: &Value) -> Result<Vec<Series>> {
    let pair = |pair: &Value| -> Result<(f64, f64)> {
        let time = pair[0].as_f64().context("a value has no time")?;
        Ok((time, pair[1].as_str().context("a value is no text")?.parse()?))
    };
    let result = &data["result"];
    match data["resultType"].as_str() {
        Some("scalar") => Ok(vec![Series { labels: Value::Null, values: vec![pair(result)?] }]),
        Some("vector") => array(result)?
            .iter()
            .map(|it| Ok(Series { labels: it["metric"].clone(), values: vec![pair(&it["value"])?] }))
            .collect(),
        Some("matrix") => array(result)?
            .iter()
            .map(|it| {
                let values = array(&it["values"])?.iter().map(pair).collect::<Result<_>>()?;
                Ok(Series { labels: it["metric"].clone(), values })
            })
            .collect(),
        other => bail!("an answer of the type {other:?}"),
    }
}

fn array(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("no list: {value}"))
}

fn now() -> Result<f64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs_f64())
}

/// As a query of a URL takes it.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}
