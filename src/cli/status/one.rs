//! Who leads one object, and what that replica knows of it.

use futures::StreamExt as _;
use jiff::Timestamp;
use k8s_openapi::api::{coordination::v1::Lease, core::v1::Pod};
use kube::{Api, Client, ResourceExt as _};
use serde::Serialize;

use super::{
    AT_ONCE, POD_LABEL, listing, proxied,
    report::{self, Candidate, Seen, State, pod_of},
    within,
};
use crate::{
    shard::{COUNTS, Shard, leases::LABEL},
    telemetry::object_status::{ObjectStatusz, PATH},
};

/// Who leads the shard of an object, as the Leases say.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::cli) struct Leader {
    /// The shard.
    pub(in crate::cli) shard: usize,
    /// Of how many.
    pub(in crate::cli) shards: u8,
    /// Who holds its Lease, or held it last.
    pub(in crate::cli) holder: Option<String>,
    /// Whether that leads: it has renewed the Lease within its duration.
    pub(in crate::cli) leads: bool,
    /// When the Lease was renewed.
    pub(in crate::cli) renewed_seconds_ago: Option<f64>,
}

/// What the replicas are seen to know of an object.
#[derive(Debug)]
pub(in crate::cli) struct Sight {
    /// Who leads it, or why that is not known.
    pub(in crate::cli) leader: Result<Leader, String>,
    /// What the leading replica says, or why it says nothing.
    pub(in crate::cli) told: Result<ObjectStatusz, String>,
}

/// Looks at the object of this kind, namespace, name and uid, by way of the Leases and pods in `place`.
pub(in crate::cli) async fn look_at(
    client: &Client,
    place: &str,
    port: u16,
    [kind, namespace, name, uid]: [&str; 4],
) -> Sight {
    let path = format!("{PATH}/{kind}/{namespace}/{name}");
    let leader = leader(client, place, uid).await;
    let told = match &leader {
        Ok(Leader { leads: true, holder: Some(holder), .. }) => {
            proxied(client, place, pod_of(holder), port, &path).await
        }
        Ok(Leader { shard, .. }) => Err(format!("no replica leads the shard {shard}")),
        // Whoever may list the pods and not the Leases can ask all of them.
        Err(_) => ask_all(client, place, port, &path).await,
    };
    let told = told.and_then(|told: ObjectStatusz| match told.uid.as_deref() {
        Some(known) if known == uid => Ok(told),
        _ => Err(format!("{} does not know the object yet", told.replica)),
    });
    Sight { leader, told }
}

async fn leader(client: &Client, place: &str, uid: &str) -> Result<Leader, String> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), place);
    let leases = within(leases.list(&listing(LABEL))).await.map_err(|why| report::not_listed("Leases", place, &why))?;
    let seen = Seen {
        namespace: place.to_owned(),
        now: Timestamp::now(),
        leases: leases.items,
        pods: Ok(Vec::new()),
        answers: Default::default(),
    };
    let said = report::conclude(&seen);
    let shards = said.shard_count.and_then(|count| u8::try_from(count).ok()).filter(|count| COUNTS.contains(count));
    let Some(shards) = shards else {
        return Err(format!(
            "there are no Leases of Fairlead in the namespace {place}: is it another one (--fairlead-namespace)?"
        ));
    };
    let shard = Shard::of(uid, shards).index();
    let of_lease = said.shards.iter().find(|lease| usize::from(lease.shard) == shard);
    Ok(Leader {
        shard,
        shards,
        holder: of_lease.and_then(|lease| lease.holder.clone()),
        leads: of_lease.is_some_and(|lease| lease.state == State::Led),
        renewed_seconds_ago: of_lease.and_then(|lease| lease.renewed_seconds_ago),
    })
}

/// The answer of the replica that says that it leads the object.
async fn ask_all(client: &Client, place: &str, port: u16, path: &str) -> Result<ObjectStatusz, String> {
    let pods: Api<Pod> = Api::namespaced(client.clone(), place);
    let pods = within(pods.list(&listing(POD_LABEL))).await.map_err(|why| report::not_listed("pods", place, &why))?;
    let asked = report::candidates(&[], &pods.items).into_iter().filter(|candidate| candidate.instead.is_none());
    let answers = asked.map(|Candidate { name, .. }| async move { proxied(client, place, &name, port, path).await });
    let answers: Vec<Result<ObjectStatusz, String>> =
        futures::stream::iter(answers).buffer_unordered(AT_ONCE).collect().await;
    let mut why = match pods.items.first() {
        Some(pod) => format!("no replica says that it leads the object, not even {}", pod.name_any()),
        None => format!("no pod in {place} has the label {POD_LABEL}"),
    };
    for answer in answers {
        match answer {
            Ok(told) if told.led => return Ok(told),
            Ok(_) => {}
            Err(problem) => why = problem,
        }
    }
    Err(why)
}
