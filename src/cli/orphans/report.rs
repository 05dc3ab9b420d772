//! Which instances are orphans, and how that is told.

use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;

use super::super::columns::{aligned, printable};
use crate::{
    aws::tags::{PREFIX, RETAINED, Tags, UID},
    engine::kind::Kind,
    kinds::rds_instance::RdsInstance,
};

const NONE: &str = "-";

/// What was read.
pub(super) struct Seen {
    /// The cluster's id.
    pub(super) cluster: String,
    /// The objects there are.
    pub(super) known: Vec<Known>,
    /// The instances there are, whosoever they are.
    pub(super) instances: Vec<Instance>,
    /// The accounts and regions that were looked in.
    pub(super) looked_in: Vec<(String, String)>,
    /// What could not be looked at.
    pub(super) problems: Vec<Problem>,
}

/// An object.
pub(super) struct Known {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) uid: String,
    /// Account, region and name of its resource, once that is fixed.
    pub(super) resource: Option<(String, String, String)>,
}

/// A database instance.
pub(super) struct Instance {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) name: String,
    pub(super) status: String,
    /// In seconds since 1970.
    pub(super) created_at: Option<i64>,
    pub(super) tags: Tags,
}

/// What could not be looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Problem {
    /// The account, for people.
    pub(super) account: String,
    pub(super) region: Option<String>,
    pub(super) why: String,
}

/// What is told.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Report {
    cluster: String,
    orphans: Vec<Orphan>,
    /// Those that were retained, where they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    retained: Option<Vec<Orphan>>,
    retained_count: usize,
    looked_in: Vec<Place>,
    problems: Vec<Problem>,
}

#[derive(Debug, Serialize)]
struct Place {
    account: String,
    region: String,
}

/// An instance without an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Orphan {
    account: String,
    region: String,
    name: String,
    namespace: Option<String>,
    object: Option<String>,
    uid: Option<String>,
    status: String,
    created_at: Option<Timestamp>,
    retained_at: Option<String>,
    /// Whether another object has its object's namespace and name.
    name_in_use: bool,
}

/// How an instance stands to the objects there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// It is none of this cluster's.
    Foreign,
    /// Its object is there, or is about to take it over.
    Kept,
    /// It was left behind on purpose.
    Retained,
    /// Its object is gone.
    Orphan {
        /// Whether another object has its namespace and name.
        name_in_use: bool,
    },
}

/// How `instance` stands to the objects of `cluster`.
fn standing(cluster: &str, known: &[Known], instance: &Instance) -> Standing {
    let Instance { account, region, name, status: _, created_at: _, tags } = instance;
    let tag = |key: &str| tags.get(&format!("{PREFIX}{key}")).map(String::as_str);
    if tag("cluster") != Some(cluster) || tag("kind").is_some_and(|kind| kind != RdsInstance::KIND) {
        return Standing::Foreign;
    }
    let uid = tags.get(UID);
    // A uid is never given twice.
    if known.iter().any(|object| Some(&object.uid) == uid) {
        return Standing::Kept;
    }
    let same = |object: &&Known| (tag("namespace"), tag("name")) == (Some(&*object.namespace), Some(&*object.name));
    let mut others = known.iter().filter(same).peekable();
    let name_in_use = others.peek().is_some();
    let means =
        |object: &Known| object.resource.as_ref().is_some_and(|at| (&at.0, &at.1, &at.2) == (account, region, name));
    // A restored or newly made object of that name, which stamps it with its own uid when it next looks.
    if others.any(means) {
        return Standing::Kept;
    }
    match tags.contains_key(RETAINED) {
        true => Standing::Retained,
        false => Standing::Orphan { name_in_use },
    }
}

/// What follows from what was seen. `retained`: whether those that were retained are told one by one.
pub(super) fn conclude(seen: Seen, retained: bool) -> Report {
    let Seen { cluster, known, instances, looked_in, problems } = seen;
    let (mut orphans, mut kept) = (Vec::new(), Vec::new());
    for instance in instances {
        match standing(&cluster, &known, &instance) {
            Standing::Foreign | Standing::Kept => {}
            Standing::Retained => kept.push(orphan(instance, false)),
            Standing::Orphan { name_in_use } => orphans.push(orphan(instance, name_in_use)),
        }
    }
    let place = |orphan: &Orphan| (orphan.account.clone(), orphan.region.clone(), orphan.name.clone());
    orphans.sort_by_key(place);
    kept.sort_by_key(place);
    let retained_count = kept.len();
    let looked_in = looked_in.into_iter().map(|(account, region)| Place { account, region }).collect();
    Report { cluster, orphans, retained: retained.then_some(kept), retained_count, looked_in, problems }
}

