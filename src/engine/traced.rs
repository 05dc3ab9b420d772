//! What a reconcile tells of itself in its trace; see [`spans`].

use std::future::Future;

use opentelemetry::{Array, KeyValue};
use tracing::{Instrument as _, Span};

use super::{
    controller::Task,
    kind::Plan,
    memory::Memory,
    objects::{KubeError, Object, Standing, permitted},
};
use crate::{
    queue::scheduler::Ready,
    shard::{Permit, Shard},
    telemetry::traces::spans::{self, Cause, Reconcile},
};

/// The span of a reconcile.
pub fn begin<H>(object: &Object, memory: &mut Memory<H>, ready: &Ready<Task>, shard: Shard) -> Span {
    let text = object.annotation(spans::TRACEPARENT);
    let new = object.standing() == Standing::Changed;
    let cause = cause(text, new, memory.seen, &mut memory.cause);
    Reconcile {
        kind: ready.key.kind(),
        namespace: object.namespace(),
        name: object.name(),
        uid: object.uid(),
        generation: object.generation().unwrap_or_default(),
        priority: ready.priority,
        attempt: ready.failures + 1,
        waited: ready.waited,
        flow: &ready.flow,
        shard: shard.index(),
    }
    .begin(cause)
}

/// What the annotation `traceparent` is to a reconcile of an object, whose spec is `new` or not, and that was `seen`
/// in this leadership or not. `used` is the one that was a parent, or is older than the leadership. Pure.
fn cause<'a>(text: Option<&'a str>, new: bool, seen: bool, used: &mut Option<String>) -> Cause<'a> {
    match text {
        None => Cause::None,
        Some(text) if used.as_deref() == Some(text) => Cause::Link(text),
        Some(text) if new => {
            *used = Some(text.to_owned());
            Cause::Parent(text)
        }
        Some(text) => {
            // One that comes before its spec does is still to be a parent.
            if !seen {
                *used = Some(text.to_owned());
            }
            Cause::Link(text)
        }
    }
}

/// The object is another one by now.
pub fn again(object: &Object) {
    spans::add(&Span::current(), || {
        vec![KeyValue::new("fairlead.object.generation", object.generation().unwrap_or_default())]
    });
}

/// What the reconcile has come to.
pub fn outcome(outcome: &str) {
    spans::add(&Span::current(), || vec![KeyValue::new("fairlead.outcome", outcome.to_owned())]);
}

/// The plan that is carried out.
pub fn plan<C>(plan: &Plan<C>) {
    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    spans::add(&spans::plan(), || {
        let refused = plan.refused.iter().map(|refused| &refused.difference);
        let fields = plan.differences.iter().chain(refused).map(|difference| difference.field.clone().into());
        vec![
            KeyValue::new("fairlead.plan.fields", opentelemetry::Value::Array(Array::String(fields.collect()))),
            KeyValue::new("fairlead.plan.changes", number(plan.changes.len())),
            KeyValue::new("fairlead.plan.refused", plan.refused.is_some()),
            KeyValue::new("fairlead.plan.pending", number(plan.pending.len())),
        ]
    });
}

/// A write of what is published.
///
/// # Errors
/// The call's error.
pub async fn publishing<T>(
    permit: &Permit,
    call: impl Future<Output = Result<T, kube::Error>>,
) -> Result<T, KubeError> {
    permitted(permit, call).instrument(spans::publish()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_a_parent_once() {
        let (a, b) = (Some("a"), Some("b"));
        // A leadership's reconciles, one after the other: annotation, whether the spec is new, what it is to them.
        let leaderships: [&[(Option<&str>, bool, Cause<'_>)]; 4] = [
            // Together with the spec; then retries, polls, another spec without a cause, and one with.
            &[
                (a, true, Cause::Parent("a")),
                (a, true, Cause::Link("a")),
                (a, false, Cause::Link("a")),
                (a, true, Cause::Link("a")),
                (b, true, Cause::Parent("b")),
            ],
            // Before its spec, with a poll between the two.
            &[(None, false, Cause::None), (a, false, Cause::Link("a")), (a, true, Cause::Parent("a"))],
            // Older than the leadership.
            &[(a, false, Cause::Link("a")), (a, true, Cause::Link("a"))],
            &[(None, true, Cause::None), (None, false, Cause::None)],
        ];
        for leadership in leaderships {
            let mut used = None;
            for (number, (text, new, expected)) in leadership.iter().enumerate() {
                assert_eq!(cause(*text, *new, number > 0, &mut used), *expected, "{number} of {leadership:?}");
            }
        }
    }
}
