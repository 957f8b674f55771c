//! The matrix of the contract as data, through the use cases, on both engines: of a credential that is in a locker, and of one that is not.

use std::sync::Arc;

use coffre_test_support::on_each_engine;
use coffre_types::{Caller, Name, Permission, UserId};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::values::ListValues;

use crate::world::{OWN, STANDARD, World, caller, member, patch_of, update_of, with_roles};

const CREDENTIALS: Permission = Permission::ManageMyCredentials;
const LOCKERS: Permission = Permission::ManageMyLockers;
const LOCKER: i64 = 5;
const CONSUMING: i64 = 70;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    See,
    Change,
    Delete,
    DeleteAttribute,
    Assign,
    Withdraw,
    Transfer,
    ReadStandard,
    ReadOther,
    WriteStandard,
    ChangeStandard,
    DeleteStandard,
    WriteOwn,
    WriteOther,
    ChangeOther,
    DeleteOther,
    Explain,
    ExplainMyself,
    Missing,
}

/// What is tried; the cells in a locker: owner, manager, participant, consumer, Administer all lockers, View and edit ALL values, another
/// user, nobody, manager and consumer; the cells without a locker, for the same callers.
///
/// `y` yes, `e` the entries without their secrets, `i` refused because a locker holds it, `o` refused because none does, `-` 403 not
/// permitted, `n` 404.
const MATRIX: [(Try, &str, &str); 19] = [
    (Try::See, "yynyyynny", "ynnnyynnn"),
    (Try::Change, "y-n---nn-", "ynnn--nnn"),
    (Try::Delete, "i-n---nn-", "ynnn--nnn"),
    (Try::DeleteAttribute, "y-n---nn-", "ynnn--nnn"),
    (Try::Assign, "y-n---nn-", "ynnn--nnn"),
    (Try::Withdraw, "yyn-y-nny", "onnno-nnn"),
    (Try::Transfer, "y-n-y-nn-", "ynnny-nnn"),
    (Try::ReadStandard, "yeny-ynny", "ynnn-ynnn"),
    (Try::ReadOther, "--n--ynn-", "-nnn-ynnn"),
    (Try::WriteStandard, "yyn--ynny", "ynnn-ynnn"),
    (Try::ChangeStandard, "yyn--ynny", "ynnn-ynnn"),
    (Try::DeleteStandard, "yyn--ynny", "ynnn-ynnn"),
    (Try::WriteOwn, "y-ny-ynny", "ynnn-ynnn"),
    (Try::WriteOther, "--n--ynn-", "-nnn-ynnn"),
    (Try::ChangeOther, "--n--ynn-", "-nnn-ynnn"),
    (Try::DeleteOther, "--n--ynn-", "-nnn-ynnn"),
    (Try::Explain, "yyn-y-nny", "ynnny-nnn"),
    (Try::ExplainMyself, "yynyyynny", "ynnnyynnn"),
    (Try::Missing, "yyn-y-nny", "ynnny-nnn"),
];

fn callers() -> [Arc<Caller>; 9] {
    [
        caller(7, &[CREDENTIALS, LOCKERS]),
        caller(24, &[LOCKERS]),
        caller(25, &[CREDENTIALS, LOCKERS]),
        with_roles(26, &[CREDENTIALS], &[CONSUMING]),
        caller(20, &[Permission::AdministerAllLockers]),
        caller(21, &[Permission::ManageAllValues]),
        caller(22, &[CREDENTIALS, LOCKERS, Permission::ManageSettings]),
        caller(23, &[]),
        with_roles(27, &[CREDENTIALS, LOCKERS], &[71, CONSUMING]),
    ]
}

/// The owner, a manager, a participant and a consumer without their base permission: whatever is tried in a locker, the answer names it, but to
/// a participant, who sees nothing of others.
fn without_base() -> [(Arc<Caller>, Option<Permission>); 4] {
    [
        (caller(7, &[LOCKERS]), Some(CREDENTIALS)),
        (caller(24, &[CREDENTIALS]), Some(LOCKERS)),
        (caller(25, &[CREDENTIALS]), None),
        (with_roles(26, &[LOCKERS], &[CONSUMING]), Some(CREDENTIALS)),
    ]
}

fn furnish(world: &World) {
    world.locker.manager(LOCKER, 24);
    world.locker.participant(LOCKER, 25);
    world.locker.manager(LOCKER, 27);
    world.locker.consumer(LOCKER, CONSUMING);
}

