//! The vault's mode and keys.

use coffre_proto::vault::v1;
use http::Method;
use serde_json::{Value as Json, json};

use super::vault::set;
use super::{Answer, Protocol, Session, rest};
use crate::canary;
use crate::model::{KeySlot, Rotation, kind_of, text};
use crate::operation::{self, Operation};

const MODE: &str = "/v2/credentialvault/mode";
const KEYS: &str = "/v2/credentialvault/keys";

/// The keys that go with a change of the mode.
#[derive(Clone, Copy, Debug, Default)]
pub struct ModeKeys<'k> {
    /// For Manual the new master key, for Express the present one.
    pub private: Option<&'k str>,
    /// The present master key.
    pub current: Option<&'k str>,
    /// The recovery key in its place.
    pub recovery: Option<&'k str>,
}

impl<'k> ModeKeys<'k> {
    pub fn private(key: &'k str) -> Self {
        Self { private: Some(key), ..Self::default() }
    }

    #[must_use]
    pub fn current(self, key: &'k str) -> Self {
        Self { current: Some(key), ..self }
    }

    #[must_use]
    pub fn recovery(self, key: &'k str) -> Self {
        Self { recovery: Some(key), ..self }
    }
}

/// A key that opens the vault.
#[derive(Clone, Copy, Debug)]
pub enum Key<'k> {
    Master(&'k str),
    Recovery(&'k str),
}

impl Key<'_> {
    fn json(self) -> Json {
        match self {
            Self::Master(key) => json!({"privateKey": key}),
            Self::Recovery(key) => json!({"recoveryKey": key}),
        }
    }

    /// The master key and the recovery key; one of them is empty.
    fn pair(self) -> (String, String) {
        match self {
            Self::Master(key) => (key.to_owned(), String::new()),
            Self::Recovery(key) => (String::new(), key.to_owned()),
        }
    }
}

fn mode_name(mode: v1::Mode) -> String {
    match mode {
        v1::Mode::Express => "Express".to_owned(),
        v1::Mode::Manual => "Manual".to_owned(),
        v1::Mode::Unspecified => panic!("never sent"),
    }
}

