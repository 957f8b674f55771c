//! The primary of PostgreSQL dies under load, and its synchronous standby takes its place (architecture.md 8).

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

use std::time::{Duration, Instant};

use coffre_e2e::api::Protocol;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::kills;
use coffre_e2e::load::Load;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::{self, Ground};
use coffre_test_support::{PostgresServer, TestDb};

use super::{AT_ONCE, There, is_well};

/// From the moment at which the standby is told to take over.
const SERVES_WITHIN: Duration = Duration::from_secs(10);

#[test]
fn a_primary_that_is_killed_under_load_loses_nothing_and_its_standby_serves_within_ten_seconds() {
    run_apart(Engine::Postgres, async |engine| {
        let (primary, standby) = PostgresServer::with_synchronous_standby();
        let home = Home::on(engine, Some(TestDb::on(&primary.url_with(&standby))));
        home.initialise();
        let server = Ground::new(home).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let there = There::make(&case).await;
        case.settle().await;
        let load = Load::start(&server, case.admin.token.as_deref().unwrap(), 3, 3).await;
        load.goes_on(50).await;

        primary.kill();
        let killed = Instant::now();
        // Everybody notices, and nobody hangs.
        while load.counts().2 < 30 {
            assert!(killed.elapsed() < Duration::from_secs(10), "{:?}", load.counts());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let promoted = Instant::now();
        tokio::task::block_in_place(|| standby.promote());
        for service in ["auth", "vault", "locker", "audit"] {
            is_well(&case, &there, service).await;
        }
        load.goes_on(1).await;
        let serves = promoted.elapsed();
        assert!(serves < SERVES_WITHIN, "well again {serves:?} after the promotion");
        case.api.ledger.forget();
        load.goes_on(50).await;

        let met = load.finish().await;
        let last = met.refused.iter().map(|refused| refused.begun).max().unwrap();
        println!(
            "{} refused, the last {:?} after the promotion; well after {serves:?}",
            met.refused.len(),
            last - promoted
        );
        for refused in &met.refused {
            assert!(refused.begun >= killed - AT_ONCE && refused.took < AT_ONCE, "{refused:?}");
            assert_eq!(refused.status, 503, "{refused:?}");
        }
        kills::check(&case, &met).await;
        case.settle().await;
        split::stop(&server);
    });
}
