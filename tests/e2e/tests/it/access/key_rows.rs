//! One row an RPC: the vault's mode and keys. What the administrator may is tried on a vault of its own (`crate::keys::access`).

use coffre_e2e::api::{Rest, rest};
use coffre_e2e::operation;
use coffre_proto::vault::v1 as vault;
use http::Method;
use prost::Message as _;
use serde_json::json;

use super::rows::{ADMINISTRATOR, Answers, PERMISSION, Row, TOKEN, row};

/// Nobody holds a master key in the mode Express.
const NO_MASTER_KEY: Answers = [TOKEN, PERMISSION, PERMISSION, PERMISSION, "vault.mode_conflict"];

fn keys(method: Method, tail: &str) -> Rest {
    rest(method, format!("/v2/credentialvault/keys/{tail}"))
}

pub(super) fn rows() -> Vec<Row> {
    vec![
        row(
            operation::GET_MODE,
            |_| vault::GetModeRequest {}.encode_to_vec(),
            |_| rest(Method::GET, "/v2/credentialvault/mode"),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_KEY_STATUS,
            |_| vault::GetMasterKeyStatusRequest {}.encode_to_vec(),
            |_| keys(Method::GET, "private"),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_TRANSPORT_KEY,
            |_| vault::GetTransportPublicKeyRequest {}.encode_to_vec(),
            |_| keys(Method::GET, "transport/public"),
            [TOKEN, "", "", "", ""],
        ),
        row(
            operation::LIST_KEY_SLOTS,
            |_| vault::ListKeySlotsRequest {}.encode_to_vec(),
            |_| keys(Method::GET, "slots"),
            ADMINISTRATOR,
        ),
        row(
            operation::GET_ROTATION,
            |_| vault::GetRotationRequest {}.encode_to_vec(),
            |_| keys(Method::GET, "rotation"),
            ADMINISTRATOR,
        ),
        row(
            operation::SET_MODE,
            // What it is already.
            |_| vault::SetModeRequest { mode: vault::Mode::Express.into(), ..Default::default() }.encode_to_vec(),
            |_| rest(Method::PUT, "/v2/credentialvault/mode").json(json!({"name": "Express"})),
            ADMINISTRATOR,
        ),
        row(
            operation::APPLY_KEY,
            |it| vault::ApplyMasterKeyRequest { private_key: it.tag.clone(), ..Default::default() }.encode_to_vec(),
            |it| keys(Method::PUT, "private").json(json!({"privateKey": it.tag})),
            NO_MASTER_KEY,
        ),
        row(
            operation::DRILL_KEY,
            |it| vault::DrillKeyRequest { private_key: it.tag.clone(), ..Default::default() }.encode_to_vec(),
            |it| keys(Method::POST, "drill").json(json!({"privateKey": it.tag})),
            NO_MASTER_KEY,
        ),
        row(
            operation::REPLACE_RECOVERY_KEY,
            |it| vault::ReplaceRecoveryKeyRequest { current_key: it.tag.clone() }.encode_to_vec(),
            |it| keys(Method::POST, "recovery").json(json!({"currentKey": it.tag})),
            // It is no recovery key.
            [TOKEN, PERMISSION, PERMISSION, PERMISSION, "request.invalid"],
        ),
        row(
            operation::START_ROTATION,
            |_| vault::StartRotationRequest {}.encode_to_vec(),
            |_| keys(Method::POST, "rotation"),
            ADMINISTRATOR,
        ),
        row(
            operation::SEAL_VAULT,
            |_| vault::SealVaultRequest {}.encode_to_vec(),
            |_| keys(Method::POST, "seal"),
            ADMINISTRATOR,
        ),
        row(
            operation::UNSEAL_VAULT,
            |_| vault::UnsealVaultRequest {}.encode_to_vec(),
            |_| keys(Method::POST, "unseal"),
            ADMINISTRATOR,
        ),
    ]
}
