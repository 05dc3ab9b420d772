//! Answers as AWS makes them, errors above all.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::response::Parts;
use serde_json::{Value, json};

use super::request::Protocol;

const JSON: &str = "application/x-amz-json-1.0";
const QUERY_ERROR: &str = "x-amzn-query-error";

/// The errors of the JSON protocol whose shape is not named like their code.
const SHAPES: &[(&str, &str)] =
    &[("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"), ("QueueAlreadyExists", "QueueNameExists")];

/// An answer that is no error.
pub(crate) fn success(protocol: Protocol, body: String) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let kind = match protocol {
        Protocol::Json => JSON,
        Protocol::Query => "text/xml",
    };
    let response = Response::builder().header("x-amzn-requestid", request_id()).header(CONTENT_TYPE, kind);
    response.body(Full::from(body))
}

/// An error as AWS sends it in the protocol.
///
/// In the JSON protocol a code that is not its shape's name is one of the old query protocol's
/// (`AWS.SimpleQueueService.NonExistentQueue`): the body names the shape, and the header
/// `x-amzn-query-error` the code.
pub(crate) fn error(
    protocol: Protocol,
    service: &str,
    status: u16,
    code: &str,
    message: &str,
) -> Result<Response<Full<Bytes>>, hyper::http::Error> {
    let request_id = request_id();
    let response = Response::builder().status(status).header("x-amzn-requestid", &request_id);
    match protocol {
        Protocol::Json => {
            let named = SHAPES.iter().find(|(named, _)| *named == code).map(|(_, shape)| *shape);
            let shape = named.or(code.rsplit('.').next()).unwrap_or(code);
            let body = json!({
                "__type": format!("com.amazonaws.{service}#{shape}"),
                "message": message,
            });
            let mut response = response.header(CONTENT_TYPE, JSON);
            if shape != code {
                let compatible = HeaderValue::try_from(format!("{code};{}", fault_of(status)))?;
                response = response.header(QUERY_ERROR, compatible);
            }
            response.body(Full::from(body.to_string()))
        }
        Protocol::Query => {
            let body = format!(
                "<ErrorResponse><Error><Type>{}</Type><Code>{}</Code><Message>{}</Message>\
                 </Error><RequestId>{request_id}</RequestId></ErrorResponse>",
                fault_of(status),
                escape(code),
                escape(message),
            );
            response.header(CONTENT_TYPE, "text/xml").body(Full::from(body))
        }
    }
}

/// The error code of an answer, if it is an error.
pub(crate) fn code(parts: &Parts, body: &[u8]) -> Option<String> {
    if parts.status.is_success() {
        return None;
    }
    if let Some(header) = parts.headers.get(QUERY_ERROR).and_then(|value| value.to_str().ok()) {
        return header.split(';').next().map(str::to_owned);
    }
    if let Ok(body) = serde_json::from_slice::<Value>(body) {
        let shape = body.get("__type").and_then(Value::as_str)?;
        return shape.rsplit('#').next().map(str::to_owned);
    }
    let body = String::from_utf8_lossy(body);
    let (_, rest) = body.split_once("<Code>")?;
    rest.split_once("</Code>").map(|(code, _)| code.to_owned())
}

fn fault_of(status: u16) -> &'static str {
    if status < 500 { "Sender" } else { "Receiver" }
}

/// Text as XML holds it.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("fa017000-0000-4000-8000-{number:012}")
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use http_body_util::BodyExt as _;

    use super::*;

    #[tokio::test]
    async fn the_code_is_read_back_in_both_protocols() -> Result<()> {
        for protocol in [Protocol::Json, Protocol::Query] {
            for code in ["AWS.SimpleQueueService.NonExistentQueue", "QueueAlreadyExists", "AccessDenied"] {
                let (parts, body) = error(protocol, "sqs", 400, code, "no")?.into_parts();
                let body = body.collect().await?.to_bytes();
                assert_eq!(super::code(&parts, &body).as_deref(), Some(code));
            }
        }
        Ok(())
    }
}
