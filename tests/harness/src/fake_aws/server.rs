//! The fake's threads: taking connections, and what a call goes through before it is answered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::watch;

use super::clock::Clock;
use super::limits::{Admission, Limits, Trouble};
use super::rds::Rds;
use super::refusal::Refusal;
use super::sqs::Sqs;
use super::sts::{Caller, Sts};
use crate::aws_http::Effect;
use crate::aws_http::answer;
use crate::aws_http::faults::Faults;
use crate::aws_http::log::Log;
use crate::aws_http::request::{self, Asked, Protocol};

/// What the threads and the owner share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) addr: SocketAddr,
    pub(super) clock: Clock,
    pub(super) log: Log,
    pub(super) throttled: AtomicU64,
    pub(super) faults: Faults,
    pub(super) limits: Mutex<Limits>,
    pub(super) rds: Rds,
    pub(super) sqs: Sqs,
    pub(super) sts: Sts,
    pub(super) stopped: watch::Sender<bool>,
}

/// A call as a service sees it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) operation: &'a str,
    pub(super) account: &'a str,
    pub(super) region: &'a str,
    pub(super) parameters: &'a Value,
    /// By the fake's clock.
    pub(super) now: Duration,
    shared: &'a Shared,
}

/// A call on its way.
struct Arrived {
    service: String,
    operation: String,
    region: String,
    protocol: Protocol,
    parameters: Arc<Value>,
    caller: Caller,
    admission: Admission,
    fault: Option<Effect>,
}

type Reply = Response<Full<Bytes>>;
type Answer = Result<String, Refusal>;

impl Shared {
    pub(super) fn new(addr: SocketAddr) -> Shared {
        Shared {
            addr,
            clock: Clock::start(),
            log: Log::default(),
            throttled: AtomicU64::new(0),
            faults: Faults::default(),
            limits: Mutex::default(),
            rds: Rds::default(),
            sqs: Sqs::default(),
            sts: Sts::default(),
            stopped: watch::Sender::new(false),
        }
    }

    pub(super) fn limits<T>(&self, act: impl FnOnce(&mut Limits) -> T) -> T {
        act(&mut self.limits.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<'a> Asking<'a> {
    /// A parameter that is text.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.parameters.get(name).and_then(Value::as_str)
    }

    /// A parameter that is a whole number.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        self.parameters.get(name).and_then(Value::as_u64)
    }

    /// A time of the fake's clock since the epoch.
    pub(super) fn unix(&self, time: Duration) -> Duration {
        self.shared.clock.unix(time)
    }

    /// The URL of a queue of the caller.
    pub(super) fn queue_url(&self, name: &str) -> String {
        format!("http://{}/{}/{name}", self.shared.addr, self.account)
    }
}

/// Serves until the owner says stop; all connections end with the runtime. Calls are noted as of `door`.
pub(super) async fn serve(listener: std::net::TcpListener, door: String, shared: Arc<Shared>) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
        return;
    };
    let mut stopped = shared.stopped.subscribe();
    let door: Arc<str> = door.into();
    let accepting = async {
        loop {
            // Out of descriptors, for example: those in use come back.
            let Ok((stream, _)) = listener.accept().await else {
                tokio::task::yield_now().await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            tokio::spawn(connection(stream, Arc::clone(&door), Arc::clone(&shared)));
        }
    };
    tokio::select! {
        () = accepting => {}
        _ = stopped.wait_for(|stopped| *stopped) => {}
    }
}

