//! Credentials and their attributes.

use coffre_proto::vault::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::{Answer, Protocol, Session, encode, rest};
use crate::model::{Credential, Page, Query};
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

pub(super) const CREDENTIALS: &str = "/v2/credentialvault/credentials";

pub(super) fn set(body: &mut Json, key: &str, value: Option<impl Into<Json>>) {
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

    pub async fn create_described(
        &self,
        name: &str,
        description: Option<&str>,
        attributes: &[NewAttribute],
    ) -> Answer<Credential> {
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
                let request = v1::CreateCredentialRequest {
                    name: name.to_owned(),
                    description: description.map(ToOwned::to_owned),
                    attributes,
                };
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
                self.rest(operation::LIST_CREDENTIALS, rest(Method::GET, format!("{CREDENTIALS}{query}"))).await.map(
                    |answer| answer.is(200)["list"].as_array().unwrap().iter().map(Credential::from_json).collect(),
                )
            }
            Protocol::Grpc => {
                let request = v1::ListCredentialsRequest {
                    query: Some(Query::default().proto()),
                    consumed: list.consumed,
                    names: list.name.iter().chain(&list.names).cloned().collect(),
                };
                self.grpc(operation::LIST_CREDENTIALS, request).await.map(|answer: v1::ListCredentialsResponse| {
                    answer.credentials.into_iter().map(Credential::from_proto).collect()
                })
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
                let request =
                    rest(Method::PUT, format!("{CREDENTIALS}/{id}")).json(body).if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_CREDENTIAL, request)
                    .await
                    .map(|answer| Credential::from_json(&answer.is(200)))
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
}
