//! Two replicas of each service: restarted one after the other, and with all certificates exchanged, under load.

use std::fs;
use std::time::{Duration, Instant};

use coffre_e2e::api::Protocol;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::server::{Engine, Home, Server};
use coffre_e2e::split::Ground;

use super::calls::Calls;

#[test]
fn a_rolling_restart_of_every_service_fails_no_call() {
    run_apart(Engine::Postgres, async |engine| {
        let server = Ground::of_two(Home::new(engine)).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let calls = Calls::start(&case).await;
        case.settle().await;
        for part in server.parts.iter().filter(|part| part.service != "gateway") {
            calls.go_on().await;
            let process = part.process();
            let stopped = tokio::task::spawn_blocking({
                let process = process.clone();
                move || process.stop()
            });
            assert!(stopped.await.unwrap().success(), "{} drains and ends with 0: {}", part.service, process.said());
            tokio::task::block_in_place(|| part.start());
            calls.none_failed(&format!("while {} was restarted", part.service));
        }
        calls.go_on().await;
        calls.end().await;
        case.settle().await;
    });
}

/// Waits until every process took up exchanged files so often.
async fn taken_up(server: &Server, times: usize) {
    let begun = Instant::now();
    for part in &server.parts {
        while part.process().said().matches("what is in them is used from now on").count() < times {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "{} takes up new files: {}",
                part.service,
                part.process().said()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[test]
fn certificates_and_their_authority_are_exchanged_and_no_call_fails() {
    run_apart(Engine::Postgres, async |engine| {
        let ground = Ground::of_two(Home::new(engine));
        let server = ground.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let calls = Calls::start(&case).await;
        let (old, new) = (ground.home.folder.join("certs"), ground.home.folder.join("new-certs"));
        let made = ground.home.operator(&["dev", "certs", "--out", new.to_str().unwrap()]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let authority = |folder: &std::path::Path| fs::read_to_string(folder.join("auth/ca.crt")).unwrap();
        let (first, second) = (authority(&old), authority(&new));
        let services = ["auth", "vault", "locker", "audit", "gateway"];
        let believe = |authorities: &str| {
            for service in services {
                let (path, beside) = (old.join(service).join("ca.crt"), old.join(service).join("ca.crt.next"));
                fs::write(&beside, authorities).unwrap();
                fs::rename(beside, path).unwrap();
            }
        };
        // Both are believed before anybody shows a certificate of the new one, and as long as anybody shows one of the old one.
        calls.go_on().await;
        believe(&format!("{first}{second}"));
        taken_up(&server, 1).await;
        calls.go_on().await;
        for service in services {
            for file in ["tls.crt", "tls.key"] {
                fs::copy(new.join(service).join(file), old.join(service).join(file)).unwrap();
            }
        }
        taken_up(&server, 2).await;
        calls.go_on().await;
        believe(&second);
        taken_up(&server, 3).await;
        calls.go_on().await;
        calls.end().await;
        case.settle().await;
    });
}
