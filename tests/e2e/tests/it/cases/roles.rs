//! Administration of roles (contract, section 4).

use coffre_e2e::api::{NewAttribute, NewRole, RoleChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Filter, Query};

use super::within_a_second;

fn new_role(case: &Case<'_>, what: &str, permissions: &[i64]) -> NewRole {
    NewRole { name: case.unique(what), permissions: permissions.to_vec(), ..NewRole::default() }
}

pub(crate) async fn a_role_lives_from_creation_to_deletion(case: &Case<'_>) {
    let new = NewRole {
        description: Some("runs bots".to_owned()),
        ..new_role(
            case,
            "life",
            &[permission::MANAGE_CREDENTIALS, permission::CONNECT_TO_API, permission::CONNECT_TO_API],
        )
    };
    let created = case.admin.create_role(&new).await.event("role.created").ok();
    assert_eq!((created.name.as_str(), created.version, created.created_by), (new.name.as_str(), 0, case.admin.id));
    let ids: Vec<i64> = created.permissions.iter().map(|one| one.id).collect();
    assert_eq!(ids, [permission::MANAGE_CREDENTIALS, permission::CONNECT_TO_API], "repeated ones count once");
    assert_eq!(case.admin.get_role(created.id).await.ok(), created);

    let change =
        RoleChange { permissions: Some(vec![permission::MANAGE_LOCKERS]), version: Some(0), ..RoleChange::default() };
    let changed = case.admin.update_role(created.id, &change).await.about(&new.name).ok();
    assert_eq!((changed.version, changed.description.as_deref()), (1, Some("runs bots")));
    assert_eq!(changed.permissions.len(), 1);
    case.admin.update_role(created.id, &change).await.refused(409, "role.version_conflict");

    case.admin.delete_role(created.id).await.about(&new.name).ok();
    case.admin.get_role(created.id).await.refused(404, "role.not_found");
    case.admin.update_role(created.id, &RoleChange::default()).await.refused(404, "role.not_found");
    case.admin.delete_role(created.id).await.refused(404, "role.not_found");
}

pub(crate) async fn system_roles_are_there_and_cannot_change(case: &Case<'_>) {
    for (name, permissions) in
        [("AAE_Admin", vec![1, 2, 5, 6, 7, 8, 9, 10]), ("AAE_Basic", vec![1, 2, 9]), ("AAE_Locker Admin", vec![3])]
    {
        let id = case.system_role(name).await;
        let role = case.admin.get_role(id).await.ok();
        let ids: Vec<i64> = role.permissions.iter().map(|one| one.id).collect();
        assert_eq!(ids, permissions, "{name}");
        assert_eq!(role.created_by, 0, "{name}");
        let change = RoleChange { description: Some("mine now".to_owned()), ..RoleChange::default() };
        case.admin.update_role(id, &change).await.refused(409, "role.system");
        case.admin.delete_role(id).await.refused(409, "role.system");
    }
}

pub(crate) async fn role_names_are_unique(case: &Case<'_>) {
    let first = new_role(case, "Name", &[]);
    case.admin.create_role(&first).await.ok();
    let twin = NewRole { name: first.name.to_uppercase(), ..NewRole::default() };
    case.admin.create_role(&twin).await.refused(409, "role.name_taken");
    let other = case.admin.create_role(&new_role(case, "other", &[])).await.ok();
    let rename = RoleChange { name: Some(first.name.to_lowercase()), ..RoleChange::default() };
    case.admin.update_role(other.id, &rename).await.refused(409, "role.name_taken");
    for name in [String::new(), "x".repeat(256), "line\nbreak".to_owned()] {
        case.admin.create_role(&NewRole { name, ..NewRole::default() }).await.refused(400, "request.invalid");
    }
    case.admin.create_role(&new_role(case, "unknown permission", &[999])).await.refused(400, "request.invalid");
}

pub(crate) async fn a_role_in_use_is_not_deleted(case: &Case<'_>) {
    let role = case.role("in use", &[]).await;
    let user = case.user("user of it", &[role]).await;
    case.admin.delete_role(role).await.refused(409, "role.in_use");
    case.admin.delete_user(user.id).await.ok();
    case.admin.delete_role(role).await.ok();
}

pub(crate) async fn roles_are_administered_only_with_the_permission(case: &Case<'_>) {
    let plain = case.user("plain", &[]).await;
    let role = case.role("target", &[]).await;
    let refused = plain.create_role(&new_role(case, "x", &[])).await.refused(403, "authz.permission_required");
    assert!(refused.message.contains("Manage users and roles"), "the message names the permission: {refused:?}");
    plain.get_role(role).await.refused(403, "authz.permission_required");
    plain.query_roles(&Query::default()).await.refused(403, "authz.permission_required");
    plain.update_role(role, &RoleChange::default()).await.refused(403, "authz.permission_required");
    plain.delete_role(role).await.refused(403, "authz.permission_required");
    plain.list_permissions().await.refused(403, "authz.permission_required");
    case.anonymous().get_role(role).await.refused(401, "auth.token_required");
    // A role gives no more than its maker holds.
    let manager = case.holder("manager", &[permission::MANAGE_USERS]).await;
    manager
        .create_role(&new_role(case, "too much", &[permission::VIEW_ALL_AUDIT]))
        .await
        .refused(403, "authz.grant_exceeds");
    manager.create_role(&new_role(case, "enough", &[permission::MANAGE_USERS])).await.ok();
}

pub(crate) async fn a_manager_of_lockers_sees_names_alone(case: &Case<'_>) {
    let manager = case.holder("locker manager", &[permission::MANAGE_LOCKERS]).await;
    let role = case.role("consumers", &[]).await;
    let name = case.unique("consumers");
    let page = manager.query_roles(&Query::filter(Filter::new("name", "eq", &*name))).await.ok();
    assert_eq!(page.items, [(role, name)]);
    // Consumers are user-defined roles; the system's are not shown.
    let system = manager.query_roles(&Query::filter(Filter::new("name", "eq", "AAE_Admin"))).await.ok();
    assert!(system.items.is_empty(), "{system:?}");
    manager.get_role(role).await.refused(403, "authz.permission_required");
}

pub(crate) async fn permissions_are_the_ten(case: &Case<'_>) {
    let permissions = case.admin.list_permissions().await.ok();
    let found: Vec<String> = permissions.iter().map(|one| format!("{}/{}", one.action, one.resource_type)).collect();
    let expected = [
        "managecredentials/credentials",
        "create/locker",
        "administer/locker",
        "manageall/credentialattribute",
        "manage/settings",
        "viewall/auditlog",
        "manage/usermanagement",
        "manage/apiaccess",
        "connect/api",
        "create/apikey",
    ];
    assert_eq!(found, expected);
}

pub(crate) async fn a_role_that_grows_takes_effect_within_a_second(case: &Case<'_>) {
    let role = case.role("growing", &[]).await;
    let user = case.user("grower", &[role]).await;
    let name = case.unique("grown");
    user.create_credential(&name, &[NewAttribute::standard("a")]).await.refused(403, "authz.permission_required");
    let change = RoleChange { permissions: Some(vec![permission::MANAGE_CREDENTIALS]), ..RoleChange::default() };
    case.admin.update_role(role, &change).await.ok();
    within_a_second("the right is there", async || {
        user.create_credential(&name, &[NewAttribute::standard("a")]).await.outcome.is_ok()
    })
    .await;
}
