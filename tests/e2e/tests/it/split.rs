//! Every service in a process of its own (architecture.md 1; security.md 4). The shared cases run against this form, too; here is what only it can
//! do: services that are away, gateways that come and go, and settings that are refused.

mod calls;
mod clocks;
mod crowds;
mod cut_off;
mod failover;
mod newer_schema;
mod peers;
mod refused;
mod rolling;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use coffre_e2e::api::{NewAttribute, NewValue, Protocol, Session};
use coffre_e2e::case::{Case, run_apart, run_split};
use coffre_e2e::http::Http;
use coffre_e2e::model::{Filter, Query};
use coffre_e2e::raw;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::{self, Ground, Part};
use rustix::process::Signal;

/// "At once": no hang beyond what a busy machine needs.
const AT_ONCE: Duration = Duration::from_secs(3);
/// How long a service that is back may be unseen, on a busy machine.
const WELL_AGAIN_WITHIN: Duration = Duration::from_secs(20);

#[test]
fn a_first_story_passes_through_every_service() {
    for protocol in Protocol::BOTH {
        run_split(protocol, async |case| {
            let owner = case.basic("owner").await;
            let reader = case.user("reader", &[case.role("readers", &[]).await]).await;
            let created =
                owner.create_credential(&case.unique("robot"), &[NewAttribute::standard("password")]).await.ok();
            let secret = case.secret("robot");
            owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
            let locker = owner.create_locker(&case.unique("robots"), None).await.ok();
            owner.assign(locker.id, created.id).await.ok();
            assert_eq!(owner.list_contents(locker.id).await.ok().len(), 1);
            let read = owner.list_values(created.id).await;
            let entry = read.audit_id.clone().expect("an answer names its entry");
            assert_eq!(read.ok()[0].value, secret);
            reader.list_values(created.id).await.refused(404, "credential.not_found");
            // The entry has reached the audit, or is about to.
            let begun = Instant::now();
            let found = loop {
                match case.admin.get_entry(&entry).await.outcome {
                    Ok(found) => break found,
                    Err(refused) => assert!(begun.elapsed() < WELL_AGAIN_WITHIN, "{refused:?}"),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            };
            assert_eq!(found.user_name, owner.username);
            case.api.ledger.forget();
        });
    }
}

#[test]
fn each_service_says_in_the_audit_that_it_started() {
    run_split(Protocol::Rest, async |case| {
        let begun = Instant::now();
        let event = || Query::filter(Filter::new("event", "eq", "process.started"));
        while case.admin.query_entries(&event()).await.ok().items.len() < 4 {
            assert!(begun.elapsed() < WELL_AGAIN_WITHIN, "auth, vault, locker and audit have started");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
}

/// What is there to be asked for.
struct There {
    owner: Session,
    credential: i64,
    locker: i64,
}

/// What is asked of a service, to see whether it answers: something for which it needs no other one but auth.
async fn asked(case: &Case<'_>, there: &There, service: &str) -> (u16, Option<String>) {
    let answer = |status, code: Option<&str>| (status, code.map(ToOwned::to_owned));
    match service {
        "auth" => {
            let asked = case.admin.query_users(&Query::default().page(0, 1)).await;
            answer(asked.status, asked.code())
        }
        "vault" => {
            let asked = there.owner.get_credential(there.credential).await;
            answer(asked.status, asked.code())
        }
        "locker" => {
            let asked = case.admin.list_members(there.locker).await;
            answer(asked.status, asked.code())
        }
        _ => {
            let asked = case.admin.query_entries(&Query::default().page(0, 1)).await;
            answer(asked.status, asked.code())
        }
    }
}

impl There {
    /// Makes it.
    async fn make(case: &Case<'_>) -> Self {
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("there"), &[NewAttribute::standard("a")]).await.ok();
        let locker = case.admin.create_locker(&case.unique("there"), None).await.ok();
        Self { owner, credential: created.id, locker: locker.id }
    }
}

async fn is_well(case: &Case<'_>, there: &There, service: &str) {
    let begun = Instant::now();
    loop {
        let (status, code) = asked(case, there, service).await;
        if status == 200 {
            return;
        }
        assert_eq!(status, 503, "{service}: {code:?}");
        assert!(begun.elapsed() < WELL_AGAIN_WITHIN, "{service} is not well again: {code:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[test]
fn a_service_that_is_away_is_told_at_once_and_is_well_again_by_itself() {
    run_apart(Engine::Postgres, async |engine| {
        let ground = Ground::new(Home::new(engine));
        let server = ground.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        let secret = case.secret("kept");
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
        let locker = case.admin.create_locker(&case.unique("kept"), None).await.ok();
        let there = There { owner: owner.clone(), credential: created.id, locker: locker.id };
        case.settle().await;
        // With auth away nobody is recognised once what was heard of it is too old.
        for (away, works) in [
            ("audit", &["auth", "vault", "locker"][..]),
            ("locker", &["auth", "vault", "audit"]),
            ("vault", &["auth", "locker", "audit"]),
            ("auth", &[]),
        ] {
            let part = server.part(away);
            part.process().kill();
            let gone = Instant::now();
            crate::cases::within_a_second(&format!("{away} is away"), async || {
                asked(&case, &there, away).await.0 == 503
            })
            .await;
            if away == "auth" {
                // Fail closed: every service refuses within the second after which nothing it has heard counts.
                for service in ["vault", "locker", "audit"] {
                    while asked(&case, &there, service).await.0 != 503 {
                        assert!(gone.elapsed() < AT_ONCE, "{service} goes on without auth");
                    }
                }
            }
            for _ in 0..5 {
                let begun = Instant::now();
                let (status, code) = asked(&case, &there, away).await;
                assert_eq!(status, 503, "{away}: {code:?}");
                assert!(begun.elapsed() < AT_ONCE, "{away}: the refusal took {:?}", begun.elapsed());
                for service in works {
                    let begun = Instant::now();
                    assert_eq!(asked(&case, &there, service).await.0, 200, "{service} without {away}");
                    assert!(begun.elapsed() < AT_ONCE, "{service} without {away} took {:?}", begun.elapsed());
                }
            }
            if works.contains(&"vault") {
                // What is in no locker hangs on none; what is read without audit is recorded all the same.
                assert_eq!(owner.list_values(created.id).await.ok()[0].value, secret, "without {away}");
            }
            assert_eq!(
                raw::status_of(server.management, "/readyz"),
                Some(200),
                "the gateway serves what can be served"
            );
            let told = Http::new(server.management).get("/readyz").send().await.json();
            let component = &told["components"][format!("to {away}")];
            assert_eq!(component["state"], "degraded", "{told}");
            case.api.ledger.forget();
            part.start();
            for service in ["auth", "vault", "locker", "audit"] {
                is_well(&case, &there, service).await;
            }
            case.api.ledger.forget();
            // Nothing was lost meanwhile, and everything works together again.
            owner.list_values(created.id).await.ok();
            let locker = owner.create_locker(&case.unique(&format!("after {away}")), None).await.ok();
            owner.get_locker(locker.id).await.ok();
            case.settle().await;
        }
        split::stop(&server);
    });
}

/// A gateway as whoever balances between gateways sees it.
struct Door {
    http: Http,
    part: Part,
    ready: AtomicBool,
}

/// Reads on and on, at doors that are ready.
async fn read_at(doors: Arc<[Door]>, path: String, token: String, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) {
    while !stop.load(Ordering::SeqCst) {
        for door in doors.iter() {
            if !door.ready.load(Ordering::SeqCst) {
                continue;
            }
            let answer = door.http.get(&*path).token(&token).try_send().await;
            let answer = answer.unwrap_or_else(|error| panic!("a call got no answer: {error:#}"));
            assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
            answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_gateway_that_is_told_to_stop_fails_no_call() {
    run_apart(Engine::Postgres, async |engine| {
        let ground = Ground::new(Home::new(engine));
        let server = ground.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*case.secret("kept"))]).await.ok();
        let door = |part: Part| Door { http: Http::new(part.http.unwrap()), part, ready: AtomicBool::new(true) };
        let doors: Arc<[Door]> = [ground.another("gateway"), ground.another("gateway")].map(door).into();
        let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let probing = tokio::task::spawn_blocking({
            let (doors, stop) = (doors.clone(), stop.clone());
            move || {
                while !stop.load(Ordering::SeqCst) {
                    for door in doors.iter() {
                        let ready = raw::status_of(door.part.management, "/readyz") == Some(200);
                        door.ready.store(ready, Ordering::SeqCst);
                    }
                    std::thread::sleep(Duration::from_millis(10));
                }
            }
        });
        let path = format!("/v2/credentialvault/credentials/{}/attributevalues", created.id);
        let token = owner.token.clone().unwrap();
        let callers: Vec<_> = (0..4)
            .map(|_| tokio::spawn(read_at(doors.clone(), path.clone(), token.clone(), stop.clone(), answered.clone())))
            .collect();
        for round in 0..4 {
            let before = answered.load(Ordering::SeqCst);
            let begun = Instant::now();
            while answered.load(Ordering::SeqCst) < before + 50 {
                assert!(begun.elapsed() < WELL_AGAIN_WITHIN, "calls are answered in round {round}");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            let part = &doors[round % 2].part;
            let process = part.process();
            process.signal(Signal::TERM);
            let status = tokio::task::spawn_blocking({
                let process = process.clone();
                move || process.wait()
            });
            assert!(status.await.unwrap().success(), "it drains and ends with 0: {}", process.said());
            part.start();
        }
        stop.store(true, Ordering::SeqCst);
        for caller in callers {
            caller.await.expect("no call failed");
        }
        probing.await.unwrap();
        case.settle().await;
    });
}

#[test]
fn a_second_signal_ends_a_service_at_once() {
    run_apart(Engine::Postgres, async |engine| {
        let ground = Ground::new(Home::new(engine));
        let server = ground.start();
        let process = server.part("locker").process();
        process.signal(Signal::TERM);
        let begun = Instant::now();
        while raw::status_of(server.part("locker").management, "/readyz") == Some(200) {
            assert!(begun.elapsed() < AT_ONCE, "readiness is off first");
        }
        process.signal(Signal::TERM);
        assert_eq!(process.wait().code(), Some(130), "{}", process.said());
    });
}
