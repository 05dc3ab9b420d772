//! Every setting, once: a flag, its environment variable, its default and its description.
//! `docs/configuration.md` is generated from here (`fairlead config --markdown`).

use std::{net::SocketAddr, str::FromStr, time::Duration};

use clap::{ArgMatches, Args, parser::ValueSource};

use crate::{kinds::KINDS, queue::slots::Limits, shard::lease::Timing, telemetry::logs::LogFormat};

/// The prefix of Fairlead's own environment variables.
pub const PREFIX: &str = "FAIRLEAD_";

/// What `fairlead run` is tuned with.
#[derive(Args, Clone, Debug)]
pub struct Settings {
    /// AWS region of objects that name none. Default: what the AWS SDK finds (`AWS_REGION`, the
    /// profile).
    #[arg(long, env = "FAIRLEAD_REGION", value_name = "REGION", value_parser = region)]
    pub region: Option<String>,

    /// Namespaces to watch, separated by commas. Default: all.
    #[arg(long, env = "FAIRLEAD_WATCH_NAMESPACES", value_name = "NAMES", value_delimiter = ',', value_parser = namespace)]
    pub watch_namespaces: Vec<String>,

    /// The 12-digit AWS account that the operator's own credentials must be of. With those of another
    /// nothing is done but to ask whose they are. Default: any.
    #[arg(long, env = "FAIRLEAD_EXPECTED_ACCOUNT", value_name = "ID", value_parser = account_id)]
    pub expected_account: Option<String>,

    /// What this cluster is called in the owner tags. Keep it when a cluster is rebuilt, or its
    /// resources belong to somebody else. Default: the uid of the namespace kube-system.
    #[arg(long, env = "FAIRLEAD_CLUSTER_ID", value_name = "ID", value_parser = cluster_id)]
    pub cluster_id: Option<String>,

    /// How an object's AWS name is made where its spec has none: a text with `{name}`, and
    /// `{namespace}` where it should be part.
    #[arg(long, env = "FAIRLEAD_RESOURCE_NAME", value_name = "TEMPLATE", default_value = "{name}")]
    pub resource_name: NameTemplate,

    /// Tags for every resource: `key=value`, separated by commas. A tag in a spec wins.
    #[arg(long, env = "FAIRLEAD_TAGS", value_name = "TAGS", value_delimiter = ',')]
    pub tags: Vec<Tag>,

    /// Objects that may adopt existing resources, as `namespace/name` patterns (`*` stands for any
    /// text), separated by commas. It is about the operator's own account; an AWSAccount, also the one
    /// called default, has its own list. Default: none.
    #[arg(long, env = "FAIRLEAD_ALLOW_ADOPTION", value_name = "PATTERNS", value_delimiter = ',')]
    pub allow_adoption: Vec<Pattern>,

    /// Objects that may observe resources that are not theirs, as `FAIRLEAD_ALLOW_ADOPTION`.
    #[arg(long, env = "FAIRLEAD_ALLOW_OBSERVE", value_name = "PATTERNS", value_delimiter = ',')]
    pub allow_observe: Vec<Pattern>,

    /// Seconds between two looks at a resource that is in sync, 1 to 86400.
    #[arg(long, env = "RECONCILE_FREQUENCY_SECONDS", value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub reconcile_frequency_seconds: u64,

    /// The least time between two status writes for message counts alone: seconds (1 to 86400), or
    /// `off` to write them only with other changes. Where RECONCILE_FREQUENCY_SECONDS is set and
    /// this is not, that holds here too.
    #[arg(long, env = "FAIRLEAD_COUNT_INTERVAL", value_name = "SECONDS|off", default_value = "60")]
    pub count_interval: CountInterval,

    /// Other intervals than RECONCILE_FREQUENCY_SECONDS for some kinds: `Kind=seconds`, separated by
    /// commas. An object's annotation `aws.fairlead.dev/poll-interval-seconds` wins.
    #[arg(long, env = "FAIRLEAD_POLL_INTERVALS", value_name = "KIND=SECONDS", value_delimiter = ',')]
    pub poll_intervals: Vec<KindInterval>,

    /// How many reconciles run at once, 1 to 1024.
    #[arg(long, env = "FAIRLEAD_CONCURRENCY", value_name = "NUMBER", default_value = "64", value_parser = concurrency)]
    pub concurrency: u16,

    /// How many reconciles of one region run at once, 1 to 1024.
    #[arg(long, env = "FAIRLEAD_REGION_CONCURRENCY", value_name = "NUMBER", default_value = "32", value_parser = concurrency)]
    pub region_concurrency: u16,

