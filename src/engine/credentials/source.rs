//! Where the wished password comes from: our own Secret, in which it is made, kept and restored, or somebody else's.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Map, Value, json};

use super::{
    super::{
        events::Happening,
        faults::Fault,
        kind::Kind,
        objects::KubeError,
        owned,
        password::Password,
        reconcile::Run,
        secrets::{SecretData, data_of},
    },
    CONNECTION_SECRET, CREDENTIALS, Source, taken,
};
use crate::crd::{CONNECTION_OF, PASSWORD_OF, ROTATE_PASSWORD};

/// The key of a generated password in its Secret.
const PASSWORD: &str = "password";

/// A generated password's source, as it was found.
#[derive(Debug, Default)]
struct Kept {
    password: Option<Password>,
    /// The last wish for another password that was granted.
    rotation: Option<String>,
}

/// What is to be done about a generated password.
#[derive(Debug, PartialEq)]
enum Step {
    /// It stays.
    Keep(Password),
    /// It was lost, and is still in the connection Secret.
    Restore(Password),
    /// There is none yet.
    Generate,
    /// Both Secrets have lost it.
    Replace,
    /// Somebody wishes another one.
    Rotate,
}

/// What is to be done about a generated password, where its source is `kept`, the connection Secret has
/// `connected`, the annotation says `wish`, and the resource does or does not exist.
fn step(kept: Option<Kept>, connected: Option<&Password>, wish: Option<&str>, exists: bool) -> Step {
    match (kept.unwrap_or_default(), connected) {
        (Kept { password: Some(_), rotation }, _) if wish.is_some() && rotation.as_deref() != wish => Step::Rotate,
        (Kept { password: Some(password), .. }, _) => Step::Keep(password),
        (Kept { password: None, .. }, Some(password)) => Step::Restore(password.clone()),
        (Kept { password: None, .. }, None) if exists => Step::Replace,
        (Kept { password: None, .. }, None) => Step::Generate,
    }
}

impl<K: Kind> Run<'_, K> {
    /// Whether the status tells of a password or of a connection Secret.
    fn was_told(&self) -> bool {
        let status = self.object.status();
        self.was_published() || status.contains_key(CREDENTIALS) || status.contains_key(CONNECTION_SECRET)
    }

    /// The password in Secrets that the spec names no longer, and the status does: all but `name`.
    async fn password_elsewhere(&self, name: &str) -> Result<Option<Password>, Fault> {
        let status = self.object.status();
        let source = status.get(CREDENTIALS).and_then(|credentials| credentials.get("secret")?.as_str());
        let connection = status.get(CONNECTION_SECRET).and_then(Value::as_str);
        for (told, annotation, key) in [(source, PASSWORD_OF, PASSWORD), (connection, CONNECTION_OF, K::PASSWORD_KEY)] {
            let Some(told) = told.filter(|told| *told != name) else { continue };
            let found = self.controller.context.secrets.read(&self.key.namespace, told).await?;
            let found = found.filter(|secret| owned::is_of(&secret.metadata, annotation, &self.object));
            if let Some(password) = found.and_then(|secret| data_of(&secret).remove(key)) {
                return Ok(Some(password));
            }
        }
        Ok(None)
    }

    pub(super) async fn referenced(
        &self,
        spec: &K::Spec,
        secret: &str,
        key: &str,
        field: &str,
    ) -> Result<(Password, Source), Fault> {
        let found = self.controller.context.secrets.read(&self.key.namespace, secret).await?;
        let waiting = |problem: &str| Fault::Waiting(format!("spec.{field}: the Secret {secret} {problem}"));
        let found = found.ok_or_else(|| waiting("is not there: create it, with the password"))?;
        let password = data_of(&found).remove(key);
        let password = password.ok_or_else(|| waiting(&format!("has no key {key} with text: add it")))?;
        check::<K>(spec, &password, field, secret)?;
        Ok((password, source_of(&found)))
    }

    pub(super) async fn generated(
        &mut self,
        name: &str,
        field: &str,
        connected: Option<&Password>,
        exists: bool,
    ) -> Result<(Password, Source), Fault> {
        let secrets = self.controller.context.secrets.clone();
        let current = secrets.read(&self.key.namespace, name).await?;
        if current.as_ref().is_some_and(|secret| !owned::is_of(&secret.metadata, PASSWORD_OF, &self.object)) {
            return Err(taken(field, name));
        }
        let wish = self.object.annotation(ROTATE_PASSWORD).map(str::to_owned);
        let kept = current.as_ref().map(|secret| Kept {
            password: data_of(secret).remove(PASSWORD).filter(|password| !password.expose().is_empty()),
            rotation: secret.metadata.annotations.as_ref().and_then(|all| all.get(ROTATE_PASSWORD)).cloned(),
        });
        let elsewhere = match (&kept, connected) {
            (Some(Kept { password: Some(_), .. }), _) | (_, Some(_)) => None,
            _ => self.password_elsewhere(name).await?,
        };
        let known = exists && (self.was_told() || current.is_some());
        let (password, news) = match step(kept, connected.or(elsewhere.as_ref()), wish.as_deref(), known) {
            Step::Keep(password) => (password, None),
            Step::Restore(password) => {
                let note = format!(
                    "the Secret {name} had lost the password: it was restored from another Secret of this object"
                );
                (password, Some(Happening::normal("PasswordRestored", note)))
            }
            Step::Generate => (generate()?, None),
            Step::Replace => {
                let note = format!("all Secrets had lost the password: a new one is in {name}, and goes to AWS next");
                (generate()?, Some(Happening::warning("PasswordReplaced", note)))
            }
            Step::Rotate => {
                let note = format!("a new password was asked for: it is in the Secret {name}, and goes to AWS next");
                (generate()?, Some(Happening::normal("PasswordRotated", note)))
            }
        };
        let data = SecretData::from([(PASSWORD.to_owned(), password.clone())]);
        let rotation: BTreeMap<_, _> = wish.map(|wish| (ROTATE_PASSWORD.to_owned(), wish)).into_iter().collect();
        let written = match current {
            None => {
                self.confirm().await?; // reads Kubernetes, once a leadership
                secrets.create(&self.permit, &self.object, name, PASSWORD_OF, rotation, &data).await?
            }
            Some(current) => {
                let metadata = owned::metadata(&self.object, name, PASSWORD_OF);
                let mut metadata = owned::difference(&current.metadata, &metadata);
                if let Some((key, wish)) = rotation.first_key_value()
                    && current.metadata.annotations.as_ref().and_then(|all| all.get(key)) != Some(wish)
                {
                    metadata.get_or_insert_with(Map::new).insert("annotations".into(), json!(rotation));
                }
                if metadata.is_some() || news.is_some() {
                    self.confirm().await?; // reads Kubernetes, once a leadership
                }
                secrets.mend(&self.permit, &current, metadata, &data, false).await?.unwrap_or(current)
            }
        };
        self.happened.extend(news);
        Ok((password, source_of(&written)))
    }
}

