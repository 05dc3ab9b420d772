//! What OpenTelemetry's standard variables say of traces. Each is checked at the start, since the library passes
//! over what it does not understand.
//!
//! Names, defaults and meanings are those of
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! <https://opentelemetry.io/docs/specs/otel/protocol/exporter/>.

use std::{fmt, time::Duration};

use http::Uri;
use percent_encoding::percent_decode_str;
use secrecy::SecretString;

/// How spans are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// gRPC.
    Grpc,
    /// Protobuf over HTTP/1.1.
    Http,
}

/// What is needed to export traces.
#[derive(Debug)]
pub struct Config {
    /// Where spans go: scheme, host and port. The rest may hold a token.
    pub endpoint: String,
    /// Whether that is by TLS.
    pub tls: bool,
    /// How.
    pub protocol: Protocol,
    /// Whether the protocol was chosen.
    pub chosen: bool,
    /// The file with the certificates that are trusted, instead of the system's.
    pub certificate: Option<String>,
    /// The files with the client's own certificate and its key.
    pub client: Option<(String, String)>,
    /// How many spans may wait.
    pub queue: usize,
    /// How many are sent at once.
    pub batch: usize,
    /// How long they are gathered.
    pub delay: Duration,
    /// How long one export may take, its repetitions included.
    pub patience: Duration,
    /// Values of headers, which no log may hold.
    pub secrets: Vec<SecretString>,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Grpc => "grpc",
            Self::Http => "http/protobuf",
        })
    }
}

