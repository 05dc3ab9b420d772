//! The whole process against the fake AWS and a real API server: the budgets of the design beside what
//! is measured, and beside the floor, which is the same calls and writes in a bare loop. Everything runs
//! on this machine, and takes some minutes; `cargo bench --bench scale -- NAME` runs one case.
//!
//! What was measured, and on what, stands in benches/README.md.

use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use aws_sdk_sqs::types::QueueAttributeName;
use fairlead_harness::{
    fake_aws::{Budget, Latency, Scope},
    site::Site,
    sqs::sqs_client,
};
use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::{core::v1::ConfigMap, events::v1::Event};
use kube::{
    Api,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::GroupVersionKind,
};
use serde_json::{Value, json};

const DEADLINE: Duration = Duration::from_secs(400);
const REGION: &str = "eu-west-1";

fn main() -> Result<()> {
    let wanted: Vec<_> = std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let run = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| name.contains(wanted.as_str()));
    tokio::runtime::Runtime::new()?.block_on(async {
        println!("| What | Budget | Measured |\n|---|---|---|");
        if run("create") {
            create(500, Some(2.5)).await?;
            create(5_000, None).await?;
        }
        if run("slow") {
            slow_region().await?;
        }
        if run("throttled") {
            throttled().await?;
        }
        if run("overtaking") {
            overtaking().await?;
        }
        Ok(())
    })
}

fn row(what: &str, budget: &str, measured: &str) {
    println!("| {what} | {budget} | {measured} |");
}

async fn site() -> Result<Site> {
    let deploy = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"));
    Site::new(deploy, Path::new(env!("CARGO_BIN_EXE_fairlead"))).await
}

fn names(prefix: &str, count: usize) -> impl Iterator<Item = String> {
    (0..count).map(move |number| format!("{prefix}-{number}"))
}

/// So many queues to Ready from the process's start, AWS at 20 ms a call; then the floor, in the same run.
async fn create(count: usize, budget: Option<f64>) -> Result<()> {
    let mut site = site().await?.env("FAIRLEAD_FLOW_RATE", "2000");
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(20)));
    site.create(names("queue", count), json!({})).await?;
    let started = site.start().await?;
    let took = site.until_ready("queue", count, DEADLINE).await?.duration_since(started).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let calls = site
        .fake
        .calls()
        .iter()
        .filter(|call| call.service == "sqs" && call.at <= started + Duration::from_secs_f64(took))
        .count() as f64
        / count as f64;
    let operator = site.operator()?;
    let (memory, cpu) = (operator.peak_memory()?, operator.cpu()?);
    let mut scrapes = Vec::new();
    for _ in 0..10 {
        let begun = Instant::now();
        operator.metrics().await?;
        scrapes.push(begun.elapsed());
    }
    drop(site);
    let floor = floor(count).await?;
    row(
        &format!("{count} queues to Ready, AWS at 20 ms, flow rate 2,000"),
        &budget.map_or("≤ 1.3 × the floor".into(), |budget| format!("≤ {budget} s")),
        &format!("{took:.2} s; floor {floor:.2} s, × {:.2}; {calls:.2} calls a queue; {cpu:.2} s of CPU", took / floor),
    );
    let limit = if count <= 500 { "40 MB" } else { "120 MB" };
    row(&format!("memory with {count} queues"), &format!("≤ {limit}"), &format!("{memory:.0} MB (resident, peak)"));
    row(&format!("a scrape of /metrics with {count} queues"), "≤ 50 ms", &percentiles(&mut scrapes));
    Ok(())
}

