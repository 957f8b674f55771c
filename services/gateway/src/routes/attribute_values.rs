//! Values of attributes: V1–V4 of the contract. An answer to a write has the shape of its request.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::{Reason, Refusal};
use coffre_proto::vault::v1;
use coffre_proto::vault::v1::{
    CreateAttributeValuesRequest, DeleteAttributeValueRequest, ListAttributeValuesRequest, NewAttributeValue,
    UpdateAttributeValueRequest,
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Id, Json, Listed, Object, Version, moment, read_objects};
use crate::request::{App, Ids, IfMatch, JsonBody, Parameters, json, listed, present, tagged};

/// A value with every documented key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttributeValue {
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
    /// The user to whom it belongs; null for a standard value.
    #[schema(required)]
    user_id: Option<Id>,
    /// The secret; `""` where the answer leaves it out.
    value: String,
    credential_attribute_id: Id,
}

impl From<v1::AttributeValue> for AttributeValue {
    fn from(value: v1::AttributeValue) -> Self {
        Self {
            id: Id(value.id),
            created_by: Id(value.creator_id),
            created_on: moment(value.create_time),
            updated_by: Id(value.updater_id),
            updated_on: moment(value.update_time),
            tenant_id: Id(1),
            version: Version(value.version),
            user_id: value.user_id.map(Id),
            value: value.value,
            credential_attribute_id: Id(value.attribute_id),
        }
    }
}

/// A value to store.
#[derive(ToSchema)]
#[schema(example = json!({"credentialAttributeId": "30", "value": "Jane Smith"}))]
#[allow(dead_code)]
struct NewValue {
    #[schema(rename = "credentialAttributeId")]
    credential_attribute_id: String,
    /// At most 64 KiB of UTF-8; with `encryptionKey`, base64 of its RSA-OAEP ciphertext.
    value: String,
    /// Only for a user-provided attribute; absent: the caller.
    #[schema(rename = "userId")]
    user_id: Option<String>,
}

/// Values to store, as an array or in `list`.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum NewValues {
    Array(Vec<NewValue>),
    List { list: Vec<NewValue> },
}

/// Stored values, in the shape of the request.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum StoredValues {
    Array(Vec<AttributeValue>),
    List { list: Vec<AttributeValue> },
}

/// A new secret for a value, bare or in an array of one.
#[derive(ToSchema)]
#[serde(untagged)]
#[allow(dead_code)]
enum ChangedValues {
    Bare(ChangedValue),
    Array(Vec<ChangedValue>),
}

/// A new secret for a value.
#[derive(ToSchema)]
#[schema(example = json!({"id": "30", "version": 0, "value": "Jane Smith", "credentialAttributeId": "62"}))]
#[allow(dead_code)]
struct ChangedValue {
    /// The same as in the path.
    id: Option<String>,
    /// As the caller read it; another one than the current is refused.
    version: Option<String>,
    value: String,
    /// The present one.
    #[schema(rename = "credentialAttributeId")]
    credential_attribute_id: Option<String>,
}

/// A changed value, in the shape of the request.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum StoredValue {
    Bare(Box<AttributeValue>),
    Array([AttributeValue; 1]),
}

/// The two shapes in which values come.
enum Shape {
    Array,
    List,
}

fn read_new(body: Option<Json>) -> Result<(Shape, Vec<NewAttributeValue>), Refusal> {
    let read = |mut item: Object| {
        Ok(NewAttributeValue {
            attribute_id: item.required_id("credentialAttributeId")?,
            user_id: item.id("userId")?,
            value: item.required_text("value")?,
        })
    };
    match body {
        Some(Json::Array(items)) => Ok((Shape::Array, read_objects(items, "", read)?)),
        Some(Json::Object(entries)) => {
            let mut body = Object::of(Json::Object(entries), "")?;
            let values = body.objects("list", read)?;
            values.map(|values| (Shape::List, values)).ok_or_else(wrong_shape)
        }
        _ => Err(wrong_shape()),
    }
}

fn wrong_shape() -> Refusal {
    Refusal::new(Reason::RequestInvalid, "the body must be an array of values, or {\"list\": [...]}")
}

/// Takes the only object of an array of one, or the bare object; says whether it was an array.
fn read_one(body: Option<Json>) -> Result<(bool, Object), Refusal> {
    let wrong = || Refusal::new(Reason::RequestInvalid, "the body must be one value, bare or in an array of one");
    match body {
        Some(Json::Array(items)) => match <[Json; 1]>::try_from(items) {
            Ok([item]) => Ok((true, Object::of(item, "[0]")?)),
            Err(_) => Err(wrong()),
        },
        Some(json @ Json::Object(_)) => Ok((false, Object::of(json, "")?)),
        _ => Err(wrong()),
    }
}

