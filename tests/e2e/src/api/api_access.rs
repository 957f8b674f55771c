//! Administration of API accesses.

use coffre_proto::auth::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::vault::set;
use super::{Answer, Client, Protocol, Session, rest};
use crate::canary;
use crate::model::{ApiAccess, Page, Query, text};
use crate::operation;

/// An API access to create; what is absent is left to the server.
#[derive(Clone, Debug, Default)]
pub struct NewApiAccess {
    pub client_id: String,
    pub client_secret: Option<String>,
    pub description: Option<String>,
    pub scope: Option<String>,
    pub access_token_minutes: Option<i64>,
    pub refresh_token_minutes: Option<i64>,
    pub password_grant: Option<bool>,
    pub refresh_grant: Option<bool>,
    pub client_credentials_grant: Option<bool>,
    pub operator_id: Option<i64>,
    pub disabled: bool,
}

/// What changes of an API access.
#[derive(Clone, Debug, Default)]
pub struct ApiAccessChange {
    pub version: Option<i64>,
    pub etag: Option<String>,
    pub client_id: Option<String>,
    pub description: Option<String>,
    pub access_token_minutes: Option<i64>,
    pub refresh_token_minutes: Option<i64>,
    pub password_grant: Option<bool>,
    pub refresh_grant: Option<bool>,
    pub client_credentials_grant: Option<bool>,
    pub operator_id: Option<i64>,
    pub disabled: Option<bool>,
}

const ACCESSES: &str = "/v1/apiaccess";

fn life(minutes: i64) -> Json {
    json!({"hours": minutes / 60, "minutes": minutes % 60})
}

fn duration(minutes: i64) -> prost_types::Duration {
    prost_types::Duration { seconds: minutes * 60, nanos: 0 }
}

/// An access with its secret, which is told once.
fn told(access: ApiAccess, secret: String) -> (ApiAccess, Client) {
    canary::remember_secret(&secret);
    let client = Client::new(&access.client_id, secret);
    (access, client)
}

fn told_in_json(json: &Json) -> (ApiAccess, Client) {
    told(ApiAccess::from_json(json), text(json, "clientSecret"))
}

/// An access as everybody but its creator sees it.
fn without_secret(json: &Json) -> ApiAccess {
    assert!(json.get("clientSecret").is_none(), "the secret is told once");
    ApiAccess::from_json(json)
}

