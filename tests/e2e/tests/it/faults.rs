//! The database goes and comes back; the process is killed under load (architecture.md 8).

use std::time::{Duration, Instant};

use coffre_e2e::api::{Api, NewAttribute, NewValue, Protocol, Session};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::kills;
use coffre_e2e::model::Query;
use coffre_e2e::server::{Engine, Home};
use coffre_test_support::{PostgresServer, TestDb};
use serde_json::json;

#[test]
fn a_database_that_goes_and_comes_back_is_survived() {
    run_apart(Engine::Postgres, async |engine| {
        let postgres = PostgresServer::start();
        let home = Home::on(engine, Some(TestDb::on(&postgres.url())));
        home.initialise();
        let server = home.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let owner = case.basic("owner").await;
        let created = owner.create_credential(&case.unique("kept"), &[NewAttribute::standard("a")]).await.ok();
        let secret = case.secret("kept");
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, &*secret)]).await.ok();
        let locker = owner.create_locker(&case.unique("kept"), None).await.ok();
        owner.assign(locker.id, created.id).await.ok();
        case.settle().await;

        for round in 0..2 {
            postgres.crash();
            let http = Http::new(server.http);
            let token = owner.token.as_deref().unwrap();
            let path = format!("/v2/credentialvault/credentials/{}", created.id);
            let gone = Instant::now();
            let mut refused = 0;
            while refused < 5 {
                let requests = [
                    http.get(&*path).token(token),
                    http.get(format!("{path}/attributevalues")).token(token),
                    http.get(format!("/v2/credentialvault/lockers/{}", locker.id)).token(token),
                    http.get(format!("/v2/credentialvault/lockers/{}/credentials", locker.id)).token(token),
                    http.put(&*path).token(token).json(&json!({"description": format!("round {round}")})),
                    http.post("/v1/authentication")
                        .json(&json!({"username": owner.username, "password": case.password_of(&owner)})),
                ];
                for request in requests {
                    let asked = Instant::now();
                    let answer = request.send().await;
                    assert_eq!(answer.status, 503, "{:?}", String::from_utf8_lossy(&answer.body));
                    assert!(answer.header("retry-after").is_some(), "503 says when to come back: {:?}", answer.headers);
                    assert!(!answer.code().is_empty());
                    assert!(asked.elapsed() < Duration::from_secs(5), "the answer took {:?}", asked.elapsed());
                }
                refused += 1;
                assert!(gone.elapsed() < Duration::from_secs(60));
            }
            let grpc = Session { api: Api::new(&server, Protocol::Grpc), ..owner.clone() };
            let answer = grpc.get_credential(created.id).await;
            assert_eq!(answer.status, 503, "{answer:?}");
            let refused = http.get(&*path).token(token).send().await.json();
            assert!(says(&refused, "the database of vault does not answer"), "{refused}");
            assert!(says(&refused, "whoever runs this server"), "it says who can help: {refused}");
            crate::cases::within_a_second("readiness names what is away", async || {
                let ready = http.get("/readyz").send().await;
                ready.status == 503 && says(&ready.json(), "the database of vault does not answer: start it")
            })
            .await;
            assert_eq!(http.get("/healthz").send().await.status, 200, "the process lives");

            postgres.resume();
            let back = Instant::now();
            loop {
                // Each service finds its database again by itself.
                let answer = owner.list_values(created.id).await;
                let others = owner.get_locker(locker.id).await.outcome.is_ok()
                    && case.admin.query_entries(&Query::default().page(0, 1)).await.outcome.is_ok();
                if let (Ok(values), true) = (answer.outcome, others) {
                    assert_eq!(values[0].value, secret);
                    break;
                }
                assert!(back.elapsed() < Duration::from_secs(20), "not well again after {:?}", back.elapsed());
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            case.api.ledger.forget();
            let change = coffre_e2e::api::CredentialChange {
                description: Some(format!("well again {round}")),
                ..Default::default()
            };
            let begun = Instant::now();
            while owner.update_credential(created.id, &change).await.outcome.is_err() {
                assert!(begun.elapsed() < Duration::from_secs(20), "writes are not well again");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            case.api.ledger.forget();
            owner.get_credential(created.id).await.ok();
            owner.list_values(created.id).await.ok();
            assert_eq!(owner.list_contents(locker.id).await.ok().len(), 1);
            case.settle().await;
            while http.get("/readyz").send().await.status != 200 {
                assert!(begun.elapsed() < Duration::from_secs(20), "it is not ready again");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        assert!(server.stop().success());
        // Dozens of refused calls in two outages of a minute at most: a line when one begins, when it ends, and a minute between two.
        let log = std::fs::read_to_string(&server.log).unwrap();
        for service in ["auth", "vault", "locker"] {
            let told = |what: &str| log.lines().filter(|line| line.contains(what) && line.contains(service)).count();
            assert!(
                (1..=4).contains(&told("calls cannot be recorded")),
                "{service}: {}",
                told("calls cannot be recorded")
            );
            assert!((2..=8).contains(&told("a part of the server cannot serve")), "{service} is named when it goes");
            assert!((2..=8).contains(&told("a part of the server serves again")), "{service} is named when it is back");
        }
        assert!(log.contains("calls are recorded again"));
    });
}

/// Says whether the message of a refusal holds some words.
fn says(refusal: &serde_json::Value, words: &str) -> bool {
    refusal["message"].as_str().is_some_and(|message| message.contains(words))
}

/// Twenty and more, over both engines together.
#[test]
fn sqlite_loses_nothing_acknowledged_to_kills() {
    run_apart(Engine::Sqlite, async |engine| {
        kills::run(engine, 12).await;
    });
}

#[test]
fn postgres_loses_nothing_acknowledged_to_kills() {
    run_apart(Engine::Postgres, async |engine| {
        kills::run(engine, 10).await;
    });
}
