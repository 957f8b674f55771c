//! Letting go of users.

use coffre_channel::Channel;
use coffre_db::Sql;
use coffre_proto::vault::internal::v1::holdings_service_client::HoldingsServiceClient;
use coffre_proto::vault::internal::v1::{ReleaseUserRequest, ReleaseUserResponse};
use coffre_test_support::on_each_engine;
use coffre_types::{Permission, UserId};
use coffre_vault::domain::error::VaultError;
use futures_util::future::{join, join_all};

use crate::world::{OWN, STANDARD, World, caller, member};

async fn release(world: &World, user: i64) -> ReleaseUserResponse {
    let mut client = HoldingsServiceClient::new(Channel::in_process(world.app.parts.internal.clone()));
    client.release_user(ReleaseUserRequest { user_id: user }).await.unwrap().into_inner()
}

on_each_engine! {
    async fn a_user_who_owns_something_is_not_released(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.create(&member(7), "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        let answer = release(&world, 7).await;
        assert_eq!((answer.total, answer.credentials.len()), (1, 1));
        assert_eq!((answer.credentials[0].id, answer.credentials[0].name.as_str()), (id.get(), "c"));
        assert!(world.create(&member(7), "d", &[("a", STANDARD)]).await.is_ok());
    }

    async fn a_released_user_leaves_no_value_and_owns_nothing_any_more(db: TestDb) {
        let world = World::new(&db).await;
        let (me, admin) = (member(7), caller(9, &[Permission::ManageAllValues]));
        let made = world.create(&me, "c", &[("own", OWN)]).await.unwrap();
        let (id, own) = (made.credential.id, made.attributes[0].id);
        world.store(&admin, id, own, Some(8), "yours").await.unwrap();
        for _ in 0..2 {
            assert_eq!(release(&world, 8).await, ReleaseUserResponse::default());
        }
        assert_eq!(world.number(Sql::new("SELECT count(*) AS id FROM attribute_values")).await, 0);
        assert!(matches!(world.create(&member(8), "d", &[("a", STANDARD)]).await, Err(VaultError::OwnerUnknown(_))));
        let transfer = world.vault.transfer_credential(world.call(&me), id, UserId::from_trusted(8), String::new()).await;
        assert!(matches!(transfer, Err(VaultError::OwnerUnknown(_))));
        assert!(matches!(world.store(&admin, id, own, Some(8), "z").await, Err(VaultError::Invalid { .. })));
    }

    async fn no_owner_is_ever_a_missing_user(db: TestDb) {
        let world = World::new(&db).await;
        for user in 60..80 {
            let me = member(7);
            let mine = world.create(&me, &format!("t{user}"), &[("a", STANDARD)]).await.unwrap().credential.id;
            let (world, me, leaving) = (&world, &me, &member(user));
            let makes = join_all((0..3).map(|index| async move {
                world.create(leaving, &format!("c{user}-{index}"), &[("a", STANDARD)]).await.is_ok()
            }));
            let gets = world.vault.transfer_credential(world.call(me), mine, UserId::from_trusted(user), String::new());
            let (released, (made, got)) = join(release(world, user), join(makes, gets)).await;
            let owned = i64::try_from(made.iter().filter(|made| **made).count()).unwrap() + i64::from(got.is_ok());
            if released.total == 0 {
                assert_eq!(owned, 0, "user {user} was released and still owns something");
            }
            let left = Sql::new("SELECT count(*) AS id FROM credentials c JOIN departed_users d ON d.user_id = c.owner_id WHERE c.deleted_at IS NULL");
            assert_eq!(world.number(left).await, 0);
        }
    }
}
