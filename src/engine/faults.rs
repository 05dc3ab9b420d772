//! What an error means: for the conditions, and for the next attempt. Pure.

use std::time::Duration;

use super::{
    kind::NotYet,
    objects::{KubeError, Object},
    status::{Stage, Usable, Verdict},
};
use crate::{
    accounts::choice::Refusal,
    aws::errors::{AwsError, ErrorClass},
    queue::{backoff::backoff, flow::Priority, scheduler::Next},
};

/// How often what is stalled is looked at all the same.
pub const STALLED_RECHECK: Duration = Duration::from_secs(30 * 60);
/// How often after a denial: permissions are granted without a change that we could see.
pub const DENIED_RECHECK: Duration = Duration::from_secs(5 * 60);
/// How often a Secret is read that has to become another: nobody watches it.
const SECRET_RECHECK: Duration = Duration::from_secs(30);
/// How often a ConfigMap or Secret that is in the way is looked at: the watch sees only our own.
const CONFLICT_RECHECK: Duration = Duration::from_secs(30);
/// How often AWS may refuse what it often refuses only at first.
const PATIENCE: u32 = 5;
/// How often to look for a resource that was just created.
const APPEARING_RECHECK: Duration = Duration::from_secs(2);

/// The reason where AWS throttles.
pub const THROTTLED: &str = "Throttled";

/// Why a reconcile did not get to its end.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Fault {
    /// An AWS call failed.
    #[error(transparent)]
    Aws(#[from] AwsError),
    /// A call to the API server failed.
    #[error(transparent)]
    Kube(#[from] KubeError),
    /// The resource is looked at together with others: the object is woken when it was.
    #[error("the resource was not looked at yet")]
    Unseen,
    /// The object is not what was decided on, as the API server has it.
    #[error("the object has changed")]
    Outdated(Box<Object>),
    /// The spec is invalid.
    #[error("{0}")]
    Invalid(String),
    /// The password in a Secret of the user's is invalid.
    #[error("{0}")]
    InvalidPassword(String),
    /// Another object is not there or not ready.
    #[error("{0}")]
    Waiting(String),
    /// The resource was created, and can't be seen yet.
    #[error("{0}")]
    Appearing(String),
    /// The account can't be used now, and may be by itself.
    #[error("{}", .0.message)]
    Account(Refusal),
    /// AWS refuses the credentials with which the account is called for this object.
    #[error("{}", .0.message)]
    Session(Refusal),
    /// The resource must not be touched.
    #[error("{message}")]
    Refused {
        /// Why, for machines.
        reason: &'static str,
        /// Why, for people.
        message: String,
    },
    /// The resource of this name is not this object's.
    #[error("{0}")]
    NotOurs(String),
    /// The name of a ConfigMap or Secret is taken.
    #[error("{0}")]
    ConnectionConflict(String),
}

/// What the meaning of a fault depends on.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// Whether the object is being deleted.
    pub deleting: bool,
    /// Whether its resource was there when it was last looked at.
    pub exists: bool,
    /// Attempts in a row that have failed before.
    pub failures: u32,
    /// How often in a row AWS has refused this spec, this time included.
    pub rejections: u32,
    /// How often a resource that is in sync is looked at.
    pub poll: Duration,
    /// Whether it is looked at together with others, so that one look more costs nothing.
    pub swept: bool,
}

impl From<NotYet> for Fault {
    fn from(not_yet: NotYet) -> Self {
        match not_yet {
            NotYet::Invalid(message) => Self::Invalid(message),
            NotYet::Waiting(message) => Self::Waiting(message),
        }
    }
}

impl From<Refusal> for Fault {
    fn from(refusal: Refusal) -> Self {
        match refusal.passes() {
            true => Self::Account(refusal),
            false => Self::Refused { reason: refusal.reason, message: refusal.message },
        }
    }
}

