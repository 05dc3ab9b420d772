//! Objects as Prometheus sees them. Pure: it is told the time.

use jiff::Timestamp;
use serde_json::Value;

use super::objects::Object;
use crate::{
    crd::{self, spec::Management},
    telemetry::metrics::{Reading, catalog::Metric, table},
};

/// The conditions that are counted.
const CONDITIONS: [&str; 4] = ["Ready", "Synced", "Reconciling", "Stalled"];
/// What they say: the indices of [`Shown::says`].
const SAYS: [&str; 4] = ["True", "False", "Unknown", "absent"];
const TRUE: u8 = 0;
const UNKNOWN: u8 = 2;
const ABSENT: u8 = 3;

/// What is kept of each object, which is little: there may be thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shown {
    /// What each of the conditions says.
    says: [u8; CONDITIONS.len()],
    /// Since when it has been not ready, in seconds since 1970, where somebody should care.
    unready_since: Option<i64>,
}

impl Shown {
    /// An object, by its own status.
    pub(crate) fn of(object: &Object) -> Self {
        let status = object.0.data.get("status");
        let conditions = status.and_then(|status| status.get("conditions")?.as_array()).map(Vec::as_slice);
        let find = |kind: &str| conditions.unwrap_or_default().iter().find(|condition| condition["type"] == kind);
        let says = CONDITIONS.map(find).map(|condition| condition.map_or(ABSENT, says));
        let [ready, synced, ..] = says;
        let paused = object.annotation(crd::PAUSED) == Some("true");
        // Somebody has stopped its resource.
        let rests = ready != ABSENT && synced == TRUE;
        let cared_for = !paused && !rests && object.management() == Management::Manage;
        let since = || {
            let told = find("Ready").and_then(|ready| ready["lastTransitionTime"].as_str()?.parse::<Timestamp>().ok());
            let created = object.0.metadata.creation_timestamp.as_ref().map(|time| time.0);
            told.or(created).map(Timestamp::as_second)
        };
        Self { says, unready_since: if ready != TRUE && cared_for { since() } else { None } }
    }
}

fn says(condition: &Value) -> u8 {
    let said = SAYS.iter().take(ABSENT.into()).position(|says| condition["status"] == *says);
    said.and_then(|said| u8::try_from(said).ok()).unwrap_or(UNKNOWN)
}

/// All objects of a kind that this replica leads, added up.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    by_condition: [[usize; SAYS.len()]; CONDITIONS.len()],
    unready_since: Option<i64>,
    all: usize,
    ready: usize,
    there: usize,
}

impl Tally {
    /// One more object; whether it is ready and stays, and whether its resource has been there.
    pub(crate) fn add(&mut self, shown: Shown, ready: bool, there: bool) {
        for (counts, says) in self.by_condition.iter_mut().zip(shown.says) {
            counts[usize::from(says)] += 1;
        }
        self.unready_since = [self.unready_since, shown.unready_since].into_iter().flatten().min();
        self.all += 1;
        self.ready += usize::from(ready);
        self.there += usize::from(there);
    }

