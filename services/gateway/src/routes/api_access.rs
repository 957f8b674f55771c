//! Administration of API accesses: the OAuth clients that may ask for tokens. Ids and versions are strings.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::auth::v1;
use coffre_proto::auth::v1::{
    CreateApiAccessRequest, DeleteApiAccessRequest, GetApiAccessRequest, ListApiAccessesRequest, UpdateApiAccessRequest,
};
use coffre_proto::query::v1::{PageInfo, Query};
use http::StatusCode;
use prost_types::Duration;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Life, ListBody, Listed, Object, Paged, Version, invalid, moment, read_life, whole_list};
use crate::request::{App, Ids, IfMatch, JsonBody, created, listed, paged, present, tagged};

/// An API access with every key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ApiAccess {
    id: Id,
    /// Unique without regard to case.
    #[schema(examples("public-api"))]
    client_id: String,
    #[schema(required)]
    description: Option<String>,
    /// Always `public-api`.
    #[schema(examples("public-api"))]
    scope: String,
    /// How long an access token is good.
    access_token_life: Life,
    /// How long a refresh token and its successors are good, counted from the first.
    refresh_token_life: Life,
    /// May ask for tokens with an operator's password.
    password_grant: bool,
    /// Gets refresh tokens and may use them.
    refresh_grant: bool,
    /// May ask for tokens with its own secret alone, as the operator who confirmed it.
    client_credentials_grant: bool,
    /// The operator as whom it acts with its own secret alone.
    #[schema(required)]
    operator_id: Option<Id>,
    /// When the operator confirmed the newest secret; `null`: not yet.
    #[schema(required)]
    confirmed_on: Option<String>,
    /// May ask for nothing; its tokens have ended.
    disabled: bool,
    /// When the newest secret was made.
    #[schema(required)]
    secret_created_on: Option<String>,
    /// When the secret before the newest one ends; `null`: it has.
    #[schema(required)]
    previous_secret_expires_on: Option<String>,
    version: Version,
    created_by: Id,
    #[schema(required)]
    created_on: Option<String>,
    updated_by: Id,
    #[schema(required)]
    updated_on: Option<String>,
}

/// An API access with its secret, which is shown this once.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiAccessWithSecret {
    #[serde(flatten)]
    pub(super) access: ApiAccess,
    /// The secret. Nobody can read it again.
    pub(super) client_secret: String,
}

impl From<v1::ApiAccess> for ApiAccess {
    fn from(access: v1::ApiAccess) -> Self {
        Self {
            id: Id(access.id),
            client_id: access.client_id,
            description: access.description,
            scope: access.scope,
            access_token_life: access.access_token_life.unwrap_or_default().into(),
            refresh_token_life: access.refresh_token_life.unwrap_or_default().into(),
            password_grant: access.password_grant,
            refresh_grant: access.refresh_grant,
            client_credentials_grant: access.client_credentials_grant,
            operator_id: Some(access.operator_id).filter(|id| *id != 0).map(Id),
            confirmed_on: moment(access.confirm_time),
            disabled: access.disabled,
            secret_created_on: moment(access.secret_create_time),
            previous_secret_expires_on: moment(access.previous_secret_expire_time),
            version: Version(access.version),
            created_by: Id(access.creator_id),
            created_on: moment(access.create_time),
            updated_by: Id(access.updater_id),
            updated_on: moment(access.update_time),
        }
    }
}

/// A new API access, or what changes in one: absent fields stay.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"clientId": "supervision", "description": "The monitoring engine", "accessTokenLife": {"hours": 1, "minutes": 0},
    "refreshTokenLife": {"hours": 12, "minutes": 0}, "passwordGrant": true, "refreshGrant": true}))]
struct ApiAccessBody {
    /// As the caller read it; another one than the current is refused. Only in a change.
    version: Option<i64>,
    /// Unique without regard to case; no colon and no control character.
    client_id: Option<String>,
    /// 16 to 256 printable ASCII characters that are not easy to guess; absent: one is made. Only in a creation: a change is at `…/{id}/secret`.
    client_secret: Option<String>,
    description: Option<String>,
    /// `public-api`, or nothing.
    scope: Option<String>,
    /// 1 minute to 24 hours; 1 hour where nothing is said.
    #[schema(value_type = Option<Life>)]
    access_token_life: Option<Duration>,
    /// 1 minute to 90 days; 12 hours where nothing is said.
    #[schema(value_type = Option<Life>)]
    refresh_token_life: Option<Duration>,
    /// Off where nothing is said.
    password_grant: Option<bool>,
    /// On where nothing is said.
    refresh_grant: Option<bool>,
    /// Off where nothing is said.
    client_credentials_grant: Option<bool>,
    /// The operator as whom it acts with its own secret alone, as a number or a string; `null`: nobody.
    operator_id: Option<i64>,
    disabled: Option<bool>,
}

impl ApiAccessBody {
    fn read(mut body: Object) -> Result<Self, Refusal> {
        let nobody = body.has("operatorId").then_some(0);
        Ok(Self {
            version: body.number("version")?,
            client_id: body.text("clientId")?,
            client_secret: body.text("clientSecret")?.filter(|secret| !secret.is_empty()),
            description: body.text_or_null("description")?,
            scope: body.text("scope")?,
            access_token_life: read_life(&mut body, "accessTokenLife")?,
            refresh_token_life: read_life(&mut body, "refreshTokenLife")?,
            password_grant: body.flag("passwordGrant")?,
            refresh_grant: body.flag("refreshGrant")?,
            client_credentials_grant: body.flag("clientCredentialsGrant")?,
            operator_id: body.id("operatorId")?.or(nobody),
            disabled: body.flag("disabled")?,
        })
    }
}

