//! The public gRPC port: all services of the process, health, and reflection where it is on.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use coffre_channel::{Request, Response};
use coffre_tls::{Alpn, PublicTls};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use tower::Service;

use crate::listener::{Arrived, Bounds, Listening, Serve};
use crate::{Layered, Peer};

/// What the port offers beside the services.
#[derive(Clone, Debug)]
pub struct FrontOptions {
    /// Reflection, v1 and v1alpha, of the public services alone.
    pub reflection: bool,
    /// How long open calls may go on after the stop.
    pub drain: Duration,
    /// What it shows; without it, it speaks in the clear.
    pub tls: Option<PublicTls>,
    /// How many connections are open at once; further ones wait.
    pub connections: usize,
}

/// The public gRPC port.
#[derive(Clone)]
pub struct Front {
    services: Arc<[(String, Layered)]>,
    beside: Routes,
    health: HealthReporter,
    names: Arc<[String]>,
    drain: Duration,
    tls: Option<PublicTls>,
    connections: usize,
}

impl Front {
    /// Puts services behind one port.
    ///
    /// # Errors
    /// Where the descriptors for reflection cannot be read.
    pub fn new(services: Vec<Layered>, options: FrontOptions) -> Result<Self, tonic_reflection::server::Error> {
        let (health, health_server) = tonic_health::server::health_reporter();
        let names = services.iter().flat_map(Layered::grpc_services).collect::<Vec<_>>();
        let mut beside = Routes::new(health_server);
        if options.reflection {
            let v1 = names.iter().fold(reflection(), |builder, name| builder.with_service_name(name)).build_v1()?;
            let v1alpha =
                names.iter().fold(reflection(), |builder, name| builder.with_service_name(name)).build_v1alpha()?;
            beside = beside.add_service(v1).add_service(v1alpha);
        }
        let services =
            services.into_iter().map(|service| (format!("/coffre.{}.v1.", service.name()), service)).collect();
        Ok(Self {
            services,
            beside: beside.prepare(),
            health,
            names: names.into(),
            drain: options.drain,
            tls: options.tls,
            connections: options.connections,
        })
    }

    /// Tells health checkers, for every service and for the process as a whole.
    pub async fn set_serving(&self, serving: bool) {
        let status = if serving { ServingStatus::Serving } else { ServingStatus::NotServing };
        for name in self.names.iter().map(String::as_str).chain([""]) {
            self.health.set_service_status(name, status).await;
        }
    }

    /// Serves until `stop`, then lets open calls end.
    ///
    /// # Errors
    /// Where the listener has no address.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let listening = Listening {
            name: "public",
            door: self.tls.as_ref().map(|tls| tls.acceptor(Alpn::Grpc)),
            changes: None,
            metrics: self.services.first().map(|(_, service)| service.metrics().listener("public")),
            bounds: Bounds { connections: self.connections, drain: self.drain, ..Bounds::default() },
        };
        listening.serve(listener, self, stop).await
    }
}

impl Serve for Front {
    async fn answer(mut self, from: Arc<Arrived>, mut request: Request) -> Response {
        request.extensions_mut().insert(Peer::Network(Some(from.address.ip().to_canonical())));
        match self.call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(coffre_proto::PUBLIC_DESCRIPTORS)
        // So that tools can show why a call was refused.
        .register_encoded_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let path = request.uri().path();
        if let Some((_, service)) = self.services.iter().find(|(prefix, _)| path.starts_with(prefix.as_str())) {
            return Box::pin(service.clone().call(request));
        }
        if path.starts_with("/grpc.") {
            let mut beside = self.beside.clone();
            return Box::pin(async move { beside.call(request).await });
        }
        Box::pin(async { Ok(Status::unimplemented("no such call").into_http()) })
    }
}
