//! The server loop: connections, their limits, and the end.

use std::future::Future;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::caller::Peer;
use crate::config::Limits;
use crate::edge::Gateway;

/// Answers requests until `shutdown` ends, then lets the open ones finish within the drain time.
///
/// # Errors
/// Never today; the listener's own faults are logged and outlived.
pub async fn serve(listener: TcpListener, gateway: Gateway, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let limits = gateway.config().limits.clone();
    let places = Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS)));
    let (stop, stopping) = watch::channel(());
    let builder = Arc::new(builder(&limits));
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
        let (gateway, builder, stopping) = (gateway.clone(), builder.clone(), stopping.clone());
        tokio::spawn(async move {
            converse(&builder, stream, &gateway, &peer, stopping).await;
            drop(place);
        });
    }
    gateway.config().readiness.set(false);
    drop(listener);
    drop(stopping);
    let _ = stop.send(());
    if tokio::time::timeout(limits.drain_time, stop.closed()).await.is_err() {
        tracing::warn!("requests were cut off: they did not end within the drain time");
    }
    Ok(())
}

type Accepted = (TcpStream, Peer, tokio::sync::OwnedSemaphorePermit);

async fn next(listener: &TcpListener, places: &Arc<Semaphore>) -> io::Result<Accepted> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, address) = listener.accept().await?;
    stream.set_nodelay(true)?;
    Ok((stream, Peer::new(address.ip()), place))
}

fn builder(limits: &Limits) -> Builder<TokioExecutor> {
    // The gateway measures headers itself, so that the refusal has a body; this bound is for what it never gets to see.
    let buffer = limits.header_bytes.saturating_mul(4).max(64 * 1024);
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

async fn converse(
    builder: &Builder<TokioExecutor>,
    stream: TcpStream,
    gateway: &Gateway,
    peer: &Peer,
    mut stopping: watch::Receiver<()>,
) {
    let answer = service_fn(|request| {
        let (gateway, peer) = (gateway.clone(), peer.clone());
        async move { Ok::<_, std::convert::Infallible>(gateway.answer(request, Some(&peer)).await) }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), answer));
    let ended = tokio::select! {
        ended = &mut connection => ended,
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