const PATH: &str = "/v1/apiaccess";

/// Creates an API access. Its secret is in the answer, this once.
#[utoipa::path(
    post, path = "/v1/apiaccess", tag = "API access", operation_id = "createApiAccess",
    request_body = ApiAccessBody,
    responses(
        (status = 201, description = "The new API access, with its secret", body = ApiAccessWithSecret),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Manage API access* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such operator", body = ErrorBody),
        (status = 409, description = "The client id is taken", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let body = ApiAccessBody::read(body.object()?)?;
    let request = CreateApiAccessRequest {
        client_id: body.client_id.unwrap_or_default(),
        client_secret: body.client_secret.unwrap_or_default(),
        description: body.description.filter(|text| !text.is_empty()),
        scope: body.scope.unwrap_or_default(),
        access_token_life: body.access_token_life,
        refresh_token_life: body.refresh_token_life,
        password_grant: body.password_grant,
        refresh_grant: body.refresh_grant,
        client_credentials_grant: body.client_credentials_grant,
        operator_id: body.operator_id.unwrap_or_default(),
        disabled: body.disabled.unwrap_or_default(),
    };
    let answer = app.clients.api_accesses().create_api_access(caller.request(request)).await?.into_inner();
    let access = present(answer.api_access)?;
    let (id, version) = (access.id, access.version);
    let shown = ApiAccessWithSecret { access: access.into(), client_secret: answer.client_secret };
    Ok(created(PATH, id, version, &shown))
}

/// Lists API accesses: all of them with *Manage API access*, those that are bound to the caller without it.
#[utoipa::path(
    get, path = "/v1/apiaccess", tag = "API access", operation_id = "getApiAccesses",
    responses(
        (status = 200, description = "Every API access that the caller may read", body = Listed<ApiAccess>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The token is one of an API access", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    listed::<ApiAccess, _>(query(&app, caller, whole_list()).await?.0)
}

/// Lists API accesses by filter, order and page: all of them with *Manage API access*, those that are bound to the caller without it.
#[utoipa::path(
    post, path = "/v1/apiaccess/list", tag = "API access", operation_id = "listApiAccesses",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of API accesses", body = Paged<ApiAccess>),
        (status = 400, description = "An unknown field, or more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The token is one of an API access", body = ErrorBody),
    )
)]
pub(crate) async fn list_by_query(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    paged::<ApiAccess, _, _>(body, |wanted| query(&app, caller, wanted)).await
}

async fn query(app: &App, caller: Caller, query: Query) -> Result<(Vec<v1::ApiAccess>, Option<PageInfo>), Failure> {
    let request = caller.request(ListApiAccessesRequest { query: Some(query) });
    let answer = app.clients.api_accesses().list_api_accesses(request).await?.into_inner();
    Ok((answer.api_accesses, answer.page))
}

/// Returns an API access; its operator may read it too.
#[utoipa::path(
    get, path = "/v1/apiaccess/{id}", tag = "API access", operation_id = "getApiAccess",
    params(("id" = String, Path, description = "The API access's id")),
    responses(
        (status = 200, description = "The API access", body = ApiAccess),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Manage API access* is missing, and the caller is not its operator; or the token is one of an API access", body = ErrorBody),
        (status = 404, description = "No such API access, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    let answer = app.clients.api_accesses().get_api_access(caller.request(GetApiAccessRequest { id })).await?;
    shown(answer.into_inner().api_access)
}

pub(super) fn shown(access: Option<v1::ApiAccess>) -> Result<Response, Failure> {
    let access = present(access)?;
    Ok(tagged(StatusCode::OK, access.version, &ApiAccess::from(access)))
}

/// Changes the fields that the body carries.
///
/// Disabling ends all tokens of the API access within one second. Another operator, or taking the grant of client credentials away, voids the
/// confirmation.
#[utoipa::path(
    put, path = "/v1/apiaccess/{id}", tag = "API access", operation_id = "updateApiAccess",
    params(("id" = String, Path, description = "The API access's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body = ApiAccessBody,
    responses(
        (status = 200, description = "The API access as it is now", body = ApiAccess),
        (status = 400, description = "A field breaks a rule, or is the secret", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Manage API access* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such API access or operator", body = ErrorBody),
        (status = 409, description = "Another version, or a client id that is taken", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [id] = ids;
    let mut body = body.object()?;
    body.same_id("id", id)?;
    let body = ApiAccessBody::read(body)?;
    if body.client_secret.is_some() {
        return Err(invalid("clientSecret", "is not changed here; POST it to …/secret below this API access").into());
    }
    let request = UpdateApiAccessRequest {
        id,
        client_id: body.client_id,
        description: body.description,
        scope: body.scope.unwrap_or_default(),
        access_token_life: body.access_token_life,
        refresh_token_life: body.refresh_token_life,
        password_grant: body.password_grant,
        refresh_grant: body.refresh_grant,
        client_credentials_grant: body.client_credentials_grant,
        operator_id: body.operator_id,
        disabled: body.disabled,
        version: body.version,
        etag,
    };
    let answer = app.clients.api_accesses().update_api_access(caller.request(request)).await?.into_inner();
    let access = present(answer.api_access)?;
    Ok(app.updated(answer.changed, access.version, &ApiAccess::from(access)))
}

/// Deletes an API access: its tokens are refused everywhere within one second.
#[utoipa::path(
    delete, path = "/v1/apiaccess/{id}", tag = "API access", operation_id = "deleteApiAccess",
    params(("id" = String, Path, description = "The API access's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Manage API access* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such API access", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [id] = ids;
    app.clients.api_accesses().delete_api_access(caller.request(DeleteApiAccessRequest { id, etag })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