impl Fault {
    /// What follows from it. `None`: the object has changed or is gone, and there is nothing to say.
    pub fn verdict(&self, situation: &Situation) -> Option<Verdict> {
        let retry = |reason: &str, message: &str| failing(reason, message, situation);
        let verdict = match self {
            Self::Aws(error) => of_aws(error, situation),
            Self::Kube(KubeError::Conflict | KubeError::Gone) | Self::Outdated(_) | Self::Unseen => return None,
            _ if self.is_no_permit() => return None,
            Self::Kube(error) => retry("KubernetesError", &error.to_string()),
            Self::Invalid(message) => stalled("InvalidSpec", message, STALLED_RECHECK),
            Self::InvalidPassword(message) => stalled("InvalidSpec", message, SECRET_RECHECK),
            Self::Waiting(message) => {
                // What exists goes on working as it was.
                let stage = if situation.exists { Stage::Drifted } else { Stage::New };
                Verdict::new(stage, "WaitingForDependency", message, Next::After(situation.poll, Priority::Progress))
            }
            Self::Appearing(message) => {
                Verdict::new(Stage::New, "Creating", message, Next::After(APPEARING_RECHECK, Priority::Progress))
            }
            // As soon as it can be used, its objects are asked for.
            Self::Account(Refusal { reason, message }) => {
                Verdict::new(Stage::Failing, reason, message, Next::After(STALLED_RECHECK, Priority::Progress))
            }
            Self::Session(Refusal { reason, message }) => retry(reason, message),
            Self::Refused { reason, message } => {
                let recheck = if situation.swept { situation.poll } else { STALLED_RECHECK };
                stalled(reason, message, recheck)
            }
            Self::NotOurs(message) => Verdict { usable: Usable::No, ..stalled("NameTaken", message, STALLED_RECHECK) },
            Self::ConnectionConflict(message) => {
                Verdict { usable: Usable::No, ..stalled("ConnectionConflict", message, CONFLICT_RECHECK) }
            }
        };
        Some(if situation.deleting { deleting(verdict) } else { verdict })
    }

    /// Whether this replica may not change anything now: then there is nothing to say either.
    pub fn is_no_permit(&self) -> bool {
        matches!(self, Self::Kube(KubeError::NoPermit(_)) | Self::Aws(AwsError { class: ErrorClass::NoPermit, .. }))
    }

    /// The class of AWS's error, where it is one.
    pub fn class(&self) -> Option<&'static str> {
        match self {
            Self::Aws(error) => Some(error.class.name()),
            _ => None,
        }
    }

    /// Whether AWS refused the request itself.
    pub fn is_rejection(&self) -> bool {
        matches!(self, Self::Aws(AwsError { class: ErrorClass::PerhapsTerminal, .. }))
    }
}

fn of_aws(error: &AwsError, situation: &Situation) -> Verdict {
    let text = error.to_string();
    match error.class {
        ErrorClass::Terminal => stalled("RejectedByAWS", &text, STALLED_RECHECK),
        ErrorClass::PerhapsTerminal if situation.rejections > PATIENCE => {
            stalled("RejectedByAWS", &text, STALLED_RECHECK)
        }
        ErrorClass::Denied => {
            let action = error.missing_action().unwrap_or_default();
            let message = format!("the operator's IAM role lacks the permission {action}: {text}");
            stalled("AccessDenied", &message, DENIED_RECHECK)
        }
        ErrorClass::Later(seconds) => {
            let message = format!("AWS asks to wait {seconds} s: {text}");
            let next = Next::After(Duration::from_secs(seconds), Priority::Progress);
            Verdict::new(Stage::Failing, "WaitingForAWS", message, next)
        }
        // The flow is charged, and tries again when its rate allows; the object has done nothing wrong.
        ErrorClass::Throttle if error.throttles_flow() => {
            let message =
                format!("{text}; next attempt as soon as the rate for {} in {} allows", error.service, error.region);
            Verdict::new(Stage::Failing, THROTTLED, message, Next::Throttled)
        }
        ErrorClass::Throttle => failing(THROTTLED, &text, situation),
        ErrorClass::Shut(_) => Verdict::new(Stage::Failing, "AWSUnreachable", text, Next::Backoff),
        ErrorClass::Credentials => failing("CredentialsError", &text, situation),
        ErrorClass::Dependency => failing("WaitingForDependency", &text, situation),
        ErrorClass::NotFound
        | ErrorClass::Conflict
        | ErrorClass::PerhapsTerminal
        | ErrorClass::Transient
        | ErrorClass::Unanswered
        | ErrorClass::NoPermit => failing("AWSError", &text, situation),
    }
}

