//! With whose credentials a call is made: the process's own, or those of a role that these assume.
//!
//! Roles are assumed through [`super::call::Regional`], as every call is made, so that it is logged,
//! classified and counted. The SDK's identity cache stands before it and keeps what it yields.

use std::{
    num::NonZeroU32,
    sync::Arc,
    time::{Duration, SystemTime},
};

use aws_credential_types::{
    Credentials,
    provider::{self, ProvideCredentials, error::CredentialsError, future},
};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use super::{
    Service,
    clients::Clients,
    errors::{AwsError, ErrorClass},
};

/// STS calls a second, of the whole process, in the long run and at once: far below the quotas of AWS.
const STS_RATE: NonZeroU32 = NonZeroU32::new(20).unwrap();
const STS_BURST: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// The longest wait for a role's credentials.
const ASSUME_WITHIN: Duration = Duration::from_secs(6);
/// The longest name that STS takes for a session.
const NAME_LIMIT: usize = 64;

/// With whose credentials a call is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Session {
    /// The process's own.
    Own,
    /// Those of a role.
    Role(Arc<Role>),
}

impl Session {
    /// Whose calls of STS it makes: the flow's account.
    pub(super) fn whom(&self) -> &str {
        match self {
            Self::Own => "default",
            Self::Role(role) => &role.arn,
        }
    }
}

/// A role, and how it is assumed. What differs in any of it is another session.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Role {
    /// The role's ARN.
    pub arn: String,
    /// What its trust policy may ask for.
    pub external_id: Option<String>,
    /// The session's name, as CloudTrail shows it.
    pub name: String,
    /// The session's tags, for the role's policies.
    pub tags: Vec<(String, String)>,
}

impl std::fmt::Debug for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Not the external id: it is shared between two parties, and is nobody else's business.
        f.debug_struct("Role").field("arn", &self.arn).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A session's name for `whom`, as STS takes it.
pub fn session_name(whom: &str) -> String {
    let fits = |c: &char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(*c);
    "fairlead-".chars().chain(whom.chars().filter(fits)).take(NAME_LIMIT).collect()
}

/// The cap on calls of STS: nobody waits for it, what is over it is refused.
#[derive(Debug)]
pub(super) struct StsLimit(DefaultDirectRateLimiter);

impl Default for StsLimit {
    fn default() -> Self {
        Self(RateLimiter::direct(Quota::per_second(STS_RATE).allow_burst(STS_BURST)))
    }
}

impl StsLimit {
    /// Lets one call pass.
    pub(super) fn pass(&self, operation: &'static str, region: &str) -> Result<(), AwsError> {
        self.0.check().map_err(|_| {
            let message = format!("Fairlead makes at most {STS_RATE} calls of STS a second");
            own_error(ErrorClass::Later(1), operation, region, "TooManyCalls", message)
        })
    }
}

/// An error of STS that did not come from AWS.
pub(super) fn own_error(
    class: ErrorClass,
    operation: &'static str,
    region: &str,
    code: &str,
    message: String,
) -> AwsError {
    let (region, code) = (region.to_owned(), code.to_owned());
    AwsError { service: Service("sts"), operation, region, class, code, message, request_id: None, retry_after: None }
}

/// Yields the credentials of a role.
#[derive(Debug)]
pub(super) struct AssumedRole {
    pub(super) clients: Clients,
    pub(super) role: Arc<Role>,
}

impl AssumedRole {
    fn unanswered(&self) -> AwsError {
        let (region, message) = (self.clients.sts_region(), "no answer in time".into());
        own_error(ErrorClass::Unanswered, "AssumeRole", region, "Timeout", message)
    }

    async fn assume(&self) -> provider::Result {
        let Role { arn, external_id, name, tags } = &*self.role;
        self.clients.may_call_sts("AssumeRole").map_err(CredentialsError::provider_error)?;
        let tags = tags.iter().map(|(key, value)| tag(key, value)).collect::<Result<Vec<_>, _>>();
        let tags = tags.map_err(CredentialsError::invalid_configuration)?;
        let sts = self.clients.sts(&Session::Own);
        let assume = |sts: &aws_sdk_sts::Client| {
            let call = sts.assume_role().role_arn(arn).role_session_name(name);
            call.set_external_id(external_id.clone()).set_tags((!tags.is_empty()).then(|| tags.clone())).send()
        };
        // Well within the time-out of the call that waits for it, or that one would seem not to be answered.
        let answer = tokio::time::timeout(ASSUME_WITHIN, sts.read("AssumeRole", arn, assume)).await;
        let answer = answer.map_err(|_| self.unanswered()).and_then(|answer| answer);
        let answer = answer.map_err(CredentialsError::provider_error)?;
        let given =
            answer.credentials().ok_or_else(|| CredentialsError::unhandled("AssumeRole gave no credentials"))?;
        let expiry = SystemTime::try_from(*given.expiration()).map_err(CredentialsError::unhandled)?;
        let token = Some(given.session_token().to_owned());
        Ok(Credentials::new(
            given.access_key_id(),
            given.secret_access_key(),
            token,
            Some(expiry),
            "FairleadAssumeRole",
        ))
    }
}

fn tag(key: &str, value: &str) -> Result<aws_sdk_sts::types::Tag, aws_sdk_sts::error::BuildError> {
    aws_sdk_sts::types::Tag::builder().key(key).value(value).build()
}

impl ProvideCredentials for AssumedRole {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.assume())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn session_names_are_what_sts_takes() {
        for (whom, name) in [("team-a", "fairlead-team-a"), ("a.b/c d", "fairlead-a.bcd"), ("", "fairlead-")] {
            assert_eq!(session_name(whom), name);
        }
        assert_eq!(session_name(&"x".repeat(253)).len(), 64);
    }

    #[test]
    fn calls_of_sts_are_capped_and_what_is_over_the_cap_comes_later() {
        let limit = StsLimit::default();
        let refused = (0..1_000).filter_map(|_| limit.pass("AssumeRole", "eu-west-1").err()).collect::<Vec<_>>();
        assert!(refused.len() > 800, "{}", refused.len());
        assert_eq!(refused[0].class, ErrorClass::Later(1));
        assert!(refused[0].to_string().contains("sts:AssumeRole in eu-west-1 failed: TooManyCalls"), "{}", refused[0]);
    }

    #[test]
    fn an_external_id_is_not_printed() {
        let role = Role { arn: "arn".into(), external_id: Some("SHARED".into()), name: "n".into(), tags: Vec::new() };
        assert!(!format!("{:?}", Session::Role(Arc::new(role))).contains("SHARED"));
    }
}
