//! Users, under two prefixes: `/v1/usermanagement` with numbers as ids, `/v2/usermanagement` with strings.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::auth::v1;
use coffre_proto::auth::v1::{
    CreateUserRequest, DeleteUserRequest, GetUserRequest, ListUsersRequest, Permission, RoleIds, RoleSummary,
    UpdateUserRequest,
};
use coffre_proto::query::v1::{PageInfo, Query};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Json, ListBody, Listed, Object, Paged, id_of, invalid, moment, whole_list};
use crate::request::{App, Ids, IfMatch, JsonBody, created, listed, paged, present, tagged};

/// A user with every documented key.
// `I` is the form of ids: a number, or [`Id`].
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct User<I: ToSchema> {
    id: I,
    #[schema(examples("Ellie.Brown"))]
    username: String,
    /// Always null.
    #[schema(required)]
    domain: Option<String>,
    first_name: String,
    last_name: String,
    email: String,
    /// Always false.
    email_verified: bool,
    version: I,
    /// The same as `id`.
    principal_id: I,
    /// Always false: a deleted user is not found.
    deleted: bool,
    disabled: bool,
    /// Always false.
    client_registered: bool,
    #[schema(required)]
    description: Option<String>,
    password_set: bool,
    /// Always false.
    questions_set: bool,
    /// Always false.
    enable_auto_login: bool,
    roles: Vec<HeldRole<I>>,
    /// Always empty.
    sys_assigned_roles: Vec<HeldRole<I>>,
    /// Always empty.
    group_names: Vec<String>,
    /// What all its roles give together.
    permissions: Vec<HeldPermission<I>>,
    /// Always empty.
    license_features: Vec<String>,
    created_by: I,
    #[schema(required)]
    created_on: Option<String>,
    updated_by: I,
    #[schema(required)]
    updated_on: Option<String>,
    /// Always null.
    #[schema(required)]
    public_key: Option<String>,
    /// Always empty.
    app_type: String,
    /// Always empty.
    routing_name: String,
    /// Always null.
    #[schema(required)]
    app_url: Option<String>,
}

/// A role as a user holds it.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeldRole<I: ToSchema> {
    id: I,
    name: String,
}

/// A permission as a user holds it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HeldPermission<I: ToSchema> {
    id: I,
    action: String,
    resource_type: String,
}

/// A user as a list shows it: in full, or with nothing but id and name to whom only *Manage my lockers* lets list users.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ListedUser<I: ToSchema> {
    /// In full.
    Full(Box<User<I>>),
    /// With nothing but id and name.
    Brief {
        /// The user's id.
        id: I,
        /// Its name.
        username: String,
    },
}

impl<I: From<i64> + ToSchema> From<v1::User> for User<I> {
    fn from(user: v1::User) -> Self {
        Self {
            id: user.id.into(),
            username: user.username,
            domain: None,
            first_name: user.first_name,
            last_name: user.last_name,
            email: user.email,
            email_verified: false,
            version: user.version.into(),
            principal_id: user.id.into(),
            deleted: false,
            disabled: user.disabled,
            client_registered: false,
            description: user.description,
            password_set: user.password_set,
            questions_set: false,
            enable_auto_login: false,
            roles: user.roles.into_iter().map(HeldRole::from).collect(),
            sys_assigned_roles: Vec::new(),
            group_names: Vec::new(),
            permissions: user.permissions.into_iter().map(HeldPermission::from).collect(),
            license_features: Vec::new(),
            created_by: user.creator_id.into(),
            created_on: moment(user.create_time),
            updated_by: user.updater_id.into(),
            updated_on: moment(user.update_time),
            public_key: None,
            app_type: String::new(),
            routing_name: String::new(),
            app_url: None,
        }
    }
}

impl<I: From<i64> + ToSchema> From<RoleSummary> for HeldRole<I> {
    fn from(role: RoleSummary) -> Self {
        Self { id: role.id.into(), name: role.name }
    }
}

impl<I: From<i64> + ToSchema> From<Permission> for HeldPermission<I> {
    fn from(permission: Permission) -> Self {
        Self { id: permission.id.into(), action: permission.action, resource_type: permission.resource_type }
    }
}

