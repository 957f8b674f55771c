//! Who may do what and why, who has stored nothing yet, and what somebody holds.

use coffre_proto::{auth, vault};
use serde_json::Value as Json;

use super::json::{flag, id, list, number, optional_id, optional_text, text};

/// Who may do what with a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    pub locker: Option<(i64, String)>,
    pub users: Vec<UserAccess>,
}

/// What one user may do, and through what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAccess {
    pub user_id: i64,
    pub username: String,
    pub disabled: bool,
    pub actions: Vec<String>,
    pub through: Vec<AccessPath>,
}

/// One way in which a user stands to a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessPath {
    pub standing: String,
    pub role: Option<(i64, String)>,
    /// The base permission without which it does not count.
    pub missing: Option<String>,
    pub actions: Vec<String>,
}

/// What one consumer has not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingValues {
    pub user_id: i64,
    pub username: String,
    pub disabled: bool,
    pub attributes: Vec<i64>,
}

/// What somebody holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub credentials: Vec<(i64, String)>,
    pub lockers: Vec<(i64, String)>,
    pub credential_count: i64,
    pub locker_count: i64,
}

/// `READ_STANDARD` → `readStandard`.
fn camel(name: &str) -> String {
    let mut word = String::new();
    for (index, part) in name.split('_').enumerate() {
        let part = part.to_lowercase();
        if index == 0 {
            word.push_str(&part);
        } else {
            word.push_str(&part[..1].to_uppercase());
            word.push_str(&part[1..]);
        }
    }
    word
}

fn actions_of_json(json: &Json) -> Vec<String> {
    list(json, "actions", |word| word.as_str().expect("an action is a word").to_owned())
}

fn actions_of_proto(actions: &[i32]) -> Vec<String> {
    let word =
        |action: &i32| camel(vault::v1::Action::try_from(*action).unwrap().as_str_name().trim_start_matches("ACTION_"));
    actions.iter().map(word).collect()
}

impl Access {
    pub fn from_json(json: &Json) -> Self {
        id(json, "credentialId");
        let name = optional_text(json, "lockerName");
        Self {
            locker: optional_id(json, "lockerId").map(|id| (id, name.expect("a locker has a name"))),
            users: list(json, "list", UserAccess::from_json),
        }
    }

    pub fn from_proto(proto: vault::v1::ExplainAccessResponse) -> Self {
        Self {
            locker: proto.locker_id.map(|id| (id, proto.locker_name)),
            users: proto.users.into_iter().map(UserAccess::from_proto).collect(),
        }
    }

    /// What it says about a user.
    pub fn of(&self, user_id: i64) -> &UserAccess {
        let found = self.users.iter().find(|user| user.user_id == user_id);
        found.unwrap_or_else(|| panic!("nothing about user {user_id}: {self:#?}"))
    }
}

impl UserAccess {
    fn from_json(json: &Json) -> Self {
        Self {
            user_id: id(json, "userId"),
            username: text(json, "username"),
            disabled: flag(json, "disabled"),
            actions: actions_of_json(json),
            through: list(json, "through", AccessPath::from_json),
        }
    }

    fn from_proto(proto: vault::v1::UserAccess) -> Self {
        Self {
            user_id: proto.user_id,
            username: proto.username,
            disabled: proto.disabled,
            actions: actions_of_proto(&proto.actions),
            through: proto.paths.into_iter().map(AccessPath::from_proto).collect(),
        }
    }

    /// The path of a standing.
    pub fn through(&self, standing: &str) -> &AccessPath {
        let found = self.through.iter().find(|path| path.standing == standing);
        found.unwrap_or_else(|| panic!("not as {standing}: {self:#?}"))
    }

    /// The standings, in the order of the answer.
    pub fn standings(&self) -> Vec<&str> {
        self.through.iter().map(|path| path.standing.as_str()).collect()
    }
}

impl AccessPath {
    fn from_json(json: &Json) -> Self {
        let missing = optional_text(json, "missingPermission").filter(|name| !name.is_empty());
        let role = optional_id(json, "roleId");
        let role_name = optional_text(json, "roleName");
        Self::checked(text(json, "standing"), role, role_name, flag(json, "effective"), missing, actions_of_json(json))
    }

    fn from_proto(proto: vault::v1::AccessPath) -> Self {
        let standing = vault::v1::Standing::try_from(proto.standing).unwrap();
        let missing = Some(proto.missing_permission).filter(|name| !name.is_empty());
        let actions = actions_of_proto(&proto.actions);
        let standing = camel(standing.as_str_name().trim_start_matches("STANDING_"));
        Self::checked(standing, proto.role_id, Some(proto.role_name), proto.effective, missing, actions)
    }

    fn checked(
        standing: String,
        role: Option<i64>,
        role_name: Option<String>,
        effective: bool,
        missing: Option<String>,
        actions: Vec<String>,
    ) -> Self {
        assert_eq!(effective, missing.is_none(), "{standing} is effective or says what is missing: {missing:?}");
        assert!(effective || actions.is_empty(), "{standing} is not effective and allows {actions:?}");
        let role = role.map(|id| (id, role_name.filter(|name| !name.is_empty()).expect("a role has a name")));
        Self { standing, role, missing, actions }
    }
}

impl MissingValues {
    pub fn from_json(json: &Json) -> Self {
        let attribute = |id: &Json| id.as_str().and_then(|id| id.parse().ok()).expect("an id is a decimal in a string");
        Self {
            user_id: id(json, "userId"),
            username: text(json, "username"),
            disabled: flag(json, "disabled"),
            attributes: list(json, "attributeIds", attribute),
        }
    }

    pub fn from_proto(proto: vault::v1::MissingValues) -> Self {
        Self {
            user_id: proto.user_id,
            username: proto.username,
            disabled: proto.disabled,
            attributes: proto.attribute_ids,
        }
    }
}

impl Holdings {
    pub fn from_json(json: &Json) -> Self {
        let holding = |json: &Json| (number(json, "id"), text(json, "name"));
        Self {
            credentials: list(json, "credentials", holding),
            lockers: list(json, "lockers", holding),
            credential_count: number(json, "credentialCount"),
            locker_count: number(json, "lockerCount"),
        }
    }

    pub fn from_proto(proto: auth::v1::ListUserHoldingsResponse) -> Self {
        let holdings = |all: Vec<auth::v1::Holding>| all.into_iter().map(|one| (one.id, one.name)).collect();
        Self {
            credentials: holdings(proto.credentials),
            lockers: holdings(proto.lockers),
            credential_count: proto.credential_count,
            locker_count: proto.locker_count,
        }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        assert_eq!(self.credentials.len().min(1000), usize::try_from(self.credential_count.min(1000)).unwrap());
        assert_eq!(self.lockers.len().min(1000), usize::try_from(self.locker_count.min(1000)).unwrap());
        self.credential_count == 0 && self.locker_count == 0
    }
}
