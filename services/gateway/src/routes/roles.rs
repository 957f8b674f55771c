//! Roles. Ids are numbers; `GET` is a bare array, as the old clients expect it.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::auth::v1;
use coffre_proto::auth::v1::{
    CreateRoleRequest, DeleteRoleRequest, GetRoleRequest, ListRolesRequest, PermissionReference, PermissionReferences,
    UpdateRoleRequest,
};
use coffre_proto::query::v1::{PageInfo, Query};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::permissions::Permission;
use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{ListBody, Object, Paged, moment, whole_list};
use crate::request::{App, Ids, IfMatch, JsonBody, converted, created, json, paged, present, tagged};

/// A role with every key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Role {
    id: i64,
    /// 0 for a role of the system.
    created_by: i64,
    #[schema(required)]
    created_on: Option<String>,
    updated_by: i64,
    #[schema(required)]
    updated_on: Option<String>,
    /// Always 1.
    tenant_id: i64,
    version: i64,
    #[schema(examples("Bot runner"))]
    name: String,
    #[schema(required)]
    description: Option<String>,
    permissions: Vec<Permission>,
    /// How many users hold it.
    count_principals: i64,
    /// The system made it; it cannot be changed or deleted.
    system: bool,
}

/// A role as a list shows it: in full, or with nothing but id and name to whom only *Manage my lockers* lets list roles.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum ListedRole {
    /// In full.
    Full(Box<Role>),
    /// With nothing but id and name.
    Brief {
        /// The role's id.
        id: i64,
        /// Its name.
        name: String,
    },
}

impl From<v1::Role> for Role {
    fn from(role: v1::Role) -> Self {
        Self {
            id: role.id,
            created_by: role.creator_id,
            created_on: moment(role.create_time),
            updated_by: role.updater_id,
            updated_on: moment(role.update_time),
            tenant_id: 1,
            version: role.version,
            name: role.name,
            description: role.description,
            permissions: role.permissions.into_iter().map(Permission::from).collect(),
            count_principals: role.user_count,
            system: role.system,
        }
    }
}

impl From<v1::Role> for ListedRole {
    fn from(role: v1::Role) -> Self {
        // A full role always has the time of its creation.
        if role.create_time.is_none() {
            return Self::Brief { id: role.id, name: role.name };
        }
        Self::Full(Box::new(role.into()))
    }
}

/// A new role, or what changes in one: absent fields stay.
#[derive(ToSchema)]
#[schema(example = json!({"name": "Bot runner", "description": "Uses what lockers share", "permissions": [{"id": 1}, {"name": "Manage my lockers"}, {"action": "connect", "resourceType": "api"}]}))]
pub(crate) struct RoleBody {
    /// As the caller read it; another one than the current is refused. Only in a change.
    version: Option<i64>,
    /// Unique without regard to case.
    name: Option<String>,
    description: Option<String>,
    /// Exactly these permissions.
    #[schema(value_type = Option<Vec<PermissionRef>>)]
    permissions: Option<Vec<PermissionReference>>,
}

/// Names a permission: by id, by name, or by action and resource type.
#[derive(ToSchema)]
#[allow(dead_code)]
struct PermissionRef {
    id: Option<i64>,
    name: Option<String>,
    action: Option<String>,
    #[schema(rename = "resourceType")]
    resource_type: Option<String>,
}

impl RoleBody {
    fn read(mut body: Object) -> Result<Self, Refusal> {
        let reference = |mut item: Object| {
            Ok(PermissionReference {
                id: item.id("id")?.unwrap_or_default(),
                name: item.text("name")?.unwrap_or_default(),
                action: item.text("action")?.unwrap_or_default(),
                resource_type: item.text("resourceType")?.unwrap_or_default(),
            })
        };
        Ok(Self {
            version: body.number("version")?,
            name: body.text("name")?,
            description: body.text_or_null("description")?,
            permissions: body.objects("permissions", reference)?,
        })
    }
}

