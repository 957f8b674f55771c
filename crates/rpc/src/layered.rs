//! The steps of every call, in one order, with the reason beside each.

use std::collections::HashMap;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use coffre_audit_client::{CallRecord, Origin as RecordOrigin, Outbox};
use coffre_authn::Authenticator;
use coffre_channel::{Carried, Channel, Request, Response, asked, carry};
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::Outcome;
use coffre_trace::{Name, TRACEPARENT, TraceContext, Tracer};
use coffre_types::{Activity, Clock};
use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue};
use prometheus::IntGauge;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::Service;
use tracing::Instrument as _;

use crate::metadata::{Origin, Peer, bearer, header};
use crate::metrics::Series;
use crate::traced;
use crate::{CallContext, Rpc, RpcMetrics, ServiceParts};

/// How much earlier than a client's deadline a call ends.
const AHEAD_OF_TRANSPORT: Duration = Duration::from_millis(10);

/// Bounds of the calls of one service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Calls answered at once; beyond, the answer is REQUEST_OVERLOADED.
    pub in_flight: usize,
    /// The longest that a call may take, and the deadline of one that names none.
    pub deadline: Duration,
    /// How old the sign-in may be where a recent one is asked for.
    pub recent_sign_in: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight: 4096, deadline: Duration::from_secs(30), recent_sign_in: Duration::from_secs(5 * 60) }
    }
}

/// What the steps need.
#[derive(Clone)]
pub struct Guard {
    /// Finds the caller behind a token.
    pub authenticator: Authenticator,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Counts.
    pub metrics: RpcMetrics,
    /// Bounds.
    pub limits: Limits,
    /// Ends answers that go on, before the process stops.
    pub stopping: CancellationToken,
    /// Told of the calls of signed-in callers, for work that makes room for them.
    pub activity: Activity,
    /// Traces them, where anything is traced.
    pub tracer: Tracer,
}

/// A service behind its layers. Clones share it.
#[derive(Clone)]
pub struct Layered(Arc<Inner>);

struct Inner {
    name: &'static str,
    routes: Routes,
    rpcs: HashMap<&'static str, (Rpc, Series)>,
    outbox: Outbox,
    guard: Arc<Guard>,
    in_flight: AtomicUsize,
    gauge: IntGauge,
}

impl Layered {
    /// Puts the public routes of a service behind the layers.
    #[must_use]
    pub fn new(parts: &ServiceParts, guard: Guard) -> Self {
        let rpcs = parts
            .rpcs
            .iter()
            .map(|rpc| (rpc.path, (*rpc, guard.metrics.of(parts.name, rpc))))
            .collect::<HashMap<_, _>>();
        Self(Arc::new(Inner {
            name: parts.name,
            routes: parts.public.clone().prepare(),
            rpcs,
            outbox: parts.outbox.clone(),
            gauge: guard.metrics.in_flight(parts.name),
            guard: Arc::new(guard),
            in_flight: AtomicUsize::new(0),
        }))
    }

    /// Returns the service's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    /// Returns the names of its gRPC services, such as `coffre.vault.v1.CredentialService`.
    pub(crate) fn grpc_services(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .0
            .rpcs
            .keys()
            .filter_map(|path| path.trim_start_matches('/').split('/').next())
            .map(ToOwned::to_owned)
            .collect();
        names.sort();
        names.dedup();
        names
    }

    pub(crate) fn metrics(&self) -> &RpcMetrics {
        &self.0.guard.metrics
    }

    /// Leads another service of this process here.
    #[must_use]
    pub fn channel(&self, from: &'static str) -> Channel {
        Channel::in_process(InProcess { to: self.clone(), from })
    }
}

#[derive(Clone)]
struct InProcess {
    to: Layered,
    from: &'static str,
}

impl Service<Request> for InProcess {
    type Response = Response;
    type Error = Infallible;
    type Future = ToItsEnd;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        request.extensions_mut().insert(Peer::Internal(self.from));
        self.to.call(request)
    }
}

impl Service<Request> for Layered {
    type Response = Response;
    type Error = Infallible;
    type Future = ToItsEnd;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let inner = self.0.clone();
        ToItsEnd(Some(Box::pin(async move { Ok(inner.answer(request).await) })))
    }
}

type Answering = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

