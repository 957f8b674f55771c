//! What a call takes along to the calls that are made for it: its deadline, its id, its trace.

use std::future::Future;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::timeouts::{self, GRPC_TIMEOUT};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// How much earlier than the call itself the calls that are made for it end.
const AHEAD: Duration = Duration::from_millis(10);

/// What a call takes along.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// When it must have ended.
    pub deadline: Option<Instant>,
    /// Its id.
    pub request_id: Option<HeaderValue>,
    /// Its trace (W3C Trace Context).
    pub traceparent: Option<HeaderValue>,
}

tokio::task_local! {
    static CARRIED: Carried;
}

/// Answers a call with what belongs to it: calls over the network take it along, in this task.
pub fn carry<F: Future>(carried: Carried, answering: F) -> impl Future<Output = F::Output> {
    CARRIED.scope(carried, answering)
}

/// Puts into the headers of a call what it takes along, and returns when it must have ended: after the time that it asks for itself, or
/// else the usual one, and never after the call that it is made for.
pub(crate) fn prepare(headers: &mut HeaderMap, usual: Duration, goes_on: bool, now: Instant) -> Option<Instant> {
    let carried = CARRIED.try_with(Clone::clone).unwrap_or_default();
    for (name, value) in [(REQUEST_ID, carried.request_id), (TRACEPARENT, carried.traceparent)] {
        if let Some(value) = value.filter(|_| !headers.contains_key(&name)) {
            headers.insert(name, value);
        }
    }
    if goes_on {
        return None;
    }
    let allowed = timeouts::asked(headers).unwrap_or(usual);
    let left = carried.deadline.map(|deadline| deadline.saturating_duration_since(now).saturating_sub(AHEAD));
    let allowed = left.map_or(allowed, |left| left.min(allowed));
    if let Some(value) = timeouts::told(allowed) {
        headers.insert(GRPC_TIMEOUT, value);
    }
    Some(now + allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Duration = Duration::from_secs(10);

    fn allowed(headers: &mut HeaderMap, now: Instant) -> Duration {
        prepare(headers, USUAL, false, now).unwrap() - now
    }

    #[tokio::test]
    async fn a_call_ends_before_the_one_it_is_made_for() {
        let now = Instant::now();
        let within = |left: Duration, asked: Option<&'static str>| async move {
            let carried = Carried { deadline: Some(now + left), ..Carried::default() };
            carry(carried, async {
                let mut headers = HeaderMap::new();
                asked.map(|asked| headers.insert(GRPC_TIMEOUT, HeaderValue::from_static(asked)));
                let allowed = allowed(&mut headers, now);
                assert_eq!(timeouts::asked(&headers), Some(allowed), "it says so, too");
                allowed
            })
            .await
        };
        let millis = Duration::from_millis;
        assert_eq!(within(millis(500), None).await, millis(490));
        assert_eq!(within(millis(500), Some("100m")).await, millis(100));
        assert_eq!(within(millis(5), Some("100m")).await, Duration::ZERO);
        assert_eq!(within(USUAL * 9, None).await, USUAL, "where there is much time, it takes the usual one");
        assert_eq!(within(USUAL * 9, Some("20S")).await, USUAL * 2);
    }

    #[tokio::test]
    async fn a_call_of_its_own_has_the_usual_time_and_one_that_goes_on_has_none() {
        let now = Instant::now();
        assert_eq!(allowed(&mut HeaderMap::new(), now), USUAL);
        let mut headers = HeaderMap::new();
        let carried = Carried { deadline: Some(now), ..Carried::default() };
        assert_eq!(carry(carried, async { prepare(&mut headers, USUAL, true, now) }).await, None);
        assert!(headers.is_empty());
    }

    #[tokio::test]
    async fn the_id_and_the_trace_go_along_unless_the_call_has_its_own() {
        let carried = Carried {
            request_id: Some(HeaderValue::from_static("request-1")),
            traceparent: Some(HeaderValue::from_static("00-1-2-01")),
            ..Carried::default()
        };
        let mut headers = HeaderMap::new();
        headers.insert(TRACEPARENT, HeaderValue::from_static("own"));
        carry(carried, async { prepare(&mut headers, USUAL, false, Instant::now()) }).await;
        assert_eq!(
            (&headers[REQUEST_ID], &headers[TRACEPARENT]),
            (&"request-1".parse().unwrap(), &"own".parse().unwrap())
        );
    }
}