const PATH: &str = "/v1/usermanagement/roles";

/// Creates a role.
#[utoipa::path(
    post, path = "/v1/usermanagement/roles", tag = "Users and roles", operation_id = "createRole",
    request_body = RoleBody,
    responses(
        (status = 201, description = "The new role", body = Role),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing, or the role gives more than the caller holds", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let body = RoleBody::read(body.object()?)?;
    let request = CreateRoleRequest {
        name: body.name.unwrap_or_default(),
        description: body.description.filter(|text| !text.is_empty()),
        permissions: body.permissions.map(|items| PermissionReferences { items }),
    };
    let role = present(app.clients.roles().create_role(caller.request(request)).await?.into_inner().role)?;
    Ok(created(PATH, role.id, role.version, &Role::from(role)))
}

/// Lists roles, as a bare array.
#[utoipa::path(
    get, path = "/v1/usermanagement/roles", tag = "Users and roles", operation_id = "getRoles",
    responses(
        (status = 200, description = "Every role", body = Vec<ListedRole>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let list: Vec<ListedRole> = converted(query(&app, caller, whole_list()).await?.0)?;
    Ok(json(StatusCode::OK, &list))
}

/// Lists roles by filter, order and page.
#[utoipa::path(
    post, path = "/v1/usermanagement/roles/list", tag = "Users and roles", operation_id = "listRoles",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of roles", body = Paged<ListedRole>),
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
    paged::<ListedRole, _, _>(body, |wanted| query(&app, caller, wanted)).await
}

async fn query(app: &App, caller: Caller, query: Query) -> Result<(Vec<v1::Role>, Option<PageInfo>), Failure> {
    let request = caller.request(ListRolesRequest { query: Some(query) });
    let answer = app.clients.roles().list_roles(request).await?.into_inner();
    Ok((answer.roles, answer.page))
}

/// Returns a role.
#[utoipa::path(
    get, path = "/v1/usermanagement/roles/{id}", tag = "Users and roles", operation_id = "getRole",
    params(("id" = i64, Path, description = "The role's id")),
    responses(
        (status = 200, description = "The role", body = Role),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such role", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    let role = present(app.clients.roles().get_role(caller.request(GetRoleRequest { id })).await?.into_inner().role)?;
    Ok(tagged(StatusCode::OK, role.version, &Role::from(role)))
}

/// Changes the fields that the body carries.
#[utoipa::path(
    put, path = "/v1/usermanagement/roles/{id}", tag = "Users and roles", operation_id = "updateRole",
    params(("id" = i64, Path, description = "The role's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body = RoleBody,
    responses(
        (status = 200, description = "The role as it is now", body = Role),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing, the role gives more than the caller holds, or the sign-in with a password that this takes is longer ago than 5 minutes", body = ErrorBody),
        (status = 404, description = "No such role", body = ErrorBody),
        (status = 409, description = "Another version, a name that is taken, or a role of the system", body = ErrorBody),
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
    let RoleBody { version, name, description, permissions } = RoleBody::read(body)?;
    let permissions = permissions.map(|items| PermissionReferences { items });
    let request = UpdateRoleRequest { id, version, etag, name, description, permissions };
    let answer = app.clients.roles().update_role(caller.request(request)).await?.into_inner();
    let role = present(answer.role)?;
    Ok(app.updated(answer.changed, role.version, &Role::from(role)))
}

/// Deletes a role that no user holds and no locker is consumed by.
#[utoipa::path(
    delete, path = "/v1/usermanagement/roles/{id}", tag = "Users and roles", operation_id = "deleteRole",
    params(("id" = i64, Path, description = "The role's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such role", body = ErrorBody),
        (status = 409, description = "Users hold it, lockers are consumed by it, or it is a role of the system", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
        (status = 503, description = "Whether a locker is consumed by it cannot be found out", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [id] = ids;
    app.clients.roles().delete_role(caller.request(DeleteRoleRequest { id, etag })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
