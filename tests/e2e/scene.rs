//! Steps that the tests about whose a queue is, and about failures, share.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use fairlead_harness::{
    aws_proxy::{Effect, Fault},
    wait::eventually,
};
use k8s_openapi::api::core::v1::Namespace;
use kube::{
    Api,
    api::{DeleteParams, DynamicObject, PostParams},
};
use serde_json::{Value, json};

use crate::world::{DEADLINE, World, condition};

/// The annotation that pauses an object.
pub const PAUSED: &str = "aws.fairlead.dev/paused";
/// The annotation that holds an object's identity.
pub const IDENTITY: &str = "aws.fairlead.dev/identity";
/// The operations of SQS that change something.
const WRITES: [&str; 5] = ["CreateQueue", "SetQueueAttributes", "TagQueue", "UntagQueue", "DeleteQueue"];

/// A queue as AWS has it: attributes, modification time included, and tags.
pub type Queue = (BTreeMap<String, String>, BTreeMap<String, String>);

impl World {
    /// Makes a queue as somebody else would.
    pub async fn foreign_queue(
        &self,
        aws_name: &str,
        attributes: &[(&str, &str)],
        tags: &[(&str, &str)],
    ) -> Result<()> {
        let mut call = self.sqs().create_queue().queue_name(aws_name);
        for (name, value) in attributes {
            call = call.attributes((*name).into(), *value);
        }
        for (key, value) in tags {
            call = call.tags(*key, *value);
        }
        call.send().await?;
        Ok(())
    }

    /// Shows every queue to the operator as an hour old. An emulator takes CreateQueue for a queue that
    /// exists, as AWS does where the attributes fit; only its age tells it from one that was just made.
    pub fn age_queues(&self) {
        let age = |mut answer: Value| {
            let created = &mut answer["Attributes"]["CreatedTimestamp"];
            let seconds = created.as_str().and_then(|text| text.split('.').next()?.parse::<i64>().ok());
            if let Some(seconds) = seconds {
                *created = json!((seconds - 3_600).to_string());
            }
            answer
        };
        self.proxy.fault(Fault::new("GetQueueAttributes", Effect::rewrite(age)).always());
    }

    /// Lets AWS refuse every call of an operation from now on.
    pub fn refuse(&self, operation: &str, status: u16, code: &str, message: &str) {
        self.proxy.fault(Fault::new(operation, Effect::respond(status, code, message)).always());
    }

    /// Lets AWS show no queue to the operator, as it may for a while after a create, until the faults
    /// are cleared.
    pub fn hide_queues(&self) {
        for operation in ["GetQueueUrl", "GetQueueAttributes", "ListQueueTags"] {
            self.refuse(
                operation,
                400,
                "AWS.SimpleQueueService.NonExistentQueue",
                "The specified queue does not exist.",
            );
        }
    }

    /// Deletes a queue behind the operator's back.
    pub async fn delete_queue(&self, aws_name: &str) -> Result<()> {
        let url = self.queue_url(aws_name).await?.with_context(|| format!("there is no queue {aws_name}"))?;
        self.sqs().delete_queue().queue_url(url).send().await?;
        Ok(())
    }

    /// Waits until a queue is in AWS, or is not.
    pub async fn until_queue(&self, aws_name: &str, there: bool) -> Result<()> {
        let what = format!("{aws_name} in AWS: {there}");
        eventually(&what, DEADLINE, async || match self.queue_url(aws_name).await {
            Ok(url) if url.is_some() == there => Ok(()),
            other => Err(format!("{other:?}")),
        })
        .await
    }

    /// Waits until an operation was called so many times since the calls were cleared.
    pub async fn called(&self, operation: &str, times: usize) -> Result<()> {
        let what = format!("{times} calls of {operation}");
        eventually(&what, DEADLINE, async || match self.proxy.calls_of(operation).len() {
            calls if calls >= times => Ok(()),
            calls => Err(format!("{calls}: {:?}", self.operations())),
        })
        .await
    }

    /// A queue as AWS has it.
    pub async fn queue(&self, aws_name: &str) -> Result<Queue> {
        Ok((self.attributes(aws_name).await?, self.tags(aws_name).await?))
    }

    /// An SQSQueue as it is now.
    pub async fn object(&self, name: &str) -> Result<DynamicObject> {
        Ok(self.queues().get(name).await?)
    }

