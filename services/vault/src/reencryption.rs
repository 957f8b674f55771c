//! Seals values anew under the newest term, in the background, and destroys terms under which nothing is sealed any more.
//!
//! Which values are to be done stands in the database alone, so it goes on wherever it was stopped, and any number of replicas may do it. A
//! batch is read, sealed anew outside of any transaction, and written where nobody changed the value meanwhile, with the seal of each value
//! in the audit. Between batches callers have their turn.

mod meter;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use coffre_audit_client::{ActivityType, CallRecord, Outcome, Site};
use coffre_crypto::value::{Place, SealedValue};
use coffre_types::{Clock, TENANT, Timestamp, ValueId, Version};
use tokio_util::sync::CancellationToken;

use crate::domain::error::VaultError;
use crate::domain::keys::reload_terms;
use crate::keyring::{Changed, Keyring, blocking};
use crate::store::rotation::{OldValue, Spot, Stretch};
use crate::store::{Store, Tx};

pub use self::meter::Meter;

/// How many values a batch has.
pub const BATCH: i64 = 200;
/// How long after the beginning of a term some replica may still seal under the one before: they look at the generation several times a
/// second, and a call takes its keyring at its start.
pub const GRACE: Duration = Duration::from_secs(5);
/// How often values under old terms are looked for where no re-encryption goes on.
const LEFTOVERS: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_millis(500);
/// How long it rests after a failure: a full disk, a database that is gone.
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// How many values that do not open are named, in the audit and in the log of a process.
const NAMED: usize = 50;

/// What seals values anew.
#[derive(Clone)]
pub struct Reencryption {
    store: Store,
    keyring: Arc<Keyring>,
    site: Arc<Site>,
    clock: Arc<dyn Clock>,
    meter: Arc<Meter>,
}

/// What one pass over the values found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Pass {
    /// How many values were sealed anew.
    pub done: usize,
    /// How many do not open. They stay as they are, and keep their term.
    pub corrupt: usize,
    /// The first of them.
    pub corrupt_values: Vec<i64>,
    /// How many were changed meanwhile, by a caller or another replica.
    pub overtaken: usize,
}

type Result<T> = std::result::Result<T, VaultError>;

