//! Transport keys: made in the background, sealed under the root key, shared by all replicas through their table, rotated hourly.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_crypto::keyring::OpenKeyring;
use coffre_crypto::transport::{CIPHERTEXT_LEN, TransportKey};
use coffre_secret::SecretText;
use coffre_types::{Clock, Timestamp};
use tokio_util::sync::CancellationToken;

use crate::domain::error::VaultError;
use crate::keyring::Keyring;
use crate::store::Store;
use crate::store::keys::TransportRow;

/// For how long a key is the one that is given out.
pub const CURRENT: Duration = Duration::from_secs(60 * 60);
/// For how long it is accepted, from when it was made.
pub const ACCEPTED: Duration = Duration::from_secs(3 * 60 * 60);
const INTERVAL: Duration = Duration::from_secs(30);
const IMPATIENT: Duration = Duration::from_secs(1);

struct Known {
    public_key: String,
    created_at: Timestamp,
    key: TransportKey,
}

/// The transport keys of this process.
pub struct TransportKeys {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    known: ArcSwap<Vec<Arc<Known>>>,
}

/// Returns the public key in the form of the contract: base64 of XML Signature's `RSAKeyValue`.
fn public_key(key: &TransportKey) -> Result<String, VaultError> {
    let (modulus, exponent) = key.public_parts()?;
    let xml = format!(
        "<RSAKeyValue><Modulus>{}</Modulus><Exponent>{}</Exponent></RSAKeyValue>",
        STANDARD.encode(modulus),
        STANDARD.encode(exponent)
    );
    Ok(STANDARD.encode(xml))
}

impl TransportKeys {
    /// Starts without any.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>, clock: Arc<dyn Clock>) -> Self {
        Self { store, keyring, clock, known: ArcSwap::from_pointee(Vec::new()) }
    }

    /// Returns the public key that callers encrypt with.
    ///
    /// # Errors
    /// `Sealed`, `TransportKeyPending` until the first one is made.
    pub async fn public(&self) -> Result<String, VaultError> {
        self.keyring.opened().await?;
        let known = self.known.load();
        let accepted = self.clock.now().minus(ACCEPTED);
        let newest = known.first().filter(|known| known.created_at > accepted);
        newest.map(|known| known.public_key.clone()).ok_or(VaultError::TransportKeyPending)
    }

    /// Decrypts texts, each base64 of one ciphertext. `field` names the n-th of them in a refusal.
    ///
    /// # Errors
    /// `TransportKeyUnknown`, `TransportValueUnreadable`, `TransportValueTooLong`, `Sealed`.
    pub async fn decrypt(
        &self,
        public_key: &str,
        texts: Vec<SecretText>,
        field: impl Fn(usize) -> String + Send + 'static,
    ) -> Result<Vec<SecretText>, VaultError> {
        let key = self.find(public_key).await?;
        // A private operation of RSA takes milliseconds: too long for the threads that serve calls.
        let decrypted = tokio::task::spawn_blocking(move || {
            let one = |(index, text): (usize, SecretText)| decrypt(&key.key, &text, || field(index));
            texts.into_iter().enumerate().map(one).collect()
        });
        decrypted.await.unwrap_or(Err(VaultError::Store(coffre_db::Error::Bug("decryption ended early".into()))))
    }

    async fn find(&self, public_key: &str) -> Result<Arc<Known>, VaultError> {
        // A query string turns `+` into a space where a client did not escape it.
        let public_key = public_key.trim().replace(' ', "+");
        if let Some(known) = self.look(&public_key) {
            return Ok(known);
        }
        // Another replica may have made it.
        self.load().await?;
        self.look(&public_key).ok_or(VaultError::TransportKeyUnknown)
    }

    fn look(&self, public_key: &str) -> Option<Arc<Known>> {
        let accepted = self.clock.now().minus(ACCEPTED);
        let known = self.known.load();
        known.iter().find(|known| known.public_key == public_key && known.created_at > accepted).cloned()
    }

    /// Takes over the keys of the table that are still accepted.
    async fn load(&self) -> Result<(), VaultError> {
        let opened = self.keyring.opened().await?;
        let since = self.clock.now().minus(ACCEPTED);
        let rows = self.store.read(move |tx| Ok(tx.transport_keys(since)?)).await?;
        let before = self.known.load_full();
        let loading = tokio::task::spawn_blocking(move || {
            let known = rows.into_iter().filter_map(|row| {
                let same = before.iter().find(|known| known.public_key == row.public_key).cloned();
                same.or_else(|| read(opened.keyring(), row))
            });
            known.collect::<Vec<_>>()
        });
        if let Ok(known) = loading.await {
            self.known.store(Arc::new(known));
        }
        Ok(())
    }

    /// Makes a key where the newest is no longer current.
    async fn rotate(&self) -> Result<(), VaultError> {
        let opened = self.keyring.opened().await?;
        let now = self.clock.now();
        let fresh = now.minus(CURRENT);
        if self.known.load().first().is_some_and(|known| known.created_at > fresh) {
            return Ok(());
        }
        self.load().await?;
        if self.known.load().first().is_some_and(|known| known.created_at > fresh) {
            return Ok(());
        }
        let generation = opened.generation().0;
        let made = tokio::task::spawn_blocking(move || -> Result<TransportRow, VaultError> {
            let key = TransportKey::generate()?;
            let public_key = public_key(&key)?;
            let sealed = opened.keyring().seal_transport_key(&public_key, key.to_pkcs8()?.expose())?;
            Ok(TransportRow { public_key, sealed, created_at: now })
        });
        let row = made.await.unwrap_or(Err(VaultError::TransportKeyPending))?;
        let old = now.minus(ACCEPTED);
        let added =
            self.store.write_unaudited(move |tx| Ok(tx.add_transport_key(&row, fresh, old, generation)?)).await?;
        if added {
            tracing::info!("a new transport key is in use");
        }
        self.load().await
    }

    /// Keeps a current key until it is told to stop, and lets go of all keys once the vault is sealed.
    pub async fn keep(&self, stop: &CancellationToken) {
        let mut failing = false;
        loop {
            let mut rests = match self.rotate().await {
                Ok(()) => {
                    failing = false;
                    INTERVAL.as_secs() / IMPATIENT.as_secs()
                }
                Err(VaultError::Sealed) => {
                    self.known.store(Arc::new(Vec::new()));
                    1
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "no transport key can be made; it is tried again until it works");
                    }
                    1
                }
            };
            while rests > 0 {
                rests = if self.keyring.is_open() { rests - 1 } else { 0 };
                if stop.run_until_cancelled(tokio::time::sleep(IMPATIENT)).await.is_none() {
                    return;
                }
            }
        }
    }
}

