//! Refusals under `/oauth/`: whoever refuses, they look as RFC 6749, section 5.2, has it.

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::internal::v1::ReportRefusalsRequest;
use serde_json::json;

use super::oauth::{BASIC, PASSWORD, post, upstream};
use super::{Answer, Upstream, send_with};
use crate::{Config, Gateway, Limits, StatusCodes};

const ISSUE: &str = "OAuthService/IssueTokenForPassword";

impl Answer {
    /// Fails where it is not this refusal of OAuth.
    #[track_caller]
    fn assert_oauth(&self, status: u16, error: &str, context: &str) {
        assert_eq!(
            (self.status.as_u16(), self.json()["error"].as_str()),
            (status, Some(error)),
            "{context}: {}",
            self.text
        );
        let keys: Vec<String> = self.json().as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["error", "error_description"], "{context}");
        assert_ne!(self.json()["error_description"], "", "{context}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{context}");
        assert_eq!(self.header("pragma"), Some("no-cache"), "{context}");
        assert_eq!(self.header("content-type"), Some("application/json"), "{context}");
        let challenge = (status == 401).then_some("Basic realm=\"coffre\"");
        assert_eq!(self.header("www-authenticate"), challenge, "{context}");
        assert_eq!(self.header("retry-after").is_some(), [429, 503].contains(&status), "{context}");
        if let Some(length) = self.header("content-length") {
            assert_eq!(length, self.text.len().to_string(), "{context}");
        }
    }
}

async fn token(gateway: &Gateway, headers: &[(&str, &str)], body: &str) -> Answer {
    post(gateway, "/oauth/token", headers, body).await
}

#[tokio::test]
async fn every_refusal_of_a_service_has_its_word() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for (reason, status, error) in [
        (Reason::OauthClientInvalid, 401, "invalid_client"),
        (Reason::OauthGrantInvalid, 400, "invalid_grant"),
        (Reason::OauthClientUnauthorized, 400, "unauthorized_client"),
        (Reason::OauthScopeInvalid, 400, "invalid_scope"),
        (Reason::OauthGrantTypeUnsupported, 400, "unsupported_grant_type"),
        (Reason::RequestInvalid, 400, "invalid_request"),
        (Reason::AuthThrottled, 429, "temporarily_unavailable"),
        (Reason::AuthUnavailable, 503, "temporarily_unavailable"),
        (Reason::StoreUnavailable, 503, "temporarily_unavailable"),
        (Reason::AuditUnavailable, 503, "temporarily_unavailable"),
        (Reason::StoreConflict, 503, "temporarily_unavailable"),
        (Reason::Internal, 500, "server_error"),
    ] {
        for (method, path, body) in [
            (ISSUE, "/oauth/token", PASSWORD),
            ("OAuthService/IssueTokenForRefreshToken", "/oauth/token", "grant_type=refresh_token&refresh_token=r"),
            ("OAuthService/IssueTokenForClient", "/oauth/token", "grant_type=client_credentials"),
            ("OAuthService/RevokeToken", "/oauth/revoke", "token=t"),
            ("OAuthService/IntrospectToken", "/oauth/introspect", "token=t"),
        ] {
            upstream.refuse_for(method, reason);
            post(&gateway, path, &[BASIC], body).await.assert_oauth(status, error, &format!("{path} {reason:?}"));
        }
    }
}

#[tokio::test]
async fn a_refusal_tells_what_was_wrong_in_the_words_of_the_form() {
    let upstream = upstream();
    upstream.refuse(ISSUE, Refusal::invalid("client.client_id", "is \"too\" long\u{2026}"));
    let answer = token(&upstream.gateway(), &[BASIC], PASSWORD).await;
    let expected = json!({"error": "invalid_request", "error_description": "client_id: is 'too' long..."});
    assert_eq!(answer.outcome(), (400, expected));
    upstream.refuse(ISSUE, Refusal::new(Reason::AuthThrottled, "wait").retry_after(Duration::from_millis(2500)));
    let answer = token(&upstream.gateway(), &[BASIC], PASSWORD).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("3")));
}

