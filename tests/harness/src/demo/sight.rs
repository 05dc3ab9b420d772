//! Where all of it can be seen: a trace, the metrics.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::otlp::tree;

use super::screen::{command, output, say};
use super::{DEADLINE, Demo, stage};

/// What is worth a look in the metrics of this demo.
const METRICS: [&str; 4] = [
    "controller_runtime_reconcile_total{controller=\"SQSQueue\"",
    "fairlead_aws_calls_total{service=\"sqs\"",
    "fairlead_drift_corrections_total",
    "fairlead_time_to_ready_seconds_sum{kind=\"SQSQueue\"}",
];

impl Demo {
    /// The trace of the correction, and the leader's metrics.
    pub(super) async fn show_sight(&mut self) -> Result<()> {
        self.screen.step("Each reconcile is a trace; this was the correction");
        match stage::own_collector() {
            Some(endpoint) => {
                say(&format!("It is where {endpoint} leads: service fairlead, fairlead.outcome=DriftCorrected."))
            }
            None => self.show_trace().await?,
        }
        self.screen.step("What Prometheus sees of the leader");
        let leader = self.stage.leader(None, DEADLINE).await?;
        let replica = self.stage.replicas.iter().find(|replica| replica.name == leader).context("no leader")?;
        command(&format!("curl -s http://{}/metrics | grep …", replica.operator.metrics_address()));
        let text = replica.operator.metrics().await?;
        let lines = METRICS.iter().flat_map(|begin| text.lines().filter(move |line| line.starts_with(begin)));
        let lines: Vec<_> = lines.collect();
        ensure!(!lines.is_empty(), "the metrics lack all of {METRICS:?}: {text}");
        output(&lines.join("\n"));
        say("docs/metrics.md lists all of them. deploy/grafana has dashboards, deploy/prometheus alerts.");
        Ok(())
    }

    /// One object on one screen, and what a change would do before it is made.
    pub(super) async fn show_object(&mut self) -> Result<()> {
        self.screen.step("One object on one screen");
        let told = self.stage.fairlead("explain sqsqueue/orders", &["explain", "sqsqueue/orders"]).await?;
        ensure!(told.contains("Ready"), "explain tells nothing of Ready: {told}");
        output(&told);
        say("In a cluster it also asks the replica that leads, for its place in the queue and its last trace.");
        self.screen.step("What a change would do in AWS, before it is made");
        let manifest = std::fs::read_to_string(self.stage.deploy("samples/queue.yaml"))?;
        let changed = format!("{}\n  delaySeconds: 9\n", manifest.trim_end());
        let file = std::env::temp_dir().join(format!("fairlead-demo-{}.yaml", std::process::id()));
        std::fs::write(&file, changed)?;
        let planned = self.stage.fairlead("plan -f orders.yaml", &["plan", "-f", &file.display().to_string()]).await;
        std::fs::remove_file(&file)?;
        let planned = planned?;
        ensure!(planned.contains("delaySeconds"), "the plan does not name delaySeconds: {planned}");
        output(&planned);
        Ok(())
    }

    async fn show_trace(&self) -> Result<()> {
        let corrected = |span: &fairlead_harness::otlp::Span| {
            span.parent.is_empty() && span.text("fairlead.outcome") == "DriftCorrected"
        };
        let trace = self.stage.collector.trace("the correction", DEADLINE, corrected).await?;
        let began = trace.first().context("an empty trace")?.time.0;
        for (depth, span) in tree(&trace) {
            let ms = |time: u64| time.saturating_sub(began) as f64 / 1e6;
            let name = format!("{}{}", "  ".repeat(depth), span.name);
            let told = ["fairlead.plan.fields", "aws.request_id", "fairlead.outcome"].map(|name| span.text(name));
            let told = told.iter().filter(|text| !text.is_empty()).cloned().collect::<Vec<_>>().join(" ");
            say(format!("{name:34} {:6.1} to {:6.1} ms  {told}", ms(span.time.0), ms(span.time.1)).trim_end());
        }
        say(
            "To see them in Jaeger, start it and the demo with OTEL_EXPORTER_OTLP_ENDPOINT; docs/observability.md tells how.",
        );
        Ok(())
    }
}
