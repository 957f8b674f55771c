//! The vault's keys: M3, M4 and T1 of the contract, and their administration beyond the document.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::vault::v1::key_slot::Kind;
use coffre_proto::vault::v1::{
    self, ApplyMasterKeyRequest, DrillKeyRequest, GetMasterKeyStatusRequest, GetTransportPublicKeyRequest,
    ListKeySlotsRequest, ReplaceRecoveryKeyRequest, SealVaultRequest, UnsealVaultRequest,
};
use http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::{Listed, Object, moment};
use crate::request::{App, JsonBody, json, listed};

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

/// A key that opens the vault: one of the two.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"privateKey": "correct horse battery staple"}))]
#[allow(dead_code)]
struct KeyBody {
    /// The master key. `privatekey` and `key` are the same, in any case.
    private_key: Option<String>,
    /// The recovery key; spaces, dashes and case do not matter.
    recovery_key: Option<String>,
}

/// Who asks for a new recovery key.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"currentKey": "correct horse battery staple"}))]
#[allow(dead_code)]
struct CurrentKey {
    /// The master key or the present recovery key; absent in the mode `Express` where there is no recovery key yet.
    current_key: Option<String>,
}

/// The new recovery key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct RecoveryKey {
    /// To be written down and kept away from the vault. Nobody can read it again.
    recovery_key: String,
}

/// A way to open the vault.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeySlot {
    /// `express`: the server's key file; `manual`: the master key that people hold; `recovery`: the recovery key.
    #[schema(examples("recovery"))]
    kind: &'static str,
    #[schema(required)]
    created_on: Option<String>,
}

/// Which slot a key opens.
#[derive(Serialize, ToSchema)]
struct Drilled {
    /// `manual` or `recovery`.
    #[schema(examples("recovery"))]
    kind: &'static str,
}

impl TryFrom<v1::KeySlot> for KeySlot {
    type Error = Failure;

    fn try_from(slot: v1::KeySlot) -> Result<Self, Failure> {
        Ok(Self { kind: kind(slot.kind())?, created_on: moment(slot.create_time) })
    }
}

fn kind(kind: Kind) -> Result<&'static str, Failure> {
    match kind {
        Kind::Express => Ok("express"),
        Kind::Manual => Ok("manual"),
        Kind::Recovery => Ok("recovery"),
        Kind::Unspecified => Err(Refusal::internal("the vault answered with an unknown slot").into()),
    }
}

/// Takes the master key, as any of the printed examples spells it; empty where it is absent.
///
/// # Errors
/// Where the field is no text, or there in two spellings.
pub(crate) fn master_key_of(body: &mut Object) -> Result<String, Refusal> {
    Ok(body.text_spelled(&["privateKey", "key"])?.unwrap_or_default())
}

/// Takes the recovery key; empty where it is absent.
///
/// # Errors
/// Where the field is no text, or there in two spellings.
pub(crate) fn recovery_key_of(body: &mut Object) -> Result<String, Refusal> {
    Ok(body.text_spelled(&["recoveryKey"])?.unwrap_or_default())
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

/// Opens the vault with the master key or the recovery key.
///
/// Where it is open already the key is only checked. Ends a seal on purpose.
#[utoipa::path(
    put, path = "/v2/credentialvault/keys/private", tag = "Mode and keys", operation_id = "applyMasterKey",
    request_body = KeyBody,
    responses(
        (status = 200, description = "The vault is open", body = MasterKey),
        (status = 400, description = "There is no key, there are two, or the recovery key is misspelled", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* is missing, the key is wrong, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "A master key in the mode `Express`", body = ErrorBody),
        (status = 429, description = "Too many wrong keys", body = ErrorBody),
    )
)]
pub(crate) async fn apply(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let mut body = body.object()?;
    let (private_key, recovery_key) = (master_key_of(&mut body)?, recovery_key_of(&mut body)?);
    let request = caller.request(ApplyMasterKeyRequest { private_key, recovery_key });
    let answer = app.clients.keys().apply_master_key(request).await?.into_inner();
    Ok(json(StatusCode::OK, &MasterKey { applied: answer.applied }))
}

