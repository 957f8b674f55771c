//! As much of HTTP/1.1 as a load program needs: requests as bytes, the head of an answer, one blocking connection for preparing data.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use memchr::memmem::Finder;

/// A call without a body.
pub(crate) fn get(path: &str, token: Option<&str>) -> Vec<u8> {
    request("GET", path, token, None)
}

/// A call with a JSON body.
pub(crate) fn json(method: &str, path: &str, token: Option<&str>, body: &serde_json::Value) -> Vec<u8> {
    request(method, path, token, Some(&body.to_string()))
}

/// A call of a program with a form, which shows id and secret by HTTP Basic.
pub(crate) fn form(path: &str, client: &str, secret: &str, body: &str) -> Vec<u8> {
    let shown = BASE64_STANDARD.encode(format!("{client}:{secret}"));
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\nAuthorization: Basic {shown}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

fn request(method: &str, path: &str, token: Option<&str>, body: Option<&str>) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: application/json\r\n");
    // Writing to a String cannot fail.
    if let Some(token) = token {
        let _ = write!(text, "X-Authorization: {token}\r\n");
    }
    if let Some(body) = body {
        let _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    } else {
        text.push_str("\r\n");
    }
    text.into_bytes()
}

/// What the head of an answer says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body: usize,
    /// How long head and body are together.
    pub(crate) total: usize,
}

/// Finds the head of an answer. Made once, used for every answer.
pub(crate) struct HeadParser {
    end: Finder<'static>,
    length: Finder<'static>,
}

impl HeadParser {
    pub(crate) fn new() -> Self {
        Self { end: Finder::new(b"\r\n\r\n"), length: Finder::new(b"\r\ncontent-length: ") }
    }

    /// None where the head is not complete yet.
    pub(crate) fn parse(&self, bytes: &[u8]) -> Result<Option<Head>> {
        let Some(end) = self.end.find(bytes) else { return Ok(None) };
        let head = bytes.get(..end).unwrap_or_default();
        let status = head
            .strip_prefix(b"HTTP/1.1 ")
            .and_then(|rest| rest.get(..3))
            .and_then(number)
            .and_then(|status| u16::try_from(status).ok())
            .with_context(|| format!("this is no HTTP/1.1 answer: {}", String::from_utf8_lossy(head)))?;
        let length = match self.length.find(head) {
            Some(at) => {
                let rest = head.get(at + self.length.needle().len()..).unwrap_or_default();
                let digits =
                    rest.iter().position(|byte| *byte == b'\r').map_or(rest, |end| rest.get(..end).unwrap_or_default());
                number(digits).context("the Content-Length of an answer is not a number")?
            }
            None if matches!(status, 204 | 304) => 0,
            None => bail!("an answer without a Content-Length: {}", String::from_utf8_lossy(head)),
        };
        Ok(Some(Head { status, body: end + 4, total: end + 4 + length }))
    }
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// As it was on the wire, for the bare server to give again.
    pub(crate) wire: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The body as JSON, where the status is the expected one.
    pub(crate) fn json(&self, expected: u16) -> Result<serde_json::Value> {
        if self.status != expected {
            bail!("answered {} where {expected} was expected: {}", self.status, String::from_utf8_lossy(&self.body));
        }
        serde_json::from_slice(&self.body).context("the answer is not JSON")
    }

    /// The header lines, name and value.
    pub(crate) fn headers(&self) -> Vec<(String, String)> {
        let head = String::from_utf8_lossy(&self.wire);
        let lines = head.split("\r\n").skip(1).take_while(|line| !line.is_empty());
        lines
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }
}

/// Splits what was on the wire.
pub(crate) fn answer(wire: Vec<u8>) -> Result<Answer> {
    let head = HeadParser::new().parse(&wire)?.context("the answer ends within its head")?;
    let body = wire.get(head.body..head.total).context("the answer ends within its body")?.to_vec();
    Ok(Answer { status: head.status, wire, body })
}

/// One blocking connection.
pub(crate) struct Client {
    stream: TcpStream,
    parser: HeadParser,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        Ok(Self { stream, parser: HeadParser::new() })
    }

    /// Sends a request and waits for its answer.
    pub(crate) fn call(&mut self, request: &[u8]) -> Result<Answer> {
        self.stream.write_all(request)?;
        let mut wire = Vec::new();
        let mut part = vec![0; 64 * 1024];
        loop {
            let count = self.stream.read(&mut part)?;
            if count == 0 {
                bail!("the server closed the connection");
            }
            wire.extend_from_slice(part.get(..count).unwrap_or_default());
            if self.parser.parse(&wire)?.is_some_and(|head| wire.len() >= head.total) {
                return answer(wire);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_found_when_it_is_complete() {
        let parser = HeadParser::new();
        let wire = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(parser.parse(&wire[..30]).unwrap(), None);
        let head = parser.parse(wire).unwrap().unwrap();
        assert_eq!((head.status, &wire[head.body..head.total]), (200, &b"{}"[..]));
    }

    #[test]
    fn an_answer_without_length_is_refused_unless_it_has_no_body() {
        let parser = HeadParser::new();
        assert!(parser.parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert_eq!(parser.parse(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().total, 27);
        assert!(parser.parse(b"SSH-2.0\r\n\r\n").is_err());
    }
}
