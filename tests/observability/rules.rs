//! deploy/prometheus: promtool agrees, every alert has cases in which it fires and does not, and a section that
//! says what to do.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::prometheus::promtool;
use serde_json::Value;

use crate::{
    ROOT,
    catalogue::{Catalogue, expression, rules},
    file,
    promql::named,
    yaml,
};

/// What people are called by.
const ALERTS: &[&str] = &[
    "FairleadAccessDenied",
    "FairleadCircuitOpen",
    "FairleadCrashLoop",
    "FairleadDown",
    "FairleadNoLeader",
    "FairleadObjectNotReady",
    "FairleadQueueAge",
    "FairleadReadyObjectiveFastBurn",
    "FairleadReadyObjectiveSlowBurn",
    "FairleadShardUnowned",
    "FairleadSpansDropped",
    "FairleadThrottled",
    "FairleadWatchStale",
];

/// Where the sections are that alerts name.
const RUNBOOK: &str = "https://github.com/fairlead/fairlead/blob/main/docs/operations.md#";

/// An alert is known by its name and severity: some have a rule for each.
type Alert = (String, String);

fn alert(rule: &Value) -> Option<Alert> {
    let severity = rule["labels"]["severity"].as_str().unwrap_or_default();
    Some((rule["alert"].as_str()?.to_owned(), severity.to_owned()))
}

/// The files of deploy/prometheus/tests, below it.
fn cases() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(Path::new(ROOT).join("deploy/prometheus/tests"))? {
        names.push(format!("tests/{}", entry?.file_name().display()));
    }
    names.sort();
    Ok(names)
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("no list: {value}"))
}

#[tokio::test]
async fn promtool_agrees() -> Result<()> {
    let dir = Path::new(ROOT).join("deploy/prometheus");
    let (passed, said) = promtool(&dir, &["check", "rules", "rules.yaml"]).await?;
    ensure!(passed && said.contains("SUCCESS"), "{said}");
    let cases = cases()?;
    let arguments: Vec<_> = ["test", "rules"].into_iter().chain(cases.iter().map(String::as_str)).collect();
    let (passed, said) = promtool(&dir, &arguments).await?;
    ensure!(passed && said.matches("SUCCESS").count() == cases.len(), "{said}");
    Ok(())
}

