//! A PostgreSQL server, to prove that passwords and connection URLs are accepted.
//!
//! It refuses to run as root: where the suite is root, it runs as nobody.

use std::ffi::OsString;
use std::fs::{Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::Command;

use crate::ports::Port;
use crate::process::{Process, Program, Signal};
use crate::run::{self, Scratch};
use crate::tools::{Packaged, Tools};
use crate::wait::eventually;

/// A running server with databases of its own; dropped means stopped.
#[derive(Debug)]
pub struct Postgres {
    port: Port,
    process: Process,
    client: Client,
    /// What is stopped above must not find its files gone.
    home: Scratch,
}

#[derive(Debug)]
struct Client {
    psql: PathBuf,
    environment: Vec<(&'static str, OsString)>,
}

/// The user and the group `nobody`, which have these numbers everywhere.
const NOBODY: u32 = 65534;

/// The superuser, who comes in by the socket alone.
const SUPERUSER: &str = "postgres";

/// On a busy machine a database directory takes seconds to write.
const READY: Duration = Duration::from_secs(60);
const STOP: Duration = Duration::from_secs(5);

/// Lines of the server's `postmaster.pid`: the key and the id of its shared memory, and its state.
const MEMORY: usize = 6;
const STATE: usize = 7;

/// Nothing that is kept, little memory, and no just-in-time compiler, whose
/// library is larger than the rest.
const SETTINGS: &[(&str, &str)] = &[
    ("autovacuum", "off"),
    // Else in the system's shared memory, where a killed server leaves it.
    ("dynamic_shared_memory_type", "mmap"),
    ("fsync", "off"),
    ("jit", "off"),
    ("listen_addresses", "127.0.0.1"),
    ("max_connections", "50"),
    ("password_encryption", "scram-sha-256"),
    ("shared_buffers", "16MB"),
];

impl Postgres {
    /// Makes an empty database directory, and starts a server on it.
    pub async fn start() -> Result<Postgres> {
        let installed = tokio::task::spawn_blocking(Tools::postgresql).await??;
        let home = Scratch::new("postgres-home")?;
        let root = rustix::process::geteuid().is_root();
        let installed = if root { give_away(&installed, &home)? } else { installed };
        let program = |name: &str| program(&installed, name, &home, root);

        let made = Process::spawn("initdb", &initdb(program("initdb")?))?;
        let status = made.wait_exit(READY).await?;
        if !status.success() {
            bail!(made.explain(anyhow::anyhow!("no database directory was made")));
        }
        let port = Port::reserve()?;
        let process = Process::spawn("postgres", &server(program("postgres")?, &port, &home))?;
        let client = Client { psql: installed.program("psql"), environment: installed.environment()? };
        let postgres = Postgres { port, process, client, home };
        match postgres.ready().await {
            Ok(()) => Ok(postgres),
            Err(error) => Err(postgres.process.explain(error)),
        }
    }

    /// Of 127.0.0.1. Connections to it need a role's password.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The process, to stop it for a while or to read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Makes a role that may log in, and its database of the same name.
    ///
    /// PostgreSQL takes a password that looks like one of its own hashes for that hash.
    pub async fn create_role(&self, name: &str, password: &str) -> Result<()> {
        let (role, password) = (identifier(name), literal(password));
        let port = self.port().to_string();
        let socket = [
            ("PGHOST", self.home.path().as_os_str()),
            ("PGPORT", port.as_ref()),
            ("PGUSER", SUPERUSER.as_ref()),
            ("PGDATABASE", SUPERUSER.as_ref()),
        ];
        // Two commands: a database is not made within a transaction.
        let mut psql = self.psql();
        psql.envs(socket)
            .arg(format!("--command=create role {role} login password {password}"))
            .arg(format!("--command=create database {role} owner {role}"));
        run(psql).await.map(drop).with_context(|| format!("the role {name} cannot be made"))
    }

    /// What `sql` answers to psql, which connects by `url`: rows are lines, columns are parted by `|`.
    ///
    /// The URL is read by libpq, as most programs that use PostgreSQL do.
    pub async fn query(&self, url: &str, sql: &str) -> Result<String> {
        // Else psql takes it for the name of a database.
        let schemes = ["postgres://", "postgresql://"];
        ensure!(schemes.iter().any(|scheme| url.starts_with(scheme)), "{url} begins with none of {schemes:?}");
        let mut psql = self.psql();
        psql.arg(format!("--dbname={url}")).arg(format!("--command={sql}"));
        let answer = run(psql).await?;
        Ok(answer.strip_suffix('\n').unwrap_or(&answer).to_owned())
    }

    /// Nothing of the caller's environment or home says how to connect.
    fn psql(&self) -> Command {
        let mut psql = Command::new(&self.client.psql);
        psql.args(["--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"])
            .arg("--set=ON_ERROR_STOP=1")
            .env_clear()
            .envs(self.client.environment.iter().map(|(name, value)| (name, value)))
            .env("HOME", self.home.path())
            .env("PGCONNECT_TIMEOUT", "10")
            .current_dir("/");
        psql
    }

    async fn ready(&self) -> Result<()> {
        let ready = eventually("postgres to be ready", READY, async || {
            if !self.process.is_running() {
                return Ok(false);
            }
            match self.state(STATE).as_deref() {
                Some("ready") => Ok(true),
                other => Err(other.unwrap_or("no state").to_owned()),
            }
        })
        .await?;
        ensure!(ready, "postgres ended before it was ready");
        Ok(())
    }

    /// A line of the file in which the server tells about itself while it runs.
    fn state(&self, line: usize) -> Option<String> {
        let told = std::fs::read_to_string(self.home.path().join("data/postmaster.pid")).ok()?;
        told.lines().nth(line).map(|line| line.trim().to_owned())
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.process.end(Signal::QUIT, STOP);
        // Ended by itself, it has removed both the file and the segment. The run's leash does the same.
        if let Some(segment) = self.state(MEMORY).and_then(|line| line.split(' ').next_back().map(str::to_owned)) {
            let _ = std::process::Command::new("ipcrm")
                .arg("-m")
                .arg(segment)
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .output();
        }
    }
}

/// Makes `home` nobody's, with programs that nobody can run.
fn give_away(installed: &Packaged, home: &Scratch) -> Result<Packaged> {
    run::let_group_in(NOBODY)?;
    let reachable = installed.reachable(&home.path().join("programs"))?;
    // Closed first: the group that is let in above is not only the server.
    set_permissions(home.path(), Permissions::from_mode(0o700))?;
    chown(home.path(), Some(NOBODY), Some(NOBODY)).context("cannot give a directory to the user nobody")?;
    Ok(reachable)
}

fn program(installed: &Packaged, name: &str, home: &Scratch, as_nobody: bool) -> Result<Program> {
    let path = installed.program(name);
    let mut program = if as_nobody {
        // The working directory has to be one that this user may enter.
        let program = Program::new("env").arg("-C").arg(home.path()).arg("setpriv");
        program.flag("reuid", NOBODY.to_string()).flag("regid", NOBODY.to_string()).arg("--clear-groups").arg(path)
    } else {
        Program::new(path)
    };
    for (name, value) in installed.environment()? {
        program = program.env(name, value);
    }
    Ok(program.env("HOME", home.path()).env("TMPDIR", home.path()).arg("-D").arg(home.path().join("data")))
}

fn initdb(program: Program) -> Program {
    program
        .arg("--no-sync")
        .arg("--no-locale")
        .flag("encoding", "UTF8")
        .flag("username", SUPERUSER)
        // The socket is in a directory that only the server's user may enter.
        .flag("auth-local", "trust")
        .flag("auth-host", "scram-sha-256")
}

fn server(program: Program, port: &Port, home: &Scratch) -> Program {
    let settings = SETTINGS.iter().map(|(name, value)| format!("{name}={value}"));
    let places = [format!("port={}", port.number()), format!("unix_socket_directories={}", home.path().display())];
    settings.chain(places).fold(program, |program, setting| program.arg("-c").arg(setting))
}

/// What psql printed, or its complaint.
async fn run(mut psql: Command) -> Result<String> {
    psql.stdin(Stdio::null()).kill_on_drop(true);
    let output = psql.output().await.context("cannot start psql")?;
    if !output.status.success() {
        bail!("psql: {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// Under `standard_conforming_strings`, the default, only the quote is special.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
