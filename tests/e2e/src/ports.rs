//! The way of gRPC calls: to the one port of a process, or to the replicas of the service that a call names, in turn.

use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tonic::body::Body;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint, Error};

use crate::server::Server;

/// The gRPC ports of a server.
#[derive(Clone, Debug)]
pub struct Ports {
    one: Channel,
    /// Each with the beginning of the paths that it serves.
    each: Vec<(String, Channel)>,
    /// How many calls there were.
    calls: Arc<AtomicUsize>,
}

impl Ports {
    /// Leads to a server, from another address of this machine where one is given.
    pub fn of(server: &Server, from: Option<IpAddr>) -> Self {
        let to = |address: SocketAddr| {
            Endpoint::from_shared(format!("http://{address}"))
                .unwrap()
                .local_address(from)
                .tcp_nodelay(true)
                .connect_lazy()
        };
        let each = server.parts.iter().filter_map(|part| Some((format!("/coffre.{}.", part.service), to(part.grpc?))));
        Self { one: to(server.grpc), each: each.collect(), calls: Arc::default() }
    }
}

impl Service<http::Request<Body>> for Ports {
    type Response = http::Response<Body>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let path = request.uri().path();
        let replicas: Vec<&Channel> = self
            .each
            .iter()
            .filter(|(beginning, _)| path.starts_with(beginning.as_str()))
            .map(|(_, one)| one)
            .collect();
        let turn = self.calls.fetch_add(1, Ordering::Relaxed) % replicas.len().max(1);
        let mut channel = replicas.get(turn).map_or_else(|| self.one.clone(), |replica| (*replica).clone());
        Box::pin(async move {
            poll_fn(|cx| channel.poll_ready(cx)).await?;
            channel.call(request).await
        })
    }
}
