//! Three processes of the vault on one PostgreSQL, with all that they do in the background.

use std::time::Duration;

use coffre_test_support::TestDb;
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::keys::Mode;
use coffre_vault::peers::Round;
use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::fake_peers::as_vault;
use crate::modes::{MASTER, OTHER, admin};
use crate::peers::detail;
use crate::world::{World, express_key, open};

async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..500 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen: {what}");
}

/// A process: an app with a connection of its own, and what it does in the background.
struct Process {
    world: World,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Process {
    async fn start(db: &TestDb) -> Self {
        let (clock, database, outbox) = open(db);
        let world = World::start(clock, database, outbox, express_key()).await.unwrap();
        let stop = CancellationToken::new();
        let running = tokio::spawn(world.app.background.clone().run(stop.clone()));
        Self { world, stop, running }
    }

    async fn end(self) {
        self.stop.cancel();
        self.running.await.unwrap();
    }
}

/// Tells each of the processes of the others, and of itself: that is what the name of a service lists.
fn introduce(processes: &[&Process]) {
    for process in processes {
        process.world.peers.are(processes.iter().map(|other| as_vault(&other.world.app)).collect());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_replicas_on_one_postgresql_a_person_opens_one() {
    let db = TestDb::postgres();
    let (first, id) = World::manual(&db).await;
    drop(first);
    let (one, two, three) = (Process::start(&db).await, Process::start(&db).await, Process::start(&db).await);
    introduce(&[&one, &two, &three]);
    let all = async |processes: &[&Process], is_open: bool| {
        join_all(processes.iter().map(|process| process.world.holds(id))).await.iter().all(|holds| *holds == is_open)
    };
    assert!(all(&[&one, &two, &three], false).await);

    two.world.apply(MASTER).await.unwrap();
    until("all are open", async || all(&[&one, &two, &three], true).await).await;

    // A rolling restart: nobody types anything.
    two.end().await;
    let two = Process::start(&db).await;
    introduce(&[&one, &two, &three]);
    until("the one that was restarted is open", async || all(&[&two], true).await).await;
    one.end().await;
    three.end().await;
    let (one, three) = (Process::start(&db).await, Process::start(&db).await);
    introduce(&[&one, &two, &three]);
    until("all were restarted and are open", async || all(&[&one, &two, &three], true).await).await;

    // A new master key at one of them.
    one.world.mode(Mode::Manual, OTHER, MASTER, "").await.unwrap();
    assert!(one.world.holds(id).await);
    let settled = async || {
        let generation = one.world.vault.keyring.stored().await.unwrap().state.generation;
        let opened = [&one, &two, &three].map(|process| process.world.vault.keyring.generation_open());
        opened.iter().all(|opened| *opened == Some(generation)) && all(&[&one, &two, &three], true).await
    };
    until("all follow the new root key", settled).await;

    // A seal on purpose closes all, and none opens another.
    three.world.vault.seal(three.world.call(&admin())).await.unwrap();
    until("all are closed", async || [&one, &two, &three].iter().all(|process| !process.world.app.is_open())).await;
    let asked = [&one, &two, &three].map(|process| process.world.app.peer_counts().given());
    for process in [&one, &two, &three] {
        assert_eq!(process.world.ask().await, Round::NotNeeded);
    }
    assert_eq!(asked, [&one, &two, &three].map(|process| process.world.app.peer_counts().given()));
    assert!(all(&[&one, &two, &three], false).await);
    assert!(matches!(one.world.apply(MASTER).await, Err(VaultError::KeyWrong)));
    one.world.apply(OTHER).await.unwrap();
    until("opened at one, open at all", async || all(&[&one, &two, &three], true).await).await;

    // Every process that was opened so has an entry of another one that gave it the key.
    let (given, taken) = (one.world.told("vault.root_key.shared").await, one.world.told("vault.opened").await);
    let shares: Vec<String> = given.iter().map(|event| detail(event, "share")).collect();
    let taken: Vec<_> = taken.iter().filter(|event| detail(event, "how") == "peer").collect();
    assert!(taken.len() >= 7, "{}", taken.len());
    assert!(taken.iter().all(|event| shares.contains(&detail(event, "share"))));
    for process in [one, two, three] {
        assert_eq!((process.world.app.peer_counts().refused(), process.world.app.peer_counts().unusable()), (0, 0));
        process.end().await;
    }
}
