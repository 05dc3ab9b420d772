//! `fairlead-harness`: the test support as a command.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Result, bail};
use fairlead_harness::cluster::Cluster;
use fairlead_harness::emulator::Emulator;
use fairlead_harness::tools::Tools;
use tokio::signal::unix::{SignalKind, signal};

mod demo;

const USAGE: &str = "\
usage: fairlead-harness COMMAND

  setup   build and install all that the tests run on, into the cache
  up      run a control plane with Fairlead's kinds, and an AWS emulator,
          until Ctrl-C, SIGTERM, or the end of a piped standard input
  demo    show the operator at work, step by step, then leave all of it
          running until Ctrl-C; with --once, stop at the end
";

#[tokio::main]
async fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let result = match args.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["setup"] => setup(),
        ["up"] => up().await,
        ["demo"] => demo().await,
        ["demo", "--once"] => terminable(demo::once()).await,
        ["help" | "-h" | "--help"] => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fairlead-harness: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn setup() -> Result<()> {
    let began = Instant::now();
    Tools::ensure(|line| println!("[{:6.1} s] {line}", began.elapsed().as_secs_f64()))?;
    Ok(())
}

async fn demo() -> Result<()> {
    let mut demo = terminable(demo::show()).await?;
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        failed = demo.look_after_replicas() => failed,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminated.recv() => Ok(()),
        () = input_end() => Ok(()),
    }
}

/// `work`, which a signal ends before its time: dropped, it stops what it started.
async fn terminable<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        result = work => result,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminated.recv() => bail!("terminated"),
    }
}

async fn up() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    let run = async {
        let (cluster, emulator) = tokio::try_join!(Cluster::start(), Emulator::ministack())?;
        let deploy = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy");
        if deploy.join("crds").is_dir() {
            cluster.install(&deploy).await?;
        }
        println!("export KUBECONFIG={}", cluster.admin_kubeconfig().display());
        println!("export AWS_ENDPOINT_URL={}", emulator.url());
        // Kept until the future is dropped.
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        failed = run => failed,
        interrupted = tokio::signal::ctrl_c() => Ok(interrupted?),
        _ = terminated.recv() => Ok(()),
        () = input_end() => Ok(()),
    }
}

/// The end of standard input, where somebody holds its other end: it is no
/// sign of anything that a background job starts with nothing to read.
async fn input_end() {
    let stdin = rustix::stdio::stdin();
    let piped = rustix::fs::fstat(stdin).is_ok_and(|stat| {
        let kind = rustix::fs::FileType::from_raw_mode(stat.st_mode);
        kind.is_fifo() || kind.is_socket()
    });
    if !piped {
        std::future::pending::<()>().await;
    }
    // A thread, not tokio's reader: that one would hold up the runtime's end.
    let (ended, end) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        ended.send(())
    });
    let _ = end.await;
}
