//! Tokens for programs: OAuth 2.0 as the public API of the old portal speaks it (RFC 6749, 7009, 7662).

use axum::extract::State;
use axum::response::Response;
use coffre_error::{Reason, Refusal};
use coffre_proto::auth::v1::{
    IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenForClientRequest, IssueTokenForPasswordRequest,
    IssueTokenForRefreshTokenRequest, RevokeTokenRequest, TokenGrant,
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::Failure;
use crate::json::Id;
use crate::oauth::{ClientRequest, Error, of_service};
use crate::request::{App, json, present};

/// What a client asks the token endpoint for.
// The pages fill a form with the examples: what a person would have to take out again is empty.
#[derive(ToSchema)]
#[allow(dead_code)]
struct TokenForm {
    /// `password`, `refresh_token` or `client_credentials`.
    #[schema(examples("password"))]
    grant_type: String,
    /// `public-api`, or nothing, which is the same.
    #[schema(examples("public-api"))]
    scope: Option<String>,
    /// The operator's user name; with `password`.
    #[schema(examples("my-operator-login"))]
    username: Option<String>,
    /// The operator's password; with `password`.
    #[schema(examples("my-operator-password"))]
    password: Option<String>,
    /// The refresh token that came last; with `refresh_token`.
    #[schema(examples(""))]
    refresh_token: Option<String>,
    /// The client id, where it does not come by HTTP Basic.
    #[schema(examples(""))]
    client_id: Option<String>,
    /// The client secret, where it does not come by HTTP Basic.
    #[schema(examples(""))]
    client_secret: Option<String>,
}

/// A token of which a client wants something.
#[derive(ToSchema)]
#[allow(dead_code)]
struct AboutToken {
    /// An access token or a refresh token.
    #[schema(examples("coffre_rt_..."))]
    token: String,
    /// Not needed: the kind of a token is seen from its form.
    #[schema(examples(""))]
    token_type_hint: Option<String>,
    /// The client id, where it does not come by HTTP Basic.
    #[schema(examples(""))]
    client_id: Option<String>,
    /// The client secret, where it does not come by HTTP Basic.
    #[schema(examples(""))]
    client_secret: Option<String>,
}

/// A token, and what goes with it.
#[derive(Serialize, ToSchema)]
#[schema(as = IssuedToken)]
struct Issued {
    /// Goes into `Authorization` behind `Bearer `, or into `X-Authorization`.
    access_token: String,
    /// Always `bearer`.
    #[schema(value_type = String, examples("bearer"))]
    token_type: &'static str,
    /// For the next token; it is used up by that. Absent where the API access gives none.
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<String>,
    /// How long the access token is good, in seconds.
    #[schema(examples(3600))]
    expires_in: i64,
    #[schema(examples("public-api"))]
    scope: String,
}

impl Issued {
    fn answer(grant: Option<TokenGrant>) -> Result<Response, Failure> {
        let grant = present(grant)?;
        let issued = Self {
            access_token: grant.access_token,
            token_type: "bearer",
            refresh_token: Some(grant.refresh_token).filter(|token| !token.is_empty()),
            expires_in: grant.expires_in,
            scope: grant.scope,
        };
        Ok(json(StatusCode::OK, &issued))
    }
}

/// What is known of a token. Where it is not active, nothing but that is said.
#[derive(Serialize, ToSchema)]
#[serde(untagged)]
enum Introspection {
    /// It would be accepted now.
    Active {
        /// True.
        active: bool,
        #[schema(examples("public-api"))]
        scope: String,
        /// The client to which it was given.
        client_id: String,
        /// The operator as whom it acts.
        username: String,
        /// `bearer` for an access token, `refresh_token` for the other.
        #[schema(examples("bearer"))]
        token_type: String,
        /// When it expires, in seconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        exp: Option<i64>,
        /// When it was issued, in seconds since 1970.
        #[serde(skip_serializing_if = "Option::is_none")]
        iat: Option<i64>,
        /// The operator's id.
        sub: Id,
        /// Who issued it, as the token says.
        #[serde(skip_serializing_if = "String::is_empty")]
        iss: String,
        /// The token's own id; access tokens have one.
        #[serde(skip_serializing_if = "String::is_empty")]
        jti: String,
    },
    /// It would not be accepted, or it is not this client's.
    Inactive {
        /// False.
        active: bool,
    },
}

impl From<IntrospectTokenResponse> for Introspection {
    fn from(known: IntrospectTokenResponse) -> Self {
        if !known.active {
            return Self::Inactive { active: false };
        }
        let token_type = if known.token_type == "access_token" { "bearer".to_owned() } else { known.token_type };
        Self::Active {
            active: true,
            scope: known.scope,
            client_id: known.client_id,
            username: known.username,
            token_type,
            exp: known.expire_time.map(|time| time.seconds),
            iat: known.issue_time.map(|time| time.seconds),
            sub: Id(known.user_id),
            iss: known.issuer,
            jti: known.token_id,
        }
    }
}

/// It is not accepted any more.
#[derive(Serialize, ToSchema)]
struct Revoked {}

/// Issues a token.
///
/// The client shows its id and secret by HTTP Basic or in the body, never both. `password`: an operator's name and password; off unless the
/// API access allows it. `refresh_token`: the refresh token that came last, which gives the next one; shown again it ends them all, but for the
/// one used last, within 10 seconds. `client_credentials`: nothing more, where an operator confirmed the API access. Parameters of the query do not count.
#[utoipa::path(
    post, path = "/oauth/token", tag = "OAuth 2.0", operation_id = "issueToken", security(("client" = []), ()),
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The token", body = Issued),
        (status = 400, description = "`invalid_request`, `invalid_grant` for every failure of the operator or of a refresh token alike, `unauthorized_client` where the API access does not allow the grant, `unsupported_grant_type`, `invalid_scope`", body = Error),
        (status = 401, description = "`invalid_client`: unknown, a wrong secret or disabled; one answer for all", body = Error, example = json!({"error": "invalid_client", "error_description": "the client id or the client secret is wrong, or the API access is disabled; check them"})),
        (status = 413, description = "`invalid_request`: more than 64 KiB", body = Error, example = json!({"error": "invalid_request", "error_description": "the body is larger than 65536 bytes; send less"})),
        (status = 429, description = "`temporarily_unavailable`: too many failures; see Retry-After", body = Error, example = json!({"error": "temporarily_unavailable", "error_description": "too many failures; wait as long as Retry-After says"})),
        (status = 503, description = "`temporarily_unavailable`; see Retry-After", body = Error, example = json!({"error": "temporarily_unavailable", "error_description": "a service that the call needs does not answer; repeat it"})),
    )
)]
pub(crate) async fn token(State(app): State<App>, request: ClientRequest) -> Result<Response, Failure> {
    let ClientRequest { caller, client, mut form } = request;
    let (client, mut service) = (Some(client), app.clients.oauth());
    let scope = form.take("scope").unwrap_or_default();
    let grant = match form.required("grant_type")?.as_str() {
        "password" => {
            let (username, password) = (form.required("username")?, form.required("password")?);
            let request = caller.request(IssueTokenForPasswordRequest { client, username, password, scope });
            service.issue_token_for_password(request).await.map_err(of_service)?.into_inner().grant
        }
        "refresh_token" => {
            let refresh_token = form.required("refresh_token")?;
            let request = caller.request(IssueTokenForRefreshTokenRequest { client, refresh_token, scope });
            service.issue_token_for_refresh_token(request).await.map_err(of_service)?.into_inner().grant
        }
        "client_credentials" => {
            let request = caller.request(IssueTokenForClientRequest { client, scope });
            service.issue_token_for_client(request).await.map_err(of_service)?.into_inner().grant
        }
        _ => {
            let message = "the grant type is not known here; take password, refresh_token or client_credentials";
            return Err(Refusal::new(Reason::OauthGrantTypeUnsupported, message).into());
        }
    };
    Issued::answer(grant)
}

