//! The members of a locker: L10–L12 of the contract.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::locker::v1::{self, ListMembersRequest, MemberPermission, RemoveMemberRequest, SetMemberRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Json, Listed, Object, invalid};
use crate::request::{App, Ids, JsonBody, listed};

/// A user of a locker.
#[derive(Serialize, ToSchema)]
#[schema(example = json!({"id": "2", "permissions": ["participate", "own", "manage"]}))]
pub(crate) struct Member {
    /// The user's id.
    id: Id,
    /// `participate`, `own`, `manage`, in this order. `own` and `manage` come with `participate`.
    permissions: Vec<&'static str>,
}

impl TryFrom<v1::Member> for Member {
    type Error = Failure;

    fn try_from(member: v1::Member) -> Result<Self, Failure> {
        let mut permissions: Vec<MemberPermission> = member.permissions().collect();
        permissions.sort_unstable_by_key(|permission| *permission as i32);
        let permissions = permissions.into_iter().map(word).collect::<Result<_, _>>()?;
        if member.permissions().count() < member.permissions.len() {
            return Err(unknown().into());
        }
        Ok(Self { id: Id(member.user_id), permissions })
    }
}

fn unknown() -> Refusal {
    Refusal::internal("the locker service answered with an unknown permission")
}

fn word(permission: MemberPermission) -> Result<&'static str, Refusal> {
    match permission {
        MemberPermission::Participate => Ok("participate"),
        MemberPermission::Own => Ok("own"),
        MemberPermission::Manage => Ok("manage"),
        MemberPermission::Unspecified => Err(unknown()),
    }
}

/// What a member may do.
#[derive(ToSchema)]
#[schema(example = json!({"permissions": ["participate", "manage"]}))]
#[allow(dead_code)]
struct MemberPermissions {
    /// At least one of `participate`, `own` and `manage`, in any case; `participe`, `participant`, `owner` and `manager` are understood too.
    permissions: Vec<String>,
}

/// Reads permissions as the documents spell them. Locker says how often one may be named.
fn read_permissions(body: &mut Object) -> Result<Vec<i32>, Refusal> {
    let Some(items) = body.array("permissions")? else {
        return Err(invalid("permissions", "is required: an array of participate, own, manage"));
    };
    if items.is_empty() {
        return Err(invalid("permissions", "is empty; name at least one of participate, own, manage"));
    }
    let known = items.iter().enumerate().map(|(position, item)| {
        permission_of(item).ok_or_else(|| {
            invalid(format!("permissions[{position}]"), "is not known; known are participate, own, manage")
        })
    });
    known.collect()
}

fn permission_of(item: &Json) -> Option<i32> {
    let Json::Text(text) = item else { return None };
    let permission = match text.to_ascii_lowercase().as_str() {
        "participate" | "participe" | "participant" => MemberPermission::Participate,
        "own" | "owner" => MemberPermission::Own,
        "manage" | "manager" => MemberPermission::Manage,
        _ => return None,
    };
    Some(permission.into())
}

/// Lists the members of a locker; whoever only consumes it sees none.
#[utoipa::path(
    get, path = "/v2/credentialvault/lockers/{id}/members", tag = "Lockers", operation_id = "getLockerMembers",
    params(("id" = String, Path, description = "The locker's id")),
    responses(
        (status = 200, description = "The members, in the order of their ids", body = Listed<Member>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [locker_id] = ids;
    let request = caller.request(ListMembersRequest { locker_id });
    listed::<Member, _>(app.clients.lockers().list_members(request).await?.into_inner().members)
}

/// Adds a member, or gives a member exactly these permissions.
#[utoipa::path(
    put, path = "/v2/credentialvault/lockers/{id}/members/{userId}", tag = "Lockers", operation_id = "setLockerMember",
    params(("id" = String, Path, description = "The locker's id"), ("userId" = String, Path, description = "The user's id")),
    request_body = MemberPermissions,
    responses(
        (status = 204, description = "The user is a member with these permissions"),
        (status = 400, description = "No permission, or one that is not known; the message names those that are", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the locker but does not own it, a permission is missing, or a locker administrator would make itself a member", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller, or no such user", body = ErrorBody),
        (status = 409, description = "A locker keeps at least one owner, or it is being deleted", body = ErrorBody),
        (status = 503, description = "Whether there is such a user cannot be found out", body = ErrorBody),
    )
)]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let [locker_id, user_id] = ids;
    let mut body = body.object()?;
    body.same_id("id", user_id)?;
    let member = v1::Member { user_id, permissions: read_permissions(&mut body)? };
    let request = caller.request(SetMemberRequest { locker_id, member: Some(member) });
    app.clients.lockers().set_member(request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Removes a member.
#[utoipa::path(
    delete, path = "/v2/credentialvault/lockers/{id}/members/{userId}", tag = "Lockers", operation_id = "removeLockerMember",
    params(("id" = String, Path, description = "The locker's id"), ("userId" = String, Path, description = "The user's id")),
    responses(
        (status = 204, description = "Removed"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the locker but does not own it, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such locker, or not visible to the caller, or the user is no member", body = ErrorBody),
        (status = 409, description = "It is the last owner; a locker keeps at least one", body = ErrorBody),
    )
)]
pub(crate) async fn remove(State(app): State<App>, caller: Caller, Ids(ids): Ids<2>) -> Result<Response, Failure> {
    let [locker_id, user_id] = ids;
    app.clients.lockers().remove_member(caller.request(RemoveMemberRequest { locker_id, user_id })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
