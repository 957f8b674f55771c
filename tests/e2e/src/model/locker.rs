//! Lockers and their members.

use coffre_proto::locker::v1;
use serde_json::Value as Json;

use super::json::{check_author, field, flag, id, list, number, optional_text, text, time};

/// A locker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Locker {
    pub id: i64,
    pub name: String,
    pub description: Option<String>,
    pub version: i64,
    pub created_by: i64,
    pub updated_by: i64,
    pub created_on: String,
    pub updated_on: String,
    pub permission: LockerPermission,
    /// In detailed lists.
    pub members: Vec<Member>,
    /// In detailed lists.
    pub credentials: Option<i64>,
}

/// How the caller stands to a locker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LockerPermission {
    pub owner: bool,
    pub manager: bool,
    pub participant: bool,
    pub consumer: bool,
}

/// A member and its rights, in the order in which they are printed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub user_id: i64,
    pub rights: Vec<Right>,
}

/// What a member may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Right {
    Participate,
    Own,
    Manage,
}

impl Right {
    pub const ALL: [Self; 3] = [Self::Participate, Self::Own, Self::Manage];

    /// The documented word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Participate => "participate",
            Self::Own => "own",
            Self::Manage => "manage",
        }
    }

    pub fn proto(self) -> i32 {
        use v1::MemberPermission as P;
        match self {
            Self::Participate => P::Participate,
            Self::Own => P::Own,
            Self::Manage => P::Manage,
        }
        .into()
    }
}

impl Member {
    pub fn new(user_id: i64, rights: &[Right]) -> Self {
        Self { user_id, rights: rights.to_vec() }
    }

    pub fn from_json(json: &Json) -> Self {
        let right = |word: &Json| {
            let found = Right::ALL.into_iter().find(|right| Some(right.word()) == word.as_str());
            found.unwrap_or_else(|| panic!("no word of the document: {word}"))
        };
        Self { user_id: id(json, "id"), rights: list(json, "permissions", right) }
    }

    pub fn from_proto(proto: v1::Member) -> Self {
        let right = |number: &i32| Right::ALL.into_iter().find(|right| right.proto() == *number).unwrap();
        Self { user_id: proto.user_id, rights: proto.permissions.iter().map(right).collect() }
    }
}

impl Locker {
    pub fn from_json(json: &Json) -> Self {
        check_author(json);
        let permission = field(json, "lockerPermission");
        let detailed = json.get("countOfCredentials").is_some();
        assert_eq!(json.get("members").is_some(), detailed, "both or none: {json}");
        Self {
            id: id(json, "id"),
            name: text(json, "name"),
            description: optional_text(json, "description"),
            version: id(json, "version"),
            created_by: id(json, "createdBy"),
            updated_by: id(json, "updatedBy"),
            created_on: time(json, "createdOn"),
            updated_on: time(json, "updatedOn"),
            permission: LockerPermission {
                owner: flag(permission, "isOwner"),
                manager: flag(permission, "isManager"),
                participant: flag(permission, "isParticipant"),
                consumer: flag(permission, "isConsumer"),
            },
            members: if detailed { list(json, "members", Member::from_json) } else { Vec::new() },
            credentials: detailed.then(|| number(json, "countOfCredentials")),
        }
    }

    pub fn from_proto(proto: v1::Locker) -> Self {
        let permission = proto.permission.expect("a locker says how the caller stands to it");
        Self {
            id: proto.id,
            name: proto.name,
            description: proto.description,
            version: proto.version,
            created_by: proto.creator_id,
            updated_by: proto.updater_id,
            created_on: proto.create_time.expect("a locker has a time").to_string(),
            updated_on: proto.update_time.expect("a locker has a time").to_string(),
            permission: LockerPermission {
                owner: permission.is_owner,
                manager: permission.is_manager,
                participant: permission.is_participant,
                consumer: permission.is_consumer,
            },
            members: proto.members.into_iter().map(Member::from_proto).collect(),
            credentials: proto.credential_count,
        }
    }
}
