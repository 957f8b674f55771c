//! Replicas that open each other, as an attacker would have it.

use std::time::Duration;

use coffre_audit_client::Outcome;
use coffre_crypto::keyring::{OpenKeyring, RootKey};
use coffre_crypto::recovery::RecoveryKey;
use coffre_crypto::slot::Slot;
use coffre_crypto::{Key256, peer::Asked};
use coffre_db::Sql;
use coffre_proto::vault::internal::v1::peer_service_client::PeerServiceClient;
use coffre_proto::vault::internal::v1::peer_service_server::{PeerService, PeerServiceServer};
use coffre_proto::vault::internal::v1::{ShareRootKeyRequest, ShareRootKeyResponse};
use coffre_rpc::Peer;
use coffre_test_support::{TestDb, on_each_engine};
use coffre_vault::domain::error::VaultError;
use coffre_vault::keyring::Stored;
use coffre_vault::peers::Round;
use prost::Message as _;
use tonic::{Code, Request, Response, Status};

use crate::fake_peers::{Does, Middle, as_peer, as_vault};
use crate::modes::{MASTER, admin};
use crate::peers::{detail, pair, send};
use crate::world::World;

/// Somebody with a certificate of vault and the whole database, who answers with a root key of his own.
#[derive(Clone)]
struct Impostor(std::sync::Arc<Stored>);

#[tonic::async_trait]
impl PeerService for Impostor {
    async fn share_root_key(
        &self,
        request: Request<ShareRootKeyRequest>,
    ) -> Result<Response<ShareRootKeyResponse>, Status> {
        let ShareRootKeyRequest { generation, public_key, nonce, proof, .. } = request.into_inner();
        let root = RootKey::generate().unwrap();
        let ring = OpenKeyring::open(&root, &[root.new_term(coffre_crypto::keyring::Term::FIRST).unwrap()]).unwrap();
        let (digest, asked) = (self.0.digest().unwrap(), Asked::read(&public_key, &nonce, &proof).unwrap());
        let sealed_root_key = ring.share(&pair().about(generation, &digest), &asked).unwrap();
        Ok(Response::new(ShareRootKeyResponse { sealed_root_key, giver_name: "mallory".into() }))
    }
}

impl World {
    async fn refused(&self) -> Vec<coffre_proto::audit::v1::Event> {
        self.told("vault.root_key.refused").await
    }
}

