//! The control plane behaves as a cluster does.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_harness::cluster::{Cluster, client};
use fairlead_harness::wait::eventually;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Namespace};
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams};

const SOON: Duration = Duration::from_secs(30);

fn config_map(name: &str, owner: Option<&ConfigMap>) -> ConfigMap {
    use kube::Resource as _;
    ConfigMap {
        metadata: ObjectMeta {
            name: Some(name.to_owned()),
            owner_references: owner.and_then(|owner| owner.owner_ref(&())).map(|owner| vec![owner]),
            ..ObjectMeta::default()
        },
        data: Some(BTreeMap::from([("key".to_owned(), "value".to_owned())])),
        ..ConfigMap::default()
    }
}

async fn gone<K>(api: &Api<K>, name: &str) -> Result<()>
where
    K: kube::Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    eventually(&format!("{name} to be gone"), SOON, async || match api.get_opt(name).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => Err("it is there".to_owned()),
        Err(error) => Err(error.to_string()),
    })
    .await
}

#[tokio::test]
async fn the_versions_are_the_pinned_ones() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let version = cluster.kubectl(&["version"]).await?;
    assert_eq!(version.matches("v1.36.3").count(), 2, "{version}");
    Ok(())
}

#[tokio::test]
async fn a_deleted_namespace_goes_with_what_is_in_it() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let client = cluster.admin_client().await?;
    let namespace = cluster.namespace("doomed").await?;
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &namespace);
    maps.create(&PostParams::default(), &config_map("held", None)).await?;
    let namespaces: Api<Namespace> = Api::all(client);
    namespaces.delete(&namespace, &DeleteParams::default()).await?;
    gone(&namespaces, &namespace).await?;
    gone(&maps, "held").await
}

#[tokio::test]
async fn an_owned_object_goes_with_its_owner() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("owned").await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client().await?, &namespace);
    let create = PostParams::default();
    let owner = maps.create(&create, &config_map("owner", None)).await?;
    maps.create(&create, &config_map("child", Some(&owner))).await?;
    maps.delete("owner", &DeleteParams::default()).await?;
    gone(&maps, "child").await
}

#[tokio::test]
async fn rights_are_those_bound_to_the_service_account() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("rbac").await?;
    cluster.kubectl(&["create", "serviceaccount", "robot", "-n", &namespace]).await?;
    let kubeconfig = cluster.service_account_kubeconfig(&namespace, "robot").await?;
    let maps: Api<ConfigMap> = Api::namespaced(client(&kubeconfig).await?, &namespace);
    let refused = maps.list(&Default::default()).await.err().context("not refused")?;
    let user = format!("system:serviceaccount:{namespace}:robot");
    assert!(refused.to_string().contains(&user), "{refused}");

    let role = ["create", "role", "robot", "--verb=list", "--resource=configmaps"];
    let subject = format!("--serviceaccount={namespace}:robot");
    let bind = ["create", "rolebinding", "robot", "--role=robot", &subject];
    for command in [role, bind] {
        let here = ["-n", &namespace];
        cluster.kubectl(&[&command[..], &here].concat()).await?;
    }
    eventually("the binding to count", SOON, async || {
        maps.list(&Default::default()).await.map_err(|error| error.to_string())
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn a_refusal_keeps_the_servers_words() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let good = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: fine, namespace: default}\n";
    assert!(cluster.kubectl_apply(good).await?.contains("configmap/fine created"));
    let bad = good.replace("fine", "No_Good");
    let refused = cluster.kubectl_apply(&bad).await.err().context("not refused")?;
    assert!(refused.stderr.contains("RFC 1123"), "{refused}");
    Ok(())
}

/// A kind as Fairlead's, with an object of it that owns a ConfigMap.
const CRD: &str = r#"
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: things.harness.fairlead.dev}
spec:
  group: harness.fairlead.dev
  scope: Namespaced
  names: {kind: Thing, plural: things, singular: thing}
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"#;

const RBAC: &str = r#"
apiVersion: v1
kind: Namespace
metadata: {name: fairlead-system}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: fairlead, namespace: fairlead-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: fairlead, namespace: fairlead-system}
rules:
- {apiGroups: [coordination.k8s.io], resources: [leases], verbs: [list, create]}
"#;

#[tokio::test]
async fn installed_kinds_are_served_and_collected_at_once() -> Result<()> {
    let cluster = Cluster::start().await?;
    let deploy = tempdir("deploy")?;
    std::fs::create_dir_all(deploy.join("crds"))?;
    std::fs::write(deploy.join("crds/things.yaml"), CRD)?;
    std::fs::write(deploy.join("rbac.yaml"), RBAC)?;
    cluster.install(&deploy).await?;
    cluster.install(&deploy).await?;
    std::fs::remove_dir_all(&deploy)?;

    let thing = "apiVersion: harness.fairlead.dev/v1\nkind: Thing\nmetadata: {name: a}\n";
    cluster.kubectl_apply(thing).await?;
    let uid = cluster.kubectl(&["get", "thing", "a", "-o", "jsonpath={.metadata.uid}"]).await?;
    cluster
        .kubectl_apply(&format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: of-a\n  ownerReferences:\n  \
             - {{apiVersion: harness.fairlead.dev/v1, kind: Thing, name: a, uid: {uid}}}\n"
        ))
        .await?;
    cluster.kubectl(&["delete", "thing", "a"]).await?;
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client().await?, "default");
    tokio::time::timeout(Duration::from_secs(10), gone(&maps, "of-a")).await??;
    leases_are_for_one_test_alone(&cluster).await
}

/// The rights of the shipped Role, in a namespace of the test's own and nowhere else.
async fn leases_are_for_one_test_alone(cluster: &Cluster) -> Result<()> {
    let (ours, theirs) = (cluster.lease_namespace().await?, cluster.lease_namespace().await?);
    for _operator in 0..2 {
        cluster.grant_leases(&ours, "fairlead").await?;
    }
    let kubeconfig = cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?;
    let operator = client(&kubeconfig).await?;
    let leases = |namespace: &str| Api::<Lease>::namespaced(operator.clone(), namespace);
    leases(&ours).list(&Default::default()).await?;
    let refused = leases(&theirs).list(&Default::default()).await.err().context("not refused")?;
    assert!(refused.to_string().contains("cannot list resource"), "{refused}");
    Ok(())
}

fn tempdir(name: &str) -> Result<std::path::PathBuf> {
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR"));
    let path = path.join(format!("{name}-{}", std::process::id()));
    std::fs::create_dir_all(&path)?;
    Ok(path)
}
