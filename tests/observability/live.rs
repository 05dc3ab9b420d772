//! A real Prometheus and three real replicas under load: no scrape fails, and every expression of every dashboard
//! and rule has something to show.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    otlp::Collector,
    prometheus::{Exemplar, JOB, NAMESPACE, Prometheus, Scraped},
    replicas::Replicas,
    site::Site,
    wait::eventually,
};

use crate::{
    DEADLINE, ROOT,
    catalogue::{Catalogue, expression, rules},
    dashboards::{FILES, asked, variables},
    load,
    promql::named,
};

/// Metrics of which a healthy run may have no series, and why. All others must have some. What is asked of these
/// is known to be right by their names and labels alone (`everything_asked_for_exists`), and that it is PromQL.
const MAY_BE_ABSENT: &[(&str, &str)] =
    &[("ALERTS", "nothing that wakes somebody fires"), ("fairlead_spans_dropped_total", "no span is dropped")];

/// Long enough for all that happens in a run.
const BACK: Duration = Duration::from_secs(600);
const STEP: Duration = Duration::from_secs(2);

/// How many replicas Prometheus knows.
const SCRAPED: usize = 3;

/// Values of a dashboard's variables.
type Values = BTreeMap<String, String>;

#[tokio::test]
async fn every_expression_has_something_to_show() -> Result<()> {
    let site = Site::new(&Path::new(ROOT).join("deploy"), Path::new(env!("CARGO_BIN_EXE_fairlead"))).await?;
    let settings =
        [("FAIRLEAD_SHARDS", "16"), ("RECONCILE_FREQUENCY_SECONDS", "3"), ("FAIRLEAD_MESSAGE_METRICS", "20")];
    let collector = Collector::start().await?;
    let site = site.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    let site = settings.iter().fold(site, |site, (name, value)| site.env(name, value));
    // One more than is scraped: it goes, and the others take its shards over.
    let mut replicas = Replicas::new(site, SCRAPED + 1).await?;
    replicas.start_all(DEADLINE).await.map_err(|error| replicas.explain(error))?;
    let prometheus = scraping(&replicas).await?;
    hand_over(&mut replicas, &prometheus).await.map_err(|error| replicas.explain(error))?;

    let outcome = async {
        busy(&replicas.site, &prometheus).await.map_err(|error| replicas.explain(error))?;
        every_panel_shows(&prometheus).await?;
        every_rule_is_judged(&prometheus).await?;
        exemplars_lead_to_traces(&prometheus, &collector).await?;
        every_scrape_is_well(&prometheus).await
    };
    outcome.await.map_err(|error| prometheus.process().explain(error))
}

/// The first objects make the series; what comes after is what rates are made of.
async fn busy(site: &Site, prometheus: &Prometheus) -> Result<()> {
    load::come(site, "first").await?;
    for kind in ["SQSQueue", "RDSInstance"] {
        let ready = format!("fairlead_time_to_ready_seconds_count{{kind=\"{kind}\"}} > 0");
        eventually(&ready, DEADLINE, async || shows(prometheus, &ready).await).await?;
    }
    load::drift(site, "first").await?;
    load::come(site, "second").await?;
    load::drift(site, "second").await?;
    load::go(site, "second").await
}

/// The replica that is not scraped leads something, and ends.
async fn hand_over(replicas: &mut Replicas, prometheus: &Prometheus) -> Result<()> {
    eventually("a shard of the last replica, and scrapes of the others", DEADLINE, async || {
        let led = replicas.led().await.map_err(|error| format!("{error:#}"))?;
        shows(prometheus, "sum(up) == 3").await?;
        if led[SCRAPED].is_empty() { Err(format!("{led:?}")) } else { Ok(()) }
    })
    .await?;
    let last = replicas.take(SCRAPED)?;
    last.terminate()?;
    ensure!(last.exit_code(DEADLINE).await? == 0);
    eventually("the others to lead all shards", DEADLINE, async || {
        shows(prometheus, "sum(fairlead_shards_led) == 16").await
    })
    .await
}

