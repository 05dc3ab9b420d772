//! What storage may be, and how it may change.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::engines::Engine;
use super::form::combination_refused;
use super::settings::{Settings, number, text};
use crate::fake_aws::refusal::Refusal;

/// The settings that are about the volume.
pub(super) const NAMES: [&str; 4] = ["AllocatedStorage", "Iops", "StorageThroughput", "StorageType"];

/// "You can't make additional storage modifications for either six hours from the last storage modification
/// or until storage-optimization is complete, whichever is longer":
/// <https://repost.aws/knowledge-center/rds-autoscaling-low-free-storage>.
pub(super) const PAUSE: Duration = Duration::from_secs(6 * 3_600);

/// The answer to a change that comes too early, as users report it:
/// <https://github.com/hashicorp/terraform-provider-aws/issues/12493>.
pub(super) const OPTIMIZING: &str = "You can't currently modify the storage of this DB instance because the previous \
    storage change is being optimized.";

/// Whether the volume's IOPS are provisioned, so that they are given together with its size.
pub(super) fn is_provisioned(engine: &Engine, settings: &Settings) -> bool {
    match text(settings, "StorageType") {
        "io1" | "io2" => true,
        "gp3" => number(settings, "AllocatedStorage").unwrap_or_default() >= engine.provisioned_from,
        _ => false,
    }
}

/// Refuses what the volume may not be. `settings` are all that there would be, `asked` those of the request.
pub(super) fn check(engine: &Engine, settings: &Settings, asked: &Settings) -> Result<(), Refusal> {
    let kind = text(settings, "StorageType");
    let of = format!("for engine name {} and storage type {kind}", engine.name);
    let size = number(settings, "AllocatedStorage");
    let Some(size) = size.filter(|size| sizes(kind).contains(size)) else {
        let size = size.map_or_else(|| "null".to_owned(), |size| size.to_string());
        return Err(combination_refused(format!("Invalid storage size {of}: {size}. AllocatedStorage is in GiB.")));
    };
    let [iops, throughput] = ["Iops", "StorageThroughput"].map(|name| number(asked, name).filter(|value| *value > 0));
    let refused = |name: &str, value: u64| Err(combination_refused(format!("Invalid {name} value {of}: {value}")));
    match kind {
        "io1" | "io2" => {
            if let Some(throughput) = throughput {
                return refused("StorageThroughput", throughput);
            }
            let Some(iops) = iops.or_else(|| number(settings, "Iops")) else {
                return Err(combination_refused(format!("You must specify Iops {of}.")));
            };
            if !(1_000..=256_000).contains(&iops) {
                return refused("Iops", iops);
            }
            // 0.5 to 50 for each GiB.
            if iops * 2 < size || iops > size * 50 {
                let message = format!("The Iops to GiB ratio must be between 0.5 and 50: Iops {iops}, {size} GiB.");
                return Err(combination_refused(message));
            }
        }
        "gp3" if !is_provisioned(engine, settings) => {
            if iops.or(throughput).is_some() {
                let (name, from) = (engine.name, engine.provisioned_from);
                return Err(combination_refused(format!(
                    "You can't specify IOPS or storage throughput for engine {name} and a storage size less than \
                     {from}."
                )));
            }
        }
        "gp3" => {
            let (all_iops, all_throughput) = provisioned(engine);
            if let Some(iops) = iops.filter(|iops| !all_iops.contains(iops)) {
                return refused("Iops", iops);
            }
            if let Some(throughput) = throughput.filter(|throughput| !all_throughput.contains(throughput)) {
                return refused("StorageThroughput", throughput);
            }
        }
        _ => {
            if let Some(iops) = iops {
                return refused("Iops", iops);
            }
            if let Some(throughput) = throughput {
                return refused("StorageThroughput", throughput);
            }
        }
    }
    Ok(())
}

/// Completes or clears IOPS and throughput as the kind and size of a volume want it.
pub(super) fn complete(engine: &Engine, settings: &mut Settings) {
    let baseline = match text(settings, "StorageType") {
        "gp3" if is_provisioned(engine, settings) => {
            let (iops, throughput) = provisioned(engine);
            let keep = |name, range: RangeInclusive<u64>| {
                number(settings, name).filter(|value| range.contains(value)).unwrap_or(*range.start())
            };
            [("Iops", Some(keep("Iops", iops))), ("StorageThroughput", Some(keep("StorageThroughput", throughput)))]
        }
        "gp3" => [("Iops", Some(3_000)), ("StorageThroughput", Some(125))],
        "io1" | "io2" => [("Iops", number(settings, "Iops")), ("StorageThroughput", None)],
        _ => [("Iops", None), ("StorageThroughput", None)],
    };
    for (name, value) in baseline {
        match value {
            Some(value) => drop(settings.insert(name, value.to_string())),
            None => drop(settings.remove(name)),
        }
    }
}

/// The size that a volume gets of which another one was asked for: never smaller, and if larger, by a tenth
/// at least.
pub(super) fn grown(engine: &Engine, current: u64, asked: u64) -> Result<u64, Refusal> {
    if asked < current {
        let message =
            format!("The allocated storage cannot shrink: AllocatedStorage is {current} GiB, {asked} were asked for.");
        return Err(combination_refused(message));
    }
    if asked == current || engine.name.starts_with("sqlserver") {
        return Ok(asked);
    }
    Ok(asked.max((current * 11).div_ceil(10)))
}

