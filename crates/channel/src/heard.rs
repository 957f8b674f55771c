//! A connection that tells when the other side has said something, or why it never did.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// A connection that tells when so many bytes were read from it.
#[derive(Debug)]
pub struct Heard<S> {
    stream: S,
    missing: usize,
    tell: Option<oneshot::Sender<io::Result<()>>>,
}

impl<S> Heard<S> {
    /// Wraps a connection, of which the other side has said nothing yet.
    pub fn new(stream: S, bytes: usize) -> (Self, oneshot::Receiver<io::Result<()>>) {
        let (tell, told) = oneshot::channel();
        (Self { stream, missing: bytes, tell: Some(tell) }, told)
    }

    fn tell(&mut self, what: io::Result<()>) {
        // Nobody may wait for it.
        let _ = self.tell.take().map(|tell| tell.send(what));
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Heard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let outcome = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if self.tell.is_some() {
            let read = buf.filled().len() - before;
            self.missing = self.missing.saturating_sub(read);
            match &outcome {
                Err(fault) => self.tell(Err(io::Error::new(fault.kind(), fault.to_string()))),
                Ok(()) if self.missing == 0 => self.tell(Ok(())),
                Ok(()) if read == 0 && buf.remaining() > 0 => self.tell(Err(io::ErrorKind::UnexpectedEof.into())),
                Ok(()) => {}
            }
        }
        Poll::Ready(outcome)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Heard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
