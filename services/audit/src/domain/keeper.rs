//! Keeps the log provable: compares it with what was signed, signs it, and has witnesses see it.
//!
//! ```text
//! round: bring the tree up to the log → compare with the witness and the latest checkpoint → sign → hand to the witness → note that it has it
//! ```
//!
//! Each step is stored before the next begins, so a round that was killed is finished by the next one, here or on another replica. A log that
//! is not the one that was signed is signed no more: whoever looks after the installation decides what becomes of it (README). The record
//! itself goes on meanwhile.

mod again;
mod beginning;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_audit_client::chain::StreamId;
use coffre_types::{Clock, Timestamp};

use super::check::Seen;
use super::checkpoint::{Checkpoint, Known, Recognised, Signer};
use super::cut::Beginning;
use super::incident::Kind;
use super::ports::{
    Comparison, KeepCheckpoints, KeepIncidents, Lagging, ReadStretches, ReadTree, Unprovable, WatchStreams, Witness,
};
use super::stretch::Ends;

pub(crate) use self::again::Looked;

/// A stream whose writer says that it is further is waited for that long. A service that comes back carries its rows within seconds.
const STREAM_PATIENCE: Duration = Duration::from_secs(10 * 60);
/// A round that lost a race against another writer is tried again that often.
const TRIES: usize = 5;

/// Why a proof or a checkpoint is not given.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// What was asked for cannot be.
    #[error("{field}: {problem}")]
    Invalid { field: &'static str, problem: String },
    /// There is no such entry, or it is not visible.
    #[error("no such entry")]
    NoEntry,
    /// There is no such checkpoint.
    #[error("no such checkpoint")]
    NoCheckpoint,
    /// Its entries were cut off.
    #[error("entries below {first_kept} were cut off")]
    Cut { first_kept: i64 },
    /// The log is not what was signed.
    #[error("{0}")]
    Damaged(String),
    /// The witness cannot be asked.
    #[error("{0}")]
    Witness(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] coffre_db::Error),
}

impl From<Unprovable> for Fault {
    fn from(error: Unprovable) -> Self {
        match error {
            Unprovable::Cut { first_kept } => Self::Cut { first_kept },
            Unprovable::Missing { first, last } => {
                Self::Damaged(format!("the hashes of the entries {first} to {last} are missing"))
            }
            Unprovable::Store(error) => Self::Store(error),
        }
    }
}

/// How the log stands, for probes and metrics.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Standing {
    /// How many entries the log has, those that were cut off included.
    pub size: i64,
    /// Entries below this position were cut off.
    pub first_kept: i64,
    /// The size of the latest checkpoint; 0 where there is none.
    pub checkpoint_size: i64,
    /// When it was made.
    pub checkpoint_time: Option<Timestamp>,
    /// The largest size that a witness had.
    pub witnessed_size: i64,
    /// How many incidents there are.
    pub incidents: i64,
    /// Why nothing is signed any more.
    pub damaged: Option<String>,
    /// Why the witness does not take checkpoints.
    pub witness_fault: Option<String>,
    /// How often this process found entries or checkpoints changed.
    pub changed: i64,
}

/// What the ports of the keeper are, together.
pub(crate) trait Keep: KeepCheckpoints + KeepIncidents + ReadStretches + ReadTree + WatchStreams {}

impl<T: KeepCheckpoints + KeepIncidents + ReadStretches + ReadTree + WatchStreams> Keep for T {}

/// Keeps the log provable.
pub(crate) struct Keeper {
    store: Arc<dyn Keep>,
    signer: Arc<Signer>,
    witness: Option<Arc<dyn Witness>>,
    clock: Arc<dyn Clock>,
    /// On demand, checkpoints are at least that far apart.
    spacing: Duration,
    /// One round at a time; when the last one ended.
    turn: tokio::sync::Mutex<Option<tokio::time::Instant>>,
    standing: Mutex<Standing>,
    /// Since when a stream lags, and at which event.
    lagging: Mutex<HashMap<StreamId, (i64, std::time::Instant)>>,
}

impl Keeper {
    pub(crate) fn new(
        store: Arc<dyn Keep>,
        signer: Arc<Signer>,
        witness: Option<Arc<dyn Witness>>,
        clock: Arc<dyn Clock>,
        spacing: Duration,
    ) -> Self {
        Self {
            store,
            signer,
            witness,
            clock,
            spacing,
            turn: tokio::sync::Mutex::default(),
            standing: Mutex::default(),
            lagging: Mutex::default(),
        }
    }

    /// Returns the key that checks the log's signatures.
    pub(crate) fn verifier_key(&self) -> String {
        self.signer.verifier().to_string()
    }

    /// Returns how the log stood a moment ago.
    pub(crate) fn standing(&self) -> Standing {
        self.lock().clone()
    }

    /// Makes a checkpoint of the log as it is, and hands it to the witness; the latest one where nothing came since.
    pub(crate) async fn checkpoint(&self) -> Result<Checkpoint, Fault> {
        let mut turn = self.turn.lock().await;
        let made = self.round().await;
        *turn = Some(tokio::time::Instant::now());
        made
    }

