//! Where the endpoints are and what they take, for programs that set themselves up (RFC 8414).

use axum::extract::State;
use axum::response::Response;
use coffre_error::{Reason, Refusal};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ErrorBody, Failure};
use crate::request::{App, json};

/// What this authorization server is.
#[derive(Serialize, ToSchema)]
#[schema(as = AuthorizationServer)]
struct Server {
    /// The URL under which clients reach this server, as it was set; never what a request says.
    #[schema(examples("https://vault.example.org"))]
    issuer: String,
    #[schema(examples("https://vault.example.org/oauth/token"))]
    token_endpoint: String,
    token_endpoint_auth_methods_supported: [&'static str; 2],
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: [&'static str; 2],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: [&'static str; 2],
    jwks_uri: String,
    grant_types_supported: [&'static str; 3],
    /// Always empty: no user is sent here by a client.
    response_types_supported: [&'static str; 0],
    scopes_supported: [&'static str; 1],
    /// Absent where the pages are switched off.
    #[serde(skip_serializing_if = "Option::is_none")]
    service_documentation: Option<String>,
}

const BY_SECRET: [&str; 2] = ["client_secret_basic", "client_secret_post"];

/// Tells where the endpoints are and what they take.
#[utoipa::path(
    get, path = "/.well-known/oauth-authorization-server", tag = "OAuth 2.0", operation_id = "getAuthorizationServer", security(()),
    responses(
        (status = 200, description = "The endpoints", body = Server),
        (status = 404, description = "The server listens on every address and was not told under which URL clients reach it", body = ErrorBody),
    )
)]
pub(crate) async fn get(State(app): State<App>) -> Result<Response, Failure> {
    // The `Host` of a request is never taken: who chooses it would choose where clients send their secrets.
    let Some(issuer) = app.config.public_url.get() else {
        let message =
            "this server does not know under which URL clients reach it; whoever runs it sets COFFRE_PUBLIC_URL";
        return Err(Refusal::new(Reason::RouteNotFound, message).into());
    };
    let at = |path: &str| format!("{issuer}{path}");
    let server = Server {
        issuer: issuer.to_owned(),
        token_endpoint: at("/oauth/token"),
        token_endpoint_auth_methods_supported: BY_SECRET,
        revocation_endpoint: at("/oauth/revoke"),
        revocation_endpoint_auth_methods_supported: BY_SECRET,
        introspection_endpoint: at("/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: BY_SECRET,
        jwks_uri: at("/.well-known/jwks.json"),
        grant_types_supported: ["password", "refresh_token", "client_credentials"],
        response_types_supported: [],
        scopes_supported: ["public-api"],
        service_documentation: app.config.docs.then(|| at("/docs")),
    };
    Ok(json(StatusCode::OK, &server))
}
