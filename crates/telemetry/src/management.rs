//! The management port: for probes and collectors, never for callers.

use axum::Router;
use axum::extract::State as Shared;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Health, State};

/// Serves `/livez`, `/readyz` with components and `/metrics` until `stop`.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state((registry, health));
    axum::serve(listener, router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

async fn ready(Shared((_, health)): Shared<(Registry, Health)>) -> Response {
    let components: serde_json::Map<String, serde_json::Value> = health
        .components()
        .into_iter()
        .map(|(name, state)| {
            let value = match state {
                State::Ready => serde_json::json!({"state": "ready"}),
                State::Degraded(why) => serde_json::json!({"state": "degraded", "detail": why}),
                State::Failed(why) => serde_json::json!({"state": "failed", "detail": why}),
            };
            (name.to_owned(), value)
        })
        .collect();
    let ready = health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(serde_json::json!({"ready": ready, "components": components}))).into_response()
}

async fn metrics(Shared((registry, _)): Shared<(Registry, Health)>) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
