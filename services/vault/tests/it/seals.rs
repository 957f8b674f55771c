//! The seals of stored values: those that the audit holds, as long as nobody touched the database.

use std::collections::BTreeMap;

use coffre_audit_client::Outcome;
use coffre_db::Sql;
use coffre_secret::SecretText;
use coffre_test_support::on_each_engine;
use coffre_types::{Permission, UserId};
use coffre_vault::domain::error::VaultError;
use coffre_vault::vault::{Call, StoredSeal};

use crate::world::{OWN, STANDARD, World, caller, create, event, member, update_of};

/// The seals that the audit got with a call.
fn told(call: &Call) -> BTreeMap<i64, (i64, Vec<u8>)> {
    let seals = event(call, Outcome::Successful).value_seals;
    seals.into_iter().map(|seal| (seal.value_id, (seal.version, seal.mac))).collect()
}

async fn all(world: &World, limit: usize) -> Vec<StoredSeal> {
    let auditor = caller(9, &[Permission::ViewAllAudit]);
    let (mut seals, mut after) = (Vec::new(), 0);
    loop {
        let (some, more) = world.vault.value_seals(world.call(&auditor), after, limit).await.unwrap();
        assert!(some.len() <= limit && (!more || some.len() == limit));
        after = some.last().map_or(after, |seal| seal.value);
        seals.extend(some);
        if !more {
            return seals;
        }
    }
}

fn by_value(seals: &[StoredSeal]) -> BTreeMap<i64, (i64, Vec<u8>)> {
    let mac = |seal: &StoredSeal| seal.mac.map(|mac| mac.to_vec()).unwrap_or_default();
    seals.iter().map(|seal| (seal.value, (seal.version, mac(seal)))).collect()
}

on_each_engine! {
    async fn stored_values_have_the_seals_that_the_audit_was_told(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD), ("c", STANDARD)]).await.unwrap();
        let ids: Vec<_> = made.attributes.iter().map(|attribute| attribute.id).collect();
        let call = world.call(&me);
        let values = create(made.credential.id, &[(ids[0], None, "1"), (ids[1], None, "2"), (ids[2], None, "3")]);
        let (written, _) = world.vault.create_values(call.clone(), values, "").await.unwrap();
        let mut expected = told(&call);
        let (call, command) = (world.call(&me), update_of(made.credential.id, written[1].value.id));
        world.vault.update_value(call.clone(), command, SecretText::new("other".to_owned()), "").await.unwrap();
        expected.extend(told(&call));
        for limit in [1, 2, 3, 1000] {
            assert_eq!(by_value(&all(&world, limit).await), expected, "{limit}");
        }

        // A value that was moved or put back has another seal, one whose bytes are rubbish none.
        let sealed = "UPDATE attribute_values SET sealed = (SELECT v.sealed FROM attribute_values v WHERE v.id = ";
        let moved = Sql::new(sealed).bind(written[0].value.id.get()).push(") WHERE id = ").bind(written[2].value.id.get());
        world.sql(moved).await;
        world.sql(Sql::new("UPDATE attribute_values SET sealed = ").bind([9_u8; 4].as_slice()).push(" WHERE id = ").bind(written[1].value.id.get())).await;
        let found = by_value(&all(&world, 1000).await);
        let differ: Vec<_> = expected.iter().filter(|(id, seal)| found.get(id) != Some(seal)).map(|(id, _)| *id).collect();
        assert_eq!(differ, [written[1].value.id.get(), written[2].value.id.get()]);
        assert!(found[&written[1].value.id.get()].1.is_empty());
    }

    async fn whatever_deletes_values_names_them(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD), ("c", STANDARD), ("own", OWN)]).await.unwrap();
        let (id, ids) = (made.credential.id, made.attributes.iter().map(|one| one.id).collect::<Vec<_>>());
        let values = create(id, &[(ids[0], None, "1"), (ids[1], None, "2"), (ids[2], None, "3"), (ids[3], Some(7), "4")]);
        let (written, _) = world.vault.create_values(world.call(&me), values, "").await.unwrap();
        let value = |index: usize| written[index].value.id;
        let (call, command) = (world.call(&me), update_of(id, value(0)));
        world.vault.update_value(call, command, SecretText::new("other".to_owned()), "").await.unwrap();
        let gone = |index: usize, version: i64| (value(index).get(), (version, Vec::new()));

        let call = world.call(&me);
        world.vault.delete_value(call.clone(), id, value(0), String::new()).await.unwrap();
        assert_eq!(told(&call), BTreeMap::from([gone(0, 1)]));
        let call = world.call(&me);
        world.vault.delete_attribute(call.clone(), id, ids[1], String::new()).await.unwrap();
        assert_eq!(told(&call), BTreeMap::from([gone(1, 0)]));
        let call = world.call(&me);
        world.vault.delete_credential(call.clone(), id, String::new()).await.unwrap();
        assert_eq!(told(&call), BTreeMap::from([gone(2, 0), gone(3, 0)]));

        let made = world.create(&me, "d", &[("own", OWN)]).await.unwrap();
        let admin = caller(9, &[Permission::ManageAllValues]);
        let theirs = world.store(&admin, made.credential.id, made.attributes[0].id, Some(8), "5").await.unwrap();
        let call = world.call(&member(9));
        world.vault.release_user(UserId::from_trusted(8), call.record.clone()).await.unwrap();
        assert_eq!(told(&call), BTreeMap::from([(theirs.get(), (0, Vec::new()))]));
    }

    async fn a_replica_tells_the_seals_under_a_term_of_which_it_has_not_heard(db: TestDb) {
        let world = World::new(&db).await;
        let other = world.again().await;
        let (me, admin) = (member(7), caller(9, &[Permission::ManageSettings]));
        let made = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap();
        world.vault.start_rotation(world.call(&admin)).await.unwrap();
        let (call, values) = (world.call(&me), create(made.credential.id, &[(made.attributes[0].id, None, "1")]));
        world.vault.create_values(call.clone(), values, "").await.unwrap();
        assert_ne!(world.vault.keyring.generation_open(), other.vault.keyring.generation_open());
        assert_eq!(by_value(&all(&other, 10).await), told(&call));
    }

    async fn a_sealed_vault_tells_no_seals(db: TestDb) {
        let world = World::new(&db).await;
        let admin = caller(9, &[Permission::ManageSettings]);
        world.vault.seal(world.call(&admin)).await.unwrap();
        let refused = world.vault.value_seals(world.call(&admin), 0, 10).await;
        assert!(matches!(refused, Err(VaultError::Sealed)), "{refused:?}");
    }
}
