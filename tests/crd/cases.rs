//! A table of specs and what the API server says to each, through one helper.

use std::path::Path;

use anyhow::{Result, ensure};
use fairlead::{
    accounts::api::AWSAccountSpec,
    kinds::{rds_instance::api::RDSInstanceSpec, sqs_queue::api::SQSQueueSpec},
};
use fairlead_harness::cluster::Cluster;
use kube::{
    Api, Client, Error,
    api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams},
    core::{GroupVersionKind, Request},
};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One of our kinds.
#[derive(Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// The plural of it.
    pub plural: &'static str,
    /// What a spec has where a case does not say otherwise.
    base: fn() -> Value,
    understands: fn(&Value) -> bool,
    namespaced: bool,
}

pub const SQS: Kind = Kind {
    name: "SQSQueue",
    plural: "sqsqueues",
    base: || json!({}),
    understands: understands::<SQSQueueSpec>,
    namespaced: true,
};
pub const RDS: Kind = Kind {
    name: "RDSInstance",
    plural: "rdsinstances",
    base: || json!({ "engine": "postgres" }),
    understands: understands::<RDSInstanceSpec>,
    namespaced: true,
};
pub const ACCOUNT: Kind = Kind {
    name: "AWSAccount",
    plural: "awsaccounts",
    base: || json!({ "allowedNamespaces": ["shop"], "roleARN": "arn:aws:iam::111122223333:role/fairlead" }),
    understands: understands::<AWSAccountSpec>,
    namespaced: false,
};

fn understands<T: DeserializeOwned>(spec: &Value) -> bool {
    T::deserialize(spec).is_ok()
}

impl Kind {
    /// A spec, with what every spec of the kind has where it does not say otherwise. A null takes away.
    pub fn spec(&self, spec: &Value) -> Value {
        let (Value::Object(spec), Value::Object(mut all)) = (spec, (self.base)()) else { return spec.clone() };
        all.extend(spec.clone());
        all.retain(|field, value| {
            !value.is_null() || !(self.base)().as_object().is_some_and(|it| it.contains_key(field))
        });
        Value::Object(all)
    }

    /// Whether the operator understands a spec.
    pub fn understood(&self, spec: &Value) -> bool {
        (self.understands)(spec)
    }

    /// The same, where a null is no spec at all; for a kind that needs one, the least.
    pub fn optional(&self, spec: &Value) -> Option<Value> {
        let none = spec.is_null() && (self.base)() == json!({});
        (!none).then(|| self.spec(&Some(spec.clone()).filter(|it| !it.is_null()).unwrap_or_else(|| json!({}))))
    }

    /// An object as JSON.
    pub fn object(&self, name: &str, spec: Option<&Value>) -> Value {
        let metadata = json!({ "name": name });
        let mut object = json!({ "apiVersion": "aws.fairlead.dev/v1alpha1", "kind": self.name, "metadata": metadata });
        if let Some(spec) = spec {
            object["spec"] = spec.clone();
        }
        object
    }
}

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
pub async fn check(kind: &Kind, cases: Vec<Case>) -> Result<()> {
    let server = Server::new(kind).await?;
    let mut wrong = Vec::new();
    for Case { name, spec, refused } in cases {
        let spec = kind.spec(&spec);
        let answer = server.ask(&kind.object(&name, Some(&spec))).await?;
        let fits = match (&refused, &answer) {
            // What the schema takes, the operator has to understand.
            (None, None) => kind.understood(&spec),
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

/// The API server with our CRDs, and a namespace in it.
pub struct Server {
    /// The control plane.
    pub cluster: &'static Cluster,
    /// The namespace.
    pub namespace: String,
    /// The objects of a kind in it.
    pub objects: Api<DynamicObject>,
    client: Client,
}

impl Server {
    /// A new namespace.
    pub async fn new(kind: &Kind) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        cluster.install(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/deploy"))).await?;
        let namespace = cluster.namespace("crd").await?;
        let resource = GroupVersionKind::gvk("aws.fairlead.dev", "v1alpha1", kind.name);
        let resource = ApiResource::from_gvk_with_plural(&resource, kind.plural);
        let client = cluster.admin_client().await?;
        let objects = match kind.namespaced {
            true => Api::namespaced_with(client.clone(), &namespace, &resource),
            false => Api::all_with(client.clone(), &resource),
        };
        Ok(Self { cluster, namespace, objects, client })
    }

    /// The refusal of `object`, if it is refused. Nothing is stored.
    pub async fn ask(&self, object: &Value) -> Result<Option<String>> {
        let params = PostParams { dry_run: true, ..PostParams::default() };
        let mut request = Request::new(self.objects.resource_url()).create(&params, serde_json::to_vec(object)?)?;
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
        refusal(self.objects.replace(&name, &params, &object).await)
    }

    /// Stores an object.
    pub async fn create(&self, object: &Value) -> Result<DynamicObject> {
        Ok(self.objects.create(&PostParams::default(), &serde_json::from_value(object.clone())?).await?)
    }

    /// Writes an object's status, as the operator does.
    pub async fn set_status(&self, name: &str, status: &Value) -> Result<DynamicObject> {
        let patch = Patch::Merge(serde_json::json!({ "status": status }));
        Ok(self.objects.patch_status(name, &PatchParams::default(), &patch).await?)
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
