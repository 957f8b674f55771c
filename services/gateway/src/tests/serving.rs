//! The server loop over real connections. Nothing here waits for a time to pass: each test waits for an answer or an end.

use std::net::SocketAddr;
use std::time::Duration;

use coffre_proto::audit::internal::v1::ReportRefusalsRequest;
use coffre_proto::vault::v1::{Credential, GetCredentialResponse, ListCredentialsRequest};
use coffre_test_support::certificates::{Authority, Wish};
use coffre_tls::{Files, PublicTls};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Upstream;
use crate::{Config, Limits, PublicUrl, serve};

struct Server {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<std::io::Result<()>>,
}

async fn start(upstream: &Upstream, config: Config) -> Server {
    let credential = GetCredentialResponse { credential: Some(Credential { id: 12, ..Credential::default() }) };
    upstream.reply("CredentialService/GetCredential", &credential);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel();
    let shutdown = async {
        let _ = stopped.await;
    };
    let ended = tokio::spawn(serve(listener, upstream.gateway_with(config), shutdown));
    Server { address, stop, ended }
}

fn limits(change: impl FnOnce(&mut Limits)) -> Config {
    let mut config = Config::default();
    change(&mut config.limits);
    config
}

/// Sends text and reads until the server closes the connection.
async fn talk(server: &Server, text: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

const GET: &str = "GET /v2/credentialvault/credentials/12 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n";

#[tokio::test]
async fn a_request_over_a_connection_carries_the_address_of_its_peer() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    let answer = talk(&server, format!("{GET}X-Forwarded-For: 6.6.6.6\r\n\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(upstream.last().metadata.get("x-coffre-client-address").unwrap(), "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_names_the_client() {
    let upstream = Upstream::default();
    let config = Config { trusted_proxies: vec!["127.0.0.0/8".parse().unwrap()], ..Config::default() };
    let server = start(&upstream, config).await;
    talk(&server, format!("{GET}X-Forwarded-For: 6.6.6.6, 198.51.100.7\r\n\r\n").as_bytes()).await;
    assert_eq!(upstream.last().metadata.get("x-coffre-client-address").unwrap(), "198.51.100.7");
}

#[tokio::test]
async fn who_was_told_no_url_is_reached_under_the_address_it_listens_on() {
    let upstream = Upstream::default();
    let path = "GET /.well-known/oauth-authorization-server HTTP/1.1\r\nConnection: close\r\n";
    let server = start(&upstream, Config::default()).await;
    let answer = talk(&server, format!("{path}Host: evil.example\r\n\r\n").as_bytes()).await;
    assert_eq!(body(&answer)["issuer"], format!("http://{}", server.address));
    let set = Config { public_url: PublicUrl::of("https://vault.example.org"), ..Config::default() };
    let server = start(&upstream, set).await;
    let answer = talk(&server, format!("{path}Host: evil.example\r\n\r\n").as_bytes()).await;
    assert_eq!(body(&answer)["token_endpoint"], "https://vault.example.org/oauth/token");
}

#[tokio::test]
async fn a_slow_form_has_the_shape_of_oauth_too() {
    let upstream = Upstream::default();
    let server = start(&upstream, limits(|limits| limits.body_time = Duration::from_millis(50))).await;
    let head = b"POST /oauth/token HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\ngrant_type=";
    let answer = talk(&server, head).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert_eq!(body(&answer)["error"], "invalid_request");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_slow_body_is_408() {
    let upstream = Upstream::default();
    let server = start(&upstream, limits(|limits| limits.body_time = Duration::from_millis(50))).await;
    let answer = talk(
        &server,
        b"POST /v1/authentication HTTP/1.1\r\nHost: localhost\r\nContent-Length: 40\r\n\r\n{\"username\"",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("request.timeout"), "{answer}");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn slow_headers_end_the_connection() {
    let upstream = Upstream::default();
    let server = start(&upstream, limits(|limits| limits.header_time = Duration::from_millis(50))).await;
    let answer = talk(&server, b"GET /healthz HTTP/1.1\r\nHost: loc").await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn large_headers_are_431_and_a_large_body_is_413() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    for length in [32 * 1024, 256 * 1024] {
        let answer = talk(&server, format!("{GET}X-Long: {}\r\n\r\n", "x".repeat(length)).as_bytes()).await;
        assert!(
            answer.starts_with("HTTP/1.1 431") && answer.contains("request.headers_too_large"),
            "{length}: {answer}"
        );
    }
    let body = "x".repeat(2 * 1024 * 1024);
    let head = format!("POST /v1/authentication HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
    let answer = talk(&server, format!("{head}{body}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("request.too_large"), "{answer}");
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn stopping_lets_open_requests_end_and_takes_no_new_ones() {
    let upstream = Upstream::default();
    let gate = upstream.hold();
    let config = Config::default();
    let readiness = config.readiness.clone();
    let server = start(&upstream, config).await;
    let address = server.address;
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    while upstream.calls() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    while readiness.is_ready() {
        tokio::task::yield_now().await;
    }
    assert!(!server.ended.is_finished(), "it waits for the open request");
    gate.notify_one();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.ended.await.unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_end() {
    let upstream = Upstream::default();
    let _never_opened = upstream.hold();
    let server = start(&upstream, limits(|limits| limits.drain_time = Duration::from_millis(20))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(format!("{GET}\r\n").as_bytes()).await.unwrap();
    while upstream.calls() == 0 {
        tokio::task::yield_now().await;
    }
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}

/// The body of an answer that was read to its end.
fn body(answer: &str) -> serde_json::Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[tokio::test]
async fn a_query_works_as_printed_with_raw_quotes_and_other_raw_bytes() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    for (query, names) in [
        ("consumed=\"false\"&name=\"caf\u{e9}+{x}|<y>\"", vec!["caf\u{e9} {x}|<y>".to_owned()]),
        ("consumed=%22false%22", Vec::new()),
    ] {
        let path = "/v2/credentialvault/credentials";
        let request = format!("GET {path}?{query} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = talk(&server, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let asked: ListCredentialsRequest = upstream.asked();
        assert_eq!((asked.consumed, asked.names), (Some(false), names));
    }
}

#[tokio::test]
async fn raw_quotes_work_in_every_request_of_a_connection_and_bodies_stay_as_they_are() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let body = r#"{"username":"GET /\"a\" HTTP/1.1","password":"p"}"#;
    let sign_in = format!(
        "POST /v1/authentication?x=\"y\" HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let list = "GET /v2/credentialvault/credentials?consumed=\"false\" HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for request in [&sign_in, list, list, &sign_in, list] {
        let before = upstream.calls();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let mut piece = vec![0; 64 * 1024];
        // An answer has arrived with its last brace: each is written at once, head and body.
        while !answer.ends_with('}') {
            let length = stream.read(&mut piece).await.unwrap();
            assert!(length > 0, "the connection ended: {answer}");
            answer.push_str(std::str::from_utf8(&piece[..length]).unwrap());
        }
        assert_eq!(upstream.calls(), before + 1, "{answer}");
        if request == sign_in {
            let asked: coffre_proto::auth::v1::SignInRequest = upstream.asked();
            assert_eq!(asked.username, "GET /\"a\" HTTP/1.1");
        }
    }
}

#[tokio::test]
async fn what_the_parser_refuses_has_the_documented_shape_too() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    let many: String = (0..150).map(|number| format!("X-{number}: y\r\n")).collect();
    let long = "x".repeat(66 * 1024);
    let cases = [
        (400, format!("{GET}X: y\r\n folded\r\n\r\n")),
        (400, format!("{GET}Content-Length: 1\r\nContent-Length: 2\r\n\r\n")),
        (400, format!("{GET}Bad Name: y\r\n\r\n")),
        (400, "GET /a b HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned()),
        (400, "garbage\r\n\r\n".to_owned()),
        (431, format!("{GET}{many}\r\n")),
        (431, format!("GET /{long} HTTP/1.1\r\nHost: localhost\r\n\r\n")),
    ];
    for (status, request) in cases {
        let answer = talk(&server, request.as_bytes()).await;
        let start = &request[..request.len().min(60)];
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{start}: {answer}");
        for header in ["content-type: application/json", "x-request-id: ", "connection: close", "date: ", "nosniff"] {
            assert!(answer.contains(header), "{start}: {header} is not in {answer}");
        }
        let code = if status == 400 { "request.malformed" } else { "request.headers_too_large" };
        let body = body(&answer);
        assert_eq!(body["code"], code, "{start}");
        assert!(body["details"].is_array() && body["message"].is_string(), "{start}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn a_connection_that_says_nothing_ends() {
    let upstream = Upstream::default();
    let server = start(&upstream, limits(|limits| limits.header_time = Duration::from_millis(50))).await;
    assert_eq!(talk(&server, b"").await, "");
    assert_eq!(talk(&server, b"PRI").await, "");
}

#[tokio::test]
async fn what_the_gateway_refuses_itself_is_reported_to_the_audit() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    let trace = "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\nX-Request-Id: mine\r\n";
    let head = format!("HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{trace}\r\n");
    for start in ["GET /v2/credentialvault/credentials/abc", "GET /nowhere", "POST /healthz", "GET /nowhere \x01"] {
        talk(&server, format!("{start} {head}").as_bytes()).await;
    }
    // A service answered this one, and records it.
    upstream.refuse_for("CredentialService/GetCredential", coffre_error::Reason::CredentialNotFound);
    talk(&server, format!("{GET}\r\n").as_bytes()).await;
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
    let told: Vec<_> = upstream.asked::<ReportRefusalsRequest>().refusals;
    let read: Vec<_> = told.iter().map(|told| (told.method.as_str(), told.reason().as_str_name())).collect();
    let expected = [
        ("GET /v2/credentialvault/credentials/{id}", "ERROR_REASON_REQUEST_INVALID"),
        ("", "ERROR_REASON_ROUTE_NOT_FOUND"),
        ("POST /healthz", "ERROR_REASON_ROUTE_METHOD_NOT_ALLOWED"),
        ("", "ERROR_REASON_REQUEST_MALFORMED"),
    ];
    assert_eq!(read, expected);
    assert!(told.iter().all(|told| told.client_address == "127.0.0.1" && told.time_us > 0 && told.occurrences == 1));
    assert_eq!(told[0].request_id, "mine");
    assert_eq!(told[0].trace_id, 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736_u128.to_be_bytes());
}

/// Certificates of a public port, and a client that trusts them.
fn with_tls(change: impl FnOnce(&mut Limits)) -> (Config, tempfile::TempDir, tonic::transport::Certificate) {
    let (authority, folder) = (Authority::new("ours"), tempfile::tempdir().unwrap());
    let placed = authority.place(folder.path(), &Wish::server(&["localhost"]));
    let tls = PublicTls::load(Files { cert: placed.cert, key: placed.key }).unwrap();
    (Config { tls: Some(tls), ..limits(change) }, folder, tonic::transport::Certificate::from_pem(authority.pem()))
}

/// Sends text over TLS and reads until the server closes the connection.
async fn talk_tls(server: &Server, authority: &tonic::transport::Certificate, alpn: &[u8], text: &[u8]) -> String {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.as_ref()).unwrap()).unwrap();
    let provider = std::sync::Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let stream = TcpStream::connect(server.address).await.unwrap();
    let connector = tokio_rustls::TlsConnector::from(std::sync::Arc::new(config));
    let mut stream = connector.connect("localhost".try_into().unwrap(), stream).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(alpn));
    stream.write_all(text).await.unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn over_tls_requests_are_answered_and_browsers_told_to_stay_there() {
    let upstream = Upstream::default();
    let (config, _folder, authority) = with_tls(|_| {});
    let server = start(&upstream, config).await;
    let answer = talk_tls(&server, &authority, b"http/1.1", format!("{GET}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(answer.contains("strict-transport-security: max-age=31536000\r\n"), "{answer}");
    assert_eq!(upstream.last().metadata.get("x-coffre-client-address").unwrap(), "127.0.0.1");
    // What the parser refuses, and quotes in the request line, are as without TLS.
    let answer = talk_tls(&server, &authority, b"http/1.1", b"garbage\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("request.malformed"), "{answer}");
    let query = "GET /v2/credentialvault/credentials?consumed=\"false\" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let answer = talk_tls(&server, &authority, b"http/1.1", query.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // HTTP/2 says SETTINGS first.
    let answer = talk_tls(
        &server,
        &authority,
        b"h2",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\0\x07\0\0\0\0\0",
    )
    .await;
    assert_eq!(answer.as_bytes().get(3), Some(&4), "{answer:?}");
}

#[tokio::test]
async fn in_the_clear_browsers_are_told_nothing_about_tls() {
    let upstream = Upstream::default();
    let server = start(&upstream, Config::default()).await;
    let answer = talk(&server, format!("{GET}\r\n").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && !answer.contains("strict-transport-security"), "{answer}");
}

#[tokio::test]
async fn a_handshake_that_stalls_or_is_none_ends_the_connection() {
    let upstream = Upstream::default();
    let (config, _folder, _) = with_tls(|limits| limits.header_time = Duration::from_millis(50));
    let server = start(&upstream, config).await;
    for said in [&b""[..], &[0x16, 3, 1, 2, 0, 1, 0], format!("{GET}\r\n").as_bytes()] {
        let answer = talk(&server, said).await;
        assert!(!answer.contains("HTTP/1.1"), "{answer}");
    }
    assert_eq!(upstream.calls(), 0);
}

#[tokio::test]
async fn stopping_does_not_wait_for_handshakes() {
    let upstream = Upstream::default();
    let (config, _folder, _) = with_tls(|limits| limits.drain_time = Duration::from_secs(3600));
    let server = start(&upstream, config).await;
    let _silent = TcpStream::connect(server.address).await.unwrap();
    server.stop.send(()).unwrap();
    server.ended.await.unwrap().unwrap();
}
