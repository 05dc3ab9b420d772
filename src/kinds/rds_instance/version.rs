//! Engine versions: when a newer one satisfies what is asked, and what kind of step leads there. Pure.
//!
//! AWS upgrades minor versions by itself, and nobody can go back: a newer minor version than the asked one is
//! as good as that.

use std::cmp::Ordering;

/// The step from an actual version to the asked one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// None: the actual version is the asked one, or a newer minor one.
    None,
    /// To a newer minor version.
    Minor,
    /// To a newer major version.
    Major,
    /// To an older major version: AWS can't.
    Back,
}

/// The step from `actual` to `wished` on an `engine`.
pub fn step(engine: &str, actual: &str, wished: &str) -> Step {
    if actual == wished {
        return Step::None;
    }
    let (from, to) = (numbers(actual), numbers(wished));
    let major = major_parts(engine, &from).max(major_parts(engine, &to)).min(to.len());
    match compare(&from, &to[..major]) {
        Ordering::Less => return Step::Major,
        Ordering::Greater => return Step::Back,
        Ordering::Equal => {}
    }
    match compare(&from, &to) {
        Ordering::Less => Step::Minor,
        Ordering::Equal | Ordering::Greater => Step::None,
    }
}

/// How `from` compares with `to`, as far as `to` goes.
fn compare(from: &[u64], to: &[u64]) -> Ordering {
    let padded = from.iter().copied().chain(std::iter::repeat(0));
    padded.take(to.len()).cmp(to.iter().copied())
}

/// The numbers in a version; words, as in Oracle's `19.0.0.0.ru-2024-01.rur-2024-01.r1`, say nothing about
/// the order.
fn numbers(version: &str) -> Vec<u64> {
    let runs = version.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.map(|run| run.parse().unwrap_or(u64::MAX)).collect()
}

/// How many of the numbers make the major version.
fn major_parts(engine: &str, version: &[u64]) -> usize {
    match engine {
        "postgres" if version.first().is_some_and(|first| *first >= 10) => 1,
        "postgres" | "mysql" | "mariadb" => 2,
        // 11.5 and 12.1.
        engine if engine.starts_with("db2") => 2,
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps() {
        const ORACLE: &str = "19.0.0.0.ru-2024-01.rur-2024-01.r1";
        for (engine, actual, wished, expected) in [
            ("postgres", "16.3", "16", Step::None),
            ("postgres", "16.3", "16.3", Step::None),
            ("postgres", "16.4", "16.3", Step::None),
            ("postgres", "16.10", "16.9", Step::None),
            ("postgres", "16.2", "16.3", Step::Minor),
            ("postgres", "16.9", "16.10", Step::Minor),
            ("postgres", "16", "16.3", Step::Minor),
            ("postgres", "16.3", "17", Step::Major),
            ("postgres", "16.3", "17.1", Step::Major),
            ("postgres", "16.3", "15", Step::Back),
            ("postgres", "16.3", "15.9", Step::Back),
            ("postgres", "9.6.22", "9.6", Step::None),
            ("postgres", "9.6.1", "9.6.22", Step::Minor),
            ("postgres", "9.5.2", "9.6.1", Step::Major),
            ("postgres", "9.6.22", "10", Step::Major),
            ("postgres", "10.4", "9.6", Step::Back),
            ("postgres", "11.22-rds.20240509", "11.22", Step::None),
            ("postgres", "11.22", "11.22-rds.20240509", Step::Minor),
            ("mysql", "8.0.35", "8.0", Step::None),
            ("mysql", "8.0.35", "8", Step::None),
            ("mysql", "8.0.35", "8.0.36", Step::Minor),
            ("mysql", "8.0.35", "8.4", Step::Major),
            ("mysql", "8.4.3", "8.0", Step::Back),
            ("mysql", "5.7.44", "8", Step::Major),
            ("mariadb", "10.6.14", "10.11.6", Step::Major),
            ("mariadb", "10.11.6", "10.11.5", Step::None),
            ("sqlserver-ex", "15.00.4073.23.v1", "15.00", Step::None),
            ("sqlserver-ex", "15.00.4073.23.v1", "15.00.4236.7.v1", Step::Minor),
            ("sqlserver-ex", "15.00.4073.23.v1", "16.00", Step::Major),
            ("oracle-se2", ORACLE, "19", Step::None),
            ("oracle-se2", ORACLE, ORACLE, Step::None),
            ("oracle-se2", ORACLE, "19.0.0.0.ru-2023-10.rur-2023-10.r1", Step::None),
            ("oracle-se2", ORACLE, "19.0.0.0.ru-2024-04.rur-2024-04.r1", Step::Minor),
            ("oracle-se2", ORACLE, "21.0.0.0.ru-2024-01.rur-2024-01.r1", Step::Major),
            ("oracle-se2", "21.0.0.0.ru-2024-01.rur-2024-01.r1", ORACLE, Step::Back),
            ("db2-se", "11.5.9.0.sb00000000.r1", "11.5", Step::None),
            ("db2-se", "11.5.9.0.sb00000000.r1", "12.1", Step::Major),
        ] {
            assert_eq!(step(engine, actual, wished), expected, "{engine}: {actual} → {wished}");
        }
    }
}
