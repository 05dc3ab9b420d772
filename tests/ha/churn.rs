//! Users at work while something happens to the replicas: objects are created, changed and deleted all the
//! time.

use std::time::Duration;

use anyhow::{Context as _, Result};
use fairlead_harness::replicas::Replicas;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, Patch, PatchParams, PostParams},
};
use serde_json::json;
use tokio::{sync::oneshot, task::JoinHandle};

use crate::ms;

/// The time between two requests.
const PACE: Duration = ms(30);

/// Users at work.
pub struct Churn {
    stop: oneshot::Sender<()>,
    task: JoinHandle<usize>,
}

impl Churn {
    /// Begins; the objects are called `churn-0` and so on.
    pub fn start(replicas: &Replicas) -> Churn {
        let (stop, mut stopped) = oneshot::channel();
        let queues = replicas.site.queues();
        let task = tokio::spawn(async move {
            for number in 0.. {
                tokio::select! {
                    () = round(&queues, number) => {}
                    _ = &mut stopped => return number,
                }
            }
            0
        });
        Churn { stop, task }
    }

    /// Ends: how many objects were created.
    pub async fn stop(self) -> Result<usize> {
        // It may have ended by a panic, which shows in the next line.
        let _ = self.stop.send(());
        self.task.await.context("the users have gone")
    }
}

/// One object more, one changed, and sometimes one less.
async fn round(queues: &Api<DynamicObject>, number: usize) {
    let object = json!({
        "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
        "metadata": { "name": format!("churn-{number}") }, "spec": {},
    });
    if let Ok(object) = serde_json::from_value(object) {
        // Refused while the API server is away: users try again, and so does the next round.
        let _ = queues.create(&PostParams::default(), &object).await;
    }
    tokio::time::sleep(PACE).await;
    let changed = Patch::Merge(json!({ "spec": { "delaySeconds": number % 900 } }));
    let _ = queues.patch(&format!("churn-{}", number / 2), &PatchParams::default(), &changed).await;
    tokio::time::sleep(PACE).await;
    if number % 4 == 3 {
        let _ = queues.delete(&format!("churn-{}", number / 4), &DeleteParams::default()).await;
    }
}
