//! The server loop: connections, their limits, and the end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use coffre_shares::Shares;
use coffre_tls::{Acceptor, Alpn};
use http::StatusCode;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot, watch};

use crate::caller::Peer;
use crate::config::Limits;
use crate::edge::Gateway;
use crate::wire::{Turn, Wire};

/// Answers requests until `shutdown` ends, then lets the open ones finish within the drain time.
///
/// # Errors
/// Where the listener has no address, or the reports to the audit panicked; the listener's other faults are logged and outlived.
pub async fn serve(listener: TcpListener, gateway: Gateway, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let limits = gateway.config().limits.clone();
    // Handshakes take no longer than headers may.
    let door = gateway.config().tls.as_ref().map(|tls| tls.acceptor(Alpn::Rest).with_patience(limits.header_time));
    gateway.config().public_url.listens_on(listener.local_addr()?, door.is_some());
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let (stop, stopping) = watch::channel(());
    let (quiet, quieted) = oneshot::channel::<()>();
    let reporting = tokio::spawn({
        let gateway = gateway.clone();
        async move { gateway.report(async { quieted.await.unwrap_or_default() }).await }
    });
    let builder = Arc::new(builder(&limits));
    let shares = Shares::new(limits.connections_per_address);
    let mut shutdown = pin!(shutdown);
    loop {
        let accepted = tokio::select! {
            accepted = next(&listener, &places) => accepted,
            () = &mut shutdown => break,
        };
        let (stream, peer, place) = match accepted {
            Ok(accepted) => accepted,
            Err(fault) => {
                // Out of file descriptors, or a connection that was gone at once: waiting is all that helps.
                tracing::warn!(%fault, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let proxied = peer.is_one_of(&gateway.config().trusted_proxies);
        let Some(share) = (if proxied { Some(Shares::free()) } else { shares.take(peer.address()) }) else {
            tracing::debug!(address = %peer.address(), "a connection was closed: its address has too many");
            continue;
        };
        let (gateway, builder, stopping, door) = (gateway.clone(), builder.clone(), stopping.clone(), door.clone());
        tokio::spawn(async move {
            match door {
                None => converse(&builder, stream, &gateway, &peer, stopping).await,
                Some(door) => {
                    if let Some(stream) = greet(&door, stream, &peer, stopping.clone()).await {
                        converse(&builder, stream, &gateway, &peer, stopping).await;
                    }
                }
            }
            drop((place, share));
        });
    }
    gateway.config().readiness.set(false);
    drop(listener);
    drop(stopping);
    let _ = stop.send(());
    if tokio::time::timeout(limits.drain_time, stop.closed()).await.is_err() {
        tracing::warn!("requests were cut off: they did not end within the drain time");
    }
    drop(quiet);
    reporting.await.map_err(io::Error::other)
}

type Accepted = (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit);

async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, Peer::new(address.ip()), place))
}

/// How much of a request's head the parser takes. The gateway measures headers itself; this bound is for what it never gets to see.
fn head_buffer(limits: &Limits) -> usize {
    limits.header_bytes.saturating_mul(4).max(64 * 1024)
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    let buffer = head_buffer(limits);
    let list = u32::try_from(buffer).unwrap_or(u32::MAX);
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(limits.header_time).max_buf_size(buffer);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(128)
        .max_header_list_size(list)
        .keep_alive_interval(Duration::from_secs(30))
        .keep_alive_timeout(Duration::from_secs(10));
    builder
}

/// Makes a handshake, unless the port is about to close.
async fn greet(
    door: &Acceptor,
    stream: TcpStream,
    peer: &Peer,
    mut stopping: watch::Receiver<()>,
) -> Option<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    let greeted = tokio::select! {
        greeted = door.accept(stream) => greeted,
        _ = stopping.changed() => return None,
    };
    greeted
        .inspect_err(|fault| tracing::debug!(address = %peer.address(), %fault, "a handshake came to nothing"))
        .ok()
        .map(|accepted| accepted.stream)
}

async fn converse(
    builder: &Builder<TokioExecutor>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    gateway: &Gateway,
    peer: &Peer,
    mut stopping: watch::Receiver<()>,
) {
    let limits = &gateway.config().limits;
    let turn = Arc::new(Turn::default());
    let answer = service_fn(|request| {
        let (gateway, peer, request) = (gateway.clone(), peer.clone(), turn.watch(request));
        async move { Ok::<_, std::convert::Infallible>(gateway.answer(request, Some(&peer)).await) }
    });
    let refuse = {
        let (gateway, peer) = (gateway.clone(), peer.clone());
        move |status: StatusCode, date: &[u8]| gateway.refuse_unread(status, date, &peer)
    };
    let wire = Wire::new(stream, turn.clone(), head_buffer(limits), refuse);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(wire), answer));
    // The parser's own patience begins with the first bytes.
    let silence = async {
        tokio::time::sleep(limits.header_time).await;
        if turn.has_spoken() {
            std::future::pending::<()>().await;
        }
    };
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = silence => return,
        // The sender says one thing only, and says it once.
        _ = stopping.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(fault) = ended {
        tracing::debug!(%fault, "a connection ended early");
    }
}