async fn scraping(replicas: &Replicas) -> Result<Prometheus> {
    let targets = (0..SCRAPED).map(|index| {
        let replica = replicas.at(index)?;
        Ok(Scraped { pod: replica.name.clone(), address: replica.operator()?.metrics_address() })
    });
    let rules = PathBuf::from(format!("{ROOT}/deploy/prometheus/rules.yaml"));
    Prometheus::start(&targets.collect::<Result<Vec<_>>>()?, &[rules]).await
}

/// Every expression, with the variables at "All" and with every value chosen.
async fn every_panel_shows(prometheus: &Prometheus) -> Result<()> {
    let mut shown = 0;
    for file in FILES {
        let (all, chosen) = chosen(prometheus, file).await?;
        for asked in asked(file)? {
            for values in [&all, &chosen] {
                let expression = interpolated(&asked.expression, values)?;
                has_data(prometheus, &expression).await.with_context(|| asked.place.clone())?;
                shown += 1;
            }
        }
    }
    println!("{shown} expressions of dashboards show something");
    Ok(())
}

/// What Grafana puts for a dashboard's variables: "All", and every value there is.
async fn chosen(prometheus: &Prometheus, file: &str) -> Result<(Values, Values)> {
    let interval = || BTreeMap::from([("__rate_interval".to_owned(), "30s".to_owned())]);
    let (mut all, mut each) = (interval(), interval());
    for (name, series, label, many) in variables(file)? {
        let query = format!("group by ({label}) ({})", interpolated(&series, &all)?);
        let found = prometheus.query(&query).await.with_context(|| format!("{file}, {name}"))?;
        let found: Vec<_> =
            found.iter().filter_map(|series| series.labels[&label].as_str().map(str::to_owned)).collect();
        ensure!(!found.is_empty(), "{file}: the variable {name} has no value: {query}");
        ensure!(many || found.len() == 1, "{file}: {name} is one of {found:?}");
        all.insert(name.clone(), if many { ".*".into() } else { found.join("") });
        each.insert(name, if many { format!("({})", found.join("|")) } else { found.join("") });
    }
    ensure!(all["job"] == JOB && all["namespace"] == NAMESPACE, "{all:?}");
    Ok((all, each))
}

fn interpolated(expression: &str, values: &Values) -> Result<String> {
    let mut parts = expression.split('$');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|it: char| !it.is_ascii_alphanumeric() && it != '_').unwrap_or(part.len());
        text += values.get(&part[..end]).with_context(|| format!("no variable {} in {expression}", &part[..end]))?;
        text += &part[end..];
    }
    Ok(text)
}

/// Recorded series are there, and what alerts are made of is; no page is sent.
async fn every_rule_is_judged(prometheus: &Prometheus) -> Result<()> {
    for rule in rules()? {
        for selector in named(expression(&rule)?)?.selectors {
            has_data(prometheus, &selector.text).await.with_context(|| rule["expr"].to_string())?;
        }
        if let Some(record) = rule["record"].as_str() {
            has_data(prometheus, record).await?;
        }
    }
    let judged = prometheus.rules().await?;
    ensure!(judged.len() == rules()?.len(), "{judged:?}");
    for rule in judged {
        ensure!(rule["health"] == "ok" && rule["lastError"].as_str().is_none_or(str::is_empty), "{rule}");
        // On a slow machine new objects are late indeed.
        let woken = rule["labels"]["severity"] == "page" && rule["name"] != "FairleadReadyObjectiveFastBurn";
        ensure!(!woken || rule["state"] != "firing", "somebody is woken: {rule}");
    }
    Ok(())
}

