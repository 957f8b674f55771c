//! API keys: what a program shows in place of its user's password (contract, sections 2 and 4).

use std::time::{Duration, Instant};

use coffre_e2e::api::{Session, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};

use super::oauth_ends::is_refused_everywhere;
use super::within_a_second;

/// A user who may have credentials and API keys.
async fn holder(case: &Case<'_>, what: &str) -> Session {
    let permissions = [permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS, permission::GENERATE_API_KEY];
    case.holder(what, &permissions).await
}

pub(crate) async fn an_api_key_lives_from_creation_to_revocation(case: &Case<'_>) {
    let user = holder(case, "bot").await;
    assert!(user.list_api_keys().await.event("api_key.listed").ok().is_empty());
    let (shown, key) = user.create_api_key("nightly run", None).await.event("api_key.created").ok();
    assert!(key.starts_with("coffre_ak_"), "a key is recognised by its beginning");
    assert!(shown.hint.starts_with("coffre_ak_") && shown.hint.ends_with(&key[key.len() - 4..]), "{}", shown.hint);
    assert!(shown.hint.len() < 24, "a hint is no key: {}", shown.hint);
    assert_eq!((shown.name.as_str(), shown.used), ("nightly run", false));
    assert_eq!(user.list_api_keys().await.ok(), std::slice::from_ref(&shown));

    let bot = case.anonymous().sign_in_with_key(&user.username, &key).await.about_user(&user.username);
    let bot = user.with_token(&bot.event("session.opened").ok().token);
    bot.list_credentials(&Default::default()).await.ok();
    bot.list_lockers(None).await.ok();
    bot.dashboard().await.ok();
    bot.query_entries(&Default::default()).await.ok();
    let listed = user.list_api_keys().await.ok();
    assert!(listed[0].used, "the last use is shown: {listed:?}");

    user.delete_api_key(shown.id).await.event("api_key.deleted").ok();
    is_refused_everywhere(&bot).await;
    case.anonymous().sign_in_with_key(&user.username, &key).await.refused(401, "auth.sign_in_failed");
    user.delete_api_key(shown.id).await.refused(404, "api_key.not_found");
    assert!(user.list_api_keys().await.ok().is_empty());
    user.list_credentials(&Default::default()).await.ok();
}

pub(crate) async fn a_user_has_several_keys_each_with_a_name(case: &Case<'_>) {
    let user = holder(case, "bots").await;
    let (first, one) = user.create_api_key("One", None).await.ok();
    let (second, two) = user.create_api_key("Two", Some(Duration::from_secs(3600))).await.ok();
    assert_ne!(one, two);
    user.create_api_key("one", None).await.refused(409, "api_key.name_taken");
    for odd in [String::new(), "x".repeat(256), "bell\u{7}".to_owned()] {
        user.create_api_key(&odd, None).await.refused(400, "request.invalid");
    }
    user.create_api_key("beyond a year", Some(Duration::from_secs(367 * 24 * 3600)))
        .await
        .refused(400, "request.invalid");
    let listed: Vec<i64> = user.list_api_keys().await.ok().iter().map(|key| key.id).collect();
    assert_eq!(listed, [second.id, first.id], "the newest first");
    // Each is revoked alone.
    user.delete_api_key(first.id).await.ok();
    case.anonymous().open_with_key(&user.username, &two).await;
    case.anonymous().sign_in_with_key(&user.username, &one).await.refused(401, "auth.sign_in_failed");
    // Its name is free again.
    user.create_api_key("One", None).await.ok();
}

pub(crate) async fn a_key_is_its_users_alone(case: &Case<'_>) {
    let (user, other) = (holder(case, "owner").await, holder(case, "other").await);
    let (shown, key) = user.create_api_key("mine", None).await.ok();
    other.delete_api_key(shown.id).await.refused(404, "api_key.not_found");
    assert!(other.list_api_keys().await.ok().is_empty());
    let anonymous = case.anonymous();
    let mut forged = key.clone();
    let last = if forged.ends_with('A') { 'B' } else { 'A' };
    forged.pop();
    forged.push(last);
    let refused = anonymous.sign_in_with_key(&other.username, &key).await.refused(401, "auth.sign_in_failed");
    for (username, key) in [
        (user.username.as_str(), forged.as_str()),
        (&user.username, "coffre_ak_"),
        (&user.username, "no key at all"),
        (&case.unique("nobody"), &key),
    ] {
        let answer = anonymous.sign_in_with_key(username, key).await;
        assert_eq!(answer.refused(401, "auth.sign_in_failed"), refused);
    }
    // A key is no password, and a password no key.
    anonymous.sign_in(&user.username, &key).await.refused(401, "auth.sign_in_failed");
    let password = case.password_of(&user);
    anonymous.sign_in_with_key(&user.username, &password).await.refused(401, "auth.sign_in_failed");
    let spelled = user.username.to_uppercase();
    anonymous.sign_in_with_key(&spelled, &key).await.about_user(&user.username).ok();
}