fn read(keyring: &OpenKeyring, row: TransportRow) -> Option<Arc<Known>> {
    let key = keyring
        .open_transport_key(&row.public_key, &row.sealed)
        .and_then(|der| TransportKey::from_pkcs8(&der))
        .inspect_err(|error| tracing::error!(%error, "a stored transport key does not open"))
        .ok()?;
    Some(Arc::new(Known { public_key: row.public_key, created_at: row.created_at, key }))
}

fn decrypt(key: &TransportKey, text: &SecretText, field: impl Fn() -> String) -> Result<SecretText, VaultError> {
    let unreadable = || VaultError::TransportValueUnreadable(field());
    let ciphertext = STANDARD.decode(text.expose().trim()).map_err(|_| unreadable())?;
    if ciphertext.len() > CIPHERTEXT_LEN {
        return Err(VaultError::TransportValueTooLong(field()));
    }
    key.decrypt(&ciphertext).ok().and_then(coffre_secret::SecretBytes::into_text).ok_or_else(unreadable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_public_key_has_the_documented_form() {
        let key = TransportKey::generate().unwrap();
        let xml = String::from_utf8(STANDARD.decode(public_key(&key).unwrap()).unwrap()).unwrap();
        assert!(xml.starts_with("<RSAKeyValue><Modulus>"));
        assert!(xml.ends_with("</Modulus><Exponent>AQAB</Exponent></RSAKeyValue>"));
    }

    #[test]
    fn rule_5_6_what_is_no_ciphertext_is_refused_for_what_it_is() {
        let key = TransportKey::generate().unwrap();
        let refused = |text: String| decrypt(&key, &SecretText::new(text), || "value".to_owned());
        assert!(matches!(refused("not base64 !".into()), Err(VaultError::TransportValueUnreadable(_))));
        assert!(matches!(refused(STANDARD.encode([1; 100])), Err(VaultError::TransportValueUnreadable(_))));
        assert!(matches!(refused(STANDARD.encode([1; 384])), Err(VaultError::TransportValueUnreadable(_))));
        assert!(matches!(refused(STANDARD.encode([1; 768])), Err(VaultError::TransportValueTooLong(_))));
    }
}
