//! Answers that go on: how many there may be at once, and when each ends.
//!
//! A stream is recorded at its opening, like any other call. From then on its caller is looked at again before each message leaves, and
//! several times a second while none does: whoever signed out, was disabled or lost the right gets nothing more. It also ends when the process
//! is about to stop, and when nobody reads it. What reads ahead of the reader is one message.

use std::collections::HashMap;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_types::{Caller, Permission, UserId};
use futures_util::{Stream, StreamExt as _};
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior};
use tonic::Status;

use crate::Admission;

/// Bounds of the streams of one service.
#[derive(Clone, Copy, Debug)]
pub struct StreamLimits {
    /// Streams that are open at once.
    pub in_all: usize,
    /// Streams that one user has open at once.
    pub per_user: usize,
    /// Which of them not everybody may take.
    pub kept: Option<KeptPlaces>,
    /// How often the caller of a quiet stream is looked at again.
    pub look_again: Duration,
    /// How long a message may wait for its reader.
    pub patience: Duration,
}

/// Places that only holders of a permission may take, so that all others together cannot keep them out.
#[derive(Clone, Copy, Debug)]
pub struct KeptPlaces {
    /// How many.
    pub places: usize,
    /// What one must hold.
    pub permission: Permission,
}

impl Default for StreamLimits {
    fn default() -> Self {
        Self {
            in_all: 64,
            per_user: 8,
            kept: None,
            // What auth tells arrives within half a second; together it is less than one.
            look_again: Duration::from_millis(300),
            patience: Duration::from_secs(60),
        }
    }
}

/// The streams of one service. Clones share them.
#[derive(Clone)]
pub struct Streams(Arc<Inner>);

struct Inner {
    limits: StreamLimits,
    open: Mutex<Open>,
}

/// The streams that are open.
#[derive(Default)]
struct Open {
    of: HashMap<UserId, usize>,
    in_all: usize,
    /// How many were opened without the permission that some places are kept for.
    ordinary: usize,
}

impl Inner {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream; given back when dropped.
pub struct StreamPlace {
    streams: Streams,
    user: UserId,
    ordinary: bool,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut open = self.streams.0.open();
        open.in_all = open.in_all.saturating_sub(1);
        open.ordinary = open.ordinary.saturating_sub(usize::from(self.ordinary));
        if let Some(own) = open.of.get_mut(&self.user) {
            *own = own.saturating_sub(1);
            if *own == 0 {
                open.of.remove(&self.user);
            }
        }
    }
}

impl Streams {
    /// Opens none yet.
    #[must_use]
    pub fn new(limits: StreamLimits) -> Self {
        Self(Arc::new(Inner { limits, open: Mutex::default() }))
    }

    /// Takes the place of a further stream of a caller.
    ///
    /// # Errors
    /// `REQUEST_OVERLOADED` where the caller, or all together, have as many as there may be, or what is left is kept for others.
    pub fn take(&self, caller: &Caller) -> Result<StreamPlace, Refusal> {
        let limits = &self.0.limits;
        let mut open = self.0.open();
        let own = open.of.get(&caller.user_id).copied().unwrap_or(0);
        let ordinary = limits.kept.is_some_and(|kept| !caller.has(kept.permission));
        let for_ordinary = limits.in_all.saturating_sub(limits.kept.map_or(0, |kept| kept.places));
        let message = if own >= limits.per_user {
            Some(format!("you have {own} streams open, as many as one may have; end one of them, and repeat the call"))
        } else if open.in_all >= limits.in_all || (ordinary && open.ordinary >= for_ordinary) {
            Some("as many streams are open as there may be; repeat the call a little later".to_owned())
        } else {
            None
        };
        if let Some(message) = message {
            return Err(Refusal::new(Reason::RequestOverloaded, message).retry_after(Duration::from_secs(5)));
        }
        *open.of.entry(caller.user_id).or_default() += 1;
        open.in_all += 1;
        open.ordinary += usize::from(ordinary);
        drop(open);
        Ok(StreamPlace { streams: self.clone(), user: caller.user_id, ordinary })
    }
}

impl StreamPlace {
    /// Serves what a source makes, for as long as its caller may have it; `may` says what it needs beside the door.
    pub fn serve<T, S, F>(self, admission: Admission, may: F, source: S) -> Served<T>
    where
        T: Send + 'static,
        S: Stream<Item = Result<T, Refusal>> + Send + 'static,
        F: Fn(&Caller) -> Result<(), Refusal> + Send + Sync + 'static,
    {
        let (sender, taken) = mpsc::channel(1);
        let end = Arc::new(OnceLock::new());
        let ended = end.clone();
        tokio::spawn(async move {
            let serving = Serving { place: self, admission, may, sender };
            if let Err(refusal) = serving.run(source).await {
                // Before the sender goes: whoever sees the end sees why.
                let _ = ended.set(Status::from(refusal));
            }
            drop(serving);
        });
        Served { taken, end, over: false }
    }
}

struct Serving<T, F> {
    place: StreamPlace,
    admission: Admission,
    may: F,
    sender: mpsc::Sender<T>,
}

