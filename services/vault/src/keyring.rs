//! Whether the vault is open in this process, and how it opens itself.
//!
//! The database says whether the vault was sealed on purpose and counts each change in a generation. Every replica reads that again several
//! times a second ([`Keyring::watch`]); one that could not for longer than [`FRESH`] asks before it uses its keys again.

mod compared;
mod held;
mod shared;
mod stored;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use coffre_audit_client::{ActivityType, CallRecord, Site};
use coffre_crypto::keyring::{OpenKeyring, RootKey, Term};
use coffre_crypto::recovery::RecoveryKey;
use coffre_crypto::slot::{Slot, SlotKind};
use coffre_crypto::state::{Generation, KeyringState, Opened, StillOpen};
use coffre_crypto::{CryptoError, Key256};
use coffre_secret::{SecretBytes, SecretText};
use coffre_types::{Clock, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::domain::error::VaultError;
use crate::domain::keys::{RolledBack, TermsDamaged, open_terms};
use crate::store::{Store, Tx};

use self::compared::PutBack;
use self::held::Held;
pub use self::shared::{Pair, Taken};
pub use self::stored::Stored;

/// How old the last look at the seal state may be.
pub const FRESH: Duration = Duration::from_millis(800);
const INTERVAL: Duration = Duration::from_millis(250);
/// After how many looks at the seal state it is tried again to store a seal.
const STORE_EVERY: u32 = 8;

/// Reads the key file as it is now; none where it is away. An error says in words what is wrong with it.
pub type KeyFile = Arc<dyn Fn() -> Result<Option<SecretBytes>, String> + Send + Sync>;

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
    /// The express slot does not open under the right key, or there is no slot at all.
    #[error(
        "the express slot in the vault's database is damaged (table key_slots): apply the recovery key and then set the mode Express with it, \
         or restore the table from a backup"
    )]
    Damaged,
    /// A term does not open under the right root key.
    #[error("{0}: restore the table from a backup that was made since the last change of a key; no key replaces it")]
    TermsDamaged(#[from] TermsDamaged),
    /// The stored keys are older than those that were seen.
    #[error("{0}; the vault is closed")]
    RolledBack(#[from] RolledBack),
    /// There is no key file, and the mode is Express.
    #[error("the mode is Express and there is no key file: put it back, or apply the recovery key")]
    NoKeyFile,
    /// The key file is no key.
    #[error("the express key must have 32 bytes")]
    KeyLength,
    /// Whoever makes the vault cannot show its recovery key.
    #[error(
        "its recovery key cannot be shown ({0}), and nothing was made: try again where what is printed can be written"
    )]
    NotShown(std::io::Error),
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

/// Makes root key, express slot, recovery slot and first term in one transaction. Returns the recovery key, which is nowhere else.
///
/// It is shown before the commit that makes it good: a key that was shown and opens nothing does no harm, one that opens and that nobody saw is lost.
///
/// # Errors
/// [`OpenError::Initialised`] where that was done before, [`OpenError::NotShown`]; nothing changes then.
pub async fn initialise(
    store: &Store,
    site: &Arc<Site>,
    express_key: &Key256,
    show: impl FnOnce(&SecretText) -> std::io::Result<()>,
) -> Result<SecretText, OpenError> {
    if store.read(|tx| Ok(tx.seal_state()?)).await.map_err(store_error)?.is_some() {
        return Err(OpenError::Initialised);
    }
    let root = RootKey::generate()?;
    let recovery = RecoveryKey::generate()?;
    let slots = [Slot::express(&root, express_key)?, Slot::recovery(&root, &recovery)?];
    let term = root.new_term(Term::FIRST)?;
    let record = CallRecord::system(site.clone(), "vault.initialised", ActivityType::ConfigureCredentialVault);
    record.object("vault", "", "");
    record.detail("mode", "Express");
    let now = site.clock.now();
    let record = Arc::new(record);
    let text = recovery.to_text();
    show(&text).map_err(OpenError::NotShown)?;
    let done = store.write(&record, move |tx| {
        if tx.seal_state()?.is_some() {
            return Ok(false);
        }
        tx.insert_keys(&slots, &term, now)?;
        Ok(true)
    });
    match done.await {
        Ok(true) => Ok(text),
        Ok(false) | Err(VaultError::Store(coffre_db::Error::Unique(_))) => Err(OpenError::Initialised),
        Err(VaultError::Store(error)) => Err(error.into()),
        Err(other) => Err(OpenError::Store(coffre_db::Error::Bug(other.to_string()))),
    }
}

