//! The loop of a gRPC port: connections, their bounds, and the end.
//!
//! - At most so many connections are open at once; further ones wait in the machine's queue. One address has a quarter of them at most, but
//!   for this machine; further ones are closed.
//! - Who says nothing, or makes no handshake, is dropped after ten seconds.
//! - A connection takes new calls for five minutes, so that replicas that came later get their share, and none goes on under certificates
//!   that were exchanged. Its calls end in peace: the other side is told which it has to send elsewhere.

use std::future::{Future, pending};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coffre_channel::{Heard, Request, Response};
use coffre_shares::Shares;
use coffre_tls::{Acceptor, Identity};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::body::Body;
use uuid::Uuid;

use crate::metrics::ListenerSeries;

/// What every client says first (RFC 9113, section 3.4): 24 bytes and an empty SETTINGS frame.
const PREFACE_BYTES: usize = 24 + 9;

/// How much and how long.
#[derive(Clone, Debug)]
pub(crate) struct Bounds {
    pub(crate) connections: usize,
    /// Calls at once on one connection.
    pub(crate) streams: u32,
    /// How long open calls may go on after the stop.
    pub(crate) drain: Duration,
    /// How long the other side may say nothing at the beginning.
    pub(crate) silence: Duration,
    /// How long a connection takes new calls.
    pub(crate) age: Duration,
    /// How long the calls on it may go on then.
    pub(crate) grace: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            connections: 4096,
            streams: 256,
            drain: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            age: Duration::from_secs(300),
            grace: Duration::from_secs(600),
        }
    }
}

/// Who is at the other end.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) address: SocketAddr,
    pub(crate) identity: Option<Identity>,
}

/// What answers calls.
pub(crate) trait Serve: Clone + Send + Sync + 'static {
    fn answer(self, from: Arc<Arrived>, request: Request) -> impl Future<Output = Response> + Send;
}

/// A port.
pub(crate) struct Listening {
    pub(crate) name: &'static str,
    /// Makes handshakes; without it, what is said is in the clear.
    pub(crate) door: Option<Acceptor>,
    /// Tells that connections of before are to be given up.
    pub(crate) changes: Option<watch::Receiver<u64>>,
    pub(crate) metrics: Option<ListenerSeries>,
    pub(crate) bounds: Bounds,
}

