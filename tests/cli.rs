//! The command line, as a process with an environment that is fully known: what it prints, and how
//! it says in one line what is wrong.

use std::{
    io::Read as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use fairlead_harness::{cluster::Cluster, ports::Port};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const DEADLINE: Duration = Duration::from_secs(60);

type Env<'a> = [(&'a str, &'a str)];

/// What a process left behind.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
    after: Duration,
}

fn command(args: &[&str], env: &Env<'_>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.args(args).env_clear().envs(env.iter().copied()).stdin(Stdio::null());
    command
}

/// Runs it to its end, which has to come.
fn fairlead(args: &[&str], env: &Env<'_>) -> Result<Ended> {
    let began = Instant::now();
    let mut child = command(args, env).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("no standard output")?;
    let mut stderr = child.stderr.take().context("no standard error")?;
    let out = std::thread::spawn(move || std::io::read_to_string(&mut stdout));
    let err = std::thread::spawn(move || {
        let mut text = String::new();
        stderr.read_to_string(&mut text).map(|_| text)
    });
    while child.try_wait()?.is_none() {
        if began.elapsed() > DEADLINE {
            child.kill()?;
            bail!("{args:?} {env:?} did not end; it said {:?}", err.join());
        }
        sleep(Duration::from_millis(5));
    }
    let after = began.elapsed();
    let code = child.wait()?.code().context("ended by a signal")?;
    let text = |joined: std::thread::Result<std::io::Result<String>>| {
        joined.ok().context("a reader fell over")?.map_err(anyhow::Error::from)
    };
    Ok(Ended { code, out: text(out.join())?, err: text(err.join())?, after })
}

/// The one line in which it says why it failed with `code`.
fn failure(code: i32, args: &[&str], env: &Env<'_>) -> Result<(String, Duration)> {
    let ended = fairlead(args, env)?;
    ensure!(ended.code == code, "exit code {} for {args:?} {env:?}: {ended:?}", ended.code);
    ensure!(ended.out.is_empty() && ended.err.lines().count() == 1, "{args:?} {env:?}: {ended:?}");
    let line = ended.err.trim_end().strip_prefix("fairlead: ").context(ended.err.clone())?.to_owned();
    // Neither a dump of a value nor a whole protocol.
    ensure!(line.len() < 400 && !line.contains(" { ") && !line.contains("Some("), "{line}");
    Ok((line, ended.after))
}

/// The rows of `fairlead config`.
fn config(args: &[&str], env: &Env<'_>) -> Result<Vec<[String; 3]>> {
    let ended = fairlead(&[&["config"], args].concat(), env)?;
    ensure!((ended.code, ended.err.as_str()) == (0, ""), "{ended:?}");
    let row = |line: &str| {
        let mut cells = line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
        let [name, value, source] = [cells.next(), cells.next(), cells.next()];
        Some([name?, value?, source?])
    };
    ended.out.lines().map(|line| row(line).with_context(|| format!("no row: {line:?}"))).collect()
}

fn expect(rows: &[[String; 3]], expected: [&str; 3]) -> Result<()> {
    let row = rows.iter().find(|row| row[0] == expected[0]).with_context(|| format!("no {}", expected[0]))?;
    assert_eq!(row.each_ref(), expected);
    Ok(())
}

/// A kubeconfig for a server, in a file of this test run.
fn kubeconfig(name: &str, text: &str) -> Result<PathBuf> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}.kubeconfig", std::process::id()));
    std::fs::write(&path, text)?;
    Ok(path)
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is no text")
}

#[test]
fn help_and_version_are_no_failures() -> Result<()> {
    for (args, part) in [(["--help"], "Usage: fairlead <COMMAND>"), (["--version"], "fairlead 0.1.0")] {
        let ended = fairlead(&args, &[])?;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        assert!(ended.out.contains(part), "{ended:?}");
    }
    Ok(())
}