/// How many keys are tried at once: each may take 256 MiB for seconds, one after the other. The others wait for their turn.
const TURNS: usize = 4;

/// The keys of this process.
pub struct Keyring {
    state: KeyringState,
    store: Store,
    site: Arc<Site>,
    clock: Arc<dyn Clock>,
    express_key: ArcSwapOption<Key256>,
    key_file: KeyFile,
    looked_at: Mutex<Instant>,
    /// Held while the state of this process and that of the database are brought together.
    opening: tokio::sync::Mutex<()>,
    turns: Arc<Semaphore>,
    sealed_since: Mutex<Option<Timestamp>>,
    held: Mutex<Held>,
    /// The newest term that was open in this process, or of which the audit told.
    seen: AtomicU32,
    /// The audit has told of it.
    compared: AtomicBool,
    /// Terms that the audit tells of up to this one are given up.
    given_up_term: u32,
    put_back: PutBack,
    /// The log says once whether pages are locked.
    told_of_memory: Once,
}

/// A turn at trying a key, until it is dropped.
pub type Turn = OwnedSemaphorePermit;

impl Keyring {
    /// Starts sealed.
    #[must_use]
    pub fn new(
        store: Store,
        site: Arc<Site>,
        clock: Arc<dyn Clock>,
        express_key: Option<Key256>,
        key_file: KeyFile,
        given_up_term: u32,
    ) -> Self {
        let express_key = ArcSwapOption::from_pointee(express_key);
        let looked_at = Mutex::new(clock.monotonic());
        let state = KeyringState::sealed(Generation(0));
        let sealed_since = Mutex::new(Some(clock.now()));
        let turns = Arc::new(Semaphore::new(TURNS));
        let opening = tokio::sync::Mutex::new(());
        let told_of_memory = Once::new();
        let (held, seen) = (Mutex::default(), AtomicU32::new(0));
        Self {
            state,
            store,
            site,
            clock,
            express_key,
            key_file,
            looked_at,
            opening,
            turns,
            sealed_since,
            held,
            seen,
            compared: AtomicBool::new(false),
            given_up_term,
            put_back: PutBack::default(),
            told_of_memory,
        }
    }

    /// Reads the key file as it is now: a slot that is made for another key opens nothing after the next start.
    ///
    /// # Errors
    /// `KeyFileUnusable`.
    pub fn read_key_file(&self) -> Result<Arc<Key256>, VaultError> {
        let bytes = (self.key_file)().map_err(VaultError::KeyFileUnusable)?;
        let bytes = bytes.ok_or_else(|| VaultError::KeyFileUnusable("there is none".to_owned()))?;
        let key = Key256::from_secret(&bytes)
            .map_err(|_| VaultError::KeyFileUnusable("it must hold exactly 32 bytes".to_owned()))?;
        Ok(Arc::new(key.on_locked_page()?))
    }

    /// Keeps the key of the key file for which there is a slot now.
    pub fn keep_express_key(&self, key: Arc<Key256>) {
        self.express_key.store(Some(key));
    }

    /// Opens the express slot with the key that was read at the start, or with that of the file as it is now.
    ///
    /// # Errors
    /// `WrongKey`, `NoKeyFile`, `Damaged`.
    pub fn open_express(&self, slot: &Slot) -> Result<RootKey, OpenError> {
        let kept = self.express_key.load_full();
        let fault = match kept.map(|key| slot.open_express(&key)) {
            None => OpenError::NoKeyFile,
            Some(Err(CryptoError::WrongKey)) => OpenError::WrongKey,
            Some(opened) => return Ok(opened?),
        };
        let Ok(key) = self.read_key_file() else { return Err(fault) };
        let root = slot.open_express(&key)?;
        self.keep_express_key(key);
        Ok(root)
    }

    /// Waits for a turn at trying a key.
    ///
    /// # Errors
    /// None; nobody closes the queue.
    pub async fn turn(&self) -> Result<Turn, VaultError> {
        self.turns.clone().acquire_owned().await.map_err(|_| ended_early())
    }