on_each_engine! {
    async fn an_answer_that_was_given_before_opens_nothing(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let replay = Middle::new(as_vault(&world.app), Does::Replay);
        let (first, second) = (world.replica(&[]).await, world.replica(&[]).await);
        for other in [&first, &second] {
            other.peers.are(vec![replay.channel()]);
        }
        assert_eq!(first.ask().await, Round::Opened);
        assert_eq!(second.ask().await, Round::Nobody);
        assert_eq!((replay.seen().len(), second.app.peer_counts().unusable()), (1, 1));
        assert!(!second.app.is_open());
    }

    async fn what_is_no_root_key_opens_nothing_and_the_next_one_is_asked(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let stored = world.vault.keyring.stored().await.unwrap();
        let impostor = coffre_channel::Channel::in_process(PeerServiceServer::new(Impostor(stored.into())));
        let give = |bytes: Vec<u8>| Middle::new(as_vault(&world.app), Does::Give(bytes)).channel();
        let odd = vec![impostor, give(Vec::new()), give(vec![7; 79]), give(vec![7; 80]), give(vec![7; 81]), give(vec![7; 1 << 20])];
        let other = world.replica(&[]).await;
        let bad = odd.len();
        other.peers.are(odd.clone());
        assert_eq!(other.ask().await, Round::Nobody);
        // What is too large is not even read.
        assert_eq!(other.app.peer_counts().unusable(), u64::try_from(bad).unwrap() - 1);
        assert!(!other.app.is_open());
        let last = |_: &World| [odd.clone(), vec![as_vault(&world.app)]].concat();
        other.peers.are(last(&world));
        assert_eq!(other.ask().await, Round::Opened);
        assert!(other.holds(id).await);
        assert_eq!(world.told("vault.opened").await.iter().filter(|event| detail(event, "from") == "mallory").count(), 0);
    }

    async fn an_ask_that_was_changed_gets_nothing(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let other = world.replica(&[]).await;
        let changes: [fn(&mut ShareRootKeyRequest); 5] = [
            |ask| ask.public_key[0] ^= 1,
            |ask| ask.nonce[31] ^= 1,
            |ask| ask.proof[0] ^= 1,
            |ask| ask.asker_name.push('x'),
            |ask| ask.nonce.truncate(31),
        ];
        for change in changes {
            other.peers.are(vec![Middle::new(as_vault(&world.app), Does::Change(change)).channel()]);
            assert_eq!(other.ask().await, Round::Nobody);
        }
        assert_eq!((world.app.peer_counts().given(), world.app.peer_counts().refused()), (0, 5));
        other.peers.are(vec![Middle::new(as_vault(&world.app), Does::Change(|ask| ask.generation += 1)).channel()]);
        assert_eq!(other.ask().await, Round::Nobody);
        assert!(!other.app.is_open() && world.told("vault.root_key.shared").await.is_empty());
    }

    async fn an_ask_that_was_seen_gives_its_reader_nothing(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let listening = Middle::new(as_vault(&world.app), Does::Listen);
        let other = world.replica(&[]).await;
        other.peers.are(vec![listening.channel()]);
        assert_eq!(other.ask().await, Round::Opened);
        let (seen, answer) = listening.seen().remove(0);
        // Sent again it gets an answer for the one who made it, and an entry in the audit.
        let again = send(&world, seen.clone()).await.unwrap();
        assert_ne!(again, answer.sealed_root_key);
        assert_eq!(world.told("vault.root_key.shared").await.len(), 2);
        let (own, request) = world.an_ask(&pair()).await;
        assert!(own.open(&again).is_err());
        // With a key of his own in it, it gets nothing.
        let refused = send(&world, ShareRootKeyRequest { public_key: request.public_key, ..seen }).await.unwrap_err();
        assert_eq!(refused.code(), Code::PermissionDenied);
    }

    async fn whoever_is_no_vault_gets_nothing(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let address = Some([192, 0, 2, 7].into());
        let peers = ["auth", "locker", "audit", "gateway", ""].map(|service| Some(Peer::Internal(service)));
        for peer in peers.into_iter().chain([None, Some(Peer::Network(address))]) {
            let (_, request) = world.an_ask(&pair()).await;
            let refused = PeerServiceClient::new(as_peer(&world.app, peer)).share_root_key(request).await.unwrap_err();
            assert_eq!(refused.code(), Code::PermissionDenied, "{peer:?}");
        }
        assert_eq!((world.app.peer_counts().given(), world.app.peer_counts().refused()), (0, 7));
        // One entry a minute, which says how many there were.
        let told = world.refused().await;
        assert_eq!(told.len(), 1);
        assert_eq!((told[0].outcome(), detail(&told[0], "service")), (Outcome::Unsuccessful, "auth".to_owned()));
        world.later();
        let (_, request) = world.an_ask(&pair()).await;
        assert!(PeerServiceClient::new(as_peer(&world.app, None)).share_root_key(request).await.is_err());
        let told = world.refused().await;
        assert_eq!((told.len(), told[1].occurrences), (2, 7));
    }

    async fn who_asks_whom_is_what_the_certificates_say(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let ours = pair();
        for other in [
            coffre_vault::keyring::Pair { asker: "spiffe://elsewhere/vault".into(), ..ours.clone() },
            coffre_vault::keyring::Pair { giver: "spiffe://elsewhere/vault".into(), ..ours.clone() },
            coffre_vault::keyring::Pair { asker: "spiffe://coffre.test/locker".into(), ..ours.clone() },
        ] {
            let (_, request) = world.an_ask(&other).await;
            assert_eq!(send(&world, request).await.unwrap_err().code(), Code::PermissionDenied, "{other:?}");
        }
        let (ask, request) = world.an_ask(&ours).await;
        assert!(ask.open(&send(&world, request).await.unwrap()).is_ok());
    }

    async fn a_replica_of_another_vault_neither_gives_nor_gets(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let elsewhere = TestDb::sqlite();
        let (foreign, _) = World::manual(&elsewhere).await;
        let generation = async |world: &World| world.vault.keyring.stored().await.unwrap().state.generation;
        assert_eq!(generation(&world).await, generation(&foreign).await, "they look alike");
        let other = world.replica(&[&foreign]).await;
        assert_eq!(other.ask().await, Round::Nobody);
        assert_eq!((foreign.app.peer_counts().given(), foreign.app.peer_counts().refused()), (0, 1));
        let told = foreign.refused().await;
        assert_eq!((told.len(), told[0].reason.as_str()), (1, "VAULT_KEY_WRONG"));
        assert!(!other.app.is_open());
    }

    async fn whoever_writes_the_database_gets_no_root_key(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[&world]).await;
        let slot = |kind: i64, bytes: Vec<u8>| {
            world.sql(Sql::new("UPDATE key_slots SET slot = ").bind(bytes).push(" WHERE kind = ").bind(kind))
        };
        let stored = async || world.vault.keyring.stored().await.unwrap();
        let before = stored().await;
        let good = |kind: usize| before.slots[kind].bytes.clone();

        // Slots for a root key of his own, of a key that he holds; and the two exchanged.
        let (root, key) = (RootKey::generate().unwrap(), RecoveryKey::generate().unwrap());
        let own = Slot::recovery(&root, &key).unwrap().as_bytes().to_vec();
        for swapped in [[good(0), own.clone()], [own, good(1)], [good(1), good(0)]] {
            let [manual, recovery] = swapped;
            slot(2, manual).await;
            slot(3, recovery).await;
            assert_eq!(other.ask().await, Round::Nobody);
        }
        slot(2, good(0)).await;
        slot(3, good(1)).await;
        assert_eq!((world.app.peer_counts().given(), world.app.peer_counts().refused()), (0, 3));
        let told = world.refused().await;
        assert_eq!((told.len(), told[0].reason.as_str()), (1, "VAULT_KEY_DAMAGED"));

        // Terms under a root key of his own.
        let wrapped = root.new_term(before.terms[0].term).unwrap().wrapped;
        world.sql(Sql::new("UPDATE terms SET wrapped = ").bind(wrapped).push(" WHERE term = 1")).await;
        assert_eq!(other.ask().await, Round::Nobody);
        world.sql(Sql::new("UPDATE terms SET wrapped = ").bind(before.terms[0].wrapped.clone()).push(" WHERE term = 1")).await;

        // An express slot of his own: then nobody asks and nobody gives.
        let express = Slot::express(&root, &Key256::generate().unwrap()).unwrap().as_bytes().to_vec();
        let insert = Sql::new("INSERT INTO key_slots (tenant_id, kind, slot, created_at) VALUES (1, 1, ").bind(express).push(", 0)");
        world.sql(insert).await;
        assert_eq!(other.ask().await, Round::NotNeeded);
        assert!(send(&world, world.an_ask(&pair()).await.1).await.is_err());
        world.sql(Sql::new("DELETE FROM key_slots WHERE kind = 1")).await;
        assert_eq!(world.app.peer_counts().given(), 0);

        // With everything as it was the replica opens: nothing was lost by saying no.
        assert!(stored().await == before);
        assert_eq!(other.ask().await, Round::Opened);
        assert!(other.holds(id).await);
    }

    async fn a_seal_that_the_database_forgets_is_not_ended_by_a_replica(db: TestDb) {
        let (world, id) = World::manual(&db).await;
        let other = world.replica(&[&world]).await;
        world.vault.seal(world.call(&admin())).await.unwrap();
        world.sql(Sql::new("UPDATE seal_state SET sealed = FALSE, generation = generation + 1")).await;
        // Every process has let go of its keys, so nobody has anything to give.
        assert_eq!((other.ask().await, world.ask().await), (Round::Nobody, Round::Nobody));
        assert!(!world.holds(id).await && !other.holds(id).await);
        // Under a replica that is open still: it looks before it gives, and the generation is not the one in which it is open.
        world.apply(MASTER).await.unwrap();
        assert_eq!(other.ask().await, Round::Opened);
    }

    async fn old_rows_of_keys_are_neither_given_nor_taken(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        world.sql(Sql::new("CREATE TABLE old_slots AS SELECT * FROM key_slots")).await;
        world.sql(Sql::new("CREATE TABLE old_terms AS SELECT * FROM terms")).await;
        world.new_recovery(MASTER).await.unwrap();
        let other = world.replica(&[&world]).await;
        other.ask().await;
        let third = world.replica(&[&world, &other]).await;
        world.sql(Sql::new("DELETE FROM key_slots")).await;
        world.sql(Sql::new("INSERT INTO key_slots SELECT * FROM old_slots")).await;
        world.sql(Sql::new("DELETE FROM terms WHERE term > 2")).await;
        world.sql(Sql::new("UPDATE terms SET wrapped = (SELECT o.wrapped FROM old_terms o WHERE o.term = terms.term)")).await;
        assert_eq!(third.ask().await, Round::Nobody, "whoever is open has seen newer ones");
        assert!(world.app.peer_counts().refused() + other.app.peer_counts().refused() >= 2);
        assert!(!third.app.is_open());
        // And whoever has seen newer ones asks nobody.
        world.sql(Sql::new("UPDATE seal_state SET generation = generation + 1")).await;
        for closed in [&world, &other] {
            closed.later();
            assert!(closed.vault.keyring.refresh().await.is_err() && !closed.app.is_open());
            let asked = closed.app.background.asking().round().await;
            assert!(matches!(asked, Err(VaultError::KeysRolledBack(_))), "{asked:?}");
        }
    }

    async fn nothing_of_an_answer_is_in_the_audit_or_in_what_is_shown(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let listening = Middle::new(as_vault(&world.app), Does::Listen);
        let other = world.replica(&[]).await;
        other.peers.are(vec![listening.channel()]);
        assert_eq!(other.ask().await, Round::Opened);
        let (asked, answer) = listening.seen().remove(0);
        assert_eq!(answer.sealed_root_key.len(), 80);
        assert!(format!("{answer:?}").contains("sealed_root_key: \"[secret]\""), "{answer:?}");
        for event in world.waiting().await {
            let (bytes, shown) = (event.encode_to_vec(), format!("{event:?}"));
            for part in [&asked.proof, &answer.sealed_root_key] {
                let hex: String = part[..8].iter().map(|byte| format!("{byte:02x}")).collect();
                assert!(!bytes.windows(8).any(|window| window == &part[..8]) && !shown.contains(&hex));
            }
        }
    }

    async fn a_name_without_end_and_parts_of_other_lengths_are_refused(db: TestDb) {
        let (world, _) = World::manual(&db).await;
        let (_, good) = world.an_ask(&pair()).await;
        for bad in [
            ShareRootKeyRequest { asker_name: "x".repeat(256), ..good.clone() },
            ShareRootKeyRequest { proof: Vec::new(), ..good.clone() },
            ShareRootKeyRequest { public_key: vec![1; 33], ..good.clone() },
        ] {
            assert_eq!(send(&world, bad).await.unwrap_err().code(), Code::InvalidArgument);
        }
        let endless = ShareRootKeyRequest { asker_name: "x".repeat(1 << 20), ..good };
        assert!(send(&world, endless).await.is_err());
        assert_eq!(world.app.peer_counts().given(), 0);
        world.clock.advance(Duration::from_secs(1));
    }
}
