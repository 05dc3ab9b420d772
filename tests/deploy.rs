//! What deploy/ and README tell people to apply: a real API server takes it, and it grants what the
//! operator needs.

use std::{collections::BTreeSet, path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use axum::http::Request;
use fairlead_harness::{
    cluster::{Cluster, client},
    wait::eventually,
};
use kube::client::Body;
use serde_json::{Value, json};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// A cluster in which Fairlead's kinds and its namespace are.
async fn cluster() -> Result<&'static Cluster> {
    let cluster = Cluster::shared().await?;
    cluster.install(Path::new(DEPLOY)).await?;
    Ok(cluster)
}

/// Writes `yaml` where kubectl finds it, and has the API server judge it without keeping it.
async fn judged(cluster: &Cluster, name: &str, yaml: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("deploy-{}-{name}.yaml", std::process::id()));
    std::fs::write(&path, yaml)?;
    let verdict = cluster.kubectl(&["apply", "--dry-run=server", "-f", &path.display().to_string()]).await;
    std::fs::remove_file(&path)?;
    verdict.with_context(|| yaml.to_owned())
}

#[tokio::test]
async fn the_kustomization_builds_and_is_accepted() -> Result<()> {
    let cluster = cluster().await?;
    let built = cluster.kubectl(&["kustomize", DEPLOY]).await?;
    let answer = judged(cluster, "kustomization", &built).await?;
    for object in [
        "rdsinstances.aws.fairlead.dev",
        "sqsqueues.aws.fairlead.dev",
        "awsaccounts.aws.fairlead.dev",
        "serviceaccount/fairlead",
        "role.rbac.authorization.k8s.io/fairlead ",
        "role.rbac.authorization.k8s.io/fairlead-status",
        "rolebinding.rbac.authorization.k8s.io/fairlead",
        "deployment.apps/fairlead",
        "poddisruptionbudget.policy/fairlead",
        "flowschema.flowcontrol.apiserver.k8s.io/fairlead-leases",
    ] {
        ensure!(answer.contains(object), "{object} is not in {answer}");
    }
    Ok(())
}

#[test]
fn every_manifest_is_in_the_kustomization() -> Result<()> {
    let kustomization = std::fs::read_to_string(format!("{DEPLOY}/kustomization.yaml"))?;
    for directory in ["", "crds/"] {
        for file in std::fs::read_dir(format!("{DEPLOY}/{directory}"))? {
            let name = format!("{directory}{}", file?.file_name().display());
            if name.ends_with(".yaml") && name != "kustomization.yaml" {
                ensure!(kustomization.contains(&format!("- {name}\n")), "deploy/kustomization.yaml lacks {name}");
            }
        }
    }
    Ok(())
}

/// The operator's renewals are not to wait behind the workloads of the cluster.
#[tokio::test]
async fn requests_for_leases_have_the_priority_of_leader_election() -> Result<()> {
    let cluster = cluster().await?;
    cluster.kubectl(&["apply", "-f", &format!("{DEPLOY}/flowschema.yaml")]).await?;
    let template = "--output=jsonpath={.metadata.uid}";
    let level = cluster.kubectl(&["get", "prioritylevelconfiguration", "leader-election", template]).await?;
    let operator = client(&cluster.service_account_kubeconfig("fairlead-system", "fairlead").await?).await?;
    let leases = "/apis/coordination.k8s.io/v1/namespaces/fairlead-system/leases";
    let lease = format!("{leases}/none");
    let watch = format!("{leases}?watch=true&timeoutSeconds=1");
    for (method, path) in
        [("GET", leases), ("GET", &watch), ("GET", &lease), ("POST", leases), ("PUT", &lease), ("DELETE", &lease)]
    {
        // In effect once the API server has read it.
        eventually(&format!("{method} {path} to be prior"), Duration::from_secs(30), async || {
            match priority_of(&operator, method, path).await {
                Ok(given) if given == level => Ok(()),
                other => Err(format!("{other:?} is not {level}")),
            }
        })
        .await?;
    }
    let others = ["/api/v1/configmaps", "/apis/coordination.k8s.io/v1/namespaces/default/leases"];
    for path in others {
        ensure!(priority_of(&operator, "GET", path).await? != level, "{path} is prior too");
    }
    Ok(())
}

/// The uid of the priority level that the API server gave a request.
async fn priority_of(client: &kube::Client, method: &str, path: &str) -> Result<String> {
    let request = Request::builder().method(method).uri(path).header("Content-Type", "application/json");
    let answer = client.send(request.body(Body::from(b"{}".to_vec()))?).await?;
    let level = answer.headers().get("X-Kubernetes-PF-PriorityLevel-UID");
    Ok(level.context("no priority level is told")?.to_str()?.to_owned())
}

