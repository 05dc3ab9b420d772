//! Child processes that never outlive the run, whatever happens to it.
//!
//! A child starts as a shell that waits on a pipe, and becomes the program only
//! after the leash knows its process id: there is no moment at which the run
//! can be killed and leave it behind.

use std::ffi::OsString;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, WaitId, WaitIdOptions, kill_process, kill_process_group, waitid};

pub use rustix::process::Signal;

use crate::run::{self, Scratch};
use crate::wait::eventually;

/// What to start. The environment is exactly the one given.
#[derive(Clone, Debug)]
pub struct Program {
    path: PathBuf,
    args: Vec<OsString>,
    env: Vec<(String, OsString)>,
}

/// A running child, the leader of its own process group; dropped means killed.
#[derive(Debug)]
pub struct Process {
    name: String,
    pid: Pid,
    state: Mutex<State>,
    scratch: Scratch,
}

#[derive(Debug)]
enum State {
    Running(Child),
    Ended(ExitStatus),
}

/// `env -i` drops what the shell itself may have added to the environment.
const GATE: &str = r#"read -r _ && exec env -i "$@" </dev/null"#;

/// The part of a log that an error shows.
const TAIL_LINES: usize = 30;

impl Program {
    /// A program with no arguments and an empty environment.
    pub fn new(path: impl Into<PathBuf>) -> Program {
        Program { path: path.into(), args: Vec::new(), env: Vec::new() }
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<OsString>) -> Program {
        self.args.push(arg.into());
        self
    }

    /// Adds `--name=value`.
    #[must_use]
    pub fn flag(self, name: &str, value: impl AsRef<std::ffi::OsStr>) -> Program {
        let mut flag = OsString::from(format!("--{name}="));
        flag.push(value);
        self.arg(flag)
    }

    /// Sets an environment variable; the last setting of a name counts.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<OsString>) -> Program {
        self.env.push((name.into(), value.into()));
        self
    }
}

impl Process {
    /// Starts a program. `HOME`, `TMPDIR` and the working directory are a fresh
    /// directory of its own unless the program sets them.
    pub fn spawn(name: &str, program: &Program) -> Result<Process> {
        Process::prepared(name, program, |_| Ok(()))
    }

    /// The same, after `prepare` has put into that directory what the program is to find there.
    pub fn prepared(name: &str, program: &Program, prepare: impl FnOnce(&Path) -> Result<()>) -> Result<Process> {
        let scratch = Scratch::new(name)?;
        prepare(scratch.path())?;
        let log = File::create(scratch.path().join("log"))?;
        let mut child = gate(program, scratch.path())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let pid = i32::try_from(child.id())
            .ok()
            .and_then(Pid::from_raw)
            .with_context(|| format!("{name} has no process id"))?;
        let go = child.stdin.take();
        let process = Process { name: name.to_owned(), pid, state: Mutex::new(State::Running(child)), scratch };
        run::adopt(process.pid())?;
        writeln!(go.context("no pipe to the child")?, "go")?;
        Ok(process)
    }

    /// The program's own process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// A directory that lives as long as the process value.
    pub fn dir(&self) -> &Path {
        self.scratch.path()
    }

