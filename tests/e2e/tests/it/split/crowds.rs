//! Crowds of clients that want no answer, on every port of services by themselves: callers are served meanwhile, and what the crowds hold is bounded.

use std::fs;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use coffre_e2e::api::Protocol;
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::hostile::{Crowd, Manner};
use coffre_e2e::raw;
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::{self, Ground, Part};

use super::calls::Calls;

/// Connections of a port, in this test; `limits.connections` is 4096 where nobody says.
const PLACES: usize = 200;
/// Who says nothing is hung up on after ten seconds.
const GONE_WITHIN: Duration = Duration::from_secs(30);

fn files(part: &Part) -> usize {
    fs::read_dir(format!("/proc/{}/fd", part.process().pid)).unwrap().count()
}

fn resident_mib(part: &Part) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", part.process().pid)).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[test]
fn crowds_at_every_port_keep_no_caller_out_and_hold_little() {
    run_apart(Engine::Postgres, async |engine| {
        let home = Home::new(engine).with("COFFRE_LIMITS__CONNECTIONS", &PLACES.to_string());
        let ground = Ground::new(home);
        let server = ground.start();
        let case = Case::on(&server, Protocol::Rest).await;
        let calls = Calls::start(&case).await;
        calls.go_on().await;
        let (vault, gateway) = (server.part("vault"), server.part("gateway"));
        let parts = [vault, gateway];
        let before = parts.map(|part| (files(part), resident_mib(part)));
        let ports: [SocketAddr; 5] =
            [gateway.http.unwrap(), vault.grpc.unwrap(), ground.inside("vault"), vault.management, gateway.management];
        for manner in Manner::ALL {
            // Those that ask or send as much as they can take the machine from the callers, too: they are few.
            let count = if matches!(manner, Manner::Silent | Manner::Slow) { 2 * PLACES } else { PLACES / 8 };
            let crowds = ports.map(|port| Crowd::at(port, manner, count));
            for crowd in &crowds[3..] {
                crowd.opened().await;
            }
            // Whoever has a connection is served, and so are probes, which make new ones.
            for part in parts {
                for _ in 0..3 {
                    let asked = Instant::now();
                    assert_eq!(raw::status_of(part.management, "/readyz"), Some(200), "{manner:?}: {}", part.service);
                    assert!(asked.elapsed() < Duration::from_secs(3), "{manner:?}: {:?}", asked.elapsed());
                }
            }
            calls.go_on().await;
            calls.none_failed(&format!("{manner:?}"));
            for (part, before) in parts.iter().zip(before) {
                let now = (files(part), resident_mib(part));
                // Three ports at most, and what waits in queues is no file of the process.
                assert!(
                    now.0 < before.0 + 2 * PLACES + 256 + 64,
                    "{manner:?}: {}: files {before:?} {now:?}",
                    part.service
                );
                assert!(now.1 < before.1 + 64, "{manner:?}: {}: memory {before:?} {now:?}", part.service);
            }
            drop(crowds);
        }
        // Those that say nothing are hung up on, though they would stay.
        let ports = &ports[..3];
        let silent: Vec<Crowd> = ports.iter().map(|port| Crowd::at(*port, Manner::Silent, PLACES / 2)).collect();
        let begun = Instant::now();
        for (port, crowd) in ports.iter().zip(&silent) {
            crowd.opened().await;
            while crowd.open() > 0 {
                assert!(begun.elapsed() < GONE_WITHIN, "{port}: {} say nothing and stay", crowd.open());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        calls.go_on().await;
        calls.end().await;
        for (part, before) in parts.iter().zip(before) {
            let now = files(part);
            assert!(now < before.0 + 32, "{}: {} open files, and {now} after the crowds", part.service, before.0);
        }
        case.settle().await;
        split::stop(&server);
    });
}
