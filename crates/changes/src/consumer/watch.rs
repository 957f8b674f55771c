//! Follows a provider's stream, for as long as somebody wants it followed.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{Stream, StreamExt as _};
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tonic::Status;

use super::known::{Disorder, Known, Subject};

/// A stream that says nothing for this long is given up; heartbeats come every 250 ms.
const SILENCE: Duration = Duration::from_secs(1);
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(250);

/// What follows a stream.
pub trait Watch: Send + Sync + 'static {
    /// What changes are about.
    type Subject: Subject;
    /// A message of the stream.
    type Message: Send;
    /// The stream, as the generated client returns it.
    type Stream: Stream<Item = Result<Self::Message, Status>> + Send + Unpin;

    /// The service that tells, for the log.
    const PROVIDER: &'static str;

    /// Returns what is known.
    fn known(&self) -> &Known<Self::Subject>;

    /// Opens a stream.
    fn open(&self) -> impl Future<Output = Result<Self::Stream, Status>> + Send;

    /// Takes one message: a snapshot to [`Known::begin`], a change to [`Known::apply`], a heartbeat to [`Known::hear`].
    ///
    /// # Errors
    /// [`Disorder`] for whatever it does not know: the stream begins anew.
    fn take(&self, message: Self::Message) -> Result<(), Disorder>;
}

/// Why a stream was given up.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error("the stream was ended")]
    Ended,
    #[error("nothing was said for {} ms", SILENCE.as_millis())]
    Silent,
    #[error("the answer was {0}")]
    Refused(tonic::Code),
    #[error(transparent)]
    Disorder(#[from] Disorder),
}

impl From<Status> for Broken {
    fn from(status: Status) -> Self {
        Self::Refused(status.code())
    }
}

/// A stream that is followed; it is given up when this is dropped.
#[must_use = "the stream is followed for as long as this lives"]
#[derive(Debug)]
pub struct Watching(AbortHandle);

impl Drop for Watching {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Begins to follow the stream, connecting again whenever it breaks. Must be called within a Tokio runtime.
pub fn start<W: Watch>(watch: Arc<W>) -> Watching {
    Watching(tokio::spawn(follow(watch)).abort_handle())
}

async fn follow<W: Watch>(watch: Arc<W>) {
    let mut pause = FIRST_PAUSE;
    let mut complained = false;
    loop {
        let mut begun = false;
        let broken = match follow_one(&*watch, &mut begun).await {
            Ok(never) => match never {},
            Err(broken) => broken,
        };
        if begun {
            pause = FIRST_PAUSE;
            complained = false;
        }
        if !complained && watch.known().is_ready() {
            tracing::warn!(provider = W::PROVIDER, reason = %broken, "the change stream broke; connecting again");
            complained = true;
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

async fn follow_one<W: Watch>(watch: &W, begun: &mut bool) -> Result<Infallible, Broken> {
    watch.known().opened();
    let mut stream = timeout(SILENCE, watch.open()).await.map_err(|_| Broken::Silent)??;
    loop {
        let message = timeout(SILENCE, stream.next()).await.map_err(|_| Broken::Silent)?.ok_or(Broken::Ended)??;
        watch.take(message)?;
        // The first message that was taken is the snapshot: nothing else is taken before it.
        *begun = true;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use coffre_types::{FixedClock, Timestamp};
    use futures_util::stream::BoxStream;

    use super::*;
    use crate::consumer::{Reach, STALE_AFTER};

    #[derive(Clone)]
    struct User(i64);

    impl Subject for User {
        type Key = i64;
        type Kept = &'static str;

        fn reach(&self) -> Reach<i64> {
            Reach::One(self.0)
        }
    }

    enum Message {
        Snapshot(i64),
        Change(i64, i64),
        Heartbeat(i64),
        Unknown,
    }

    /// Plays one script after the other; the last one stays open.
    struct Scripted {
        known: Known<User>,
        scripts: Mutex<Vec<Vec<Message>>>,
    }

    impl Watch for Scripted {
        type Subject = User;
        type Message = Message;
        type Stream = BoxStream<'static, Result<Message, Status>>;

        const PROVIDER: &'static str = "script";

        fn known(&self) -> &Known<User> {
            &self.known
        }

        async fn open(&self) -> Result<Self::Stream, Status> {
            let mut scripts = self.scripts.lock().unwrap();
            if scripts.is_empty() {
                return Err(Status::unavailable("gone"));
            }
            let last = scripts.len() == 1;
            let said = futures_util::stream::iter(scripts.remove(0).into_iter().map(Ok));
            Ok(if last { said.chain(futures_util::stream::pending()).boxed() } else { said.boxed() })
        }

        fn take(&self, message: Message) -> Result<(), Disorder> {
            match message {
                Message::Snapshot(sequence) => {
                    self.known.begin(sequence);
                    Ok(())
                }
                Message::Change(sequence, user) => self.known.apply(sequence, User(user)),
                Message::Heartbeat(sequence) => self.known.hear(sequence, 0),
                Message::Unknown => Err(Disorder),
            }
        }
    }

    async fn play(scripts: Vec<Vec<Message>>) -> (Arc<Scripted>, Watching) {
        let clock = Arc::new(FixedClock::new(Timestamp::from_seconds(1)));
        let scripted = Arc::new(Scripted { known: Known::new(10, clock, STALE_AFTER), scripts: Mutex::new(scripts) });
        let watching = start(scripted.clone());
        (scripted, watching)
    }

    async fn until(holds: impl Fn() -> bool) {
        for _ in 0..10_000 {
            if holds() {
                return;
            }
            sleep(Duration::from_millis(1)).await;
        }
        panic!("it never came");
    }

    #[tokio::test]
    async fn a_stream_is_followed_and_begun_anew_after_each_kind_of_break() {
        use Message::{Change, Heartbeat, Snapshot, Unknown};
        let (scripted, _watching) = play(vec![
            // It ends; there is a gap; a heartbeat names another number; something unknown; no snapshot first.
            vec![Snapshot(1), Heartbeat(1), Change(2, 7)],
            vec![Snapshot(2), Change(4, 7)],
            vec![Snapshot(2), Heartbeat(3)],
            vec![Snapshot(2), Unknown],
            vec![Change(3, 7)],
            vec![Heartbeat(2)],
            vec![Snapshot(40), Change(41, 7), Heartbeat(41)],
        ])
        .await;
        scripted.known.ready().await;
        until(|| scripted.known.last() == 41 && scripted.known.is_fresh()).await;
        assert!(scripted.scripts.lock().unwrap().is_empty());
    }

    #[tokio::test]
    async fn whoever_stops_watching_keeps_nothing_alive() {
        let (scripted, watching) = play(vec![vec![Message::Snapshot(1)]]).await;
        scripted.known.ready().await;
        drop(watching);
        until(|| Arc::strong_count(&scripted) == 1).await;
    }
}
