//! Credentials and their attributes: C1–C6 and A1 of the contract.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::query::v1::{PageInfo, Query};
use coffre_proto::vault::v1;
use coffre_proto::vault::v1::{
    AttributePatch, CreateCredentialRequest, DeleteAttributeRequest, DeleteCredentialRequest, GetCredentialRequest,
    ListCredentialsRequest, NewAttribute, TransferCredentialRequest, UpdateCredentialRequest,
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, ListBody, Listed, Object, Paged, Version, moment, whole_list};
use crate::request::{App, Ids, IfMatch, JsonBody, Parameters, created, listed, paged, present, tagged};

/// A credential with every documented key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credential {
    id: Id,
    created_by: Id,
    #[schema(examples("2018-07-16T06:04:32.905Z"), required)]
    created_on: Option<String>,
    updated_by: Id,
    #[schema(examples("2018-07-16T06:04:32.905Z"), required)]
    updated_on: Option<String>,
    /// Always `"1"`.
    tenant_id: Id,
    version: Version,
    #[schema(examples("SharePoint Login"))]
    name: String,
    #[schema(required)]
    description: Option<String>,
    /// The locker that holds it; null where none does.
    #[schema(required)]
    locker_id: Option<Id>,
    owner_id: Id,
    attributes: Vec<Attribute>,
    /// Every attribute has its value for the caller.
    completed: bool,
    /// What the caller may do with it.
    permissions: Permissions,
}

/// One named part of a credential.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Attribute {
    id: Id,
    created_by: Id,
    #[schema(required)]
    created_on: Option<String>,
    updated_by: Id,
    #[schema(required)]
    updated_on: Option<String>,
    /// Always `"1"`.
    tenant_id: Id,
    version: Version,
    #[schema(examples("Username"))]
    name: String,
    #[schema(required)]
    description: Option<String>,
    /// Every user stores a value of its own.
    user_provided: bool,
    /// Answers that echo a written value leave it out.
    masked: bool,
    /// The value is a password.
    password_flag: bool,
}

/// What the caller may do with a credential.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Permissions {
    can_read_values: bool,
    can_write_values: bool,
    can_update: bool,
    can_delete: bool,
    can_transfer_ownership: bool,
    can_assign_locker: bool,
}

const TENANT: Id = Id(1);

impl From<v1::Credential> for Credential {
    fn from(credential: v1::Credential) -> Self {
        Self {
            id: Id(credential.id),
            created_by: Id(credential.creator_id),
            created_on: moment(credential.create_time),
            updated_by: Id(credential.updater_id),
            updated_on: moment(credential.update_time),
            tenant_id: TENANT,
            version: Version(credential.version),
            name: credential.name,
            description: credential.description,
            locker_id: credential.locker_id.map(Id),
            owner_id: Id(credential.owner_id),
            attributes: credential.attributes.into_iter().map(Attribute::from).collect(),
            completed: credential.completed,
            permissions: credential.permissions.unwrap_or_default().into(),
        }
    }
}

impl From<v1::Attribute> for Attribute {
    fn from(attribute: v1::Attribute) -> Self {
        Self {
            id: Id(attribute.id),
            created_by: Id(attribute.creator_id),
            created_on: moment(attribute.create_time),
            updated_by: Id(attribute.updater_id),
            updated_on: moment(attribute.update_time),
            tenant_id: TENANT,
            version: Version(attribute.version),
            name: attribute.name,
            description: attribute.description,
            user_provided: attribute.user_provided,
            masked: attribute.masked,
            password_flag: attribute.password,
        }
    }
}

impl From<v1::Permissions> for Permissions {
    fn from(permissions: v1::Permissions) -> Self {
        Self {
            can_read_values: permissions.can_read_values,
            can_write_values: permissions.can_write_values,
            can_update: permissions.can_update,
            can_delete: permissions.can_delete,
            can_transfer_ownership: permissions.can_transfer_ownership,
            can_assign_locker: permissions.can_assign_locker,
        }
    }
}

/// A new credential.
#[derive(ToSchema)]
#[schema(example = json!({"name": "SharePoint Login", "description": "Credentials to login to SharePoint", "attributes": [
    {"name": "Username", "description": "Name of the user", "userProvided": true, "masked": true}]}))]
#[allow(dead_code)]
struct NewCredential {
    /// 1–255 characters, unique without regard to case.
    name: String,
    description: Option<String>,
    /// 1–50 attributes with different names.
    attributes: Vec<NewCredentialAttribute>,
}