impl<I: From<i64> + ToSchema> From<v1::User> for ListedUser<I> {
    fn from(user: v1::User) -> Self {
        // A full user always has the time of its creation.
        if user.create_time.is_none() {
            return Self::Brief { id: user.id.into(), username: user.username };
        }
        Self::Full(Box::new(user.into()))
    }
}

/// A new user, or what changes in one: absent fields stay.
#[derive(Default, ToSchema)]
#[schema(example = json!({"username": "Ellie.Brown", "password": "correct horse battery", "firstName": "Ellie", "lastName": "Brown", "email": "ellie@example.com", "roles": [{"id": 2}]}))]
pub(crate) struct UserBody {
    /// As the caller read it; another one than the current is refused. Only in a change.
    version: Option<i64>,
    /// Unique without regard to case.
    username: Option<String>,
    /// 12 characters or more, and not the user name.
    password: Option<String>,
    #[schema(rename = "firstName")]
    first_name: Option<String>,
    #[schema(rename = "lastName")]
    last_name: Option<String>,
    email: Option<String>,
    description: Option<String>,
    disabled: Option<bool>,
    /// Exactly these roles.
    #[schema(value_type = Option<Vec<RoleRef>>)]
    roles: Option<Vec<i64>>,
}

/// Names a role.
#[derive(ToSchema)]
#[allow(dead_code)]
struct RoleRef {
    id: i64,
}

impl UserBody {
    fn read(mut body: Object) -> Result<Self, Refusal> {
        Ok(Self {
            version: body.number("version")?,
            username: body.text_spelled(&["username"])?,
            password: body.text_spelled(&["password"])?,
            first_name: body.text_or_null("firstName")?,
            last_name: body.text_or_null("lastName")?,
            email: body.text_or_null("email")?,
            description: body.text_or_null("description")?,
            disabled: body.flag("disabled")?,
            roles: read_role_ids(&mut body)?,
        })
    }
}

/// Reads `[{"id"}]`; bare ids are understood too.
fn read_role_ids(body: &mut Object) -> Result<Option<Vec<i64>>, Refusal> {
    let Some(items) = body.array("roles")? else { return Ok(None) };
    let read = |(position, item)| {
        let path = format!("roles[{position}]");
        match item {
            item @ Json::Object(_) => Object::of(item, path)?.required_id("id"),
            item => id_of(&item).ok_or_else(|| invalid(path, "must be {\"id\": <the id of a role>}")),
        }
    };
    items.into_iter().enumerate().map(read).collect::<Result<_, _>>().map(Some)
}

const PATH: &str = "/v1/usermanagement/users";

/// Creates a user.
///
/// Roles that give *Manage users and roles*, *Manage API access*, *Generate API key*, *View and manage settings* or AAE_Admin need a sign-in with a
/// password within the last 5 minutes: an API key or a token of an API access does not give them.
#[utoipa::path(
    post, path = "/v1/usermanagement/users", tag = "Users and roles", operation_id = "createUser",
    request_body = UserBody,
    responses(
        (status = 201, description = "The new user", body = User<i64>),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing, the roles give more than the caller holds, or the sign-in with a password that this takes is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such role", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let body = UserBody::read(body.object()?)?;
    let request = CreateUserRequest {
        username: body.username.unwrap_or_default(),
        password: body.password.unwrap_or_default(),
        first_name: body.first_name.unwrap_or_default(),
        last_name: body.last_name.unwrap_or_default(),
        email: body.email.unwrap_or_default(),
        description: body.description.filter(|text| !text.is_empty()),
        disabled: body.disabled.unwrap_or_default(),
        roles: body.roles.map(|ids| RoleIds { ids }),
    };
    let user = present(app.clients.users().create_user(caller.request(request)).await?.into_inner().user)?;
    Ok(created(PATH, user.id, user.version, &User::<i64>::from(user)))
}

