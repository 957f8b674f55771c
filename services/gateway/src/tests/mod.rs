//! The gateway over services that answer what a test tells them to: each convention of the published interface by its name.

mod audit;
mod authentication;
mod conventions;
mod credentials;
mod document;
mod errors;
mod serving;
mod upstream;
mod usermanagement;
mod values;

use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::Value;
use tower::ServiceExt as _;

pub(crate) use self::upstream::Upstream;
use crate::Gateway;

/// An answer that has fully arrived.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    /// Reads the body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|fault| panic!("{fault}: {:?}", self.text))
    }

    /// Returns the `code` of a refusal.
    pub(crate) fn code(&self) -> String {
        self.json()["code"].as_str().unwrap().to_owned()
    }

    /// Returns a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }
}

/// Sends a request with a token.
pub(crate) async fn send(gateway: &Gateway, method: &str, uri: &str, body: &str) -> Answer {
    send_with(gateway, method, uri, &[("x-authorization", "the.token.x")], body.to_owned()).await
}

/// Sends a request with these headers.
pub(crate) async fn send_with(
    gateway: &Gateway,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: impl Into<Body>,
) -> Answer {
    let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, value.as_bytes());
    }
    let response = gateway.clone().oneshot(request.body(body.into()).unwrap()).await.unwrap();
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    Answer { status: parts.status, headers: parts.headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
}