/// Finishes a call in the background when nobody waits for it any more: a client that hangs up, or a deadline outside of ours, neither
/// leaves a change half done nor a call unrecorded. The limit of calls in flight bounds these, too.
pub struct ToItsEnd(Option<Answering>);

impl Future for ToItsEnd {
    type Output = Result<Response, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(answering) = self.0.as_mut() else {
            return Poll::Ready(
                Ok(Status::from(Refusal::internal("a call was asked again after its end")).into_http()),
            );
        };
        let answered = answering.as_mut().poll(cx);
        if answered.is_ready() {
            self.0 = None;
        }
        answered
    }
}

impl Drop for ToItsEnd {
    fn drop(&mut self) {
        if let (Some(answering), Ok(runtime)) = (self.0.take(), tokio::runtime::Handle::try_current()) {
            runtime.spawn(answering);
        }
    }
}

/// The steps. Each calls the next, so that there is one order, from the outside in; `tests/it` fails where two are exchanged.
impl Inner {
    /// Request id, trace and metrics. First, so that everything below can name the call; outside of all that can fail, so that a trace
    /// shows how it failed and what the steps below refuse is counted, too.
    async fn answer(self: Arc<Self>, mut request: Request) -> Response {
        let Some((rpc, series)) = self.rpcs.get(request.uri().path()) else {
            return Status::unimplemented("no such call").into_http();
        };
        let outside = TraceContext::of(request.headers());
        let name = || Name::Of(rpc.path.trim_start_matches('/'));
        let mut span = self.guard.tracer.serve(outside, name);
        if let Some(own) = span.context() {
            // What is recorded, logged and called below is part of this span.
            request.headers_mut().insert(TRACEPARENT, own.header());
        }
        let origin = Origin::read(request.headers(), Peer::of(request.extensions()));
        span.note_request(&origin.request_id);
        let logged = traced::logged(rpc.path, &origin.request_id, span.context().or(outside));
        let started = self.guard.clock.monotonic();
        let response = coffre_trace::within(&span, self.bounded(rpc, origin, request)).instrument(logged).await;
        series.observe(code_of(&response), self.guard.clock.monotonic().duration_since(started));
        if let Some(refusal) = refusal_of(&response) {
            self.guard.metrics.refusal(self.name, refusal.reason());
        }
        traced::answered(span, &response);
        response
    }

    /// The limit of calls in flight. Sheds load before anything is spent on it, a record included.
    async fn bounded(&self, rpc: &Rpc, origin: Origin, request: Request) -> Response {
        let Some(_place) = Place::take(&self.in_flight, &self.gauge, self.guard.limits.in_flight) else {
            let refusal = Refusal::new(Reason::RequestOverloaded, "too many calls at once; repeat it a little later")
                .retry_after(Duration::from_secs(1));
            return Status::from(refusal).into_http();
        };
        self.audited(rpc, origin, request).await
    }

    /// The audit. Everything below is recorded before its answer leaves.
    async fn audited(&self, rpc: &Rpc, origin: Origin, request: Request) -> Response {
        let record = Arc::new(CallRecord::new(
            RecordOrigin {
                site: self.outbox.site(),
                method: rpc.path,
                request_id: origin.request_id.clone(),
                trace_id: origin.trace_id,
                client_address: origin.client_address,
                source: origin.source,
            },
            rpc.event,
            rpc.activity,
        ));
        let context = CallContext {
            request_id: origin.request_id,
            client_address: origin.client_address,
            source: origin.source,
            record: record.clone(),
            caller: None,
            guard: self.guard.clone(),
            access: rpc.access,
        };
        let response = self.within_deadline(rpc, request, context).await;
        // A deadline may have left a change in the database's hands: what becomes of it decides what is recorded.
        if record.close().await {
            return receipted(response, &record);
        }
        let (response, outcome, reason) = match refusal_of(&response) {
            None => (response, Outcome::Successful, None),
            // Said again in our own words: what the library below refuses carries neither our reason nor always harmless words.
            Some(refusal) => {
                let reason = refusal.reason();
                (Status::from(refusal).into_http(), Outcome::Unsuccessful, Some(reason))
            }
        };
        match self.outbox.append(&record, outcome, reason).await {
            Ok(()) => receipted(response, &record),
            Err(refusal) => Status::from(refusal).into_http(),
        }
    }

