//! The matrix of the contract as data, cell by cell, against the code.

use std::sync::Arc;

use coffre_types::{LockerId, Name, PermissionSet, SessionId, Timestamp, TokenKind, Version};

use super::*;
use crate::domain::model::Stamp;
use crate::domain::shares::{Membership, Shares};

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

const LOCKER: LockerId = LockerId::from_trusted(5);

/// What the lockers share with me where I stand to one of them in some ways.
fn shares(standings: &[Standing]) -> Shares {
    let there = |standing| if standings.contains(&standing) { vec![LOCKER] } else { Vec::new() };
    let membership = Membership { managed: there(Standing::Manager), participated: there(Standing::Participant) };
    let mut shares = Shares::new(Arc::new(membership));
    shares.consume(there(Standing::Consumer).into());
    shares
}

fn credential(owner: UserId) -> Credential {
    let at = Timestamp::default();
    Credential {
        id: CredentialId::from_trusted(1),
        name: Name::from_trusted("x".into()),
        description: None,
        owner,
        locker: Some(LOCKER),
        version: Version::FIRST,
        stamp: Stamp { created_by: owner, created_at: at, updated_by: owner, updated_at: at },
    }
}

fn rights(standing: Option<Standing>, with_base: bool) -> Rights {
    let standings: Vec<Standing> = standing.into_iter().collect();
    let permissions: Vec<Permission> = standing.filter(|_| with_base).map(Standing::base).into_iter().collect();
    rights_of(&standings, &permissions, &Sharing::Known(shares(&standings)))
}

fn rights_of(standings: &[Standing], permissions: &[Permission], sharing: &Sharing) -> Rights {
    let owner = if standings.contains(&Standing::Owner) { ME } else { OTHER };
    Rights::of(&caller(permissions), &credential(owner), sharing)
}

fn unknown(gap: Gap) -> Sharing {
    Sharing::Unknown(gap)
}

/// Rows as in the contract; columns: owner, own/manage, participate, consumer, Administer all lockers, View and edit ALL values.
/// `y` yes, `-` seen but not allowed (403), `n` not found (404).
const MATRIX: &[(&[Action], &str)] = &[
    (&[Action::See], "yynyyy"),
    (&[Action::Change, Action::Delete, Action::Assign], "y-n---"),
    (&[Action::Withdraw, Action::Explain], "yyn-y-"),
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
    assert!(matches!(scope(Standing::Manager, Some(ME)), Err(VaultError::NotPermitted(Action::ReadOwn))));
    assert!(matches!(scope(Standing::LockerAdmin, None), Err(VaultError::NotPermitted(Action::ReadStandard))));
    assert!(matches!(scope(Standing::Participant, None), Err(VaultError::CredentialNotFound)));
}

#[test]
fn everybody_who_sees_it_may_learn_of_himself_what_he_may() {
    for standing in Standing::ALL {
        let mine = rights(Some(standing), true).permit_explain(Some(ME));
        assert_eq!(mine.is_ok(), standing != Standing::Participant, "{standing:?}");
    }
    let consumer = rights(Some(Standing::Consumer), true);
    for other in [Some(OTHER), None] {
        assert!(matches!(consumer.permit_explain(other), Err(VaultError::NotPermitted(Action::Explain))));
        assert!(rights(Some(Standing::Manager), true).permit_explain(other).is_ok());
    }
}

#[test]
fn standings_add_up() {
    let permissions = [Permission::ManageMyCredentials, Permission::ManageMyLockers];
    let standings = [Standing::Manager, Standing::Consumer];
    let both = rights_of(&standings, &permissions, &Sharing::Known(shares(&standings)));
    assert!(both.may(Action::ReadStandard) && both.may(Action::WriteStandard) && both.may(Action::Withdraw));
    // One of them without its base permission takes nothing from the other, and is named where it alone would do.
    let half = rights_of(&standings, &[Permission::ManageMyCredentials], &Sharing::Known(shares(&standings)));
    assert!(half.may(Action::ReadStandard) && !half.may(Action::Withdraw));
    let refused = half.check(Action::Withdraw);
    assert!(matches!(refused, Err(VaultError::PermissionRequired(Permission::ManageMyLockers))), "{refused:?}");
}

#[test]
fn to_an_owner_a_locker_adds_nothing() {
    for action in Action::ALL {
        let of_members = [Standing::Manager, Standing::Participant, Standing::Consumer];
        if action.allowed_to().iter().any(|standing| of_members.contains(standing)) {
            assert!(
                action.allowed_to().contains(&Standing::Owner),
                "{action:?}: owners are served without asking locker"
            );
        }
    }
    for gap in [Gap::NotAsked, Gap::Silent] {
        let owner = rights_of(&[Standing::Owner], &[Permission::ManageMyCredentials], &unknown(gap));
        let known = rights(Some(Standing::Owner), true);
        for action in Action::ALL {
            assert_eq!(format!("{:?}", owner.check(action)), format!("{:?}", known.check(action)));
        }
    }
}

