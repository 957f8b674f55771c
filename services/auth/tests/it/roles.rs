use coffre_error::Reason;
use coffre_proto::audit::v1::ActivityType;
use coffre_proto::auth::v1::{
    CreateRoleRequest, ListPermissionsRequest, PermissionReference, PermissionReferences, UpdateRoleRequest,
};
use coffre_test_support::on_each_engine;

use crate::world::{ADMIN_ROLE, BASIC_ROLE, LOCKER_ADMIN_ROLE, World, permission_ids, reason};

fn change(id: i64) -> UpdateRoleRequest {
    UpdateRoleRequest { id, ..UpdateRoleRequest::default() }
}

on_each_engine! {
    async fn a_role_is_made_read_changed_and_deleted(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        world.events();
        let role = admin.create_role("Operators", &[1, 9, 1]).await.unwrap();
        assert_eq!((role.version, role.creator_id, role.permissions.len(), role.user_count, role.system), (0, 1, 2, 0, false));
        assert_eq!(world.last_event().activity_type(), ActivityType::AddRole);
        assert_eq!(admin.create_role("OPERATORS", &[]).await.unwrap_err(), Reason::RoleNameTaken);

        let request = UpdateRoleRequest { version: Some(0), name: Some("Others".into()), permissions: Some(permission_ids(&[1])), ..change(role.id) };
        let answer = admin.update_role(request.clone()).await.unwrap();
        assert!(answer.changed);
        assert_eq!(answer.role.unwrap().version, 1);
        let fields: Vec<_> = world.last_event().changes.into_iter().map(|change| change.field).collect();
        assert_eq!(fields, ["name", "permissions"]);
        assert_eq!(admin.update_role(request).await.unwrap_err(), Reason::RoleVersionConflict);
        assert!(!admin.update_role(change(role.id)).await.unwrap().changed);
        let request = UpdateRoleRequest { etag: "\"0\"".into(), ..change(role.id) };
        assert_eq!(admin.update_role(request).await.unwrap_err(), Reason::RequestPreconditionFailed);

        let user = admin.create_user("ada", &[role.id]).await.unwrap();
        assert_eq!(admin.delete_role(role.id).await.unwrap_err(), Reason::RoleInUse);
        admin.delete_user(user.id).await.unwrap();
        admin.delete_role(role.id).await.unwrap();
        assert_eq!(admin.delete_role(role.id).await.unwrap_err(), Reason::RoleNotFound);
        let next = admin.create_role("Others", &[]).await.unwrap();
        assert!(next.id > role.id, "ids are never used again");
    }

    async fn system_roles_stay_as_they_are(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let roles = admin.list_roles().await.unwrap();
        let names: Vec<_> = roles.iter().map(|role| (role.id, role.name.as_str(), role.permissions.len(), role.creator_id, role.user_count)).collect();
        assert_eq!(names, [(ADMIN_ROLE, "AAE_Admin", 8, 0, 1), (BASIC_ROLE, "AAE_Basic", 3, 0, 0), (LOCKER_ADMIN_ROLE, "AAE_Locker Admin", 1, 0, 1)]);
        for id in [ADMIN_ROLE, BASIC_ROLE, LOCKER_ADMIN_ROLE] {
            let request = UpdateRoleRequest { name: Some("mine".into()), ..change(id) };
            assert_eq!(admin.update_role(request).await.unwrap_err(), Reason::RoleSystem);
            assert_eq!(admin.delete_role(id).await.unwrap_err(), Reason::RoleSystem);
        }
        assert_eq!(admin.create_role("aae_admin", &[]).await.unwrap_err(), Reason::RoleNameTaken);
    }

    async fn rule_3_1_permissions_are_given_within_what_one_holds(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let managers = admin.create_role("managers", &[7, 9]).await.unwrap();
        let other = admin.create_role("other", &[6]).await.unwrap();
        let (_, manager) = world.user("manager", &[managers.id]).await;
        manager.create_role("fine", &[9]).await.expect("what he holds himself");
        assert_eq!(manager.create_role("more", &[4]).await.unwrap_err(), Reason::AuthzGrantExceeds);
        let add = |id, permissions: &[i64]| UpdateRoleRequest { permissions: Some(permission_ids(permissions)), ..change(id) };
        assert_eq!(manager.update_role(add(other.id, &[6, 5])).await.unwrap_err(), Reason::AuthzGrantExceeds);
        manager.update_role(add(other.id, &[6, 9])).await.expect("what it had already is no grant");
        assert_eq!(manager.update_role(add(managers.id, &[7, 9, 4])).await.unwrap_err(), Reason::AuthzSelfGrant);

        let (_, both) = world.user("both", &[ADMIN_ROLE, managers.id]).await;
        assert_eq!(both.update_role(add(managers.id, &[7, 9, 4])).await.unwrap_err(), Reason::AuthzSelfGrant, "an administrator neither");
        admin.update_role(add(managers.id, &[7, 9, 4])).await.expect("who does not hold the role");
    }

    async fn permissions_are_listed_and_named_in_three_ways(db: TestDb) {
        let world = World::start(&db).await;
        let admin = world.admin().await;
        let listed = admin.roles().list_permissions(admin.request(ListPermissionsRequest {})).await.unwrap().into_inner();
        assert_eq!(listed.permissions.len(), 10);
        let items = vec![
            PermissionReference { id: 1, ..Default::default() },
            PermissionReference { name: "manage my lockers".into(), ..Default::default() },
            PermissionReference { action: "viewall".into(), resource_type: "auditlog".into(), ..Default::default() },
        ];
        let request = CreateRoleRequest { name: "r".into(), description: Some("d".into()), permissions: Some(PermissionReferences { items }) };
        let role = admin.roles().create_role(admin.request(request)).await.unwrap().into_inner().role.unwrap();
        assert_eq!(role.permissions.iter().map(|permission| permission.id).collect::<Vec<_>>(), [1, 2, 6]);
        let items = vec![PermissionReference { name: "rule the world".into(), ..Default::default() }];
        let request = CreateRoleRequest { name: "s".into(), description: None, permissions: Some(PermissionReferences { items }) };
        let refused = admin.roles().create_role(admin.request(request)).await.unwrap_err();
        assert_eq!(reason(&refused), Reason::RequestInvalid);
        assert!(refused.message().contains("permissions[0]"));
    }
}
