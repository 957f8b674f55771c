//! The door of a locker while a credential enters it.

use coffre_channel::Channel;
use coffre_db::Sql;
use coffre_proto::locker::internal::v1::reserve_entry_response::Disposition;
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::locker::internal::v1::{CloseEntryRequest, ReserveEntryRequest};
use coffre_test_support::on_each_engine;
use coffre_types::{LockerId, Permission};

use crate::world::{MANAGE, OWN, PARTICIPATE, World, member};

const LOCKERS: i64 = Permission::ManageMyLockers.id();
const CREDENTIALS: i64 = Permission::ManageMyCredentials.id();
const ADMIN: i64 = Permission::AdministerAllLockers.id();

async fn reserve(
    world: &World,
    locker: LockerId,
    user: i64,
    roles: &[i64],
    permissions: &[i64],
) -> (Disposition, String) {
    let mut client = SharingServiceClient::new(Channel::in_process(world.app.parts.internal.clone()));
    let request = ReserveEntryRequest {
        locker_id: locker.get(),
        credential_id: 40,
        epoch: 0,
        user_id: user,
        role_ids: roles.to_vec(),
        permission_ids: permissions.to_vec(),
    };
    let answer = client.reserve_entry(request).await.unwrap().into_inner();
    (answer.disposition(), answer.locker_name)
}

async fn close(world: &World, locker: LockerId) -> Result<(), tonic::Status> {
    let mut client = SharingServiceClient::new(Channel::in_process(world.app.parts.internal.clone()));
    client.close_entry(CloseEntryRequest { locker_id: locker.get(), credential_id: 40, epoch: 0 }).await.map(|_| ())
}

async fn reserved(world: &World) -> i64 {
    world.number(Sql::new("SELECT count(*) AS id FROM reservations")).await
}

on_each_engine! {
    async fn members_alone_bring_credentials_in(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        for (user, membership) in [(10, OWN), (11, MANAGE), (12, PARTICIPATE)] {
            world.set(&me, id, user, membership).await.unwrap();
        }
        world.add_role(&me, id, 14).await.unwrap();
        for user in 10..=12 {
            assert_eq!(reserve(&world, id, user, &[], &[LOCKERS, CREDENTIALS]).await, (Disposition::Reserved, "a".into()));
            assert_eq!(reserve(&world, id, user, &[], &[CREDENTIALS]).await, (Disposition::PermissionMissing, "a".into()));
        }
        assert_eq!(reserved(&world).await, 1, "once more is fine");
        assert_eq!(reserve(&world, id, 20, &[14], &[LOCKERS, CREDENTIALS]).await, (Disposition::NotPermitted, "a".into()));
        assert_eq!(reserve(&world, id, 20, &[], &[ADMIN, CREDENTIALS]).await, (Disposition::NotPermitted, "a".into()));
        assert_eq!(reserve(&world, id, 20, &[15], &[LOCKERS, CREDENTIALS]).await, (Disposition::NotFound, String::new()));
        let nowhere = LockerId::from_trusted(77);
        assert_eq!(reserve(&world, nowhere, 10, &[], &[LOCKERS]).await, (Disposition::NotFound, String::new()));
        assert_eq!(reserved(&world).await, 1);
    }

    async fn a_place_is_given_up_only_when_nothing_enters_under_its_epoch_any_more(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        reserve(&world, id, 7, &[], &[LOCKERS]).await;
        world.vault.silence(true);
        assert!(close(&world, id).await.is_err());
        assert_eq!(reserved(&world).await, 1);
        world.vault.silence(false);
        for _ in 0..2 {
            close(&world, id).await.unwrap();
        }
        assert_eq!(reserved(&world).await, 0);
        // Two calls with one epoch share one reservation: the one that failed gave it up, so the other must not commit.
        assert!(!world.vault.enter(40, id.get(), 0));
        let epoch = world.vault.epoch(40);
        assert!(world.vault.enter(40, id.get(), epoch));
    }

    async fn a_place_that_nobody_gave_up_is_settled_after_a_minute(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        reserve(&world, id, 7, &[], &[LOCKERS]).await;
        world.clock.advance(std::time::Duration::from_secs(59));
        world.keep_house().await.unwrap();
        assert_eq!((reserved(&world).await, world.vault.epoch(40)), (1, 0), "it may still be on its way");
        world.clock.advance(std::time::Duration::from_secs(2));
        world.vault.silence(true);
        assert!(world.keep_house().await.is_err());
        assert_eq!(reserved(&world).await, 1);
        world.vault.silence(false);
        world.keep_house().await.unwrap();
        assert_eq!((reserved(&world).await, world.vault.epoch(40)), (0, 1));
        assert!(!world.vault.enter(40, id.get(), 0), "it never will");
    }

    async fn what_has_entered_stays_when_its_place_is_settled(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        reserve(&world, id, 7, &[], &[LOCKERS]).await;
        assert!(world.vault.enter(40, id.get(), 0));
        world.clock.advance(std::time::Duration::from_secs(61));
        world.keep_house().await.unwrap();
        assert_eq!((reserved(&world).await, world.vault.holds(id.get()), world.vault.epoch(40)), (0, 1, 1));
    }
}