#[test]
fn wrong_usage_is_told_in_one_line() -> Result<()> {
    for (args, part) in [
        (vec!["bogus"], "unrecognized subcommand 'bogus'"),
        (vec!["crd"], "a similar subcommand exists: 'crds'"),
        (vec!["run", "--concurency", "4"], "a similar argument exists: '--concurrency'"),
        (vec!["run", "extra"], "unexpected argument 'extra'"),
        (vec!["run", "--region"], "a value is required for '--region <REGION>'"),
        (vec!["crds", "--markdown"], "unexpected argument '--markdown'"),
        (vec!["orphans", "--regions", "eu-west-1"], "a similar argument exists: '--region'"),
        (vec!["orphans", "--delete"], "unexpected argument '--delete'"),
    ] {
        let (line, _) = failure(2, &args, &[])?;
        assert!(line.contains(part) && line.contains("fairlead --help"), "{args:?}: {line}");
    }
    Ok(())
}

#[test]
fn crds_are_printed_or_written() -> Result<()> {
    let printed = fairlead(&["crds"], &[])?;
    assert_eq!((printed.code, printed.err.as_str()), (0, ""));
    assert!(printed.out.starts_with("---\napiVersion: apiextensions.k8s.io/v1\n"), "{}", printed.out);

    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("crds-{}", std::process::id()));
    std::fs::create_dir_all(&directory)?;
    let written = fairlead(&["crds", "--output-dir", text(&directory)?], &[])?;
    assert_eq!((written.code, written.out.as_str(), written.err.as_str()), (0, "", ""));
    let file = std::fs::read_to_string(directory.join("sqsqueues.yaml"))?;
    assert!(printed.out.contains(file.split_once('\n').context("one line")?.1));
    std::fs::remove_dir_all(&directory)?;

    let (line, _) = failure(1, &["crds", "--output-dir", text(&directory)?], &[])?;
    assert!(line.contains("sqsqueues.yaml: No such file or directory"), "{line}");
    Ok(())
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() -> Result<()> {
    for args in [["crds"].as_slice(), &["config"], &["config", "--markdown"], &["metrics"]] {
        let (reader, writer) = std::io::pipe()?;
        drop(reader);
        let output = command(args, &[]).stdout(writer).stderr(Stdio::piped()).spawn()?.wait_with_output()?;
        assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), [].as_slice()), "{args:?}: {output:?}");
    }
    Ok(())
}

#[test]
fn config_shows_where_every_value_came_from() -> Result<()> {
    let env = [("FAIRLEAD_CONCURRENCY", "8"), ("FAIRLEAD_REGION", "eu-west-1"), ("FAIRLEAD_TAGS", "a=b, c=d")];
    let rows = config(&["--concurrency", "9"], &env)?;
    expect(&rows, ["SETTING", "VALUE", "SOURCE"])?;
    expect(&rows, ["FAIRLEAD_CONCURRENCY", "9", "flag --concurrency"])?;
    expect(&rows, ["FAIRLEAD_REGION", "eu-west-1", "environment"])?;
    expect(&rows, ["FAIRLEAD_TAGS", "a=b, c=d", "environment"])?;
    expect(&rows, ["FAIRLEAD_RESOURCE_NAME", "{name}", "default"])?;
    expect(&rows, ["FAIRLEAD_WATCH_NAMESPACES", "-", "not set"])?;
    let names: Vec<_> = rows.iter().skip(1).map(|row| row[0].clone()).collect();
    assert_eq!(names, settings()?, "all of them");
    Ok(())
}

#[test]
fn a_frequency_that_was_set_holds_for_message_counts_too() -> Result<()> {
    const FREQUENCY: &str = "RECONCILE_FREQUENCY_SECONDS";
    const COUNTS: &str = "FAIRLEAD_COUNT_INTERVAL";
    expect(&config(&[], &[])?, [COUNTS, "60", "default"])?;
    expect(&config(&[], &[(FREQUENCY, "")])?, [COUNTS, "60", "default"])?;
    expect(&config(&[], &[(FREQUENCY, "5")])?, [COUNTS, "5", "as RECONCILE_FREQUENCY_SECONDS"])?;
    expect(&config(&[], &[(FREQUENCY, "5"), (COUNTS, "")])?, [COUNTS, "5", "as RECONCILE_FREQUENCY_SECONDS"])?;
    expect(&config(&[], &[(FREQUENCY, "5"), (COUNTS, "off")])?, [COUNTS, "off", "environment"])?;
    let flags = ["--reconcile-frequency-seconds=7"];
    expect(&config(&flags, &[])?, [COUNTS, "7", "as RECONCILE_FREQUENCY_SECONDS"])?;
    let flags = ["--count-interval=9"];
    expect(&config(&flags, &[(FREQUENCY, "5")])?, [COUNTS, "9", "flag --count-interval"])
}

