//! Logs, to standard error.

use clap::ValueEnum;
use tracing::Level;
use tracing_subscriber::{EnvFilter, filter::filter_fn, layer::SubscriberExt as _, util::SubscriberInitExt as _};

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// What is logged without `RUST_LOG`. What these libraries complain of, Fairlead tells itself,
/// in a line that says more.
const DEFAULT: &str = "info,kube_client=off,rustls_platform_verifier=off,aws_config=off";

/// Starts logging. `RUST_LOG` chooses what is logged; without it, `info` and above.
///
/// # Errors
/// Where `RUST_LOG` is not understood, one line that says so.
pub fn init(format: LogFormat) -> Result<(), String> {
    let filter = match std::env::var("RUST_LOG") {
        Ok(text) if !text.is_empty() => EnvFilter::try_new(&text).map_err(|e| format!("RUST_LOG={text:?}: {e}"))?,
        _ => EnvFilter::new(DEFAULT),
    };
    let safe = filter_fn(|event| !may_tell_secrets(event.target(), *event.level()));
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    match format {
        LogFormat::Text => {
            logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).finish().with(safe).init();
        }
        LogFormat::Json => logs.json().flatten_event(true).finish().with(safe).init(),
    }
    Ok(())
}

/// Whether events of this kind hold requests or answers as they are: at trace level the SDK logs those of AWS,
/// and the client of the API server warns with the whole text of an answer that it can't read.
fn may_tell_secrets(target: &str, level: Level) -> bool {
    match level {
        Level::TRACE => target.starts_with("aws_") || target.starts_with("kube_client"),
        Level::WARN => target.starts_with("kube_client"),
        _ => false,
    }
}
