//! What happens to every request before and after its route, in one function:
//! its id, its address, the limits that hold for all, the spelling of its path, and the headers of every answer.

use std::convert::Infallible;
use std::future::Future;
use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use coffre_channel::Channel;
use coffre_error::{Reason, Refusal, code};
use coffre_trace::{Key, Name, Span, within};
use coffre_types::{Clock as _, SystemClock};
use futures_util::FutureExt as _;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HOST, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri};
use tower::{Service, ServiceExt as _};
use tracing::Instrument as _;

use crate::caller::{Context, Peer, X_REQUEST_ID};
use crate::config::{Config, StatusCodes};
use crate::error::{Failure, Refused};
use crate::metrics::{RestMetrics, Route, Templates};
use crate::oauth;
use crate::places::Places;
use crate::receipts::X_AUDIT_ID;
use crate::refusals::{self, Refusals};

/// The whole gateway as a tower service. Clones share everything.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    parts: Parts,
    places: Places,
}

/// What a gateway is made of.
pub(crate) struct Parts {
    pub(crate) router: Router,
    pub(crate) config: Arc<Config>,
    pub(crate) templates: Templates,
    pub(crate) refusals: Refusals,
    /// The internal routes of the audit.
    pub(crate) intake: Channel,
}

impl Gateway {
    pub(crate) fn new(parts: Parts) -> Self {
        let places = Places::new(&parts.config.limits);
        Self(Arc::new(Inner { parts, places }))
    }

    pub(crate) fn config(&self) -> &Arc<Config> {
        &self.0.parts.config
    }

    /// Reports what the gateway refuses itself until `stop`.
    pub(crate) async fn report(&self, stop: impl Future<Output = ()>) {
        self.0.parts.refusals.run(self.0.parts.intake.clone(), stop).await;
    }

    /// Writes the refusal of a request that the HTTP parser did not take, head and body.
    pub(crate) fn refuse_unread(&self, status: StatusCode, date: &[u8], peer: &Peer) -> Vec<u8> {
        let began = Instant::now();
        let parts = &self.0.parts;
        let context = Context::of(&HeaderMap::new(), Some(peer), &[]);
        let failure = Failure::unread(status);
        let body = failure.body();
        let response = finished(failure.into_response(), context.request_id.clone(), &parts.config);
        let route = parts.templates.find(&Method::TRACE, "");
        parts.answered(route, &response, &context, began);
        let status = response.status();
        let mut out =
            format!("HTTP/1.1 {} {}\r\n", status.as_str(), status.canonical_reason().unwrap_or_default()).into_bytes();
        for (name, value) in response.headers() {
            out.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        out.extend_from_slice(format!("connection: close\r\ncontent-length: {}\r\ndate: ", body.len()).as_bytes());
        out.extend_from_slice(&[date, b"\r\n\r\n", &body].concat());
        out
    }

    /// Answers one request of a peer.
    pub(crate) async fn answer<B>(&self, mut request: Request<B>, peer: Option<&Peer>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let began = Instant::now();
        let (inner, parts) = (&*self.0, &self.0.parts);
        let _in_flight = parts.templates.metrics().map(RestMetrics::begin);
        let mut context = Context::of(request.headers(), peer, &parts.config.trusted_proxies);
        let fault = parts.refuse_early(request.headers(), request.uri()).err();
        if let Some(uri) = plain_path(request.uri().path(), request.uri().query()) {
            *request.uri_mut() = uri;
        }
        let route = parts.templates.find(request.method(), request.uri().path());
        let mut span = parts.begin(route, &mut context);
        let logged = tracing::info_span!(
            "request",
            request_id = context.request_id.to_str().unwrap_or_default(),
            trace_id = context.trace.map(|own| tracing::field::display(own.trace())),
            span_id = context.trace.map(|own| tracing::field::display(own.span())),
        );
        let answering = async move {
            let is_oauth = oauth::is_path(request.uri().path());
            let answered = match fault {
                Some(refusal) => Failure::from(refusal).into_response(),
                None => inner.answer(request, context.clone()).await,
            };
            let answered = if is_oauth { oauth::dressed(answered) } else { answered };
            let mut response = finished(answered, context.request_id.clone(), &parts.config);
            if let Some(id) = context.receipt.id() {
                response.headers_mut().insert(X_AUDIT_ID, id.clone());
            }
            parts.answered(route, &response, &context, began);
            response
        };
        let response = within(&span, answering).instrument(logged).await;
        span.note(Key::HttpStatus, i64::from(response.status().as_u16()));
        if let Some(Refused { refusal, .. }) = response.extensions().get() {
            span.note(Key::ErrorType, code(refusal.reason()));
        }
        if response.status().is_server_error() {
            span.fail();
        }
        response
    }
}

impl Parts {
    /// Begins the span of a request, by the template of its route. What is called for it, logged and recorded is part of that span.
    fn begin(&self, route: Option<&Route>, context: &mut Context) -> Span {
        let known = route.filter(|route| !route.template().is_empty());
        let method = route.map_or("other", Route::method);
        let name = || known.map_or(Name::Of(method), |route| Name::Shared(route.name().clone()));
        let mut span = self.config.tracer.serve(context.trace, name);
        context.trace = span.context().or(context.trace);
        if span.is_recorded() {
            span.note(Key::HttpMethod, method);
            span.note_request(context.request_id.to_str().unwrap_or_default());
            if let Some(route) = known {
                span.note(Key::HttpRoute, Name::Shared(route.template().clone()));
            }
        }
        span
    }

