//! Deleting users and roles while the other services hold, restore and release: every step fails once, and every step is the last one.

use coffre_error::Reason;
use coffre_proto::audit::v1::{Event, Outcome, Source};
use coffre_proto::auth::internal::v1::{LookUpRoleRequest, LookUpUserRequest};
use coffre_proto::auth::v1::{DeleteRoleRequest, DeleteUserRequest, RoleIds, UpdateUserRequest};
use coffre_test_support::on_each_engine;

use crate::keeper::{Fails, FakeKeeper};
use crate::world::{BASIC_ROLE, World, eventually, outcome, reason};

/// Both keepers, the one that fails first.
fn keepers(world: &World) -> [(&FakeKeeper, &FakeKeeper); 2] {
    [(&world.vault, &world.locker), (&world.locker, &world.vault)]
}

async fn can_get_something(world: &World, user: i64) -> bool {
    let request = LookUpUserRequest { user_id: user };
    world.internal().look_up_user(request).await.unwrap().into_inner().exists
}

/// Begins a deletion and kills whoever deletes while a keeper has its call.
async fn die_during(world: &World, keeper: &FakeKeeper, call: &'static str, how: Fails, user: i64) {
    keeper.fail(call, how);
    let admin = world.admin().await;
    let mut request = admin.request(DeleteUserRequest { id: user, etag: String::new() });
    request.metadata_mut().insert("x-request-id", "the-request".parse().unwrap());
    let deleting = tokio::spawn(async move { admin.users().delete_user(request).await.map(|_| ()) });
    keeper.hangs().await;
    deleting.abort();
    assert!(deleting.await.unwrap_err().is_cancelled());
    keeper.mend();
    assert_eq!(coffre_auth::deletions_pending(&world.first.database).await.unwrap(), 1, "it waits to be settled");
}

/// The event of what was done in the end; the call that was cut off has one of its own.
fn done(world: &World, name: &str) -> Event {
    let found = world.events().into_iter().find(|event| event.event == name && outcome(event) == Outcome::Successful);
    found.unwrap()
}

fn restored_everywhere(world: &World, subject: i64) -> bool {
    !world.vault.is_held(subject) && !world.locker.is_held(subject)
}

