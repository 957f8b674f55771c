//! Section 3 of the contract: the token endpoint and what belongs to it.

use coffre_error::Reason;
use coffre_proto::auth::v1::{
    ClientAuthentication, IntrospectTokenRequest, IntrospectTokenResponse, IssueTokenForClientRequest,
    IssueTokenForClientResponse, IssueTokenForPasswordRequest, IssueTokenForPasswordResponse,
    IssueTokenForRefreshTokenRequest, IssueTokenForRefreshTokenResponse, RevokeTokenRequest, TokenGrant,
};
use prost_types::Timestamp;
use serde_json::json;

use super::{Answer, Upstream, send_with};
use crate::{Config, Gateway, PublicUrl};

/// As the document prints it but for two letters that were misread: the Base64 of `public-api:7Du:IZ9qBG%50G`.
pub(crate) const BASIC: (&str, &str) = ("authorization", "Basic cHVibGljLWFwaTo3RHU6SVo5cUJHJTUwRw==");
pub(crate) const PASSWORD: &str =
    "grant_type=password&scope=public-api&username=my-operator-login&password=my-operator-password";

fn grant(refresh_token: &str) -> Option<TokenGrant> {
    Some(TokenGrant {
        access_token: "a.b.c".into(),
        expire_time: None,
        expires_in: 3600,
        refresh_token: refresh_token.into(),
        scope: "public-api".into(),
    })
}

/// Services that issue tokens.
pub(crate) fn upstream() -> Upstream {
    let upstream = Upstream::default();
    upstream
        .reply("OAuthService/IssueTokenForPassword", &IssueTokenForPasswordResponse { grant: grant("coffre_rt_1") })
        .reply(
            "OAuthService/IssueTokenForRefreshToken",
            &IssueTokenForRefreshTokenResponse { grant: grant("coffre_rt_2") },
        )
        .reply("OAuthService/IssueTokenForClient", &IssueTokenForClientResponse { grant: grant("") });
    upstream
}

fn basic() -> Option<ClientAuthentication> {
    Some(ClientAuthentication { client_id: "public-api".into(), client_secret: "7Du:IZ9qBG%50G".into(), basic: true })
}

pub(crate) async fn post(gateway: &Gateway, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    send_with(gateway, "POST", path, headers, body.to_owned()).await
}

#[tokio::test]
async fn each_grant_type_asks_for_its_token() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let issued = |refresh: &str| json!({"access_token": "a.b.c", "token_type": "bearer", "refresh_token": refresh, "expires_in": 3600, "scope": "public-api"});
    let answer = post(&gateway, "/oauth/token", &[BASIC], PASSWORD).await;
    assert_eq!(answer.outcome(), (200, issued("coffre_rt_1")));
    let expected = IssueTokenForPasswordRequest {
        client: basic(),
        username: "my-operator-login".into(),
        password: "my-operator-password".into(),
        scope: "public-api".into(),
    };
    assert_eq!(upstream.asked::<IssueTokenForPasswordRequest>(), expected);

    let body = "grant_type=refresh_token&scope=public-api&refresh_token=coffre_rt_1";
    assert_eq!(post(&gateway, "/oauth/token", &[BASIC], body).await.outcome(), (200, issued("coffre_rt_2")));
    let expected = IssueTokenForRefreshTokenRequest {
        client: basic(),
        refresh_token: "coffre_rt_1".into(),
        scope: "public-api".into(),
    };
    assert_eq!(upstream.asked::<IssueTokenForRefreshTokenRequest>(), expected);

    let answer = post(&gateway, "/oauth/token", &[BASIC], "grant_type=client_credentials").await;
    let mut without = issued("");
    without.as_object_mut().unwrap().remove("refresh_token");
    assert_eq!(answer.outcome(), (200, without), "none is given, so none is told");
    let expected = IssueTokenForClientRequest { client: basic(), scope: String::new() };
    assert_eq!(upstream.asked::<IssueTokenForClientRequest>(), expected);
}

#[tokio::test]
async fn nobody_keeps_an_answer_of_the_token_endpoint() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for (path, body) in [
        ("/oauth/token", PASSWORD),
        ("/oauth/token", "grant_type=other"),
        ("/oauth/revoke", "token=t"),
        ("/oauth/introspect", "token=t"),
        ("/oauth/nothing", ""),
    ] {
        let answer = post(&gateway, path, &[BASIC], body).await;
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("pragma"), Some("no-cache"), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{path}");
    }
}