    /// Returns the latest checkpoint that covers that many entries, which are in the log; makes one where there is none. Whoever asks for
    /// many shares them: one is made in the time of `spacing`.
    pub(crate) async fn covering(&self, size: i64) -> Result<Checkpoint, Fault> {
        if let Some(latest) = self.store.latest().await?.filter(|latest| latest.size >= size) {
            return Ok(latest);
        }
        let mut turn = self.turn.lock().await;
        if let Some(latest) = self.store.latest().await?.filter(|latest| latest.size >= size) {
            return Ok(latest);
        }
        if let Some(last) = *turn {
            tokio::time::sleep_until(last + self.spacing).await;
        }
        let made = self.round().await;
        *turn = Some(tokio::time::Instant::now());
        made
    }

    /// Compares the log with what was signed of it, and signs nothing.
    pub(crate) async fn look(&self) -> Result<(), Fault> {
        let _turn = self.turn.lock().await;
        let witnessed = self.witness_notes().await?;
        while self.store.grow().await? {}
        self.compare(&witnessed).await.map(|_| ())
    }

    async fn round(&self) -> Result<Checkpoint, Fault> {
        let witnessed = self.witness_notes().await?;
        for _ in 0..TRIES {
            while self.store.grow().await? {}
            let beginning = self.compare(&witnessed).await?;
            match self.store.sign(self.signer.clone(), beginning, self.clock.now()).await {
                Err(coffre_db::Error::Retryable) => {}
                outcome => return self.hand_over(outcome?, &witnessed).await,
            }
        }
        Err(coffre_db::Error::Retryable.into())
    }

    /// Reads what the witness has. Without it nothing is signed: a log that was put back would be signed as if it were whole.
    async fn witness_notes(&self) -> Result<Vec<String>, Fault> {
        let Some(witness) = &self.witness else { return Ok(Vec::new()) };
        witness.notes().await.map_err(|error| {
            let fault = format!("{} cannot be read, and nothing is signed without it: {error}", witness.name());
            self.witness_fault(Some(fault.clone()));
            Fault::Witness(fault)
        })
    }

    async fn compare(&self, witnessed: &[String]) -> Result<Beginning, Fault> {
        let mut known: Vec<Known> = Vec::new();
        let (mut damage, mut signed_cut) = (None, 0);
        for note in witnessed.iter().rev() {
            match self.signer.recognise(note) {
                Recognised::Ours(found) => {
                    known.push(found);
                    signed_cut = signed_cut.max(self.signer.cut_of(note));
                }
                Recognised::OtherLogOfOurKey(other) if known.is_empty() && damage.is_none() => {
                    let text = format!(
                        "the witness has checkpoints of {other}, signed with the key of this log: the log was begun anew"
                    );
                    damage = Some((Kind::RolledBack, 0, 0, text));
                }
                Recognised::OtherLogOfOurKey(_) => {}
                Recognised::Foreign(other) => {
                    tracing::debug!(other, "the witness has a checkpoint of another installation")
                }
                Recognised::Broken(problem) => tracing::warn!(problem, "the witness has a note that proves nothing"),
            }
        }
        if let Some(latest) = self.store.latest().await? {
            let same = Known { size: latest.size, root: latest.root };
            if self.signer.recognise(&latest.note) == Recognised::Ours(same) {
                known.push(same);
                signed_cut = signed_cut.max(self.signer.cut_of(&latest.note));
            } else {
                let (first, last) = (latest.first_kept, (latest.size - 1).max(latest.first_kept));
                let text = format!("the latest checkpoint, of {} entries, is not the one that was signed", latest.size);
                damage = Some((Kind::Changed, first, last, text));
            }
        }
        // Replicas that share a file may have written into it in another order.
        known.sort_by_key(|known| std::cmp::Reverse(known.size));
        if damage.is_none() {
            damage = match self.store.compare(known).await? {
                Comparison::Same => None,
                Comparison::RolledBack { first, last } => Some((
                    Kind::RolledBack,
                    first,
                    last,
                    format!(
                        "the log was put back or rewritten: its entries {first} to {last} are not those that were signed"
                    ),
                )),
                Comparison::Changed { first, last } => Some((
                    Kind::Changed,
                    first,
                    last,
                    format!("entries from {first} to {last} are missing or changed: the tree over them does not fit"),
                )),
            };
        }
        let beginning = self.beginning(signed_cut).await?;
        let (kind, first, last, text) = match (damage, beginning) {
            (None, Ok(beginning)) => {
                self.lock().damaged = None;
                return Ok(beginning);
            }
            (Some(damage), _) => damage,
            (None, Err(stored)) => {
                let (first, last) = (stored.min(signed_cut), stored.max(signed_cut) - 1);
                let text = format!(
                    "the database says that the log begins at {stored}, and what was signed says at {signed_cut}: nobody cut off the entries {first} to {last}"
                );
                (Kind::Changed, first, last, text)
            }
        };
        let news = self.lock().damaged.replace(text.clone()).as_ref() != Some(&text);
        if news {
            tracing::error!(first, last, "{text}; nothing is signed until somebody has looked at it");
        }
        self.store.record(kind, first, last, self.clock.now()).await?;
        Err(Fault::Damaged(text))
    }

