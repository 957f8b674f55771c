//! Section 1 of the contract, line by line.

use coffre_proto::auth::v1::{SignInRequest, SignInResponse, User};
use coffre_proto::vault::v1::{GetCredentialRequest, GetCredentialResponse, ListCredentialsRequest};
use coffre_types::Timestamp;
use serde_json::json;
use uuid::Uuid;

use super::{Upstream, assert_forms_refused, send, send_with};
use crate::{Config, VaultSeal};

const CREDENTIAL: &str = "/v2/credentialvault/credentials/12";

fn credential() -> GetCredentialResponse {
    GetCredentialResponse {
        credential: Some(coffre_proto::vault::v1::Credential { id: 12, version: 3, ..Default::default() }),
    }
}

fn upstream() -> Upstream {
    let upstream = Upstream::default();
    upstream.reply("CredentialService/GetCredential", &credential());
    let signed_in = SignInResponse {
        token: "t".into(),
        user: Some(User { id: 1, ..User::default() }),
        ..SignInResponse::default()
    };
    upstream.reply("AuthenticationService/SignIn", &signed_in);
    upstream
}

#[tokio::test]
async fn both_token_headers_work_and_reach_the_service_as_bearer() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for header in [("x-authorization", "a.b.c"), ("X-Authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")]
    {
        let answer = send_with(&gateway, "GET", CREDENTIAL, &[header], "").await;
        assert_eq!(answer.status, 200, "{header:?}");
        assert_eq!(upstream.last().metadata.get("authorization").unwrap(), "Bearer a.b.c");
    }
    let answer = send_with(&gateway, "GET", CREDENTIAL, &[], "").await;
    assert_eq!(answer.status, 200, "whether a token is needed is the service's to say");
    assert!(!upstream.last().metadata.contains_key("authorization"));
}

#[tokio::test]
async fn two_different_tokens_are_refused_before_any_service_is_asked() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for headers in [
        [("x-authorization", "a"), ("authorization", "Bearer b")],
        [("x-authorization", "a"), ("x-authorization", "a")],
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
    ] {
        let answer = send_with(&gateway, "GET", CREDENTIAL, &headers, "").await;
        answer.assert_refused(400, "auth.token_conflict", &format!("{headers:?}"));
    }
    let answer = send_with(&gateway, "GET", CREDENTIAL, &[("authorization", "Basic YTpi")], "").await;
    answer.assert_refused(401, "auth.token_required", "");
    assert!(answer.header("www-authenticate").unwrap().starts_with("Bearer"));
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn signing_in_ignores_whatever_token_came_along() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let headers = [("x-authorization", "old"), ("authorization", "Basic YTpi"), ("x-authorization", "older")];
    let answer =
        send_with(&gateway, "POST", "/v1/authentication", &headers, r#"{"username":"e","password":"p"}"#).await;
    assert_eq!(answer.status, 200);
    assert!(!upstream.last().metadata.contains_key("authorization"));
}

#[tokio::test]
async fn a_cookie_never_authenticates() {
    let upstream = upstream();
    send_with(&upstream.gateway(), "GET", CREDENTIAL, &[("cookie", "authorization=Bearer t")], "").await;
    assert!(!upstream.last().metadata.contains_key("authorization"));
    assert!(!upstream.last().metadata.contains_key("cookie"));
}

#[tokio::test]
async fn ids_in_paths_are_plain_decimals() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for id in [
        "abc",
        "-1",
        "+1",
        "0",
        "012",
        "1.0",
        "9223372036854775808",
        "%2e%2e",
        "12%2fowner",
        "12%2Fowner%2F2",
        "12;x",
        "%00",
        "%ff",
        "1%20",
        "%D9%A3",
    ] {
        for path in ["credentials/{id}", "lockers/{id}", "lockers/2/members/{id}", "lockers/{id}/credentials/5"] {
            let path = format!("/v2/credentialvault/{}", path.replace("{id}", id));
            send(&gateway, "DELETE", &path, "").await.assert_refused(400, "request.invalid", &path);
        }
    }
    assert_eq!(upstream.calls(), 0);
    let answer = send(&gateway, "GET", "/v2/credentialvault/credentials/%31%32", "").await;
    assert_eq!(answer.status, 200, "what is encoded is decoded, once and after routing");
    assert_eq!(upstream.asked::<GetCredentialRequest>().id, 12);
    let answer = send(&gateway, "GET", "/v2/credentialvault/credentials/%2531", "").await;
    assert_eq!(answer.status, 400);
}