#[test]
fn an_empty_variable_counts_as_not_set() -> Result<()> {
    let names = settings()?;
    let empty: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
    assert_eq!(config(&[], &empty)?, config(&[], &[])?);
    Ok(())
}

/// The names of all settings, as the documentation has them.
fn settings() -> Result<Vec<String>> {
    let text = std::fs::read_to_string(Path::new(ROOT).join("docs/configuration.md"))?;
    Ok(text.lines().filter_map(|line| Some(line.strip_prefix("## `")?.strip_suffix('`')?.to_owned())).collect())
}

#[test]
fn the_documentation_is_fresh() -> Result<()> {
    for (subcommand, path) in [("config", "docs/configuration.md"), ("metrics", "docs/metrics.md")] {
        let printed = fairlead(&[subcommand, "--markdown"], &[])?.out;
        let file = std::fs::read_to_string(Path::new(ROOT).join(path))?;
        ensure!(file == printed, "stale: `fairlead {subcommand} --markdown > {path}` makes it new");
    }
    Ok(())
}

#[test]
fn an_unknown_variable_is_warned_of_with_what_was_meant() -> Result<()> {
    let env = [
        ("FAIRLEAD_CONCURENCY", "1"),
        ("FAIRLEAD_ZZZ", "1"),
        // Of Services that are called fairlead and fairlead-metrics, from Kubernetes.
        ("FAIRLEAD_SERVICE_HOST", "10.0.0.1"),
        ("FAIRLEAD_SERVICE_PORT_HTTP", "80"),
        ("FAIRLEAD_PORT", "tcp://10.0.0.1:80"),
        ("FAIRLEAD_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("FAIRLEAD_METRICS_SERVICE_HOST", "10.0.0.2"),
        ("FAIRLEAD_METRICS_PORT", "tcp://10.0.0.2:80"),
        ("OTHER_CONCURENCY", "1"),
    ];
    let warnings = [
        "FAIRLEAD_CONCURENCY is not a setting; was FAIRLEAD_CONCURRENCY meant?",
        "FAIRLEAD_ZZZ is not a setting; `fairlead config` lists them",
    ];
    let ended = fairlead(&["config"], &env)?;
    assert_eq!((ended.code, ended.err), (0, warnings.map(|line| format!("warning: {line}\n")).concat()));
    // `run` says it too, then ends here for want of a cluster.
    let ended = fairlead(&["run"], &[env.as_slice(), &[("KUBECONFIG", "/nonexistent")]].concat())?;
    let lines: Vec<_> = ended.err.lines().collect();
    assert!(lines.len() == 3 && lines[0].ends_with(warnings[0]) && lines[1].ends_with(warnings[1]), "{ended:?}");
    Ok(())
}

/// Setting, bad value, and what is said of it.
const BAD: [(&str, &str, &str); 45] = [
    ("FAIRLEAD_REGION", "EU West", "allowed: an AWS region, for example eu-west-1"),
    ("FAIRLEAD_WATCH_NAMESPACES", "Shop", "allowed: names of namespaces, separated by commas"),
    ("FAIRLEAD_WATCH_NAMESPACES", "a,,b", "\"\": allowed: names of namespaces, separated by commas"),
    ("FAIRLEAD_CLUSTER_ID", "my cluster", "allowed: 1 to 256 of letters, digits and _.:/=+-@"),
    ("FAIRLEAD_RESOURCE_NAME", "queue", "it needs {name}, or all objects would share one name"),
    ("FAIRLEAD_RESOURCE_NAME", "{name}!", "'!' is not allowed; known placeholders are {name} and {namespace}"),
    ("FAIRLEAD_TAGS", "a=b,team", "\"team\": a tag is key=value"),
    ("FAIRLEAD_TAGS", "=x", "a key has 1 to 128 characters, a value at most 256"),
    ("FAIRLEAD_TAGS", "aws:x=y", "keys that begin with fairlead.dev/ or aws: are reserved"),
    ("FAIRLEAD_EXPECTED_ACCOUNT", "1234", "allowed: the 12 digits of an AWS account"),
    ("FAIRLEAD_ALLOW_ADOPTION", "shop", "a pattern is namespace/name, for example shop/* or */*"),
    ("FAIRLEAD_ALLOW_OBSERVE", "a/b/c", "a pattern is namespace/name, for example shop/* or */*"),
    ("RECONCILE_FREQUENCY_SECONDS", "0", "allowed: 1 to 86400 seconds"),
    ("RECONCILE_FREQUENCY_SECONDS", "30s", "allowed: 1 to 86400 seconds"),
    ("FAIRLEAD_COUNT_INTERVAL", "86401", "allowed: 1 to 86400 seconds, or off"),
    ("FAIRLEAD_COUNT_INTERVAL", "never", "allowed: 1 to 86400 seconds, or off"),
    ("FAIRLEAD_CONCURRENCY", "0", "allowed: a number from 1 to 1024"),
    ("FAIRLEAD_CONCURRENCY", "1025", "allowed: a number from 1 to 1024"),
    ("FAIRLEAD_CONCURRENCY", "many", "allowed: a number from 1 to 1024"),
    ("FAIRLEAD_POLL_INTERVALS", "SQSQueue", "an interval is Kind=seconds, for example SQSQueue=60"),
    ("FAIRLEAD_POLL_INTERVALS", "SQSQueue=0", "allowed: 1 to 86400 seconds"),
    ("FAIRLEAD_POLL_INTERVALS", "Queue=60", "Queue is no kind; known: SQSQueue"),
    ("FAIRLEAD_REGION_CONCURRENCY", "0", "allowed: a number from 1 to 1024"),
    ("FAIRLEAD_FLOW_CONCURRENCY", "-1", "allowed: a number from 1 to 1024"),
    ("FAIRLEAD_FLOW_RATE", "0", "allowed: 1 to 10000 calls a second"),
    ("FAIRLEAD_FLOW_RATE", "10001", "allowed: 1 to 10000 calls a second"),
    ("FAIRLEAD_MESSAGE_METRICS", "10001", "allowed: 0 to 10000 queues"),
    ("FAIRLEAD_MESSAGE_METRICS", "all", "allowed: 0 to 10000 queues"),
    ("FAIRLEAD_METRICS_ADDR", "8080", "allowed: an IP address and a port"),
    ("FAIRLEAD_HEALTH_ADDR", "8081", "allowed: an IP address and a port, for example 0.0.0.0:8081 or [::]:8081"),
    ("FAIRLEAD_HEALTH_ADDR", "localhost:8081", "allowed: an IP address and a port"),
    ("FAIRLEAD_IDENTITY", "a b", "allowed: 1 to 128 characters without spaces"),
    ("FAIRLEAD_SHARDS", "3", "allowed: 1 or 16"),
    ("FAIRLEAD_SHARDS", "many", "allowed: 1 or 16"),
    ("FAIRLEAD_NAMESPACE", "Fairlead System", "allowed: names of namespaces, separated by commas"),
    ("FAIRLEAD_REVISION", "a b", "allowed: 1 to 128 characters without spaces"),
    ("FAIRLEAD_POD_UID", "a b", "allowed: 1 to 128 characters without spaces"),
    ("FAIRLEAD_LEASE_DURATION", "8s", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LEASE_DURATION", "301", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LEASE_RENEW_INTERVAL", "0", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LEASE_CALL_TIMEOUT", "-1", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LEASE_OBSERVE_INTERVAL", "NaN", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LEASE_MARGIN", "0.01", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LEASE_PERMIT_LEAST", "1e9", "allowed: 0.1 to 300 seconds"),
    ("FAIRLEAD_LOG_FORMAT", "xml", "allowed: text, json"),
];

#[test]
fn a_bad_value_is_told_with_its_name_and_what_is_allowed() -> Result<()> {
    for (name, value, said) in BAD {
        let expected = format!("{name}={value:?}: {said}");
        for subcommand in ["run", "config"] {
            let (line, _) = failure(2, &[subcommand], &[(name, value)])?;
            assert!(line.starts_with(&expected), "{line}\n{expected}");
        }
    }
    let without: Vec<_> = settings()?.into_iter().filter(|name| !BAD.iter().any(|(bad, ..)| bad == name)).collect();
    ensure!(without.is_empty(), "no bad value is tried of {without:?}");
    Ok(())
}

#[test]
fn times_of_leases_that_do_not_fit_each_other_are_refused() -> Result<()> {
    for (name, value, said) in [
        ("FAIRLEAD_LEASE_DURATION", "4", "FAIRLEAD_LEASE_DURATION less FAIRLEAD_LEASE_MARGIN"),
        ("FAIRLEAD_LEASE_CALL_TIMEOUT", "3", "make the duration longer, or the others shorter"),
        ("FAIRLEAD_LEASE_MARGIN", "0.2", "FAIRLEAD_LEASE_MARGIN is less than a 16th"),
        ("FAIRLEAD_LEASE_OBSERVE_INTERVAL", "3", "FAIRLEAD_LEASE_OBSERVE_INTERVAL is more than a third"),
    ] {
        let (line, _) = failure(2, &["run"], &[(name, value)])?;
        assert!(line.contains(said), "{line}\n{said}");
    }
    Ok(())
}

#[test]
fn a_bad_flag_is_told_by_its_own_name() -> Result<()> {
    // The variable does not count where there is a flag.
    let env = [("FAIRLEAD_CONCURRENCY", "8")];
    for args in [["run", "--concurrency=0"].as_slice(), &["run", "--concurrency", "0"]] {
        assert_eq!(failure(2, args, &env)?.0, "--concurrency=\"0\": allowed: a number from 1 to 1024");
    }
    Ok(())
}

#[cfg(unix)]
#[test]
fn a_value_that_is_no_text_is_told_by_name() -> Result<()> {
    use std::os::unix::ffi::OsStrExt as _;
    let value = std::ffi::OsStr::from_bytes(b"\xff");
    let output = command(&["config"], &[]).env("FAIRLEAD_IDENTITY", value).output()?;
    let line = String::from_utf8(output.stderr)?;
    assert_eq!(
        (output.status.code(), line.as_str()),
        (Some(2), "fairlead: FAIRLEAD_IDENTITY: the value is no UTF-8 text\n")
    );
    Ok(())
}

#[test]
fn a_filter_that_is_none_is_told_by_name() -> Result<()> {
    for bad in ["!!", "fairlead=loud", "a=b=c"] {
        let (line, _) = failure(2, &["run"], &[("RUST_LOG", bad)])?;
        assert!(line.starts_with(&format!("RUST_LOG={bad:?}: ")), "{line}");
    }
    Ok(())
}

#[test]
fn what_traces_need_is_checked_at_the_start() -> Result<()> {
    let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4318");
    for (name, value, said) in [
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "collector",
            "=\"collector\": it needs a URL, for example http://collector:4318",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "zipkin", "=\"zipkin\": allowed: grpc, http/protobuf"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nonexistent/ca", "=\"/nonexistent/ca\": No such file or directory"),
        ("OTEL_TRACES_SAMPLER", "often", "=\"often\": allowed: always_on"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "many", "=\"many\": allowed: 1 to 65536"),
    ] {
        let (line, _) = failure(2, &["run"], &[endpoint, (name, value)])?;
        assert!(line.starts_with(&format!("{name}{said}")), "{line}");
    }
    Ok(())
}

