//! What went wrong in an AWS call, and what class of wrong it is. The class decides what happens
//! next; see `docs/architecture.md`.

use std::{fmt, time::Duration};

use aws_smithy_runtime_api::client::{orchestrator::HttpResponse, result::SdkError};
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

use super::Service;
use crate::shard::NoPermit;

/// What class of wrong an error is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorClass {
    /// The resource is not there.
    NotFound,
    /// Something of that name is there, other than asked for.
    Conflict,
    /// The service asks for a pause of its own, in seconds.
    Later(u64),
    /// Something that the request names is not there, or can't be used: it may be made meanwhile.
    Dependency,
    /// The same request will fail again.
    Terminal,
    /// Refused at first where IAM has not propagated yet: retried a few times, then terminal.
    PerhapsTerminal,
    /// Too many requests.
    Throttle,
    /// IAM says no.
    Denied,
    /// The credentials are missing, expired or wrong.
    Credentials,
    /// An answer of 5xx: the effect is unknown.
    Transient,
    /// No answer at all: the effect is unknown.
    Unanswered,
    /// Nothing was called: AWS has not answered in this flow for so many seconds.
    Shut(u64),
    /// This replica may not change anything now. Nothing was called, unless the call was cut off.
    NoPermit,
}

impl ErrorClass {
    /// Its name, for metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::Conflict => "conflict",
            Self::Later(_) => "later",
            Self::Dependency => "dependency",
            Self::Terminal | Self::PerhapsTerminal => "rejected",
            Self::Throttle => "throttle",
            Self::Denied => "denied",
            Self::Credentials => "credentials",
            Self::Transient => "server_error",
            Self::Unanswered => "no_answer",
            Self::Shut(_) => "circuit_open",
            Self::NoPermit => "no_permit",
        }
    }
}

/// An AWS call that failed. Its texts hold no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AwsError {
    /// The service.
    pub service: Service,
    /// The operation, by its API name.
    pub operation: &'static str,
    /// The region that was called.
    pub region: String,
    /// What class of wrong.
    pub class: ErrorClass,
    /// AWS's error code, or ours for a call without an answer.
    pub code: String,
    /// AWS's message.
    pub message: String,
    /// AWS's request id.
    pub request_id: Option<String>,
    /// The pause that AWS asks for (`Retry-After`).
    pub retry_after: Option<Duration>,
}

/// Classes of a service's own error codes, asked before the common ones.
pub type Classify = fn(code: &str, message: &str) -> Option<ErrorClass>;

/// Our code for a call that was not made, since there were no credentials.
pub(super) const NO_CREDENTIALS: &str = "NoCredentials";

const MESSAGE_LIMIT: usize = 512;

impl fmt::Display for AwsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, operation, region, class: _, code, message, request_id, retry_after: _ } = self;
        write!(f, "{service}:{operation} in {region} failed: {code}")?;
        if !message.is_empty() {
            write!(f, ": {message}")?;
        }
        match request_id {
            Some(id) => write!(f, " (request {id})"),
            None => Ok(()),
        }
    }
}

