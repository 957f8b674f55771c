//! What comes with a call beside its message, and whom we believe about it.

use std::net::IpAddr;
use std::sync::Arc;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::Source;
use http::{HeaderMap, HeaderName};
use uuid::Uuid;

/// Who is at the other end of the connection. It is a property of the connection, never of what the connection says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Peer {
    /// A service of ours: of this process, or known by its certificate.
    Internal(&'static str),
    /// Somebody on the network.
    Network(Option<IpAddr>),
}

impl Peer {
    /// Reads the peer from what the listener or the in-process channel put there.
    pub(crate) fn of(extensions: &http::Extensions) -> Self {
        extensions.get::<Self>().copied().unwrap_or(Self::Network(None))
    }
}

/// The names of our metadata.
pub mod header {
    use http::HeaderName;

    /// The request id.
    pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
    /// The caller's address; believed from an internal peer only.
    pub const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-coffre-client-address");
    /// How the call came; believed from an internal peer only.
    pub const SOURCE: HeaderName = HeaderName::from_static("x-coffre-source");
    /// In answers: the id of the call's entry in the audit.
    pub const AUDIT_ID: HeaderName = HeaderName::from_static("x-audit-id");
    /// W3C trace context.
    pub const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
}

/// What the metadata says, as far as the peer is believed.
pub(crate) struct Origin {
    pub(crate) request_id: Arc<str>,
    pub(crate) trace_id: Option<[u8; 16]>,
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) source: Source,
}

impl Origin {
    pub(crate) fn read(headers: &HeaderMap, peer: Peer) -> Self {
        let request_id = text(headers, &header::REQUEST_ID)
            .filter(|id| is_request_id(id))
            .map_or_else(|| Arc::from(Uuid::now_v7().to_string()), Arc::from);
        let trace_id = text(headers, &header::TRACEPARENT).and_then(trace_id);
        match peer {
            Peer::Internal(_) => Self {
                request_id,
                trace_id,
                client_address: text(headers, &header::CLIENT_ADDRESS).and_then(|address| address.parse().ok()),
                source: match text(headers, &header::SOURCE) {
                    Some("API") => Source::Api,
                    Some("Console") => Source::Console,
                    _ => Source::System,
                },
            },
            Peer::Network(address) => Self { request_id, trace_id, client_address: address, source: Source::Grpc },
        }
    }
}

/// Says whether a text may be a request id: 1 to 128 visible ASCII characters.
fn is_request_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// Reads the trace id of a `traceparent` (W3C Trace Context, section 3.2.2).
fn trace_id(text: &str) -> Option<[u8; 16]> {
    let mut parts = text.split('-');
    let (version, id) = (parts.next()?, parts.next()?);
    if version.len() != 2 || version == "ff" || id.len() != 32 || id.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return None;
    }
    let id = u128::from_str_radix(id, 16).ok().filter(|id| *id != 0)?;
    Some(id.to_be_bytes())
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns the bearer token (RFC 6750, section 2.1), or `None` where there is no `authorization` at all.
///
/// # Errors
/// A repeated header, and one that is no bearer token.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<Option<&str>, Refusal> {
    let mut values = headers.get_all(http::header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(Refusal::new(
            Reason::AuthTokenConflict,
            "the authorization metadata is there twice; send one token",
        ));
    }
    let value = value.to_str().unwrap_or_default();
    match value.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(Some(token.trim())),
        _ => Err(Refusal::new(Reason::AuthTokenInvalid, "the authorization metadata takes the form `Bearer <token>`")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_static(value));
        }
        map
    }

    #[test]
    fn address_and_source_count_from_an_internal_peer_only() {
        let map = headers(&[("x-coffre-client-address", "203.0.113.9"), ("x-coffre-source", "API")]);
        let inside = Origin::read(&map, Peer::Internal("gateway"));
        assert_eq!(inside.client_address, Some("203.0.113.9".parse().unwrap()));
        assert_eq!(inside.source, Source::Api);
        let peer: IpAddr = "198.51.100.7".parse().unwrap();
        let outside = Origin::read(&map, Peer::Network(Some(peer)));
        assert_eq!(outside.client_address, Some(peer));
        assert_eq!(outside.source, Source::Grpc);
    }

    #[test]
    fn odd_request_ids_are_replaced() {
        let kept = Origin::read(&headers(&[("x-request-id", "abc-1")]), Peer::Network(None));
        assert_eq!(&*kept.request_id, "abc-1");
        let replaced = Origin::read(&headers(&[("x-request-id", "a b")]), Peer::Network(None));
        assert_ne!(&*replaced.request_id, "a b");
    }

    #[test]
    fn trace_ids_follow_the_standard() {
        assert!(trace_id("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").is_some());
        assert!(trace_id("00-00000000000000000000000000000000-00f067aa0ba902b7-01").is_none());
        assert!(trace_id("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01").is_none());
        assert!(trace_id("garbage").is_none());
    }

    #[test]
    fn two_tokens_are_one_too_many() {
        let twice = headers(&[("authorization", "Bearer a"), ("authorization", "Bearer a")]);
        assert_eq!(bearer(&twice).unwrap_err().reason(), Reason::AuthTokenConflict);
        assert_eq!(bearer(&headers(&[("authorization", "bearer a")])).unwrap(), Some("a"));
        assert_eq!(bearer(&headers(&[("authorization", "Basic a")])).unwrap_err().reason(), Reason::AuthTokenInvalid);
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
    }
}
