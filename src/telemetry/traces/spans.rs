//! Which spans there are. Names and attributes are OpenTelemetry's semantic conventions where those have one, and
//! else begin with `fairlead.`. None holds anything but names, numbers and texts that the status may hold too.
//!
//! | Span | Kind | Parent |
//! |---|---|---|
//! | `reconcile KIND` | internal | none, or the object's annotation `traceparent` |
//! | `sweep KIND`, `attend AWSAccount` | internal | none |
//! | `observe`, `plan`, `action NAME`, `publish`, `status` | internal | a reconcile |
//! | `SERVICE/Operation` | client | what calls AWS; no span where that has none |
//! | `VERB resource` | client | what writes to the API server, likewise |
//! | `take over shard`, `hand over shard`, `lose shard` | internal | none |

use std::{
    collections::HashMap,
    time::{Duration, SystemTime},
};

use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanContext, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::{Span, field::Empty, info_span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use crate::queue::flow::{Flow, Priority};

/// The target of spans, by which log filters know them.
pub const TARGET: &str = "fairlead::trace";
/// The one span that log lines show, with the id of its trace.
pub const SHOWN: &str = "reconcile";
/// An object's annotation, as the W3C's header of the same name: the trace that caused its spec.
pub const TRACEPARENT: &str = "traceparent";

/// What a reconcile is of, and how it came to its turn.
#[derive(Debug)]
pub struct Reconcile<'a> {
    /// The kind.
    pub kind: &'static str,
    /// The object's namespace.
    pub namespace: &'a str,
    /// The object's name.
    pub name: &'a str,
    /// The object's uid.
    pub uid: &'a str,
    /// The object's generation.
    pub generation: i64,
    /// What made it due.
    pub priority: Priority,
    /// How many attempts in a row have failed before, and this one.
    pub attempt: u32,
    /// How long it has been due.
    pub waited: Duration,
    /// Its flow.
    pub flow: &'a Flow,
    /// Its shard.
    pub shard: usize,
}

/// What the annotation `traceparent` is to a reconcile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause<'a> {
    /// There is none.
    None,
    /// It asked for what is reconciled now for the first time.
    Parent(&'a str),
    /// It asked for it earlier.
    Link(&'a str),
}

impl Reconcile<'_> {
    /// The span of the whole reconcile; none where its trace is not kept, and then none within it either.
    pub fn begin(&self, cause: Cause<'_>) -> Span {
        let span = info_span!(target: TARGET, parent: None, "reconcile", trace_id = Empty);
        if span.is_disabled() {
            return span;
        }
        match cause {
            Cause::None => {}
            Cause::Parent(text) => {
                if let Some(parent) = remote(text) {
                    // It was not started yet, and is not disabled.
                    let _ = span.set_parent(Context::new().with_remote_span_context(parent));
                }
            }
            Cause::Link(text) => {
                if let Some(cause) = remote(text) {
                    span.add_link(cause);
                }
            }
        }
        let Self { kind, namespace, name, uid, generation, priority, attempt, waited, flow, shard } = self;
        begin(
            span,
            || format!("reconcile {kind}"),
            || {
                let mut attributes = vec![
                    KeyValue::new("fairlead.object.kind", *kind),
                    KeyValue::new("k8s.namespace.name", (*namespace).to_owned()),
                    KeyValue::new("fairlead.object.name", (*name).to_owned()),
                    KeyValue::new("fairlead.object.uid", (*uid).to_owned()),
                    KeyValue::new("fairlead.object.generation", *generation),
                    KeyValue::new("fairlead.queue.priority", priority.name()),
                    KeyValue::new("fairlead.queue.attempt", i64::from(*attempt)),
                    KeyValue::new("fairlead.queue.wait_seconds", waited.as_secs_f64()),
                    KeyValue::new("fairlead.shard", number(*shard)),
                ];
                attributes.extend(of_flow(flow));
                attributes
            },
        )
    }
}

