//! Replicas, and calls to them.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use coffre_channel::{Channel, Lookup, Members, Pace, Resolve, Response, Target};
use coffre_error::{Reason, Refusal};
use coffre_test_support::certificates::{Authority, Wish};
use coffre_tls::{InternalFiles, InternalTls, Service, TrustDomain};
use http::HeaderMap;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tower::Service as _;

pub(crate) const METHOD: &str = "/coffre.test.v1.TestService/Do";

/// An authority, and what it vouches for.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) authority: Authority,
    pub(crate) stop: CancellationToken,
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, authority: Authority::new("ours"), stop: CancellationToken::new() }
    }

    pub(crate) fn tls(&self, service: Service) -> InternalTls {
        self.tls_of(&self.authority, service)
    }

    pub(crate) fn tls_of(&self, authority: &Authority, service: Service) -> InternalTls {
        let folder = self.folder.path().join(uuid());
        let placed = authority.place(&folder, &Wish::service(service.as_str()));
        placed.trust(&[authority, &self.authority]);
        let files =
            InternalFiles { cert: placed.cert, key: placed.key, ca: placed.ca, trust_domain: TrustDomain::default() };
        InternalTls::load(files, service).unwrap()
    }

    /// A replica of the vault on an address of its own.
    pub(crate) async fn replica(&self, host: &str) -> Replica {
        Replica::start(&format!("{host}:0"), self.tls(Service::Vault)).await
    }

    pub(crate) fn follow(&self, addresses: &[SocketAddr]) -> Members {
        self.follow_names(&written(addresses), Arc::new(Lookup), pace())
    }

    pub(crate) fn follow_names(&self, text: &str, resolver: Arc<dyn Resolve>, pace: Pace) -> Members {
        let target = Target::parse(Service::Vault, text).unwrap();
        Members::follow_with(target, self.tls(Service::Gateway), resolver, pace, self.stop.clone())
    }
}

fn uuid() -> String {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    format!("files-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// Addresses as a setting says them.
pub(crate) fn written(addresses: &[SocketAddr]) -> String {
    addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
}

/// As in production, but that nobody waits for long.
pub(crate) fn pace() -> Pace {
    let short = Duration::from_millis(20);
    Pace { look_up: short, longest_pause: short * 2, ..Pace::default() }
}

/// What a replica does with calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manner {
    Answer,
    /// Takes the call and never answers.
    Hang,
    /// Sends the head of the answer, and no more.
    Stall,
}

/// A replica, as far as calls can tell.
pub(crate) struct Replica {
    pub(crate) address: SocketAddr,
    pub(crate) state: Arc<ReplicaState>,
    life: CancellationToken,
}

pub(crate) struct ReplicaState {
    /// Calls that it took up.
    pub(crate) taken: AtomicUsize,
    pub(crate) came: Notify,
    pub(crate) manner: Mutex<Manner>,
    pub(crate) headers: Mutex<HeaderMap>,
}

impl Replica {
    pub(crate) async fn start(address: &str, tls: InternalTls) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (state, life) = (ReplicaState::new(), CancellationToken::new());
        let (serving, living) = (state.clone(), life.clone());
        tokio::spawn(async move {
            while let Some(accepted) = living.run_until_cancelled(listener.accept()).await {
                let (stream, _) = accepted.unwrap();
                let (acceptor, state, living) = (tls.acceptor(), serving.clone(), living.clone());
                tokio::spawn(async move {
                    let talking = async {
                        if let Ok(accepted) = acceptor.accept(stream).await {
                            serve(accepted.stream, state).await;
                        }
                    };
                    living.run_until_cancelled(talking).await;
                });
            }
        });
        Self { address, state, life }
    }

    pub(crate) fn taken(&self) -> usize {
        self.state.taken.load(Ordering::SeqCst)
    }

    pub(crate) fn behave(&self, manner: Manner) {
        *self.state.manner.lock().unwrap() = manner;
    }

    /// Ends it, with its connections, as SIGKILL does.
    pub(crate) fn kill(&self) {
        self.life.cancel();
    }

    /// Waits until it has taken up so many calls.
    pub(crate) async fn has_taken(&self, count: usize) {
        while self.taken() < count {
            self.state.came.notified().await;
        }
    }
}

