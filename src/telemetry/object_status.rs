//! `/statusz/objects/KIND/NAMESPACE/NAME`: what this replica knows of one object, as JSON. `fairlead explain` reads it.
//! Nothing of it is secret, and answering it calls nobody.

use axum::{
    Router,
    extract::Path,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where it is served, on the address of the metrics.
pub const PATH: &str = "/statusz/objects";

/// An object, as a replica knows it. Another version's may have more fields.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectStatusz {
    /// The replica's lease identity.
    pub replica: String,
    /// The object's uid; nothing where the replica does not know it.
    pub uid: Option<String>,
    /// Its shard.
    pub shard: Option<u16>,
    /// Whether the replica leads that.
    pub led: bool,
    /// Where it is in the queue; nothing where it is not.
    pub queue: Option<QueueStand>,
    /// Its flow.
    pub flow: Option<FlowStatusz>,
    /// Its last reconcile, in this leadership.
    pub last: Option<Last>,
}

/// Where an object is in the queue.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueueStand {
    /// `idle`, `due`, `waiting` or `running`.
    pub stand: String,
    /// As what it is due: `change`, `progress`, `poll` or `startup`.
    pub priority: Option<String>,
    /// After how many seconds it is due.
    pub due_in_seconds: Option<f64>,
    /// For how many seconds it has been due.
    pub waiting_for_seconds: Option<f64>,
    /// What it waits for: `turn`, `slot`, `token` or `circuit`.
    pub waits_for: Option<String>,
    /// For how many seconds it has run.
    pub running_for_seconds: Option<f64>,
    /// How many reconciles in a row have failed.
    pub failures: u32,
    /// For how many seconds more that holds it back.
    pub backoff_seconds: Option<f64>,
    /// Whether its resource is looked at together with others.
    pub with_others: bool,
}

/// A flow: an account, a region and a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct FlowStatusz {
    /// The account.
    pub account: String,
    /// The region.
    pub region: String,
    /// The service.
    pub service: String,
    /// Calls a second.
    pub rate: f64,
    /// The most calls a second.
    pub ceiling: f64,
    /// How many seconds ago AWS has throttled it, as long as that is felt.
    pub throttled_seconds_ago: Option<f64>,
    /// For how many seconds more it keeps a pause that AWS has asked for.
    pub paused_for_seconds: Option<f64>,
    /// For how many seconds AWS has not answered.
    pub circuit_open_for_seconds: Option<f64>,
    /// By how much polls are stretched.
    pub poll_stretch: f64,
    /// Objects that are due and do not run.
    pub due: usize,
    /// Objects that run.
    pub running: usize,
}

/// A reconcile that has ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    /// When it ended.
    pub at: Timestamp,
    /// How long it took, in seconds.
    pub took_seconds: f64,
    /// What it came to: `inSync`, `stalled` and the like.
    pub outcome: String,
    /// The reason that it told.
    pub reason: Option<String>,
    /// What class of error AWS has answered with.
    pub error_class: Option<String>,
    /// The trace, where it was recorded.
    pub trace_id: Option<String>,
    /// The fields that differed, before they were corrected where they were.
    #[serde(default)]
    pub differed: Vec<Differed>,
}

/// A field that differed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Differed {
    /// Its name in the spec.
    pub field: String,
    /// What AWS had.
    pub actual: String,
    /// What the spec asked.
    pub desired: String,
}

/// The route that answers what `read` says of a kind, a namespace and a name.
pub fn objects<R>(read: R) -> Router
where
    R: Fn(&str, &str, &str) -> ObjectStatusz + Clone + Send + Sync + 'static,
{
    let answer = async move |Path((kind, namespace, name)): Path<(String, String, String)>| match serde_json::to_string(
        &read(&kind, &namespace, &name),
    ) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    Router::new().route(&format!("{PATH}/{{kind}}/{{namespace}}/{{name}}"), get(answer))
}