#[tokio::test]
async fn a_body_that_is_no_form_is_an_invalid_request() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let json = r#"{"grant_type":"password","username":"u","password":"planted"}"#;
    for label in ["application/json", "application/x-www-form-urlencoded", "text/plain", ""] {
        let answer = token(&gateway, &[BASIC, ("content-type", label)], json).await;
        answer.assert_oauth(400, "invalid_request", label);
        assert!(answer.text.contains("application/x-www-form-urlencoded"), "{}", answer.text);
        assert!(!answer.text.contains("planted"));
    }
    let multipart = ("content-type", "multipart/form-data; boundary=x");
    token(&gateway, &[BASIC, multipart], "--x--").await.assert_oauth(400, "invalid_request", "multipart");
    assert_eq!(upstream.calls(), 0);
    for label in ["application/x-www-form-urlencoded;charset=UTF-8", "text/plain", "nonsense", ""] {
        assert_eq!(token(&gateway, &[BASIC, ("content-type", label)], PASSWORD).await.status, 200, "{label}");
    }
    assert_eq!(token(&gateway, &[BASIC], PASSWORD).await.status, 200, "without a label");
}

#[tokio::test]
async fn parameters_that_are_missing_doubled_or_unreadable_are_an_invalid_request() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for body in [
        "",
        "grant_type=",
        "grant_type=password",
        "grant_type=password&username=u",
        "grant_type=password&username=u&password=",
        "grant_type=password&username=&password=p",
        "grant_type=refresh_token",
        "grant_type=refresh_token&refresh_token=",
        "grant_type=password&grant_type=password&username=u&password=p",
        "grant_type=password&username=u&username=v&password=p",
        "grant_type=password&username=u&password=p&scope=public-api&scope=",
        "grant_type=password&username=u&password=%FF",
        "grant_type=password&username=u%00&password=p",
        "grant_type=password&username=u&password=p&client_secret=s",
        "grant_type=password&username=u&password=p&client_id=other",
    ] {
        token(&gateway, &[BASIC], body).await.assert_oauth(400, "invalid_request", body);
    }
    for (path, body) in [("/oauth/revoke", ""), ("/oauth/introspect", "token="), ("/oauth/revoke", "token=a&token=b")] {
        post(&gateway, path, &[BASIC], body).await.assert_oauth(400, "invalid_request", path);
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn another_grant_type_is_not_supported() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for grant in
        ["authorization_code", "implicit", "PASSWORD", "password%20", "urn:ietf:params:oauth:grant-type:device_code"]
    {
        let answer = token(&gateway, &[BASIC], &format!("grant_type={grant}")).await;
        answer.assert_oauth(400, "unsupported_grant_type", grant);
        assert!(!answer.text.contains("device_code"));
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_client_that_is_not_shown_as_it_should_be_is_an_invalid_client() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for header in [
        "Bearer a.b.c",
        "Digest username=\"x\"",
        "Basic",
        "Basic !!!",
        "Basic cHVibGljLWFwaQ==",
        "Basic OnNlY3JldA==",
        // As the document prints it.
        "Basic cHVibGijLWFwaTo3RHU6SVo5cUJHFTUwRw==",
    ] {
        token(&gateway, &[("authorization", header)], PASSWORD).await.assert_oauth(401, "invalid_client", header);
        let both = format!("{PASSWORD}&client_id=c&client_secret=s");
        token(&gateway, &[("authorization", header)], &both).await.assert_oauth(401, "invalid_client", header);
    }
    token(&gateway, &[], PASSWORD).await.assert_oauth(401, "invalid_client", "none");
    token(&gateway, &[("x-authorization", "a.b.c")], PASSWORD).await.assert_oauth(401, "invalid_client", "a token");
    let twice = [BASIC, BASIC];
    token(&gateway, &twice, PASSWORD).await.assert_oauth(400, "invalid_request", "the header twice");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn rule_2_1_a_password_of_1_mib_is_refused_before_anything_is_done_with_it() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for length in [64 * 1024, 1024 * 1024, 4 * 1024 * 1024] {
        let body = format!("{PASSWORD}{}", "x".repeat(length));
        token(&gateway, &[BASIC], &body).await.assert_oauth(413, "invalid_request", &length.to_string());
    }
    let announced = [BASIC, ("content-length", "2097152"), ("expect", "100-continue")];
    token(&gateway, &announced, "").await.assert_oauth(413, "invalid_request", "announced");
    assert_eq!(upstream.calls(), 0);
    let body = format!("{PASSWORD}{}", "x".repeat(32 * 1024));
    assert_eq!(token(&gateway, &[BASIC], &body).await.status, 200, "what is smaller is for the service to judge");
}

#[tokio::test]
async fn what_is_refused_before_or_beside_a_route_has_the_same_shape() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let send = |method: &'static str, path: &'static str, headers: Vec<(&'static str, String)>| {
        let gateway = gateway.clone();
        async move {
            let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            send_with(&gateway, method, path, &headers, PASSWORD).await
        }
    };
    let answer = send("GET", "/oauth/token", vec![]).await;
    answer.assert_oauth(405, "invalid_request", "GET");
    assert_eq!(answer.header("allow"), Some("POST"));
    send("PUT", "/oauth/revoke", vec![]).await.assert_oauth(405, "invalid_request", "PUT");
    send("POST", "/oauth/authorize", vec![]).await.assert_oauth(404, "invalid_request", "no such path");
    send("POST", "/oauth", vec![]).await.assert_oauth(404, "invalid_request", "no such path");
    let long = vec![("x-long", "x".repeat(32 * 1024))];
    send("POST", "/oauth/token", long).await.assert_oauth(431, "invalid_request", "headers");
    let encoded = vec![("content-encoding", "gzip".to_owned())];
    send("POST", "/oauth/token", encoded).await.assert_oauth(415, "invalid_request", "an encoding");
    let hosts = vec![("host", "a".to_owned()), ("host", "b".to_owned())];
    send("POST", "/oauth/token", hosts).await.assert_oauth(400, "invalid_request", "two hosts");
    let options = send("OPTIONS", "/oauth/token", vec![]).await;
    assert_eq!((options.status.as_u16(), options.header("allow")), (204, Some("POST")));
    assert_eq!(upstream.calls(), 0);
    upstream.panics(ISSUE);
    let answer = token(&gateway, &[BASIC], PASSWORD).await;
    answer.assert_oauth(500, "server_error", "a panic");
    assert!(!answer.text.contains("planted"));
    upstream.unreachable(ISSUE);
    assert!(token(&gateway, &[BASIC], PASSWORD).await.json()["error"].is_string());
}