impl AwsError {
    /// The error of an SDK call, classified.
    pub fn of<E>(
        service: Service,
        operation: &'static str,
        region: &str,
        classify: Classify,
        error: &SdkError<E, HttpResponse>,
    ) -> Self
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        if let Some(error) = of_credentials(error) {
            return error;
        }
        let request_id = error.raw_response().and_then(|response| {
            let headers = response.headers();
            headers.get("x-amzn-requestid").or_else(|| headers.get("x-amz-request-id")).map(str::to_owned)
        });
        let retry_after = error.raw_response().and_then(|response| response.headers().get("retry-after")?.parse().ok());
        let without_answer = |class, code: &str, message: String| (class, code.to_owned(), message);
        let (class, code, message) = match error {
            SdkError::ServiceError(answer) => {
                let status = answer.raw().status().as_u16();
                let code = answer.err().code().map_or_else(|| format!("HTTP{status}"), short);
                let message = answer.err().message().unwrap_or_default();
                (class_of(classify, &code, message, status), code, message.to_owned())
            }
            SdkError::ConstructionFailure(_) | SdkError::DispatchFailure(_) if says_no_credentials(error) => {
                without_answer(ErrorClass::Credentials, NO_CREDENTIALS, causes(error))
            }
            SdkError::ConstructionFailure(_) => without_answer(ErrorClass::Terminal, "InvalidRequest", causes(error)),
            SdkError::TimeoutError(_) => without_answer(ErrorClass::Unanswered, "Timeout", "no answer in time".into()),
            SdkError::DispatchFailure(_) => without_answer(ErrorClass::Unanswered, "Unreachable", unreachable(error)),
            _ => without_answer(ErrorClass::Unanswered, "NoAnswer", "the connection ended before the answer".into()),
        };
        let region = region.to_owned();
        let message = presentable(&code, &message);
        let retry_after = retry_after.map(Duration::from_secs);
        Self { service, operation, region, class, code, message, request_id, retry_after }
    }

    /// The error of a call that was not made, since AWS has not answered for so long.
    pub(super) fn shut(service: Service, operation: &'static str, region: &str, since: Duration) -> Self {
        let message = format!("AWS has not answered for {} s: calls are held back until it does", since.as_secs());
        Self {
            service,
            operation,
            region: region.to_owned(),
            class: ErrorClass::Shut(since.as_secs()),
            code: "CircuitOpen".into(),
            message,
            request_id: None,
            retry_after: None,
        }
    }

    /// The error of a call that this replica may not make, or not finish.
    pub(super) fn no_permit(service: Service, operation: &'static str, region: &str, why: NoPermit) -> Self {
        Self {
            service,
            operation,
            region: region.to_owned(),
            class: ErrorClass::NoPermit,
            code: "NoPermit".into(),
            message: why.to_string(),
            request_id: None,
            retry_after: None,
        }
    }

    /// Whether it says that the flow calls too often: KMS's throttles are about one key, those of a role that
    /// could not be assumed about STS.
    pub fn throttles_flow(&self) -> bool {
        self.class == ErrorClass::Throttle
            && self.operation != "AssumeRole"
            && !self.code.to_ascii_lowercase().starts_with("kms")
    }

    /// The IAM action that is missing, where the error is a denial.
    pub fn missing_action(&self) -> Option<String> {
        if self.class != ErrorClass::Denied {
            return None;
        }
        // AWS mostly says it itself: "… is not authorized to perform: sqs:createqueue on resource …".
        let said = self.message.split_once("to perform: ").and_then(|(_, rest)| rest.split_whitespace().next());
        let ours = format!("{}:{}", self.service, self.operation);
        Some(match said {
            Some(action) if !action.eq_ignore_ascii_case(&ours) => action.trim_end_matches('.').to_owned(),
            _ => ours,
        })
    }
}

/// `com.amazonaws.sqs#QueueDoesNotExist` and `AWS.SimpleQueueService.QueueDoesNotExist` → the last
/// part; whether the prefix is there depends on the protocol and on a response header.
fn short(code: &str) -> String {
    let code = code.rsplit('#').next().unwrap_or(code);
    code.strip_prefix("AWS.SimpleQueueService.").unwrap_or(code).to_owned()
}

fn class_of(classify: Classify, code: &str, message: &str, status: u16) -> ErrorClass {
    if let Some(class) = classify(code, message) {
        return class;
    }
    match code {
        "AccessDenied"
        | "AccessDeniedException"
        | "UnauthorizedOperation"
        | "AuthorizationError"
        | "KMS.AccessDeniedException"
        | "KmsAccessDenied" => ErrorClass::Denied,
        "ExpiredToken"
        | "ExpiredTokenException"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "SignatureDoesNotMatch"
        | "MissingAuthenticationToken"
        | "IncompleteSignature"
        | "InvalidSignatureException"
        | "IncompleteSignatureException"
        | "MissingAuthenticationTokenException"
        | "RequestExpired"
        | "InvalidAccessKeyId"
        | "OptInRequired" => ErrorClass::Credentials,
        "Throttling"
        | "ThrottlingException"
        | "ThrottledException"
        | "Throttled"
        | "ThrottleException"
        | "RequestThrottled"
        | "RequestThrottledException"
        | "RequestLimitExceeded"
        | "TooManyRequestsException"
        | "SlowDown"
        | "KMS.ThrottlingException"
        | "KmsThrottled" => ErrorClass::Throttle,
        _ if status == 429 => ErrorClass::Throttle,
        _ if status == 403 => ErrorClass::Denied,
        "RequestTimeout" | "RequestTimeoutException" | "InternalError" | "InternalFailure" | "ServiceUnavailable" => {
            ErrorClass::Transient
        }
        _ if status >= 500 => ErrorClass::Transient,
        _ => ErrorClass::Terminal,
    }
}

/// AWS's message without line breaks and of bounded length. Where a signature does not match, AWS
/// repeats the signed headers, the session token among them: such messages are dropped.
fn presentable(code: &str, message: &str) -> String {
    let repeats_headers = ["x-amz-security-token", "Canonical String", "String-to-Sign"];
    if code.contains("Signature") || repeats_headers.iter().any(|part| message.contains(part)) {
        return "the request's signature was not accepted: the secret access key, the session token or the clock is wrong"
            .into();
    }
    let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
    match message.char_indices().nth(MESSAGE_LIMIT) {
        Some((end, _)) => format!("{}…", &message[..end]),
        None => message,
    }
}

