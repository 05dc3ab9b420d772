//! Every permission of deploy/rbac.yaml is needed, and one that is missing is named by the operator:
//! in readiness, in a condition, or in its log.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{operator::Operator, wait::eventually};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    core::v1::{ConfigMap, Secret, ServiceAccount},
    rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule, Role},
};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams, PostParams},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    account_steps::another_account,
    operator, turn, unready,
    world::{Aws, DEADLINE, World, is, observed},
};

/// What makes the operator need a permission.
#[derive(Clone, Copy, Debug)]
enum Need {
    /// Its start.
    Start,
    /// A new object.
    Create,
    /// A new object in an account of its own.
    Account,
    /// A published connection that somebody has changed.
    Repair,
    /// A connection that is switched off.
    Retract,
    /// A change of what another replica has made.
    Inherit,
    /// Its end, as one of several.
    Leave,
}

/// For which kind of object.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Queue,
    Database,
}

impl Kind {
    fn aws(self) -> Aws {
        match self {
            Self::Queue => Aws::Ministack,
            Self::Database => Aws::Fake,
        }
    }

    fn api(self, world: &World) -> Api<DynamicObject> {
        match self {
            Self::Queue => world.queues(),
            Self::Database => world.databases(),
        }
    }

    /// Creates the object `orders`.
    async fn create(self, world: &World, more: Value) -> Result<()> {
        let (kind, mut spec) = match self {
            Self::Queue => ("SQSQueue", json!({})),
            Self::Database => (
                "RDSInstance",
                json!({ "engine": "postgres", "instanceClass": "db.t4g.micro", "allocatedStorage": 20 }),
            ),
        };
        spec.as_object_mut().into_iter().for_each(|spec| spec.extend(more.as_object().cloned().unwrap_or_default()));
        let metadata = json!({ "name": "orders" });
        let object =
            json!({ "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec });
        create(&self.api(world), object).await.map(drop)
    }

    async fn patch(self, world: &World, patch: Value) -> Result<()> {
        Ok(self.api(world).patch("orders", &PatchParams::default(), &Patch::Merge(patch)).await.map(drop)?)
    }

    async fn in_sync(self, world: &World) -> Result<()> {
        let look = async || match self.api(world).get("orders").await {
            Ok(it) if observed(&it) && is(&it, "Ready", "True") && is(&it, "Synced", "True") => Ok(()),
            other => Err(format!("{other:?}")),
        };
        world.eventually("orders is in sync", look).await
    }

    /// Changes what is published, and has it looked at.
    async fn disturb(self, world: &World) -> Result<()> {
        let params = PatchParams::default();
        match self {
            Self::Queue => {
                let maps: Api<ConfigMap> = Api::namespaced(world.admin.clone(), &world.namespace);
                let wrong = Patch::Merge(json!({ "data": { "queueURL": "wrong" } }));
                maps.patch("orders", &params, &wrong).await?;
                Ok(())
            }
            Self::Database => {
                let secrets: Api<Secret> = Api::namespaced(world.admin.clone(), &world.namespace);
                let wrong = Patch::Merge(json!({ "stringData": { "DB_HOST": "wrong" } }));
                secrets.patch("orders", &params, &wrong).await?;
                let now = json!({ "aws.fairlead.dev/reconcile-at": "now" });
                self.patch(world, json!({ "metadata": { "annotations": now } })).await
            }
        }
    }
}

const CASES: [(&str, &str, Kind, Need); 32] = [
    ("leases", "list", Kind::Queue, Need::Start),
    ("leases", "watch", Kind::Queue, Need::Start),
    ("leases", "create", Kind::Queue, Need::Start),
    ("leases", "update", Kind::Queue, Need::Start),
    ("leases", "delete", Kind::Queue, Need::Leave),
    ("sqsqueues", "get", Kind::Queue, Need::Inherit),
    ("sqsqueues", "list", Kind::Queue, Need::Start),
    ("sqsqueues", "watch", Kind::Queue, Need::Start),
    ("sqsqueues", "patch", Kind::Queue, Need::Create),
    ("sqsqueues/status", "patch", Kind::Queue, Need::Create),
    ("rdsinstances", "get", Kind::Database, Need::Inherit),
    ("rdsinstances", "list", Kind::Database, Need::Start),
    ("rdsinstances", "watch", Kind::Database, Need::Start),
    ("rdsinstances", "patch", Kind::Database, Need::Create),
    ("rdsinstances/status", "patch", Kind::Database, Need::Create),
    ("awsaccounts", "list", Kind::Queue, Need::Start),
    ("awsaccounts", "watch", Kind::Queue, Need::Start),
    ("awsaccounts", "patch", Kind::Queue, Need::Account),
    ("awsaccounts/status", "patch", Kind::Queue, Need::Account),
    ("configmaps", "list", Kind::Queue, Need::Start),
    ("configmaps", "watch", Kind::Queue, Need::Start),
    ("configmaps", "get", Kind::Queue, Need::Create),
    ("configmaps", "create", Kind::Queue, Need::Create),
    ("configmaps", "patch", Kind::Queue, Need::Repair),
    ("configmaps", "delete", Kind::Queue, Need::Retract),
    ("secrets", "get", Kind::Database, Need::Create),
    ("secrets", "create", Kind::Database, Need::Create),
    ("secrets", "patch", Kind::Database, Need::Repair),
    ("secrets", "delete", Kind::Database, Need::Retract),
    ("events", "create", Kind::Queue, Need::Create),
    ("customresourcedefinitions", "get", Kind::Queue, Need::Start),
    ("namespaces", "get", Kind::Queue, Need::Start),
];

#[tokio::test]
async fn every_permission_is_in_the_table() -> Result<()> {
    let _turn = turn().await?;
    let world = World::new(Aws::Ministack).await?;
    let granted = rules(&world).await?.into_iter().chain(lease_rules(&world).await?);
    let granted: BTreeSet<_> = granted.flat_map(|rule| pairs(&rule)).collect();
    let tried = CASES.map(|(resource, verb, ..)| (resource.to_owned(), verb.to_owned()));
    ensure!(granted == BTreeSet::from(tried), "in deploy/, and not tried here or the other way round: {granted:?}");
    Ok(())
}

#[tokio::test]
async fn a_missing_permission_is_named() -> Result<()> {
    let _turn = turn().await?;
    let cases = CASES.into_iter().enumerate();
    let cases = cases.map(|(number, case)| async move {
        let (resource, verb, ..) = case;
        missing(number, case).await.with_context(|| format!("without {verb} of {resource}"))
    });
    futures::stream::iter(cases).buffer_unordered(4).try_collect().await
}

async fn missing(number: usize, (resource, verb, kind, need): (&str, &str, Kind, Need)) -> Result<()> {
    // What the log says must be there as it is shipped.
    let mut world = World::new(kind.aws()).await?.env("RUST_LOG", "info");
    match need {
        Need::Inherit => leave_one(&mut world, kind).await?,
        Need::Leave => world = world.env("FAIRLEAD_SHARDS", "16"),
        _ => {}
    }
    let account = format!("without-{number}");
    grant(&world, &account, resource, verb).await?;
    let operator = world.launch_with(&account).await?;
    let outcome = need_it(&world, &operator, kind, need).await;
    let words = format!("cannot {verb} resource \"{resource}\"");
    let named = eventually(&words, DEADLINE, async || {
        let ready = operator.readyz().await.map_or_else(|error| error.to_string(), |(_, body)| body);
        let object = kind.api(&world).get_opt("orders").await.ok().flatten();
        let status = object.map_or(Value::Null, |object| object.data["status"]["conditions"].clone());
        let said = format!("{ready}\n{}\n{}", status.to_string().replace("\\\"", "\""), operator.log());
        if said.contains(&words) { Ok(()) } else { Err(said) }
    });
    named.await.map_err(|error| match outcome {
        Ok(()) => error,
        Err(before) => error.context(before),
    })
}

#[tokio::test]
async fn without_a_watch_the_operator_is_not_ready() -> Result<()> {
    let _turn = turn().await?;
    let world = World::new(Aws::Ministack).await?;
    grant(&world, "blind", "sqsqueues", "watch").await?;
    let operator = operator(&world, "blind").await?;
    unready(&operator, &["cannot watch resource"]).await?;
    // Also between two tries of the watch: they come ever more seldom.
    let tried = || operator.log().matches("watch initlist error").count();
    let enough = tried() + 3;
    let blind = world.eventually("three more tries", async || match operator.readyz().await {
        Ok((503, _)) if tried() >= enough => Ok(true),
        Ok((503, _)) => Err(format!("{} tries of {enough}", tried())),
        _ => Ok(false),
    });
    ensure!(blind.await?, "ready without a watch: {}", operator.log());
    Ok(())
}

/// Brings the operator to where it needs the permission.
async fn need_it(world: &World, operator: &Operator, kind: Kind, need: Need) -> Result<()> {
    if matches!(need, Need::Start) {
        return Ok(());
    }
    operator.ready(DEADLINE).await?;
    match need {
        Need::Inherit => return kind.patch(world, json!({ "spec": { "tags": { "team": "a" } } })).await,
        Need::Leave => {
            let leads = world.eventually("16 shards", async || match operator.metrics().await {
                Ok(text) if text.contains("fairlead_shards_led 16") => Ok(()),
                other => Err(format!("{other:?}")),
            });
            leads.await?;
            return operator.terminate();
        }
        _ => {}
    }
    if matches!(need, Need::Account) {
        world.aws_account("one", &another_account().await?, json!({})).await?;
        return kind.create(world, json!({ "accountRef": world.account_ref("one") })).await;
    }
    kind.create(world, json!({})).await?;
    if matches!(need, Need::Create) {
        return Ok(());
    }
    kind.in_sync(world).await?;
    match need {
        Need::Retract => kind.patch(world, json!({ "spec": { "connection": { "enabled": false } } })).await,
        _ => kind.disturb(world).await,
    }
}

/// Has another replica make a resource, and end.
async fn leave_one(world: &mut World, kind: Kind) -> Result<()> {
    world.start_operator().await?;
    kind.create(world, json!({})).await?;
    kind.in_sync(world).await?;
    let operator = world.operator()?;
    operator.terminate()?;
    operator.exit_code(DEADLINE).await.map(drop)
}

/// A service account with all that deploy/ grants but one verb on one resource.
async fn grant(world: &World, account: &str, resource: &str, verb: &str) -> Result<()> {
    let (all, lease_rules) = (rules(world).await?, lease_rules(world).await?);
    world.cluster.grant_in(&world.leases, account, without(lease_rules, resource, verb)).await?;
    let group = all.iter().find(|rule| of(rule, resource)).and_then(|rule| rule.api_groups.clone());
    let rules = without(all, resource, verb);
    let accounts: Api<ServiceAccount> = Api::namespaced(world.admin.clone(), "fairlead-system");
    create(&accounts, json!({ "metadata": { "name": account } })).await?;
    let roles: Api<ClusterRole> = Api::all(world.admin.clone());
    create(&roles, json!({ "metadata": { "name": account }, "rules": rules })).await?;
    let bindings: Api<ClusterRoleBinding> = Api::all(world.admin.clone());
    let subject = json!({ "kind": "ServiceAccount", "name": account, "namespace": "fairlead-system" });
    let role = json!({ "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account });
    create(&bindings, json!({ "metadata": { "name": account }, "roleRef": role, "subjects": [subject] })).await?;

    // In effect only when the API server's caches have it: another permission tells when.
    let group = group.and_then(|groups| groups.first().cloned()).unwrap_or_default();
    let other =
        if group == "events.k8s.io" { ("", "configmaps", "list") } else { ("events.k8s.io", "events", "create") };
    let user = format!("system:serviceaccount:fairlead-system:{account}");
    let (group, resource, verb) = other;
    let question = json!({ "spec": { "user": user, "resourceAttributes": {
        "group": group, "resource": resource, "verb": verb, "namespace": world.namespace,
    } } });
    let reviews: Api<SubjectAccessReview> = Api::all(world.admin.clone());
    world
        .eventually("the role is in effect", async || match create(&reviews, question.clone()).await {
            Ok(review) if review.status.as_ref().is_some_and(|status| status.allowed) => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
}

async fn create<K>(api: &Api<K>, object: Value) -> Result<K>
where
    K: Clone + Serialize + DeserializeOwned + std::fmt::Debug,
{
    Ok(api.create(&PostParams::default(), &serde_json::from_value(object)?).await?)
}

/// What deploy/ grants the operator.
async fn rules(world: &World) -> Result<Vec<PolicyRule>> {
    let roles: Api<ClusterRole> = Api::all(world.admin.clone());
    Ok(roles.get("fairlead").await?.rules.unwrap_or_default())
}

/// What deploy/ grants the operator in its own namespace.
async fn lease_rules(world: &World) -> Result<Vec<PolicyRule>> {
    let roles: Api<Role> = Api::namespaced(world.admin.clone(), "fairlead-system");
    Ok(roles.get("fairlead").await?.rules.unwrap_or_default())
}

fn without(mut rules: Vec<PolicyRule>, resource: &str, verb: &str) -> Vec<PolicyRule> {
    for rule in rules.iter_mut().filter(|rule| of(rule, resource)) {
        rule.verbs.retain(|granted| granted != verb);
    }
    rules.retain(|rule| !rule.verbs.is_empty());
    rules
}

fn of(rule: &PolicyRule, resource: &str) -> bool {
    rule.resources.iter().flatten().any(|named| named == resource)
}

fn pairs(rule: &PolicyRule) -> Vec<(String, String)> {
    let resources = rule.resources.iter().flatten();
    resources.flat_map(|resource| rule.verbs.iter().map(|verb| (resource.clone(), verb.clone()))).collect()
}