fn failing(reason: &str, message: &str, situation: &Situation) -> Verdict {
    let within = backoff(situation.failures.saturating_add(1)).as_secs();
    Verdict::new(Stage::Failing, reason, format!("{message}; next attempt within {within} s"), Next::Backoff)
}

fn stalled(reason: &str, message: &str, recheck: Duration) -> Verdict {
    Verdict::new(Stage::Stalled, reason, message, Next::After(recheck, Priority::Poll))
}

/// The same, of an object that is being deleted.
fn deleting(verdict: Verdict) -> Verdict {
    let stage = if verdict.stage == Stage::Stalled { Stage::DeletionBlocked } else { Stage::Deleting };
    Verdict { stage, usable: Usable::AsBefore, ..verdict }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aws::Service;

    fn aws(class: ErrorClass) -> Fault {
        Fault::Aws(AwsError {
            service: Service("sqs"),
            operation: "SetQueueAttributes",
            region: "eu-west-1".into(),
            class,
            code: "Code".into(),
            message: "message".into(),
            request_id: Some("r-1".into()),
            retry_after: None,
        })
    }

    fn verdict(fault: &Fault, deleting: bool, rejections: u32) -> Verdict {
        let situation =
            Situation { deleting, exists: false, failures: 2, rejections, poll: Duration::from_secs(30), swept: false };
        fault.verdict(&situation).unwrap()
    }

    #[test]
    fn classes_drive_what_happens_next() {
        let after = |seconds, priority| Next::After(Duration::from_secs(seconds), priority);
        for (class, rejections, stage, reason, next) in [
            (ErrorClass::Transient, 0, Stage::Failing, "AWSError", Next::Backoff),
            (ErrorClass::Throttle, 0, Stage::Failing, "Throttled", Next::Throttled),
            (ErrorClass::Unanswered, 0, Stage::Failing, "AWSError", Next::Backoff),
            (ErrorClass::Shut(9), 0, Stage::Failing, "AWSUnreachable", Next::Backoff),
            (ErrorClass::Credentials, 0, Stage::Failing, "CredentialsError", Next::Backoff),
            (ErrorClass::Later(60), 0, Stage::Failing, "WaitingForAWS", after(60, Priority::Progress)),
            (ErrorClass::Terminal, 0, Stage::Stalled, "RejectedByAWS", after(1_800, Priority::Poll)),
            (ErrorClass::PerhapsTerminal, 5, Stage::Failing, "AWSError", Next::Backoff),
            (ErrorClass::PerhapsTerminal, 6, Stage::Stalled, "RejectedByAWS", after(1_800, Priority::Poll)),
            (ErrorClass::Denied, 0, Stage::Stalled, "AccessDenied", after(300, Priority::Poll)),
        ] {
            let verdict = verdict(&aws(class), false, rejections);
            assert_eq!((verdict.stage, verdict.reason.as_str(), verdict.next), (stage, reason, next), "{class:?}");
            assert!(verdict.message.contains("Code") && verdict.message.contains("r-1"), "{}", verdict.message);
        }
    }

    #[test]
    fn a_denial_names_the_action_and_a_retry_its_time() {
        assert!(verdict(&aws(ErrorClass::Denied), false, 0).message.contains("sqs:SetQueueAttributes"));
        assert!(verdict(&aws(ErrorClass::Transient), false, 0).message.ends_with("next attempt within 4 s"));
    }

    #[test]
    fn a_deletion_that_cannot_go_on_by_itself_is_blocked() {
        assert_eq!(verdict(&aws(ErrorClass::Denied), true, 0).stage, Stage::DeletionBlocked);
        assert_eq!(verdict(&aws(ErrorClass::Transient), true, 0).stage, Stage::Deleting);
    }
}
