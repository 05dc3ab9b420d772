//! PostgreSQL. What tests ask of it, roles, passwords and connection URLs, is the same in all the major
//! versions accepted here.

use std::path::{Path, PathBuf};

use super::packaged::Recipe;

/// Where Debian's packages put the programs: `<here>/<major version>/bin`.
const DEBIAN: &str = "usr/lib/postgresql";

/// The oldest major version that stores passwords for SCRAM by default.
const OLDEST: u32 = 14;

/// What is used of it.
const PROGRAMS: &[&str] = &["initdb", "postgres", "psql"];

pub(super) const RECIPE: Recipe = Recipe {
    name: "postgresql",
    edition: "debian postgresql 1",
    variable: "FAIRLEAD_POSTGRES_BIN",
    programs: PROGRAMS,
    // The major versions of Debian's releases.
    packages: &[&["postgresql-17", "postgresql-client-17"], &["postgresql-15", "postgresql-client-15"]],
    find: newest,
    // A third of it: what the just-in-time compiler would inline.
    useless: &["usr/lib/postgresql/17/lib/bitcode", "usr/lib/postgresql/15/lib/bitcode"],
    way_out: "install PostgreSQL 14 or newer",
};

/// The programs of the newest version under `root` that has all of them.
fn newest(root: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(root.join(DEBIAN)).ok()?.flatten();
    let majors = versions.filter_map(|version| version.file_name().to_str()?.parse::<u32>().ok());
    majors
        .filter(|major| *major >= OLDEST)
        .map(|major| (major, root.join(DEBIAN).join(major.to_string()).join("bin")))
        .filter(|(_, bin)| PROGRAMS.iter().all(|name| bin.join(name).is_file()))
        .max_by_key(|(major, _)| *major)
        .map(|(_, bin)| bin)
}
