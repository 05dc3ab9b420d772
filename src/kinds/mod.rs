//! The registry: a line a kind.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::{
    crd::spec::DeletionPolicy,
    engine::{
        controller::{AnyController, Context, Controller},
        kind::Kind,
    },
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
    /// Makes its controller.
    pub controller: fn(Arc<Context>) -> Arc<dyn AnyController>,
}

impl Registration {
    const fn of<K: Kind>() -> Self {
        Self {
            kind: K::KIND,
            crd: K::crd,
            deletion: K::DELETION,
            controller: |context| Arc::new(Controller::<K>::new(context)),
        }
    }
}
