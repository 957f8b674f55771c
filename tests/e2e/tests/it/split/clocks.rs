//! Two replicas of each service, of which one is five minutes ahead: what they do together, and what each makes of what the other began.

use std::time::{Duration, Instant};

use coffre_e2e::api::Protocol;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::sharing::{self, Sharing};
use coffre_e2e::split::{self, Ground, KEEPERS, Part};
use coffre_e2e::tools;

use super::calls::Calls;

/// The second of the day at a replica.
async fn time_of(part: &Part) -> i64 {
    let answer = Http::new(part.management).get("/livez").send().await;
    // `Sun, 22 Nov 2026 21:41:34 GMT`
    let time = answer.header("date").and_then(|date| date.split(' ').nth(4)).expect("an answer has its date");
    time.split(':').fold(0, |sum, number| sum * 60 + number.parse::<i64>().unwrap())
}

#[test]
fn replicas_whose_clocks_are_five_minutes_apart_work_together() {
    run_apart(Engine::Postgres, async |engine| {
        let library = tools::faketime();
        let ahead = [
            ("LD_PRELOAD", library.to_str().unwrap()),
            ("FAKETIME", "+5m"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ];
        let server = Ground::of_two(Home::new(engine)).second_with(&ahead).start();
        for (service, _) in KEEPERS {
            let replicas: Vec<&Part> = server.parts.iter().filter(|part| part.service == service).collect();
            let apart = (time_of(replicas[1]).await - time_of(replicas[0]).await).rem_euclid(24 * 3600);
            assert!((295..=305).contains(&apart), "{service}: {apart} seconds apart");
        }
        let case = Case::on(&server, Protocol::Rest).await;
        let calls = Calls::start(&case).await;
        let mut parties = None;
        let shared = Sharing::start(&server, case.admin.token.as_deref().unwrap(), &mut parties).await;
        let begun = Instant::now();
        while shared.count() < 30 {
            assert!(begun.elapsed() < Duration::from_secs(60), "{} changes of what is shared", shared.count());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        calls.go_on().await;
        // Whichever replica a call meets: signed in, and signed out within a second.
        for round in 0..2 {
            let leaver = case.basic(&format!("leaver {round}")).await;
            for _ in 0..4 {
                leaver.list_credentials(&Default::default()).await.ok();
            }
            leaver.sign_out().await.ok();
            crate::cases::within_a_second("the token is refused everywhere", async || {
                leaver.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
            })
            .await;
        }
        let shared = shared.finish().await;
        calls.end().await;
        sharing::check(&case, &shared).await;
        case.settle().await;
        split::stop(&server);
    });
}