/// Ends the session of a token of this client.
///
/// The access token and the refresh token are refused everywhere within one second. Any other token changes nothing and is no error.
#[utoipa::path(
    post, path = "/oauth/revoke", tag = "OAuth 2.0", operation_id = "revokeToken", security(("client" = []), ()),
    request_body(content = AboutToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "It is not accepted any more", body = Revoked),
        (status = 400, description = "`invalid_request`", body = Error, example = json!({"error": "invalid_request", "error_description": "token: is required, in the body; parameters of the query and empty ones do not count"})),
        (status = 401, description = "`invalid_client`: unknown, a wrong secret or disabled; one answer for all", body = Error, example = json!({"error": "invalid_client", "error_description": "the client id or the client secret is wrong, or the API access is disabled; check them"})),
        (status = 429, description = "`temporarily_unavailable`: too many failures; see Retry-After", body = Error, example = json!({"error": "temporarily_unavailable", "error_description": "too many failures; wait as long as Retry-After says"})),
        (status = 503, description = "`temporarily_unavailable`; see Retry-After", body = Error, example = json!({"error": "temporarily_unavailable", "error_description": "a service that the call needs does not answer; repeat it"})),
    )
)]
pub(crate) async fn revoke(State(app): State<App>, request: ClientRequest) -> Result<Response, Failure> {
    let ClientRequest { caller, client, mut form } = request;
    let token = form.required("token")?;
    let request = caller.request(RevokeTokenRequest { client: Some(client), token });
    app.clients.oauth().revoke_token(request).await.map_err(of_service)?;
    Ok(json(StatusCode::OK, &Revoked {}))
}

/// Says whether a token of this client would be accepted now, and whose it is.
///
/// Any other token is not active.
#[utoipa::path(
    post, path = "/oauth/introspect", tag = "OAuth 2.0", operation_id = "introspectToken", security(("client" = []), ()),
    request_body(content = AboutToken, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "What is known of it", body = Introspection),
        (status = 400, description = "`invalid_request`", body = Error, example = json!({"error": "invalid_request", "error_description": "token: is required, in the body; parameters of the query and empty ones do not count"})),
        (status = 401, description = "`invalid_client`: unknown, a wrong secret or disabled; one answer for all", body = Error, example = json!({"error": "invalid_client", "error_description": "the client id or the client secret is wrong, or the API access is disabled; check them"})),
        (status = 429, description = "`temporarily_unavailable`: too many failures; see Retry-After", body = Error, example = json!({"error": "temporarily_unavailable", "error_description": "too many failures; wait as long as Retry-After says"})),
        (status = 503, description = "`temporarily_unavailable`; see Retry-After", body = Error, example = json!({"error": "temporarily_unavailable", "error_description": "a service that the call needs does not answer; repeat it"})),
    )
)]
pub(crate) async fn introspect(State(app): State<App>, request: ClientRequest) -> Result<Response, Failure> {
    let ClientRequest { caller, client, mut form } = request;
    let token = form.required("token")?;
    let request = caller.request(IntrospectTokenRequest { client: Some(client), token });
    let known = app.clients.oauth().introspect_token(request).await.map_err(of_service)?.into_inner();
    Ok(json(StatusCode::OK, &Introspection::from(known)))
}
