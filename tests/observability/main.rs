//! What people see in Grafana, and are called by: dashboards, rules and what they are computed from.
//!
//! A real Prometheus scrapes real replicas, judges the rules, and is asked all that a dashboard would ask. That
//! finds an expression that shows nothing; a name that does not exist is found without it, in the catalogue of
//! docs/metrics.md.

mod catalogue;
mod dashboards;
mod live;
mod load;
mod promql;
mod rules;

use std::{path::Path, time::Duration};

/// How long anything may take, on a slow machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// The checkout.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a file of the checkout says.
fn file(path: &str) -> anyhow::Result<String> {
    use anyhow::Context as _;
    std::fs::read_to_string(Path::new(ROOT).join(path)).with_context(|| path.to_owned())
}

/// A file of the checkout that is YAML or JSON.
fn yaml(path: &str) -> anyhow::Result<serde_json::Value> {
    use anyhow::Context as _;
    serde_yaml_ng::from_str(&file(path)?).with_context(|| path.to_owned())
}
