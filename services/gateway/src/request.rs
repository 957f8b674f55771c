//! The parts of a request as handlers take them, and the answers as they give them.

use std::future::Future;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use coffre_error::{Reason, Refusal};
use coffre_proto::query::v1::{PageInfo, Query};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, IF_MATCH, LOCATION};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use http_body_util::BodyExt as _;
use percent_encoding::percent_decode;
use serde::Serialize;

use crate::clients::Clients;
use crate::config::{Config, StatusCodes};
use crate::error::Failure;
use crate::json::{Json, Listed, Object, Paged, invalid, parse, plain_id, plain_number, read_query};

/// How much of a body that is too large is still read, so that the client gets to read the answer.
const DRAINED_BYTES: usize = 8 * 1024 * 1024;

/// How much room is made for a body before any of it is there: what is announced costs a client nothing.
const RESERVED_BYTES: usize = 64 * 1024;

/// What all handlers share.
#[derive(Clone)]
pub(crate) struct App {
    pub(crate) clients: Clients,
    pub(crate) config: Arc<Config>,
}

impl App {
    /// Answers a PUT: 304 where nothing changed and the documented status codes are wanted.
    pub(crate) fn updated(&self, changed: bool, version: i64, body: &impl Serialize) -> Response {
        if !changed && self.config.status_codes == StatusCodes::Documented {
            return (StatusCode::NOT_MODIFIED, [(ETAG, etag(version))]).into_response();
        }
        tagged(StatusCode::OK, version, body)
    }
}

/// The ids in a path, in its order. They are decoded after routing, so an encoded slash is a part of an id, and not a good one.
pub(crate) struct Ids<const N: usize>(pub(crate) [i64; N]);

impl<const N: usize, S: Send + Sync> FromRequestParts<S> for Ids<N> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::new(Reason::RequestInvalid, "the path is not UTF-8"))?;
        let mut ids = [0; N];
        let mut given = params.iter();
        for id in &mut ids {
            let Some((name, text)) = given.next() else {
                return Err(Refusal::internal("a route without its ids").into());
            };
            *id = plain_id(text)
                .ok_or_else(|| invalid(name, "must be an id: a plain decimal number from 1 to 9223372036854775807"))?;
        }
        Ok(Self(ids))
    }
}

/// The only text in a path.
pub(crate) struct Named(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Refusal::new(Reason::RequestInvalid, "the path is not UTF-8"))?;
        Ok(Self(params.iter().next().map(|(_, text)| text.to_owned()).unwrap_or_default()))
    }
}

/// The parameters of a query. Those that nobody asks for are ignored; a value may stand in double quotes, as the old document prints it.
pub(crate) struct Parameters(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for Parameters {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self::parse(parts.uri.query().unwrap_or_default())?)
    }
}

impl Parameters {
    fn parse(query: &str) -> Result<Self, Refusal> {
        let read = |pair: &str| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(key)?, decoded(value)?))
        };
        query.split('&').filter(|pair| !pair.is_empty()).map(read).collect::<Result<_, _>>().map(Self)
    }

    /// Returns a parameter without the quotes around it; empty counts as absent.
    pub(crate) fn text(&self, key: &str) -> Result<Option<&str>, Refusal> {
        let mut values = self.0.iter().filter(|(name, _)| name == key).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(invalid(key, "is there more than once; send it once"));
        }
        Ok(first.map(unquoted).filter(|value| !value.is_empty()))
    }

    /// Returns a boolean.
    pub(crate) fn flag(&self, key: &str) -> Result<Option<bool>, Refusal> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(Some(true)),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(Some(false)),
            Some(_) => Err(invalid(key, "must be true or false")),
        }
    }

    /// Returns an id.
    pub(crate) fn id(&self, key: &str) -> Result<Option<i64>, Refusal> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => {
                let id = plain_id(text).ok_or_else(|| {
                    invalid(key, "must be an id: a plain decimal number from 1 to 9223372036854775807")
                })?;
                Ok(Some(id))
            }
        }
    }

    /// Returns a number from 0.
    pub(crate) fn count(&self, key: &str) -> Result<Option<i64>, Refusal> {
        match self.text(key)? {
            None => Ok(None),
            Some(text) => {
                let number = plain_number(text)
                    .ok_or_else(|| invalid(key, "must be a plain decimal number from 0 to 9223372036854775807"))?;
                Ok(Some(number))
            }
        }
    }

    /// Returns base64 text. A `+` that nobody encoded arrives as a space, and base64 has no spaces.
    pub(crate) fn base64(&self, key: &str) -> Result<String, Refusal> {
        Ok(self.text(key)?.map(|text| text.replace(' ', "+")).unwrap_or_default())
    }
}

