//! An error answer, before it is put into either protocol.

use std::time::Duration;

/// What AWS says instead of doing what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    /// As [`crate::aws_http::answer::error`] takes it.
    pub(super) code: String,
    pub(super) message: String,
    /// Told in a header.
    pub(super) retry_after: Option<Duration>,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Refusal {
        Refusal { status, code: code.to_owned(), message: message.into(), retry_after: None }
    }

    /// 400.
    pub(super) fn bad(code: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(400, code, message)
    }

    /// 403.
    pub(super) fn denied(code: &str, message: impl Into<String>) -> Refusal {
        Refusal::new(403, code, message)
    }

    pub(super) fn expired() -> Refusal {
        Refusal::denied("ExpiredToken", "The security token included in the request is expired")
    }

    pub(super) fn unavailable() -> Refusal {
        Refusal::new(503, "ServiceUnavailable", "Service unavailable")
    }

    /// A service's answer to too many calls.
    pub(super) fn throttled(service: &str, retry_after: Option<Duration>) -> Refusal {
        let code = if service == "sqs" { "RequestThrottled" } else { "Throttling" };
        Refusal { retry_after, ..Refusal::bad(code, "Rate exceeded") }
    }

    /// Whether this is an answer to too many calls.
    pub(super) fn is_throttle(&self) -> bool {
        matches!(&*self.code, "RequestThrottled" | "Throttling" | "ThrottlingException")
    }
}
