//! What is explained about a user is what that user meets as a caller.

use std::sync::Arc;

use coffre_types::{Caller, CredentialId, Name, SessionId, Timestamp, TokenKind, Version};

use super::*;
use crate::domain::model::{Stamp, Traits};
use crate::domain::policy::Rights;
use crate::domain::shares::{Membership, Shares, Sharing};

const ME: UserId = UserId::from_trusted(7);
const LOCKER: LockerId = LockerId::from_trusted(5);
const CONSUMING: RoleId = RoleId::from_trusted(70);
const OTHER_ROLE: RoleId = RoleId::from_trusted(71);

fn credential(owner: i64) -> Credential {
    let (owner, at) = (UserId::from_trusted(owner), Timestamp::default());
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

fn caller(permissions: PermissionSet, roles: &[RoleId]) -> Caller {
    Caller {
        user_id: ME,
        username: Arc::from("me"),
        session_id: SessionId::from_bytes(&[0; 16]).unwrap(),
        roles: roles.into(),
        permissions,
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    }
}

fn person(permissions: PermissionSet, consumes: bool) -> Person {
    let role = |id, permissions| PersonRole { id, name: format!("role{id}"), permissions };
    let first = role(if consumes { CONSUMING } else { RoleId::from_trusted(72) }, PermissionSet::EMPTY);
    Person { id: ME, name: "me".to_owned(), disabled: false, roles: vec![first, role(OTHER_ROLE, permissions)] }
}

fn sharers(member: Option<Standing>) -> LockerSharers {
    LockerSharers {
        id: LOCKER,
        name: "locker".to_owned(),
        members: member.into_iter().map(|standing| (ME, standing)).collect(),
        consumers: BTreeSet::from([CONSUMING]),
    }
}

#[test]
fn an_explanation_is_what_the_user_meets() {
    let relevant = [
        Permission::ManageMyCredentials,
        Permission::ManageMyLockers,
        Permission::AdministerAllLockers,
        Permission::ManageAllValues,
    ];
    for set in 0..1_usize << relevant.len() {
        let chosen = relevant.iter().enumerate().filter(|(index, _)| set & (1 << index) != 0);
        let permissions: PermissionSet = chosen.map(|(_, permission)| *permission).collect();
        for owner in [7, 8] {
            for member in [None, Some(Standing::Manager), Some(Standing::Participant)] {
                for consumes in [false, true] {
                    let there = |standing| if member == Some(standing) { vec![LOCKER] } else { Vec::new() };
                    let mut shares = Shares::new(Arc::new(Membership {
                        managed: there(Standing::Manager),
                        participated: there(Standing::Participant),
                    }));
                    if consumes {
                        shares.consume([LOCKER].into());
                    }
                    let met = Rights::of(&caller(permissions, &[]), &credential(owner), &Sharing::Known(shares));
                    let explained = explain(&credential(owner), Some(&sharers(member)), person(permissions, consumes));
                    let allowed: Vec<Action> = Action::ALL.into_iter().filter(|action| met.may(*action)).collect();
                    assert_eq!(explained.actions, allowed, "{permissions:?} {owner} {member:?} {consumes}");
                    for path in &explained.paths {
                        assert_eq!(path.missing.is_none(), met.stands_as(path.standing), "{path:?}");
                        assert_eq!(path.missing.is_none(), permissions.contains(path.standing.base()));
                    }
                    let paths = usize::from(owner == 7)
                        + usize::from(member.is_some())
                        + usize::from(consumes)
                        + usize::from(permissions.contains(Permission::AdministerAllLockers))
                        + usize::from(permissions.contains(Permission::ManageAllValues));
                    assert_eq!(explained.paths.len(), paths);
                }
            }
        }
    }
}

#[test]
fn an_explanation_names_the_role_and_what_is_missing() {
    let explained = explain(&credential(8), Some(&sharers(None)), person(PermissionSet::EMPTY, true));
    let path = AccessPath {
        standing: Standing::Consumer,
        role: Some((CONSUMING, "role70".to_owned())),
        missing: Some(Permission::ManageMyCredentials),
        actions: Vec::new(),
    };
    assert_eq!(explained.paths, [path]);
    assert!(explained.actions.is_empty());
    let alone = explain(&credential(8), None, person(PermissionSet::EMPTY, true));
    assert!(alone.paths.is_empty(), "in no locker nobody consumes");
}

#[test]
fn what_no_locker_holds_is_taken_out_of_none() {
    let all = Permission::ALL.into_iter().collect();
    for (locker, withdrawn) in [(Some(LOCKER), true), (None, false)] {
        let credential = Credential { locker, ..credential(7) };
        let sharers = sharers(None);
        let explained = explain(&credential, locker.map(|_| &sharers), person(all, false));
        assert_eq!(explained.actions.contains(&Action::Withdraw), withdrawn);
        let mut by_owner_and_admin = explained.paths.iter().filter(|path| path.standing != Standing::ValueAdmin);
        assert!(by_owner_and_admin.all(|path| path.actions.contains(&Action::Withdraw) == withdrawn));
        let others = Action::ALL.into_iter().filter(|action| *action != Action::Withdraw);
        assert!(others.into_iter().all(|action| explained.actions.contains(&action)), "all the rest is as it was");
    }
}

fn attribute(id: i64, user_provided: bool) -> Attribute {
    Attribute {
        id: AttributeId::from_trusted(id),
        credential: CredentialId::from_trusted(1),
        name: Name::from_trusted(format!("a{id}")),
        description: None,
        traits: Traits { user_provided, ..Traits::default() },
        version: Version::FIRST,
        stamp: credential(8).stamp,
    }
}

#[test]
fn who_lacks_which_own_value() {
    let attributes = [attribute(1, true), attribute(2, false), attribute(3, true)];
    let permissions: PermissionSet = [Permission::ManageMyCredentials].into_iter().collect();
    let missing = |stored: &[i64], permissions| {
        let stored = stored.iter().map(|attribute| (ME, AttributeId::from_trusted(*attribute))).collect();
        missing_values(&attributes, vec![person(permissions, true)], &stored)
    };
    let ids = |ids: &[i64]| ids.iter().copied().map(AttributeId::from_trusted).collect::<Vec<_>>();
    assert_eq!(missing(&[], permissions)[0].attributes, ids(&[1, 3]));
    assert_eq!(missing(&[3], permissions)[0].attributes, ids(&[1]));
    assert!(missing(&[1, 3], permissions).is_empty());
    assert!(missing(&[], PermissionSet::EMPTY).is_empty(), "without the base permission it can store nothing");
}