    /// Returns the newest term that was open in this process, or of which the audit told.
    #[must_use]
    pub fn seen(&self) -> u32 {
        self.seen.load(Ordering::Acquire)
    }

    /// Says since when the vault is sealed, on purpose or in this process; `None` while it is open.
    #[must_use]
    pub fn sealed_since(&self) -> Option<Timestamp> {
        self.sealed_since.lock().map_or_else(|poisoned| *poisoned.into_inner(), |since| *since)
    }

    fn put(&self, generation: Generation, keyring: OpenKeyring) {
        let term = keyring.current().get();
        self.seen.fetch_max(term, Ordering::AcqRel);
        if self.is_held() {
            return;
        }
        if !keyring.is_memory_locked() {
            self.told_of_memory.call_once(|| {
                tracing::info!(
                    "the system does not lock the pages of the keys into memory (RLIMIT_MEMLOCK): use encrypted swap, or none"
                );
            });
        }
        self.state.open(generation, keyring);
        self.note(None);
        tracing::info!(generation = generation.0, term, "the vault is open");
    }

    fn close(&self, generation: Generation, since: Timestamp) {
        self.state.seal(generation);
        self.note(Some(since));
    }

    /// Keeps since when the vault is sealed, and says so once.
    fn note(&self, since: Option<Timestamp>) {
        let mut known = match self.sealed_since.lock() {
            Ok(known) => known,
            Err(poisoned) => poisoned.into_inner(),
        };
        match (*known, since) {
            (None, Some(since)) if !self.is_open() => {
                tracing::warn!(since = since.to_rfc3339_millis(), "the vault is sealed");
                *known = Some(since);
            }
            (Some(_), None) if self.is_open() => *known = None,
            // It was sealed on purpose before this process began.
            (Some(later), Some(since)) if since < later => *known = Some(since),
            _ => {}
        }
    }

    /// Looks at the seal state now.
    ///
    /// # Errors
    /// `Sealed` where the vault cannot open itself, or the database.
    pub async fn look(&self) -> Result<(), VaultError> {
        self.refresh().await.map_err(|error| match error {
            OpenError::Store(error) => VaultError::Store(error),
            OpenError::RolledBack(rolled_back) => VaultError::KeysRolledBack(rolled_back),
            _ => VaultError::Sealed,
        })
    }

    /// Returns the generation in which the vault is open in this process.
    #[must_use]
    pub fn generation_open(&self) -> Option<i64> {
        self.state.opened().map(|opened| opened.generation().0)
    }

    /// Returns the open keyring.
    ///
    /// # Errors
    /// `Sealed`; `KeysRolledBack`; the database where the state is not fresh and cannot be read.
    pub async fn opened(&self) -> Result<Opened, VaultError> {
        if self.age() > FRESH {
            self.look().await?;
        }
        self.state.opened().ok_or_else(|| self.put_back().map_or(VaultError::Sealed, VaultError::KeysRolledBack))
    }

