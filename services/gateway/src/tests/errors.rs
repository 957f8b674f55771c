//! How refusals of services look over REST.

use std::net::IpAddr;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use coffre_error::{Reason, Refusal, code};
use http::Request;
use serde_json::json;
use tonic::{Code, Status};
use tower::ServiceExt as _;

use super::{Upstream, send};
use crate::error::http_status;
use crate::{Config, Gateway, Limits, StatusCodes};

const GET: &str = "CredentialService/GetCredential";
const PATH: &str = "/v2/credentialvault/credentials/12";

#[tokio::test]
async fn every_reason_arrives_with_its_status_and_word() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for reason in (1..).map_while(|number| Reason::try_from(number).ok()) {
        upstream.refuse_for(GET, reason);
        let answer = send(&gateway, "GET", PATH, "").await;
        assert_eq!(answer.status, http_status(reason), "{reason:?}");
        assert_eq!(answer.code(), code(reason));
        assert_eq!(answer.json()["message"], "what was wrong and what to do");
        assert_eq!(answer.header("retry-after").is_some(), [429, 503].contains(&answer.status.as_u16()), "{reason:?}");
        let challenged = answer.status == 401
            || [Reason::AuthTokenConflict, Reason::AuthzPermissionRequired, Reason::AuthTokenKind].contains(&reason);
        assert_eq!(answer.header("www-authenticate").is_some(), challenged, "{reason:?}");
        assert_eq!(answer.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn details_hold_the_fields_and_the_facts() {
    let upstream = Upstream::default();
    let refusal =
        Refusal::invalid("attributes[1].user_provided", "cannot change").with("permission", "Manage users and roles");
    upstream.refuse(GET, refusal);
    let answer = send(&upstream.gateway(), "GET", PATH, "").await;
    let expected = json!({
        "code": "request.invalid",
        "details": [
            {"field": "attributes[1].userProvided", "description": "cannot change"},
            {"key": "permission", "value": "Manage users and roles"}
        ],
        "message": "attributes[1].userProvided: cannot change"
    });
    assert_eq!(answer.json(), expected);
}

#[tokio::test]
async fn a_delay_arrives_in_whole_seconds() {
    let upstream = Upstream::default();
    upstream.refuse(GET, Refusal::new(Reason::AuthThrottled, "wait").retry_after(Duration::from_millis(2500)));
    let answer = send(&upstream.gateway(), "GET", PATH, "").await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, Some("3")));
}

#[tokio::test]
async fn inner_texts_never_leave() {
    let upstream = Upstream::default();
    let gateway = upstream.gateway();
    for (status, expected) in [
        (Status::new(Code::Unknown, "relation \"planted\" does not exist"), 500),
        (Status::new(Code::Internal, "planted"), 500),
        (Status::data_loss("planted"), 500),
        (Status::unavailable("planted"), 503),
        (Status::deadline_exceeded("planted"), 503),
        (Status::cancelled("planted"), 503),
        (Status::unimplemented("planted"), 404),
        (Status::resource_exhausted("planted"), 413),
        (Status::permission_denied("planted"), 500),
    ] {
        upstream.refuse(GET, status);
        let answer = send(&gateway, "GET", PATH, "").await;
        assert_eq!(answer.status.as_u16(), expected, "{}", answer.text);
        assert!(!answer.text.contains("planted"), "{}", answer.text);
    }
    upstream.unreachable(GET);
    let answer = send(&gateway, "GET", PATH, "").await;
    assert!(answer.status.is_server_error());
    assert!(!answer.text.contains("10.0.0.7"));
}

#[tokio::test]
async fn a_panic_is_500_with_an_error_id_and_nothing_else() {
    let upstream = Upstream::default();
    upstream.panics(GET);
    let gateway = upstream.gateway();
    let answer = send(&gateway, "GET", PATH, "").await;
    answer.assert_refused(500, "internal", "");
    assert_eq!(answer.json()["details"][0]["key"], "error_id");
    assert!(!answer.text.contains("planted"));
    assert_eq!(send(&gateway, "GET", "/healthz", "").await.status, 200);
}

