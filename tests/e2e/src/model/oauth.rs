//! API accesses, their tokens, API keys, and what a caller sees at a glance.

use coffre_proto::{auth, vault};
use serde_json::Value as Json;

use super::Entry;
use super::json::{field, flag, id, list, number, optional_id, optional_text, text, time};

/// An OAuth client as its administrators see it; lives in minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiAccess {
    pub id: i64,
    pub client_id: String,
    pub description: Option<String>,
    pub scope: String,
    pub access_token_minutes: i64,
    pub refresh_token_minutes: i64,
    pub password_grant: bool,
    pub refresh_grant: bool,
    pub client_credentials_grant: bool,
    pub operator_id: Option<i64>,
    pub confirmed: bool,
    pub disabled: bool,
    /// The secret before the newest one still goes on.
    pub previous_secret: bool,
    pub version: i64,
    pub created_by: i64,
    pub updated_by: i64,
}

/// A token, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenGrant {
    pub access_token: String,
    pub refresh_token: Option<String>,
    pub expires_in: i64,
    pub scope: String,
}

/// What a client is told about a token.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Introspection {
    pub active: bool,
    pub scope: String,
    pub client_id: String,
    pub username: String,
    pub user_id: i64,
    pub issuer: String,
    /// Seconds since 1970.
    pub expires_at: i64,
}

/// What is shown of an API key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    pub id: i64,
    pub name: String,
    pub hint: String,
    pub used: bool,
}

/// What a caller sees at a glance.
#[derive(Clone, Debug, PartialEq)]
pub struct Dashboard {
    pub user_id: i64,
    pub username: String,
    pub credentials: i64,
    pub lockers: i64,
    pub missing_values: i64,
    pub applied: bool,
    pub entries: Vec<Entry>,
}

/// A life is printed in hours and minutes.
fn minutes(json: &Json, key: &str) -> i64 {
    let life = field(json, key);
    number(life, "hours") * 60 + number(life, "minutes")
}

fn whole_minutes(life: Option<prost_types::Duration>) -> i64 {
    let life = life.expect("a life is there");
    assert_eq!((life.seconds % 60, life.nanos), (0, 0), "lives are whole minutes");
    life.seconds / 60
}

impl ApiAccess {
    pub fn from_json(json: &Json) -> Self {
        time(json, "createdOn");
        time(json, "updatedOn");
        time(json, "secretCreatedOn");
        let is_there = |key: &str| {
            let there = !field(json, key).is_null();
            if there {
                time(json, key);
            }
            there
        };
        Self {
            id: id(json, "id"),
            client_id: text(json, "clientId"),
            description: optional_text(json, "description"),
            scope: text(json, "scope"),
            access_token_minutes: minutes(json, "accessTokenLife"),
            refresh_token_minutes: minutes(json, "refreshTokenLife"),
            password_grant: flag(json, "passwordGrant"),
            refresh_grant: flag(json, "refreshGrant"),
            client_credentials_grant: flag(json, "clientCredentialsGrant"),
            operator_id: optional_id(json, "operatorId"),
            confirmed: is_there("confirmedOn"),
            disabled: flag(json, "disabled"),
            previous_secret: is_there("previousSecretExpiresOn"),
            version: id(json, "version"),
            created_by: id(json, "createdBy"),
            updated_by: id(json, "updatedBy"),
        }
    }

    pub fn from_proto(proto: auth::v1::ApiAccess) -> Self {
        assert!(proto.secret_create_time.is_some() && proto.create_time.is_some() && proto.update_time.is_some());
        Self {
            id: proto.id,
            client_id: proto.client_id,
            description: proto.description,
            scope: proto.scope,
            access_token_minutes: whole_minutes(proto.access_token_life),
            refresh_token_minutes: whole_minutes(proto.refresh_token_life),
            password_grant: proto.password_grant,
            refresh_grant: proto.refresh_grant,
            client_credentials_grant: proto.client_credentials_grant,
            operator_id: (proto.operator_id != 0).then_some(proto.operator_id),
            confirmed: proto.confirm_time.is_some(),
            disabled: proto.disabled,
            previous_secret: proto.previous_secret_expire_time.is_some(),
            version: proto.version,
            created_by: proto.creator_id,
            updated_by: proto.updater_id,
        }
    }
}

impl TokenGrant {
    pub fn from_json(json: &Json) -> Self {
        assert_eq!(text(json, "token_type"), "bearer");
        Self {
            access_token: text(json, "access_token"),
            refresh_token: json.get("refresh_token").map(|_| text(json, "refresh_token")),
            expires_in: number(json, "expires_in"),
            scope: text(json, "scope"),
        }
    }

    pub fn from_proto(proto: auth::v1::TokenGrant) -> Self {
        assert!(proto.expire_time.is_some());
        Self {
            access_token: proto.access_token,
            refresh_token: (!proto.refresh_token.is_empty()).then_some(proto.refresh_token),
            expires_in: proto.expires_in,
            scope: proto.scope,
        }
    }

    /// The refresh token of an access that gives one.
    #[track_caller]
    pub fn refresh(&self) -> &str {
        self.refresh_token.as_deref().expect("a refresh token comes along")
    }
}

impl Introspection {
    pub fn from_json(json: &Json) -> Self {
        if !flag(json, "active") {
            assert_eq!(json.as_object().map(serde_json::Map::len), Some(1), "nothing else is said: {json}");
            return Self::default();
        }
        Self {
            active: true,
            scope: text(json, "scope"),
            client_id: text(json, "client_id"),
            username: text(json, "username"),
            user_id: id(json, "sub"),
            issuer: text(json, "iss"),
            expires_at: number(json, "exp"),
        }
    }

    pub fn from_proto(proto: auth::v1::IntrospectTokenResponse) -> Self {
        if !proto.active {
            assert_eq!(proto, auth::v1::IntrospectTokenResponse::default(), "nothing else is said");
        }
        Self {
            active: proto.active,
            scope: proto.scope,
            client_id: proto.client_id,
            username: proto.username,
            user_id: proto.user_id,
            issuer: proto.issuer,
            expires_at: proto.expire_time.map_or(0, |time| time.seconds),
        }
    }
}

impl ApiKey {
    pub fn from_json(json: &Json) -> Self {
        time(json, "createdOn");
        time(json, "expiresOn");
        let used = !field(json, "lastUsedOn").is_null();
        if used {
            time(json, "lastUsedOn");
        }
        Self { id: id(json, "id"), name: text(json, "name"), hint: text(json, "hint"), used }
    }

    pub fn from_proto(proto: auth::v1::ApiKey) -> Self {
        assert!(proto.create_time.is_some() && proto.expire_time.is_some());
        Self { id: proto.id, name: proto.name, hint: proto.hint, used: proto.last_use_time.is_some() }
    }
}

impl Dashboard {
    pub fn from_json(json: &Json) -> Self {
        let operator = field(json, "operator");
        Self {
            user_id: id(operator, "id"),
            username: text(operator, "username"),
            credentials: number(json, "credentials"),
            lockers: number(json, "lockers"),
            missing_values: number(json, "missingValues"),
            applied: flag(field(json, "vault"), "applied"),
            entries: list(json, "audit", Entry::from_json),
        }
    }

    pub fn from_proto(proto: vault::v1::GetDashboardResponse) -> Self {
        Self {
            user_id: proto.user_id,
            username: proto.username,
            credentials: proto.credential_count,
            lockers: proto.locker_count,
            missing_values: proto.missing_value_count,
            applied: proto.vault_open,
            entries: proto.entries.into_iter().map(Entry::from_proto).collect(),
        }
    }
}
