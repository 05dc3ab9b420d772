//! PostgreSQL: the machine's, or else Debian's packages, unpacked into the cache.
//!
//! Not pinned to a version: a Debian mirror keeps but one of a release, which
//! changes with every security update. What tests ask of it, roles, passwords
//! and connection URLs, is the same in all the major versions accepted here.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::cache;
use super::debian::Sources;

/// Names the directory of the programs; for machines where they are elsewhere.
const VARIABLE: &str = "FAIRLEAD_POSTGRES_BIN";

/// Where Debian's packages put the programs: `<here>/<major version>/bin`.
const DEBIAN: &str = "usr/lib/postgresql";

/// The oldest major version that stores passwords for SCRAM by default.
const OLDEST: u32 = 14;

/// The major versions of Debian's releases, from the newest.
const PACKAGED: &[u32] = &[17, 15];

/// Part of the hash; to be raised when the recipe below changes.
const RECIPE: &str = "debian postgresql 1";

/// What is used of it.
const PROGRAMS: &[&str] = &["initdb", "postgres", "psql"];

/// The programs of a PostgreSQL server, and its client.
#[derive(Clone, Debug)]
pub struct Postgresql {
    bin: PathBuf,
    /// What the packages were unpacked into; `None` where they are the machine's.
    unpacked: Option<PathBuf>,
}

impl Postgresql {
    /// Where the program `name` is.
    pub fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }

    /// What the programs need in their environment, beside what is asked of them.
    pub fn environment(&self) -> Result<Vec<(&'static str, OsString)>> {
        let mut environment = vec![("PATH", OsString::from("/usr/bin:/bin"))];
        if let Some(root) = &self.unpacked {
            environment.push(("LD_LIBRARY_PATH", library_path(root)?));
        }
        Ok(environment)
    }

    /// The same programs where a user other than this one finds them: the cache
    /// is in a home directory, which others may not enter. `fresh` is not there yet.
    pub fn reachable(&self, fresh: &Path) -> Result<Postgresql> {
        let Some(root) = &self.unpacked else {
            return Ok(self.clone());
        };
        // The server finds its files relative to itself.
        cache::run(Command::new("cp").arg("-a").arg(root).arg(fresh))?;
        Ok(Postgresql { bin: fresh.join(self.bin.strip_prefix(root)?), unpacked: Some(fresh.to_owned()) })
    }

    fn check(&self) -> Result<()> {
        for name in PROGRAMS {
            let mut version = Command::new(self.program(name));
            cache::run(version.arg("--version").env_clear().envs(self.environment()?))?;
        }
        Ok(())
    }
}

/// Finds PostgreSQL, or fetches it (once).
pub(super) fn ensure(progress: &dyn Fn(&str)) -> Result<Postgresql> {
    if let Some(bin) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let bin = std::path::absolute(&bin)?;
        ensure!(complete(&bin), "{VARIABLE}={} does not have all of {}", bin.display(), PROGRAMS.join(", "));
        return Ok(Postgresql { bin, unpacked: None });
    }
    if let Some(bin) = newest(Path::new("/")) {
        return Ok(Postgresql { bin, unpacked: None });
    }
    // Which libraries are missing depends on the release.
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let dir = cache::tool("postgresql", &[RECIPE, std::env::consts::ARCH, &release], progress, |dir| {
        progress("postgresql: fetching Debian's packages");
        install(dir).with_context(|| {
            format!(
                "PostgreSQL is not in /{DEBIAN}, and not to be had from this machine's package sources: \
                 install PostgreSQL {OLDEST} or newer, and set {VARIABLE} to the directory of its programs"
            )
        })
    })?;
    unpacked(dir.join("root"))
}

fn install(dir: &Path) -> Result<()> {
    let state = dir.join("apt");
    let sources = Sources::open(&state)?;
    let packages = closure(&sources)?;
    let root = dir.join("root");
    std::fs::create_dir(&root)?;
    sources.unpack(&packages, &root)?;
    std::fs::remove_dir_all(&state)?;
    std::fs::write(dir.join("packages"), packages.join("\n"))?;
    // A third of it, and of no use here.
    for (parent, name) in [("usr/share", "doc"), ("usr/share", "man"), ("usr/share", "locale")] {
        remove(&root.join(parent).join(name))?;
    }
    let installed = unpacked(root)?;
    remove(&installed.bin.with_file_name("lib").join("bitcode"))?;
    installed.check()
}

/// Of the newest major version that the package sources have.
fn closure(sources: &Sources) -> Result<Vec<String>> {
    let mut refusals = String::new();
    for major in PACKAGED {
        match sources.closure(&[format!("postgresql-{major}"), format!("postgresql-client-{major}")]) {
            Ok(packages) => return Ok(packages),
            Err(refusal) => refusals.push_str(&format!("\n{refusal:#}")),
        }
    }
    bail!("none of the major versions {PACKAGED:?} is there:{refusals}")
}

fn unpacked(root: PathBuf) -> Result<Postgresql> {
    let bin = newest(&root).with_context(|| format!("{} has no PostgreSQL", root.display()))?;
    Ok(Postgresql { bin, unpacked: Some(root) })
}

/// The programs of the newest version under `root` that has all of them.
fn newest(root: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(root.join(DEBIAN)).ok()?.flatten();
    let majors = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok());
    majors
        .filter(|major| *major >= OLDEST)
        .map(|major| (major, root.join(DEBIAN).join(major.to_string()).join("bin")))
        .filter(|(_, bin)| complete(bin))
        .max_by_key(|(major, _)| *major)
        .map(|(_, bin)| bin)
}

fn complete(bin: &Path) -> bool {
    PROGRAMS.iter().all(|name| bin.join(name).is_file())
}

/// `lib` and `usr/lib`, and in each the directory of the machine's architecture.
fn library_path(root: &Path) -> Result<OsString> {
    let mut found = Vec::new();
    for lib in [root.join("usr/lib"), root.join("lib")] {
        let Ok(entries) = std::fs::read_dir(&lib) else { continue };
        let entries = entries.flatten().map(|entry| entry.path());
        found.extend(entries.filter(|path| path.to_string_lossy().contains("-linux-gnu") && path.is_dir()));
        found.push(lib);
    }
    Ok(std::env::join_paths(found)?)
}

fn remove(dir: &Path) -> Result<()> {
    if dir.exists() { Ok(std::fs::remove_dir_all(dir)?) } else { Ok(()) }
}