impl Session {
    /// `Express` or `Manual`.
    pub async fn mode(&self) -> Answer<String> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_MODE, rest(Method::GET, MODE))
                .await
                .map(|answer| text(&answer.is(200), "name")),
            Protocol::Grpc => {
                let answer = self.grpc(operation::GET_MODE, v1::GetModeRequest {}).await;
                answer.map(|answer: v1::GetModeResponse| mode_name(answer.mode()))
            }
        }
    }

    /// Whether the vault is open.
    pub async fn key_applied(&self) -> Answer<bool> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_KEY_STATUS, rest(Method::GET, "/v2/credentialvault/keys/private"))
                .await
                .map(|answer| answer.is(200)["applied"].as_bool().unwrap()),
            Protocol::Grpc => self
                .grpc(operation::GET_KEY_STATUS, v1::GetMasterKeyStatusRequest {})
                .await
                .map(|answer: v1::GetMasterKeyStatusResponse| answer.applied),
        }
    }

    /// The public key for values on their way.
    pub async fn transport_key(&self) -> Answer<String> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_TRANSPORT_KEY, rest(Method::GET, "/v2/credentialvault/keys/transport/public"))
                .await
                .map(|answer| text(&answer.is(200), "publicKey")),
            Protocol::Grpc => self
                .grpc(operation::GET_TRANSPORT_KEY, v1::GetTransportPublicKeyRequest {})
                .await
                .map(|answer: v1::GetTransportPublicKeyResponse| answer.public_key),
        }
    }

    /// Changes the mode (M2); says whether it warned of a short master key.
    pub async fn set_mode(&self, mode: &str, keys: ModeKeys<'_>) -> Answer<bool> {
        match self.api.protocol {
            Protocol::Rest => {
                let mut body = json!({"name": mode});
                set(&mut body, "privatekey", keys.private);
                set(&mut body, "currentKey", keys.current);
                set(&mut body, "recoveryKey", keys.recovery);
                self.set_mode_by(body).await
            }
            Protocol::Grpc => {
                let text = |key: Option<&str>| key.unwrap_or_default().to_owned();
                let mode = if mode == "Manual" { v1::Mode::Manual } else { v1::Mode::Express };
                let request = v1::SetModeRequest {
                    mode: mode.into(),
                    private_key: text(keys.private),
                    current_key: text(keys.current),
                    recovery_key: text(keys.recovery),
                };
                let answer = self.grpc(operation::SET_MODE, request).await;
                answer.map(|answer: v1::SetModeResponse| answer.key_is_short)
            }
        }
    }

    /// Changes the mode over REST with a body as it is.
    pub async fn set_mode_by(&self, body: Json) -> Answer<bool> {
        let answer = self.rest(operation::SET_MODE, rest(Method::PUT, MODE).json(body)).await;
        answer.map(|answer| {
            answer.is(204);
            let warning = answer.header("warning").map(ToOwned::to_owned);
            let is_whole = |text: &String| text.starts_with("199 coffre \"") && text.contains("16 characters");
            assert!(warning.as_ref().is_none_or(is_whole), "{warning:?}");
            warning.is_some()
        })
    }

    /// Opens the vault (M4); says whether it is open.
    pub async fn apply_key(&self, key: Key<'_>) -> Answer<bool> {
        match self.api.protocol {
            Protocol::Rest => self.apply_key_by(key.json()).await,
            Protocol::Grpc => {
                let (private_key, recovery_key) = key.pair();
                let request = v1::ApplyMasterKeyRequest { private_key, recovery_key };
                let answer = self.grpc(operation::APPLY_KEY, request).await;
                answer.map(|answer: v1::ApplyMasterKeyResponse| answer.applied)
            }
        }
    }

    /// Opens the vault over REST with a body as it is.
    pub async fn apply_key_by(&self, body: Json) -> Answer<bool> {
        let answer = self.rest(operation::APPLY_KEY, rest(Method::PUT, format!("{KEYS}/private")).json(body)).await;
        answer.map(|answer| answer.is(200)["applied"].as_bool().unwrap())
    }

    /// Proves a key; the word for the slot that it opens.
    pub async fn drill_key(&self, key: Key<'_>) -> Answer<String> {
        match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, format!("{KEYS}/drill")).json(key.json());
                self.rest(operation::DRILL_KEY, request).await.map(|answer| text(&answer.is(200), "kind"))
            }
            Protocol::Grpc => {
                let (private_key, recovery_key) = key.pair();
                let answer = self.grpc(operation::DRILL_KEY, v1::DrillKeyRequest { private_key, recovery_key }).await;
                answer.map(|answer: v1::DrillKeyResponse| kind_of(answer.kind()).to_owned())
            }
        }
    }

    pub async fn seal_vault(&self) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let answer = self.rest(operation::SEAL_VAULT, rest(Method::POST, format!("{KEYS}/seal"))).await;
                answer.map(|answer| {
                    answer.is(204);
                })
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation::SEAL_VAULT, v1::SealVaultRequest {}).await;
                answer.map(|_: v1::SealVaultResponse| ())
            }
        }
    }

    pub async fn unseal_vault(&self) -> Answer<()> {
        match self.api.protocol {
            Protocol::Rest => {
                let answer = self.rest(operation::UNSEAL_VAULT, rest(Method::POST, format!("{KEYS}/unseal"))).await;
                answer.map(|answer| assert_eq!(answer.is(200), json!({"applied": true})))
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation::UNSEAL_VAULT, v1::UnsealVaultRequest {}).await;
                answer.map(|_: v1::UnsealVaultResponse| ())
            }
        }
    }

    pub async fn start_rotation(&self) -> Answer<Rotation> {
        match self.api.protocol {
            Protocol::Rest => self.rotation_by(operation::START_ROTATION, Method::POST, 202).await,
            Protocol::Grpc => {
                let answer = self.grpc(operation::START_ROTATION, v1::StartRotationRequest {}).await;
                answer.map(|answer: v1::StartRotationResponse| Rotation::from_proto(answer.rotation.unwrap()))
            }
        }
    }

    pub async fn rotation(&self) -> Answer<Rotation> {
        match self.api.protocol {
            Protocol::Rest => self.rotation_by(operation::GET_ROTATION, Method::GET, 200).await,
            Protocol::Grpc => {
                let answer = self.grpc(operation::GET_ROTATION, v1::GetRotationRequest {}).await;
                answer.map(|answer: v1::GetRotationResponse| Rotation::from_proto(answer.rotation.unwrap()))
            }
        }
    }

    async fn rotation_by(&self, operation: Operation, method: Method, status: u16) -> Answer<Rotation> {
        let answer = self.rest(operation, rest(method, format!("{KEYS}/rotation"))).await;
        answer.map(|answer| Rotation::from_json(&answer.is(status)))
    }

    /// Makes a new recovery key and returns it.
    pub async fn replace_recovery_key(&self, current: Option<&str>) -> Answer<String> {
        let answer = match self.api.protocol {
            Protocol::Rest => {
                let request = rest(Method::POST, format!("{KEYS}/recovery"));
                let request = match current {
                    Some(key) => request.json(json!({"currentKey": key})),
                    None => request,
                };
                let answer = self.rest(operation::REPLACE_RECOVERY_KEY, request).await;
                answer.map(|answer| text(&answer.is(200), "recoveryKey"))
            }
            Protocol::Grpc => {
                let current_key = current.unwrap_or_default().to_owned();
                let request = v1::ReplaceRecoveryKeyRequest { current_key };
                let answer = self.grpc(operation::REPLACE_RECOVERY_KEY, request).await;
                answer.map(|answer: v1::ReplaceRecoveryKeyResponse| answer.recovery_key)
            }
        };
        if let Ok(key) = &answer.outcome {
            canary::remember_recovery_key(key);
        }
        answer
    }

    pub async fn key_slots(&self) -> Answer<Vec<KeySlot>> {
        match self.api.protocol {
            Protocol::Rest => {
                let answer = self.rest(operation::LIST_KEY_SLOTS, rest(Method::GET, format!("{KEYS}/slots"))).await;
                answer.map(|answer| answer.is(200)["list"].as_array().unwrap().iter().map(KeySlot::from_json).collect())
            }
            Protocol::Grpc => {
                let answer = self.grpc(operation::LIST_KEY_SLOTS, v1::ListKeySlotsRequest {}).await;
                answer
                    .map(|answer: v1::ListKeySlotsResponse| answer.slots.into_iter().map(KeySlot::from_proto).collect())
            }
        }
    }
}