    /// Says whether the vault is open, as far as this process knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state.opened().is_some()
    }

    /// Checks once more, before a value leaves. What is known of the seal is no older then than when the keyring was taken.
    ///
    /// # Errors
    /// `Sealed` where the vault was sealed since the keyring was taken; the database where that is not known.
    pub async fn confirm(&self, opened: &Opened) -> Result<StillOpen, VaultError> {
        if self.age() > FRESH {
            self.look().await?;
        }
        self.state.still_open(opened).ok_or(VaultError::Sealed)
    }

    /// The same in the transaction in which a value is about to be committed.
    ///
    /// # Errors
    /// As for [`Self::confirm`].
    pub fn confirm_in(&self, tx: &mut Tx<'_>, opened: &Opened) -> Result<StillOpen, VaultError> {
        if self.age() > FRESH && tx.seal_state()?.is_none_or(|row| row.sealed) {
            return Err(VaultError::Sealed);
        }
        self.state.still_open(opened).ok_or(VaultError::Sealed)
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
            self.close(generation, row.since);
        } else if self.is_held() {
            self.close(generation, self.clock.now());
        } else if self.state.generation() != generation || !self.is_open() {
            self.follow(generation).await?;
        }
        if let Ok(mut looked_at) = self.looked_at.lock() {
            *looked_at = started;
        }
        Ok(())
    }

    /// Opens the vault in a generation in which it is not sealed on purpose: with the root key that this process has, or with the express
    /// key. In the mode Manual it stays closed where neither does.
    async fn follow(&self, generation: Generation) -> Result<(), OpenError> {
        let _one = self.opening.lock().await;
        let present = self.state.generation();
        if present > generation || (present == generation && self.is_open()) {
            return Ok(());
        }
        let loaded = self.store.read(|tx| Ok((tx.slots()?, tx.terms()?))).await.map_err(store_error)?;
        let (slots, terms) = loaded;
        if let Err(rolled_back) = self.goes_on(self.seen(), &terms) {
            self.close(generation, self.clock.now());
            self.tell(rolled_back).await;
            return Err(rolled_back.into());
        }
        if let Some(ring) = self.state.opened().and_then(|opened| opened.keyring().reload(&terms).ok()) {
            self.put(generation, ring);
            return Ok(());
        }
        self.close(generation, self.clock.now());
        if slots.is_empty() {
            return Err(OpenError::Damaged);
        }
        let Some(slot) = slots.into_iter().find(|slot| slot.kind == SlotKind::Express) else { return Ok(()) };
        let root = self.open_express(&Slot::from_bytes(slot.bytes)?)?;
        let keyring = open_terms(&root, &terms)?;
        let record = CallRecord::system(self.site.clone(), "vault.opened", ActivityType::ConnectCredentialVault);
        record.object("vault", "", "");
        record.detail("mode", "Express");
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
                self.put(generation, keyring);
                Ok(())
            }
            Err(VaultError::Sealed) => Ok(()),
            Err(error) => Err(store_error(error)),
        }
    }

    /// Changes the keys in the database, and then here. The change returns the generation that it left, and the keyring that is open in it.
    ///
    /// It must not be stopped in between: whoever calls puts it into a task of its own ([`detached`]).
    ///
    /// # Errors
    /// What the change refuses, and the database.
    pub async fn change(
        &self,
        record: &Arc<CallRecord>,
        change: impl Fn(&mut Tx<'_>) -> Result<Changed, VaultError> + Send + 'static,
    ) -> Result<(), VaultError> {
        let _one = self.opening.lock().await;
        match self.store.write(record, change).await? {
            Changed::Open(generation, keyring) => self.put(Generation(generation), keyring),
            Changed::Opened(generation, keyring) => {
                self.held().closed = false;
                self.put(Generation(generation), keyring);
            }
            Changed::Nothing => {}
        }
        Ok(())
    }

    /// Follows the seal state until it is told to stop.
    pub async fn watch(&self, stop: &CancellationToken) {
        let (mut failing, mut looks) = (false, 0_u32);
        while stop.run_until_cancelled(tokio::time::sleep(INTERVAL)).await.is_some() {
            looks = looks.wrapping_add(1);
            if looks.is_multiple_of(STORE_EVERY)
                && let Err(error) = self.store_seal().await
            {
                tracing::debug!(%error, "the seal can still not be stored");
            }
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

/// What a change left.
#[derive(Debug)]
pub enum Changed {
    /// The vault is open in a generation, with this keyring.
    Open(i64, OpenKeyring),
    /// The same, and somebody opened it: that ends a seal.
    Opened(i64, OpenKeyring),
    /// All is as it was.
    Nothing,
}

/// Runs what must come to its end, whether or not the caller waits for it.
///
/// # Errors
/// What it returns; a bug where it panicked.
pub async fn detached<T: Send + 'static>(
    work: impl Future<Output = Result<T, VaultError>> + Send + 'static,
) -> Result<T, VaultError> {
    tokio::spawn(work.in_current_span()).await.unwrap_or_else(|_| Err(ended_early()))
}

/// Runs what takes long without waiting for anything.
///
/// # Errors
/// What it returns; a bug where it panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VaultError> + Send + 'static,
) -> Result<T, VaultError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(ended_early()))
}

fn ended_early() -> VaultError {
    VaultError::Store(coffre_db::Error::Bug("a change of keys ended early".to_owned()))
}

fn store_error(error: VaultError) -> OpenError {
    match error {
        VaultError::Store(error) => OpenError::Store(error),
        other => OpenError::Store(coffre_db::Error::Bug(other.to_string())),
    }
}