#[test]
fn without_a_way_to_the_cluster_it_ends_with_one_line() -> Result<()> {
    let server = |port: u16| {
        format!(
            "{{clusters: [{{name: a, cluster: {{server: 'https://127.0.0.1:{port}'}}}}], users: [], \
             contexts: [{{name: a, context: {{cluster: a, user: ''}}}}], current-context: a}}"
        )
    };
    let nobody = Port::reserve()?;
    let closed = kubeconfig("closed", &server(nobody.number()))?;
    let broken = kubeconfig("broken", "clusters: [")?;
    for (path, parts) in [
        ("/nonexistent/config", ["KUBECONFIG=/nonexistent/config: ", "No such file or directory"]),
        (text(&broken)?, ["KUBECONFIG=", "failed to parse kubeconfig YAML"]),
        (text(&closed)?, ["the API server can't be reached: ", "Connection refused"]),
    ] {
        let (line, after) = failure(1, &["run"], &[("KUBECONFIG", path)])?;
        assert!(line.starts_with("no way to the Kubernetes API server: "), "{line}");
        assert!(parts.iter().all(|part| line.contains(part)) && after < Duration::from_secs(10), "{after:?} {line}");
    }
    // Neither a kubeconfig nor a pod.
    let (line, _) = failure(1, &["run"], &[("HOME", "/nonexistent"), ("KUBECONFIG", "")])?;
    assert!(line.ends_with("set KUBECONFIG, or run in a pod with a ServiceAccount"), "{line}");
    Ok(())
}

