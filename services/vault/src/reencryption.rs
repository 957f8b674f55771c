//! Seals values anew under the newest term, in the background, and destroys terms under which nothing is sealed any more.
//!
//! Which values are to be done stands in the database alone, so it goes on wherever it was stopped, and any number of replicas may do it. A
//! batch is read, sealed anew outside of any transaction, and written where nobody changed the value meanwhile, with the seal of each value
//! in the audit. Between batches callers have their turn.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use coffre_audit_client::{ActivityType, CallRecord, Outcome, Site};
use coffre_crypto::value::{Place, SealedValue};
use coffre_types::{Clock, TENANT, Timestamp, ValueId, Version};
use tokio_util::sync::CancellationToken;

use crate::domain::error::VaultError;
use crate::keyring::{Changed, Keyring, blocking};
use crate::store::rotation::OldValue;
use crate::store::{Store, Tx};

/// How many values a batch has.
pub const BATCH: i64 = 200;
/// How long after the beginning of a term some replica may still seal under the one before: they look at the generation several times a
/// second, and a call takes its keyring at its start.
pub const GRACE: Duration = Duration::from_secs(5);
/// How often values under old terms are looked for where no re-encryption goes on.
const LEFTOVERS: Duration = Duration::from_secs(60);
const IDLE: Duration = Duration::from_millis(500);
const WINDOW: Duration = Duration::from_secs(5);

/// Counts what was done lately.
#[derive(Debug, Default)]
pub struct Meter(Mutex<VecDeque<(Instant, usize)>>);

impl Meter {
    fn add(&self, now: Instant, count: usize) {
        if let Ok(mut done) = self.0.lock() {
            done.push_back((now, count));
            while done.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW) {
                done.pop_front();
            }
        }
    }

    /// Returns how many a second were done within the last seconds.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    pub fn rate(&self, now: Instant) -> f64 {
        let Ok(done) = self.0.lock() else { return 0.0 };
        let recent = done.iter().filter(|(at, _)| now.saturating_duration_since(*at) <= WINDOW);
        let count: usize = recent.clone().map(|(_, count)| count).sum();
        let since = recent.map(|(at, _)| now.saturating_duration_since(*at)).max().unwrap_or_default();
        count as f64 / since.max(Duration::from_secs(1)).as_secs_f64()
    }
}

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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Pass {
    /// How many values were sealed anew.
    pub done: usize,
    /// How many do not open. They stay as they are, and keep their term.
    pub corrupt: usize,
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

    /// Does a batch of the values after a number. Returns the number of the last one; `None` where there was none.
    ///
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn batch(&self, after: i64, pass: &mut Pass) -> Result<Option<i64>> {
        let opened = self.keyring.opened().await?;
        let term = opened.keyring().current().get();
        let old = self.store.read(move |tx| Ok(tx.old_values(term, after, BATCH)?)).await?;
        let Some(last) = old.last().map(|value| value.id) else { return Ok(None) };
        let (ring, count) = (opened.clone(), old.len());
        let anew = blocking(move || {
            let anew = old.into_iter().filter_map(|value| {
                let sealed = ring.keyring().reseal(&place(&value), &value.sealed);
                let sealed = sealed.inspect_err(|error| {
                    tracing::error!(value_id = value.id, %error, "a stored value does not open: it was moved, rolled back or damaged");
                });
                Some((value, sealed.ok()?))
            });
            Ok(anew.collect::<Vec<_>>())
        });
        let anew = anew.await?;
        pass.corrupt += count - anew.len();
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
            keyring.check(&opened)?;
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
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn pass(&self, stop: &CancellationToken) -> Result<Pass> {
        let (mut pass, mut after) = (Pass::default(), 0);
        while !stop.is_cancelled() {
            let began = self.clock.monotonic();
            let Some(last) = self.batch(after, &mut pass).await? else { return Ok(pass) };
            after = last;
            // As long again for the callers.
            let took = self.clock.monotonic().saturating_duration_since(began).min(IDLE);
            tokio::time::sleep(took.max(Duration::from_millis(2))).await;
        }
        Ok(pass)
    }

    /// Ends a re-encryption of which nothing is left to do, and destroys the terms that nothing uses. Says whether it ended.
    ///
    /// # Errors
    /// `Sealed`, the store's.
    pub async fn finish(&self, pass_began: Timestamp, pass: Pass) -> Result<bool> {
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
        let (told, now) = (record.clone(), self.clock.now());
        let change = move |tx: &mut Tx<'_>| {
            told.clear_changes();
            told.object("vault", "", "");
            told.detail("term", term.to_string());
            if pass.corrupt > 0 {
                told.detail("valuesCorrupt", pass.corrupt.to_string());
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
            let ring = opened.keyring().reload(&tx.terms()?)?;
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
        let mut looked: Option<Instant> = None;
        while stop.run_until_cancelled(tokio::time::sleep(IDLE)).await.is_some() {
            if !self.keyring.is_open() {
                continue;
            }
            match self.turn(&mut looked, stop).await {
                Ok(()) | Err(VaultError::Sealed) => {}
                Err(error) => tracing::warn!(%error, "values could not be re-encrypted; it is tried again"),
            }
        }
    }

    async fn turn(&self, looked: &mut Option<Instant>, stop: &CancellationToken) -> Result<()> {
        let row = self.store.read(|tx| Ok(tx.rotation()?)).await?;
        let Some(row) = row else { return Ok(()) };
        let now = self.clock.monotonic();
        let due = looked.is_none_or(|looked| now.saturating_duration_since(looked) >= LEFTOVERS);
        if row.ended_at.is_some() && !due {
            return Ok(());
        }
        let began = self.clock.now();
        let pass = self.pass(stop).await?;
        if stop.is_cancelled() {
            return Ok(());
        }
        if pass.done > 0 || pass.corrupt > 0 {
            tracing::info!(
                done = pass.done,
                corrupt = pass.corrupt,
                overtaken = pass.overtaken,
                "values were re-encrypted"
            );
        }
        if self.finish(began, pass).await? {
            *looked = Some(now);
        }
        Ok(())
    }
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