#[tokio::test]
async fn an_overload_and_a_slow_service_are_for_the_moment() {
    let upstream = upstream();
    let _never_opened = upstream.hold();
    for limits in [
        Limits { requests: 0, ..Limits::default() },
        Limits { request_time: Duration::from_millis(20), ..Limits::default() },
    ] {
        let gateway = upstream.gateway_with(Config { limits, ..Config::default() });
        token(&gateway, &[BASIC], PASSWORD).await.assert_oauth(503, "temporarily_unavailable", "");
    }
}

#[tokio::test]
async fn the_documented_status_codes_do_not_change_what_oauth_says() {
    let upstream = upstream();
    let gateway = upstream.gateway_with(Config { status_codes: StatusCodes::Documented, ..Config::default() });
    upstream.refuse_for(ISSUE, Reason::OauthClientInvalid);
    token(&gateway, &[BASIC], PASSWORD).await.assert_oauth(401, "invalid_client", "");
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn what_the_gateway_refuses_under_oauth_is_reported_and_what_a_service_refuses_is_not() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    upstream.refuse_for(ISSUE, Reason::OauthGrantInvalid);
    token(&gateway, &[BASIC], PASSWORD).await.assert_oauth(400, "invalid_grant", "a service");
    for (headers, body) in [(vec![], PASSWORD), (vec![BASIC], "grant_type=x"), (vec![BASIC], "{}")] {
        token(&gateway, &headers, body).await;
    }
    gateway.report(async {}).await;
    let told = upstream.asked::<ReportRefusalsRequest>().refusals;
    let read: Vec<_> = told.iter().map(|told| (told.method.as_str(), told.reason())).collect();
    let route = "POST /oauth/token";
    let expected = [
        (route, Reason::OauthClientInvalid),
        (route, Reason::OauthGrantTypeUnsupported),
        (route, Reason::RequestInvalid),
    ];
    assert_eq!(read, expected);
}

#[tokio::test]
async fn other_paths_keep_the_documented_shape() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for path in ["/oauthx/token", "/v1/oauth/token", "/oauth%2ftoken"] {
        post(&gateway, path, &[BASIC], PASSWORD).await.assert_refused(404, "route.not_found", path);
    }
    let answer = post(&gateway, "/.well-known/oauth-authorization-server", &[], "").await;
    answer.assert_refused(405, "route.method_not_allowed", "");
}
