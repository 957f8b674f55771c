//! The internal port: what other services of ours reach, each known by its certificate.
//!
//! - An internal RPC is answered where its row names the caller; one without a row is answered to nobody.
//! - The gateway alone reaches the public RPCs here, through their layers: what it says about its client is believed.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use coffre_channel::{Carried, Request, Response, asked, carry, goes_on};
use coffre_error::{Reason, Refusal};
use coffre_tls::{InternalTls, Service};
use coffre_trace::{TRACEPARENT, TraceContext, Tracer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::service::Routes;
use tower::Service as _;
use tracing::Instrument as _;

use crate::layered::code_of;
use crate::listener::{Arrived, Bounds, Listening, Serve};
use crate::metrics::Series;
use crate::{Layered, Peer, RpcMetrics, ServiceParts, header, traced};

/// Calls at once on one connection: there is one from each replica of each service.
const STREAMS: u32 = 1024;
/// Internal calls that are answered at once.
const IN_FLIGHT: usize = 4096;
/// The longest that a call may take.
const LONGEST: Duration = Duration::from_secs(30);

/// The row of an internal RPC.
#[derive(Clone, Copy, Debug)]
pub struct InternalRpc {
    /// The path, such as `/coffre.auth.internal.v1.CallerService/ResolveCaller`.
    pub path: &'static str,
    /// Who may call it from outside of this process.
    pub callers: &'static [Service],
}

/// What the port needs.
#[derive(Clone, Debug)]
pub struct InternalOptions {
    /// What both sides show.
    pub tls: InternalTls,
    /// How many connections are open at once; further ones wait.
    pub connections: usize,
    /// How long open calls may go on after the stop.
    pub drain: Duration,
    /// Traces calls, where anything is traced.
    pub tracer: Tracer,
}

/// The internal port of a service. Clones share it.
#[derive(Clone)]
pub struct Internal(Arc<Inner>);

struct Inner {
    service: Service,
    routes: Routes,
    rpcs: HashMap<&'static str, (&'static [Service], Series)>,
    public: Layered,
    public_prefix: String,
    places: Semaphore,
    metrics: RpcMetrics,
    options: InternalOptions,
}

impl Internal {
    /// Puts the internal routes of a service behind its table, and its public ones, behind their layers, beside them.
    #[must_use]
    pub fn new(
        service: Service,
        parts: &ServiceParts,
        public: Layered,
        metrics: &RpcMetrics,
        options: InternalOptions,
    ) -> Self {
        Self(Arc::new(Inner {
            service,
            routes: parts.internal.clone().prepare(),
            rpcs: parts
                .internal_rpcs
                .iter()
                .map(|rpc| (rpc.path, (rpc.callers, metrics.of_internal(parts.name, rpc.path))))
                .collect(),
            public_prefix: format!("/coffre.{}.v1.", public.name()),
            public,
            places: Semaphore::new(IN_FLIGHT),
            metrics: metrics.clone(),
            options,
        }))
    }

    /// Serves until `stop`, then lets open calls end.
    ///
    /// # Errors
    /// Where the listener has no address.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) -> io::Result<()> {
        let options = &self.0.options;
        let listening = Listening {
            name: "internal",
            door: Some(options.tls.acceptor()),
            changes: Some(options.tls.changes()),
            metrics: Some(self.0.metrics.listener("internal")),
            bounds: Bounds {
                connections: options.connections,
                drain: options.drain,
                streams: STREAMS,
                ..Bounds::default()
            },
        };
        listening.serve(listener, self, stop).await
    }
}

impl Serve for Internal {
    async fn answer(self, from: Arc<Arrived>, mut request: Request) -> Response {
        let Some(identity) = from.identity.clone() else {
            return Status::from(Refusal::internal("a connection without an identity came through the internal port"))
                .into_http();
        };
        let caller = identity.service;
        request.extensions_mut().insert(Peer::Internal(caller.as_str()));
        request.extensions_mut().insert(identity);
        request.extensions_mut().insert(from.address);
        self.0.answer(caller, request).await
    }
}

impl Inner {
    async fn answer(&self, caller: Service, request: Request) -> Response {
        let path = request.uri().path();
        if path.starts_with(self.public_prefix.as_str()) {
            if caller != Service::Gateway {
                return self.refuse(caller, path);
            }
            return match self.public.clone().call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            };
        }
        match self.rpcs.get_key_value(path) {
            Some((rpc, (callers, series))) if callers.contains(&caller) => self.measured(rpc, series, request).await,
            Some(_) => self.refuse(caller, path),
            None => Status::unimplemented("no such call").into_http(),
        }
    }

    fn refuse(&self, caller: Service, path: &str) -> Response {
        self.metrics.refused(self.service.as_str(), caller.as_str());
        tracing::warn!(service = %self.service, %caller, rpc = path, "a service asked for what it may not");
        let message =
            format!("the service {caller} may not call {path}; whoever runs these servers must look at why it does");
        Status::from(Refusal::new(Reason::AuthzPermissionRequired, message)).into_http()
    }

    /// Request id, trace and metrics, so that everything below can name the call, and what it refuses is counted.
    async fn measured(&self, rpc: &'static str, series: &Series, mut request: Request) -> Response {
        let began = Instant::now();
        let outside = TraceContext::of(request.headers());
        // What no call of a trace asks for, such as a change stream, is none.
        let begun =
            outside.map(|outside| self.options.tracer.serve(Some(outside), || rpc.trim_start_matches('/').into()));
        let span = begun.unwrap_or_default();
        if let Some(own) = span.context() {
            request.headers_mut().insert(TRACEPARENT, own.header());
        }
        let id = request.headers().get(header::REQUEST_ID).and_then(|id| id.to_str().ok()).unwrap_or_default();
        let logged = traced::logged(rpc, id, span.context().or(outside));
        let response = coffre_trace::within(&span, self.within_deadline(request)).instrument(logged).await;
        series.observe(code_of(&response), began.elapsed());
        traced::answered(span, &response);
        response
    }

    async fn within_deadline(&self, request: Request) -> Response {
        let Ok(_place) = self.places.try_acquire() else {
            let refusal = Refusal::new(Reason::RequestOverloaded, "too many calls at once; repeat it a little later")
                .retry_after(Duration::from_secs(1));
            return Status::from(refusal).into_http();
        };
        let headers = request.headers();
        let allowed = (!goes_on(request.uri().path())).then(|| asked(headers).unwrap_or(LONGEST).min(LONGEST));
        let carried = Carried {
            deadline: allowed.map(|allowed| Instant::now() + allowed),
            request_id: headers.get(header::REQUEST_ID).cloned(),
            traceparent: headers.get(header::TRACEPARENT).cloned(),
        };
        let mut routes = self.routes.clone();
        let answering = carry(carried, async move {
            match routes.call(request).await {
                Ok(response) => response,
                Err(never) => match never {},
            }
        });
        let Some(allowed) = allowed else { return answering.await };
        tokio::time::timeout(allowed, answering).await.unwrap_or_else(|_| {
            let refusal = Refusal::new(Reason::RequestTimeout, "the call took longer than its deadline; repeat it")
                .retry_after(Duration::from_secs(1));
            Status::from(refusal).into_http()
        })
    }
}
