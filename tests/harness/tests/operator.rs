//! A replica is started with exactly the environment that is asked for.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use fairlead_harness::operator::{Operator, OperatorSpec};

const SOON: Duration = Duration::from_secs(10);

/// A program that stands in for the operator.
fn stand_in(name: &str, script: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n"))?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn spec(binary: PathBuf) -> OperatorSpec {
    OperatorSpec::new(binary, "/kubeconfig", "http://127.0.0.1:1", "100000000001")
}

#[tokio::test]
async fn nothing_of_the_callers_environment_comes_through() -> Result<()> {
    let binary = stand_in("prints", "echo \"args $*\"; env; exit 2")?;
    let spec = spec(binary).arg("--dry").env("AWS_REGION", "cn-north-1");
    let operator = Operator::start(&spec)?;
    assert_eq!(operator.exit_code(SOON).await?, 2);
    let log = operator.log();
    assert!(log.contains("args run --dry\n"), "{log}");
    assert!(log.contains("\nAWS_REGION=cn-north-1\n"), "{log}");
    assert!(log.contains("\nKUBECONFIG=/kubeconfig\n"), "{log}");
    assert!(!log.contains("CARGO"), "{log}");
    let early = operator.ready(SOON).await.err().map(|error| error.to_string());
    assert!(early.is_some_and(|error| error.contains("ended too soon")));
    Ok(())
}

#[tokio::test]
async fn signals_reach_the_program_itself() -> Result<()> {
    let binary = stand_in("sleeps", "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done")?;
    let operator = Operator::start(&spec(binary))?;
    fairlead_harness::wait::eventually("the program", SOON, async || {
        if operator.log().contains("up") { Ok(()) } else { Err("silence".into()) }
    })
    .await?;
    operator.stop()?;
    operator.terminate()?;
    assert!(operator.is_running());
    operator.cont()?;
    assert_eq!(operator.exit_code(SOON).await?, 7);
    operator.kill()
}
