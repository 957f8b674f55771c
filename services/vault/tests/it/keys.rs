//! Initialisation, sealed and open, transport keys.

use std::time::Duration;

use aws_lc_rs::rsa::{OAEP_SHA256_MGF1SHA256, OaepPublicEncryptingKey, PublicEncryptingKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use coffre_audit_client::Outcome;
use coffre_db::Sql;
use coffre_secret::{SecretBytes, SecretText};
use coffre_test_support::on_each_engine;
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::keys::Mode;
use coffre_vault::vault::Call;
use coffre_vault::{Error, transport};
use tokio_util::sync::CancellationToken;

use crate::modes::{MASTER, OTHER, admin, change};
use crate::peers::detail;
use crate::world::{STANDARD, World, create, event, express_key, member, open, patch_of, update_of};

/// Encrypts as a client does, from the documented form of the key alone.
fn encrypt(public_key: &str, plaintext: &[u8]) -> String {
    let xml = String::from_utf8(BASE64.decode(public_key).unwrap()).unwrap();
    let modulus = xml.split_once("<Modulus>").unwrap().1.split_once("</Modulus>").unwrap().0;
    let modulus = BASE64.decode(modulus).unwrap();
    assert!(xml.contains("<Exponent>AQAB</Exponent>"));
    // SubjectPublicKeyInfo of an RSA key of 3 072 bits with the exponent 65 537.
    let mut der = vec![0x30, 0x82, 0x01, 0xa2, 0x30, 0x0d, 0x06, 0x09];
    der.extend([0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00]);
    der.extend([0x03, 0x82, 0x01, 0x8f, 0x00, 0x30, 0x82, 0x01, 0x8a, 0x02, 0x82, 0x01, 0x81, 0x00]);
    der.extend(modulus);
    der.extend([0x02, 0x03, 0x01, 0x00, 0x01]);
    let key = OaepPublicEncryptingKey::new(PublicEncryptingKey::from_der(&der).unwrap()).unwrap();
    let mut ciphertext = vec![0; key.ciphertext_size()];
    BASE64.encode(key.encrypt(&OAEP_SHA256_MGF1SHA256, plaintext, &mut ciphertext, None).unwrap())
}

async fn until<T>(mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(answer) = ask().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it did not happen");
}

on_each_engine! {
    async fn the_audit_says_which_key_was_shown_for_a_change(db: TestDb) {
        let world = World::new(&db).await;
        let shown = |call: &Call| detail(&event(call, Outcome::Successful), "key");
        let set = async |mode: Mode, private: &str, current: &str, recovery: &str| {
            let call = world.call(&admin());
            world.vault.set_mode(call.clone(), change(mode, private, current, recovery)).await.unwrap();
            shown(&call)
        };
        let replace = async |current: &str| {
            let call = world.call(&admin());
            let new = world.vault.replace_recovery_key(call.clone(), SecretText::new(current.to_owned())).await.unwrap();
            (shown(&call), new.into_exposed())
        };
        assert_eq!(set(Mode::Express, "", "", "").await, "express", "nothing changed, and the key file is the right one");
        assert_eq!(set(Mode::Manual, MASTER, "", "").await, "none", "from Express nobody has to show one");
        assert_eq!(set(Mode::Manual, OTHER, MASTER, "").await, "manual");
        assert_eq!(set(Mode::Manual, MASTER, "", &world.recovery).await, "recovery");
        let (by, recovery) = replace(MASTER).await;
        assert_eq!((by.as_str(), replace(&recovery).await.0.as_str()), ("manual", "recovery"));
        assert_eq!(set(Mode::Express, MASTER, "", "").await, "manual");
        world.sql(Sql::new("DELETE FROM key_slots WHERE kind = ").bind(3_i64)).await;
        assert_eq!(replace("").await.0, "express");
        world.vault.seal(world.call(&admin())).await.unwrap();
        let call = world.call(&admin());
        world.vault.unseal(call.clone()).await.unwrap();
        assert_eq!(shown(&call), "express");
    }

    async fn initialisation_happens_once(db: TestDb) {
        let (clock, database, outbox) = open(&db);
        let early = World::start(clock.clone(), database.clone(), outbox.clone(), express_key()).await;
        assert!(matches!(early, Err(Error::Uninitialised)));
        let full = |_: &SecretText| Err(std::io::ErrorKind::StorageFull.into());
        let unseen = coffre_vault::init(database.clone(), &outbox, &express_key(), full).await;
        assert!(matches!(unseen, Err(Error::NotShown(_))));
        let early = World::start(clock.clone(), database.clone(), outbox.clone(), express_key()).await;
        assert!(matches!(early, Err(Error::Uninitialised)), "a key that nobody saw opens nothing");
        coffre_vault::init(database.clone(), &outbox, &express_key(), |_| Ok(())).await.unwrap();
        let mut shown = false;
        let show = |_: &SecretText| {
            shown = true;
            Ok(())
        };
        let again = coffre_vault::init(database.clone(), &outbox, &express_key(), show).await;
        assert!(matches!(again, Err(Error::Initialised)) && !shown);
        let wrong = World::start(clock.clone(), database.clone(), outbox.clone(), SecretBytes::new(vec![8; 32])).await;
        // Not refused: with the recovery key somebody opens it.
        assert!(!wrong.unwrap().app.is_open());
        let short = World::start(clock.clone(), database.clone(), outbox.clone(), SecretBytes::new(vec![8; 31])).await;
        assert!(matches!(short, Err(Error::KeyLength)));
        assert!(World::start(clock, database, outbox, express_key()).await.unwrap().app.is_open());
    }

    async fn a_damaged_slot_is_told_from_a_wrong_key(db: TestDb) {
        let world = World::new(&db).await;
        world.sql(Sql::new("UPDATE key_slots SET slot = ").bind(vec![1_u8; 175])).await;
        let World { clock, database, outbox, .. } = world;
        assert!(matches!(World::start(clock, database, outbox, express_key()).await, Err(Error::Damaged)));
    }

    async fn sealed_on_purpose_no_value_is_read_or_written_and_the_rest_works(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD), ("c", STANDARD)]).await.unwrap();
        let (id, a, b) = (made.credential.id, made.attributes[0].id, made.attributes[1].id);
        let value = world.store(&me, id, a, None, "x").await.unwrap();
        let (taken, mine) = (world.vault.keyring.opened().await.unwrap(), world.vault.keyring.clone());
        world.sql(Sql::new("UPDATE seal_state SET generation = 2, sealed = ").bind(true)).await;
        // Older than a replica may be: it asks before it uses its keys.
        world.clock.advance(Duration::from_secs(1));
        assert!(matches!(world.read(&me, id).await, Err(VaultError::Sealed)));
        assert!(matches!(mine.confirm(&taken).await, Err(VaultError::Sealed)), "a value on its way does not leave");
        assert!(matches!(world.store(&me, id, b, None, "x").await, Err(VaultError::Sealed)));
        assert!(matches!(world.update_value(&me, update_of(id, value), "y").await, Err(VaultError::Sealed)));
        assert!(matches!(world.vault.transport.public().await, Err(VaultError::Sealed)));
        assert!(!world.vault.is_open().await.unwrap());
        assert!(world.vault.has_express_slot().await.unwrap());

        assert!(world.vault.credential(world.call(&me), id).await.is_ok());
        assert!(world.update(&me, patch_of(id)).await.is_ok());
        world.vault.delete_value(world.call(&me), id, value, String::new()).await.unwrap();
        world.vault.delete_attribute(world.call(&me), id, b, String::new()).await.unwrap();

        // A restart does not open what was sealed on purpose.
        let World { clock, database, outbox, .. } = world;
        let world = World::start(clock, database, outbox, express_key()).await.unwrap();
        assert!(!world.app.is_open());
        world.vault.delete_credential(world.call(&me), id, String::new()).await.unwrap();
        world.sql(Sql::new("UPDATE seal_state SET generation = 3, sealed = ").bind(false)).await;
        world.clock.advance(Duration::from_secs(1));
        assert!(world.vault.is_open().await.unwrap());
    }

    async fn a_transport_key_outlives_a_new_root_key(db: TestDb) {
        let world = World::new(&db).await;
        let stop = CancellationToken::new();
        let running = tokio::spawn(world.app.background.clone().run(stop.clone()));
        let vault = world.vault.clone();
        let key = until(async || vault.transport.public().await.ok()).await;
        stop.cancel();
        running.await.unwrap();
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap();
        let (id, a) = (made.credential.id, made.attributes[0].id);
        let current = SecretText::new(world.recovery.clone());
        world.vault.replace_recovery_key(world.call(&me), current).await.unwrap();
        // One that has to take it from the table.
        let other = world.again().await;
        let hidden = encrypt(&key, b"hidden");
        let command = create(id, &[(a, None, hidden.as_str())]);
        other.vault.create_values(other.call(&me), command, &key).await.unwrap();
        assert_eq!(world.read(&me, id).await.unwrap(), [Some("hidden".to_owned())]);
    }

    async fn rule_5_6_values_travel_under_a_transport_key(db: TestDb) {
        let world = World::new(&db).await;
        assert!(matches!(world.vault.transport.public().await, Err(VaultError::TransportKeyPending)));
        let stop = CancellationToken::new();
        let running = tokio::spawn(world.app.background.clone().run(stop.clone()));
        let vault = world.vault.clone();
        let key = until(async || vault.transport.public().await.ok()).await;

        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD)]).await.unwrap();
        let (id, a, b) = (made.credential.id, made.attributes[0].id, made.attributes[1].id);
        let longest = "x".repeat(318);
        let hidden = [encrypt(&key, b"hidden"), encrypt(&key, longest.as_bytes())];
        let command = create(id, &[(a, None, hidden[0].as_str()), (b, None, hidden[1].as_str())]);
        let (written, _) = world.vault.create_values(world.call(&me), command, &key).await.unwrap();
        assert_eq!(world.read(&me, id).await.unwrap(), [Some("hidden".to_owned()), Some(longest)]);
        let secret = SecretText::new(encrypt(&key, b"again"));
        // As a query string leaves it where a client did not escape `+`.
        let spaced = key.replace('+', " ");
        world.vault.update_value(world.call(&me), update_of(id, written[0].value.id), secret, &spaced).await.unwrap();
        assert_eq!(world.read(&me, id).await.unwrap()[0].as_deref(), Some("again"));

        let plain = world.vault.update_value(world.call(&me), update_of(id, written[0].value.id), SecretText::new("plain".into()), &key).await;
        assert!(matches!(plain, Err(VaultError::TransportValueUnreadable(field)) if field == "value"));
        let unknown = world.vault.create_values(world.call(&me), create(id, &[(a, None, "x")]), "bm9uZQ==").await;
        assert!(matches!(unknown, Err(VaultError::TransportKeyUnknown)));
        assert_eq!(world.read(&me, id).await.unwrap()[0].as_deref(), Some("again"));

        // Another replica, which did not make the key.
        let other = World::start(world.clock.clone(), world.database.clone(), world.outbox.clone(), express_key()).await.unwrap();
        let secret = SecretText::new(encrypt(&key, b"elsewhere"));
        other.vault.update_value(other.call(&me), update_of(id, written[0].value.id), secret, &key).await.unwrap();

        // Old keys end.
        world.clock.advance(transport::ACCEPTED);
        let secret = SecretText::new(encrypt(&key, b"late"));
        let late = other.vault.update_value(other.call(&me), update_of(id, written[0].value.id), secret, &key).await;
        assert!(matches!(late, Err(VaultError::TransportKeyUnknown)));
        stop.cancel();
        running.await.unwrap();
    }
}
