//! Signing in and out.

use coffre_proto::auth::v1;
use http::Method;
use serde_json::json;

use super::{Answer, Session, encode, rest};
use crate::api::Protocol;
use crate::canary;
use crate::model::{User, text};
use crate::operation;

/// An open session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    pub token: String,
    pub user: User,
}

impl Session {
    /// Signs in as somebody and returns the new caller.
    pub async fn open(&self, username: &str, password: &str) -> Session {
        let signed_in = self.sign_in(username, password).await.about_user(username).ok();
        Session {
            api: self.api.clone(),
            token: Some(signed_in.token),
            id: signed_in.user.id,
            username: signed_in.user.username,
        }
    }

    pub async fn sign_in(&self, username: &str, password: &str) -> Answer<SignedIn> {
        let answer = match self.api.protocol {
            Protocol::Rest => {
                let body = json!({"username": username, "password": password});
                self.rest(operation::SIGN_IN, rest(Method::POST, "/v1/authentication").json(body)).await.map(|answer| {
                    let json = answer.is(200);
                    SignedIn { token: text(&json, "token"), user: User::from_json(&json["user"]) }
                })
            }
            Protocol::Grpc => {
                let request = v1::SignInRequest {
                    username: username.to_owned(),
                    password: password.to_owned(),
                    api_key: String::new(),
                };
                self.grpc(operation::SIGN_IN, request).await.map(|answer: v1::SignInResponse| {
                    assert!(answer.expire_time.is_some());
                    SignedIn { token: answer.token, user: User::from_proto(answer.user.unwrap()) }
                })
            }
        };
        if let Ok(signed_in) = &answer.outcome {
            canary::remember_token(&signed_in.token);
        }
        answer
    }

    pub async fn validate(&self, token: &str) -> Answer<bool> {
        match self.api.protocol {
            Protocol::Rest => {
                let path = format!("/v1/authentication/token?token={}", encode(token));
                self.rest(operation::VALIDATE_TOKEN, rest(Method::GET, path))
                    .await
                    .map(|answer| answer.is(200)["valid"].as_bool().unwrap())
            }
            Protocol::Grpc => {
                let request = v1::ValidateTokenRequest { token: token.to_owned() };
                self.grpc(operation::VALIDATE_TOKEN, request)
                    .await
                    .map(|answer: v1::ValidateTokenResponse| answer.valid)
            }
        }
    }

    pub async fn refresh(&self, token: &str) -> Answer<String> {
        match self.api.protocol {
            Protocol::Rest => {
                let body = json!({"token": token});
                let request = rest(Method::POST, "/v1/authentication/token").json(body);
                self.rest(operation::REFRESH_TOKEN, request).await.map(|answer| text(&answer.is(200), "token"))
            }
            Protocol::Grpc => {
                let request = v1::RefreshTokenRequest { token: token.to_owned() };
                self.grpc(operation::REFRESH_TOKEN, request).await.map(|answer: v1::RefreshTokenResponse| answer.token)
            }
        }
    }

    pub async fn sign_out(&self) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, "/v1/authentication/logout").json(json!({}));
                self.rest(operation::SIGN_OUT, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => self
                .grpc(operation::SIGN_OUT, v1::SignOutRequest { token: String::new() })
                .await
                .map(|_: v1::SignOutResponse| ()),
        }
    }

    pub async fn change_password(&self, old: &str, new: &str) -> Answer<()> {
        self.change_password_and(old, new, false).await
    }

    /// Changes the own password and, where `revoke`, ends every other way in.
    pub async fn change_password_and(&self, old: &str, new: &str, revoke: bool) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({"oldPassword": old, "newPassword": new});
                if revoke {
                    body["revokeOtherAccess"] = json!(true);
                }
                let request = rest(Method::PUT, "/v1/authentication/password").json(body);
                self.rest(operation::CHANGE_PASSWORD, request).await.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let request = v1::ChangePasswordRequest {
                    old_password: old.to_owned(),
                    new_password: new.to_owned(),
                    revoke_other_access: revoke,
                };
                self.grpc(operation::CHANGE_PASSWORD, request).await.map(|_: v1::ChangePasswordResponse| ())
            }
        }
    }

    /// The signing keys: key id and public key in base64url.
    pub async fn key_set(&self) -> Answer<Vec<(String, String)>> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::GET, "/.well-known/jwks.json");
                self.rest(operation::GET_JSON_WEB_KEY_SET, request).await.map(|answer| {
                    let json = answer.is(200);
                    let keys = json["keys"].as_array().unwrap();
                    keys.iter()
                        .map(|key| {
                            assert_eq!(
                                (text(key, "kty"), text(key, "crv"), text(key, "alg")),
                                ("OKP".into(), "Ed25519".into(), "EdDSA".into())
                            );
                            assert!(key.get("d").is_none(), "a private key is published");
                            (text(key, "kid"), text(key, "x"))
                        })
                        .collect()
                })
            }
            Protocol::Grpc => {
                let request = v1::GetJsonWebKeySetRequest {};
                self.grpc(operation::GET_JSON_WEB_KEY_SET, request).await.map(|answer: v1::GetJsonWebKeySetResponse| {
                    answer.keys.into_iter().map(|key| (key.kid, key.x)).collect()
                })
            }
        }
    }
}

impl Answer<SignedIn> {
    /// The audit names the user who signed in.
    pub fn about_user(self, username: &str) -> Self {
        if self.outcome.is_ok() { self.by(username) } else { self }
    }
}
