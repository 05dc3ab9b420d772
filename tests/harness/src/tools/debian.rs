//! Debian packages, unpacked into a directory: nothing of the system is changed, and root is not needed.
//!
//! The machine's own package sources are asked, with lists of their own: those
//! of the system may be missing, or too old to fetch by.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::cache;

/// What apt knows about the machine's package sources.
pub(super) struct Sources {
    state: PathBuf,
}

impl Sources {
    /// Fetches the lists into `state`.
    pub(super) fn open(state: &Path) -> Result<Sources> {
        for needed in ["lists/partial", "cache/archives/partial"] {
            std::fs::create_dir_all(state.join(needed))?;
        }
        let sources = Sources { state: state.to_owned() };
        cache::run(sources.apt().arg("update")).context("apt's lists cannot be fetched")?;
        Ok(sources)
    }

    /// The packages to unpack so that the programs of `packages` run here:
    /// themselves, and the shared libraries that this machine lacks.
    pub(super) fn closure(&self, packages: &[String]) -> Result<Vec<String>> {
        let mut simulation = self.apt();
        simulation.args(["--simulate", "install", "--no-install-recommends"]).args(packages);
        let mut all = packages.to_vec();
        all.extend(libraries(&cache::run(&mut simulation)?).filter(|name| !packages.contains(name)));
        Ok(all)
    }

    /// Fetches packages, which apt verifies, and unpacks them into `root`.
    pub(super) fn unpack(&self, packages: &[String], root: &Path) -> Result<()> {
        let fetched = self.state.join("fetched");
        std::fs::create_dir(&fetched)?;
        cache::run(self.apt().arg("download").args(packages).current_dir(&fetched))?;
        for package in std::fs::read_dir(&fetched)? {
            cache::run(Command::new("dpkg-deb").arg("--extract").arg(package?.path()).arg(root))?;
        }
        Ok(())
    }

    fn apt(&self) -> Command {
        let mut apt = Command::new("apt-get");
        apt.arg("--quiet").env("LC_ALL", "C");
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        for option in [
            option("Dir::State", &self.state),
            option("Dir::State::status", Path::new("/var/lib/dpkg/status")),
            option("Dir::Cache", &self.state.join("cache")),
            // The locks are the system's; ours is the cache's.
            "Debug::NoLocking=true".to_owned(),
            // The user that root fetches as may not reach the cache.
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
            "Acquire::Retries=3".to_owned(),
        ] {
            apt.arg("--option").arg(option);
        }
        apt
    }
}

/// The shared libraries that a simulated installation would install.
///
/// The rest is what an installation needs and a running program does not: Perl,
/// the compiler of queries, scripts for browsers, and what these need. Nor is a
/// second C library of use: it does not work with the system's loader.
fn libraries(simulation: &str) -> impl Iterator<Item = String> {
    let installed = simulation.lines().filter_map(|line| line.strip_prefix("Inst ")?.split(' ').next());
    installed
        .filter(|name| name.starts_with("lib"))
        .filter(|name| {
            !["libc6", "libc-", "libgdbm", "libjs-", "libllvm", "libperl", "libz3"]
                .iter()
                .any(|other| name.starts_with(other))
        })
        .filter(|name| !["-dev", "-perl"].iter().any(|other| name.ends_with(other)))
        .map(Into::into)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_libraries_are_taken() {
        let simulation = "\
Reading package lists...
Inst libpq-dev [15.1-1] (15.2-1 Debian:12/oldstable [amd64]) []
Inst libpq5 [15.1-1] (15.2-1 Debian:12/oldstable [amd64])
Inst libz3-4 (4.8.12-3.1 Debian:12/oldstable [amd64])
Inst libllvm14 (1:14.0.6-12 Debian:12/oldstable [amd64])
Inst libjson-perl (4.10000-1 Debian:12/oldstable [all])
Inst perl (5.36.0-7 Debian:12/oldstable [amd64])
Inst libjs-d3 (3.5.17-4 Debian:12/oldstable [all])
Inst libicu72 (72.1-3 Debian:12/oldstable [amd64])
Inst postgresql-15 (15.2-1 Debian:12/oldstable [amd64])
Conf libicu72 (72.1-3 Debian:12/oldstable [amd64])
";
        assert_eq!(libraries(simulation).collect::<Vec<_>>(), ["libpq5", "libicu72"]);
    }
}