#[tokio::test]
async fn the_client_shows_who_it_is_in_the_header_or_in_the_body() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let asked = || upstream.asked::<IssueTokenForPasswordRequest>().client;
    let in_body = format!("{PASSWORD}&client_id=public-api&client_secret=7Du%3AIZ9qBG%2550G");
    assert_eq!(post(&gateway, "/oauth/token", &[], &in_body).await.status, 200);
    assert_eq!(asked(), basic().map(|client| ClientAuthentication { basic: false, ..client }));
    let named_twice = format!("{PASSWORD}&client_id=public-api");
    assert_eq!(post(&gateway, "/oauth/token", &[BASIC], &named_twice).await.status, 200);
    assert_eq!(asked(), basic());
}

#[tokio::test]
async fn a_token_of_another_header_is_not_looked_at() {
    let upstream = upstream();
    let headers = [BASIC, ("x-authorization", "a.b.c"), ("x-authorization", "other"), ("cookie", "token=a.b.c")];
    assert_eq!(post(&upstream.gateway(), "/oauth/token", &headers, PASSWORD).await.status, 200);
    let metadata = upstream.last().metadata;
    assert!(!metadata.contains_key("authorization") && !metadata.contains_key("x-authorization"));
    assert_eq!(metadata.get("x-coffre-source").unwrap(), "API");
}

#[tokio::test]
async fn rule_3_7_parameters_of_the_query_never_count() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let path = format!("/oauth/token?{PASSWORD}&client_id=public-api&client_secret=planted");
    let answer = post(&gateway, &path, &[BASIC], "").await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (400, Some("invalid_request")));
    assert_eq!(post(&gateway, &path, &[], "grant_type=client_credentials").await.status, 401);
    assert_eq!(upstream.calls(), 0);
    let path = "/oauth/token?scope=all&username=other&client_id=other&client_secret=x&grant_type=refresh_token";
    assert_eq!(post(&gateway, path, &[BASIC], PASSWORD).await.status, 200);
    let asked: IssueTokenForPasswordRequest = upstream.asked();
    assert_eq!(
        (asked.client, asked.username.as_str(), asked.scope.as_str()),
        (basic(), "my-operator-login", "public-api")
    );
}

#[tokio::test]
async fn paths_of_oauth_are_spelled_as_loosely_as_all_others() {
    let upstream = upstream();
    for path in ["//oauth//token", "/oauth/token/", "/oauth/token?"] {
        assert_eq!(post(&upstream.gateway(), path, &[BASIC], PASSWORD).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_revocation_answers_an_empty_object_whatever_the_token_was() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for body in [
        "token=coffre_rt_1",
        "token=coffre_rt_1&token_type_hint=refresh_token",
        "token=coffre_rt_1&token_type_hint=nonsense",
    ] {
        let answer = post(&gateway, "/oauth/revoke", &[BASIC], body).await;
        assert_eq!(answer.outcome(), (200, json!({})), "{body}");
        let expected = RevokeTokenRequest { client: basic(), token: "coffre_rt_1".into() };
        assert_eq!(upstream.asked::<RevokeTokenRequest>(), expected);
    }
}

#[tokio::test]
async fn an_introspection_tells_of_an_active_token_and_nothing_of_another() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let known = IntrospectTokenResponse {
        active: true,
        scope: "public-api".into(),
        client_id: "supervision".into(),
        username: "bot".into(),
        token_type: "access_token".into(),
        expire_time: Some(Timestamp { seconds: 1_800_003_600, nanos: 5 }),
        issue_time: Some(Timestamp { seconds: 1_800_000_000, nanos: 0 }),
        user_id: 8,
        issuer: "coffre".into(),
        token_id: "j".into(),
    };
    upstream.reply("OAuthService/IntrospectToken", &known);
    let answer = post(&gateway, "/oauth/introspect", &[BASIC], "token=a.b.c").await;
    let mut expected = json!({
        "active": true, "scope": "public-api", "client_id": "supervision", "username": "bot", "token_type": "bearer",
        "exp": 1_800_003_600, "iat": 1_800_000_000, "sub": "8", "iss": "coffre", "jti": "j"
    });
    assert_eq!(answer.outcome(), (200, expected.clone()));
    let asked = IntrospectTokenRequest { client: basic(), token: "a.b.c".into() };
    assert_eq!(upstream.asked::<IntrospectTokenRequest>(), asked);

    let refresh =
        IntrospectTokenResponse { token_type: "refresh_token".into(), token_id: String::new(), ..known.clone() };
    upstream.reply("OAuthService/IntrospectToken", &refresh);
    expected["token_type"] = "refresh_token".into();
    expected.as_object_mut().unwrap().remove("jti");
    assert_eq!(post(&gateway, "/oauth/introspect", &[BASIC], "token=coffre_rt_1").await.json(), expected);

    upstream.reply("OAuthService/IntrospectToken", &IntrospectTokenResponse { active: false, ..known });
    let answer = post(&gateway, "/oauth/introspect", &[BASIC], "token=a.b.c").await;
    assert_eq!(answer.outcome(), (200, json!({"active": false})));
}

#[tokio::test]
async fn an_answer_without_its_token_is_a_fault_of_ours() {
    let upstream = Upstream::default();
    let answer = post(&upstream.gateway(), "/oauth/token", &[BASIC], PASSWORD).await;
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (500, Some("server_error")));
}

