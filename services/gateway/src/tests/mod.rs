//! The gateway over services that answer what a test tells them to: each convention of the published interface by its name.

mod access;
mod api_access;
mod api_keys;
mod audit;
mod audit_export;
mod audit_proofs;
mod authentication;
mod conventions;
mod credentials;
mod dashboard;
mod document;
mod errors;
mod holdings;
mod keys;
mod locker_contents;
mod lockers;
mod oauth;
mod oauth_refusals;
mod serving;
mod sharing;
mod upstream;
mod usermanagement;
mod values;

use axum::body::Body;
use coffre_proto::query::v1::{PageInfo, Query};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

pub(crate) use self::upstream::Upstream;
use crate::{Config, Gateway, StatusCodes};

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

    /// Returns status and body.
    pub(crate) fn outcome(&self) -> (u16, Value) {
        (self.status.as_u16(), self.json())
    }

    /// Fails where it is not this refusal; `context` says what was asked.
    #[track_caller]
    pub(crate) fn assert_refused(&self, status: u16, code: &str, context: &str) {
        assert_eq!(self.status, status, "{context}: {}", self.text);
        assert_eq!(self.code(), code, "{context}");
    }

    /// Fails where it has a body or another status.
    #[track_caller]
    pub(crate) fn assert_empty(&self, status: u16, context: &str) {
        assert_eq!((self.status.as_u16(), self.text.as_str()), (status, ""), "{context}");
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

/// Sends each body and expects a refusal that names its field, before any service is asked. A body without a field is refused as a whole.
pub(crate) async fn assert_forms_refused(upstream: &Upstream, method: &str, path: &str, forms: &[(&str, &str)]) {
    let (gateway, before) = (upstream.gateway(), upstream.calls());
    for (body, field) in forms {
        let answer = send(&gateway, method, path, body).await;
        answer.assert_refused(400, "request.invalid", body);
        let named = answer.json()["details"][0]["field"].as_str().unwrap_or_default().to_owned();
        assert_eq!(named, *field, "{method} {path} {body}");
        assert!(answer.json()["message"].as_str().unwrap().starts_with(field), "{method} {path} {body}");
    }
    assert_eq!(upstream.calls(), before, "{method} {path}");
}

/// Expects a PUT of which the services say that it changed nothing to answer 200 with the resource and, with the documented codes, 304.
pub(crate) async fn assert_unchanged(upstream: &Upstream, path: &str, expected: &Value) {
    let documented = Config { status_codes: StatusCodes::Documented, ..Config::default() };
    let answer = send(&upstream.gateway(), "PUT", path, "{}").await;
    assert_eq!(answer.outcome(), (200, expected.clone()), "{path}");
    let etag = answer.header("etag").unwrap();
    let unchanged = send(&upstream.gateway_with(documented), "PUT", path, "{}").await;
    unchanged.assert_empty(304, path);
    assert_eq!(unchanged.header("etag"), Some(etag), "{path}");
}

/// Expects a `POST …/list` to pass its query on and to answer `row` on the page that `reply` told of.
pub(crate) async fn assert_pages(upstream: &Upstream, path: &str, row: &Value, query: impl Fn(&Upstream) -> Query) {
    let gateway = upstream.gateway();
    let body = r#"{"filter":{"operator":"substring","field":"name","value":"share"},"sort":[{"field":"name","direction":"asc"}],"page":{"offset":"10","length":1}}"#;
    let answer = send(&gateway, "POST", path, body).await;
    let page = json!({"offset": 10, "total": 40, "totalFilter": 12, "next": "n"});
    assert_eq!(answer.outcome(), (200, json!({"page": page, "list": [row]})), "{path}");
    let asked = query(upstream);
    assert!(asked.filter.is_some(), "{path}");
    assert_eq!(
        (asked.skip, asked.page_size, asked.whole, asked.count, asked.order_by.len()),
        (10, 1, false, true, 1),
        "{path}"
    );
    for body in ["", "{}", "null"] {
        assert_eq!(send(&gateway, "POST", path, body).await.status, 200, "{path} {body}");
        assert_eq!(query(upstream), Query { whole: true, count: true, ..Query::default() }, "{path} {body}");
    }
}

/// The page that [`assert_pages`] expects.
pub(crate) fn page() -> Option<PageInfo> {
    Some(PageInfo { next_page_token: "n".into(), total_size: Some(40), filtered_size: Some(12) })
}
