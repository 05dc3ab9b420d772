//! The command line: one file a subcommand.
//!
//! Exit codes: 0 done, 1 failed at run time, 2 wrong usage or settings.

use std::process::ExitCode;

use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::{settings, telemetry::logs};

mod config;
mod crds;
mod run;

/// Manages AWS resources from Kubernetes custom resources.
#[derive(Debug, Parser)]
#[command(name = "fairlead", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the operator.
    Run(run::Args),
    /// Print the CustomResourceDefinitions.
    Crds(crds::Args),
    /// Print every setting, its value and where it came from.
    Config(config::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let matches = match Cli::command().try_get_matches() {
        Ok(matches) => matches,
        Err(error) => {
            // clap's own: help goes to standard output with 0, a mistake to standard error with 2.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let outcome = match Cli::from_arg_matches(&matches).map(|cli| cli.command) {
        Ok(Command::Run(args)) => run::main(args),
        Ok(Command::Crds(args)) => crds::main(args),
        Ok(Command::Config(args)) => config::main(&args, subcommand(&matches)),
        Err(error) => Err(Failure::Usage(error.to_string())),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Runtime(why)) => {
            eprintln!("fairlead: {why}");
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            eprintln!("fairlead: {why}");
            ExitCode::from(2)
        }
    }
}

/// Why a command failed, in one line.
#[derive(Debug)]
enum Failure {
    /// At run time.
    Runtime(String),
    /// Before it began: wrong usage or settings.
    Usage(String),
}

fn subcommand(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| matches)
}

/// The variables with our prefix that mean nothing, a line each.
fn unknown_variables() -> Vec<String> {
    let known: Vec<_> = config::variables().into_iter().map(|variable| variable.name).collect();
    let set = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let line = |unknown: settings::Unknown<'_>| match unknown.nearest {
        Some(nearest) => format!("{} is not a setting; was {nearest} meant?", unknown.name),
        None => format!("{} is not a setting; `fairlead config` lists them", unknown.name),
    };
    settings::unknown(&known, set).into_iter().map(line).collect()
}

fn start_logs(format: logs::LogFormat) -> Result<(), Failure> {
    logs::init(format).map_err(Failure::Usage)
}
