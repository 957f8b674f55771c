//! What a caller sees at a glance.

use axum::extract::State;
use axum::response::Response;
use coffre_proto::vault::v1::{GetDashboardRequest, GetDashboardResponse};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::audit::Entry;
use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::Id;
use crate::request::{App, json};

/// The caller's own view.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Dashboard {
    /// The caller.
    operator: Operator,
    /// Credentials that the caller sees.
    credentials: i64,
    /// Lockers that the caller sees.
    lockers: i64,
    /// Values that are not stored and that the caller could store: standard ones of credentials that it owns, and its own of those that it
    /// owns or consumes.
    missing_values: i64,
    vault: VaultState,
    /// The last ten entries of the audit about calls of the caller, the newest first.
    audit: Vec<Entry>,
}

/// Who looks.
#[derive(Serialize, ToSchema)]
struct Operator {
    id: Id,
    #[schema(examples("supervision"))]
    username: String,
}

/// How the vault is.
#[derive(Serialize, ToSchema)]
struct VaultState {
    /// The master key is applied: the vault is open.
    applied: bool,
}

impl From<GetDashboardResponse> for Dashboard {
    fn from(view: GetDashboardResponse) -> Self {
        Self {
            operator: Operator { id: Id(view.user_id), username: view.username },
            credentials: view.credential_count,
            lockers: view.locker_count,
            missing_values: view.missing_value_count,
            vault: VaultState { applied: view.vault_open },
            audit: view.entries.into_iter().map(Entry::from).collect(),
        }
    }
}

/// Returns the caller's own view, for exactly what the caller may see. Tokens of API accesses and of sign-ins are taken alike.
#[utoipa::path(
    get, path = "/api/dashboard", tag = "Dashboard", operation_id = "getDashboard",
    responses(
        (status = 200, description = "The view", body = Dashboard),
        (status = 401, description = "No token, or one that is not accepted any more", body = ErrorBody),
        (status = 503, description = "A service that knows a part of it does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.dashboard().get_dashboard(caller.request(GetDashboardRequest {})).await?.into_inner();
    Ok(json(StatusCode::OK, &Dashboard::from(answer)))
}
