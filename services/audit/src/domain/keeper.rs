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
mod streams;
mod witness;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_types::{Clock, Timestamp};

use super::check::Seen;
use super::checkpoint::{Checkpoint, Known, Recognised, Signer};
use super::cut::Beginning;
use super::incident::Kind;
use super::ports::{
    Comparison, KeepCheckpoints, KeepIncidents, ReadStretches, ReadTree, Unprovable, WatchStreams, Witness,
};
use super::stretch::Ends;

pub(crate) use self::again::Looked;
use self::streams::Waits;
use self::witness::Had;

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
    /// What the witness lost, for a day.
    pub witness_lost: Option<String>,
    /// Why old entries are not cut off.
    pub retention_waits: Option<String>,
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
    /// Streams that lag behind the word of their writers.
    lagging: Waits,
    /// Streams of which nothing is heard.
    silent: Waits,
    /// What the witness had.
    had: Mutex<Had>,
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
            lagging: Waits::default(),
            silent: Waits::default(),
            had: Mutex::default(),
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
        let witnessed = self.witnessed().await?;
        while self.store.grow().await? {}
        self.compare(&witnessed).await.map(|_| ())
    }

    async fn round(&self) -> Result<Checkpoint, Fault> {
        let witnessed = self.witnessed().await?;
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
        self.store.record(kind, vec![(first, last)], self.clock.now()).await?;
        Err(Fault::Damaged(text))
    }

    /// Looks how large the log is, and says whether something came since the latest checkpoint.
    pub(crate) async fn observe(&self) -> Result<bool, Fault> {
        let Ends { size, first_kept } = self.store.ends().await?;
        let (latest, witnessed) = (self.store.latest().await?, self.store.witnessed_size().await?);
        let (_, incidents) = self.store.incidents(0).await?;
        let lost = self.told_lost();
        let mut standing = self.lock();
        standing.witness_lost = lost;
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
        if !findings.is_empty() {
            for found in &findings {
                let (first, last) = (found.first, found.last);
                tracing::error!(first, last, "entries of the audit log are missing or changed");
            }
            self.lock().changed += i64::try_from(findings.len()).unwrap_or(i64::MAX);
            let places = findings.into_iter().map(|found| (found.first, found.last)).collect();
            self.store.record(Kind::Changed, places, self.clock.now()).await?;
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

    fn lock(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
