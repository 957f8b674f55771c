//! Lockers: L1–L6 of the contract.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::locker::v1;
use coffre_proto::locker::v1::{
    CreateLockerRequest, DeleteLockerRequest, GetLockerRequest, ListLockersRequest, UpdateLockerRequest,
};
use coffre_proto::query::v1::{PageInfo, Query};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::locker_members::Member;
use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, ListBody, Listed, Object, Paged, Version, moment, whole_list};
use crate::request::{App, Ids, IfMatch, JsonBody, Parameters, converted, created, listed, paged, present, tagged};

/// A locker with every documented key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Locker {
    id: Id,
    #[schema(examples("SharePoint Locker"))]
    name: String,
    #[schema(required)]
    description: Option<String>,
    created_by: Id,
    #[schema(examples("2018-07-04T09:40:49.187Z"), required)]
    created_on: Option<String>,
    updated_by: Id,
    #[schema(examples("2018-07-04T09:41:04.682Z"), required)]
    updated_on: Option<String>,
    /// Always `"1"`.
    tenant_id: Id,
    version: Version,
    /// How the caller stands to it.
    locker_permission: LockerPermission,
}

/// How the caller stands to a locker. All false: it sees the locker through *Administer all lockers*.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LockerPermission {
    /// An own member: changes members, deletes the locker.
    is_owner: bool,
    /// A manage member: changes the locker and its consumers.
    is_manager: bool,
    /// A participate member: puts own credentials in.
    is_participant: bool,
    /// A user of a consuming role: uses what is inside.
    is_consumer: bool,
}

/// A locker with its members and the number of credentials in it.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"id": "2", "name": "SharePoint Locker", "description": null, "createdBy": "2", "createdOn": "2018-07-04T09:40:49.187Z",
    "updatedBy": "2", "updatedOn": "2018-07-04T10:10:04.163Z", "tenantId": "1", "version": "2",
    "lockerPermission": {"isOwner": true, "isManager": true, "isParticipant": true, "isConsumer": false},
    "members": [{"id": "1", "permissions": ["participate", "manage"]}, {"id": "2", "permissions": ["participate", "own", "manage"]}], "countOfCredentials": 1}))]
pub(crate) struct DetailedLocker {
    #[serde(flatten)]
    locker: Locker,
    /// Empty for whoever only consumes it.
    members: Vec<Member>,
    count_of_credentials: i64,
}

impl From<v1::Locker> for Locker {
    fn from(locker: v1::Locker) -> Self {
        Self {
            id: Id(locker.id),
            name: locker.name,
            description: locker.description,
            created_by: Id(locker.creator_id),
            created_on: moment(locker.create_time),
            updated_by: Id(locker.updater_id),
            updated_on: moment(locker.update_time),
            tenant_id: Id(1),
            version: Version(locker.version),
            locker_permission: locker.permission.unwrap_or_default().into(),
        }
    }
}

impl From<v1::LockerPermission> for LockerPermission {
    fn from(permission: v1::LockerPermission) -> Self {
        let v1::LockerPermission { is_owner, is_manager, is_participant, is_consumer } = permission;
        Self { is_owner, is_manager, is_participant, is_consumer }
    }
}

impl TryFrom<v1::Locker> for DetailedLocker {
    type Error = Failure;

    fn try_from(mut locker: v1::Locker) -> Result<Self, Failure> {
        let members = converted(std::mem::take(&mut locker.members))?;
        let count_of_credentials = present(locker.credential_count)?;
        Ok(Self { locker: locker.into(), members, count_of_credentials })
    }
}

/// A new locker.
#[derive(ToSchema)]
#[schema(example = json!({"name": "SalesForce Locker", "description": "Use this to store all credentials for the SalesForce application"}))]
#[allow(dead_code)]
struct NewLocker {
    /// 1–255 characters, unique without regard to case.
    name: String,
    description: Option<String>,
}

fn read_new(mut body: Object) -> Result<CreateLockerRequest, Refusal> {
    Ok(CreateLockerRequest { name: body.text("name")?.unwrap_or_default(), description: body.text("description")? })
}

/// What changes in a locker: absent fields stay.
#[derive(ToSchema)]
#[schema(example = json!({"id": "2", "name": "SharePoint-Locker", "description": "Locker to manage SharePoint credentials", "version": 0}))]
#[allow(dead_code)]
struct ChangedLocker {
    /// The same as in the path.
    id: Option<String>,
    /// As the caller read it; another one than the current is refused.
    version: Option<String>,
    name: Option<String>,
    /// Null removes it.
    description: Option<String>,
}

fn read_change(id: i64, etag: String, mut body: Object) -> Result<UpdateLockerRequest, Refusal> {
    body.same_id("id", id)?;
    Ok(UpdateLockerRequest {
        id,
        version: body.number("version")?,
        etag,
        name: body.text("name")?,
        description: body.text_or_null("description")?,
    })
}

