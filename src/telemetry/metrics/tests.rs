//! The catalogue against what is scraped, both ways; and what is bounded.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use kube::api::DynamicObject;
use serde_json::json;

use super::{
    bounds::{OWN, UNANSWERED},
    *,
};
use crate::{
    aws::Service,
    engine::{
        api_server::Watches,
        leadership,
        objects::Object,
        shown::{Shown, Tally},
    },
    kinds::KINDS,
    queue::{
        dispatcher::Queue,
        flow::{Calls, Flow, Priority},
        scheduler::Terms,
        slots::Limits,
        spread::Phase,
    },
    shard::{Permits, Shard, clock, lease::Timing},
    telemetry::pulse::Pulse,
};

const SECOND: Duration = Duration::from_secs(1);
const KIND: &str = "SQSQueue";

fn flow(region: &str) -> Flow {
    Flow::new("123456789012", region, Service("sqs"))
}

/// Metrics that were told of one of everything.
fn told() -> Metrics {
    let metrics = Metrics::default();
    metrics.reconciled(KIND, "error", SECOND, Some("0af7651916cd43dd8448eb211c80319c"));
    drop(metrics.active(KIND));
    metrics.failed(KIND, "AccessDenied");
    metrics.ready_after(KIND, SECOND);
    metrics.drift_corrected(KIND, "delaySeconds");
    metrics.swept("RDSInstance", "ok", SECOND, 7);
    metrics.swept("RDSInstance", "throttle", SECOND, 4);
    metrics.show_messages(1);
    metrics.saw_messages("shop", "orders", [3, 2, 1]);
    metrics.added();
    metrics.retried();
    metrics.started(&flow("eu-west-1"), Priority::Change, SECOND);
    metrics.worked(&flow("eu-west-1"), SECOND);
    metrics.throttled(&flow("eu-west-1"));
    metrics.circuit_opened(&flow("eu-west-1"));
    metrics.called("sqs", "CreateQueue", "eu-west-1", "ok", SECOND);
    metrics.request("GET", "10.0.0.1:443".to_owned().into(), false).answered(200);
    metrics.spans_exported(5);
    metrics.spans_dropped("queue_full", 6);
    metrics.shard_acquired(Shard::FIRST, true, Some(SECOND));
    metrics.shard_ended(Shard::FIRST, "lost");
    metrics.permit_granted();
    metrics.permit_refused();
    metrics.permit_cut_off();
    metrics.lease_written(SECOND);
    metrics
}

/// The same with all that is read.
fn fed() -> (Metrics, Queue<u32>) {
    let metrics = told();
    let queue = Queue::new(Limits { overall: 1, region: 1, flow: 1 }, metrics.clone());
    let calls = Calls { change: 1, poll: 1 };
    let terms = Terms { flow: flow("eu-west-1"), rate: 1.0, calls, phase: Phase::of("") };
    queue.add(1, &terms, Priority::Change, std::time::Instant::now());
    let permits = Permits::new(1, Timing::SHIPPED, clock::system(), Metrics::default());
    permits.saw(Shard::FIRST, None, 1);
    leadership::show(&permits, &metrics);
    let watches = Watches::of([("/api/v1/namespaces/shop/configmaps".to_owned(), Pulse::seen(SECOND))]);
    metrics.read(move || watches.readings());
    metrics.read(process::readings);
    let runtime = tokio::runtime::Handle::current();
    metrics.read(move || process::runtime(&runtime));
    metrics.read(|| KINDS.iter().flat_map(|kind| Tally::default().readings(kind.kind, kind.total, 0)).collect());
    // Of those who are wired where there are traces and controllers.
    metrics.read(|| {
        let workers = Reading::count(&table::MAX_WORKERS, [KIND.into()], 64);
        vec![workers, Reading::count(&table::SPAN_QUEUE, [], 1), Reading::count(&table::SPAN_QUEUE_CAPACITY, [], 2)]
    });
    (metrics, queue)
}

/// What a scrape has: of each metric its type, its help, and the label names of its series.
type Scraped = BTreeMap<String, (String, String, BTreeSet<Vec<String>>)>;

