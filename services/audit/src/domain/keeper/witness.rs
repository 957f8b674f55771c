//! The witness: what it has, what it is handed, and what it lost.

use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::{Fault, Keeper};
use crate::domain::checkpoint::{Checkpoint, Known, Recognised};
use crate::domain::incident::Kind;

/// So long a loss is told by probes: somebody has looked by then, or nobody will.
const TOLD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// What the witness had when it was last asked, by its largest checkpoint; `None` before the first time.
#[derive(Default)]
pub(super) struct Had {
    size: Option<i64>,
    lost: Option<(String, Instant)>,
}

impl Keeper {
    /// Reads what the witness has, and names what it had and has no more. Begun anew on purpose it looks the same: it is told, and stops
    /// nothing.
    pub(super) async fn witnessed(&self) -> Result<Vec<String>, Fault> {
        let notes = self.witness_notes().await?;
        let Some(witness) = &self.witness else { return Ok(notes) };
        let size = |note: &String| match self.signer.recognise(note) {
            Recognised::Ours(Known { size, .. }) => Some(size),
            _ => None,
        };
        let has = notes.iter().filter_map(size).max().unwrap_or(0);
        let before = self.had().size;
        let expected = match before {
            Some(size) => size,
            // An empty one is no witness of a log of which somebody saw a checkpoint.
            None if has == 0 => self.store.witnessed_size().await?,
            None => self.store.witnessed_by(witness.name()).await?,
        };
        if has < expected {
            let what = match has {
                0 => format!("all of its checkpoints, to that of {expected} entries, and is begun anew"),
                _ => format!("the checkpoints above {has} entries, to that of {expected}"),
            };
            let text = format!("{} lost {what}", witness.name());
            tracing::warn!(
                "{text}; where nobody moved it on purpose, look who can write there, and compare with what you keep of it"
            );
            self.store.record(Kind::Checkpoint, vec![(expected, expected)], self.clock.now()).await?;
            self.had().lost = Some((text, self.clock.monotonic()));
        }
        self.had().size = Some(has);
        Ok(notes)
    }

    /// Returns what the witness lost, as long as probes tell it.
    pub(super) fn told_lost(&self) -> Option<String> {
        let (now, mut had) = (self.clock.monotonic(), self.had());
        had.lost = had.lost.take().filter(|(_, at)| now.saturating_duration_since(*at) < TOLD_FOR);
        had.lost.as_ref().map(|(text, _)| text.clone())
    }

    fn had(&self) -> std::sync::MutexGuard<'_, Had> {
        self.had.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads what the witness has. Without it nothing is signed: a log that was put back would be signed as if it were whole.
    pub(super) async fn witness_notes(&self) -> Result<Vec<String>, Fault> {
        let Some(witness) = &self.witness else { return Ok(Vec::new()) };
        witness.notes().await.map_err(|error| {
            let fault = format!("{} cannot be read, and nothing is signed without it: {error}", witness.name());
            self.witness_fault(Some(fault.clone()));
            Fault::Witness(fault)
        })
    }

    /// Hands a checkpoint to the witness unless it has it. One that does not take it is asked again in the next round.
    pub(super) async fn hand_over(
        &self,
        mut checkpoint: Checkpoint,
        witnessed: &[String],
    ) -> Result<Checkpoint, Fault> {
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
        self.had().size = Some(checkpoint.size);
        self.witness_fault(None);
        if checkpoint.witnessed_at.is_none() {
            let (now, by) = (self.clock.now(), self.witness.as_ref().map_or(String::new(), |witness| witness.name()));
            self.store.witnessed(checkpoint.size, by, now).await?;
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
}
