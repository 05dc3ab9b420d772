//! Whose credentials the process's own are, and whether AWS answers at all.
//!
//! The account id is asked once and is part of every identity. [`OwnAccount::watch`] asks again from
//! time to time, and soon after a call that got no answer, so that readiness says why nothing
//! happens while AWS is away.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::{
    clients::Clients,
    errors::{AwsError, ErrorClass},
    session::{Session, own_error},
};
use crate::telemetry::health::Component;

/// How often the account is asked for while all is well.
const PROBE: Duration = Duration::from_secs(60);
/// … and while AWS does not answer.
const PROBE_WHEN_AWAY: Duration = Duration::from_secs(2);

/// Hears of a session's failed calls: asks for a probe where they mean that AWS is away, and notes
/// where its credentials were refused.
#[derive(Clone, Debug, Default)]
pub struct Reachability {
    probe: Option<Arc<Notify>>,
    doubtful: Arc<AtomicBool>,
}

impl Reachability {
    /// Of the process's own credentials, with a probe.
    pub fn of_own() -> Self {
        Self { probe: Some(Arc::default()), doubtful: Arc::default() }
    }

    /// One whose failures bring no probe.
    pub(super) fn unheard() -> Self {
        Self::default()
    }

    /// The same, for credentials that nobody has refused yet.
    pub(super) fn renewed(&self) -> Self {
        Self { probe: self.probe.clone(), doubtful: Arc::default() }
    }

    /// Takes note of a failed call.
    pub(super) fn saw(&self, error: &AwsError) {
        if error.class == ErrorClass::Credentials {
            self.doubtful.store(true, Ordering::Relaxed);
        }
        if matches!(error.class, ErrorClass::Transient | ErrorClass::Unanswered | ErrorClass::Credentials) {
            self.probe.iter().for_each(|probe| probe.notify_one());
        }
    }

    /// Whether AWS has refused the credentials.
    pub(super) fn is_doubtful(&self) -> bool {
        self.doubtful.load(Ordering::Relaxed)
    }
}

/// What is known of the account of the process's own credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing yet.
    Unknown,
    /// Its id.
    Known(String),
    /// It is another one than the settings expect, and must not be used.
    Unexpected {
        /// Its id.
        id: String,
        /// What the settings say.
        expected: String,
    },
}

impl Standing {
    /// The id, where the account may be used.
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Known(id) => Some(id),
            Self::Unknown | Self::Unexpected { .. } => None,
        }
    }

    /// Why the account must not be used.
    pub fn refusal(&self) -> Option<String> {
        match self {
            Self::Unexpected { id, expected } => Some(format!(
                "the operator's credentials are of the AWS account {id}, but FAIRLEAD_EXPECTED_ACCOUNT is {expected}: \
                 nothing is done with them; give the operator those of {expected}, or change the setting"
            )),
            Self::Unknown | Self::Known(_) => None,
        }
    }
}

/// Says whether the process's own credentials may be used.
#[derive(Clone, Debug)]
pub struct Gate {
    expected: Option<String>,
    standing: watch::Sender<Standing>,
}

impl Gate {
    /// One that lets only the account `expected` pass, where there is one.
    pub fn new(expected: Option<String>) -> Self {
        Self { expected, standing: watch::Sender::new(Standing::Unknown) }
    }

    /// Lets a call pass that acts with the process's own credentials.
    pub(super) fn pass(&self, operation: &'static str, region: &str) -> Result<(), AwsError> {
        let standing = self.standing.borrow();
        let message = match (&*standing, &self.expected) {
            (Standing::Unexpected { .. }, _) => standing.refusal().unwrap_or_default(),
            (Standing::Unknown, Some(_)) => {
                "AWS has not yet said which account the operator's credentials are of".into()
            }
            (Standing::Known(_), _) | (Standing::Unknown, None) => return Ok(()),
        };
        Err(own_error(ErrorClass::Credentials, operation, region, "AccountMismatch", message))
    }

    fn found(&self, id: &str) {
        let now = match &self.expected {
            Some(expected) if expected != id => Standing::Unexpected { id: id.into(), expected: expected.clone() },
            _ => Standing::Known(id.into()),
        };
        self.standing.send_if_modified(|known| {
            let new = *known != now;
            if new {
                match now.refusal() {
                    Some(refusal) => warn!("{refusal}"),
                    None => info!(account = %id, "these are the credentials of this AWS account"),
                }
                *known = now;
            }
            new
        });
    }
}

/// The account of the process's own credentials.
#[derive(Clone, Debug)]
pub struct OwnAccount {
    clients: Clients,
}

impl OwnAccount {
    /// The account that `clients` call with of their own.
    pub fn new(clients: &Clients) -> Self {
        Self { clients: clients.clone() }
    }

    /// What is known of it.
    pub fn standing(&self) -> Standing {
        self.clients.gate().standing.borrow().clone()
    }

    /// Hears of every change of that.
    pub fn changes(&self) -> watch::Receiver<Standing> {
        self.clients.gate().standing.subscribe()
    }

    /// The account id, asked of AWS now.
    ///
    /// # Errors
    /// The call's error.
    pub async fn ask(&self) -> Result<String, AwsError> {
        let id = self.clients.identify(&Session::Own).await?;
        self.clients.gate().found(&id);
        Ok(id)
    }

    /// Waits until the account is known.
    pub async fn known(&self) {
        // The sender lives as long as `self`, so this ends only when the id is there.
        let _ = self.changes().wait_for(|standing| *standing != Standing::Unknown).await;
    }

    /// Asks for ever: seldom, often while AWS does not answer, and soon after a call failed.
    pub async fn watch(self, reachability: Reachability, health: Component) {
        let probe = reachability.probe.unwrap_or_default();
        loop {
            let pause = match self.ask().await {
                Ok(_) => {
                    match self.standing().refusal() {
                        Some(refusal) => drop(health.down(refusal)),
                        None => health.up(),
                    }
                    PROBE
                }
                Err(error) => {
                    if health.down(format!("AWS does not answer: {error}")) {
                        warn!(%error, "AWS does not answer");
                    }
                    PROBE_WHEN_AWAY
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                // A burst of failures asks once: the next look is at least a second later.
                () = probe.notified(), if pause == PROBE => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_expected_account_may_be_used() {
        let (one, two) = ("111122223333", "444455556666");
        // (expected, found, whether a role may be assumed, the id that may be used)
        for (expected, found, passes, id) in [
            (None, None, true, None),
            (None, Some(one), true, Some(one)),
            (Some(one), None, false, None),
            (Some(one), Some(one), true, Some(one)),
            (Some(one), Some(two), false, None),
        ] {
            let gate = Gate::new(expected.map(str::to_owned));
            found.iter().for_each(|found| gate.found(found));
            let case = format!("{expected:?} {found:?}");
            assert_eq!(gate.pass("AssumeRole", "eu-west-1").is_ok(), passes, "{case}");
            assert_eq!(gate.standing.borrow().id(), id, "{case}");
        }
    }
}
