//! What a run has started ends with it, however it ends.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_harness::process::{Process, Program};
use fairlead_harness::wait::eventually;

const HELPER: &str = "FAIRLEAD_HARNESS_LEASH_HELPER";

/// Not a test by itself: the process that the test below starts and kills.
#[test]
fn helper() -> Result<()> {
    if std::env::var_os(HELPER).is_none() {
        return Ok(());
    }
    // A child of the child, too; and from a thread that ends at once.
    let script = "sleep 600 & echo $!; wait";
    let program = Program::new("/bin/sh").arg("-c").arg(script).env("PATH", "/usr/bin:/bin");
    let process = std::thread::spawn(move || Process::spawn("parent", &program))
        .join()
        .map_err(|_| anyhow::anyhow!("the thread panicked"))??;
    let grandchild = loop {
        if let Some(line) = process.log().lines().next() {
            break line.to_owned();
        }
        std::thread::yield_now();
    };
    // The standard test runner keeps back what is printed; not what goes around it.
    use std::io::Write as _;
    let line = format!("pids {} {grandchild} {}\n", process.pid(), process.dir().display());
    std::io::stderr().write_all(line.as_bytes())?;
    assert!(process.is_running());
    loop {
        std::thread::park();
    }
}

fn runs(pid: &str) -> bool {
    // A zombie has ended; only its parent has not looked yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn a_killed_parent_leaves_no_child_and_no_file() -> Result<()> {
    let mut parent = Command::new(std::env::current_exe()?)
        .args(["--exact", "helper", "--nocapture"])
        .env(HELPER, "1")
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let stderr = BufReader::new(parent.stderr.take().context("no stderr")?);
    let line = stderr
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("pids "))
        .context("the helper has not started its child")?;
    let [_, child, grandchild, dir] = line.split(' ').collect::<Vec<_>>()[..] else {
        anyhow::bail!("{line}");
    };
    assert!(runs(child) && runs(grandchild));
    assert!(Path::new(dir).exists());
    parent.kill()?;
    parent.wait()?;
    let run = Path::new(dir).parent().context("no parent")?;
    eventually("the leash", Duration::from_secs(10), async || {
        let left = (runs(child), runs(grandchild), run.exists());
        if left == (false, false, false) { Ok(()) } else { Err(format!("{left:?}")) }
    })
    .await
}
