//! Administration of users (contract, section 4; security.md 3).

use coffre_e2e::api::{NewAttribute, NewUser, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Filter, Query};

use super::within_a_second;

fn new_user(case: &Case<'_>, what: &str) -> NewUser {
    let username = case.unique(what);
    NewUser { password: canary::password(&username), username, ..NewUser::default() }
}

pub(crate) async fn a_user_lives_from_creation_to_deletion(case: &Case<'_>) {
    let basic = case.system_role("AAE_Basic").await;
    let new = NewUser {
        first_name: "Ellie".to_owned(),
        email: "ellie.brown@example.org".to_owned(),
        description: Some("works at night".to_owned()),
        roles: vec![basic],
        ..new_user(case, "life")
    };
    let created = case.admin.create_user(&new).await.event("user.created").ok();
    assert_eq!((created.username.as_str(), created.version), (new.username.as_str(), 0));
    assert_eq!((created.first_name.as_str(), created.email.as_str()), ("Ellie", "ellie.brown@example.org"));
    assert_eq!(created.description.as_deref(), Some("works at night"));
    assert_eq!(created.roles, [(basic, "AAE_Basic".to_owned())]);
    assert_eq!(case.admin.get_user(created.id).await.ok(), created);
    let page = case.admin.query_users(&Query::filter(Filter::new("username", "eq", &*new.username))).await.ok();
    assert_eq!(page.items, [(created.id, new.username.clone())]);

    let change = UserChange { first_name: Some("Eleonora".to_owned()), version: Some(0), ..UserChange::default() };
    let changed = case.admin.update_user(created.id, &change).await.about(&new.username).ok();
    assert_eq!((changed.first_name.as_str(), changed.version), ("Eleonora", 1));
    assert_eq!(changed.email, created.email, "what the request does not carry stays");
    assert_eq!(changed.roles, created.roles);

    case.admin.delete_user(created.id).await.about(&new.username).ok();
    case.admin.get_user(created.id).await.refused(404, "user.not_found");
    case.admin.delete_user(created.id).await.refused(404, "user.not_found");
    case.admin.update_user(created.id, &UserChange::default()).await.refused(404, "user.not_found");
    case.anonymous().sign_in(&new.username, &new.password).await.refused(401, "auth.sign_in_failed");
    // The name is free again; the id is not.
    let again = case.admin.create_user(&new).await.ok();
    assert!(again.id > created.id);
}

pub(crate) async fn user_names_are_unique_without_regard_to_case_and_unicode_form(case: &Case<'_>) {
    let first = NewUser { username: format!("Zoé {}", case.unique("n")), ..new_user(case, "n") };
    case.admin.create_user(&first).await.ok();
    for twin in [
        first.username.to_uppercase(),
        first.username.replace('é', "e\u{301}"),
        first.username.replace('Z', "\u{ff3a}"),
    ] {
        let twin = NewUser { username: twin, ..new_user(case, "twin") };
        case.admin.create_user(&twin).await.refused(409, "user.name_taken");
    }
    let other = case.admin.create_user(&new_user(case, "other")).await.ok();
    let rename = UserChange { username: Some(first.username.to_lowercase()), ..UserChange::default() };
    case.admin.update_user(other.id, &rename).await.refused(409, "user.name_taken");
    for name in [String::new(), "x".repeat(256), "bell\u{7}".to_owned()] {
        case.admin
            .create_user(&NewUser { username: name, ..new_user(case, "odd") })
            .await
            .refused(400, "request.invalid");
    }
}

pub(crate) async fn a_weak_password_is_refused(case: &Case<'_>) {
    let new = new_user(case, "weak");
    for password in ["", "elevenchars", &*new.username, &*new.username.to_uppercase()] {
        let answer = case.admin.create_user(&NewUser { password: password.to_owned(), ..new.clone() }).await;
        let code = answer.code().unwrap_or("accepted").to_owned();
        assert!(
            code == "auth.password_weak" || (password.is_empty() && code == "request.invalid"),
            "{password}: {code}"
        );
    }
    let too_long = NewUser { password: "x".repeat(1025), ..new };
    let answer = case.admin.create_user(&too_long).await;
    assert!(matches!(answer.code(), Some("auth.password_weak" | "request.invalid")), "{answer:?}");
}

pub(crate) async fn an_unknown_role_is_refused(case: &Case<'_>) {
    let new = NewUser { roles: vec![i64::MAX], ..new_user(case, "roleless") };
    case.admin.create_user(&new).await.refused(404, "role.not_found");
    let page = case.admin.query_users(&Query::filter(Filter::new("username", "eq", &*new.username))).await.ok();
    assert!(page.items.is_empty(), "a refused creation leaves nothing");
}

pub(crate) async fn users_are_administered_only_with_the_permission(case: &Case<'_>) {
    let plain = case.user("plain", &[]).await;
    let basic = case.basic("basic").await;
    for caller in [&plain, &basic] {
        let refused = caller.create_user(&new_user(case, "x")).await.refused(403, "authz.permission_required");
        assert!(refused.message.contains("Manage users and roles"), "the message names the permission: {refused:?}");
        caller.get_user(plain.id).await.refused(403, "authz.permission_required");
        caller.update_user(plain.id, &UserChange::default()).await.refused(403, "authz.permission_required");
        caller.delete_user(plain.id).await.refused(403, "authz.permission_required");
    }
    plain.query_users(&Query::default()).await.refused(403, "authz.permission_required");
    // Who manages lockers needs the names of users to share with.
    let page = basic.query_users(&Query::filter(Filter::new("username", "eq", &*plain.username))).await.ok();
    assert_eq!(page.items, [(plain.id, plain.username.clone())]);
    let manager = case.holder("manager", &[permission::MANAGE_USERS]).await;
    let created = manager.create_user(&new_user(case, "by a manager")).await.ok();
    manager.delete_user(created.id).await.ok();
}

