//! What the other services ask about users and roles.

use coffre_db::dialect::Insert;
use coffre_db::{Bind, Error, Sql, Tx};
use coffre_error::Reason;
use coffre_proto::auth::internal::v1::{
    DescribeUsersRequest, DescribedUser, LookUpRoleRequest, LookUpRoleResponse, LookUpUserRequest,
};
use coffre_proto::auth::v1::{CreateUserRequest, RoleIds};
use coffre_test_support::on_each_engine;
use diesel::RunQueryDsl as _;

use crate::world::{ADMIN_ROLE, BASIC_ROLE, LOCKER_ADMIN_ROLE, World, password_of, reason};

async fn described(world: &World, users: &[i64], roles: &[i64], permissions: &[i64]) -> Vec<DescribedUser> {
    let request = DescribeUsersRequest {
        user_ids: users.to_vec(),
        role_ids: roles.to_vec(),
        permission_ids: permissions.to_vec(),
    };
    world.internal().describe_users(request).await.unwrap().into_inner().users
}

async fn ids(world: &World, users: &[i64], roles: &[i64], permissions: &[i64]) -> Vec<i64> {
    described(world, users, roles, permissions).await.into_iter().map(|user| user.user_id).collect()
}

/// Makes users who hold a role, with these ids.
fn fill(tx: &mut Tx<'_>, first: i64, last: i64, role: i64) -> Result<(), Error> {
    let text = |id: i64| Bind::from(format!("u{id}"));
    Insert::into("users", &["id", "username", "name_key", "created_by", "created_at", "updated_by", "updated_at"])
        .rows(
            (first..=last)
                .map(|id| vec![id.into(), text(id), text(id), 1_i64.into(), 0_i64.into(), 1_i64.into(), 0_i64.into()]),
        )
        .execute(tx.conn())?;
    Insert::into("user_roles", &["user_id", "role_id"])
        .rows((first..=last).map(|id| vec![id.into(), role.into()]))
        .execute(tx.conn())?;
    Ok(())
}

on_each_engine! {
    async fn a_role_is_looked_up(db: TestDb) {
        let world = World::start(&db).await;
        let role = world.admin().await.create_role("operators", &[1]).await.unwrap().id;
        let look = async |role_id| world.internal().look_up_role(LookUpRoleRequest { role_id, user_id: 0 }).await.unwrap().into_inner();
        assert_eq!(look(role).await, LookUpRoleResponse { exists: true, name: "operators".into(), system: false, held: false });
        for system in [ADMIN_ROLE, BASIC_ROLE, LOCKER_ADMIN_ROLE] {
            let found = look(system).await;
            assert!(found.exists && found.system && found.name.starts_with("AAE_"));
        }
        world.admin().await.delete_role(role).await.unwrap();
        for none in [role, 9999, 0, -1] {
            assert_eq!(look(none).await, LookUpRoleResponse::default());
        }
    }

    async fn a_user_is_looked_up(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let request = CreateUserRequest { username: "ada".into(), password: password_of("ada"), disabled: true, ..Default::default() };
        let ada = admin.create_user_of(request).await.unwrap().id;
        let look = async |user_id| world.internal().look_up_user(LookUpUserRequest { user_id }).await.unwrap().into_inner();
        let found = look(ada).await;
        assert!(found.exists && found.disabled && found.username == "ada");
        admin.delete_user(ada).await.unwrap();
        assert!(!look(ada).await.exists && !look(0).await.exists);
    }

    async fn users_are_described_by_name_by_role_and_by_permission(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let values = admin.create_role("values", &[4]).await.unwrap().id;
        let (ada, _) = world.user("ada", &[BASIC_ROLE, values]).await;
        let (ben, _) = world.user("ben", &[BASIC_ROLE]).await;
        let (eve, _) = world.user("eve", &[]).await;
        let (gone, _) = world.user("gone", &[BASIC_ROLE]).await;
        admin.delete_user(gone).await.unwrap();

        let found = described(&world, &[ada], &[], &[]).await;
        assert_eq!((found.len(), found[0].username.as_str(), found[0].disabled), (1, "ada", false));
        let roles: Vec<_> = found[0].roles.iter().map(|role| (role.role_id, role.name.as_str(), role.permission_ids.len())).collect();
        assert_eq!(roles, [(BASIC_ROLE, "AAE_Basic", 3), (values, "values", 1)]);
        assert_eq!(ids(&world, &[eve, ada, ada, 9999, 0, gone], &[], &[]).await, [ada, eve], "in order, once, those that exist");
        assert_eq!(ids(&world, &[], &[BASIC_ROLE], &[]).await, [ada, ben]);
        assert_eq!(ids(&world, &[], &[], &[4]).await, [ada]);
        assert_eq!(ids(&world, &[eve], &[values], &[5]).await, [1, ada, eve], "whoever matches one of these");
        assert_eq!(ids(&world, &[], &[9999], &[99]).await, [0_i64; 0]);
        assert_eq!(ids(&world, &[], &[], &[]).await, [0_i64; 0]);
    }

    async fn more_than_can_be_described_is_refused(db: TestDb) {
        let world = World::start(&db).await;
        let refused = |request| async { reason(&world.internal().describe_users(request).await.unwrap_err()) };
        let many = |most: i64| (1..=most + 1).collect::<Vec<i64>>();
        for request in [
            DescribeUsersRequest { user_ids: many(10_000), ..Default::default() },
            DescribeUsersRequest { role_ids: many(1000), ..Default::default() },
            DescribeUsersRequest { permission_ids: many(100), ..Default::default() },
        ] {
            assert_eq!(refused(request).await, Reason::RequestInvalid);
        }
        let role = world.admin().await.create_role("everybody", &[]).await.unwrap().id;
        // 10 001 users, in parts: a statement on a busy machine has its timeout too.
        for first in (1000..11_000).step_by(500) {
            let last = if first == 10_500 { 11_000 } else { first + 499 };
            world.first.database.write(move |tx| fill(tx, first, last, role)).await.unwrap();
        }
        let all = DescribeUsersRequest { role_ids: vec![role], ..Default::default() };
        assert_eq!(refused(all).await, Reason::ListTooLarge);
        let one_less = move |tx: &mut Tx<'_>| {
            Sql::new("DELETE FROM user_roles WHERE user_id = 1000").execute(tx.conn()).map_err(Error::from)
        };
        world.first.database.write(one_less).await.unwrap();
        assert_eq!(ids(&world, &[], &[role], &[]).await.len(), 10_000);
    }

    async fn roles_of_users_who_do_not_matter_are_not_read_into_others(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let role = admin.create_role("one", &[9]).await.unwrap().id;
        let request = CreateUserRequest { username: "ada".into(), password: password_of("ada"), roles: Some(RoleIds { ids: vec![role] }), ..Default::default() };
        let ada = admin.create_user_of(request).await.unwrap().id;
        let (ben, _) = world.user("ben", &[]).await;
        let found = described(&world, &[ada, ben], &[], &[]).await;
        assert_eq!((found[0].roles.len(), found[0].roles[0].permission_ids.clone(), found[1].roles.len()), (1, vec![9], 0));
    }
}