    /// How many reconciles of one flow (account, region and service) run at once, 1 to 1024.
    #[arg(long, env = "FAIRLEAD_FLOW_CONCURRENCY", value_name = "NUMBER", default_value = "16", value_parser = concurrency)]
    pub flow_concurrency: u16,

    /// The most calls a second to AWS in one flow (account, region and service), 1 to 10000. A flow
    /// starts at a quarter, grows while no call is throttled, and falls when one is.
    #[arg(long, env = "FAIRLEAD_FLOW_RATE", value_name = "CALLS", default_value = "100", value_parser = rate)]
    pub flow_rate: u16,

    /// Where `/metrics` and `/statusz` are served.
    #[arg(long, env = "FAIRLEAD_METRICS_ADDR", value_name = "ADDRESS", default_value = "0.0.0.0:8080", value_parser = address)]
    pub metrics_addr: SocketAddr,

    /// Of how many queues `/metrics` shows the messages at most, for each replica, 0 to 10000: they are the
    /// only series with an object's name, three for each queue. 0: of none.
    #[arg(long, env = "FAIRLEAD_MESSAGE_METRICS", value_name = "QUEUES", default_value = "0", value_parser = messages)]
    pub message_metrics: u16,

    /// Where `/healthz` and `/readyz` are served.
    #[arg(long, env = "FAIRLEAD_HEALTH_ADDR", value_name = "ADDRESS", default_value = "0.0.0.0:8081", value_parser = address)]
    pub health_addr: SocketAddr,

    /// This replica's name, by which Leases and events speak of it: the pod's name. Default: the host's
    /// name.
    #[arg(long, env = "FAIRLEAD_IDENTITY", value_name = "NAME", value_parser = identity)]
    pub identity: Option<String>,

    /// Into how many shards the objects are divided: 1 (one leader, the others stand by) or 16 (every
    /// replica leads some). All replicas must say the same; to change it, scale to zero replicas first.
    #[arg(long, env = "FAIRLEAD_SHARDS", value_name = "1|16", default_value = "1", value_parser = shards)]
    pub shards: u8,

    /// The namespace of the Leases by which replicas share the work. Default: the pod's own, else that
    /// of the kubeconfig's context.
    #[arg(long, env = "FAIRLEAD_NAMESPACE", value_name = "NAME", value_parser = namespace)]
    pub namespace: Option<String>,

    /// Which revision of its Deployment this replica is of: the pod's label `pod-template-hash`. While a
    /// rollout goes on, shards go to the newest revision. Default: none.
    #[arg(long, env = "FAIRLEAD_REVISION", value_name = "HASH", value_parser = identity)]
    pub revision: Option<String>,

    /// The uid of this replica's pod, with which its membership Lease goes. Default: none.
    #[arg(long, env = "FAIRLEAD_POD_UID", value_name = "UID", value_parser = identity)]
    pub pod_uid: Option<String>,

    /// How many seconds a leader may be silent before another replica takes over, 0.1 to 300. The same
    /// on all replicas, as the other times of Leases.
    #[arg(long, env = "FAIRLEAD_LEASE_DURATION", value_name = "SECONDS", default_value = "8", value_parser = lease_time)]
    pub lease_duration: Duration,

    /// Seconds between two renewals of a Lease, 0.1 to 300.
    #[arg(long, env = "FAIRLEAD_LEASE_RENEW_INTERVAL", value_name = "SECONDS", default_value = "2", value_parser = lease_time)]
    pub lease_renew_interval: Duration,

    /// The longest wait for the API server's answer about a Lease, in seconds, 0.1 to 300.
    #[arg(long, env = "FAIRLEAD_LEASE_CALL_TIMEOUT", value_name = "SECONDS", default_value = "1.5", value_parser = lease_time)]
    pub lease_call_timeout: Duration,

    /// Seconds between two reads of all Leases, 0.1 to 300.
    #[arg(long, env = "FAIRLEAD_LEASE_OBSERVE_INTERVAL", value_name = "SECONDS", default_value = "1", value_parser = lease_time)]
    pub lease_observe_interval: Duration,

    /// How many seconds before FAIRLEAD_LEASE_DURATION is over all work of a leader is cut off, 0.1 to
    /// 300: room for clocks that differ.
    #[arg(long, env = "FAIRLEAD_LEASE_MARGIN", value_name = "SECONDS", default_value = "1", value_parser = lease_time)]
    pub lease_margin: Duration,