    /// Counts an answer, and notes it for the audit where the gateway refused by itself.
    fn answered(&self, route: Option<&Route>, response: &Response, context: &Context, began: Instant) {
        if let Some(route) = route {
            self.templates.observe(route, response.status(), began.elapsed());
        }
        let Some(Refused { refusal, own: true }) = response.extensions().get() else { return };
        let reason = refusal.reason();
        if response.status().is_client_error() || reason == Reason::RequestOverloaded {
            self.refusals.note(refusals::Refusal {
                time: SystemClock.now(),
                route: route.map_or_else(|| Arc::from(""), |route| route.name().clone()),
                reason,
                client_address: context.client.as_ref().map(Peer::address),
                request_id: context.request_id.to_str().unwrap_or_default().to_owned(),
                trace_id: context.trace.map(|own| own.trace_id()),
            });
        }
    }
}

impl Inner {
    async fn answer<B>(&self, mut request: Request<B>, context: Context) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<axum::BoxError>,
    {
        let sign_in = is_sign_in(request.method(), request.uri().path());
        let _place = match self.places.take(context.client.as_ref().map(Peer::address), sign_in) {
            Ok(place) => place,
            Err(full) => {
                let refusal = Refusal::new(Reason::RequestOverloaded, full.message()).retry_after(SOON);
                return Failure::from(refusal).into_response();
            }
        };
        request.extensions_mut().insert(context);
        let routed = AssertUnwindSafe(self.parts.router.clone().oneshot(request.map(Body::new))).catch_unwind();
        match tokio::time::timeout(self.parts.config.limits.request_time, routed).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_)) => Failure::from(Refusal::internal("a handler panicked")).into_response(),
            Err(_) => Failure::deadline().into_response(),
        }
    }
}

