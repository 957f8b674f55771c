//! What a role may hold.

use axum::extract::State;
use axum::response::Response;
use coffre_proto::auth::v1;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::Listed;
use crate::request::{App, listed};

/// A permission with its English name.
#[derive(Serialize, ToSchema)]
pub(crate) struct Permission {
    /// Stable for ever.
    id: i64,
    #[schema(examples("managecredentials"))]
    action: String,
    #[serde(rename = "resourceType")]
    #[schema(examples("credentials"))]
    resource_type: String,
    #[schema(examples("Manage my credentials and lockers"))]
    name: String,
}

impl From<v1::Permission> for Permission {
    fn from(permission: v1::Permission) -> Self {
        let v1::Permission { id, action, resource_type, name } = permission;
        Self { id, action, resource_type, name }
    }
}

/// Lists what a role may hold.
#[utoipa::path(
    get, path = "/v1/usermanagement/permissions", tag = "Users and roles", operation_id = "listPermissions",
    responses(
        (status = 200, description = "Every permission there is", body = Listed<Permission>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer =
        app.clients.roles().list_permissions(caller.request(v1::ListPermissionsRequest {})).await?.into_inner();
    listed::<Permission, _>(answer.permissions)
}
