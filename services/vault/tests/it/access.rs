//! Who may do what, explained; and for whom values are missing.

use coffre_test_support::on_each_engine;
use coffre_types::{Permission, UserId};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::policy::{Action, Standing};

use crate::world::{OWN, STANDARD, World, caller, member, with_roles};

const LOCKER: i64 = 5;
const ROLE: i64 = 70;
const CREDENTIALS: Permission = Permission::ManageMyCredentials;
const LOCKERS: Permission = Permission::ManageMyLockers;

fn people(world: &World) {
    world.auth.roles(7, &[(1, &[CREDENTIALS, LOCKERS])]);
    world.auth.roles(24, &[(1, &[CREDENTIALS, LOCKERS])]);
    world.auth.roles(25, &[(2, &[CREDENTIALS])]);
    world.auth.roles(26, &[(1, &[CREDENTIALS]), (ROLE, &[])]);
    world.auth.roles(27, &[(ROLE, &[])]);
    world.auth.roles(28, &[(3, &[Permission::AdministerAllLockers]), (4, &[Permission::AdministerAllLockers])]);
    world.auth.roles(200, &[(5, &[Permission::ManageAllValues])]);
    world.locker.manager(LOCKER, 24);
    world.locker.participant(LOCKER, 25);
    world.locker.consumer(LOCKER, ROLE);
}

on_each_engine! {
    async fn everybody_who_stands_to_a_credential_is_explained(db: TestDb) {
        let world = World::new(&db).await;
        people(&world);
        let id = world.create_in(7, "c", &[("std", STANDARD), ("own", OWN)], LOCKER).await.credential.id;
        let call = world.call(&member(7));
        let (users, locker) = world.vault.explain_access(call.clone(), id, None).await.unwrap();
        assert_eq!(locker.unwrap().name, "locker5");
        let told: Vec<_> = users
            .iter()
            .map(|user| {
                let paths = user.paths.iter().map(|path| (path.standing, path.role.as_ref().map(|role| role.0.get()), path.missing));
                (user.id.get(), user.disabled, user.actions.len(), paths.collect::<Vec<_>>())
            })
            .collect();
        let owner = Standing::Owner.actions().count();
        assert_eq!(told, [
            (7, false, owner, vec![(Standing::Owner, None, None), (Standing::Participant, None, None)]),
            (24, false, Standing::Manager.actions().count(), vec![(Standing::Manager, None, None)]),
            (25, false, 0, vec![(Standing::Participant, None, Some(LOCKERS))]),
            (26, false, Standing::Consumer.actions().count(), vec![(Standing::Consumer, Some(ROLE), None)]),
            (27, false, 0, vec![(Standing::Consumer, Some(ROLE), Some(CREDENTIALS))]),
            (28, false, Standing::LockerAdmin.actions().count(), vec![(Standing::LockerAdmin, Some(3), None), (Standing::LockerAdmin, Some(4), None)]),
            (200, true, Standing::ValueAdmin.actions().count(), vec![(Standing::ValueAdmin, Some(5), None)]),
        ]);

        // What is explained is what they meet.
        let consumer = with_roles(26, &[CREDENTIALS], &[1, ROLE]);
        let met = world.vault.credential(world.call(&consumer), id).await.unwrap().rights;
        let explained = &users[3].actions;
        assert!(Action::ALL.into_iter().all(|action| met.may(action) == explained.contains(&action)));
    }

    async fn one_may_ask_about_one_and_about_oneself(db: TestDb) {
        let world = World::new(&db).await;
        people(&world);
        let id = world.create_in(7, "c", &[("std", STANDARD)], LOCKER).await.credential.id;
        let ask = async |who: i64, about: Option<i64>| {
            let who = with_roles(who, &[CREDENTIALS, LOCKERS], if who == 26 { &[ROLE] } else { &[] });
            world.vault.explain_access(world.call(&who), id, about.map(UserId::from_trusted)).await.map(|(users, _)| users)
        };
        assert_eq!(ask(24, Some(26)).await.unwrap()[0].paths.len(), 1);
        let stranger = ask(7, Some(40)).await.unwrap();
        assert!(stranger.len() == 1 && stranger[0].paths.is_empty() && stranger[0].actions.is_empty());
        assert!(matches!(ask(7, Some(5000)).await, Err(VaultError::UserNotFound(_))));
        // Who may not list users learns of none who does not reach it.
        let alone = with_roles(7, &[CREDENTIALS], &[]);
        let about = |user| world.vault.explain_access(world.call(&alone), id, Some(UserId::from_trusted(user)));
        assert!(matches!(about(40).await, Err(VaultError::UserNotFound(_))));
        assert!(about(26).await.is_ok() && about(7).await.is_ok());
        assert_eq!(ask(26, Some(26)).await.unwrap()[0].paths[0].standing, Standing::Consumer);
        assert!(matches!(ask(26, Some(7)).await, Err(VaultError::NotPermitted(Action::Explain))));
        assert!(matches!(ask(26, None).await, Err(VaultError::NotPermitted(Action::Explain))));
        assert!(matches!(ask(40, Some(40)).await, Err(VaultError::CredentialNotFound)));
        world.locker.silence(true);
        assert!(matches!(ask(7, None).await, Err(VaultError::LockerUnavailable)));
    }

    async fn in_no_locker_the_owner_and_administrators_stand_alone(db: TestDb) {
        let world = World::new(&db).await;
        people(&world);
        let id = world.create(&member(7), "c", &[("own", OWN)]).await.unwrap().credential.id;
        world.locker.silence(true);
        let (users, locker) = world.vault.explain_access(world.call(&member(7)), id, None).await.unwrap();
        assert!(locker.is_none());
        assert_eq!(users.iter().map(|user| user.id.get()).collect::<Vec<_>>(), [7, 28, 200]);
        assert!(world.vault.missing_values(world.call(&member(7)), id).await.unwrap().is_empty(), "nobody consumes it");
    }

    async fn consumers_who_have_not_stored_their_values_are_named(db: TestDb) {
        let world = World::new(&db).await;
        people(&world);
        let made = world.create_in(7, "c", &[("std", STANDARD), ("one", OWN), ("two", OWN)], LOCKER).await;
        let (id, one, two) = (made.credential.id, made.attributes[1].id, made.attributes[2].id);
        let missing = async |who: &std::sync::Arc<coffre_types::Caller>| {
            let missing = world.vault.missing_values(world.call(who), id).await?;
            Ok::<_, VaultError>(missing.into_iter().map(|user| (user.id.get(), user.attributes)).collect::<Vec<_>>())
        };
        let manager = caller(24, &[LOCKERS]);
        assert_eq!(missing(&manager).await.unwrap(), [(26, vec![one, two])], "27 cannot store any");
        let consumer = with_roles(26, &[CREDENTIALS], &[ROLE]);
        world.store(&consumer, id, one, None, "1").await.unwrap();
        assert_eq!(missing(&manager).await.unwrap(), [(26, vec![two])]);
        assert!(matches!(missing(&consumer).await, Err(VaultError::NotPermitted(Action::Explain))));
        world.store(&consumer, id, two, None, "2").await.unwrap();
        assert!(missing(&manager).await.unwrap().is_empty());
    }
}
