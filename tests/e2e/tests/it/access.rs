//! Who may call what: every RPC of the public descriptor has a row here with an answer for each kind of caller, over gRPC and over REST.

use std::collections::BTreeSet;

use coffre_e2e::api::{NewAttribute, NewRole, NewUser, NewValue, Protocol, Rest, Session, rest};
use coffre_e2e::canary;
use coffre_e2e::case::Case;
use coffre_e2e::operation::{self, Operation};
use coffre_proto::auth::v1 as auth;
use coffre_proto::vault::v1 as vault;
use coffre_proto::{PUBLIC_DESCRIPTORS, audit::v1 as audit};
use http::Method;
use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::json;

/// What a row may ask for; made afresh for each call, because some calls destroy it.
struct Fixture {
    tag: String,
    credential: i64,
    attribute: i64,
    second_attribute: i64,
    value: i64,
    heir: i64,
    user: i64,
    username: String,
    password: String,
    token: String,
    role: i64,
    entry: String,
}

/// The callers, in the order of the answers.
const CALLERS: [&str; 5] = [
    "nobody",
    "somebody without rights",
    "another user with AAE_Basic",
    "the owner, with AAE_Basic",
    "the administrator",
];

/// One answer for each caller: a code word, or nothing where the call succeeds.
type Answers = [&'static str; 5];

const OPEN: Answers = ["", "", "", "", ""];
const TOKEN: &str = "auth.token_required";
const TWO_TOKENS: &str = "auth.token_conflict";
const PERMISSION: &str = "authz.permission_required";
/// Only holders of *Manage users and roles* or *View and manage settings*: of these five the administrator.
const ADMINISTRATOR: Answers = [TOKEN, PERMISSION, PERMISSION, PERMISSION, ""];
/// Who may not see a credential learns nothing about it, also not which permission is missing.
const HIDDEN: &str = "credential.not_found";
const NOT_PERMITTED: &str = "credential.not_permitted";
/// The owner; others do not see it, and the administrator, who administers all lockers, sees it but may not do this.
const OWNER: Answers = [TOKEN, HIDDEN, HIDDEN, "", NOT_PERMITTED];

struct Row {
    operation: Operation,
    message: fn(&Fixture) -> Vec<u8>,
    rest: fn(&Fixture) -> Rest,
    answers: Answers,
}

fn row(operation: Operation, message: fn(&Fixture) -> Vec<u8>, rest: fn(&Fixture) -> Rest, answers: Answers) -> Row {
    Row { operation, message, rest, answers }
}

fn path(it: &Fixture, tail: &str) -> String {
    format!("/v2/credentialvault/credentials/{}{tail}", it.credential)
}

fn rows() -> Vec<Row> {
    vec![
        row(
            operation::SIGN_IN,
            |it| auth::SignInRequest { username: it.username.clone(), password: it.password.clone() }.encode_to_vec(),
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
            operation::GET_MODE,
            |_| vault::GetModeRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v2/credentialvault/mode"),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_KEY_STATUS,
            |_| vault::GetMasterKeyStatusRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v2/credentialvault/keys/private"),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_TRANSPORT_KEY,
            |_| vault::GetTransportPublicKeyRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v2/credentialvault/keys/transport/public"),
            [TOKEN, "", "", "", ""],
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

/// The RPCs that are served: everything public but the lockers, which come later.
fn served() -> Vec<prost_reflect::MethodDescriptor> {
    let pool = DescriptorPool::decode(PUBLIC_DESCRIPTORS).unwrap();
    pool.services()
        .filter(|service| service.package_name() != "coffre.locker.v1")
        .flat_map(|service| service.methods().collect::<Vec<_>>())
        .collect()
}

fn rpc_name(method: &prost_reflect::MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

#[test]
fn every_rpc_has_its_row() {
    let served: BTreeSet<String> = served().iter().map(rpc_name).collect();
    let rows: BTreeSet<String> = rows().iter().map(|row| row.operation.rpc.to_owned()).collect();
    assert_eq!(served, rows, "an RPC without an expectation for each kind of caller");
    let operations: BTreeSet<String> = operation::ALL.iter().map(|one| one.rpc.to_owned()).collect();
    assert_eq!(served, operations, "an RPC without an expectation of its audit entry");
}

async fn fixture(case: &Case<'_>, owner: &Session, heir: i64, entry: &str) -> Fixture {
    let tag = uuid::Uuid::new_v4().simple().to_string();
    let attributes = [NewAttribute::standard("a"), NewAttribute::standard("b")];
    let created = owner.create_credential(&format!("access {tag}"), &attributes).await.ok();
    let value =
        owner.create_values(created.id, &[NewValue::new(created.attributes[0].id, canary::secret(&tag))]).await.ok();
    let username = format!("access {tag}");
    let password = canary::password(&username);
    let new = NewUser { username: username.clone(), password: password.clone(), ..NewUser::default() };
    let user = case.admin.create_user(&new).await.ok();
    let session = case.anonymous().open(&username, &password).await;
    let role = case.admin.create_role(&NewRole { name: format!("access {tag}"), ..NewRole::default() }).await.ok();
    Fixture {
        credential: created.id,
        attribute: created.attributes[0].id,
        second_attribute: created.attributes[1].id,
        value: value[0].id,
        heir,
        user: user.id,
        username,
        password,
        token: session.token.unwrap(),
        role: role.id,
        entry: entry.to_owned(),
        tag,
    }
}

/// Calls every RPC as every kind of caller.
pub(crate) async fn each_caller_gets_the_answer_of_its_row(case: &Case<'_>) {
    let plain = case.user("plain", &[]).await;
    let (other, owner) = (case.basic("other").await, case.basic("owner").await);
    let callers = [&case.anonymous(), &plain, &other, &owner, &case.admin];
    // The transport key is made in the background.
    crate::cases::transport::transport_key(case, &owner).await;
    let entry = crate::cases::audit::first_entry_of(&owner).await;
    let methods = served();
    let mut wrong = Vec::new();
    for row in rows() {
        let method = methods.iter().find(|method| rpc_name(method) == row.operation.rpc).unwrap();
        // One fixture serves all who are refused; a success may use it up.
        let mut it = fixture(case, &owner, other.id, &entry).await;
        for ((caller, expected), who) in callers.iter().zip(row.answers).zip(CALLERS) {
            // Open calls look at the token in the message, not at the caller.
            let user = if row.answers == OPEN { "" } else { &caller.username };
            let found = match case.protocol {
                Protocol::Rest => {
                    caller.rest(row.operation, (row.rest)(&it)).await.by(user).code().unwrap_or_default().to_owned()
                }
                Protocol::Grpc => {
                    let message = DynamicMessage::decode(method.input(), &*(row.message)(&it)).unwrap();
                    caller
                        .grpc::<DynamicMessage, ()>(row.operation, message)
                        .await
                        .by(user)
                        .code()
                        .unwrap_or_default()
                        .to_owned()
                }
            };
            if found != expected {
                wrong.push(format!("{} as {who}: {found:?} instead of {expected:?}", row.operation.rpc));
            }
            if found.is_empty() {
                it = fixture(case, &owner, other.id, &entry).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
