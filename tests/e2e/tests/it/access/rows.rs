//! One row an RPC.

use coffre_e2e::api::{Rest, rest};
use coffre_e2e::canary;
use coffre_e2e::operation::{self, Operation};
use coffre_proto::audit::v1 as audit;
use coffre_proto::auth::v1 as auth;
use coffre_proto::vault::v1 as vault;
use http::Method;
use prost::Message as _;
use serde_json::json;

use super::Fixture;

/// One answer for each caller: a code word, or nothing where the call succeeds.
pub(super) type Answers = [&'static str; 5];

const OPEN: Answers = ["", "", "", "", ""];
pub(super) const TOKEN: &str = "auth.token_required";
const TWO_TOKENS: &str = "auth.token_conflict";
pub(super) const PERMISSION: &str = "authz.permission_required";
/// Only holders of *Manage users and roles* or *View and manage settings*: of these five the administrator.
pub(super) const ADMINISTRATOR: Answers = [TOKEN, PERMISSION, PERMISSION, PERMISSION, ""];
/// Who may not see a credential learns nothing about it, also not which permission is missing.
pub(super) const HIDDEN: &str = "credential.not_found";
pub(super) const NOT_PERMITTED: &str = "credential.not_permitted";
/// The owner; others do not see it, and the administrator, who administers all lockers, sees it but may not do this.
const OWNER: Answers = [TOKEN, HIDDEN, HIDDEN, "", NOT_PERMITTED];

pub(super) struct Row {
    pub(super) operation: Operation,
    pub(super) message: fn(&Fixture) -> Vec<u8>,
    pub(super) rest: fn(&Fixture) -> Rest,
    pub(super) answers: Answers,
    /// REST has no such call.
    pub(super) grpc_alone: bool,
}

pub(super) fn row(
    operation: Operation,
    message: fn(&Fixture) -> Vec<u8>,
    rest: fn(&Fixture) -> Rest,
    answers: Answers,
) -> Row {
    Row { operation, message, rest, answers, grpc_alone: false }
}

fn path(it: &Fixture, tail: &str) -> String {
    format!("/v2/credentialvault/credentials/{}{tail}", it.credential)
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            operation::SIGN_IN,
            |it| {
                auth::SignInRequest {
                    username: it.username.clone(),
                    password: it.password.clone(),
                    ..Default::default()
                }
                .encode_to_vec()
            },
            |it| {
                rest(Method::POST, "/v1/authentication").json(json!({"username": it.username, "password": it.password}))
            },
            OPEN,
        ),
        row(
            operation::VALIDATE_TOKEN,
            |it| auth::ValidateTokenRequest { token: it.token.clone() }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/authentication/token?token={}", it.token)),
            OPEN,
        ),
        row(
            operation::REFRESH_TOKEN,
            |it| auth::RefreshTokenRequest { token: it.token.clone() }.encode_to_vec(),
            |it| rest(Method::POST, "/v1/authentication/token").json(json!({"token": it.token})),
            OPEN,
        ),
        row(
            operation::SIGN_OUT,
            |it| auth::SignOutRequest { token: it.token.clone() }.encode_to_vec(),
            |it| rest(Method::POST, "/v1/authentication/logout").json(json!({"token": it.token})),
            // Whoever has a token of his own sends two different ones.
            ["", TWO_TOKENS, TWO_TOKENS, TWO_TOKENS, TWO_TOKENS],
        ),
        row(
            operation::CHANGE_PASSWORD,
            |_| {
                auth::ChangePasswordRequest {
                    old_password: "not the old one".into(),
                    new_password: canary::password("n"),
                    ..Default::default()
                }
                .encode_to_vec()
            },
            |_| {
                let body = json!({"oldPassword": "not the old one", "newPassword": canary::password("n")});
                rest(Method::PUT, "/v1/authentication/password").json(body)
            },
            [TOKEN, "auth.password_wrong", "auth.password_wrong", "auth.password_wrong", "auth.password_wrong"],
        ),
        row(
            operation::GET_JSON_WEB_KEY_SET,
            |_| auth::GetJsonWebKeySetRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/.well-known/jwks.json"),
            OPEN,
        ),
        row(
            operation::CREATE_USER,
            |it| {
                auth::CreateUserRequest {
                    username: format!("made {}", it.tag),
                    password: it.password.clone(),
                    ..Default::default()
                }
                .encode_to_vec()
            },
            |it| {
                let body = json!({"username": format!("made {}", it.tag), "password": it.password});
                rest(Method::POST, "/v1/usermanagement/users").json(body)
            },
            ADMINISTRATOR,
        ),
        row(
            operation::GET_USER,
            |it| auth::GetUserRequest { id: it.user }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/usermanagement/users/{}", it.user)),
            ADMINISTRATOR,
        ),
        row(
            operation::LIST_USERS,
            |_| auth::ListUsersRequest::default().encode_to_vec(),
            |_| rest(Method::GET, "/v1/usermanagement/users"),
            [TOKEN, PERMISSION, "", "", ""],
        ),
        row(
            operation::UPDATE_USER,
            |it| {
                auth::UpdateUserRequest { id: it.user, first_name: Some("F".into()), ..Default::default() }
                    .encode_to_vec()
            },
            |it| rest(Method::PUT, format!("/v1/usermanagement/users/{}", it.user)).json(json!({"firstName": "F"})),
            ADMINISTRATOR,
        ),
        row(
            operation::DELETE_USER,
            |it| auth::DeleteUserRequest { id: it.user, etag: String::new() }.encode_to_vec(),
            |it| rest(Method::DELETE, format!("/v1/usermanagement/users/{}", it.user)),
            ADMINISTRATOR,
        ),
        row(
            operation::CREATE_ROLE,
            |it| auth::CreateRoleRequest { name: format!("made {}", it.tag), ..Default::default() }.encode_to_vec(),
            |it| rest(Method::POST, "/v1/usermanagement/roles").json(json!({"name": format!("made {}", it.tag)})),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_ROLE,
            |it| auth::GetRoleRequest { id: it.role }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/usermanagement/roles/{}", it.role)),
            ADMINISTRATOR,
        ),
        row(
            operation::LIST_ROLES,
            |_| auth::ListRolesRequest::default().encode_to_vec(),
            |_| rest(Method::GET, "/v1/usermanagement/roles"),
            [TOKEN, PERMISSION, "", "", ""],
        ),
        row(
            operation::UPDATE_ROLE,
            |it| {
                auth::UpdateRoleRequest { id: it.role, description: Some("d".into()), ..Default::default() }
                    .encode_to_vec()
            },
            |it| rest(Method::PUT, format!("/v1/usermanagement/roles/{}", it.role)).json(json!({"description": "d"})),
            ADMINISTRATOR,
        ),
        row(
            operation::DELETE_ROLE,
            |it| auth::DeleteRoleRequest { id: it.role, etag: String::new() }.encode_to_vec(),
            |it| rest(Method::DELETE, format!("/v1/usermanagement/roles/{}", it.role)),
            ADMINISTRATOR,
        ),
        row(
            operation::LIST_PERMISSIONS,
            |_| auth::ListPermissionsRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v1/usermanagement/permissions"),
            ADMINISTRATOR,
        ),
        row(
            operation::CREATE_CREDENTIAL,
            |it| {
                let attributes = vec![vault::NewAttribute { name: "a".into(), ..Default::default() }];
                vault::CreateCredentialRequest { name: format!("made {}", it.tag), description: None, attributes }
                    .encode_to_vec()
            },
            |it| {
                let body = json!({"name": format!("made {}", it.tag), "attributes": [{"name": "a"}]});
                rest(Method::POST, "/v2/credentialvault/credentials").json(body)
            },
            [TOKEN, PERMISSION, "", "", ""],
        ),
        row(
            operation::GET_CREDENTIAL,
            |it| vault::GetCredentialRequest { id: it.credential }.encode_to_vec(),
            |it| rest(Method::GET, path(it, "")),
            [TOKEN, HIDDEN, HIDDEN, "", ""],
        ),
        row(
            operation::LIST_CREDENTIALS,
            |_| vault::ListCredentialsRequest::default().encode_to_vec(),
            |_| rest(Method::GET, "/v2/credentialvault/credentials"),
            [TOKEN, PERMISSION, "", "", ""],
        ),
        row(
            operation::UPDATE_CREDENTIAL,
            |it| {
                vault::UpdateCredentialRequest {
                    id: it.credential,
                    description: Some("d".into()),
                    ..Default::default()
                }
                .encode_to_vec()
            },
            |it| rest(Method::PUT, path(it, "")).json(json!({"description": "d"})),
            OWNER,
        ),
        row(
            operation::TRANSFER_CREDENTIAL,
            |it| {
                vault::TransferCredentialRequest { id: it.credential, owner_id: it.heir, etag: String::new() }
                    .encode_to_vec()
            },
            |it| rest(Method::PUT, path(it, &format!("/owner/{}", it.heir))),
            [TOKEN, HIDDEN, HIDDEN, "", ""],
        ),
        row(
            operation::DELETE_CREDENTIAL,
            |it| vault::DeleteCredentialRequest { id: it.credential, etag: String::new() }.encode_to_vec(),
            |it| rest(Method::DELETE, path(it, "")),
            OWNER,
        ),
        row(
            operation::DELETE_ATTRIBUTE,
            |it| {
                vault::DeleteAttributeRequest {
                    credential_id: it.credential,
                    attribute_id: it.attribute,
                    etag: String::new(),
                }
                .encode_to_vec()
            },
            |it| rest(Method::DELETE, path(it, &format!("/attributes/{}", it.attribute))),
            OWNER,
        ),
        row(
            operation::CREATE_VALUES,
            |it| {
                let value = vault::NewAttributeValue {
                    attribute_id: it.second_attribute,
                    user_id: None,
                    value: canary::secret("m"),
                };
                vault::CreateAttributeValuesRequest {
                    credential_id: it.credential,
                    values: vec![value],
                    encryption_key: String::new(),
                }
                .encode_to_vec()
            },
            |it| {
                let body = json!([{"credentialAttributeId": it.second_attribute, "value": canary::secret("m")}]);
                rest(Method::POST, path(it, "/attributevalues")).json(body)
            },
            OWNER,
        ),
        row(
            operation::LIST_VALUES,
            |it| {
                vault::ListAttributeValuesRequest { credential_id: it.credential, attribute_id: None, user_id: None }
                    .encode_to_vec()
            },
            |it| rest(Method::GET, path(it, "/attributevalues")),
            OWNER,
        ),
        row(
            operation::UPDATE_VALUE,
            |it| {
                let value = canary::secret("m");
                vault::UpdateAttributeValueRequest {
                    credential_id: it.credential,
                    id: it.value,
                    value,
                    ..Default::default()
                }
                .encode_to_vec()
            },
            |it| {
                rest(Method::PUT, path(it, &format!("/attributevalues/{}", it.value)))
                    .json(json!({"value": canary::secret("m")}))
            },
            OWNER,
        ),
        row(
            operation::DELETE_VALUE,
            |it| {
                vault::DeleteAttributeValueRequest { credential_id: it.credential, id: it.value, etag: String::new() }
                    .encode_to_vec()
            },
            |it| rest(Method::DELETE, path(it, &format!("/attributevalues/{}", it.value))),
            OWNER,
        ),
        row(
            operation::LIST_ENTRIES,
            |_| {
                let query = coffre_proto::query::v1::Query { page_size: 1, ..Default::default() };
                audit::ListEntriesRequest { query: Some(query) }.encode_to_vec()
            },
            |_| rest(Method::POST, "/v1/audit/messages/list").json(json!({"page": {"length": 1}})),
            [TOKEN, "", "", "", ""],
        ),
        row(
            operation::GET_ENTRY,
            |it| audit::GetEntryRequest { id: it.entry.clone() }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/audit/messages/{}", it.entry)),
            [TOKEN, "audit.entry_not_found", "audit.entry_not_found", "", ""],
        ),
    ]
}
