//! STS and who is calling: access keys, roles, temporary credentials.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::jiff::Timestamp;

use super::refusal::Refusal;
use super::server::Asking;

/// A role that can be assumed. Trust policies are not looked at, but for the external id.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoleSettings {
    /// What those who assume the role have to say.
    pub external_id: Option<String>,
    /// How long its credentials last; by default as long as was asked for, or an hour.
    pub lifetime: Option<Duration>,
}

/// Temporary credentials that were handed out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Session {
    /// The role.
    pub role_arn: String,
    /// As the caller named it.
    pub name: String,
    /// The account of the caller who assumed the role.
    pub by: String,
    /// As the caller said it.
    pub external_id: Option<String>,
    /// The session's tags.
    pub tags: BTreeMap<String, String>,
    /// The key that acts in the role's account.
    pub access_key: String,
    /// By the fake's clock, since its start.
    pub expires: Duration,
}

/// Who a call's access key stands for.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) account: String,
    arn: String,
    id: String,
    /// Why the key is not taken.
    pub(super) refused: Option<Refusal>,
}

#[derive(Debug, Default)]
pub(super) struct Sts {
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// By ARN.
    roles: HashMap<String, RoleSettings>,
    /// As they were handed out; a session's place is in its access key.
    sessions: Vec<Session>,
}

/// The account of keys that say nothing.
const NOBODY: &str = "000000000000";
const TEMPORARY: &str = "ASIAFAKE";
const HOUR: u64 = 3_600;

impl Sts {
    /// Registers a role, or changes it.
    pub(super) fn role(&self, arn: &str, settings: RoleSettings) -> Result<()> {
        account_of(arn).with_context(|| format!("not a role's ARN: {arn}"))?;
        self.inner().roles.insert(arn.to_owned(), settings);
        Ok(())
    }

    /// Forgets a role: its credentials are not taken any more either.
    pub(super) fn revoke(&self, arn: &str) {
        self.inner().roles.remove(arn);
    }

    pub(super) fn sessions(&self) -> Vec<Session> {
        self.inner().sessions.clone()
    }

    /// Who calls.
    pub(super) fn identify(&self, access_key: &str, token: &str, region: &str, now: Duration) -> Caller {
        if let Some(number) = access_key.strip_prefix(TEMPORARY) {
            let inner = self.inner();
            let session = number.parse().ok().and_then(|number: usize| inner.sessions.get(number));
            if let Some(session) = session {
                return inner.assumed(session, token, now);
            }
        }
        let is_account = access_key.len() == 12 && access_key.bytes().all(|byte| byte.is_ascii_digit());
        let account = if is_account { access_key } else { NOBODY };
        Caller {
            account: account.to_owned(),
            arn: format!("arn:{}:iam::{account}:root", super::partition(region)),
            id: account.to_owned(),
            refused: access_key
                .is_empty()
                .then(|| Refusal::denied("MissingAuthenticationToken", "Request is missing Authentication Token")),
        }
    }

    /// Does what a call asks; answers the XML of its answer.
    pub(super) fn call(&self, caller: &Caller, asking: &Asking<'_>) -> Result<String, Refusal> {
        match asking.operation {
            "GetCallerIdentity" => {
                let Caller { account, arn, id, refused: _ } = caller;
                Ok(answer(asking, &format!("<Arn>{arn}</Arn><UserId>{id}</UserId><Account>{account}</Account>")))
            }
            "AssumeRole" => self.assume(caller, asking),
            other => Err(Refusal::bad("InvalidAction", format!("Could not find operation {other}"))),
        }
    }

