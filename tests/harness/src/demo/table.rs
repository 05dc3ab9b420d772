//! Objects as `kubectl get -w` shows them: a line where something changed.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_harness::wait::eventually;
use kube::Client;
use serde_json::Value;

use super::screen;

/// Asks the API server for the table that kubectl prints.
const AS_TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
/// How often to look.
const PERIOD: Duration = Duration::from_millis(100);
/// Whose table it is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    plural: &'static str,
    /// Columns, and the width that their longest value takes.
    columns: &'static [(&'static str, usize)],
}

/// Queues.
pub(super) const QUEUES: Shape = Shape {
    plural: "sqsqueues",
    columns: &[("Name", 11), ("Ready", 5), ("Reason", 20), ("Messages", 8), ("URL", 50), ("Age", 0)],
};

/// Databases.
pub(super) const DATABASES: Shape = Shape {
    plural: "rdsinstances",
    columns: &[
        ("Name", 4),
        ("Ready", 5),
        ("Reason", 13),
        ("Status", 20),
        ("Class", 12),
        ("Storage", 7),
        ("Endpoint", 51),
        ("Age", 0),
    ],
};

/// A table that prints what changes.
pub(super) struct Table {
    client: Client,
    shape: Shape,
    shown: BTreeMap<String, Vec<String>>,
    headed: bool,
}

/// An object: a line of the table, and the object itself.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) name: String,
    pub(super) object: Value,
    cells: Vec<String>,
}

impl Table {
    /// A table that has shown nothing yet.
    pub(super) fn new(client: Client, shape: Shape) -> Table {
        Table { client, shape, shown: BTreeMap::new(), headed: false }
    }

    /// Prints what changes until `fits`.
    pub(super) async fn until(
        &mut self,
        what: &str,
        deadline: Duration,
        fits: impl Fn(&[Row]) -> bool,
    ) -> Result<Vec<Row>> {
        eventually(what, deadline, async || {
            let rows = self.look().await.map_err(|error| format!("{error:#}"))?;
            if fits(&rows) {
                return Ok(rows);
            }
            tokio::time::sleep(PERIOD).await;
            Err(rows.iter().map(|row| format!("\n{}", row.object["status"])).collect())
        })
        .await
    }

    async fn look(&mut self) -> Result<Vec<Row>> {
        let Shape { plural, columns } = self.shape;
        let path = format!("/apis/aws.fairlead.dev/v1alpha1/namespaces/default/{plural}?includeObject=Object");
        let request = hyper::Request::get(path).header("Accept", AS_TABLE).body(Vec::new())?;
        let table: Value = self.client.request(request).await?;
        let rows = rows(&table, columns).context("the API server's table is not as expected")?;
        for Row { name, cells, .. } in &rows {
            // The age, at the end, changes all the time.
            let news = &cells[..cells.len() - 1];
            if self.shown.get(name).is_some_and(|shown| shown == news) {
                continue;
            }
            if !self.headed {
                let head: Vec<_> = columns.iter().map(|(column, _)| column.to_uppercase()).collect();
                print(&head, columns);
                self.headed = true;
            }
            print(cells, columns);
            self.shown.insert(name.clone(), news.to_vec());
        }
        Ok(rows)
    }
}

impl Row {
    /// The message of a condition that is true.
    pub(super) fn says(&self, condition: &str) -> Option<&str> {
        let conditions = self.object["status"]["conditions"].as_array()?;
        let found = conditions.iter().find(|one| one["type"] == condition && one["status"] == "True")?;
        found["message"].as_str()
    }

    /// Whether the resource is as its present spec says.
    pub(super) fn is_in_sync(&self) -> bool {
        self.object["status"]["observedGeneration"] == self.object["metadata"]["generation"]
            && self.says("Ready").is_some()
            && self.says("Synced").is_some()
    }

    /// A field of the status, as text.
    pub(super) fn status(&self, field: &str) -> String {
        match &self.object["status"][field] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The messages that can be received.
    pub(super) fn messages(&self) -> Option<i64> {
        self.object["status"]["visibleMessages"].as_i64()
    }

    /// The queue's URL.
    pub(super) fn url(&self) -> Option<&str> {
        self.object["status"]["url"].as_str()
    }
}

fn rows(table: &Value, shown: &[(&str, usize)]) -> Option<Vec<Row>> {
    let columns = table["columnDefinitions"].as_array()?;
    let places: Vec<_> = shown
        .iter()
        .map(|(column, _)| columns.iter().position(|defined| defined["name"] == *column))
        .collect::<Option<_>>()?;
    let text = |cell: &Value| match cell {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let row = |row: &Value| {
        let cells: Vec<_> = places.iter().map(|place| text(&row["cells"][*place])).collect();
        Some(Row { name: cells.first()?.clone(), object: row["object"].clone(), cells })
    };
    table["rows"].as_array()?.iter().map(row).collect()
}

fn print<T: AsRef<str>>(cells: &[T], columns: &[(&str, usize)]) {
    let padded = columns.iter().zip(cells).map(|((_, width), cell)| format!("{:width$}", cell.as_ref()));
    screen::output(&padded.collect::<Vec<_>>().join("  "));
}