/// An attribute of a new credential; flags default to false.
#[derive(ToSchema)]
#[allow(dead_code)]
struct NewCredentialAttribute {
    name: String,
    description: Option<String>,
    #[schema(rename = "userProvided")]
    user_provided: Option<bool>,
    masked: Option<bool>,
    #[schema(rename = "passwordFlag")]
    password_flag: Option<bool>,
}

fn read_new(mut body: Object) -> Result<CreateCredentialRequest, Refusal> {
    let attribute = |mut item: Object| {
        Ok(NewAttribute {
            name: item.text("name")?.unwrap_or_default(),
            description: item.text("description")?,
            user_provided: item.flag("userProvided")?.unwrap_or_default(),
            masked: item.flag("masked")?.unwrap_or_default(),
            password: item.flag("passwordFlag")?.unwrap_or_default(),
        })
    };
    Ok(CreateCredentialRequest {
        name: body.text("name")?.unwrap_or_default(),
        description: body.text("description")?,
        attributes: body.objects("attributes", attribute)?.unwrap_or_default(),
    })
}

/// What changes in a credential: absent fields stay.
#[derive(ToSchema)]
#[schema(example = json!({"id": "12", "version": 0, "name": "SharePoint Login", "description": "Login details for SharePoint", "lockerId": null, "ownerId": "1",
    "attributes": [{"id": 61, "version": 0, "description": "SharePoint Username"}]}))]
#[allow(dead_code)]
struct ChangedCredential {
    /// The same as in the path.
    id: Option<String>,
    /// As the caller read it; another one than the current is refused.
    version: Option<String>,
    name: Option<String>,
    /// Null removes it.
    description: Option<String>,
    /// Null or the present one.
    #[schema(rename = "lockerId")]
    locker_id: Option<String>,
    /// Null or the present one.
    #[schema(rename = "ownerId")]
    owner_id: Option<String>,
    /// With `id`: changed; without: added; not listed: stays.
    attributes: Option<Vec<ChangedAttribute>>,
}

/// What changes in an attribute, or an attribute to add.
#[derive(ToSchema)]
#[allow(dead_code)]
struct ChangedAttribute {
    id: Option<String>,
    version: Option<String>,
    name: Option<String>,
    description: Option<String>,
    #[schema(rename = "userProvided")]
    user_provided: Option<bool>,
    masked: Option<bool>,
    #[schema(rename = "passwordFlag")]
    password_flag: Option<bool>,
}

fn read_change(id: i64, etag: String, mut body: Object) -> Result<UpdateCredentialRequest, Refusal> {
    body.same_id("id", id)?;
    let attribute = |mut item: Object| {
        Ok(AttributePatch {
            id: item.id("id")?,
            version: item.number("version")?,
            name: item.text("name")?,
            description: item.text_or_null("description")?,
            user_provided: item.flag("userProvided")?,
            masked: item.flag("masked")?,
            password: item.flag("passwordFlag")?,
        })
    };
    Ok(UpdateCredentialRequest {
        id,
        version: body.number("version")?,
        etag,
        name: body.text("name")?,
        description: body.text_or_null("description")?,
        owner_id: body.id("ownerId")?,
        locker_id: body.id("lockerId")?,
        attributes: body.objects("attributes", attribute)?.unwrap_or_default(),
    })
}

const PATH: &str = "/v2/credentialvault/credentials";

/// Creates a credential that the caller owns.
#[utoipa::path(
    post, path = "/v2/credentialvault/credentials", tag = "Credentials", operation_id = "createCredential",
    request_body = NewCredential,
    responses(
        (status = 201, description = "The new credential", body = Credential),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 409, description = "The name is taken", body = ErrorBody),
    )
)]
pub(crate) async fn create(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let request = read_new(body.object()?)?;
    let answer = app.clients.credentials().create_credential(caller.request(request)).await?.into_inner();
    let credential = present(answer.credential)?;
    Ok(created(PATH, credential.id, credential.version, &Credential::from(credential)))
}

/// Lists the credentials that the caller sees.
#[utoipa::path(
    get, path = "/v2/credentialvault/credentials", tag = "Credentials", operation_id = "getCredentials",
    params(
        ("consumed" = Option<bool>, Query, description = "Only those that the caller consumes, or does not; quotes around it are fine"),
        ("name" = Option<String>, Query, description = "Only the one with this name, without regard to case"),
        ("names" = Option<String>, Query, description = "Only those with one of these names, separated by commas"),
    ),
    responses(
        (status = 200, description = "The credentials", body = Listed<Credential>),
        (status = 400, description = "A parameter is no boolean", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller, parameters: Parameters) -> Result<Response, Failure> {
    let consumed = parameters.flag("consumed")?;
    let mut names: Vec<String> = Vec::new();
    names.extend(parameters.text("name")?.map(str::to_owned));
    let several = parameters.text("names")?.unwrap_or_default();
    names.extend(several.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned));
    listed::<Credential, _>(query(&app, caller, whole_list(), consumed, names).await?.0)
}

