//! The matrix of the contract as data, through the use cases, on both engines. Columns that need a locker come with lockers; until then
//! the unit tests of the policy hold them.

use std::sync::Arc;

use coffre_test_support::on_each_engine;
use coffre_types::{Caller, Name, Permission, UserId};
use coffre_vault::domain::error::VaultError;
use coffre_vault::domain::values::ListValues;

use crate::world::{OWN, STANDARD, World, caller, member, patch_of, update_of};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    See,
    Change,
    Delete,
    DeleteAttribute,
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
}

/// Columns: owner, owner without its base permission, Administer all lockers, View and edit ALL values, another user, nobody.
/// `y` yes, `-` 403 not permitted, `p` 403 a permission is missing, `n` 404.
const MATRIX: [(Try, &str); 14] = [
    (Try::See, "ypyynn"),
    (Try::Change, "yp--nn"),
    (Try::Delete, "yp--nn"),
    (Try::DeleteAttribute, "yp--nn"),
    (Try::Transfer, "ypy-nn"),
    (Try::ReadStandard, "yp-ynn"),
    (Try::ReadOther, "-p-ynn"),
    (Try::WriteStandard, "yp-ynn"),
    (Try::ChangeStandard, "yp-ynn"),
    (Try::DeleteStandard, "yp-ynn"),
    (Try::WriteOwn, "yp-ynn"),
    (Try::WriteOther, "-p-ynn"),
    (Try::ChangeOther, "-p-ynn"),
    (Try::DeleteOther, "-p-ynn"),
];

fn callers() -> [Arc<Caller>; 6] {
    [
        member(7),
        caller(7, &[Permission::ManageMyLockers]),
        caller(20, &[Permission::AdministerAllLockers]),
        caller(21, &[Permission::ManageAllValues]),
        caller(22, &[Permission::ManageMyCredentials, Permission::ManageMyLockers, Permission::ManageSettings]),
        caller(23, &[]),
    ]
}

async fn attempt(world: &World, index: usize, who: &Arc<Caller>, what: Try) -> Result<(), VaultError> {
    let owner = member(7);
    let admin = caller(30, &[Permission::ManageAllValues]);
    let attributes = [("std", STANDARD), ("own", OWN), ("spare", STANDARD)];
    let made = world.create(&owner, &format!("c{index}-{what:?}"), &attributes).await.unwrap();
    let id = made.credential.id;
    let (std, own, spare) = (made.attributes[0].id, made.attributes[1].id, made.attributes[2].id);
    let standard = world.store(&owner, id, std, None, "s").await.unwrap();
    let other = world.store(&admin, id, own, Some(40), "o").await.unwrap();
    let values = |user| ListValues { credential: id, attribute: None, user };
    match what {
        Try::See => world.vault.credential(world.call(who), id).await.map(|_| ()),
        Try::Change => {
            let mut patch = patch_of(id);
            patch.name = Some(Name::parse(format!("n{index}-{what:?}")).unwrap());
            world.update(who, patch).await.map(|_| ())
        }
        Try::Delete => world.vault.delete_credential(world.call(who), id, String::new()).await,
        Try::DeleteAttribute => world.vault.delete_attribute(world.call(who), id, spare, String::new()).await,
        Try::Transfer => {
            let to = UserId::from_trusted(50);
            world.vault.transfer_credential(world.call(who), id, to, String::new()).await.map(|_| ())
        }
        Try::ReadStandard => world.vault.values(world.call(who), values(None)).await.map(|_| ()),
        Try::ReadOther => world.vault.values(world.call(who), values(UserId::new(40))).await.map(|_| ()),
        Try::WriteStandard => world.store(who, id, spare, None, "x").await.map(|_| ()),
        Try::ChangeStandard => world.update_value(who, update_of(id, standard), "x").await.map(|_| ()),
        Try::DeleteStandard => world.vault.delete_value(world.call(who), id, standard, String::new()).await,
        Try::WriteOwn => world.store(who, id, own, None, "x").await.map(|_| ()),
        Try::WriteOther => world.store(who, id, own, Some(41), "x").await.map(|_| ()),
        Try::ChangeOther => world.update_value(who, update_of(id, other), "x").await.map(|_| ()),
        Try::DeleteOther => world.vault.delete_value(world.call(who), id, other, String::new()).await,
    }
}

on_each_engine! {
    async fn every_call_is_answered_as_the_matrix_says(db: TestDb) {
        let world = World::new(&db).await;
        for (what, cells) in MATRIX {
            for (index, (who, cell)) in callers().iter().zip(cells.chars()).enumerate() {
                let answer = attempt(&world, index, who, what).await;
                let got = match &answer {
                    Ok(()) => 'y',
                    Err(VaultError::NotPermitted(_)) => '-',
                    Err(VaultError::PermissionRequired(Permission::ManageMyCredentials)) => 'p',
                    Err(VaultError::CredentialNotFound) => 'n',
                    Err(_) => '?',
                };
                assert_eq!(got, cell, "{what:?} column {index}: {answer:?}");
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