async fn connection(stream: tokio::net::TcpStream, door: Arc<str>, shared: Arc<Shared>) {
    let service = service_fn(|request| handle(request, &door, &shared));
    // An error is a lost reply, or a caller who has gone: both are in the log.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// An error closes the connection without an answer.
async fn handle(request: Request<Incoming>, door: &str, shared: &Shared) -> Result<Reply> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let Asked { mut call, parameters, protocol } = request::read(&parts.headers, &body);
    let now = shared.clock.now();
    let token = request::text(&parts.headers, "x-amz-security-token");
    let caller = shared.sts.identify(&call.access_key, token, &call.region, now);
    call.account.clone_from(&caller.account);
    door.clone_into(&mut call.door);
    let admission = shared.limits(|limits| limits.admit(&caller.account, &call.region, &call.service, now));
    let fault = if admission.trouble.is_some() { None } else { shared.faults.judge(&call.operation, &call.access_key) };
    // Before the call is in the log: its owner may release what he has seen there.
    let held = matches!(fault, Some(Effect::HoldReply)).then(|| shared.faults.releases());
    let arrived = Arrived {
        service: call.service.clone(),
        operation: call.operation.clone(),
        region: call.region.clone(),
        protocol,
        parameters: Arc::clone(&parameters),
        caller,
        admission,
        fault,
    };
    let mut entry = shared.log.arrived(call, parameters);
    let answer = arrived.decide(shared, held).await?;
    if answer.as_ref().is_err_and(Refusal::is_throttle) {
        shared.throttled.fetch_add(1, Ordering::Relaxed);
    }
    let error = answer.as_ref().err().map(|refusal| refusal.code.clone());
    let reply = arrived.render(answer)?;
    entry.answered(reply.status().as_u16(), error);
    Ok(reply)
}

impl Arrived {
    /// What befalls the call, and its answer if one goes back.
    async fn decide(&self, shared: &Shared, held: Option<watch::Receiver<u64>>) -> Result<Answer> {
        let Admission { trouble, latency, over: _ } = self.admission;
        match trouble {
            Some(Trouble::Closed) => bail!("closed"),
            Some(Trouble::BlackHole) => return std::future::pending().await,
            Some(Trouble::Unavailable | Trouble::ExpiredCredentials) | None => {}
        }
        if !latency.is_zero() {
            tokio::time::sleep(latency).await;
        }
        match trouble {
            Some(Trouble::Unavailable) => return Ok(Err(Refusal::unavailable())),
            Some(Trouble::ExpiredCredentials) => return Ok(Err(Refusal::expired())),
            _ => {}
        }
        match &self.fault {
            None => Ok(self.answer(shared)),
            Some(Effect::Respond { status, code, message }) => Ok(Err(Refusal::new(*status, code, message))),
            Some(Effect::LoseReply) => {
                let _ = self.answer(shared);
                bail!("the reply is lost");
            }
            Some(Effect::HoldReply) => {
                let answer = self.answer(shared);
                held.context("nobody holds the reply")?.changed().await?;
                Ok(answer)
            }
            Some(Effect::Delay(delay)) => {
                tokio::time::sleep(*delay).await;
                Ok(self.answer(shared))
            }
            Some(Effect::Blackhole) => std::future::pending().await,
            Some(Effect::Rewrite(change)) => {
                let answer = self.answer(shared);
                let rewritten = answer.as_ref().ok().map(|body| serde_json::from_str(body)).transpose()?;
                Ok(rewritten.map_or(answer, |body| Ok(change(body).to_string())))
            }
        }
    }

    /// What the service says.
    fn answer(&self, shared: &Shared) -> Answer {
        if let Some(budget) = self.admission.over {
            return Err(Refusal::throttled(&self.service, budget.retry_after));
        }
        if let Some(refusal) = &self.caller.refused {
            return Err(refusal.clone());
        }
        let asking = Asking {
            operation: &self.operation,
            account: &self.caller.account,
            region: &self.region,
            parameters: &self.parameters,
            now: shared.clock.now(),
            shared,
        };
        match &*self.service {
            "rds" => shared.rds.call(&asking),
            "sqs" => shared.sqs.call(&asking),
            "sts" => shared.sts.call(&self.caller, &asking),
            other => Err(Refusal::bad("InvalidAction", format!("The fake has no service {other}"))),
        }
    }

    fn render(&self, answer: Answer) -> Result<Reply> {
        let Refusal { status, code, message, retry_after } = match answer {
            Ok(body) => return Ok(answer::success(self.protocol, body)?),
            Err(refusal) => refusal,
        };
        let mut reply = answer::error(self.protocol, &self.service, status, &code, &message)?;
        if let Some(time) = retry_after {
            // Whole seconds, and never too few.
            let seconds = time.as_secs() + u64::from(time.subsec_nanos() > 0);
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        Ok(reply)
    }
}
