//! The one way to call AWS. A kind never holds an SDK client: it hands a closure to [`Regional`],
//! which gives the client to it. Every call is charged to its flow by the [`FlowToken`] that a
//! [`Regional`] is made with, and is classified, counted, timed and logged, in a span of its own. A
//! mutating call takes the replica's [`Permit`].

use std::{future::Future, time::Instant};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use opentelemetry::KeyValue;
use tracing::{Instrument as _, Span, debug, warn};

use super::{
    Service,
    account::Reachability,
    errors::{AwsError, Classify, ErrorClass},
    wire::{self, Exchange},
};
use crate::{
    queue::token::{Answer, FlowToken},
    shard::{NoPermit, Permit},
    telemetry::{
        metrics::Metrics,
        traces::spans::{self, Unended},
    },
};

/// A service of one region, with the client `C`, for the time of one reconcile.
#[derive(Clone, Debug)]
pub struct Regional<C> {
    service: Service,
    region: String,
    client: C,
    classify: Classify,
    token: FlowToken,
    observers: Observers,
}

/// Who hears of every call.
#[derive(Clone, Debug)]
pub struct Observers {
    /// Notes when AWS seems to be away.
    pub reachability: Reachability,
    /// Counts and times.
    pub metrics: Metrics,
}

impl<C> Regional<C> {
    /// The service in `region`, called through `client` by the right of `token`.
    pub(super) fn new(
        service: Service,
        region: String,
        client: C,
        classify: Classify,
        token: FlowToken,
        observers: Observers,
    ) -> Self {
        Self { service, region, client, classify, token, observers }
    }

    /// A call that changes nothing. `resource` names what it is about, for the log.
    ///
    /// # Errors
    /// The classified error of the call, or [`ErrorClass::Shut`] where AWS does not answer in this flow.
    pub async fn read<'a, T, E, F>(
        &'a self,
        operation: &'static str,
        resource: &str,
        send: impl FnOnce(&'a C) -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        // Boxed: the SDK's futures are large, and each level that holds one would hold it on the stack.
        self.call(operation, resource, Box::pin(send(&self.client))).await
    }

    /// A call that may change something in AWS.
    ///
    /// # Errors
    /// The classified error of the call. One of class `Transient` may have had its effect, and so may one that
    /// was cut off (`NoPermit`).
    pub async fn mutate<'a, T, E, F>(
        &'a self,
        permit: &Permit,
        operation: &'static str,
        resource: &str,
        send: impl FnOnce(&'a C) -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let called = permit.spend(self.call(operation, resource, Box::pin(send(&self.client)))).await;
        called.unwrap_or_else(|why| {
            let Self { service, region, .. } = self;
            if why == NoPermit::CutOff {
                warn!(%service, region, operation, resource, "a call was cut off when the leadership ran out");
            }
            Err(AwsError::no_permit(*service, operation, region, why))
        })
    }

    /// Makes sure that the flow's circuit is not open, for those who have somebody else call.
    ///
    /// # Errors
    /// [`ErrorClass::Shut`] where AWS does not answer in this flow.
    pub fn check(&self, operation: &'static str) -> Result<(), AwsError> {
        let since = self.token.shut_for();
        since.map_or(Ok(()), |since| Err(AwsError::shut(self.service, operation, &self.region, since)))
    }

    async fn call<T, E>(
        &self,
        operation: &'static str,
        resource: &str,
        send: impl Future<Output = Result<T, SdkError<E, HttpResponse>>>,
    ) -> Result<T, AwsError>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let Self { service, region, .. } = self;
        let admitted = match self.token.call() {
            Ok(admitted) => admitted,
            Err(shut) => return Err(AwsError::shut(*service, operation, region, shut.since)),
        };
        let span = spans::aws_call(service.0, operation, region);
        let (started, unended) = (Instant::now(), Unended::of(&span));
        let (answer, exchange) = wire::watched(send.instrument(span.clone())).await;
        unended.ended();
        let answer = answer.map_err(|error| AwsError::of(*service, operation, region, self.classify, &error));
        let took = started.elapsed();
        let learned = answer_of(*service, answer.as_ref().err());
        // Where it was another call that failed, the exchange was that one's.
        trace(&span, learned.is_some().then_some(&exchange), answer.as_ref().err());
        if let Some(answer) = learned {
            admitted.ended(answer);
        }
        let outcome = answer.as_ref().map_or_else(|error| error.class.name(), |_| "ok");
        self.observers.metrics.called(service.0, operation, region, outcome, took);
        let elapsed_ms = took.as_millis();
        match &answer {
            Ok(_) => {
                let request_id = exchange.request_id.as_deref();
                debug!(%service, region, operation, resource, elapsed_ms, request_id, "AWS call");
            }
            Err(error) => {
                debug!(%service, region, operation, resource, elapsed_ms, %error, "AWS call");
                self.observers.reachability.saw(error);
            }
        }
        answer
    }
}

