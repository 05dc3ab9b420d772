//! Namespaces for Leases: replicas of two tests must never meet over one.

use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::rbac::v1::{PolicyRule, Role, RoleBinding};
use kube::Client;
use kube::api::{Api, PostParams};
use serde_json::json;

use super::Cluster;
use crate::wait::eventually;

/// The operator's namespace in deploy/.
const OPERATORS: &str = "fairlead-system";
/// Its Role there.
const OPERATOR: &str = "fairlead";

/// A binding counts when the API server's caches have it, which takes milliseconds.
const IN_EFFECT: Duration = Duration::from_secs(30);

impl Cluster {
    /// Creates a namespace for the Leases of some replicas: the value of `FAIRLEAD_NAMESPACE`. It is apart
    /// from their objects, so that it outlives a namespace that a test deletes.
    pub async fn lease_namespace(&self) -> Result<String> {
        let name = format!("leases-{}", self.made.fetch_add(1, Ordering::Relaxed));
        let namespaces: Api<Namespace> = Api::all(self.admin_client().await?);
        let namespace = serde_json::from_value(json!({ "metadata": { "name": name } }))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        Ok(name)
    }

    /// Gives a service account of `fairlead-system` the rights in `namespace` that the operator's Role of the
    /// deploy directory gives in its own; to be called after [`Cluster::install`].
    pub async fn grant_leases(&self, namespace: &str, account: &str) -> Result<()> {
        let admin = self.admin_client().await?;
        let shipped: Api<Role> = Api::namespaced(admin.clone(), OPERATORS);
        let rules = shipped.get(OPERATOR).await?.rules.unwrap_or_default();
        self.grant_in(namespace, account, rules).await
    }

    /// Gives a service account of `fairlead-system` some rights in `namespace`, and waits until they count.
    pub async fn grant_in(&self, namespace: &str, account: &str, rules: Vec<PolicyRule>) -> Result<()> {
        let Some(last) = rules.last().cloned() else { return Ok(()) };
        let admin = self.admin_client().await?;
        let name = json!({ "name": account });
        let roles: Api<Role> = Api::namespaced(admin.clone(), namespace);
        let role = serde_json::from_value(json!({ "metadata": name, "rules": rules }))?;
        created(roles.create(&PostParams::default(), &role).await)?;
        let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), namespace);
        let binding = json!({
            "metadata": name,
            "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": account },
            "subjects": [{ "kind": "ServiceAccount", "name": account, "namespace": OPERATORS }],
        });
        created(bindings.create(&PostParams::default(), &serde_json::from_value(binding)?).await)?;
        in_effect(admin, namespace, account, &last).await
    }
}

/// A second operator of a test has the rights of its first.
fn created<T>(outcome: kube::Result<T>) -> Result<()> {
    match outcome {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

async fn in_effect(admin: Client, namespace: &str, account: &str, rule: &PolicyRule) -> Result<()> {
    let first = |words: &Option<Vec<String>>| words.as_ref().and_then(|words| words.first().cloned());
    let question = json!({ "spec": {
        "user": format!("system:serviceaccount:{OPERATORS}:{account}"),
        "resourceAttributes": {
            "namespace": namespace,
            "group": first(&rule.api_groups),
            "resource": first(&rule.resources).context("a rule without a resource")?,
            "verb": rule.verbs.first().context("a rule without a verb")?,
        },
    } });
    let question: SubjectAccessReview = serde_json::from_value(question)?;
    let reviews: Api<SubjectAccessReview> = Api::all(admin);
    let what = format!("the rights of {account} in {namespace}");
    eventually(&what, IN_EFFECT, async || match reviews.create(&PostParams::default(), &question).await {
        Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await
}
