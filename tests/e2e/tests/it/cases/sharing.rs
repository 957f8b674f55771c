//! Who may do what and why, and who has stored nothing yet (the most asked questions about the old product).

use coffre_e2e::api::{NewValue, RoleChange, Session, UserChange};
use coffre_e2e::canary;
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Credential, Locker, MissingValues, Right, UserAccess};

use super::contents::credential;
use super::lockers::locker;
use super::within_a_second;

const CREDENTIALS_AND_LOCKERS: &str = "Manage my credentials and lockers";
const LOCKERS: &str = "Manage my lockers";

/// A locker with one credential, run by an owner and a manager, used by a role.
struct Team {
    owner: Session,
    manager: Session,
    bot: Session,
    role: i64,
    locker: Locker,
    inside: Credential,
}

async fn team(case: &Case<'_>) -> Team {
    let (owner, manager) = (case.basic("owner").await, case.basic("manager").await);
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let bot = case.user("bot", &[role]).await;
    let (it, inside) = (locker(case, &owner, "team").await, credential(case, &owner, "inside").await);
    owner.set_member(it.id, manager.id, &[Right::Manage]).await.ok();
    owner.add_consumer(it.id, role).await.ok();
    owner.assign(it.id, inside.id).await.ok();
    Team { owner, manager, bot, role, locker: it, inside }
}

fn actions(of: &UserAccess) -> Vec<&str> {
    of.actions.iter().map(String::as_str).collect()
}

pub(crate) async fn access_is_explained(case: &Case<'_>) {
    let Team { owner, manager, bot, role, locker, inside } = team(case).await;
    let participant = case.basic("participant").await;
    owner.set_member(locker.id, participant.id, &[Right::Participate]).await.ok();
    let keeper = case.holder("keeper", &[permission::ADMINISTER_LOCKERS]).await;
    let reader = case.holder("reader", &[permission::MANAGE_ALL_VALUES]).await;
    let other = case.basic("other").await;

    let all = owner.explain(inside.id, None).await.about(&inside.name).event("credential.access.explained").ok();
    assert_eq!(all.locker, Some((locker.id, locker.name.clone())));
    let order: Vec<i64> = all.users.iter().map(|user| user.user_id).collect();
    assert!(order.is_sorted(), "in the order of their ids: {order:?}");
    assert!(!order.contains(&other.id), "only who stands to it in any way");

    // The owner stands to it in two ways: as its owner and as a member of its locker.
    let found = all.of(owner.id);
    assert_eq!((found.username.as_str(), found.disabled), (owner.username.as_str(), false));
    assert_eq!(found.standings(), ["owner", "manager"]);
    let own = [
        "see",
        "change",
        "delete",
        "assign",
        "withdraw",
        "transfer",
        "readStandard",
        "writeStandard",
        "readOwn",
        "writeOwn",
    ];
    assert_eq!(actions(found), own);
    assert_eq!(found.through("owner").actions, own);
    assert_eq!(found.through("owner").role, None);

    let found = all.of(manager.id);
    assert_eq!((found.standings(), actions(found)), (vec!["manager"], vec!["see", "withdraw", "writeStandard"]));
    let found = all.of(participant.id);
    assert_eq!((found.standings(), actions(found)), (vec!["participant"], vec![]));
    let found = all.of(bot.id);
    assert_eq!(
        (found.standings(), actions(found)),
        (vec!["consumer"], vec!["see", "readStandard", "readOwn", "writeOwn"])
    );
    assert_eq!(found.through("consumer").role, Some((role, case.unique("bots"))), "through which role");
    let found = all.of(keeper.id);
    assert_eq!((found.standings(), actions(found)), (vec!["lockerAdministrator"], vec!["see", "withdraw", "transfer"]));
    assert_eq!(found.through("lockerAdministrator").role.as_ref().unwrap().1, case.unique("role of keeper"));
    let found = all.of(reader.id);
    let values = ["see", "readStandard", "writeStandard", "readOwn", "writeOwn", "readOther", "writeOther"];
    assert_eq!((found.standings(), actions(found)), (vec!["valueAdministrator"], values.to_vec()));

    // The same for the others who may ask, and for one user alone.
    for asker in [&manager, &keeper] {
        within_a_second("it may ask", async || asker.explain(inside.id, None).await.outcome.is_ok()).await;
        let one = asker.explain(inside.id, Some(bot.id)).await.ok();
        assert_eq!(one.users, [all.of(bot.id).clone()]);
        assert_eq!(one.locker, all.locker);
    }
    let nothing = owner.explain(inside.id, Some(other.id)).await.ok();
    assert_eq!(
        (nothing.users.len(), nothing.of(other.id).through.len(), actions(nothing.of(other.id)).len()),
        (1, 0, 0)
    );
    assert_eq!(nothing.of(other.id).username, other.username);
    owner.explain(inside.id, Some(i64::MAX)).await.refused(404, "user.not_found");

    // Others ask about themselves alone, where they see it at all.
    within_a_second("the bot sees it", async || bot.get_credential(inside.id).await.outcome.is_ok()).await;
    for asker in [&bot, &reader] {
        assert_eq!(asker.explain(inside.id, Some(asker.id)).await.ok().users, [all.of(asker.id).clone()]);
        asker.explain(inside.id, None).await.refused(403, "credential.not_permitted");
        asker.explain(inside.id, Some(owner.id)).await.refused(403, "credential.not_permitted");
    }
    for asker in [&participant, &other] {
        asker.explain(inside.id, None).await.refused(404, "credential.not_found");
        asker.explain(inside.id, Some(asker.id)).await.refused(404, "credential.not_found");
    }
}

