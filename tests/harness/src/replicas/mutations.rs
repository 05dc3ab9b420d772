//! The calls that change something in AWS, as intervals, and who made them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use crate::fake_aws::{Call, FakeAws};

/// The operations of SQS that change something.
const OPERATIONS: [&str; 5] = ["CreateQueue", "SetQueueAttributes", "TagQueue", "UntagQueue", "DeleteQueue"];

/// A call that changes a queue, from its arrival to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Mutation {
    /// The replica that made it.
    pub replica: String,
    /// `CreateQueue`, …
    pub operation: String,
    /// The queue's name.
    pub queue: String,
    /// Its region.
    pub region: String,
    /// When it arrived.
    pub arrived: Instant,
    /// When it was over; `None` where it goes on.
    pub ended: Option<Instant>,
    /// Its answer's status.
    pub status: Option<u16>,
}

/// Two replicas that changed one queue at the same time.
#[derive(Clone, Debug, PartialEq)]
pub struct Overlap(pub Mutation, pub Mutation);

/// The calls so far that change something, as they arrived.
pub fn mutations(fake: &FakeAws) -> Vec<Mutation> {
    fake.calls().into_iter().filter(|call| OPERATIONS.contains(&call.operation.as_str())).map(mutation).collect()
}

/// Where two replicas changed one queue at the same time.
pub fn overlaps(mutations: &[Mutation]) -> Vec<Overlap> {
    let mut queues: BTreeMap<(&str, &str), Vec<&Mutation>> = BTreeMap::new();
    for mutation in mutations {
        queues.entry((&mutation.region, &mutation.queue)).or_default().push(mutation);
    }
    let mut found = Vec::new();
    for calls in queues.into_values() {
        for (index, first) in calls.iter().enumerate() {
            // They are in the order of their arrivals.
            let during = |second: &&&Mutation| first.ended.is_none_or(|ended| second.arrived < ended);
            let others = calls[index + 1..].iter().filter(during).filter(|second| second.replica != first.replica);
            found.extend(others.map(|second| Overlap((*first).clone(), (*second).clone())));
        }
    }
    found
}

fn mutation(call: Call) -> Mutation {
    let url = call.request["QueueUrl"].as_str().and_then(|url| url.rsplit('/').next());
    let queue = url.or(call.request["QueueName"].as_str()).unwrap_or_default().to_owned();
    Mutation {
        replica: call.door,
        operation: call.operation,
        queue,
        region: call.region,
        arrived: call.at,
        ended: call.finished,
        status: call.status,
    }
}

impl Mutation {
    /// One line, with seconds since `origin`.
    pub fn line(&self, origin: Instant) -> String {
        let since = |at: Instant| at.saturating_duration_since(origin).as_secs_f64();
        let end = self.ended.map_or_else(|| "      …".to_owned(), |ended| format!("{:8.3}", since(ended)));
        let Mutation { replica, operation, queue, region, .. } = self;
        let status = self.status.map_or_else(|| "-".to_owned(), |status| status.to_string());
        format!("{:8.3} {end} {replica} {operation} {region}/{queue} {status}", since(self.arrived))
    }
}

impl fmt::Display for Overlap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let origin = self.0.arrived.checked_sub(Duration::from_secs(1)).unwrap_or(self.0.arrived);
        write!(f, "two at once:\n{}\n{}", self.0.line(origin), self.1.line(origin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_other_replicas_on_the_same_queue_at_the_same_time_overlap() {
        let origin = Instant::now();
        let at = |ms| origin + Duration::from_millis(ms);
        let call = |replica: &str, queue: &str, from, to: Option<u64>| Mutation {
            replica: replica.to_owned(),
            operation: "CreateQueue".to_owned(),
            queue: queue.to_owned(),
            region: String::new(),
            arrived: at(from),
            ended: to.map(at),
            status: None,
        };
        let a = call("a", "q", 0, Some(100));
        let cases = [
            (call("b", "q", 99, Some(120)), 1),
            (call("b", "q", 100, Some(120)), 0),
            (call("a", "q", 50, Some(120)), 0),
            (call("b", "r", 50, Some(120)), 0),
        ];
        for (other, expected) in cases {
            assert_eq!(overlaps(&[a.clone(), other.clone()]).len(), expected, "{other:?}");
        }
        let endless = call("a", "q", 0, None);
        assert_eq!(overlaps(&[endless, call("a", "q", 10, Some(20)), call("b", "q", 9_000, None)]).len(), 1);
    }
}