    /// Sends a signal to the program, to nothing else.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let state = self.state();
        match &*state {
            State::Ended(status) => bail!("{} has ended: {status}", self.name),
            // Not reaped yet, so the id is certainly still its own.
            State::Running(_) => kill_process(self.pid, signal).with_context(|| format!("cannot signal {}", self.name)),
        }
    }

    /// How the program ended, if it has.
    pub fn exit_status(&self) -> Result<Option<ExitStatus>> {
        let mut state = self.state();
        let child = match &mut *state {
            State::Ended(status) => return Ok(Some(*status)),
            State::Running(child) => child,
        };
        let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        if waitid(WaitId::Pid(self.pid), look)?.is_none() {
            return Ok(None);
        }
        let status = self.reap(child)?;
        *state = State::Ended(status);
        Ok(Some(status))
    }

    /// Whether the program still runs (or is stopped by a signal).
    pub fn is_running(&self) -> bool {
        matches!(self.exit_status(), Ok(None))
    }

    /// Waits for the program's end.
    pub async fn wait_exit(&self, deadline: Duration) -> Result<ExitStatus> {
        let what = format!("{} to end", self.name);
        eventually(&what, deadline, async || match self.exit_status() {
            Ok(Some(status)) => Ok(status),
            Ok(None) => Err("it runs".to_owned()),
            Err(error) => Err(error.to_string()),
        })
        .await
        .map_err(|error| self.explain(error))
    }

    /// Asks the program to end by a signal, gives it so long, and then kills it, with everything it started. For
    /// those who are dropped, and can't await.
    pub fn end(&self, signal: Signal, patience: Duration) {
        if self.signal(signal).is_ok() {
            let end = Instant::now() + patience;
            while self.is_running() && Instant::now() < end {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        let _ = self.kill();
    }

    /// Kills the program and everything it started, and waits for its end.
    pub fn kill(&self) -> Result<ExitStatus> {
        let mut state = self.state();
        let child = match &mut *state {
            State::Ended(status) => return Ok(*status),
            State::Running(child) => child,
        };
        let status = self.reap(child)?;
        *state = State::Ended(status);
        Ok(status)
    }

    /// All the program has printed.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.scratch.path().join("log")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Adds how the program fares, and the end of its log, to an error.
    pub fn explain(&self, error: anyhow::Error) -> anyhow::Error {
        let fares = match self.exit_status() {
            Ok(Some(status)) => format!("ended: {status}"),
            Ok(None) => "runs".to_owned(),
            Err(error) => format!("unknown: {error}"),
        };
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n");
        anyhow!("{error:#}\n{} {fares}; the end of its log:\n{tail}", self.name)
    }

    /// The order matters: while the leader is not reaped, neither its id nor
    /// its group's can be anybody else's.
    fn reap(&self, child: &mut Child) -> Result<ExitStatus> {
        // Fails when nothing of the group is left to kill, which is what is wanted.
        let _ = kill_process_group(self.pid, Signal::KILL);
        let released = run::release(self.pid());
        let status = child.wait()?;
        released.map(|()| status)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

fn gate(program: &Program, dir: &Path) -> Command {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", GATE, "gate"]);
    for name in ["HOME", "TMPDIR"] {
        command.arg(assignment(name, dir.as_os_str()));
    }
    for (name, value) in &program.env {
        command.arg(assignment(name, value));
    }
    command.arg(&program.path).args(&program.args).env_clear().current_dir(dir).stdin(Stdio::piped()).process_group(0);
    command
}

fn assignment(name: &str, value: &std::ffi::OsStr) -> OsString {
    let mut pair = OsString::from(format!("{name}="));
    pair.push(value);
    pair
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Program {
        Program::new("/bin/sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn the_environment_is_exactly_the_one_given() -> Result<()> {
        let program = Program::new("/usr/bin/env").env("GREETING", "a b=c");
        let process = Process::spawn("env", &program)?;
        assert!(process.wait_exit(SOON).await?.success());
        let log = process.log();
        let mut lines: Vec<_> = log.lines().collect();
        lines.sort_unstable();
        let dir = process.dir().display();
        assert_eq!(lines, ["GREETING=a b=c", &format!("HOME={dir}"), &format!("TMPDIR={dir}")]);
        Ok(())
    }

    #[tokio::test]
    async fn exit_codes_and_signals_are_told_apart() -> Result<()> {
        let process = Process::spawn("three", &shell("exit 3"))?;
        assert_eq!(process.wait_exit(SOON).await?.code(), Some(3));
        assert!(process.signal(Signal::TERM).is_err());

        let process = Process::spawn("sleep", &shell("exec sleep 60"))?;
        process.signal(Signal::STOP)?;
        assert!(process.is_running());
        process.signal(Signal::KILL)?;
        assert_eq!(process.wait_exit(SOON).await?.code(), None);
        Ok(())
    }

    #[tokio::test]
    async fn a_program_that_is_not_there_is_an_exit_with_a_reason() -> Result<()> {
        let process = Process::spawn("ghost", &Program::new("/nonexistent/ghost"))?;
        assert_eq!(process.wait_exit(SOON).await?.code(), Some(127));
        assert!(process.explain(anyhow!("x")).to_string().contains("No such file"));
        Ok(())
    }
}
