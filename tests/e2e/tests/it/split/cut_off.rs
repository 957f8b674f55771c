//! Two replicas of each service on hosts of their own, of which some are killed and some are cut off, and names that fail, under load: errors only
//! within the bounds of docs/between-services.md, no acknowledged write lost, no value read without its entry.

#![allow(clippy::print_stdout, reason = "figures, for whoever runs it with --nocapture")]

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use coffre_e2e::api::Protocol;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::kills;
use coffre_e2e::load::{Load, Refused};
use coffre_e2e::network::{self, Network};
use coffre_e2e::server::{Engine, Home, Server};
use coffre_e2e::split::{self, Ground, KEEPERS, replicas_of};
use coffre_test_support::TestDb;

use super::{AT_ONCE, There, WELL_AGAIN_WITHIN, asked, is_well};

/// What docs/between-services.md says of a replica that is cut off.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(6);
/// How much later than in truth something is seen on a busy machine.
const BUSY: Duration = Duration::from_secs(2);
const CALLERS: usize = 3;

/// Looks at what callers met since a moment.
fn only_within(met: &[Refused], since: Instant, bound: Duration, what: &str) {
    for refused in met.iter().filter(|refused| refused.begun + refused.took > since) {
        let after = refused.begun.saturating_duration_since(since);
        assert_eq!(refused.status, 503, "{what}: {after:?} after it: {refused:?}");
        assert!(after < bound + BUSY, "{what}: a call that begins {after:?} after it fails: {refused:?}");
        assert!(refused.took < bound + BUSY, "{what}: a call fails after {:?}: {refused:?}", refused.took);
    }
}

/// An address at which nobody is: nothing that is sent there is answered.
const NOBODY: Ipv4Addr = Ipv4Addr::new(10, 77, 9, 9);
/// Names are looked up every 1.5 seconds; by then each was.
const LOOKED_UP: Duration = Duration::from_millis(3_500);

/// Names that fail, and names that also or only stand for an address at which nobody is.
async fn names(case: &Case<'_>, there: &There, ground: &Ground, load: &Load) {
    let known = |service: &str| replicas_of(service);
    for (what, addresses) in [
        ("the names are unknown", Box::new(|_: &str| Vec::new()) as Box<dyn Fn(&str) -> Vec<Ipv4Addr>>),
        ("nobody is at one of the addresses", Box::new(move |service| [known(service), vec![NOBODY]].concat())),
    ] {
        let before = load.counts().2;
        ground.list(addresses);
        tokio::time::sleep(LOOKED_UP).await;
        load.goes_on(10).await;
        assert_eq!(load.counts().2, before, "{what}: {:?}", load.refused().last());
    }
    // All that is left of a service: calls end at once, and it is well again by itself.
    ground.list(|service| if service == "audit" { vec![NOBODY] } else { known(service) });
    let since = Instant::now();
    while asked(case, there, "audit").await.0 == 200 {
        assert!(since.elapsed() < Duration::from_secs(20), "the addresses that are not listed any more are left alone");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // At the longest so long as a connection is being made.
    for _ in 0..3 {
        let asking = Instant::now();
        assert_eq!(asked(case, there, "audit").await.0, 503);
        assert!(asking.elapsed() < AT_ONCE, "the refusal took {:?}", asking.elapsed());
        is_well(case, there, "vault").await;
    }
    ground.list(known);
    is_well(case, there, "audit").await;
    case.api.ledger.forget();
}

async fn killed(server: &Server, load: &Load) {
    for service in ["auth", "vault"] {
        let part = server.part(service);
        part.process().kill();
        let since = Instant::now();
        load.goes_on(20).await;
        let met = load.refused();
        // What it had, and what was on its way there.
        only_within(&met, since, Duration::ZERO, &format!("a replica of {service} is killed"));
        let broken = met.iter().filter(|refused| refused.begun + refused.took > since).count();
        println!("{service} killed: {broken} calls broke");
        assert!(broken <= 2 * 2 * CALLERS, "{service}: {broken} calls broke: {met:?}");
        tokio::task::block_in_place(|| part.start());
        load.goes_on(20).await;
    }
}

/// Says whether readiness tells that every other service is reached. That the audit has yet to hear of what was done meanwhile is no fault.
fn reaches_all(told: &str) -> bool {
    let told: serde_json::Value = serde_json::from_str(told).unwrap_or_default();
    let components = told["components"].as_object();
    components.is_some_and(|all| all.iter().all(|(name, told)| !name.starts_with("to ") || told["state"] == "ready"))
}

/// Cuts off the first replica of every service, as where the machine dies on which they are.
async fn cut_off(server: &Server, network: &Network, load: &Load) {
    let hosts = KEEPERS.map(|(service, _)| server.part(service).host.unwrap());
    for host in hosts {
        network.cut_off(host);
    }
    let since = Instant::now();
    let mut going_on = Vec::new();
    while since.elapsed() < GIVEN_UP_WITHIN + BUSY {
        let before = load.count();
        tokio::time::sleep(Duration::from_millis(500)).await;
        going_on.push(load.count() - before);
    }
    load.goes_on(50).await;
    let met = load.refused();
    only_within(&met, since, GIVEN_UP_WITHIN, "half of the replicas are cut off");
    let broken: Vec<_> = met.iter().filter(|refused| refused.begun + refused.took > since).collect();
    let last = broken.iter().map(|refused| refused.begun + refused.took - since).max();
    println!(
        "cut off: {} calls broke, the last after {last:?}; answered in each half second: {going_on:?}",
        broken.len()
    );
    for host in hosts {
        network.join(host);
    }
    let since = Instant::now();
    for (service, _) in KEEPERS {
        let part = server.part(service);
        while !reaches_all(&part.told()) || part.ready().is_err() {
            let waited = since.elapsed();
            assert!(
                waited < WELL_AGAIN_WITHIN,
                "{service} is not well again: {}\n{}",
                part.told(),
                part.process().said().lines().filter(|line| !line.contains("DEBUG")).collect::<Vec<_>>().join("\n")
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    println!("well again {:?} after it is over", since.elapsed());
    load.goes_on(50).await;
    only_within(&load.refused(), since, Duration::ZERO, "they are there again");
}

#[test]
fn replicas_that_are_killed_or_cut_off_cost_what_is_documented_and_nothing_is_lost() {
    const NAME: &str =
        "split::cut_off::replicas_that_are_killed_or_cut_off_cost_what_is_documented_and_nothing_is_lost";
    if !Engine::Postgres.is_wanted() {
        return;
    }
    let hosts = [Ground::hosts(), vec![NOBODY]].concat();
    network::within(NAME, &hosts, |network| {
        network.cut_off(NOBODY);
        run_apart(Engine::Postgres, async |engine| {
            let home = Home::on(engine, Some(TestDb::on(&network.database())));
            home.initialise();
            let ground = Ground::of_network(home, &network);
            let server = ground.start();
            let case = Case::on(&server, Protocol::Rest).await;
            let there = There::make(&case).await;
            case.settle().await;
            let load = Load::start(&server, case.admin.token.as_deref().unwrap(), CALLERS, CALLERS).await;
            load.goes_on(20).await;
            names(&case, &there, &ground, &load).await;
            killed(&server, &load).await;
            cut_off(&server, &network, &load).await;
            let met = load.finish().await;
            println!("{} reads and {} writes, {} refused", met.reads.len(), met.writes.len(), met.refused.len());
            kills::check(&case, &met).await;
            for (service, _) in KEEPERS {
                is_well(&case, &there, service).await;
            }
            case.settle().await;
            split::stop(&server);
        });
    });
}