fn orphan(instance: Instance, name_in_use: bool) -> Orphan {
    let Instance { account, region, name, status, created_at, tags } = instance;
    let tag = |key: &str| tags.get(&format!("{PREFIX}{key}")).cloned();
    Orphan {
        account,
        region,
        name,
        namespace: tag("namespace"),
        object: tag("name"),
        uid: tag("uid"),
        status,
        created_at: created_at.and_then(|second| Timestamp::from_second(second).ok()),
        retained_at: tags.get(RETAINED).cloned(),
        name_in_use,
    }
}

/// The report as `fairlead orphans` prints it.
pub(super) fn text(report: &Report) -> String {
    let Report { cluster, orphans, retained, retained_count, looked_in, problems } = report;
    let mut text = String::new();
    let rows: Vec<_> = orphans.iter().chain(retained.iter().flatten()).map(row).collect();
    if !rows.is_empty() {
        let head = ["ACCOUNT", "REGION", "NAME", "OBJECT", "STATUS", "SINCE"].map(str::to_owned);
        text += &(aligned(&[vec![head], rows].concat()) + "\n");
    }
    let found = match orphans.len() {
        0 => "no database instances are".to_owned(),
        1 => "1 database instance is".to_owned(),
        many => format!("{many} database instances are"),
    };
    let _ = writeln!(text, "{found} without an object, of the cluster {}", printable(cluster));
    if orphans.iter().any(|orphan| orphan.name_in_use) {
        text += "note: where (another) stands, an object of that name is there, which is another one: it takes the \
                 instance over where it means it by its spec.name, region and account\n";
    }
    match (retained_count, retained) {
        (0, _) | (_, Some(_)) => {}
        (1, None) => text += "1 more was retained: --retained lists it\n",
        (many, None) => {
            let _ = writeln!(text, "{many} more were retained: --retained lists them");
        }
    }
    let places: Vec<_> = looked_in.iter().map(|Place { account, region }| format!("{account} {region}")).collect();
    let _ = match places.is_empty() {
        true => writeln!(text, "nothing was looked at"),
        false => writeln!(text, "looked in {}; --region names other regions", places.join(", ")),
    };
    for Problem { account, region, why } in problems {
        let region = region.as_ref().map(|region| format!(" in {region}")).unwrap_or_default();
        let _ = writeln!(text, "problem: {}{region}: {}", printable(account), printable(why));
    }
    if !orphans.is_empty() {
        text += ADVICE;
    }
    text
}

/// What to do with orphans.
const ADVICE: &str = "\
nobody manages these, and they cost money. To manage one again, create its object with the same namespace and name, \
and the same AWS name, region and account; to be rid of one, delete it in AWS, with a final snapshot:
  aws rds delete-db-instance --region REGION --db-instance-identifier NAME --final-db-snapshot-identifier NAME-last
";

/// Why the command fails, where it does.
pub(super) fn failure(report: &Report) -> Option<String> {
    let places = report.problems.iter().map(|Problem { account, region, why: _ }| match region {
        Some(region) => format!("{account} in {region}"),
        None => account.clone(),
    });
    let places: Vec<_> = places.collect();
    (!places.is_empty()).then(|| format!("not everything could be looked at: {}", places.join(", ")))
}

