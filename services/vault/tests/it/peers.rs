//! Replicas that open each other.

use std::sync::Arc;
use std::time::Duration;

use coffre_crypto::peer::Ask;
use coffre_db::Sql;
use coffre_proto::audit::v1::Event;
use coffre_proto::vault::internal::v1::ShareRootKeyRequest;
use coffre_test_support::{TestDb, on_each_engine};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::keys::Mode;
use coffre_vault::keyring::Pair;
use coffre_vault::peers::{Asking, Pace, Round};
use coffre_vault::{KeySettings, PeerCounts};
use futures_util::future::join_all;
use tokio::task::JoinHandle;

use crate::fake_peers::{Does, Gate, Middle, TRUST_DOMAIN, as_vault};
use crate::modes::{MASTER, OTHER, admin};
use crate::world::{World, member};

impl World {
    /// A vault in the mode Manual, open, with a value.
    pub(crate) async fn manual(db: &TestDb) -> (Self, coffre_types::CredentialId) {
        let world = Self::new(db).await;
        let id = world.one_value().await;
        world.mode(Mode::Manual, MASTER, "", "").await.unwrap();
        (world, id)
    }

    /// Another replica, which starts sealed and knows others.
    pub(crate) async fn replica(&self, others: &[&Self]) -> Self {
        let other = self.again().await;
        other.peers.are(others.iter().map(|other| as_vault(&other.app)).collect());
        other
    }

    /// Asks the others once.
    pub(crate) async fn ask(&self) -> Round {
        self.app.background.asking().round().await.unwrap()
    }

    /// The same, with little patience.
    pub(crate) async fn ask_fast(&self) -> Round {
        let pace = Pace { answer: Duration::from_millis(500), stagger: Duration::from_millis(5) };
        let (keyring, site, peers) = (self.vault.keyring.clone(), self.outbox.site(), Arc::new(self.peers.clone()));
        Asking::new(keyring, site, peers, Arc::new(PeerCounts::default()), pace).round().await.unwrap()
    }

    /// Asks once, beside the test.
    pub(crate) fn asks(&self) -> JoinHandle<Round> {
        let asking = self.app.background.asking().clone();
        tokio::spawn(async move { asking.round().await.unwrap() })
    }

    /// An ask as this vault would make it, in other words where it is told so.
    pub(crate) async fn an_ask(&self, pair: &Pair) -> (Ask, ShareRootKeyRequest) {
        let stored = self.vault.keyring.stored().await.unwrap();
        let digest = stored.digest().unwrap();
        let ask = Ask::new(&pair.about(stored.state.generation, &digest)).unwrap();
        let asked = ask.asked();
        let request = ShareRootKeyRequest {
            generation: stored.state.generation,
            public_key: asked.public_key.to_vec(),
            nonce: asked.nonce.to_vec(),
            proof: asked.proof.to_vec(),
            asker_name: pair.asker_name.clone(),
        };
        (ask, request)
    }

    /// The events of a word, as far as they wait in the outbox.
    pub(crate) async fn told(&self, word: &str) -> Vec<Event> {
        self.waiting().await.into_iter().filter(|event| event.event == word).collect()
    }
}

pub(crate) fn pair() -> Pair {
    let identity = format!("spiffe://{TRUST_DOMAIN}/vault");
    Pair { asker: identity.clone(), asker_name: "test".to_owned(), giver: identity }
}

pub(crate) fn detail(event: &Event, key: &str) -> String {
    event.details.iter().find(|detail| detail.key == key).map(|detail| detail.value.clone()).unwrap_or_default()
}

