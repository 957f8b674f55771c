//! Users who leave and roles that go.

use coffre_channel::Channel;
use coffre_db::Sql;
use coffre_locker::domain::error::LockerError;
use coffre_proto::audit::v1::Source;
use coffre_proto::holdings::internal::v1::holdings_service_client::HoldingsServiceClient;
use coffre_proto::holdings::internal::v1::{
    Asker, HoldUserRequest, HoldUserResponse, ListHoldingsRequest, ReleaseUserRequest, RestoreUserRequest,
    TransferHoldingsRequest, TransferHoldingsResponse,
};
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::locker::internal::v1::{HoldRoleRequest, HoldRoleResponse, RestoreRoleRequest};
use coffre_test_support::on_each_engine;
use coffre_types::UserId;
use tonic::Status;

use crate::world::{FULL, MANAGE, OWN, PARTICIPATE, World, member};

type Client = HoldingsServiceClient<Channel>;

fn client(world: &World) -> Client {
    Client::new(Channel::in_process(world.app.parts.internal.clone()))
}

fn sharing(world: &World) -> SharingServiceClient<Channel> {
    SharingServiceClient::new(Channel::in_process(world.app.parts.internal.clone()))
}

fn asker() -> Option<Asker> {
    Some(Asker {
        user_id: 1,
        user_name: "boss".into(),
        request_id: "r7".into(),
        client_address: "192.0.2.1".into(),
        source: Source::Grpc.into(),
        client_id: "portal".into(),
        ..Asker::default()
    })
}

async fn hold(world: &World, user: i64, attempt: i64) -> Result<HoldUserResponse, Status> {
    client(world).hold_user(HoldUserRequest { user_id: user, attempt }).await.map(tonic::Response::into_inner)
}

async fn restore(world: &World, user: i64, attempt: i64) {
    client(world).restore_user(RestoreUserRequest { user_id: user, attempt }).await.unwrap();
}

async fn release(world: &World, user: i64) {
    client(world).release_user(ReleaseUserRequest { user_id: user, asker: asker() }).await.unwrap();
}

async fn transfer(world: &World, from: i64, to: i64) -> Result<TransferHoldingsResponse, Status> {
    let recipient_name = format!("user{to}");
    let request = TransferHoldingsRequest { user_id: from, recipient_id: to, recipient_name, asker: asker() };
    client(world).transfer_holdings(request).await.map(tonic::Response::into_inner)
}

async fn hold_role(world: &World, role: i64, attempt: i64) -> HoldRoleResponse {
    sharing(world).hold_role(HoldRoleRequest { role_id: role, attempt }).await.unwrap().into_inner()
}

