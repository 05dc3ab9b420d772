//! Clients by region, over one HTTP client and one credentials provider for the process.

use std::{
    any::{Any, TypeId},
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_config::{BehaviorVersion, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_credential_types::provider::{ProvideCredentials as _, error::CredentialsError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::{
    Service,
    call::{Observers, Regional},
    errors::{Classify, causes},
};
use crate::queue::{flow::Flow, token::FlowToken};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// One attempt is the whole operation: the queue retries, not the SDK.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

const STS: Service = Service("sts");

type ClientsByTypeAndRegion = HashMap<(TypeId, String), Box<dyn Any + Send + Sync>>;

/// Clients of the process's own account, by region.
#[derive(Clone, Debug)]
pub struct Clients {
    config: SdkConfig,
    observers: Observers,
    clients: Arc<Mutex<ClientsByTypeAndRegion>>,
}

impl Clients {
    /// Clients with what the environment says (credentials, endpoints, FIPS, dual stack).
    /// `region` overrides the environment's.
    pub async fn from_env(region: Option<String>, observers: Observers) -> Self {
        let http: SharedHttpClient =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(OPERATION_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(http)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        Self { config: loader.load().await, observers, clients: Arc::default() }
    }

    /// The region for objects that name none.
    pub fn default_region(&self) -> Option<&str> {
        self.config.region().map(AsRef::as_ref).filter(|region: &&str| !region.is_empty())
    }

    /// An endpoint variable that is set to nothing, which the SDK takes for an endpoint.
    pub fn empty_endpoint() -> Option<String> {
        let empty = std::env::vars_os().filter(|(_, value)| value.is_empty());
        empty.filter_map(|(name, _)| name.into_string().ok()).find(|name| name.starts_with("AWS_ENDPOINT_URL"))
    }

    /// Whether the credentials chain yields credentials.
    ///
    /// # Errors
    /// Why not, as one line.
    pub async fn check_credentials(&self) -> Result<(), String> {
        let provider = self.config.credentials_provider().ok_or("no credentials provider is configured")?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(CredentialsError::CredentialsNotLoaded(_)) => {
                Err("there are none in variables, a profile, or a role of the pod, container or instance".into())
            }
            Err(error) => Err(format!("{error}: {}", causes(&error)).trim_end_matches(": ").to_owned()),
        }
    }

    /// `service` in `region`, through the client that `make` builds on the first use.
    pub fn regional<C: Clone + Send + Sync + 'static>(
        &self,
        service: Service,
        region: &str,
        make: fn(&SdkConfig) -> C,
        classify: Classify,
        token: FlowToken,
    ) -> Regional<C> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        let client = clients.entry((TypeId::of::<C>(), region.to_owned())).or_insert_with(|| {
            let config = self.config.to_builder().region(Region::new(region.to_owned())).build();
            Box::new(make(&config))
        });
        // The key holds the type, so the cast holds; were it not to, a fresh client serves as well.
        let client = client.downcast_ref::<C>().cloned().unwrap_or_else(|| make(&self.config));
        Regional::new(service, region.to_owned(), client, classify, token, self.observers.clone())
    }

    /// STS in the default region. `token` gives the right to call in a flow.
    pub(super) fn sts(&self, token: impl Fn(Flow) -> FlowToken) -> Regional<aws_sdk_sts::Client> {
        let region = self.default_region().unwrap_or("us-east-1");
        let token = token(Flow::new("default", region, STS));
        self.regional(STS, region, aws_sdk_sts::Client::new, |_, _| None, token)
    }
}
