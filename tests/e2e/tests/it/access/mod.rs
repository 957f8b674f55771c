//! Who may call what: every RPC of the public descriptor has a row here with an answer for each kind of caller, over gRPC and over REST.

mod api_rows;
mod audit_rows;
mod key_rows;
mod locker_rows;
mod rows;

use std::collections::BTreeSet;

use coffre_e2e::api::{Client, NewApiAccess, NewAttribute, NewRole, NewUser, NewValue, Protocol, Session};
use coffre_e2e::canary;
use coffre_e2e::case::Case;
use coffre_e2e::model::Right;
use coffre_e2e::operation;
use coffre_proto::PUBLIC_DESCRIPTORS;
use prost_reflect::{DescriptorPool, DynamicMessage};

use self::rows::Row;

fn rows() -> Vec<Row> {
    let all = [rows::rows(), locker_rows::rows(), api_rows::rows(), key_rows::rows(), audit_rows::rows()];
    all.into_iter().flatten().collect()
}

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
    /// The size of a checkpoint of the audit.
    checkpoint: i64,
    /// 0 where the row asks for none.
    lockers: Lockers,
    /// Empty where the row asks for none.
    program: Program,
}

/// What the rows about programs ask for.
#[derive(Default)]
struct Program {
    /// Bound to the owner, who has confirmed it.
    access: i64,
    client: Option<Client>,
    operator: String,
    password: String,
    refresh_token: String,
    /// The administrator's.
    key: i64,
}

impl Program {
    fn client(&self) -> &Client {
        self.client.as_ref().expect("the row is about programs")
    }
}

/// Says whether a row asks for a program.
fn is_about_programs(rpc: &str) -> bool {
    ["OAuthService", "ApiAccessService", "ApiKeyService"].iter().any(|word| rpc.contains(word))
}

/// Says whether an RPC may ask for a session that was opened a moment ago; cases share a sign-in of the administrator.
fn asks_for_recent_sign_in(rpc: &str) -> bool {
    let others = [operation::CHANGE_PASSWORD.rpc, operation::CUT_LOG.rpc];
    is_about_programs(rpc) || is_about_keys(rpc) || others.contains(&rpc)
}

/// Says whether a row is about the vault's keys: it may seal the vault, and so has one of its own.
fn is_about_keys(rpc: &str) -> bool {
    rpc.contains("KeyService") && !rpc.contains("ApiKey")
}

/// What the rows about lockers ask for.
#[derive(Default)]
struct Lockers {
    /// Holds `inside`; its participant is `user`, its consumer `consumer`.
    full: i64,
    empty: i64,
    inside: i64,
    consumer: i64,
}

/// Says whether a row asks for lockers.
fn is_about_lockers(rpc: &str) -> bool {
    let words =
        ["locker", "LockerCredentials", "AssignCredential", "WithdrawCredential", "ExplainAccess", "MissingValues"];
    words.iter().any(|word| rpc.contains(word))
}

/// The callers, in the order of the answers.
const CALLERS: [&str; 5] = [
    "nobody",
    "somebody without rights",
    "another user with AAE_Basic",
    "the owner, with AAE_Basic",
    "the administrator",
];