async fn every_scrape_is_well(prometheus: &Prometheus) -> Result<()> {
    eventually("all replicas to be scraped", DEADLINE, async || {
        let targets = prometheus.targets().await.map_err(|error| format!("{error:#}"))?;
        let well = targets.iter().all(|target| target.health == "up" && target.last_error.is_empty());
        if targets.len() == SCRAPED && well { Ok(()) } else { Err(format!("{targets:?}")) }
    })
    .await?;
    let log = prometheus.process().log();
    let complaints: Vec<_> =
        log.lines().filter(|line| line.contains("level=warn") || line.contains("level=error")).collect();
    ensure!(log.contains("level=info") && complaints.is_empty(), "{complaints:#?}");
    Ok(())
}

/// Points of the panels of reconciles name traces that the collector has: of that kind, and no longer than that.
async fn exemplars_lead_to_traces(prometheus: &Prometheus, collector: &Collector) -> Result<()> {
    for kind in ["SQSQueue", "RDSInstance"] {
        let series = format!("controller_runtime_reconcile_time_seconds_bucket{{controller=\"{kind}\"}}");
        eventually(&format!("traces of {series}"), DEADLINE / 2, async || {
            let exemplars = prometheus.exemplars(&series, BACK).await.map_err(|error| format!("{error:#}"))?;
            let spans = collector.spans();
            let roots: BTreeMap<_, _> = spans
                .iter()
                .filter(|span| span.name == format!("reconcile {kind}"))
                .map(|span| (span.trace.as_str(), span))
                .collect();
            let mut found = 0;
            for Exemplar { labels, value, .. } in &exemplars {
                let Some(root) = labels["trace_id"].as_str().and_then(|id| roots.get(id)) else { continue };
                let took = Duration::from_nanos(root.time.1.saturating_sub(root.time.0)).as_secs_f64();
                // What is measured holds the span, and on a busy machine a pause before or after it.
                if took > value + 0.05 {
                    return Err(format!("{labels} took {value} s, and its trace {took} s"));
                }
                found += 1;
            }
            // The latest may not be exported yet.
            if found > 0 && found * 10 >= exemplars.len() * 9 {
                Ok(())
            } else {
                Err(format!("{found} of {}", exemplars.len()))
            }
        })
        .await?;
    }
    Ok(())
}

/// Whether an expression has shown a number; of series that may be absent it must only be one.
async fn has_data(prometheus: &Prometheus, expression: &str) -> Result<()> {
    let seen = eventually(expression, DEADLINE / 4, async || match shows(prometheus, expression).await {
        Ok(()) => Ok(()),
        Err(why) => match excused(prometheus, expression).await {
            Ok(true) => Ok(()),
            other => Err(format!("{why}; excused: {other:?}")),
        },
    });
    seen.await
}

async fn shows(prometheus: &Prometheus, expression: &str) -> Result<(), String> {
    let series = prometheus.query_range(expression, BACK, STEP).await.map_err(|error| format!("{error:#}"))?;
    match series.iter().flat_map(|series| &series.values).any(|(_, value)| value.is_finite()) {
        true => Ok(()),
        false => Err(format!("{} series without a number", series.len())),
    }
}

/// Whether some of the series that it asks for are absent, and all of those may be. The query itself succeeds.
async fn excused(prometheus: &Prometheus, expression: &str) -> Result<bool> {
    prometheus.query(expression).await?;
    let mut absent = 0;
    for selector in named(expression)?.selectors {
        if shows(prometheus, &selector.text).await.is_err() {
            let known = MAY_BE_ABSENT.iter().any(|(metric, _)| *metric == selector.metric);
            ensure!(known, "there is no {}", selector.text);
            absent += 1;
        }
    }
    Ok(absent > 0)
}

#[test]
fn what_may_be_absent_exists() -> Result<()> {
    let catalogue = Catalogue::read()?;
    for (metric, _) in MAY_BE_ABSENT {
        ensure!(catalogue.has(metric), "{metric}");
    }
    Ok(())
}
