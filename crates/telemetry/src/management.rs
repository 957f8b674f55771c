//! The management port: for probes and collectors, never for callers.
//!
//! Where it is bound to the loopback interface it answers only under names of that interface: otherwise a page in a browser could read it
//! under a name of its own that leads here.

mod door;

use std::net::IpAddr;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use prometheus::{Encoder as _, Registry, TextEncoder};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Health, State};
use door::Door;

/// Serves `/livez`, `/readyz` with components and `/metrics` until `stop`.
///
/// # Errors
/// Where the listener fails.
pub async fn serve(
    listener: TcpListener,
    registry: Registry,
    health: Health,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let loopback = listener.local_addr()?.ip().is_loopback();
    let router = router(registry, health, loopback);
    axum::serve(Door::new(listener), router).with_graceful_shutdown(async move { stop.cancelled().await }).await
}

fn router(registry: Registry, health: Health, loopback: bool) -> Router {
    let router = Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .layer(from_fn(one_answer))
        .with_state((registry, health));
    if loopback { router.layer(from_fn(only_loopback_names)) } else { router }
}

/// One answer a connection: whoever asks on and on without reading has the machine work for one.
async fn one_answer(request: Request, next: Next) -> Response {
    let mut answer = next.run(request).await;
    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    answer
}

async fn only_loopback_names(request: Request, next: Next) -> Response {
    if names_loopback(request.headers()) && request.uri().host().is_none_or(is_loopback) {
        return next.run(request).await;
    }
    (StatusCode::BAD_REQUEST, "this port answers only under the names of the loopback interface, such as localhost\n")
        .into_response()
}

/// Says whether there is one `Host`, and it is a name of the loopback interface.
fn names_loopback(headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next().and_then(|host| host.to_str().ok()), hosts.next()) else { return false };
    let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    is_loopback(name.map_or(host, |(name, _)| name))
}

fn is_loopback(name: &str) -> bool {
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

async fn ready(Shared((_, health)): Shared<(Registry, Health)>) -> Response {
    let components: serde_json::Map<String, serde_json::Value> = health
        .components()
        .into_iter()
        .map(|(name, state)| {
            let value = match state {
                State::Ready => serde_json::json!({"state": "ready"}),
                State::Degraded(why) => serde_json::json!({"state": "degraded", "detail": why}),
                State::Failed(why) => serde_json::json!({"state": "failed", "detail": why}),
            };
            (name.to_owned(), value)
        })
        .collect();
    let ready = health.is_ready();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, axum::Json(serde_json::json!({"ready": ready, "components": components}))).into_response()
}

async fn metrics(Shared((registry, _)): Shared<(Registry, Health)>) -> Response {
    let mut text = Vec::new();
    match TextEncoder::new().encode(&registry.gather(), &mut text) {
        Ok(()) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use tower::ServiceExt as _;

    use super::*;

    async fn status(loopback: bool, uri: &str, hosts: &[&str]) -> u16 {
        let mut request = Request::builder().uri(uri);
        for host in hosts {
            request = request.header(header::HOST, *host);
        }
        let router = router(Registry::new(), Health::default(), loopback);
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn on_the_loopback_interface_foreign_host_names_are_refused() {
        for host in ["localhost:9090", "LOCALHOST", "127.0.0.1:9090", "127.0.0.2", "[::1]:9090", "[::1]"] {
            assert_eq!(status(true, "/metrics", &[host]).await, 200, "{host}");
        }
        for hosts in
            [&["evil.example"][..], &["127.0.0.1.evil.example:9090"], &["localhost", "evil.example"], &[""], &[]]
        {
            for path in ["/metrics", "/livez", "/readyz", "/nowhere"] {
                assert_eq!(status(true, path, hosts).await, 400, "{hosts:?}");
            }
        }
        assert_eq!(status(true, "http://evil.example/metrics", &["localhost"]).await, 400);
    }

    #[tokio::test]
    async fn elsewhere_any_name_will_do() {
        assert_eq!(status(false, "/metrics", &["coffre.internal:9090"]).await, 200);
    }
}
