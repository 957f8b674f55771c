//! Whether the vault is open in this process, and how it opens itself.
//!
//! The database says whether the vault was sealed on purpose and counts each change in a generation. Every replica reads that again several
//! times a second ([`Keyring::watch`]); one that could not for longer than [`FRESH`] asks before it uses its keys again.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use coffre_audit_client::{ActivityType, CallRecord, Site};
use coffre_crypto::keyring::{OpenKeyring, RootKey, Term};
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_crypto::state::{Generation, KeyringState, Opened};
use coffre_crypto::{CryptoError, Key256};
use coffre_types::Clock;
use tokio_util::sync::CancellationToken;

use crate::domain::error::VaultError;
use crate::store::Store;

/// How old the last look at the seal state may be.
pub const FRESH: Duration = Duration::from_millis(800);
const INTERVAL: Duration = Duration::from_millis(250);

/// Why the vault cannot open itself.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// `coffre init` was not run.
    #[error("the vault is not initialised: run `coffre init` first")]
    Uninitialised,
    /// Initialised before.
    #[error("the vault is initialised already; nothing was changed")]
    Initialised,
    /// The express key belongs to another vault.
    #[error(
        "the express key is not the one of this vault; put back the key file that was there when it was initialised"
    )]
    WrongKey,
    /// The slot or a term does not open under the right key.
    #[error("the key slot or a term in the vault's database is damaged: restore it from a backup")]
    Damaged,
    /// The key file is no key.
    #[error("the express key must have 32 bytes")]
    KeyLength,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    Random,
    /// The database.
    #[error("the vault's database: {0}")]
    Store(#[from] coffre_db::Error),
}

impl From<CryptoError> for OpenError {
    fn from(error: CryptoError) -> Self {
        match error {
            CryptoError::WrongKey => Self::WrongKey,
            CryptoError::KeyLength => Self::KeyLength,
            CryptoError::Random | CryptoError::Library => Self::Random,
            CryptoError::Malformed | CryptoError::Unauthentic | CryptoError::UnknownTerm(_) => Self::Damaged,
        }
    }
}

/// Makes root key, express slot and first term in one transaction.
///
/// # Errors
/// [`OpenError::Initialised`] where that was done before; nothing changes then.
pub async fn initialise(store: &Store, site: &Arc<Site>, express_key: &Key256) -> Result<(), OpenError> {
    let root = RootKey::generate()?;
    let slot = Slot::express(&root, express_key)?;
    let term = root.new_term(Term::FIRST)?;
    let record = CallRecord::system(site.clone(), "vault.initialised", ActivityType::ConfigureCredentialVault);
    record.object("vault", "", "");
    record.detail("mode", "Express");
    let now = site.clock.now();
    let record = Arc::new(record);
    let done = store.write(&record, move |tx| {
        if tx.seal_state()?.is_some() {
            return Ok(false);
        }
        tx.insert_keys(&slot, SlotKind::Express, &term, now)?;
        Ok(true)
    });
    match done.await {
        Ok(true) => Ok(()),
        Ok(false) | Err(VaultError::Store(coffre_db::Error::Unique(_))) => Err(OpenError::Initialised),
        Err(VaultError::Store(error)) => Err(error.into()),
        Err(other) => Err(OpenError::Store(coffre_db::Error::Bug(other.to_string()))),
    }
}

/// The keys of this process.
pub struct Keyring {
    state: KeyringState,
    store: Store,
    site: Arc<Site>,
    clock: Arc<dyn Clock>,
    express_key: Key256,
    looked_at: Mutex<Instant>,
    opening: tokio::sync::Mutex<()>,
}

impl Keyring {
    /// Starts sealed.
    #[must_use]
    pub fn new(store: Store, site: Arc<Site>, clock: Arc<dyn Clock>, express_key: Key256) -> Self {
        let looked_at = Mutex::new(clock.monotonic());
        let state = KeyringState::sealed(Generation(0));
        Self { state, store, site, clock, express_key, looked_at, opening: tokio::sync::Mutex::new(()) }
    }

