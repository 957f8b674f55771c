//! Reading a backup.

use std::io::Read;

use coffre_crypto::{CryptoError, Key256, aead};
use coffre_db::copy::Column;

use crate::head::associated;
use crate::outside::{number, signature};
use crate::{Error, Head, MAX_RECORD, Record};

/// Reads records, and refuses what is not as it was written. What it returned before it refuses was.
pub struct Reader<R> {
    from: R,
    bind: Box<dyn Fn(u64, bool) -> Vec<u8>>,
    key: Option<Key256>,
    read: u64,
    rows: u64,
    columns: Vec<Column>,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the head. Records come when the key was given.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Newer`], [`Error::Truncated`], [`Error::Changed`], [`Error::Io`].
    pub fn begin(mut from: R) -> Result<(Head, Self), Error> {
        let (head, lines) = Head::read(&mut from)?;
        let bind = Box::new(associated(&lines));
        Ok((head, Self { from, bind, key: None, read: 0, rows: 0, columns: Vec::new(), ended: false }))
    }

    /// Takes the key of the file.
    #[must_use]
    pub fn with_key(mut self, key: Key256) -> Self {
        self.key = Some(key);
        self
    }

    /// Returns the next record; `None` after the end.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Changed`], [`Error::Io`].
    pub fn next_record(&mut self) -> Result<Option<Record>, Error> {
        if self.ended {
            return Ok(None);
        }
        let length = number(&mut self.from)?;
        if length > MAX_RECORD {
            return Err(Error::Changed("a record is longer than any"));
        }
        // Grown as it comes: a wrong length takes no memory.
        let mut sealed = Vec::new();
        let read = self.from.by_ref().take(u64::try_from(length).unwrap_or(u64::MAX)).read_to_end(&mut sealed)?;
        if read < length {
            return Err(Error::Truncated("its last record is not whole"));
        }
        let key = self.key.as_ref().ok_or(Error::Crypto(CryptoError::WrongKey))?;
        let open = |last| aead::open(key, &(self.bind)(self.read, last), &sealed);
        let (plaintext, last) = match open(false) {
            Ok(plaintext) => (plaintext, false),
            Err(CryptoError::Unauthentic) => match open(true) {
                Ok(plaintext) => (plaintext, true),
                Err(CryptoError::Unauthentic) => return Err(Error::Changed("a record does not open")),
                Err(error) => return Err(error.into()),
            },
            Err(CryptoError::Malformed) => return Err(Error::Changed("a record does not open")),
            Err(error) => return Err(error.into()),
        };
        self.read += 1;
        let record = Record::from_bytes(plaintext.expose(), &self.columns)?;
        match &record {
            Record::Table { columns, .. } => self.columns.clone_from(columns),
            Record::Rows(rows) => self.rows = self.rows.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX)),
            Record::End { rows } if *rows == self.rows && last => self.end()?,
            Record::End { .. } => return Err(Error::Changed("rows are missing")),
            Record::KeyFile { .. } | Record::Service { .. } | Record::Counter { .. } => {}
        }
        if last != self.ended {
            return Err(Error::Changed("it ends where it should not"));
        }
        Ok(Some(record))
    }

    fn end(&mut self) -> Result<(), Error> {
        self.ended = true;
        if number(&mut self.from)? != 0 {
            return Err(Error::Changed("something follows its end"));
        }
        signature(&mut self.from).map(|_| ())
    }
}