fn scraped(text: &str) -> Scraped {
    let mut all = Scraped::new();
    let (mut stem, mut help, mut form) = ("", "", "");
    for line in text.lines().filter(|line| *line != "# EOF") {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            (stem, help) = rest.split_once(' ').unwrap();
            continue;
        }
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (of, is) = rest.split_once(' ').unwrap();
            assert_eq!(of, stem, "{line}");
            assert!(all.keys().all(|name| name.strip_suffix("_total").unwrap_or(name) != stem), "twice: {line}");
            form = is;
            continue;
        }
        let (series, labels) = match line.split_once('{') {
            Some((series, rest)) => (series, rest.split_once('}').unwrap().0),
            None => (line.split_once(' ').unwrap().0, ""),
        };
        let suffix = series.strip_prefix(stem).unwrap_or_else(|| panic!("{line} is not of {stem}"));
        let name = match (form, suffix) {
            ("counter", "_total") | ("gauge", "") => series,
            ("histogram", "_bucket" | "_sum" | "_count") => stem,
            _ => panic!("{form}: {line}"),
        };
        let labels = labels.split("\",").filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
        let labels = labels.filter(|label| label != "le").collect();
        let (.., seen) = all.entry(name.into()).or_insert_with(|| (form.into(), help.into(), BTreeSet::new()));
        seen.insert(labels);
    }
    all
}

#[tokio::test]
async fn what_is_scraped_is_what_the_catalogue_says() {
    let (metrics, _queue) = fed();
    let text = metrics.text().unwrap();
    let scraped = scraped(&text);
    for metric in catalog::all() {
        let (form, help, labels) = scraped.get(metric.name).unwrap_or_else(|| panic!("no {} in:\n{text}", metric.name));
        assert_eq!((form.as_str(), help.as_str()), (metric.form.name(), format!("{}.", metric.help).as_str()));
        let expected = metric.labels.iter().map(|label| (*label).to_owned()).collect();
        assert_eq!(labels, &BTreeSet::from([expected]), "{}", metric.name);
    }
    let known: BTreeSet<_> = catalog::all().iter().map(|metric| metric.name).collect();
    let unknown: Vec<_> = scraped.keys().filter(|name| !known.contains(name.as_str())).collect();
    assert!(unknown.is_empty(), "not in the catalogue: {unknown:?}");
    assert_eq!(known.len(), catalog::all().len(), "a name stands twice in the catalogue");
}

#[tokio::test]
async fn names_are_those_that_dashboards_know() {
    let (metrics, _queue) = fed();
    let text = metrics.text().unwrap();
    for line in [
        r#"controller_runtime_reconcile_total{controller="SQSQueue",result="error"} 1"#,
        r#"controller_runtime_reconcile_errors_total{controller="SQSQueue"} 1"#,
        r#"controller_runtime_reconcile_time_seconds_count{controller="SQSQueue"} 1"#,
        r#"controller_runtime_active_workers{controller="SQSQueue"} 0"#,
        r#"workqueue_adds_total{name="fairlead"} 2"#,
        r#"workqueue_retries_total{name="fairlead"} 1"#,
        r#"workqueue_queue_duration_seconds_count{name="fairlead",priority="change"} 1"#,
        r#"workqueue_work_duration_seconds_count{name="fairlead"} 1"#,
        r#"fairlead_aws_calls_total{service="sqs",operation="CreateQueue",region="eu-west-1",outcome="ok"} 1"#,
        r#"rest_client_requests_total{code="200",method="GET",host="10.0.0.1:443"} 1"#,
        r#"rest_client_request_duration_seconds_count{verb="GET",host="10.0.0.1:443"} 1"#,
        r#"fairlead_flow_wait_seconds_count{account="123456789012",region="eu-west-1",service="sqs",priority="change"} 1"#,
        r#"fairlead_flow_throttles_total{account="123456789012",region="eu-west-1",service="sqs"} 1"#,
        r#"fairlead_shard_transitions_total{shard="0",reason="expired-taken"} 1"#,
        r#"fairlead_sqs_messages{namespace="shop",name="orders",state="in_flight"} 2.0"#,
        r#"fairlead_sweep_objects_total{kind="RDSInstance"} 11"#,
        r#"fairlead_spans_dropped_total{reason="rejected"} 0"#,
        r#"fairlead_watch_age_seconds{resource="configmaps",namespace="shop"} 1."#,
        "fairlead_shards 1.0",
        "# EOF",
    ] {
        assert!(text.lines().any(|it| it.starts_with(line)), "no line {line} in:\n{text}");
    }
    let exemplar = r#"controller_runtime_reconcile_time_seconds_bucket{le="1.0",controller="SQSQueue"} 1 # {trace_id="0af7651916cd43dd8448eb211c80319c"} 1.0 "#;
    assert!(text.contains(exemplar), "{text}");
}

