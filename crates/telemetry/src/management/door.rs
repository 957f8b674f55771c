//! Who gets a connection to the management port, and for how long.
//!
//! Whoever asks for health or metrics is answered within moments. So a connection goes after half a minute, whatever happens on it, and where
//! many are open the oldest makes room: those that say nothing, read nothing or never end keep no probe out, and take no file descriptors from the
//! other ports.

use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// Connections at once.
const MOST: usize = 256;
/// How long one lasts.
const LONGEST: Duration = Duration::from_secs(30);
/// Bytes that are read on one: a request has far fewer.
const MOST_BYTES: usize = 32 * 1024;

/// The management port.
pub(crate) struct Door {
    listener: TcpListener,
    open: VecDeque<CancellationToken>,
    most: usize,
    longest: Duration,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, open: VecDeque::new(), most: MOST, longest: LONGEST }
    }

    fn admit(&mut self, stream: TcpStream) -> Visit {
        self.open.retain(|one| !one.is_cancelled());
        while self.open.len() >= self.most.max(1) {
            if let Some(oldest) = self.open.pop_front() {
                oldest.cancel();
            }
        }
        let over = CancellationToken::new();
        self.open.push_back(over.clone());
        let (longest, until) = (self.longest, over.clone());
        let end = Box::pin(async move {
            tokio::select! {
                () = tokio::time::sleep(longest) => {}
                () = until.cancelled() => {}
            }
        });
        Visit { stream, end, over, left: MOST_BYTES }
    }
}

impl Listener for Door {
    type Io = Visit;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visit, SocketAddr) {
        loop {
            match self.listener.accept().await {
                Ok((stream, address)) => return (self.admit(stream), address),
                Err(fault) => {
                    // Out of file descriptors, or a connection that was gone at once: waiting is all that helps.
                    tracing::warn!(%fault, "a connection to the management port was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, until its time is over.
pub(crate) struct Visit {
    stream: TcpStream,
    end: Pin<Box<dyn Future<Output = ()> + Send>>,
    over: CancellationToken,
    /// Bytes that may still be read.
    left: usize,
}

impl Visit {
    fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.over.is_cancelled() && self.end.as_mut().poll(cx).is_ready() {
            self.over.cancel();
        }
        self.over.is_cancelled()
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

fn over() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, "a connection to the management port has had its time or its bytes")
}

impl AsyncRead for Visit {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_over(cx) || self.left == 0 {
            return Poll::Ready(Err(over()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.left = self.left.saturating_sub(buffer.filled().len().saturating_sub(before));
        read
    }
}

impl AsyncWrite for Visit {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_over(cx) {
            return Poll::Ready(Err(over()));
        }
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    async fn open(most: usize, longest: Duration) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = Door { most, longest, ..Door::new(listener) };
        let router = axum::Router::new().route("/", axum::routing::get(|| async { "here\n" }));
        tokio::spawn(async move { axum::serve(door, router).await });
        address
    }

    async fn ask(stream: &mut TcpStream) -> io::Result<bool> {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await?;
        let mut bytes = [0; 1024];
        let read = stream.read(&mut bytes).await?;
        Ok(bytes.get(..read).is_some_and(|told| told.ends_with(b"here\n")))
    }

    #[tokio::test]
    async fn who_came_first_makes_room_for_who_comes_now() {
        let address = open(2, Duration::from_secs(600)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        let mut second = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut second).await.unwrap());
        let mut third = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut third).await.unwrap());
        assert!(matches!(first.read(&mut [0]).await, Ok(0) | Err(_)), "it is closed");
        assert!(ask(&mut second).await.unwrap(), "there is room for two");
    }

    #[tokio::test]
    async fn who_has_gone_takes_no_room() {
        let address = open(8, Duration::from_secs(600)).await;
        let mut first = TcpStream::connect(address).await.unwrap();
        assert!(ask(&mut first).await.unwrap());
        for _ in 0..40 {
            let mut other = TcpStream::connect(address).await.unwrap();
            other.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await.unwrap();
            // Answered, and its end was seen.
            assert!(other.read_to_end(&mut Vec::new()).await.is_ok());
        }
        assert!(ask(&mut first).await.unwrap());
    }

    #[tokio::test]
    async fn headers_without_end_are_not_gathered() {
        let address = open(8, Duration::from_secs(600)).await;
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
        let mut sent = 0;
        while stream.write_all(format!("x: {}\r\n", "x".repeat(1000)).as_bytes()).await.is_ok() {
            sent += 1;
            // What the machine's buffers hold, and what may be read.
            assert!(sent < 50_000, "it reads on and on");
        }
    }

    #[tokio::test]
    async fn a_connection_has_its_time() {
        let address = open(8, Duration::from_millis(50)).await;
        let mut silent = TcpStream::connect(address).await.unwrap();
        assert!(matches!(silent.read(&mut [0]).await, Ok(0) | Err(_)), "it is closed");
    }
}
