//! Reading what a request asks for, in either of AWS's protocols.

use std::sync::Arc;
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use serde_json::{Map, Value};

use super::Call;

/// Which shape the answers have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Json,
    Query,
}

/// A request as it was read. What it does not say is empty.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The call, its parameters apart.
    pub(crate) call: Call,
    /// JSON as sent, or a form's fields as an object of strings.
    pub(crate) parameters: Arc<Value>,
    pub(crate) protocol: Protocol,
}

/// Reads a request.
pub(crate) fn read(headers: &HeaderMap, body: &[u8]) -> Asked {
    let [access_key, _, region, service, _] = credential(text(headers, AUTHORIZATION.as_str()));
    let target = text(headers, "x-amz-target");
    let (operation, request, protocol) = if target.is_empty() {
        let fields = form(&String::from_utf8_lossy(body));
        let action = fields.get("Action").and_then(Value::as_str).unwrap_or_default();
        (action.to_owned(), Value::Object(fields), Protocol::Query)
    } else {
        let operation = target.rsplit('.').next().unwrap_or_default().to_owned();
        let request = serde_json::from_slice(body).unwrap_or(Value::Null);
        (operation, request, Protocol::Json)
    };
    let call = Call {
        at: Instant::now(),
        service,
        operation,
        region,
        access_key,
        door: String::new(),
        account: String::new(),
        request: Value::Null,
        status: None,
        error: None,
        finished: None,
    };
    Asked { call, parameters: Arc::new(request), protocol }
}

/// The parts of `Credential=KEY/20260102/REGION/SERVICE/aws4_request`.
fn credential(authorization: &str) -> [String; 5] {
    let scope =
        authorization.split_once("Credential=").map_or("", |(_, rest)| rest.split(',').next().unwrap_or_default());
    let mut parts = scope.split('/').map(str::to_owned);
    std::array::from_fn(|_| parts.next().unwrap_or_default())
}

/// A header, empty where there is none.
pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

fn form(body: &str) -> Map<String, Value> {
    let pairs = body.split('&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), Value::String(decode(value)))
    });
    pairs.collect()
}

/// Percent-decoding as of HTML forms; what is malformed stays as it is.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..2).and_then(|code| std::str::from_utf8(code).ok());
        let code = code.and_then(|code| u8::from_str_radix(code, 16).ok());
        match (first, code) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use anyhow::Result;
    use serde_json::json;

    use super::*;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=123456789012/20260102/cn-north-1/sqs/\
        aws4_request, SignedHeaders=host, Signature=abc";

    #[test]
    fn both_protocols_are_read() -> Result<()> {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, SIGNED.parse()?);
        let Asked { call, parameters, protocol } = read(&headers, b"Action=GetCallerIdentity&X=a%20b+c%zz");
        assert_eq!(protocol, Protocol::Query);
        assert_eq!(call.operation, "GetCallerIdentity");
        assert_eq!(parameters["X"], "a b c%zz");
        assert_eq!([&*call.access_key, &*call.region, &*call.service], ["123456789012", "cn-north-1", "sqs"]);

        headers.insert("x-amz-target", "AmazonSQS.CreateQueue".parse()?);
        let Asked { call, parameters, protocol } = read(&headers, br#"{"QueueName":"q"}"#);
        assert_eq!(protocol, Protocol::Json);
        assert_eq!(call.operation, "CreateQueue");
        assert_eq!(*parameters, json!({"QueueName": "q"}));
        Ok(())
    }

    #[test]
    fn an_unsigned_request_is_a_call_too() {
        let Asked { call, .. } = read(&HeaderMap::new(), b"");
        assert_eq!((&*call.operation, &*call.region), ("", ""));
    }
}