pub(crate) async fn nobody_gives_more_than_he_holds(case: &Case<'_>) {
    let manager = case.holder("manager", &[permission::MANAGE_USERS, permission::MANAGE_CREDENTIALS]).await;
    let (admin, basic) = (case.system_role("AAE_Admin").await, case.system_role("AAE_Basic").await);
    for role in [admin, basic] {
        let new = NewUser { roles: vec![role], ..new_user(case, "grantee") };
        manager.create_user(&new).await.refused(403, "authz.grant_exceeds");
    }
    let target = case.user("target", &[]).await;
    let give = UserChange { roles: Some(vec![basic]), ..UserChange::default() };
    manager.update_user(target.id, &give).await.refused(403, "authz.grant_exceeds");
    // A reset password would be a way into somebody else's rights.
    let reset = UserChange { password: Some(canary::password("reset")), ..UserChange::default() };
    manager.update_user(case.admin.id, &reset).await.refused(403, "authz.grant_exceeds");
    let less = case.role("less", &[permission::MANAGE_CREDENTIALS]).await;
    manager.update_user(target.id, &UserChange { roles: Some(vec![less]), ..UserChange::default() }).await.ok();
}

pub(crate) async fn nobody_gives_himself_more(case: &Case<'_>) {
    let all_values = case.role("all values", &[permission::MANAGE_ALL_VALUES]).await;
    let mut roles: Vec<i64> = case.admin.get_user(case.admin.id).await.ok().roles.iter().map(|(id, _)| *id).collect();
    roles.push(all_values);
    let change = UserChange { roles: Some(roles), ..UserChange::default() };
    case.admin.update_user(case.admin.id, &change).await.refused(403, "authz.self_grant");
    // To another it may be given by an administrator.
    let other = case.user("reader of all", &[all_values]).await;
    assert_eq!(case.admin.get_user(other.id).await.ok().roles.len(), 1);
}

pub(crate) async fn disabling_a_user_ends_its_sessions_within_a_second(case: &Case<'_>) {
    let user = case.basic("off").await;
    user.list_credentials(&Default::default()).await.ok();
    let set = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
    let off = case.admin.update_user(user.id, &set(true)).await.activity("DISABLE_USER").about(&user.username).ok();
    assert!(off.disabled);
    within_a_second("the token is refused", async || {
        user.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    case.admin.update_user(user.id, &set(false)).await.activity("ENABLE_USER").ok();
    let again = case.anonymous().open(&user.username, &case.password_of(&user)).await;
    again.list_credentials(&Default::default()).await.ok();
    user.list_credentials(&Default::default()).await.refused(401, "auth.token_invalid");
}

pub(crate) async fn a_role_taken_away_is_gone_within_a_second(case: &Case<'_>) {
    let user = case.basic("stripped").await;
    user.create_credential(&case.unique("one"), &[NewAttribute::standard("a")]).await.ok();
    case.admin.update_user(user.id, &UserChange { roles: Some(Vec::new()), ..UserChange::default() }).await.ok();
    within_a_second("the right is gone", async || {
        let name = format!("{} {}", case.unique("two"), uuid::Uuid::new_v4());
        user.create_credential(&name, &[NewAttribute::standard("a")]).await.code() == Some("authz.permission_required")
    })
    .await;
    // The session goes on: rights end nothing.
    assert!(case.anonymous().validate(user.token.as_deref().unwrap()).await.ok());
}

pub(crate) async fn a_user_who_owns_credentials_is_not_deleted(case: &Case<'_>) {
    let (owner, heir) = (case.basic("owner").await, case.basic("heir").await);
    let credential = owner.create_credential(&case.unique("heirloom"), &[NewAttribute::standard("a")]).await.ok();
    let refused = case.admin.delete_user(owner.id).await.refused(409, "user.holds_objects");
    assert!(refused.message.contains(&credential.id.to_string()), "the message lists them: {refused:?}");
    owner.get_credential(credential.id).await.ok();
    owner.transfer_credential(credential.id, heir.id).await.ok();
    case.admin.delete_user(owner.id).await.ok();
    within_a_second("the token of a deleted user is refused", async || {
        owner.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    // A deleted user cannot become an owner.
    heir.transfer_credential(credential.id, owner.id).await.refused(404, "credential.owner_unknown");
}

pub(crate) async fn a_stale_user_version_changes_nothing(case: &Case<'_>) {
    let user = case.user("versioned", &[]).await;
    let change = |name: &str| UserChange { first_name: Some(name.to_owned()), ..UserChange::default() };
    case.admin.update_user(user.id, &UserChange { version: Some(0), ..change("one") }).await.ok();
    case.admin
        .update_user(user.id, &UserChange { version: Some(0), ..change("two") })
        .await
        .refused(409, "user.version_conflict");
    case.admin
        .update_user(user.id, &UserChange { etag: Some("\"0\"".to_owned()), ..change("two") })
        .await
        .refused(412, "request.precondition_failed");
    case.admin.update_user(user.id, &UserChange { etag: Some("\"1\"".to_owned()), ..change("three") }).await.ok();
    let user = case.admin.get_user(user.id).await.ok();
    assert_eq!((user.first_name.as_str(), user.version), ("three", 2));
}
