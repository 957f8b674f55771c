//! One row an RPC: API accesses, their tokens, API keys, and what a caller sees at a glance.

use coffre_e2e::api::{INTROSPECT, REVOKE, TOKEN as TOKEN_PATH, rest};
use coffre_e2e::operation;
use coffre_proto::auth::v1 as auth;
use coffre_proto::vault::v1 as vault;
use http::Method;
use prost::Message as _;
use serde_json::json;

use super::Fixture;
use super::rows::{Answers, PERMISSION, Row, TOKEN, row};

/// The client says who it is; whoever else calls does not matter.
const CLIENT: Answers = ["", "", "", "", ""];
/// API accesses and API keys are the administrator's.
const ADMINISTRATOR: Answers = [TOKEN, PERMISSION, PERMISSION, PERMISSION, ""];
const NO_ACCESS: &str = "api_access.not_found";
const NO_KEY: &str = "api_key.not_found";

fn path(it: &Fixture, tail: &str) -> String {
    format!("/v1/apiaccess/{}{tail}", it.program.access)
}

pub(super) fn rows() -> Vec<Row> {
    [tokens(), accesses(), keys()].into_iter().flatten().collect()
}

fn tokens() -> Vec<Row> {
    vec![
        row(
            operation::ISSUE_TOKEN_FOR_PASSWORD,
            |it| {
                let (username, password) = (it.program.operator.clone(), it.program.password.clone());
                let client = Some(it.program.client().proto());
                auth::IssueTokenForPasswordRequest { client, username, password, scope: String::new() }.encode_to_vec()
            },
            |it| {
                let fields = [
                    ("grant_type", "password"),
                    ("username", it.program.operator.as_str()),
                    ("password", &it.program.password),
                ];
                it.program.client().request(TOKEN_PATH, &fields)
            },
            CLIENT,
        ),
        row(
            operation::ISSUE_TOKEN_FOR_REFRESH,
            |it| {
                let (client, refresh_token) = (Some(it.program.client().proto()), it.program.refresh_token.clone());
                auth::IssueTokenForRefreshTokenRequest { client, refresh_token, scope: String::new() }.encode_to_vec()
            },
            |it| {
                let fields = [("grant_type", "refresh_token"), ("refresh_token", it.program.refresh_token.as_str())];
                it.program.client().request(TOKEN_PATH, &fields)
            },
            CLIENT,
        ),
        row(
            operation::ISSUE_TOKEN_FOR_CLIENT,
            |it| {
                let client = Some(it.program.client().proto());
                auth::IssueTokenForClientRequest { client, scope: String::new() }.encode_to_vec()
            },
            |it| it.program.client().request(TOKEN_PATH, &[("grant_type", "client_credentials")]),
            CLIENT,
        ),
        row(
            operation::REVOKE_TOKEN,
            |it| {
                let (client, token) = (Some(it.program.client().proto()), it.program.refresh_token.clone());
                auth::RevokeTokenRequest { client, token }.encode_to_vec()
            },
            |it| it.program.client().request(REVOKE, &[("token", &it.program.refresh_token)]),
            CLIENT,
        ),
        row(
            operation::INTROSPECT_TOKEN,
            |it| {
                let (client, token) = (Some(it.program.client().proto()), it.program.refresh_token.clone());
                auth::IntrospectTokenRequest { client, token }.encode_to_vec()
            },
            |it| it.program.client().request(INTROSPECT, &[("token", &it.program.refresh_token)]),
            CLIENT,
        ),
    ]
}

fn accesses() -> Vec<Row> {
    vec![
        row(
            operation::CREATE_API_ACCESS,
            |it| {
                auth::CreateApiAccessRequest { client_id: format!("made {}", it.tag), ..Default::default() }
                    .encode_to_vec()
            },
            |it| rest(Method::POST, "/v1/apiaccess").json(json!({"clientId": format!("made {}", it.tag)})),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_API_ACCESS,
            |it| auth::GetApiAccessRequest { id: it.program.access }.encode_to_vec(),
            |it| rest(Method::GET, path(it, "")),
            // The owner of this suite is the operator of the access.
            [TOKEN, PERMISSION, PERMISSION, "", ""],
        ),
        row(
            operation::LIST_API_ACCESSES,
            |_| auth::ListApiAccessesRequest::default().encode_to_vec(),
            |_| rest(Method::GET, "/v1/apiaccess"),
            // Whoever manages none sees those that are bound to him.
            [TOKEN, "", "", "", ""],
        ),
        row(
            operation::UPDATE_API_ACCESS,
            |it| {
                let description = Some("d".to_owned());
                auth::UpdateApiAccessRequest { id: it.program.access, description, ..Default::default() }
                    .encode_to_vec()
            },
            |it| rest(Method::PUT, path(it, "")).json(json!({"description": "d"})),
            ADMINISTRATOR,
        ),
        row(
            operation::DELETE_API_ACCESS,
            |it| auth::DeleteApiAccessRequest { id: it.program.access, etag: String::new() }.encode_to_vec(),
            |it| rest(Method::DELETE, path(it, "")),
            ADMINISTRATOR,
        ),
        row(
            operation::ROTATE_SECRET,
            |it| auth::RotateApiAccessSecretRequest { id: it.program.access, ..Default::default() }.encode_to_vec(),
            |it| rest(Method::POST, path(it, "/secret")).json(json!({})),
            ADMINISTRATOR,
        ),
        row(
            operation::CONFIRM_API_ACCESS,
            |it| auth::ConfirmApiAccessRequest { id: it.program.access, ..Default::default() }.encode_to_vec(),
            |it| rest(Method::POST, path(it, "/confirmation")),
            [TOKEN, PERMISSION, NO_ACCESS, "", NO_ACCESS],
        ),
        row(
            operation::WITHDRAW_CONFIRMATION,
            |it| auth::WithdrawApiAccessConfirmationRequest { id: it.program.access }.encode_to_vec(),
            |it| rest(Method::DELETE, path(it, "/confirmation")),
            [TOKEN, NO_ACCESS, NO_ACCESS, "", ""],
        ),
    ]
}

fn keys() -> Vec<Row> {
    vec![
        row(
            operation::CREATE_API_KEY,
            |it| auth::CreateApiKeyRequest { name: it.tag.clone(), expire_time: None }.encode_to_vec(),
            |it| rest(Method::POST, "/v1/apikeys").json(json!({"name": it.tag})),
            ADMINISTRATOR,
        ),
        row(
            operation::LIST_API_KEYS,
            |_| auth::ListApiKeysRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v1/apikeys"),
            ADMINISTRATOR,
        ),
        row(
            operation::DELETE_API_KEY,
            |it| auth::DeleteApiKeyRequest { id: it.program.key }.encode_to_vec(),
            |it| rest(Method::DELETE, format!("/v1/apikeys/{}", it.program.key)),
            // The key is the administrator's. Revoking needs no permission, and finds nobody else's.
            [TOKEN, NO_KEY, NO_KEY, NO_KEY, ""],
        ),
        row(
            operation::GET_DASHBOARD,
            |_| vault::GetDashboardRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/api/dashboard"),
            [TOKEN, "", "", "", ""],
        ),
    ]
}
