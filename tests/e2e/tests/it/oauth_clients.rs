//! Two published OAuth client libraries as they are: the crate `oauth2`, and golang.org/x/oauth2 in the program of `clients/go`. Both get a token
//! for an operator's password, renew it, call the API with it, revoke it, and get one with the client's own secret.

use std::io::Write as _;
use std::process::{Command, Stdio};

use coffre_e2e::api::{Client, NewApiAccess, Session};
use coffre_e2e::case::Case;
use coffre_e2e::tools::oauth_client;
use coffre_e2e::{canary, server};
use oauth2::basic::{BasicClient, BasicErrorResponseType};
use oauth2::{
    AuthType, ClientId, ClientSecret, HttpRequest, HttpResponse, IntrospectionUrl, RequestTokenError,
    ResourceOwnerPassword, ResourceOwnerUsername, RevocationUrl, Scope, StandardRevocableToken,
    TokenIntrospectionResponse as _, TokenResponse as _, TokenUrl,
};
use serde_json::{Value, json};

use crate::cases::oauth_ends::is_refused_everywhere;

rest_cases! {
    the_rust_crate_oauth2_gets_in,
    the_go_package_oauth2_gets_in,
}

struct Stage {
    operator: Session,
    client: Client,
    robot: Client,
}

/// An access for each way in, with secrets that a library must encode to get through.
async fn stage(case: &Case<'_>) -> Stage {
    let admin = case.api_administrator().await;
    let operator = case.basic("library").await;
    let new = NewApiAccess {
        client_id: case.unique("library é"),
        client_secret: Some(case.secret("a:b%20c+d e&f=g")),
        password_grant: Some(true),
        ..NewApiAccess::default()
    };
    let (_, client) = admin.create_api_access(&new).await.ok();
    let new = NewApiAccess {
        client_id: case.unique("robot"),
        client_credentials_grant: Some(true),
        operator_id: Some(operator.id),
        ..NewApiAccess::default()
    };
    let (access, robot) = admin.create_api_access(&new).await.ok();
    operator.confirm_api_access(access.id).await.ok();
    Stage { operator, client, robot }
}

/// Carries the library's requests to the server, as a proxy does that ends TLS: the library revokes over `https` alone.
async fn carry(http: coffre_e2e::http::Http, request: HttpRequest) -> Result<HttpResponse, std::io::Error> {
    let (parts, body) = request.into_parts();
    assert_eq!(parts.uri.scheme_str(), Some("https"));
    let mut sent = http.request(parts.method, parts.uri.path());
    for (name, value) in &parts.headers {
        sent = sent.header(name.as_str(), value.to_str().map_err(std::io::Error::other)?);
    }
    let answer = sent.body(body).try_send().await.map_err(|error| std::io::Error::other(error.to_string()))?;
    let mut response = HttpResponse::new(answer.body.to_vec());
    *response.status_mut() = answer.status.try_into().map_err(std::io::Error::other)?;
    *response.headers_mut() = answer.headers;
    Ok(response)
}