/// Adds to its span what became of a call.
fn trace(span: &Span, exchange: Option<&Exchange>, error: Option<&AwsError>) {
    spans::add(span, || {
        let mut attributes = Vec::new();
        if let Some(Exchange { server, status, request_id, resent }) = exchange {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(*resent)));
            attributes.extend((!server.is_empty()).then(|| KeyValue::new("server.address", server.clone())));
            attributes.extend(status.map(|status| KeyValue::new("http.response.status_code", i64::from(status))));
            attributes.extend(request_id.clone().map(|id| KeyValue::new("aws.request_id", id)));
        }
        attributes.extend(error.map(|error| KeyValue::new("aws.error.code", error.code.clone())));
        attributes
    });
    if let Some(error) = error {
        spans::fail(span, error.class.name(), &error.to_string());
    }
}

/// What the flow of `service` learns of a call. `None`: nothing, since there were no credentials to call
/// with, and whatever failed was another call.
fn answer_of(service: Service, error: Option<&AwsError>) -> Option<Answer> {
    let Some(error) = error else { return Some(Answer::Given) };
    match error.class {
        _ if error.service != service || error.code == super::errors::NO_CREDENTIALS => None,
        _ if error.throttles_flow() => Some(Answer::Throttled(error.retry_after)),
        // A pause that is asked for is kept, whatever the reason.
        ErrorClass::Transient if error.retry_after.is_some() => Some(Answer::Throttled(error.retry_after)),
        ErrorClass::Unanswered => Some(Answer::Missed),
        _ => Some(Answer::Given),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_a_flow_learns_of_a_call() {
        let pause = Some(Duration::from_secs(7));
        let (given, missed) = (Some(Answer::Given), Some(Answer::Missed));
        for (service, class, code, retry_after, expected) in [
            ("sqs", ErrorClass::Throttle, "RequestThrottled", None, Some(Answer::Throttled(None))),
            ("sqs", ErrorClass::Throttle, "RequestThrottled", pause, Some(Answer::Throttled(pause))),
            ("sqs", ErrorClass::Throttle, "KmsThrottled", None, given),
            ("sqs", ErrorClass::Transient, "ServiceUnavailable", None, given),
            ("sqs", ErrorClass::Transient, "ServiceUnavailable", pause, Some(Answer::Throttled(pause))),
            ("sqs", ErrorClass::Unanswered, "Timeout", None, missed),
            ("sqs", ErrorClass::Denied, "AccessDenied", None, given),
            ("sqs", ErrorClass::Credentials, "ExpiredToken", None, given),
            ("sqs", ErrorClass::Credentials, super::super::errors::NO_CREDENTIALS, None, None),
            // The role could not be assumed: SQS was not called.
            ("sts", ErrorClass::Throttle, "Throttling", None, None),
            ("sts", ErrorClass::Unanswered, "Timeout", None, None),
            ("sts", ErrorClass::Credentials, "AccessDenied", None, None),
        ] {
            let error = AwsError {
                service: Service(service),
                operation: "GetQueueAttributes",
                region: "eu-west-1".into(),
                class,
                code: code.into(),
                message: String::new(),
                request_id: None,
                retry_after,
            };
            assert_eq!(answer_of(Service("sqs"), Some(&error)), expected, "{service} {code}");
        }
        assert_eq!(answer_of(Service("sqs"), None), given);
    }
}
