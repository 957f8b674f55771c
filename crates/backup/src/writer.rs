//! Writing a backup.

use std::io::Write;

use coffre_crypto::{Key256, aead};
use coffre_secret::SecretBytes;

use crate::head::associated;
use crate::{Error, Head, MAX_RECORD, Record};

/// Writes records, each sealed.
pub struct Writer<W> {
    out: W,
    key: Key256,
    bind: Box<dyn Fn(u64, bool) -> Vec<u8>>,
    written: u64,
    rows: u64,
}

impl<W: Write> Writer<W> {
    /// Begins with the head, to which the file's sealed key was added.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn begin(mut out: W, head: &Head, key: Key256) -> Result<Self, Error> {
        let lines = head.lines()?;
        out.write_all(&lines)?;
        Ok(Self { out, key, bind: Box::new(associated(&lines)), written: 0, rows: 0 })
    }

    /// Writes a record.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLong`].
    pub fn put(&mut self, record: &Record) -> Result<(), Error> {
        if let Record::Rows(rows) = record {
            self.rows = self.rows.saturating_add(u64::try_from(rows.len()).unwrap_or(u64::MAX));
        }
        self.seal(record, false)
    }

    /// Returns how many rows were written.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Writes the end, and returns where it was written to.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn end(mut self) -> Result<W, Error> {
        self.seal(&Record::End { rows: self.rows }, true)?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn seal(&mut self, record: &Record, last: bool) -> Result<(), Error> {
        let plaintext = SecretBytes::new(record.to_bytes());
        let sealed = aead::seal(&self.key, &(self.bind)(self.written, last), plaintext.expose())?;
        let length = u32::try_from(sealed.len()).ok().filter(|_| sealed.len() <= MAX_RECORD).ok_or(Error::TooLong)?;
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.written += 1;
        Ok(())
    }
}
