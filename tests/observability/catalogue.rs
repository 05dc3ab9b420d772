//! Which metrics there are and which labels they have: docs/metrics.md, which is made from the code, and what
//! Prometheus and deploy/prometheus/rules.yaml add. A name that is not there is a typing error.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::{
    file,
    promql::{self, named},
    yaml,
};

/// The labels that Prometheus gives to all that it scrapes.
const TARGET: &[&str] = &["job", "instance", "namespace", "pod"];
/// What Prometheus makes itself.
const OWN: &[(&str, &[&str])] = &[
    ("up", &[]),
    ("ALERTS", &["alertname", "alertstate", "severity", "name", "kind", "region", "account", "service", "resource"]),
];

/// What there is.
pub struct Catalogue {
    /// Every metric: whether it is a histogram, and its labels.
    metrics: BTreeMap<String, (bool, BTreeSet<String>)>,
    /// The document, which names the values of labels that have but a few.
    text: String,
}

impl Catalogue {
    /// As it is documented.
    pub fn read() -> Result<Catalogue> {
        let text = file("docs/metrics.md")?;
        let mut all = BTreeMap::new();
        for line in text.lines() {
            let cells: Vec<_> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
            let [name, form @ ("counter" | "gauge" | "histogram"), _unit, labels, ..] = cells[..] else { continue };
            let labels = labels.split(", ").filter(|label| !label.is_empty());
            let labels = labels.map(|label| match label.trim_matches('`') {
                // Prometheus keeps its own label, and renames the one that it finds.
                own if TARGET.contains(&own) => format!("exported_{own}"),
                other => other.to_owned(),
            });
            all.insert(name.trim_matches('`').to_owned(), (form == "histogram", labels.collect::<BTreeSet<_>>()));
        }
        ensure!(all.len() > 40, "docs/metrics.md has but {} metrics", all.len());
        for (name, labels) in OWN {
            all.insert((*name).to_owned(), (false, labels.iter().map(ToString::to_string).collect()));
        }
        for rule in rules()? {
            let Some(name) = rule["record"].as_str() else { continue };
            let grouped = named(expression(&rule)?)?.grouped;
            let said = rule["labels"].as_object().into_iter().flatten().map(|(label, _)| label.clone());
            all.entry(name.to_owned()).or_default().1.extend(grouped.into_iter().chain(said));
        }
        Ok(Catalogue { metrics: all, text })
    }

    /// The labels that series of this name may have.
    pub fn labels(&self, series: &str) -> Result<BTreeSet<String>> {
        let parts =
            ["_bucket", "_sum", "_count"].into_iter().filter_map(|part| Some((series.strip_suffix(part)?, part)));
        let histogram = parts.filter_map(|(name, part)| Some((self.metrics.get(name).filter(|it| it.0)?, part))).next();
        let mut labels = match (self.metrics.get(series), histogram) {
            (Some((false, labels)), _) => labels.clone(),
            (Some((true, _)), _) => bail!("{series} is a histogram: name its _bucket, _sum or _count"),
            (None, Some(((_, labels), part))) => {
                let le = (part == "_bucket").then(|| "le".to_owned());
                labels.iter().cloned().chain(le).collect()
            }
            (None, None) => bail!("no metric is named {series}"),
        };
        labels.extend(TARGET.iter().map(ToString::to_string));
        Ok(labels)
    }

    /// The labels that the result of an expression may have; an error where it names what there is not.
    pub fn check(&self, expression: &str) -> Result<BTreeSet<String>> {
        let named = named(expression)?;
        let mut all = BTreeSet::new();
        for selector in &named.selectors {
            let labels = self.labels(&selector.metric).with_context(|| expression.to_owned())?;
            for (label, value) in &selector.labels {
                ensure!(labels.contains(label), "{} has no label {label}: {expression}", selector.metric);
                ensure!(self.may_be(label, value), "no {label} is {value}: {expression}");
            }
            all.extend(labels);
        }
        for label in &named.grouped {
            ensure!(all.contains(label), "nothing has a label {label}: {expression}");
        }
        Ok(if named.grouped.is_empty() { all } else { named.grouped.into_iter().collect() })
    }

    /// Whether a label may have such values: of some labels the document names all of them.
    fn may_be(&self, label: &str, value: &str) -> bool {
        let plain = |it: &str| it.chars().all(|it| it.is_ascii_alphanumeric() || it == '_');
        let told = ["kind", "controller"].contains(&label) || self.text.contains(&format!("`{label}` is"));
        !told || value.split('|').all(|it| !plain(it) || self.text.contains(&format!("`{it}`")))
    }

    /// The same, for a text that shows labels of the result, as `{{label}}` or `{{ $labels.label … }}`.
    pub fn check_text(&self, expression: &str, text: &str) -> Result<()> {
        let labels = self.check(expression)?;
        for placeholder in promql::placeholders(text) {
            let label = placeholder.split(' ').next().unwrap_or_default();
            let label = label.strip_prefix("$labels.").unwrap_or(label);
            ensure!(
                label == "$value" || labels.contains(label),
                "{text:?} shows {label}, and there is none: {expression}"
            );
        }
        Ok(())
    }

    /// Whether there is such a metric.
    pub fn has(&self, name: &str) -> bool {
        self.metrics.contains_key(name)
    }
}

/// All rules of deploy/prometheus/rules.yaml.
pub fn rules() -> Result<Vec<Value>> {
    let groups = yaml("deploy/prometheus/rules.yaml")?["groups"].as_array().cloned().context("no groups")?;
    Ok(groups.iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect())
}

/// The expression of a rule.
pub fn expression(rule: &Value) -> Result<&str> {
    rule["expr"].as_str().with_context(|| format!("no expression: {rule}"))
}

/// The check itself finds what it is there for.
#[test]
fn a_typing_error_is_found() -> Result<()> {
    let catalogue = Catalogue::read()?;
    for (expression, text, fits) in [
        ("sum by (kind) (fairlead_objects{ready=\"false\"})", "{{kind}}", true),
        ("sum by (kind) (fairlead_object{ready=\"false\"})", "{{kind}}", false),
        ("sum by (kind) (fairlead_objects{raedy=\"false\"})", "{{kind}}", false),
        ("sum by (knid) (fairlead_objects{ready=\"false\"})", "", false),
        ("sum by (kind) (fairlead_objects{ready=\"false\"})", "{{ready}}", false),
        ("sum by (kind) (fairlead_objects{ready=\"flase\"})", "", false),
        ("sum by (kind) (fairlead_aws_calls_total{outcome=~\"denied|creds\"})", "", false),
        ("sum by (region) (fairlead_aws_calls_total{outcome=~\"denied|credentials\", region=~\"$region\"})", "", true),
        ("rate(fairlead_handover_seconds[5m])", "", false),
        ("rate(fairlead_handover_seconds_bucket{le=\"1.0\"}[5m])", "{{pod}}", true),
        ("rate(fairlead_handover_seconds_count{le=\"1.0\"}[5m])", "", false),
        ("fairlead_objects_bucket", "", false),
        ("max by (exported_namespace) (fairlead_watch_age_seconds)", "{{ $labels.exported_namespace }}", true),
        ("fairlead_objects{exported_namespace=\"shop\"}", "", false),
        ("fairlead:ready_slow:ratio_rate1h{kind=\"SQSQueue\"}", "{{ $value | humanizePercentage }}", true),
        ("fairlead:ready_slow:ratio_rate2h", "", false),
    ] {
        let checked = catalogue.check_text(expression, text);
        ensure!(checked.is_ok() == fits, "{expression} {text}: {checked:?}");
    }
    Ok(())
}
