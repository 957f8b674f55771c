//! Entries that are committed with a change, and the hook that writes them.

use bytes::Bytes;
use coffre_trace::Current;

use crate::{Connection, Error};

/// One entry: bytes that mean something to the [`Journal`] alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JournalEntry(Bytes);

impl JournalEntry {
    /// Takes the bytes.
    #[must_use]
    pub fn new(bytes: impl Into<Bytes>) -> Self {
        Self(bytes.into())
    }

    /// Returns the bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.0
    }

    /// Returns the bytes.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

/// Writes entries in the transaction that they belong to. There is one for each thread that commits, and it stays on its thread.
///
/// [`Journal::write`] is called once a commit, with every entry of every call that shares it, in order, and never with none. Exactly one
/// of the other three follows each call.
pub trait Journal: Send {
    /// Writes the entries; the COMMIT follows.
    ///
    /// # Errors
    /// What the database says; nothing is committed then.
    fn write(&mut self, conn: &mut Connection, entries: &[JournalEntry]) -> Result<(), Error>;

    /// The commit stands.
    fn committed(&mut self);

    /// Nothing of it stands.
    fn rolled_back(&mut self);

    /// The connection broke during COMMIT: it may stand or not. The journal looks before it writes again.
    fn in_doubt(&mut self);
}

/// Refuses entries: for databases without a journal.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    fn write(&mut self, _: &mut Connection, _: &[JournalEntry]) -> Result<(), Error> {
        Err(Error::Bug("entries for a database that was opened without a journal".to_owned()))
    }

    fn committed(&mut self) {}

    fn rolled_back(&mut self) {}

    fn in_doubt(&mut self) {}
}

pub(crate) type AfterCommit = Box<dyn FnOnce() + Send>;

/// What the calls of one commit collect besides their rows.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) entries: Vec<JournalEntry>,
    pub(crate) after_commit: Vec<AfterCommit>,
    /// The spans of the calls that are traced: the commit is part of each.
    pub(crate) traces: Vec<Current>,
}

impl Collected {
    pub(crate) fn mark(&self) -> (usize, usize) {
        (self.entries.len(), self.after_commit.len())
    }

    pub(crate) fn back_to(&mut self, mark: (usize, usize)) {
        self.entries.truncate(mark.0);
        self.after_commit.truncate(mark.1);
    }

    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.after_commit.clear();
        self.traces.clear();
    }
}

/// A transaction, as the closure given to [`crate::Database::write`] sees it.
pub struct Tx<'a> {
    pub(crate) conn: &'a mut Connection,
    pub(crate) collected: &'a mut Collected,
}

impl Tx<'_> {
    /// Returns the connection, within the transaction.
    pub fn conn(&mut self) -> &mut Connection {
        self.conn
    }

    /// Adds an entry that is committed with the change, or not at all.
    pub fn journal(&mut self, entry: JournalEntry) {
        self.collected.entries.push(entry);
    }

    /// Calls a closure once the change is committed, before its caller hears of it. It must be quick and must not panic.
    pub fn after_commit(&mut self, then: impl FnOnce() + Send + 'static) {
        self.collected.after_commit.push(Box::new(then));
    }
}