/// What an operator has to do for new queues, in a bare loop: as many at once as a flow has slots.
async fn floor(count: usize) -> Result<f64> {
    const AT_ONCE: usize = 16;
    let site = site().await?;
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(20)));
    site.create(names("queue", count), json!({})).await?;
    let client = site.cluster.admin_client().await?;
    let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "SQSQueue");
    let resource = ApiResource::from_gvk_with_plural(&kind, "sqsqueues");
    let objects: Api<DynamicObject> = Api::namespaced_with(client.clone(), &site.namespace, &resource);
    let maps: Api<ConfigMap> = Api::namespaced(client.clone(), &site.namespace);
    let events: Api<Event> = Api::namespaced(client, &site.namespace);
    let sqs = sqs_client(&site.fake.url(), &site.account, REGION);
    let started = Instant::now();
    let one = |name: String| {
        let (objects, maps, events, sqs, namespace) = (&objects, &maps, &events, &sqs, &site.namespace);
        async move {
            let merge = |patch: Value| Patch::Merge(patch);
            let params = PatchParams::default();
            let identity = json!({ "metadata": { "finalizers": ["aws.fairlead.dev/finalizer"],
                "annotations": { "aws.fairlead.dev/identity": format!("{{\"name\":\"{name}\",\"region\":\"{REGION}\"}}") } } });
            let uid = objects.patch(&name, &params, &merge(identity)).await?.metadata.uid;
            let made = sqs.create_queue().queue_name(&name).tags("fairlead.dev/name", &name).send().await?;
            let url = made.queue_url.context("no URL")?;
            sqs.get_queue_attributes().queue_url(&url).attribute_names(QueueAttributeName::All).send().await?;
            let data = [("queueURL", &url), ("queueName", &name)];
            let data: BTreeMap<_, _> = data.map(|(key, value)| (key.to_owned(), value.clone())).into();
            let metadata = json!({ "name": name, "labels": { "floor": "true" }, "ownerReferences": [{
                "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "name": name, "uid": uid }] });
            let map = ConfigMap { data: Some(data), ..serde_json::from_value(json!({ "metadata": metadata }))? };
            maps.create(&PostParams::default(), &map).await?;
            let event = json!({
                "metadata": { "name": name, "namespace": namespace }, "eventTime": "2026-01-01T00:00:00.000000Z",
                "type": "Normal", "reason": "Created", "action": "Reconcile", "note": "created",
                "reportingController": "floor", "reportingInstance": "floor",
                "regarding": { "kind": "SQSQueue", "namespace": namespace, "name": name },
            });
            events.create(&PostParams::default(), &serde_json::from_value(event)?).await?;
            let condition = |kind: &str| {
                json!({ "type": kind, "status": "True", "reason": "Available", "message": "",
                "lastTransitionTime": "2026-01-01T00:00:00Z" })
            };
            let status = json!({ "status": { "observedGeneration": 1, "url": url, "visibleMessages": 0,
                "conditions": [condition("Ready"), condition("Synced")] } });
            objects.patch_status(&name, &params, &merge(status)).await?;
            anyhow::Ok(())
        }
    };
    futures::stream::iter(names("queue", count).map(one)).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
    Ok(started.elapsed().as_secs_f64())
}

/// New queues in a healthy region, one after the other, while 200 wait on one that takes 5 s a call.
async fn slow_region() -> Result<()> {
    const BAD: &str = "us-east-1";
    let mut site = site().await?;
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(20)));
    site.fake.latency(Scope::region(BAD), Latency::fixed(Duration::from_secs(5)));
    site.create(names("slow", 200), json!({ "region": BAD })).await?;
    site.start().await?;
    let into = || site.fake.calls().iter().filter(|call| call.region == BAD).count();
    site.until("the slow region's slots to be taken", DEADLINE, || {
        if into() >= 16 { Ok(()) } else { Err(into().to_string()) }
    })
    .await?;
    let mut waits = Vec::new();
    for name in names("well", 50) {
        let created = Instant::now();
        site.create([name.clone()], json!({})).await?;
        waits.push(site.until_ready(&name, 1, DEADLINE).await?.saturating_duration_since(created));
    }
    let left = 200 - site.ready("slow");
    row(
        "a queue in a healthy region to Ready, while 200 wait on one that takes 5 s a call",
        "≤ 1 s",
        &format!("{} ({left} of 200 still waiting at the end)", percentiles(&mut waits)),
    );
    Ok(())
}

/// 500 queues where AWS allows 50 calls a second, as shipped.
async fn throttled() -> Result<()> {
    let mut site = site().await?;
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(20)));
    site.fake.budget(Scope::all(), Budget::new(50.0, 50.0));
    site.create(names("queue", 500), json!({})).await?;
    let started = site.start().await?;
    let took = site.until_ready("queue", 500, DEADLINE).await?.duration_since(started).as_secs_f64();
    #[allow(clippy::cast_precision_loss)]
    let (throttled, calls) = (site.fake.throttled() as f64, site.fake.calls().len() as f64);
    row(
        "500 queues where AWS allows 50 calls a second, as shipped",
        "≤ 28 s, ≤ 3 % throttled",
        &format!(
            "{took:.1} s, {:.1} % of {calls} calls throttled; 1,000 calls take 19 s there",
            100.0 * throttled / calls
        ),
    );
    Ok(())
}

