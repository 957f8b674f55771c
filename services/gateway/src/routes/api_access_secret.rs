//! The secret of an API access, and the operator's word that it may act as him.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_proto::auth::v1::{
    ConfirmApiAccessRequest, RotateApiAccessSecretRequest, WithdrawApiAccessConfirmationRequest,
};
use http::StatusCode;
use utoipa::ToSchema;

use super::api_access::{ApiAccess, ApiAccessWithSecret, shown};
use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Life, read_life};
use crate::request::{App, Ids, IfMatch, JsonBody, present, tagged};

/// A new secret. Everything may be left out.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"gracePeriod": {"hours": 24, "minutes": 0}}))]
#[allow(dead_code)]
struct NewSecret {
    /// 16 to 256 printable ASCII characters that are not easy to guess; absent: one is made.
    client_secret: Option<String>,
    /// How long the old secret goes on, at most 30 days; absent: not at all.
    grace_period: Option<Life>,
}

/// Gives an API access a new secret, which is in the answer, this once.
///
/// The old one goes on for the grace period. A confirmation counts for the secret for which it was given: the operator confirms the new one.
#[utoipa::path(
    post, path = "/v1/apiaccess/{id}/secret", tag = "API access", operation_id = "rotateApiAccessSecret",
    params(("id" = String, Path, description = "The API access's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body(content = Option<NewSecret>),
    responses(
        (status = 200, description = "The API access, with its new secret", body = ApiAccessWithSecret),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Manage API access* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such API access", body = ErrorBody),
        (status = 409, description = "It was changed meanwhile", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [id] = ids;
    let mut body = body.object_or_nothing()?;
    body.same_id("id", id)?;
    let client_secret = body.text("clientSecret")?.unwrap_or_default();
    let grace_period = read_life(&mut body, "gracePeriod")?;
    let request = RotateApiAccessSecretRequest { id, client_secret, grace_period, etag };
    let answer = app.clients.api_accesses().rotate_api_access_secret(caller.request(request)).await?.into_inner();
    let access = present(answer.api_access)?;
    let version = access.version;
    let shown = ApiAccessWithSecret { access: access.into(), client_secret: answer.client_secret };
    Ok(tagged(StatusCode::OK, version, &shown))
}

/// What was read. It may be left out.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"version": 3}))]
#[allow(dead_code)]
struct Confirmation {
    /// As the caller read it; another one than the current is refused.
    version: Option<i64>,
}

/// Confirms, as its operator, that the newest secret of an API access may act as the caller on its own.
///
/// Whoever names the version or the entity tag that was read confirms nothing that has taken its place since.
#[utoipa::path(
    post, path = "/v1/apiaccess/{id}/confirmation", tag = "API access", operation_id = "confirmApiAccess",
    params(("id" = String, Path, description = "The API access's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body(content = Option<Confirmation>),
    responses(
        (status = 200, description = "The confirmed API access", body = ApiAccess),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Connect to the API* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such API access, or the caller is not its operator", body = ErrorBody),
        (status = 409, description = "Another version, or it does not allow the grant of client credentials", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [id] = ids;
    let mut body = body.object_or_nothing()?;
    body.same_id("id", id)?;
    let request = ConfirmApiAccessRequest { id, version: body.number("version")?, etag };
    let answer = app.clients.api_accesses().confirm_api_access(caller.request(request)).await?;
    shown(answer.into_inner().api_access)
}

/// Takes a confirmation back, as its operator or as who manages API accesses.
///
/// What was issued on it is refused everywhere within one second. However long ago the sign-in is, it works.
#[utoipa::path(
    delete, path = "/v1/apiaccess/{id}/confirmation", tag = "API access", operation_id = "withdrawApiAccessConfirmation",
    params(("id" = String, Path, description = "The API access's id")),
    responses(
        (status = 204, description = "It counts no more"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The token is one of an API access", body = ErrorBody),
        (status = 404, description = "No such API access, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn withdraw(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    let request = caller.request(WithdrawApiAccessConfirmationRequest { id });
    app.clients.api_accesses().withdraw_api_access_confirmation(request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
