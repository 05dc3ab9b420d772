//! Clients by session, service and region, over one HTTP client for the process.
//!
//! A client is made on its first use and forgotten when it is idle. Sessions and clients are bounded:
//! one that was forgotten costs a call of STS, or a little work, when it is needed again.

use std::{
    any::{Any, TypeId},
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use aws_config::{
    BehaviorVersion, Region, SdkConfig, identity::IdentityCache, retry::RetryConfig, timeout::TimeoutConfig,
};
use aws_credential_types::provider::{ProvideCredentials as _, SharedCredentialsProvider, error::CredentialsError};
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::{
    Service,
    account::{Gate, Reachability},
    call::{Observers, Regional},
    errors::{AwsError, Classify, causes},
    pool::Pool,
    session::{AssumedRole, Session, StsLimit},
    wire::Watched,
};
use crate::queue::{flow::Flow, token::FlowToken};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const READ_TIMEOUT: Duration = Duration::from_secs(10);
/// One attempt is the whole operation: the queue retries, not the SDK.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);

/// How long a session or client is kept without being used.
const IDLE: Duration = Duration::from_secs(15 * 60);
const MAX_SESSIONS: usize = 500;
const MAX_CLIENTS: usize = 500;
/// How often, at most, a session is begun anew after AWS refused its credentials.
const RENEW: Duration = Duration::from_secs(60);

const STS: Service = Service("sts");

type ClientKey = (u64, TypeId, String);

/// Gives the right to call in a flow to those who are not run by the queue.
pub type Tokens = Arc<dyn Fn(Flow) -> FlowToken + Send + Sync>;

/// Clients of every account, by region.
#[derive(Clone)]
pub struct Clients(Arc<Inner>);

struct Inner {
    /// What the environment says, of which every session's configuration is made.
    config: SdkConfig,
    gate: Gate,
    observers: Observers,
    tokens: Tokens,
    sts_limit: StsLimit,
    sessions: Mutex<Pool<Session, Arc<Begun>>>,
    clients: Mutex<Pool<ClientKey, Arc<dyn Any + Send + Sync>>>,
}

/// A session with its credentials. One that is begun anew has another number, and clients of its own.
struct Begun {
    number: u64,
    at: Instant,
    config: SdkConfig,
    reachability: Reachability,
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients").finish_non_exhaustive()
    }
}

