//! What operators ask: is it alive, is it ready, which version is it. No token is needed.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::{Reason, Refusal};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::VaultSeal;
use crate::error::{ErrorBody, Failure};
use crate::request::{App, json};

/// How the process is.
#[derive(Serialize, ToSchema)]
struct Health {
    #[schema(examples("ok"))]
    status: &'static str,
}

/// Whether the process can answer, and how the vault is.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Ready {
    #[schema(examples("ready"))]
    status: &'static str,
    /// `open` or `sealed`; absent where this process does not know.
    #[schema(examples("open"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    vault: Option<&'static str>,
    /// Since when the vault is sealed; absent where it is not.
    #[schema(examples("2027-01-10T12:00:00.000Z"))]
    #[serde(skip_serializing_if = "Option::is_none")]
    sealed_since: Option<String>,
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

/// Says whether requests can be answered, and whether the vault is open. A sealed vault counts as ready.
#[utoipa::path(
    get, path = "/readyz", tag = "Operations", operation_id = "readiness", security(()),
    responses((status = 200, description = "It is ready", body = Ready), (status = 503, description = "Not yet, or not any more; the message says what is wrong", body = ErrorBody))
)]
pub(crate) async fn ready(State(app): State<App>) -> Response {
    let readiness = &app.config.readiness;
    if readiness.is_ready() {
        let (vault, sealed_since) = match readiness.vault() {
            None => (None, None),
            Some(VaultSeal::Open) => (Some("open"), None),
            Some(VaultSeal::Sealed { since }) => (Some("sealed"), Some(since.to_rfc3339_millis())),
        };
        return json(StatusCode::OK, &Ready { status: "ready", vault, sealed_since });
    }
    let why = readiness.why().unwrap_or_else(|| "the server is starting or stopping; repeat the request".to_owned());
    Failure::from(Refusal::new(Reason::ServiceUnavailable, why)).into_response()
}

/// Says which version runs.
#[utoipa::path(
    get, path = "/version", tag = "Operations", operation_id = "version", security(()),
    responses((status = 200, description = "The version", body = Build))
)]
pub(crate) async fn version(State(app): State<App>) -> Response {
    json(StatusCode::OK, &Build { name: "coffre", version: &app.config.version })
}
