//! The matrix of the contract as data, cell by cell, against the code.

use std::sync::Arc;

use coffre_types::{Name, PermissionSet, SessionId, Timestamp, TokenKind, Version};

use super::*;
use crate::domain::model::Stamp;

const ME: UserId = UserId::from_trusted(7);
const OTHER: UserId = UserId::from_trusted(8);

fn caller(permissions: &[Permission]) -> Caller {
    Caller {
        user_id: ME,
        username: Arc::from("me"),
        session_id: SessionId::from_bytes(&[0; 16]).unwrap(),
        roles: Arc::from([]),
        permissions: permissions.iter().copied().collect::<PermissionSet>(),
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    }
}

fn credential(owner: UserId) -> Credential {
    let at = Timestamp::default();
    Credential {
        id: CredentialId::from_trusted(1),
        name: Name::from_trusted("x".into()),
        description: None,
        owner,
        locker: None,
        version: Version::FIRST,
        stamp: Stamp { created_by: owner, created_at: at, updated_by: owner, updated_at: at },
    }
}

fn rights(standing: Option<Standing>, with_base: bool) -> Rights {
    let permissions: Vec<Permission> = standing.filter(|_| with_base).map(Standing::base).into_iter().collect();
    let owner = if standing == Some(Standing::Owner) { ME } else { OTHER };
    let locker = LockerAnswer {
        manager: standing == Some(Standing::Manager),
        participant: standing == Some(Standing::Participant),
        consumer: standing == Some(Standing::Consumer),
    };
    Rights::of(&caller(&permissions), &credential(owner), locker)
}

/// Rows as in the contract; columns: owner, own/manage, participate, consumer, Administer all lockers, View and edit ALL values.
/// `y` yes, `-` seen but not allowed (403), `n` not found (404).
const MATRIX: &[(&[Action], &str)] = &[
    (&[Action::See], "yynyyy"),
    (&[Action::Change, Action::Delete, Action::Assign], "y-n---"),
    (&[Action::Withdraw], "yyn-y-"),
    (&[Action::Transfer], "y-n-y-"),
    (&[Action::ReadStandard], "y-ny-y"),
    (&[Action::WriteStandard], "yyn--y"),
    (&[Action::ReadOwn, Action::WriteOwn], "y-ny-y"),
    (&[Action::ReadOther, Action::WriteOther], "--n--y"),
];

#[test]
fn every_cell_is_as_the_contract_says() {
    let mut seen = Vec::new();
    for (actions, cells) in MATRIX {
        for action in *actions {
            seen.push(*action);
            for (standing, cell) in Standing::ALL.into_iter().zip(cells.chars()) {
                let answer = rights(Some(standing), true).check(*action);
                match cell {
                    'y' => assert!(answer.is_ok(), "{action:?} {standing:?}"),
                    '-' => assert!(
                        matches!(answer, Err(VaultError::NotPermitted(refused)) if refused == *action),
                        "{action:?} {standing:?}: {answer:?}"
                    ),
                    _ => assert!(
                        matches!(answer, Err(VaultError::CredentialNotFound)),
                        "{action:?} {standing:?}: {answer:?}"
                    ),
                }
            }
            assert!(
                matches!(rights(None, true).check(*action), Err(VaultError::CredentialNotFound)),
                "{action:?} others"
            );
        }
    }
    for action in Action::ALL {
        assert!(seen.contains(&action), "{action:?} has no row");
    }
}

#[test]
fn a_right_without_its_base_permission_is_not_effective_and_names_it() {
    for action in Action::ALL {
        for standing in [Standing::Owner, Standing::Manager, Standing::Consumer] {
            let answer = rights(Some(standing), false).check(action);
            assert!(
                matches!(answer, Err(VaultError::PermissionRequired(base)) if base == standing.base()),
                "{action:?} {standing:?}: {answer:?}"
            );
        }
        assert!(matches!(
            rights(Some(Standing::Participant), false).check(action),
            Err(VaultError::CredentialNotFound)
        ));
    }
}

#[test]
fn an_administrator_of_lockers_does_not_give_to_itself() {
    let administrator = rights(Some(Standing::LockerAdmin), true);
    assert!(matches!(administrator.permit_transfer(ME), Err(VaultError::SelfGrant)));
    assert!(administrator.permit_transfer(OTHER).is_ok());
    assert!(rights(Some(Standing::Owner), true).permit_transfer(ME).is_ok());
}

#[test]
fn the_scope_of_a_read_follows_the_standing() {
    let scope =
        |standing, user| rights(Some(standing), true).permit_read(user).map(|scope| (scope.users(), scope.released()));
    assert_eq!(scope(Standing::Owner, None).unwrap(), (Users::One(ME), true));
    assert_eq!(scope(Standing::Owner, Some(ME)).unwrap(), (Users::One(ME), true));
    assert!(matches!(scope(Standing::Owner, Some(OTHER)), Err(VaultError::NotPermitted(Action::ReadOther))));
    assert_eq!(scope(Standing::ValueAdmin, None).unwrap(), (Users::All, true));
    assert_eq!(scope(Standing::ValueAdmin, Some(ME)).unwrap(), (Users::One(ME), true));
    assert_eq!(scope(Standing::ValueAdmin, Some(OTHER)).unwrap(), (Users::One(OTHER), true));
    assert_eq!(scope(Standing::Manager, None).unwrap(), (Users::Nobody, false));
    assert!(matches!(scope(Standing::LockerAdmin, None), Err(VaultError::NotPermitted(Action::ReadStandard))));
    assert!(matches!(scope(Standing::Participant, None), Err(VaultError::CredentialNotFound)));
}

#[test]
fn a_list_shows_what_a_standing_reaches() {
    assert_eq!(Visible::to(&caller(&[Permission::ManageMyCredentials])).unwrap(), Visible::OwnedBy(ME));
    assert_eq!(Visible::to(&caller(&[Permission::AdministerAllLockers])).unwrap(), Visible::All);
    assert_eq!(Visible::to(&caller(&[Permission::ManageAllValues])).unwrap(), Visible::All);
    assert_eq!(Visible::to(&caller(&[Permission::ManageMyLockers])).unwrap(), Visible::None);
    assert!(matches!(Visible::to(&caller(&[])), Err(VaultError::PermissionRequired(Permission::ManageMyCredentials))));
}