on_each_engine! {
    async fn a_user_holds_the_lockers_that_nobody_else_owns(db: TestDb) {
        let world = World::new(&db).await;
        let (alone, shared) = (world.made(&member(7), "alone").await, world.made(&member(7), "shared").await);
        world.set(&member(7), alone, 8, MANAGE).await.unwrap();
        world.set(&member(7), shared, 8, OWN).await.unwrap();
        let held = client(&world).list_holdings(ListHoldingsRequest { user_id: 7 }).await.unwrap().into_inner();
        assert_eq!((held.total, held.holdings.len()), (1, 1));
        assert_eq!((held.holdings[0].id, held.holdings[0].name.as_str()), (alone.get(), "alone"));
        let refused = hold(&world, 7, 1).await.unwrap();
        assert_eq!((refused.total, refused.holdings[0].id), (1, alone.get()));
        world.set(&member(7), alone, 9, OWN).await.unwrap();
        assert_eq!(hold(&world, 8, 1).await.unwrap().total, 0);
        let only = client(&world).list_holdings(ListHoldingsRequest { user_id: 7 }).await.unwrap().into_inner();
        assert_eq!(only.holdings[0].id, shared.get(), "who leaves does not count as an owner");
    }

    async fn who_is_held_is_given_nothing_until_it_is_restored(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        world.set(&member(7), id, 8, OWN).await.unwrap();
        for _ in 0..2 {
            assert_eq!(hold(&world, 8, 3).await.unwrap(), HoldUserResponse::default());
        }
        assert!(matches!(world.set(&member(7), id, 8, FULL).await, Err(LockerError::UserNotFound(_))));
        assert!(matches!(world.create(&member(8), "b").await, Err(LockerError::UserNotFound(_))));
        assert!(matches!(world.remove(&member(7), id, 7).await, Err(LockerError::LastOwner)));
        assert!(matches!(world.set(&member(7), id, 7, MANAGE).await, Err(LockerError::LastOwner)));
        assert_eq!(transfer(&world, 7, 8).await.unwrap_err().code(), tonic::Code::NotFound);
        restore(&world, 8, 2).await;
        assert!(matches!(world.create(&member(8), "b").await, Err(LockerError::UserNotFound(_))), "an older attempt restores nothing");
        restore(&world, 8, 3).await;
        assert!(world.create(&member(8), "b").await.is_ok());
        assert!(hold(&world, 8, 3).await.is_ok_and(|held| held.total == 1));
        world.remove(&member(7), id, 7).await.unwrap();
    }

    async fn a_hold_that_comes_late_is_refused(db: TestDb) {
        let world = World::new(&db).await;
        hold(&world, 8, 1).await.unwrap();
        restore(&world, 8, 1).await;
        assert_eq!(hold(&world, 8, 1).await.unwrap_err().code(), tonic::Code::Aborted);
        assert!(world.create(&member(8), "b").await.is_ok());
        hold(&world, 9, 1).await.unwrap();
        restore(&world, 9, 1).await;
        hold(&world, 9, 2).await.unwrap();
        restore(&world, 9, 1).await;
        assert!(matches!(world.create(&member(9), "c").await, Err(LockerError::UserNotFound(_))));
    }

    async fn a_released_user_is_a_member_of_nothing_for_ever(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        world.set(&member(7), id, 8, PARTICIPATE).await.unwrap();
        hold(&world, 8, 1).await.unwrap();
        let before = world.version(id).await;
        for _ in 0..2 {
            release(&world, 8).await;
        }
        assert_eq!(world.members(id).await.len(), 1);
        assert_eq!(world.version(id).await, before + 1);
        restore(&world, 8, 1).await;
        assert!(matches!(world.set(&member(7), id, 8, OWN).await, Err(LockerError::UserNotFound(_))));
        assert!(world.lockers.shares(vec![UserId::from_trusted(8)], vec![]).await.unwrap().users.is_empty());
    }

    async fn what_a_user_holds_is_handed_over_in_parts_and_each_is_recorded(db: TestDb) {
        let world = World::new(&db).await;
        let mut held = Vec::new();
        for index in 0..105 {
            held.push(world.made(&member(7), &format!("l{index}")).await);
        }
        world.set(&member(7), held[0], 8, PARTICIPATE).await.unwrap();
        let shared = world.made(&member(7), "shared").await;
        world.set(&member(7), shared, 9, OWN).await.unwrap();
        let first = transfer(&world, 7, 8).await.unwrap();
        assert_eq!((first.ids.len(), first.remaining), (100, 5));
        let rest = transfer(&world, 7, 8).await.unwrap();
        assert_eq!((rest.ids.len(), rest.remaining), (5, 0));
        assert_eq!(transfer(&world, 7, 8).await.unwrap(), TransferHoldingsResponse::default());
        for id in [held[0], held[104]] {
            let members = world.members(id).await;
            assert_eq!(members.iter().map(|member| member.membership).collect::<Vec<_>>(), [FULL, FULL], "the giver stays");
        }
        assert_eq!(world.members(shared).await.len(), 2);
        assert_eq!(world.version(held[0]).await, 2);
        assert_eq!(hold(&world, 7, 1).await.unwrap().total, 0);
        let events = Sql::new("SELECT COALESCE(SUM(event_count), 0) AS id FROM outbox_segments");
        let events = world.number(match world.database.engine() {
            coffre_db::Engine::Postgres => Sql::new("SELECT COALESCE(SUM(event_count), 0)::BIGINT AS id FROM outbox_segments"),
            coffre_db::Engine::Sqlite => events,
        }).await;
        assert_eq!(events, 106 + 2 + 105, "each locker that was made, each member that was set, each that was handed over");
    }

    async fn a_record_says_by_which_way_the_call_came(db: TestDb) {
        let world = World::new(&db).await;
        world.made(&member(7), "l").await;
        transfer(&world, 7, 9).await.unwrap();
        hold(&world, 7, 1).await.unwrap();
        release(&world, 7).await;
        let events = world.waiting().await;
        for event in &events[events.len() - 2..] {
            let actor = event.actor.clone().unwrap();
            assert_eq!((actor.user_id, actor.user_name.as_str(), actor.client_id.as_str()), (1, "boss", "portal"), "{event:?}");
            assert_eq!((event.source(), event.client_address.as_str(), event.request_id.as_str()), (Source::Grpc, "192.0.2.1", "r7"));
        }
        let unnamed = Asker { source: Source::Unspecified.into(), client_id: String::new(), ..asker().unwrap() };
        let request = TransferHoldingsRequest { user_id: 9, recipient_id: 8, recipient_name: "user8".into(), asker: Some(unnamed) };
        client(&world).transfer_holdings(request).await.unwrap();
        assert_eq!(world.waiting().await.last().unwrap().source(), Source::System, "it was asked by nobody from outside");
    }

    async fn a_role_that_consumes_something_is_not_held(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        world.add_role(&member(7), id, 14).await.unwrap();
        let held = hold_role(&world, 14, 1).await;
        assert_eq!((held.total, held.lockers[0].id, held.lockers[0].name.as_str()), (1, id.get(), "a"));
        world.remove_role(&member(7), id, 14).await.unwrap();
        for _ in 0..2 {
            assert_eq!(hold_role(&world, 14, 1).await, HoldRoleResponse::default());
        }
        assert!(matches!(world.add_role(&member(7), id, 14).await, Err(LockerError::RoleNotFound(_))));
        sharing(&world).restore_role(RestoreRoleRequest { role_id: 14, attempt: 1 }).await.unwrap();
        world.add_role(&member(7), id, 14).await.unwrap();
    }
}
