//! What the audit must hold: every call that a case made, looked up by its request id.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::api::Session;
use crate::canary;
use crate::model::{Entry, Filter, Query};

/// How long an entry may take from the answer to the audit's own database.
const ARRIVES_WITHIN: Duration = Duration::from_secs(20);

/// What the audit must say about one call.
#[derive(Clone, Debug)]
pub struct Expectation {
    pub request_id: String,
    pub rpc: &'static str,
    pub activities: Vec<&'static str>,
    pub successful: bool,
    /// Status and code word of a refusal.
    pub refusal: Option<(u16, String)>,
    /// Empty where the caller was unknown or its name is not expected.
    pub user_name: String,
    pub source: &'static str,
    pub object_name: Option<String>,
    pub event: Option<String>,
    /// Events that other services may record under the same request id.
    pub beside: &'static [&'static str],
    /// How often each of some of them must be there.
    pub exactly: Vec<(&'static str, usize)>,
}

/// The calls of one case.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Vec<Expectation>>);

impl Ledger {
    pub(crate) fn add(&self, expectation: Expectation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(expectation);
    }

    pub(crate) fn amend(&self, request_id: &str, change: impl FnOnce(&mut Expectation)) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(expectation) = calls.iter_mut().rev().find(|call| call.request_id == request_id) {
            change(expectation);
        }
    }

    /// Forgets the calls so far: for cases whose calls may be recorded as counted aggregates.
    pub fn forget(&self) {
        self.take();
    }

    fn take(&self) -> Vec<Expectation> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits until every call has its entry, then compares.
    pub async fn settle(&self, reader: &Session) {
        // What comes before a caller is known is recorded one by one only up to a quota (security.md 6.3).
        let calls: Vec<Expectation> =
            self.take().into_iter().filter(|call| !matches!(call.refusal, Some((401 | 429, _)))).collect();
        let mut missing: Vec<&Expectation> = calls.iter().collect();
        let begun = Instant::now();
        let mut pause = Duration::from_millis(20);
        while !missing.is_empty() {
            let ids: Vec<&str> = missing.iter().map(|call| call.request_id.as_str()).collect();
            let found = entries(reader, &ids).await;
            missing.retain(|call| found.get(&call.request_id).is_none_or(|entries| !is_whole(call, entries)));
            if missing.is_empty() {
                break;
            }
            assert!(begun.elapsed() < ARRIVES_WITHIN, "no audit entry after {ARRIVES_WITHIN:?}: {missing:#?}");
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(500));
        }
    }
}

/// Finds the entries of calls by their request ids.
pub async fn entries(reader: &Session, request_ids: &[&str]) -> BTreeMap<String, Vec<Entry>> {
    let mut found: BTreeMap<String, Vec<Entry>> = BTreeMap::new();
    for chunk in request_ids.chunks(50) {
        let any = chunk.iter().map(|id| Filter::new("requestId", "eq", *id)).collect();
        let page = reader.query_entries(&Query::filter(Filter::Or(any))).await.ok();
        for entry in page.items {
            found.entry(entry.request_id.clone()).or_default().push(entry);
        }
    }
    found
}

/// Compares what there is, and says whether it is all.
fn is_whole(call: &Expectation, entries: &[Entry]) -> bool {
    let (beside, own): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| call.beside.contains(&entry.event.as_str()));
    for entry in &beside {
        assert_eq!((entry.status.as_str(), call.successful), ("Successful", true), "beside {call:#?}: {entry:#?}");
        assert!(call.user_name.is_empty() || entry.user_name == call.user_name, "in another name: {entry:#?}");
        assert!(!canary::is_in(format!("{entry:?}").as_bytes()), "a secret in the audit: {entry:#?}");
    }
    let mut whole = true;
    for (event, expected) in &call.exactly {
        let count = beside.iter().filter(|entry| entry.event == *event).count();
        assert!(count <= *expected, "{count} of {event} instead of {expected}: {beside:#?}");
        whole &= count == *expected;
    }
    match own[..] {
        [] => false,
        [entry] => {
            compare(call, entry);
            whole
        }
        _ => panic!("one call, several entries: {own:#?}"),
    }
}

fn compare(call: &Expectation, entry: &Entry) {
    let both = || format!("\nexpected {call:#?}\nfound {entry:#?}");
    assert!(call.activities.contains(&entry.activity.as_str()), "another activityType:{}", both());
    let status = if call.successful { "Successful" } else { "Unsuccessful" };
    assert_eq!(entry.status, status, "another status:{}", both());
    assert_eq!(entry.source, call.source, "another source:{}", both());
    assert!(!entry.description.is_empty(), "an entry without a sentence:{}", both());
    assert!(!entry.event.is_empty(), "an entry without an event:{}", both());
    if !call.user_name.is_empty() {
        assert_eq!(entry.user_name, call.user_name, "another user:{}", both());
    }
    if let Some(name) = &call.object_name {
        assert_eq!(&entry.object_name, name, "another object:{}", both());
    }
    if let Some(event) = &call.event {
        assert_eq!(&entry.event, event, "another event:{}", both());
    }
    assert!(!canary::is_in(format!("{entry:?}").as_bytes()), "a secret in the audit:{}", both());
}
