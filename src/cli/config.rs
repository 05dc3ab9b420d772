//! `fairlead config`: every setting, its value and where it came from; with `--markdown`, the
//! reference that `docs/configuration.md` holds.

use clap::{Arg, ArgMatches, Args as _, Command, parser::ValueSource};

use super::{Failure, print, unknown_variables};
use crate::settings::{Settings, counts_follow_frequency};

#[derive(clap::Args, Debug)]
pub(super) struct Args {
    #[command(flatten)]
    _settings: Settings,

    /// Print the reference of all settings as Markdown.
    #[arg(long)]
    markdown: bool,
}

/// A setting, as the command line knows it.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) flag: String,
    value_name: String,
    default: String,
    help: String,
}

/// Standard variables of others that Fairlead honours: name, what it does.
const STANDARD: [(&str, &str); 20] = [
    ("KUBECONFIG", "How to reach the API server. Without it, `~/.kube/config`, then the pod's ServiceAccount."),
    ("RUST_LOG", "What is logged, for example `info` or `fairlead=debug`. Default: `info`."),
    ("AWS_REGION", "The region for objects that name none, where FAIRLEAD_REGION is not set."),
    ("AWS_ENDPOINT_URL", "Another endpoint for all AWS services; `AWS_ENDPOINT_URL_SQS` for SQS alone."),
    ("AWS_USE_FIPS_ENDPOINT", "`true` uses FIPS endpoints."),
    ("AWS_USE_DUALSTACK_ENDPOINT", "`true` uses dual-stack endpoints."),
    (
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "Where traces go: a URL, for example `http://collector:4318`. Without it there are none.",
    ),
    ("OTEL_EXPORTER_OTLP_PROTOCOL", "`http/protobuf` (the default; port 4318 as a rule) or `grpc` (4317)."),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "Headers for the collector, `key=value`, separated by commas. They may hold credentials.",
    ),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "The file of the certificates (PEM) that are trusted instead of the system's."),
    (
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "The file of the client's own certificate (PEM), with `OTEL_EXPORTER_OTLP_CLIENT_KEY`.",
    ),
    ("OTEL_EXPORTER_OTLP_COMPRESSION", "`gzip` compresses. Default: none."),
    ("OTEL_EXPORTER_OTLP_TIMEOUT", "Milliseconds that one attempt may take. Default: 10000."),
    ("OTEL_EXPORTER_OTLP_TRACES_*", "Each of the above for traces alone, which wins."),
    ("OTEL_SERVICE_NAME", "What the traces call the operator. Default: `fairlead`."),
    ("OTEL_RESOURCE_ATTRIBUTES", "Further attributes of all spans, `key=value`, separated by commas."),
    (
        "OTEL_TRACES_SAMPLER",
        "Which traces are kept. Default: `parentbased_always_on`; `parentbased_traceidratio` keeps the part that `OTEL_TRACES_SAMPLER_ARG` says, for example 0.01.",
    ),
    (
        "OTEL_BSP_*",
        "How spans are gathered: `MAX_QUEUE_SIZE` (2048; more are dropped and counted), `MAX_EXPORT_BATCH_SIZE` (512), `SCHEDULE_DELAY` and `EXPORT_TIMEOUT` (5000 and 30000 ms).",
    ),
    ("OTEL_SDK_DISABLED", "`true` makes no traces, whatever the others say."),
    ("AWS_*", "Credentials, as the AWS SDK finds them: variables, profile, web identity, container, instance."),
];

pub(super) fn main(args: &Args, matches: &ArgMatches) -> Result<(), Failure> {
    if args.markdown {
        return print(&markdown());
    }
    let rows = variables_with_ids().into_iter().map(|(id, variable)| {
        let (id, follows) = match id == "count_interval" && counts_follow_frequency(matches) {
            true => ("reconcile_frequency_seconds".to_owned(), true),
            false => (id, false),
        };
        let value = matches.get_raw(&id).map_or_else(
            || "-".to_owned(),
            |values| values.map(|value| value.to_string_lossy()).collect::<Vec<_>>().join(","),
        );
        let source = match matches.value_source(&id) {
            _ if follows => "as RECONCILE_FREQUENCY_SECONDS".into(),
            Some(ValueSource::CommandLine) => format!("flag {}", variable.flag),
            Some(ValueSource::EnvVariable) => "environment".into(),
            Some(_) => "default".into(),
            None => "not set".into(),
        };
        [variable.name, value, source]
    });
    let rows: Vec<_> = [["SETTING", "VALUE", "SOURCE"].map(str::to_owned)].into_iter().chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let (first, second) = (width(0), width(1));
    for [name, value, source] in &rows {
        print(&format!("{name:first$}  {value:second$}  {source}\n"))?;
    }
    for line in unknown_variables() {
        eprintln!("warning: {line}");
    }
    Ok(())
}

/// All settings.
pub(super) fn variables() -> Vec<Variable> {
    variables_with_ids().into_iter().map(|(_, variable)| variable).collect()
}

fn variables_with_ids() -> Vec<(String, Variable)> {
    let command = Settings::augment_args(Command::new("fairlead"));
    command.get_arguments().filter_map(|arg| Some((arg.get_id().to_string(), variable(arg)?))).collect()
}

fn variable(arg: &Arg) -> Option<Variable> {
    let defaults: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    Some(Variable {
        name: arg.get_env()?.to_string_lossy().into(),
        flag: format!("--{}", arg.get_long()?),
        value_name: arg.get_value_names().unwrap_or_default().join(" "),
        default: defaults.join(","),
        help: arg.get_long_help().or(arg.get_help()).map(ToString::to_string).unwrap_or_default(),
    })
}

fn markdown() -> String {
    let mut text = String::from(
        "<!-- Generated by `fairlead config --markdown`. -->\n# Configuration\n\n\
         Every setting is an environment variable and a flag of `fairlead run`; a flag wins. `fairlead config` prints \
         the values in effect and where they came from. A value that is not understood ends the process with exit code \
         2 and one line that names it. An empty variable counts as not set.\n",
    );
    for Variable { name, flag, value_name, default, help } in variables() {
        let default = if default.is_empty() { String::new() } else { format!(" Default: `{default}`.") };
        // clap takes the full stop from a single paragraph.
        let help = help.trim_end_matches('.');
        text += &format!("\n## `{name}`\n\n`{flag} {value_name}`\n\n{}.{default}\n", help.replace('\n', " "));
    }
    text += "\n## Standard variables\n\n| Variable | Meaning |\n|---|---|\n";
    for (name, meaning) in STANDARD {
        text += &format!("| `{name}` | {meaning} |\n");
    }
    text
}