const PATH: &str = "/v2/credentialvault/lockers";

/// Creates a locker; the caller becomes its owner, manager and participant.
#[utoipa::path(
    post, path = "/v2/credentialvault/lockers", tag = "Lockers", operation_id = "createLocker",
    request_body = NewLocker,
    responses(
        (status = 201, description = "The new locker", body = Locker),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*Manage my lockers* is missing", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let request = read_new(body.object()?)?;
    let locker = present(app.clients.lockers().create_locker(caller.request(request)).await?.into_inner().locker)?;
    Ok(created(PATH, locker.id, locker.version, &Locker::from(locker)))
}

/// Lists the lockers that the caller is a member or a consumer of; with *Administer all lockers*: all.
#[utoipa::path(
    get, path = "/v2/credentialvault/lockers", tag = "Lockers", operation_id = "getLockers",
    params(("consumed" = Option<bool>, Query, description = "Only those that the caller consumes, or does not; quotes around it are fine")),
    responses(
        (status = 200, description = "The lockers", body = Listed<Locker>),
        (status = 400, description = "`consumed` is no boolean, or there are more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Response, Failure> {
    let wanted =
        ListLockersRequest { query: Some(whole_list()), consumed: parameters.flag("consumed")?, detailed: false };
    listed::<Locker, _>(query(&app, caller, wanted).await?.0)
}

/// Lists the lockers that the caller sees by filter, order and page, with their members and how many credentials they hold.
#[utoipa::path(
    post, path = "/v2/credentialvault/lockers/list", tag = "Lockers", operation_id = "listLockers",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of lockers", body = Paged<DetailedLocker>),
        (status = 400, description = "An unknown field, or more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 503, description = "The vault, which counts the credentials, does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn list_by_query(
    State(app): State<App>,
    caller: Caller,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    paged::<DetailedLocker, _, _>(body, |wanted| query(&app, caller, detailed(wanted))).await
}

/// Lists the lockers that the caller sees, with their members and how many credentials they hold.
#[utoipa::path(
    get, path = "/v2/credentialvault/lockers/advanced", tag = "Lockers", operation_id = "getDetailedLockers",
    responses(
        (status = 200, description = "The lockers", body = Listed<DetailedLocker>),
        (status = 400, description = "There are more rows than one answer holds", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 503, description = "The vault, which counts the credentials, does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn list_detailed(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    listed::<DetailedLocker, _>(query(&app, caller, detailed(whole_list())).await?.0)
}

fn detailed(query: Query) -> ListLockersRequest {
    ListLockersRequest { query: Some(query), consumed: None, detailed: true }
}

async fn query(
    app: &App,
    caller: Caller,
    wanted: ListLockersRequest,
) -> Result<(Vec<v1::Locker>, Option<PageInfo>), Failure> {
    let answer = app.clients.lockers().list_lockers(caller.request(wanted)).await?.into_inner();
    Ok((answer.lockers, answer.page))
}

/// Returns a locker.
#[utoipa::path(
    get, path = "/v2/credentialvault/lockers/{id}", tag = "Lockers", operation_id = "getLocker",
    params(("id" = String, Path, description = "The locker's id")),
    responses(
        (status = 200, description = "The locker", body = Locker),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    let request = caller.request(GetLockerRequest { id });
    let locker = present(app.clients.lockers().get_locker(request).await?.into_inner().locker)?;
    Ok(tagged(StatusCode::OK, locker.version, &Locker::from(locker)))
}

/// Changes the fields that the body carries. Consumers are added at `…/consumers`, members at `…/members`.
#[utoipa::path(
    put, path = "/v2/credentialvault/lockers/{id}", tag = "Lockers", operation_id = "updateLocker",
    params(("id" = String, Path, description = "The locker's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body = ChangedLocker,
    responses(
        (status = 200, description = "The locker as it is now", body = Locker),
        (status = 400, description = "A field breaks a rule, or `id` is not the one of the path", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees it but neither owns nor manages it, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller", body = ErrorBody),
        (status = 409, description = "Another version, a name that is taken, or it is being deleted", body = ErrorBody),
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
    let request = read_change(id, etag, body.object()?)?;
    let answer = app.clients.lockers().update_locker(caller.request(request)).await?.into_inner();
    let locker = present(answer.locker)?;
    Ok(app.updated(answer.changed, locker.version, &Locker::from(locker)))
}

/// Deletes a locker that holds no credential.
#[utoipa::path(
    delete, path = "/v2/credentialvault/lockers/{id}", tag = "Lockers", operation_id = "deleteLocker",
    params(("id" = String, Path, description = "The locker's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees it but does not own it, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller", body = ErrorBody),
        (status = 409, description = "It still holds credentials; the message says how many", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
        (status = 503, description = "The vault, which counts the credentials, does not answer; the locker stays", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [id] = ids;
    app.clients.lockers().delete_locker(caller.request(DeleteLockerRequest { id, etag })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
