//! Calls in traces and in logs.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use coffre_channel::{Channel, Request, Response};
use coffre_error::code;
use coffre_trace::{Key, Span, TRACEPARENT, TraceContext, Tracer};
use tonic::Code;
use tonic::service::Routes;
use tower::Service;

use crate::InternalRpc;
use crate::layered::{code_of, refusal_of};

/// Returns what every log line of a call carries. Behind the gateway of the same process the lines have it already.
pub(crate) fn logged(rpc: &'static str, request_id: &str, trace: Option<TraceContext>) -> tracing::Span {
    let (trace_id, span_id) =
        (trace.map(|own| tracing::field::display(own.trace())), trace.map(|own| tracing::field::display(own.span())));
    match tracing::Span::current().is_none() {
        true => tracing::info_span!("call", rpc, request_id, trace_id, span_id),
        false => tracing::debug_span!("call", rpc, request_id, trace_id, span_id),
    }
}

/// Ends the span of a call with how it was answered.
pub(crate) fn answered(mut span: Span, response: &Response) {
    if !span.is_recorded() {
        return;
    }
    let status = code_of(response);
    span.note(Key::RpcSystem, "grpc");
    span.note(Key::RpcStatus, i64::from(i32::from(status)));
    if let Some(refusal) = refusal_of(response) {
        span.note(Key::ErrorType, code(refusal.reason()));
    }
    // What the caller did wrong is no fault of ours (OpenTelemetry, "Semantic conventions for gRPC").
    let ours =
        [Code::Unknown, Code::DeadlineExceeded, Code::Unimplemented, Code::Internal, Code::Unavailable, Code::DataLoss];
    if ours.contains(&status) {
        span.fail();
    }
}

/// Leads to the internal routes of a service of this process.
#[must_use]
pub fn internal_channel(routes: Routes, rpcs: &'static [InternalRpc], tracer: &Tracer) -> Channel {
    let routes = routes.prepare();
    match tracer.is_on() {
        true => Channel::in_process(Inside { routes, rpcs, tracer: tracer.clone() }),
        false => Channel::in_process(routes),
    }
}

/// The internal routes of a service of this process, each call with its span.
#[derive(Clone)]
struct Inside {
    routes: Routes,
    rpcs: &'static [InternalRpc],
    tracer: Tracer,
}

impl Service<Request> for Inside {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let path = request.uri().path();
        let known = self.rpcs.iter().find(|rpc| rpc.path == path);
        // What no call of a trace asks for, such as a change stream, is none.
        let (Some(rpc), Some(outside)) = (known, TraceContext::of(request.headers())) else {
            let answering = self.routes.call(request);
            return Box::pin(answering);
        };
        let span = self.tracer.serve(Some(outside), || rpc.path.trim_start_matches('/').into());
        if let Some(own) = span.context() {
            request.headers_mut().insert(TRACEPARENT, own.header());
        }
        let answering = coffre_trace::within(&span, self.routes.call(request));
        Box::pin(async move {
            let Ok(response) = answering.await;
            answered(span, &response);
            Ok(response)
        })
    }
}
