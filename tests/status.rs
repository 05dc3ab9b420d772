//! `fairlead status` on a real API server: what it reads with which rights, also through the pod proxy.

use std::{net::UdpSocket, path::Path, process::Output, time::Duration};

use anyhow::{Context as _, Result, ensure};
use fairlead::telemetry::{
    endpoint,
    statusz::{QueueStatusz, ShardStatusz, Statusz, statusz},
};
use fairlead_harness::{cluster::Cluster, wait::eventually};
use serde_json::{Value, json};

const DEPLOY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy");

/// Runs `fairlead status` with an environment that is fully known.
async fn status(kubeconfig: &Path, args: &[&str]) -> Result<Output> {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_fairlead"));
    command.arg("status").args(args).env_clear().env("KUBECONFIG", kubeconfig);
    Ok(tokio::task::spawn_blocking(move || command.output()).await??)
}

/// What it prints where it succeeds.
async fn printed(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    let output = status(kubeconfig, args).await?;
    ensure!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

/// The one line that it says where it fails.
async fn failure(kubeconfig: &Path, args: &[&str]) -> Result<String> {
    let output = status(kubeconfig, args).await?;
    ensure!(output.status.code() == Some(1) && output.stdout.is_empty(), "{output:?}");
    let line = String::from_utf8(output.stderr)?;
    ensure!(line.lines().count() == 1, "{line}");
    Ok(line)
}

async fn apply(cluster: &Cluster, object: Value) -> Result<()> {
    cluster.kubectl_apply(&object.to_string()).await?;
    Ok(())
}

/// The layout of one shard, and its Lease, held by `holder`.
async fn leases(cluster: &Cluster, namespace: &str, holder: &str) -> Result<()> {
    let now = jiff::Timestamp::now();
    let lease = |name: &str, label: &str, annotations: Value, spec: Value| {
        json!({
            "apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "spec": spec,
            "metadata": { "name": name, "namespace": namespace, "annotations": annotations,
                          "labels": { "fairlead.dev/lease": label } },
        })
    };
    apply(cluster, lease("fairlead-layout", "layout", json!({ "fairlead.dev/shards": "1" }), json!({}))).await?;
    let held = json!({ "holderIdentity": holder, "leaseDurationSeconds": 3600,
                       "acquireTime": format!("{now:.6}"), "renewTime": format!("{now:.6}") });
    apply(cluster, lease("fairlead-shard-0", "shard", json!({}), held)).await
}

/// A pod of Fairlead, which nobody runs.
async fn pod(cluster: &Cluster, namespace: &str, name: &str, status: Value) -> Result<()> {
    let restricted = json!({ "allowPrivilegeEscalation": false, "capabilities": { "drop": ["ALL"] } });
    apply(
        cluster,
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "namespace": namespace, "labels": { "app.kubernetes.io/name": "fairlead" } },
            "spec": {
                "containers": [{ "name": "fairlead", "image": "fairlead", "securityContext": restricted }],
                "securityContext": { "runAsNonRoot": true, "seccompProfile": { "type": "RuntimeDefault" } },
            },
        }),
    )
    .await?;
    let patch = json!({ "status": status }).to_string();
    cluster.kubectl(&["patch", "pod", name, "--namespace", namespace, "--subresource=status", "-p", &patch]).await?;
    Ok(())
}

fn of(identity: &str) -> Statusz {
    let shard = ShardStatusz {
        shard: 0,
        led: true,
        draining: false,
        holder: Some(identity.to_owned()),
        holder_age_seconds: 1.0,
        epoch: Some("7".to_owned()),
        valid_for_seconds: 5.0,
        objects: 17,
        outstanding_permits: 2,
    };
    Statusz {
        identity: identity.to_owned(),
        version: "0.1.0".to_owned(),
        started_at: jiff::Timestamp::UNIX_EPOCH,
        shards: vec![shard],
        queue: QueueStatusz { depth: 3, running: 1 },
    }
}

