//! Who may do what with a credential and why, and who has not stored a value yet.

use axum::extract::State;
use axum::response::Response;
use coffre_error::Refusal;
use coffre_proto::vault::v1::{self, ExplainAccessRequest, ListMissingValuesRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Listed};
use crate::request::{App, Ids, Parameters, converted, json, listed};

/// Who may do what with a credential.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"credentialId": "12", "lockerId": "2", "lockerName": "SharePoint Locker", "list": [
    {"userId": "7", "username": "bot-1", "disabled": false, "actions": ["see", "readStandard", "readOwn", "writeOwn"], "through": [
        {"standing": "consumer", "roleId": "14", "roleName": "Bot runner", "effective": true, "missingPermission": null,
         "actions": ["see", "readStandard", "readOwn", "writeOwn"]}]}]}))]
pub(crate) struct Access {
    credential_id: Id,
    /// The locker that holds it; null where none does.
    #[schema(required)]
    locker_id: Option<Id>,
    /// Its name; null where none does.
    #[schema(required)]
    locker_name: Option<String>,
    /// One for each user, in the order of their ids.
    list: Vec<UserAccess>,
}

/// What one user may do, and why.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UserAccess {
    user_id: Id,
    username: String,
    /// It may not sign in, so none of this is of use to it now.
    disabled: bool,
    /// What it may do, by all its standings together: `see`, `change`, `delete`, `assign`, `withdraw`, `transfer`, `readStandard`, `writeStandard`,
    /// `readOwn`, `writeOwn`, `readOther`, `writeOther`.
    actions: Vec<&'static str>,
    /// Through what; empty: it does not stand to the credential at all.
    through: Vec<AccessPath>,
}

/// One way in which a user stands to a credential.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccessPath {
    /// `owner`, `manager` (own or manage in the locker), `participant`, `consumer`, `lockerAdministrator` or `valueAdministrator`.
    standing: &'static str,
    /// The role through which it consumes, or that gives the permission; null where no role does.
    #[schema(required)]
    role_id: Option<Id>,
    /// That role's name.
    #[schema(required)]
    role_name: Option<String>,
    /// Whether it counts: not without its base permission.
    effective: bool,
    /// The base permission that is missing; null where it is effective.
    #[schema(required)]
    missing_permission: Option<String>,
    /// What it allows; empty where it is not effective.
    actions: Vec<&'static str>,
}

/// What one consumer has not stored yet.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(example = json!({"userId": "7", "username": "bot-1", "disabled": false, "attributeIds": ["61"]}))]
pub(crate) struct MissingValues {
    user_id: Id,
    username: String,
    /// It may not sign in.
    disabled: bool,
    /// The user-provided attributes without a value of this user.
    attribute_ids: Vec<Id>,
}

impl TryFrom<v1::UserAccess> for UserAccess {
    type Error = Failure;

    fn try_from(access: v1::UserAccess) -> Result<Self, Failure> {
        let v1::UserAccess { user_id, username, disabled, actions, paths } = access;
        let (actions, through) = (words(&actions)?, converted(paths)?);
        Ok(Self { user_id: Id(user_id), username, disabled, actions, through })
    }
}

impl TryFrom<v1::AccessPath> for AccessPath {
    type Error = Failure;

    fn try_from(path: v1::AccessPath) -> Result<Self, Failure> {
        Ok(Self {
            standing: standing(path.standing())?,
            role_id: path.role_id.map(Id),
            role_name: path.role_id.map(|_| path.role_name),
            effective: path.effective,
            missing_permission: Some(path.missing_permission).filter(|name| !name.is_empty()),
            actions: words(&path.actions)?,
        })
    }
}

impl From<v1::MissingValues> for MissingValues {
    fn from(missing: v1::MissingValues) -> Self {
        let v1::MissingValues { user_id, username, disabled, attribute_ids } = missing;
        Self { user_id: Id(user_id), username, disabled, attribute_ids: attribute_ids.into_iter().map(Id).collect() }
    }
}