/// The RPCs that are served: everything public.
fn served() -> Vec<prost_reflect::MethodDescriptor> {
    let pool = DescriptorPool::decode(PUBLIC_DESCRIPTORS).unwrap();
    pool.services().flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
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

async fn fixture(
    case: &Case<'_>,
    owner: &Session,
    recent: &Session,
    heir: i64,
    audit: &(String, i64),
    rpc: &str,
) -> Fixture {
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
    let lockers = if is_about_lockers(rpc) { lockers(case, owner, user.id, &tag).await } else { Lockers::default() };
    let program =
        if is_about_programs(rpc) { program(case, owner, recent, &tag, rpc).await } else { Program::default() };
    Fixture {
        lockers,
        program,
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
        entry: audit.0.clone(),
        checkpoint: audit.1,
        tag,
    }
}

async fn lockers(case: &Case<'_>, owner: &Session, user: i64, tag: &str) -> Lockers {
    let consumer =
        case.admin.create_role(&NewRole { name: format!("consumer {tag}"), ..NewRole::default() }).await.ok();
    let full = owner.create_locker(&format!("full {tag}"), None).await.ok().id;
    let empty = owner.create_locker(&format!("empty {tag}"), None).await.ok().id;
    let inside = owner.create_credential(&format!("inside {tag}"), &[NewAttribute::standard("a")]).await.ok().id;
    owner.assign(full, inside).await.ok();
    owner.set_member(full, user, &[Right::Participate]).await.ok();
    owner.add_consumer(full, consumer.id).await.ok();
    Lockers { full, empty, inside, consumer: consumer.id }
}

async fn program(case: &Case<'_>, owner: &Session, recent: &Session, tag: &str, rpc: &str) -> Program {
    let new = NewApiAccess {
        client_id: format!("program {tag}"),
        password_grant: Some(true),
        client_credentials_grant: Some(true),
        operator_id: Some(owner.id),
        ..NewApiAccess::default()
    };
    let (access, client) = recent.create_api_access(&new).await.ok();
    owner.confirm_api_access(access.id).await.ok();
    let client = client.in_body();
    let refresh_token = case.grant(&client, owner).await.refresh().to_owned();
    // Where the row asks for none there is none: a user has fifty at most.
    let key =
        if rpc.contains("ApiKey") { recent.create_api_key(&format!("key {tag}"), None).await.ok().0.id } else { 0 };
    Program {
        access: access.id,
        client: Some(client),
        operator: owner.username.clone(),
        password: case.password_of(owner),
        refresh_token,
        key,
    }
}

/// Calls every RPC as every kind of caller.
pub(crate) async fn each_caller_gets_the_answer_of_its_row(case: &Case<'_>) {
    each(case, rows().into_iter().filter(|row| !is_about_keys(row.operation.rpc)).collect()).await;
}

/// Calls every RPC about the vault's keys, on a vault that may be sealed.
pub(crate) async fn rows_about_keys(case: &Case<'_>) {
    each(case, rows().into_iter().filter(|row| is_about_keys(row.operation.rpc)).collect()).await;
}

async fn each(case: &Case<'_>, rows: Vec<Row>) {
    let plain = case.user("plain", &[]).await;
    let (other, owner) = (case.basic("other").await, case.basic("owner").await);
    let callers = [&case.anonymous(), &plain, &other, &owner, &case.admin];
    // The transport key is made in the background.
    crate::cases::transport::transport_key(case, &owner).await;
    let entry = crate::cases::audit::first_entry_of(&owner).await;
    let audit = (entry, case.admin.create_checkpoint().await.ok().size);
    let recent = case.recent_admin().await;
    let methods = served();
    let mut wrong = Vec::new();
    for row in rows.into_iter().filter(|row| !(row.grpc_alone && case.protocol == Protocol::Rest)) {
        let method = methods.iter().find(|method| rpc_name(method) == row.operation.rpc).unwrap();
        // One fixture serves all who are refused; a success may use it up.
        let mut it = fixture(case, &owner, &recent, other.id, &audit, row.operation.rpc).await;
        let by_recent = asks_for_recent_sign_in(row.operation.rpc);
        for ((caller, expected), who) in callers.iter().zip(row.answers).zip(CALLERS) {
            let caller = if by_recent && caller.username == recent.username { &recent } else { *caller };
            // Open calls look at the token in the message, not at the caller.
            let user = if row.answers[0].is_empty() { "" } else { &caller.username };
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
            if row.operation.rpc == operation::SEAL_VAULT.rpc && found.is_empty() {
                recent.unseal_vault().await.ok();
            }
            if found.is_empty() {
                it = fixture(case, &owner, &recent, other.id, &audit, row.operation.rpc).await;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
