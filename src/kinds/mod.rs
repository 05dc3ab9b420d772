//! The registry: a line a kind.

use std::sync::Arc;

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;

use crate::engine::{
    controller::{AnyController, Context, Controller},
    kind::Kind,
};

pub mod sqs_queue;

/// All kinds.
pub const KINDS: &[Registration] = &[Registration::of::<sqs_queue::SqsQueue>()];

/// A kind, without its types.
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// The Kubernetes kind.
    pub kind: &'static str,
    /// Its CRD, as derived.
    pub crd: fn() -> CustomResourceDefinition,
    /// Makes its controller.
    pub controller: fn(Arc<Context>) -> Arc<dyn AnyController>,
}

impl Registration {
    const fn of<K: Kind>() -> Self {
        Self { kind: K::KIND, crd: K::crd, controller: |context| Arc::new(Controller::<K>::new(context)) }
    }
}
