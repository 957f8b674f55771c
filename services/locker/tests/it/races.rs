//! Two at once.

use coffre_db::{Error, Sql};
use coffre_locker::domain::deletion::mark;
use coffre_locker::domain::entries::{Reservation, reserve};
use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::Who;
use coffre_locker::domain::ports::Entry;
use coffre_test_support::on_each_engine;
use coffre_types::{CredentialId, Name, RoleId, Timestamp, UserId, Version};
use futures_util::future::{join, join_all};

use crate::world::{FULL, MANAGE, OWN, PARTICIPATE, World, member, patch_of};

const OWNERLESS: &str = "SELECT count(*) AS id FROM lockers l WHERE l.deleted_at IS NULL \
     AND NOT EXISTS (SELECT 1 FROM members m WHERE m.locker_id = l.id AND m.own)";

on_each_engine! {
    async fn of_two_owners_who_remove_each_other_one_stays(db: TestDb) {
        let world = World::new(&db).await;
        for round in 0..10 {
            let id = world.made(&member(7), &format!("l{round}")).await;
            world.set(&member(7), id, 8, OWN).await.unwrap();
            let (seven, eight) = (member(7), member(8));
            let (one, other) = join(world.remove(&seven, id, 8), world.remove(&eight, id, 7)).await;
            assert!(one.is_ok() ^ other.is_ok(), "{one:?} {other:?}");
            let refused = one.err().or(other.err()).unwrap();
            assert!(matches!(refused, LockerError::LastOwner | LockerError::LockerNotFound | LockerError::Store(Error::Retryable)), "{refused:?}");
            assert_eq!(world.members(id).await.len(), 1);
        }
    }

    async fn of_owners_who_all_step_down_one_stays(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(10), "a").await;
        for user in 11..18 {
            world.set(&member(10), id, user, FULL).await.unwrap();
        }
        let callers: Vec<_> = (10..18).map(member).collect();
        let stepped = join_all(callers.iter().enumerate().map(|(index, who)| {
            let user = who.user_id.get();
            let world = &world;
            async move {
                if index % 2 == 0 { world.remove(who, id, user).await } else { world.set(who, id, user, MANAGE).await }
            }
        })).await;
        assert_eq!(stepped.iter().filter(|stepped| stepped.is_err()).count(), 1, "{stepped:?}");
        assert_eq!(world.number(Sql::new(OWNERLESS)).await, 0);
    }

    async fn a_member_or_consumer_that_comes_while_a_locker_goes_is_refused_or_goes_with_it(db: TestDb) {
        let world = World::new(&db).await;
        for round in 0..10 {
            let id = world.made(&member(7), &format!("l{round}")).await;
            let me = member(7);
            let (gone, (set, added)) = join(
                world.delete(&me, id),
                join(world.set(&me, id, 8, PARTICIPATE), world.add_role(&me, id, 14)),
            ).await;
            for outcome in [set, added] {
                assert!(matches!(outcome, Ok(()) | Err(LockerError::BeingDeleted | LockerError::LockerNotFound)), "{outcome:?}");
            }
            gone.unwrap();
            let left = Sql::new("SELECT (SELECT count(*) FROM members) + (SELECT count(*) FROM consumers) AS id");
            assert_eq!(world.number(left).await, 0);
        }
    }

    async fn a_reservation_that_began_before_the_mark_does_not_commit_unseen_after_it(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let who = Who::from(me.as_ref());
        let entry = Entry { locker: id, credential: CredentialId::from_trusted(40), epoch: 0 };
        let (inside, is_inside) = std::sync::mpsc::channel();
        let (go_on, may_go_on) = std::sync::mpsc::channel::<()>();
        let (inside, may_go_on) = (std::sync::Mutex::new(inside), std::sync::Mutex::new(may_go_on));
        let store = world.lockers.store.clone();
        let reserving = tokio::spawn(async move {
            store.write_unaudited(move |tx| {
                let reserved = reserve(tx, &who, entry, Timestamp::default())?;
                // Stands still with everything done but the commit, the first time.
                let _ = inside.lock().unwrap().send(());
                let _ = may_go_on.lock().unwrap().recv();
                Ok(reserved)
            }).await
        });
        tokio::task::spawn_blocking(move || is_inside.recv().unwrap()).await.unwrap();
        let (who, record) = (Who::from(me.as_ref()), world.call(&me).record);
        let marking = world.lockers.store.write_unaudited(move |tx| {
            mark(tx, &who, "user7", id, "", Timestamp::default(), &record)
        });
        tokio::pin!(marking);
        let early = tokio::time::timeout(std::time::Duration::from_millis(300), &mut marking).await;
        let seen = world.number(Sql::new("SELECT count(*) AS id FROM reservations")).await;
        drop(go_on);
        let reserved = reserving.await.unwrap().unwrap();
        if early.is_ok() {
            assert!(matches!(reserved, Reservation::BeingDeleted(_)), "{reserved:?} after a mark that saw {seen}");
        } else {
            marking.await.unwrap();
            assert!(matches!(reserved, Reservation::Reserved(_)), "{reserved:?}");
            assert_eq!(world.number(Sql::new("SELECT count(*) AS id FROM reservations")).await, 1);
        }
    }

    async fn no_credential_ever_points_at_a_missing_locker(db: TestDb) {
        let world = World::new(&db).await;
        for round in 0..15_i64 {
            let id = world.made(&member(7), &format!("l{round}")).await;
            let world = &world;
            let enters = join_all((0..3).map(|index| async move {
                let credential = 1000 + round * 10 + index;
                let epoch = world.vault.epoch(credential);
                let entry = Entry { locker: id, credential: CredentialId::from_trusted(credential), epoch };
                let who = Who::from(member(7).as_ref());
                match world.lockers.reserve(who, entry).await.unwrap() {
                    Reservation::Reserved(_) => {
                        let entered = world.vault.enter(credential, id.get(), epoch);
                        world.lockers.close(entry).await.unwrap();
                        entered
                    }
                    _ => false,
                }
            }));
            let me = member(7);
            let (gone, entered) = join(world.delete(&me, id), enters).await;
            let inside = world.vault.holds(id.get());
            assert_eq!(inside, entered.into_iter().filter(|entered| *entered).count());
            match gone {
                Ok(()) => assert_eq!(inside, 0, "round {round}: a credential points at a missing locker"),
                Err(LockerError::NotEmpty(_)) => assert!(inside > 0),
                Err(other) => panic!("{other:?}"),
            }
        }
    }

    async fn of_two_who_delete_a_locker_one_does_it(db: TestDb) {
        let world = World::new(&db).await;
        for round in 0..10 {
            let id = world.made(&member(7), &format!("l{round}")).await;
            let me = member(7);
            let (one, other) = join(world.delete(&me, id), world.delete(&me, id)).await;
            assert!(one.is_ok() ^ other.is_ok(), "{one:?} {other:?}");
            assert!(matches!(one.err().or(other.err()).unwrap(), LockerError::LockerNotFound));
        }
    }

    async fn of_writers_with_the_same_version_exactly_one_wins(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        for round in 0..5_i64 {
            let changes = join_all((0..8).map(|index| {
                let mut patch = patch_of(id);
                patch.version = Version::new(round);
                patch.name = Some(Name::parse(format!("n{round}-{index}")).unwrap());
                world.lockers.update(world.call(&me), patch)
            })).await;
            assert_eq!(changes.iter().filter(|change| change.is_ok()).count(), 1);
            assert!(changes.iter().filter_map(|change| change.as_ref().err()).all(|refused| matches!(refused, LockerError::VersionConflict)), "{changes:?}");
        }
    }

    async fn whoever_changes_members_at_once_waits_for_the_other(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let set = join_all((20..40).map(|user| world.set(&me, id, user, PARTICIPATE))).await;
        assert!(set.iter().all(Result::is_ok), "{set:?}");
        assert_eq!((world.members(id).await.len(), world.version(id).await), (21, 20));
    }

    async fn no_owner_is_ever_a_missing_user_and_no_consumer_a_missing_role(db: TestDb) {
        let world = World::new(&db).await;
        for user in 60..75 {
            let id = world.made(&member(7), &format!("l{user}")).await;
            world.set(&member(7), id, user, FULL).await.unwrap();
            let (me, leaving) = (member(7), member(user));
            let role = RoleId::from_trusted(user);
            let (held, (alone, (made, (role_held, added)))) = join(
                world.lockers.hold_user(UserId::from_trusted(user), 1),
                join(
                    world.remove(&me, id, 7),
                    join(
                        world.create(&leaving, &format!("m{user}")),
                        join(world.lockers.hold_role(role, 1), world.add_role(&me, id, user)),
                    ),
                ),
            ).await;
            let held = held.unwrap();
            if held.total == 0 {
                assert!(alone.is_err() && made.is_err(), "user {user} leaves and holds something");
            }
            let left = Sql::new("SELECT count(*) AS id FROM lockers l WHERE l.deleted_at IS NULL AND NOT EXISTS (SELECT 1 FROM members m \
                 WHERE m.locker_id = l.id AND m.own AND NOT EXISTS (SELECT 1 FROM departed_users d WHERE d.user_id = m.user_id AND d.held))");
            assert_eq!(world.number(left).await, 0);
            if role_held.unwrap().total == 0 {
                assert!(added.is_err(), "role {user} is gone and consumes something");
            }
            let consumed = Sql::new("SELECT count(*) AS id FROM consumers c JOIN departed_roles d ON d.role_id = c.role_id WHERE d.held");
            assert_eq!(world.number(consumed).await, 0);
        }
    }
}
