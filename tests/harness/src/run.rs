//! What one test process owns: its directory, and the leash on its children.
//!
//! A destructor is not enough: statics are never dropped and a killed process
//! drops nothing. `PR_SET_PDEATHSIG` is not enough either: it fires when the
//! spawning *thread* ends. So a small shell process waits for the end of a pipe
//! that only this process holds.

use std::fs::{Permissions, set_permissions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};

/// A directory in the run's own, removed on drop, or by the leash.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
}

struct Leash {
    dir: PathBuf,
    pipe: ChildStdin,
    made: u64,
    _process: Child,
}

static LEASH: Mutex<Option<Leash>> = Mutex::new(None);

/// From now on the process group `pid` is killed when this process ends.
pub(crate) fn adopt(pid: u32) -> Result<()> {
    with_leash(|leash| writeln!(leash.pipe, "+{pid}").context("the leash is gone"))
}

/// The process group `pid` is gone. To be called before its number is free.
pub(crate) fn release(pid: u32) -> Result<()> {
    with_leash(|leash| writeln!(leash.pipe, "-{pid}").context("the leash is gone"))
}

/// From now on members of the group `gid` may pass through the run's directory
/// to what is theirs in it, where they know its name. For root alone to call.
pub(crate) fn let_group_in(gid: u32) -> Result<()> {
    with_leash(|leash| {
        let dir = &leash.dir;
        let opened = chown(dir, None, Some(gid)).and_then(|()| set_permissions(dir, Permissions::from_mode(0o710)));
        opened.with_context(|| format!("cannot open {} to the group {gid}", dir.display()))
    })
}

impl Scratch {
    /// Creates a fresh directory.
    pub(crate) fn new(name: &str) -> Result<Scratch> {
        let path = with_leash(|leash| {
            leash.made += 1;
            Ok(leash.dir.join(format!("{name}-{}", leash.made)))
        })?;
        std::fs::create_dir(&path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Scratch { path })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What is left over goes with the run's directory.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

fn with_leash<T>(act: impl FnOnce(&mut Leash) -> Result<T>) -> Result<T> {
    let mut slot = LEASH.lock().unwrap_or_else(PoisonError::into_inner);
    let leash = match slot.take() {
        Some(leash) => leash,
        None => start()?,
    };
    act(slot.insert(leash))
}

fn start() -> Result<Leash> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let name = format!("fairlead-{}-{since:x}", std::process::id());
    let dir = std::env::temp_dir().join(name);
    std::fs::DirBuilder::new().mode(0o700).create(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let mut process = Command::new("/bin/sh")
        .args(["-c", include_str!("leash.sh"), "fairlead-leash"])
        .arg(&dir)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // A terminal's Ctrl-C must not reach it.
        .process_group(0)
        .spawn()
        .context("cannot start the leash")?;
    let pipe = process.stdin.take().context("the leash has no pipe")?;
    Ok(Leash { dir, pipe, made: 0, _process: process })
}
