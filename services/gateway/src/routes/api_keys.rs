//! One's own API keys: what a program shows in place of its user's password.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_proto::auth::v1;
use coffre_proto::auth::v1::{CreateApiKeyRequest, DeleteApiKeyRequest, ListApiKeysRequest};
use coffre_types::Timestamp;
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Listed, invalid, moment};
use crate::request::{App, Ids, JsonBody, json, listed, present};

/// What is shown of an API key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiKey {
    id: Id,
    #[schema(examples("nightly backup"))]
    name: String,
    /// By which people recognise it.
    #[schema(examples("coffre_ak_…x7Qw"))]
    hint: String,
    #[schema(required)]
    created_on: Option<String>,
    #[schema(required)]
    expires_on: Option<String>,
    /// When somebody last signed in with it; `null`: never.
    #[schema(required)]
    last_used_on: Option<String>,
}

/// An API key with the key itself, which is shown this once.
#[derive(Serialize, ToSchema)]
struct NewApiKey {
    #[serde(flatten)]
    shown: ApiKey,
    /// The key. Nobody can read it again.
    key: String,
}

impl From<v1::ApiKey> for ApiKey {
    fn from(key: v1::ApiKey) -> Self {
        Self {
            id: Id(key.id),
            name: key.name,
            hint: key.hint,
            created_on: moment(key.create_time),
            expires_on: moment(key.expire_time),
            last_used_on: moment(key.last_use_time),
        }
    }
}

/// A key to make.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"name": "nightly backup", "expiresOn": "2027-02-01T00:00:00Z"}))]
#[allow(dead_code)]
struct ApiKeyBody {
    /// Unique among the caller's keys without regard to case.
    name: String,
    /// RFC 3339, at most 366 days from now; absent: in 90 days.
    expires_on: Option<String>,
}

/// Makes an API key for the caller. The key is in the answer, this once.
#[utoipa::path(
    post, path = "/v1/apikeys", tag = "API keys", operation_id = "createApiKey",
    request_body = ApiKeyBody,
    responses(
        (status = 201, description = "The new key", body = NewApiKey),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Generate API key* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "The name is taken, or the caller has as many keys as one may have", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let mut body = body.object()?;
    let name = body.text("name")?.unwrap_or_default();
    let expires_on = body.text("expiresOn")?.map(|text| Timestamp::parse_rfc3339(&text).map(Timestamp::to_proto));
    let Ok(expire_time) = expires_on.map(|time| time.ok_or(())).transpose() else {
        return Err(invalid("expiresOn", "must be a time as RFC 3339 writes it, such as 2027-02-01T00:00:00Z").into());
    };
    let request = caller.request(CreateApiKeyRequest { name, expire_time });
    let answer = app.clients.api_keys().create_api_key(request).await?.into_inner();
    let shown = ApiKey::from(present(answer.api_key)?);
    Ok(json(StatusCode::CREATED, &NewApiKey { shown, key: answer.key }))
}

/// Lists the caller's API keys, the newest first, without the keys themselves.
#[utoipa::path(
    get, path = "/v1/apikeys", tag = "API keys", operation_id = "getApiKeys",
    responses(
        (status = 200, description = "The caller's keys; those that have expired, too, for 30 days", body = Listed<ApiKey>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Generate API key* is missing, or the token is one of an API access", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.api_keys().list_api_keys(caller.request(ListApiKeysRequest {})).await?.into_inner();
    listed::<ApiKey, _>(answer.api_keys)
}

/// Revokes one of the caller's API keys: the sessions that it opened are refused everywhere within one second.
#[utoipa::path(
    delete, path = "/v1/apikeys/{id}", tag = "API keys", operation_id = "deleteApiKey",
    params(("id" = String, Path, description = "The key's id")),
    responses(
        (status = 204, description = "It is accepted no more"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 404, description = "The caller has no such key", body = ErrorBody),
    )
)]
pub(crate) async fn delete(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    app.clients.api_keys().delete_api_key(caller.request(DeleteApiKeyRequest { id })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
