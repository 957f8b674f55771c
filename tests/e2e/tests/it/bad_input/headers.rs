//! Headers, and what is no HTTP.

use std::time::{Duration, Instant};

use coffre_e2e::case::Case;
use coffre_e2e::{canary, ledger, raw};

use super::{CREDENTIALS, refused};

rest_cases! {
    large_headers_are_refused,
    request_ids_are_taken_or_made,
    odd_trace_contexts_do_no_harm,
    what_is_no_http_is_refused_and_does_no_harm,
    what_the_gateway_refuses_itself_is_in_the_audit,
}

async fn exchange(case: &Case<'_>, request: Vec<u8>) -> Option<raw::RawAnswer> {
    let address = case.server.http;
    tokio::task::spawn_blocking(move || raw::exchange(address, &request, Duration::from_secs(15))).await.unwrap()
}

async fn large_headers_are_refused(case: &Case<'_>) {
    let (host, token) = (case.server.http, case.admin.token.clone().unwrap());
    let one = format!("X-Large: {}\r\n", "x".repeat(32 * 1024));
    let many: String = (0..32).map(|index| format!("X-Large-{index}: {}\r\n", "x".repeat(1024))).collect();
    for headers in [one, many] {
        let request =
            format!("GET {CREDENTIALS} HTTP/1.1\r\nHost: {host}\r\nX-Authorization: {token}\r\n{headers}\r\n");
        let answer = exchange(case, request.into_bytes()).await.expect("an answer");
        assert_eq!(
            (answer.status, answer.json()["code"].as_str()),
            (431, Some("request.headers_too_large")),
            "{answer:?}"
        );
    }
    let long_path = format!(
        "GET {CREDENTIALS}?name={} HTTP/1.1\r\nHost: {host}\r\nX-Authorization: {token}\r\n\r\n",
        "x".repeat(32 * 1024)
    );
    let answer = exchange(case, long_path.into_bytes()).await.expect("an answer");
    assert!(matches!(answer.status, 400 | 414 | 431), "{answer:?}");
}

async fn request_ids_are_taken_or_made(case: &Case<'_>) {
    let token = case.admin.token.as_deref().unwrap();
    for path in [CREDENTIALS, "/healthz", "/nowhere"] {
        let given = format!("given-{}", case.unique("id").replace(' ', "-"));
        let answer = case.api.http.get(path).token(token).header("x-request-id", &given).send().await;
        assert_eq!(answer.header("x-request-id"), Some(given.as_str()), "{path}");
        let made = case.api.http.get(path).token(token).send().await;
        assert!(made.header("x-request-id").is_some_and(|id| id.len() >= 16), "{path}: {:?}", made.headers);
        for odd in ["x".repeat(129), "with space".to_owned(), String::new()] {
            let answer = case.api.http.get(path).token(token).header("x-request-id", &odd).send().await;
            assert_ne!(answer.header("x-request-id"), Some(odd.as_str()), "{path}");
            assert!(answer.header("x-request-id").is_some_and(|id| !id.is_empty()), "{path}");
        }
    }
}

async fn odd_trace_contexts_do_no_harm(case: &Case<'_>) {
    let token = case.admin.token.as_deref().unwrap();
    for odd in ["", "x", "00-zz-zz-00", "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "00-0-0-0"] {
        case.api.http.get(CREDENTIALS).token(token).header("traceparent", odd).send().await.is(200);
    }
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    case.api.http.get(CREDENTIALS).token(token).header("traceparent", good).send().await.is(200);
}

async fn what_is_no_http_is_refused_and_does_no_harm(case: &Case<'_>) {
    let host = case.server.http;
    let requests: Vec<Vec<u8>> = vec![
        b"\r\n\r\n".to_vec(),
        b"hello\r\n\r\n".to_vec(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
        format!("GET / HTTP/9.9\r\nHost: {host}\r\n\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nbad header\r\n\r\n").into_bytes(),
        format!("GET / HTTP/1.1\r\nHost: {host}\r\nX: a\0b\r\n\r\n").into_bytes(),
        format!("POST {CREDENTIALS} HTTP/1.1\r\nHost: {host}\r\nContent-Length: -1\r\n\r\n").into_bytes(),
        format!("POST {CREDENTIALS} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx")
            .into_bytes(),
        format!("POST {CREDENTIALS} HTTP/1.1\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n").into_bytes(),
        format!("GET /a b HTTP/1.1\r\nHost: {host}\r\n\r\n").into_bytes(),
    ];
    for request in requests {
        let what = String::from_utf8_lossy(&request).into_owned();
        // A closed connection is an answer too.
        if let Some(answer) = exchange(case, request).await {
            assert!((400..500).contains(&answer.status) || answer.status == 505, "{what}: {answer:?}");
        }
    }
    let answer = case.api.http.request(http::Method::from_bytes(b"BREW").unwrap(), CREDENTIALS).send().await;
    refused("an unknown method", &answer, 405, "route.method_not_allowed");
    case.api.http.get("/healthz").send().await.is(200);
}

async fn what_the_gateway_refuses_itself_is_in_the_audit(case: &Case<'_>) {
    let secret = case.secret("in-a-refused-request");
    let id = format!("refused-{}", case.unique("id").replace(' ', "-"));
    let request = case.api.http.post(format!("{CREDENTIALS}?name={secret}")).token("no token of anybody");
    let answer = request.header("x-request-id", &id).body(format!("{{\"name\": \"{secret}\"")).send().await;
    refused("malformed", &answer, 400, "request.malformed");
    let begun = Instant::now();
    let entry = loop {
        if let Some(mut found) = ledger::entries(&case.admin, &[&id]).await.remove(&id) {
            break found.remove(0);
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "no entry of a refused request");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!((entry.event.as_str(), entry.status.as_str()), ("request.refused", "Unsuccessful"));
    assert_eq!((entry.user_name.as_str(), entry.source.as_str()), ("", "API"));
    assert!(!canary::is_in(format!("{entry:?}").as_bytes()), "a secret in the audit: {entry:?}");
}
