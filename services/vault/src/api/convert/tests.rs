//! What an answer says that the caller may do here is what it meets.

use std::sync::Arc;

use coffre_types::{Caller, Permission, SessionId, Timestamp, TokenKind};

use super::*;
use crate::domain::model::Credential;
use crate::domain::shares::{Membership, Shares, Sharing};

const LOCKER: LockerId = LockerId::from_trusted(5);

fn caller(user: i64, permission: Permission) -> Caller {
    Caller {
        user_id: UserId::from_trusted(user),
        username: Arc::from("me"),
        session_id: SessionId::from_bytes(&[0; 16]).unwrap(),
        roles: Arc::from([]),
        permissions: [permission].into_iter().collect(),
        administrator: false,
        password_time: Timestamp::default(),
        password_change_required: false,
        kind: TokenKind::Session,
        client_id: None,
    }
}

/// A credential of user 7 in a locker, with an attribute for each of these kinds: user-provided or standard.
fn credential(kinds: &[bool]) -> (Credential, Vec<Attribute>) {
    let owner = UserId::from_trusted(7);
    let at = Timestamp::default();
    let stamp = Stamp { created_by: owner, created_at: at, updated_by: owner, updated_at: at };
    let id = CredentialId::from_trusted(1);
    let attributes = (1..).zip(kinds).map(|(number, user_provided)| Attribute {
        id: AttributeId::from_trusted(number),
        credential: id,
        name: Name::from_trusted(format!("a{number}")),
        description: None,
        traits: Traits { user_provided: *user_provided, ..Traits::default() },
        version: Version::FIRST,
        stamp,
    });
    let name = Name::from_trusted("c".to_owned());
    let credential =
        Credential { id, name, description: None, owner, locker: Some(LOCKER), version: Version::FIRST, stamp };
    (credential, attributes.collect())
}

#[test]
fn who_may_write_values_finds_one_that_he_may_write() {
    let mut consuming = Shares::default();
    consuming.consume([LOCKER].into());
    let managing = Shares::new(Arc::new(Membership { managed: vec![LOCKER], participated: Vec::new() }));
    let (credentials, lockers) = (Permission::ManageMyCredentials, Permission::ManageMyLockers);
    let (standard, own, both) = (&[false][..], &[true][..], &[false, true][..]);
    let owner = caller(7, credentials);
    let consumer = caller(8, credentials);
    let manager = caller(8, lockers);
    let values = caller(8, Permission::ManageAllValues);
    let none = Shares::default();
    for (who, shares, kinds, read, write) in [
        (&owner, &none, standard, true, true),
        (&owner, &none, own, true, true),
        (&owner, &none, both, true, true),
        // A consumer writes its own values alone, a manager standard ones alone, and reads none.
        (&consumer, &consuming, standard, true, false),
        (&consumer, &consuming, own, true, true),
        (&consumer, &consuming, both, true, true),
        (&manager, &managing, standard, false, true),
        (&manager, &managing, own, false, false),
        (&manager, &managing, both, false, true),
        (&values, &none, standard, true, true),
        (&values, &none, own, true, true),
    ] {
        let (of, attributes) = credential(kinds);
        let rights = Rights::of(who, &of, &Sharing::Known(shares.clone()));
        let view = View { credential: of, attributes, completed: false, rights };
        let told = super::credential(view).permissions.unwrap();
        assert_eq!((told.can_read_values, told.can_write_values), (read, write), "{who:?} {kinds:?}");
    }
}