fn row(orphan: &Orphan) -> [String; 6] {
    let Orphan { account, region, name, namespace, object, uid: _, status, created_at, retained_at, name_in_use } =
        orphan;
    let object = match (namespace, object) {
        (Some(namespace), Some(object)) if *name_in_use => format!("{namespace}/{object} (another)"),
        (Some(namespace), Some(object)) => format!("{namespace}/{object}"),
        _ => NONE.into(),
    };
    let since = match (retained_at, created_at) {
        (Some(at), _) => format!("retained {at}"),
        (None, Some(at)) => at.to_string(),
        (None, None) => NONE.into(),
    };
    [account.clone(), region.clone(), name.clone(), object, status.clone(), since]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::tags::Owner;

    const ACCOUNT: &str = "111122223333";
    const REGION: &str = "eu-west-1";

    fn known(name: &str, uid: &str, resource: Option<&str>) -> Known {
        let resource = resource.map(|resource| (ACCOUNT.into(), REGION.into(), resource.into()));
        Known { namespace: "shop".into(), name: name.into(), uid: uid.into(), resource }
    }

    /// The instance `orders` of the object shop/orders with the uid 1, with other tags: null takes one away.
    fn instance(changes: &[(&str, Option<&str>)]) -> Instance {
        let text = str::to_owned;
        let owner = Owner {
            cluster: text("c"),
            namespace: text("shop"),
            name: text("orders"),
            kind: text("RDSInstance"),
            uid: text("1"),
        };
        let mut tags = owner.tags();
        for (key, value) in changes {
            let key = format!("{PREFIX}{key}");
            match value {
                Some(value) => drop(tags.insert(key, text(value))),
                None => drop(tags.remove(&key)),
            }
        }
        let (account, region, name) = (text(ACCOUNT), text(REGION), text("orders"));
        Instance { account, region, name, status: text("available"), created_at: Some(1_767_225_600), tags }
    }

    #[test]
    fn who_is_an_orphan() {
        const GONE: Standing = Standing::Orphan { name_in_use: false };
        const REPLACED: Standing = Standing::Orphan { name_in_use: true };
        const RETAINED: [(&str, Option<&str>); 2] = [("uid", None), ("retained", Some("2026-01-01T00:00:00Z"))];
        let other = || known("invoices", "9", Some("invoices"));
        for (case, tags, objects, expected) in [
            ("its object is there", &[][..], vec![other(), known("orders", "1", Some("orders"))], Standing::Kept),
            ("its object is there, without an identity", &[], vec![known("orders", "1", None)], Standing::Kept),
            ("there is no object at all", &[], vec![], GONE),
            ("only others are there", &[], vec![other()], GONE),
            ("a restored object means it", &[], vec![known("orders", "2", Some("orders"))], Standing::Kept),
            ("a new object of the name means another", &[], vec![known("orders", "2", Some("orders-2"))], REPLACED),
            ("a new object of the name means nothing yet", &[], vec![known("orders", "2", None)], REPLACED),
            ("another cluster's", &[("cluster", Some("d"))], vec![], Standing::Foreign),
            ("no cluster's", &[("cluster", None)], vec![], Standing::Foreign),
            ("another kind's", &[("kind", Some("Other"))], vec![], Standing::Foreign),
            ("some tags were removed", &[("kind", None), ("name", None)], vec![], GONE),
            ("some were, and its object is there", &[("name", None)], vec![known("orders", "1", None)], Standing::Kept),
            ("the uid was removed", &[("uid", None)], vec![other()], GONE),
            ("retained", &RETAINED, vec![], Standing::Retained),
            ("retained, in the course of it", &RETAINED[1..], vec![], Standing::Retained),
            (
                "retained by an object that is back",
                &RETAINED,
                vec![known("orders", "2", Some("orders"))],
                Standing::Kept,
            ),
            (
                "of a namespace of that name elsewhere",
                &[("namespace", Some("a"))],
                vec![known("orders", "2", None)],
                GONE,
            ),
        ] {
            assert_eq!(standing("c", &objects, &instance(tags)), expected, "{case}");
        }
    }

    fn seen(instances: Vec<Instance>, problems: Vec<Problem>) -> Seen {
        let looked_in = vec![(ACCOUNT.into(), REGION.into())];
        Seen { cluster: "c".into(), known: vec![known("orders", "2", None)], instances, looked_in, problems }
    }

    #[test]
    fn what_is_told() {
        let mut second = instance(&[("name", Some("a\u{1b}[31m")), ("retained", Some("2026-02-02T00:00:00Z"))]);
        second.name = "other".into();
        let both = || vec![instance(&[("retained", Some("2026-02-02T00:00:00Z"))]), instance(&[])];
        let report = conclude(seen(both(), Vec::new()), false);
        let told = text(&report);
        assert_eq!(failure(&report), None);
        let row = "111122223333   eu-west-1   orders   shop/orders (another)   available   2026-01-01T00:00:00Z\n";
        for part in [row, "1 database instance is without", "1 more was retained", "looked in 111122223333 eu-west-1"] {
            assert!(told.contains(part), "{part:?} is not in\n{told}");
        }
        let told = text(&conclude(seen(vec![second], Vec::new()), true));
        assert!(told.contains("retained 2026-02-02T00:00:00Z") && !told.contains('\u{1b}'), "{told}");
        assert!(!told.contains("delete-db-instance"), "what was retained is meant to stay\n{told}");

        let why = "rds:DescribeDBInstances in eu-west-1 failed: AccessDenied".to_owned();
        let problem = Problem { account: "AWSAccount shop (444455556666)".into(), region: Some(REGION.into()), why };
        let report = conclude(seen(Vec::new(), vec![problem]), false);
        assert!(text(&report).contains("problem: AWSAccount shop (444455556666) in eu-west-1: rds:Describe"));
        let line = failure(&report).unwrap();
        assert_eq!(line, "not everything could be looked at: AWSAccount shop (444455556666) in eu-west-1");
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!((json["orphans"].as_array().map(Vec::len), &json["retainedCount"]), (Some(0), &0.into()));
    }
}
