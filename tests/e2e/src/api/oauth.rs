//! Tokens for programs: the token endpoint and what belongs to it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_proto::auth::v1;
use http::Method;

use super::{Answer, Protocol, Rest, Session, rest};
use crate::canary;
use crate::model::{Introspection, TokenGrant};
use crate::operation;

/// How a client says over REST who it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shown {
    /// By HTTP Basic, id and secret as they stand.
    Basic,
    /// In the body.
    Body,
}

/// An OAuth client.
#[derive(Clone, Debug)]
pub struct Client {
    pub id: String,
    pub secret: String,
    pub shown: Shown,
}

/// The words of HTTP Basic.
pub fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

impl Client {
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { id: id.into(), secret: secret.into(), shown: Shown::Basic }
    }

    #[must_use]
    pub fn in_body(mut self) -> Self {
        self.shown = Shown::Body;
        self
    }

    /// The same client with another secret.
    #[must_use]
    pub fn with_secret(&self, secret: impl Into<String>) -> Self {
        Self { secret: secret.into(), ..self.clone() }
    }

    /// A request to a path of the OAuth side.
    pub fn request(&self, path: &str, fields: &[(&str, &str)]) -> Rest {
        let request = rest(Method::POST, path);
        match self.shown {
            Shown::Basic => request.form(fields).header("authorization", &basic(&self.id, &self.secret)),
            Shown::Body => {
                let own = [("client_id", self.id.as_str()), ("client_secret", self.secret.as_str())];
                request.form(&[fields, &own].concat())
            }
        }
    }

    pub fn proto(&self) -> v1::ClientAuthentication {
        v1::ClientAuthentication {
            client_id: self.id.clone(),
            client_secret: self.secret.clone(),
            basic: self.shown == Shown::Basic,
        }
    }
}

pub const TOKEN: &str = "/oauth/token";
pub const REVOKE: &str = "/oauth/revoke";
pub const INTROSPECT: &str = "/oauth/introspect";

fn remember(answer: Answer<TokenGrant>) -> Answer<TokenGrant> {
    if let Ok(grant) = &answer.outcome {
        canary::remember_token(&grant.access_token);
        if let Some(refresh) = &grant.refresh_token {
            canary::remember_secret(refresh);
        }
        assert_eq!(grant.scope, "public-api");
    }
    answer
}

impl Session {
    /// The bearer of a token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Session {
        Session { token: Some(token.to_owned()), ..self.clone() }
    }

    /// What the client gets for an operator's password.
    pub async fn token_for_password(&self, client: &Client, username: &str, password: &str) -> Answer<TokenGrant> {
        self.scoped_token_for_password(client, username, password, None).await
    }

    pub async fn scoped_token_for_password(
        &self,
        client: &Client,
        username: &str,
        password: &str,
        scope: Option<&str>,
    ) -> Answer<TokenGrant> {
        remember(match self.api.protocol {
            Protocol::Rest => {
                let mut fields = vec![("grant_type", "password"), ("username", username), ("password", password)];
                fields.extend(scope.map(|scope| ("scope", scope)));
                let request = client.request(TOKEN, &fields);
                self.rest(operation::ISSUE_TOKEN_FOR_PASSWORD, request)
                    .await
                    .map(|answer| TokenGrant::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::IssueTokenForPasswordRequest {
                    client: Some(client.proto()),
                    username: username.to_owned(),
                    password: password.to_owned(),
                    scope: scope.unwrap_or_default().to_owned(),
                };
                self.grpc(operation::ISSUE_TOKEN_FOR_PASSWORD, request)
                    .await
                    .map(|answer: v1::IssueTokenForPasswordResponse| TokenGrant::from_proto(answer.grant.unwrap()))
            }
        })
    }

    /// What the client gets for a refresh token.
    pub async fn token_for_refresh(&self, client: &Client, refresh_token: &str) -> Answer<TokenGrant> {
        self.scoped_token_for_refresh(client, refresh_token, None).await
    }

    pub async fn scoped_token_for_refresh(
        &self,
        client: &Client,
        refresh_token: &str,
        scope: Option<&str>,
    ) -> Answer<TokenGrant> {
        remember(match self.api.protocol {
            Protocol::Rest => {
                let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token)];
                fields.extend(scope.map(|scope| ("scope", scope)));
                let request = client.request(TOKEN, &fields);
                self.rest(operation::ISSUE_TOKEN_FOR_REFRESH, request)
                    .await
                    .map(|answer| TokenGrant::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::IssueTokenForRefreshTokenRequest {
                    client: Some(client.proto()),
                    refresh_token: refresh_token.to_owned(),
                    scope: scope.unwrap_or_default().to_owned(),
                };
                self.grpc(operation::ISSUE_TOKEN_FOR_REFRESH, request)
                    .await
                    .map(|answer: v1::IssueTokenForRefreshTokenResponse| TokenGrant::from_proto(answer.grant.unwrap()))
            }
        })
    }

    /// What the client gets on its own.
    pub async fn token_for_client(&self, client: &Client) -> Answer<TokenGrant> {
        remember(match self.api.protocol {
            Protocol::Rest => {
                let request = client.request(TOKEN, &[("grant_type", "client_credentials")]);
                self.rest(operation::ISSUE_TOKEN_FOR_CLIENT, request)
                    .await
                    .map(|answer| TokenGrant::from_json(&answer.is(200)))
            }
            Protocol::Grpc => {
                let request = v1::IssueTokenForClientRequest { client: Some(client.proto()), scope: String::new() };
                self.grpc(operation::ISSUE_TOKEN_FOR_CLIENT, request)
                    .await
                    .map(|answer: v1::IssueTokenForClientResponse| TokenGrant::from_proto(answer.grant.unwrap()))
            }
        })
    }

    pub async fn revoke(&self, client: &Client, token: &str) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::REVOKE_TOKEN, client.request(REVOKE, &[("token", token)]))
                .await
                .map(|answer| assert_eq!(answer.is(200), serde_json::json!({}))),
            Protocol::Grpc => {
                let request = v1::RevokeTokenRequest { client: Some(client.proto()), token: token.to_owned() };
                self.grpc(operation::REVOKE_TOKEN, request).await.map(|_: v1::RevokeTokenResponse| ())
            }
        }
    }

    pub async fn introspect(&self, client: &Client, token: &str) -> Answer<Introspection> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::INTROSPECT_TOKEN, client.request(INTROSPECT, &[("token", token)]))
                .await
                .map(|answer| Introspection::from_json(&answer.is(200))),
            Protocol::Grpc => {
                let request = v1::IntrospectTokenRequest { client: Some(client.proto()), token: token.to_owned() };
                self.grpc(operation::INTROSPECT_TOKEN, request).await.map(Introspection::from_proto)
            }
        }
    }
}

impl Answer<TokenGrant> {
    /// The audit names the operator for whom the token is.
    pub fn for_operator(self, username: &str) -> Self {
        if self.outcome.is_ok() { self.by(username) } else { self }
    }
}
