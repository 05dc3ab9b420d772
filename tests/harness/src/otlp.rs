//! A collector of traces: it takes OTLP over gRPC and over HTTP on one port, keeps what it is sent, and can be as
//! bad as collectors are.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Result, bail};
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response as Answer};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1 as wire;
use prost::Message as _;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tonic::service::Routes;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status};

use crate::wait::eventually;

/// Of more spans than this the oldest are forgotten.
const MOST: usize = 50_000;
/// More than a caller has to take.
static ENDLESS: LazyLock<String> = LazyLock::new(|| "x".repeat(16 << 20));
const PATH: &str = "/v1/traces";
const PROTOBUF: &str = "application/x-protobuf";

/// A running collector; dropped means stopped.
#[derive(Debug)]
pub struct Collector {
    port: u16,
    tls: bool,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

/// How it treats what it is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    /// It takes everything.
    #[default]
    Good,
    /// It takes everything, after so long.
    Slow(Duration),
    /// It refuses everything, in words that repeat the caller's headers.
    Refusing,
    /// It takes everything by HTTP, and does not look at it: it costs as little as can be.
    Blind,
    /// It says that it took everything, and rejected all of it.
    Rejecting,
    /// It never answers.
    Silent,
    /// Its answers have no end, or one that is far away.
    Endless,
}

#[derive(Debug, Default)]
struct State {
    mood: Mood,
    spans: Vec<Span>,
    requests: Vec<Sent>,
}

/// One request that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// `grpc` or `http`.
    pub by: &'static str,
    /// Its headers.
    pub headers: BTreeMap<String, String>,
    /// How many spans it brought.
    pub spans: usize,
}

/// A span that came.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// Its name.
    pub name: String,
    /// `internal`, `client` or another.
    pub kind: String,
    /// Its trace, in hexadecimal digits.
    pub trace: String,
    /// Its id.
    pub id: String,
    /// Its parent's id; empty for a root.
    pub parent: String,
    /// When it began and ended, in nanoseconds since 1970.
    pub time: (u64, u64),
    /// Its attributes.
    pub attributes: BTreeMap<String, Value>,
    /// What it says of an error, where it ended in one.
    pub error: Option<String>,
    /// The traces and spans that it is linked to.
    pub links: Vec<(String, String)>,
    /// Its log lines: name and attributes.
    pub events: Vec<(String, BTreeMap<String, Value>)>,
    /// Who sent it.
    pub resource: BTreeMap<String, Value>,
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Collector {
    /// A collector on a free port.
    pub async fn start() -> Result<Collector> {
        Collector::listen(None).await
    }

    /// The same with TLS, by a certificate and its key.
    pub async fn start_tls(certificate: &[u8], key: &[u8]) -> Result<Collector> {
        Collector::listen(Some(Identity::from_pem(certificate, key))).await
    }

    async fn listen(identity: Option<Identity>) -> Result<Collector> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, tls) = (listener.local_addr()?.port(), identity.is_some());
        let state: Arc<Mutex<State>> = Arc::default();
        let (of_http, of_grpc) = (Arc::clone(&state), Grpc(Arc::clone(&state)));
        let post = async move |headers: HeaderMap, body: Bytes| http(&of_http, &headers, &body).await;
        let router = Routes::new(TraceServiceServer::new(of_grpc)).into_axum_router();
        let router = router.route(PATH, axum::routing::post(post));
        let mut builder = Server::builder().accept_http1(true);
        if let Some(identity) = identity {
            builder = builder.tls_config(ServerTlsConfig::new().identity(identity))?;
        }
        let serve = builder.add_routes(Routes::from(router)).serve_with_incoming(TcpIncoming::from(listener));
        let server = tokio::spawn(async move {
            if let Err(error) = serve.await {
                eprintln!("the collector ended: {error}");
            }
        });
        Ok(Collector { port, tls, state, server })
    }

    /// For `OTEL_EXPORTER_OTLP_ENDPOINT`, whatever the protocol.
    pub fn endpoint(&self) -> String {
        format!("{}://127.0.0.1:{}", if self.tls { "https" } else { "http" }, self.port)
    }

    /// From now on nobody listens at its endpoint.
    pub fn end(&self) {
        self.server.abort();
    }

    /// From now on it is like this.
    pub fn set(&self, mood: Mood) {
        lock(&self.state).mood = mood;
    }

    /// The spans that it took.
    pub fn spans(&self) -> Vec<Span> {
        lock(&self.state).spans.clone()
    }

    /// How many it took.
    pub fn count(&self) -> usize {
        lock(&self.state).spans.len()
    }

    /// The requests that came.
    pub fn requests(&self) -> Vec<Sent> {
        lock(&self.state).requests.clone()
    }

    /// Waits until a root span that `wanted` likes is there, with all of its trace; root first, then by time.
    pub async fn trace(&self, what: &str, deadline: Duration, wanted: impl Fn(&Span) -> bool) -> Result<Vec<Span>> {
        eventually(&format!("a trace of {what}"), deadline, async || {
            let spans = self.spans();
            let root = spans.iter().rev().find(|span| wanted(span));
            let Some(root) = root else {
                let names: Vec<_> = spans.iter().rev().take(30).map(Span::outline).collect();
                return Err(format!("{} spans, the last: {names:?}", spans.len()));
            };
            let mut trace: Vec<_> = spans.iter().filter(|span| span.trace == root.trace).cloned().collect();
            trace.sort_by_key(|span| (span.id != root.id, span.time));
            Ok(trace)
        })
        .await
    }
}

