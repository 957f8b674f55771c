//! Credentials, attributes, values.

use coffre_proto::vault::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::{Answer, Protocol, Session, encode, rest};
use crate::model::{Credential, Page, Query, StoredValue};
use crate::operation;

/// An attribute to create.
#[derive(Clone, Debug, Default)]
pub struct NewAttribute {
    pub name: String,
    pub description: Option<String>,
    pub user_provided: bool,
    pub masked: bool,
    pub password: bool,
}

impl NewAttribute {
    /// One value for everybody.
    pub fn standard(name: &str) -> Self {
        Self { name: name.to_owned(), ..Self::default() }
    }

    /// One value for each user.
    pub fn user_provided(name: &str) -> Self {
        Self { user_provided: true, ..Self::standard(name) }
    }

    #[must_use]
    pub fn masked(mut self) -> Self {
        self.masked = true;
        self
    }
}

/// What changes of an attribute; without an id it is a new one.
#[derive(Clone, Debug, Default)]
pub struct AttributeChange {
    pub id: Option<i64>,
    pub version: Option<i64>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub user_provided: Option<bool>,
    pub masked: Option<bool>,
}

/// What changes of a credential.
#[derive(Clone, Debug, Default)]
pub struct CredentialChange {
    pub version: Option<i64>,
    pub etag: Option<String>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub owner_id: Option<i64>,
    pub locker_id: Option<i64>,
    pub attributes: Vec<AttributeChange>,
}

/// The documented filters of C2.
#[derive(Clone, Debug, Default)]
pub struct ListCredentials {
    pub consumed: Option<bool>,
    pub name: Option<String>,
    pub names: Vec<String>,
}

/// A value to store.
#[derive(Clone, Debug)]
pub struct NewValue {
    pub attribute_id: i64,
    pub user_id: Option<i64>,
    pub value: String,
}

impl NewValue {
    pub fn new(attribute_id: i64, value: impl Into<String>) -> Self {
        Self { attribute_id, user_id: None, value: value.into() }
    }

    #[must_use]
    pub fn of(mut self, user_id: i64) -> Self {
        self.user_id = Some(user_id);
        self
    }
}

/// A new secret for a value.
#[derive(Clone, Debug, Default)]
pub struct ValueChange {
    pub value: String,
    pub version: Option<i64>,
    pub etag: Option<String>,
    pub encryption_key: Option<String>,
}

const CREDENTIALS: &str = "/v2/credentialvault/credentials";

fn set(body: &mut Json, key: &str, value: Option<impl Into<Json>>) {
    if let Some(value) = value {
        body[key] = value.into();
    }
}

impl AttributeChange {
    fn json(&self) -> Json {
        let mut body = json!({});
        set(&mut body, "id", self.id);
        set(&mut body, "version", self.version);
        set(&mut body, "name", self.name.clone());
        set(&mut body, "description", self.description.clone());
        set(&mut body, "userProvided", self.user_provided);
        set(&mut body, "masked", self.masked);
        body
    }

    fn proto(&self) -> v1::AttributePatch {
        v1::AttributePatch {
            id: self.id,
            version: self.version,
            name: self.name.clone(),
            description: self.description.clone(),
            user_provided: self.user_provided,
            masked: self.masked,
            password: None,
        }
    }
}

impl Session {
    pub async fn create_credential(&self, name: &str, attributes: &[NewAttribute]) -> Answer<Credential> {
        self.create_described(name, None, attributes).await
    }

    pub async fn create_described(&self, name: &str, description: Option<&str>, attributes: &[NewAttribute]) -> Answer<Credential> {
        match self.api.protocol {
            Protocol::Rest => {
                let attributes: Vec<Json> = attributes
                    .iter()
                    .map(|one| {
                        json!({"name": one.name, "description": one.description, "userProvided": one.user_provided,
                               "masked": one.masked, "passwordFlag": one.password})
                    })
                    .collect();
                let body = json!({"name": name, "description": description, "attributes": attributes});
                self.rest(operation::CREATE_CREDENTIAL, rest(Method::POST, CREDENTIALS).json(body))
                    .await
                    .map(|answer| Credential::from_json(&answer.is(201)))
            }
            Protocol::Grpc => {
                let attributes = attributes
                    .iter()
                    .map(|one| v1::NewAttribute {
                        name: one.name.clone(),
                        description: one.description.clone(),
                        user_provided: one.user_provided,
                        masked: one.masked,
                        password: one.password,
                    })
                    .collect();
                let request = v1::CreateCredentialRequest { name: name.to_owned(), description: description.map(ToOwned::to_owned), attributes };
                self.grpc(operation::CREATE_CREDENTIAL, request)
                    .await
                    .map(|answer: v1::CreateCredentialResponse| Credential::from_proto(answer.credential.unwrap()))
            }
        }
    }

