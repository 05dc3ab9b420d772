//! One kubectl command with an environment that is fully known.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context as _, Result};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Runs kubectl; answers what it printed, or its complaint if it failed.
pub(super) async fn run(
    program: &Path,
    kubeconfig: &Path,
    home: &Path,
    args: &[&str],
    input: &str,
) -> Result<Result<String, String>> {
    let mut child = Command::new(program)
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        // Its discovery cache is this cluster's alone.
        .env("HOME", home)
        .env("KUBECONFIG", kubeconfig)
        .current_dir(home)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start kubectl")?;
    let mut stdin = child.stdin.take().context("kubectl has no input")?;
    // A command that does not read its input has ended the pipe: no fault.
    let feed = async move { stdin.write_all(input.as_bytes()).await.unwrap_or_default() };
    let ((), output) = tokio::join!(feed, child.wait_with_output());
    let output = output?;
    if output.status.success() {
        Ok(Ok(String::from_utf8(output.stdout)?))
    } else {
        Ok(Err(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}
