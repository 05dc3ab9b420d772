//! Logs, to standard error.

use clap::ValueEnum;
use tracing::{Level, Metadata};
use tracing_subscriber::{
    EnvFilter, Layer, Registry,
    filter::{FilterExt as _, LevelFilter, filter_fn},
    fmt,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use super::traces::{Traces, spans};

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// An object a line.
    Json,
}

/// What is logged without `RUST_LOG`. What these libraries complain of, Fairlead tells itself, in a line that says
/// more.
const DEFAULT: &str = "info,kube_client=off,rustls_platform_verifier=off,aws_config=off";
/// What is not logged unless `RUST_LOG` names it: each export that fails, which Fairlead tells of once.
const QUIET: &str = "opentelemetry=off,opentelemetry_sdk=off,opentelemetry-otlp=off";

/// Starts logging, and making spans where there are traces. `RUST_LOG` chooses what is logged; without it, `info`
/// and above.
///
/// # Errors
/// Where `RUST_LOG` is not understood, one line that says so.
pub fn init(format: LogFormat, traces: Option<&Traces>) -> Result<(), String> {
    let chosen = std::env::var("RUST_LOG").ok().filter(|text| !text.is_empty());
    let text = chosen.as_deref().unwrap_or(DEFAULT);
    let filter =
        EnvFilter::try_new(format!("{QUIET},{text}")).map_err(|error| format!("RUST_LOG={text:?}: {error}"))?;
    let any = LevelFilter::TRACE;
    let safe = filter_fn(|event| !may_tell_secrets(event.target(), *event.level())).with_max_level_hint(any);
    let wanted = filter.and(safe).and(filter_fn(|it| !is_traced_span(it)).with_max_level_hint(any));
    let wanted = match traces {
        None => wanted.boxed(),
        // Whatever is logged, its line has the id of its trace.
        Some(_) => {
            let shown = filter_fn(|it| is_traced_span(it) && it.name() == spans::SHOWN);
            wanted.or(shown.with_max_level_hint(LevelFilter::INFO)).boxed()
        }
    };
    let logs = fmt::layer::<Registry>().with_writer(std::io::stderr).with_target(false);
    let logs = match format {
        LogFormat::Text => logs.with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr())).boxed(),
        LogFormat::Json => logs.json().flatten_event(true).with_span_list(false).boxed(),
    };
    tracing_subscriber::registry().with(logs.with_filter(wanted)).with(traces.map(Traces::layer)).init();
    Ok(())
}

/// Whether it is a span of a trace.
fn is_traced_span(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && metadata.target() == spans::TARGET
}

/// Whether events of this kind hold requests or answers as they are: at trace level the SDK logs those of AWS,
/// the client of the API server warns with the whole text of an answer that it can't read, and what sends spans
/// tells of headers and answers.
fn may_tell_secrets(target: &str, level: Level) -> bool {
    let any = |libraries: &[&str]| libraries.iter().any(|library| target.starts_with(library));
    match level {
        Level::TRACE => any(&["aws_", "kube_client", "h2", "hyper", "opentelemetry", "reqwest", "tonic"]),
        Level::DEBUG => any(&["h2", "opentelemetry", "reqwest", "tonic"]),
        Level::WARN => target.starts_with("kube_client"),
        _ => false,
    }
}