    /// What there is to read of them at `now`, in seconds since 1970.
    #[allow(clippy::cast_precision_loss, reason = "seconds are far below 2^53")]
    pub(crate) fn readings(&self, kind: &'static str, total: &'static Metric, now: i64) -> Vec<Reading> {
        let oldest = self.unready_since.map_or(0, |since| now.saturating_sub(since).max(0));
        let mut readings = vec![
            Reading::count(&table::OBJECTS, [kind.into(), "true".into()], self.ready),
            Reading::count(&table::OBJECTS, [kind.into(), "false".into()], self.all - self.ready),
            Reading::count(total, [], self.there),
            Reading::new(&table::UNREADY_OLDEST, [kind.into()], oldest as f64),
        ];
        for (condition, counts) in CONDITIONS.into_iter().zip(self.by_condition) {
            readings.extend(SAYS.into_iter().zip(counts).map(|(says, count)| {
                Reading::count(&table::OBJECTS_BY_CONDITION, [kind.into(), condition.into(), says.into()], count)
            }));
        }
        readings
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(conditions: &[(&str, &str, i64)], more: Value) -> Object {
        let condition = |(kind, status, since): &(&str, &str, i64)| {
            let since = Timestamp::from_second(*since).unwrap().to_string();
            json!({ "type": kind, "status": status, "reason": "R", "message": "", "lastTransitionTime": since })
        };
        let conditions: Vec<_> = conditions.iter().map(condition).collect();
        let mut object = json!({
            "metadata": { "name": "orders", "namespace": "shop", "creationTimestamp": "1970-01-01T00:01:40Z" },
            "status": { "conditions": conditions },
        });
        for (part, value) in more.as_object().into_iter().flatten() {
            match object[part].as_object_mut() {
                Some(part) => part.extend(value.as_object().cloned().unwrap_or_default()),
                None => object[part] = value.clone(),
            }
        }
        Object(serde_json::from_value(object).unwrap())
    }

    #[test]
    fn what_an_object_says_and_since_when_it_is_not_ready() {
        let failing = [("Ready", "False", 150), ("Synced", "False", 120), ("Reconciling", "True", 120)];
        for (conditions, more, says, since) in [
            ([].as_slice(), json!({}), "absent absent absent absent", Some(100)),
            (&failing, json!({}), "False False True absent", Some(150)),
            (&[("Ready", "True", 150), ("Synced", "True", 150)], json!({}), "True True absent absent", None),
            (&[("Ready", "True", 150), ("Stalled", "True", 1)], json!({}), "True absent absent True", None),
            (&[("Ready", "Unknown", 150)], json!({}), "Unknown absent absent absent", Some(150)),
            (&[("Ready", "Perhaps", 150)], json!({}), "Unknown absent absent absent", Some(150)),
            (&[("Ready", "False", 150), ("Synced", "True", 1)], json!({}), "False True absent absent", None),
            (&failing, json!({ "spec": { "management": "Observe" } }), "False False True absent", None),
            (
                &failing,
                json!({ "metadata": { "annotations": { crd::PAUSED: "true" } } }),
                "False False True absent",
                None,
            ),
        ] {
            let shown = Shown::of(&object(conditions, more.clone()));
            let said = shown.says.map(|says| SAYS[usize::from(says)]).join(" ");
            assert_eq!((said.as_str(), shown.unready_since), (says, since), "{conditions:?} {more}");
        }
    }

    #[test]
    fn objects_are_added_up() {
        static TOTAL: Metric = Metric::gauge("total", &[], "All");
        let mut tally = Tally::default();
        let value = |tally: &Tally, name: &str, labels: &[&str]| {
            let readings = tally.readings("SQSQueue", &TOTAL, 1_000);
            let found = readings.iter().map(Reading::parts).find(|(it, values, _)| *it == name && values == labels);
            found.map(|(.., value)| value)
        };
        assert_eq!(value(&tally, "fairlead_object_unready_oldest_seconds", &["SQSQueue"]), Some(0.0));
        for (status, since, ready, there) in
            [("True", 200, true, true), ("False", 400, false, true), ("False", 300, false, false)]
        {
            tally.add(Shown::of(&object(&[("Ready", status, since)], json!({}))), ready, there);
        }
        for (name, labels, expected) in [
            ("fairlead_object_unready_oldest_seconds", ["SQSQueue"].as_slice(), 700.0),
            ("fairlead_objects", &["SQSQueue", "true"], 1.0),
            ("fairlead_objects", &["SQSQueue", "false"], 2.0),
            ("total", &[], 2.0),
            ("fairlead_objects_by_condition", &["SQSQueue", "Ready", "False"], 2.0),
            ("fairlead_objects_by_condition", &["SQSQueue", "Ready", "absent"], 0.0),
            ("fairlead_objects_by_condition", &["SQSQueue", "Stalled", "absent"], 3.0),
        ] {
            assert_eq!(value(&tally, name, labels), Some(expected), "{name} {labels:?}");
        }
    }
}