impl<T, F> Serving<T, F>
where
    T: Send + 'static,
    F: Fn(&Caller) -> Result<(), Refusal> + Send + Sync + 'static,
{
    async fn run(&self, source: impl Stream<Item = Result<T, Refusal>>) -> Result<(), Refusal> {
        let limits = self.place.streams.0.limits;
        let mut source = pin!(source);
        let mut looks = tokio::time::interval(limits.look_again);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let Some(Some(item)) = self.meanwhile(&mut looks, source.next()).await? else { return Ok(()) };
            let item = item?;
            let room = tokio::time::timeout(limits.patience, self.sender.reserve());
            match self.meanwhile(&mut looks, room).await? {
                Some(Ok(Ok(room))) => {
                    self.look().await?;
                    room.send(item);
                }
                Some(Err(_)) => return Err(unread()),
                None | Some(Ok(Err(_))) => return Ok(()),
            }
        }
    }

    /// Waits for something while the caller may have it; `None` where the reader went away.
    async fn meanwhile<O>(&self, looks: &mut Interval, wanted: impl Future<Output = O>) -> Result<Option<O>, Refusal> {
        let mut wanted = pin!(wanted);
        loop {
            tokio::select! {
                biased;
                () = self.admission.guard().stopping.cancelled() => return Err(stopping()),
                () = self.sender.closed() => return Ok(None),
                _ = looks.tick() => self.look().await?,
                done = &mut wanted => return Ok(Some(done)),
            }
        }
    }

    async fn look(&self) -> Result<(), Refusal> {
        let caller = self.admission.look_again().await?;
        (self.may)(&caller)
    }
}

fn stopping() -> Refusal {
    Refusal::new(Reason::ServiceUnavailable, "the server stops; take the stream up again where it ended")
        .retry_after(Duration::from_secs(1))
}

fn unread() -> Refusal {
    Refusal::new(Reason::RequestTimeout, "nobody read the stream; take it up again where it ended")
}

/// The messages of a stream, as its reader takes them.
pub struct Served<T> {
    taken: mpsc::Receiver<T>,
    end: Arc<OnceLock<Status>>,
    over: bool,
}

impl<T> Stream for Served<T> {
    type Item = Result<T, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.over {
            return Poll::Ready(None);
        }
        let item = ready!(self.taken.poll_recv(cx));
        // What was made before the end, and not read before it, does not leave any more.
        if let Some(status) = self.end.get().cloned() {
            self.over = true;
            return Poll::Ready(Some(Err(status)));
        }
        self.over = item.is_none();
        Poll::Ready(item.map(Ok))
    }
}

#[cfg(test)]
mod tests {
    use coffre_types::{PermissionSet, SessionId, Timestamp, TokenKind};

    use super::*;

    fn caller(id: i64) -> Caller {
        Caller {
            user_id: UserId::from_trusted(id),
            username: Arc::from("x"),
            session_id: SessionId::new(uuid::Uuid::nil()),
            roles: Arc::from([]),
            permissions: PermissionSet::EMPTY,
            administrator: false,
            password_time: Timestamp::default(),
            password_change_required: false,
            kind: TokenKind::Session,
            client_id: None,
        }
    }

    #[test]
    fn streams_are_bounded_for_each_user_and_in_all() {
        let streams = Streams::new(StreamLimits { in_all: 3, per_user: 2, ..StreamLimits::default() });
        let refused = |id: i64| streams.take(&caller(id)).err().map(|refusal| refusal.message().to_owned());
        let mine = [streams.take(&caller(1)).unwrap(), streams.take(&caller(1)).unwrap()];
        assert!(refused(1).is_some_and(|message| message.contains("you have 2")));
        let theirs = streams.take(&caller(2)).unwrap();
        assert!(refused(3).is_some_and(|message| message.contains("as there may be")));
        drop(mine);
        assert_eq!((refused(3), refused(1)), (None, None), "what has ended gives its place back");
        drop(theirs);
        assert!(streams.0.open().of.is_empty(), "nothing is kept of what has ended");
    }

    #[test]
    fn ordinary_callers_leave_places_for_those_with_the_permission() {
        let kept = Some(KeptPlaces { places: 2, permission: Permission::ViewAllAudit });
        let streams = Streams::new(StreamLimits { in_all: 5, per_user: 2, kept, ..StreamLimits::default() });
        let ordinary = |id: i64| streams.take(&caller(id));
        let auditor = |id: i64| {
            let permissions = [Permission::ViewAllAudit].into_iter().collect();
            streams.take(&Caller { permissions, ..caller(id) })
        };
        let mut theirs = [1, 1, 2].map(|id| ordinary(id).ok().unwrap()).into_iter();
        assert!(ordinary(2).is_err() && ordinary(3).is_err(), "the rest is kept");
        let ours = [7, 7].map(|id| auditor(id).ok().unwrap());
        assert!(auditor(8).is_err(), "there are no more than there are");
        drop(theirs.next());
        let more = auditor(8).ok().unwrap();
        assert!(ordinary(3).is_err(), "what is open counts for everybody");
        drop((ours, more));
        assert!(ordinary(3).is_ok(), "those with the permission take no ordinary place for good");
        drop(theirs);
        let open = streams.0.open();
        assert_eq!((open.in_all, open.ordinary, open.of.len()), (0, 0, 0));
    }
}