pub(crate) async fn an_explanation_is_no_directory_of_users(case: &Case<'_>) {
    // Who may not list users learns of none who does not reach his credential.
    let owner = case.holder("owner", &[permission::MANAGE_CREDENTIALS]).await;
    let (own, other) = (credential(case, &owner, "own").await, case.basic("other").await);
    let hidden = owner.explain(own.id, Some(other.id)).await.refused(404, "user.not_found");
    let missing = owner.explain(own.id, Some(i64::MAX)).await.refused(404, "user.not_found");
    assert_eq!(
        hidden.message.replace(&other.id.to_string(), ""),
        missing.message.replace(&i64::MAX.to_string(), ""),
        "not to be known and not there are one answer"
    );
    assert_eq!(owner.explain(own.id, Some(owner.id)).await.ok().of(owner.id).standings(), ["owner"]);
    assert!(owner.explain(own.id, None).await.ok().users.iter().any(|user| user.user_id == owner.id));
}

pub(crate) async fn what_is_missing_is_explained(case: &Case<'_>) {
    let Team { owner, manager, bot, role, locker, inside } = team(case).await;
    // Two roles that consume; one gives no permission.
    let bare = case.role("bare consumers", &[]).await;
    owner.add_consumer(locker.id, bare).await.ok();
    let roles = |roles: &[i64]| UserChange { roles: Some(roles.to_vec()), ..UserChange::default() };
    case.admin.update_user(bot.id, &roles(&[bare])).await.ok();
    case.admin.update_user(manager.id, &roles(&[])).await.ok();
    let off = UserChange { disabled: Some(true), ..UserChange::default() };
    case.admin.update_user(manager.id, &off).await.activity("DISABLE_USER").ok();
    within_a_second("the changes are known", async || {
        let all = owner.explain(inside.id, None).await.ok();
        all.of(bot.id).actions.is_empty() && all.of(manager.id).actions.is_empty()
    })
    .await;
    let all = owner.explain(inside.id, None).await.ok();
    let path = all.of(bot.id).through("consumer");
    assert_eq!(path.missing.as_deref(), Some(CREDENTIALS_AND_LOCKERS), "the most asked question about the old product");
    assert_eq!(path.role.as_ref().map(|role| role.0), Some(bare));
    let path = all.of(manager.id).through("manager");
    assert_eq!(path.missing.as_deref(), Some(LOCKERS));
    assert!(all.of(manager.id).disabled);
    // Each role is a path of its own; the permission of one makes both effective.
    case.admin.update_user(bot.id, &roles(&[bare, role])).await.ok();
    within_a_second("both count", async || {
        owner.explain(inside.id, Some(bot.id)).await.ok().of(bot.id).through.len() == 2
    })
    .await;
    let found = owner.explain(inside.id, Some(bot.id)).await.ok();
    assert!(
        found.of(bot.id).through.iter().all(|path| path.standing == "consumer" && path.missing.is_none()),
        "{found:?}"
    );
    // Without a locker there is nobody but the owner and the administrators.
    owner.withdraw(locker.id, inside.id).await.ok();
    let alone = owner.explain(inside.id, None).await.ok();
    assert_eq!(alone.locker, None);
    assert!(!alone.users.iter().any(|user| [bot.id, manager.id].contains(&user.user_id)), "{alone:?}");
    assert_eq!(alone.of(owner.id).standings(), ["owner"]);
}