impl Session {
    pub async fn create_api_access(&self, new: &NewApiAccess) -> Answer<(ApiAccess, Client)> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({"clientId": new.client_id});
                set(&mut body, "clientSecret", new.client_secret.clone());
                set(&mut body, "description", new.description.clone());
                set(&mut body, "scope", new.scope.clone());
                set(&mut body, "accessTokenLife", new.access_token_minutes.map(life));
                set(&mut body, "refreshTokenLife", new.refresh_token_minutes.map(life));
                set(&mut body, "passwordGrant", new.password_grant);
                set(&mut body, "refreshGrant", new.refresh_grant);
                set(&mut body, "clientCredentialsGrant", new.client_credentials_grant);
                set(&mut body, "operatorId", new.operator_id.map(|id| id.to_string()));
                set(&mut body, "disabled", new.disabled.then_some(true));
                let request = rest(Method::POST, ACCESSES).json(body);
                self.rest(operation::CREATE_API_ACCESS, request).await.map(|answer| told_in_json(&answer.is(201)))
            }
            Protocol::Grpc => {
                let request = v1::CreateApiAccessRequest {
                    client_id: new.client_id.clone(),
                    client_secret: new.client_secret.clone().unwrap_or_default(),
                    description: new.description.clone(),
                    scope: new.scope.clone().unwrap_or_default(),
                    access_token_life: new.access_token_minutes.map(duration),
                    refresh_token_life: new.refresh_token_minutes.map(duration),
                    password_grant: new.password_grant,
                    refresh_grant: new.refresh_grant,
                    client_credentials_grant: new.client_credentials_grant,
                    operator_id: new.operator_id.unwrap_or_default(),
                    disabled: new.disabled,
                };
                self.grpc(operation::CREATE_API_ACCESS, request).await.map(|answer: v1::CreateApiAccessResponse| {
                    told(ApiAccess::from_proto(answer.api_access.unwrap()), answer.client_secret)
                })
            }
        }
        .about_new(&new.client_id)
    }

    pub async fn get_api_access(&self, id: i64) -> Answer<ApiAccess> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_API_ACCESS, rest(Method::GET, format!("{ACCESSES}/{id}")))
                .await
                .map(|answer| without_secret(&answer.is(200))),
            Protocol::Grpc => self
                .grpc(operation::GET_API_ACCESS, v1::GetApiAccessRequest { id })
                .await
                .map(|answer: v1::GetApiAccessResponse| ApiAccess::from_proto(answer.api_access.unwrap())),
        }
    }

    pub async fn query_api_accesses(&self, query: &Query) -> Answer<Page<ApiAccess>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, format!("{ACCESSES}/list")).json(query.json());
                self.rest(operation::LIST_API_ACCESSES, request)
                    .await
                    .map(|answer| Page::from_json(&answer.is(200), without_secret))
            }
            Protocol::Grpc => {
                let request = v1::ListApiAccessesRequest { query: Some(query.proto()) };
                self.grpc(operation::LIST_API_ACCESSES, request).await.map(|answer: v1::ListApiAccessesResponse| {
                    Page::from_proto(answer.api_accesses.into_iter().map(ApiAccess::from_proto).collect(), answer.page)
                })
            }
        }
    }

    pub async fn update_api_access(&self, id: i64, change: &ApiAccessChange) -> Answer<ApiAccess> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({});
                set(&mut body, "version", change.version);
                set(&mut body, "clientId", change.client_id.clone());
                set(&mut body, "description", change.description.clone());
                set(&mut body, "accessTokenLife", change.access_token_minutes.map(life));
                set(&mut body, "refreshTokenLife", change.refresh_token_minutes.map(life));
                set(&mut body, "passwordGrant", change.password_grant);
                set(&mut body, "refreshGrant", change.refresh_grant);
                set(&mut body, "clientCredentialsGrant", change.client_credentials_grant);
                // Nobody is `null`.
                let operator = |id: i64| if id == 0 { Json::Null } else { json!(id.to_string()) };
                set(&mut body, "operatorId", change.operator_id.map(operator));
                set(&mut body, "disabled", change.disabled);
                let request = rest(Method::PUT, format!("{ACCESSES}/{id}")).json(body).if_match(change.etag.as_deref());
                self.rest(operation::UPDATE_API_ACCESS, request).await.map(|answer| without_secret(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::UpdateApiAccessRequest {
                    id,
                    client_id: change.client_id.clone(),
                    description: change.description.clone(),
                    scope: String::new(),
                    access_token_life: change.access_token_minutes.map(duration),
                    refresh_token_life: change.refresh_token_minutes.map(duration),
                    password_grant: change.password_grant,
                    refresh_grant: change.refresh_grant,
                    client_credentials_grant: change.client_credentials_grant,
                    operator_id: change.operator_id,
                    disabled: change.disabled,
                    version: change.version,
                    etag: change.etag.clone().unwrap_or_default(),
                };
                self.grpc(operation::UPDATE_API_ACCESS, request)
                    .await
                    .map(|answer: v1::UpdateApiAccessResponse| ApiAccess::from_proto(answer.api_access.unwrap()))
            }
        }
    }

    pub async fn delete_api_access(&self, id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("{ACCESSES}/{id}"));
                self.rest(operation::DELETE_API_ACCESS, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::DeleteApiAccessRequest { id, etag: String::new() };
                self.grpc(operation::DELETE_API_ACCESS, request).await.map(|_: v1::DeleteApiAccessResponse| ())
            }
        }
    }

    /// A new secret, chosen or generated; the old one goes on for some minutes.
    pub async fn rotate_secret(
        &self,
        id: i64,
        chosen: Option<&str>,
        grace_minutes: Option<i64>,
    ) -> Answer<(ApiAccess, Client)> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({});
                set(&mut body, "clientSecret", chosen);
                set(&mut body, "gracePeriod", grace_minutes.map(life));
                let request = rest(Method::POST, format!("{ACCESSES}/{id}/secret")).json(body);
                self.rest(operation::ROTATE_SECRET, request).await.map(|answer| {
                    let json = answer.json();
                    assert!((200..202).contains(&answer.status), "{json}");
                    told_in_json(&json)
                })
            }
            Protocol::Grpc => {
                let request = v1::RotateApiAccessSecretRequest {
                    id,
                    client_secret: chosen.unwrap_or_default().to_owned(),
                    grace_period: grace_minutes.map(duration),
                    etag: String::new(),
                };
                self.grpc(operation::ROTATE_SECRET, request).await.map(|answer: v1::RotateApiAccessSecretResponse| {
                    told(ApiAccess::from_proto(answer.api_access.unwrap()), answer.client_secret)
                })
            }
        }
    }

    pub async fn confirm_api_access(&self, id: i64) -> Answer<ApiAccess> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::CONFIRM_API_ACCESS, rest(Method::POST, format!("{ACCESSES}/{id}/confirmation")))
                .await
                .map(|answer| without_secret(&answer.is(200))),
            Protocol::Grpc => self
                .grpc(operation::CONFIRM_API_ACCESS, v1::ConfirmApiAccessRequest { id, ..Default::default() })
                .await
                .map(|answer: v1::ConfirmApiAccessResponse| ApiAccess::from_proto(answer.api_access.unwrap())),
        }
    }

    pub async fn withdraw_confirmation(&self, id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("{ACCESSES}/{id}/confirmation"));
                self.rest(operation::WITHDRAW_CONFIRMATION, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::WithdrawApiAccessConfirmationRequest { id };
                self.grpc(operation::WITHDRAW_CONFIRMATION, request)
                    .await
                    .map(|_: v1::WithdrawApiAccessConfirmationResponse| ())
            }
        }
    }
}
