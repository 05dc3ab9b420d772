//! What is served over HTTP: `/healthz` and `/readyz` on one address, `/metrics` on another.

use std::net::SocketAddr;

use axum::{
    Router,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse as _,
    routing::get,
};
use tokio::net::TcpListener;
use tracing::warn;

use super::{
    health::{Health, Liveness},
    metrics::Metrics,
};

/// As the OpenMetrics specification names its text format.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Binds an address that `setting` gives.
///
/// # Errors
/// One line that names setting and address.
pub async fn bind(setting: &str, address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| format!("{setting}={address}: {error}"))
}

/// Serves `routes` until the process ends.
pub async fn serve(listener: TcpListener, routes: Router) {
    if let Err(error) = axum::serve(listener, routes).await {
        warn!(%error, "an endpoint ended");
    }
}

/// Liveness and readiness.
pub fn health(health: Health, liveness: Liveness) -> Router {
    let answer = |problems: Vec<String>| match problems.is_empty() {
        true => (StatusCode::OK, "ok\n".to_owned()),
        false => (StatusCode::SERVICE_UNAVAILABLE, problems.join("\n") + "\n"),
    };
    let ready = async move || answer(health.problems());
    let alive = async move || answer(liveness.problems());
    Router::new().route("/healthz", get(alive)).route("/readyz", get(ready))
}

/// Metrics.
pub fn metrics(metrics: Metrics) -> Router {
    let scrape = async move || match metrics.text() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    };
    Router::new().route("/metrics", get(scrape))
}
