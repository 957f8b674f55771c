//! The handle that services hold.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use coffre_trace::Current;
use tokio::sync::oneshot;

use crate::journal::{Journal, JournalEntry, Tx};
use crate::lane::{Lane, lane};
use crate::open::{Role, Seat};
use crate::stats::{LaneStats, Stats};
use crate::traced::Owner;
use crate::writer::Order;
use crate::{Connection, Engine, Error, Options, reader, serial, writer};

/// A database and the threads that use it. Clones share them; the last one that goes ends them.
#[derive(Clone)]
pub struct Database(Arc<Inner>);

struct Inner {
    engine: Engine,
    owner: Owner,
    stats: Stats,
    reads: Lane<Box<dyn Job>>,
    orders: Lane<Order>,
    /// PostgreSQL appends on a connection of its own; SQLite has one writer for all.
    appends: Option<Lane<Order>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    counts: Counts,
    stopped: AtomicBool,
}

struct Counts {
    readers: usize,
    writers: usize,
}

impl Database {
    /// Starts the threads, each with its connection, and makes a journal for each that commits.
    ///
    /// A PostgreSQL server that does not answer yet is no error: calls are refused until it does.
    ///
    /// # Errors
    /// [`Error::Unavailable`] where a SQLite file cannot be opened; [`Error::Bug`] where a thread cannot be started.
    pub fn open(options: Options, journals: impl Fn() -> Box<dyn Journal>) -> Result<Self, Error> {
        let engine = options.url.engine();
        let options = Arc::new(options);
        let (read_stats, write_stats) = (Arc::<LaneStats>::default(), Arc::<LaneStats>::default());
        let (reads, read_intake) = lane(options.queue, options.admission, Arc::clone(&read_stats));
        let mut threads = Threads { options: Arc::clone(&options), handles: Vec::new(), ready: Vec::new() };
        let counts = Counts {
            readers: options.readers.max(1),
            writers: if engine == Engine::Sqlite { 1 } else { options.writers.max(1) },
        };

        // SQLite's file and its write-ahead log are made by the writer, before a reader looks.
        let (orders, appends, append_stats) = match engine {
            Engine::Sqlite => {
                let (orders, intake) = lane(options.append_queue, options.admission, Arc::clone(&write_stats));
                let journal = journals();
                let batch = options.batch;
                threads.start(Role::Writer, &write_stats, move |seat| writer::run(seat, intake, journal, batch))?;
                threads.wait(engine)?;
                (orders, None, Arc::clone(&write_stats))
            }
            Engine::Postgres => {
                let (orders, intake) = lane(options.queue, options.admission, Arc::clone(&write_stats));
                let turns = Arc::<serial::Turns>::default();
                for _ in 0..counts.writers {
                    let (intake, journal, turns) = (intake.clone(), journals(), Arc::clone(&turns));
                    let racing = options.racing;
                    let run = move |seat| serial::run(seat, intake, journal, &turns, racing);
                    threads.start(Role::Writer, &write_stats, run)?;
                }
                let append_stats = Arc::<LaneStats>::default();
                let (appends, intake) = lane(options.append_queue, options.admission, Arc::clone(&append_stats));
                let (journal, batch) = (journals(), options.batch);
                threads.start(Role::Appender, &append_stats, move |seat| writer::run(seat, intake, journal, batch))?;
                (orders, Some(appends), append_stats)
            }
        };
        for _ in 0..counts.readers {
            let intake = read_intake.clone();
            threads.start(Role::Reader, &read_stats, move |seat| reader::run(seat, intake))?;
        }
        threads.wait(engine)?;
        Ok(Self(Arc::new(Inner {
            engine,
            owner: Owner { engine, service: options.service },
            stats: Stats { read: read_stats, write: write_stats, append: append_stats },
            reads,
            orders,
            appends,
            threads: Mutex::new(threads.handles),
            counts,
            stopped: AtomicBool::new(false),
        })))
    }

    /// Returns the engine.
    #[must_use]
    pub fn engine(&self) -> Engine {
        self.0.engine
    }

    /// Returns how many reads run at once.
    #[must_use]
    pub fn readers(&self) -> usize {
        self.0.counts.readers
    }

