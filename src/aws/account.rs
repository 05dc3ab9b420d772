//! Whose credentials these are, and whether AWS answers at all.
//!
//! The account id is asked once and is part of every identity. [`Account::watch`] asks again from
//! time to time, and soon after a call that got no answer, so that readiness says why nothing
//! happens while AWS is away.

use std::{sync::Arc, time::Duration};

use tokio::sync::{Notify, watch};
use tracing::{info, warn};

use super::{
    call::Regional,
    clients::Clients,
    errors::{AwsError, ErrorClass},
};
use crate::{
    queue::{flow::Flow, token::FlowToken},
    telemetry::health::Component,
};

/// How often the account is asked for while all is well.
const PROBE: Duration = Duration::from_secs(60);
/// … and while AWS does not answer.
const PROBE_WHEN_AWAY: Duration = Duration::from_secs(2);

/// Hears of failed calls, and asks for a probe where they mean that AWS is away.
#[derive(Clone, Debug, Default)]
pub struct Reachability(Arc<Notify>);

impl Reachability {
    /// Takes note of a failed call.
    pub(super) fn saw(&self, error: &AwsError) {
        if matches!(error.class, ErrorClass::Transient | ErrorClass::Unanswered | ErrorClass::Credentials) {
            self.0.notify_one();
        }
    }
}

/// The account of the process's own credentials.
#[derive(Clone, Debug)]
pub struct Account {
    sts: Regional<aws_sdk_sts::Client>,
    id: watch::Sender<Option<String>>,
}

impl Account {
    /// The account that `clients` call with. `token` gives the right to call in a flow.
    pub fn new(clients: &Clients, token: impl Fn(Flow) -> FlowToken) -> Self {
        Self { sts: clients.sts(token), id: watch::Sender::new(None) }
    }

    /// The account id, where it is known.
    pub fn id(&self) -> Option<String> {
        self.id.borrow().clone()
    }

    /// The account id, asked of AWS now.
    ///
    /// # Errors
    /// The call's error.
    pub async fn ask(&self) -> Result<String, AwsError> {
        let answer = self.sts.read("GetCallerIdentity", "", |sts| sts.get_caller_identity().send()).await?;
        let id = answer.account().unwrap_or_default().to_owned();
        self.id.send_if_modified(|known| {
            let new = known.as_ref() != Some(&id);
            if new {
                info!(account = %id, "these are the credentials of this AWS account");
                *known = Some(id.clone());
            }
            new
        });
        Ok(id)
    }

    /// Waits until the account is known.
    pub async fn known(&self) {
        // The sender lives as long as `self`, so this ends only when the id is there.
        let _ = self.id.subscribe().wait_for(Option::is_some).await;
    }

    /// Asks for ever: seldom, often while AWS does not answer, and soon after a call failed.
    pub async fn watch(self, reachability: Reachability, health: Component) {
        loop {
            let pause = match self.ask().await {
                Ok(_) => {
                    health.up();
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
                () = reachability.0.notified(), if pause == PROBE => tokio::time::sleep(Duration::from_secs(1)).await,
            }
        }
    }
}