    fn assume(&self, caller: &Caller, asking: &Asking<'_>) -> Result<String, Refusal> {
        let text = |name| asking.text(name).ok_or_else(|| missing(name));
        let (role_arn, name) = (text("RoleArn")?, text("RoleSessionName")?);
        let external_id = asking.text("ExternalId");
        let mut inner = self.inner();
        let settings = inner.roles.get(role_arn);
        let settings = settings.filter(|role| role.external_id.is_none() || role.external_id.as_deref() == external_id);
        let Some(settings) = settings else {
            let message =
                format!("User: {} is not authorized to perform: sts:AssumeRole on resource: {role_arn}", caller.arn);
            return Err(Refusal::denied("AccessDenied", message));
        };
        let asked = asking.text("DurationSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(HOUR);
        let expires = asking.now + settings.lifetime.unwrap_or(Duration::from_secs(asked));
        let session = Session {
            role_arn: role_arn.to_owned(),
            name: name.to_owned(),
            by: caller.account.clone(),
            external_id: external_id.map(str::to_owned),
            tags: tags(asking),
            access_key: format!("{TEMPORARY}{:012}", inner.sessions.len()),
            expires,
        };
        let body = credentials(&session, asking.unix(expires));
        inner.sessions.push(session);
        Ok(answer(asking, &body))
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn assumed(&self, session: &Session, token: &str, now: Duration) -> Caller {
        let known = self.roles.contains_key(&session.role_arn) && token == session_token(&session.access_key);
        let refused = if !known {
            let message = "The security token included in the request is invalid.";
            Some(Refusal::denied("InvalidClientTokenId", message))
        } else if now >= session.expires {
            Some(Refusal::expired())
        } else {
            None
        };
        Caller {
            account: account_of(&session.role_arn).unwrap_or(NOBODY).to_owned(),
            arn: session_arn(session),
            id: format!("AROAFAKE:{}", session.name),
            refused,
        }
    }
}

/// Of `arn:aws:iam::123456789012:role/name`.
fn account_of(role_arn: &str) -> Option<&str> {
    let mut parts = role_arn.splitn(6, ':').skip(4);
    let (account, role) = (parts.next()?, parts.next()?);
    (account.len() == 12 && role.starts_with("role/")).then_some(account)
}

/// `arn:aws:sts::123456789012:assumed-role/name/session`: the role's path is not in it.
fn session_arn(session: &Session) -> String {
    let partition = session.role_arn.split(':').nth(1).unwrap_or("aws");
    let account = account_of(&session.role_arn).unwrap_or(NOBODY);
    let role = session.role_arn.rsplit('/').next().unwrap_or_default();
    format!("arn:{partition}:sts::{account}:assumed-role/{role}/{}", session.name)
}

fn session_token(access_key: &str) -> String {
    format!("token-of-{access_key}")
}

/// `Tags.member.1.Key` and `Tags.member.1.Value`, from 1 on.
fn tags(asking: &Asking<'_>) -> BTreeMap<String, String> {
    let pairs = (1..).map_while(|n| {
        let key = asking.text(&format!("Tags.member.{n}.Key"))?;
        let value = asking.text(&format!("Tags.member.{n}.Value")).unwrap_or_default();
        Some((key.to_owned(), value.to_owned()))
    });
    pairs.collect()
}

fn credentials(session: &Session, expires: Duration) -> String {
    let seconds = i64::try_from(expires.as_secs()).unwrap_or(i64::MAX);
    let expires = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
    let (key, token) = (&session.access_key, session_token(&session.access_key));
    format!(
        "<Credentials><AccessKeyId>{key}</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>\
         <SessionToken>{token}</SessionToken><Expiration>{expires}</Expiration></Credentials>\
         <AssumedRoleUser><AssumedRoleId>AROAFAKE:{name}</AssumedRoleId><Arn>{arn}</Arn></AssumedRoleUser>",
        name = session.name,
        arn = session_arn(session),
    )
}

/// The query protocol's wrapping.
fn answer(asking: &Asking<'_>, result: &str) -> String {
    let operation = asking.operation;
    format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
         <{operation}Result>{result}</{operation}Result></{operation}Response>"
    )
}

fn missing(parameter: &str) -> Refusal {
    Refusal::bad("ValidationError", format!("1 validation error detected: {parameter} must not be null"))
}
