//! The vault's mode and keys.

use coffre_proto::vault::v1;
use http::Method;

use super::{Answer, Protocol, Session, rest};
use crate::model::text;
use crate::operation;

impl Session {
    /// `Express` or `Manual`.
    pub async fn mode(&self) -> Answer<String> {
        match self.api.protocol {
            Protocol::Rest => self
                .rest(operation::GET_MODE, rest(Method::GET, "/v2/credentialvault/mode"))
                .await
                .map(|answer| text(&answer.is(200), "name")),
            Protocol::Grpc => {
                self.grpc(operation::GET_MODE, v1::GetModeRequest {}).await.map(|answer: v1::GetModeResponse| {
                    match answer.mode() {
                        v1::Mode::Express => "Express".to_owned(),
                        v1::Mode::Manual => "Manual".to_owned(),
                        v1::Mode::Unspecified => panic!("never sent"),
                    }
                })
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
}
