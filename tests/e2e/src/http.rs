//! A REST client that sends paths and headers as they are given.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// Longer than any call may take.
const PATIENCE: Duration = Duration::from_secs(45);

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    address: SocketAddr,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl HttpAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as JSON; `null` where it is empty.
    pub fn json(&self) -> Value {
        if self.body.is_empty() {
            return Value::Null;
        }
        serde_json::from_slice(&self.body).unwrap_or_else(|error| {
            panic!("{} is not JSON: {error}: {:?}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The code word of a refusal, after a look at its shape.
    pub fn code(&self) -> String {
        let json = self.json();
        let object = json.as_object().unwrap_or_else(|| panic!("{}: not an object: {json}", self.status));
        for key in ["code", "message", "details"] {
            assert!(object.contains_key(key), "{}: a refusal has code, details and message: {json}", self.status);
        }
        assert!(!json["message"].as_str().unwrap_or_default().is_empty(), "a refusal says what was wrong: {json}");
        json["code"].as_str().unwrap_or_else(|| panic!("the code is a word: {json}")).to_owned()
    }

    /// The code word of a refusal of the OAuth side (RFC 6749 section 5.2), in the words of the contract, after a look at its shape.
    pub fn oauth_code(&self) -> String {
        let json = self.json();
        let error = json["error"].as_str().unwrap_or_else(|| panic!("{}: no OAuth error: {json}", self.status));
        let text = json["error_description"].as_str().unwrap_or_default();
        assert!(!text.is_empty(), "a refusal says what was wrong: {json}");
        let is_allowed = |byte: u8| matches!(byte, 0x20..=0x21 | 0x23..=0x5b | 0x5d..=0x7e);
        assert!(error.bytes().chain(text.bytes()).all(is_allowed), "RFC 6749 allows other signs: {json}");
        assert_eq!(self.header("cache-control"), Some("no-store"), "{:?}", self.headers);
        match (self.status, error) {
            (401, "invalid_client") => {
                let challenge = self.header("www-authenticate").unwrap_or_default();
                assert!(challenge.starts_with("Basic "), "401 names the scheme: {:?}", self.headers);
                "oauth.invalid_client"
            }
            (400, "invalid_request") => "request.invalid",
            (400, "invalid_grant" | "unauthorized_client" | "invalid_scope" | "unsupported_grant_type") => {
                return format!("oauth.{error}");
            }
            (413, "invalid_request") => "request.too_large",
            (429, "temporarily_unavailable") => "auth.throttled",
            (503, "temporarily_unavailable") => "service.unavailable",
            other => panic!("no OAuth refusal of ours: {other:?}: {json}"),
        }
        .to_owned()
    }

    /// Panics where the answer is not the refusal that is expected.
    #[track_caller]
    pub fn refused(&self, status: u16, code: &str) -> &Self {
        let found = (self.status, if self.body.is_empty() { String::new() } else { self.code() });
        assert_eq!(found, (status, code.to_owned()), "{}", String::from_utf8_lossy(&self.body));
        self
    }

    /// Panics where the answer has another status, and returns its JSON.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json()
    }
}

/// A request under construction.
#[derive(Debug)]
pub struct HttpRequest<'h> {
    http: &'h Http,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
}

impl Http {
    pub fn new(address: SocketAddr) -> Self {
        Self::from_address(address, None)
    }

    /// A client that comes from another address of this machine.
    pub fn from_address(address: SocketAddr, from: Option<IpAddr>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(from);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_secs(5)));
        Self { client: Client::builder(TokioExecutor::new()).build(connector), address }
    }

    pub fn request(&self, method: Method, path: impl Into<String>) -> HttpRequest<'_> {
        HttpRequest { http: self, method, path: path.into(), headers: HeaderMap::new(), body: Bytes::new() }
    }

    pub fn get(&self, path: impl Into<String>) -> HttpRequest<'_> {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: impl Into<String>) -> HttpRequest<'_> {
        self.request(Method::POST, path)
    }

    pub fn put(&self, path: impl Into<String>) -> HttpRequest<'_> {
        self.request(Method::PUT, path)
    }

    pub fn delete(&self, path: impl Into<String>) -> HttpRequest<'_> {
        self.request(Method::DELETE, path)
    }
}

impl HttpRequest<'_> {
    /// Sends the token the way the old scripts do.
    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("x-authorization", token)
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.append(HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
        self
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.header("content-type", "application/json").body(body.to_string())
    }

    #[must_use]
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends it.
    ///
    /// # Errors
    /// Where no answer came.
    pub async fn try_send(self) -> anyhow::Result<HttpAnswer> {
        let mut request =
            Request::builder().method(self.method).uri(format!("http://{}{}", self.http.address, self.path));
        *request.headers_mut().ok_or_else(|| anyhow::anyhow!("not a path: {}", self.path))? = self.headers;
        let request = request.body(Full::new(self.body))?;
        tokio::time::timeout(PATIENCE, async {
            let answer = self.http.client.request(request).await?;
            let (parts, body) = answer.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(HttpAnswer { status: parts.status.as_u16(), headers: parts.headers, body })
        })
        .await?
    }

    /// Sends it.
    pub async fn send(self) -> HttpAnswer {
        let what = format!("{} {}", self.method, self.path);
        self.try_send().await.unwrap_or_else(|error| panic!("{what}: no answer: {error:#}"))
    }
}
