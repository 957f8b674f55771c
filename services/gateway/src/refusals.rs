//! What the gateway refuses itself, on its way to the audit.
//!
//! A call that reaches a service is recorded by the service. What the gateway refuses never gets there, so it reports it, in batches:
//! bounded, and never at the expense of an answer. What finds no room, or could not be reported, is told as a number.

use std::mem;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_channel::Channel;
use coffre_error::Reason;
use coffre_proto::audit::internal::v1::intake_service_client::IntakeServiceClient;
use coffre_proto::audit::internal::v1::{RefusedRequest, ReportRefusalsRequest};
use coffre_types::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::metrics::RestMetrics;

/// The most refusals that wait; those beyond are counted.
const MAX_WAITING: usize = 1000;
/// How long refusals are gathered.
const GATHER: Duration = Duration::from_millis(250);
/// How often a number is reported at most.
const NUMBERS: Duration = Duration::from_secs(60);
/// How long a report may take.
const REPORT: Duration = Duration::from_secs(5);

/// One refusal.
pub(crate) struct Refusal {
    pub(crate) time: Timestamp,
    /// The method and the template of the route; empty where there is none.
    pub(crate) route: Arc<str>,
    pub(crate) reason: Reason,
    pub(crate) client_address: Option<IpAddr>,
    pub(crate) request_id: String,
    pub(crate) trace_id: Option<[u8; 16]>,
}

/// The refusals that wait. Clones share them.
#[derive(Clone)]
pub(crate) struct Refusals(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    some: Notify,
    metrics: Option<RestMetrics>,
}

#[derive(Default)]
struct Waiting {
    refusals: Vec<Refusal>,
    unreported: u64,
}

impl Refusals {
    pub(crate) fn new(metrics: Option<RestMetrics>) -> Self {
        Self(Arc::new(Shared { waiting: Mutex::default(), some: Notify::new(), metrics }))
    }

    /// Takes a refusal, or counts it where there is no room.
    pub(crate) fn note(&self, refusal: Refusal) {
        let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.refusals.len() < MAX_WAITING {
            waiting.refusals.push(refusal);
            if waiting.refusals.len() == 1 {
                self.0.some.notify_one();
            }
        } else {
            waiting.unreported += 1;
            drop(waiting);
            self.count(1);
        }
    }

    /// Reports until `stop`, and then once more.
    pub(crate) async fn run(&self, audit: Channel, stop: impl Future<Output = ()>) {
        let mut stop = std::pin::pin!(stop);
        let mut numbers = Instant::now();
        loop {
            let stopping = tokio::select! {
                () = self.gathered() => false,
                () = tokio::time::sleep_until(numbers), if self.has_number() => false,
                () = &mut stop => true,
            };
            let with_number = stopping || numbers <= Instant::now();
            if self.report(&audit, with_number).await && with_number {
                numbers = Instant::now() + NUMBERS;
            }
            if stopping {
                return;
            }
        }
    }

    async fn gathered(&self) {
        self.0.some.notified().await;
        tokio::time::sleep(GATHER).await;
    }

    fn has_number(&self) -> bool {
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).unreported > 0
    }

    /// Reports what waits, and the number of the rest. Says whether a number was reported.
    pub(crate) async fn report(&self, audit: &Channel, with_number: bool) -> bool {
        let (waiting, number) = {
            let mut waiting = self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let number = if with_number { mem::take(&mut waiting.unreported) } else { 0 };
            (mem::take(&mut waiting.refusals), number)
        };
        if waiting.is_empty() && number == 0 {
            return false;
        }
        let count = waiting.len() as u64;
        let refusals = waiting.into_iter().map(message).chain((number > 0).then(|| of_number(number))).collect();
        let mut client = IntakeServiceClient::new(audit.clone());
        let reported = tokio::time::timeout(REPORT, client.report_refusals(ReportRefusalsRequest { refusals })).await;
        let fault = match reported {
            Ok(Ok(_)) => return number > 0,
            Ok(Err(status)) => status.to_string(),
            Err(_) => "the audit did not answer in time".to_owned(),
        };
        tracing::warn!(refusals = count, fault, "refusals could not be reported; they are counted");
        self.0.waiting.lock().unwrap_or_else(PoisonError::into_inner).unreported += number + count;
        self.count(count);
        number > 0
    }

    fn count(&self, unreported: u64) {
        if let Some(metrics) = &self.0.metrics {
            metrics.unreported(unreported);
        }
    }
}

