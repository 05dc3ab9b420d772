//! A table of specs and what the API server says to each, through one helper.

use std::path::Path;

use anyhow::{Result, ensure};
use fairlead::kinds::sqs_queue::api::SQSQueueSpec;
use fairlead_harness::cluster::Cluster;
use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, Request},
};
use serde_json::{Value, json};

/// A spec and what becomes of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// The object's metadata.name.
    pub name: String,
    /// Its spec.
    pub spec: Value,
    /// A part of the refusal; `None` where it is accepted.
    pub refused: Option<String>,
}

/// A spec that is accepted.
pub fn accepted(spec: Value) -> Case {
    Case { name: "orders".into(), spec, refused: None }
}

/// A spec that is refused with `message`.
pub fn refused(spec: Value, message: impl Into<String>) -> Case {
    Case { refused: Some(message.into()), ..accepted(spec) }
}

impl Case {
    /// The same, of an object with this metadata.name.
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }
}

/// Asks the API server about every case, and reports all that it sees differently.
pub async fn check(cases: Vec<Case>) -> Result<()> {
    let server = Server::new().await?;
    let mut wrong = Vec::new();
    for Case { name, spec, refused } in cases {
        let answer = server.ask(&object(&name, Some(&spec))).await?;
        let fits = match (&refused, &answer) {
            // What the schema takes, the operator has to understand.
            (None, None) => serde_json::from_value::<SQSQueueSpec>(spec.clone()).is_ok(),
            (Some(message), Some(answer)) => answer.contains(message.as_str()),
            _ => false,
        };
        if !fits {
            wrong.push(format!("{name} {spec}\n  expected: {refused:?}\n  answered: {answer:?}"));
        }
    }
    ensure!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    Ok(())
}

/// An SQSQueue as JSON.
pub fn object(name: &str, spec: Option<&Value>) -> Value {
    let mut object =
        json!({ "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": "SQSQueue", "metadata": { "name": name } });
    if let Some(spec) = spec {
        object["spec"] = spec.clone();
    }
    object
}

/// The API server with our CRD, and a namespace in it.
pub struct Server {
    /// The control plane.
    pub cluster: &'static Cluster,
    /// The namespace.
    pub namespace: String,
    /// Its SQSQueues.
    pub queues: Api<DynamicObject>,
    client: Client,
}

impl Server {
    /// A new namespace.
    pub async fn new() -> Result<Self> {
        let cluster = Cluster::shared().await?;
        cluster.install(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))).await?;
        let namespace = cluster.namespace("crd").await?;
        let kind = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", "SQSQueue");
        let resource = ApiResource::from_gvk_with_plural(&kind, "sqsqueues");
        let client = cluster.admin_client().await?;
        let queues = Api::namespaced_with(client.clone(), &namespace, &resource);
        Ok(Self { cluster, namespace, queues, client })
    }

    /// The refusal of `object`, if it is refused. Nothing is stored.
    pub async fn ask(&self, object: &Value) -> Result<Option<String>> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let mut request = Request::new(self.queues.resource_url()).create(&params, serde_json::to_vec(object)?)?;
        // As kubectl does it: a field that is not known is refused.
        *request.uri_mut() = format!("{}&fieldValidation=Strict", request.uri()).parse()?;
        refusal(self.client.request::<DynamicObject>(request).await)
    }

    /// The refusal of `object` as the new state of a stored one. Nothing is stored.
    pub async fn ask_replace(&self, stored: &DynamicObject, object: &Value) -> Result<Option<String>> {
        let mut object: DynamicObject = serde_json::from_value(object.clone())?;
        object.metadata.resource_version.clone_from(&stored.metadata.resource_version);
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let name = object.metadata.name.clone().unwrap_or_default();
        refusal(self.queues.replace(&name, &params, &object).await)
    }

    /// Stores an object.
    pub async fn create(&self, object: &Value) -> Result<DynamicObject> {
        Ok(self.queues.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await?)
    }

    /// Writes an object's status, as the operator does.
    pub async fn set_status(&self, name: &str, status: &Value) -> Result<DynamicObject> {
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        Ok(self.queues.patch_status(name, &PatchParams::default(), &patch).await?)
    }

    /// What kubectl prints in this namespace.
    pub async fn kubectl(&self, args: &[&str]) -> Result<String> {
        self.cluster.kubectl(&[args, &["--namespace", &self.namespace]].concat()).await
    }
}

/// What the API server refused with, if it did.
pub fn refusal<T>(answer: kube::Result<T>) -> Result<Option<String>> {
    match answer {
        Ok(_) => Ok(None),
        Err(Error::Api(status)) if matches!(status.code, 400 | 422) => Ok(Some(status.message.clone())),
        Err(error) => Err(error.into()),
    }
}
