//! Looking at the files again, and taking what is good.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_types::Timestamp;
use rustls::pki_types::UnixTime;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::files::{Mark, Read};

/// How often the files are looked at.
const EVERY: Duration = Duration::from_secs(1);

/// What is made of files.
pub(crate) trait Material: Send + Sync + Sized + 'static {
    /// Which files, and what they are for.
    type From: Send + Sync + 'static;

    /// What the log calls it.
    const NAME: &'static str;

    fn read(from: &Self::From) -> Result<Read, Error>;

    fn make(from: &Self::From, read: Read, now: UnixTime) -> Result<Self, Error>;

    /// Tells the content of the files it was made of.
    fn mark(&self) -> &Mark;

    fn expires(&self) -> Timestamp;
}

/// Files, and the last good thing that was made of them.
pub(crate) struct Kept<M: Material> {
    from: M::From,
    now: ArcSwap<M>,
    changed: watch::Sender<u64>,
    /// What was last complained of: once is enough.
    complaint: Mutex<Option<String>>,
}

impl<M: Material> Kept<M> {
    pub(crate) fn load(from: M::From) -> Result<Arc<Self>, Error> {
        let made = M::make(&from, M::read(&from)?, UnixTime::now())?;
        let changed = watch::channel(0).0;
        Ok(Arc::new(Self { from, now: ArcSwap::from_pointee(made), changed, complaint: Mutex::default() }))
    }

    pub(crate) fn now(&self) -> Arc<M> {
        self.now.load_full()
    }

    pub(crate) fn from(&self) -> &M::From {
        &self.from
    }

    /// Tells when something else was taken.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) async fn watch(self: Arc<Self>, stop: CancellationToken) {
        let mut looks = tokio::time::interval(EVERY);
        looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while stop.run_until_cancelled(looks.tick()).await.is_some() {
            let looking = self.clone();
            // That a look panicked is no reason to stop looking.
            let _ = tokio::task::spawn_blocking(move || looking.look()).await;
        }
    }

    /// Looks at the files once, and says whether something else was taken.
    pub(crate) fn look(&self) -> bool {
        let made = M::read(&self.from).and_then(|read| {
            let same = read.mark == *self.now.load().mark();
            if same { Ok(None) } else { M::make(&self.from, read, UnixTime::now()).map(Some) }
        });
        let mut complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner);
        match made {
            Ok(None) => {
                *complaint = None;
                false
            }
            Ok(Some(made)) => {
                let expires = made.expires().to_rfc3339_millis();
                tracing::info!(certificate = M::NAME, %expires, "the files were exchanged, and what is in them is used from now on");
                self.now.store(Arc::new(made));
                self.changed.send_modify(|number| *number += 1);
                *complaint = None;
                true
            }
            Err(error) => {
                let said = error.to_string();
                if complaint.as_ref() != Some(&said) {
                    tracing::warn!(certificate = M::NAME, reason = %said, "the files were exchanged, and what is in them cannot be used; what was there before goes on");
                    *complaint = Some(said);
                }
                false
            }
        }
    }
}