/// A Deployment is accepted whatever its pods are: only a pod shows that the namespace takes it.
#[tokio::test]
async fn the_operators_pod_fits_its_restricted_namespace() -> Result<()> {
    let cluster = cluster().await?;
    let deployment = format!("{DEPLOY}/deployment.yaml");
    let args = ["create", "--dry-run=client", "-o", "json", "-f", &deployment];
    let deployment: Value = serde_json::from_str(&cluster.kubectl(&args).await?)?;
    let pod = |spec: &Value| {
        json!({
            "apiVersion": "v1", "kind": "Pod", "spec": spec,
            "metadata": { "name": "fairlead", "namespace": "fairlead-system" },
        })
    };
    let spec = &deployment["spec"]["template"]["spec"];
    judged(cluster, "pod", &pod(spec).to_string()).await?;

    let mut privileged = spec.clone();
    privileged["containers"][0]["securityContext"]["privileged"] = json!(true);
    let refused = judged(cluster, "privileged", &pod(&privileged).to_string()).await;
    ensure!(refused.is_err(), "the namespace takes any pod, so this test shows nothing");
    Ok(())
}

#[tokio::test]
async fn the_samples_are_accepted() -> Result<()> {
    let cluster = cluster().await?;
    let samples = format!("{DEPLOY}/samples");
    let answer = cluster.kubectl(&["apply", "--dry-run=server", "-f", &samples]).await?;
    ensure!(answer.lines().count() == std::fs::read_dir(&samples)?.count(), "{answer}");
    Ok(())
}

#[tokio::test]
async fn the_manifests_in_the_documents_are_accepted() -> Result<()> {
    let cluster = cluster().await?;
    for document in ["README.md", "docs/databases.md"] {
        let text = std::fs::read_to_string(format!("{}/{document}", env!("CARGO_MANIFEST_DIR")))?;
        let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
        let manifests: Vec<_> = blocks.filter(|block| block.starts_with("apiVersion:")).collect();
        ensure!(manifests.len() >= 3, "{document} has {} manifests", manifests.len());
        for (number, manifest) in manifests.into_iter().enumerate() {
            judged(cluster, &format!("{}-{number}", document.replace('/', "-")), manifest).await?;
        }
    }
    Ok(())
}

/// Neither more nor fewer: a missing one fails in production only, a needless one is a risk.
#[test]
fn the_iam_policies_list_the_operations_that_are_called() -> Result<()> {
    for (service, calls, besides) in [
        ("sqs", include_str!("../src/kinds/sqs_queue/aws.rs"), BTreeSet::new()),
        // AWS asks for the first where a deletion leaves a snapshot, and the second guards tags.
        (
            "rds",
            include_str!("../src/kinds/rds_instance/aws.rs"),
            BTreeSet::from(["CreateDBSnapshot", "ListTagsForResource"]),
        ),
    ] {
        let called: BTreeSet<_> = operations(calls).collect();
        ensure!(called.len() > 5, "the calls were not recognised: {called:?}");
        let needed: BTreeSet<_> = called.union(&besides).map(|operation| format!("{service}:{operation}")).collect();
        let granted = granted(service)?;
        ensure!(granted == needed, "granted: {granted:?}\nneeded: {needed:?}");
    }
    Ok(())
}

/// What changes a database is granted for those with owner tags, and for names of other things that go with it.
#[test]
fn databases_of_others_are_out_of_reach() -> Result<()> {
    for statement in statements("rds")? {
        let actions = texts(&statement["Action"]);
        let changes = actions.iter().any(|it| {
            ["rds:Create", "rds:Restore", "rds:Modify", "rds:Reboot", "rds:Delete"]
                .iter()
                .any(|word| it.starts_with(word))
        });
        let databases = texts(&statement["Resource"]).iter().any(|it| it.ends_with(":db:*"));
        let guarded = statement["Condition"]["Null"].as_object().is_some_and(|keys| {
            keys.iter().any(|(key, absent)| key.ends_with("Tag/fairlead.dev/cluster") && absent == "false")
        });
        ensure!(!(changes && databases) || guarded, "{statement}");
    }
    Ok(())
}

/// GetCallerIdentity needs no permission; to assume a role with session tags is an action of its own.
#[test]
fn the_policy_for_more_accounts_lists_what_is_called() -> Result<()> {
    let called: BTreeSet<_> = operations(include_str!("../src/aws/session.rs")).collect();
    ensure!(called == BTreeSet::from(["AssumeRole"]), "{called:?}");
    let expected = ["sts:AssumeRole", "sts:TagSession"].map(str::to_owned);
    ensure!(granted("sts")? == BTreeSet::from(expected), "{:?}", granted("sts")?);
    Ok(())
}

/// The actions of a policy in deploy/iam that are the service's own.
fn granted(service: &str) -> Result<BTreeSet<String>> {
    let actions = statements(service)?.into_iter().flat_map(|statement| texts(&statement["Action"]));
    Ok(actions.filter(|action| action.starts_with(&format!("{service}:"))).collect())
}

fn statements(service: &str) -> Result<Vec<Value>> {
    let policy: Value = serde_json::from_str(&std::fs::read_to_string(format!("{DEPLOY}/iam/{service}.json"))?)?;
    policy["Statement"].as_array().cloned().context("no statements")
}

/// A text, or a list of texts.
fn texts(value: &Value) -> Vec<String> {
    let one = value.as_str().map(str::to_owned);
    one.into_iter().chain(value.as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned)).collect()
}

/// The operations in `….read("Operation", …` and `….mutate(permit, "Operation", …`.
fn operations(source: &str) -> impl Iterator<Item = &str> {
    let reads = source.split(".read(\"").skip(1);
    let writes = source.split(".mutate(permit, \"").skip(1);
    reads.chain(writes).filter_map(|rest| rest.split('"').next())
}