fn words(actions: &[i32]) -> Result<Vec<&'static str>, Refusal> {
    actions.iter().map(|action| word(v1::Action::try_from(*action).unwrap_or_default())).collect()
}

fn word(action: v1::Action) -> Result<&'static str, Refusal> {
    Ok(match action {
        v1::Action::See => "see",
        v1::Action::Change => "change",
        v1::Action::Delete => "delete",
        v1::Action::Assign => "assign",
        v1::Action::Withdraw => "withdraw",
        v1::Action::Transfer => "transfer",
        v1::Action::ReadStandard => "readStandard",
        v1::Action::WriteStandard => "writeStandard",
        v1::Action::ReadOwn => "readOwn",
        v1::Action::WriteOwn => "writeOwn",
        v1::Action::ReadOther => "readOther",
        v1::Action::WriteOther => "writeOther",
        v1::Action::Unspecified => return Err(Refusal::internal("the vault answered with an unknown action")),
    })
}

fn standing(standing: v1::Standing) -> Result<&'static str, Refusal> {
    Ok(match standing {
        v1::Standing::Owner => "owner",
        v1::Standing::Manager => "manager",
        v1::Standing::Participant => "participant",
        v1::Standing::Consumer => "consumer",
        v1::Standing::LockerAdministrator => "lockerAdministrator",
        v1::Standing::ValueAdministrator => "valueAdministrator",
        v1::Standing::Unspecified => return Err(Refusal::internal("the vault answered with an unknown standing")),
    })
}

/// Explains who may do what with a credential, and through which ownership, membership, role or permission.
///
/// For its owner, the owners and managers of its locker, and *Administer all lockers*; everybody may ask about himself.
#[utoipa::path(
    get, path = "/v2/credentialvault/credentials/{id}/access", tag = "Credentials", operation_id = "explainAccess",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("userId" = Option<String>, Query, description = "Only this user; absent: everybody who stands to the credential in any way"),
    ),
    responses(
        (status = 200, description = "Who may do what, and why", body = Access),
        (status = 400, description = "`userId` is no id, or more users than one answer holds; ask with `userId`", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may only ask about itself, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such credential, or not visible to the caller, or no such user", body = ErrorBody),
        (status = 503, description = "A service that knows users or lockers does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn explain(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let [credential_id] = ids;
    let user_id = parameters.id("userId")?;
    let request = caller.request(ExplainAccessRequest { credential_id, user_id });
    let answer = app.clients.credentials().explain_access(request).await?.into_inner();
    let access = Access {
        credential_id: Id(credential_id),
        locker_id: answer.locker_id.map(Id),
        locker_name: answer.locker_id.map(|_| answer.locker_name),
        list: converted(answer.users)?,
    };
    Ok(json(StatusCode::OK, &access))
}

/// Lists the consumers who have not yet stored their value of every user-provided attribute.
///
/// For its owner, the owners and managers of its locker, and *Administer all lockers*.
#[utoipa::path(
    get, path = "/v2/credentialvault/credentials/{id}/missingvalues", tag = "Credentials", operation_id = "getMissingValues",
    params(("id" = String, Path, description = "The credential's id")),
    responses(
        (status = 200, description = "One for each such consumer, in the order of their ids", body = Listed<MissingValues>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may not ask, or a permission is missing", body = ErrorBody),
        (status = 404, description = "No such credential, or not visible to the caller", body = ErrorBody),
        (status = 503, description = "A service that knows users or lockers does not answer", body = ErrorBody),
    )
)]
pub(crate) async fn missing_values(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
) -> Result<Response, Failure> {
    let [credential_id] = ids;
    let request = caller.request(ListMissingValuesRequest { credential_id });
    listed::<MissingValues, _>(app.clients.credentials().list_missing_values(request).await?.into_inner().users)
}
