//! Traces, as a real collector's protocols carry them: their shape, what they hold and what they must not, and what
//! a bad collector does to the operator, which is nothing.

mod links;
mod protocols;
mod secrets;
mod shapes;
mod troubles;

use std::{path::Path, time::Duration};

use anyhow::Result;
use fairlead_harness::{
    otlp::{self, Collector, Span},
    site::Site,
};

/// How long anything may take, on a slow machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A site whose operator, once it is started, exports to a collector by HTTP, all of it and soon.
async fn site(collector: &Collector) -> Result<Site> {
    let deploy = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"));
    let site = Site::new(deploy, Path::new(env!("CARGO_BIN_EXE_fairlead"))).await?;
    Ok(site
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint())
        .env("OTEL_BSP_SCHEDULE_DELAY", "100")
        .env("RECONCILE_FREQUENCY_SECONDS", "2"))
}

/// Whether a span is the root of a reconcile of this queue that came to `outcome`.
fn reconciled(name: &str, outcome: &str) -> impl Fn(&Span) -> bool {
    move |span| {
        span.parent.is_empty()
            && span.name == "reconcile SQSQueue"
            && span.text("fairlead.object.name") == name
            && span.text("fairlead.outcome") == outcome
    }
}

/// The names of spans, each indented below its parent, in the order in which they began.
fn tree(trace: &[Span]) -> Vec<String> {
    let lines = otlp::tree(trace).into_iter();
    lines.map(|(depth, span)| format!("{}{}", "  ".repeat(depth), span.name)).collect()
}
