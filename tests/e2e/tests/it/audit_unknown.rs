//! What the audit holds of calls whose caller is not known (security.md 6.3): one entry each up to a quota an address, then counts, and every
//! call is in the one or the other. On servers of their own, because the counts are those of a minute.

use std::net::{IpAddr, Ipv4Addr};

use coffre_e2e::api::{Api, Protocol};
use coffre_e2e::case::Case;
use coffre_e2e::ledger;
use coffre_e2e::model::{Entry, Filter, Query};
use coffre_e2e::server::{Engine, Home};
use coffre_proto::audit::v1::StreamEntriesRequest;
use serde_json::Value;

on_each_engine! {
    of_many_unknown_callers_none_is_lost,
    a_throttled_call_is_recorded_as_what_it_is,
}

/// The quota of an address in a minute.
const QUOTA: usize = 60;

fn address(last: u8) -> Option<IpAddr> {
    Some(IpAddr::V4(Ipv4Addr::new(127, 91, 3, last)))
}

/// What was only counted, by the entries that say so.
fn occurrences(entries: &[Entry], reason: &str) -> usize {
    let counted = |entry: &Entry| {
        let detail: Value = serde_json::from_str(&entry.detail).unwrap();
        assert!(detail.to_string().contains(reason), "the reason is told: {entry:#?}");
        assert_eq!((entry.status.as_str(), entry.user_name.as_str()), ("Unsuccessful", ""), "{entry:#?}");
        detail["occurrences"].as_u64().unwrap_or(1)
    };
    usize::try_from(entries.iter().map(counted).sum::<u64>()).unwrap()
}

async fn of_many_unknown_callers_none_is_lost(engine: Engine) {
    const CALLS: usize = 150;
    let home = Home::new(engine);
    let server = home.start();
    let mut receipts = Vec::new();
    for (protocol, last) in Protocol::BOTH.into_iter().zip([2, 3]) {
        let nobody = Api::from_address(&server, protocol, address(last)).anonymous();
        let mut named = 0;
        for call in 0..CALLS {
            let answer = nobody.list_api_keys().await;
            named += usize::from(answer.audit_id.is_some());
            assert!(call >= QUOTA || answer.audit_id.is_some(), "call {call} is within the quota");
            answer.refused(401, "auth.token_required");
        }
        assert!(named < CALLS, "nothing bounds what unknown callers write");
        receipts.push(named);
    }
    // A process that stops writes down what it counted.
    assert!(server.stop().success());
    let server = home.start();
    let case = Case::on(&server, Protocol::Rest).await;
    for (last, named) in [2, 3].into_iter().zip(receipts) {
        let of = async |event: &str| {
            let from = Filter::new("clientAddress", "eq", address(last).unwrap().to_string());
            let query = Query::filter(Filter::And(vec![from, Filter::new("event", "eq", event)]));
            case.admin.query_entries(&query.page(0, 1000)).await.ok().items
        };
        let one_by_one = of("api_key.listed").await;
        assert_eq!(one_by_one.len(), named, "as many entries as answers that name one");
        assert!(one_by_one.iter().all(|entry| entry.status == "Unsuccessful" && entry.user_name.is_empty()));
        let counted = of("call.unknown_caller.counted").await;
        let counted = occurrences(&counted, "AUTH_TOKEN_REQUIRED");
        assert_eq!(one_by_one.len() + counted, CALLS, "each call is recorded or counted");
    }
}

async fn a_throttled_call_is_recorded_as_what_it_is(engine: Engine) {
    let server = Home::new(engine).start();
    for (protocol, last) in Protocol::BOTH.into_iter().zip([4, 5]) {
        let case = Case::on(&server, protocol).await;
        // Before a caller is known.
        let nobody = Api::from_address(&server, protocol, address(last)).anonymous();
        let name = case.unique("nobody");
        let throttled = loop {
            let answer = nobody.sign_in(&name, "a wrong password").await;
            if answer.code() == Some("auth.throttled") {
                break answer;
            }
        };
        let request = throttled.request_id.clone();
        assert!(throttled.audit_id.is_some(), "the answer names its entry");
        throttled.refused(429, "auth.throttled");
        nobody.api.ledger.settle(&case.admin).await;
        let found = ledger::entries(&case.admin, &[&request]).await.remove(&request).unwrap();
        assert_eq!((found.len(), found[0].event.as_str()), (1, "session.opened"), "{found:#?}");
        assert_eq!((found[0].activity.as_str(), found[0].status.as_str()), ("LOGIN", "Unsuccessful"), "{found:#?}");
        assert!(found[0].detail.contains("AUTH_THROTTLED"), "{found:#?}");
        assert!(found[0].user_name.is_empty(), "a name that nobody has is not written down: {found:#?}");
    }
    // Of a caller who is known there is no quota: each refusal is an entry.
    let case = Case::on(&server, Protocol::Grpc).await;
    let greedy = case.basic("greedy").await;
    let follow = StreamEntriesRequest { follow: true, ..StreamEntriesRequest::default() };
    let mut streams = Vec::new();
    while let Ok(stream) = greedy.stream(follow.clone()).await {
        streams.push(stream);
    }
    for _ in 0..QUOTA + 9 {
        let refused = greedy.stream(follow.clone()).await.unwrap_err();
        assert_eq!(coffre_e2e::api::refused(&refused).code, "request.overloaded");
    }
    let filter = Filter::And(vec![
        Filter::new("userName", "eq", &*greedy.username),
        Filter::new("event", "eq", "audit.entry.streamed"),
        Filter::new("status", "eq", "Unsuccessful"),
    ]);
    let found = case.admin.query_entries(&Query::filter(filter).page(0, 1000)).await.ok().items;
    assert_eq!(found.len(), QUOTA + 10, "one for the first that was refused, too");
    assert!(found.iter().all(|entry| entry.detail.contains("REQUEST_OVERLOADED")), "{:#?}", found[0]);
}
