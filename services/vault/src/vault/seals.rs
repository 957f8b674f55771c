//! The use case of comparing the stored values with the audit.

use super::{Call, Result, Vault};
use crate::keyring::blocking;

/// How many values are held at once, sealed bytes and all.
const AT_ONCE: usize = 250;

/// The seal of a stored value, as it is now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredSeal {
    /// The value.
    pub value: i64,
    /// Its version.
    pub version: i64,
    /// The MAC over both and the sealed bytes; `None` where the bytes name no term of this vault.
    pub mac: Option<[u8; 32]>,
}

impl Vault {
    /// Lists the seals of the values after a number, by their numbers, and says whether there are more. No value is opened.
    ///
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn value_seals(&self, call: Call, mut after: i64, limit: usize) -> Result<(Vec<StoredSeal>, bool)> {
        call.record.object("vault", "", "");
        let mut keys = self.keyring.opened().await?;
        let mut seals = Vec::new();
        let more = loop {
            let wanted = AT_ONCE.min(limit.saturating_sub(seals.len()));
            let rows = i64::try_from(wanted).unwrap_or(i64::MAX).saturating_add(1);
            let mut stored = self.store.read(move |tx| Ok(tx.sealed_values(after, rows)?)).await?;
            let more = stored.len() > wanted;
            stored.truncate(wanted);
            if !stored.iter().all(|(.., sealed)| keys.keyring().has_key_of(sealed)) {
                // A term began since the keys were taken: its key is in the database.
                self.keyring.look().await?;
                keys = self.keyring.opened().await?;
            }
            let ring = keys.clone();
            let some = blocking(move || {
                let seal = |(value, version, sealed): (i64, i64, Vec<u8>)| StoredSeal {
                    value,
                    version,
                    mac: ring.keyring().value_mac_of(value, version, &sealed),
                };
                Ok(stored.into_iter().map(seal).collect::<Vec<_>>())
            });
            seals.extend(some.await?);
            after = seals.last().map_or(after, |seal| seal.value);
            if !more || seals.len() >= limit {
                break more;
            }
        };
        self.keyring.confirm(&keys).await?;
        call.record.detail("seals", seals.len().to_string());
        Ok((seals, more))
    }
}
