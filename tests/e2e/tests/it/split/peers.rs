//! Two replicas of vault in the mode Manual: a person types the master key once.

use std::time::{Duration, Instant};

use coffre_e2e::api::{Key, Protocol};
use coffre_e2e::case::{Case, run_apart};
use coffre_e2e::http::Http;
use coffre_e2e::model::{Filter, Query};
use coffre_e2e::server::{Engine, Home};
use coffre_e2e::split::{Ground, Part};

use crate::keys::own::{Kept, keeper, master_key, to_manual};

/// How soon a replica opens by itself, on a busy machine.
const OPENS_WITHIN: Duration = Duration::from_secs(15);

async fn is_open(vault: &Part) -> bool {
    let told = Http::new(vault.management).get("/readyz").send().await.json();
    told["components"]["seal"]["state"] == "ready"
}

async fn opens(vault: &Part, why: &str) {
    let begun = Instant::now();
    while !is_open(vault).await {
        assert!(begun.elapsed() < OPENS_WITHIN, "{why}: {}", vault.process().said());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// How often a replica was opened by another one since it started.
async fn opened_by_another(vault: &Part) -> f64 {
    let metrics = Http::new(vault.management).get("/metrics").send().await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let line = text.lines().find(|line| line.starts_with("coffre_vault_root_key_taken{"));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|number| number.parse().ok()).expect("a gauge")
}

#[test]
fn a_person_types_the_master_key_once() {
    run_apart(Engine::Postgres, async |engine| {
        let server = Ground::of_two(Home::new(engine)).start();
        let case = Case::on(&server, Protocol::Rest).await;
        let (keeper, kept, master) = (keeper(&case).await, Kept::new(&case).await, master_key(&case, "m"));
        to_manual(&keeper, &master).await;
        let vaults: Vec<&Part> = server.parts.iter().filter(|part| part.service == "vault").collect();
        assert_eq!(vaults.len(), 2);
        // One changed the mode; the other closes, and gets the new root key from it.
        let begun = Instant::now();
        while opened_by_another(vaults[0]).await + opened_by_another(vaults[1]).await < 1.0 {
            assert!(begun.elapsed() < OPENS_WITHIN, "{} {}", vaults[0].process().said(), vaults[1].process().said());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for vault in &vaults {
            opens(vault, "both are open").await;
        }
        for vault in &vaults {
            assert!(vault.process().stop().success());
            vault.start();
            opens(vault, "a replica that starts gets it from the one that is open").await;
        }
        kept.is_readable(&case).await;
        // Nobody is left who has it.
        for vault in &vaults {
            vault.process().kill();
        }
        for vault in &vaults {
            vault.start();
        }
        for vault in &vaults {
            assert!(!is_open(vault).await, "nobody typed the key yet");
        }
        keeper.apply_key(Key::Master(&master)).await.ok();
        for vault in &vaults {
            opens(vault, "one was told the key, the other gets it from there").await;
        }
        for _ in 0..10 {
            kept.is_readable(&case).await;
        }
        let shared = Query::filter(Filter::new("event", "eq", "vault.root_key.shared"));
        let begun = Instant::now();
        while case.admin.query_entries(&shared).await.ok().items.len() < 4 {
            assert!(begun.elapsed() < OPENS_WITHIN, "the audit tells of each time");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        case.settle().await;
    });
}
