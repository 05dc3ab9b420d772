//! The cache of built and installed programs, outside any checkout.
//!
//! `<cache>/tools/<name>-<hash of its inputs>/`: filled under a file lock, in a
//! directory beside it, and renamed when complete, so that any number of
//! processes may ask at once and none sees half a tool.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

/// Fairlead's cache directory: `FAIRLEAD_CACHE`, or `fairlead` in the user's.
pub fn dir() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value: &OsString| !value.is_empty());
    let cache = if let Some(cache) = set("FAIRLEAD_CACHE") {
        PathBuf::from(cache)
    } else if let Some(caches) = set("XDG_CACHE_HOME") {
        Path::new(&caches).join("fairlead")
    } else {
        let home = set("HOME").context("none of FAIRLEAD_CACHE, XDG_CACHE_HOME, HOME is set")?;
        Path::new(&home).join(".cache/fairlead")
    };
    // Children run elsewhere: a relative path would mean something else there.
    std::path::absolute(&cache).with_context(|| format!("{} is no path", cache.display()))
}

/// The directory of the tool `name` made from `inputs`; filled by `fill` if it
/// is not there yet.
pub(super) fn tool(
    name: &str,
    inputs: &[&str],
    progress: &dyn Fn(&str),
    fill: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let tools = dir()?.join("tools");
    let key = format!("{name}-{:016x}", hash(inputs));
    let complete = tools.join(&key);
    if complete.is_dir() {
        return Ok(complete);
    }
    std::fs::create_dir_all(&tools).with_context(|| format!("cannot create {}", tools.display()))?;
    let lock = File::create(tools.join(format!("{key}.lock")))?;
    if lock.try_lock().is_err() {
        progress(&format!("{name}: another process is making it, waiting"));
        lock.lock()?;
    }
    if complete.is_dir() {
        return Ok(complete);
    }
    let began = Instant::now();
    let part = tools.join(format!("{key}.part"));
    if part.exists() {
        std::fs::remove_dir_all(&part)?;
    }
    std::fs::create_dir(&part)?;
    fill(&part).with_context(|| format!("cannot make {name}"))?;
    std::fs::rename(&part, &complete)?;
    progress(&format!("{name}: made in {:.1?}", began.elapsed()));
    Ok(complete)
}

/// Runs an installing or building command in the caller's own environment,
/// where proxies, mirrors and certificates are set; answers what it printed.
pub(super) fn run(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let stderr = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?}: {}\n{stderr}", output.status);
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// FNV-1a: stable across compilers, which the standard library's is not.
fn hash(inputs: &[&str]) -> u64 {
    let separated = inputs.iter().flat_map(|input| input.bytes().chain([0]));
    separated.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_do_not_run_together() {
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
        assert_eq!(hash(&["a"]), hash(&["a"]));
    }
}