impl Parts {
    fn refuse_early(&self, headers: &HeaderMap, uri: &Uri) -> Result<(), Refusal> {
        let limit = self.config.limits.header_bytes;
        let size: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        if size + uri.path().len() + uri.query().map_or(0, str::len) > limit {
            let message = format!("the headers are larger than {limit} bytes; send less");
            return Err(Refusal::new(Reason::RequestHeadersTooLarge, message));
        }
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() {
            let message = "the header Host is there more than once; send it once";
            return Err(Refusal::new(Reason::RequestInvalid, message).violation("Host", "is there more than once"));
        }
        if let Some(allowed) = &self.config.allowed_hosts {
            // A target may name a host of its own (RFC 9112, section 3.2.2); then both must be ours.
            let is_ours = |host: &str| allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(without_port(host)));
            let named = host.map(|host| host.to_str().is_ok_and(is_ours));
            let target = uri.authority().map(|authority| is_ours(authority.as_str()));
            if named == Some(false) || target == Some(false) || (named, target) == (None, None) {
                let message = "this server answers only under the names of the loopback interface, such as localhost";
                return Err(
                    Refusal::new(Reason::RequestInvalid, message).violation("Host", "is not a name of this server")
                );
            }
        }
        Ok(())
    }
}

/// When whoever found no place may come back.
const SOON: Duration = Duration::from_secs(1);

/// Says whether somebody shows who he is: what may have to wait for its turn, or is held back. The path as the routes spell it.
fn is_sign_in(method: &Method, path: &str) -> bool {
    oauth::is_path(path)
        || (method == Method::POST && path == "/v1/authentication")
        || (method == Method::PUT && path == "/v1/authentication/password")
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.ends_with(':') => name,
        _ => host,
    }
}

/// Prefixes that are other names of the same paths.
const ALIASES: &[(&str, &str)] =
    &[("/v1/credentialvault/", "/v2/credentialvault/"), ("/v2/authentication", "/v1/authentication")];

/// Under a credential, other names of its values, as the old document prints them.
const CREDENTIALS: &str = "/v2/credentialvault/credentials/";

/// Returns the path as the routes spell it, where it differs: repeated slashes become one, a slash at the end goes, aliases are replaced.
/// Nothing is decoded here, so that an encoded slash never separates.
fn plain_path(path: &str, query: Option<&str>) -> Option<Uri> {
    let slashes = path.contains("//") || (path.len() > 1 && path.ends_with('/'));
    let aliased = ALIASES.iter().any(|(alias, _)| path.starts_with(alias));
    let values = path.ends_with("/attributevalue") || path.contains("/attributevalue/") || path.contains("/values");
    if !slashes && !aliased && !values {
        return None;
    }
    let mut plain = String::with_capacity(path.len() + 1);
    for segment in path.split('/').filter(|segment| !segment.is_empty()) {
        plain.push('/');
        plain.push_str(segment);
    }
    if plain.is_empty() {
        plain.push('/');
    }
    if let Some(replaced) = ALIASES.iter().find_map(|alias| unaliased(&plain, *alias)) {
        plain = replaced;
    }
    if let Some(rest) = plain.strip_prefix(CREDENTIALS) {
        let mut segments = rest.split('/');
        let id = segments.next().unwrap_or_default();
        if let Some(kind @ ("attributevalue" | "values")) = segments.next() {
            let behind = rest.get(id.len() + 1 + kind.len()..).unwrap_or_default();
            plain = format!("{CREDENTIALS}{id}/attributevalues{behind}");
        }
    }
    if plain == path {
        return None;
    }
    if let Some(query) = query {
        plain.push('?');
        plain.push_str(query);
    }
    PathAndQuery::from_maybe_shared(Bytes::from(plain)).ok().map(Uri::from)
}

/// Puts the name of a path in the place of its alias; an alias ends where a segment does.
fn unaliased(path: &str, (alias, name): (&str, &str)) -> Option<String> {
    let rest = path.strip_prefix(alias)?;
    let whole = alias.ends_with('/') || rest.is_empty() || rest.starts_with('/');
    whole.then(|| format!("{name}{rest}"))
}

/// Browsers that came by TLS once come by nothing else for a year (RFC 6797).
const HSTS: HeaderValue = HeaderValue::from_static("max-age=31536000");