/// A spec change and a deletion under the polls of 5,000 objects, as shipped: until the first call.
async fn overtaking() -> Result<()> {
    const COUNT: usize = 5_000;
    const SAMPLES: usize = 100;
    let mut site = site().await?.env("FAIRLEAD_FLOW_RATE", "10000");
    site.create(names("queue", COUNT), json!({})).await?;
    site.start().await?;
    site.until_ready("queue", COUNT, DEADLINE).await?;
    let operator = site.take_operator()?;
    operator.terminate()?;
    operator.exit_code(DEADLINE).await?;
    // Polls of 5,000 queues every 30 s would be 167 a second; the rate is 100, and starts at 25.
    let mut site = site.env("FAIRLEAD_FLOW_RATE", "100");
    site.fake.latency(Scope::all(), Latency::fixed(Duration::from_millis(20)));
    site.start().await?;
    let looks = || site.fake.count("sqs", "GetQueueAttributes");
    let before = looks();
    site.until("polls", DEADLINE, || if looks() > before + 500 { Ok(()) } else { Err((looks() - before).to_string()) })
        .await?;
    let (mut changes, mut deletions) = (Vec::new(), Vec::new());
    for number in 0..SAMPLES {
        let name = format!("queue-{number}");
        let asked = Instant::now();
        site.change(&name, json!({ "delaySeconds": 1 + number })).await?;
        changes.push(first_call(&site, &name, "SetQueueAttributes", asked).await?);
        let name = format!("queue-{}", COUNT - 1 - number);
        let asked = Instant::now();
        site.delete([name.clone()]).await?;
        deletions.push(first_call(&site, &name, "DeleteQueue", asked).await?);
    }
    let what = "under the polls of 5,000 queues, as shipped: from the request to the first AWS call";
    row(&format!("a spec change {what}"), "≤ 100 ms p99", &percentiles(&mut changes));
    row(&format!("a deletion {what}"), "≤ 100 ms p99", &percentiles(&mut deletions));
    Ok(())
}

/// How long after `asked` the reconcile that ended in `operation` on the queue made its first call.
async fn first_call(site: &Site, name: &str, operation: &str, asked: Instant) -> Result<Duration> {
    let of_queue = |call: &fairlead_harness::fake_aws::Call| {
        let url = call.request["QueueUrl"].as_str().unwrap_or_default();
        call.at >= asked && url.rsplit('/').next() == Some(name)
    };
    let calls = site
        .until(&format!("{operation} of {name}"), DEADLINE, || {
            let calls: Vec<_> = site.fake.calls_of(operation).into_iter().filter(of_queue).collect();
            if calls.is_empty() { Err("not yet".to_owned()) } else { Ok(calls) }
        })
        .await?;
    let last = calls.first().context("no call")?.at;
    let first = site.fake.calls().into_iter().filter(of_queue).map(|call| call.at).filter(|at| *at <= last).min();
    Ok(first.context("no call")?.duration_since(asked))
}

fn percentiles(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |part: f64| {
        #[allow(clippy::cast_possible_truncation, clippy::cast_precision_loss, clippy::cast_sign_loss)]
        let index = ((times.len() - 1) as f64 * part).round() as usize;
        times[index].as_secs_f64() * 1_000.0
    };
    format!("median {:.0} ms, p99 {:.0} ms, max {:.0} ms of {}", at(0.5), at(0.99), at(1.0), times.len())
}