/// Refuses a limit of autoscaling: it is a tenth above the volume at least, or it is the volume's size, which
/// turns autoscaling off where that is possible.
pub(super) fn check_limit(settings: &Settings, can_be_off: bool) -> Result<(), Refusal> {
    let [limit, size] = ["MaxAllocatedStorage", "AllocatedStorage"].map(|name| number(settings, name));
    let (Some(limit), Some(size)) = (limit, size) else {
        return Ok(());
    };
    if limit < size || (limit == size && !can_be_off) {
        let message = "Max storage size must be greater than storage size: MaxAllocatedStorage, AllocatedStorage.";
        return Err(combination_refused(message));
    }
    if limit > size && limit * 10 < size * 11 {
        let message = "The maximum allocated storage must be increased by at least 10 percent: MaxAllocatedStorage.";
        return Err(combination_refused(message));
    }
    Ok(())
}

fn sizes(kind: &str) -> RangeInclusive<u64> {
    match kind {
        "standard" => 5..=3_072,
        "io1" | "io2" => 100..=65_536,
        _ => 20..=65_536,
    }
}

/// The IOPS and the throughput that gp3 takes where it takes any.
fn provisioned(engine: &Engine) -> (RangeInclusive<u64>, RangeInclusive<u64>) {
    if engine.provisioned_from == 0 { (3_000..=16_000, 125..=1_000) } else { (12_000..=64_000, 500..=4_000) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake_aws::rds::engines;

    fn settings(pairs: &[(&'static str, &str)]) -> Settings {
        pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
    }

    #[test]
    fn volumes_are_judged() -> Result<(), Refusal> {
        let cases = [
            ("postgres", "gp3", "20", None, None, true),
            ("postgres", "gp3", "19", None, None, false),
            ("postgres", "gp3", "20", Some("3000"), None, false),
            ("postgres", "gp3", "399", None, Some("125"), false),
            ("postgres", "gp3", "400", Some("12000"), Some("500"), true),
            ("postgres", "gp3", "400", Some("3000"), None, false),
            ("sqlserver-ex", "gp3", "20", Some("3000"), None, true),
            ("oracle-se2", "gp3", "200", Some("12000"), None, true),
            ("postgres", "gp2", "65536", None, None, true),
            ("postgres", "gp2", "100", Some("1000"), None, false),
            ("postgres", "io1", "100", Some("1000"), None, true),
            ("postgres", "io1", "100", None, None, false),
            ("postgres", "io1", "100", Some("5001"), None, false),
            ("postgres", "io1", "99", Some("1000"), None, false),
            ("postgres", "io2", "2001", Some("1000"), None, false),
            ("postgres", "io2", "100", Some("1000"), Some("500"), false),
            ("postgres", "standard", "5", None, None, true),
            ("postgres", "standard", "3073", None, None, false),
        ];
        for (engine, kind, size, iops, throughput, expected) in cases {
            let mut asked = settings(&[("StorageType", kind), ("AllocatedStorage", size)]);
            asked.extend(iops.map(|iops: &str| ("Iops", iops.to_owned())));
            asked.extend(throughput.map(|throughput: &str| ("StorageThroughput", throughput.to_owned())));
            let judged = check(engines::find(engine)?, &asked, &asked).is_ok();
            assert_eq!(judged, expected, "{engine} {asked:?}");
        }
        Ok(())
    }

    #[test]
    fn iops_follow_kind_and_size() -> Result<(), Refusal> {
        let cases = [
            (("gp3", "20", None), Some("3000"), Some("125")),
            (("gp3", "400", Some("3000")), Some("12000"), Some("500")),
            (("gp3", "400", Some("20000")), Some("20000"), Some("500")),
            (("io1", "400", Some("2000")), Some("2000"), None),
            (("gp2", "400", Some("2000")), None, None),
        ];
        for ((kind, size, iops), expected_iops, throughput) in cases {
            let mut volume = settings(&[("StorageType", kind), ("AllocatedStorage", size)]);
            volume.extend(iops.map(|iops: &str| ("Iops", iops.to_owned())));
            complete(engines::find("postgres")?, &mut volume);
            let seen = ["Iops", "StorageThroughput"].map(|name| volume.get(name).map(String::as_str));
            assert_eq!(seen, [expected_iops, throughput], "{kind} {size}");
        }
        Ok(())
    }

    #[test]
    fn growth_is_a_tenth_at_least() -> Result<(), Refusal> {
        let cases = [
            ("postgres", 100, 100, Some(100)),
            ("postgres", 100, 99, None),
            ("postgres", 100, 101, Some(110)),
            ("postgres", 25, 26, Some(28)),
            ("postgres", 100, 150, Some(150)),
            ("sqlserver-ex", 100, 101, Some(101)),
        ];
        for (engine, current, asked, expected) in cases {
            assert_eq!(grown(engines::find(engine)?, current, asked).ok(), expected, "{engine} {current} {asked}");
        }
        Ok(())
    }
}