/// Lists the credentials that the caller sees by filter, order and page.
#[utoipa::path(
    post, path = "/v2/credentialvault/credentials/list", tag = "Credentials", operation_id = "listCredentials",
    request_body(content = Option<ListBody>),
    responses(
        (status = 200, description = "A page of credentials", body = Paged<Credential>),
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
    paged::<Credential, _, _>(body, |wanted| query(&app, caller, wanted, None, Vec::new())).await
}

async fn query(
    app: &App,
    caller: Caller,
    query: Query,
    consumed: Option<bool>,
    names: Vec<String>,
) -> Result<(Vec<v1::Credential>, Option<PageInfo>), Failure> {
    let request = caller.request(ListCredentialsRequest { query: Some(query), consumed, names });
    let answer = app.clients.credentials().list_credentials(request).await?.into_inner();
    Ok((answer.credentials, answer.page))
}

/// Returns a credential.
#[utoipa::path(
    get, path = "/v2/credentialvault/credentials/{id}", tag = "Credentials", operation_id = "getCredential",
    params(("id" = String, Path, description = "The credential's id")),
    responses(
        (status = 200, description = "The credential", body = Credential),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
        (status = 404, description = "No such credential, or not visible to the caller", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>, caller: Caller, Ids(ids): Ids<1>) -> Result<Response, Failure> {
    let [id] = ids;
    let answer =
        app.clients.credentials().get_credential(caller.request(GetCredentialRequest { id })).await?.into_inner();
    let credential = present(answer.credential)?;
    Ok(tagged(StatusCode::OK, credential.version, &Credential::from(credential)))
}

/// Changes the fields that the body carries.
#[utoipa::path(
    put, path = "/v2/credentialvault/credentials/{id}", tag = "Credentials", operation_id = "updateCredential",
    params(("id" = String, Path, description = "The credential's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    request_body = ChangedCredential,
    responses(
        (status = 200, description = "The credential as it is now", body = Credential),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees it but may not change it", body = ErrorBody),
        (status = 404, description = "No such credential or attribute", body = ErrorBody),
        (status = 409, description = "Another version, a name that is taken, or an attribute that has values", body = ErrorBody),
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
    let answer = app.clients.credentials().update_credential(caller.request(request)).await?.into_inner();
    let credential = present(answer.credential)?;
    Ok(app.updated(answer.changed, credential.version, &Credential::from(credential)))
}

/// Gives a credential to another owner; it stays in its locker. A body is ignored.
#[utoipa::path(
    put, path = "/v2/credentialvault/credentials/{id}/owner/{userId}", tag = "Credentials", operation_id = "transferCredential",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("userId" = String, Path, description = "The new owner's id"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read"),
    ),
    responses(
        (status = 200, description = "The credential as it is now", body = Credential),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees it but may not give it away", body = ErrorBody),
        (status = 404, description = "No such credential or user", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn transfer(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [id, owner_id] = ids;
    let request = caller.request(TransferCredentialRequest { id, owner_id, etag });
    let answer = app.clients.credentials().transfer_credential(request).await?.into_inner();
    let credential = present(answer.credential)?;
    Ok(app.updated(answer.changed, credential.version, &Credential::from(credential)))
}

/// Deletes a credential and its values for good.
#[utoipa::path(
    delete, path = "/v2/credentialvault/credentials/{id}", tag = "Credentials", operation_id = "deleteCredential",
    params(("id" = String, Path, description = "The credential's id"), ("If-Match" = Option<String>, Header, description = "The entity tag that was read")),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees it but may not delete it", body = ErrorBody),
        (status = 404, description = "No such credential", body = ErrorBody),
        (status = 409, description = "It is in a locker; take it out first", body = ErrorBody),
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
    app.clients.credentials().delete_credential(caller.request(DeleteCredentialRequest { id, etag })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Deletes an attribute and its values for good.
#[utoipa::path(
    delete, path = "/v2/credentialvault/credentials/{id}/attributes/{attributeId}", tag = "Credentials", operation_id = "deleteAttribute",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("attributeId" = String, Path, description = "The attribute's id"),
        ("If-Match" = Option<String>, Header, description = "The credential's entity tag that was read"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 400, description = "It is the last one", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees it but may not delete it", body = ErrorBody),
        (status = 404, description = "No such credential or attribute", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn delete_attribute(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [credential_id, attribute_id] = ids;
    let request = caller.request(DeleteAttributeRequest { credential_id, attribute_id, etag });
    app.clients.credentials().delete_attribute(request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
