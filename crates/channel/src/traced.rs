//! Calls as parts of a trace: a span each, and the `traceparent` that names it to whoever answers.

use coffre_trace::{Current, Key, Kind, Name, TRACEPARENT};
use tonic::{Code, Status};

use crate::{Answer, Request, ResponseFuture};

/// Has its span already: one channel may lead to another.
#[derive(Clone, Copy)]
struct Traced;

/// Makes a call for the span that the task works for.
pub(crate) fn answer(way: &dyn Answer, current: &Current, mut request: Request) -> ResponseFuture {
    if request.extensions().get::<Traced>().is_some() {
        return way.answer(request);
    }
    let mut span = current.child(Kind::Client, || Name::of_rpc(request.uri().path()));
    let context = span.context().unwrap_or(current.context());
    request.headers_mut().insert(TRACEPARENT, context.header());
    request.extensions_mut().insert(Traced);
    if !span.is_recorded() {
        return way.answer(request);
    }
    span.note(Key::RpcSystem, "grpc");
    let answering = way.answer(request);
    Box::pin(async move {
        let answered = answering.await;
        let code = match &answered {
            Ok(response) => {
                response.headers().get(Status::GRPC_STATUS).map_or(Code::Ok, |code| Code::from_bytes(code.as_bytes()))
            }
            Err(fault) => fault.downcast_ref::<Status>().map_or(Code::Unavailable, Status::code),
        };
        span.note(Key::RpcStatus, i64::from(i32::from(code)));
        if code != Code::Ok {
            span.fail();
        }
        answered
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use coffre_trace::{TraceContext, tracer, within};
    use tower::Service as _;

    use super::*;
    use crate::Channel;

    const OUTSIDE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0";

    #[derive(Clone, Default)]
    struct Noting(Arc<Mutex<Vec<Option<TraceContext>>>>);

    impl Answer for Noting {
        fn answer(&self, request: Request) -> ResponseFuture {
            self.0.lock().unwrap().push(TraceContext::of(request.headers()));
            Box::pin(async { Ok(Status::not_found("it is not there").into_http()) })
        }
    }

    struct Around(Channel);

    impl Answer for Around {
        fn answer(&self, request: Request) -> ResponseFuture {
            self.0.clone().call(request)
        }
    }

    fn request() -> Request {
        http::Request::post("/coffre.vault.v1.KeyService/Seal").body(tonic::body::Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_call_has_one_span_however_many_channels_it_passes() {
        let (tracer, mut finished) = tracer(0.0, 10);
        let noting = Noting::default();
        let mut channel = Channel::new(Around(Channel::new(noting.clone())));
        let span = tracer.serve(TraceContext::parse(&format!("{OUTSIDE}1")), || "call".into());
        within(&span, async { channel.call(request()).await.unwrap() }).await;
        let told = noting.0.lock().unwrap()[0].unwrap();
        let mut records = Vec::new();
        assert_eq!(finished.take(&mut records, 10).await, 1);
        assert_eq!(records[0].context, told, "whoever answers is told of this span");
        assert_eq!(records[0].parent, Some(span.context().unwrap().span_id()));
        assert_eq!(records[0].name.as_str(), "coffre.vault.v1.KeyService/Seal");
        assert!(records[0].failed && records[0].notes.contains(&(Key::RpcStatus, 5.into())));
    }

    #[tokio::test]
    async fn a_trace_that_is_not_recorded_goes_along_all_the_same() {
        let (tracer, _finished) = tracer(1.0, 10);
        let noting = Noting::default();
        let mut channel = Channel::new(noting.clone());
        let span = tracer.serve(TraceContext::parse(&format!("{OUTSIDE}0")), || "call".into());
        within(&span, async { channel.call(request()).await.unwrap() }).await;
        assert_eq!(noting.0.lock().unwrap()[0], span.context());
        channel.call(request()).await.unwrap();
        assert_eq!(noting.0.lock().unwrap()[1], None, "a call for nobody belongs to no trace");
    }
}