    /// How many seconds must be left until the cut-off for a call that changes something to begin, 0.1 to
    /// 300.
    #[arg(long, env = "FAIRLEAD_LEASE_PERMIT_LEAST", value_name = "SECONDS", default_value = "2", value_parser = lease_time)]
    pub lease_permit_least: Duration,

    /// The form of log lines. What is logged, RUST_LOG says.
    #[arg(long, env = "FAIRLEAD_LOG_FORMAT", value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How an object's AWS name is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameTemplate(String);

/// A tag for every resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: String,
}

/// A pattern of `namespace/name`, where `*` stands for any text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    namespace: String,
    name: String,
}

/// How often the resources of a kind are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindInterval {
    kind: &'static str,
    interval: Duration,
}

/// The least time between two status writes for message counts alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountInterval {
    /// This long.
    Every(Duration),
    /// Never for counts alone.
    Off,
}

impl Settings {
    /// The time between two looks at a resource that is in sync.
    pub fn poll_interval(&self) -> Duration {
        Duration::from_secs(self.reconcile_frequency_seconds)
    }

    /// The same, of a kind.
    pub fn poll_interval_of(&self, kind: &str) -> Duration {
        let own = self.poll_intervals.iter().rev().find(|own| own.kind == kind);
        own.map_or_else(|| self.poll_interval(), |own| own.interval)
    }

    /// How many reconciles run at once.
    pub fn limits(&self) -> Limits {
        Limits {
            overall: self.concurrency.into(),
            region: self.region_concurrency.into(),
            flow: self.flow_concurrency.into(),
        }
    }

    /// The times of Leases.
    ///
    /// # Errors
    /// Where they don't fit each other: which, and the way out.
    pub fn lease_timing(&self) -> Result<Timing, String> {
        let timing = Timing {
            duration: self.lease_duration,
            renew_interval: self.lease_renew_interval,
            call_timeout: self.lease_call_timeout,
            observe_interval: self.lease_observe_interval,
            margin: self.lease_margin,
            permit_least: self.lease_permit_least,
        };
        timing.check().map(|()| timing)
    }

    /// This replica's name.
    pub fn replica_name(&self) -> String {
        let host = || {
            let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
            identity(&name).unwrap_or_else(|_| "fairlead".into())
        };
        self.identity.clone().unwrap_or_else(host)
    }

    /// The settings in effect, given where each came from: a frequency that the user set holds for
    /// message counts too, unless they have their own.
    #[must_use]
    pub fn in_effect(self, sources: &ArgMatches) -> Self {
        if counts_follow_frequency(sources) {
            return Self { count_interval: CountInterval::Every(self.poll_interval()), ..self };
        }
        self
    }
}

impl NameTemplate {
    /// The AWS name of an object.
    pub fn apply(&self, namespace: &str, name: &str) -> String {
        self.0.replace("{namespace}", namespace).replace("{name}", name)
    }
}

impl FromStr for NameTemplate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let rest = text.replace("{namespace}", "").replace("{name}", "");
        if !text.contains("{name}") {
            return Err("it needs {name}, or all objects would share one name".into());
        }
        if let Some(bad) = rest.chars().find(|c| !c.is_ascii_alphanumeric() && !"-_".contains(*c)) {
            return Err(format!("{bad:?} is not allowed; known placeholders are {{name}} and {{namespace}}"));
        }
        Ok(Self(text.into()))
    }
}

impl FromStr for Tag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.trim().split_once('=').ok_or("a tag is key=value")?;
        if key.is_empty() || key.len() > 128 || value.len() > 256 {
            return Err("a key has 1 to 128 characters, a value at most 256".into());
        }
        if key.starts_with(crate::aws::tags::PREFIX) || key.starts_with("aws:") {
            return Err(format!("keys that begin with {} or aws: are reserved", crate::aws::tags::PREFIX));
        }
        Ok(Self { key: key.into(), value: value.into() })
    }
}

impl FromStr for KindInterval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (kind, interval) =
            text.trim().split_once('=').ok_or("an interval is Kind=seconds, for example SQSQueue=60")?;
        let known = || KINDS.iter().map(|known| known.kind);
        let kind = known()
            .find(|known| *known == kind)
            .ok_or_else(|| format!("{kind} is no kind; known: {}", known().collect::<Vec<_>>().join(", ")))?;
        Ok(Self { kind, interval: Duration::from_secs(seconds(interval)?) })
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (namespace, name) =
            text.trim().split_once('/').ok_or("a pattern is namespace/name, for example shop/* or */*")?;
        if namespace.is_empty() || name.is_empty() || name.contains('/') {
            return Err("a pattern is namespace/name, for example shop/* or */*".into());
        }
        Ok(Self { namespace: namespace.into(), name: name.into() })
    }
}

