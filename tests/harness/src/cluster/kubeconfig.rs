//! Kubeconfig files.

use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;

/// Writes a kubeconfig (JSON is YAML) for one server and one bearer token.
pub(super) fn write(path: &Path, server: &str, ca: &Path, token: &str) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{
            "name": "local",
            "cluster": { "server": server, "certificate-authority": ca },
        }],
        "users": [{ "name": "local", "user": { "token": token } }],
        "contexts": [{ "name": "local", "context": { "cluster": "local", "user": "local" } }],
        "current-context": "local",
    });
    std::fs::write(path, format!("{config:#}\n")).with_context(|| format!("cannot write {}", path.display()))
}