    /// Hands a checkpoint to the witness unless it has it. One that does not take it is asked again in the next round.
    async fn hand_over(&self, mut checkpoint: Checkpoint, witnessed: &[String]) -> Result<Checkpoint, Fault> {
        let is_new = self.lock().checkpoint_size < checkpoint.size || checkpoint.witnessed_at.is_none();
        {
            let mut standing = self.lock();
            standing.checkpoint_size = checkpoint.size;
            standing.checkpoint_time = Some(checkpoint.created_at);
        }
        if is_new {
            // A collector of logs is a witness, too: `note` is the whole note.
            tracing::info!(target: "coffre::audit::checkpoint", size = checkpoint.size, note = %checkpoint.note, "checkpoint");
        }
        if let Some(witness) = &self.witness
            && witnessed.last() != Some(&checkpoint.note)
            && let Err(error) = witness.take(checkpoint.note.clone()).await
        {
            self.witness_fault(Some(format!("{} cannot be written: {error}", witness.name())));
            return Ok(checkpoint);
        }
        self.witness_fault(None);
        if checkpoint.witnessed_at.is_none() {
            let now = self.clock.now();
            self.store.witnessed(checkpoint.size, now).await?;
            checkpoint.witnessed_at = Some(now);
        }
        let mut standing = self.lock();
        standing.witnessed_size = standing.witnessed_size.max(checkpoint.size);
        Ok(checkpoint)
    }

    fn witness_fault(&self, fault: Option<String>) {
        let before = std::mem::replace(&mut self.lock().witness_fault, fault.clone());
        match fault {
            Some(fault) if before.as_ref() != Some(&fault) => tracing::error!("{fault}; checkpoints have no witness"),
            None if before.is_some() => tracing::info!("the witness takes checkpoints again"),
            _ => {}
        }
    }

    /// Looks how large the log is, and says whether something came since the latest checkpoint.
    pub(crate) async fn observe(&self) -> Result<bool, Fault> {
        let Ends { size, first_kept } = self.store.ends().await?;
        let (latest, witnessed) = (self.store.latest().await?, self.store.witnessed_size().await?);
        let (_, incidents) = self.store.incidents(0).await?;
        let mut standing = self.lock();
        (standing.size, standing.first_kept) = (size, first_kept);
        standing.checkpoint_size = latest.as_ref().map_or(0, |latest| latest.size);
        standing.checkpoint_time = latest.as_ref().map(|latest| latest.created_at);
        (standing.witnessed_size, standing.incidents) = (witnessed, incidents);
        let news =
            size > standing.checkpoint_size || latest.as_ref().is_some_and(|latest| first_kept != latest.first_kept);
        let unwitnessed = latest.is_some_and(|latest| latest.witnessed_at.is_none());
        Ok(news || unwitnessed || standing.witness_fault.is_some() || standing.damaged.is_some())
    }

    /// Looks at 256 entries again, and names those that are not what they were. Says whether there were as many.
    pub(crate) async fn check(&self, block: u64) -> Result<bool, Fault> {
        let Some(Seen { findings, outdated }) = self.store.check(block).await? else { return Ok(false) };
        for found in findings {
            tracing::error!(first = found.first, last = found.last, "entries of the audit log are missing or changed");
            self.store.record(Kind::Changed, found.first, found.last, self.clock.now()).await?;
            self.lock().changed += 1;
        }
        if let (Some(first), Some(last)) = (outdated.first(), outdated.last()) {
            tracing::warn!(
                first = first.log_index,
                last = last.log_index,
                entries = outdated.len(),
                "the texts by which entries of the audit log are searched were those of another version of this program, or were changed; they are made anew"
            );
            self.store.say_anew(outdated).await?;
        }
        Ok(true)
    }

    /// Names streams whose end never came: its rows were taken out of an outbox, or the outbox was put back.
    pub(crate) async fn watch_streams(&self) -> Result<(), Fault> {
        let now = self.clock.monotonic();
        let lagging = self.store.lagging().await?;
        let lost: Vec<Lagging> = {
            let mut known = self.lagging.lock().unwrap_or_else(PoisonError::into_inner);
            known.retain(|id, (next, _)| {
                lagging.iter().any(|stream| stream.stream_id == *id && stream.next_sequence == *next)
            });
            let is_lost = |stream: &Lagging| {
                let (_, since) = known.entry(stream.stream_id).or_insert((stream.next_sequence, now));
                now.saturating_duration_since(*since) >= STREAM_PATIENCE
            };
            lagging.into_iter().filter(is_lost).collect()
        };
        for stream in lost {
            tracing::error!(
                service = stream.service,
                from = stream.next_sequence,
                to = stream.reported_sequence,
                "the end of a stream never came"
            );
            self.store.lost(stream, self.clock.now()).await?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