async fn the_rust_crate_oauth2_gets_in(case: &Case<'_>) {
    let it = stage(case).await;
    let http = |request| carry(case.api.http.clone(), request);
    let url = |path: &str| format!("https://coffre.example/oauth/{path}");
    for auth in [AuthType::BasicAuth, AuthType::RequestBody] {
        let library = |client: &Client| {
            BasicClient::new(ClientId::new(client.id.clone()))
                .set_client_secret(ClientSecret::new(client.secret.clone()))
                .set_auth_type(auth.clone())
                .set_token_uri(TokenUrl::new(url("token")).unwrap())
                .set_revocation_url(RevocationUrl::new(url("revoke")).unwrap())
                .set_introspection_url(IntrospectionUrl::new(url("introspect")).unwrap())
        };
        let client = library(&it.client);
        let username = ResourceOwnerUsername::new(it.operator.username.clone());
        let password = ResourceOwnerPassword::new(case.password_of(&it.operator));
        let scope = || Scope::new("public-api".to_owned());
        let token =
            client.exchange_password(&username, &password).add_scope(scope()).request_async(&http).await.unwrap();
        let refresh = token.refresh_token().expect("a refresh token").clone();
        assert!(token.expires_in().is_some_and(|left| left.as_secs() > 3590), "{token:?}");
        assert_eq!(token.scopes(), Some(&vec![scope()]));

        let renewed = client.exchange_refresh_token(&refresh).request_async(&http).await.unwrap();
        assert_ne!(renewed.access_token().secret(), token.access_token().secret());
        for token in [&token, &renewed] {
            canary::remember_token(token.access_token().secret());
            let bearer = format!("Bearer {}", token.access_token().secret());
            let answer = case.api.http.get("/api/dashboard").header("authorization", &bearer).send().await;
            assert_eq!(answer.is(200)["operator"]["username"], json!(it.operator.username));
        }
        let told = client.introspect(renewed.access_token()).request_async(&http).await.unwrap();
        assert_eq!((told.active(), told.username()), (true, Some(it.operator.username.as_str())));

        let last = renewed.refresh_token().expect("a refresh token").clone();
        let revoked = client.revoke_token(StandardRevocableToken::RefreshToken(last.clone())).unwrap();
        revoked.request_async(&http).await.unwrap();
        is_refused_everywhere(&it.operator.with_token(renewed.access_token().secret())).await;
        let told = client.introspect(renewed.access_token()).request_async(&http).await.unwrap();
        assert!(!told.active());
        let refused = client.exchange_refresh_token(&last).request_async(&http).await.unwrap_err();
        let RequestTokenError::ServerResponse(refused) = refused else { panic!("not understood: {refused:?}") };
        assert_eq!(refused.error(), &BasicErrorResponseType::InvalidGrant, "{:?}", refused.error_description());
        assert!(refused.error_description().is_some_and(|text| !text.is_empty()));

        let own = library(&it.robot).exchange_client_credentials().request_async(&http).await.unwrap();
        assert!(own.refresh_token().is_none());
        let bearer = format!("Bearer {}", own.access_token().secret());
        case.api.http.get("/api/dashboard").header("authorization", &bearer).send().await.is(200);
    }
}

/// Runs the program with what it is told on standard input.
fn run_go(server: &server::Server, it: &Stage, password: &str) -> Value {
    let told = json!({
        "url": server.url(), "id": it.client.id, "secret": it.client.secret, "username": it.operator.username, "password": password,
        "robot": it.robot.id, "robotSecret": it.robot.secret,
    });
    let mut child = Command::new(oauth_client())
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(told.to_string().as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

async fn the_go_package_oauth2_gets_in(case: &Case<'_>) {
    let it = stage(case).await;
    let password = case.password_of(&it.operator);
    let seen = run_go(case.server, &it, &password);
    let tokens: Vec<&str> = seen["tokens"].as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect();
    assert_eq!(tokens.len(), 5, "{seen}");
    for token in tokens {
        canary::remember_token(token);
        canary::remember_secret(token);
    }
    assert_eq!((&seen["tokenType"], &seen["rotated"]), (&json!("Bearer"), &json!(true)));
    assert!(seen["expiresIn"].as_f64().is_some_and(|left| left > 3580.0), "{}", seen["expiresIn"]);
    for dashboard in [&seen["dashboard"], &seen["robot"]] {
        assert_eq!(dashboard["operator"]["username"], json!(it.operator.username), "{seen}");
    }
    assert_eq!((&seen["revoked"], &seen["afterRevoke"]), (&json!(200), &json!(401)));
    assert_eq!((&seen["refreshError"], &seen["wrongError"]), (&json!("invalid_grant"), &json!("invalid_grant")));
    assert_eq!(seen["robotRefresh"], "", "never with a refresh token");
}
