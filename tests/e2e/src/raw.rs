//! Bytes on a socket: requests that no decent client would send.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// An answer as it came.
#[derive(Debug)]
pub struct RawAnswer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub took: Duration,
}

impl RawAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} is not JSON: {error}: {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

/// Sends pieces of a request with a look at the answer in between, and reads the answer to its end or until `within` has passed.
///
/// A server that answers before it has read everything may close its side; what it sent until then is the answer.
pub fn exchange(address: SocketAddr, request: &[u8], within: Duration) -> Option<RawAnswer> {
    let begun = Instant::now();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5)).ok()?;
    stream.set_write_timeout(Some(within)).ok()?;
    // The answer may come, and the connection close, before all is written.
    let _ = stream.write_all(request);
    let _ = stream.flush();
    read_answer(&mut stream, begun, within)
}

/// Reads one answer.
pub fn read_answer(stream: &mut TcpStream, begun: Instant, within: Duration) -> Option<RawAnswer> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some((status, headers, start)) = head(&bytes) {
            let find = |name: &str| {
                headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone())
            };
            let whole = match (find("content-length"), find("transfer-encoding")) {
                (Some(length), _) => bytes.len() >= start + length.parse::<usize>().ok()?,
                (None, Some(_)) => bytes.ends_with(b"0\r\n\r\n"),
                (None, None) => status == 204 || status == 304,
            };
            if whole {
                let chunked = find("transfer-encoding").is_some();
                let body = if chunked { unchunk(&bytes[start..]) } else { bytes[start..].to_vec() };
                return Some(RawAnswer { status, headers, body, took: begun.elapsed() });
            }
        }
        let left = within.checked_sub(begun.elapsed())?;
        stream.set_read_timeout(Some(left.max(Duration::from_millis(1)))).ok()?;
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => {
                let (status, headers, start) = head(&bytes)?;
                return Some(RawAnswer { status, headers, body: bytes[start..].to_vec(), took: begun.elapsed() });
            }
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

type Head = (u16, Vec<(String, String)>, usize);

fn head(bytes: &[u8]) -> Option<Head> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let text = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = text.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    Some((status, headers, end + 4))
}

fn unchunk(mut bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
        let Some(length) =
            std::str::from_utf8(&bytes[..end]).ok().and_then(|hex| usize::from_str_radix(hex.trim(), 16).ok())
        else {
            break;
        };
        if length == 0 || bytes.len() < end + 2 + length + 2 {
            break;
        }
        body.extend_from_slice(&bytes[end + 2..end + 2 + length]);
        bytes = &bytes[end + 2 + length + 2..];
    }
    body
}

/// Asks for a path; the status, or nothing where nobody answers.
pub fn status_of(address: SocketAddr, path: &str) -> Option<u16> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    exchange(address, request.as_bytes(), Duration::from_secs(2)).map(|answer| answer.status)
}
