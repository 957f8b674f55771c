//! The server loop over real connections. Nothing here waits for a time to pass: each test waits for an answer or an end.

use std::net::SocketAddr;
use std::time::Duration;

use coffre_proto::vault::v1::{Credential, GetCredentialResponse};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::Upstream;
use crate::{Config, Limits, serve};

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
        assert!(answer.starts_with("HTTP/1.1 431"), "{length}: {answer}");
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
