//! Putting right what old clients send raw in a request line.
//!
//! The published document prints `?consumed="false"`, and curl and scripts send it like that. HTTP does not allow these bytes in a target
//! (RFC 9112, section 3.2), so the parser would refuse the request. Here they are percent-encoded before the parser sees them: only in the
//! target of a line `METHOD SP target SP HTTP/1.x CRLF`, and only the bytes of [`is_raw`]. Whatever is not such a line stays byte for byte.

use std::mem;

const VERSION: &[u8] = b"HTTP/1.";
/// The longest method; `CONNECT` is the longest that is in use.
const METHOD_BYTES: usize = 20;

/// Reads request lines as they arrive, in pieces of any size.
pub(crate) struct RequestLine {
    place: Place,
    /// From the first raw byte on: kept back until the line has turned out to be a request line or not.
    held: Vec<u8>,
    limit: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the method, behind so many bytes.
    Method(usize),
    /// In the target, behind so many bytes.
    Target(usize),
    /// In the version, behind so many bytes.
    Version(usize),
    /// Behind the line, or it is none.
    Through,
}

enum Step {
    On,
    Raw,
    Complete,
    Another,
}

impl RequestLine {
    /// Expects a line. What it must hold back is at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self { place: Place::Method(0), held: Vec::new(), limit }
    }

    /// Expects the next line.
    pub(crate) fn begin(&mut self) {
        self.place = Place::Method(0);
    }

    /// Says whether the line is over, or was none.
    pub(crate) fn is_over(&self) -> bool {
        self.place == Place::Through
    }

    /// Returns what was held back, where nothing more will come.
    pub(crate) fn give_up(&mut self) -> Vec<u8> {
        self.place = Place::Through;
        mem::take(&mut self.held)
    }

    /// Takes the next bytes. Returns what goes on in their place; `None`: they go on as they are.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut from = (!self.held.is_empty()).then_some(0);
        for (at, byte) in bytes.iter().enumerate() {
            let complete = match self.step(*byte) {
                Step::On => continue,
                Step::Raw => {
                    from.get_or_insert(at);
                    continue;
                }
                Step::Complete => true,
                Step::Another => false,
            };
            let (before, rest) = bytes.split_at(from?);
            let (line, after) = rest.split_at(at + 1 - before.len());
            self.held.extend_from_slice(line);
            let held = mem::take(&mut self.held);
            let mut out = Vec::with_capacity(before.len() + 3 * held.len() + after.len());
            out.extend_from_slice(before);
            match complete && std::str::from_utf8(&held).is_ok() {
                true => encode(&held, &mut out),
                false => out.extend_from_slice(&held),
            }
            out.extend_from_slice(after);
            return Some(out);
        }
        let (before, rest) = bytes.split_at(from?);
        self.held.extend_from_slice(rest);
        let mut out = before.to_vec();
        if self.held.len() > self.limit {
            out.extend_from_slice(&self.give_up());
        }
        Some(out)
    }

    fn step(&mut self, byte: u8) -> Step {
        self.place = match (self.place, byte) {
            (Place::Method(1..), b' ') => Place::Target(0),
            (Place::Method(length @ ..METHOD_BYTES), b'A'..=b'Z' | b'-' | b'_') => Place::Method(length + 1),
            (Place::Target(1..), b' ') => Place::Version(0),
            (Place::Target(length), b'!'..=b'~' | 0x80..) => Place::Target(length.saturating_add(1)),
            (Place::Version(length @ 7), b'0'..=b'9') | (Place::Version(length @ 8), b'\r') => {
                Place::Version(length + 1)
            }
            (Place::Version(9), b'\n') => Place::Through,
            (Place::Version(length), byte) if VERSION.get(length) == Some(&byte) => Place::Version(length + 1),
            _ => {
                self.place = Place::Through;
                return Step::Another;
            }
        };
        match self.place {
            Place::Through => Step::Complete,
            Place::Target(1..) if is_raw(byte) => Step::Raw,
            _ => Step::On,
        }
    }
}

/// Says whether the parser refuses a byte in a target that clients send raw nevertheless.
fn is_raw(byte: u8) -> bool {
    matches!(byte, b'"' | b'<' | b'>' | b'{' | b'}' | b'|' | b'\\' | b'^' | b'`' | 0x80..)
}