pub(crate) async fn who_has_stored_nothing_yet_is_told(case: &Case<'_>) {
    let Team { owner, manager, bot, role, locker, inside } = team(case).await;
    let second = case.user("second bot", &[role]).await;
    let u = inside.attribute("u").id;
    let missing = |of: &Session| MissingValues {
        user_id: of.id,
        username: of.username.clone(),
        disabled: false,
        attributes: vec![u],
    };
    let both = [missing(&bot), missing(&second)];
    let found = owner.missing_values(inside.id).await.about(&inside.name).event("credential.missing.listed").ok();
    assert_eq!(found, both);
    within_a_second("the bot sees it", async || bot.get_credential(inside.id).await.outcome.is_ok()).await;
    bot.create_values(inside.id, &[NewValue::new(u, case.secret("the bot's own"))]).await.ok();
    let keeper = case.holder("keeper", &[permission::ADMINISTER_LOCKERS]).await;
    for asker in [&owner, &manager, &keeper] {
        assert_eq!(asker.missing_values(inside.id).await.ok(), both[1..], "{}", asker.username);
    }
    // Those who may not ask.
    bot.missing_values(inside.id).await.refused(403, "credential.not_permitted");
    case.basic("other").await.missing_values(inside.id).await.refused(404, "credential.not_found");
    // One who may not sign in is told as such; one without the role is none.
    let off = UserChange { disabled: Some(true), ..UserChange::default() };
    case.admin.update_user(second.id, &off).await.activity("DISABLE_USER").ok();
    within_a_second("it is told as disabled", async || {
        owner.missing_values(inside.id).await.ok() == [MissingValues { disabled: true, ..missing(&second) }]
    })
    .await;
    let none = UserChange { roles: Some(Vec::new()), ..UserChange::default() };
    case.admin.update_user(second.id, &none).await.ok();
    within_a_second("it is none", async || owner.missing_values(inside.id).await.ok().is_empty()).await;
    // A renamed role changes nothing, an attribute that nobody provides is none.
    case.admin.update_role(role, &RoleChange { name: Some(case.unique("x")), ..RoleChange::default() }).await.ok();
    assert!(owner.missing_values(inside.id).await.ok().is_empty());
    owner.withdraw(locker.id, inside.id).await.ok();
    assert!(owner.missing_values(inside.id).await.ok().is_empty(), "outside of a locker nobody consumes it");
}

