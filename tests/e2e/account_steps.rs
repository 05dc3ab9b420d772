//! Steps of the tests about AWS accounts. An AWSAccount is cluster-wide, and the suite shares a
//! cluster: each has a name of its own and allows the namespace of its test alone.

use std::time::Duration;

use anyhow::{Result, anyhow};
use fairlead_harness::{
    aws_proxy::Call,
    emulator::{Account, Emulator},
    sqs::sqs_client,
    wait::eventually,
};
use kube::{
    Api,
    api::{ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::world::{World, condition};

/// The role of an account that the operator assumes.
pub fn role(account: &Account) -> String {
    format!("arn:aws:iam::{}:role/fairlead", account.id)
}

/// One more AWS account of the emulator.
pub async fn another_account() -> Result<Account> {
    Ok(Emulator::shared_ministack().await?.account())
}

impl World {
    /// All AWSAccounts.
    pub fn accounts(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "AWSAccount");
        Api::all_with(self.admin.clone(), &ApiResource::from_gvk_with_plural(&kind, "awsaccounts"))
    }

    /// The name of this test's AWSAccount `short`.
    pub fn account_name(&self, short: &str) -> String {
        format!("{}-{short}", self.namespace)
    }

    /// A reference to this test's AWSAccount `short`.
    pub fn account_ref(&self, short: &str) -> Value {
        json!({ "name": self.account_name(short) })
    }

    /// Creates an AWSAccount with exactly this spec and name.
    pub async fn create_account(&self, name: &str, spec: Value) -> Result<DynamicObject> {
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "AWSAccount",
            "metadata": { "name": name }, "spec": spec,
        });
        Ok(self.accounts().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Creates this test's AWSAccount `short`, of `account`, with `more` in its spec.
    pub async fn aws_account(&self, short: &str, account: &Account, more: Value) -> Result<DynamicObject> {
        let mut spec = json!({ "roleARN": role(account), "allowedNamespaces": [self.namespace] });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        self.create_account(&self.account_name(short), spec).await
    }

    /// Changes the spec of this test's AWSAccount `short`.
    pub async fn patch_account(&self, short: &str, spec: Value) -> Result<DynamicObject> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        Ok(self.accounts().patch(&self.account_name(short), &PatchParams::default(), &patch).await?)
    }

    /// Asks for the deletion of this test's AWSAccount `short`.
    pub async fn delete_account(&self, short: &str) -> Result<()> {
        self.accounts().delete(&self.account_name(short), &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until an AWSAccount fits.
    pub async fn account_until(
        &self,
        short: &str,
        what: &str,
        fits: impl Fn(&DynamicObject) -> bool,
    ) -> Result<DynamicObject> {
        let name = self.account_name(short);
        self.eventually(&format!("{name}: {what}"), async || match self.accounts().get(&name).await {
            Ok(account) if fits(&account) => Ok(account),
            Ok(account) => Err(format!("{:?} {}", account.metadata, account.data)),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// Waits until an AWSAccount's condition Ready has this reason.
    pub async fn account_says(&self, short: &str, reason: &str) -> Result<DynamicObject> {
        self.account_until(short, reason, |account| condition(account, "Ready")["reason"] == reason).await
    }

    /// Waits so long at most until an AWSAccount's condition Ready has this reason.
    pub async fn account_in(&self, deadline: Duration, short: &str, reason: &str) -> Result<()> {
        let name = self.account_name(short);
        eventually(&format!("{name}: {reason}"), deadline, async || match self.accounts().get(&name).await {
            Ok(account) if condition(&account, "Ready")["reason"] == reason => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    /// Waits until an AWSAccount is gone.
    pub async fn account_gone(&self, short: &str) -> Result<()> {
        let name = self.account_name(short);
        self.eventually(&format!("{name} is gone"), async || match self.accounts().get_opt(&name).await {
            Ok(None) => Ok(()),
            Ok(Some(account)) => Err(format!("{:?} {}", account.metadata, account.data)),
            Err(error) => Err(error.to_string()),
        })
        .await
    }

    /// An account's own look at its queues.
    pub fn sqs_of(&self, account: &Account) -> aws_sdk_sqs::Client {
        sqs_client(&self.aws_url, &account.access_key, "eu-west-1")
    }

    /// The names of the queues in an account, in order.
    pub async fn queues_of(&self, account: &Account) -> Result<Vec<String>> {
        let listed = self.sqs_of(account).list_queues().send().await?;
        let name = |url: &String| url.rsplit('/').next().unwrap_or_default().to_owned();
        let mut names: Vec<_> = listed.queue_urls().iter().map(name).collect();
        names.sort();
        Ok(names)
    }

    /// A tag of a queue in an account.
    pub async fn tag_in(&self, account: &Account, queue: &str, key: &str) -> Result<String> {
        let sqs = self.sqs_of(account);
        let url = sqs.get_queue_url().queue_name(queue).send().await?.queue_url.unwrap_or_default();
        let tags = sqs.list_queue_tags().queue_url(url).send().await?.tags.unwrap_or_default();
        tags.get(key).cloned().ok_or_else(|| anyhow!("{queue} has no {key}: {tags:?}"))
    }

    /// The calls of SQS so far.
    pub fn sqs_calls(&self) -> Vec<Call> {
        self.proxy.calls().into_iter().filter(|call| call.service == "sqs").collect()
    }

    /// Waits until an object's condition Stalled, or else Synced, has this reason; answers its message.
    pub async fn refused(&self, name: &str, reason: &str) -> Result<String> {
        let object = self.says(name, reason).await?;
        Ok(condition(&object, "Synced")["message"].as_str().unwrap_or_default().to_owned())
    }
}
