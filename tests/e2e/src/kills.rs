//! SIGKILL under load: no acknowledged write lost, no value read without its entry.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::api::Protocol;
use crate::case::Case;
use crate::ledger;
use crate::load::{Acknowledged, Load};
use crate::server::{Engine, Home, Server};

/// What a run of kills came to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub kills: usize,
    pub reads: usize,
    pub writes: usize,
    /// From the start of the process to its first good answer, in the order of the starts.
    pub starts: Vec<Duration>,
}

/// Kills a server under load so many times, on the same data, and checks after each start that nothing is lost.
///
/// # Panics
/// Where an acknowledged write is not there, where a call that was answered has no audit entry, and where the server does not start by itself.
pub async fn run(engine: Engine, kills: usize) -> Figures {
    let home = Home::new(engine);
    let mut before: Option<Acknowledged> = None;
    let mut figures = Figures { kills, ..Figures::default() };
    for round in 0..=kills {
        let begun = Instant::now();
        let server = home.start();
        figures.starts.push(begun.elapsed());
        let case = Case::on(&server, Protocol::Rest).await;
        if let Some(before) = before.take() {
            figures.reads += before.reads.len();
            figures.writes += before.writes.len();
            check(&case, &before).await;
        }
        if round == kills {
            assert!(server.stop().success(), "after all kills it stops cleanly: {}", server.said());
            break;
        }
        before = Some(kill_under_load(&server, &case, round).await);
    }
    assert!(figures.reads + figures.writes > kills * 10, "that is no load: {figures:?}");
    figures
}

async fn kill_under_load(server: &Server, case: &Case<'_>, round: usize) -> Acknowledged {
    let load = Load::start(server, case.admin.token.as_deref().unwrap(), 3, 3).await;
    // At another moment each time, but always with work behind it.
    let (enough, begun) = (20 + (round % 16) * 13, Instant::now());
    while load.count() < enough {
        assert!(begun.elapsed() < Duration::from_secs(30), "the load does not get on: {} calls", load.count());
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.kill();
    load.finish().await
}

/// Every acknowledged write is there, and every call that was answered has its entry.
async fn check(case: &Case<'_>, before: &Acknowledged) {
    for written in &before.values {
        let id = written.credential.parse().unwrap();
        let values = case.admin.list_values(id).await.ok();
        let found =
            &values.iter().find(|value| value.id.to_string() == written.value).expect("the value is there").value;
        assert!(
            *found == written.acknowledged || written.open.contains(found),
            "an acknowledged write is lost: value {} of credential {}",
            written.value,
            written.credential
        );
    }
    for (id, name) in &before.credentials {
        assert_eq!(&case.admin.get_credential(id.parse().unwrap()).await.ok().name, name);
    }
    let ids: Vec<&str> = before.reads.iter().chain(&before.writes).map(String::as_str).collect();
    let mut missing: BTreeSet<&str> = ids.iter().copied().collect();
    let begun = Instant::now();
    while !missing.is_empty() {
        let asked: Vec<&str> = missing.iter().copied().collect();
        for (id, entries) in ledger::entries(&case.admin, &asked).await {
            assert_eq!(entries.len(), 1, "one call, several entries: {entries:#?}");
            missing.remove(id.as_str());
        }
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "answered before the kill, without an entry after it: {} of {}: {missing:?}",
            missing.len(),
            ids.len()
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
