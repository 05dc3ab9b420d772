//! Python environments, each from a requirements file with pinned hashes.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cache;

/// Part of the hash; to be raised when the recipe below changes.
const RECIPE: &str = "venv 1";

/// The pinned requirements need at least this.
const PROBE: &str = "import sys; assert sys.version_info >= (3, 11); \
    print(sys.version); print(sys.executable)";

/// Makes (once) the environment `name`; answers its interpreter.
///
/// Only `python -m …` is to be used of it: the scripts beside the interpreter
/// name the directory it was made in.
pub(super) fn environment(name: &str, requirements: &str, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let base = base()?;
    let dir = cache::tool(name, &[RECIPE, requirements, &base], progress, |dir| {
        progress(&format!("{name}: installing from PyPI"));
        install(base.trim().lines().last().unwrap_or("python3"), requirements, dir)
    })?;
    Ok(dir.join("bin/python"))
}

fn install(base: &str, requirements: &str, dir: &Path) -> Result<()> {
    cache::run(Command::new(base).args(["-m", "venv"]).arg(dir))?;
    let pinned = dir.join("requirements.txt");
    std::fs::write(&pinned, requirements)?;
    let mut pip = Command::new(dir.join("bin/python"));
    pip.args(["-m", "pip", "install", "--quiet", "--no-input"])
        .args(["--disable-pip-version-check", "--require-hashes", "--no-deps"])
        .arg("--requirement")
        .arg(&pinned);
    cache::run(&mut pip).map(drop)
}

/// The version and the path of the newest usable interpreter: an environment
/// made by one is not to be used under another.
fn base() -> Result<String> {
    ["python3", "python3.14", "python3.13", "python3.12", "python3.11"]
        .iter()
        .find_map(|name| cache::run(Command::new(name).args(["-c", PROBE])).ok())
        .context("Python 3.11 or newer is needed, and not in PATH")
}
