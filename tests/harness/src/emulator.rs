//! AWS emulators as child processes.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, bail};
use tokio::sync::OnceCell;

use crate::http;
use crate::ports::Port;
use crate::process::{Process, Program};
use crate::tools::Tools;
use crate::wait::eventually;

/// A running emulator; dropped means stopped.
#[derive(Debug)]
pub struct Emulator {
    kind: Kind,
    port: Port,
    process: Process,
}

/// An AWS account of an emulator, and the access key that acts in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Any secret key goes with it.
    pub access_key: String,
    /// Twelve digits.
    pub id: String,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Ministack,
    Moto,
}

/// moto's import alone takes seconds on a busy machine.
const READY: Duration = Duration::from_secs(60);

impl Emulator {
    /// Starts ministack.
    pub async fn ministack() -> Result<Emulator> {
        Emulator::start(Kind::Ministack).await
    }

    /// Starts moto.
    pub async fn moto() -> Result<Emulator> {
        Emulator::start(Kind::Moto).await
    }

    /// The ministack that the whole test process shares.
    pub async fn shared_ministack() -> Result<&'static Emulator> {
        static SHARED: OnceCell<Emulator> = OnceCell::const_new();
        SHARED.get_or_try_init(Emulator::ministack).await
    }

    /// The moto that the whole test process shares.
    pub async fn shared_moto() -> Result<&'static Emulator> {
        static SHARED: OnceCell<Emulator> = OnceCell::const_new();
        SHARED.get_or_try_init(Emulator::moto).await
    }

    /// The endpoint.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    /// An account: of ministack a fresh one at each call, of moto the only one.
    pub fn account(&self) -> Account {
        static NEXT: AtomicU64 = AtomicU64::new(100_000_000_001);
        match self.kind {
            Kind::Ministack => {
                let id = NEXT.fetch_add(1, Ordering::Relaxed).to_string();
                Account { access_key: id.clone(), id }
            }
            Kind::Moto => Account { access_key: "AKIAFAIRLEADTEST".to_owned(), id: "123456789012".to_owned() },
        }
    }

    /// The process, to stop it for a while or to read its log.
    pub fn process(&self) -> &Process {
        &self.process
    }

    async fn start(kind: Kind) -> Result<Emulator> {
        let make = match kind {
            Kind::Ministack => Tools::ministack,
            Kind::Moto => Tools::moto,
        };
        let python = tokio::task::spawn_blocking(make).await??;
        let port = Port::reserve()?;
        let program = Program::new(python).env("PATH", "/usr/bin:/bin");
        let program = match kind {
            Kind::Ministack => ministack(program, &port),
            Kind::Moto => moto(program, &port),
        };
        let process = Process::spawn(kind.name(), &program)?;
        let emulator = Emulator { kind, port, process };
        match emulator.ready().await {
            Ok(()) => Ok(emulator),
            Err(error) => Err(emulator.process.explain(error)),
        }
    }

    async fn ready(&self) -> Result<()> {
        let path = match self.kind {
            Kind::Ministack => "/_ministack/health",
            Kind::Moto => "/moto-api/",
        };
        let what = format!("{} to answer", self.kind.name());
        let answered = eventually(&what, READY, async || {
            if !self.process.is_running() {
                return Ok(false);
            }
            match http::get(self.port.number(), path).await {
                Ok((200, _)) => Ok(true),
                Ok((status, _)) => Err(format!("HTTP {status}")),
                Err(error) => Err(format!("{error:#}")),
            }
        })
        .await?;
        if !answered {
            bail!("{} ended before it answered", self.kind.name());
        }
        Ok(())
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Ministack => "ministack",
            Kind::Moto => "moto",
        }
    }
}

fn ministack(program: Program, port: &Port) -> Program {
    program
        .arg("-m")
        .arg("ministack")
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", port.number().to_string())
        // The host of the queue URLs it hands out.
        .env("MINISTACK_HOST", "127.0.0.1")
        .env("LOG_LEVEL", "WARNING")
}

fn moto(program: Program, port: &Port) -> Program {
    program.arg("-m").arg("moto.server").arg("-H").arg("127.0.0.1").arg("-p").arg(port.number().to_string())
}