#[test]
fn requests_count_by_how_they_ended_and_watches_are_not_timed() {
    let metrics = Metrics::default();
    for (method, watches, code) in [("GET", false, Some(200)), ("GET", true, Some(200)), ("PATCH", false, None)] {
        let mut request = metrics.request(method, "h".into(), watches);
        code.into_iter().for_each(|code| request.answered(code));
    }
    let text = metrics.text().unwrap();
    for line in [
        r#"rest_client_requests_total{code="200",method="GET",host="h"} 2"#,
        r#"rest_client_requests_total{code="<error>",method="PATCH",host="h"} 1"#,
        r#"rest_client_request_duration_seconds_count{verb="GET",host="h"} 1"#,
        r#"rest_client_request_duration_seconds_count{verb="PATCH",host="h"} 1"#,
    ] {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
}

#[test]
fn tenants_cannot_make_series_without_bound() {
    let metrics = Metrics::default();
    for number in 0..1_000 {
        let region = format!("xx-made-{number}");
        metrics.called("sqs", "CreateQueue", &region, "no_answer", Duration::ZERO);
        metrics.started(&flow(&region), Priority::Poll, Duration::ZERO);
    }
    let text = metrics.text().unwrap();
    let series = |name: &str| text.lines().filter(|line| line.starts_with(name)).count();
    assert_eq!(series("fairlead_aws_calls_total"), UNANSWERED + 1);
    assert_eq!(series("fairlead_flow_wait_seconds_count"), UNANSWERED + 1);
    assert_eq!(series("fairlead_flow_throttles_total"), UNANSWERED + 1);
    for line in [
        r#"region="other",outcome="no_answer"} 980"#,
        r#"fairlead_flow_wait_seconds_count{account="other",region="other",service="sqs",priority="poll"} 980"#,
    ] {
        assert!(text.contains(line), "{line} in:\n{text}");
    }
}

#[test]
fn where_aws_answers_has_series_of_its_own_whatever_tenants_invent() {
    let metrics = Metrics::default();
    let own = |region: &str| {
        metrics.called("sqs", "CreateQueue", region, "ok", Duration::ZERO);
        let of_calls = format!("CreateQueue\",region=\"{region}\"");
        let [.., of_flow, _] = metrics.flow(&flow(region));
        (of_flow.as_str() == region, metrics.text().unwrap().contains(&of_calls))
    };
    // Invented ones take what there is for those without an answer, and the first of them turns out to exist.
    for number in 0..1_000 {
        own(&format!("xx-made-{number}"));
    }
    assert_eq!(own("eu-west-1"), (false, false));
    for region in ["eu-west-1", "xx-made-0"] {
        metrics.answered(&flow(region));
        metrics.answered(&flow(region));
        assert_eq!(own(region), (true, true), "{region}");
    }
    assert_eq!([own("xx-late-1"), own("xx-late-2")], [(true, true), (false, false)], "one has made room");
    // There are no more than so many of both.
    for number in 0..1_000 {
        let region = format!("region-{number}");
        metrics.answered(&flow(&region));
        own(&region);
    }
    let text = metrics.text().unwrap();
    let series = text.lines().filter(|line| line.starts_with("fairlead_aws_calls_total{")).count();
    assert_eq!(series, OWN + 1, "{text}");
    assert_eq!((own("region-0"), own("region-999")), ((true, true), (false, false)));
}

#[test]
fn what_rates_are_made_of_is_there_from_the_start() {
    let text = Metrics::default().text().unwrap();
    for kind in KINDS.iter().map(|kind| kind.kind) {
        for line in [
            format!("fairlead_time_to_ready_seconds_count{{kind=\"{kind}\"}} 0"),
            format!("fairlead_time_to_ready_seconds_bucket{{le=\"10.0\",kind=\"{kind}\"}} 0"),
            format!("controller_runtime_reconcile_total{{controller=\"{kind}\",result=\"error\"}} 0"),
            format!("controller_runtime_reconcile_errors_total{{controller=\"{kind}\"}} 0"),
        ] {
            assert!(text.lines().any(|it| it == line), "no {line} in:\n{text}");
        }
    }
}

#[test]
fn messages_are_those_of_so_many_queues_and_what_goes_makes_room() {
    enum Step {
        Saw(&'static str),
        Forget(&'static str),
    }
    use Step::{Forget, Saw};
    for (most, steps, shown) in [
        (0, vec![Saw("a")], ""),
        (2, vec![Saw("a"), Saw("b"), Saw("c")], "a b"),
        (2, vec![Saw("a"), Saw("b"), Saw("c"), Saw("a")], "a b"),
        (2, vec![Saw("a"), Saw("b"), Forget("a"), Saw("c"), Saw("a")], "b c"),
        (1, vec![Saw("a"), Forget("b"), Saw("b")], "a"),
    ] {
        let metrics = Metrics::default();
        metrics.show_messages(most);
        for step in steps {
            match step {
                Saw(name) => metrics.saw_messages("shop", name, [1, 2, 3]),
                Forget(name) => metrics.forget_messages("shop", name),
            }
        }
        let text = metrics.text().unwrap();
        let names: BTreeSet<_> = text
            .lines()
            .filter_map(|line| line.strip_prefix("fairlead_sqs_messages{namespace=\"shop\",name=\"")?.split('"').next())
            .collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>().join(" "), shown, "{most}");
        assert_eq!(text.matches("fairlead_sqs_messages{").count(), 3 * shown.split_whitespace().count());
    }
}

/// As much as 5,000 objects and as many flows as have series of their own make: for a look at its cost.
#[tokio::test]
async fn a_scrape_of_many_objects_is_cheap() {
    let (metrics, queue) = fed();
    let object: DynamicObject = serde_json::from_value(json!({
        "metadata": { "name": "a", "creationTimestamp": "2026-01-01T00:00:00Z" },
        "status": { "conditions": [{ "type": "Ready", "status": "False" }] },
    }))
    .unwrap();
    let shown = vec![Shown::of(&Object(object)); 5_000];
    metrics.read(move || {
        let mut tally = Tally::default();
        shown.iter().for_each(|shown| tally.add(*shown, false, true));
        tally.readings("Measured", &table::SHARDS_LED, 0)
    });
    for number in 0..5_000 {
        let region = format!("region-{}", number % 200);
        let calls = Calls { change: 1, poll: 1 };
        let terms = Terms { flow: flow(&region), rate: 1.0, calls, phase: Phase::of("") };
        queue.add(number, &terms, Priority::Poll, std::time::Instant::now());
        metrics.answered(&flow(&region));
        metrics.started(&flow(&region), Priority::Poll, SECOND);
        metrics.worked(&flow(&region), SECOND);
    }
    let begun = std::time::Instant::now();
    let text = metrics.text().unwrap();
    let took = begun.elapsed();
    println!("a scrape of {} lines took {took:?}", text.lines().count());
    assert!(text.contains("fairlead_flow_ready{account=\"other\""), "{text}");
    // Far above what it takes, also where nothing is optimised and the machine is busy.
    assert!(took < SECOND * 2, "{took:?}");
}