    /// The deadline. Bounds everything below in time, the search for the caller included.
    async fn within_deadline(&self, rpc: &Rpc, request: Request, context: CallContext) -> Response {
        // Ahead of the transport's own timer, which would answer for us and say less.
        let asked = asked(request.headers()).map(|asked| asked.saturating_sub((asked / 5).min(AHEAD_OF_TRANSPORT)));
        let allowed = asked.map_or(self.guard.limits.deadline, |asked| asked.min(self.guard.limits.deadline));
        let carried = Carried {
            deadline: Some(Instant::now() + allowed),
            request_id: HeaderValue::from_str(&context.request_id).ok(),
            traceparent: request.headers().get(header::TRACEPARENT).cloned(),
        };
        let answering = carry(carried, self.guarded(rpc, request, context));
        tokio::time::timeout(allowed, answering).await.unwrap_or_else(|_| {
            let refusal = Refusal::new(Reason::RequestTimeout, "the call took longer than its deadline; repeat it")
                .retry_after(Duration::from_secs(1));
            Status::from(refusal).into_http()
        })
    }

    /// The guard against panics. Turns a fault of ours into an answer that is recorded like any other.
    async fn guarded(&self, rpc: &Rpc, request: Request, context: CallContext) -> Response {
        let answered = AssertUnwindSafe(self.admitted(rpc, request, context)).catch_unwind().await;
        answered.unwrap_or_else(|_| Status::from(Refusal::internal("a handler panicked")).into_http())
    }

    /// The caller, the access table, the handler. Before the message is looked at: who may not call learns nothing about the message. What a
    /// caller may do with one object is the service's own policy.
    async fn admitted(&self, rpc: &Rpc, mut request: Request, mut context: CallContext) -> Response {
        if let Err(refusal) = self.admit(rpc, request.headers(), &mut context).await {
            return Status::from(refusal).into_http();
        }
        request.extensions_mut().insert(Arc::new(context));
        match self.routes.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }

    async fn admit(&self, rpc: &Rpc, headers: &HeaderMap, context: &mut CallContext) -> Result<(), Refusal> {
        if !rpc.access.needs_caller() {
            return Ok(());
        }
        let token = bearer(headers)?
            .ok_or_else(|| Refusal::new(Reason::AuthTokenRequired, "the call needs a token: sign in and send it"))?;
        let mut caller = self.guard.authenticator.authenticate(token).await?;
        context.record.caller(&caller);
        self.guard.activity.note();
        let (now, recent) = (self.guard.clock.now(), self.guard.limits.recent_sign_in);
        if let Err(refusal) = rpc.access.admit(&caller, now, recent) {
            // The kind of a token and the time of a sign-in stay what they are.
            if matches!(refusal.reason(), Reason::AuthTokenKind | Reason::AuthRecentSignInRequired) {
                return Err(refusal);
            }
            // What is kept may be a moment old: whoever was just given the right is not refused for it.
            caller = self.guard.authenticator.authenticate_anew(token).await?;
            rpc.access.admit(&caller, now, recent)?;
        }
        context.caller = Some(caller);
        Ok(())
    }
}

/// A place among the calls in flight; given back when dropped.
struct Place<'a>(&'a AtomicUsize, &'a IntGauge);

impl<'a> Place<'a> {
    fn take(taken: &'a AtomicUsize, gauge: &'a IntGauge, most: usize) -> Option<Self> {
        if taken.fetch_add(1, Ordering::Relaxed) >= most {
            taken.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        gauge.inc();
        Some(Self(taken, gauge))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        self.1.dec();
    }
}

/// Names the entry of the call in its answer, so that whoever got a value can ask for the proof that the audit says so.
fn receipted(mut response: Response, record: &CallRecord) -> Response {
    if let Some(id) = record.recorded_as() {
        let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
        let text: &str = id.uuid().hyphenated().encode_lower(&mut text);
        if let Ok(value) = HeaderValue::from_str(text) {
            response.headers_mut().insert(header::AUDIT_ID, value);
        }
    }
    response
}

/// An answer without a message carries its status in the headers (gRPC over HTTP/2, "Trailers-Only").
pub(crate) fn code_of(response: &Response) -> Code {
    response.headers().get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
}

pub(crate) fn refusal_of(response: &Response) -> Option<Refusal> {
    if code_of(response) == Code::Ok {
        return None;
    }
    Status::from_header_map(response.headers()).map(|status| Refusal::from_status(&status))
}