const SAMPLERS: [&str; 6] = [
    "always_on",
    "always_off",
    "traceidratio",
    "parentbased_always_on",
    "parentbased_always_off",
    "parentbased_traceidratio",
];
const COUNTS: [&str; 3] =
    ["OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "OTEL_SPAN_EVENT_COUNT_LIMIT", "OTEL_SPAN_LINK_COUNT_LIMIT"];
/// The most spans that may wait: some 100 MB.
const MOST: u64 = 65_536;

/// What the variables, which `get` reads, say. Nothing where traces are off. Pure but for `get`.
///
/// # Errors
/// One line that names the variable, and what is allowed.
pub fn read(get: impl Fn(&str) -> Option<String>) -> Result<Option<Config>, String> {
    let get = |name: &str| get(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let variables = Variables(&get);
    if get("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    match get("OTEL_TRACES_EXPORTER").as_deref() {
        None | Some("otlp") => {}
        Some("none") => return Ok(None),
        Some(other) => return Err(format!("OTEL_TRACES_EXPORTER={other:?}: allowed: otlp, none")),
    }
    let Some((name, endpoint)) = variables.of_traces("ENDPOINT") else { return Ok(None) };
    let (endpoint, tls) = check_endpoint(&name, &endpoint)?;
    variables.check_sampler()?;
    for name in COUNTS {
        variables.number(name, 0, 0..=u64::from(u32::MAX))?;
    }
    if let Some((name, value)) = variables.of_traces("TIMEOUT") {
        within(&name, &value, 1..=600_000)?;
    }
    if let Some((name, value)) = variables.of_traces("COMPRESSION").filter(|(_, value)| value != "gzip") {
        return Err(format!("{name}={value:?}: allowed: gzip"));
    }
    let queue = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 2_048, 1..=MOST)?;
    let batch = variables.number("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512.min(queue), 1..=queue)?;
    let (protocol, chosen) = variables.protocol()?;
    let (certificate, client) = (variables.of_traces("CERTIFICATE"), variables.client()?);
    if let Some((name, _)) = variables.of_traces("CLIENT_CERTIFICATE").or(certificate.clone()).filter(|_| !tls) {
        return Err(format!("{name} is set, and the endpoint is no https:// URL"));
    }
    Ok(Some(Config {
        endpoint,
        tls,
        protocol,
        chosen,
        certificate: certificate.map(|(_, file)| file),
        client,
        queue: usize::try_from(queue).unwrap_or(usize::MAX),
        batch: usize::try_from(batch).unwrap_or(usize::MAX),
        delay: Duration::from_millis(variables.number("OTEL_BSP_SCHEDULE_DELAY", 5_000, 1..=600_000)?),
        patience: Duration::from_millis(variables.number("OTEL_BSP_EXPORT_TIMEOUT", 30_000, 1..=600_000)?),
        secrets: variables.headers()?,
    }))
}

struct Variables<'a>(&'a dyn Fn(&str) -> Option<String>);

impl Variables<'_> {
    /// The variable for traces, else that for all signals: its name and its value.
    fn of_traces(&self, what: &str) -> Option<(String, String)> {
        let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{what}"), format!("OTEL_EXPORTER_OTLP_{what}")];
        names.into_iter().find_map(|name| (self.0)(&name).map(|value| (name, value)))
    }

    fn number(&self, name: &str, default: u64, allowed: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
        (self.0)(name).map_or(Ok(default), |value| within(name, &value, allowed))
    }

    fn protocol(&self) -> Result<(Protocol, bool), String> {
        match self.of_traces("PROTOCOL") {
            None => Ok((Protocol::Http, false)),
            Some((_, value)) if value == "grpc" => Ok((Protocol::Grpc, true)),
            Some((_, value)) if value == "http/protobuf" => Ok((Protocol::Http, true)),
            Some((name, value)) => Err(format!("{name}={value:?}: allowed: grpc, http/protobuf")),
        }
    }

    fn check_sampler(&self) -> Result<(), String> {
        let Some(sampler) = (self.0)("OTEL_TRACES_SAMPLER") else { return Ok(()) };
        if !SAMPLERS.contains(&sampler.as_str()) {
            return Err(format!("OTEL_TRACES_SAMPLER={sampler:?}: allowed: {}", SAMPLERS.join(", ")));
        }
        if !sampler.ends_with("traceidratio") {
            return Ok(());
        }
        let argument = (self.0)("OTEL_TRACES_SAMPLER_ARG").unwrap_or_default();
        match argument.parse::<f64>() {
            Ok(ratio) if (0.0..=1.0).contains(&ratio) => Ok(()),
            _ => Err(format!(
                "OTEL_TRACES_SAMPLER_ARG={argument:?}: {sampler} needs a number from 0 (no trace) to 1 (every trace)"
            )),
        }
    }

    fn client(&self) -> Result<Option<(String, String)>, String> {
        match (self.of_traces("CLIENT_CERTIFICATE"), self.of_traces("CLIENT_KEY")) {
            (Some((_, certificate)), Some((_, key))) => Ok(Some((certificate, key))),
            (None, None) => Ok(None),
            (Some((name, _)), None) => Err(format!("{name} is set, and OTEL_EXPORTER_OTLP_CLIENT_KEY is not")),
            (None, Some((name, _))) => Err(format!("{name} is set, and OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not")),
        }
    }

    /// The values of headers.
    fn headers(&self) -> Result<Vec<SecretString>, String> {
        let Some((name, headers)) = self.of_traces("HEADERS") else { return Ok(Vec::new()) };
        let value = |header: &str| match header.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(SecretString::from(percent_decode_str(value.trim()).decode_utf8_lossy().into_owned()))
            }
            // What it holds may be a secret.
            _ => Err(format!("{name}: headers are key=value, separated by commas; values are percent-encoded")),
        };
        headers.split(',').filter(|header| !header.trim().is_empty()).map(value).collect()
    }
}

fn within(name: &str, value: &str, allowed: std::ops::RangeInclusive<u64>) -> Result<u64, String> {
    let number = value.parse().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| format!("{name}={value:?}: allowed: {} to {}", allowed.start(), allowed.end()))
}