on_each_engine! {
    async fn a_replica_that_starts_sealed_is_opened_by_one_that_is_open(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[&world]).await;
        assert!(!other.app.is_open() && !other.holds(id).await);
        assert_eq!(other.ask().await, Round::Opened);
        assert!(other.holds(id).await && other.app.sealed_since().is_none());
        assert_eq!(other.ask().await, Round::NotNeeded);
        assert_eq!((world.app.peer_counts().given(), other.app.peer_counts().taken()), (1, 1));

        // Both sides are in the audit, and name each other.
        let (given, taken) = (world.told("vault.root_key.shared").await, world.told("vault.opened").await);
        let taken: Vec<_> = taken.iter().filter(|event| detail(event, "how") == "peer").collect();
        assert_eq!((given.len(), taken.len()), (1, 1));
        assert_eq!(detail(&given[0], "share"), detail(taken[0], "share"));
        assert_eq!(detail(&given[0], "share").len(), 16);
        assert_eq!(detail(&given[0], "to"), "test");
        assert_eq!(detail(taken[0], "mode"), "Manual");
        assert_eq!((detail(taken[0], "from"), detail(taken[0], "address")), ("test".into(), "replica-0".into()));

        // What was opened so opens others, writes, and follows a new term.
        world.vault.start_rotation(world.call(&admin())).await.unwrap();
        let third = world.replica(&[&other]).await;
        other.later();
        assert_eq!(third.ask().await, Round::Opened);
        let me = member(7);
        let made = third.create(&me, "of the third", &[("a", crate::world::STANDARD)]).await.unwrap();
        third.store(&me, made.credential.id, made.attributes[0].id, None, "new").await.unwrap();
        assert_eq!(world.read(&me, made.credential.id).await.unwrap(), [Some("new".to_owned())]);
    }

    async fn while_all_are_sealed_nobody_gives_and_nothing_is_recorded(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let (one, two) = (world.replica(&[]).await, world.replica(&[]).await);
        let everybody = || vec![as_vault(&one.app), as_vault(&two.app)];
        one.peers.are(everybody());
        two.peers.are(everybody());
        let before = world.waiting().await.len();
        for _ in 0..3 {
            assert_eq!((one.ask().await, two.ask().await), (Round::Nobody, Round::Nobody));
        }
        assert_eq!(world.waiting().await.len(), before);
        assert_eq!((one.app.peer_counts().refused(), two.app.peer_counts().unusable()), (0, 0));
        // A person types the key once.
        one.apply(MASTER).await.unwrap();
        assert_eq!(two.ask().await, Round::Opened);
        assert!(two.holds(id).await);
        let alone = world.replica(&[]).await;
        assert_eq!(alone.ask().await, Round::Nobody);
    }

    async fn a_seal_on_purpose_is_ended_by_no_replica(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[&world]).await;
        other.ask().await;
        let third = world.replica(&[&world, &other]).await;
        world.vault.seal(world.call(&admin())).await.unwrap();
        // The second has not heard of it yet.
        assert!(other.app.is_open());
        assert_eq!(third.ask().await, Round::NotNeeded, "it is sealed on purpose, and nobody is asked");
        let (_, request) = world.an_ask(&pair()).await;
        let refused = send(&other, request).await;
        assert!(refused.is_err(), "{refused:?}");
        assert!(!other.app.is_open(), "asked, it looked, and closed");
        assert_eq!(world.ask().await, Round::NotNeeded);
        assert!(!world.holds(id).await && !third.holds(id).await);
        third.apply(MASTER).await.unwrap();
        other.peers.are(vec![as_vault(&third.app)]);
        other.vault.keyring.look().await.unwrap();
        assert_eq!(other.ask().await, Round::Opened, "once somebody opened it, it is open everywhere");
    }

    async fn a_seal_that_comes_while_the_root_key_is_on_its_way_wins(db: TestDb) {
        for after in [false, true] {
            let gate = Gate::new();
            let (world, id) = if after { World::manual(&TestDb::sqlite()).await } else { World::manual(&db).await };
            let does = if after { Does::WaitAfter(gate.clone()) } else { Does::WaitBefore(gate.clone()) };
            let other = world.replica(&[]).await;
            other.peers.are(vec![Middle::new(as_vault(&world.app), does).channel()]);
            let asking = other.asks();
            gate.arrived.acquire().await.unwrap().forget();
            world.vault.seal(world.call(&admin())).await.unwrap();
            gate.open.add_permits(1);
            let ended = asking.await.unwrap();
            assert_eq!(ended, if after { Round::Overtaken } else { Round::Nobody });
            assert!(!other.app.is_open() && !other.holds(id).await);
            assert_eq!(world.told("vault.root_key.shared").await.len(), usize::from(after));
            assert!(world.told("vault.opened").await.iter().all(|event| detail(event, "how") != "peer"));
        }
    }

    async fn a_replica_whose_seal_could_not_be_stored_asks_nobody(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[&world]).await;
        other.ask().await;
        world.sql(Sql::new("ALTER TABLE seal_state RENAME TO away")).await;
        assert!(matches!(other.vault.seal(other.call(&admin())).await, Err(VaultError::SealNotStored { .. })));
        world.sql(Sql::new("ALTER TABLE away RENAME TO seal_state")).await;
        assert_eq!(other.ask().await, Round::NotNeeded);
        assert!(!other.holds(id).await && world.holds(id).await);
        // Nor does it give.
        let third = world.replica(&[&other]).await;
        assert_eq!(third.ask().await, Round::Nobody);
    }

    async fn a_root_key_that_was_replaced_meanwhile_opens_nothing(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let gate = Gate::new();
        let other = world.replica(&[]).await;
        other.peers.are(vec![Middle::new(as_vault(&world.app), Does::WaitAfter(gate.clone())).channel()]);
        let asking = other.asks();
        gate.arrived.acquire().await.unwrap().forget();
        world.mode(Mode::Manual, OTHER, MASTER, "").await.unwrap();
        gate.open.add_permits(1);
        assert_eq!(asking.await.unwrap(), Round::Overtaken);
        assert!(!other.app.is_open());
        // And an ask of before is no ask of now.
        let (_, mut request) = world.an_ask(&pair()).await;
        request.generation -= 1;
        let refused = send(&world, request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::Aborted, "{refused:?}");
        assert_eq!(world.app.peer_counts().refused(), 0, "that is no attack");
        gate.open.add_permits(1);
        assert_eq!(other.ask().await, Round::Opened);
        assert!(other.holds(id).await);
    }

    async fn a_new_root_key_closes_the_other_replicas_for_a_moment_only(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let others = [world.replica(&[&world]).await, world.replica(&[&world]).await];
        for other in &others {
            other.ask().await;
        }
        let changes: [&str; 2] = ["master", "recovery"];
        for change in changes {
            match change {
                "master" => drop(world.mode(Mode::Manual, OTHER, MASTER, "").await.unwrap()),
                _ => drop(world.new_recovery(OTHER).await.unwrap()),
            }
            for other in &others {
                other.vault.keyring.refresh().await.unwrap();
                assert!(!other.app.is_open());
                assert_eq!(other.ask().await, Round::Opened);
                assert!(other.holds(id).await, "{change}");
            }
        }
    }

    async fn whoever_types_the_key_meanwhile_opens_it_once(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let gate = Gate::new();
        let other = world.replica(&[]).await;
        other.peers.are(vec![Middle::new(as_vault(&world.app), Does::WaitAfter(gate.clone())).channel()]);
        let asking = other.asks();
        gate.arrived.acquire().await.unwrap().forget();
        other.apply(MASTER).await.unwrap();
        gate.open.add_permits(1);
        assert_eq!(asking.await.unwrap(), Round::Overtaken);
        assert!(other.holds(id).await);
        assert_eq!(other.app.peer_counts().taken(), 0);
    }

    async fn in_express_nobody_asks_and_nobody_gives(db: TestDb) {
        let world = World::new(&db).await;
        let keys = KeySettings { cost: coffre_crypto::stretch::Cost::new(8 * 1024, 1).unwrap(), short_master_keys: false, ..KeySettings::default() };
        let (clock, database, outbox) = (world.clock.clone(), world.database.clone(), world.outbox.clone());
        let bare = World::start_with(clock, database, outbox, None, keys).await.unwrap();
        let listening = Middle::new(as_vault(&world.app), Does::Listen);
        bare.peers.are(vec![listening.channel()]);
        assert_eq!(bare.ask().await, Round::NotNeeded);
        assert!(listening.seen().is_empty() && !bare.app.is_open());
        let (_, request) = world.an_ask(&pair()).await;
        let refused = send(&world, request).await.unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition, "{refused:?}");
        assert_eq!(world.app.peer_counts().given(), 0);
    }

    async fn a_replica_that_hangs_or_is_away_holds_nobody_up(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[]).await;
        let hanging = || Middle::new(as_vault(&world.app), Does::Hang).channel();
        let away = || coffre_channel::Channel::deferred().0;
        // More hang than are asked at once.
        other.peers.are(vec![hanging(), hanging(), hanging(), hanging(), away(), hanging()]);
        assert_eq!(other.ask_fast().await, Round::Nobody);
        other.peers.are(vec![hanging(), away(), hanging(), as_vault(&world.app), hanging(), hanging()]);
        assert_eq!(other.ask_fast().await, Round::Opened);
        assert!(other.holds(id).await);
    }

    async fn all_who_start_at_once_are_opened(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let mut herd = Vec::new();
        for _ in 0..12 {
            herd.push(world.replica(&[&world]).await);
        }
        let rounds = join_all(herd.iter().map(async |other| {
            for round in 1..100 {
                match other.ask().await {
                    Round::Opened => return round,
                    Round::Nobody => tokio::task::yield_now().await,
                    ended => panic!("{ended:?}"),
                }
            }
            panic!("it was never served")
        }));
        rounds.await;
        for other in &herd {
            assert!(other.holds(id).await);
        }
        let taken = world.told("vault.opened").await.into_iter().filter(|event| detail(event, "how") == "peer");
        assert_eq!((taken.count(), world.app.peer_counts().given()), (12, 12));
        assert_eq!(world.told("vault.root_key.shared").await.len(), 12);
    }

    async fn a_database_that_does_not_take_the_entry_opens_nothing(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[&world]).await;
        world.sql(Sql::new("ALTER TABLE outbox_segments RENAME TO away")).await;
        assert_eq!(other.ask().await, Round::Nobody, "what is not recorded is not given");
        world.sql(Sql::new("ALTER TABLE away RENAME TO outbox_segments")).await;
        assert_eq!(world.app.peer_counts().given(), 0);
        let gate = Gate::new();
        other.peers.are(vec![Middle::new(as_vault(&world.app), Does::WaitAfter(gate.clone())).channel()]);
        let asking = other.app.background.asking().clone();
        let asking = tokio::spawn(async move { asking.round().await });
        gate.arrived.acquire().await.unwrap().forget();
        world.sql(Sql::new("ALTER TABLE outbox_segments RENAME TO away")).await;
        gate.open.add_permits(1);
        assert!(matches!(asking.await.unwrap(), Err(VaultError::Store(_))), "what is not recorded is not opened");
        assert!(!other.app.is_open());
        world.sql(Sql::new("ALTER TABLE away RENAME TO outbox_segments")).await;
        gate.open.add_permits(1);
        assert_eq!(other.ask().await, Round::Opened);
        assert!(other.holds(id).await);
    }
}

/// Sends an ask as a replica.
pub(crate) async fn send(to: &World, request: ShareRootKeyRequest) -> Result<Vec<u8>, tonic::Status> {
    let channel = as_vault(&to.app);
    let mut client = coffre_proto::vault::internal::v1::peer_service_client::PeerServiceClient::new(channel);
    client.share_root_key(request).await.map(|answer| answer.into_inner().sealed_root_key)
}
