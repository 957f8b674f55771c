//! `coffre.vault.v1.KeyService`.

use std::sync::Arc;

use coffre_crypto::slot::SlotKind;
use coffre_proto::vault::v1::key_service_server::KeyService;
use coffre_proto::vault::v1::{
    ApplyMasterKeyRequest, ApplyMasterKeyResponse, DrillKeyRequest, DrillKeyResponse, GetMasterKeyStatusRequest,
    GetMasterKeyStatusResponse, GetModeRequest, GetModeResponse, GetRotationRequest, GetRotationResponse,
    GetTransportPublicKeyRequest, GetTransportPublicKeyResponse, KeySlot, ListKeySlotsRequest, ListKeySlotsResponse,
    Mode, ReplaceRecoveryKeyRequest, ReplaceRecoveryKeyResponse, Rotation, SealVaultRequest, SealVaultResponse,
    SetModeRequest, SetModeResponse, StartRotationRequest, StartRotationResponse, UnsealVaultRequest,
    UnsealVaultResponse, key_slot,
};
use coffre_secret::SecretText;
use coffre_types::Timestamp;
use tonic::{Request, Response, Status};

use super::enter;
use super::error::status;
use crate::domain::error::VaultError;
use crate::domain::keys;
use crate::vault::{Progress, Vault};

/// Answers the calls on the vault's mode and keys.
pub(crate) struct Keys(pub(crate) Arc<Vault>);

#[tonic::async_trait]
impl KeyService for Keys {
    async fn get_mode(&self, request: Request<GetModeRequest>) -> Result<Response<GetModeResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let mode = if self.0.has_express_slot().await.map_err(status)? { Mode::Express } else { Mode::Manual };
        Ok(Response::new(GetModeResponse { mode: mode.into() }))
    }

    async fn get_master_key_status(
        &self,
        request: Request<GetMasterKeyStatusRequest>,
    ) -> Result<Response<GetMasterKeyStatusResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let applied = self.0.is_open().await.map_err(status)?;
        Ok(Response::new(GetMasterKeyStatusResponse { applied }))
    }

    async fn get_transport_public_key(
        &self,
        request: Request<GetTransportPublicKeyRequest>,
    ) -> Result<Response<GetTransportPublicKeyResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let public_key = self.0.transport.public().await.map_err(status)?;
        Ok(Response::new(GetTransportPublicKeyResponse { public_key }))
    }

    async fn set_mode(&self, request: Request<SetModeRequest>) -> Result<Response<SetModeResponse>, Status> {
        let (call, message) = enter(request)?;
        call.record.object("vault", "", "");
        let mode = match message.mode() {
            Mode::Express => keys::Mode::Express,
            Mode::Manual => keys::Mode::Manual,
            Mode::Unspecified => {
                return Err(status(VaultError::invalid("mode", "is Express or Manual")));
            }
        };
        let change = keys::ModeChange {
            mode,
            private_key: SecretText::new(message.private_key),
            current_key: SecretText::new(message.current_key),
            recovery_key: SecretText::new(message.recovery_key),
        };
        let key_is_short = self.0.set_mode(call, change).await.map_err(status)?;
        Ok(Response::new(SetModeResponse { key_is_short }))
    }

    async fn apply_master_key(
        &self,
        request: Request<ApplyMasterKeyRequest>,
    ) -> Result<Response<ApplyMasterKeyResponse>, Status> {
        let (call, message) = enter(request)?;
        call.record.object("vault", "", "");
        let key = typed(message.private_key, message.recovery_key)?;
        self.0.apply_key(call, key).await.map_err(status)?;
        Ok(Response::new(ApplyMasterKeyResponse { applied: true }))
    }

    async fn seal_vault(&self, request: Request<SealVaultRequest>) -> Result<Response<SealVaultResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        self.0.seal(call).await.map_err(status)?;
        Ok(Response::new(SealVaultResponse {}))
    }

    async fn unseal_vault(
        &self,
        request: Request<UnsealVaultRequest>,
    ) -> Result<Response<UnsealVaultResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        self.0.unseal(call).await.map_err(status)?;
        Ok(Response::new(UnsealVaultResponse {}))
    }

    async fn start_rotation(
        &self,
        request: Request<StartRotationRequest>,
    ) -> Result<Response<StartRotationResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let progress = self.0.start_rotation(call).await.map_err(status)?;
        Ok(Response::new(StartRotationResponse { rotation: Some(rotation(progress)) }))
    }

    async fn get_rotation(
        &self,
        request: Request<GetRotationRequest>,
    ) -> Result<Response<GetRotationResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let progress = self.0.rotation().await.map_err(status)?;
        Ok(Response::new(GetRotationResponse { rotation: Some(rotation(progress)) }))
    }

    async fn replace_recovery_key(
        &self,
        request: Request<ReplaceRecoveryKeyRequest>,
    ) -> Result<Response<ReplaceRecoveryKeyResponse>, Status> {
        let (call, message) = enter(request)?;
        call.record.object("vault", "", "");
        let key = self.0.replace_recovery_key(call, SecretText::new(message.current_key)).await.map_err(status)?;
        Ok(Response::new(ReplaceRecoveryKeyResponse { recovery_key: key.into_exposed() }))
    }

    async fn list_key_slots(
        &self,
        request: Request<ListKeySlotsRequest>,
    ) -> Result<Response<ListKeySlotsResponse>, Status> {
        let (call, _) = enter(request)?;
        call.record.object("vault", "", "");
        let slots = self.0.key_slots().await.map_err(status)?.into_iter();
        let slots = slots.map(|(kind, at)| KeySlot { kind: slot_kind(kind).into(), create_time: Some(at.to_proto()) });
        Ok(Response::new(ListKeySlotsResponse { slots: slots.collect() }))
    }

    async fn drill_key(&self, request: Request<DrillKeyRequest>) -> Result<Response<DrillKeyResponse>, Status> {
        let (call, message) = enter(request)?;
        call.record.object("vault", "", "");
        let key = typed(message.private_key, message.recovery_key)?;
        let kind = self.0.drill_key(call, key).await.map_err(status)?;
        Ok(Response::new(DrillKeyResponse { kind: slot_kind(kind).into() }))
    }
}

fn typed(private_key: String, recovery_key: String) -> Result<keys::TypedKey, Status> {
    keys::TypedKey::one(&SecretText::new(private_key), &SecretText::new(recovery_key)).map_err(status)
}

fn slot_kind(kind: SlotKind) -> key_slot::Kind {
    match kind {
        SlotKind::Express => key_slot::Kind::Express,
        SlotKind::Manual => key_slot::Kind::Manual,
        SlotKind::Recovery => key_slot::Kind::Recovery,
    }
}

fn rotation(progress: Progress) -> Rotation {
    Rotation {
        running: progress.running,
        done_count: progress.done,
        total_count: progress.total,
        rate: progress.rate,
        seconds_left: progress.seconds_left,
        start_time: progress.started_at.map(Timestamp::to_proto),
        end_time: progress.ended_at.map(Timestamp::to_proto),
        term: progress.term,
    }
}
