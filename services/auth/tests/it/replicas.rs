//! Two processes on one PostgreSQL.

use std::time::Duration;

use coffre_error::Reason;
use coffre_proto::audit::v1::Outcome;
use coffre_proto::auth::v1::UpdateUserRequest;
use coffre_test_support::TestDb;
use futures_util::future::join_all;

use crate::keeper::Fails;
use crate::world::{ADMIN_ROLE, BASIC_ROLE, PASSWORD, World, outcome, password_of};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_1_4_what_one_replica_ends_the_other_refuses_within_a_second() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    let (id, user) = world.user("ada", &[BASIC_ROLE]).await;
    let signed_out = world.sign_in("ada", &password_of("ada")).await;
    assert!(other.accepts(&user.token).await && other.accepts(&signed_out.token).await);
    world.nobody().sign_out(&signed_out.token).await.unwrap();
    other.refuses_soon(&signed_out.token).await;
    assert!(other.accepts(&user.token).await);
    let disable = UpdateUserRequest { id, disabled: Some(true), ..UpdateUserRequest::default() };
    world.admin().await.update_user(disable).await.unwrap();
    other.refuses_soon(&user.token).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_2_2_replicas_share_the_counts() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    for round in 0..5 {
        let replica = if round % 2 == 0 { &world.first } else { &other };
        assert_eq!(replica.caller("").sign_in("admin", "wrong").await.unwrap_err(), Reason::AuthSignInFailed);
    }
    for replica in [&world.first, &other] {
        assert_eq!(replica.caller("").sign_in("admin", PASSWORD).await.unwrap_err(), Reason::AuthThrottled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rule_3_4_administrators_who_remove_each_other_on_two_replicas_leave_one() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    let (id, second) = world.user("second", &[ADMIN_ROLE]).await;
    let admin = world.admin().await;
    let second = other.caller(&second.token);
    let disable = |id| UpdateUserRequest { id, disabled: Some(true), ..UpdateUserRequest::default() };
    let (one, two) = tokio::join!(admin.update_user(disable(id)), second.update_user(disable(1)));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_correct_sign_ins_on_two_replicas_all_succeed() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    let callers = [world.nobody(), other.caller("")];
    let answers = join_all((0..30).map(|round| callers[round % 2].sign_in("admin", PASSWORD))).await;
    for answer in answers {
        answer.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_initialise_at_once_make_one_administrator() {
    let db = TestDb::postgres();
    let url = coffre_db::DatabaseUrl::parse(db.url()).unwrap();
    let clock = std::sync::Arc::new(coffre_types::FixedClock::new(coffre_types::Timestamp::from_seconds(1)));
    let kept = crate::world::Kept::default();
    let (one, other) = (crate::world::open(&url, &clock, &kept), crate::world::open(&url, &clock, &kept));
    let (a, b) = tokio::join!(
        crate::world::initialise(&one.0, &one.1, &clock),
        crate::world::initialise(&other.0, &other.1, &clock)
    );
    assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
    assert!(matches!(a.and(b), Err(coffre_auth::InitError::AlreadyInitialised)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_settle_an_abandoned_deletion_at_once_do_it_once() {
    let db = TestDb::postgres();
    let world = World::start(&db).await;
    let other = world.replica().await;
    let admin = world.admin().await;
    for round in 0..3 {
        let id = admin.create_user(&format!("gone {round}"), &[]).await.unwrap().id;
        world.locker.fail("hold", Fails::HangsAfter);
        let deleting = tokio::spawn({
            let admin = admin.clone();
            async move { admin.delete_user(id).await }
        });
        world.locker.hangs().await;
        deleting.abort();
        assert!(deleting.await.unwrap_err().is_cancelled());
        world.locker.mend();
        world.events();
        world.clock.advance(Duration::from_secs(61));
        let (one, two) = tokio::join!(world.first.app.settle_deletions(), other.app.settle_deletions());
        one.and(two).unwrap();
        let done = world.events().into_iter().filter(|event| event.event == "user.deleted");
        assert_eq!(done.filter(|event| outcome(event) == Outcome::Successful).count(), 1);
        assert_eq!(admin.user(id).await.unwrap_err(), Reason::UserNotFound);
    }
}
