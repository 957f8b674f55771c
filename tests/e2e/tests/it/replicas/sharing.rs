//! What is shared, taken away at one replica and used at the other.

use std::time::Duration;

use coffre_e2e::api::{Api, ListCredentials, NewValue, Session, UserChange};
use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::Right;

use crate::cases::contents::credential;
use crate::cases::lockers::locker;
use crate::cases::{WITHIN_A_SECOND, within_a_second};

/// Waits until the other replica refuses, and says how long that took.
async fn shut_out(what: &str, caller: &Session, id: i64) -> Duration {
    let took =
        within_a_second(what, async || caller.list_values(id).await.code() == Some("credential.not_found")).await;
    // Everything else is gone with it, and for good.
    caller.get_credential(id).await.refused(404, "credential.not_found");
    assert!(caller.list_credentials(&ListCredentials::default()).await.ok().is_empty(), "{what}: it is still listed");
    took
}

/// Every way of taking a right away.
pub(super) async fn a_right_taken_away_at_one_is_gone_at_the_other(case: &Case<'_>, there: &Api) {
    let at_two = |session: &Session| Session { api: there.clone(), ..session.clone() };
    let owner = case.basic("sharer").await;
    let it = locker(case, &owner, "shared").await;
    let inside = credential(case, &owner, "inside").await;
    owner.create_values(inside.id, &[NewValue::new(inside.attribute("s").id, case.secret("shared"))]).await.ok();
    owner.assign(it.id, inside.id).await.ok();
    let [one, two] = [
        case.role("bots", &[permission::MANAGE_CREDENTIALS]).await,
        case.role("other bots", &[permission::MANAGE_CREDENTIALS]).await,
    ];
    let (bot, leaver) = (case.user("sharing bot", &[one]).await, case.user("sharing leaver", &[two]).await);
    let member = case.basic("sharing member").await;
    let (bot, leaver, member) = (at_two(&bot), at_two(&leaver), at_two(&member));
    owner.add_consumer(it.id, one).await.ok();
    owner.add_consumer(it.id, two).await.ok();
    owner.set_member(it.id, member.id, &[Right::Manage]).await.ok();
    for caller in [&bot, &leaver, &member] {
        // The other replica knows and remembers.
        within_a_second("let in", async || caller.list_values(inside.id).await.outcome.is_ok()).await;
        caller.list_contents(it.id).await.ok();
    }

    let mut took = Vec::new();
    owner.remove_member(it.id, member.id).await.ok();
    took.push(("the member is removed", shut_out("the member is removed", &member, inside.id).await));
    owner.remove_consumer(it.id, one).await.ok();
    took.push(("the consumer is removed", shut_out("the consumer is removed", &bot, inside.id).await));
    let other = case.role("nothing shared", &[permission::MANAGE_CREDENTIALS]).await;
    let roles = UserChange { roles: Some(vec![other]), ..UserChange::default() };
    case.admin.update_user(leaver.id, &roles).await.ok();
    took.push(("the role is taken", shut_out("the role is taken from the user", &leaver, inside.id).await));

    // A locker that is deleted takes its shares with it.
    owner.set_member(it.id, member.id, &[Right::Manage]).await.ok();
    within_a_second("let in", async || member.list_contents(it.id).await.outcome.is_ok()).await;
    owner.withdraw(it.id, inside.id).await.ok();
    member.get_credential(inside.id).await.refused(404, "credential.not_found");
    owner.delete_locker(it.id, None).await.ok();
    let what = "the locker is deleted";
    let gone = async || member.list_contents(it.id).await.code() == Some("locker.not_found");
    took.push((what, within_a_second(what, gone).await));
    member.get_locker(it.id).await.refused(404, "locker.not_found");
    let own = credential(case, &member, "own").await;
    member.assign(it.id, own.id).await.refused(404, "locker.not_found");
    let longest = took.iter().max_by_key(|(_, took)| *took).unwrap();
    assert!(longest.1 < WITHIN_A_SECOND, "{longest:?} of {took:?}");
}

/// A credential enters at one replica while the locker is deleted at the other.
pub(super) async fn a_locker_deleted_at_one_while_a_credential_enters_at_the_other(case: &Case<'_>, there: &Api) {
    let owner = case.basic("entering").await;
    let owner_there = Session { api: there.clone(), ..owner.clone() };
    for round in 0_u64..16 {
        let (it, one) =
            (locker(case, &owner, &format!("l{round}")).await, credential(case, &owner, &format!("c{round}")).await);
        // The two meet at another moment each time.
        let deleted = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            owner_there.delete_locker(it.id, None).await.outcome
        };
        let (entered, deleted) = tokio::join!(owner.assign(it.id, one.id), deleted);
        let now = owner.get_credential(one.id).await.ok().locker_id;
        let there = owner.get_locker(it.id).await.outcome.is_ok();
        let told = format!("round {round}: {:?} {deleted:?}", entered.outcome);
        assert!(now.is_none() || there, "in a missing locker, {told}");
        assert_eq!((now.is_some(), there), (entered.outcome.is_ok(), deleted.is_err()), "{told}");
    }
}