    /// Returns the numbers that tell how busy it is.
    #[must_use]
    pub fn stats(&self) -> &Stats {
        &self.0.stats
    }

    /// Says whether a connection of each kind stands.
    #[must_use]
    pub fn is_up(&self) -> bool {
        let stats = &self.0.stats;
        [&stats.read, &stats.write, &stats.append].iter().all(|lane| lane.connected() > 0)
    }

    /// Says whether the disk was full a moment ago, when something was to be written.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.stats.write.is_full() || self.0.stats.append.is_full()
    }

    /// Reads. The closure runs on a reader thread; it runs a second time where the connection broke.
    ///
    /// It is no transaction: two queries may see different states. [`crate::dialect::snapshot`] makes them see one.
    ///
    /// # Errors
    /// What the closure returns; [`Error::Unavailable`] without a database or with a full queue; [`Error::Bug`] where the closure panicked.
    pub async fn read<T, E>(&self, f: impl Fn(&mut Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let span = self.0.owner.begin("read", std::any::type_name_of_val(&f));
        let (call, answer) = Call::new(move |tx: &mut Tx<'_>| f(tx.conn()), span.current());
        self.0.reads.send(Box::new(call)).await?;
        answer.await.unwrap_or_else(|_| Err(Error::Unavailable.into()))
    }

    pub(crate) fn owner(&self) -> Owner {
        self.0.owner
    }

    pub(crate) async fn submit(&self, read: Box<dyn Job>) -> Result<(), Error> {
        self.0.reads.send(read).await
    }

    /// Changes. The closure runs in a transaction, perhaps several times: it must have no effect outside. What it gives to
    /// [`Tx::journal`] is committed with its rows. Its error rolls it back.
    ///
    /// A call whose future is dropped before its turn is not run; afterwards it is run to its end.
    ///
    /// # Errors
    /// What the closure returns; [`Error::Unavailable`] without a database or with a full queue (where the connection broke in COMMIT, the
    /// change may stand); [`Error::Retryable`] where the transaction lost every race; [`Error::Full`]; [`Error::Bug`] where the closure panicked.
    pub async fn write<T, E>(&self, f: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let span = self.0.owner.begin("change", std::any::type_name_of_val(&f));
        let (call, answer) = Call::new(f, span.current());
        self.0.orders.send(Order::Change(Box::new(call))).await?;
        answer.await.unwrap_or_else(|_| Err(Error::Unavailable.into()))
    }

    /// As [`Self::write`], for rows that no change reads or writes: in a commit that is shared with appends, and on PostgreSQL not
    /// serializable, so that it takes part in no race.
    ///
    /// # Errors
    /// As for [`Self::write`].
    pub async fn write_beside<T, E>(&self, f: impl Fn(&mut Tx<'_>) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<Error> + Send + 'static,
    {
        let span = self.0.owner.begin("change", std::any::type_name_of_val(&f));
        let (call, answer) = Call::new(f, span.current());
        let lane = self.0.appends.as_ref().unwrap_or(&self.0.orders);
        lane.send(Order::Change(Box::new(call))).await?;
        answer.await.unwrap_or_else(|_| Err(Error::Unavailable.into()))
    }

    /// Commits entries, in a commit that is shared with every other append in flight. Queued appends are committed even where the future
    /// is dropped.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`], or what the journal says. Nothing is committed then, but for a connection that broke in COMMIT.
    pub async fn append(&self, entries: Vec<JournalEntry>) -> Result<(), Error> {
        if entries.is_empty() {
            return Ok(());
        }
        let span = self.0.owner.begin("append", "");
        let (reply, answer) = oneshot::channel();
        let lane = self.0.appends.as_ref().unwrap_or(&self.0.orders);
        lane.send(Order::Append(entries, Some(reply), span.current())).await?;
        answer.await.unwrap_or(Err(Error::Unavailable))
    }

    /// Says whether [`Self::stop`] was called: what it refuses from then on is no fault.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Takes no more calls, finishes those that wait, and ends the threads. Blocks until they have ended.
    pub fn stop(&self) {
        self.0.stop();
    }
}

impl Inner {
    fn stop(&self) {
        if !self.stopped.swap(true, Ordering::AcqRel) {
            self.reads.stop(self.counts.readers);
            self.orders.stop(self.counts.writers);
            if let Some(appends) = &self.appends {
                appends.stop(1);
            }
        }
        let handles = std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        for handle in handles {
            // The last handle may go within a closure, on one of the threads.
            if handle.thread().id() != std::thread::current().id() && handle.join().is_err() {
                tracing::error!("a database thread panicked");
            }
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Threads on their way up.
struct Threads {
    options: Arc<Options>,
    handles: Vec<JoinHandle<()>>,
    ready: Vec<std::sync::mpsc::Receiver<Result<(), Error>>>,
}

impl Threads {
    fn start(
        &mut self,
        role: Role,
        stats: &Arc<LaneStats>,
        run: impl FnOnce(Seat) + Send + 'static,
    ) -> Result<(), Error> {
        let mut seat = Seat::new(Arc::clone(&self.options), role, Arc::clone(stats));
        let (report, ready) = std::sync::mpsc::channel();
        let body = move || {
            // Whoever waited may have given up.
            let _ = report.send(seat.try_open());
            run(seat);
        };
        let name = format!("{}-{}", self.options.service, role.name());
        let spawned = std::thread::Builder::new().name(name).spawn(body);
        self.handles.push(spawned.map_err(|error| Error::Bug(format!("no thread for the database: {error}")))?);
        self.ready.push(ready);
        Ok(())
    }

    fn wait(&mut self, engine: Engine) -> Result<(), Error> {
        for ready in self.ready.drain(..) {
            match ready.recv().unwrap_or(Err(Error::Unavailable)) {
                Err(Error::Unavailable) if engine == Engine::Postgres => {
                    tracing::warn!(service = self.options.service, "the database does not answer yet");
                }
                opened => opened?,
            }
        }
        Ok(())
    }
}

/// How a closure ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Ran {
    Done,
    Failed,
    Panicked,
}

/// A call without its types.
pub(crate) trait Job: Send {
    /// Somebody still waits for the answer.
    fn is_wanted(&self) -> bool;
    /// Runs the closure and keeps what it returned.
    fn run(&mut self, tx: &mut Tx<'_>) -> Ran;
    /// Answers what the closure returned.
    fn answer(self: Box<Self>);
    /// Answers an error.
    fn refuse(self: Box<Self>, error: Error);
}

struct Call<F, T, E> {
    f: F,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
    /// The span that the call is part of, where it is traced.
    trace: Option<Current>,
}

impl<F, T, E> Call<F, T, E> {
    fn new(f: F, trace: Option<Current>) -> (Self, oneshot::Receiver<Result<T, E>>)
    where
        F: Fn(&mut Tx<'_>) -> Result<T, E>,
    {
        let (reply, answer) = oneshot::channel();
        (Self { f, outcome: None, reply, trace }, answer)
    }
}

impl<F, T, E> Job for Call<F, T, E>
where
    F: Fn(&mut Tx<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<Error> + Send,
{
    fn is_wanted(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Ran {
        let run = |tx: &mut Tx<'_>| catch_unwind(AssertUnwindSafe(|| (self.f)(tx)));
        let ended = match &self.trace {
            Some(trace) => {
                tx.collected.traces.push(trace.clone());
                trace.enter(|| run(tx))
            }
            None => run(tx),
        };
        let (outcome, ran) = match ended {
            Ok(Ok(value)) => (Ok(value), Ran::Done),
            Ok(Err(error)) => (Err(error), Ran::Failed),
            Err(panic) => (Err(Error::Bug(panic_text(panic.as_ref())).into()), Ran::Panicked),
        };
        self.outcome = Some(outcome);
        ran
    }

    fn answer(self: Box<Self>) {
        let outcome =
            self.outcome.unwrap_or_else(|| Err(Error::Bug("a call was answered before it ran".into()).into()));
        // The caller may have gone.
        let _ = self.reply.send(outcome);
    }

    fn refuse(self: Box<Self>, error: Error) {
        let _ = self.reply.send(Err(error.into()));
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("a closure panicked: {}", text.unwrap_or("without a text"))
}