impl Span {
    /// An attribute as text; empty where there is none.
    pub fn text(&self, attribute: &str) -> String {
        match self.attributes.get(attribute) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => String::new(),
        }
    }

    /// What it is, in a few words.
    pub fn outline(&self) -> String {
        let of = |attribute: &str| Some(self.text(attribute)).filter(|text| !text.is_empty());
        let words = [Some(self.name.clone()), of("fairlead.object.name"), of("fairlead.outcome"), of("error.type")];
        words.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }
}

#[derive(Debug)]
struct Grpc(Arc<Mutex<State>>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let headers = request.metadata().clone().into_headers();
        match receive(&self.0, "grpc", &headers, request.into_inner()).await {
            Ok(answer) => Ok(Response::new(answer)),
            Err(Trouble::Refused(why)) => Err(Status::unavailable(why)),
            Err(Trouble::Endless) => {
                let partial_success = ExportTracePartialSuccess { error_message: ENDLESS.clone(), rejected_spans: 0 };
                Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial_success) }))
            }
        }
    }
}

async fn http(state: &Arc<Mutex<State>>, headers: &HeaderMap, body: &Bytes) -> Answer {
    if lock(state).mood == Mood::Blind {
        return ([(CONTENT_TYPE, PROTOBUF)], Vec::new()).into_response();
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body.clone()) else {
        return (StatusCode::BAD_REQUEST, "no protobuf").into_response();
    };
    match receive(state, "http", headers, request).await {
        Ok(answer) => ([(CONTENT_TYPE, PROTOBUF)], answer.encode_to_vec()).into_response(),
        Err(Trouble::Refused(why)) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
        Err(Trouble::Endless) => {
            let chunk = || Ok::<_, std::io::Error>(Bytes::from_static(&[0; 65_536]));
            Body::from_stream(futures::stream::repeat_with(chunk)).into_response()
        }
    }
}

enum Trouble {
    Refused(String),
    Endless,
}

