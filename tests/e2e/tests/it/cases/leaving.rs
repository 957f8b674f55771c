//! Users who leave: what they hold, handing it over, deleting them (contract, section 5, "Deleting a user"; issue of the lockers, 5).

use coffre_e2e::api::{NewValue, UserChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Query, Right};

use super::contents::credential;
use super::lockers::locker;
use super::within_a_second;

pub(crate) async fn holdings_are_told(case: &Case<'_>) {
    let (user, other) = (case.basic("holder").await, case.basic("other").await);
    assert!(user.holdings(user.id).await.event("user.holdings.listed").about(&user.username).ok().is_empty());
    let (own, given) = (credential(case, &user, "own").await, credential(case, &other, "given").await);
    other.transfer_credential(given.id, user.id).await.ok();
    let (last, shared) = (locker(case, &user, "last owner").await, locker(case, &user, "shared").await);
    let managed = locker(case, &other, "managed").await;
    user.set_member(shared.id, other.id, &[Right::Own]).await.ok();
    other.set_member(managed.id, user.id, &[Right::Manage]).await.ok();
    let mut expected = vec![(own.id, own.name.clone()), (given.id, given.name.clone())];
    expected.sort();
    let manager = case.holder("users", &[permission::MANAGE_USERS]).await;
    let keeper = case.holder("keeper", &[permission::ADMINISTER_LOCKERS]).await;
    for caller in [&user, &manager, &keeper, &case.admin] {
        let found = caller.holdings(user.id).await.ok();
        assert_eq!((&found.credentials, found.credential_count), (&expected, 2), "{}", caller.username);
        assert_eq!((&found.lockers, found.locker_count), (&vec![(last.id, last.name.clone())], 1), "the last owner");
    }
    let refused = other.holdings(user.id).await.refused(403, "authz.permission_required");
    assert!(
        refused.message.contains("Manage users and roles") || refused.message.contains("Administer all lockers"),
        "the message names the permission: {refused:?}"
    );
    case.admin.holdings(i64::MAX).await.refused(404, "user.not_found");
    case.anonymous().holdings(user.id).await.refused(401, "auth.token_required");
}

pub(crate) async fn everything_is_handed_over(case: &Case<'_>) {
    let (user, heir) = (case.basic("leaver").await, case.basic("heir").await);
    let (inside, outside) = (credential(case, &user, "inside").await, credential(case, &user, "outside").await);
    let (last, shared) = (locker(case, &user, "last").await, locker(case, &user, "shared").await);
    user.set_member(shared.id, heir.id, &[Right::Own]).await.ok();
    user.assign(shared.id, inside.id).await.ok();
    let keeper = case.holder("keeper", &[permission::ADMINISTER_LOCKERS]).await;
    // Never to himself, never to nobody, never without the right.
    keeper.hand_over(user.id, keeper.id).await.refused(403, "authz.self_grant");
    keeper.hand_over(user.id, user.id).await.refused(400, "request.invalid");
    keeper.hand_over(user.id, i64::MAX).await.refused(404, "user.not_found");
    keeper.hand_over(i64::MAX, heir.id).await.refused(404, "user.not_found");
    heir.hand_over(user.id, heir.id).await.refused(403, "authz.permission_required");
    case.holder("users", &[permission::MANAGE_USERS])
        .await
        .hand_over(user.id, heir.id)
        .await
        .refused(403, "authz.permission_required");
    // Rights without their base permission are not effective, also not to give away what one has.
    let bare = UserChange { roles: Some(Vec::new()), ..UserChange::default() };
    case.admin.update_user(user.id, &bare).await.ok();
    within_a_second("auth knows that the permissions are gone", async || {
        user.query_users(&Query::default().page(0, 1)).await.code() == Some("authz.permission_required")
    })
    .await;
    user.hand_over(user.id, heir.id).await.refused(403, "authz.permission_required");
    let basic = UserChange { roles: Some(vec![case.system_role("AAE_Basic").await]), ..UserChange::default() };
    case.admin.update_user(user.id, &basic).await.ok();
    let off = case.basic("disabled").await;
    let disabled = UserChange { disabled: Some(true), ..UserChange::default() };
    case.admin.update_user(off.id, &disabled).await.activity("DISABLE_USER").ok();
    let refused = keeper.hand_over(user.id, off.id).await;
    assert!(matches!(refused.status, 400 | 404), "somebody who may not sign in gets nothing: {refused:?}");
    assert_eq!(case.admin.holdings(user.id).await.ok().credential_count, 2, "a refusal gives nothing");

    let given = keeper
        .hand_over(user.id, heir.id)
        .await
        .about(&user.username)
        .event("user.holdings.transferred")
        .beside("credential.transferred", 2)
        .beside("locker.member.set", 1);
    assert_eq!(given.ok(), (2, 1), "two credentials, and the locker of which he was the last owner");
    assert!(user.holdings(user.id).await.ok().is_empty());
    for one in [&inside, &outside] {
        let found = heir.get_credential(one.id).await.ok();
        assert_eq!((found.owner_id, found.version > one.version), (heir.id, true));
    }
    assert_eq!(heir.get_credential(inside.id).await.ok().locker_id, Some(shared.id), "it stays in its locker");
    // The recipient runs the locker beside its other members; the giver stays one until he leaves.
    let found = heir.get_locker(last.id).await.ok().permission;
    assert!(found.owner && found.manager && found.participant, "{found:?}");
    assert_eq!(heir.list_members(last.id).await.ok().len(), 2);
    // Again: nothing is left to give.
    assert_eq!(keeper.hand_over(user.id, heir.id).await.ok(), (0, 0));
    case.admin.delete_user(user.id).await.about(&user.username).ok();
    within_a_second("the memberships go with the user", async || heir.list_members(last.id).await.ok().len() == 1)
        .await;
}