async fn attempt(world: &World, name: &str, who: &Arc<Caller>, what: Try, in_locker: bool) -> Result<bool, VaultError> {
    let owner = caller(7, &[CREDENTIALS, LOCKERS]);
    let admin = caller(30, &[Permission::ManageAllValues]);
    let attributes = [("std", STANDARD), ("own", OWN), ("spare", STANDARD)];
    let made = if in_locker {
        world.create_in(7, name, &attributes, LOCKER).await
    } else {
        world.locker.participant(LOCKER, 7);
        world.create(&owner, name, &attributes).await.unwrap()
    };
    let id = made.credential.id;
    let (std, own, spare) = (made.attributes[0].id, made.attributes[1].id, made.attributes[2].id);
    let standard = world.store(&owner, id, std, None, "s").await.unwrap();
    let other = world.store(&admin, id, own, Some(40), "o").await.unwrap();
    let values = |user| ListValues { credential: id, attribute: None, user };
    match what {
        Try::See => world.vault.credential(world.call(who), id).await.map(|_| true),
        Try::Change => {
            let mut patch = patch_of(id);
            patch.name = Some(Name::parse(format!("new {name}")).unwrap());
            world.update(who, patch).await.map(|(_, changed)| changed)
        }
        Try::Delete => world.vault.delete_credential(world.call(who), id, String::new()).await.map(|()| true),
        Try::DeleteAttribute => {
            world.vault.delete_attribute(world.call(who), id, spare, String::new()).await.map(|()| true)
        }
        Try::Assign => world.assign(who, id, LOCKER).await.map(|(_, changed)| changed != in_locker),
        Try::Withdraw => world.withdraw(who, id, LOCKER).await.map(|()| true),
        Try::Transfer => {
            let to = UserId::from_trusted(50);
            world.vault.transfer_credential(world.call(who), id, to, String::new()).await.map(|(_, changed)| changed)
        }
        Try::ReadStandard => {
            let read = world.vault.values(world.call(who), values(None)).await?;
            Ok(read[0].secret.as_ref().is_some_and(|secret| secret.expose() == "s"))
        }
        Try::ReadOther => world.vault.values(world.call(who), values(UserId::new(40))).await.map(|_| true),
        Try::WriteStandard => world.store(who, id, spare, None, "x").await.map(|_| true),
        Try::ChangeStandard => world.update_value(who, update_of(id, standard), "x").await.map(|_| true),
        Try::DeleteStandard => {
            world.vault.delete_value(world.call(who), id, standard, String::new()).await.map(|()| true)
        }
        Try::WriteOwn => world.store(who, id, own, None, "x").await.map(|_| true),
        Try::WriteOther => world.store(who, id, own, Some(41), "x").await.map(|_| true),
        Try::ChangeOther => world.update_value(who, update_of(id, other), "x").await.map(|_| true),
        Try::DeleteOther => world.vault.delete_value(world.call(who), id, other, String::new()).await.map(|()| true),
        Try::Explain => world.vault.explain_access(world.call(who), id, None).await.map(|_| true),
        Try::ExplainMyself => world.vault.explain_access(world.call(who), id, Some(who.user_id)).await.map(|_| true),
        Try::Missing => world.vault.missing_values(world.call(who), id).await.map(|_| true),
    }
}

fn cell(answer: &Result<bool, VaultError>) -> char {
    match answer {
        Ok(true) => 'y',
        Ok(false) => 'e',
        Err(VaultError::CredentialInLocker(_)) => 'i',
        Err(VaultError::CredentialNotInLocker { .. }) => 'o',
        Err(VaultError::NotPermitted(_)) => '-',
        Err(VaultError::CredentialNotFound) => 'n',
        Err(_) => '?',
    }
}

on_each_engine! {
    async fn every_call_is_answered_as_the_matrix_says(db: TestDb) {
        let world = World::new(&db).await;
        furnish(&world);
        for (what, in_locker, alone) in MATRIX {
            for (place, cells) in [(true, in_locker), (false, alone)] {
                for (index, (who, expected)) in callers().iter().zip(cells.chars()).enumerate() {
                    let answer = attempt(&world, &format!("{what:?} {place} {index}"), who, what, place).await;
                    assert_eq!(cell(&answer), expected, "{what:?} in a locker: {place}, column {index}: {answer:?}");
                }
            }
        }
    }

    async fn a_right_without_its_base_permission_is_named_and_not_effective(db: TestDb) {
        let world = World::new(&db).await;
        furnish(&world);
        for (what, ..) in MATRIX {
            for (index, (who, missing)) in without_base().iter().enumerate() {
                let answer = attempt(&world, &format!("{what:?} {index}"), who, what, true).await;
                match missing {
                    Some(missing) => assert!(
                        matches!(&answer, Err(VaultError::PermissionRequired(named)) if named == missing),
                        "{what:?} column {index}: {answer:?}"
                    ),
                    None => assert!(matches!(answer, Err(VaultError::CredentialNotFound)), "{what:?}: {answer:?}"),
                }
            }
        }
    }

    async fn an_administrator_of_lockers_gives_to_others_and_never_to_itself(db: TestDb) {
        let world = World::new(&db).await;
        let id = world.create(&member(7), "c", &[("a", STANDARD)]).await.unwrap().credential.id;
        let admin = caller(20, &[Permission::AdministerAllLockers, Permission::ManageMyCredentials]);
        let transfer = |to: i64| world.vault.transfer_credential(world.call(&admin), id, UserId::from_trusted(to), String::new());
        assert!(matches!(transfer(20).await, Err(VaultError::SelfGrant)));
        assert!(transfer(8).await.unwrap().1);
    }

    async fn without_the_base_permission_nothing_is_made(db: TestDb) {
        let world = World::new(&db).await;
        let refused = world.create(&caller(7, &[]), "c", &[("a", STANDARD)]).await;
        assert!(matches!(refused, Err(VaultError::PermissionRequired(Permission::ManageMyCredentials))));
    }
}
