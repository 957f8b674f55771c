//! Values.

use coffre_audit_client::Outcome;
use coffre_db::Sql;
use coffre_secret::SecretText;
use coffre_test_support::{Canary, Engine, on_each_engine};
use coffre_types::{AttributeId, Permission, UserId, Version};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::values::ListValues;
use futures_util::future::join_all;

use crate::world::{MASKED, OWN, STANDARD, World, bytes, caller, create, event, member, update_of};

on_each_engine! {
    async fn a_value_comes_back_as_it_was_stored(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", MASKED), ("c", OWN)]).await.unwrap();
        let (id, at) = (made.credential.id, |index: usize| made.attributes[index].id);
        let long = "é".repeat(32 * 1024);
        let call = world.call(&me);
        let command = create(id, &[(at(2), None, "mine"), (at(0), None, long.as_str()), (at(1), None, "")]);
        let (written, _) = world.vault.create_values(call.clone(), command, "").await.unwrap();
        assert_eq!(written.iter().map(|written| written.masked).collect::<Vec<_>>(), [false, false, true]);
        assert_eq!(written[0].value.user, UserId::new(7));
        assert_eq!(written[1].value.user, None);
        assert!(call.record.is_recorded());
        assert_eq!(event(&call, Outcome::Successful).value_seals.len(), 3);

        let read = world.read(&me, id).await.unwrap();
        assert_eq!(read, [Some(long), Some(String::new()), Some("mine".to_owned())]);
        assert!(world.vault.credential(world.call(&me), id).await.unwrap().completed);
    }

    async fn values_are_stored_all_or_none(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD)]).await.unwrap();
        let (id, a, b) = (made.credential.id, made.attributes[0].id, made.attributes[1].id);
        let first = world.store(&me, id, b, None, "x").await.unwrap();
        let again = world.vault.create_values(world.call(&me), create(id, &[(a, None, "1"), (b, None, "2")]), "").await;
        assert!(matches!(again, Err(VaultError::ValueExists { attribute, value: Some(value) }) if attribute == b && value == first));
        let twice = world.vault.create_values(world.call(&me), create(id, &[(a, None, "1"), (a, None, "2")]), "").await;
        assert!(matches!(twice, Err(VaultError::Invalid { .. })));
        let unknown = AttributeId::from_trusted(99);
        let foreign = world.vault.create_values(world.call(&me), create(id, &[(a, None, "1"), (unknown, None, "2")]), "").await;
        assert!(matches!(foreign, Err(VaultError::AttributeNotFound(99))));
        assert_eq!(world.read(&me, id).await.unwrap(), [Some("x".to_owned())]);
    }

    async fn a_put_is_always_a_change_and_checks_the_version_first(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap();
        let (id, a) = (made.credential.id, made.attributes[0].id);
        let value = world.store(&me, id, a, None, "x").await.unwrap();
        assert_eq!(world.update_value(&me, update_of(id, value), "x").await.unwrap(), 1);
        let mut stale = update_of(id, value);
        stale.version = Version::new(0);
        assert!(matches!(world.update_value(&me, stale, "y").await, Err(VaultError::ValueVersionConflict)));
        let mut foreign = update_of(id, value);
        foreign.attribute = AttributeId::new(99);
        assert!(matches!(world.update_value(&me, foreign, "y").await, Err(VaultError::Invalid { .. })));
        let mut etag = update_of(id, value);
        etag.etag = "\"0\"".to_owned();
        assert!(matches!(world.update_value(&me, etag, "y").await, Err(VaultError::PreconditionFailed)));
        assert_eq!(world.read(&me, id).await.unwrap(), [Some("x".to_owned())]);
        // A value belongs to its credential: another one of the same owner does not lead to it.
        let other = world.create(&me, "d", &[("a", STANDARD)]).await.unwrap().credential.id;
        assert!(matches!(world.update_value(&me, update_of(other, value), "y").await, Err(VaultError::ValueNotFound)));
    }

    async fn own_values_belong_to_their_user(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let admin = caller(9, &[Permission::ManageAllValues]);
        let made = world.create(&me, "c", &[("std", STANDARD), ("own", OWN)]).await.unwrap();
        let (id, std, own) = (made.credential.id, made.attributes[0].id, made.attributes[1].id);
        world.store(&me, id, std, None, "standard").await.unwrap();
        world.store(&me, id, own, None, "mine").await.unwrap();
        world.store(&admin, id, own, Some(8), "yours").await.unwrap();
        let of_other = world.store(&admin, id, own, None, "administrator's").await.unwrap();
        assert!(matches!(world.store(&me, id, own, Some(8), "z").await, Err(VaultError::NotPermitted(_))));
        assert!(matches!(world.store(&me, id, std, Some(7), "z").await, Err(VaultError::Invalid { .. })));
        assert!(matches!(world.store(&admin, id, own, Some(500), "z").await, Err(VaultError::Invalid { .. })));

        assert_eq!(world.read(&me, id).await.unwrap().len(), 2);
        assert_eq!(world.read(&admin, id).await.unwrap().len(), 4);
        let narrowed = |user: Option<i64>, attribute| {
            let query = ListValues { credential: id, attribute, user: user.map(UserId::from_trusted) };
            world.vault.values(world.call(&admin), query)
        };
        let values = narrowed(Some(8), None).await.unwrap();
        assert_eq!(values.iter().map(|opened| opened.value.user.map(UserId::get)).collect::<Vec<_>>(), [None, Some(8)]);
        assert_eq!(narrowed(None, Some(own)).await.unwrap().len(), 3);
        assert_eq!(narrowed(Some(8), Some(own)).await.unwrap().len(), 1);
        assert!(matches!(narrowed(None, Some(AttributeId::from_trusted(99))).await, Err(VaultError::AttributeNotFound(99))));
        // The owner of the credential does not reach them.
        assert!(matches!(world.update_value(&me, update_of(id, of_other), "z").await, Err(VaultError::NotPermitted(_))));
        let query = ListValues { credential: id, attribute: None, user: UserId::new(8) };
        assert!(matches!(world.vault.values(world.call(&me), query).await, Err(VaultError::NotPermitted(_))));
    }

    async fn rule_5_3_a_moved_or_rolled_back_value_does_not_open_and_is_named(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD), ("b", STANDARD)]).await.unwrap();
        let (id, a, b) = (made.credential.id, made.attributes[0].id, made.attributes[1].id);
        let one = world.store(&me, id, a, None, "1").await.unwrap();
        let two = world.store(&me, id, b, None, "2").await.unwrap();
        let sealed = |value: i64| Sql::new("(SELECT sealed FROM attribute_values WHERE id = ").bind(value).push(")");
        world.sql(Sql::new("UPDATE attribute_values SET sealed = ").join(sealed(one.get())).push(" WHERE id = ").bind(two.get())).await;
        let call = world.call(&me);
        let query = ListValues { credential: id, attribute: None, user: None };
        assert!(matches!(world.vault.values(call.clone(), query).await, Err(VaultError::ValueCorrupt(value)) if value == two));
        let event = event(&call, Outcome::Unsuccessful);
        assert_eq!(event.details.len(), 1);
        assert_eq!((event.details[0].key.as_str(), event.details[0].value.as_str()), ("valueCorrupt", two.to_string().as_str()));

        world.update_value(&me, update_of(id, two), "3").await.unwrap();
        world.sql(Sql::new("UPDATE attribute_values SET version = 0 WHERE id = ").bind(two.get())).await;
        assert!(matches!(world.read(&me, id).await, Err(VaultError::ValueCorrupt(_))));
        world.sql(Sql::new("UPDATE attribute_values SET version = 1 WHERE id = ").bind(two.get())).await;
        assert_eq!(world.read(&me, id).await.unwrap(), [Some("1".to_owned()), Some("3".to_owned())]);
        world.sql(Sql::new("UPDATE attribute_values SET sealed = ").bind(bytes(b"\x01short")).push(" WHERE id = ").bind(one.get())).await;
        assert!(matches!(world.read(&me, id).await, Err(VaultError::ValueCorrupt(value)) if value == one));
    }

    async fn the_audit_names_what_was_read_and_never_a_value(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let canary = Canary::new();
        let made = world.create(&me, "c", &[("user", STANDARD), ("own", OWN)]).await.unwrap();
        let id = made.credential.id;
        let one = world.store(&me, id, made.attributes[0].id, None, canary.text()).await.unwrap();
        let two = world.store(&me, id, made.attributes[1].id, None, canary.text()).await.unwrap();
        let call = world.call(&me);
        let query = ListValues { credential: id, attribute: None, user: None };
        world.vault.values(call.clone(), query).await.unwrap();
        let event = event(&call, Outcome::Successful);
        let details: Vec<_> = event.details.iter().map(|detail| (detail.key.as_str(), detail.value.clone())).collect();
        assert_eq!(details, [("valueRead", format!("user: {one}")), ("valueRead", format!("own: {two} (user 7)"))]);
        assert_eq!(event.object.unwrap().id, id.to_string());
        assert!(!canary.is_in(&call.record.entry(Outcome::Successful, None, world.now()).into_bytes()));
        world.database.stop();
        if let Some(folder) = db.folder() {
            assert_eq!(canary.find_under(folder), None);
        }
    }

    async fn callers_who_read_at_once_each_get_their_own(db: TestDb) {
        let world = World::new(&db).await;
        let (ann, bob) = (member(7), member(8));
        let mut stored = Vec::new();
        for (caller, stranger) in [(&ann, &bob), (&bob, &ann)] {
            for number in 0..4 {
                let secret = format!("{number} of {}", caller.user_id);
                let made = world.create(caller, &secret, &[("std", STANDARD), ("own", OWN)]).await.unwrap();
                let (id, std, own) = (made.credential.id, made.attributes[0].id, made.attributes[1].id);
                world.store(caller, id, std, None, &secret).await.unwrap();
                world.store(caller, id, own, None, "own").await.unwrap();
                stored.push((caller, stranger, id, secret));
            }
        }
        let reads = stored.iter().cycle().take(100).map(|(caller, stranger, id, secret)| async {
            assert_eq!(world.read(caller, *id).await.unwrap(), [Some(secret.clone()), Some("own".to_owned())]);
            assert!(matches!(world.read(stranger, *id).await, Err(VaultError::CredentialNotFound)));
        });
        join_all(reads).await;
    }

    async fn the_way_of_a_bot_looks_into_indexes_alone(db: TestDb) {
        let world = World::new(&db).await;
        world.bulk().await;
        let plan = world
            .explain(
                "SELECT v.sealed FROM credentials c JOIN attributes a ON a.credential_id = c.id \
                 LEFT JOIN attribute_values v ON v.attribute_id = a.id AND (v.user_id = 0 OR v.user_id = 7) \
                 WHERE c.id = 1 AND c.deleted_at IS NULL",
            )
            .await;
        assert!(plan.contains("attributes_name") && plan.contains("attribute_values_user"), "{plan}");
        assert!(!plan.contains("Seq Scan") && !plan.contains("SCAN "), "{plan}");
        if db.engine() == Engine::Postgres {
            // The same for many who ask at once.
            let plan = world
                .explain(
                    "SELECT k.number, found.* FROM unnest((SELECT array_agg(id) FROM generate_series(1, 60) id), \
                     (SELECT array_agg(7::bigint) FROM generate_series(1, 60))) WITH ORDINALITY AS k (credential_id, user_id, number) \
                     CROSS JOIN LATERAL (SELECT v.sealed FROM credentials c JOIN attributes a ON a.credential_id = c.id \
                     LEFT JOIN attribute_values v ON v.attribute_id = a.id AND v.user_id = CASE WHEN a.user_provided THEN k.user_id ELSE 0 END \
                     WHERE c.id = k.credential_id AND c.deleted_at IS NULL OFFSET 0) AS found",
                )
                .await;
            assert!(plan.contains("attributes_name") && plan.contains("attribute_values_user"), "{plan}");
            assert!(!plan.contains("Seq Scan"), "{plan}");
        }
    }

    async fn a_value_id_is_never_used_again(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let made = world.create(&me, "c", &[("a", STANDARD)]).await.unwrap();
        let (id, a) = (made.credential.id, made.attributes[0].id);
        let first = world.store(&me, id, a, None, "x").await.unwrap();
        world.vault.delete_value(world.call(&me), id, first, String::new()).await.unwrap();
        let gone = world.vault.delete_value(world.call(&me), id, first, String::new()).await;
        assert!(matches!(gone, Err(VaultError::ValueNotFound)));
        assert!(world.store(&me, id, a, None, "x").await.unwrap() > first);
    }
}

#[test]
fn debug_of_a_command_shows_no_secret() {
    let command =
        create(coffre_types::CredentialId::from_trusted(1), &[(AttributeId::from_trusted(1), None, "planted")]);
    assert!(!format!("{command:?}").contains("planted"));
    assert!(!format!("{:?}", SecretText::new("planted".into())).contains("planted"));
}