/// Makes sure that AWS would take a password, which is in a `secret` that a `field` names.
pub(super) fn check<K: Kind>(spec: &K::Spec, password: &Password, field: &str, secret: &str) -> Result<(), Fault> {
    let told =
        |problem| Fault::InvalidPassword(format!("spec.{field}: the password in the Secret {secret}: {problem}"));
    K::check_password(spec, password).map_err(told)
}

fn generate() -> Result<Password, Fault> {
    Password::generate().map_err(|error| KubeError::Other(format!("no random numbers: {error}")).into())
}

fn source_of(secret: &Secret) -> Source {
    let text = |text: &Option<String>| text.clone().unwrap_or_default();
    Source { secret: text(&secret.metadata.name), version: text(&secret.metadata.resource_version) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_password_changes_only_when_it_was_asked_for_or_is_lost() {
        let password = |text: &str| Password::from(text.to_owned());
        let kept = |text: Option<&str>, rotation: Option<&str>| {
            Some(Kept { password: text.map(password), rotation: rotation.map(str::to_owned) })
        };
        for (source, connected, wish, exists, expected) in [
            (None, None, None, false, Step::Generate),
            (None, None, Some("1"), false, Step::Generate),
            (None, None, None, true, Step::Replace),
            (None, Some("a"), None, true, Step::Restore(password("a"))),
            (None, Some("a"), None, false, Step::Restore(password("a"))),
            (None, Some("a"), Some("1"), true, Step::Restore(password("a"))),
            (kept(None, None), Some("a"), None, true, Step::Restore(password("a"))),
            (kept(None, None), None, None, true, Step::Replace),
            (kept(Some("a"), None), None, None, false, Step::Keep(password("a"))),
            (kept(Some("a"), None), Some("b"), None, true, Step::Keep(password("a"))),
            (kept(Some("a"), None), None, Some("1"), true, Step::Rotate),
            (kept(Some("a"), Some("1")), None, Some("1"), true, Step::Keep(password("a"))),
            (kept(Some("a"), Some("1")), None, Some("2"), true, Step::Rotate),
            // The annotation was removed: that asks for nothing.
            (kept(Some("a"), Some("1")), None, None, true, Step::Keep(password("a"))),
        ] {
            let shown = format!("{source:?} {connected:?} {wish:?} {exists}");
            let connected = connected.map(password);
            assert_eq!(step(source, connected.as_ref(), wish, exists), expected, "{shown}");
        }
    }
}