/// Security.md 3.1: what a role consumes counts as what it gives.
pub(crate) async fn nobody_gives_himself_what_a_locker_shares(case: &Case<'_>) {
    let Team { owner, bot, role, locker, inside, .. } = team(case).await;
    owner.create_values(inside.id, &[NewValue::new(inside.attribute("s").id, case.secret("shared"))]).await.ok();
    let held = [permission::MANAGE_USERS, permission::MANAGE_CREDENTIALS, permission::ADMINISTER_LOCKERS];
    let own = case.role("users and lockers", &held).await;
    let manager = case.user("manager of users", &[own]).await;
    let roles = |roles: &[i64]| UserChange { roles: Some(roles.to_vec()), ..UserChange::default() };
    let is_refused = |answer: coffre_e2e::api::Answer<coffre_e2e::model::User>| {
        let code = answer.code().map(ToOwned::to_owned);
        assert_eq!(answer.status, 403, "{answer:?}");
        assert!(matches!(code.as_deref(), Some("authz.self_grant" | "authz.grant_exceeds")), "{code:?}");
    };
    // The role that consumes, to himself.
    is_refused(manager.update_user(manager.id, &roles(&[own, role])).await);
    // The password of somebody who consumes.
    let reset = UserChange { password: Some(canary::password("reset")), ..UserChange::default() };
    is_refused(manager.update_user(bot.id, &reset).await);
    // In another order: first the role becomes a consumer, then he takes it. Not even the first administrator.
    let sneak = case.role("sneak", &[permission::MANAGE_CREDENTIALS]).await;
    let admin = case.admin.get_user(case.admin.id).await.ok();
    let mut all: Vec<i64> = admin.roles.iter().map(|(id, _)| *id).collect();
    all.push(sneak);
    case.admin.add_consumer(locker.id, sneak).await.ok();
    is_refused(case.admin.update_user(case.admin.id, &roles(&all)).await);
    is_refused(manager.update_user(manager.id, &roles(&[own, sneak])).await);
    // A role that he holds is no consumer by his own doing.
    manager.add_consumer(locker.id, own).await.refused(403, "authz.self_grant");
    manager.list_values(inside.id).await.refused(403, "credential.not_permitted");
    assert_eq!(case.admin.get_user(case.admin.id).await.ok().roles, admin.roles, "a refusal changes nothing");
    // An administrator gives it to others, as ever.
    let other = case.user("other bot", &[sneak]).await;
    within_a_second("the other bot reads", async || other.list_values(inside.id).await.outcome.is_ok()).await;
}

/// Whoever is told "not there" learns no name either, also not from his own entries in the audit.
pub(crate) async fn what_is_hidden_has_no_name_in_ones_own_audit(case: &Case<'_>) {
    let Team { locker, inside, .. } = team(case).await;
    let curious = case.basic("curious").await;
    let mut requests = Vec::new();
    let answer = curious.get_locker(locker.id).await;
    requests.push(answer.request_id.clone());
    answer.refused(404, "locker.not_found");
    let answer = curious.list_members(locker.id).await;
    requests.push(answer.request_id.clone());
    answer.refused(404, "locker.not_found");
    let answer = curious.get_credential(inside.id).await;
    requests.push(answer.request_id.clone());
    answer.refused(404, "credential.not_found");
    let answer = curious.list_values(inside.id).await;
    requests.push(answer.request_id.clone());
    answer.refused(404, "credential.not_found");
    let answer = curious.assign(locker.id, inside.id).await;
    requests.push(answer.request_id.clone());
    answer.refused(404, "credential.not_found");
    let answer = curious.explain(inside.id, None).await;
    requests.push(answer.request_id.clone());
    answer.refused(404, "credential.not_found");
    case.settle().await;
    let ids: Vec<&str> = requests.iter().map(String::as_str).collect();
    let found = coffre_e2e::ledger::entries(&curious, &ids).await;
    assert_eq!(found.len(), requests.len(), "one's own entries: {found:#?}");
    for entry in found.values().flatten() {
        let told = format!("{entry:?}");
        for hidden in [&locker.name, &inside.name] {
            assert!(!told.contains(hidden.as_str()), "{hidden} is told: {told}");
        }
    }
}