async fn receive(
    state: &Arc<Mutex<State>>,
    by: &'static str,
    headers: &HeaderMap,
    request: ExportTraceServiceRequest,
) -> Result<ExportTraceServiceResponse, Trouble> {
    let spans = spans_of(request);
    let text = |value: &axum::http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers: BTreeMap<_, _> = headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    let mood = {
        let mut state = lock(state);
        state.requests.truncate(MOST);
        state.requests.push(Sent { by, headers: headers.clone(), spans: spans.len() });
        state.mood
    };
    let rejected = i64::try_from(spans.len()).unwrap_or(i64::MAX);
    match mood {
        Mood::Good | Mood::Blind => {}
        Mood::Slow(pause) => tokio::time::sleep(pause).await,
        Mood::Refusing => return Err(Trouble::Refused(format!("not now, {headers:?}"))),
        Mood::Rejecting => {
            let error_message = "not these".to_owned();
            let partial_success = Some(ExportTracePartialSuccess { rejected_spans: rejected, error_message });
            return Ok(ExportTraceServiceResponse { partial_success });
        }
        Mood::Silent => std::future::pending().await,
        Mood::Endless => return Err(Trouble::Endless),
    }
    let mut state = lock(state);
    state.spans.extend(spans);
    let surplus = state.spans.len().saturating_sub(MOST);
    state.spans.drain(..surplus);
    Ok(ExportTraceServiceResponse::default())
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for of_resource in request.resource_spans {
        let resource = attributes(of_resource.resource.map(|resource| resource.attributes).unwrap_or_default());
        for span in of_resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            spans.push(span_of(span, &resource));
        }
    }
    spans
}

fn span_of(span: wire::Span, resource: &BTreeMap<String, Value>) -> Span {
    let kind = span.kind().as_str_name().trim_start_matches("SPAN_KIND_").to_lowercase();
    let failed = span.status.filter(|status| status.code() == wire::status::StatusCode::Error);
    Span {
        kind,
        name: span.name,
        trace: hex(&span.trace_id),
        id: hex(&span.span_id),
        parent: hex(&span.parent_span_id),
        time: (span.start_time_unix_nano, span.end_time_unix_nano),
        attributes: attributes(span.attributes),
        error: failed.map(|status| status.message),
        links: span.links.iter().map(|link| (hex(&link.trace_id), hex(&link.span_id))).collect(),
        events: span.events.into_iter().map(|event| (event.name, attributes(event.attributes))).collect(),
        resource: resource.clone(),
    }
}

fn attributes(pairs: Vec<KeyValue>) -> BTreeMap<String, Value> {
    pairs.into_iter().map(|pair| (pair.key, value(pair.value.and_then(|value| value.value)))).collect()
}

fn value(value: Option<any_value::Value>) -> Value {
    match value {
        Some(any_value::Value::StringValue(text)) => json!(text),
        Some(any_value::Value::BoolValue(it)) => json!(it),
        Some(any_value::Value::IntValue(number)) => json!(number),
        Some(any_value::Value::DoubleValue(number)) => json!(number),
        Some(any_value::Value::ArrayValue(array)) => {
            array.values.into_iter().map(|item| self::value(item.value)).collect()
        }
        other => json!(format!("{other:?}")),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The spans of a trace, each indented below its parent, in the order in which they began.
pub fn tree(trace: &[Span]) -> Vec<(usize, &Span)> {
    fn below<'a>(trace: &'a [Span], parent: &str, depth: usize, lines: &mut Vec<(usize, &'a Span)>) {
        let mut children: Vec<_> = trace.iter().filter(|span| span.parent == parent).collect();
        children.sort_by_key(|span| span.time);
        for span in children {
            lines.push((depth, span));
            below(trace, &span.id, depth + 1, lines);
        }
    }
    let mut lines = Vec::new();
    below(trace, "", 0, &mut lines);
    lines
}

/// The parent of a span must be in its trace, or come from elsewhere by `remote`.
pub fn check_parents(trace: &[Span], remote: Option<&str>) -> Result<()> {
    for span in trace {
        let known = span.parent.is_empty()
            || remote == Some(span.parent.as_str())
            || trace.iter().any(|other| other.id == span.parent);
        if !known {
            bail!("{} has the parent {}, which is not in its trace", span.outline(), span.parent);
        }
    }
    Ok(())
}