impl Pattern {
    /// Whether the object `namespace/name` is meant.
    pub fn matches(&self, namespace: &str, name: &str) -> bool {
        glob(&self.namespace, namespace) && glob(&self.name, name)
    }
}

impl FromStr for CountInterval {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self::Off);
        }
        match text.trim().parse() {
            Ok(seconds @ 1..=86_400) => Ok(Self::Every(Duration::from_secs(seconds))),
            _ => Err("allowed: 1 to 86400 seconds, or off".into()),
        }
    }
}

/// Whether `text` is `pattern`, in which `*` stands for any text.
pub(crate) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(rest) = text.strip_prefix(head) else { return false };
    rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| glob(tail, &rest[at..]))
}

/// Whether [`Settings::count_interval`] is what [`Settings::reconcile_frequency_seconds`] says.
pub fn counts_follow_frequency(sources: &ArgMatches) -> bool {
    let set = |id| matches!(sources.value_source(id), Some(ValueSource::CommandLine | ValueSource::EnvVariable));
    set("reconcile_frequency_seconds") && !set("count_interval")
}

pub(crate) fn region(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    made_of(text, 32, fits, "an AWS region, for example eu-west-1")
}

fn namespace(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    made_of(text, 63, fits, "names of namespaces, separated by commas")
}

pub(crate) fn cluster_id(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.:/=+-@".contains(c);
    made_of(text, 256, fits, "1 to 256 of letters, digits and _.:/=+-@")
}

fn account_id(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit());
    fits.then(|| text.into()).ok_or_else(|| "allowed: the 12 digits of an AWS account".into())
}

fn identity(text: &str) -> Result<String, String> {
    made_of(text, 128, |c| c.is_ascii_graphic(), "1 to 128 characters without spaces")
}

fn made_of(text: &str, longest: usize, fits: impl Fn(char) -> bool, allowed: &str) -> Result<String, String> {
    let text = text.trim();
    match !text.is_empty() && text.len() <= longest && text.chars().all(fits) {
        true => Ok(text.into()),
        false => Err(format!("allowed: {allowed}")),
    }
}

/// A number of seconds as settings and annotations give it.
///
/// # Errors
/// Where it is not 1 to 86400.
pub fn seconds(text: &str) -> Result<u64, String> {
    text.trim().parse().ok().filter(|it| (1..=86_400).contains(it)).ok_or("allowed: 1 to 86400 seconds".into())
}

fn concurrency(text: &str) -> Result<u16, String> {
    text.trim().parse().ok().filter(|it| (1..=1_024).contains(it)).ok_or("allowed: a number from 1 to 1024".into())
}

fn shards(text: &str) -> Result<u8, String> {
    text.trim().parse().ok().filter(|it| crate::shard::COUNTS.contains(it)).ok_or("allowed: 1 or 16".into())
}

