//! The dashboards of deploy/grafana: whether Grafana takes them, and whether what they ask for exists.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use fairlead_harness::cluster::Cluster;
use serde_json::Value;

use crate::{ROOT, catalogue::Catalogue, file};

/// The files.
pub const FILES: &[&str] = &["overview.json", "aws.json", "queue-and-shards.json"];

/// An expression of a dashboard.
#[derive(Debug)]
pub struct Asked {
    /// Where it is: file and panel.
    pub place: String,
    /// The expression, with variables.
    pub expression: String,
    /// How its series are called.
    pub legend: String,
}

/// A dashboard as it is in its file.
pub fn dashboard(name: &str) -> Result<Value> {
    Ok(serde_json::from_str(&file(&format!("deploy/grafana/{name}"))?)?)
}

/// Its panels, without the rows.
pub fn panels(dashboard: &Value) -> Result<Vec<Value>> {
    let panels = dashboard["panels"].as_array().context("no panels")?;
    Ok(panels.iter().filter(|panel| panel["type"] != "row").cloned().collect())
}

/// What a dashboard asks Prometheus for: panels, and annotations.
pub fn asked(name: &str) -> Result<Vec<Asked>> {
    let dashboard = dashboard(name)?;
    let mut all = Vec::new();
    let mut add = |place: &Value, expression: &Value, legend: &Value| -> Result<()> {
        let text = |value: &Value| value.as_str().map(str::to_owned).with_context(|| format!("no text: {value}"));
        let place = format!("{name}, {}", text(place)?);
        all.push(Asked { place, expression: text(expression)?, legend: text(legend)? });
        Ok(())
    };
    for panel in panels(&dashboard)? {
        for target in list(&panel["targets"]) {
            add(&panel["title"], &target["expr"], &target["legendFormat"])?;
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        add(&annotation["name"], &annotation["expr"], &annotation["textFormat"])?;
    }
    Ok(all)
}

/// The variables that Prometheus fills: name, series and label, and whether it has many values.
pub fn variables(name: &str) -> Result<Vec<(String, String, String, bool)>> {
    let mut all = Vec::new();
    for variable in list(&dashboard(name)?["templating"]["list"]) {
        if variable["type"] != "query" {
            continue;
        }
        let query = variable["query"]["query"].as_str().context("no query")?;
        ensure!(variable["definition"] == query, "{variable}");
        let inner = query.strip_prefix("label_values(").and_then(|rest| rest.strip_suffix(')'));
        let (series, label) = inner.and_then(|inner| inner.rsplit_once(", ")).with_context(|| query.to_owned())?;
        let name = variable["name"].as_str().context("no name")?;
        all.push((name.into(), series.into(), label.into(), variable["multi"] == true));
    }
    Ok(all)
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Every link of a panel: its own, and those of its fields.
fn links(panel: &Value) -> Result<Vec<String>> {
    let all = list(&panel["links"]).iter().chain(list(&panel["fieldConfig"]["defaults"]["links"]));
    all.map(|link| link["url"].as_str().map(str::to_owned).context("a link without a URL")).collect()
}

/// What a link to traces searches for.
fn search(url: &str) -> Result<String> {
    let panes = url.split_once("&panes=").with_context(|| url.to_owned())?.1;
    let panes: Value = serde_json::from_str(&decoded(panes)?).with_context(|| url.to_owned())?;
    let pane = panes.as_object().and_then(|panes| panes.values().next()).context("no pane")?;
    ensure!(pane["datasource"] == "${traces}", "{pane}");
    Ok(pane["queries"][0]["query"].as_str().context("no query")?.to_owned())
}

fn decoded(text: &str) -> Result<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let code = part.get(..2).with_context(|| format!("%{part}"))?;
        bytes.push(u8::from_str_radix(code, 16)?);
        bytes.extend(&part.as_bytes()[2..]);
    }
    Ok(String::from_utf8(bytes)?)
}

#[test]
fn every_dashboard_can_be_imported() -> Result<()> {
    let mut uids = BTreeSet::new();
    for name in FILES {
        let dashboard = dashboard(name)?;
        ensure!(dashboard.get("__inputs").is_none() && dashboard.get("id").is_none(), "{name} is bound to a Grafana");
        ensure!(dashboard["schemaVersion"].as_u64() >= Some(39), "{name}");
        ensure!(uids.insert(dashboard["uid"].as_str().context("no uid")?.to_owned()), "{name}: its uid is taken");
        let variables = list(&dashboard["templating"]["list"]);
        for (variable, kind) in [("datasource", "prometheus"), ("traces", "tempo")] {
            let found = variables.iter().find(|it| it["name"] == variable).with_context(|| variable.to_owned())?;
            ensure!(found["type"] == "datasource" && found["query"] == kind, "{name}: {found}");
        }
        // A variable may only use those before it, and an expression only those that there are.
        let mut known: BTreeSet<_> = ["__rate_interval", "__from", "__to"].map(str::to_owned).into();
        for variable in variables {
            fits(&variable["query"].to_string(), &known).with_context(|| format!("{name}: {variable}"))?;
            known.insert(variable["name"].as_str().context("a variable has no name")?.to_owned());
        }
        let panels = serde_json::to_string(&dashboard["panels"])?;
        fits(&panels, &known).with_context(|| (*name).to_owned())?;
    }
    Ok(())
}

/// Whether a text uses known variables alone.
fn fits(text: &str, known: &BTreeSet<String>) -> Result<()> {
    for used in text.split('$').skip(1) {
        let used = used.trim_start_matches('{');
        let used = used.split(|it: char| !it.is_ascii_alphanumeric() && it != '_').next().unwrap_or_default();
        ensure!(used == "__field" || known.contains(used), "no variable ${used}");
    }
    Ok(())
}

