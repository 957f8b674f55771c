//! For whom backups of this vault are sealed: kept beside the slots by every open replica, so that a backup is made without anybody's key.
//!
//! It is vouched for with the key of the audit's streams, which is in no database (`coffre_crypto::backup` tells why).

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::StreamKey;
use coffre_crypto::hmac::MacKey;
use coffre_crypto::{CryptoError, Key256};
use coffre_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::domain::error::VaultError;
use crate::keyring::Keyring;
use crate::store::Store;
use crate::store::recipient::RecipientRow;

const INTERVAL: Duration = Duration::from_millis(500);
/// After how many rounds what is stored is looked at again, whether or not the keys changed.
const LOOKED_AT_EVERY: u32 = 120;

/// Returns the key that vouches, for whoever checks it.
///
/// # Errors
/// [`CryptoError`] never: a derived key has the right length.
pub fn vouching_key(key: &StreamKey) -> Result<MacKey, CryptoError> {
    Ok(MacKey::new(&Key256::from_slice(&key.derived("backup-recipient"))?))
}

/// Keeps the recipient of backups.
pub(crate) struct Recipients {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    key: MacKey,
}

impl Recipients {
    pub(crate) fn new(store: Store, keyring: Arc<Keyring>, clock: Arc<dyn Clock>, key: MacKey) -> Self {
        Self { store, keyring, clock, key }
    }

    /// Stores the recipient of the keys as they are now, unless it is there. Says in which generation that was.
    pub(crate) async fn store(&self) -> Result<i64, VaultError> {
        let (opened, stored) = self.keyring.settled().await?;
        let generation = stored.state.generation;
        let recipient = opened.keyring().backup_recipient()?;
        let slots = stored.slots.iter().map(|slot| (slot.kind.number(), slot.bytes.as_slice()));
        let vouched = recipient.vouch(&self.key, slots).to_vec();
        let row = RecipientRow { public_key: recipient.as_bytes().to_vec(), vouched };
        let wanted = row.clone();
        if self.store.read(|tx| Ok(tx.recipient()?)).await?.as_ref() == Some(&wanted) {
            return Ok(generation);
        }
        let now = self.clock.now();
        let stored = self.store.write_unaudited(move |tx| {
            let same = tx.seal_state()?.is_some_and(|state| state.generation == generation);
            if same {
                tx.put_recipient(&row, now)?
            }
            Ok(same)
        });
        if stored.await? { Ok(generation) } else { Err(VaultError::KeysChanged) }
    }

    /// Keeps it until it is told to stop.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        let (mut done, mut rounds, mut failing) = (None, 0_u32, false);
        loop {
            rounds = rounds.wrapping_add(1);
            let open = self.keyring.generation_open();
            if open.is_some() && (open != done || rounds.is_multiple_of(LOOKED_AT_EVERY)) {
                match self.store().await {
                    Ok(generation) => (done, failing) = (Some(generation), false),
                    // The next round finds them as they are then.
                    Err(VaultError::Sealed | VaultError::KeysChanged) => {}
                    Err(error) => {
                        if !std::mem::replace(&mut failing, true) {
                            tracing::warn!(%error, "for whom backups are sealed cannot be stored; it is tried again until it works");
                        }
                    }
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_none() {
                return;
            }
        }
    }
}
