//! Values.

use coffre_proto::vault::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::vault::{CREDENTIALS, set};
use super::{Answer, Protocol, Session, encode, rest};
use crate::model::StoredValue;
use crate::operation;

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

impl Session {
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
                let request =
                    rest(Method::POST, format!("{CREDENTIALS}/{credential_id}/attributevalues{query}")).json(body);
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
                self.grpc(operation::CREATE_VALUES, request).await.map(|answer: v1::CreateAttributeValuesResponse| {
                    answer.values.into_iter().map(StoredValue::from_proto).collect()
                })
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
                self.rest(operation::LIST_VALUES, request).await.map(|answer| {
                    answer.is(200)["list"].as_array().unwrap().iter().map(StoredValue::from_json).collect()
                })
            }
            Protocol::Grpc => {
                let request = v1::ListAttributeValuesRequest { credential_id, attribute_id, user_id };
                self.grpc(operation::LIST_VALUES, request).await.map(|answer: v1::ListAttributeValuesResponse| {
                    answer.values.into_iter().map(StoredValue::from_proto).collect()
                })
            }
        }
    }

    pub async fn update_value(&self, credential_id: i64, id: i64, change: &ValueChange) -> Answer<StoredValue> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({"value": change.value});
                set(&mut body, "version", change.version);
                let query = change
                    .encryption_key
                    .as_ref()
                    .map(|key| format!("?encryptionKey={}", encode(key)))
                    .unwrap_or_default();
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
                .rest(
                    operation::DELETE_VALUE,
                    rest(Method::DELETE, format!("{CREDENTIALS}/{credential_id}/attributevalues/{id}")),
                )
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
