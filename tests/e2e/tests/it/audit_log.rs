//! The audit over time: followed over a killed connection and restarts, what ends a stream, what the process records of itself.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, NewAttribute, Protocol, Session, UserChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Filter, Query};
use coffre_e2e::server::{Engine, Home, Server};
use coffre_proto::audit::v1::{StreamEntriesRequest, StreamEntriesResponse};
use tonic::{Code, Status, Streaming};

use crate::cases::WITHIN_A_SECOND;

on_each_engine! {
    what_is_followed_is_everything_once_over_kills_and_restarts,
    a_stream_ends_with_what_it_was_opened_with,
    the_process_records_what_it_does_by_itself,
}

fn followed(filter: Option<Filter>, from_index: i64) -> StreamEntriesRequest {
    let filter = filter.map(|filter| filter.proto());
    StreamEntriesRequest { filter, from_index, follow: true, ..StreamEntriesRequest::default() }
}

fn over_grpc(server: &Server, session: &Session) -> Session {
    Session { api: Api::new(server, Protocol::Grpc), ..session.clone() }
}

/// Follows the log, counts what comes, and returns where it is, until so many credentials were seen.
async fn follow(
    auditor: &Session,
    next: i64,
    seen: &mut BTreeMap<i64, String>,
    until: usize,
) -> Result<i64, (i64, Status)> {
    let mut next = next;
    let mut entries = auditor.stream(followed(None, next)).await.map_err(|status| (next, status))?;
    loop {
        let message = match entries.message().await {
            Ok(message) => message.expect("what is followed has no end"),
            Err(status) => return Err((next, status)),
        };
        for entry in message.entries {
            let event = entry.event.unwrap();
            assert_eq!(seen.insert(entry.log_index, event.event), None, "entry {} came twice", entry.log_index);
        }
        next = message.next_index;
        if seen.values().filter(|event| *event == "credential.created").count() >= until {
            return Ok(next);
        }
    }
}

async fn what_is_followed_is_everything_once_over_kills_and_restarts(engine: Engine) {
    let home = Home::new(engine);
    let (mut seen, mut next) = (BTreeMap::new(), 0);
    for round in 1..=3 {
        let server = home.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let auditor = over_grpc(&server, &case.admin);
        for _ in 0..10 {
            case.admin
                .create_credential(
                    &case.unique(&format!("r{round} {}", uuid::Uuid::new_v4())),
                    &[NewAttribute::standard("a")],
                )
                .await
                .ok();
        }
        let waited = follow(&auditor, next, &mut seen, round * 10);
        next = tokio::time::timeout(Duration::from_secs(30), waited).await.expect("all of them come").unwrap();
        // It waits for more when the server goes: killed, or told to stop.
        let (begun, mut rest) = (Instant::now(), BTreeMap::new());
        let (broken, ()) = tokio::join!(follow(&auditor, next, &mut rest, usize::MAX), async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            if round == 2 { server.kill() } else { server.signal(rustix::process::Signal::TERM) }
        });
        let (bookmark, status) = broken.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(10), "it ends with the server: {status:?}");
        if round != 2 {
            assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        }
        for (index, event) in rest {
            assert_eq!(seen.insert(index, event), None, "entry {index} came twice");
        }
        next = bookmark;
        server.kill();
    }
    assert!(next > 0 && seen.keys().copied().eq(0..next), "no entry is missing up to {next}");
}

/// Waits for the end of a stream, which must come within a second.
async fn ended(entries: &mut Streaming<StreamEntriesResponse>) -> Status {
    let begun = Instant::now();
    let ended = tokio::time::timeout(Duration::from_secs(10), async {
        loop {
            match entries.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends without a word"),
                Err(status) => return status,
            }
        }
    });
    let status = ended.await.expect("the stream goes on");
    assert!(begun.elapsed() < WITHIN_A_SECOND, "not within a second: {:?}", begun.elapsed());
    status
}

async fn a_stream_ends_with_what_it_was_opened_with(engine: Engine) {
    let server = Home::new(engine).start();
    let case = Case::on(&server, Protocol::Rest).await;
    let open = async |who: &Session| {
        let mut entries = over_grpc(&server, who).stream(followed(None, 0)).await.unwrap();
        entries.message().await.unwrap().unwrap();
        entries
    };
    let code = |status: &Status| coffre_e2e::api::refused(status).code;

    let leaver = case.basic("leaver").await;
    let mut entries = open(&leaver).await;
    leaver.sign_out().await.ok();
    assert_eq!(code(&ended(&mut entries).await), "auth.token_invalid");

    let disabled = case.basic("disabled").await;
    let mut entries = open(&disabled).await;
    case.admin.update_user(disabled.id, &UserChange { disabled: Some(true), ..UserChange::default() }).await.ok();
    assert_eq!(code(&ended(&mut entries).await), "auth.token_invalid");

    let stripped = case.holder("stripped", &[permission::VIEW_ALL_AUDIT]).await;
    let mut entries = open(&stripped).await;
    case.admin.update_user(stripped.id, &UserChange { roles: Some(Vec::new()), ..UserChange::default() }).await.ok();
    assert_eq!(code(&ended(&mut entries).await), "authz.permission_required");
    // One's own entries need no permission.
    let mut own = open(&stripped).await;
    own.message().await.unwrap();

    // Streams are bounded for each user.
    let greedy = case.basic("greedy").await;
    let mut streams = Vec::new();
    let refused = loop {
        match over_grpc(&server, &greedy).stream(followed(None, 0)).await {
            Ok(stream) => streams.push(stream),
            Err(status) => break status,
        }
        assert!(streams.len() < 100, "nothing bounds streams");
    };
    assert_eq!(code(&refused), "request.overloaded");
    assert!(server.stop().success(), "open streams keep nobody from stopping");
}

async fn the_process_records_what_it_does_by_itself(engine: Engine) {
    let home = Home::new(engine);
    assert!(home.start().stop().success());
    let server = home.start();
    let case = Case::on(&server, Protocol::Rest).await;
    let count = async |event: &str| {
        let page = case.admin.query_entries(&Query::filter(Filter::new("event", "eq", event))).await.ok();
        assert!(page.items.iter().all(|entry| entry.source == "System" && entry.status == "Successful"), "{page:?}");
        page.items.len()
    };
    let begun = Instant::now();
    while count("process.started").await < 2 {
        assert!(begun.elapsed() < Duration::from_secs(20), "the start is not recorded");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // What another process left in the outbox is carried once it is some seconds old.
    for event in ["process.stopped", "installation.initialised", "vault.initialised"] {
        while count(event).await != 1 {
            assert!(begun.elapsed() < Duration::from_secs(20), "{event} is recorded once");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    // `coffre migrate` comes before there are keys, and `dev` makes both.
    if engine == Engine::Sqlite {
        assert_eq!((count("migration.started").await, count("migration.finished").await), (1, 1));
    }
}
