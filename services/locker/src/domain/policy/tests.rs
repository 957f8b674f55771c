//! The matrix of the contract as data, cell by cell, against the code.

use super::*;
use crate::domain::model::Membership;

const ME: UserId = UserId::from_trusted(7);
const OTHER: UserId = UserId::from_trusted(8);
const LOCKER: LockerId = LockerId::from_trusted(3);
const MINE: RoleId = RoleId::from_trusted(14);
const FOREIGN: RoleId = RoleId::from_trusted(15);

fn who(permissions: &[Permission]) -> Who {
    Who { user: ME, roles: vec![MINE], permissions: permissions.iter().copied().collect() }
}

/// The place of somebody who stands in one way. An owner who is no manager, and the other way round: each has its own column.
fn place(standing: Option<Standing>) -> Place {
    let member = match standing {
        Some(Standing::Owner) => Some(Membership { own: true, manage: false }),
        Some(Standing::Manager) => Some(Membership { own: false, manage: true }),
        Some(Standing::Participant) => Some(Membership::default()),
        Some(Standing::Consumer | Standing::Admin) | None => None,
    };
    Place { member, consumer: standing == Some(Standing::Consumer) }
}

fn check(standing: Option<Standing>, with_base: bool, action: Action) -> Result<(), LockerError> {
    let permissions: Vec<Permission> = standing.filter(|_| with_base).map(Standing::base).into_iter().collect();
    Rights::of(&who(&permissions), LOCKER, place(standing)).check(action)
}

/// Columns: own, manage, participate, consumer, Administer all lockers. `y` yes, `-` seen but not allowed (403).
const MATRIX: &[(&[Action], &str)] = &[
    (&[Action::See, Action::SeeConsumers], "yyyyy"),
    (&[Action::SeeMembers], "yyy-y"),
    (&[Action::Change, Action::ChangeConsumers], "yy--y"),
    (&[Action::ChangeMembers, Action::Delete], "y---y"),
    (&[Action::Enter], "yyy--"),
];

#[test]
fn every_cell_is_as_the_contract_says() {
    let mut seen = Vec::new();
    for (actions, cells) in MATRIX {
        for action in *actions {
            seen.push(*action);
            assert_eq!(cells.len(), Standing::ALL.len());
            for (standing, cell) in Standing::ALL.into_iter().zip(cells.chars()) {
                let answer = check(Some(standing), true, *action);
                match cell {
                    'y' => assert!(answer.is_ok(), "{action:?} {standing:?}: {answer:?}"),
                    _ => assert!(
                        matches!(answer, Err(LockerError::NotPermitted(refused)) if refused == *action),
                        "{action:?} {standing:?}: {answer:?}"
                    ),
                }
            }
            assert!(matches!(check(None, true, *action), Err(LockerError::LockerNotFound)), "{action:?} others");
        }
    }
    for action in Action::ALL {
        assert!(seen.contains(&action), "{action:?} has no row");
    }
}

#[test]
fn a_right_without_its_base_permission_is_not_effective_and_names_it() {
    for action in Action::ALL {
        for standing in [Standing::Owner, Standing::Manager, Standing::Participant, Standing::Consumer] {
            let answer = check(Some(standing), false, action);
            assert!(
                matches!(answer, Err(LockerError::PermissionRequired(base)) if base == standing.base()),
                "{action:?} {standing:?}: {answer:?}"
            );
        }
        assert!(matches!(check(Some(Standing::Admin), false, action), Err(LockerError::LockerNotFound)));
    }
}

#[test]
fn one_standing_does_not_lend_its_permission_to_another() {
    let consumer_and_owner = Place { member: Some(Membership::FULL), consumer: true };
    let who = who(&[Permission::ManageMyCredentials]);
    let rights = Rights::of(&who, LOCKER, consumer_and_owner);
    assert!(rights.may(Action::See) && !rights.may(Action::Change) && !rights.may(Action::Enter));
    assert!(matches!(rights.check(Action::Delete), Err(LockerError::PermissionRequired(Permission::ManageMyLockers))));
}

#[test]
fn an_administrator_of_lockers_gives_nothing_to_itself() {
    let admin = who(&[Permission::AdministerAllLockers, Permission::ManageMyLockers]);
    for (standing, members, consumers) in [
        (None, false, false),
        (Some(Standing::Participant), false, false),
        (Some(Standing::Consumer), false, false),
        (Some(Standing::Manager), false, true),
        (Some(Standing::Owner), true, true),
    ] {
        let rights = Rights::of(&admin, LOCKER, place(standing));
        assert!(rights.permit_member(OTHER).is_ok() && rights.permit_consumer(FOREIGN, false).is_ok());
        let (member, consumer) = (rights.permit_member(ME), rights.permit_consumer(MINE, true));
        let member_refused = matches!(member, Err(LockerError::SelfGrant(Grant::Membership)));
        let consumer_refused = matches!(consumer, Err(LockerError::SelfGrant(Grant::Consumption(MINE))));
        assert_eq!((!member_refused, !consumer_refused), (members, consumers), "{standing:?}: {member:?} {consumer:?}");
    }
}

#[test]
fn a_membership_that_is_not_effective_does_not_allow_a_self_grant() {
    let admin = who(&[Permission::AdministerAllLockers]);
    let rights = Rights::of(&admin, LOCKER, place(Some(Standing::Owner)));
    assert!(matches!(rights.permit_member(ME), Err(LockerError::SelfGrant(_))));
    assert!(matches!(rights.permit_consumer(MINE, true), Err(LockerError::SelfGrant(_))));
}

#[test]
fn lockers_are_made_with_the_permission_alone() {
    assert!(Creation::permit(who(&[Permission::ManageMyLockers]).permissions).is_ok());
    for other in [Permission::AdministerAllLockers, Permission::ManageMyCredentials] {
        assert!(matches!(
            Creation::permit(who(&[other]).permissions),
            Err(LockerError::PermissionRequired(Permission::ManageMyLockers))
        ));
    }
}

#[test]
fn a_list_shows_what_a_standing_reaches() {
    let reach = |permissions: &[Permission]| Reach::of(who(permissions).permissions);
    assert_eq!(reach(&[Permission::AdministerAllLockers]).unwrap(), Reach::All);
    assert_eq!(reach(&[Permission::ManageMyLockers]).unwrap(), Reach::Shared { member: true, consumer: false });
    assert_eq!(reach(&[Permission::ManageMyCredentials]).unwrap(), Reach::Shared { member: false, consumer: true });
    for none in [&[][..], &[Permission::ManageAllValues, Permission::ManageUsers]] {
        assert!(matches!(reach(none), Err(LockerError::PermissionRequired(Permission::ManageMyLockers))));
    }
}
