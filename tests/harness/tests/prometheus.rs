//! The Prometheus of the harness scrapes, judges, keeps exemplars, and says what is wrong.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use axum::{Router, http::header::CONTENT_TYPE, routing::get};
use fairlead_harness::ports::Port;
use fairlead_harness::prometheus::{Prometheus, Scraped, promtool};
use fairlead_harness::wait::eventually;
use tokio::net::TcpListener;

const DEADLINE: Duration = Duration::from_secs(60);

const METRICS: &str = "\
# TYPE oranges counter
oranges_total{namespace=\"shop\"} 3.0
# TYPE seconds histogram
seconds_sum 0.3
seconds_count 1
seconds_bucket{le=\"1.0\"} 1 # {trace_id=\"0123\"} 0.3
seconds_bucket{le=\"+Inf\"} 1
# EOF
";

const RULES: &str = "\
groups:
  - name: fruit
    rules:
      - alert: Oranges
        expr: oranges_total > 2
";

#[tokio::test]
async fn it_scrapes_and_judges_and_says_what_is_wrong() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?.to_string();
    let kind = [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")];
    let router = Router::new().route("/metrics", get(async move || (kind, METRICS)));
    let server = tokio::spawn(async { axum::serve(listener, router).await });
    let nobody = Port::reserve()?;
    let targets = [
        Scraped { pod: "a".into(), address },
        Scraped { pod: "b".into(), address: format!("127.0.0.1:{}", nobody.number()) },
    ];
    let rules = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rules-{}.yaml", std::process::id()));
    std::fs::write(&rules, RULES)?;
    let prometheus = Prometheus::start(&targets, std::slice::from_ref(&rules)).await?;
    std::fs::remove_file(&rules)?;

    let firing = r#"ALERTS{alertname="Oranges",alertstate="firing"}"#;
    let series = eventually("an alert", DEADLINE, async || match prometheus.query(firing).await {
        Ok(series) if series.len() == 1 => Ok(series),
        other => Err(format!("{other:?}")),
    })
    .await?;
    for (label, value) in [("job", "fairlead"), ("pod", "a"), ("namespace", "fairlead-system")] {
        ensure!(series[0].labels[label] == value, "{label} in {series:?}");
    }
    ensure!(series[0].labels["exported_namespace"] == "shop", "{series:?}");
    let range = prometheus.query_range("oranges_total", DEADLINE, Duration::from_secs(1)).await?;
    ensure!(range.len() == 1 && range[0].values.iter().all(|(_, value)| *value == 3.0), "{range:?}");
    let exemplars = prometheus.exemplars("seconds_bucket", DEADLINE).await?;
    ensure!(exemplars.len() == 1 && exemplars[0].labels["trace_id"] == "0123", "{exemplars:?}");
    ensure!(exemplars[0].value == 0.3, "{exemplars:?}");
    let told = eventually("both to have been scraped", DEADLINE, async || {
        let targets = prometheus.targets().await.map_err(|error| format!("{error:#}"))?;
        let scraped = targets.iter().all(|target| target.health != "unknown");
        if targets.len() == 2 && scraped { Ok(targets) } else { Err(format!("{targets:?}")) }
    })
    .await?;
    let of = |pod: &str| told.iter().find(|target| target.pod == pod).context("no such target");
    ensure!(of("a")?.health == "up" && of("a")?.last_error.is_empty(), "{told:?}");
    ensure!(of("b")?.health == "down" && of("b")?.last_error.contains("refused"), "{told:?}");
    ensure!(prometheus.metadata().await?["oranges"][0]["type"] == "counter");
    ensure!(prometheus.rules().await?.len() == 1);
    ensure!(prometheus.query("oranges_total +").await.is_err(), "a query that is none was answered");
    server.abort();
    Ok(())
}

#[tokio::test]
async fn promtool_says_what_it_thinks() -> Result<()> {
    let rules = format!("promtool-{}.yaml", std::process::id());
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for (text, content) in [(RULES, true), ("groups: [{ name: a, rules: [{ alert: B, expr: 'x +' }] }]", false)] {
        std::fs::write(dir.join(&rules), text)?;
        let (passed, said) = promtool(dir, &["check", "rules", &rules]).await?;
        ensure!(passed == content, "{said}");
    }
    std::fs::remove_file(dir.join(&rules))?;
    Ok(())
}
