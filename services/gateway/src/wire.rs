//! What stands between a connection and the HTTP parser.
//!
//! - Inwards it puts request lines right ([`RequestLine`]), at the beginning of a connection and where the request before is answered and
//!   read to its end. Between a request and the next one on a connection nobody but the parser knows the border, so a body is never touched:
//!   [`Turn`] says when the parser is through with a body. HTTP/2 never gets there.
//! - Outwards it replaces what the parser answers by itself, a head without a body, by a refusal in our shape. The parser's answer is
//!   recognised by its exact bytes, without a request id; what the gateway answers always has one, and none of our bodies holds a line end
//!   as HTTP writes it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use http::{StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::request_line::RequestLine;

/// What the parser may answer by itself.
const REFUSALS: [(&[u8], StatusCode); 3] = [
    (b"HTTP/1.1 400 Bad Request\r\n", StatusCode::BAD_REQUEST),
    (b"HTTP/1.1 414 URI Too Long\r\n", StatusCode::URI_TOO_LONG),
    (b"HTTP/1.1 431 Request Header Fields Too Large\r\n", StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
];
const BEFORE_DATE: &[u8] = b"connection: close\r\ncontent-length: 0\r\ndate: ";
const DATE_BYTES: usize = b"Sun, 06 Nov 1994 08:49:37 GMT".len();
const END: &[u8] = b"\r\n\r\n";

/// Where a connection is, as the parser's other side knows it.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// The last request was read to its end.
    read: AtomicBool,
    /// A first line has arrived.
    spoken: AtomicBool,
}

impl Turn {
    /// Says whether a first line has arrived, whatever it was.
    pub(crate) fn has_spoken(&self) -> bool {
        self.spoken.load(Ordering::Relaxed)
    }

    /// Watches the body of a request that has just begun.
    pub(crate) fn watch<B: Body>(self: &Arc<Self>, request: http::Request<B>) -> http::Request<Watched<B>> {
        let one_by_one = request.version() <= Version::HTTP_11;
        self.read.store(one_by_one && request.body().is_end_stream(), Ordering::Release);
        let turn = one_by_one.then(|| self.clone());
        request.map(|body| Watched { body, turn })
    }
}

/// A body that tells when it was read to its end.
pub(crate) struct Watched<B> {
    body: B,
    turn: Option<Arc<Turn>>,
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(cx));
        let ended = match &frame {
            None => true,
            Some(Ok(_)) => self.body.is_end_stream(),
            Some(Err(_)) => false,
        };
        if let Some(turn) = self.turn.as_ref().filter(|_| ended) {
            turn.read.store(true, Ordering::Release);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A connection as the parser sees it.
pub(crate) struct Wire<S, F> {
    stream: S,
    turn: Arc<Turn>,
    line: RequestLine,
    /// Put right and not yet read.
    incoming: Bytes,
    /// Something was written since the last line.
    answered: bool,
    /// Makes the refusal that takes the place of the parser's, from its status and the date in it.
    refuse: F,
    /// The refusal, as far as it is not yet written.
    outgoing: Bytes,
}

impl<S, F> Wire<S, F> {
    /// Wraps a connection. At most `limit` bytes of a request line are held back.
    pub(crate) fn new(stream: S, turn: Arc<Turn>, limit: usize, refuse: F) -> Self {
        let line = RequestLine::new(limit);
        Self { stream, turn, line, incoming: Bytes::new(), answered: false, refuse, outgoing: Bytes::new() }
    }

    /// Says whether the bytes that were just read belong to a request line.
    fn is_at_line(&mut self) -> bool {
        if !self.line.is_over() {
            return true;
        }
        let begins = self.answered && self.turn.read.load(Ordering::Acquire);
        self.answered = false;
        if begins {
            self.line.begin();
        }
        begins
    }

    fn deliver(&mut self, buf: &mut ReadBuf<'_>) {
        let some = self.incoming.split_to(self.incoming.len().min(buf.remaining()));
        buf.put_slice(&some);
    }
}

impl<S: AsyncRead + Unpin, F: Unpin> AsyncRead for Wire<S, F> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if !this.incoming.is_empty() {
                this.deliver(buf);
                return Poll::Ready(Ok(()));
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.stream).poll_read(cx, buf))?;
            let read = buf.filled().get(before..).unwrap_or_default();
            let instead = if read.is_empty() {
                Some(this.line.give_up()).filter(|held| !held.is_empty())
            } else if this.is_at_line() {
                let instead = this.line.feed(read);
                if this.line.is_over() {
                    this.turn.spoken.store(true, Ordering::Relaxed);
                }
                instead
            } else {
                None
            };
            match instead {
                None => return Poll::Ready(Ok(())),
                Some(bytes) => {
                    buf.set_filled(before);
                    this.incoming = bytes.into();
                }
            }
        }
    }
}

/// Finds the parser's own answer at the end of what it writes: where it begins, its status, its date.
fn parser_refusal(bytes: &[u8]) -> Option<(usize, StatusCode, &[u8])> {
    let head = bytes.strip_suffix(END)?;
    let (rest, date) = head.split_at_checked(head.len().checked_sub(DATE_BYTES)?)?;
    let rest = rest.strip_suffix(BEFORE_DATE)?;
    REFUSALS.iter().find_map(|(line, status)| Some((rest.strip_suffix(*line)?.len(), *status, date)))
}

