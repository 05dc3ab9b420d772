//! The answers that the proxy makes itself: AWS's errors.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use serde_json::json;

use super::request::Protocol;

/// An error as AWS sends it in the protocol.
///
/// In the JSON protocol a dotted code (`AWS.SimpleQueueService.NonExistentQueue`)
/// is one of the old query protocol's: the body names the shape, and the header
/// `x-amzn-query-error` the code.
pub(super) fn error(
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
            let shape = code.rsplit('.').next().unwrap_or(code);
            let body = json!({
                "__type": format!("com.amazonaws.{service}#{shape}"),
                "message": message,
            });
            let mut response = response.header(CONTENT_TYPE, "application/x-amz-json-1.0");
            if shape != code {
                let compatible = HeaderValue::try_from(format!("{code};{}", fault_of(status)))?;
                response = response.header("x-amzn-query-error", compatible);
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

fn fault_of(status: u16) -> &'static str {
    if status < 500 { "Sender" } else { "Receiver" }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn request_id() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("fa017000-0000-4000-8000-{number:012}")
}
