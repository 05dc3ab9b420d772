//! Events about the Leases: who leads since when, where people look for it.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::{
    api::{coordination::v1::Lease, core::v1::ObjectReference, events::v1::Event},
    apimachinery::pkg::apis::meta::v1::MicroTime,
};
use kube::{
    Api, Client,
    api::{ObjectMeta, PostParams},
};
use tracing::debug;

use super::membership::Replica;

/// Tells that `replica` leads by `lease` from now on. Best effort.
pub fn became_leader(
    client: &Client,
    lease: &Lease,
    replica: &Replica,
    patience: Duration,
) -> impl Future<Output = ()> + Send + 'static {
    let ObjectMeta { name, namespace, uid, resource_version, .. } = lease.metadata.clone();
    let (name, namespace) = (name.unwrap_or_default(), namespace.unwrap_or_default());
    let event = Event {
        metadata: ObjectMeta {
            name: Some(format!("{name}.{}", resource_version.clone().unwrap_or_default())),
            namespace: Some(namespace.clone()),
            ..ObjectMeta::default()
        },
        event_time: Some(MicroTime(Timestamp::now())),
        type_: Some("Normal".into()),
        reason: Some("LeaderElection".into()),
        action: Some("Lead".into()),
        note: Some(format!("{} became leader", replica.identity)),
        reporting_controller: Some("aws.fairlead.dev".into()),
        reporting_instance: Some(replica.pod.clone()),
        regarding: Some(ObjectReference {
            api_version: Some("coordination.k8s.io/v1".into()),
            kind: Some("Lease".into()),
            namespace: Some(namespace.clone()),
            name: Some(name),
            uid,
            resource_version,
            ..ObjectReference::default()
        }),
        ..Event::default()
    };
    let api: Api<Event> = Api::namespaced(client.clone(), &namespace);
    async move {
        let taken = tokio::time::timeout(patience, api.create(&PostParams::default(), &event)).await;
        if !matches!(taken, Ok(Ok(_))) {
            debug!(?taken, "the event about a Lease was not taken");
        }
    }
}