fn encode(line: &[u8], out: &mut Vec<u8>) {
    for byte in line {
        match is_raw(*byte) {
            true => out.extend_from_slice(percent_encoding::percent_encode_byte(*byte).as_bytes()),
            false => out.push(*byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMIT: usize = 1024;

    /// Feeds pieces of these sizes, in turn.
    fn fed(bytes: &[u8], sizes: &[usize]) -> Vec<u8> {
        let mut line = RequestLine::new(LIMIT);
        let (mut out, mut rest) = (Vec::new(), bytes);
        for size in sizes.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, behind) = rest.split_at((*size).clamp(1, rest.len()));
            out.extend(line.feed(piece).unwrap_or_else(|| piece.to_vec()));
            rest = behind;
        }
        out.extend(line.give_up());
        out
    }

    #[test]
    fn raw_quotes_in_a_target_are_encoded_however_the_line_is_split() {
        let sent = "GET /v2/credentialvault/credentials?consumed=\"false\"&name=<é|{x}\\^`> HTTP/1.1\r\nX: \"y\"\r\n\r\n\"body\"";
        let expected = "GET /v2/credentialvault/credentials?consumed=%22false%22&name=%3C%C3%A9%7C%7Bx%7D%5C%5E%60%3E HTTP/1.1\r\nX: \"y\"\r\n\r\n\"body\"";
        for size in 1..sent.len() {
            assert_eq!(String::from_utf8(fed(sent.as_bytes(), &[size])).unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn what_is_no_request_line_stays_byte_for_byte() {
        for sent in [
            &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
            b"GET /\"a b\" HTTP/1.1\r\n",
            b"GET /\"a\" HTTP/2.0\r\n",
            b"GET /\"a\" HTTP/1.1\n",
            b"GET /\"a\"\x01 HTTP/1.1\r\n",
            b"GET /\"a\xff\" HTTP/1.1\r\n",
            b"GET  /\"a\" HTTP/1.1\r\n",
            b"get /\"a\" HTTP/1.1\r\n",
            b"GET /\"a\" HTTP/1.1",
            b"GET /\"a\"\r\n",
            b"\r\nGET /\"a\" HTTP/1.1\r\n",
            b"\"\"\"",
            b"",
        ] {
            for size in [1, 3, 1000] {
                assert_eq!(fed(sent, &[size]), sent, "{}", String::from_utf8_lossy(sent));
            }
        }
    }

    #[test]
    fn nothing_longer_than_the_limit_is_held_back() {
        let mut line = RequestLine::new(LIMIT);
        let start = b"GET /\"";
        assert_eq!(line.feed(start).unwrap(), b"GET /");
        let long = [b'x'; LIMIT];
        assert_eq!(line.feed(&long).unwrap().len(), LIMIT + 1);
        assert!(line.is_over() && line.feed(b"\" HTTP/1.1\r\n").is_none());
    }

    #[test]
    fn a_line_without_raw_bytes_is_not_copied() {
        let mut line = RequestLine::new(LIMIT);
        assert!(line.feed(b"GET /v2/credentialvault/credentials/12 HT").is_none());
        assert!(line.feed(b"TP/1.1\r\nHost: x\r\n\r\n").is_none());
        assert!(line.is_over());
    }

    fn qualifies(bytes: &[u8]) -> bool {
        let Some(end) = bytes.windows(2).position(|pair| pair == b"\r\n") else { return false };
        let Ok(line) = std::str::from_utf8(&bytes[..end]) else { return false };
        let parts: Vec<&str> = line.split(' ').collect();
        let [method, target, version] = parts[..] else { return false };
        !method.is_empty()
            && method.bytes().all(|byte| byte.is_ascii_uppercase() || b"-_".contains(&byte))
            && !target.is_empty()
            && !target.bytes().any(|byte| byte.is_ascii_control())
            && version.len() == 8
            && version.starts_with("HTTP/1.")
            && version.ends_with(|digit: char| digit.is_ascii_digit())
    }

    proptest! {
        #[test]
        fn bytes_stay_the_same_unless_a_request_line_qualifies(
            bytes in prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..200),
                "[A-Z]{0,5} ?/[ -~é\"]{0,30} ?HTTP/[12]\\.[01]\r?\n[ -~]{0,20}".prop_map(String::into_bytes),
            ],
            sizes in proptest::collection::vec(1_usize..40, 1..5),
        ) {
            let out = fed(&bytes, &sizes);
            if qualifies(&bytes) {
                let end = bytes.windows(2).position(|pair| pair == b"\r\n").unwrap();
                let mut expected = Vec::new();
                encode(&bytes[..end], &mut expected);
                expected.extend_from_slice(&bytes[end..]);
                prop_assert_eq!(out, expected);
            } else {
                prop_assert_eq!(out, bytes);
            }
        }

        #[test]
        fn what_was_put_right_stays_as_it_is(path in "/[!-~é]{0,40}") {
            let once = fed(format!("GET {path} HTTP/1.1\r\n").as_bytes(), &[7]);
            prop_assert_eq!(fed(&once, &[5]), once);
        }
    }
}