impl Listening {
    /// Serves until `stop`, then lets open calls end within the drain time.
    pub(crate) async fn serve(
        self,
        listener: TcpListener,
        service: impl Serve,
        stop: CancellationToken,
    ) -> io::Result<()> {
        let places = Arc::new(Semaphore::new(self.bounds.connections.clamp(1, Semaphore::MAX_PERMITS)));
        let shares = Shares::new((self.bounds.connections / 4).max(1));
        let (port, tasks, cut) = (Arc::new(self), TaskTracker::new(), CancellationToken::new());
        while let Some(accepted) = stop.run_until_cancelled(next(&listener, &places)).await {
            let (stream, address, place) = match accepted {
                Ok(accepted) => accepted,
                Err(fault) => {
                    // Out of file descriptors, or a connection that was gone at once: waiting is all that helps.
                    tracing::warn!(%fault, "a connection was not accepted");
                    sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Some(share) = shares.take(address.ip()) else {
                tracing::debug!(listener = port.name, %address, "a connection was closed: its address has too many");
                continue;
            };
            let talking = port.clone().take(stream, address, service.clone(), stop.clone());
            let cut = cut.clone();
            tasks.spawn(async move {
                cut.run_until_cancelled(talking).await;
                drop((place, share));
            });
        }
        drop(listener);
        tasks.close();
        if timeout(port.bounds.drain, tasks.wait()).await.is_err() {
            tracing::warn!(listener = port.name, "calls were cut off: they did not end within the drain time");
            cut.cancel();
            tasks.wait().await;
        }
        Ok(())
    }

    async fn take(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        service: impl Serve,
        stop: CancellationToken,
    ) {
        // Before the handshake: what is exchanged during it counts.
        let changes = self.changes.clone().map(|mut changes| {
            changes.borrow_and_update();
            changes
        });
        // Boxed, both times: one that says nothing takes little room, and not that of a conversation.
        match &self.door {
            None => {
                let until = Instant::now() + self.bounds.silence;
                let mut first = [0];
                // It has its place, and is open, before it says anything.
                let silent = self.metrics.as_ref().map(|series| Open::count(&series.open));
                let spoke = timeout_at(until, stream.peek(&mut first));
                if let Some(Ok(Ok(1..))) = stop.run_until_cancelled(spoke).await {
                    drop(silent);
                    let from = Arrived { address, identity: None };
                    Box::pin(self.talk(stream, from, until, changes, service, stop)).await;
                }
            }
            // Nobody waits for a handshake when the port closes.
            Some(door) => match stop.run_until_cancelled(door.accept(stream)).await {
                None => {}
                Some(Ok(accepted)) => {
                    let from = Arrived { address, identity: accepted.identity };
                    let until = Instant::now() + self.bounds.silence;
                    Box::pin(self.talk(accepted.stream, from, until, changes, service, stop)).await;
                }
                Some(Err(fault)) => {
                    if let Some(series) = &self.metrics {
                        series.refused.inc();
                    }
                    tracing::debug!(listener = self.name, %address, %fault, "a handshake came to nothing");
                }
            },
        }
    }

    async fn talk<I>(
        &self,
        stream: I,
        from: Arrived,
        until: Instant,
        changes: Option<watch::Receiver<u64>>,
        service: impl Serve,
        stop: CancellationToken,
    ) where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let _open = self.metrics.as_ref().map(|series| Open::count(&series.open));
        let (address, from) = (from.address, Arc::new(from));
        let (stream, heard) = Heard::new(stream, PREFACE_BYTES);
        let answer = service_fn(move |request: http::Request<Incoming>| {
            let (service, from) = (service.clone(), from.clone());
            async move { Ok::<_, std::convert::Infallible>(service.answer(from, request.map(Body::new)).await) }
        });
        let mut connection = pin!(self.builder().serve_connection(TokioIo::new(stream), answer));
        let silence = async {
            if timeout_at(until, heard).await.is_ok() {
                // It spoke, or it is gone, which the connection sees.
                pending::<()>().await;
            }
        };
        let over = async {
            tokio::select! {
                () = stop.cancelled() => {}
                () = sleep(spread(self.bounds.age)) => {}
                () = changed(changes) => {}
            }
        };
        let ended = tokio::select! {
            ended = &mut connection => ended,
            () = silence => return,
            () = over => {
                connection.as_mut().graceful_shutdown();
                match timeout(self.bounds.grace, connection).await {
                    Ok(ended) => ended,
                    Err(_) => return tracing::debug!(listener = self.name, %address, "a connection was cut off: it did not end"),
                }
            }
        };
        if let Err(fault) = ended {
            tracing::debug!(listener = self.name, %address, %fault, "a connection ended early");
        }
    }

    fn builder(&self) -> Builder<TokioExecutor> {
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(self.bounds.streams)
            .max_header_list_size(16 * 1024)
            .max_pending_accept_reset_streams(32)
            .keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10));
        builder
    }
}

async fn next(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, address, place))
}

async fn changed(changes: Option<watch::Receiver<u64>>) {
    if let Some(mut changes) = changes
        && changes.changed().await.is_ok()
    {
        return;
    }
    pending().await
}

/// Connections that began together do not end together: up to a tenth more or less.
fn spread(age: Duration) -> Duration {
    let lot = u32::try_from(Uuid::new_v4().as_u128() % 201).unwrap_or(100);
    age / 1000 * (900 + lot)
}

/// An open connection, as it is counted.
struct Open<'g>(&'g prometheus::IntGauge);

impl<'g> Open<'g> {
    fn count(gauge: &'g prometheus::IntGauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests;
