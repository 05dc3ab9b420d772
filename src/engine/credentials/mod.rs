//! The password of a resource, and the Secret through which applications reach it.
//!
//! Two Secrets, two meanings: the **source**, which we generate or a user names, holds the password that is
//! wished; the **connection** Secret holds the one that AWS accepted last. Where they differ the password is
//! changed in AWS first, and published then. A generated password is in its source before the resource is
//! created, and changes only when somebody asks for it, or when both Secrets are gone.
//!
//! Which password AWS accepted last is told in the status by the source's version, together with which
//! resource accepted it: one that was restored under the same name has the password of its snapshot.
//!
//! - `source`: the wished password is made, kept, restored or read
//! - `published`: the connection Secret is written, and outlives its object or goes with it

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::{
    converge::Sight,
    faults::Fault,
    kind::{Kind, PasswordSource, Published},
    owned,
    password::Password,
    reconcile::Run,
    secrets::{SecretData, data_of},
};
use crate::{
    aws::identity::Identity,
    crd::{self, CONNECTION_OF, ROTATE_PASSWORD, spec::Connection, status::CredentialsStatus},
};

mod published;
mod source;

/// How long what was read is good, where nothing asks for another look.
const READ_EVERY: Duration = Duration::from_secs(5 * 60);
/// The status fields that are written here.
const CREDENTIALS: &str = "credentials";
const CONNECTION_SECRET: &str = "connectionSecret";

/// The Secrets of an object, as they were last read or written.
#[derive(Debug)]
pub struct Known {
    at: Instant,
    reason: Reason,
    /// The password that the resource is to have, and where it is kept.
    wished: Option<(Password, Source)>,
    /// The connection Secret of this object, if there is one.
    connection: Option<Connected>,
    /// The keys of that.
    given: Connection,
}

/// A connection Secret, as it was last read or written.
#[derive(Debug)]
struct Connected {
    name: String,
    data: SecretData,
    /// Whether it belongs to the object as it should.
    owned: bool,
}

/// What the Secrets were read for: another one is a reason to read them again.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Reason {
    generation: Option<i64>,
    annotations: [Option<String>; 2],
}

/// A Secret in a certain version.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Source {
    /// Its name.
    secret: String,
    /// Its resourceVersion.
    version: String,
}

impl Source {
    /// Whether the password in it is the one that was `accepted`.
    fn is_of(&self, accepted: &CredentialsStatus) -> bool {
        let Self { secret, version } = self;
        (secret, version) == (&accepted.secret, &accepted.version)
    }
}

