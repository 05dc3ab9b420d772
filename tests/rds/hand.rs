//! What somebody else does with databases in AWS, and what was asked of AWS about them.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result};
use fairlead_harness::fake_aws::{InstanceState, RdsTiming};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

use crate::world::{Aws, REGION, World};

const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than from any time to the fake's next maintenance window.
const A_WINDOW: Duration = Duration::from_secs(25 * 3_600);

impl World {
    /// A world on the fake with a ready operator, where nothing takes AWS any time but for the windows.
    pub async fn swift() -> Result<Self> {
        let world = Self::start(Aws::Fake).await?;
        world.fake()?.rds_timing(RdsTiming::at_once());
        Ok(world)
    }

    /// The instance of the object `name`, which has to be there.
    pub fn database(&self, name: &str) -> Result<InstanceState> {
        self.instance(name)?.with_context(|| format!("no instance of {name}"))
    }

    /// A setting of that instance, empty where it has none.
    pub fn setting(&self, name: &str, setting: &str) -> Result<String> {
        Ok(self.database(name)?.settings.get(setting).cloned().unwrap_or_default())
    }

    /// Waits until that instance has a setting; empty means none.
    pub async fn until_setting(&self, name: &str, setting: &str, value: &str) -> Result<()> {
        let look = async || match self.setting(name, setting) {
            Ok(actual) if actual == value => Ok(()),
            other => Err(format!("{other:?}")),
        };
        self.eventually(&format!("{name}: {setting} is {value:?}"), look).await
    }

    /// Changes a setting of that instance behind our back.
    pub fn drift(&self, name: &str, setting: &str, value: &str) -> Result<()> {
        self.fake()?.change_instance(&self.account, REGION, &self.aws_name(name), setting, value)
    }

    /// Deletes that instance by hand.
    pub fn lose(&self, name: &str) -> Result<()> {
        self.fake()?.delete_instance(&self.account, REGION, &self.aws_name(name))
    }

    /// Lets a maintenance window pass.
    pub fn pass_window(&self) -> Result<()> {
        self.fake()?.advance(A_WINDOW);
        Ok(())
    }

    /// Lets hours pass in AWS.
    pub fn pass_hours(&self, hours: u32) -> Result<()> {
        self.fake()?.advance(HOUR * hours);
        Ok(())
    }

    /// What each ModifyDBInstance was given, besides the instance's name.
    pub fn modifies(&self) -> Vec<BTreeMap<String, String>> {
        let parameters = |request: &Value| {
            let all = request.as_object().into_iter().flatten();
            let known = ["Action", "Version", "DBInstanceIdentifier"];
            all.filter(|(name, _)| !known.contains(&name.as_str()))
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or_default().to_owned()))
                .collect()
        };
        self.proxy.calls_of("ModifyDBInstance").iter().map(|call| parameters(&call.request)).collect()
    }

    /// Makes a small PostgreSQL as somebody else would, with these tags.
    pub async fn foreign(&self, id: &str, tags: &[(&str, &str)]) -> Result<()> {
        let create = self.rds().create_db_instance().db_instance_identifier(id).engine("postgres");
        let create = create.db_instance_class("db.t4g.micro").allocated_storage(20);
        let create = create.master_username("stranger").master_user_password("strangers-own-1");
        create.set_tags(Some(tags_of(tags))).send().await?;
        Ok(())
    }

    /// The notes of the events with a reason about an object, in order.
    pub async fn notes(&self, name: &str, reason: &str) -> Result<Vec<String>> {
        let api: Api<k8s_openapi::api::events::v1::Event> = Api::namespaced(self.admin.clone(), &self.namespace);
        let mut events = api.list(&Default::default()).await?.items;
        events.retain(|event| {
            let regarding = event.regarding.as_ref().and_then(|object| object.name.as_deref());
            regarding == Some(name) && event.reason.as_deref() == Some(reason)
        });
        events.sort_by_key(|event| event.event_time.clone().map(|time| time.0));
        Ok(events.into_iter().filter_map(|event| event.note).collect())
    }

    /// Takes the status of an object away, as a restore from a backup would.
    pub async fn lose_status(&self, name: &str) -> Result<()> {
        let patch = Patch::Merge(json!({ "status": null }));
        self.databases().patch_status(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// All AWSAccounts.
    pub fn accounts(&self) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "AWSAccount");
        Api::all_with(self.admin.clone(), &ApiResource::from_gvk_with_plural(&kind, "awsaccounts"))
    }

    /// Creates an AWSAccount for this test alone, of this test's account.
    pub async fn aws_account(&self, more: Value) -> Result<Value> {
        let role = format!("arn:aws:iam::{}:role/fairlead", self.account);
        self.fake()?.role(&role, Default::default())?;
        let mut spec = json!({ "roleARN": role, "allowedNamespaces": [self.namespace] });
        for (field, value) in more.as_object().into_iter().flatten() {
            spec[field] = value.clone();
        }
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "AWSAccount",
            "metadata": { "name": self.namespace }, "spec": spec,
        });
        self.accounts().create(&PostParams::default(), &serde_json::from_value(object)?).await?;
        Ok(json!({ "name": self.namespace }))
    }

    /// Changes that AWSAccount's spec.
    pub async fn patch_account(&self, spec: Value) -> Result<()> {
        let patch = Patch::Merge(json!({ "spec": spec }));
        self.accounts().patch(&self.namespace, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

/// Tags as the SDK has them.
pub fn tags_of(tags: &[(&str, &str)]) -> Vec<aws_sdk_rds::types::Tag> {
    tags.iter().map(|(key, value)| aws_sdk_rds::types::Tag::builder().key(*key).value(*value).build()).collect()
}