#[tokio::test]
async fn slashes_and_aliases_lead_to_the_same_path() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for path in [
        "/v2/credentialvault/credentials/12",
        "/v2/credentialvault//credentials/12",
        "//v2/credentialvault/credentials//12//",
        "/v2/credentialvault/credentials/12/",
        "/v1/credentialvault/credentials/12",
        "/v1/credentialvault//credentials/12/?x=y",
    ] {
        let answer = send(&gateway, "GET", path, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(upstream.asked::<GetCredentialRequest>().id, 12);
    }
}

#[tokio::test]
async fn unknown_paths_are_404_in_the_documented_shape() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for (method, path) in [
        ("GET", "/"),
        ("GET", "/nothing"),
        ("POST", "/v2/credentialvault/credentials/12/username"),
        ("POST", "/v2/credentialvault/lockers/2/attributevalue"),
        ("GET", "/v2/credentialvault/lockers/2/roles"),
        ("GET", "/v2/credentialvault/locker"),
        ("GET", "/v2/credentialvault/%2e%2e/users"),
        ("GET", "/v2/credentialvault/../v1/usermanagement/users"),
        ("GET", "/v2%2fcredentialvault/credentials"),
        ("GET", "/V2/credentialvault/credentials"),
        ("GET", "/v2/credentialvault/credentials;x=1"),
        ("GET", "/v3/credentialvault/credentials"),
        ("POST", "/v2/authenticationx"),
    ] {
        let answer = send(&gateway, method, path, "{}").await;
        answer.assert_refused(404, "route.not_found", path);
        let mut keys: Vec<String> = answer.json().as_object().unwrap().keys().cloned().collect();
        keys.sort();
        assert_eq!(keys, ["code", "details", "message"]);
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn other_methods_are_405_and_options_tells_which_there_are() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for method in ["PATCH", "POST", "TRACE"] {
        let answer = send(&gateway, method, CREDENTIAL, "").await;
        answer.assert_refused(405, "route.method_not_allowed", method);
        let allowed = answer.header("allow").unwrap();
        assert!(["GET", "HEAD", "PUT", "DELETE"].iter().all(|method| allowed.contains(method)), "{allowed}");
    }
    let answer = send(&gateway, "OPTIONS", CREDENTIAL, "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str()), (204, ""));
    assert!(answer.header("allow").unwrap().contains("PUT"));
    assert_eq!(send(&gateway, "OPTIONS", "/nothing", "").await.status, 404);
    let answer = send(&gateway, "HEAD", CREDENTIAL, "").await;
    assert_eq!((answer.status.as_u16(), answer.text.as_str(), answer.header("etag")), (200, "", Some("\"3\"")));
}

#[tokio::test]
async fn a_body_on_get_is_ignored() {
    let upstream = upstream();
    let answer = send(&upstream.gateway(), "GET", CREDENTIAL, "{ not json").await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn any_content_type_is_fine_and_a_content_encoding_is_415() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let body = r#"{"username":"e","password":"p"}"#;
    for kind in ["", "text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "nonsense"] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[("content-type", kind)], body).await;
        assert_eq!(answer.status, 200, "{kind}");
    }
    for encoding in ["gzip", "br", "deflate", "gzip, identity"] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[("content-encoding", encoding)], body).await;
        answer.assert_refused(415, "request.encoding_unsupported", encoding);
    }
}