/// Gives an answer what every answer has.
fn finished(mut response: Response, request_id: HeaderValue, config: &Config) -> Response {
    if let Some(reason) = response.extensions().get().map(|Refused { refusal, .. }| refusal.reason()) {
        if config.status_codes == StatusCodes::Documented && reason == Reason::AuthzPermissionRequired {
            *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        }
        tracing::debug!(status = response.status().as_u16(), code = code(reason), "a request was refused");
    }
    let headers = response.headers_mut();
    headers.insert(X_REQUEST_ID, request_id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if config.tls.is_some() {
        headers.insert(STRICT_TRANSPORT_SECURITY, HSTS);
    }
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if !headers.contains_key(CONTENT_SECURITY_POLICY) {
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'"));
    }
    response
}

impl<B> Service<Request<B>> for Gateway
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<axum::BoxError>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut TaskContext<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let gateway = self.clone();
        let peer = request.extensions().get::<IpAddr>().copied().map(Peer::new);
        Box::pin(async move { Ok(gateway.answer(request, peer.as_ref()).await) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_and_aliases_are_put_right() {
        for (given, expected) in [
            ("/v2/credentialvault//credentials/12", "/v2/credentialvault/credentials/12"),
            ("//v2///credentialvault/credentials//", "/v2/credentialvault/credentials"),
            ("/v2/credentialvault/credentials/", "/v2/credentialvault/credentials"),
            ("/v1/credentialvault/credentials/12?x=1", "/v2/credentialvault/credentials/12?x=1"),
            ("/v1/credentialvault//credentials", "/v2/credentialvault/credentials"),
            ("/v2/authentication", "/v1/authentication"),
            ("/v2/authentication/token?token=a//b", "/v1/authentication/token?token=a//b"),
            ("/v2/credentialvault/credentials/12/attributevalue", "/v2/credentialvault/credentials/12/attributevalues"),
            (
                "/v2/credentialvault/credentials/12/attributevalue/",
                "/v2/credentialvault/credentials/12/attributevalues",
            ),
            ("/v2/credentialvault/credentials/12/values/30", "/v2/credentialvault/credentials/12/attributevalues/30"),
            ("/v1/credentialvault/credentials/12/values/30", "/v2/credentialvault/credentials/12/attributevalues/30"),
            ("//", "/"),
        ] {
            let uri: Uri = given.parse().unwrap();
            let plain = plain_path(uri.path(), uri.query()).unwrap();
            assert_eq!(plain.to_string(), expected, "{given}");
        }
    }

    #[test]
    fn what_shows_a_secret_is_a_sign_in_and_nothing_else() {
        for (method, path, is) in [
            (Method::POST, "/v1/authentication", true),
            (Method::PUT, "/v1/authentication/password", true),
            (Method::POST, "/oauth/token", true),
            (Method::POST, "/oauth/introspect", true),
            (Method::DELETE, "/v1/authentication", false),
            (Method::GET, "/v1/authentication/token", false),
            (Method::GET, "/v2/credentialvault/credentials/12", false),
        ] {
            assert_eq!(is_sign_in(&method, path), is, "{method} {path}");
        }
    }

    #[test]
    fn other_paths_stay_as_they_came() {
        for path in [
            "/",
            "/healthz",
            "/v2/credentialvault/credentials/12/attributevalues",
            "/v2/credentialvault/credentials/12/attributevalues/30",
            "/v2/authenticationx",
            "/v2/credentialvault/credentials/%2f",
            "/v2/credentialvault/credentials/a;b",
        ] {
            assert!(plain_path(path, None).is_none(), "{path}");
        }
    }

    #[test]
    fn hosts_are_compared_without_their_port() {
        for (host, name) in [
            ("localhost", "localhost"),
            ("localhost:8080", "localhost"),
            ("127.0.0.1:80", "127.0.0.1"),
            ("[::1]:8080", "[::1]"),
            ("[::1]", "[::1]"),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
