//! Programs of Debian's packages: the machine's, or else fetched and unpacked into the cache.
//!
//! Not pinned to a version: a Debian mirror keeps but one of a release, which
//! changes with every security update.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};

use super::cache;
use super::debian::Sources;

/// What to find, or else to fetch.
pub(super) struct Recipe {
    /// Its name in the cache and in what is told.
    pub name: &'static str,
    /// Part of the hash; to be raised when the recipe changes.
    pub edition: &'static str,
    /// The variable that names the directory of the programs; for machines where they are elsewhere.
    pub variable: &'static str,
    /// What is used of it.
    pub programs: &'static [&'static str],
    /// Packages that do alike, from the best: the first that are there are taken.
    pub packages: &'static [&'static [&'static str]],
    /// Where the programs are under the machine's root, or under what was unpacked.
    pub find: fn(&Path) -> Option<PathBuf>,
    /// Files of the packages that are of no use here: paths under their root.
    pub useless: &'static [&'static str],
    /// What to do where there is no such package.
    pub way_out: &'static str,
}

/// Programs that are there.
#[derive(Clone, Debug)]
pub struct Packaged {
    bin: PathBuf,
    /// What the packages were unpacked into; `None` where they are the machine's.
    unpacked: Option<PathBuf>,
}

impl Packaged {
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
    pub fn reachable(&self, fresh: &Path) -> Result<Packaged> {
        let Some(root) = &self.unpacked else {
            return Ok(self.clone());
        };
        // A server finds its files relative to itself.
        cache::run(Command::new("cp").arg("-a").arg(root).arg(fresh))?;
        Ok(Packaged { bin: fresh.join(self.bin.strip_prefix(root)?), unpacked: Some(fresh.to_owned()) })
    }
}

impl Recipe {
    /// Finds the programs, or fetches them (once).
    pub(super) fn ensure(&self, progress: &dyn Fn(&str)) -> Result<Packaged> {
        let Recipe { name, edition, variable, programs, way_out, .. } = self;
        if let Some(bin) = std::env::var_os(variable).filter(|value| !value.is_empty()) {
            let bin = std::path::absolute(&bin)?;
            ensure!(self.complete(&bin), "{variable}={} does not have all of {}", bin.display(), programs.join(", "));
            return Ok(Packaged { bin, unpacked: None });
        }
        if let Some(bin) = self.found(Path::new("/")) {
            return Ok(Packaged { bin, unpacked: None });
        }
        // Which libraries are missing depends on the release.
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let dir = cache::tool(name, &[edition, std::env::consts::ARCH, &release], progress, |dir| {
            progress(&format!("{name}: fetching Debian's packages"));
            self.install(dir).with_context(|| {
                format!(
                    "{name} is not installed where Debian does it, and not to be had from this machine's package \
                     sources: {way_out}, and set {variable} to the directory of its programs"
                )
            })
        })?;
        self.unpacked(dir.join("root"))
    }

    fn install(&self, dir: &Path) -> Result<()> {
        let state = dir.join("apt");
        let sources = Sources::open(&state)?;
        let packages = self.closure(&sources)?;
        let root = dir.join("root");
        std::fs::create_dir(&root)?;
        sources.unpack(&packages, &root)?;
        std::fs::remove_dir_all(&state)?;
        std::fs::write(dir.join("packages"), packages.join("\n"))?;
        for path in ["usr/share/doc", "usr/share/man", "usr/share/locale"].iter().chain(self.useless) {
            remove(&root.join(path))?;
        }
        let installed = self.unpacked(root)?;
        for name in self.programs {
            let mut version = Command::new(installed.program(name));
            cache::run(version.arg("--version").env_clear().envs(installed.environment()?))?;
        }
        Ok(())
    }

    /// Of the best packages that the sources have.
    fn closure(&self, sources: &Sources) -> Result<Vec<String>> {
        let mut refusals = String::new();
        for packages in self.packages {
            let packages: Vec<_> = packages.iter().map(|&package| package.to_owned()).collect();
            match sources.closure(&packages) {
                Ok(packages) => return Ok(packages),
                Err(refusal) => refusals.push_str(&format!("\n{refusal:#}")),
            }
        }
        bail!("none of {:?} is there:{refusals}", self.packages)
    }

    fn unpacked(&self, root: PathBuf) -> Result<Packaged> {
        let bin = self.found(&root).with_context(|| format!("{} has no {}", root.display(), self.name))?;
        Ok(Packaged { bin, unpacked: Some(root) })
    }

    fn found(&self, root: &Path) -> Option<PathBuf> {
        (self.find)(root).filter(|bin| self.complete(bin))
    }

    fn complete(&self, bin: &Path) -> bool {
        self.programs.iter().all(|name| bin.join(name).is_file())
    }
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