#[tokio::test]
async fn wrong_usage_is_told_in_one_line() -> Result<()> {
    let nowhere = Path::new("/nonexistent");
    for (args, code, told) in [
        (["--metrics-port", "0"], 2, "--metrics-port=\"0\": allowed: a port, 1 to 65535"),
        (["--namespace", "A b"], 2, "--namespace=\"A b\": allowed: the name of a namespace"),
        (["--output", "yaml"], 2, "--output=\"yaml\": allowed: table, json"),
        (["--output", "json"], 1, "no way to the Kubernetes API server: KUBECONFIG=/nonexistent: "),
    ] {
        let output = status(nowhere, &args).await?;
        let line = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.code() == Some(code) && line.starts_with(&format!("fairlead: {told}")),
            "{args:?}: {line}"
        );
        ensure!(output.stdout.is_empty() && line.lines().count() == 1, "{line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_namespace_without_leases_is_told_with_the_way_out() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let (empty, namespace) = (cluster.namespace("empty").await?, cluster.namespace("status").await?);
    leases(cluster, &namespace, "fairlead-a_1").await?;
    let line = failure(&cluster.admin_kubeconfig(), &["--namespace", &empty]).await?;
    ensure!(line.contains(&format!("no Leases of Fairlead in the namespace {empty}")), "{line}");
    ensure!(line.contains(&namespace) && line.contains("use --namespace"), "{line}");
    Ok(())
}

#[tokio::test]
async fn replicas_are_asked_through_the_pod_proxy() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = cluster.namespace("status").await?;
    leases(cluster, &namespace, "fairlead-a_1").await?;
    pod(cluster, &namespace, "fairlead-b", json!({ "phase": "Pending" })).await?;
    let gone = printed(&cluster.admin_kubeconfig(), &["--namespace", &namespace]).await?;
    ensure!(gone.contains("no pod of this name: it is gone"), "{gone}");
    ensure!(gone.contains("its pod is Pending"), "{gone}");

    // The proxy goes to no loopback address. Nothing is sent: this only looks up which address would be.
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    if socket.connect("192.0.2.1:9").is_err() {
        eprintln!("this machine has no address but the loopback one: the pod proxy is not tried");
        return Ok(());
    }
    let listener = endpoint::bind("it", (socket.local_addr()?.ip(), 0).into()).await.map_err(anyhow::Error::msg)?;
    let address = listener.local_addr()?;
    tokio::spawn(endpoint::serve(listener, statusz(|| of("fairlead-a_1"))));
    let (ip, port) = (address.ip().to_string(), address.port().to_string());
    let running = json!({ "phase": "Running", "podIP": ip, "podIPs": [{ "ip": ip }] });
    pod(cluster, &namespace, "fairlead-a", running).await?;

    let args = ["--namespace", &namespace, "--metrics-port", &port, "-o", "json"];
    let report: Value = serde_json::from_str(&printed(&cluster.admin_kubeconfig(), &args).await?)?;
    let shard = &report["shards"][0];
    ensure!(shard["holder"] == "fairlead-a_1" && shard["objects"] == 17, "{report:#}");
    ensure!(report["replicas"][0]["role"] == "leader" && report["replicas"][0]["queueDepth"] == 3, "{report:#}");
    // Another port: nobody is there.
    let closed = printed(&cluster.admin_kubeconfig(), &["--namespace", &namespace, "--metrics-port", "1"]).await?;
    ensure!(closed.contains("the API server can't reach it: "), "{closed}");
    Ok(())
}

#[tokio::test]
async fn the_role_grants_what_it_needs_and_what_is_missing_is_named() -> Result<()> {
    let cluster = Cluster::shared().await?;
    cluster.install(Path::new(DEPLOY)).await?;
    let namespace = "fairlead-system";
    leases(cluster, namespace, "fairlead-a_1").await?;
    cluster.kubectl(&["create", "serviceaccount", "person", "--namespace", namespace]).await?;
    let person = cluster.service_account_kubeconfig(namespace, "person").await?;
    let line = failure(&person, &[]).await?;
    ensure!(line.contains("you need `list` on leases.coordination.k8s.io in fairlead-system"), "{line}");

    // The operator has its Leases, and not its pods.
    let operator = cluster.service_account_kubeconfig(namespace, "fairlead").await?;
    let text = printed(&operator, &[]).await?;
    ensure!(text.contains("forbidden: you need `get` on pods/proxy in fairlead-system"), "{text}");
    ensure!(text.contains("note: pods can't be listed: you need `list` on pods"), "{text}");

    let binding = ["create", "rolebinding", "person", "--role=fairlead-status", "--serviceaccount"];
    cluster.kubectl(&[&binding[..], &["fairlead-system:person", "--namespace", namespace]].concat()).await?;
    let allowed = eventually("the role to be in effect", Duration::from_secs(30), async || {
        printed(&person, &[]).await.map_err(|error| error.to_string())
    });
    let text = allowed.await.context("with the Role fairlead-status")?;
    ensure!(!text.contains("you need") && text.contains("no pod of this name"), "{text}");
    Ok(())
}
