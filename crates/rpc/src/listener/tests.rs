//! The loop over real connections. Nothing waits for a time to pass: each test waits for an answer or an end.

use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2::SendRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;

/// Answers, or waits until it is let go.
#[derive(Clone, Default)]
struct House {
    calls: Arc<AtomicUsize>,
    waiting: Arc<Notify>,
    let_go: Arc<Notify>,
}

impl Serve for House {
    async fn answer(self, _: Arc<Arrived>, request: Request) -> Response {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if request.uri().path() == "/wait" {
            self.waiting.notify_one();
            self.let_go.notified().await;
        }
        http::Response::new(Body::empty())
    }
}

struct Port {
    address: SocketAddr,
    house: House,
    stop: CancellationToken,
    change: watch::Sender<u64>,
    ended: JoinHandle<io::Result<()>>,
}

async fn open(bounds: Bounds) -> Port {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (house, stop, (change, changes)) = (House::default(), CancellationToken::new(), watch::channel(0));
    let listening = Listening { name: "test", door: None, changes: Some(changes), metrics: None, bounds };
    let ended = tokio::spawn(listening.serve(listener, house.clone(), stop.clone()));
    Port { address, house, stop, change, ended }
}

type Client = SendRequest<Empty<Bytes>>;

async fn client(port: &Port) -> (Client, JoinHandle<hyper::Result<()>>) {
    let stream = TcpStream::connect(port.address).await.unwrap();
    let (client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (client, tokio::spawn(connection))
}

async fn ask(client: &mut Client, path: &str) -> hyper::Result<()> {
    let request = http::Request::get(format!("http://localhost{path}")).body(Empty::new()).unwrap();
    client.send_request(request).await?.into_body().collect().await.map(drop)
}

#[tokio::test]
async fn who_says_nothing_or_half_of_it_is_dropped() {
    let port = open(Bounds { silence: Duration::from_millis(50), ..Bounds::default() }).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let mut speaking = TcpStream::connect(port.address).await.unwrap();
    speaking.write_all(preface).await.unwrap();
    let (mut client, _connection) = client(&port).await;
    for said in [&b""[..], b"PRI * HTTP/2.0\r\n\r\n", &preface[..32]] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(said).await.unwrap();
        let mut read = Vec::new();
        let _ = stream.read_to_end(&mut read).await;
    }
    // Who spoke is still there, though it came before them.
    ask(&mut client, "/").await.unwrap();
    let mut heads = [0; 9];
    speaking.read_exact(&mut heads).await.unwrap();
    assert_eq!(heads[3], 4, "SETTINGS");
    assert!(speaking.try_read(&mut [0; 64]).map_or(true, |read| read > 0), "it was hung up on");
}

#[tokio::test]
async fn a_connection_that_is_old_takes_no_new_call_and_ends_its_open_one_in_peace() {
    let port = open(Bounds { age: Duration::from_millis(50), ..Bounds::default() }).await;
    let (mut old, connection) = client(&port).await;
    let mut waiting = old.clone();
    let open = tokio::spawn(async move { ask(&mut waiting, "/wait").await });
    port.house.waiting.notified().await;
    // Sooner or later calls are refused there, none of them after it was taken up.
    let mut answered = 1;
    while ask(&mut old, "/").await.is_ok() {
        answered += 1;
    }
    assert_eq!(port.house.calls.load(Ordering::SeqCst), answered);
    assert!(!open.is_finished());
    port.house.let_go.notify_one();
    open.await.unwrap().unwrap();
    connection.await.unwrap().unwrap();
}

#[tokio::test]
async fn connections_of_before_an_exchange_of_certificates_are_given_up() {
    let port = open(Bounds::default()).await;
    let (mut before, connection) = client(&port).await;
    ask(&mut before, "/").await.unwrap();
    port.change.send_modify(|number| *number += 1);
    while ask(&mut before, "/").await.is_ok() {}
    connection.await.unwrap().unwrap();
    let (mut after, _) = client(&port).await;
    ask(&mut after, "/").await.unwrap();
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_cut_off_after_the_grace() {
    let short = Duration::from_millis(30);
    let port = open(Bounds { age: short, grace: short, ..Bounds::default() }).await;
    let (mut client, _connection) = client(&port).await;
    assert!(ask(&mut client, "/wait").await.is_err());
}

#[tokio::test]
async fn stopping_waits_for_open_calls_and_not_for_idle_connections() {
    let port = open(Bounds::default()).await;
    let _silent = client(&port).await;
    let (mut client, _connection) = client(&port).await;
    let open = tokio::spawn(async move { ask(&mut client, "/wait").await });
    port.house.waiting.notified().await;
    port.stop.cancel();
    while TcpStream::connect(port.address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!port.ended.is_finished());
    port.house.let_go.notify_one();
    open.await.unwrap().unwrap();
    port.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn stopping_cuts_off_what_does_not_end_in_time() {
    let port = open(Bounds { drain: Duration::from_millis(30), ..Bounds::default() }).await;
    let (mut client, _connection) = client(&port).await;
    let open = tokio::spawn(async move { ask(&mut client, "/wait").await });
    port.house.waiting.notified().await;
    port.stop.cancel();
    port.ended.await.unwrap().unwrap();
    assert!(open.await.unwrap().is_err());
}

#[tokio::test]
async fn headers_beyond_the_bound_reach_nobody() {
    let port = open(Bounds::default()).await;
    let (mut client, _connection) = client(&port).await;
    let request = |bytes: usize| {
        http::Request::get("http://localhost/").header("x-long", "x".repeat(bytes)).body(Empty::<Bytes>::new()).unwrap()
    };
    client.send_request(request(8 * 1024)).await.unwrap();
    let refused = client.send_request(request(64 * 1024)).await;
    assert!(refused.map_or(true, |answer| answer.status() == http::StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE));
    assert_eq!(port.house.calls.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn who_opens_and_resets_calls_without_end_is_hung_up_on() {
    let port = open(Bounds::default()).await;
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut flood = Vec::new();
    for number in 0..2_000_u32 {
        let id = (number * 2 + 1).to_be_bytes();
        // HEADERS with END_HEADERS and END_STREAM: GET, http, /wait, by the static table and one literal (RFC 7541).
        let block = [&[0x82, 0x86, 0x04, 0x05][..], b"/wait"].concat();
        flood.extend([0, 0, u8::try_from(block.len()).unwrap(), 1, 5]);
        flood.extend(id);
        flood.extend(&block);
        flood.extend([0, 0, 4, 3, 0]);
        flood.extend(id);
        flood.extend([0, 0, 0, 8]);
    }
    // It may end before all is written.
    let _ = stream.write_all(&flood).await;
    let mut read = Vec::new();
    let _ = stream.read_to_end(&mut read).await;
    let (mut other, _connection) = client(&port).await;
    ask(&mut other, "/").await.unwrap();
}