impl ReplicaState {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            taken: AtomicUsize::new(0),
            came: Notify::new(),
            manner: Mutex::new(Manner::Answer),
            headers: Mutex::default(),
        })
    }
}

/// Speaks HTTP/2 as our servers do.
pub(crate) async fn serve<S>(stream: S, state: Arc<ReplicaState>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let answer = service_fn(move |request: http::Request<Incoming>| {
        let state = state.clone();
        async move {
            *state.headers.lock().unwrap() = request.headers().clone();
            let asked = request.into_body().collect().await.unwrap().to_bytes();
            state.taken.fetch_add(1, Ordering::SeqCst);
            state.came.notify_one();
            let manner = *state.manner.lock().unwrap();
            let body = match manner {
                Manner::Answer => Body::new(Full::new(asked)),
                Manner::Hang => std::future::pending().await,
                Manner::Stall => Body::new(Endless),
            };
            let response = http::Response::builder().header("content-type", "application/grpc").body(body);
            Ok::<_, Infallible>(response.unwrap())
        }
    });
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(TokioIo::new(stream), answer).await;
}

/// A body that never comes.
struct Endless;

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        std::task::Poll::Pending
    }
}

/// Makes a call, and returns what the answer says.
pub(crate) async fn call(channel: &Channel, said: &str) -> Result<String, Refusal> {
    let answer = call_with(channel, said, HeaderMap::new()).await?;
    let read = answer.into_body().collect().await.map_err(|status| Refusal::from_status(&status))?;
    Ok(String::from_utf8(read.to_bytes().to_vec()).unwrap())
}

pub(crate) async fn call_with(channel: &Channel, said: &str, headers: HeaderMap) -> Result<Response, Refusal> {
    let body = Body::new(Full::new(Bytes::from(said.to_owned())));
    let mut request = http::Request::post(METHOD).body(body).unwrap();
    *request.headers_mut() = headers;
    let answered = channel.clone().call(request).await;
    answered.map_err(|fault| Refusal::from_status(fault.downcast_ref::<Status>().unwrap()))
}

/// Says whether a call came to nothing because nobody was there.
pub(crate) fn is_out_of_reach(refusal: &Refusal) -> bool {
    refusal.reason() == Reason::ServiceUnavailable && refusal.message().contains("cannot be reached; nothing was done")
}

/// Says whether it is not known what became of a call.
pub(crate) fn is_broken(refusal: &Refusal) -> bool {
    refusal.reason() == Reason::ServiceUnavailable && refusal.message().contains("is not known")
}

/// Names as a test has them.
#[derive(Default)]
pub(crate) struct Names {
    said: Mutex<HashMap<String, Result<Vec<SocketAddr>, ()>>>,
    asked: AtomicUsize,
}

impl Names {
    pub(crate) fn say(&self, host: &str, addresses: Result<Vec<SocketAddr>, ()>) {
        self.said.lock().unwrap().insert(host.to_owned(), addresses);
    }

    /// Waits until what was said was heard.
    pub(crate) async fn heard(&self) {
        let before = self.asked.load(Ordering::SeqCst);
        // The second look begins after the first one was taken.
        while self.asked.load(Ordering::SeqCst) < before + 2 {
            tokio::task::yield_now().await;
        }
    }
}

#[async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str, _: u16) -> io::Result<Vec<SocketAddr>> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let said = self.said.lock().unwrap().get(host).cloned();
        said.unwrap_or(Err(())).map_err(|()| io::Error::other("no such name"))
    }
}

/// A frame of HTTP/2 (RFC 9113, section 4.1).
pub(crate) fn frame(kind: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    bytes.extend([kind, 0]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const GOAWAY: u8 = 7;

/// Says hello, and waits until a call has arrived.
pub(crate) async fn until_a_call<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin>(stream: &mut S) {
    stream.write_all(&frame(SETTINGS, 0, &[])).await.unwrap();
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).await.unwrap();
    loop {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        stream.read_exact(&mut payload).await.unwrap();
        if head[3] == HEADERS {
            return;
        }
    }
}
