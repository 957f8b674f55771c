//! Between messages and the domain. Field rules are checked here.

use coffre_db::list::PageTokens;
use coffre_proto::locker::v1 as proto;
use coffre_types::{CredentialId, Description, LockerId, Name, RoleId, UserId, Version};

use crate::domain::error::LockerError;
use crate::domain::model::{LockerPatch, Member, Membership, NewLocker, Place, View};
use crate::store::list::LockerQuery;

type Result<T> = std::result::Result<T, LockerError>;

const MAX_ETAG_CHARACTERS: usize = 1000;
/// The most words of a list of permissions, repetitions among them.
const MAX_PERMISSIONS: usize = 100;

macro_rules! id_readers {
    ($($name:ident => $id:ident;)*) => {$(
        pub(super) fn $name(field: &str, number: i64) -> Result<$id> {
            $id::new(number).ok_or_else(|| not_an_id(field, number))
        }
    )*};
}

id_readers! {
    locker_id => LockerId;
    credential_id => CredentialId;
    user_id => UserId;
    role_id => RoleId;
}

fn not_an_id(field: &str, number: i64) -> LockerError {
    LockerError::invalid(field, if number == 0 { "is required" } else { "is no id: ids are positive numbers" })
}

pub(super) fn epoch(number: i64) -> Result<i64> {
    if number < 0 { Err(LockerError::invalid("epoch", "is not negative")) } else { Ok(number) }
}

fn name(text: String) -> Result<Name> {
    Name::parse(text).map_err(|fault| LockerError::invalid("name", fault.to_string()))
}

/// An empty description is none.
fn description(text: Option<String>) -> Result<Option<Description>> {
    let text = text.filter(|text| !text.is_empty());
    text.map(Description::parse).transpose().map_err(|fault| LockerError::invalid("description", fault.to_string()))
}

pub(super) fn etag(text: String) -> Result<String> {
    if text.chars().count() > MAX_ETAG_CHARACTERS {
        return Err(LockerError::invalid("etag", format!("must have at most {MAX_ETAG_CHARACTERS} characters")));
    }
    Ok(text)
}

pub(super) fn new_locker(message: proto::CreateLockerRequest) -> Result<NewLocker> {
    Ok(NewLocker { name: name(message.name)?, description: description(message.description)? })
}

pub(super) fn locker_patch(message: proto::UpdateLockerRequest) -> Result<LockerPatch> {
    let read = |number| Version::new(number).ok_or_else(|| LockerError::invalid("version", "is not negative"));
    Ok(LockerPatch {
        id: locker_id("id", message.id)?,
        version: message.version.map(read).transpose()?,
        etag: etag(message.etag)?,
        name: message.name.map(name).transpose()?,
        description: message.description.map(|text| description(Some(text))).transpose()?,
    })
}

pub(super) fn locker_query(message: proto::ListLockersRequest, tokens: &PageTokens) -> Result<LockerQuery> {
    LockerQuery::new(&message.query.unwrap_or_default(), message.consumed, message.detailed, tokens)
}

pub(super) fn member(message: Option<proto::Member>) -> Result<Member> {
    let message = message.ok_or_else(|| LockerError::invalid("member", "is required"))?;
    Ok(Member { user: user_id("member.user_id", message.user_id)?, membership: membership(&message.permissions)? })
}

/// `own` and `manage` imply `participate`; a repetition counts once.
fn membership(permissions: &[i32]) -> Result<Membership> {
    use proto::MemberPermission as P;
    let refused = |description: String| Err(LockerError::invalid("member.permissions", description));
    if permissions.is_empty() {
        return refused("names at least one of participate, own and manage; to remove a member, delete it".to_owned());
    }
    if permissions.len() > MAX_PERMISSIONS {
        return refused(format!("has at most {MAX_PERMISSIONS} words; there are {}", permissions.len()));
    }
    let mut membership = Membership::default();
    for number in permissions {
        match P::try_from(*number) {
            Ok(P::Participate) => {}
            Ok(P::Own) => membership.own = true,
            Ok(P::Manage) => membership.manage = true,
            Ok(P::Unspecified) | Err(_) => {
                return refused("takes participate, own and manage".to_owned());
            }
        }
    }
    Ok(membership)
}

pub(super) fn member_to_proto(member: Member) -> proto::Member {
    use proto::MemberPermission as P;
    let Membership { own, manage } = member.membership;
    let held = [(true, P::Participate), (own, P::Own), (manage, P::Manage)];
    let permissions = held.into_iter().filter(|(held, _)| *held).map(|(_, permission)| permission.into()).collect();
    proto::Member { user_id: member.user.get(), permissions }
}

fn permission(place: Place) -> proto::LockerPermission {
    proto::LockerPermission {
        is_owner: place.member.is_some_and(|member| member.own),
        is_manager: place.member.is_some_and(|member| member.manage),
        is_participant: place.member.is_some(),
        is_consumer: place.consumer,
    }
}

pub(super) fn locker(view: View) -> proto::Locker {
    let View { locker, place, details } = view;
    let (members, credential_count) = match details {
        Some(details) => (details.members.into_iter().map(member_to_proto).collect(), Some(details.credentials)),
        None => (Vec::new(), None),
    };
    proto::Locker {
        id: locker.id.get(),
        name: locker.name.into_string(),
        description: locker.description.map(Description::into_string),
        members,
        credential_count,
        version: locker.version.get(),
        creator_id: locker.stamp.created_by.get(),
        create_time: Some(locker.stamp.created_at.to_proto()),
        updater_id: locker.stamp.updated_by.get(),
        update_time: Some(locker.stamp.updated_at.to_proto()),
        permission: Some(permission(place)),
    }
}

#[cfg(test)]
mod tests {
    use proto::MemberPermission as P;

    use super::*;

    fn read(permissions: &[i32]) -> Result<Membership> {
        membership(permissions)
    }

    #[test]
    fn own_and_manage_imply_participate() {
        for (sent, own, manage) in [
            (&[P::Participate as i32][..], false, false),
            (&[P::Own as i32], true, false),
            (&[P::Manage as i32], false, true),
            (&[P::Participate as i32, P::Own as i32, P::Manage as i32], true, true),
            (&[P::Own as i32, P::Own as i32], true, false),
            (&[P::Manage as i32; MAX_PERMISSIONS], false, true),
        ] {
            let membership = read(sent).unwrap();
            assert_eq!((membership.own, membership.manage), (own, manage), "{sent:?}");
            let shown = member_to_proto(Member { user: UserId::from_trusted(7), membership });
            assert_eq!(shown.permissions.first(), Some(&(P::Participate as i32)));
            assert_eq!(read(&shown.permissions).unwrap(), membership);
        }
    }

    #[test]
    fn no_permission_an_unknown_one_and_too_many_are_refused() {
        for sent in [&[][..], &[0], &[9], &[-1], &[1, 0], &[1; MAX_PERMISSIONS + 1]] {
            assert!(
                matches!(read(sent), Err(LockerError::Invalid { field, .. }) if field == "member.permissions"),
                "{sent:?}"
            );
        }
    }
}
