//! Credentials in lockers and who reaches them there (contract, section 5, L13 to L15; C2 `consumed`, `completed`).

use coffre_e2e::api::{CredentialChange, ListCredentials, NewAttribute, NewValue, Session, ValueChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::{Credential, Filter, Permissions, Query, Right};

use super::lockers::locker;
use super::within_a_second;

/// A credential with a value for everybody and one that each user provides.
pub(crate) async fn credential(case: &Case<'_>, owner: &Session, what: &str) -> Credential {
    let attributes = [NewAttribute::standard("s"), NewAttribute::user_provided("u")];
    owner.create_credential(&case.unique(what), &attributes).await.ok()
}

fn ids(list: &[Credential]) -> Vec<i64> {
    list.iter().map(|one| one.id).collect()
}

pub(crate) async fn a_credential_enters_and_leaves_a_locker(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (first, second) = (locker(case, &owner, "first").await, locker(case, &owner, "second").await);
    let it = credential(case, &owner, "traveller").await;
    assert!(owner.list_contents(first.id).await.event("locker.credential.listed").ok().is_empty());
    owner.withdraw(first.id, it.id).await.refused(404, "credential.not_in_locker");
    let inside = owner.assign(first.id, it.id).await.about(&it.name).event("credential.assigned").ok();
    assert_eq!((inside.locker_id, inside.version), (Some(first.id), 1), "it raises the version of the credential");
    assert_eq!(owner.get_locker(first.id).await.ok().version, 0, "not that of the locker");
    assert_eq!(owner.get_credential(it.id).await.ok(), inside);
    assert_eq!(owner.assign(first.id, it.id).await.ok(), inside, "again: nothing changes");
    assert_eq!(owner.list_contents(first.id).await.ok(), std::slice::from_ref(&inside));
    assert_eq!(owner.list_credentials(&ListCredentials::default()).await.ok(), std::slice::from_ref(&inside), "once");
    let filter = Query::filter(Filter::new("lockerId", "eq", first.id.to_string()));
    assert_eq!(ids(&owner.query_credentials(&filter).await.ok().items), [it.id]);

    // In one locker at most; not deleted while it is in one; nor the locker.
    let refused = owner.assign(second.id, it.id).await.refused(409, "credential.in_locker");
    assert!(refused.message.contains(&first.id.to_string()), "the message names the locker: {refused:?}");
    owner.delete_credential(it.id, None).await.refused(409, "credential.in_locker");
    let refused = owner.delete_locker(first.id, None).await.refused(409, "locker.not_empty");
    assert!(refused.message.contains('1'), "the message says how many: {refused:?}");
    owner.withdraw(second.id, it.id).await.refused(404, "credential.not_in_locker");
    assert_eq!(owner.get_credential(it.id).await.ok(), inside, "a refusal changes nothing");
    // An update does not move it.
    let change = |locker| CredentialChange { locker_id: Some(locker), ..CredentialChange::default() };
    owner.update_credential(it.id, &change(second.id)).await.refused(400, "request.invalid");
    assert_eq!(owner.update_credential(it.id, &change(first.id)).await.ok(), inside);

    owner.withdraw_if(first.id, it.id, Some("\"0\"")).await.refused(412, "request.precondition_failed");
    owner.withdraw(first.id, it.id).await.about(&it.name).event("credential.withdrawn").ok();
    let out = owner.get_credential(it.id).await.ok();
    assert_eq!((out.locker_id, out.version), (None, 2));
    owner.withdraw(first.id, it.id).await.refused(404, "credential.not_in_locker");
    owner.assign_if(second.id, it.id, Some("\"1\"")).await.refused(412, "request.precondition_failed");
    assert_eq!(owner.assign_if(second.id, it.id, Some("\"2\"")).await.ok().version, 3);
    owner.delete_locker(first.id, None).await.ok();
    owner.withdraw(second.id, it.id).await.ok();
    owner.assign(first.id, it.id).await.refused(404, "locker.not_found");
    owner.delete_credential(it.id, None).await.ok();
    owner.assign(second.id, it.id).await.refused(404, "credential.not_found");
    owner.delete_locker(second.id, None).await.ok();
}

pub(crate) async fn a_consumer_uses_what_is_inside(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let bot = case.user("bot", &[role]).await;
    let it = locker(case, &owner, "shared").await;
    let inside = credential(case, &owner, "inside").await;
    let (s, u) = (inside.attribute("s").id, inside.attribute("u").id);
    let secret = case.secret("for all bots");
    let standard = owner.create_values(inside.id, &[NewValue::new(s, &*secret)]).await.ok().remove(0);
    owner.create_values(inside.id, &[NewValue::new(u, case.secret("the owner's own"))]).await.ok();
    bot.get_credential(inside.id).await.refused(404, "credential.not_found");
    owner.assign(it.id, inside.id).await.ok();
    owner.add_consumer(it.id, role).await.ok();
    within_a_second("the bot is let in", async || bot.get_credential(inside.id).await.outcome.is_ok()).await;

    let seen = bot.get_credential(inside.id).await.ok();
    let may = Permissions { read_values: true, write_values: true, ..Permissions::default() };
    assert_eq!((seen.permissions, seen.completed, seen.locker_id), (may, false, Some(it.id)));
    assert_eq!(ids(&bot.list_contents(it.id).await.ok()), [inside.id]);
    let values = bot.list_values(inside.id).await.about(&inside.name).event("credential.value.read").ok();
    assert_eq!(values, [owner.list_values(inside.id).await.ok().remove(0)], "the standard value, not the owner's own");
    assert_eq!(values[0].value, secret);
    let to = |value: String| ValueChange { value, ..ValueChange::default() };
    let refused = bot.update_value(inside.id, standard.id, &to(case.secret("x"))).await;
    refused.refused(403, "credential.not_permitted");

    // Consumed: reached as a consumer, with at least one own value.
    let consumed = async |caller: &Session, flag| {
        let list = ListCredentials { consumed: Some(flag), ..ListCredentials::default() };
        ids(&caller.list_credentials(&list).await.ok())
    };
    assert_eq!((consumed(&bot, true).await, consumed(&bot, false).await), (vec![], vec![inside.id]));
    let own = case.secret("the bot's own");
    let stored = bot.create_values(inside.id, &[NewValue::new(u, &*own)]).await.ok().remove(0);
    assert_eq!(stored.user_id, Some(bot.id));
    assert_eq!((consumed(&bot, true).await, consumed(&bot, false).await), (vec![inside.id], vec![]));
    assert_eq!((consumed(&owner, true).await, consumed(&owner, false).await), (vec![], vec![inside.id]));
    assert!(bot.get_credential(inside.id).await.ok().completed, "every attribute has its value for the bot");
    let values = bot.list_values(inside.id).await.ok();
    assert_eq!(values.iter().map(|one| one.value.as_str()).collect::<Vec<_>>(), [&*secret, &*own]);
    bot.update_value(inside.id, stored.id, &to(case.secret("the bot's new own"))).await.ok();
    bot.delete_value(inside.id, stored.id).await.ok();
    assert!(!bot.get_credential(inside.id).await.ok().completed);

    // Taken out: gone for the bot at once, for vault knows where its credentials are.
    owner.withdraw(it.id, inside.id).await.ok();
    bot.get_credential(inside.id).await.refused(404, "credential.not_found");
    bot.list_values(inside.id).await.refused(404, "credential.not_found");
    assert!(bot.list_credentials(&ListCredentials::default()).await.ok().is_empty());
}

pub(crate) async fn a_manager_runs_a_locker_and_reads_nothing(case: &Case<'_>) {
    let (owner, manager) = (case.basic("owner").await, case.basic("manager").await);
    let it = locker(case, &owner, "managed").await;
    let inside = credential(case, &owner, "inside").await;
    let s = inside.attribute("s").id;
    owner.assign(it.id, inside.id).await.ok();
    owner.set_member(it.id, manager.id, &[Right::Manage]).await.ok();
    within_a_second("the manager sees it", async || manager.get_credential(inside.id).await.outcome.is_ok()).await;
    let may = manager.get_credential(inside.id).await.ok().permissions;
    assert_eq!(may, Permissions { write_values: true, ..Permissions::default() });
    // He gets the entry, so that he can change it, without the secret.
    let secret = case.secret("not for managers");
    let stored = manager.create_values(inside.id, &[NewValue::new(s, &*secret)]).await.ok().remove(0);
    let values = manager.list_values(inside.id).await.ok();
    assert_eq!((values.len(), values[0].id, values[0].value.as_str()), (1, stored.id, ""));
    assert_eq!(owner.list_values(inside.id).await.ok()[0].value, secret);
    let change = ValueChange { value: case.secret("changed by a manager"), ..ValueChange::default() };
    manager.update_value(inside.id, stored.id, &change).await.ok();
    manager.withdraw(it.id, inside.id).await.ok();
    manager.get_credential(inside.id).await.refused(404, "credential.not_found");
    manager.delete_value(inside.id, stored.id).await.refused(404, "credential.not_found");
    assert_eq!(owner.list_values(inside.id).await.ok()[0].value, change.value);
}

pub(crate) async fn a_participant_brings_his_own_and_sees_no_other(case: &Case<'_>) {
    let (owner, participant) = (case.basic("owner").await, case.basic("participant").await);
    let it = locker(case, &owner, "common").await;
    let (theirs, own) = (credential(case, &owner, "theirs").await, credential(case, &participant, "own").await);
    owner.assign(it.id, theirs.id).await.ok();
    participant.assign(it.id, own.id).await.refused(404, "locker.not_found");
    owner.set_member(it.id, participant.id, &[Right::Participate]).await.ok();
    participant.assign(it.id, own.id).await.ok();
    assert_eq!(ids(&participant.list_contents(it.id).await.ok()), [own.id]);
    assert_eq!(ids(&owner.list_contents(it.id).await.ok()), [theirs.id, own.id]);
    participant.get_credential(theirs.id).await.refused(404, "credential.not_found");
    assert_eq!(ids(&participant.list_credentials(&ListCredentials::default()).await.ok()), [own.id]);
    // Somebody else's credential is for nobody but its owner to put anywhere.
    let stray = credential(case, &participant, "stray").await;
    owner.assign(it.id, stray.id).await.refused(404, "credential.not_found");
    // A new owner needs no membership; the credential stays where it is.
    let heir = case.basic("heir").await;
    let given = participant.transfer_credential(own.id, heir.id).await.ok();
    assert_eq!((given.owner_id, given.locker_id), (heir.id, Some(it.id)));
    assert!(participant.list_contents(it.id).await.ok().is_empty());
    let seen = heir.get_credential(own.id).await.ok();
    assert_eq!((seen.locker_id, seen.permissions.assign_locker), (Some(it.id), true));
    heir.list_contents(it.id).await.refused(404, "locker.not_found");
    heir.withdraw(it.id, own.id).await.ok();
    heir.assign(it.id, own.id).await.refused(404, "locker.not_found");
}

pub(crate) async fn a_right_taken_away_is_gone_within_a_second(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let role = case.role("bots", &[permission::MANAGE_CREDENTIALS]).await;
    let (bot, manager) = (case.user("bot", &[role]).await, case.basic("manager").await);
    let it = locker(case, &owner, "shared").await;
    let inside = credential(case, &owner, "inside").await;
    owner.create_values(inside.id, &[NewValue::new(inside.attribute("s").id, case.secret("inside"))]).await.ok();
    owner.assign(it.id, inside.id).await.ok();
    for _ in 0..2 {
        owner.add_consumer(it.id, role).await.ok();
        owner.set_member(it.id, manager.id, &[Right::Manage]).await.ok();
        for caller in [&bot, &manager] {
            within_a_second("it is let in", async || caller.list_values(inside.id).await.outcome.is_ok()).await;
        }
        owner.remove_consumer(it.id, role).await.ok();
        owner.remove_member(it.id, manager.id).await.ok();
        for caller in [&bot, &manager] {
            within_a_second("it is shut out", async || {
                caller.list_values(inside.id).await.code() == Some("credential.not_found")
            })
            .await;
            assert!(caller.list_credentials(&ListCredentials::default()).await.ok().is_empty());
            caller.list_contents(it.id).await.refused(404, "locker.not_found");
        }
    }
}

pub(crate) async fn pages_of_everything_reached_neither_lose_nor_repeat(case: &Case<'_>) {
    let (owner, caller) = (case.basic("owner").await, case.basic("caller").await);
    let role = case.role("consumers", &[permission::MANAGE_CREDENTIALS]).await;
    let basic = case.system_role("AAE_Basic").await;
    let roles = coffre_e2e::api::UserChange { roles: Some(vec![basic, role]), ..Default::default() };
    case.admin.update_user(caller.id, &roles).await.ok();
    let (managed, consumed) = (locker(case, &owner, "managed").await, locker(case, &owner, "consumed").await);
    owner.set_member(managed.id, caller.id, &[Right::Manage]).await.ok();
    // Reached in two ways at once: it is listed once all the same.
    owner.add_consumer(managed.id, role).await.ok();
    owner.add_consumer(consumed.id, role).await.ok();
    let mut all = Vec::new();
    for index in 0..9 {
        let by = if index % 3 == 0 { &caller } else { &owner };
        let one = credential(case, by, &format!("c{index}")).await;
        match index % 3 {
            1 => {
                owner.assign(managed.id, one.id).await.ok();
            }
            2 => {
                owner.assign(consumed.id, one.id).await.ok();
            }
            _ => {}
        }
        all.push(one.id);
    }
    credential(case, &owner, "not to be seen").await;
    within_a_second("everything is there", async || {
        caller.list_credentials(&ListCredentials::default()).await.ok().len() == all.len()
    })
    .await;
    for (field, length) in [("id", 2), ("name", 4), ("lockerId", 5)] {
        let (mut found, mut token) = (Vec::new(), None);
        loop {
            let query = Query::default().sort(field, false).page(0, length).token(token);
            let page = caller.query_credentials(&query).await.ok();
            assert_eq!((page.total, page.total_filter), (Some(9), Some(9)), "by {field}");
            found.extend(ids(&page.items));
            token = page.next;
            if token.is_none() {
                break;
            }
        }
        found.sort_unstable();
        assert_eq!(found, all, "by {field}");
    }
    let consumed = ListCredentials { consumed: Some(false), ..ListCredentials::default() };
    assert_eq!(caller.list_credentials(&consumed).await.ok().len(), 9, "without an own value nothing is consumed");
}