pub(crate) async fn keys_need_their_permission(case: &Case<'_>) {
    let basic = case.basic("basic").await;
    let refused = basic.create_api_key("x", None).await.refused(403, "authz.permission_required");
    assert!(refused.message.contains("Generate API key"), "the message names the permission: {refused:?}");
    case.anonymous().create_api_key("x", None).await.refused(401, "auth.token_required");

    let rest = case.role("rest", &[permission::MANAGE_CREDENTIALS, permission::MANAGE_LOCKERS]).await;
    let keys = case.role("keys", &[permission::GENERATE_API_KEY]).await;
    let user = case.user("stripped", &[rest, keys]).await;
    let (shown, key) = user.create_api_key("x", None).await.ok();
    let bot = case.anonymous().open_with_key(&user.username, &key).await;
    bot.list_credentials(&Default::default()).await.ok();
    let roles = |roles: &[i64]| UserChange { roles: Some(roles.to_vec()), ..UserChange::default() };
    case.admin.update_user(user.id, &roles(&[rest])).await.ok();
    is_refused_everywhere(&bot).await;
    case.anonymous().sign_in_with_key(&user.username, &key).await.refused(401, "auth.sign_in_failed");
    user.list_credentials(&Default::default()).await.ok();
    // It still may revoke what it has.
    user.delete_api_key(shown.id).await.ok();
}

pub(crate) async fn a_key_expires(case: &Case<'_>) {
    let user = holder(case, "short").await;
    let (_, key) = user.create_api_key("short", Some(Duration::from_secs(3))).await.ok();
    let begun = Instant::now();
    let bot = case.anonymous().open_with_key(&user.username, &key).await;
    bot.list_credentials(&Default::default()).await.ok();
    while bot.list_credentials(&Default::default()).await.code() != Some("auth.token_invalid") {
        assert!(begun.elapsed() < Duration::from_secs(10), "the session outlives its key");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(2), "it ended before its key");
    // A token's end is a whole second, a key's is not: it may be that part of a second longer.
    while case.anonymous().sign_in_with_key(&user.username, &key).await.code() != Some("auth.sign_in_failed") {
        assert!(begun.elapsed() < Duration::from_secs(10), "the key outlives its end");
        case.api.ledger.forget();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(user.list_api_keys().await.ok().len(), 1, "an expired key is still shown");
}

pub(crate) async fn a_reset_password_revokes_keys_and_a_changed_one_does_not(case: &Case<'_>) {
    let user = holder(case, "reset").await;
    let (_, key) = user.create_api_key("x", None).await.ok();
    let bot = case.anonymous().open_with_key(&user.username, &key).await;
    let (old, new) = (case.password_of(&user), canary::password("its own choice"));
    user.change_password(&old, &new).await.ok();
    let bot_again = case.anonymous().open_with_key(&user.username, &key).await;
    within_a_second("the session before the change ends", async || {
        bot.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    bot_again.list_credentials(&Default::default()).await.ok();
    let change = UserChange { password: Some(canary::password("an administrator's")), ..UserChange::default() };
    case.recent_admin().await.update_user(user.id, &change).await.ok();
    is_refused_everywhere(&bot_again).await;
    case.anonymous().sign_in_with_key(&user.username, &key).await.refused(401, "auth.sign_in_failed");
}

pub(crate) async fn a_disabled_user_has_no_working_key(case: &Case<'_>) {
    let user = holder(case, "off").await;
    let (_, key) = user.create_api_key("x", None).await.ok();
    let bot = case.anonymous().open_with_key(&user.username, &key).await;
    bot.list_credentials(&Default::default()).await.ok();
    let set = |disabled| UserChange { disabled: Some(disabled), ..UserChange::default() };
    case.admin.update_user(user.id, &set(true)).await.activity("DISABLE_USER").ok();
    is_refused_everywhere(&bot).await;
    case.anonymous().sign_in_with_key(&user.username, &key).await.refused(401, "auth.sign_in_failed");
    case.admin.update_user(user.id, &set(false)).await.activity("ENABLE_USER").ok();
    case.anonymous().open_with_key(&user.username, &key).await;
}

pub(crate) async fn failures_of_a_key_never_block_the_password(case: &Case<'_>) {
    let user = holder(case, "throttled").await;
    let (_, key) = user.create_api_key("x", None).await.ok();
    let mut forged = key.clone();
    let last = if forged.ends_with('A') { 'B' } else { 'A' };
    forged.pop();
    forged.push(last);
    let anonymous = case.anonymous();
    let mut throttled = false;
    for _ in 0..30 {
        let answer = anonymous.sign_in_with_key(&user.username, &forged).await;
        throttled |= answer.code() == Some("auth.throttled");
        assert!(matches!(answer.code(), Some("auth.sign_in_failed" | "auth.throttled")), "{answer:?}");
    }
    assert!(throttled, "thirty forged keys are not throttled");
    anonymous.open(&user.username, &case.password_of(&user)).await;
}
