//! Answers in one form, whichever protocol they came by. Reading JSON checks the shapes that the contract promises: every documented key,
//! ids as strings (numbers under `/v1/usermanagement`), times in RFC 3339 with milliseconds and `Z`.

mod access;
mod json;
mod keys;
mod locker;
mod oauth;
mod query;

use coffre_proto::{audit, auth, vault};
use serde_json::Value as Json;

pub use self::access::{Access, AccessPath, Holdings, MissingValues, UserAccess};
use self::json::{check_author, field, flag, list, optional_id, optional_text};
pub use self::json::{id, number, text, time};
pub use self::keys::{KeySlot, Rotation, kind_of};
pub use self::locker::{Locker, LockerPermission, Member, Right};
pub use self::oauth::{ApiAccess, ApiKey, Dashboard, Introspection, TokenGrant};
pub use self::query::{Filter, Page, Query};

/// A refusal: the status that REST has for it, its code word, its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    pub status: u16,
    pub code: String,
    pub message: String,
    /// Seconds after which it may be repeated.
    pub retry_after: Option<u64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Credential {
    pub id: i64,
    pub name: String,
    pub description: Option<String>,
    pub owner_id: i64,
    pub locker_id: Option<i64>,
    pub attributes: Vec<Attribute>,
    pub completed: bool,
    pub permissions: Permissions,
    pub version: i64,
    pub created_by: i64,
    pub updated_by: i64,
    /// Microseconds; REST cuts to milliseconds.
    pub created_on: String,
    pub updated_on: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Permissions {
    pub read_values: bool,
    pub write_values: bool,
    pub update: bool,
    pub delete: bool,
    pub transfer: bool,
    pub assign_locker: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Attribute {
    pub id: i64,
    pub name: String,
    pub description: Option<String>,
    pub user_provided: bool,
    pub masked: bool,
    pub password: bool,
    pub version: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct StoredValue {
    pub id: i64,
    pub attribute_id: i64,
    pub user_id: Option<i64>,
    pub value: String,
    pub version: i64,
}

#[derive(Clone, Debug, PartialEq)]
pub struct User {
    pub id: i64,
    pub username: String,
    pub first_name: String,
    pub last_name: String,
    pub email: String,
    pub description: Option<String>,
    pub disabled: bool,
    pub roles: Vec<(i64, String)>,
    pub permissions: Vec<Permission>,
    pub version: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permission {
    pub id: i64,
    pub action: String,
    pub resource_type: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Role {
    pub id: i64,
    pub name: String,
    pub description: Option<String>,
    pub permissions: Vec<Permission>,
    pub version: i64,
    pub created_by: i64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: String,
    pub activity: String,
    /// Our fine word.
    pub event: String,
    pub description: String,
    pub user_name: String,
    pub status: String,
    pub source: String,
    pub object_name: String,
    pub object_type: String,
    pub object_id: String,
    pub detail: String,
    pub request_id: String,
    pub created_by: String,
}

impl Credential {
    pub fn from_json(json: &Json) -> Self {
        check_author(json);
        let may = field(json, "permissions");
        Self {
            id: id(json, "id"),
            name: text(json, "name"),
            description: optional_text(json, "description"),
            owner_id: id(json, "ownerId"),
            locker_id: optional_id(json, "lockerId"),
            attributes: list(json, "attributes", Attribute::from_json),
            completed: flag(json, "completed"),
            permissions: Permissions {
                read_values: flag(may, "canReadValues"),
                write_values: flag(may, "canWriteValues"),
                update: flag(may, "canUpdate"),
                delete: flag(may, "canDelete"),
                transfer: flag(may, "canTransferOwnership"),
                assign_locker: flag(may, "canAssignLocker"),
            },
            version: id(json, "version"),
            created_by: id(json, "createdBy"),
            updated_by: id(json, "updatedBy"),
            created_on: time(json, "createdOn"),
            updated_on: time(json, "updatedOn"),
        }
    }

    pub fn from_proto(proto: vault::v1::Credential) -> Self {
        let may = proto.permissions.expect("a credential carries permissions");
        Self {
            id: proto.id,
            name: proto.name,
            description: proto.description,
            owner_id: proto.owner_id,
            locker_id: proto.locker_id,
            attributes: proto.attributes.into_iter().map(Attribute::from_proto).collect(),
            completed: proto.completed,
            permissions: Permissions {
                read_values: may.can_read_values,
                write_values: may.can_write_values,
                update: may.can_update,
                delete: may.can_delete,
                transfer: may.can_transfer_ownership,
                assign_locker: may.can_assign_locker,
            },
            version: proto.version,
            created_by: proto.creator_id,
            updated_by: proto.updater_id,
            created_on: proto.create_time.expect("a credential has a time").to_string(),
            updated_on: proto.update_time.expect("a credential has a time").to_string(),
        }
    }

    /// Its attribute of a name.
    pub fn attribute(&self, name: &str) -> &Attribute {
        self.attributes
            .iter()
            .find(|attribute| attribute.name == name)
            .unwrap_or_else(|| panic!("no attribute {name} in {self:?}"))
    }
}

impl Attribute {
    fn from_json(json: &Json) -> Self {
        check_author(json);
        time(json, "createdOn");
        time(json, "updatedOn");
        id(json, "createdBy");
        id(json, "updatedBy");
        Self {
            id: id(json, "id"),
            name: text(json, "name"),
            description: optional_text(json, "description"),
            user_provided: flag(json, "userProvided"),
            masked: flag(json, "masked"),
            password: flag(json, "passwordFlag"),
            version: id(json, "version"),
        }
    }

    fn from_proto(proto: vault::v1::Attribute) -> Self {
        Self {
            id: proto.id,
            name: proto.name,
            description: proto.description,
            user_provided: proto.user_provided,
            masked: proto.masked,
            password: proto.password,
            version: proto.version,
        }
    }
}

impl StoredValue {
    pub fn from_json(json: &Json) -> Self {
        check_author(json);
        time(json, "createdOn");
        time(json, "updatedOn");
        id(json, "createdBy");
        id(json, "updatedBy");
        Self {
            id: id(json, "id"),
            attribute_id: id(json, "credentialAttributeId"),
            user_id: optional_id(json, "userId"),
            value: text(json, "value"),
            version: id(json, "version"),
        }
    }

    pub fn from_proto(proto: vault::v1::AttributeValue) -> Self {
        assert!(proto.value_set || proto.value.is_empty(), "a value that is left out is empty");
        Self {
            id: proto.id,
            attribute_id: proto.attribute_id,
            user_id: proto.user_id,
            value: proto.value,
            version: proto.version,
        }
    }
}

impl Permission {
    pub fn from_json(json: &Json) -> Self {
        let id = field(json, "id");
        let id = id.as_i64().or_else(|| id.as_str()?.parse().ok()).unwrap_or_else(|| panic!("no id: {json}"));
        Self { id, action: text(json, "action"), resource_type: text(json, "resourceType") }
    }

    fn from_proto(proto: auth::v1::Permission) -> Self {
        Self { id: proto.id, action: proto.action, resource_type: proto.resource_type }
    }
}

impl User {
    /// A user as `/v1/usermanagement` and the sign-in print it.
    pub fn from_json(json: &Json) -> Self {
        time(json, "createdOn");
        time(json, "updatedOn");
        number(json, "createdBy");
        number(json, "updatedBy");
        Self {
            id: number(json, "id"),
            username: text(json, "username"),
            first_name: optional_text(json, "firstName").unwrap_or_default(),
            last_name: optional_text(json, "lastName").unwrap_or_default(),
            email: optional_text(json, "email").unwrap_or_default(),
            description: optional_text(json, "description").filter(|text| !text.is_empty()),
            disabled: flag(json, "disabled"),
            roles: list(json, "roles", |role| (number(role, "id"), text(role, "name"))),
            permissions: json
                .get("permissions")
                .map(|_| list(json, "permissions", Permission::from_json))
                .unwrap_or_default(),
            version: number(json, "version"),
        }
    }

    pub fn from_proto(proto: auth::v1::User) -> Self {
        Self {
            id: proto.id,
            username: proto.username,
            first_name: proto.first_name,
            last_name: proto.last_name,
            email: proto.email,
            description: proto.description.filter(|text| !text.is_empty()),
            disabled: proto.disabled,
            roles: proto.roles.into_iter().map(|role| (role.id, role.name)).collect(),
            permissions: proto.permissions.into_iter().map(Permission::from_proto).collect(),
            version: proto.version,
        }
    }
}

impl Role {
    pub fn from_json(json: &Json) -> Self {
        Self {
            id: number(json, "id"),
            name: text(json, "name"),
            description: optional_text(json, "description"),
            permissions: list(json, "permissions", Permission::from_json),
            version: number(json, "version"),
            created_by: number(json, "createdBy"),
        }
    }

    pub fn from_proto(proto: auth::v1::Role) -> Self {
        assert_eq!(proto.system, proto.creator_id == 0, "system roles are made by 0");
        Self {
            id: proto.id,
            name: proto.name,
            description: proto.description,
            permissions: proto.permissions.into_iter().map(Permission::from_proto).collect(),
            version: proto.version,
            created_by: proto.creator_id,
        }
    }
}

impl Entry {
    pub fn from_json(json: &Json) -> Self {
        for key in ["environmentName", "hostName"] {
            text(json, key);
        }
        time(json, "createdOn");
        Self {
            id: text(json, "id"),
            activity: text(json, "activityType"),
            event: text(json, "event"),
            description: text(json, "eventDescription"),
            user_name: text(json, "userName"),
            status: text(json, "status"),
            source: text(json, "source"),
            object_name: text(json, "objectName"),
            object_type: text(json, "objectType"),
            // Told over gRPC alone.
            object_id: String::new(),
            detail: text(json, "detail"),
            request_id: text(json, "requestId"),
            created_by: text(json, "createdBy"),
        }
    }

    pub fn from_proto(proto: audit::v1::Entry) -> Self {
        use audit::v1::{ActivityType, Outcome, Source};
        let event = proto.event.expect("an entry holds its event");
        let activity = ActivityType::try_from(event.activity_type).unwrap();
        let (actor, object) = (event.actor.unwrap_or_default(), event.object.unwrap_or_default());
        assert_eq!(proto.leaf_hash.len(), 32, "a leaf hash is a SHA-256");
        Self {
            id: proto.id,
            activity: activity.as_str_name().trim_start_matches("ACTIVITY_TYPE_").to_owned(),
            event: event.event,
            description: proto.description,
            user_name: actor.user_name,
            status: match Outcome::try_from(event.outcome).unwrap() {
                Outcome::Successful => "Successful",
                Outcome::Unsuccessful => "Unsuccessful",
                Outcome::Unknown => "Unknown",
                Outcome::Unspecified => "",
            }
            .to_owned(),
            source: match Source::try_from(event.source).unwrap() {
                Source::Api => "API",
                Source::Console => "Console",
                Source::Grpc => "gRPC",
                Source::System => "System",
                Source::Unspecified => "",
            }
            .to_owned(),
            object_name: object.name,
            object_type: object.r#type,
            object_id: object.id,
            detail: proto.detail,
            request_id: event.request_id,
            created_by: actor.user_id.to_string(),
        }
    }
}
