//! Calls that meet: whatever the order, no credential is in a missing locker and no owner or member is a missing user.

use coffre_e2e::case::{Case, permission};
use coffre_e2e::model::Right;

use super::contents::credential;
use super::lockers::locker;

/// So often each; the moment at which the two meet is another one each time.
const ROUNDS: usize = 8;

pub(crate) async fn a_locker_is_deleted_while_a_credential_enters(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    for round in 0..ROUNDS {
        let (it, one) =
            (locker(case, &owner, &format!("l{round}")).await, credential(case, &owner, &format!("c{round}")).await);
        let (entered, deleted) = tokio::join!(owner.assign(it.id, one.id), owner.delete_locker(it.id, None));
        let (entered, deleted) = (entered.outcome, deleted.outcome);
        let now = owner.get_credential(one.id).await.ok().locker_id;
        match &entered {
            Ok(_) => assert_eq!(now, Some(it.id), "round {round}: acknowledged"),
            Err(refused) => {
                assert!(
                    matches!(refused.code.as_str(), "locker.not_found" | "locker.being_deleted"),
                    "round {round}: {refused:?}"
                );
                assert_eq!(now, None, "round {round}: a refusal changes nothing");
            }
        }
        match &deleted {
            Ok(()) => {
                owner.get_locker(it.id).await.refused(404, "locker.not_found");
                assert_eq!(now, None, "round {round}: in a missing locker: {entered:?}");
            }
            Err(refused) => {
                assert_eq!((refused.status, refused.code.as_str()), (409, "locker.not_empty"), "round {round}");
                owner.get_locker(it.id).await.ok();
                // It is alive again, and takes credentials.
                let next = credential(case, &owner, &format!("n{round}")).await;
                owner.assign(it.id, next.id).await.ok();
            }
        }
    }
}

pub(crate) async fn a_user_is_deleted_while_it_is_given_something(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    for round in 0..ROUNDS {
        let leaver = case.user(&format!("leaver {round}"), &[]).await;
        let (it, one) =
            (locker(case, &owner, &format!("l{round}")).await, credential(case, &owner, &format!("c{round}")).await);
        let as_member = round % 2 == 0;
        let given = async {
            if as_member {
                owner.set_member(it.id, leaver.id, &[Right::Own]).await.outcome
            } else {
                owner.transfer_credential(one.id, leaver.id).await.outcome.map(|_| ())
            }
        };
        let (given, deleted) = tokio::join!(given, case.admin.delete_user(leaver.id));
        let there = case.admin.get_user(leaver.id).await.outcome.is_ok();
        assert_eq!(there, deleted.outcome.is_err(), "round {round}: {deleted:?}");
        if let Err(refused) = &given {
            assert!(
                matches!(refused.code.as_str(), "user.not_found" | "credential.owner_unknown"),
                "round {round}: {refused:?}"
            );
        }
        let keeper = &case.admin;
        let owned = keeper.get_credential(one.id).await.ok().owner_id;
        assert!(owned == owner.id || there, "round {round}: credential {} is owned by a missing user", one.id);
        if !there {
            let members = keeper.list_members(it.id).await.ok();
            assert!(members.iter().all(|one| one.user_id != leaver.id), "round {round}: a missing member: {members:?}");
        }
    }
}

pub(crate) async fn a_role_is_deleted_while_it_becomes_a_consumer(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let it = locker(case, &owner, "consumed").await;
    for round in 0..ROUNDS {
        let role = case.role(&format!("r{round}"), &[permission::MANAGE_CREDENTIALS]).await;
        let (added, deleted) = tokio::join!(owner.add_consumer(it.id, role), case.admin.delete_role(role));
        let consumers = owner.list_consumers(it.id).await.ok();
        match deleted.outcome {
            Ok(()) => assert!(!consumers.contains(&role), "round {round}: a missing role consumes: {added:?}"),
            Err(refused) => {
                assert_eq!((refused.status, refused.code.as_str()), (409, "role.in_use"), "round {round}");
                case.admin.get_role(role).await.ok();
                owner.add_consumer(it.id, role).await.ok();
            }
        }
        if let Err(refused) = added.outcome {
            assert_eq!(refused.code, "role.not_found", "round {round}");
        }
    }
}

pub(crate) async fn two_lockers_want_one_credential(case: &Case<'_>) {
    let owner = case.basic("owner").await;
    let (first, second) = (locker(case, &owner, "first").await, locker(case, &owner, "second").await);
    for round in 0..ROUNDS {
        let one = credential(case, &owner, &format!("c{round}")).await;
        let (here, there) = tokio::join!(owner.assign(first.id, one.id), owner.assign(second.id, one.id));
        let now = owner.get_credential(one.id).await.ok();
        let won: Vec<i64> = [(&here, first.id), (&there, second.id)]
            .into_iter()
            .filter(|(answer, _)| answer.outcome.is_ok())
            .map(|(_, id)| id)
            .collect();
        assert_eq!(won, now.locker_id.into_iter().collect::<Vec<_>>(), "round {round}: {here:?} {there:?}");
        assert_eq!(now.version, i64::from(now.locker_id.is_some()), "round {round}: one change");
        for refused in [here, there].into_iter().filter_map(|answer| answer.outcome.err()) {
            assert_eq!(refused.status, 409, "round {round}: {refused:?}");
        }
    }
    // What was refused leaves no place reserved: an empty locker goes.
    for it in [first, second] {
        for inside in owner.list_contents(it.id).await.ok() {
            owner.withdraw(it.id, inside.id).await.ok();
        }
        owner.delete_locker(it.id, None).await.ok();
    }
}