    pub async fn get_credential(&self, id: i64) -> Answer<Credential> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_CREDENTIAL, rest(Method::GET, format!("{CREDENTIALS}/{id}")))
                .await
                .map(|answer| Credential::from_json(&answer.is(200))),
            Protocol::Grpc => self
                .grpc(operation::GET_CREDENTIAL, v1::GetCredentialRequest { id })
                .await
                .map(|answer: v1::GetCredentialResponse| Credential::from_proto(answer.credential.unwrap())),
        }
    }

    /// C2 as documented.
    pub async fn list_credentials(&self, list: &ListCredentials) -> Answer<Vec<Credential>> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut parts = Vec::new();
                if let Some(consumed) = list.consumed {
                    parts.push(format!("consumed={consumed}"));
                }
                if let Some(name) = &list.name {
                    parts.push(format!("name={}", encode(name)));
                }
                if !list.names.is_empty() {
                    parts.push(format!("names={}", encode(&list.names.join(","))));
                }
                let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
                self.rest(operation::LIST_CREDENTIALS, rest(Method::GET, format!("{CREDENTIALS}{query}")))
                    .await
                    .map(|answer| answer.is(200)["list"].as_array().unwrap().iter().map(Credential::from_json).collect())
            }
            Protocol::Grpc => {
                let request = v1::ListCredentialsRequest {
                    query: Some(Query::default().proto()),
                    consumed: list.consumed,
                    names: list.name.iter().chain(&list.names).cloned().collect(),
                };
                self.grpc(operation::LIST_CREDENTIALS, request)
                    .await
                    .map(|answer: v1::ListCredentialsResponse| answer.credentials.into_iter().map(Credential::from_proto).collect())
            }
        }
    }

    pub async fn query_credentials(&self, query: &Query) -> Answer<Page<Credential>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, format!("{CREDENTIALS}/list")).json(query.json());
                self.rest(operation::LIST_CREDENTIALS, request)
                    .await
                    .map(|answer| Page::from_json(&answer.is(200), Credential::from_json))
            }
            Protocol::Grpc => {
                let request = v1::ListCredentialsRequest { query: Some(query.proto()), ..Default::default() };
                self.grpc(operation::LIST_CREDENTIALS, request).await.map(|answer: v1::ListCredentialsResponse| {
                    Page::from_proto(answer.credentials.into_iter().map(Credential::from_proto).collect(), answer.page)
                })
            }
        }
    }

    pub async fn update_credential(&self, id: i64, change: &CredentialChange) -> Answer<Credential> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({});
                set(&mut body, "version", change.version);
                set(&mut body, "name", change.name.clone());
                set(&mut body, "description", change.description.clone());
                set(&mut body, "ownerId", change.owner_id);
                set(&mut body, "lockerId", change.locker_id);
                if !change.attributes.is_empty() {
                    body["attributes"] = change.attributes.iter().map(AttributeChange::json).collect();
                }
                let request = rest(Method::PUT, format!("{CREDENTIALS}/{id}")).json(body).if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_CREDENTIAL, request).await.map(|answer| Credential::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::UpdateCredentialRequest {
                    id,
                    version: change.version,
                    etag: change.etag.clone().unwrap_or_default(),
                    name: change.name.clone(),
                    description: change.description.clone(),
                    owner_id: change.owner_id,
                    locker_id: change.locker_id,
                    attributes: change.attributes.iter().map(AttributeChange::proto).collect(),
                };
                self.grpc(operation::UPDATE_CREDENTIAL, request)
                    .await
                    .map(|answer: v1::UpdateCredentialResponse| Credential::from_proto(answer.credential.unwrap()))
            }
        }
    }

    pub async fn transfer_credential(&self, id: i64, owner_id: i64) -> Answer<Credential> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::TRANSFER_CREDENTIAL, rest(Method::PUT, format!("{CREDENTIALS}/{id}/owner/{owner_id}")))
                .await
                .map(|answer| Credential::from_json(&answer.is(200))),
            Protocol::Grpc => {
                let request = v1::TransferCredentialRequest { id, owner_id, etag: String::new() };
                self.grpc(operation::TRANSFER_CREDENTIAL, request)
                    .await
                    .map(|answer: v1::TransferCredentialResponse| Credential::from_proto(answer.credential.unwrap()))
            }
        }
    }

    pub async fn delete_credential(&self, id: i64, etag: Option<&str>) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::DELETE_CREDENTIAL, rest(Method::DELETE, format!("{CREDENTIALS}/{id}")).if_match(etag))
                .await
                .map(|answer| {
                    answer.is(204);
                }),
            Protocol::Grpc => {
                let request = v1::DeleteCredentialRequest { id, etag: etag.unwrap_or_default().to_owned() };
                self.grpc(operation::DELETE_CREDENTIAL, request).await.map(|_: v1::DeleteCredentialResponse| ())
            }
        }
    }

    pub async fn delete_attribute(&self, credential_id: i64, attribute_id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(
                    operation::DELETE_ATTRIBUTE,
                    rest(Method::DELETE, format!("{CREDENTIALS}/{credential_id}/attributes/{attribute_id}")),
                )
                .await
                .map(|answer| {
                    answer.is(204);
                }),
            Protocol::Grpc => {
                let request = v1::DeleteAttributeRequest { credential_id, attribute_id, etag: String::new() };
                self.grpc(operation::DELETE_ATTRIBUTE, request).await.map(|_: v1::DeleteAttributeResponse| ())
            }
        }
    }

    pub async fn create_values(&self, credential_id: i64, values: &[NewValue]) -> Answer<Vec<StoredValue>> {
        self.create_values_under(credential_id, values, None).await
    }

    /// Stores values, encrypted under a transport key where one is given.
    pub async fn create_values_under(
        &self,
        credential_id: i64,
        values: &[NewValue],
        encryption_key: Option<&str>,
    ) -> Answer<Vec<StoredValue>> {
        match self.api.protocol {
            Protocol::Rest => {
                let body: Json = values
                    .iter()
                    .map(|one| {
                        let mut item = json!({"credentialAttributeId": one.attribute_id, "value": one.value});
                        set(&mut item, "userId", one.user_id);
                        item
                    })
                    .collect();
                let query = encryption_key.map(|key| format!("?encryptionKey={}", encode(key))).unwrap_or_default();
                let request = rest(Method::POST, format!("{CREDENTIALS}/{credential_id}/attributevalues{query}")).json(body);
                self.rest(operation::CREATE_VALUES, request)
                    .await
                    .map(|answer| answer.is(201).as_array().unwrap().iter().map(StoredValue::from_json).collect())
            }
            Protocol::Grpc => {
                let request = v1::CreateAttributeValuesRequest {
                    credential_id,
                    values: values
                        .iter()
                        .map(|one| v1::NewAttributeValue {
                            attribute_id: one.attribute_id,
                            user_id: one.user_id,
                            value: one.value.clone(),
                        })
                        .collect(),
                    encryption_key: encryption_key.unwrap_or_default().to_owned(),
                };
                self.grpc(operation::CREATE_VALUES, request)
                    .await
                    .map(|answer: v1::CreateAttributeValuesResponse| answer.values.into_iter().map(StoredValue::from_proto).collect())
            }
        }
    }

    pub async fn list_values(&self, credential_id: i64) -> Answer<Vec<StoredValue>> {
        self.list_values_of(credential_id, None, None).await
    }

    pub async fn list_values_of(
        &self,
        credential_id: i64,
        attribute_id: Option<i64>,
        user_id: Option<i64>,
    ) -> Answer<Vec<StoredValue>> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut parts = Vec::new();
                if let Some(id) = attribute_id {
                    parts.push(format!("credentialAttributeId={id}"));
                }
                if let Some(id) = user_id {
                    parts.push(format!("userId={id}"));
                }
                let query = if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) };
                let request = rest(Method::GET, format!("{CREDENTIALS}/{credential_id}/attributevalues{query}"));
                self.rest(operation::LIST_VALUES, request)
                    .await
                    .map(|answer| answer.is(200)["list"].as_array().unwrap().iter().map(StoredValue::from_json).collect())
            }
            Protocol::Grpc => {
                let request = v1::ListAttributeValuesRequest { credential_id, attribute_id, user_id };
                self.grpc(operation::LIST_VALUES, request)
                    .await
                    .map(|answer: v1::ListAttributeValuesResponse| answer.values.into_iter().map(StoredValue::from_proto).collect())
            }
        }
    }

    pub async fn update_value(&self, credential_id: i64, id: i64, change: &ValueChange) -> Answer<StoredValue> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({"value": change.value});
                set(&mut body, "version", change.version);
                let query = change.encryption_key.as_ref().map(|key| format!("?encryptionKey={}", encode(key))).unwrap_or_default();
                let request = rest(Method::PUT, format!("{CREDENTIALS}/{credential_id}/attributevalues/{id}{query}"))
                    .json(body)
                    .if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_VALUE, request).await.map(|answer| StoredValue::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::UpdateAttributeValueRequest {
                    credential_id,
                    id,
                    version: change.version,
                    etag: change.etag.clone().unwrap_or_default(),
                    value: change.value.clone(),
                    encryption_key: change.encryption_key.clone().unwrap_or_default(),
                    attribute_id: None,
                };
                self.grpc(operation::UPDATE_VALUE, request)
                    .await
                    .map(|answer: v1::UpdateAttributeValueResponse| StoredValue::from_proto(answer.value.unwrap()))
            }
        }
    }

    pub async fn delete_value(&self, credential_id: i64, id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::DELETE_VALUE, rest(Method::DELETE, format!("{CREDENTIALS}/{credential_id}/attributevalues/{id}")))
                .await
                .map(|answer| {
                    answer.is(204);
                }),
            Protocol::Grpc => {
                let request = v1::DeleteAttributeValueRequest { credential_id, id, etag: String::new() };
                self.grpc(operation::DELETE_VALUE, request).await.map(|_: v1::DeleteAttributeValueResponse| ())
            }
        }
    }
}
