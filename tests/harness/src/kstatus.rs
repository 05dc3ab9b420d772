//! What kubectl-side tools (Flux, `kpt live`, …) make of an object.

use std::process::Stdio;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use crate::tools::Tools;

/// The status that kstatus computes for each object: `Current`, `InProgress`,
/// `Failed`, `Terminating`, or `NotFound` for `Value::Null`.
pub async fn kstatus(objects: &[Value]) -> Result<Vec<String>> {
    let program = tokio::task::spawn_blocking(Tools::kstatus).await??;
    let mut child = Command::new(program)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut stdin = child.stdin.take().context("kstatus has no input")?;
    let lines: String = objects.iter().map(|object| format!("{object}\n")).collect();
    let feed = async move { stdin.write_all(lines.as_bytes()).await };
    let (fed, output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if !output.status.success() {
        bail!("kstatus: {}", String::from_utf8_lossy(&output.stderr));
    }
    fed?;
    let answers: Vec<String> = String::from_utf8(output.stdout)?.lines().map(Into::into).collect();
    ensure!(answers.len() == objects.len(), "kstatus answered {answers:?}");
    Ok(answers)
}