pub(crate) async fn the_user_itself_hands_over_more_than_one_part(case: &Case<'_>) {
    // Parts hold a hundred at most.
    let (user, heir) = (case.basic("rich").await, case.basic("heir").await);
    for index in 0..103 {
        credential(case, &user, &format!("c{index}")).await;
    }
    let given = user.hand_over(user.id, heir.id).await.beside("credential.transferred", 103);
    assert_eq!(given.ok(), (103, 0));
    assert_eq!(heir.holdings(heir.id).await.ok().credential_count, 103);
    assert!(user.holdings(user.id).await.ok().is_empty());
}

pub(crate) async fn a_user_who_holds_something_is_not_deleted(case: &Case<'_>) {
    let (user, other) = (case.basic("holder").await, case.basic("other").await);
    let last = locker(case, &user, "last").await;
    let own = credential(case, &user, "own").await;
    let refused = case.admin.delete_user(user.id).await.refused(409, "user.holds_objects");
    for listed in [&last.name, &own.name] {
        assert!(refused.message.contains(listed.as_str()), "the message lists {listed}: {refused:?}");
    }
    // Nothing has happened to the user: it acts, and can be given something.
    user.get_locker(last.id).await.ok();
    user.set_member(last.id, other.id, &[Right::Own]).await.ok();
    let gift = credential(case, &other, "gift").await;
    other.transfer_credential(gift.id, user.id).await.ok();
    let refused = case.admin.delete_user(user.id).await.refused(409, "user.holds_objects");
    assert!(!refused.message.contains(&last.name), "another owns it too: {refused:?}");
    for one in [&own, &gift] {
        user.transfer_credential(one.id, other.id).await.ok();
    }
    case.admin.delete_user(user.id).await.ok();
    assert_eq!(other.list_members(last.id).await.ok().iter().filter(|one| one.user_id == user.id).count(), 0);
    other.set_member(last.id, user.id, &[Right::Own]).await.refused(404, "user.not_found");
    other.transfer_credential(own.id, user.id).await.refused(404, "credential.owner_unknown");
    other.hand_over(other.id, user.id).await.refused(404, "user.not_found");
}

pub(crate) async fn a_last_owner_of_lockers_alone_is_not_deleted(case: &Case<'_>) {
    let (user, other) = (case.basic("last owner").await, case.basic("other").await);
    let last = locker(case, &user, "last").await;
    user.set_member(last.id, other.id, &[Right::Manage]).await.ok();
    let refused = case.admin.delete_user(user.id).await.refused(409, "user.holds_objects");
    assert!(refused.message.contains(&last.name), "the message lists the locker: {refused:?}");
    case.admin.hand_over(user.id, other.id).await.beside("locker.member.set", 1).ok();
    case.admin.delete_user(user.id).await.ok();
    let members = other.list_members(last.id).await.ok();
    assert_eq!(members.iter().map(|one| one.user_id).collect::<Vec<_>>(), [other.id]);
    assert!(members[0].rights.contains(&Right::Own));
}

pub(crate) async fn what_belonged_to_the_user_alone_goes(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let bot = case.user("bot", &[role]).await;
    let reader = case.holder("reader", &[permission::MANAGE_ALL_VALUES]).await;
    let (it, inside) = (locker(case, &owner, "shared").await, credential(case, &owner, "inside").await);
    owner.add_consumer(it.id, role).await.ok();
    owner.assign(it.id, inside.id).await.ok();
    let u = inside.attribute("u").id;
    within_a_second("the bot sees it", async || bot.get_credential(inside.id).await.outcome.is_ok()).await;
    bot.create_values(inside.id, &[NewValue::new(u, case.secret("goes with the bot"))]).await.ok();
    owner.create_values(inside.id, &[NewValue::new(u, case.secret("stays"))]).await.ok();
    assert_eq!(reader.list_values(inside.id).await.ok().len(), 2);
    case.admin.delete_user(bot.id).await.ok();
    within_a_second("its values are gone", async || reader.list_values(inside.id).await.ok().len() == 1).await;
    assert_eq!(reader.list_values(inside.id).await.ok()[0].user_id, Some(owner.id));
    assert!(owner.missing_values(inside.id).await.ok().is_empty(), "who is gone misses nothing");
}
