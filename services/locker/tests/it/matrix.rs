//! The matrix of the contract as data, through the use cases, on both engines.

use std::sync::Arc;

use coffre_locker::domain::error::LockerError;
use coffre_locker::domain::model::Membership;
use coffre_test_support::on_each_engine;
use coffre_types::{Caller, LockerId, Permission};

use crate::world::{FULL, MANAGE, OWN, PARTICIPATE, World, admin, caller, consumer, member};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Try {
    See,
    SeeMembers,
    SeeConsumers,
    Change,
    AddConsumer,
    RemoveConsumer,
    AddMember,
    ChangeMember,
    RemoveMember,
    Delete,
}

/// Columns: own, manage, participate, consumer, Administer all lockers, own without *Manage my lockers*, consumer without *Manage my
/// credentials and lockers*, another user with every permission but *Administer all lockers*, nobody.
/// `y` yes, `-` 403 not permitted, `l` and `c` 403 the permission of members or of consumers is missing, `n` 404.
const MATRIX: [(Try, &str); 10] = [
    (Try::See, "yyyyylcnn"),
    (Try::SeeMembers, "yyyyylcnn"),
    (Try::SeeConsumers, "yyyyylcnn"),
    (Try::Change, "yy--ylcnn"),
    (Try::AddConsumer, "yy--ylcnn"),
    (Try::RemoveConsumer, "yy--ylcnn"),
    (Try::AddMember, "y---ylcnn"),
    (Try::ChangeMember, "y---ylcnn"),
    (Try::RemoveMember, "y---ylcnn"),
    (Try::Delete, "y---ylcnn"),
];

fn callers() -> [(Arc<Caller>, Option<Membership>); 9] {
    let all_but_admin: Vec<Permission> =
        Permission::ALL.into_iter().filter(|permission| *permission != Permission::AdministerAllLockers).collect();
    [
        (member(10), Some(OWN)),
        (member(11), Some(MANAGE)),
        (member(12), Some(PARTICIPATE)),
        (consumer(13, 14), None),
        (admin(14), None),
        (caller(15, &[], &[Permission::ManageMyCredentials]), Some(FULL)),
        (caller(16, &[14], &[Permission::ManageMyLockers]), None),
        (caller(17, &[20], &all_but_admin), None),
        (caller(18, &[], &[]), None),
    ]
}

async fn attempt(world: &World, who: &Arc<Caller>, id: LockerId, what: Try) -> Result<(), LockerError> {
    match what {
        Try::See => world.lockers.locker(world.call(who), id).await.map(|_| ()),
        Try::SeeMembers => world.lockers.members(world.call(who), id).await.map(|_| ()),
        Try::SeeConsumers => world.lockers.consumers(world.call(who), id).await.map(|_| ()),
        Try::Change => world.rename(who, id, &format!("renamed {id}")).await.map(|_| ()),
        Try::AddConsumer => world.add_role(who, id, 30).await,
        Try::RemoveConsumer => world.remove_role(who, id, 31).await,
        Try::AddMember => world.set(who, id, 40, PARTICIPATE).await,
        Try::ChangeMember => world.set(who, id, 41, MANAGE).await,
        Try::RemoveMember => world.remove(who, id, 41).await,
        Try::Delete => world.delete(who, id).await,
    }
}

on_each_engine! {
    async fn every_call_is_answered_as_the_matrix_says(db: TestDb) {
        let world = World::new(&db).await;
        let maker = member(1);
        for (what, cells) in MATRIX {
            for (index, ((who, membership), cell)) in callers().iter().zip(cells.chars()).enumerate() {
                let id = world.made(&maker, &format!("{what:?} {index}")).await;
                for role in [14, 31] {
                    world.add_role(&maker, id, role).await.unwrap();
                }
                world.set(&maker, id, 41, PARTICIPATE).await.unwrap();
                if let Some(membership) = membership {
                    world.set(&maker, id, who.user_id.get(), *membership).await.unwrap();
                }
                let before = world.version(id).await;
                let answer = attempt(&world, who, id, what).await;
                let got = match &answer {
                    Ok(()) => 'y',
                    Err(LockerError::NotPermitted(_)) => '-',
                    Err(LockerError::PermissionRequired(Permission::ManageMyLockers)) => 'l',
                    Err(LockerError::PermissionRequired(Permission::ManageMyCredentials)) => 'c',
                    Err(LockerError::LockerNotFound) => 'n',
                    Err(_) => '?',
                };
                assert_eq!(got, cell, "{what:?} column {index}: {answer:?}");
                if answer.is_err() {
                    assert_eq!(world.version(id).await, before, "{what:?} column {index} was refused and changed something");
                }
            }
        }
    }
}