#[tokio::test]
async fn malformed_bodies_are_400_and_reach_no_service() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let bodies: Vec<Vec<u8>> = vec![
        b"{".to_vec(),
        b"{\"username\":\"e\",}".to_vec(),
        b"\xff\xfe{}".to_vec(),
        b"{\"username\":\"\xff\",\"password\":\"p\"}".to_vec(),
        b"{\"username\":\"e\",\"username\":\"f\",\"password\":\"p\"}".to_vec(),
        b"{\"username\":\"e\",\"password\":\"p\"} trailing".to_vec(),
        deep.into_bytes(),
    ];
    for body in bodies {
        let start = String::from_utf8_lossy(&body).chars().take(40).collect::<String>();
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], body).await;
        answer.assert_refused(400, "request.malformed", &start);
    }
    for body in ["", "[]", "null", "7", "\"x\"", "{}"] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], body).await;
        answer.assert_refused(400, "request.invalid", body);
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_refusal_repeats_nothing_of_the_body() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for body in [
        r#"{"username":"e","password":{"planted":1}}"#,
        r#"{"username":"e","password":["planted"]}"#,
        r#"{"username":"e","password":"planted"#,
        r#"{"username":"e","password":"planted" x}"#,
        r#"{"username":"e","password":"a","PASSWORD":"planted"}"#,
    ] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], body).await;
        assert_eq!(answer.status, 400, "{body}");
        assert!(!answer.text.contains("planted"), "{}", answer.text);
    }
}

#[tokio::test]
async fn wrong_types_are_400_and_name_the_field() {
    let forms = [
        (r#"{"name":5,"attributes":[]}"#, "name"),
        (r#"{"name":"n","attributes":{}}"#, "attributes"),
        (r#"{"name":"n","attributes":["a"]}"#, "attributes[0]"),
        (r#"{"name":"n","attributes":[{"name":"a"},{"name":true}]}"#, "attributes[1].name"),
        (r#"{"name":"n","attributes":[{"name":"a","userProvided":"yes"}]}"#, "attributes[0].userProvided"),
        (r#"{"name":"n","attributes":[{"name":"a","masked":1}]}"#, "attributes[0].masked"),
    ];
    assert_forms_refused(&upstream(), "POST", "/v2/credentialvault/credentials", &forms).await;
}

#[tokio::test]
async fn a_body_of_2_mib_is_413_and_one_of_1_mib_is_read() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let padded = |length: usize| format!("{{\"username\":\"e\",\"password\":\"p\",\"x\":\"{}\"}}", "x".repeat(length));
    for length in [1024 * 1024, 2 * 1024 * 1024, 20 * 1024 * 1024] {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], padded(length)).await;
        answer.assert_refused(413, "request.too_large", &format!("{length}"));
    }
    let announced = [("content-length", "2097152"), ("expect", "100-continue")];
    let answer = send_with(&gateway, "POST", "/v1/authentication", &announced, "").await;
    assert_eq!(answer.status, 413, "refused before it is sent");
    assert_eq!(upstream.calls(), 0);
    let answer = send_with(&gateway, "POST", "/v1/authentication", &[], padded(1024 * 1024 - 64)).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn headers_over_the_limit_are_431() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let long = "x".repeat(32 * 1024);
    let answer = send_with(&gateway, "GET", CREDENTIAL, &[("x-long", &long)], "").await;
    answer.assert_refused(431, "request.headers_too_large", "");
    let answer = send_with(&gateway, "GET", &format!("{CREDENTIAL}?{long}"), &[], "").await;
    assert_eq!(answer.status, 431);
    let fine = "x".repeat(8 * 1024);
    assert_eq!(
        send_with(&gateway, "GET", CREDENTIAL, &[("authorization", &format!("Bearer {fine}"))], "").await.status,
        200
    );
    assert_eq!(upstream.calls(), 1);
}

#[tokio::test]
async fn booleans_in_queries_come_with_or_without_quotes() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for (query, consumed) in [
        ("", None),
        ("?consumed=true", Some(true)),
        ("?consumed=%22false%22", Some(false)),
        ("?consumed=false&unknown=1&&=", Some(false)),
    ] {
        let answer = send(&gateway, "GET", &format!("/v2/credentialvault/credentials{query}"), "").await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(upstream.asked::<ListCredentialsRequest>().consumed, consumed, "{query}");
    }
    for query in ["?consumed=maybe", "?consumed=true&consumed=false", "?name=%ff"] {
        let answer = send(&gateway, "GET", &format!("/v2/credentialvault/credentials{query}"), "").await;
        answer.assert_refused(400, "request.invalid", query);
    }
}

#[tokio::test]
async fn a_request_id_is_taken_or_made_returned_and_passed_on() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let answer = send_with(&gateway, "GET", CREDENTIAL, &[("x-request-id", "my-1"), ("traceparent", trace)], "").await;
    assert_eq!(answer.header("x-request-id"), Some("my-1"));
    assert_eq!(upstream.last().metadata.get("x-request-id").unwrap(), "my-1");
    assert_eq!(upstream.last().metadata.get("traceparent").unwrap(), trace);
    let answer =
        send_with(&gateway, "GET", CREDENTIAL, &[("x-request-id", "two words"), ("traceparent", "junk")], "").await;
    let made = answer.header("x-request-id").unwrap();
    assert!(Uuid::parse_str(made).is_ok());
    assert_eq!(upstream.last().metadata.get("x-request-id").unwrap(), made);
    assert!(!upstream.last().metadata.contains_key("traceparent"));
    let refused = send_with(&gateway, "GET", "/nothing", &[("x-request-id", "my-2")], "").await;
    assert_eq!(refused.header("x-request-id"), Some("my-2"));
}

#[tokio::test]
async fn what_a_client_claims_about_itself_does_not_pass() {
    let upstream = upstream();
    let headers = [
        ("x-coffre-client-address", "6.6.6.6"),
        ("x-coffre-source", "System"),
        ("x-forwarded-for", "6.6.6.6"),
        ("x-other", "y"),
    ];
    send_with(&upstream.gateway(), "GET", CREDENTIAL, &headers, "").await;
    let metadata = upstream.last().metadata;
    assert_eq!(metadata.get("x-coffre-source").unwrap(), "API");
    assert!(!metadata.contains_key("x-coffre-client-address"));
    assert!(!metadata.contains_key("x-other"));
}

#[tokio::test]
async fn every_answer_carries_the_security_headers() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for (path, status) in
        [(CREDENTIAL, 200), ("/nothing", 404), ("/healthz", 200), ("/v2/credentialvault/credentials/x", 400)]
    {
        let answer = send(&gateway, "GET", path, "").await;
        assert_eq!(answer.status.as_u16(), status);
        assert_eq!(answer.header("cache-control"), Some("no-store"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("content-type"), Some("application/json"));
        assert!(answer.header("content-security-policy").unwrap().starts_with("default-src 'none'"));
    }
}

#[tokio::test]
async fn dev_refuses_foreign_host_names() {
    let upstream = upstream();
    let config = Config { allowed_hosts: Some(Config::loopback_hosts()), ..Config::default() };
    let gateway = upstream.gateway_with(config);
    for host in ["localhost:8080", "LOCALHOST", "127.0.0.1:8080", "[::1]:8080"] {
        assert_eq!(send_with(&gateway, "GET", CREDENTIAL, &[("host", host)], "").await.status, 200, "{host}");
    }
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", ""] {
        let answer = send_with(&gateway, "GET", CREDENTIAL, &[("host", host)], "").await;
        answer.assert_refused(400, "request.invalid", host);
    }
    assert_eq!(send_with(&gateway, "GET", CREDENTIAL, &[], "").await.status, 400);
}

