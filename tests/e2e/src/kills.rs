//! SIGKILL under load: no acknowledged write lost, no value read without its entry, no credential in a missing locker, no owner who is a
//! missing user.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;
use std::time::{Duration, Instant};

use crate::api::Protocol;
use crate::case::Case;
use crate::ledger;
use crate::load::{Acknowledged, Load};
use crate::server::{Engine, Home, Server};
use crate::settled;
use crate::sharing::{self, Parties, Sharing};

/// What a run of kills came to.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    pub kills: usize,
    pub reads: usize,
    pub writes: usize,
    /// Changes that no single transaction holds.
    pub shared: usize,
    /// From the start of the process to its first good answer, in the order of the starts.
    pub starts: Vec<Duration>,
}

/// Kills a server under load so many times, on the same data, and checks after each start that nothing is lost. What the kills interrupted is
/// settled later: [`settled::finish`] waits for that.
///
/// # Panics
/// Where an acknowledged write is not there, where a call that was answered has no audit entry, and where the server does not start by itself.
pub async fn run(engine: Engine, kills: usize) -> Figures {
    let home = Home::new(engine);
    let mut before: Option<(Acknowledged, sharing::Acknowledged)> = None;
    let mut parties = None;
    let mut figures = Figures { kills, ..Figures::default() };
    for round in 0..=kills {
        let begun = Instant::now();
        let server = home.start();
        figures.starts.push(begun.elapsed());
        let case = Case::on(&server, Protocol::Rest).await;
        if let Some((before, shared)) = before.take() {
            figures.reads += before.reads.len();
            figures.writes += before.writes.len();
            figures.shared += shared.requests.len();
            check(&case, &before).await;
            sharing::check(&case, &shared).await;
            recorded(&case, &shared.requests, 1.., &BTreeMap::new()).await;
        }
        if round == kills {
            settled::later(server);
            break;
        }
        before = Some(kill_under_load(&server, &case, round, &mut parties).await);
    }
    assert!(figures.reads + figures.writes > kills * 10, "that is no load: {figures:?}");
    assert!(figures.shared > kills * 10, "nothing was shared: {figures:?}");
    figures
}

async fn kill_under_load(
    server: &Server,
    case: &Case<'_>,
    round: usize,
    parties: &mut Option<Parties>,
) -> (Acknowledged, sharing::Acknowledged) {
    let token = case.admin.token.as_deref().unwrap();
    let (load, shared) = (Load::start(server, token, 3, 3).await, Sharing::start(server, token, parties).await);
    // At another moment each time, but always with work behind it.
    let (enough, begun) = (20 + (round % 16) * 13, Instant::now());
    while load.count() < enough || shared.count() < 16 + round % 16 {
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "the load does not get on: {} calls, {} shared",
            load.count(),
            shared.count()
        );
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    server.kill();
    (load.finish().await, shared.finish().await)
}

/// Every acknowledged write is there, and every call that was answered has its entry.
///
/// # Panics
/// Where that is not so.
pub async fn check(case: &Case<'_>, before: &Acknowledged) {
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
    let ids: Vec<String> = before.reads.iter().chain(&before.writes).cloned().collect();
    recorded(case, &ids, 1..=1, &before.receipts).await;
}

/// Waits until every call has its entry, or its entries where several services record one; an answer named its own.
async fn recorded(
    case: &Case<'_>,
    ids: &[String],
    so_many: impl RangeBounds<usize>,
    receipts: &BTreeMap<String, String>,
) {
    let mut missing: BTreeSet<&str> = ids.iter().map(String::as_str).collect();
    let begun = Instant::now();
    while !missing.is_empty() {
        let asked: Vec<&str> = missing.iter().copied().collect();
        for (id, entries) in ledger::entries(&case.admin, &asked).await {
            assert!(so_many.contains(&entries.len()), "one call, several entries: {entries:#?}");
            if let Some(receipt) = receipts.get(&id) {
                assert!(entries.iter().any(|entry| entry.id == *receipt), "{id} was told {receipt}: {entries:#?}");
            }
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
