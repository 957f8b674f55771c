//! Signing in and out.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::auth::v1::{
    ChangePasswordRequest, GetJsonWebKeySetRequest, JsonWebKey, RefreshTokenRequest, SignInRequest, SignOutRequest,
    ValidateTokenRequest,
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::users::User;
use crate::caller::{Anybody, Caller};
use crate::error::{ErrorBody, Failure};
use crate::json::{Object, invalid};
use crate::request::{App, JsonBody, Parameters, json, present};

/// Who signs in.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"username": "Ellie.Brown", "password": "correct horse battery"}))]
struct SignIn {
    /// The user name; the key may be spelled in any case, and `usename`.
    username: String,
    /// The password; the key may be spelled in any case.
    password: Option<String>,
    /// One of the user's API keys, in place of the password; the key may be spelled in any case.
    api_key: Option<String>,
}

impl SignIn {
    fn read(mut body: Object) -> Result<Self, Refusal> {
        let username = body.text_spelled(&["username", "usename"])?;
        let password = body.text_spelled(&["password"])?;
        let api_key = body.text_spelled(&["apiKey"])?;
        let username = username.ok_or_else(|| invalid("username", "is required"))?;
        if (&password, &api_key) == (&None, &None) {
            return Err(invalid("password", "is required, or apiKey in its place"));
        }
        Ok(Self { username, password, api_key })
    }
}

/// An open session.
#[derive(Serialize, ToSchema)]
struct SignedIn {
    /// A JWT; it goes into `X-Authorization` as it is, or into `Authorization` behind `Bearer `.
    token: String,
    /// The user.
    user: User<i64>,
}

/// A token.
#[derive(Serialize, ToSchema)]
struct Token {
    /// The token.
    token: String,
}

/// Whether a token is good.
#[derive(Serialize, ToSchema)]
struct Validity {
    /// The token would be accepted now.
    valid: bool,
}

/// The old and the new password.
#[derive(ToSchema)]
#[allow(dead_code)]
struct Passwords {
    /// The present password.
    #[schema(rename = "oldPassword")]
    old_password: String,
    /// The new one: 12 characters or more, and not the user name.
    #[schema(rename = "newPassword")]
    new_password: String,
    /// Also revoke all API keys of the caller, and void all that it has confirmed for API accesses.
    #[schema(rename = "revokeOtherAccess")]
    revoke_other_access: Option<bool>,
}

/// The public signing keys (RFC 7517).
#[derive(Serialize, ToSchema)]
struct KeySet {
    /// The keys.
    keys: Vec<Key>,
}

/// A public signing key (RFC 8037).
#[derive(Serialize, ToSchema)]
struct Key {
    #[schema(examples("OKP"))]
    kty: String,
    #[schema(examples("Ed25519"))]
    crv: String,
    x: String,
    kid: String,
    #[schema(examples("EdDSA"))]
    alg: String,
    #[serde(rename = "use")]
    #[schema(examples("sig"))]
    usage: String,
}

impl From<JsonWebKey> for Key {
    fn from(key: JsonWebKey) -> Self {
        let JsonWebKey { kty, crv, x, kid, alg, r#use } = key;
        Self { kty, crv, x, kid, alg, usage: r#use }
    }
}

/// Signs in with a user name and a password or an API key, whatever token header came along.
#[utoipa::path(
    post, path = "/v1/authentication", tag = "Authentication", operation_id = "signIn", security(()),
    request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = SignedIn),
        (status = 400, description = "A field is missing, or both a password and an API key are there", body = ErrorBody),
        (status = 401, description = "Unknown user, wrong password or key, or disabled: one answer for all", body = ErrorBody),
        (status = 429, description = "Too many failures; see Retry-After", body = ErrorBody),
        (status = 503, description = "Too many sign-ins at once, or a service does not answer; see Retry-After", body = ErrorBody),
    )
)]
pub(crate) async fn sign_in(
    State(app): State<App>,
    Anybody(caller): Anybody,
    body: JsonBody,
) -> Result<Response, Failure> {
    let SignIn { username, password, api_key } = SignIn::read(body.object()?)?;
    let (password, api_key) = (password.unwrap_or_default(), api_key.unwrap_or_default());
    let request = caller.request(SignInRequest { username, password, api_key });
    let answer = app.clients.authentication().sign_in(request).await?.into_inner();
    Ok(json(StatusCode::OK, &SignedIn { token: answer.token, user: User::from(present(answer.user)?) }))
}

