//! One's own API keys, and signing in with one; what a caller sees at a glance.

use std::time::{Duration, SystemTime};

use coffre_proto::{auth::v1, vault};
use http::Method;
use serde_json::json;

use super::vault::set;
use super::{Answer, Protocol, Session, SignedIn, rest};
use crate::canary;
use crate::model::{ApiKey, Dashboard, User, text};
use crate::operation;

const KEYS: &str = "/v1/apikeys";

/// The key itself, with what is shown of it.
fn told(shown: ApiKey, key: String) -> (ApiKey, String) {
    canary::remember_secret(&key);
    (shown, key)
}

impl Session {
    /// Makes a key that is good for a while, or for as long as keys are where nothing is said.
    pub async fn create_api_key(&self, name: &str, life: Option<Duration>) -> Answer<(ApiKey, String)> {
        let expires = life.map(|life| prost_types::Timestamp::from(SystemTime::now() + life));
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({"name": name});
                set(&mut body, "expiresOn", expires.map(|time| time.to_string()));
                self.rest(operation::CREATE_API_KEY, rest(Method::POST, KEYS).json(body)).await.map(|answer| {
                    let json = answer.is(201);
                    told(ApiKey::from_json(&json), text(&json, "key"))
                })
            }
            Protocol::Grpc => {
                let request = v1::CreateApiKeyRequest { name: name.to_owned(), expire_time: expires };
                self.grpc(operation::CREATE_API_KEY, request).await.map(|answer: v1::CreateApiKeyResponse| {
                    told(ApiKey::from_proto(answer.api_key.unwrap()), answer.key)
                })
            }
        }
    }

    pub async fn list_api_keys(&self) -> Answer<Vec<ApiKey>> {
        match self.api.protocol {
            Protocol::Rest => self.rest(operation::LIST_API_KEYS, rest(Method::GET, KEYS)).await.map(|answer| {
                let json = answer.is(200);
                let keys = json["list"].as_array().unwrap();
                assert!(keys.iter().all(|key| key.get("key").is_none()), "a key is told once: {json}");
                keys.iter().map(ApiKey::from_json).collect()
            }),
            Protocol::Grpc => self
                .grpc(operation::LIST_API_KEYS, v1::ListApiKeysRequest {})
                .await
                .map(|answer: v1::ListApiKeysResponse| answer.api_keys.into_iter().map(ApiKey::from_proto).collect()),
        }
    }

    pub async fn delete_api_key(&self, id: i64) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::DELETE, format!("{KEYS}/{id}"));
                self.rest(operation::DELETE_API_KEY, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => self
                .grpc(operation::DELETE_API_KEY, v1::DeleteApiKeyRequest { id })
                .await
                .map(|_: v1::DeleteApiKeyResponse| ()),
        }
    }

    /// Signs in with a key in place of a password.
    pub async fn sign_in_with_key(&self, username: &str, key: &str) -> Answer<SignedIn> {
        let answer = match self.api.protocol {
            Protocol::Rest => {
                let body = json!({"username": username, "apiKey": key});
                self.rest(operation::SIGN_IN, rest(Method::POST, "/v1/authentication").json(body)).await.map(|answer| {
                    let json = answer.is(200);
                    SignedIn { token: text(&json, "token"), user: User::from_json(&json["user"]) }
                })
            }
            Protocol::Grpc => {
                let request = v1::SignInRequest {
                    username: username.to_owned(),
                    password: String::new(),
                    api_key: key.to_owned(),
                };
                self.grpc(operation::SIGN_IN, request).await.map(|answer: v1::SignInResponse| SignedIn {
                    token: answer.token,
                    user: User::from_proto(answer.user.unwrap()),
                })
            }
        };
        if let Ok(signed_in) = &answer.outcome {
            canary::remember_token(&signed_in.token);
        }
        answer
    }

    /// Signs in with a key and returns the caller.
    pub async fn open_with_key(&self, username: &str, key: &str) -> Session {
        let signed_in = self.sign_in_with_key(username, key).await.about_user(username).ok();
        Session { id: signed_in.user.id, username: signed_in.user.username, ..self.with_token(&signed_in.token) }
    }

    pub async fn dashboard(&self) -> Answer<Dashboard> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_DASHBOARD, rest(Method::GET, "/api/dashboard"))
                .await
                .map(|answer| Dashboard::from_json(&answer.is(200))),
            Protocol::Grpc => {
                self.grpc(operation::GET_DASHBOARD, vault::v1::GetDashboardRequest {}).await.map(Dashboard::from_proto)
            }
        }
    }
}
