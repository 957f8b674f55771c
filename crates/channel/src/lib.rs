//! The way to another service: in process or over the network, the same to the caller.
//!
//! A generated client takes a [`Channel`] and cannot tell what is behind it. In one process a call is a function call through the
//! layered service, without a socket and without HTTP/2; only the messages are encoded, so that both forms behave alike. Over the network
//! calls go to one of the addresses of the service ([`Members`]), by mutual TLS, with what belongs to them ([`Carried`]). Either way a call
//! that is made for one that is traced is a part of its trace, and says so to whoever answers it.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod balanced;
mod carried;
mod heard;
mod timeouts;
mod traced;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tonic::Status;
use tonic::body::Body;
use tonic::transport::Endpoint;
use tower::{Service, ServiceExt as _};

pub use balanced::{Lookup, Members, Pace, Peer, Reach, Resolve, Target, TargetError};
pub use carried::{Carried, carry};
pub use heard::Heard;
pub use timeouts::{asked, goes_on};

use coffre_tls::InternalTls;
use tokio_util::sync::CancellationToken;

/// A request as gRPC clients make it.
pub type Request = http::Request<Body>;
/// A response as gRPC clients take it.
pub type Response = http::Response<Body>;
/// Why a transport failed.
pub type Error = Box<dyn StdError + Send + Sync>;
/// A response that is on its way.
pub type ResponseFuture = Pin<Box<dyn Future<Output = Result<Response, Error>> + Send>>;

/// Anything that answers calls: a layered service of this process, or a connection.
pub trait Answer: Send + Sync + 'static {
    /// Answers one call.
    fn answer(&self, request: Request) -> ResponseFuture;
}

/// The way to a service. Clones share it.
#[derive(Clone)]
pub struct Channel(Arc<dyn Answer>);

impl Channel {
    /// Leads to a service of this process.
    pub fn in_process<S>(service: S) -> Self
    where
        S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
        S::Future: Send + 'static,
    {
        Self(Arc::new(InProcess(service)))
    }

    /// Leads to whatever answers.
    pub fn new(answer: impl Answer) -> Self {
        Self(Arc::new(answer))
    }

    /// Leads to a server at an address such as `http://127.0.0.1:50051`. It connects at the first call and again when the connection is lost.
    ///
    /// # Errors
    /// Where the address is not a URI.
    pub fn connect(address: String) -> Result<Self, Error> {
        let endpoint = Endpoint::from_shared(address)?
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(Duration::from_secs(30))
            .keep_alive_timeout(Duration::from_secs(10))
            .keep_alive_while_idle(true);
        Ok(Self(Arc::new(Remote(endpoint.connect_lazy()))))
    }

    /// Leads to the replicas of a service over the network, until `stop`. Must be called within a Tokio runtime.
    #[must_use]
    pub fn balanced(target: Target, tls: InternalTls, stop: CancellationToken) -> Self {
        Members::follow(target, tls, stop).channel()
    }

    /// Leads nowhere until it is filled: services that call each other are built one after the other.
    #[must_use]
    pub fn deferred() -> (Self, Fill) {
        let slot = Arc::new(Slot(ArcSwapOption::empty()));
        (Self(slot.clone()), Fill(slot))
    }
}

impl Service<Request> for Channel {
    type Response = Response;
    type Error = Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        match coffre_trace::current() {
            Some(current) => traced::answer(&*self.0, &current, request),
            None => self.0.answer(request),
        }
    }
}

/// Fills a deferred channel.
pub struct Fill(Arc<Slot>);

impl Fill {
    /// From now on the deferred channel leads where `channel` does.
    pub fn set(self, channel: Channel) {
        self.0.0.store(Some(Arc::new(channel)));
    }
}

struct Slot(ArcSwapOption<Channel>);

impl Answer for Slot {
    fn answer(&self, request: Request) -> ResponseFuture {
        match self.0.load().as_deref() {
            Some(channel) => channel.0.answer(request),
            None => Box::pin(async { Err(Status::unavailable("the service is still starting").into()) }),
        }
    }
}

struct InProcess<S>(S);

impl<S> Answer for InProcess<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    fn answer(&self, request: Request) -> ResponseFuture {
        let answered = self.0.clone().oneshot(request);
        Box::pin(async move { answered.await.map_err(|never| match never {}) })
    }
}

struct Remote(tonic::transport::Channel);

impl Answer for Remote {
    fn answer(&self, request: Request) -> ResponseFuture {
        let answered = self.0.clone().oneshot(request);
        Box::pin(async move { answered.await.map_err(Into::into) })
    }
}
