//! The registry: a line a kind.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ApiResource;

use crate::{
    crd::spec::DeletionPolicy,
    engine::{
        controller::{self, AnyController, Context, Controller},
        kind::{Kind, Referent},
        objects::Object,
        preview::{self, Ahead, View},
        subject::Subject,
    },
    telemetry::metrics::catalog::Metric,
};

pub mod rds_instance;
pub mod sqs_queue;

/// All kinds.
pub const KINDS: &[Registration] =
    &[Registration::of::<sqs_queue::SqsQueue>(), Registration::of::<rds_instance::RdsInstance>()];

/// A kind, without its types.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The Kubernetes kind.
    pub kind: &'static str,
    /// Its CRD, as derived.
    pub crd: fn() -> CustomResourceDefinition,
    /// What may become of the resource of a deleted object; the first is the default.
    pub deletion: &'static [DeletionPolicy],
    /// The metric that counts its resources.
    pub total: &'static Metric,
    /// Makes its controller.
    pub controller: fn(Arc<Context>) -> Arc<dyn AnyController>,
    /// The API resource of its objects.
    pub resource: fn() -> ApiResource,
    /// What the next reconcile of an object would do.
    pub preview: for<'a> fn(&'a View<'a>) -> Ahead<'a>,
    /// The objects that an object refers to, by name; none where its spec is invalid.
    pub references: fn(&Object) -> Vec<String>,
    /// What objects that refer to this one would know of it, were it applied to this account.
    pub referent: fn(&Subject<'_>, account: &str) -> Option<Referent>,
}

impl Registration {
    const fn of<K: Kind>() -> Self {
        Self {
            kind: K::KIND,
            crd: K::crd,
            deletion: K::DELETION,
            total: K::TOTAL,
            controller: |context| Arc::new(Controller::<K>::new(context)),
            resource: controller::resource::<K>,
            preview: |view| Box::pin(preview::preview::<K>(view)),
            references: |object| object.spec::<K>().map(|spec| K::references(&spec)).unwrap_or_default(),
            referent: preview::referent::<K>,
        }
    }
}
