//! A connection to one replica.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::Shared;
use crate::Heard;

/// A connection, of which the other side has said that it speaks HTTP/2. It ends after its last call once nobody holds it any more.
pub(super) struct Link {
    sender: SendRequest<Full<Bytes>>,
    ended: CancellationToken,
    cut: CancellationToken,
}

impl Link {
    /// Makes one. That the other side spoke matters: with TLS 1.3 whoever is refused learns it after the handshake.
    pub(super) async fn connect(shared: &Shared, address: SocketAddr) -> Result<Arc<Self>, String> {
        let pace = &shared.pace;
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let stream = shared.tls.connect(shared.target.service, stream).await?;
            let (stream, heard) = Heard::new(stream, 1);
            let cut = CancellationToken::new();
            let (sender, connection) = Builder::new(Until(cut.clone()))
                .timer(TokioTimer::new())
                .keep_alive_interval(pace.silence)
                .keep_alive_timeout(pace.answer)
                .keep_alive_while_idle(true)
                .handshake(TokioIo::new(stream))
                .await
                .map_err(io::Error::other)?;
            let ended = CancellationToken::new();
            let (until_cut, guard) = (cut.clone(), ended.clone().drop_guard());
            tokio::spawn(async move {
                // What broke it, its calls and the keeper's next try tell.
                let _ = until_cut.run_until_cancelled(connection).await;
                drop(guard);
            });
            heard.await.map_err(io::Error::other)??;
            Ok::<_, io::Error>(Arc::new(Self { sender, ended, cut }))
        };
        match tokio::time::timeout(pace.connect, connecting).await {
            Ok(Ok(link)) => Ok(link),
            Ok(Err(error)) => Err(format!("{address}: {error}")),
            Err(_) => Err(format!("{address}: no connection within {} ms", pace.connect.as_millis())),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    pub(super) fn sender(&self) -> SendRequest<Full<Bytes>> {
        self.sender.clone()
    }

    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Ends it with all that is on it.
    pub(super) fn cut(&self) {
        self.cut.cancel();
    }
}

/// Runs what belongs to a connection until it is cut.
#[derive(Clone)]
struct Until(CancellationToken);

impl<F> hyper::rt::Executor<F> for Until
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        let cut = self.0.clone();
        tokio::spawn(async move { cut.run_until_cancelled(future).await });
    }
}