fn lease_time(text: &str) -> Result<Duration, String> {
    let seconds: Option<f64> = text.trim().parse().ok();
    let seconds = seconds.filter(|seconds| (0.1..=300.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or("allowed: 0.1 to 300 seconds".into())
}

fn rate(text: &str) -> Result<u16, String> {
    text.trim().parse().ok().filter(|it| (1..=10_000).contains(it)).ok_or("allowed: 1 to 10000 calls a second".into())
}

fn messages(text: &str) -> Result<u16, String> {
    text.trim().parse().ok().filter(|it| *it <= 10_000).ok_or("allowed: 0 to 10000 queues".into())
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.trim().parse().map_err(|_| "allowed: an IP address and a port, for example 0.0.0.0:8081 or [::]:8081".into())
}

/// A variable with our prefix that is none of `known`, and the known one nearest to it.
#[derive(Debug, PartialEq, Eq)]
pub struct Unknown<'a> {
    /// The variable as it was set.
    pub name: String,
    /// What was probably meant.
    pub nearest: Option<&'a str>,
}

/// The variables among `set` that have our prefix but mean nothing.
pub fn unknown<'a>(known: &'a [String], set: impl IntoIterator<Item = String>) -> Vec<Unknown<'a>> {
    let set: Vec<String> = set.into_iter().collect();
    // Kubernetes sets variables in every pod for each Service of its namespace: for one that is called
    // fairlead, and for those whose name begins so.
    let services: Vec<&str> = set.iter().filter_map(|name| name.strip_suffix("_SERVICE_HOST")).collect();
    let injected = |name: &str| {
        ["FAIRLEAD"].iter().chain(&services).any(|service| {
            let rest = name.strip_prefix(service).unwrap_or_default();
            rest == "_PORT" || rest.starts_with("_PORT_") || rest.starts_with("_SERVICE_")
        })
    };
    let mut unknown: Vec<_> = set
        .iter()
        .filter(|name| name.starts_with(PREFIX) && !known.contains(*name) && !injected(name))
        .map(|name| {
            let nearest = known
                .iter()
                .map(|known| (strsim::jaro_winkler(&name[PREFIX.len()..], known.trim_start_matches(PREFIX)), known))
                .filter(|(likeness, _)| *likeness > 0.7)
                .max_by(|a, b| a.0.total_cmp(&b.0))
                .map(|(_, known)| known.as_str());
            Unknown { name: name.clone(), nearest }
        })
        .collect();
    unknown.sort_by(|a, b| a.name.cmp(&b.name));
    unknown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, object, expected) in [
            ("*/*", "a/b", true),
            ("shop/*", "shop/orders", true),
            ("shop/*", "shop2/orders", false),
            ("team-*/legacy-*-q", "team-a/legacy-x-q", true),
            ("team-*/legacy-*-q", "team-a/legacy-x", false),
            ("shop/orders", "shop/orders", true),
            ("shop/orders", "shop/orders2", false),
        ] {
            let (namespace, name) = object.split_once('/').unwrap();
            let pattern: Pattern = pattern.parse().unwrap();
            assert_eq!(pattern.matches(namespace, name), expected, "{pattern:?} {object}");
        }
        for bad in ["", "a", "/", "a/", "/b", "a/b/c"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
    }

    #[test]
    fn templates() {
        let template: NameTemplate = "{namespace}-{name}".parse().unwrap();
        assert_eq!(template.apply("shop", "orders"), "shop-orders");
        for bad in ["", "queue", "{namespace}", "{name}!", "{nam}", "{name}-{cluster}"] {
            assert!(bad.parse::<NameTemplate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn values_out_of_range_are_refused() {
        assert_eq!("off".parse(), Ok(CountInterval::Off));
        assert_eq!("5".parse(), Ok(CountInterval::Every(Duration::from_secs(5))));
        for bad in ["", "0", "-1", "86401", "never"] {
            assert!(bad.parse::<CountInterval>().is_err(), "{bad}");
        }
        assert_eq!("SQSQueue=5".parse(), Ok(KindInterval { kind: "SQSQueue", interval: Duration::from_secs(5) }));
        for bad in ["", "SQSQueue", "SQSQueue=", "SQSQueue=0", "sqsqueue=5", "=5", "SQSQueue=-1", "SQSQueue=86401"] {
            assert!(bad.parse::<KindInterval>().is_err(), "{bad}");
        }
        for (bad, parse) in [("0", rate as fn(&str) -> _), ("-1", rate), ("10001", rate), ("1e9", rate), ("", rate)] {
            assert!(parse(bad).is_err(), "{bad}");
        }
        for bad in ["", "team", "=x", "fairlead.dev/uid=x", "aws:x=y"] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn unknown_variables_and_what_was_meant() {
        let known = ["FAIRLEAD_REGION".to_owned(), "FAIRLEAD_CONCURRENCY".to_owned()];
        let set = [
            "FAIRLEAD_CONCURENCY",
            "FAIRLEAD_REGION",
            "FAIRLEAD_PORT_8080_TCP",
            "FAIRLEAD_SERVICE_HOST",
            "FAIRLEAD_METRICS_SERVICE_HOST",
            "FAIRLEAD_METRICS_PORT",
            "FAIRLEAD_METRICS_PORT_8080_TCP",
            "FAIRLEAD_PORTS",
            "FAIRLEAD_ZZZ",
            "PATH",
        ];
        assert_eq!(
            unknown(&known, set.map(str::to_owned)),
            [
                Unknown { name: "FAIRLEAD_CONCURENCY".into(), nearest: Some("FAIRLEAD_CONCURRENCY") },
                Unknown { name: "FAIRLEAD_PORTS".into(), nearest: None },
                Unknown { name: "FAIRLEAD_ZZZ".into(), nearest: None },
            ]
        );
    }
}
