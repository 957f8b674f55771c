//! Who is calling: what of a REST request goes on to the services as metadata.
//!
//! A token comes as `X-Authorization: <token>`, as the old document prints it, or as `Authorization: Bearer <token>`. Both work on
//! every path. The gateway does not look into a token; the services do.

use std::net::IpAddr;

use axum::extract::FromRequestParts;
use bytes::{BufMut as _, BytesMut};
use coffre_error::{Reason, Refusal};
use coffre_trace::{TRACEPARENT, TraceContext};
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use tonic::metadata::MetadataMap;
use uuid::Uuid;

use crate::error::Failure;
use crate::receipts::Receipt;

pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_AUTHORIZATION: HeaderName = HeaderName::from_static("x-authorization");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const CLIENT_ADDRESS: HeaderName = HeaderName::from_static("x-coffre-client-address");
const SOURCE: HeaderName = HeaderName::from_static("x-coffre-source");

/// The longest request id that is taken over.
const REQUEST_ID_LENGTH: usize = 128;

/// What every request carries, with or without a token. The edge puts it into the request's extensions.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) request_id: HeaderValue,
    /// The span that it is part of, as it came or as the edge began it.
    pub(crate) trace: Option<TraceContext>,
    /// The client, as the peer or a trusted proxy names it.
    pub(crate) client: Option<Peer>,
    /// Room for the receipt of the call that the request makes.
    pub(crate) receipt: Receipt,
}

/// The other end of a connection, with its text made once a connection.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    address: IpAddr,
    text: HeaderValue,
}

impl Peer {
    /// Takes an address; a v4 address in v6 form becomes v4.
    pub(crate) fn new(address: IpAddr) -> Self {
        let address = address.to_canonical();
        Self { address, text: header_of(address) }
    }

    /// Says whether it is one of these proxies.
    pub(crate) fn is_one_of(&self, proxies: &[IpNet]) -> bool {
        proxies.iter().any(|net| net.contains(&self.address))
    }

    pub(crate) fn address(&self) -> IpAddr {
        self.address
    }
}

fn header_of(address: IpAddr) -> HeaderValue {
    HeaderValue::from_maybe_shared(address.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

impl Context {
    /// Reads what a request carries.
    pub(crate) fn of(headers: &HeaderMap, peer: Option<&Peer>, proxies: &[IpNet]) -> Self {
        Self {
            request_id: request_id(headers),
            trace: TraceContext::of(headers),
            client: peer.map(|peer| client_address(headers, peer, proxies)),
            receipt: Receipt::default(),
        }
    }
}

/// Takes over a request id of at most 128 visible ASCII characters, or makes one.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let given = headers.get(X_REQUEST_ID).filter(|value| {
        let bytes = value.as_bytes();
        !bytes.is_empty() && bytes.len() <= REQUEST_ID_LENGTH && bytes.iter().all(u8::is_ascii_graphic)
    });
    given.cloned().unwrap_or_else(|| {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text: &str = Uuid::now_v7().hyphenated().encode_lower(&mut text);
        HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// Returns the peer's address or, where the peer is a trusted proxy, the right-most hop of `X-Forwarded-For` that is none.
fn client_address(headers: &HeaderMap, peer: &Peer, proxies: &[IpNet]) -> Peer {
    let trusted = |address: &IpAddr| proxies.iter().any(|net| net.contains(address));
    if proxies.is_empty() || !trusted(&peer.address) {
        return peer.clone();
    }
    let mut client = peer.address;
    let lines: Vec<&str> = headers.get_all(X_FORWARDED_FOR).iter().map(|line| line.to_str().unwrap_or("?")).collect();
    for hop in lines.iter().rev().flat_map(|line| line.rsplit(',')) {
        let Some(address) = hop_address(hop.trim()) else { break };
        client = address;
        if !trusted(&address) {
            break;
        }
    }
    Peer::new(client)
}

/// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]` and `[2001:db8::1]:80`.
fn hop_address(hop: &str) -> Option<IpAddr> {
    let plain = hop.strip_prefix('[').and_then(|rest| rest.split_once(']')).map(|(inside, _)| inside);
    let address = plain
        .unwrap_or(hop)
        .parse()
        .ok()
        .or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))?;
    Some(IpAddr::to_canonical(&address))
}

