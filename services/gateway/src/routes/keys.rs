//! The vault's mode and keys: M1, M3 and T1 of the contract.

use axum::extract::State;
use axum::response::Response;
use coffre_error::Refusal;
use coffre_proto::vault::v1::{self, GetMasterKeyStatusRequest, GetModeRequest, GetTransportPublicKeyRequest};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::request::{App, json};

/// Who holds the master key.
#[derive(Serialize, ToSchema)]
struct Mode {
    /// `Express`: the server; `Manual`: only people.
    #[schema(examples("Express"))]
    name: &'static str,
}

/// Whether the vault is open.
#[derive(Serialize, ToSchema)]
struct MasterKey {
    /// The master key is applied: the vault is open.
    applied: bool,
}

/// A public key under which values may be encrypted on their way.
#[derive(Serialize, ToSchema)]
struct TransportKey {
    /// Base64 of `<RSAKeyValue><Modulus>…</Modulus><Exponent>…</Exponent></RSAKeyValue>`.
    #[serde(rename = "publicKey")]
    public_key: String,
}

/// Returns the vault's mode.
#[utoipa::path(
    get, path = "/v2/credentialvault/mode", tag = "Mode and keys", operation_id = "getMode",
    responses(
        (status = 200, description = "The mode", body = Mode),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn mode(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.keys().get_mode(caller.request(GetModeRequest {})).await?.into_inner();
    let name = match answer.mode() {
        v1::Mode::Express => "Express",
        v1::Mode::Manual => "Manual",
        v1::Mode::Unspecified => return Err(Refusal::internal("the vault answered with an unknown mode").into()),
    };
    Ok(json(StatusCode::OK, &Mode { name }))
}

/// Says whether the vault is open.
#[utoipa::path(
    get, path = "/v2/credentialvault/keys/private", tag = "Mode and keys", operation_id = "getMasterKeyStatus",
    responses(
        (status = 200, description = "Whether the master key is applied", body = MasterKey),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn master_key(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer =
        app.clients.keys().get_master_key_status(caller.request(GetMasterKeyStatusRequest {})).await?.into_inner();
    Ok(json(StatusCode::OK, &MasterKey { applied: answer.applied }))
}

/// Returns the public key under which values may be encrypted on their way. It hides them from logs and proxies, and does not stand in for TLS.
#[utoipa::path(
    get, path = "/v2/credentialvault/keys/transport/public", tag = "Mode and keys", operation_id = "getTransportKey",
    responses(
        (status = 200, description = "The key", body = TransportKey),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 503, description = "The vault is sealed, or the first key is still being made", body = ErrorBody),
    )
)]
pub(crate) async fn transport_key(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let request = caller.request(GetTransportPublicKeyRequest {});
    let answer = app.clients.keys().get_transport_public_key(request).await?.into_inner();
    Ok(json(StatusCode::OK, &TransportKey { public_key: answer.public_key }))
}