/// Debian's Prometheus knows no Kubernetes, so that part is left out of what it judges.
#[tokio::test]
async fn the_configuration_without_the_operator_is_one() -> Result<()> {
    let mut configuration = yaml("deploy/prometheus/prometheus.yml")?;
    let scrape = configuration["scrape_configs"][0].as_object_mut().context("it scrapes nothing")?;
    let found = scrape.remove("kubernetes_sd_configs").context("it finds no pods")?;
    ensure!(found[0]["role"] == "pod", "{found}");
    let rules = &mut configuration["rule_files"][0];
    *rules = format!("{ROOT}/deploy/prometheus/{}", rules.as_str().context("no rules")?).into();
    let name = format!("prometheus-{}.json", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    std::fs::write(dir.join(&name), configuration.to_string())?;
    let judged = promtool(dir, &["check", "config", &name]).await;
    std::fs::remove_file(dir.join(&name))?;
    let (passed, said) = judged?;
    ensure!(passed, "{said}");
    Ok(())
}

#[test]
fn every_alert_has_cases_in_which_it_fires_and_does_not() -> Result<()> {
    let (mut fires, mut does_not) = (BTreeSet::new(), BTreeSet::new());
    let alerts: Vec<_> = rules()?.into_iter().filter_map(|rule| Some((alert(&rule)?, rule))).collect();
    for name in cases()? {
        for test in list(&yaml(&format!("deploy/prometheus/{name}"))?["tests"])? {
            let series = list(&test["input_series"])?.iter().map(|it| it["series"].as_str().unwrap_or_default());
            let series: Vec<_> = series.map(|it| it.split('{').next().unwrap_or_default()).collect();
            for case in list(&test["alert_rule_test"])? {
                let firing: BTreeSet<_> = list(&case["exp_alerts"])?
                    .iter()
                    .map(|it| &it["exp_labels"]["severity"])
                    .map(Value::to_string)
                    .collect();
                for (alert, rule) in alerts.iter().filter(|(alert, _)| case["alertname"] == alert.0.as_str()) {
                    if firing.contains(&format!("{:?}", alert.1)) {
                        fires.insert(alert.clone());
                    } else if asks_for(expression(rule)?, &series)? {
                        // Without its series an alert is silent for another reason.
                        does_not.insert(alert.clone());
                    }
                }
            }
        }
    }
    let all: BTreeSet<_> = alerts.into_iter().map(|(alert, _)| alert).collect();
    let names: BTreeSet<_> = all.iter().map(|(name, _)| name.as_str()).collect();
    ensure!(names == ALERTS.iter().copied().collect(), "{names:?}");
    ensure!(fires == all, "without a case in which they fire: {:?}", all.difference(&fires));
    ensure!(does_not == all, "without a case in which they do not: {:?}", all.difference(&does_not));
    Ok(())
}

/// Whether an expression asks for any of these series, or for what is recorded of them.
fn asks_for(expression: &str, series: &[&str]) -> Result<bool> {
    let recorded = rules()?;
    for selector in named(expression)?.selectors {
        if series.contains(&selector.metric.as_str()) {
            return Ok(true);
        }
        for rule in recorded.iter().filter(|rule| rule["record"] == selector.metric.as_str()) {
            if asks_for(crate::catalogue::expression(rule)?, series)? {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

#[test]
fn every_alert_says_what_to_do() -> Result<()> {
    let runbook = file("docs/operations.md")?;
    for rule in rules()? {
        let Some((name, severity)) = alert(&rule) else { continue };
        let said = |what: &str| rule["annotations"][what].as_str().with_context(|| format!("{name} has no {what}"));
        ensure!(["page", "ticket"].contains(&severity.as_str()), "{name}: {severity}");
        ensure!(rule["for"].is_string(), "{name} does not say for how long");
        ensure!(said("summary")?.len() < 120 && !said("summary")?.ends_with('.'), "{name}: {}", said("summary")?);
        ensure!(said("description")?.len() > 60, "{name}: {}", said("description")?);
        ensure!(said("runbook_url")? == format!("{RUNBOOK}{}", name.to_lowercase()), "{}", said("runbook_url")?);
        let section =
            runbook.split(&format!("\n### {name}\n")).nth(1).with_context(|| format!("{name} has no section"))?;
        let section = section.split("\n#").next().unwrap_or_default();
        for part in ["**It means:**", "**Users notice:**", "**Look:**", "**To do:**"] {
            ensure!(section.contains(part), "the section of {name} has no {part}");
        }
    }
    Ok(())
}

#[test]
fn everything_that_is_judged_exists() -> Result<()> {
    let catalogue = Catalogue::read()?;
    for rule in rules()? {
        catalogue.check(expression(&rule)?)?;
        for text in rule["annotations"].as_object().into_iter().flatten().filter_map(|(_, text)| text.as_str()) {
            catalogue.check_text(expression(&rule)?, text)?;
        }
    }
    for name in cases()? {
        for test in list(&yaml(&format!("deploy/prometheus/{name}"))?["tests"])? {
            for series in list(&test["input_series"])? {
                catalogue.check(series["series"].as_str().context("no series")?).with_context(|| name.clone())?;
            }
        }
    }
    Ok(())
}

/// The objective's time has to be a bucket's bound: else nothing is in time.
#[test]
fn the_objective_is_a_bucket() -> Result<()> {
    let catalogue = file("docs/metrics.md")?;
    let buckets = catalogue.split("\n| `fairlead_time_to_ready_seconds` | ").nth(2).context("no buckets")?;
    let buckets: Vec<f64> = buckets
        .lines()
        .next()
        .unwrap_or_default()
        .trim_end_matches([' ', '|'])
        .split(", ")
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    let mut kinds = BTreeSet::new();
    for rule in rules()?.iter().filter(|rule| rule["record"] == "fairlead:ready_objective:ratio") {
        let bound = rule["labels"]["le"].as_str().context("no time")?;
        // As it is scraped.
        ensure!(format!("{:?}", bound.parse::<f64>()?) == bound && buckets.contains(&bound.parse()?), "{bound}");
        kinds.insert(rule["labels"]["kind"].as_str().context("no kind")?.to_owned());
    }
    ensure!(kinds == BTreeSet::from(["RDSInstance", "SQSQueue"].map(str::to_owned)), "{kinds:?}");
    Ok(())
}

#[test]
fn the_operator_s_rules_are_the_same_and_its_monitor_finds_the_pods() -> Result<()> {
    let rule = yaml("deploy/prometheus/prometheusrule.yaml")?;
    ensure!(
        rule["kind"] == "PrometheusRule" && rule["spec"] == yaml("deploy/prometheus/rules.yaml")?,
        "run `make generate`"
    );
    let (monitor, deployment) = (yaml("deploy/prometheus/podmonitor.yaml")?, yaml("deploy/deployment.yaml")?);
    ensure!(monitor["metadata"]["namespace"] == deployment["metadata"]["namespace"]);
    let template = &deployment["spec"]["template"];
    ensure!(monitor["spec"]["selector"]["matchLabels"] == template["metadata"]["labels"], "{monitor}");
    let job = monitor["spec"]["jobLabel"].as_str().context("no label for the job")?;
    ensure!(template["metadata"]["labels"][job] == fairlead_harness::prometheus::JOB);
    let port = &monitor["spec"]["podMetricsEndpoints"][0]["port"];
    let ports = list(&template["spec"]["containers"][0]["ports"])?;
    ensure!(ports.iter().any(|it| it["name"] == *port), "no port is named {port}");
    Ok(())
}

#[tokio::test]
async fn the_kustomization_builds() -> Result<()> {
    let cluster = fairlead_harness::cluster::Cluster::shared().await?;
    let built = cluster.kubectl(&["kustomize", &format!("{ROOT}/deploy/prometheus")]).await?;
    for kind in ["PodMonitor", "PrometheusRule"] {
        ensure!(built.matches(&format!("\nkind: {kind}\n")).count() == 1, "{built}");
    }
    Ok(())
}
