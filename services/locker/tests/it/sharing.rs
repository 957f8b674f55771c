//! What other services ask about sharing.

use coffre_channel::Channel;
use coffre_proto::locker::internal::v1::change::Subject;
use coffre_proto::locker::internal::v1::sharing_service_client::SharingServiceClient;
use coffre_proto::locker::internal::v1::watch_changes_response::Message;
use coffre_proto::locker::internal::v1::{DescribeLockerRequest, ResolveSharesRequest, WatchChangesRequest};
use coffre_proto::locker::v1::MemberPermission;
use coffre_test_support::on_each_engine;
use tokio_util::sync::CancellationToken;

use crate::world::{FULL, MANAGE, OWN, PARTICIPATE, World, member};

fn client(world: &World) -> SharingServiceClient<Channel> {
    SharingServiceClient::new(Channel::in_process(world.app.parts.internal.clone()))
}

on_each_engine! {
    async fn shares_are_told_for_each_user_and_role_in_the_order_of_the_question(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let mut ids = Vec::new();
        for name in ["a", "b", "c"] {
            ids.push(world.made(&me, name).await.get());
        }
        let lockers: Vec<_> = ids.iter().map(|id| coffre_types::LockerId::from_trusted(*id)).collect();
        world.set(&me, lockers[0], 8, PARTICIPATE).await.unwrap();
        world.set(&me, lockers[1], 8, MANAGE).await.unwrap();
        world.set(&me, lockers[2], 8, OWN).await.unwrap();
        world.add_role(&me, lockers[2], 14).await.unwrap();
        world.add_role(&me, lockers[0], 14).await.unwrap();
        let request = ResolveSharesRequest { user_ids: vec![8, 9, 7, 8], role_ids: vec![15, 14] };
        let answer = client(&world).resolve_shares(request).await.unwrap().into_inner();
        let users: Vec<_> = answer.users.iter().map(|user| (user.user_id, user.managed_locker_ids.clone(), user.participated_locker_ids.clone())).collect();
        assert_eq!(users, [
            (8, vec![ids[1], ids[2]], vec![ids[0]]),
            (9, vec![], vec![]),
            (7, ids.clone(), vec![]),
            (8, vec![ids[1], ids[2]], vec![ids[0]]),
        ]);
        let roles: Vec<_> = answer.roles.iter().map(|role| (role.role_id, role.locker_ids.clone())).collect();
        assert_eq!(roles, [(15, vec![]), (14, vec![ids[0], ids[2]])]);
        assert_eq!(answer.sequence, 8);
        let nobody = client(&world).resolve_shares(ResolveSharesRequest::default()).await.unwrap().into_inner();
        assert_eq!((nobody.sequence, nobody.users.len()), (8, 0));
        let bad = ResolveSharesRequest { user_ids: vec![0], role_ids: vec![] };
        assert_eq!(client(&world).resolve_shares(bad).await.unwrap_err().code(), tonic::Code::InvalidArgument);
    }

    async fn a_locker_is_described_with_whoever_shares_it(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.made(&member(7), "a").await;
        world.set(&member(7), id, 5, PARTICIPATE).await.unwrap();
        world.add_role(&member(7), id, 14).await.unwrap();
        let described = client(&world).describe_locker(DescribeLockerRequest { locker_id: id.get() }).await.unwrap().into_inner();
        assert_eq!((described.name.as_str(), described.role_ids.as_slice()), ("a", &[14][..]));
        let members: Vec<_> = described.members.iter().map(|member| (member.user_id, member.permissions().collect::<Vec<_>>())).collect();
        assert_eq!(members, [
            (5, vec![MemberPermission::Participate]),
            (7, vec![MemberPermission::Participate, MemberPermission::Own, MemberPermission::Manage]),
        ]);
        let nowhere = client(&world).describe_locker(DescribeLockerRequest { locker_id: 77 }).await;
        assert_eq!(nowhere.unwrap_err().code(), tonic::Code::NotFound);
    }

    async fn watchers_are_told_whose_shares_changed(db: TestDb) {
        let world = World::new(&db).await;
        let me = member(7);
        let id = world.made(&me, "a").await;
        let stop = CancellationToken::new();
        let telling = tokio::spawn(world.app.background.clone().run(stop.clone()));
        let mut stream = client(&world).watch_changes(WatchChangesRequest {}).await.unwrap().into_inner();
        let mut next = async || stream.message().await.unwrap().unwrap().message.unwrap();
        assert!(matches!(next().await, Message::Snapshot(snapshot) if snapshot.sequence == 1));
        world.set(&me, id, 8, FULL).await.unwrap();
        world.set(&me, id, 8, FULL).await.unwrap();
        world.add_role(&me, id, 14).await.unwrap();
        world.remove(&me, id, 8).await.unwrap();
        world.remove_role(&me, id, 14).await.unwrap();
        world.rename(&me, id, "b").await.unwrap();
        world.delete(&me, id).await.unwrap();
        let mut told = Vec::new();
        while told.len() < 5 {
            if let Message::Change(change) = next().await {
                told.push((change.sequence, change.subject.unwrap()));
            }
        }
        assert_eq!(told, [
            (2, Subject::UserChanged(8)),
            (3, Subject::RoleChanged(14)),
            (4, Subject::UserChanged(8)),
            (5, Subject::RoleChanged(14)),
            (6, Subject::UserChanged(7)),
        ]);
        stop.cancel();
        telling.await.unwrap();
    }
}
