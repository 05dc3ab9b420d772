//! What traces cost: how many reconciles there are, and how much CPU each takes, with none, with all, with one of a
//! hundred, and with all where the collector never answers. They take turns on the same queues, so that a noisy machine
//! is noisy to all of them.
//!
//! What was measured, and on what, stands in benches/README.md.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{
    otlp::{Collector, Mood},
    site::Site,
};
use serde_json::json;

const QUEUES: usize = 3_000;
const ROUNDS: usize = 5;
const MEASURED: Duration = Duration::from_secs(10);
const DEADLINE: Duration = Duration::from_secs(400);

/// What is kept of traces, and what the collector is like.
const MODES: [(&str, Option<&str>, Mood); 4] = [
    ("off", None, Mood::Blind),
    ("1 %", Some("0.01"), Mood::Blind),
    ("100 %", Some("1"), Mood::Blind),
    ("100 %, the collector never answers", Some("1"), Mood::Silent),
];

fn main() -> Result<()> {
    tokio::runtime::Runtime::new()?.block_on(async {
        let collector = Collector::start().await?;
        let deploy = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"));
        let mut site = Site::new(deploy, Path::new(env!("CARGO_BIN_EXE_fairlead")))
            .await?
            .env("FAIRLEAD_FLOW_RATE", "10000")
            .env("FAIRLEAD_FLOW_CONCURRENCY", "32")
            .env("RECONCILE_FREQUENCY_SECONDS", "1");
        site.create((0..QUEUES).map(|number| format!("queue-{number}")), json!({})).await?;
        site.start().await?;
        site.until_ready("queue", QUEUES, DEADLINE).await?;
        end(&mut site).await?;
        let mut measured: Vec<Vec<(f64, f64)>> = vec![Vec::new(); MODES.len()];
        for round in 0..ROUNDS {
            for offset in 0..MODES.len() {
                // Nobody is always first.
                let mode = (round + offset) % MODES.len();
                let (name, ratio, mood) = MODES[mode];
                collector.set(mood);
                site = traced(site, ratio, &collector);
                let (rate, cpu) = run(&mut site, mood).await?;
                eprintln!("{name}: {rate:.0} reconciles/s, {cpu:.0} µs of CPU each");
                measured[mode].push((rate, cpu));
            }
        }
        println!("| Traces | Reconciles a second | Slower by | CPU a reconcile | More by |\n|---|---|---|---|---|");
        let medians: Vec<_> =
            measured.iter().map(|of| (median(of.iter().map(|it| it.0)), median(of.iter().map(|it| it.1)))).collect();
        let (rate, cpu) = medians[0];
        for ((name, ..), (own_rate, own_cpu)) in MODES.iter().zip(&medians) {
            let (slower, more) = (rate / own_rate, own_cpu / cpu);
            println!("| {name} | {own_rate:.0} | × {slower:.3} | {own_cpu:.0} µs | × {more:.3} |");
        }
        Ok(())
    })
}

fn traced(site: Site, ratio: Option<&str>, collector: &Collector) -> Site {
    let endpoint = ratio.map_or_else(String::new, |_| collector.endpoint());
    site.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint)
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", ratio.unwrap_or("0"))
}

/// Reconciles a second, and microseconds of CPU for each, while there is more to do than can be done.
async fn run(site: &mut Site, mood: Mood) -> Result<(f64, f64)> {
    let before = site.fake.count("sqs", "GetQueueAttributes");
    site.start().await?;
    site.until("every queue to be looked at twice", DEADLINE, || {
        match site.fake.count("sqs", "GetQueueAttributes") - before {
            looks if looks >= 2 * QUEUES as u64 => Ok(()),
            looks => Err(format!("{looks} looks")),
        }
    })
    .await?;
    let operator = site.operator()?;
    let (began, looks, cpu) = (Instant::now(), site.fake.count("sqs", "GetQueueAttributes"), operator.cpu()?);
    tokio::time::sleep(MEASURED).await;
    #[allow(clippy::cast_precision_loss)]
    let looks = (site.fake.count("sqs", "GetQueueAttributes") - looks) as f64;
    let (rate, cpu) = (looks / began.elapsed().as_secs_f64(), (operator.cpu()? - cpu) / looks * 1e6);
    // Where spans are lost, less is done.
    for reason in ["queue_full", "export_failed", "rejected"] {
        let lost = site.metric(&format!("fairlead_spans_dropped_total{{reason=\"{reason}\"}}")).await?;
        ensure!(mood == Mood::Silent || lost.unwrap_or_default() == 0.0, "{lost:?} spans were lost: {reason}");
    }
    end(site).await?;
    Ok((rate, cpu))
}

async fn end(site: &mut Site) -> Result<()> {
    let operator = site.take_operator()?;
    operator.terminate()?;
    operator.exit_code(Duration::from_secs(60)).await.context("the operator's end")?;
    Ok(())
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