    /// Returns the open keyring.
    ///
    /// # Errors
    /// `Sealed`, or the database where the state is not fresh and cannot be read.
    pub async fn opened(&self) -> Result<Opened, VaultError> {
        if self.age() > FRESH {
            self.refresh().await.map_err(|error| match error {
                OpenError::Store(error) => VaultError::Store(error),
                _ => VaultError::Sealed,
            })?;
        }
        self.state.opened().ok_or(VaultError::Sealed)
    }

    /// Says whether the vault is open, as far as this process knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.opened().is_some()
    }

    /// Checks once more, before a value leaves or is committed.
    ///
    /// # Errors
    /// `Sealed` where the vault was sealed since the keyring was taken.
    pub fn check(&self, opened: &Opened) -> Result<(), VaultError> {
        if self.state.still_open(opened) { Ok(()) } else { Err(VaultError::Sealed) }
    }

    fn age(&self) -> Duration {
        let looked_at = self.looked_at.lock().map_or_else(|poisoned| *poisoned.into_inner(), |at| *at);
        self.clock.monotonic().saturating_duration_since(looked_at)
    }

    /// Reads the seal state and follows it: seals, or opens itself with the express key.
    ///
    /// # Errors
    /// Why it cannot be read or the vault cannot open itself; the vault is sealed in this process then.
    pub async fn refresh(&self) -> Result<(), OpenError> {
        let started = self.clock.monotonic();
        let row =
            self.store.read(|tx| Ok(tx.seal_state()?)).await.map_err(store_error)?.ok_or(OpenError::Uninitialised)?;
        let generation = Generation(row.generation);
        if row.sealed {
            self.state.seal(generation);
        } else if self.state.generation() != generation || !self.is_open() {
            self.open_itself(generation).await?;
        }
        if let Ok(mut looked_at) = self.looked_at.lock() {
            *looked_at = started;
        }
        Ok(())
    }

    async fn open_itself(&self, generation: Generation) -> Result<(), OpenError> {
        let _one = self.opening.lock().await;
        if self.state.generation() == generation && self.is_open() {
            return Ok(());
        }
        self.state.seal(generation);
        let record = CallRecord::system(self.site.clone(), "vault.opened", ActivityType::ConnectCredentialVault);
        record.object("vault", "", "");
        record.detail("mode", "Express");
        let loaded = self.store.read(|tx| Ok((tx.slot(SlotKind::Express)?, tx.terms()?))).await.map_err(store_error)?;
        let (Some(slot), terms) = loaded else { return Err(OpenError::Damaged) };
        let root = Slot::from_bytes(slot)?.open_express(&self.express_key)?;
        let keyring = OpenKeyring::open(&root, &terms)?;
        // The entry is committed before the first value can be read; a seal that came meanwhile wins.
        let unchanged = self
            .store
            .write(&Arc::new(record), move |tx| {
                let row = tx.seal_state()?;
                if row.is_some_and(|row| !row.sealed && row.generation == generation.0) {
                    Ok(())
                } else {
                    Err(VaultError::Sealed)
                }
            })
            .await;
        match unchanged {
            Ok(()) => {
                tracing::info!(generation = generation.0, term = keyring.current().get(), "the vault is open");
                self.state.open(generation, keyring);
                Ok(())
            }
            Err(VaultError::Sealed) => Ok(()),
            Err(error) => Err(store_error(error)),
        }
    }

    /// Follows the seal state until it is told to stop.
    pub async fn watch(&self, stop: &CancellationToken) {
        let mut failing = false;
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            match self.refresh().await {
                Ok(()) => failing = false,
                Err(error) if failing => tracing::debug!(%error, "the seal state is still not known"),
                Err(error) => {
                    failing = true;
                    tracing::error!(%error, "the seal state is not known, or the vault cannot open itself");
                }
            }
        }
    }
}

fn store_error(error: VaultError) -> OpenError {
    match error {
        VaultError::Store(error) => OpenError::Store(error),
        other => OpenError::Store(coffre_db::Error::Bug(other.to_string())),
    }
}
