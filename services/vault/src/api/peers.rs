//! `coffre.vault.internal.v1.PeerService`: replicas that open each other.

use std::net::SocketAddr;
use std::sync::Arc;

use coffre_crypto::peer::Asked;
use coffre_proto::vault::internal::v1::peer_service_server::PeerService;
use coffre_proto::vault::internal::v1::{ShareRootKeyRequest, ShareRootKeyResponse};
use coffre_rpc::Peer;
use tonic::{Request, Response, Status};

use super::error::refusal;
use crate::domain::error::VaultError;
use crate::peers::{Asker, Giving};

/// Gives the root key to other replicas.
pub(crate) struct Replicas(pub(crate) Arc<Giving>);

#[tonic::async_trait]
impl PeerService for Replicas {
    async fn share_root_key(
        &self,
        request: Request<ShareRootKeyRequest>,
    ) -> Result<Response<ShareRootKeyResponse>, Status> {
        // Who is at the other end is what the connection shows. The table of internal calls says the same, one step earlier.
        let service = match request.extensions().get::<Peer>() {
            Some(Peer::Internal(service)) => *service,
            Some(Peer::Network(_)) | None => "",
        };
        let address = request.extensions().get::<SocketAddr>().map(|address| address.ip().to_canonical());
        let ShareRootKeyRequest { generation, public_key, nonce, proof, asker_name } = request.into_inner();
        let asker = Asker { service, name: asker_name, address };
        let asked = Asked::read(&public_key, &nonce, &proof)
            .map_err(|_| VaultError::invalid("public_key", "public key, nonce and proof have 32 bytes each"));
        match self.0.give(&asker, generation, asked).await {
            Ok(sealed_root_key) => {
                Ok(Response::new(ShareRootKeyResponse { sealed_root_key, giver_name: self.0.own_name() }))
            }
            Err(error) => {
                let is_odd = is_odd(&error);
                let refusal = refusal(error);
                if is_odd {
                    self.0.refused(&asker, refusal.reason()).await;
                }
                Err(refusal.into())
            }
        }
    }
}

/// Says whether no replica of this vault is refused so while all is well.
fn is_odd(error: &VaultError) -> bool {
    matches!(
        error,
        VaultError::PeerNotVault
            | VaultError::PeerUnproven
            | VaultError::Invalid { .. }
            | VaultError::TermsDamaged(_)
            | VaultError::KeptSlotDamaged(_)
            | VaultError::KeysRolledBack(_)
    )
}