/// Proves that a key would open the vault, and changes nothing.
#[utoipa::path(
    post, path = "/v2/credentialvault/keys/drill", tag = "Mode and keys", operation_id = "drillKey",
    request_body = KeyBody,
    responses(
        (status = 200, description = "It works", body = Drilled),
        (status = 400, description = "There is no key, there are two, or the recovery key is misspelled", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* is missing, the key is wrong, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "A master key in the mode `Express`", body = ErrorBody),
        (status = 429, description = "Too many wrong keys", body = ErrorBody),
    )
)]
pub(crate) async fn drill(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let mut body = body.object()?;
    let (private_key, recovery_key) = (master_key_of(&mut body)?, recovery_key_of(&mut body)?);
    let request = caller.request(DrillKeyRequest { private_key, recovery_key });
    let answer = app.clients.keys().drill_key(request).await?.into_inner();
    Ok(json(StatusCode::OK, &Drilled { kind: kind(answer.kind())? }))
}

/// Closes the vault at once, in every mode and on every replica, until somebody opens it again; a restart does not.
#[utoipa::path(
    post, path = "/v2/credentialvault/keys/seal", tag = "Mode and keys", operation_id = "sealVault",
    responses(
        (status = 204, description = "The vault is sealed"),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing, or the token is one of an API access", body = ErrorBody),
    )
)]
pub(crate) async fn seal(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    app.clients.keys().seal_vault(caller.request(SealVaultRequest {})).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// Ends a seal on purpose in the mode `Express`. In the mode `Manual` the vault is opened by its master key.
#[utoipa::path(
    post, path = "/v2/credentialvault/keys/unseal", tag = "Mode and keys", operation_id = "unsealVault",
    responses(
        (status = 200, description = "The vault is open", body = MasterKey),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* is missing, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "The mode is `Manual`", body = ErrorBody),
    )
)]
pub(crate) async fn unseal(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    app.clients.keys().unseal_vault(caller.request(UnsealVaultRequest {})).await?;
    Ok(json(StatusCode::OK, &MasterKey { applied: true }))
}

/// Replaces the recovery key. The new one is in the answer, this once.
#[utoipa::path(
    post, path = "/v2/credentialvault/keys/recovery", tag = "Mode and keys", operation_id = "replaceRecoveryKey",
    request_body(content = Option<CurrentKey>),
    responses(
        (status = 200, description = "The new recovery key", body = RecoveryKey),
        (status = 400, description = "The present key is missing or misspelled", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* is missing, the present key is wrong, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "Somebody else changed the keys at the same time", body = ErrorBody),
        (status = 429, description = "Too many wrong keys", body = ErrorBody),
        (status = 503, description = "The vault is sealed", body = ErrorBody),
    )
)]
pub(crate) async fn replace_recovery_key(
    State(app): State<App>,
    caller: Caller,
    body: JsonBody,
) -> Result<Response, Failure> {
    let mut body = body.object_or_nothing()?;
    let current_key = body.text_spelled(&["currentKey"])?.unwrap_or_default();
    let request = caller.request(ReplaceRecoveryKeyRequest { current_key });
    let answer = app.clients.keys().replace_recovery_key(request).await?.into_inner();
    Ok(json(StatusCode::OK, &RecoveryKey { recovery_key: answer.recovery_key }))
}

/// Lists which keys open the vault.
#[utoipa::path(
    get, path = "/v2/credentialvault/keys/slots", tag = "Mode and keys", operation_id = "getKeySlots",
    responses(
        (status = 200, description = "The slots", body = Listed<KeySlot>),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "A permission is missing", body = ErrorBody),
    )
)]
pub(crate) async fn slots(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.keys().list_key_slots(caller.request(ListKeySlotsRequest {})).await?.into_inner();
    listed::<KeySlot, _>(answer.slots)
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
