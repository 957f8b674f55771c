//! What operators ask: is it alive, is it ready, which version is it. No token is needed.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::{Reason, Refusal};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ErrorBody, Failure};
use crate::request::{App, json};

/// How the process is.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(examples("ok"))]
    status: &'static str,
}

/// Which version runs.
#[derive(Serialize, ToSchema)]
struct Build<'a> {
    #[schema(examples("coffre"))]
    name: &'static str,
    #[schema(examples("0.1.0"))]
    version: &'a str,
}

/// Says that the process lives.
#[utoipa::path(
    get, path = "/healthz", tag = "Operations", operation_id = "health", security(()),
    responses((status = 200, description = "It lives", body = Health))
)]
pub(crate) async fn health() -> Response {
    json(StatusCode::OK, &Health { status: "ok" })
}

/// Says whether requests can be answered. A sealed vault counts as ready.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", operation_id = "readiness", security(()),
    responses((status = 200, description = "It is ready", body = Health), (status = 503, description = "Not yet, or not any more", body = ErrorBody))
)]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    if app.config.readiness.is_ready() {
        return json(StatusCode::OK, &Health { status: "ready" });
    }
    Failure::from(Refusal::new(Reason::ServiceUnavailable, "the server is starting or stopping; repeat the request"))
        .into_response()
}

/// Says which version runs.
#[utoipa::path(
    get, path = "/version", tag = "Operations", operation_id = "version", security(()),
    responses((status = 200, description = "The version", body = Build))
)]
pub(crate) async fn version(State(app): State<App>) -> Response {
    json(StatusCode::OK, &Build { name: "coffre", version: &app.config.version })
}
