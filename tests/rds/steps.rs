//! Steps that the tests about passwords and Secrets share.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Secret;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, DynamicObject, ObjectMeta, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};

use crate::world::{REGION, World};

/// The annotation that asks for a new password.
pub const ROTATE: &str = "aws.fairlead.dev/rotate-password";

impl World {
    /// Makes a Secret, as somebody else would.
    pub async fn put_secret(&self, name: &str, data: &[(&str, &str)]) -> Result<()> {
        let data = data.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let metadata = ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() };
        let secret = Secret { metadata, string_data: Some(data), ..Secret::default() };
        self.secrets().create(&PostParams::default(), &secret).await?;
        Ok(())
    }

    /// Changes a Secret by a merge patch.
    pub async fn patch_secret(&self, name: &str, patch: Value) -> Result<()> {
        self.secrets().patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
        Ok(())
    }

    /// Sets a key of a Secret.
    pub async fn edit_secret(&self, name: &str, key: &str, value: &str) -> Result<()> {
        self.patch_secret(name, json!({ "stringData": { key: value } })).await
    }

    /// Deletes a Secret.
    pub async fn drop_secret(&self, name: &str) -> Result<()> {
        self.secrets().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until there is no Secret of that name.
    pub async fn no_secret(&self, name: &str) -> Result<()> {
        self.eventually(&format!("no Secret {name}"), async || match self.secrets().get_opt(name).await {
            Ok(None) => Ok(()),
            Ok(Some(_)) => Err("it is there".into()),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// The owners of a Secret: their kinds, names and uids.
    pub async fn owners(&self, secret: &str) -> Result<Vec<(String, String, String)>> {
        let owners = self.secrets().get(secret).await?.metadata.owner_references.unwrap_or_default();
        Ok(owners.into_iter().map(|owner| (owner.kind, owner.name, owner.uid)).collect())
    }

    /// Waits until a Secret is owned by `object` alone.
    pub async fn owned(&self, secret: &str, object: &DynamicObject) -> Result<()> {
        let expected = [("RDSInstance".to_owned(), object.name_any(), object.uid().unwrap_or_default())];
        let look = async || match self.owners(secret).await {
            Ok(owners) if owners == expected => Ok(()),
            Ok(owners) => Err(format!("{owners:?}")),
            Err(error) => Err(format!("{error:#}")),
        };
        self.eventually(&format!("the Secret {secret} belongs to its object"), look).await
    }

    /// The password that AWS has for the object `name`.
    pub fn password(&self, name: &str) -> Result<String> {
        self.database(name)?.password.context("AWS manages it")
    }

    /// Waits until source, connection Secret and AWS have the same password, which fits.
    pub async fn agreed(&self, name: &str, fits: impl Fn(&str) -> bool) -> Result<String> {
        let look = async || {
            let of = |secret: Option<BTreeMap<String, String>>, key: &str| secret.and_then(|mut it| it.remove(key));
            let text = |error: anyhow::Error| format!("{error:#}");
            let source = of(self.secret(&format!("{name}-credentials")).await.map_err(text)?, "password");
            let connection = of(self.secret(name).await.map_err(text)?, "DB_PASSWORD");
            let aws = self.password(name).map_err(text)?;
            match (source, connection) {
                (Some(source), Some(connection)) if source == aws && connection == aws && fits(&aws) => Ok(aws),
                other => Err(format!("{other:?}, and {aws} in AWS")),
            }
        };
        self.eventually(&format!("one password of {name}, everywhere"), look).await
    }

    /// Creates a database with a generated password, and waits until it is ready: the password.
    pub async fn ready_with_password(&self, name: &str, spec: Value) -> Result<String> {
        self.create(name, spec).await?;
        self.in_sync(name).await?;
        self.agreed(name, |_| true).await
    }

    /// The passwords that AWS was sent, in order.
    pub fn passwords_sent(&self) -> Vec<String> {
        let sent =
            |call: fairlead_harness::aws_proxy::Call| call.request["MasterUserPassword"].as_str().map(str::to_owned);
        self.proxy.calls().into_iter().filter_map(sent).collect()
    }

    /// Waits until so many calls of an operation have arrived.
    pub async fn arrived(&self, operation: &str, calls: usize) -> Result<()> {
        self.eventually(operation, async || match self.proxy.calls_of(operation).len() {
            seen if seen >= calls => Ok(()),
            seen => Err(format!("{seen} calls")),
        })
        .await
    }

    /// Waits until an event of this reason was told of an object.
    pub async fn told(&self, name: &str, reason: &str) -> Result<()> {
        self.eventually(&format!("the event {reason}"), async || match self.events(name).await {
            Ok(told) if told.iter().any(|it| it == reason) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    /// How often an event of this reason was told of an object.
    pub async fn times_told(&self, name: &str, reason: &str) -> Result<usize> {
        Ok(self.events(name).await?.iter().filter(|told| *told == reason).count())
    }

    /// Sets an instance's status in AWS.
    pub fn set_status(&self, name: &str, status: &str) -> Result<()> {
        self.fake()?.set_instance_status(&self.account, REGION, &self.aws_name(name), status)
    }

    /// Has the object vanish with its Secrets, and come back as from a backup: with annotations and spec, but with
    /// another uid, without status and without owners of the Secrets. The operator must not run.
    pub async fn restore_from_backup(&self, name: &str) -> Result<DynamicObject> {
        let mut secrets = Vec::new();
        for secret in [name.to_owned(), format!("{name}-credentials")] {
            secrets.push(self.secrets().get(&secret).await?);
        }
        let lost = self.patch(name, json!({ "metadata": { "finalizers": null } })).await?;
        self.ask_deletion(name).await?;
        self.gone(name).await?;
        for mut secret in secrets {
            if self.secrets().get_opt(&secret.name_any()).await?.is_some() {
                // Somebody may collect it as garbage just now.
                let _ = self.drop_secret(&secret.name_any()).await;
            }
            let ObjectMeta { name, labels, annotations, .. } = secret.metadata;
            secret.metadata = ObjectMeta { name, labels, annotations, ..ObjectMeta::default() };
            self.secrets().create(&PostParams::default(), &secret).await?;
        }
        let restored = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "RDSInstance",
            "metadata": { "name": name, "annotations": lost.metadata.annotations },
            "spec": lost.data["spec"],
        });
        let restored = self.databases().create(&PostParams::default(), &serde_json::from_value(restored)?).await?;
        ensure!(restored.metadata.uid != lost.metadata.uid);
        Ok(restored)
    }
}