/// The span of one look at many resources.
pub fn sweep(kind: &'static str, flow: &Flow, objects: usize) -> Span {
    let span = info_span!(target: TARGET, parent: None, "sweep");
    begin(
        span,
        || format!("sweep {kind}"),
        || {
            let mut attributes = vec![
                KeyValue::new("fairlead.object.kind", kind),
                KeyValue::new("fairlead.sweep.objects", number(objects)),
            ];
            attributes.extend(of_flow(flow));
            attributes
        },
    )
}

/// The span of attending to an AWSAccount.
pub fn account(name: &str) -> Span {
    let span = info_span!(target: TARGET, parent: None, "account");
    begin(span, || "attend AWSAccount".to_owned(), || vec![KeyValue::new("fairlead.object.name", name.to_owned())])
}

/// The span of looking at a resource.
pub fn observe() -> Span {
    within(|| info_span!(target: TARGET, "observe"))
}

/// The span of deciding what to change.
pub fn plan() -> Span {
    within(|| info_span!(target: TARGET, "plan"))
}

/// The span of one change of a resource.
pub fn action(name: &str) -> Span {
    within(|| info_span!(target: TARGET, "action", otel.name = format!("action {name}"), fairlead.action = name))
}

/// The span of writing the ConfigMap or Secret.
pub fn publish() -> Span {
    within(|| info_span!(target: TARGET, "publish"))
}

/// The span of writing the status.
pub fn status() -> Span {
    within(|| info_span!(target: TARGET, "status"))
}

/// The span of one call to AWS.
pub fn aws_call(service: &str, operation: &'static str, region: &str) -> Span {
    within(|| {
        let service = service.to_ascii_uppercase();
        info_span!(
            target: TARGET,
            "aws_call",
            otel.name = format!("{service}/{operation}"),
            otel.kind = "client",
            rpc.system = "aws-api",
            rpc.service = service,
            rpc.method = operation,
            cloud.region = region,
        )
    })
}

/// The span of one write to the API server.
pub fn kubernetes_write(method: &str, path: &str, host: &str) -> Span {
    within(|| {
        info_span!(
            target: TARGET,
            "kubernetes_write",
            otel.name = format!("{method} {}", resource_of(path)),
            otel.kind = "client",
            http.request.method = method,
            url.path = path,
            server.address = host,
        )
    })
}

/// A span within another one; no span where there is none, since then nothing is traced.
fn within(span: impl FnOnce() -> Span) -> Span {
    if Span::current().is_disabled() { Span::none() } else { span() }
}

/// This replica's lead of a shard has begun or ended, which took so long: a span of its own, after the fact.
pub fn shard_turn(name: &'static str, shard: usize, epoch: u64, why: &'static str, took: Duration) {
    let tracer = opentelemetry::global::tracer("fairlead");
    let now = SystemTime::now();
    let builder = tracer.span_builder(name).with_start_time(now.checked_sub(took).unwrap_or(now)).with_attributes([
        KeyValue::new("fairlead.shard", number(shard)),
        KeyValue::new("fairlead.lease.epoch", epoch.to_string()),
        KeyValue::new("fairlead.lease.reason", why),
    ]);
    builder.start_with_context(&tracer, &Context::new()).end_with_timestamp(now);
}

/// Adds to the span, where it is recorded.
pub fn add(span: &Span, attributes: impl FnOnce() -> Vec<KeyValue>) {
    if !span.is_disabled() {
        let context = span.context();
        if context.span().is_recording() {
            context.span().set_attributes(attributes());
        }
    }
}

/// What the span is of has failed, with an error of this class.
pub fn fail(span: &Span, class: &str, message: &str) {
    add(span, || vec![KeyValue::new("error.type", class.to_owned())]);
    if !span.is_disabled() {
        span.set_status(Status::error(message.to_owned()));
    }
}

/// A call that has not ended. Where nobody waits for its end any more, its span says so.
#[derive(Debug)]
pub struct Unended(Option<Span>);