/// Lists users.
#[utoipa::path(
    get, path = "/v1/usermanagement/users", tag = "Users and roles", operation_id = "getUsers",
    responses(
        (status = 200, description = "Every user", body = Listed<ListedUser<i64>>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    listed::<ListedUser<i64>, _>(query(&app, caller, whole_list()).await?.0)
}

/// Lists users by filter, order and page.
#[utoipa::path(
    post, path = "/v1/usermanagement/users/list", tag = "Users and roles", operation_id = "listUsers",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of users", body = Paged<ListedUser<i64>>),
        (status = 400, description = "An unknown field, or more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list_by_query(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    paged::<ListedUser<i64>, _, _>(body, |wanted| query(&app, caller, wanted)).await
}

/// Lists users by filter, order and page, with strings as ids.
#[utoipa::path(
    post, path = "/v2/usermanagement/users/list", tag = "Users and roles", operation_id = "listUsersV2",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of users", body = Paged<ListedUser<Id>>),
        (status = 400, description = "An unknown field, or more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list_by_query_v2(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    paged::<ListedUser<Id>, _, _>(body, |wanted| query(&app, caller, wanted)).await
}

async fn query(app: &App, caller: Caller, query: Query) -> Result<(Vec<v1::User>, Option<PageInfo>), Failure> {
    let request = caller.request(ListUsersRequest { query: Some(query) });
    let answer = app.clients.users().list_users(request).await?.into_inner();
    Ok((answer.users, answer.page))
}

/// Returns a user.
#[utoipa::path(
    get, path = "/v1/usermanagement/users/{id}", tag = "Users and roles", operation_id = "getUser",
    params(("id" = i64, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user", body = User<i64>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    one::<i64>(&app, caller, id).await
}

/// Returns a user, with strings as ids.
#[utoipa::path(
    get, path = "/v2/usermanagement/users/{id}", tag = "Users and roles", operation_id = "getUserV2",
    params(("id" = i64, Path, description = "The user's id")),
    responses(
        (status = 200, description = "The user", body = User<Id>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody),
    )
)]
pub(crate) async fn get_v2(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    one::<Id>(&app, caller, id).await
}

async fn one<I: From<i64> + ToSchema + Serialize>(app: &App, caller: Caller, id: i64) -> Result<Response, Failure> {
    let user = present(app.clients.users().get_user(caller.request(GetUserRequest { id })).await?.into_inner().user)?;
    Ok(tagged(StatusCode::OK, user.version, &User::<I>::from(user)))
}

/// Changes the fields that the body carries.
///
/// A password, and roles that give *Manage users and roles*, *Manage API access*, *Generate API key*, *View and manage settings* or AAE_Admin, need a
/// sign-in with a password within the last 5 minutes. A user who holds more than the caller gets another password or another username from a
/// holder of AAE_Admin alone.
#[utoipa::path(
    put, path = "/v1/usermanagement/users/{id}", tag = "Users and roles", operation_id = "updateUser",
    params(("id" = i64, Path, description = "The user's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body = UserBody,
    responses(
        (status = 200, description = "The user as it is now", body = User<i64>),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing, the user or the roles hold more than the caller, or the sign-in with a password that this takes is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such user or role", body = ErrorBody),
        (status = 409, description = "Another version, a name that is taken, or the last administrator", body = ErrorBody),
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
    let body = UserBody::read(body)?;
    let request = UpdateUserRequest {
        id,
        version: body.version,
        etag,
        username: body.username,
        password: body.password,
        first_name: body.first_name,
        last_name: body.last_name,
        email: body.email,
        description: body.description,
        disabled: body.disabled,
        roles: body.roles.map(|ids| RoleIds { ids }),
    };
    let answer = app.clients.users().update_user(caller.request(request)).await?.into_inner();
    let user = present(answer.user)?;
    Ok(app.updated(answer.changed, user.version, &User::<i64>::from(user)))
}

/// Deletes a user who owns nothing any more.
///
/// Its own values go. `POST …/holdings/transfer` hands over what it still holds.
#[utoipa::path(
    delete, path = "/v1/usermanagement/users/{id}", tag = "Users and roles", operation_id = "deleteUser",
    params(("id" = i64, Path, description = "The user's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such user", body = ErrorBody),
        (status = 409, description = "It still owns credentials, is the last owner of lockers, or is the last administrator; the message lists what it holds", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
        (status = 503, description = "A service that knows what it holds does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [id] = ids;
    app.clients.users().delete_user(caller.request(DeleteUserRequest { id, etag })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
