//! The one way to call AWS. A kind never holds an SDK client: it hands a closure to [`Regional`],
//! which gives the client to it, and classifies and logs what comes back. A mutating call takes
//! the replica's [`Permit`].

use std::{future::Future, time::Instant};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use tracing::debug;

use super::{
    Service,
    account::Reachability,
    errors::{AwsError, Classify},
};
use crate::shard::Permit;

/// A service of one region, with the client `C`.
#[derive(Clone, Debug)]
pub struct Regional<C> {
    service: Service,
    region: String,
    client: C,
    classify: Classify,
    reachability: Reachability,
}

impl<C> Regional<C> {
    /// The service in `region`, called through `client`.
    pub(super) fn new(
        service: Service,
        region: String,
        client: C,
        classify: Classify,
        reachability: Reachability,
    ) -> Self {
        Self { service, region, client, classify, reachability }
    }

    /// A call that changes nothing. `resource` names what it is about, for the log.
    ///
    /// # Errors
    /// The classified error of the call.
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
        self.call(operation, resource, send(&self.client)).await
    }

    /// A call that may change something in AWS.
    ///
    /// # Errors
    /// The classified error of the call. One of class `Transient` may have had its effect.
    pub async fn mutate<'a, T, E, F>(
        &'a self,
        _permit: &Permit,
        operation: &'static str,
        resource: &str,
        send: impl FnOnce(&'a C) -> F,
    ) -> Result<T, AwsError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        self.call(operation, resource, send(&self.client)).await
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
        let started = Instant::now();
        let answer =
            send.await.map_err(|error| AwsError::of(self.service, operation, &self.region, self.classify, &error));
        let Self { service, region, .. } = self;
        let elapsed_ms = started.elapsed().as_millis();
        match &answer {
            Ok(_) => debug!(%service, region, operation, resource, elapsed_ms, "AWS call"),
            Err(error) => {
                debug!(%service, region, operation, resource, elapsed_ms, %error, "AWS call");
                self.reachability.saw(error);
            }
        }
        answer
    }
}