impl Unended {
    /// The call that `span` is of.
    pub fn of(span: &Span) -> Self {
        Self(Some(span.clone()).filter(|span| !span.is_disabled()))
    }

    /// It has ended.
    pub fn ended(mut self) {
        self.0 = None;
    }
}

impl Drop for Unended {
    fn drop(&mut self) {
        if let Some(span) = self.0.take() {
            fail(&span, "cut_off", "cut off before its answer");
        }
    }
}

/// The id of the trace that what runs now is part of, in 32 hexadecimal digits; nothing where it is not recorded.
pub fn current_trace_id() -> Option<String> {
    trace_id(&Span::current())
}

/// The same, of the trace that `span` is part of.
pub fn trace_id(span: &Span) -> Option<String> {
    if span.is_disabled() {
        return None;
    }
    let context = span.context();
    let context = context.span().span_context().clone();
    (context.is_valid() && context.is_sampled()).then(|| context.trace_id().to_string())
}

/// Starts a root span under a name of few words; none where its trace is not kept.
fn begin(span: Span, name: impl FnOnce() -> String, attributes: impl FnOnce() -> Vec<KeyValue>) -> Span {
    let Some(id) = trace_id(&span) else { return Span::none() };
    let context = span.context();
    context.span().update_name(name());
    context.span().set_attributes(attributes());
    span.record("trace_id", id);
    span
}

fn of_flow(Flow { account, region, service }: &Flow) -> [KeyValue; 4] {
    [
        KeyValue::new("fairlead.flow", format!("{account}/{region}/{service}")),
        KeyValue::new("cloud.account.id", account.to_string()),
        KeyValue::new("cloud.region", region.to_string()),
        KeyValue::new("fairlead.service", service.to_string()),
    ]
}

/// The span that a text in the form of the W3C's `traceparent` names.
fn remote(text: &str) -> Option<SpanContext> {
    let carrier = HashMap::from([(TRACEPARENT.to_owned(), text.to_owned())]);
    let context = TraceContextPropagator::new().extract_with_context(&Context::new(), &carrier);
    Some(context.span().span_context().clone()).filter(SpanContext::is_valid)
}

/// The resource that a path of the Kubernetes API names, with its subresource: few words, and no name of an object.
fn resource_of(path: &str) -> String {
    let parts: Vec<_> = path.trim_matches('/').split('/').collect();
    // /api/v1/… or /apis/GROUP/VERSION/…
    let rest = parts.get(if parts.first() == Some(&"api") { 2 } else { 3 }..).unwrap_or_default();
    let rest = if rest.first() == Some(&"namespaces") && rest.len() > 2 { &rest[2..] } else { rest };
    match rest {
        [resource, _, subresource, ..] => format!("{resource}/{subresource}"),
        [resource, ..] => (*resource).to_owned(),
        [] => "request".to_owned(),
    }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_spans_hold_no_name_of_an_object() {
        for (path, resource) in [
            ("/apis/aws.fairlead.dev/v1alpha1/namespaces/shop/sqsqueues/orders/status", "sqsqueues/status"),
            ("/apis/aws.fairlead.dev/v1alpha1/namespaces/shop/sqsqueues/orders", "sqsqueues"),
            ("/api/v1/namespaces/shop/configmaps", "configmaps"),
            ("/api/v1/namespaces/shop", "namespaces"),
            ("/apis/aws.fairlead.dev/v1alpha1/awsaccounts/prod/status", "awsaccounts/status"),
            ("/apis/events.k8s.io/v1/namespaces/shop/events", "events"),
            ("/version", "request"),
            ("/", "request"),
        ] {
            assert_eq!(resource_of(path), resource, "{path}");
        }
    }

    #[test]
    fn a_cause_that_is_not_understood_is_none() {
        for (text, known) in [
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", true),
            ("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", true),
            ("00-00000000000000000000000000000000-b7ad6b7169203331-01", false),
            ("0af7651916cd43dd8448eb211c80319c", false),
            ("", false),
        ] {
            assert_eq!(remote(text).is_some(), known, "{text}");
        }
    }
}
