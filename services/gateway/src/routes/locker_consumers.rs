//! The roles that consume a locker: L7–L9 of the contract.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_proto::locker::v1::{AddConsumerRequest, ListConsumersRequest, RemoveConsumerRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Listed};
use crate::request::{App, Ids, JsonBody, listed};

/// A role whose users may use what is in a locker.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "14"}))]
pub(crate) struct Consumer {
    /// The role's id, as a number or a string in a request.
    id: Id,
}

impl From<i64> for Consumer {
    fn from(id: i64) -> Self {
        Self { id: Id(id) }
    }
}

/// Lists the roles whose users may use what is in a locker.
#[utoipa::path(
    get, path = "/v2/credentialvault/lockers/{id}/consumers", tag = "Lockers", operation_id = "getLockerConsumers",
    params(("id" = String, Path, description = "The locker's id")),
    responses(
        (status = 200, description = "The roles", body = Listed<Consumer>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [locker_id] = ids;
    let request = caller.request(ListConsumersRequest { locker_id });
    listed::<Consumer, _>(app.clients.lockers().list_consumers(request).await?.into_inner().role_ids)
}

/// Adds a user-defined role as a consumer of a locker; POST is the same.
///
/// Its users read the standard values of what is in the locker. Where it is a consumer already, nothing changes.
#[utoipa::path(
    put, path = "/v2/credentialvault/lockers/{id}/consumers", tag = "Lockers", operation_id = "addLockerConsumer",
    params(("id" = String, Path, description = "The locker's id")),
    request_body = Consumer,
    responses(
        (status = 204, description = "The role is a consumer"),
        (status = 400, description = "The body names no role, or a role of the system", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the locker but neither owns nor manages it, a permission is missing, or a locker administrator would add a role of its own", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller, or no such role", body = ErrorBody),
        (status = 409, description = "The locker is being deleted", body = ErrorBody),
        (status = 503, description = "Whether there is such a role cannot be found out", body = ErrorBody),
    )
)]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [locker_id] = ids;
    let role_id = body.object()?.required_id("id")?;
    app.clients.lockers().add_consumer(caller.request(AddConsumerRequest { locker_id, role_id })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Adds a user-defined role as a consumer of a locker, as PUT does.
#[utoipa::path(
    post, path = "/v2/credentialvault/lockers/{id}/consumers", tag = "Lockers", operation_id = "postLockerConsumer",
    params(("id" = String, Path, description = "The locker's id")),
    request_body = Consumer,
    responses(
        (status = 204, description = "The role is a consumer"),
        (status = 400, description = "The body names no role, or a role of the system", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the locker but neither owns nor manages it, a permission is missing, or a locker administrator would add a role of its own", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller, or no such role", body = ErrorBody),
        (status = 409, description = "The locker is being deleted", body = ErrorBody),
        (status = 503, description = "Whether there is such a role cannot be found out", body = ErrorBody),
    )
)]
pub(crate) async fn post(app: State<App>, caller: Caller, ids: Ids<1>, body: JsonBody) -> Result<Response, Failure> {
    add(app, caller, ids, body).await
}

/// Removes a role from the consumers of a locker.
#[utoipa::path(
    delete, path = "/v2/credentialvault/lockers/{id}/consumers/{roleId}", tag = "Lockers", operation_id = "removeLockerConsumer",
    params(("id" = String, Path, description = "The locker's id"), ("roleId" = String, Path, description = "The role's id")),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the locker but neither owns nor manages it, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller, or the role is no consumer", body = ErrorBody),
    )
)]
pub(crate) async fn remove(State(app): State<App>, caller: Caller, Ids(ids): Ids<2>) -> Result<Response, Failure> {
    let [locker_id, role_id] = ids;
    app.clients.lockers().remove_consumer(caller.request(RemoveConsumerRequest { locker_id, role_id })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
