//! `/statusz`: what this replica leads and does at the moment, as JSON. `fairlead status` reads it of every
//! replica.

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::get,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where it is served, on the address of the metrics.
pub const PATH: &str = "/statusz";

/// A replica at one moment. Another version's may have more fields.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Statusz {
    /// The replica's lease identity, which is new for every process.
    pub identity: String,
    /// Its version.
    pub version: String,
    /// When its process started.
    pub started_at: Timestamp,
    /// Every shard, led or not.
    pub shards: Vec<ShardStatusz>,
    /// Its queue.
    pub queue: QueueStatusz,
}

/// A shard, as a replica sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ShardStatusz {
    /// Its number, from 0.
    pub shard: u16,
    /// Whether this replica leads it.
    pub led: bool,
    /// Whether it is being given up: what runs is finished, and nothing new begins.
    pub draining: bool,
    /// Who holds its Lease, as this replica last saw it.
    pub holder: Option<String>,
    /// How long, by this replica's clock, that record has stood unchanged.
    pub holder_age_seconds: f64,
    /// The epoch in which this replica leads it.
    pub epoch: Option<String>,
    /// How much longer it may work without a renewal.
    pub valid_for_seconds: f64,
    /// How many objects are in the shard.
    pub objects: usize,
    /// Permits that are out: mutating calls under way.
    pub outstanding_permits: usize,
}

/// A replica's work queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueStatusz {
    /// How many objects are due.
    pub depth: usize,
    /// How many reconciles run.
    pub running: usize,
}

/// The route that answers what `read` says.
pub fn statusz(read: impl Fn() -> Statusz + Clone + Send + Sync + 'static) -> Router {
    let answer = async move || match serde_json::to_string(&read()) {
        Ok(text) => ([(CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    Router::new().route(PATH, get(answer))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::TcpStream,
    };

    use super::*;
    use crate::telemetry::endpoint;

    /// The head and the body of an answer.
    async fn http_get(address: SocketAddr, path: &str) -> (String, String) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.to_lowercase(), body.to_owned())
    }

    #[tokio::test]
    async fn it_is_served_as_json_under_the_agreed_names() {
        let told = json!({
            "identity": "fairlead-7d4b9c-x2x8p_5e0f1a2b", "version": "0.1.0", "startedAt": "2026-01-02T03:04:05Z",
            "shards": [
                { "shard": 0, "led": true, "draining": false, "holder": "fairlead-7d4b9c-x2x8p_5e0f1a2b",
                  "holderAgeSeconds": 1.5, "epoch": "4711", "validForSeconds": 5.5, "objects": 17,
                  "outstandingPermits": 2 },
                { "shard": 1, "led": false, "draining": false, "holder": null, "holderAgeSeconds": 0.0,
                  "epoch": null, "validForSeconds": 0.0, "objects": 3, "outstandingPermits": 0 },
            ],
            "queue": { "depth": 3, "running": 1 },
        });
        let status: Statusz = serde_json::from_value(told.clone()).unwrap();
        let listener = endpoint::bind("it", ([127, 0, 0, 1], 0).into()).await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(endpoint::serve(listener, statusz(move || status.clone())));

        let (head, body) = http_get(address, PATH).await;
        assert!(head.starts_with("http/1.0 200") && head.contains("content-type: application/json"), "{head}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&body).unwrap(), told);
    }
}