/// Reads the token of a request, as the `authorization` of the metadata.
fn authorization(headers: &HeaderMap) -> Result<Option<HeaderValue>, Refusal> {
    let raw = only(headers, &X_AUTHORIZATION)?;
    let standard = only(headers, &AUTHORIZATION)?;
    let raw = raw.map(|value| bearer_token(value).unwrap_or_else(|| value.as_bytes()));
    // A proxy's own Authorization, such as Basic, is not for us where the token came in the other header.
    let standard = standard.filter(|value| raw.is_none() || bearer_token(value).is_some());
    let token = match (raw, standard) {
        (None, None) => return Ok(None),
        (Some(raw), None) => raw,
        (raw, Some(standard)) => {
            let Some(token) = bearer_token(standard) else {
                return Err(Refusal::new(
                    Reason::AuthTokenRequired,
                    "the Authorization header takes `Bearer <token>` here; sign in at POST /v1/authentication",
                ));
            };
            if raw.is_some_and(|raw| raw != token) {
                return Err(Refusal::new(
                    Reason::AuthTokenConflict,
                    "X-Authorization and Authorization carry different tokens; send one of them",
                ));
            }
            if standard.as_bytes().starts_with(b"Bearer ") && standard.len() == token.len() + 7 {
                return Ok(Some(sensitive(standard.clone())));
            }
            token
        }
    };
    let mut line = BytesMut::with_capacity(token.len() + 7);
    line.put_slice(b"Bearer ");
    line.put_slice(token);
    let value = HeaderValue::from_maybe_shared(line.freeze()).ok().filter(|value| value.to_str().is_ok());
    value
        .map(|value| Some(sensitive(value)))
        .ok_or_else(|| Refusal::new(Reason::AuthTokenInvalid, "the token is not one of ours; sign in again"))
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Returns a header that may be there once; an empty one counts as absent.
fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a HeaderValue>, Refusal> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        let message = format!("the header {name} is there more than once; send it once");
        return Err(Refusal::new(Reason::AuthTokenConflict, message));
    }
    Ok(first.filter(|value| !value.as_bytes().trim_ascii().is_empty()))
}

/// Returns what follows `Bearer `, in any case.
fn bearer_token(value: &HeaderValue) -> Option<&[u8]> {
    let bytes = value.as_bytes().trim_ascii();
    let (scheme, rest) = bytes.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"Bearer ").then(|| rest.trim_ascii())
}

/// A caller on its way to a service: the request's context and its token, where it has one. The services decide whether it needs one.
#[derive(Clone)]
pub(crate) struct Caller {
    context: Context,
    authorization: Option<HeaderValue>,
}

impl Caller {
    /// Returns the same caller for a further call, whose receipt is not that of the request.
    pub(crate) fn beside(&self) -> Self {
        let context = Context { receipt: Receipt::default(), ..self.context.clone() };
        Self { context, authorization: self.authorization.clone() }
    }

    /// Wraps a message with the metadata of the call.
    pub(crate) fn request<T>(self, message: T) -> tonic::Request<T> {
        let Context { request_id, trace, client, receipt } = self.context;
        let mut headers = HeaderMap::with_capacity(8);
        if let Some(authorization) = self.authorization {
            headers.insert(AUTHORIZATION, authorization);
        }
        headers.insert(X_REQUEST_ID, request_id);
        headers.insert(SOURCE, HeaderValue::from_static("API"));
        if let Some(trace) = trace {
            headers.insert(TRACEPARENT, trace.header());
        }
        if let Some(client) = client {
            headers.insert(CLIENT_ADDRESS, client.text);
        }
        let mut extensions = tonic::Extensions::new();
        extensions.insert(receipt);
        tonic::Request::from_parts(MetadataMap::from_headers(headers), extensions, message)
    }
}

fn context(parts: &mut Parts) -> Context {
    parts.extensions.remove().unwrap_or_else(|| Context::of(&parts.headers, None, &[]))
}

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let authorization = authorization(&parts.headers)?;
        Ok(Self { context: context(parts), authorization })
    }
}