#[tokio::test]
async fn an_answer_without_its_resource_is_a_fault_of_ours() {
    let upstream = Upstream::default();
    assert_eq!(send(&upstream.gateway(), "GET", PATH, "").await.status, 500);
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_503() {
    let upstream = Upstream::default();
    let _never_opened = upstream.hold();
    let limits = Limits { request_time: Duration::from_millis(20), ..Limits::default() };
    let answer = send(&upstream.gateway_with(Config { limits, ..Config::default() }), "GET", PATH, "").await;
    answer.assert_refused(503, "request.timeout", "");
    assert!(answer.header("retry-after").is_some());
}

#[tokio::test]
async fn more_requests_than_places_are_refused() {
    let upstream = Upstream::default();
    let limits = Limits { requests: 0, ..Limits::default() };
    let answer = send(&upstream.gateway_with(Config { limits, ..Config::default() }), "GET", PATH, "").await;
    answer.assert_refused(503, "request.overloaded", "");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_missing_permission_is_501_only_with_the_documented_codes() {
    let upstream = Upstream::default();
    let documented = Config { status_codes: StatusCodes::Documented, ..Config::default() };
    let (modern, documented) = (upstream.gateway(), upstream.gateway_with(documented));
    upstream.refuse_for(GET, Reason::AuthzPermissionRequired);
    assert_eq!(send(&modern, "GET", PATH, "").await.status, 403);
    let answer = send(&documented, "GET", PATH, "").await;
    answer.assert_refused(501, "authz.permission_required", "");
    for reason in [
        Reason::CredentialNotPermitted,
        Reason::AuthzSelfGrant,
        Reason::AuthzGrantExceeds,
        Reason::AuthPasswordChangeRequired,
    ] {
        upstream.refuse_for(GET, reason);
        assert_eq!(send(&documented, "GET", PATH, "").await.status, 403, "{reason:?}");
    }
}

/// Sends a request from an address.
async fn send_from(gateway: &Gateway, address: &str, method: &str, uri: &str) -> Response {
    let mut request =
        Request::builder().method(method).uri(uri).body(Body::from("{\"username\":\"u\",\"password\":\"p\"}")).unwrap();
    request.extensions_mut().insert(address.parse::<IpAddr>().unwrap());
    gateway.clone().oneshot(request).await.unwrap()
}

fn retry_after(answer: &Response) -> Option<&str> {
    answer.headers().get("retry-after").map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn an_address_with_too_many_requests_under_way_is_refused_alone() {
    let upstream = Upstream::default();
    let gate = upstream.hold();
    let limits = Limits { requests: 8, requests_per_address: 1, ..Limits::default() };
    let gateway = upstream.gateway_with(Config { limits, ..Config::default() });
    let held = tokio::spawn({
        let gateway = gateway.clone();
        async move { send_from(&gateway, "2001:db8::1", "GET", PATH).await.status() }
    });
    while upstream.calls() == 0 {
        tokio::task::yield_now().await;
    }
    let refused = send_from(&gateway, "2001:db8::2", "GET", "/healthz").await;
    assert_eq!((refused.status().as_u16(), retry_after(&refused)), (503, Some("1")));
    assert_eq!(send_from(&gateway, "2001:db8:0:1::1", "GET", "/healthz").await.status(), 200);
    gate.notify_one();
    held.await.unwrap();
    assert_eq!(send_from(&gateway, "2001:db8::2", "GET", "/healthz").await.status(), 200);
}

#[tokio::test]
async fn sign_ins_that_wait_leave_places_to_other_calls() {
    let upstream = Upstream::default();
    let _never_opened = upstream.hold();
    let limits = Limits { requests: 8, sign_ins: 1, ..Limits::default() };
    let gateway = upstream.gateway_with(Config { limits, ..Config::default() });
    let held = tokio::spawn({
        let gateway = gateway.clone();
        async move { send_from(&gateway, "192.0.2.1", "POST", "/v1/authentication").await.status() }
    });
    while upstream.calls() == 0 {
        tokio::task::yield_now().await;
    }
    for (method, path) in [
        ("POST", "/v1/authentication"),
        ("POST", "/v2//authentication/"),
        ("POST", "/oauth/token"),
        ("POST", "//oauth/introspect"),
        ("PUT", "/v1/authentication/password"),
    ] {
        let refused = send_from(&gateway, "192.0.2.2", method, path).await;
        assert_eq!((refused.status().as_u16(), retry_after(&refused)), (503, Some("1")), "{method} {path}");
    }
    assert_eq!(send_from(&gateway, "192.0.2.1", "GET", "/healthz").await.status(), 200);
    held.abort();
}