impl Reencryption {
    /// Takes what it needs.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>, site: Arc<Site>, clock: Arc<dyn Clock>, meter: Arc<Meter>) -> Self {
        Self { store, keyring, site, clock, meter }
    }

    /// Does a batch of the values of a stretch. Returns the place of the last one; `None` where there was none.
    ///
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn batch(&self, stretch: Stretch, pass: &mut Pass) -> Result<Option<Spot>> {
        let opened = self.keyring.opened().await?;
        let term = opened.keyring().current().get();
        let old = self.store.read(move |tx| Ok(tx.old_values(term, stretch, BATCH)?)).await?;
        let Some(last) = old.last().map(|value| Spot { term: value.term, id: value.id }) else { return Ok(None) };
        let ring = opened.clone();
        let sealing = blocking(move || {
            let (mut anew, mut corrupt) = (Vec::with_capacity(old.len()), Vec::new());
            for value in old {
                match ring.keyring().reseal(&place(&value), &value.sealed) {
                    Ok(sealed) => anew.push((value, sealed)),
                    Err(_) => corrupt.push(value.id),
                }
            }
            Ok((anew, corrupt))
        });
        let (anew, corrupt) = sealing.await?;
        pass.corrupt += corrupt.len();
        let room = NAMED.saturating_sub(pass.corrupt_values.len());
        pass.corrupt_values.extend(corrupt.into_iter().take(room));
        if anew.is_empty() {
            return Ok(Some(last));
        }
        let (keyring, site, tried) = (self.keyring.clone(), self.site.clone(), anew.len());
        let written = self.store.write_recorded(move |tx| {
            let record = CallRecord::system(site.clone(), "vault.value.reencrypted", ActivityType::UpdateCredential);
            record.object("vault", "", "");
            let mut written = 0_usize;
            for (value, sealed) in &anew {
                if tx.put_resealed(value, sealed)? {
                    written += 1;
                    seal_of(&record, &opened, value, sealed);
                }
            }
            keyring.confirm_in(tx, &opened)?;
            record.detail("term", term.to_string());
            record.detail("values", written.to_string());
            let entry = record.entry(Outcome::Successful, None, record.now());
            Ok((written, if written == 0 { Vec::new() } else { vec![entry] }))
        });
        let written = written.await?;
        pass.done += written;
        pass.overtaken += tried - written;
        self.meter.add(self.clock.monotonic(), written);
        Ok(Some(last))
    }

    /// Goes over all values once. Stops early where it is told to.
    ///
    /// It begins anywhere and comes round: of replicas that work at the same time each then has values of its own, until one reaches what
    /// another has done and passes over it.
    ///
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn pass(&self, stop: &CancellationToken) -> Result<Pass> {
        let mut pass = Pass::default();
        let begin = self.somewhere().await?;
        for mut stretch in [Stretch { after: begin, ..Stretch::ALL }, Stretch { up_to: begin, ..Stretch::ALL }] {
            while !stop.is_cancelled() {
                let began = self.clock.monotonic();
                let Some(last) = self.batch(stretch, &mut pass).await? else { break };
                stretch.after = last;
                // As long again for the callers.
                let took = self.clock.monotonic().saturating_duration_since(began).min(IDLE);
                tokio::time::sleep(took.max(Duration::from_millis(2))).await;
            }
        }
        Ok(pass)
    }

    /// Chooses a place among the values of the oldest term.
    async fn somewhere(&self) -> Result<Spot> {
        let (term, last) = self.store.read(|tx| Ok((tx.oldest_term()?, tx.last_value()?))).await?;
        let random = u64::from_be_bytes(coffre_crypto::random()?);
        let beyond = u64::try_from(last).unwrap_or(0).saturating_add(1);
        Ok(Spot { term, id: i64::try_from(random % beyond).unwrap_or(0) })
    }

    /// Ends a re-encryption of which nothing is left to do, and destroys the terms that nothing uses. Says whether it ended.
    ///
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn finish(&self, pass_began: Timestamp, pass: &Pass) -> Result<bool> {
        let opened = self.keyring.opened().await?;
        let term = opened.keyring().current().get();
        let row = self.store.read(|tx| Ok(tx.rotation()?)).await?;
        let Some(row) = row.filter(|row| row.term == i64::from(term)) else { return Ok(false) };
        // A replica that had not heard of the term yet may have sealed under the one before, behind the pass.
        if row.ended_at.is_none() && (pass_began < row.started_at.plus(GRACE) || pass.overtaken > 0) {
            return Ok(false);
        }
        let unused = self.store.read(move |tx| Ok(tx.unused_terms(term)?)).await?;
        if row.ended_at.is_some() && unused.is_empty() {
            return Ok(true);
        }
        let record = CallRecord::system(self.site.clone(), "vault.rotation.ended", ActivityType::CvSetting);
        let record = Arc::new(record);
        let (told, now, pass) = (record.clone(), self.clock.now(), pass.clone());
        let change = move |tx: &mut Tx<'_>| {
            told.clear_changes();
            told.object("vault", "", "");
            told.detail("term", term.to_string());
            if pass.corrupt > 0 {
                told.detail("valuesCorrupt", pass.corrupt.to_string());
                let named: Vec<String> = pass.corrupt_values.iter().map(ToString::to_string).collect();
                told.detail("valueCorrupt", named.join(", "));
            }
            let unused = tx.unused_terms(term)?;
            if !tx.raise_generation(opened.generation().0, false, now)? {
                return Err(VaultError::KeysChanged);
            }
            tx.end_rotation(term, now)?;
            tx.destroy_terms(&unused)?;
            for destroyed in unused {
                told.detail("termDestroyed", destroyed.to_string());
            }
            let ring = reload_terms(opened.keyring(), &tx.terms()?).map_err(VaultError::TermsDamaged)?;
            Ok(Changed::Open(opened.generation().0.saturating_add(1), ring))
        };
        let keyring = self.keyring.clone();
        match crate::keyring::detached(async move { keyring.change(&record, change).await }).await {
            Ok(()) => Ok(true),
            Err(VaultError::KeysChanged) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Works until it is told to stop.
    pub async fn run(&self, stop: &CancellationToken) {
        let (mut seen, mut failing) = (Seen::default(), false);
        loop {
            let rest = if failing { AFTER_FAILURE } else { IDLE };
            if stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_none() {
                return;
            }
            if !self.keyring.is_open() {
                continue;
            }
            match self.turn(&mut seen, stop).await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("values are re-encrypted again");
                }
                Ok(()) | Err(VaultError::Sealed) => {}
                Err(error) if failing => tracing::debug!(%error, "values can still not be re-encrypted"),
                Err(error) => {
                    failing = true;
                    tracing::warn!(%error, "values cannot be re-encrypted; it is tried again until it works");
                }
            }
        }
    }

    async fn turn(&self, seen: &mut Seen, stop: &CancellationToken) -> Result<()> {
        let row = self.store.read(|tx| Ok(tx.rotation()?)).await?;
        let Some(row) = row else { return Ok(()) };
        let now = self.clock.monotonic();
        let due = seen.looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LEFTOVERS);
        if row.ended_at.is_some() && !due {
            return Ok(());
        }
        let began = self.clock.now();
        let pass = self.pass(stop).await?;
        for value_id in &pass.corrupt_values {
            if seen.corrupt.len() < NAMED && seen.corrupt.insert(*value_id) {
                tracing::error!(value_id, "a stored value does not open: it was moved, rolled back or damaged");
            }
        }
        if stop.is_cancelled() {
            return Ok(());
        }
        if pass.done > 0 {
            let Pass { done, corrupt, overtaken, .. } = pass;
            tracing::info!(done, corrupt, overtaken, "values were re-encrypted");
        }
        if self.finish(began, &pass).await? {
            seen.looked = Some(now);
        }
        Ok(())
    }
}

/// What a process has seen so far.
#[derive(Default)]
struct Seen {
    /// When it last looked for values under old terms and found none.
    looked: Option<Instant>,
    /// The values that do not open and that the log has named.
    corrupt: BTreeSet<i64>,
}

fn seal_of(record: &CallRecord, opened: &coffre_crypto::state::Opened, value: &OldValue, sealed: &SealedValue) {
    let mac = opened.keyring().value_mac(value.id, value.version, sealed.as_bytes());
    record.value_seal(ValueId::from_trusted(value.id), Version::from_trusted(value.version), mac);
}

fn place(value: &OldValue) -> Place {
    Place {
        tenant: TENANT.get(),
        credential: value.credential,
        attribute: value.attribute,
        user: (value.user != 0).then_some(value.user),
        value: value.id,
        version: value.version,
    }
}