/// A caller of a path that takes no token: whatever token header came along is not looked at.
pub(crate) struct Anybody(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Anybody {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(Caller { context: context(parts), authorization: None }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        headers
    }

    fn token(lines: &[(&str, &str)]) -> Result<Option<String>, Reason> {
        authorization(&headers(lines))
            .map(|value| value.map(|value| value.to_str().unwrap().to_owned()))
            .map_err(|refusal| refusal.reason())
    }

    #[test]
    fn a_token_comes_raw_or_as_bearer_in_either_header() {
        let bearer = Ok(Some("Bearer a.b.c".to_owned()));
        for lines in [
            &[("x-authorization", "a.b.c")][..],
            &[("x-authorization", "Bearer a.b.c")],
            &[("x-authorization", "bearer a.b.c")],
            &[("authorization", "Bearer a.b.c")],
            &[("authorization", "BEARER  a.b.c ")],
            &[("authorization", "Bearer a.b.c"), ("x-authorization", "a.b.c")],
            &[("authorization", "Bearer a.b.c"), ("x-authorization", "Bearer a.b.c")],
            &[("authorization", "Bearer a.b.c"), ("x-authorization", "")],
            &[("authorization", ""), ("x-authorization", "a.b.c")],
        ] {
            assert_eq!(token(lines), bearer, "{lines:?}");
        }
        assert_eq!(token(&[]), Ok(None));
        assert_eq!(token(&[("x-authorization", " ")]), Ok(None));
    }

    #[test]
    fn two_different_tokens_or_a_repeated_header_are_refused() {
        for lines in [
            &[("authorization", "Bearer a"), ("x-authorization", "b")][..],
            &[("x-authorization", "a"), ("x-authorization", "a")],
            &[("authorization", "Bearer a"), ("authorization", "Bearer a")],
            &[("authorization", "Bearer a"), ("authorization", "")],
        ] {
            assert_eq!(token(lines), Err(Reason::AuthTokenConflict), "{lines:?}");
        }
    }

    #[test]
    fn another_scheme_is_no_token() {
        for value in ["Basic YTpi", "Digest x", "a.b.c"] {
            assert_eq!(token(&[("authorization", value)]), Err(Reason::AuthTokenRequired), "{value}");
        }
        assert_eq!(token(&[("x-authorization", "caf\u{e9}")]), Err(Reason::AuthTokenInvalid));
    }

    #[test]
    fn another_scheme_beside_a_token_is_not_looked_at() {
        for value in ["Basic YTpi", "Digest x", "a.b.c"] {
            let lines = [("authorization", value), ("x-authorization", "a")];
            assert_eq!(token(&lines), Ok(Some("Bearer a".to_owned())), "{value}");
            assert_eq!(token(&[("authorization", value), ("x-authorization", "")]), Err(Reason::AuthTokenRequired));
        }
    }

    #[test]
    fn a_request_id_is_taken_when_it_is_well_formed_and_made_otherwise() {
        assert_eq!(request_id(&headers(&[("x-request-id", "abc-1")])), "abc-1");
        let longest = "x".repeat(128);
        assert_eq!(request_id(&headers(&[("x-request-id", &longest)])), longest.as_str());
        let too_long = "x".repeat(129);
        for given in ["", "two words", "caf\u{e9}", &too_long] {
            let made = request_id(&headers(&[("x-request-id", given)]));
            assert_eq!(Uuid::parse_str(made.to_str().unwrap()).unwrap().get_version_num(), 7, "{given}");
        }
    }

    #[test]
    fn forwarded_addresses_count_only_behind_a_trusted_proxy() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).to_vec();
        let cases: &[(&str, &[&str], &str)] = &[
            ("203.0.113.9", &["198.51.100.1"], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["6.6.6.6", "198.51.100.1:4711"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["[2001:db8::1]:80"], "2001:db8::1"),
            ("10.0.0.1", &["6.6.6.6, garbage, 10.0.0.3"], "10.0.0.3"),
            ("10.0.0.1", &["10.0.0.7, 10.0.0.8"], "10.0.0.7"),
        ];
        for (peer, lines, expected) in cases {
            let lines: Vec<(&str, &str)> = lines.iter().map(|line| ("x-forwarded-for", *line)).collect();
            let peer = Peer::new(peer.parse().unwrap());
            assert_eq!(client_address(&headers(&lines), &peer, &proxies).text, *expected, "{lines:?}");
        }
        let peer = Peer::new("10.0.0.1".parse().unwrap());
        assert_eq!(client_address(&headers(&[("x-forwarded-for", "1.1.1.1")]), &peer, &[]).text, "10.0.0.1");
    }

    #[test]
    fn the_metadata_carries_the_context_and_the_token() {
        let lines = [
            ("x-request-id", "r1"),
            ("authorization", "Bearer t"),
            ("x-coffre-source", "System"),
            ("x-coffre-client-address", "6.6.6.6"),
        ];
        let headers = headers(&lines);
        let peer = Peer::new("192.0.2.1".parse().unwrap());
        let caller = Caller {
            context: Context::of(&headers, Some(&peer), &[]),
            authorization: authorization(&headers).unwrap(),
        };
        let metadata = caller.request(()).metadata().clone().into_headers();
        assert_eq!(metadata.get("authorization").unwrap(), "Bearer t");
        assert!(metadata.get("authorization").unwrap().is_sensitive());
        assert_eq!(metadata.get("x-request-id").unwrap(), "r1");
        assert_eq!(metadata.get("x-coffre-source").unwrap(), "API");
        assert_eq!(metadata.get("x-coffre-client-address").unwrap(), "192.0.2.1");
    }
}
