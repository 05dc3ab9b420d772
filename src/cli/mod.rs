//! The command line: one file a subcommand.
//!
//! Exit codes: 0 done, 1 failed at run time, 2 wrong usage or settings.

use std::{error::Error as _, io::Write as _, process::ExitCode};

use clap::{
    ArgMatches, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::settings;

mod access;
mod ahead;
mod columns;
mod config;
mod crds;
mod explain;
mod metrics;
mod orphans;
mod plan;
mod run;
mod status;

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
    /// Print every metric, its labels and what it is.
    Metrics(metrics::Args),
    /// Show who leads which shard, and what every replica does.
    Status(status::Args),
    /// Say why an object is as it is, and what its next reconcile would do. Changes nothing.
    Explain(explain::Args),
    /// Say what applying manifests would change in AWS. Changes nothing.
    Plan(plan::Args),
    /// List database instances of this cluster whose object is gone. Changes nothing.
    Orphans(orphans::Args),
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // An empty variable counts as not set: charts and scripts set them so.
    let command = Cli::command().mut_subcommands(|subcommand| {
        subcommand.mut_args(|arg| match arg.get_env().and_then(std::env::var_os) {
            Some(value) if value.is_empty() => arg.env(Resettable::Reset),
            _ => arg,
        })
    });
    let outcome = command.try_get_matches().and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let outcome = match outcome {
        Ok((cli, matches)) => dispatch(cli, subcommand(&matches)),
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp
            | ErrorKind::DisplayVersion
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let _ = error.print();
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            _ => Err(Failure::Usage(mistake(&error))),
        },
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Runtime(why)) => {
            eprintln!("fairlead: {}", one_line(&why));
            ExitCode::from(1)
        }
        Err(Failure::Usage(why)) => {
            eprintln!("fairlead: {}", one_line(&why));
            ExitCode::from(2)
        }
    }
}

fn dispatch(cli: Cli, matches: &ArgMatches) -> Result<(), Failure> {
    match cli.command {
        Command::Run(args) => run::main(args, matches),
        Command::Crds(args) => crds::main(args),
        Command::Config(args) => config::main(&args, matches),
        Command::Metrics(args) => metrics::main(&args),
        Command::Status(args) => status::main(args),
        Command::Explain(args) => explain::main(args),
        Command::Plan(args) => plan::main(args),
        Command::Orphans(args) => orphans::main(args),
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

/// Prints to standard output. Whoever has read enough (`| head`) may close it.
fn print(text: &str) -> Result<(), Failure> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Runtime(format!("standard output: {error}")))
        }
        _ => Ok(()),
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A wrong command line or setting in one line: the setting by the name by which it was set, its
/// value, and what is allowed.
fn mistake(error: &clap::Error) -> String {
    let told = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let allowed = match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => Some(reason.to_string()),
        (None, Some(ContextValue::Strings(values))) if !values.is_empty() => {
            Some(format!("allowed: {}", values.join(", ")))
        }
        _ => None,
    };
    if let (Some(arg), Some(value), Some(allowed)) =
        (told(ContextKind::InvalidArg), told(ContextKind::InvalidValue), allowed)
    {
        let (name, whole) = as_set(arg.split(' ').next().unwrap_or(arg));
        return match whole.filter(|whole| whole != value) {
            // One of several, separated by commas.
            Some(whole) => format!("{name}={whole:?}: {value:?}: {allowed}"),
            None => format!("{name}={value:?}: {allowed}"),
        };
    }
    if let (ErrorKind::InvalidUtf8, Some(name)) = (error.kind(), not_text()) {
        return format!("{name}: the value is no UTF-8 text");
    }
    // Of clap's several paragraphs: what is wrong, and what was probably meant.
    let text = error.to_string();
    let mut lines = text.lines().map(str::trim);
    let wrong = lines.by_ref().take_while(|line| !line.is_empty()).collect::<Vec<_>>().join(" ");
    let tips: String = lines.filter_map(|line| line.strip_prefix("tip: ")).map(|tip| format!("; {tip}")).collect();
    format!("{}{tips}; `fairlead --help` tells more", wrong.trim_start_matches("error: "))
}

/// How a setting was set: by its flag, else by its variable, whose whole value is given too.
fn as_set(flag: &str) -> (String, Option<String>) {
    let is_flag = |arg: std::ffi::OsString| {
        arg.to_str().and_then(|arg| arg.strip_prefix(flag)).is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    };
    let variable = config::variables().into_iter().find(|variable| variable.flag == flag);
    match variable {
        Some(variable) if !std::env::args_os().any(is_flag) => {
            let whole = std::env::var(&variable.name).ok();
            (variable.name, whole)
        }
        _ => (flag.to_owned(), None),
    }
}

/// A setting whose variable holds no text.
fn not_text() -> Option<String> {
    let names = config::variables().into_iter().map(|variable| variable.name);
    names.into_iter().find(|name| matches!(std::env::var(name), Err(std::env::VarError::NotUnicode(_))))
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