fn message(refusal: Refusal) -> RefusedRequest {
    RefusedRequest {
        time_us: refusal.time.micros(),
        method: refusal.route.to_string(),
        reason: refusal.reason.into(),
        client_address: refusal.client_address.map(|address| address.to_string()).unwrap_or_default(),
        request_id: refusal.request_id,
        trace_id: refusal.trace_id.map(Vec::from).unwrap_or_default(),
        occurrences: 1,
    }
}

/// The record of refusals of which only the number is known.
fn of_number(number: u64) -> RefusedRequest {
    RefusedRequest { occurrences: i64::try_from(number).unwrap_or(i64::MAX), ..RefusedRequest::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::Upstream;

    fn refusal(request_id: &str) -> Refusal {
        Refusal {
            time: Timestamp::from_seconds(1_800_000_000),
            route: "GET /v1/usermanagement/users/{id}".into(),
            reason: Reason::RequestMalformed,
            client_address: Some([192, 0, 2, 1].into()),
            request_id: request_id.to_owned(),
            trace_id: Some([7; 16]),
        }
    }

    #[tokio::test]
    async fn refusals_are_reported_with_what_is_known_of_them() {
        let (upstream, refusals) = (Upstream::default(), Refusals::new(None));
        refusals.note(refusal("a"));
        refusals.report(&upstream.channel(), true).await;
        let expected = RefusedRequest {
            time_us: 1_800_000_000_000_000,
            method: "GET /v1/usermanagement/users/{id}".into(),
            reason: Reason::RequestMalformed.into(),
            client_address: "192.0.2.1".into(),
            request_id: "a".into(),
            trace_id: vec![7; 16],
            occurrences: 1,
        };
        assert_eq!(upstream.asked::<ReportRefusalsRequest>().refusals, [expected]);
        refusals.report(&upstream.channel(), true).await;
        assert_eq!(upstream.calls(), 1, "nothing waits, nothing is sent");
    }

    #[tokio::test]
    async fn what_finds_no_room_and_what_was_not_taken_is_told_as_a_number() {
        let (upstream, refusals) = (Upstream::default(), Refusals::new(None));
        let channel = upstream.channel();
        for _ in 0..MAX_WAITING + 5 {
            refusals.note(refusal("a"));
        }
        upstream.refuse_for("IntakeService/ReportRefusals", Reason::AuditUnavailable);
        refusals.report(&channel, false).await;
        let refused: ReportRefusalsRequest = upstream.asked();
        assert_eq!(refused.refusals.len(), MAX_WAITING, "the number is due later");
        upstream.reply("IntakeService/ReportRefusals", &());
        refusals.note(refusal("b"));
        refusals.report(&channel, true).await;
        let told: ReportRefusalsRequest = upstream.asked();
        assert_eq!(told.refusals.len(), 2);
        assert_eq!(told.refusals[0].request_id, "b");
        assert_eq!(told.refusals[1], of_number(MAX_WAITING as u64 + 5));
        refusals.report(&channel, true).await;
        assert_eq!(upstream.calls(), 2);
    }

    #[tokio::test]
    async fn what_waits_at_the_stop_is_still_reported() {
        let (upstream, refusals) = (Upstream::default(), Refusals::new(None));
        refusals.note(refusal("a"));
        refusals.run(upstream.channel(), async {}).await;
        assert_eq!(upstream.asked::<ReportRefusalsRequest>().refusals.len(), 1);
    }
}