fn decoded(text: &str) -> Result<String, Refusal> {
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| Refusal::new(Reason::RequestInvalid, "the query is not UTF-8"))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// `If-Match` as the services take it; empty where there is none.
pub(crate) struct IfMatch(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let mut joined = String::new();
        for value in parts.headers.get_all(IF_MATCH) {
            let text = value
                .to_str()
                .map_err(|_| invalid("If-Match", "takes `*` or entity tags in double quotes, such as \"3\""))?;
            if !joined.is_empty() {
                joined.push_str(", ");
            }
            joined.push_str(text);
        }
        Ok(Self(joined))
    }
}

/// A body read as JSON, whatever its `Content-Type` says; `None` where it is empty.
pub(crate) struct JsonBody(pub(crate) Option<Json>);

impl JsonBody {
    /// Returns the body, which must be an object.
    pub(crate) fn object(self) -> Result<Object, Refusal> {
        match self.0 {
            Some(json) => Object::of(json, ""),
            None => Err(Refusal::new(Reason::RequestInvalid, "the call needs a JSON object as its body")),
        }
    }

    /// Returns the body, which may be absent or an object.
    pub(crate) fn object_or_nothing(self) -> Result<Object, Refusal> {
        match self.0 {
            None | Some(Json::Null) => Ok(Object::empty()),
            Some(json) => Object::of(json, ""),
        }
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Failure> {
        let bytes = read_whole(request, app, app.config.limits.body_bytes).await?;
        Ok(Self(parse(&bytes)?))
    }
}

/// Reads the whole body of a request, unencoded, of at most `limit` bytes.
///
/// # Errors
/// Where it is encoded, larger, ends early or does not arrive in time.
pub(crate) async fn read_whole(request: Request<Body>, app: &App, limit: usize) -> Result<Bytes, Failure> {
    refuse_encodings(request.headers())?;
    let limits = &app.config.limits;
    let read = read_body(request, limit.min(limits.body_bytes));
    tokio::time::timeout(limits.body_time, read).await.map_err(|_| Failure::slow_body())?
}

fn refuse_encodings(headers: &HeaderMap) -> Result<(), Refusal> {
    let plain = |value: &HeaderValue| value.as_bytes().is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    if headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::RequestEncodingUnsupported,
        "the Content-Encoding of the body is not taken; send the body unencoded",
    ))
}

async fn read_body(request: Request<Body>, limit: usize) -> Result<Bytes, Failure> {
    let headers = request.headers();
    let announced = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let announced = announced.unwrap_or(0);
    let waits = headers.contains_key(EXPECT);
    if announced > limit && (waits || announced > DRAINED_BYTES) {
        return Err(too_large(limit));
    }
    let mut body = request.into_body();
    let mut read = BytesMut::with_capacity(announced.min(RESERVED_BYTES));
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|_| Refusal::new(Reason::RequestMalformed, "the body ended before its announced length"))?;
        let Ok(data) = frame.into_data() else { continue };
        length += data.len();
        if length <= limit {
            read.extend_from_slice(&data);
        } else if length > DRAINED_BYTES {
            break;
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok(read.freeze()) }
}

fn too_large(limit: usize) -> Failure {
    Refusal::new(Reason::RequestTooLarge, format!("the body is larger than {limit} bytes; send less")).into()
}

/// Answers with JSON.
pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            let mut response = Response::new(Body::from(bytes));
            *response.status_mut() = status;
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
        Err(fault) => Failure::from(Refusal::internal(&fault)).into_response(),
    }
}

/// Answers with one resource and its entity tag.
pub(crate) fn tagged(status: StatusCode, version: i64, body: &impl Serialize) -> Response {
    let mut response = json(status, body);
    response.headers_mut().insert(ETAG, etag(version));
    response
}

