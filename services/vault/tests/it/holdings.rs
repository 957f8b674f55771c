//! What users hold: listed, handed over, let go of.

use coffre_channel::Channel;
use coffre_db::Sql;
use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::Source;
use coffre_proto::holdings::internal::v1::holdings_service_client::HoldingsServiceClient;
use coffre_proto::holdings::internal::v1::{
    Asker, HoldUserRequest, HoldUserResponse, ListHoldingsRequest, ReleaseUserRequest, RestoreUserRequest,
    TransferHoldingsRequest, TransferHoldingsResponse,
};
use coffre_test_support::on_each_engine;
use coffre_types::{Permission, UserId};
use coffre_vault::domain::error::VaultError;
use futures_util::future::{join, join_all};

use crate::world::{OWN, STANDARD, World, caller, member};

fn client(world: &World) -> HoldingsServiceClient<Channel> {
    HoldingsServiceClient::new(Channel::in_process(world.app.parts.internal.clone()))
}

async fn hold(world: &World, user: i64, attempt: i64) -> HoldUserResponse {
    client(world).hold_user(HoldUserRequest { user_id: user, attempt }).await.unwrap().into_inner()
}

async fn restore(world: &World, user: i64, attempt: i64) {
    client(world).restore_user(RestoreUserRequest { user_id: user, attempt }).await.unwrap();
}

fn asker() -> Asker {
    Asker {
        user_id: 1,
        user_name: "admin".to_owned(),
        request_id: "the-call".to_owned(),
        trace_id: vec![7; 16],
        client_address: "192.0.2.1".to_owned(),
        source: Source::Api.into(),
        client_id: "portal".to_owned(),
    }
}

async fn release(world: &World, user: i64) -> Result<(), Reason> {
    let released = client(world).release_user(ReleaseUserRequest { user_id: user, asker: Some(asker()) }).await;
    released.map(|_| ()).map_err(|status| Refusal::from_status(&status).reason())
}

async fn transfer(world: &World, from: i64, to: i64) -> Result<TransferHoldingsResponse, Reason> {
    let request = TransferHoldingsRequest {
        user_id: from,
        recipient_id: to,
        recipient_name: format!("user{to}"),
        asker: Some(asker()),
    };
    let given = client(world).transfer_holdings(request).await;
    given.map(tonic::Response::into_inner).map_err(|status| Refusal::from_status(&status).reason())
}

/// Counts the events that wait in the outbox.
async fn events(world: &World) -> i64 {
    world.number(Sql::new("SELECT CAST(COALESCE(SUM(event_count), 0) AS BIGINT) AS id FROM outbox_segments")).await
}