    /// Sets an annotation; null removes it.
    pub async fn annotate(&self, name: &str, annotation: &str, value: Value) -> Result<DynamicObject> {
        self.patch(name, json!({ "metadata": { "annotations": { annotation: value } } })).await
    }

    /// Creates an SQSQueue that is paused from the start.
    pub async fn create_paused(&self, name: &str) -> Result<DynamicObject> {
        let object = json!({
            "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue",
            "metadata": { "name": name, "annotations": { PAUSED: "true" } }, "spec": {},
        });
        Ok(self.queues().create(&PostParams::default(), &serde_json::from_value(object)?).await?)
    }

    /// Asks for the deletion of an SQSQueue, and does not wait.
    pub async fn ask_deletion(&self, name: &str) -> Result<()> {
        self.queues().delete(name, &DeleteParams::default()).await?;
        Ok(())
    }

    /// Waits until Synced has this reason.
    pub async fn says(&self, name: &str, reason: &str) -> Result<DynamicObject> {
        self.until(name, reason, |object| condition(object, "Synced")["reason"] == reason).await
    }

    /// Waits until Stalled is true, for this reason.
    pub async fn stalled(&self, name: &str, reason: &str) -> Result<DynamicObject> {
        self.until(name, &format!("stalled, {reason}"), |object| condition(object, "Stalled")["reason"] == reason).await
    }

    /// Waits until an event with this reason has been told of an SQSQueue.
    pub async fn has_told(&self, name: &str, reason: &str) -> Result<()> {
        let what = format!("the event {reason} of {name}");
        eventually(&what, DEADLINE, async || match self.events(name).await {
            Ok(events) if events.iter().any(|event| event == reason) => Ok(()),
            Ok(events) => Err(format!("{events:?}")),
            Err(error) => Err(format!("{error:#}")),
        })
        .await
    }

    /// Waits until the operator has read this queue's attributes so many times more, and has had the
    /// answers.
    pub async fn looked_at(&self, aws_name: &str, times: usize) -> Result<()> {
        let before = self.looks(aws_name);
        let what = format!("{times} more looks at {aws_name}");
        // One more: when it begins, what followed from the one before is done.
        eventually(&what, DEADLINE, async || match self.looks(aws_name) - before {
            looks if looks > times => Ok(()),
            looks => Err(format!("{looks} so far")),
        })
        .await
    }

    /// Makes an object that is not polled be reconciled, and waits until that is over.
    pub async fn reconciled(&self, name: &str) -> Result<()> {
        // An object is never reconciled twice at once: when the second begins, the first is over.
        self.reconcile_now(name).await?;
        self.reconcile_now(name).await
    }

    /// The calls so far that change something in AWS.
    pub fn writes(&self) -> Vec<String> {
        self.operations().into_iter().filter(|operation| WRITES.contains(&operation.as_str())).collect()
    }

    /// What this cluster is called in owner tags.
    pub async fn cluster_id(&self) -> Result<String> {
        let namespaces: Api<Namespace> = Api::all(self.admin.clone());
        namespaces.get("kube-system").await?.metadata.uid.context("kube-system has no uid")
    }

    /// Gives an SQSQueue up to etcd as a lost cluster would: it is gone, and nobody has looked.
    pub async fn lose_object(&self, name: &str) -> Result<DynamicObject> {
        let object = self.patch(name, json!({ "metadata": { "finalizers": null } })).await?;
        self.ask_deletion(name).await?;
        self.gone(name).await?;
        Ok(object)
    }

    fn looks(&self, aws_name: &str) -> usize {
        let suffix = format!("/{aws_name}");
        let calls = self.proxy.calls_of("GetQueueAttributes").into_iter();
        calls.filter(|call| call.request["QueueUrl"].as_str().is_some_and(|url| url.ends_with(&suffix))).count()
    }
}

/// The reason of a condition.
pub fn reason(object: &DynamicObject, kind: &str) -> String {
    condition(object, kind)["reason"].as_str().unwrap_or_default().to_owned()
}

/// The tags that say whose a queue is.
pub fn owner_tags<'a>(
    cluster: &'a str,
    namespace: &'a str,
    name: &'a str,
    uid: &'a str,
) -> [(&'static str, &'a str); 5] {
    [
        ("fairlead.dev/cluster", cluster),
        ("fairlead.dev/namespace", namespace),
        ("fairlead.dev/name", name),
        ("fairlead.dev/kind", "SQSQueue"),
        ("fairlead.dev/uid", uid),
    ]
}
