//! `coffre.auth.v1.OAuthService`.

use coffre_error::Refusal;
use coffre_proto::auth::v1::o_auth_service_server::OAuthService;
use coffre_proto::auth::v1::{
    ClientAuthentication, IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenForClientRequest,
    IssueTokenForClientResponse, IssueTokenForPasswordRequest, IssueTokenForPasswordResponse,
    IssueTokenForRefreshTokenRequest, IssueTokenForRefreshTokenResponse, RevokeTokenRequest, RevokeTokenResponse,
    TokenGrant,
};
use coffre_rpc::CallContext;
use coffre_secret::SecretText;
use coffre_types::Name;
use tonic::{Request, Response, Status};

use super::oauth_error::of_oauth;
use super::{OAuth, error};
use crate::domain::api_access::SCOPE;
use crate::domain::client::ShownClient;
use crate::domain::grants::Issued;
use crate::domain::introspection::{Active, ActiveKind};
use crate::domain::oauth_error::OAuthError;
use crate::domain::password;

const MOST_SECRET_BYTES: usize = 1024;
const MOST_TOKEN_BYTES: usize = 8192;
const MOST_CHARACTERS: usize = 1024;

#[tonic::async_trait]
impl OAuthService for OAuth {
    async fn issue_token_for_password(
        &self,
        request: Request<IssueTokenForPasswordRequest>,
    ) -> Result<Response<IssueTokenForPasswordResponse>, Status> {
        let call = CallContext::of(&request)?;
        let IssueTokenForPasswordRequest { client, username, password, scope } = request.into_inner();
        let password = secret("password", password, password::MAX_BYTES)?;
        let (client, scope) = (shown(client)?, short("scope", scope, MOST_CHARACTERS)?);
        let username = short("username", username, Name::MAX_CHARACTERS)?;
        if username.is_empty() {
            return Err(Refusal::invalid("username", "must not be empty").into());
        }
        let issued = self
            .0
            .token_for_password(client, (&username, &password), &scope, call.client_address(), call.record())
            .await
            .map_err(of_oauth)?;
        Ok(Response::new(IssueTokenForPasswordResponse { grant: Some(grant(issued)) }))
    }

    async fn issue_token_for_refresh_token(
        &self,
        request: Request<IssueTokenForRefreshTokenRequest>,
    ) -> Result<Response<IssueTokenForRefreshTokenResponse>, Status> {
        let call = CallContext::of(&request)?;
        let IssueTokenForRefreshTokenRequest { client, refresh_token, scope } = request.into_inner();
        let token = secret("refresh_token", refresh_token, MOST_TOKEN_BYTES)?;
        let (client, scope) = (shown(client)?, short("scope", scope, MOST_CHARACTERS)?);
        let issued = self
            .0
            .token_for_refresh_token(client, token.expose(), &scope, call.client_address(), call.record())
            .await
            .map_err(of_oauth)?;
        Ok(Response::new(IssueTokenForRefreshTokenResponse { grant: Some(grant(issued)) }))
    }

    async fn issue_token_for_client(
        &self,
        request: Request<IssueTokenForClientRequest>,
    ) -> Result<Response<IssueTokenForClientResponse>, Status> {
        let call = CallContext::of(&request)?;
        let IssueTokenForClientRequest { client, scope } = request.into_inner();
        let (client, scope) = (shown(client)?, short("scope", scope, MOST_CHARACTERS)?);
        let issued =
            self.0.token_for_client(client, &scope, call.client_address(), call.record()).await.map_err(of_oauth)?;
        Ok(Response::new(IssueTokenForClientResponse { grant: Some(grant(issued)) }))
    }

    async fn revoke_token(
        &self,
        request: Request<RevokeTokenRequest>,
    ) -> Result<Response<RevokeTokenResponse>, Status> {
        let call = CallContext::of(&request)?;
        let RevokeTokenRequest { client, token } = request.into_inner();
        let (token, client) = (some_token(token)?, shown(client)?);
        self.0.revoke(client, token.expose(), call.client_address(), call.record()).await.map_err(of_oauth)?;
        Ok(Response::new(RevokeTokenResponse {}))
    }

    async fn introspect_token(
        &self,
        request: Request<IntrospectTokenRequest>,
    ) -> Result<Response<IntrospectTokenResponse>, Status> {
        let call = CallContext::of(&request)?;
        let IntrospectTokenRequest { client, token } = request.into_inner();
        let (token, client) = (some_token(token)?, shown(client)?);
        let active =
            self.0.introspect(client, token.expose(), call.client_address(), call.record()).await.map_err(of_oauth)?;
        let issuer = self.0.signer.issuer();
        Ok(Response::new(active.map_or_else(IntrospectTokenResponse::default, |active| introspected(active, issuer))))
    }
}

/// Reads who the client says it is. One that says nothing is refused like one that says something wrong.
fn shown(client: Option<ClientAuthentication>) -> Result<ShownClient, Refusal> {
    let ClientAuthentication { client_id, client_secret, basic } = client.unwrap_or_default();
    let secret = secret("client.client_secret", client_secret, MOST_SECRET_BYTES)?;
    let id = short("client.client_id", client_id, MOST_CHARACTERS)?;
    if id.is_empty() { Err(of_oauth(OAuthError::ClientInvalid)) } else { Ok(ShownClient { id, secret, basic }) }
}

/// Refuses a secret that is longer than any may be, before anything is computed.
fn secret(field: &'static str, text: String, most: usize) -> Result<SecretText, Refusal> {
    let secret = SecretText::new(text);
    if secret.len_bytes() > most {
        return Err(error::of_invalid(crate::domain::error::Invalid::new(
            field,
            format!("must have at most {most} bytes"),
        )));
    }
    Ok(secret)
}

/// Reads a token of which a client wants something; that it is there says nothing of it.
fn some_token(token: String) -> Result<SecretText, Refusal> {
    if token.is_empty() {
        return Err(Refusal::invalid("token", "is required"));
    }
    secret("token", token, MOST_TOKEN_BYTES)
}

fn short(field: &'static str, text: String, most: usize) -> Result<String, Refusal> {
    if text.chars().count() > most {
        return Err(Refusal::invalid(field, format!("must have at most {most} characters")));
    }
    Ok(text)
}

fn grant(issued: Issued) -> TokenGrant {
    TokenGrant {
        access_token: issued.access_token,
        expire_time: Some(issued.expires.to_proto()),
        expires_in: issued.expires_in,
        refresh_token: issued.refresh_token.map(SecretText::into_exposed).unwrap_or_default(),
        scope: SCOPE.to_owned(),
    }
}

fn introspected(active: Active, issuer: &str) -> IntrospectTokenResponse {
    let (token_type, token_id) = match active.kind {
        ActiveKind::Access { token_id } => ("access_token", token_id),
        ActiveKind::Refresh => ("refresh_token", String::new()),
    };
    IntrospectTokenResponse {
        active: true,
        scope: SCOPE.to_owned(),
        client_id: active.client_id,
        username: active.username,
        token_type: token_type.to_owned(),
        expire_time: Some(active.expires.to_proto()),
        issue_time: Some(active.issued.to_proto()),
        user_id: active.user.get(),
        issuer: issuer.to_owned(),
        token_id,
    }
}
