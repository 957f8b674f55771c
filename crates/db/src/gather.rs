//! Reads of one kind that are answered together.
//!
//! While every reader is busy, keys gather, and the next reader that is free loads them all at once: on PostgreSQL in one round trip.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffre_trace::Current;
use tokio::sync::oneshot;

use crate::database::{Job, Ran, panic_text};
use crate::journal::Tx;
use crate::{Connection, Database, Error, Result};

/// What loads the values of keys, one for each, in their order. It may run twice.
pub type Load<K, V> = fn(&mut Connection, &[K]) -> Result<Vec<V>>;

/// Reads that are answered together. Clones share it.
pub struct Gather<K, V> {
    database: Database,
    waiting: Arc<Mutex<Waiting<K, V>>>,
    load: Load<K, V>,
}

impl<K, V> Clone for Gather<K, V> {
    fn clone(&self) -> Self {
        Self { database: self.database.clone(), waiting: Arc::clone(&self.waiting), load: self.load }
    }
}

/// Keys of one run at most: their values are in memory together.
const MOST: usize = 64;

type Reply<V> = oneshot::Sender<Result<V>>;

struct Waiting<K, V> {
    keys: Vec<K>,
    replies: Vec<Reply<V>>,
    /// Runs on their way to a reader, which take up to [`MOST`] keys each: always enough for all.
    announced: usize,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<K: Send + 'static, V: Send + 'static> Gather<K, V> {
    /// Makes it.
    #[must_use]
    pub fn new(database: Database, load: Load<K, V>) -> Self {
        let waiting = Waiting { keys: Vec::new(), replies: Vec::new(), announced: 0 };
        Self { database, waiting: Arc::new(Mutex::new(waiting)), load }
    }

    /// Reads the value of a key, together with whatever else waits.
    ///
    /// # Errors
    /// What loading returns, for every key that was loaded with this one; [`Error::Unavailable`] without a database or with a full queue;
    /// [`Error::Bug`] where loading panicked or has not a value for each key.
    pub async fn get(&self, key: K) -> Result<V> {
        let span = self.database.owner().begin("read", std::any::type_name::<Self>());
        let (reply, answer) = oneshot::channel();
        let announce = {
            let mut waiting = lock(&self.waiting);
            waiting.keys.push(key);
            waiting.replies.push(reply);
            let announce = waiting.keys.len() > waiting.announced * MOST;
            waiting.announced += usize::from(announce);
            announce
        };
        if announce {
            // Dropped on its way, it lets go of those who wait for it.
            let run = Run {
                waiting: Arc::clone(&self.waiting),
                load: self.load,
                began: false,
                of: Vec::new(),
                outcome: None,
                replies: Vec::new(),
                trace: span.current(),
            };
            self.database.submit(Box::new(run)).await?;
        }
        answer.await.unwrap_or(Err(Error::Unavailable))
    }
}

/// One run for keys that wait when it begins.
struct Run<K, V> {
    waiting: Arc<Mutex<Waiting<K, V>>>,
    load: Load<K, V>,
    began: bool,
    of: Vec<K>,
    replies: Vec<Reply<V>>,
    outcome: Option<Result<Vec<V>>>,
    /// The span of whoever asked for the run: what it does for the others is told there, too.
    trace: Option<Current>,
}

impl<K, V> Run<K, V> {
    fn begin(&mut self) {
        if !std::mem::replace(&mut self.began, true) {
            let mut waiting = lock(&self.waiting);
            waiting.announced = waiting.announced.saturating_sub(1);
            let count = waiting.keys.len().min(MOST);
            self.of = waiting.keys.drain(..count).collect();
            self.replies = waiting.replies.drain(..count).collect();
        }
    }
}

impl<K: Send, V: Send> Job for Run<K, V> {
    fn is_wanted(&self) -> bool {
        true
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        self.begin();
        let (load, keys) = (self.load, &self.of);
        let run = |tx: &mut Tx<'_>| catch_unwind(AssertUnwindSafe(|| load(tx.conn(), keys)));
        let ended = match &self.trace {
            Some(trace) => trace.enter(|| run(tx)),
            None => run(tx),
        };
        let (outcome, ran) = match ended {
            Ok(Ok(values)) if values.len() == keys.len() => (Ok(values), Ran::Done),
            Ok(Ok(_)) => (Err(Error::Bug("a gathered read has not a value for each key".to_owned())), Ran::Failed),
            Ok(Err(error)) => (Err(error), Ran::Failed),
            Err(panic) => (Err(Error::Bug(panic_text(panic.as_ref()))), Ran::Panicked),
        };
        self.outcome = Some(outcome);
        ran
    }

    fn answer(mut self: Box<Self>) {
        let replies = std::mem::take(&mut self.replies);
        // Whoever asked may have gone.
        match self.outcome.take() {
            Some(Ok(values)) => replies.into_iter().zip(values).for_each(|(reply, value)| drop(reply.send(Ok(value)))),
            Some(Err(error)) => replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone())))),
            None => {}
        }
    }

    fn refuse(mut self: Box<Self>, error: Error) {
        self.begin();
        std::mem::take(&mut self.replies).into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
    }
}

impl<K, V> Drop for Run<K, V> {
    fn drop(&mut self) {
        // Whoever still waits for a run that never began is told by its reply that goes.
        self.begin();
    }
}
