//! One's own password, and one that an administrator gave (contract, sections 2 and 4; security.md 2.6).

use coffre_e2e::api::{NewUser, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::server::Engine;

use super::within_a_second;

/// Long enough, and on every list of those who guess.
const COMMON: [&str; 6] =
    ["password1234", "123456789012", "qwertyuiop12", "iloveyouiloveyou", "Passw0rd1234", "aaaaaaaaaaaaaaaa"];

pub(crate) async fn a_password_that_everybody_guesses_is_refused(case: &Case<'_>) {
    let user = case.basic("chooser").await;
    let old = case.password_of(&user);
    let admin = case.recent_admin().await;
    for common in COMMON {
        user.change_password(&old, common).await.refused(400, "auth.password_weak");
        let new = NewUser { username: case.unique("weak"), password: common.to_owned(), ..NewUser::default() };
        admin.create_user(&new).await.refused(400, "auth.password_weak");
        let reset = UserChange { password: Some(common.to_owned()), ..UserChange::default() };
        admin.update_user(user.id, &reset).await.refused(400, "auth.password_weak");
    }
    // Whoever takes the own name with something behind it is guessed as well.
    let named = format!("{}1", user.username);
    user.change_password(&old, &named).await.refused(400, "auth.password_weak");
    case.anonymous().open(&user.username, &old).await;
}

pub(crate) async fn one_changes_the_own_password(case: &Case<'_>) {
    let user = case.basic("self").await;
    let (old, new) = (case.password_of(&user), canary::password("a better one"));
    let elsewhere = case.anonymous().open(&user.username, &old).await;
    user.change_password(&case.secret("not the old one"), &new).await.refused(403, "auth.password_wrong");
    user.change_password(&old, &new).await.ok();
    // The session goes on, the others end.
    user.list_credentials(&Default::default()).await.ok();
    within_a_second("the other session ends", async || {
        elsewhere.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    case.anonymous().open(&user.username, &new).await;
    case.anonymous().sign_in(&user.username, &old).await.refused(401, "auth.sign_in_failed");
}

pub(crate) async fn a_password_change_ends_every_other_way_in_where_that_is_asked_for(case: &Case<'_>) {
    let user = case.holder("owner", &[permission::GENERATE_API_KEY, permission::MANAGE_CREDENTIALS]).await;
    let (_, key) = user.create_api_key("one", None).await.ok();
    let (first, second) = (canary::password("the second one"), canary::password("the third one"));
    user.change_password(&case.password_of(&user), &first).await.ok();
    let by_key = case.anonymous().sign_in_with_key(&user.username, &key).await.about_user(&user.username).ok();
    let program = user.with_token(&by_key.token);
    program.list_credentials(&Default::default()).await.ok();
    user.change_password_and(&first, &second, true).await.event("user.password.changed").ok();
    within_a_second("the session of the key ends", async || {
        program.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    case.anonymous().sign_in_with_key(&user.username, &key).await.refused(401, "auth.sign_in_failed");
    assert_eq!(user.list_api_keys().await.ok(), [], "and the session goes on");
}

pub(crate) async fn a_reset_password_must_be_changed(case: &Case<'_>) {
    let user = case.basic("reset").await;
    let given = canary::password("given");
    let reset = UserChange { password: Some(given.clone()), ..UserChange::default() };
    case.recent_admin().await.update_user(user.id, &reset).await.ok();
    within_a_second("the session ends", async || {
        user.list_credentials(&Default::default()).await.code() == Some("auth.token_invalid")
    })
    .await;
    case.anonymous().sign_in(&user.username, &case.password_of(&user)).await.refused(401, "auth.sign_in_failed");
    let back = case.anonymous().open(&user.username, &given).await;
    if case.engine == Engine::Postgres {
        // `serve` asks for a new one on every path; `dev` does not.
        let pending = "auth.password_change_required";
        back.list_credentials(&Default::default()).await.refused(403, pending);
        back.list_lockers(None).await.refused(403, pending);
        back.dashboard().await.refused(403, pending);
        back.query_entries(&Default::default()).await.refused(403, pending);
        back.list_api_keys().await.refused(403, pending);
    }
    back.change_password(&given, &canary::password("chosen afterwards")).await.ok();
    within_a_second("everything is open", async || back.list_credentials(&Default::default()).await.code().is_none())
        .await;
    back.dashboard().await.ok();
}
