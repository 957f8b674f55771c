//! What is in a locker: L13–L15 of the contract. The vault knows it.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_proto::vault::v1::{AssignCredentialRequest, ListLockerCredentialsRequest, WithdrawCredentialRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::credentials::Credential;
use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Listed, whole_list};
use crate::request::{App, Ids, IfMatch, JsonBody, listed, present};

/// A credential that was put into a locker.
#[derive(Serialize, ToSchema)]
pub(crate) struct AssignedCredential {
    #[serde(flatten)]
    credential: Credential,
    /// What this means, for people: whom the owner trusts from now on, and with what.
    #[schema(examples(
        "The owners and managers of this locker decide who reads the standard values of this credential."
    ))]
    notice: String,
}

/// May be left out.
#[derive(ToSchema)]
#[schema(example = json!({"id": "58"}))]
#[allow(dead_code)]
struct CredentialRef {
    /// The same as in the path.
    id: Option<String>,
}

/// Puts an own credential into a locker that the caller owns, manages or participates in.
///
/// From then on the locker's owners and managers decide who reads its standard values: they choose the consumers.
#[utoipa::path(
    put, path = "/v2/credentialvault/lockers/{id}/credentials/{credentialId}", tag = "Lockers", operation_id = "assignCredential",
    params(
        ("id" = String, Path, description = "The locker's id"),
        ("credentialId" = String, Path, description = "The credential's id"),
        ("If-Match" = Option<String>, Header, description = "The credential's entity tag that was read"),
    ),
    request_body(content = Option<CredentialRef>),
    responses(
        (status = 200, description = "The credential in its locker; where it already was there, nothing changed", body = AssignedCredential),
        (status = 400, description = "The body is no object, or its `id` is not the credential of the path", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but does not own it, may not put anything into the locker, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such credential or locker, or not visible to the caller", body = ErrorBody),
        (status = 409, description = "It is in another locker, which the message names, was changed meanwhile, or the locker is being deleted", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
        (status = 503, description = "The locker service does not answer; the credential stays where it is", body = ErrorBody),
    )
)]
pub(crate) async fn assign(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    IfMatch(etag): IfMatch,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [locker_id, credential_id] = ids;
    body.object_or_nothing()?.same_id("id", credential_id)?;
    let request = caller.request(AssignCredentialRequest { credential_id, locker_id, etag });
    let answer = app.clients.credentials().assign_credential(request).await?.into_inner();
    let credential = present(answer.credential)?;
    let version = credential.version;
    let assigned = AssignedCredential { credential: credential.into(), notice: answer.notice };
    Ok(app.updated(answer.changed, version, &assigned))
}

/// Lists the credentials in a locker; a participant sees its own.
#[utoipa::path(
    get, path = "/v2/credentialvault/lockers/{id}/credentials", tag = "Lockers", operation_id = "getLockerCredentials",
    params(("id" = String, Path, description = "The locker's id")),
    responses(
        (status = 200, description = "The credentials", body = Listed<Credential>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller", body = ErrorBody),
        (status = 503, description = "The locker service does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [locker_id] = ids;
    let request = caller.request(ListLockerCredentialsRequest { locker_id, query: Some(whole_list()) });
    let answer = app.clients.credentials().list_locker_credentials(request).await?.into_inner();
    listed::<Credential, _>(answer.credentials)
}

/// Takes a credential out of a locker.
#[utoipa::path(
    delete, path = "/v2/credentialvault/lockers/{id}/credentials/{credentialId}", tag = "Lockers", operation_id = "withdrawCredential",
    params(
        ("id" = String, Path, description = "The locker's id"),
        ("credentialId" = String, Path, description = "The credential's id"),
        ("If-Match" = Option<String>, Header, description = "The credential's entity tag that was read"),
    ),
    responses(
        (status = 204, description = "It is in no locker any more"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may not take it out, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such credential, or not visible to the caller, or it is not in this locker", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
        (status = 503, description = "The locker service does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [locker_id, credential_id] = ids;
    let request = caller.request(WithdrawCredentialRequest { credential_id, locker_id, etag });
    app.clients.credentials().withdraw_credential(request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