impl Clients {
    /// Clients with what the environment says (credentials, endpoints, FIPS, dual stack).
    /// `region` overrides the environment's; `gate` says whether its credentials may be used, and `tokens`
    /// give the right to call STS.
    pub async fn from_env(region: Option<String>, gate: Gate, observers: Observers, tokens: Tokens) -> Self {
        let http =
            aws_smithy_http_client::Builder::new().tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .operation_attempt_timeout(OPERATION_TIMEOUT)
            .operation_timeout(OPERATION_TIMEOUT)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .http_client(SharedHttpClient::new(Watched(http)))
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts);
        if let Some(region) = region {
            loader = loader.region(Region::new(region));
        }
        Self::new(loader.load().await, gate, observers, tokens)
    }

    fn new(config: SdkConfig, gate: Gate, observers: Observers, tokens: Tokens) -> Self {
        Self(Arc::new(Inner {
            config,
            gate,
            observers,
            tokens,
            sts_limit: StsLimit::default(),
            sessions: Mutex::new(Pool::new(MAX_SESSIONS, IDLE)),
            clients: Mutex::new(Pool::new(MAX_CLIENTS, IDLE)),
        }))
    }

    /// The region for objects that name none.
    pub fn default_region(&self) -> Option<&str> {
        self.0.config.region().map(AsRef::as_ref).filter(|region: &&str| !region.is_empty())
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
        let provider = self.0.config.credentials_provider().ok_or("no credentials provider is configured")?;
        match provider.provide_credentials().await {
            Ok(_) => Ok(()),
            Err(CredentialsError::CredentialsNotLoaded(_)) => {
                Err("there are none in variables, a profile, or a role of the pod, container or instance".into())
            }
            Err(error) => Err(format!("{error}: {}", causes(&error)).trim_end_matches(": ").to_owned()),
        }
    }

    /// `service` in `region` with the credentials of `session`, through the client that `make` builds
    /// on the first use, by the right of `token`.
    pub fn regional<C: Clone + Send + Sync + 'static>(
        &self,
        session: &Session,
        service: Service,
        region: &str,
        make: fn(&SdkConfig) -> C,
        classify: Classify,
        token: FlowToken,
    ) -> Regional<C> {
        let now = Instant::now();
        let session = self.begun(session, now);
        let build = || make(&session.config.to_builder().region(Region::new(region.to_owned())).build());
        let key = (session.number, TypeId::of::<C>(), region.to_owned());
        let client = lock(&self.0.clients).get(&key, now, |_| true, || Arc::new(build()));
        // The key holds the type, so the cast holds; were it not to, a fresh client serves as well.
        let client = client.downcast_ref::<C>().cloned().unwrap_or_else(build);
        let observers = Observers { reachability: session.reachability.clone(), ..self.0.observers.clone() };
        Regional::new(service, region.to_owned(), client, classify, token, observers)
    }

    /// The account that `session` is of, asked of AWS now.
    ///
    /// # Errors
    /// The call's error.
    pub async fn identify(&self, session: &Session) -> Result<String, AwsError> {
        // The process's own is asked once a minute: whether AWS answers must not depend on how much is asked.
        if *session != Session::Own {
            self.0.sts_limit.pass("GetCallerIdentity", self.sts_region())?;
        }
        let sts = self.sts(session);
        let answer = sts.read("GetCallerIdentity", "", |sts| sts.get_caller_identity().send()).await?;
        Ok(answer.account().unwrap_or_default().to_owned())
    }

    /// STS in the default region.
    pub(super) fn sts(&self, session: &Session) -> Regional<aws_sdk_sts::Client> {
        let token = (self.0.tokens)(Flow::new(session.whom(), self.sts_region(), STS));
        self.regional(session, STS, self.sts_region(), aws_sdk_sts::Client::new, |_, _| None, token)
    }

    /// Whether STS may be asked for a role now, with the process's own credentials.
    pub(super) fn may_call_sts(&self, operation: &'static str) -> Result<(), AwsError> {
        self.0.gate.pass(operation, self.sts_region())?;
        self.0.sts_limit.pass(operation, self.sts_region())
    }

    /// What says whether the process's own credentials may be used.
    pub(super) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    pub(super) fn sts_region(&self) -> &str {
        self.default_region().unwrap_or("us-east-1")
    }

    fn begun(&self, session: &Session, now: Instant) -> Arc<Begun> {
        let good = |begun: &Arc<Begun>| !begun.reachability.is_doubtful() || now.duration_since(begun.at) < RENEW;
        lock(&self.0.sessions).get(session, now, good, || Arc::new(self.begin(session, now)))
    }

    fn begin(&self, session: &Session, now: Instant) -> Begun {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let cache = IdentityCache::lazy().load_timeout(OPERATION_TIMEOUT).build();
        let config = self.0.config.to_builder().identity_cache(cache);
        let (config, reachability) = match session {
            Session::Own => (config, self.0.observers.reachability.renewed()),
            Session::Role(role) => {
                let provider = AssumedRole { clients: self.clone(), role: role.clone() };
                (config.credentials_provider(SharedCredentialsProvider::new(provider)), Reachability::unheard())
            }
        };
        Begun { number: NEXT.fetch_add(1, Ordering::Relaxed), at: now, config: config.build(), reachability }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{aws::session::Role, telemetry::metrics::Metrics};

    fn clients() -> Clients {
        let config = SdkConfig::builder()
            .behavior_version(BehaviorVersion::v2026_01_12())
            .region(Region::new("eu-west-1"))
            .endpoint_url("http://127.0.0.1:1")
            .use_fips(true)
            .use_dual_stack(true)
            .retry_config(RetryConfig::disabled())
            .build();
        let tokens: Tokens = Arc::new(|flow| FlowToken::new(flow, 0, None, Arc::new(|_, _| ())));
        let observers = Observers { reachability: Reachability::default(), metrics: Metrics::default() };
        Clients::new(config, Gate::new(None), observers, tokens)
    }

    fn role(arn: &str) -> Session {
        let (arn, name) = (arn.to_owned(), "fairlead-test".to_owned());
        Session::Role(Arc::new(Role { arn, external_id: None, name, tags: Vec::new() }))
    }

    #[test]
    fn every_session_calls_as_the_environment_says() {
        let clients = clients();
        for session in [Session::Own, role("arn:aws:iam::111122223333:role/a")] {
            let begun = clients.begun(&session, Instant::now());
            let config = &begun.config;
            assert_eq!((config.use_fips(), config.use_dual_stack()), (Some(true), Some(true)), "{session:?}");
            assert_eq!(config.endpoint_url(), Some("http://127.0.0.1:1"), "{session:?}");
            assert_eq!(config.retry_config().map(RetryConfig::max_attempts), Some(1), "{session:?}");
        }
    }

    #[test]
    fn a_session_is_begun_once_and_anew_at_most_once_a_minute_after_its_credentials_were_refused() {
        let clients = clients();
        let (one, other) = (role("arn:aws:iam::111122223333:role/a"), role("arn:aws:iam::111122223333:role/b"));
        let start = Instant::now();
        let at = |session: &Session, second: u64| clients.begun(session, start + Duration::from_secs(second));
        let first = at(&one, 0);
        assert_eq!(at(&one, 500).number, first.number);
        assert_ne!(at(&other, 500).number, first.number);
        let denied = super::super::session::own_error(
            crate::aws::errors::ErrorClass::Credentials,
            "AssumeRole",
            "eu-west-1",
            "ExpiredToken",
            String::new(),
        );
        first.reachability.saw(&denied);
        let second = at(&one, 501);
        assert_ne!(second.number, first.number);
        second.reachability.saw(&denied);
        assert_eq!(at(&one, 560).number, second.number, "not twice in a minute");
        assert_ne!(at(&one, 562).number, second.number);
    }
}