/// Stores values that are not there yet: all of them or none. `…/attributevalue` is the same path.
#[utoipa::path(
    post, path = "/v2/credentialvault/credentials/{id}/attributevalues", tag = "Values", operation_id = "createValues",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("encryptionKey" = Option<String>, Query, description = "The transport key under which the values are encrypted"),
    ),
    request_body = NewValues,
    responses(
        (status = 201, description = "The values, in the shape of the request; masked ones as \"\"", body = StoredValues),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may not write its values", body = ErrorBody),
        (status = 404, description = "No such credential or attribute", body = ErrorBody),
        (status = 409, description = "A value is there already; change it with PUT", body = ErrorBody),
        (status = 503, description = "The vault is sealed", body = ErrorBody),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    parameters: Parameters,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let [credential_id] = ids;
    let (shape, values) = read_new(body)?;
    let encryption_key = parameters.base64("encryptionKey")?;
    let request = caller.request(CreateAttributeValuesRequest { credential_id, values, encryption_key });
    let answer = app.clients.values().create_attribute_values(request).await?.into_inner();
    let list: Vec<AttributeValue> = answer.values.into_iter().map(AttributeValue::from).collect();
    let stored = match shape {
        Shape::Array => StoredValues::Array(list),
        Shape::List => StoredValues::List { list },
    };
    Ok(json(StatusCode::CREATED, &stored))
}

/// Reads values: the standard ones and the caller's own, in the order of their attributes.
#[utoipa::path(
    get, path = "/v2/credentialvault/credentials/{id}/attributevalues", tag = "Values", operation_id = "getValues",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("credentialAttributeId" = Option<String>, Query, description = "Only the values of this attribute"),
        ("userId" = Option<String>, Query, description = "Only the values of this user, and the standard ones"),
    ),
    responses(
        (status = 200, description = "The values", body = Listed<AttributeValue>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may not read its values", body = ErrorBody),
        (status = 404, description = "No such credential", body = ErrorBody),
        (status = 503, description = "The vault is sealed", body = ErrorBody),
    )
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<1>,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let [credential_id] = ids;
    let (attribute_id, user_id) = (parameters.id("credentialAttributeId")?, parameters.id("userId")?);
    let request = caller.request(ListAttributeValuesRequest { credential_id, attribute_id, user_id });
    let answer = app.clients.values().list_attribute_values(request).await?.into_inner();
    listed::<AttributeValue, _>(answer.values)
}

/// Changes a value. The new value is never compared with the old one.
#[utoipa::path(
    put, path = "/v2/credentialvault/credentials/{id}/attributevalues/{valueId}", tag = "Values", operation_id = "updateValue",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("valueId" = String, Path, description = "The value's id"),
        ("encryptionKey" = Option<String>, Query, description = "The transport key under which the value is encrypted"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read"),
    ),
    request_body = ChangedValues,
    responses(
        (status = 200, description = "The value, in the shape of the request; a masked one as \"\"", body = StoredValue),
        (status = 400, description = "A field breaks a rule", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may not write its values", body = ErrorBody),
        (status = 404, description = "No such credential or value", body = ErrorBody),
        (status = 409, description = "Another version", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
        (status = 503, description = "The vault is sealed", body = ErrorBody),
    )
)]
pub(crate) async fn update(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    parameters: Parameters,
    IfMatch(etag): IfMatch,
    JsonBody(body): JsonBody,
) -> Result<Response, Failure> {
    let [credential_id, id] = ids;
    let (in_array, mut item) = read_one(body)?;
    item.same_id("id", id)?;
    let request = UpdateAttributeValueRequest {
        credential_id,
        id,
        version: item.number("version")?,
        etag,
        value: item.required_text("value")?,
        encryption_key: parameters.base64("encryptionKey")?,
        attribute_id: item.id("credentialAttributeId")?,
    };
    let answer = app.clients.values().update_attribute_value(caller.request(request)).await?.into_inner();
    let value = present(answer.value)?;
    let version = value.version;
    let value = AttributeValue::from(value);
    let stored = if in_array { StoredValue::Array([value]) } else { StoredValue::Bare(Box::new(value)) };
    Ok(tagged(StatusCode::OK, version, &stored))
}

/// Deletes a value for good. `…/values/{valueId}` is the same path.
#[utoipa::path(
    delete, path = "/v2/credentialvault/credentials/{id}/attributevalues/{valueId}", tag = "Values", operation_id = "deleteValue",
    params(
        ("id" = String, Path, description = "The credential's id"),
        ("valueId" = String, Path, description = "The value's id"),
        ("If-Match" = Option<String>, Header, description = "The entity tag that was read"),
    ),
    responses(
        (status = 204, description = "Deleted"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The caller sees the credential but may not write its values", body = ErrorBody),
        (status = 404, description = "No such credential or value", body = ErrorBody),
        (status = 412, description = "If-Match names another version", body = ErrorBody),
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Ids(ids): Ids<2>,
    IfMatch(etag): IfMatch,
) -> Result<Response, Failure> {
    let [credential_id, id] = ids;
    let request = caller.request(DeleteAttributeValueRequest { credential_id, id, etag });
    app.clients.values().delete_attribute_value(request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