/// The error's causes, innermost last, without the outermost ("dispatch failure").
pub(super) fn causes(error: &dyn std::error::Error) -> String {
    let mut texts = Vec::new();
    let mut cause = error.source();
    while let Some(error) = cause {
        texts.push(error.to_string());
        cause = error.source();
    }
    texts.dedup();
    texts.join(": ")
}

/// A region that does not exist shows as a host without an address.
fn unreachable(error: &dyn std::error::Error) -> String {
    let causes = causes(error);
    match causes.contains("dns error") {
        true => format!("the service's host has no address, is the region right? ({causes})"),
        false => causes,
    }
}

/// Where the call was never made, since the role that it needs could not be assumed: that call's error.
fn of_credentials(error: &dyn std::error::Error) -> Option<AwsError> {
    let mut cause = error.source();
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<AwsError>() {
            let class = match error.class {
                ErrorClass::Later(_) | ErrorClass::Throttle | ErrorClass::Transient | ErrorClass::Unanswered => {
                    error.class
                }
                _ => ErrorClass::Credentials,
            };
            return Some(AwsError { class, ..error.clone() });
        }
        cause = error.source();
    }
    None
}

fn says_no_credentials(error: &dyn std::error::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<aws_credential_types::provider::error::CredentialsError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn denied(message: &str) -> AwsError {
        AwsError {
            service: Service("sqs"),
            operation: "CreateQueue",
            region: "eu-west-1".into(),
            class: ErrorClass::Denied,
            code: "AccessDenied".into(),
            message: message.into(),
            request_id: Some("r-1".into()),
            retry_after: None,
        }
    }

    #[test]
    fn the_missing_action_is_named_as_aws_names_it() {
        for (message, action) in [
            ("User: arn:aws:iam::1:user/x is not authorized to perform: sqs:tagqueue on resource: y", "sqs:tagqueue"),
            ("User: x is not authorized to perform: sqs:createqueue on resource: y", "sqs:CreateQueue"),
            ("Access to the resource is denied.", "sqs:CreateQueue"),
            ("x is not authorized to perform: kms:GenerateDataKey.", "kms:GenerateDataKey"),
        ] {
            assert_eq!(denied(message).missing_action().as_deref(), Some(action), "{message}");
        }
    }

    #[test]
    fn classes_of_common_codes() {
        let none: Classify = |_, _| None;
        for (code, status, class) in [
            ("ThrottlingException", 400, ErrorClass::Throttle),
            ("Whatever", 429, ErrorClass::Throttle),
            ("AccessDenied", 403, ErrorClass::Denied),
            ("Whatever", 403, ErrorClass::Denied),
            ("ExpiredToken", 403, ErrorClass::Credentials),
            ("Whatever", 503, ErrorClass::Transient),
            ("Whatever", 400, ErrorClass::Terminal),
        ] {
            assert_eq!(class_of(none, code, "", status), class, "{code} {status}");
        }
        assert_eq!(short("com.amazonaws.sqs#QueueDoesNotExist"), "QueueDoesNotExist");
        assert_eq!(short("AWS.SimpleQueueService.NonExistentQueue"), "NonExistentQueue");
    }

    #[test]
    fn messages_hold_no_signed_headers_and_are_bounded() {
        for code in ["SignatureDoesNotMatch", "InvalidSignatureException", "Whatever"] {
            assert!(!presentable(code, "The Canonical String was x-amz-security-token:SECRET").contains("SECRET"));
        }
        assert_eq!(presentable("X", "a\n  b"), "a b");
        assert_eq!(presentable("X", &"é".repeat(2_000)).chars().count(), MESSAGE_LIMIT + 1);
    }

    #[test]
    fn a_signature_that_is_not_accepted_is_a_matter_of_credentials_and_shows_no_token() {
        let none: Classify = |_, _| None;
        let message = "The Canonical String for this request should have been 'POST x-amz-security-token:SECRET'";
        for code in [
            "SignatureDoesNotMatch",
            "InvalidSignatureException",
            "IncompleteSignature",
            "IncompleteSignatureException",
        ] {
            for status in [400, 403] {
                assert_eq!(class_of(none, code, message, status), ErrorClass::Credentials, "{code} {status}");
            }
            let shown = presentable(code, message);
            assert!(!shown.contains("SECRET") && shown.contains("signature was not accepted"), "{code}: {shown}");
        }
        for code in ["MissingAuthenticationTokenException", "RequestExpired", "ExpiredToken"] {
            assert_eq!(class_of(none, code, "", 403), ErrorClass::Credentials, "{code}");
        }
    }
}