/// Answers with a new resource, its entity tag and its path.
pub(crate) fn created(path: &str, id: i64, version: i64, body: &impl Serialize) -> Response {
    let mut response = tagged(StatusCode::CREATED, version, body);
    if let Ok(location) = HeaderValue::from_maybe_shared(format!("{path}/{id}")) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

fn etag(version: i64) -> HeaderValue {
    HeaderValue::from_maybe_shared(format!("\"{version}\"")).unwrap_or_else(|_| HeaderValue::from_static("\"0\""))
}

/// Answers a GET of a list.
///
/// # Errors
/// Where a row is not as a service should send it.
pub(crate) fn listed<T, R>(rows: Vec<R>) -> Result<Response, Failure>
where
    T: TryFrom<R> + Serialize,
    Failure: From<T::Error>,
{
    Ok(json(StatusCode::OK, &Listed { list: converted::<T, R>(rows)? }))
}

/// Answers a `POST …/list`: reads its query, asks for the rows, and writes them with their page.
///
/// # Errors
/// Where the query has another form, the service refuses, or a row is not as it should send it.
pub(crate) async fn paged<T, R, F>(body: Option<Json>, ask: impl FnOnce(Query) -> F) -> Result<Response, Failure>
where
    T: TryFrom<R> + Serialize,
    Failure: From<T::Error>,
    F: Future<Output = Result<(Vec<R>, Option<PageInfo>), Failure>>,
{
    let query = read_query(body)?;
    let offset = query.skip;
    let (rows, page) = ask(query).await?;
    Ok(json(StatusCode::OK, &Paged::new(offset, page, converted::<T, R>(rows)?)))
}

/// Turns the messages of a service into JSON.
///
/// # Errors
/// Where one is not as a service should send it.
pub(crate) fn converted<T: TryFrom<R>, R>(rows: Vec<R>) -> Result<Vec<T>, T::Error> {
    rows.into_iter().map(T::try_from).collect()
}

/// Unwraps the resource of an answer; a service that leaves it out is at fault.
pub(crate) fn present<T>(resource: Option<T>) -> Result<T, Failure> {
    resource.ok_or_else(|| Refusal::internal("a service answered without the resource").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parameters(query: &str) -> Parameters {
        Parameters::parse(query).unwrap()
    }

    #[test]
    fn booleans_come_with_and_without_quotes() {
        for query in ["consumed=true", "consumed=%22true%22", "consumed=\"true\"", "consumed=TRUE", "x=1&consumed=true"]
        {
            assert_eq!(parameters(query).flag("consumed").unwrap(), Some(true), "{query}");
        }
        for query in ["", "consumed=", "consumed", "other=1", "consumed=\"\""] {
            assert_eq!(parameters(query).flag("consumed").unwrap(), None, "{query}");
        }
        for query in ["consumed=yes", "consumed=1", "consumed=true&consumed=true"] {
            assert!(parameters(query).flag("consumed").is_err(), "{query}");
        }
    }

    #[test]
    fn ids_of_a_query_are_plain_decimals() {
        assert_eq!(parameters("userId=12").id("userId").unwrap(), Some(12));
        assert_eq!(parameters("userId=%2212%22").id("userId").unwrap(), Some(12));
        for query in ["userId=x", "userId=-1", "userId=0", "userId=9223372036854775808", "userId=1&userId=2"] {
            assert!(parameters(query).id("userId").is_err(), "{query}");
        }
    }

    #[test]
    fn counts_of_a_query_begin_at_0() {
        for (query, expected) in [("size=0", Some(0)), ("size=12", Some(12)), ("size=", None), ("", None)] {
            assert_eq!(parameters(query).count("size").unwrap(), expected, "{query}");
        }
        for query in ["size=-1", "size=x", "size=01", "size=1.0", "size=9223372036854775808", "size=1&size=1"] {
            assert!(parameters(query).count("size").is_err(), "{query}");
        }
    }

    #[test]
    fn texts_are_decoded_once() {
        assert_eq!(parameters("name=a+b%2Bc%2520").text("name").unwrap(), Some("a b+c%20"));
        assert_eq!(parameters("name=caf%C3%A9").text("name").unwrap(), Some("café"));
        assert!(Parameters::parse("name=%FF").is_err());
        assert_eq!(parameters("encryptionKey=ab+/c=").base64("encryptionKey").unwrap(), "ab+/c=");
        assert_eq!(parameters("encryptionKey=ab%2B/c%3D").base64("encryptionKey").unwrap(), "ab+/c=");
    }

    #[test]
    fn only_unencoded_bodies_are_taken() {
        for (value, taken) in [("gzip", false), ("br", false), ("identity", true), ("Identity", true), ("", true)] {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static(value));
            assert_eq!(refuse_encodings(&headers).is_ok(), taken, "{value}");
        }
        assert!(refuse_encodings(&HeaderMap::new()).is_ok());
    }
}