impl<K: Kind> Run<'_, K> {
    /// Reads the Secrets, where they may not be as they were, and sees to the generated password.
    pub(super) async fn read_secrets(&mut self, spec: &K::Spec, exists: bool) -> Result<(), Fault> {
        if K::PUBLISHES != Published::Secret {
            return Ok(());
        }
        let annotation = |key| self.object.annotation(key).map(str::to_owned);
        let reason = Reason {
            generation: self.object.generation(),
            annotations: [annotation(ROTATE_PASSWORD), annotation(crd::RECONCILE_AT)],
        };
        let fresh = |known: &Known| known.reason == reason && known.at.elapsed() < READ_EVERY;
        if self.memory.secrets.as_ref().is_some_and(fresh) {
            return Ok(());
        }
        let common = K::common(spec);
        let name = self.connection_name(common);
        let connection = match &name {
            Some(name) => self.controller.context.secrets.read(&self.key.namespace, name).await?,
            None => None,
        };
        let ours = connection.filter(|secret| owned::is_of(&secret.metadata, CONNECTION_OF, &self.object));
        let given = common.connection.clone().unwrap_or_default();
        let data = ours.as_ref().map(data_of).unwrap_or_default();
        let connected = data.get(given.key(K::PASSWORD_KEY)).filter(|password| !password.expose().is_empty()).cloned();
        let wished = match K::password(spec, &self.key.name) {
            PasswordSource::None | PasswordSource::Managed => None,
            PasswordSource::Referenced { secret, key, field } => {
                Some(self.referenced(spec, &secret, &key, field).await?)
            }
            PasswordSource::Generated { secret, field } => {
                let exists = exists || ours.is_some();
                let (password, source) = self.generated(&secret, field, connected.as_ref(), exists).await?;
                // Somebody may have edited it.
                source::check::<K>(spec, &password, field, &secret)?;
                Some((password, source))
            }
        };
        let metadata = owned::metadata(&self.object, "", CONNECTION_OF);
        let owned = |secret: &Secret| owned::difference(&secret.metadata, &metadata).is_none();
        let connection = ours.and_then(|secret| Some(Connected { name: name?, data, owned: owned(&secret) }));
        self.memory.secrets = Some(Known { at: Instant::now(), reason, wished, connection, given });
        Ok(())
    }

    /// Whether a connection Secret says that the resource has been there.
    pub(super) fn was_published(&self) -> bool {
        self.memory.secrets.as_ref().is_some_and(|known| known.connection.is_some())
    }

    /// The password that the resource is to have.
    pub(super) fn wished_password(&self) -> Option<&Password> {
        Some(&self.memory.secrets.as_ref()?.wished.as_ref()?.0)
    }

    /// Whether AWS has that password. Where only the connection Secret says so, it is noted: one that was edited
    /// by hand is not what was published, and says nothing.
    pub(super) fn has_password(&mut self, identity: &Identity, sight: &Sight<K>, desired: &K::Desired) -> bool {
        let Sight { handle, observed, .. } = sight;
        let Some(Known { wished, connection, given, .. }) = &self.memory.secrets else { return true };
        let Some((wished, source)) = wished else {
            // It is AWS's own by now: were ours wished again, AWS would not have it.
            self.note(Value::Null);
            return true;
        };
        if K::keeps_own_password(observed) {
            return false;
        }
        let Some(accepted) = self.accepted() else { return false };
        let same = accepted.resource.as_deref() == K::incarnation(observed);
        let published = |Connected { data, .. }: &Connected| {
            let wished = K::connection(identity, handle, observed, desired, Some(wished));
            wished.is_some_and(|wished| renamed(wished, given) == *data)
        };
        let known = source.is_of(&accepted) || connection.as_ref().is_some_and(published);
        if same && known {
            self.accept(observed);
        }
        same && known
    }

    /// Notes that AWS has the wished password.
    pub(super) fn accept(&mut self, observed: &K::Observed) {
        let wished = self.memory.secrets.as_ref().and_then(|known| known.wished.as_ref());
        let resource = K::incarnation(observed).map(str::to_owned);
        let accepted = wished.map(|(_, Source { secret, version })| CredentialsStatus {
            secret: secret.clone(),
            version: version.clone(),
            resource,
        });
        self.note(json!(accepted));
    }

    /// Has the status tell no longer that AWS has a certain password. Whether it told so.
    pub(super) fn doubt_password(&mut self) -> bool {
        self.note(Value::Null);
        self.object.status().contains_key(CREDENTIALS)
    }

    /// Has the status tell which password AWS accepted last, until it does.
    fn note(&mut self, accepted: Value) {
        if self.object.status().get(CREDENTIALS) != Some(&accepted).filter(|accepted| !accepted.is_null()) {
            self.told.insert(CREDENTIALS.into(), accepted.clone());
        }
        self.memory.accepted = Some(accepted);
    }

    /// What the status says, or will say.
    fn accepted(&self) -> Option<CredentialsStatus> {
        let status = self.object.status();
        let told = self.memory.accepted.as_ref().or_else(|| status.get(CREDENTIALS))?;
        serde_json::from_value(told.clone()).ok()
    }
}

/// What is published of a resource that was seen.
impl<K: Kind> Run<'_, K> {
    /// What applications need to reach it, with the password where AWS has it.
    pub(super) fn connection(
        &mut self,
        identity: &Identity,
        sight: &Sight<K>,
        desired: &K::Desired,
    ) -> Option<BTreeMap<String, String>> {
        let has = self.has_password(identity, sight, desired);
        let password = if has { self.wished_password() } else { None };
        K::connection(identity, &sight.handle, &sight.observed, desired, password)
    }
}

/// What is published, under the keys that the spec gives it.
fn renamed(data: BTreeMap<String, String>, given: &Connection) -> SecretData {
    data.into_iter().map(|(key, value)| (given.key(&key).to_owned(), value.into())).collect()
}

fn taken(field: &str, name: &str) -> Fault {
    Fault::ConnectionConflict(format!(
        "spec.{field}: the Secret {name} exists and is not this object's; set another name there"
    ))
}
