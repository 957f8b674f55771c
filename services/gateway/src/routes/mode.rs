//! The vault's mode: M1 and M2 of the contract.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use coffre_error::Refusal;
use coffre_proto::vault::v1::{self, GetModeRequest, SetModeRequest};
use http::header::WARNING;
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use super::keys::{master_key_of, recovery_key_of};
use crate::caller::Caller;
use crate::error::{ErrorBody, Failure};
use crate::json::invalid;
use crate::request::{App, JsonBody, json};

/// What goes with a new master key that people could guess (RFC 7234, section 5.5: 199 is a warning for whoever reads it).
const SHORT_KEY: &str =
    "199 coffre \"the master key is shorter than 16 characters: whoever gets a copy of the database can guess it\"";

/// Who holds the master key.
#[derive(Serialize, ToSchema)]
struct Mode {
    /// `Express`: the server; `Manual`: only people.
    #[schema(examples("Express"))]
    name: &'static str,
}

/// The new mode, and the keys that belong to it.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase", example = json!({"name": "Manual", "privatekey": "correct horse battery staple"}))]
#[allow(dead_code)]
struct ModeBody {
    /// `Express` or `Manual`, in any case; `Manuel` too.
    name: String,
    /// For `Manual` the new master key, for `Express` the present one. `privateKey` and `key` are the same, in any case.
    privatekey: Option<String>,
    /// The present master key, where the mode is `Manual` and stays so.
    current_key: Option<String>,
    /// The recovery key, in place of the present master key.
    recovery_key: Option<String>,
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
pub(crate) async fn get(State(app): State<App>, caller: Caller) -> Result<Response, Failure> {
    let answer = app.clients.keys().get_mode(caller.request(GetModeRequest {})).await?.into_inner();
    let name = match answer.mode() {
        v1::Mode::Express => "Express",
        v1::Mode::Manual => "Manual",
        v1::Mode::Unspecified => return Err(Refusal::internal("the vault answered with an unknown mode").into()),
    };
    Ok(json(StatusCode::OK, &Mode { name }))
}

/// Changes who holds the master key, or the master key of the mode `Manual`.
///
/// Afterwards an old key opens only an old backup: there is a new root key, and values are re-encrypted in the background. A master key of
/// fewer than 16 characters is answered with a `Warning`.
#[utoipa::path(
    put, path = "/v2/credentialvault/mode", tag = "Mode and keys", operation_id = "setMode",
    request_body = ModeBody,
    responses(
        (status = 204, description = "The mode is changed"),
        (status = 400, description = "A field breaks a rule, or the new master key is too short", body = ErrorBody),
        (status = 401, description = "Not signed in", body = ErrorBody),
        (status = 403, description = "*View and manage settings* is missing, the present key is wrong, or the sign-in with a password is longer ago than 5 minutes", body = ErrorBody),
        (status = 409, description = "Somebody else changed the keys at the same time", body = ErrorBody),
        (status = 429, description = "Too many wrong keys", body = ErrorBody),
        (status = 503, description = "The vault is sealed", body = ErrorBody),
    )
)]
pub(crate) async fn set(State(app): State<App>, caller: Caller, body: JsonBody) -> Result<Response, Failure> {
    let mut body = body.object()?;
    let mode = match body.text("name")? {
        Some(name) => mode_of(&name).ok_or_else(|| invalid("name", "must be Express or Manual"))?,
        None => return Err(invalid("name", "is required: Express or Manual").into()),
    };
    let request = SetModeRequest {
        mode: mode.into(),
        private_key: master_key_of(&mut body)?,
        current_key: body.text_spelled(&["currentKey"])?.unwrap_or_default(),
        recovery_key: recovery_key_of(&mut body)?,
    };
    let answer = app.clients.keys().set_mode(caller.request(request)).await?.into_inner();
    let mut response = StatusCode::NO_CONTENT.into_response();
    if answer.key_is_short {
        response.headers_mut().insert(WARNING, HeaderValue::from_static(SHORT_KEY));
    }
    Ok(response)
}

/// Reads a mode; the old document spells the second one in French as well.
fn mode_of(name: &str) -> Option<v1::Mode> {
    match name.trim().to_ascii_lowercase().as_str() {
        "express" => Some(v1::Mode::Express),
        "manual" | "manuel" => Some(v1::Mode::Manual),
        _ => None,
    }
}