#[tokio::test]
async fn the_endpoints_are_told_under_the_url_that_was_set_and_never_under_the_host_of_a_request() {
    let upstream = upstream();
    let config = Config { public_url: PublicUrl::of("https://vault.example.org/coffre/"), ..Config::default() };
    let headers = [
        ("host", "evil.example"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "host=evil.example"),
    ];
    let path = "/.well-known/oauth-authorization-server";
    let answer = send_with(&upstream.gateway_with(config), "GET", path, &headers, "").await;
    let both = json!(["client_secret_basic", "client_secret_post"]);
    let expected = json!({
        "issuer": "https://vault.example.org/coffre",
        "token_endpoint": "https://vault.example.org/coffre/oauth/token",
        "token_endpoint_auth_methods_supported": both,
        "revocation_endpoint": "https://vault.example.org/coffre/oauth/revoke",
        "revocation_endpoint_auth_methods_supported": both,
        "introspection_endpoint": "https://vault.example.org/coffre/oauth/introspect",
        "introspection_endpoint_auth_methods_supported": both,
        "jwks_uri": "https://vault.example.org/coffre/.well-known/jwks.json",
        "grant_types_supported": ["password", "refresh_token", "client_credentials"],
        "response_types_supported": [],
        "scopes_supported": ["public-api"],
        "service_documentation": "https://vault.example.org/coffre/docs"
    });
    assert_eq!(answer.outcome(), (200, expected));
    let answer = send_with(&upstream.gateway(), "GET", path, &headers, "").await;
    answer.assert_refused(404, "route.not_found", "neither a URL was set nor does anything listen");
    assert!(answer.json()["message"].as_str().unwrap().contains("COFFRE_PUBLIC_URL"));
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_resource_says_that_a_token_was_missing_not_accepted_or_of_too_few_rights() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for (reason, challenge) in [
        (Reason::AuthTokenRequired, "Bearer realm=\"coffre\""),
        (Reason::AuthTokenInvalid, "Bearer realm=\"coffre\", error=\"invalid_token\""),
        (Reason::AuthTokenKind, "Bearer realm=\"coffre\", error=\"insufficient_scope\""),
        (Reason::AuthzPermissionRequired, "Bearer realm=\"coffre\", error=\"insufficient_scope\""),
    ] {
        upstream.refuse_for("DashboardService/GetDashboard", reason);
        let answer = send_with(&gateway, "GET", "/api/dashboard", &[("authorization", "Bearer a.b.c")], "").await;
        assert_eq!(answer.header("www-authenticate"), Some(challenge), "{reason:?}");
    }
    for headers in [&[("authorization", "Bearer a"), ("x-authorization", "b")][..], &[("authorization", "Bearer a"); 2]]
    {
        let answer = send_with(&gateway, "GET", "/api/dashboard", headers, "").await;
        answer.assert_refused(400, "auth.token_conflict", "");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"coffre\", error=\"invalid_request\""));
    }
    let answer = send_with(&gateway, "GET", "/api/dashboard", &[BASIC], "").await;
    answer.assert_refused(401, "auth.token_required", "a client is no token");
    let answer = send_with(&gateway, "GET", "/api/dashboard?access_token=a.b.c", &[], "").await;
    assert!(!upstream.last().metadata.contains_key("authorization"), "{}", answer.text);
}