#[test]
fn every_panel_says_what_is_normal_and_leads_to_traces() -> Result<()> {
    for name in FILES {
        let dashboard = dashboard(name)?;
        let mut ids = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in list(&dashboard["panels"]) {
            ensure!(ids.insert(panel["id"].as_u64().context("no id")?), "{name}: an id twice: {}", panel["title"]);
            let at = |side: &str| panel["gridPos"][side].as_u64().with_context(|| format!("no {side}"));
            for (x, y) in (at("x")?..at("x")? + at("w")?).flat_map(|x| (0..64).map(move |y| (x, y))) {
                if y < at("h")? {
                    ensure!(x < 24 && taken.insert((x, at("y")? + y)), "{name}: no place for {}", panel["title"]);
                }
            }
        }
        for panel in panels(&dashboard)? {
            judge(&panel).with_context(|| format!("{name}, {}", panel["title"]))?;
        }
    }
    Ok(())
}

fn judge(panel: &Value) -> Result<()> {
    let description = panel["description"].as_str().context("no description")?;
    ensure!(description.len() > 60 && description.contains("ormal"), "it does not say what is normal: {description}");
    ensure!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "no unit");
    let targets = list(&panel["targets"]);
    ensure!(!targets.is_empty(), "it asks for nothing");
    for source in targets.iter().chain([panel]) {
        ensure!(source["datasource"]["uid"] == "${datasource}", "another data source: {source}");
    }
    for target in targets {
        let timed =
            target["expr"].as_str().is_some_and(|it| it.contains("controller_runtime_reconcile_time_seconds_bucket"));
        ensure!(target["exemplar"] == timed, "exemplars are of the durations of reconciles: {target}");
    }
    let links = links(panel)?;
    ensure!(!links.is_empty(), "no way to traces");
    for link in links {
        let search = search(&link)?;
        ensure!(search.contains("resource.service.name = \"fairlead\""), "{search}");
    }
    Ok(())
}

#[test]
fn everything_asked_for_exists() -> Result<()> {
    let catalogue = Catalogue::read()?;
    for name in FILES {
        for Asked { place, expression, legend } in asked(name)? {
            catalogue.check_text(&expression, &legend).with_context(|| place)?;
        }
        for (variable, series, label, _) in variables(name)? {
            ensure!(catalogue.check(&series)?.contains(&label), "{name}, {variable}: {series} has no label {label}");
        }
        for panel in panels(&dashboard(name)?)? {
            let targets = list(&panel["targets"]).iter().map(|target| target["expr"].as_str().context("no expression"));
            let expressions = targets.collect::<Result<Vec<_>>>()?;
            for link in list(&panel["fieldConfig"]["defaults"]["links"]) {
                let url = link["url"].as_str().unwrap_or_default();
                for used in url.split("${__field.labels.").skip(1) {
                    let label = used.split('}').next().unwrap_or_default();
                    for expression in &expressions {
                        ensure!(
                            catalogue.check(expression)?.contains(label),
                            "{name}: {} has no {label}",
                            panel["title"]
                        );
                    }
                }
            }
        }
    }
    Ok(())
}

/// A search for an attribute that no span has finds nothing, and nobody knows why.
#[test]
fn what_links_search_for_is_what_spans_have() -> Result<()> {
    let sources = ["telemetry/traces/spans.rs", "engine/traced.rs", "engine/controller.rs", "aws/call.rs"];
    let spans = sources.map(|path| file(&format!("src/{path}"))).into_iter().collect::<Result<String>>()?;
    let mut seen = BTreeSet::new();
    for name in FILES {
        for panel in panels(&dashboard(name)?)? {
            for link in links(&panel)? {
                let search = search(&link)?;
                for used in search.split("span.").skip(1) {
                    let used = used.split(' ').next().unwrap_or_default();
                    ensure!(
                        spans.contains(&format!("{used}\"")) || spans.contains(&format!("{used} =")),
                        "{name}: {search}"
                    );
                    seen.insert(used.to_owned());
                }
            }
        }
    }
    ensure!(seen.contains("fairlead.outcome") && seen.contains("fairlead.object.kind"), "{seen:?}");
    Ok(())
}

/// And an API server takes them as people apply them, notes about the last application included.
#[tokio::test]
async fn the_config_maps_hold_exactly_the_files() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.install(std::path::Path::new(ROOT).join("deploy").as_path()).await?;
    let dir = format!("{ROOT}/deploy/grafana");
    cluster.kubectl(&["apply", "-k", &dir]).await?;
    let chosen = ["--namespace=fairlead-system", "--selector=grafana_dashboard=1", "--output=json"];
    let held = cluster.kubectl(&[&["get", "configmaps"], &chosen[..]].concat()).await?;
    let held: Value = serde_json::from_str(&held)?;
    let mut found = BTreeSet::new();
    for map in list(&held["items"]) {
        for (name, text) in map["data"].as_object().context("no data")? {
            ensure!(text.as_str() == Some(file(&format!("deploy/grafana/{name}"))?.as_str()), "{name} differs");
            found.insert(name.clone());
        }
    }
    let mut files = BTreeSet::new();
    for entry in std::fs::read_dir(&dir)? {
        let name = entry?.file_name().into_string();
        let Ok(name) = name else { bail!("{name:?}") };
        files.extend(name.ends_with(".json").then_some(name));
    }
    ensure!(found == files && files == FILES.iter().map(ToString::to_string).collect(), "{found:?} {files:?}");
    Ok(())
}
