//! One row an RPC: lockers, what is in them, and what users hold.

use coffre_e2e::api::rest;
use coffre_e2e::operation;
use coffre_proto::auth::v1 as auth;
use coffre_proto::locker::v1 as locker;
use coffre_proto::vault::v1 as vault;
use http::Method;
use prost::Message as _;
use serde_json::json;

use super::Fixture;
use super::rows::{Answers, HIDDEN, NOT_PERMITTED, PERMISSION, Row, TOKEN, row};

/// Who may not see a locker learns nothing about it.
const NO_LOCKER: &str = "locker.not_found";
/// The owner, and the administrator, who administers all lockers.
const OWNER: Answers = [TOKEN, NO_LOCKER, NO_LOCKER, "", ""];
/// The same for what is inside.
const OF_INSIDE: Answers = [TOKEN, HIDDEN, HIDDEN, "", ""];
/// Users and roles are the administrator's.
const ADMINISTRATOR: Answers = [TOKEN, PERMISSION, PERMISSION, PERMISSION, ""];

fn path(it: &Fixture, tail: &str) -> String {
    format!("/v2/credentialvault/lockers/{}{tail}", it.lockers.full)
}

fn inside(it: &Fixture, tail: &str) -> String {
    format!("/v2/credentialvault/credentials/{}{tail}", it.lockers.inside)
}

pub(super) fn rows() -> Vec<Row> {
    [lockers(), sharing(), contents()].into_iter().flatten().collect()
}

fn lockers() -> Vec<Row> {
    vec![
        row(
            operation::CREATE_LOCKER,
            |it| locker::CreateLockerRequest { name: format!("made {}", it.tag), description: None }.encode_to_vec(),
            |it| rest(Method::POST, "/v2/credentialvault/lockers").json(json!({"name": format!("made {}", it.tag)})),
            [TOKEN, PERMISSION, "", "", ""],
        ),
        row(
            operation::GET_LOCKER,
            |it| locker::GetLockerRequest { id: it.lockers.full }.encode_to_vec(),
            |it| rest(Method::GET, path(it, "")),
            OWNER,
        ),
        row(
            operation::LIST_LOCKERS,
            |_| locker::ListLockersRequest::default().encode_to_vec(),
            |_| rest(Method::GET, "/v2/credentialvault/lockers"),
            [TOKEN, PERMISSION, "", "", ""],
        ),
        row(
            operation::UPDATE_LOCKER,
            |it| {
                let description = Some("d".to_owned());
                locker::UpdateLockerRequest { id: it.lockers.full, description, ..Default::default() }.encode_to_vec()
            },
            |it| rest(Method::PUT, path(it, "")).json(json!({"description": "d"})),
            OWNER,
        ),
        row(
            operation::DELETE_LOCKER,
            |it| locker::DeleteLockerRequest { id: it.lockers.empty, etag: String::new() }.encode_to_vec(),
            |it| rest(Method::DELETE, format!("/v2/credentialvault/lockers/{}", it.lockers.empty)),
            OWNER,
        ),
    ]
}

fn sharing() -> Vec<Row> {
    vec![
        row(
            operation::LIST_MEMBERS,
            |it| locker::ListMembersRequest { locker_id: it.lockers.full }.encode_to_vec(),
            |it| rest(Method::GET, path(it, "/members")),
            OWNER,
        ),
        row(
            operation::SET_MEMBER,
            |it| {
                let member =
                    locker::Member { user_id: it.user, permissions: vec![locker::MemberPermission::Manage.into()] };
                locker::SetMemberRequest { locker_id: it.lockers.full, member: Some(member) }.encode_to_vec()
            },
            |it| rest(Method::PUT, path(it, &format!("/members/{}", it.user))).json(json!({"permissions": ["manage"]})),
            OWNER,
        ),
        row(
            operation::REMOVE_MEMBER,
            |it| locker::RemoveMemberRequest { locker_id: it.lockers.full, user_id: it.user }.encode_to_vec(),
            |it| rest(Method::DELETE, path(it, &format!("/members/{}", it.user))),
            OWNER,
        ),
        row(
            operation::LIST_CONSUMERS,
            |it| locker::ListConsumersRequest { locker_id: it.lockers.full }.encode_to_vec(),
            |it| rest(Method::GET, path(it, "/consumers")),
            OWNER,
        ),
        row(
            operation::ADD_CONSUMER,
            |it| locker::AddConsumerRequest { locker_id: it.lockers.full, role_id: it.role }.encode_to_vec(),
            |it| rest(Method::PUT, path(it, "/consumers")).json(json!({"id": it.role})),
            OWNER,
        ),
        row(
            operation::REMOVE_CONSUMER,
            |it| {
                locker::RemoveConsumerRequest { locker_id: it.lockers.full, role_id: it.lockers.consumer }
                    .encode_to_vec()
            },
            |it| rest(Method::DELETE, path(it, &format!("/consumers/{}", it.lockers.consumer))),
            OWNER,
        ),
        row(
            operation::LIST_HOLDINGS,
            |it| auth::ListUserHoldingsRequest { id: it.user }.encode_to_vec(),
            |it| rest(Method::GET, format!("/v1/usermanagement/users/{}/holdings", it.user)),
            ADMINISTRATOR,
        ),
        row(
            operation::TRANSFER_HOLDINGS,
            |it| auth::TransferUserHoldingsRequest { id: it.user, recipient_id: it.heir }.encode_to_vec(),
            |it| {
                rest(Method::POST, format!("/v1/usermanagement/users/{}/holdings/transfer", it.user))
                    .json(json!({"userId": it.heir}))
            },
            ADMINISTRATOR,
        ),
    ]
}

fn contents() -> Vec<Row> {
    vec![
        row(
            operation::ASSIGN_CREDENTIAL,
            |it| {
                let (credential_id, locker_id) = (it.credential, it.lockers.full);
                vault::AssignCredentialRequest { credential_id, locker_id, etag: String::new() }.encode_to_vec()
            },
            |it| rest(Method::PUT, path(it, &format!("/credentials/{}", it.credential))),
            [TOKEN, HIDDEN, HIDDEN, "", NOT_PERMITTED],
        ),
        row(
            operation::WITHDRAW_CREDENTIAL,
            |it| {
                let (credential_id, locker_id) = (it.lockers.inside, it.lockers.full);
                vault::WithdrawCredentialRequest { credential_id, locker_id, etag: String::new() }.encode_to_vec()
            },
            |it| rest(Method::DELETE, path(it, &format!("/credentials/{}", it.lockers.inside))),
            OF_INSIDE,
        ),
        row(
            operation::LIST_LOCKER_CREDENTIALS,
            |it| vault::ListLockerCredentialsRequest { locker_id: it.lockers.full, query: None }.encode_to_vec(),
            |it| rest(Method::GET, path(it, "/credentials")),
            OWNER,
        ),
        row(
            operation::EXPLAIN_ACCESS,
            |it| {
                vault::ExplainAccessRequest { credential_id: it.lockers.inside, user_id: Some(it.user) }.encode_to_vec()
            },
            |it| rest(Method::GET, inside(it, &format!("/access?userId={}", it.user))),
            OF_INSIDE,
        ),
        row(
            operation::LIST_MISSING_VALUES,
            |it| vault::ListMissingValuesRequest { credential_id: it.lockers.inside }.encode_to_vec(),
            |it| rest(Method::GET, inside(it, "/missingvalues")),
            OF_INSIDE,
        ),
    ]
}