/// Says whether a token would be accepted now. `POST /v1/authentication/token/validate` keeps it out of logs.
#[utoipa::path(
    get, path = "/v1/authentication/token", tag = "Authentication", operation_id = "checkToken", security(()),
    params(("token" = String, Query, description = "The token")),
    responses((status = 200, description = "Whether it is good", body = Validity), (status = 400, description = "No token", body = ErrorBody))
)]
pub(crate) async fn check(
    State(app): State<App>,
    Anybody(caller): Anybody,
    parameters: Parameters,
) -> Result<Response, Failure> {
    let token = parameters.text("token")?.ok_or_else(|| invalid("token", "is required"))?.to_owned();
    validity(&app, caller, token).await
}

/// Says whether the token in the body would be accepted now.
#[utoipa::path(
    post, path = "/v1/authentication/token/validate", tag = "Authentication", operation_id = "validateToken", security(()),
    request_body = Token,
    responses((status = 200, description = "Whether it is good", body = Validity), (status = 400, description = "No token", body = ErrorBody))
)]
pub(crate) async fn validate(
    State(app): State<App>,
    Anybody(caller): Anybody,
    body: JsonBody,
) -> Result<Response, Failure> {
    let token = body.object()?.required_text("token")?;
    validity(&app, caller, token).await
}

async fn validity(app: &App, caller: Caller, token: String) -> Result<Response, Failure> {
    let answer =
        app.clients.authentication().validate_token(caller.request(ValidateTokenRequest { token })).await?.into_inner();
    Ok(json(StatusCode::OK, &Validity { valid: answer.valid }))
}

/// Issues a fresh token in the session of the given one, which goes on until its expiry or the end of the session.
#[utoipa::path(
    post, path = "/v1/authentication/token", tag = "Authentication", operation_id = "refreshToken", security(()),
    request_body = Token,
    responses(
        (status = 200, description = "A fresh token", body = Token),
        (status = 401, description = "The token is not accepted any more", body = ErrorBody),
    )
)]
pub(crate) async fn refresh(
    State(app): State<App>,
    Anybody(caller): Anybody,
    body: JsonBody,
) -> Result<Response, Failure> {
    let token = body.object()?.required_text("token")?;
    let answer =
        app.clients.authentication().refresh_token(caller.request(RefreshTokenRequest { token })).await?.into_inner();
    Ok(json(StatusCode::OK, &Token { token: answer.token }))
}

/// Ends the session of the token in the body or, without one, of the token in the header.
#[utoipa::path(
    post, path = "/v1/authentication/logout", tag = "Authentication", operation_id = "signOut",
    request_body(content = Option<Token>),
    responses((status = 204, description = "The session has ended"), (status = 401, description = "No token of ours", body = ErrorBody))
)]
pub(crate) async fn sign_out(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let token = body.object_or_nothing()?.text("token")?.unwrap_or_default();
    app.clients.authentication().sign_out(caller.request(SignOutRequest { token })).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Changes the caller's own password. The caller's other sessions end.
///
/// API keys, and what the caller has confirmed for API accesses, live on unless `revokeOtherAccess` is true: whoever had the password may have
/// made some. `GET /v1/apikeys` and `GET /v1/apiaccess` list them.
#[utoipa::path(
    put, path = "/v1/authentication/password", tag = "Authentication", operation_id = "changePassword",
    request_body = Passwords,
    responses(
        (status = 204, description = "Changed"),
        (status = 400, description = "The new password breaks a rule, which the message names", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "The old password is wrong, or the sign-in is too long ago", body = ErrorBody),
        (status = 429, description = "Too many failures; see Retry-After", body = ErrorBody),
    )
)]
pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, Failure> {
    let mut body = body.object()?;
    let (old_password, new_password) = (body.required_text("oldPassword")?, body.required_text("newPassword")?);
    let revoke_other_access = body.flag("revokeOtherAccess")?.unwrap_or_default();
    let request = caller.request(ChangePasswordRequest { old_password, new_password, revoke_other_access });
    app.clients.authentication().change_password(request).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Returns the public keys under which tokens are signed.
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "Authentication", operation_id = "getSigningKeys", security(()),
    responses((status = 200, description = "The keys", body = KeySet))
)]
pub(crate) async fn key_set(State(app): State<App>, Anybody(caller): Anybody) -> Result<Response, Failure> {
    let answer = app
        .clients
        .authentication()
        .get_json_web_key_set(caller.request(GetJsonWebKeySetRequest {}))
        .await?
        .into_inner();
    Ok(json(StatusCode::OK, &KeySet { keys: answer.keys.into_iter().map(Key::from).collect() }))
}