on_each_engine! {
    async fn a_user_is_held_everywhere_then_buried_then_released_everywhere(db: TestDb) {
        let world = World::start(&db).await;
        let (id, user) = world.user("ada", &[BASIC_ROLE]).await;
        world.admin().await.delete_user(id).await.unwrap();
        for keeper in [&world.vault, &world.locker] {
            assert_eq!(keeper.calls(), [("hold", id), ("release", id)]);
            assert!(keeper.is_held(id), "for ever: what comes late finds nobody");
            let askers = keeper.askers();
            assert_eq!((askers.len(), askers[0].user_id, askers[0].user_name.as_str()), (1, 1, "admin"));
            assert!(!askers[0].request_id.is_empty());
        }
        world.first.refuses_soon(&user.token).await;
        assert!(!can_get_something(&world, id).await);
        world.settle().await;
        assert!(world.vault.calls().is_empty(), "nothing is left to do");
        assert_eq!(coffre_auth::deletions_pending(&world.first.database).await.unwrap(), 0);
    }

    async fn a_user_who_holds_something_stays_and_the_answer_lists_it(db: TestDb) {
        let world = World::start(&db).await;
        let (id, user) = world.user("ada", &[BASIC_ROLE]).await;
        let admin = world.admin().await;
        for (credentials, lockers) in [(&["Mail"][..], &[][..]), (&[][..], &["Team"][..]), (&["Mail", "CRM"][..], &["Team"][..])] {
            world.vault.holds(credentials);
            world.locker.holds(lockers);
            world.events();
            let refused = admin.try_delete_user(id).await.unwrap_err();
            assert_eq!(reason(&refused), Reason::UserHoldsObjects);
            for (name, held) in [("credential 1 (Mail)", credentials), ("locker 1 (Team)", lockers)] {
                assert_eq!(refused.message().contains(name), !held.is_empty(), "{}", refused.message());
            }
            let events = world.events();
            assert_eq!((events.len(), outcome(&events[0])), (1, Outcome::Unsuccessful));
            assert!(restored_everywhere(&world, id) && can_get_something(&world, id).await, "nothing has changed");
            assert!(world.nobody().validate(&user.token).await);
        }
        world.vault.holds_many(250);
        let refused = admin.try_delete_user(id).await.unwrap_err();
        assert!(refused.message().contains("250 credentials") && refused.message().contains(" more"), "{}", refused.message());
        world.vault.holds(&[]);
        world.locker.holds(&[]);
        admin.delete_user(id).await.unwrap();
    }

    async fn a_keeper_that_cannot_hold_stops_the_deletion(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let id = admin.create_user("ada", &[]).await.unwrap().id;
        for how in [Fails::Before, Fails::After] {
            for (failing, _) in keepers(&world) {
                failing.fail("hold", how);
                assert_eq!(admin.delete_user(id).await.unwrap_err(), Reason::ServiceUnavailable);
                assert!(can_get_something(&world, id).await, "it was restored at once");
                assert!(restored_everywhere(&world, id));
                failing.mend();
            }
        }
        admin.delete_user(id).await.unwrap();
    }

    async fn a_keeper_that_cannot_restore_is_asked_again_and_nothing_is_deleted(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let id = admin.create_user("ada", &[]).await.unwrap().id;
        for how in [Fails::Before, Fails::After] {
            for (failing, other) in keepers(&world) {
                other.holds(&["something"]);
                failing.fail("restore", how);
                assert_eq!(admin.delete_user(id).await.unwrap_err(), Reason::UserHoldsObjects);
                // What was refused stays refused, whatever becomes of the reason.
                other.holds(&[]);
                world.settle().await;
                assert!(!can_get_something(&world, id).await, "it is still being restored");
                failing.mend();
                world.settle().await;
                assert!(can_get_something(&world, id).await && restored_everywhere(&world, id));
            }
        }
        assert!(admin.user(id).await.is_ok());
        admin.delete_user(id).await.unwrap();
    }

    async fn a_keeper_that_cannot_release_is_asked_again_until_it_does(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for (round, how) in [Fails::Before, Fails::After].into_iter().enumerate() {
            for (turn, (failing, _)) in keepers(&world).into_iter().enumerate() {
                let id = admin.create_user(&format!("user {round} {turn}"), &[]).await.unwrap().id;
                failing.fail("release", how);
                admin.delete_user(id).await.expect("the user is gone, whoever has not let go yet");
                assert_eq!(admin.user(id).await.unwrap_err(), Reason::UserNotFound);
                world.settle().await;
                failing.askers();
                failing.mend();
                world.settle().await;
                let askers = failing.askers();
                assert_eq!((askers.len(), askers[0].user_id, askers[0].user_name.as_str()), (1, 1, "admin"), "in his name");
                failing.calls();
                world.settle().await;
                assert!(failing.calls().is_empty(), "it is done");
            }
        }
    }

    async fn a_death_while_holding_is_settled_in_the_name_of_who_asked(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for (round, how) in [Fails::Hangs, Fails::HangsAfter].into_iter().enumerate() {
            for (turn, (failing, other)) in keepers(&world).into_iter().enumerate() {
                let id = admin.create_user(&format!("gone {round} {turn}"), &[]).await.unwrap().id;
                die_during(&world, failing, "hold", how, id).await;
                assert!(admin.user(id).await.is_ok() && !can_get_something(&world, id).await);
                world.first.app.settle_deletions().await.unwrap();
                assert!(admin.user(id).await.is_ok(), "it may be on its way still");
                world.events();
                world.settle().await;
                assert_eq!(admin.user(id).await.unwrap_err(), Reason::UserNotFound);
                let event = done(&world, "user.deleted");
                assert_eq!((event.source(), event.request_id.as_str()), (Source::System, "the-request"));
                assert_eq!(event.actor.unwrap().user_name, "admin");

                let kept = admin.create_user(&format!("kept {round} {turn}"), &[]).await.unwrap().id;
                die_during(&world, failing, "hold", how, kept).await;
                other.holds(&["something"]);
                world.settle().await;
                assert!(can_get_something(&world, kept).await && restored_everywhere(&world, kept));
                other.holds(&[]);
            }
        }
    }

    async fn a_death_while_restoring_deletes_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let id = admin.create_user("ada", &[]).await.unwrap().id;
        for how in [Fails::Hangs, Fails::HangsAfter] {
            for (failing, other) in keepers(&world) {
                other.holds(&["something"]);
                die_during(&world, failing, "restore", how, id).await;
                other.holds(&[]);
                world.settle().await;
                assert!(can_get_something(&world, id).await && restored_everywhere(&world, id));
            }
        }
    }

    async fn a_death_while_releasing_leaves_nothing_behind(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        for (round, how) in [Fails::Hangs, Fails::HangsAfter].into_iter().enumerate() {
            for (turn, (failing, _)) in keepers(&world).into_iter().enumerate() {
                let id = admin.create_user(&format!("user {round} {turn}"), &[]).await.unwrap().id;
                die_during(&world, failing, "release", how, id).await;
                assert_eq!(admin.user(id).await.unwrap_err(), Reason::UserNotFound);
                failing.calls();
                world.settle().await;
                assert_eq!(failing.calls(), [("release", id)]);
                world.settle().await;
                assert!(failing.calls().is_empty());
            }
        }
    }

    async fn what_an_earlier_attempt_does_late_counts_for_nothing(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let id = admin.create_user("ada", &[]).await.unwrap().id;
        // The first attempt waits for its hold; the second is refused and restores; then something is given to the user.
        let first = admin.clone();
        world.vault.fail("hold", Fails::HangsAfter);
        let first = tokio::spawn(async move { first.delete_user(id).await });
        world.vault.hangs().await;
        world.vault.mend();
        world.locker.holds(&["something"]);
        assert_eq!(admin.delete_user(id).await.unwrap_err(), Reason::UserHoldsObjects);
        world.locker.holds(&[]);
        assert!(restored_everywhere(&world, id));
        // Only now the first one hears that the user holds nothing, which was true then.
        world.vault.holds(&["a late gift"]);
        world.vault.go();
        assert_eq!(first.await.unwrap().unwrap_err(), Reason::StoreConflict);
        assert!(can_get_something(&world, id).await);
        world.settle().await;
        assert!(admin.user(id).await.is_ok(), "nobody deletes it later");
    }

    async fn of_many_deletions_at_once_one_is_done_and_recorded(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let id = admin.create_user("ada", &[]).await.unwrap().id;
        world.events();
        let answers = futures_util::future::join_all((0..6).map(|_| admin.delete_user(id))).await;
        assert!(answers.iter().filter(|answer| answer.is_ok()).count() <= 1, "{answers:?}");
        for refused in answers.iter().filter_map(|answer| answer.as_ref().err()) {
            let expected = [Reason::StoreConflict, Reason::UserNotFound, Reason::ServiceUnavailable];
            assert!(expected.contains(refused), "{refused:?}");
        }
        if answers.iter().all(Result::is_err) {
            admin.delete_user(id).await.unwrap();
        }
        let done = world.events().into_iter().filter(|event| event.event == "user.deleted" && outcome(event) == Outcome::Successful);
        assert_eq!(done.count(), 1);
    }

    async fn a_version_that_passed_meanwhile_keeps_the_user(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let id = admin.create_user("ada", &[]).await.unwrap().id;
        world.vault.fail("hold", Fails::HangsAfter);
        let delete = DeleteUserRequest { id, etag: "\"0\"".into() };
        let deleting = tokio::spawn({
            let admin = admin.clone();
            async move { admin.users().delete_user(admin.request(delete)).await.map(|_| ()) }
        });
        world.vault.hangs().await;
        let rename = UpdateUserRequest { id, first_name: Some("Ada".into()), ..UpdateUserRequest::default() };
        admin.update_user(rename).await.unwrap();
        deleting.abort();
        let _ = deleting.await;
        world.vault.mend();
        let delete = DeleteUserRequest { id, etag: "\"0\"".into() };
        let refused = admin.users().delete_user(admin.request(delete)).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::RequestPreconditionFailed);
        let delete = DeleteUserRequest { id, etag: "\"1\"".into() };
        admin.users().delete_user(admin.request(delete)).await.unwrap();
    }

    async fn an_administrator_who_is_leaving_does_not_count(db: TestDb) {
        let world = World::start(&db).await;
        let (second, _) = world.user("second", &[crate::world::ADMIN_ROLE]).await;
        die_during(&world, &world.vault, "hold", Fails::Hangs, second).await;
        let admin = world.admin().await;
        let disable = UpdateUserRequest { id: 1, disabled: Some(true), ..UpdateUserRequest::default() };
        assert_eq!(admin.update_user(disable).await.unwrap_err(), Reason::UserLastAdministrator);
    }

    async fn a_role_that_consumes_lockers_stays_and_the_answer_names_them(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let role = admin.create_role("operators", &[1]).await.unwrap();
        world.locker.holds(&["Team", "Mail"]);
        let request = admin.request(DeleteRoleRequest { id: role.id, etag: String::new() });
        let refused = admin.roles().delete_role(request).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::RoleInUse);
        assert!(refused.message().contains("2 lockers: locker 1 (Team), locker 2 (Mail);"), "{}", refused.message());
        assert!(restored_everywhere(&world, role.id));
        world.locker.holds(&[]);
        world.events();
        world.locker.calls();
        admin.delete_role(role.id).await.unwrap();
        assert_eq!(world.locker.calls(), [("hold role", role.id)]);
        assert!(world.locker.is_held(role.id), "for ever");
        let event = world.last_event();
        assert_eq!((event.event.as_str(), outcome(&event)), ("role.deleted", Outcome::Successful));
        assert_eq!(admin.delete_role(role.id).await.unwrap_err(), Reason::RoleNotFound);
    }

    async fn every_step_of_deleting_a_role_may_fail(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let role = admin.create_role("operators", &[1]).await.unwrap().id;
        let exists = async || world.internal().look_up_role(LookUpRoleRequest { role_id: role, user_id: 0 }).await.unwrap().into_inner().exists;
        for how in [Fails::Before, Fails::After] {
            world.locker.fail("hold role", how);
            assert_eq!(admin.delete_role(role).await.unwrap_err(), Reason::ServiceUnavailable);
            assert!(exists().await && !world.locker.is_held(role));

            world.locker.fail("restore role", how);
            world.locker.holds(&["Team"]);
            assert_eq!(admin.delete_role(role).await.unwrap_err(), Reason::RoleInUse);
            world.locker.holds(&[]);
            world.settle().await;
            assert!(!exists().await, "it is still being restored");
            world.locker.mend();
            world.settle().await;
            assert!(exists().await && !world.locker.is_held(role));
        }
        for how in [Fails::Hangs, Fails::HangsAfter] {
            let gone = admin.create_role("gone", &[]).await.unwrap().id;
            world.locker.fail("hold role", how);
            let deleting = tokio::spawn({
                let admin = admin.clone();
                async move { admin.delete_role(gone).await }
            });
            world.locker.hangs().await;
            deleting.abort();
            let _ = deleting.await;
            world.locker.mend();
            world.events();
            world.settle().await;
            let event = done(&world, "role.deleted");
            assert_eq!((event.source(), event.actor.unwrap().user_name.as_str()), (Source::System, "admin"));
            assert_eq!(admin.delete_role(gone).await.unwrap_err(), Reason::RoleNotFound);
        }
        admin.delete_role(role).await.unwrap();
    }

    async fn a_role_that_is_given_while_it_is_deleted_stays(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let role = admin.create_role("operators", &[1]).await.unwrap().id;
        let user = admin.create_user("ada", &[]).await.unwrap().id;
        world.locker.fail("hold role", Fails::HangsAfter);
        let deleting = tokio::spawn({
            let admin = admin.clone();
            async move { admin.delete_role(role).await }
        });
        world.locker.hangs().await;
        deleting.abort();
        let _ = deleting.await;
        let give = UpdateUserRequest { id: user, roles: Some(RoleIds { ids: vec![role] }), ..UpdateUserRequest::default() };
        admin.update_user(give).await.unwrap();
        world.locker.mend();
        world.settle().await;
        assert!(!world.locker.is_held(role));
        eventually(async || admin.user(user).await.is_ok_and(|user| user.roles.len() == 1)).await;
        assert_eq!(admin.delete_role(role).await.unwrap_err(), Reason::RoleInUse);
    }
}
