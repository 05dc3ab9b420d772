//! The rules of storage: it only grows, in steps of at least a tenth, and AWS wants some values together.
//! Pure.

/// What a change of the allocated storage, or of the IOPS, would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// None.
    None,
    /// One that AWS takes.
    Enough,
    /// One that AWS would round up to this value.
    TooLittle(i32),
    /// One to less.
    Shrinks,
}

/// The change from `actual` to `wished`.
pub fn growth(actual: i32, wished: i32) -> Growth {
    let least = i32::try_from((i64::from(actual) * 11 + 9) / 10).unwrap_or(i32::MAX);
    match wished {
        wished if wished == actual => Growth::None,
        wished if wished < actual => Growth::Shrinks,
        wished if wished < least => Growth::TooLittle(least),
        _ => Growth::Enough,
    }
}

/// Whether IOPS of that engine are rounded up to a tenth more, as storage is.
pub fn rounds_iops(engine: &str) -> bool {
    !engine.starts_with("sqlserver")
}

/// From how many GiB on gp3 storage of that engine has IOPS of its own choice; below, AWS rejects them.
fn gp3_threshold(engine: &str) -> i32 {
    match engine {
        "postgres" | "mysql" | "mariadb" => 400,
        engine if engine.starts_with("oracle") => 200,
        engine if engine.starts_with("db2") => 100,
        _ => 0,
    }
}

/// The least IOPS of gp3 storage above that threshold.
const GP3_STRIPED_IOPS: i32 = 12_000;

/// The IOPS that a change of storage has to give, where `current` is in effect: none where AWS takes none, and
/// for gp3 storage that grows over the threshold those that AWS then gives at least.
pub fn iops_with(engine: &str, storage_type: &str, gigabytes: i32, current: Option<i32>) -> Option<i32> {
    let threshold = gp3_threshold(engine);
    match storage_type {
        "io1" | "io2" => current,
        "gp3" if gigabytes < threshold => None,
        "gp3" if threshold > 0 => Some(current.unwrap_or_default().max(GP3_STRIPED_IOPS)),
        "gp3" => current,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn storage_grows_by_a_tenth_at_least() {
        for (actual, wished, expected) in [
            (20, 20, Growth::None),
            (20, 19, Growth::Shrinks),
            (20, 21, Growth::TooLittle(22)),
            (20, 22, Growth::Enough),
            (101, 111, Growth::TooLittle(112)),
            (101, 112, Growth::Enough),
            (5, 6, Growth::Enough),
            (i32::MAX - 1, i32::MAX, Growth::Enough),
        ] {
            assert_eq!(growth(actual, wished), expected, "{actual} → {wished}");
        }
    }

    #[test]
    fn iops_are_sent_where_aws_takes_them() {
        for (engine, storage_type, gigabytes, current, expected) in [
            ("postgres", "gp3", 100, Some(3_000), None),
            ("postgres", "gp3", 400, Some(3_000), Some(12_000)),
            ("postgres", "gp3", 500, Some(15_000), Some(15_000)),
            ("oracle-se2", "gp3", 200, None, Some(12_000)),
            ("sqlserver-se", "gp3", 20, Some(3_000), Some(3_000)),
            ("postgres", "io1", 100, Some(1_000), Some(1_000)),
            ("postgres", "io2", 100, None, None),
            ("postgres", "gp2", 500, Some(1_500), None),
            ("postgres", "standard", 500, None, None),
        ] {
            assert_eq!(
                iops_with(engine, storage_type, gigabytes, current),
                expected,
                "{engine} {storage_type} {gigabytes}"
            );
        }
    }
}