#[tokio::test]
async fn a_target_with_a_host_of_its_own_is_held_to_the_same_names() {
    let upstream = upstream();
    let config = Config { allowed_hosts: Some(Config::loopback_hosts()), ..Config::default() };
    let gateway = upstream.gateway_with(config);
    for (host, authority, status) in [
        ("localhost", "localhost:8080", 200),
        ("localhost", "evil.example", 400),
        ("evil.example", "localhost", 400),
        ("localhost", "localhost.evil.example", 400),
    ] {
        let uri = format!("http://{authority}{CREDENTIAL}");
        let answer = send_with(&gateway, "GET", &uri, &[("host", host)], "").await;
        assert_eq!(answer.status, status, "{host} {authority}");
    }
    let uri = format!("http://localhost{CREDENTIAL}");
    assert_eq!(send_with(&gateway, "GET", &uri, &[], "").await.status, 200, "HTTP/2 sends no other");
}

#[tokio::test]
async fn two_host_headers_are_refused_everywhere() {
    let upstream = Upstream::default();
    for hosts in [["localhost", "evil.example"], ["localhost", "localhost"]] {
        let headers = hosts.map(|host| ("host", host));
        let answer = send_with(&upstream.gateway(), "GET", CREDENTIAL, &headers, "").await;
        answer.assert_refused(400, "request.invalid", "");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_proxys_basic_authorization_beside_a_token_does_no_harm() {
    let upstream = Upstream::default();
    let headers = [("authorization", "Basic YTpi"), ("x-authorization", "the.token.x")];
    let answer = send_with(&upstream.gateway(), "GET", CREDENTIAL, &headers, "").await;
    assert_ne!(answer.status, 401);
    assert_eq!(upstream.last().metadata.get("authorization").unwrap(), "Bearer the.token.x");
    let alone = send_with(&upstream.gateway(), "GET", CREDENTIAL, &headers[..1], "").await;
    alone.assert_refused(401, "auth.token_required", "");
}

#[tokio::test]
async fn requests_are_counted_under_their_route_whatever_the_spelling() {
    let upstream = Upstream::default();
    let registry = prometheus::Registry::new();
    let metrics = Some(crate::RestMetrics::register(&registry).unwrap());
    let gateway = upstream.gateway_with(Config { metrics, ..Config::default() });
    for path in ["/v2/credentialvault/credentials/abc", "/v1//credentialvault/credentials/abd/", "/nowhere"] {
        send(&gateway, "GET", path, "").await;
    }
    let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather()).unwrap();
    for line in [
        r#"coffre_rest_requests_total{method="GET",route="/v2/credentialvault/credentials/{id}",status="400"} 2"#,
        r#"coffre_rest_requests_total{method="GET",route="none",status="404"} 1"#,
        "coffre_rest_in_flight 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn operations_need_no_token_and_no_service() {
    let upstream = Upstream::default();
    let config = Config::default();
    let readiness = config.readiness.clone();
    let gateway = upstream.gateway_with(config);
    for path in ["/healthz", "/readyz", "/version", "/openapi.json", "/docs/index.html"] {
        assert_eq!(send_with(&gateway, "GET", path, &[], "").await.status, 200, "{path}");
    }
    let ready = async || send_with(&gateway, "GET", "/readyz", &[], "").await.outcome();
    assert_eq!(ready().await, (200, json!({"status": "ready"})));
    readiness.set_vault(VaultSeal::Open);
    assert_eq!(ready().await, (200, json!({"status": "ready", "vault": "open"})));
    readiness.set_vault(VaultSeal::Sealed { since: Timestamp::from_seconds(1_530_697_249) });
    let sealed = json!({"status": "ready", "vault": "sealed", "sealedSince": "2018-07-04T09:40:49.000Z"});
    assert_eq!(ready().await, (200, sealed), "sealed is no reason to send requests elsewhere");
    readiness.fail("the database of vault does not answer: start it");
    let answer = send_with(&gateway, "GET", "/readyz", &[], "").await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.json()["message"], "the database of vault does not answer: start it");
    readiness.set(false);
    let answer = send_with(&gateway, "GET", "/readyz", &[], "").await;
    answer.assert_refused(503, "service.unavailable", "stopping");
    assert!(answer.json()["message"].as_str().unwrap().contains("starting or stopping"));
    readiness.set(true);
    assert_eq!(ready().await.0, 200);
    assert_eq!(send_with(&gateway, "GET", "/healthz", &[], "").await.status, 200);
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn unknown_keys_are_ignored_and_the_key_of_a_name_is_spelled_as_one_likes() {
    let upstream = upstream();
    let gateway = upstream.gateway();
    for body in [
        r#"{"username":"Ellie.Brown","password":"12345678"}"#,
        r#"{"usename":"Ellie.Brown","password":"12345678"}"#,
        r#"{"UserName":"Ellie.Brown","PASSWORD":"12345678","mfa":null,"x":[{}]}"#,
    ] {
        assert_eq!(send_with(&gateway, "POST", "/v1/authentication", &[], body).await.status, 200, "{body}");
        let asked: SignInRequest = upstream.asked();
        assert_eq!((asked.username.as_str(), asked.password.as_str()), ("Ellie.Brown", "12345678"));
    }
    for body in
        [r#"{"username":"a","usename":"a","password":"p"}"#, r#"{"username":"a","password":"p","Password":"p"}"#]
    {
        let answer = send_with(&gateway, "POST", "/v1/authentication", &[], body).await;
        assert_eq!(answer.status, 400, "{body}");
    }
}