#[tokio::test]
async fn a_cluster_without_the_crds_is_told_how_to_get_them() -> Result<()> {
    let cluster = Cluster::start().await?;
    let path = cluster.admin_kubeconfig();
    let (line, _) = failure(1, &["run"], &[("KUBECONFIG", text(&path)?)])?;
    assert_eq!(line, "the CRD sqsqueues.aws.fairlead.dev is not installed; kubectl apply -f deploy/crds brings it");
    // Whom the cluster does not know.
    let stranger = std::fs::read_to_string(&path)?.replace("\"token\": \"", "\"token\": \"not-");
    let stranger = kubeconfig("stranger", &stranger)?;
    let (line, _) = failure(1, &["run"], &[("KUBECONFIG", text(&stranger)?)])?;
    assert!(line.contains("the API server refuses: Unauthorized (401)"), "{line}");
    Ok(())
}

/// The cluster with our CRDs and rights, and the operator's kubeconfig.
async fn installed() -> Result<PathBuf> {
    let cluster = Cluster::shared().await?;
    cluster.install(&Path::new(ROOT).join("deploy")).await?;
    cluster.service_account_kubeconfig("fairlead-system", "fairlead").await
}

#[tokio::test]
async fn without_aws_credentials_it_ends_with_one_line_and_soon() -> Result<()> {
    const WAY_OUT: &str = "; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the pod a role";
    let path = installed().await?;
    let kubeconfig = ("KUBECONFIG", text(&path)?);
    // An instance metadata service that takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0")?;
    let endpoint = format!("http://{}", silent.local_addr()?);
    for (env, within) in [
        (vec![kubeconfig, ("AWS_EC2_METADATA_DISABLED", "true")], 5),
        (vec![kubeconfig, ("AWS_EC2_METADATA_DISABLED", "true"), ("AWS_PROFILE", "nobody")], 5),
        (vec![kubeconfig, ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str())], 20),
    ] {
        let (line, after) = failure(1, &["run"], &env)?;
        assert!(line.starts_with("no AWS credentials: ") && line.ends_with(WAY_OUT), "{line}");
        assert!(after < Duration::from_secs(within), "{after:?} {env:?}");
    }
    Ok(())
}

#[tokio::test]
async fn a_taken_health_address_is_told_by_name() -> Result<()> {
    let path = installed().await?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let env = [
        ("KUBECONFIG", text(&path)?),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        ("AWS_REGION", "eu-west-1"),
        ("FAIRLEAD_HEALTH_ADDR", &address),
    ];
    let (line, _) = failure(1, &["run"], &env)?;
    assert!(line.starts_with(&format!("FAIRLEAD_HEALTH_ADDR={address}: Address already in use")), "{line}");
    Ok(())
}