#[test]
fn nobody_is_refused_or_answered_on_what_is_not_known() {
    let all: Vec<Permission> = Permission::ALL.into_iter().filter(|p| *p != Permission::ManageAllValues).collect();
    for (permissions, seen) in
        [(vec![Permission::ManageMyCredentials, Permission::ManageMyLockers], false), (all, true)]
    {
        for action in Action::ALL {
            let asking = rights_of(&[], &permissions, &unknown(Gap::NotAsked)).check(action);
            assert!(matches!(asking, Err(VaultError::SharesNotAsked)), "{action:?}: {asking:?}");
            let silent = rights_of(&[], &permissions, &unknown(Gap::Silent)).check(action);
            // Locker is silent: an administrator goes on with what it may without it.
            if seen && action.allowed_to().contains(&Standing::LockerAdmin) {
                assert!(silent.is_ok(), "{action:?}: {silent:?}");
            } else {
                assert!(matches!(silent, Err(VaultError::LockerUnavailable)), "{action:?}: {silent:?}");
            }
        }
    }
}

#[test]
fn whoever_may_see_all_values_is_not_kept_waiting_for_them() {
    for gap in [Gap::NotAsked, Gap::Silent] {
        let administrator = rights_of(&[], &[Permission::ManageAllValues], &unknown(gap));
        for action in [Action::See, Action::ReadStandard, Action::WriteOther] {
            assert!(administrator.check(action).is_ok());
        }
        assert!(!matches!(administrator.check(Action::Withdraw), Err(VaultError::NotPermitted(_))));
    }
}

#[test]
fn a_read_is_not_refused_on_what_is_not_known() {
    let administrator = |gap| rights_of(&[], &[Permission::AdministerAllLockers], &unknown(gap)).permit_read(None);
    assert!(matches!(administrator(Gap::NotAsked), Err(VaultError::SharesNotAsked)));
    assert!(matches!(administrator(Gap::Silent), Err(VaultError::LockerUnavailable)));
    // Manages and consumes, the latter without its base permission: the entries. Consumes alone: what is missing.
    let standings = [Standing::Manager, Standing::Consumer];
    let idle = rights_of(&standings, &[Permission::ManageMyLockers], &Sharing::Known(shares(&standings)));
    assert!(!idle.permit_read(None).unwrap().released());
    let missing = rights(Some(Standing::Consumer), false).permit_read(None);
    assert!(matches!(missing, Err(VaultError::PermissionRequired(Permission::ManageMyCredentials))));
}

#[test]
fn without_a_locker_nothing_is_asked() {
    let alone = Credential { locker: None, ..credential(OTHER) };
    let rights = Rights::of(&caller(&[Permission::ManageMyCredentials]), &alone, &unknown(Gap::NotAsked));
    assert!(matches!(rights.check(Action::See), Err(VaultError::CredentialNotFound)));
}

#[test]
fn a_list_shows_what_a_standing_reaches() {
    let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
    let reached = |owner: bool, locker: bool| Visible::Reached {
        owner: owner.then_some(ME),
        lockers: if locker { vec![LOCKER] } else { Vec::new() },
    };
    let visible =
        |permissions: &[Permission], standings: &[Standing]| Visible::to(&caller(permissions), &shares(standings));
    assert_eq!(visible(&[credentials], &[]).unwrap(), reached(true, false));
    assert_eq!(visible(&[credentials], &[Standing::Consumer]).unwrap(), reached(true, true));
    assert_eq!(visible(&[credentials], &[Standing::Manager]).unwrap(), reached(true, false));
    assert_eq!(visible(&[lockers], &[Standing::Manager]).unwrap(), reached(false, true));
    assert_eq!(visible(&[lockers], &[Standing::Consumer]).unwrap(), reached(false, false));
    assert_eq!(
        visible(&[credentials, lockers], &[Standing::Manager, Standing::Consumer]).unwrap(),
        reached(true, true)
    );
    assert_eq!(visible(&[credentials, lockers], &[Standing::Participant]).unwrap(), reached(true, false));
    for all in [Permission::AdministerAllLockers, Permission::ManageAllValues] {
        assert_eq!(visible(&[all], &[]).unwrap(), Visible::All);
    }
    assert!(matches!(
        visible(&[], &[Standing::Manager]),
        Err(VaultError::PermissionRequired(Permission::ManageMyCredentials))
    ));
    assert_eq!(consumed(&caller(&[credentials]), &shares(&[Standing::Consumer])), [LOCKER]);
    assert!(consumed(&caller(&[lockers]), &shares(&[Standing::Consumer])).is_empty());
}

#[test]
fn the_contents_of_a_locker_are_shown_as_the_matrix_says() {
    let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
    let contents = |permissions: &[Permission], standings: &[Standing]| {
        Contents::of(&caller(permissions), LOCKER, &shares(standings))
    };
    assert_eq!(contents(&[lockers], &[Standing::Manager]).unwrap(), (Contents::All, true));
    assert_eq!(contents(&[credentials], &[Standing::Consumer]).unwrap(), (Contents::All, true));
    assert_eq!(contents(&[credentials, lockers], &[Standing::Participant]).unwrap(), (Contents::OwnedBy(ME), true));
    assert_eq!(contents(&[lockers], &[Standing::Participant]).unwrap(), (Contents::Nothing, true));
    assert_eq!(contents(&[Permission::AdministerAllLockers], &[]).unwrap(), (Contents::All, false));
    assert!(matches!(contents(&[credentials, lockers], &[]), Err(VaultError::LockerNotFound(LOCKER))));
    assert!(matches!(contents(&[Permission::ManageAllValues], &[]), Err(VaultError::LockerNotFound(LOCKER))));
    for (standing, others) in
        [(Standing::Manager, credentials), (Standing::Participant, credentials), (Standing::Consumer, lockers)]
    {
        let refused = contents(&[others], &[standing]);
        assert!(matches!(refused, Err(VaultError::PermissionRequired(base)) if base == standing.base()), "{refused:?}");
    }
}
