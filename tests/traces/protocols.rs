//! Both protocols, with and without TLS; who sends; and how many traces are kept.

use anyhow::{Context as _, Result, ensure};
use fairlead_harness::{cluster::Cluster, otlp::Collector, site::Site};
use serde_json::json;

use crate::{DEADLINE, reconciled, site};

/// Makes a queue, and waits for its trace.
async fn traced(site: &mut Site, collector: &Collector) -> Result<()> {
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    let trace = collector.trace("the creation", DEADLINE, reconciled("orders", "Created")).await;
    trace.map_err(|error| site.operator().map_or_else(|none| none, |operator| operator.explain(error)))?;
    Ok(())
}

#[tokio::test]
async fn by_grpc_and_by_http_with_headers_and_a_name() -> Result<()> {
    for (protocol, by) in [("grpc", "grpc"), ("http/protobuf", "http")] {
        let collector = Collector::start().await?;
        let mut site = site(&collector)
            .await?
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_HEADERS", "x-team=shop,authorization=Bearer%20abc")
            .env("OTEL_SERVICE_NAME", "fairlead-blue")
            .env("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,k8s.pod.name=given")
            .env("FAIRLEAD_IDENTITY", "fairlead-0")
            .env("FAIRLEAD_POD_UID", "4711");
        traced(&mut site, &collector).await?;
        let requests = collector.requests();
        ensure!(requests.iter().all(|request| request.by == by), "{requests:?}");
        let headers = &requests.first().context("no request")?.headers;
        assert_eq!(headers.get("x-team").map(String::as_str), Some("shop"), "{protocol}");
        assert_eq!(headers.get("authorization").map(String::as_str), Some("Bearer abc"), "{protocol}");
        let resource = collector.spans().remove(0).resource;
        for (name, value) in [
            ("service.name", "fairlead-blue"),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("service.instance.id", "4711"),
            ("k8s.pod.uid", "4711"),
            ("k8s.namespace.name", &site.leases),
            ("deployment.environment.name", "test"),
            // What is given wins.
            ("k8s.pod.name", "given"),
        ] {
            assert_eq!(resource.get(name), Some(&json!(value)), "{protocol}: {name} in {resource:?}");
        }
        ensure!(!site.operator()?.log().contains("Bearer"), "a header's value is in the log");
    }
    Ok(())
}

#[tokio::test]
async fn over_tls_by_the_certificate_that_is_named() -> Result<()> {
    let kubeconfig = Cluster::shared().await?.admin_kubeconfig();
    // The control plane has made itself a certificate for 127.0.0.1, which serves here too.
    let of_cluster = |name: &str| kubeconfig.with_file_name(name);
    let certificate = of_cluster("apiserver.crt");
    let (pem, key) = (std::fs::read(&certificate)?, std::fs::read(of_cluster("apiserver.key"))?);
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start_tls(&pem, &key).await?;
        let file = certificate.to_str().context("a path")?;
        let mut site = site(&collector)
            .await?
            .env("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
            .env("OTEL_EXPORTER_OTLP_CERTIFICATE", file);
        traced(&mut site, &collector).await?;
    }
    // Without it nobody trusts the collector: that is told, and costs spans alone.
    let collector = Collector::start_tls(&pem, &key).await?;
    let mut site = site(&collector).await?;
    site.start().await?;
    site.create(["orders".to_owned()], json!({})).await?;
    site.until_ready("orders", 1, DEADLINE).await?;
    let operator = site.operator()?;
    site.until("a complaint", DEADLINE, || match operator.log().contains("spans could not be exported") {
        true => Ok(()),
        false => Err("none".into()),
    })
    .await?;
    ensure!(collector.count() == 0);
    Ok(())
}

#[tokio::test]
async fn a_trace_is_kept_whole_or_not_at_all() -> Result<()> {
    let collector = Collector::start().await?;
    let mut site = site(&collector)
        .await?
        .env("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        .env("OTEL_TRACES_SAMPLER_ARG", "0.3");
    site.start().await?;
    site.create((0..100).map(|number| format!("many-{number}")), json!({})).await?;
    site.until_ready("many", 100, DEADLINE).await?;
    let operator = site.take_operator()?;
    operator.terminate()?;
    operator.exit_code(DEADLINE).await?;
    let spans = collector.spans();
    let creations = spans.iter().filter(|span| span.name == "SQS/CreateQueue");
    let kept = creations.clone().count();
    // Of 100 with a chance of 0.3 each: outside of this once in 10^7 runs.
    ensure!((7..=56).contains(&kept), "{kept} of 100 traces");
    for call in creations {
        let root = spans.iter().find(|span| span.trace == call.trace && span.parent.is_empty());
        ensure!(root.is_some_and(|root| root.name == "reconcile SQSQueue"), "a call without its reconcile");
    }
    Ok(())
}
