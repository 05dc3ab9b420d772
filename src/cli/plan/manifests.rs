//! Files of manifests, and the documents in them.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
};

use serde::Deserialize as _;
use serde_json::Value;

/// A file larger than this is none of manifests.
const LARGEST: u64 = 32 << 20;

/// One document.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Document {
    /// Its place among all.
    pub(super) number: usize,
    /// Where it is: file and document, for people.
    pub(super) place: String,
    /// What it says, or why it can't be understood.
    pub(super) content: Result<Value, String>,
}

/// The documents of files, directories and standard input (`-`), in order.
///
/// # Errors
/// What can't be read.
pub(super) fn read(files: &[String]) -> Result<Vec<Document>, String> {
    let mut documents = Vec::new();
    for file in files {
        match file.as_str() {
            "-" => {
                let mut text = String::new();
                let limited = &mut std::io::stdin().lock().take(LARGEST);
                limited.read_to_string(&mut text).map_err(|error| format!("standard input: {error}"))?;
                documents.extend(parse("standard input", &text));
            }
            file => {
                for path in files_of(Path::new(file))? {
                    let shown = path.display().to_string();
                    let size = std::fs::metadata(&path).map_err(|error| format!("{shown}: {error}"))?.len();
                    if size > LARGEST {
                        return Err(format!("{shown}: {size} bytes are too many for a file of manifests"));
                    }
                    let text = std::fs::read_to_string(&path).map_err(|error| format!("{shown}: {error}"))?;
                    documents.extend(parse(&shown, &text));
                }
            }
        }
    }
    for (number, document) in documents.iter_mut().enumerate() {
        document.number = number;
    }
    Ok(documents)
}

/// A file itself; of a directory the manifests in it, as kubectl takes them: not those of directories within.
fn files_of(path: &Path) -> Result<Vec<PathBuf>, String> {
    let shown = path.display();
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).map_err(|error| format!("{shown}: {error}"))?;
    let is_manifest = |path: &PathBuf| {
        path.is_file() && path.extension().is_some_and(|it| ["yaml", "yml", "json"].iter().any(|known| it == *known))
    };
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(is_manifest).collect();
    files.sort();
    if files.is_empty() {
        return Err(format!("{shown}: there is no .yaml, .yml or .json in this directory"));
    }
    Ok(files)
}

/// The documents of a text; those that are empty count, and are left out. Lists are taken apart.
pub(super) fn parse(file: &str, text: &str) -> Vec<Document> {
    let mut documents = Vec::new();
    for (index, yaml) in serde_yaml_ng::Deserializer::from_str(text).enumerate() {
        let place = format!("{file}, document {}", index + 1);
        match Value::deserialize(yaml) {
            Ok(Value::Null) => {}
            Ok(value) => documents.extend(taken_apart(place, value)),
            Err(error) => {
                documents.push(Document { number: 0, place, content: Err(error.to_string()) });
                // Where the next one begins can't be told.
                break;
            }
        }
    }
    documents
}

fn taken_apart(place: String, value: Value) -> Vec<Document> {
    let is_list = value["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match value.get("items").and_then(Value::as_array).filter(|_| is_list) {
        Some(items) => {
            let item = |(index, item): (usize, &Value)| Document {
                number: 0,
                place: format!("{place}, item {}", index + 1),
                content: Ok(item.clone()),
            };
            items.iter().enumerate().map(item).collect()
        }
        None if value.is_object() => vec![Document { number: 0, place, content: Ok(value) }],
        None => vec![Document { number: 0, place, content: Err("it is no manifest: it has no fields".into()) }],
    }
}
