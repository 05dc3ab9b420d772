//! The connection Secret: written, renamed, left behind or taken along with its object.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Secret;
use serde_json::{Value, json};

use super::{
    super::{
        faults::Fault,
        kind::{Kind, PasswordSource, Published},
        objects::KubeError,
        owned,
        reconcile::Run,
        secrets::SecretData,
    },
    CONNECTION_SECRET, CREDENTIALS, Connected, renamed, taken,
};
use crate::crd::{CONNECTION_OF, PASSWORD_OF};

impl<K: Kind> Run<'_, K> {
    /// Publishes how the resource is reached, where that can be told.
    pub(in super::super) async fn publish_secret(
        &mut self,
        spec: &K::Spec,
        data: Option<BTreeMap<String, String>>,
    ) -> Result<(), Fault> {
        let common = K::common(spec);
        let name = self.connection_name(common);
        if let (Some(name), Some(data)) = (&name, data) {
            let given = common.connection.clone().unwrap_or_default();
            self.write_connection(name, renamed(data, &given)).await?;
        }
        let before = self.object.status().get(CONNECTION_SECRET).and_then(Value::as_str).map(str::to_owned);
        if before != name && (name.is_none() || self.was_published()) {
            self.confirm().await?; // reads Kubernetes, once a leadership
            self.retract_secret(before.as_deref()).await?;
            self.told.insert(CONNECTION_SECRET.into(), json!(name));
        }
        Ok(())
    }

    async fn write_connection(&mut self, name: &str, data: SecretData) -> Result<(), Fault> {
        let Some(known) = &self.memory.secrets else { return Ok(()) };
        if known.connection.as_ref().is_some_and(|it| it.owned && it.name == name && it.data == data) {
            return Ok(());
        }
        let secrets = self.controller.context.secrets.clone();
        self.confirm().await?; // reads Kubernetes, once a leadership
        match secrets.read(&self.key.namespace, name).await? {
            None => {
                let none = BTreeMap::new();
                let created = secrets.create(&self.permit, &self.object, name, CONNECTION_OF, none, &data).await;
                // It came to be between two reads: the next reconcile sees whose it is.
                created.map_err(|error| if error == KubeError::Exists { KubeError::Conflict } else { error })?;
            }
            Some(current) if owned::is_of(&current.metadata, CONNECTION_OF, &self.object) => {
                let metadata = owned::metadata(&self.object, name, CONNECTION_OF);
                let metadata = owned::difference(&current.metadata, &metadata);
                secrets.mend(&self.permit, &current, metadata, &data, true).await?;
            }
            Some(_) => return Err(taken("connection.name", name)),
        }
        if let Some(known) = &mut self.memory.secrets {
            known.connection = Some(Connected { name: name.into(), data, owned: true });
        }
        Ok(())
    }

    /// Makes sure that the connection Secret's name is free. Whether it is there, and this object's.
    pub(in super::super) async fn check_secret_free(&self, spec: &K::Spec, name: &str) -> Result<bool, Fault> {
        if let PasswordSource::Generated { secret, .. } | PasswordSource::Referenced { secret, .. } =
            K::password(spec, &self.key.name)
            && secret == name
        {
            return Err(Fault::ConnectionConflict(format!(
                "spec.connection.name: the Secret {name} is the one that keeps the password; set another name there"
            )));
        }
        match self.controller.context.secrets.read(&self.key.namespace, name).await? {
            Some(secret) if !owned::is_of(&secret.metadata, CONNECTION_OF, &self.object) => {
                Err(taken("connection.name", name))
            }
            found => Ok(found.is_some()),
        }
    }

    /// Deletes the connection Secret of an earlier name.
    async fn retract_secret(&self, name: Option<&str>) -> Result<(), Fault> {
        let Some(name) = name else { return Ok(()) };
        let secrets = &self.controller.context.secrets;
        if let Some(secret) = secrets.read(&self.key.namespace, name).await?
            && owned::is_of(&secret.metadata, CONNECTION_OF, &self.object)
        {
            secrets.delete(&self.permit, &secret).await?;
        }
        Ok(())
    }

    /// Lets the Secrets outlive the object, whose resource does: they hold the only password.
    pub(in super::super) async fn disown_secrets(&self) -> Result<(), Fault> {
        for secret in self.own_secrets().await? {
            if let Some(metadata) = owned::disowned(&secret.metadata, &self.object) {
                let secrets = &self.controller.context.secrets;
                secrets.mend(&self.permit, &secret, Some(metadata), &SecretData::new(), false).await?;
            }
        }
        Ok(())
    }

    /// Deletes the Secrets of a resource that is gone, as the garbage collector would: the next object of this
    /// name is not to find them.
    pub(in super::super) async fn remove_secrets(&self) -> Result<(), Fault> {
        for secret in self.own_secrets().await? {
            if owned::disowned(&secret.metadata, &self.object).is_some() {
                self.controller.context.secrets.delete(&self.permit, &secret).await?;
            }
        }
        Ok(())
    }

    /// The Secrets of this object that there are, whether or not its spec is still valid.
    async fn own_secrets(&self) -> Result<Vec<Secret>, Fault> {
        if K::PUBLISHES != Published::Secret {
            return Ok(Vec::new());
        }
        let status = self.object.status();
        let told = |field: &Value| field.as_str().map(str::to_owned);
        let spec = self.object.spec::<K>().ok();
        let source = match spec.as_ref().map(|spec| K::password(spec, &self.key.name)) {
            Some(PasswordSource::Generated { secret, .. }) => Some(secret),
            _ => None,
        };
        // The spec may name others by now than those that there are.
        let names: BTreeSet<_> = [
            (status.get(CREDENTIALS).and_then(|credentials| told(&credentials["secret"])), PASSWORD_OF),
            (source, PASSWORD_OF),
            (status.get(CONNECTION_SECRET).and_then(told), CONNECTION_OF),
            (spec.as_ref().and_then(|spec| self.connection_name(K::common(spec))), CONNECTION_OF),
        ]
        .into_iter()
        .filter_map(|(name, annotation)| Some((name?, annotation)))
        .collect();
        let mut all = Vec::new();
        for (name, annotation) in names {
            let found = self.controller.context.secrets.read(&self.key.namespace, &name).await?;
            all.extend(found.filter(|secret| owned::is_of(&secret.metadata, annotation, &self.object)));
        }
        Ok(all)
    }
}