/// Scheme, host and port of an endpoint, and whether it is one of TLS.
fn check_endpoint(name: &str, endpoint: &str) -> Result<(String, bool), String> {
    if endpoint.contains('@') {
        // It may be a secret, so it is not repeated.
        let way = "OTEL_EXPORTER_OTLP_HEADERS takes credentials";
        return Err(format!("{name}: a user or password does not belong there; {way}"));
    }
    let uri = endpoint.parse::<Uri>().ok();
    let parts = uri.as_ref().and_then(|uri| Some((uri.scheme_str()?, uri.authority()?)));
    match parts {
        Some((scheme @ ("http" | "https"), authority)) => Ok((format!("{scheme}://{authority}"), scheme == "https")),
        _ => Err(format!("{name}={endpoint:?}: it needs a URL, for example http://collector:4318")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318");

    /// What `set` variables come to, in a line.
    fn told(set: &[(&str, &str)]) -> String {
        let read = read(|name| set.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()));
        match read {
            Err(why) => why,
            Ok(None) => "off".into(),
            Ok(Some(Config { endpoint, protocol, queue, batch, delay, patience, certificate, client, .. })) => {
                let files = [certificate, client.map(|(certificate, key)| certificate + "+" + &key)];
                let files = files.into_iter().flatten().collect::<Vec<_>>().join(" ");
                format!("{endpoint} {protocol} {queue}/{batch} {delay:?} {patience:?} {files}").trim_end().to_owned()
            }
        }
    }

    #[test]
    fn what_the_standard_variables_mean() {
        let traces = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
        let cases: [(&[(&str, &str)], &str); 10] = [
            (&[], "off"),
            (&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")], "off"),
            (&[ENDPOINT, ("OTEL_SDK_DISABLED", "True")], "off"),
            (&[ENDPOINT, ("OTEL_TRACES_EXPORTER", "none")], "off"),
            (&[ENDPOINT], "http://collector:4318 http/protobuf 2048/512 5s 30s"),
            (
                &[ENDPOINT, (traces, "https://other:1/x"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
                // The path may be a token.
                "https://other:1 grpc 2048/512 5s 30s",
            ),
            (&[ENDPOINT, ("OTEL_BSP_MAX_QUEUE_SIZE", "100")], "http://collector:4318 http/protobuf 100/100 5s 30s"),
            (
                &[ENDPOINT, ("OTEL_BSP_SCHEDULE_DELAY", "200"), ("OTEL_BSP_EXPORT_TIMEOUT", "1000")],
                "http://collector:4318 http/protobuf 2048/512 200ms 1s",
            ),
            (
                &[
                    ("OTEL_EXPORTER_OTLP_ENDPOINT", "HTTPS://c:1"),
                    ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca"),
                    ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key"),
                    ("OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE", "/own"),
                ],
                "https://c:1 http/protobuf 2048/512 5s 30s /ca /own+/key",
            ),
            (
                &[ENDPOINT, ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.01")],
                "http://collector:4318 http/protobuf 2048/512 5s 30s",
            ),
        ];
        for (set, expected) in cases {
            assert_eq!(told(set), expected, "{set:?}");
        }
    }

    #[test]
    fn what_is_not_understood_is_named() {
        for (name, value, why) in [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4317", r#"="collector:4317": it needs a URL"#),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "ftp://c", "it needs a URL"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:SECRET@c:1", "OTEL_EXPORTER_OTLP_HEADERS takes credentials"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "me:SECRET@c:1", "OTEL_EXPORTER_OTLP_HEADERS takes credentials"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:SE CRET@c:1", "OTEL_EXPORTER_OTLP_HEADERS takes credentials"),
            ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca", "OTEL_EXPORTER_OTLP_CERTIFICATE is set, and the endpoint is no"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", "allowed: grpc, http/protobuf"),
            ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "GRPC", "allowed: grpc, http/protobuf"),
            ("OTEL_EXPORTER_OTLP_COMPRESSION", "zip", "allowed: gzip"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "allowed: 1 to 600000"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "SECRET", "headers are key=value"),
            ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/key", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE is not"),
            ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/own", "OTEL_EXPORTER_OTLP_CLIENT_KEY is not"),
            ("OTEL_TRACES_EXPORTER", "zipkin", "allowed: otlp, none"),
            ("OTEL_TRACES_SAMPLER", "xray", "allowed: always_on, "),
            ("OTEL_TRACES_SAMPLER", "traceidratio", "OTEL_TRACES_SAMPLER_ARG=\"\": traceidratio needs a number"),
            ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "allowed: 1 to 65536"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2049", "allowed: 1 to 2048"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-1", "allowed: 1 to 600000"),
            ("OTEL_SPAN_EVENT_COUNT_LIMIT", "many", "allowed: 0 to "),
        ] {
            let set = if name == ENDPOINT.0 { vec![(name, value)] } else { vec![ENDPOINT, (name, value)] };
            let told = told(&set);
            assert!(told.contains(why) && told.starts_with("OTEL_"), "{name}={value}: {told}");
            assert!(!told.contains("SECRET"), "{told}");
        }
    }
}
