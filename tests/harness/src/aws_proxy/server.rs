//! The proxy's thread: taking connections, forwarding, acting on faults.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};

use super::Effect;
use super::state::{State, Verdict};
use crate::aws_http::answer;
use crate::aws_http::request::{self, Asked, Protocol};

type Upstream = Client<HttpConnector, Full<Bytes>>;
type Reply = Response<Full<Bytes>>;

/// A request that has arrived in full.
struct Arrived {
    request: Request<Full<Bytes>>,
    service: String,
    protocol: Protocol,
    held: tokio::sync::watch::Receiver<u64>,
}

/// Serves until the owner says stop; all connections end with it.
pub(super) async fn serve(listener: std::net::TcpListener, upstream: String, state: Arc<State>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let client: Upstream = Client::builder(TokioExecutor::new()).http1_preserve_header_case(true).build_http();
    let proxy = Arc::new((client, upstream));
    let accepting = async {
        loop {
            // Out of descriptors, for example: those in use come back.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            tokio::spawn(connection(stream, Arc::clone(&proxy), Arc::clone(&state)));
        }
    };
    tokio::select! {
        () = accepting => {}
        () = state.stopped() => {}
    }
}

async fn connection(stream: tokio::net::TcpStream, proxy: Arc<(Upstream, String)>, state: Arc<State>) {
    let service = service_fn(|request| handle(request, Arc::clone(&proxy), Arc::clone(&state)));
    // An error is a lost reply, or a caller who has gone: both are in the log.
    let _ = hyper::server::conn::http1::Builder::new()
        .preserve_header_case(true)
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

/// An error closes the connection without an answer.
async fn handle(request: Request<Incoming>, proxy: Arc<(Upstream, String)>, state: Arc<State>) -> Result<Reply> {
    let (client, upstream) = &*proxy;
    let held = state.faults.releases();
    let (mut parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let Asked { call, parameters, protocol } = request::read(&parts.headers, &body);
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("{upstream}{path}").parse::<Uri>()?;
    let arrived = Arrived {
        request: Request::from_parts(parts, Full::from(body)),
        service: call.service.clone(),
        protocol,
        held,
    };
    let verdict = state.judge(&call);
    let mut entry = state.log.arrived(call, parameters);
    let reply = decide(client, arrived, verdict).await?;
    let (parts, body) = reply.into_parts();
    let body = body.collect().await?.to_bytes();
    entry.answered(parts.status.as_u16(), answer::code(&parts, &body));
    Ok(Response::from_parts(parts, Full::from(body)))
}

async fn decide(client: &Upstream, arrived: Arrived, verdict: Verdict) -> Result<Reply> {
    let Arrived { request, service, protocol, mut held } = arrived;
    let refuse = |status, code: &str, message: &str| {
        answer::error(protocol, &service, status, code, message).map_err(Into::into)
    };
    let effect = match verdict {
        Verdict::Forward => return forward(client, request).await,
        Verdict::Unavailable => return refuse(503, "ServiceUnavailable", "Service unavailable"),
        Verdict::Fault(effect) => effect,
    };
    match effect {
        Effect::Respond { status, code, message } => refuse(status, &code, &message),
        Effect::LoseReply => {
            forward(client, request).await?;
            bail!("the reply is lost");
        }
        Effect::HoldReply => {
            let reply = forward(client, request).await?;
            held.changed().await?;
            Ok(reply)
        }
        Effect::Delay(delay) => {
            tokio::time::sleep(delay).await;
            forward(client, request).await
        }
        Effect::Blackhole => std::future::pending().await,
        Effect::Rewrite(change) => rewrite(forward(client, request).await?, &*change).await,
    }
}

async fn forward(client: &Upstream, request: Request<Full<Bytes>>) -> Result<Reply> {
    let reply = client.request(request).await.context("no answer from upstream")?;
    let (mut parts, body) = reply.into_parts();
    let body = body.collect().await?.to_bytes();
    // These are about the connection to the emulator, not about the answer.
    parts.headers.remove(CONNECTION);
    parts.headers.remove(TRANSFER_ENCODING);
    Ok(Response::from_parts(parts, Full::from(body)))
}

async fn rewrite(
    reply: Reply,
    change: &(dyn Fn(serde_json::Value) -> serde_json::Value + Send + Sync),
) -> Result<Reply> {
    let (mut parts, body) = reply.into_parts();
    let body = body.collect().await?.to_bytes();
    if !parts.status.is_success() {
        return Ok(Response::from_parts(parts, Full::from(body)));
    }
    let changed = change(serde_json::from_slice(&body)?);
    parts.headers.remove(CONTENT_LENGTH);
    Ok(Response::from_parts(parts, Full::from(changed.to_string())))
}