impl<S: AsyncWrite + Unpin, F: FnMut(StatusCode, &[u8]) -> Vec<u8> + Unpin> Wire<S, F> {
    fn poll_outgoing(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.outgoing.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.outgoing))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.outgoing.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Begins to write a refusal in the place of `length` bytes of the parser's.
    fn replace(&mut self, cx: &mut Context<'_>, length: usize, status: StatusCode, date: &[u8]) -> io::Result<usize> {
        self.outgoing = (self.refuse)(status, date).into();
        match self.poll_outgoing(cx) {
            Poll::Ready(Err(fault)) => Err(fault),
            // What is left goes out with the next flush.
            Poll::Ready(Ok(())) | Poll::Pending => Ok(length),
        }
    }
}

impl<S: AsyncWrite + Unpin, F: FnMut(StatusCode, &[u8]) -> Vec<u8> + Unpin> AsyncWrite for Wire<S, F> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        this.answered = true;
        match parser_refusal(buf) {
            None => Pin::new(&mut this.stream).poll_write(cx, buf),
            Some((0, status, date)) => Poll::Ready(this.replace(cx, buf.len(), status, date)),
            // First the answers before it.
            Some((at, ..)) => Pin::new(&mut this.stream).poll_write(cx, buf.get(..at).unwrap_or(buf)),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let filled = bufs.iter().rposition(|buf| !buf.is_empty());
        let Some((last, before)) = filled.and_then(|last| bufs.get(..=last)?.split_last()) else {
            return self.poll_write(cx, &[]);
        };
        if parser_refusal(last).is_some() && before.iter().all(|buf| buf.is_empty()) {
            return self.poll_write(cx, last);
        }
        let now = if parser_refusal(last).is_some() { before } else { bufs };
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        this.answered = true;
        Pin::new(&mut this.stream).poll_write_vectored(cx, now)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.poll_outgoing(cx))?;
        Pin::new(&mut this.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    const PARSER: &[u8] =
        b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\ndate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n";

    /// Writes through a wire and returns what arrived.
    async fn written(pieces: &[&[u8]]) -> Vec<u8> {
        let (near, mut far) = duplex(64);
        let mut wire = Wire::new(near, Arc::default(), 1024, |status: StatusCode, date: &[u8]| {
            [b"ours ", status.as_str().as_bytes(), b" ", date].concat()
        });
        let all = async {
            for piece in pieces {
                wire.write_all(piece).await.unwrap();
            }
            wire.shutdown().await.unwrap();
            drop(wire);
        };
        let mut arrived = Vec::new();
        let (_, read) = tokio::join!(all, far.read_to_end(&mut arrived));
        read.unwrap();
        arrived
    }

    #[tokio::test]
    async fn the_parsers_own_refusal_is_replaced() {
        assert_eq!(written(&[PARSER]).await, b"ours 400 Sun, 06 Nov 1994 08:49:37 GMT");
        let pipelined = [b"HTTP/1.1 204 No Content\r\nx-request-id: a\r\n\r\n", PARSER].concat();
        let expected = b"HTTP/1.1 204 No Content\r\nx-request-id: a\r\n\r\nours 400 Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(written(&[&pipelined]).await, expected);
    }

    #[tokio::test]
    async fn every_other_answer_goes_out_byte_for_byte() {
        let with_id = String::from_utf8(PARSER.to_vec()).unwrap().replace("date:", "x-request-id: a\r\ndate:");
        for sent in [with_id.as_bytes(), &PARSER[1..], &PARSER[..PARSER.len() - 1], b"HTTP/1.1 100 Continue\r\n\r\n"] {
            assert_eq!(written(&[sent]).await, sent);
        }
    }

    #[tokio::test]
    async fn only_a_request_that_follows_a_whole_one_is_put_right() {
        let line = b"GET /\"a\" HTTP/1.1\r\n";
        for (read_to_its_end, answered, put_right) in
            [(true, true, true), (false, true, false), (true, false, false), (false, false, false)]
        {
            let (near, mut far) = duplex(1024);
            let turn = Arc::new(Turn::default());
            let mut wire = Wire::new(near, turn.clone(), 1024, |_: StatusCode, _: &[u8]| Vec::new());
            far.write_all(b"POST /x HTTP/1.1\r\n\r\n").await.unwrap();
            let mut buf = vec![0; 100];
            let _ = wire.read(&mut buf).await.unwrap();
            turn.read.store(read_to_its_end, Ordering::Relaxed);
            if answered {
                wire.write_all(b"HTTP/1.1 200 OK\r\n").await.unwrap();
            }
            far.write_all(line).await.unwrap();
            let length = wire.read(&mut buf).await.unwrap();
            let expected: &[u8] = if put_right { b"GET /%22a%22 HTTP/1.1\r\n" } else { line };
            assert_eq!(&buf[..length], expected, "{read_to_its_end} {answered}");
        }
    }
}