on_each_engine! {
    async fn what_a_user_holds_is_listed_and_keeps_it_from_being_held(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.create(&member(7), "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        let listed = client(&world).list_holdings(ListHoldingsRequest { user_id: 7 }).await.unwrap().into_inner();
        assert_eq!((listed.total, listed.holdings[0].id, listed.holdings[0].name.as_str()), (1, id.get(), "c"));
        let held = hold(&world, 7, 1).await;
        assert_eq!((held.total, held.holdings), (1, listed.holdings));
        assert!(world.create(&member(7), "d", &[("a", STANDARD)]).await.is_ok(), "nothing was changed");
    }

    async fn a_user_who_is_held_gets_nothing_until_it_is_restored(db: TestDb) {
        let world = World::new(&db).await;
        let (me, admin) = (member(7), caller(9, &[Permission::ManageAllValues]));
        let made = world.create(&me, "c", &[("own", OWN)]).await.unwrap();
        let (id, own) = (made.credential.id, made.attributes[0].id);
        let give = async |to: i64| world.vault.transfer_credential(world.call(&me), id, UserId::from_trusted(to), String::new()).await;
        for _ in 0..2 {
            assert_eq!(hold(&world, 8, 1).await, HoldUserResponse::default());
        }
        assert!(matches!(world.create(&member(8), "d", &[("a", STANDARD)]).await, Err(VaultError::OwnerUnknown(_))));
        assert!(matches!(give(8).await, Err(VaultError::OwnerUnknown(_))));
        assert!(matches!(world.store(&admin, id, own, Some(8), "z").await, Err(VaultError::Invalid { .. })));
        assert_eq!(transfer(&world, 7, 8).await, Err(Reason::UserNotFound));
        for _ in 0..2 {
            restore(&world, 8, 1).await;
        }
        assert!(give(8).await.unwrap().1);
    }

    async fn what_comes_late_of_an_attempt_counts_no_more(db: TestDb) {
        let world = World::new(&db).await;
        let makes = async |name: &str| world.create(&member(8), name, &[("a", STANDARD)]).await.is_ok();
        // The hold of an attempt after its restoration.
        restore(&world, 8, 1).await;
        hold(&world, 8, 1).await;
        let made = world.create(&member(8), "one", &[("a", STANDARD)]).await.unwrap().credential.id;
        world.vault.delete_credential(world.call(&member(8)), made, String::new()).await.unwrap();
        // The restoration of an attempt after the hold of a later one.
        hold(&world, 8, 3).await;
        restore(&world, 8, 2).await;
        assert!(!makes("two").await);
        // An older hold takes nothing from a later one, nor from its end.
        hold(&world, 8, 2).await;
        restore(&world, 8, 3).await;
        assert!(makes("three").await);
    }

    async fn a_released_user_leaves_no_value_and_never_comes_back(db: TestDb) {
        let world = World::new(&db).await;
        let (me, admin) = (member(7), caller(9, &[Permission::ManageAllValues]));
        let made = world.create(&me, "c", &[("own", OWN)]).await.unwrap();
        world.store(&admin, made.credential.id, made.attributes[0].id, Some(8), "yours").await.unwrap();
        hold(&world, 8, 1).await;
        let before = events(&world).await;
        for _ in 0..3 {
            release(&world, 8).await.unwrap();
        }
        assert_eq!(events(&world).await, before + 1, "a repetition leaves no record");
        assert_eq!(world.number(Sql::new("SELECT count(*) AS id FROM attribute_values")).await, 0);
        restore(&world, 8, 9).await;
        assert!(matches!(world.create(&member(8), "d", &[("a", STANDARD)]).await, Err(VaultError::OwnerUnknown(_))));
        assert_eq!(release(&world, 7).await, Err(Reason::UserHoldsObjects), "it was not held before");
    }

    async fn holdings_are_handed_over_in_parts_each_with_a_record(db: TestDb) {
        let world = World::new(&db).await;
        world.locker.participant(5, 7);
        for index in 0..205 {
            world.create(&member(7), &format!("c{index}"), &[("a", STANDARD)]).await.unwrap();
        }
        world.create(&member(8), "other", &[("a", STANDARD)]).await.unwrap();
        world.sql(Sql::new("UPDATE credentials SET locker_id = 5 WHERE name = 'c0'")).await;
        let before = events(&world).await;
        let mut parts = Vec::new();
        loop {
            let given = transfer(&world, 7, 9).await.unwrap();
            parts.push(given.ids.len());
            if given.remaining == 0 {
                break;
            }
        }
        assert_eq!(parts, [100, 100, 5]);
        assert_eq!(events(&world).await, before + 205);
        assert_eq!(transfer(&world, 7, 9).await.unwrap(), TransferHoldingsResponse::default());
        assert_eq!(transfer(&world, 7, 7).await, Err(Reason::RequestInvalid));
        let owned = |owner: i64| Sql::new("SELECT count(*) AS id FROM credentials WHERE version = 1 AND owner_id = ").bind(owner);
        assert_eq!(world.number(owned(9)).await, 205);
        assert_eq!(world.number(Sql::new("SELECT locker_id AS id FROM credentials WHERE name = 'c0'")).await, 5);
        assert_eq!(hold(&world, 7, 1).await.total, 0);
    }

    async fn a_record_says_by_which_way_the_call_came(db: TestDb) {
        let world = World::new(&db).await;
        world.create(&member(7), "c", &[("a", STANDARD)]).await.unwrap();
        transfer(&world, 7, 9).await.unwrap();
        hold(&world, 7, 1).await;
        release(&world, 7).await.unwrap();
        let events = world.waiting().await;
        for event in &events[events.len() - 2..] {
            let actor = event.actor.clone().unwrap();
            assert_eq!((actor.user_id, actor.user_name.as_str(), actor.client_id.as_str()), (1, "admin", "portal"), "{event:?}");
            assert_eq!((event.source(), event.client_address.as_str(), event.request_id.as_str()), (Source::Api, "192.0.2.1", "the-call"));
        }
        let unnamed = Asker { source: Source::Unspecified.into(), client_id: String::new(), ..asker() };
        let request = TransferHoldingsRequest { user_id: 9, recipient_id: 8, recipient_name: "user8".into(), asker: Some(unnamed) };
        client(&world).transfer_holdings(request).await.unwrap();
        assert_eq!(world.waiting().await.last().unwrap().source(), Source::System, "it was asked by nobody from outside");
    }

    async fn no_owner_is_ever_a_missing_user(db: TestDb) {
        let world = World::new(&db).await;
        for user in 60..80 {
            let me = member(7);
            let mine = world.create(&me, &format!("t{user}"), &[("a", STANDARD)]).await.unwrap().credential.id;
            world.create(&member(8), &format!("h{user}"), &[("a", STANDARD)]).await.unwrap();
            let (world, me, leaving) = (&world, &me, &member(user));
            let makes = join_all((0..3).map(|index| async move {
                world.create(leaving, &format!("c{user}-{index}"), &[("a", STANDARD)]).await.is_ok()
            }));
            let gets = world.vault.transfer_credential(world.call(me), mine, UserId::from_trusted(user), String::new());
            let gives = join(makes, join(gets, transfer(world, 8, user)));
            let (held, (made, (got, given))) = join(hold(world, user, 1), gives).await;
            if held.total == 0 {
                let owned = i64::try_from(made.iter().filter(|made| **made).count()).unwrap()
                    + i64::from(got.is_ok())
                    + i64::from(given.is_ok_and(|given| !given.ids.is_empty()));
                assert_eq!(owned, 0, "user {user} was held and still owns something");
                release(world, user).await.unwrap();
            }
            let left = Sql::new("SELECT count(*) AS id FROM credentials c JOIN departed_users d ON d.user_id = c.owner_id WHERE c.deleted_at IS NULL AND d.held");
            assert_eq!(world.number(left).await, 0);
        }
    }
}
