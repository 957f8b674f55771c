//! Writing a backup.

use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};
use coffre_crypto::{Key256, aead};
use coffre_secret::SecretBytes;

use crate::head::associated;
use crate::outside::sum;
use crate::{Error, Head, MAX_RECORD, MAX_SIGNATURE, Record};

/// Writes records, each sealed.
pub struct Writer<W> {
    out: W,
    sum: Context,
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
        let mut sum = Context::new(&SHA256);
        sum.update(&lines);
        Ok(Self { out, sum, key, bind: Box::new(associated(&lines)), written: 0, rows: 0 })
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

    /// Writes the last record.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn end(mut self) -> Result<Unsigned<W>, Error> {
        self.seal(&Record::End { rows: self.rows }, true)?;
        Ok(Unsigned { out: self.out, sum: sum(self.sum) })
    }

    fn seal(&mut self, record: &Record, last: bool) -> Result<(), Error> {
        let plaintext = SecretBytes::new(record.to_bytes());
        let sealed = aead::seal(&self.key, &(self.bind)(self.written, last), plaintext.expose())?;
        let length = u32::try_from(sealed.len()).ok().filter(|_| sealed.len() <= MAX_RECORD).ok_or(Error::TooLong)?;
        self.sum.update(&length.to_be_bytes());
        self.sum.update(&sealed);
        self.out.write_all(&length.to_be_bytes())?;
        self.out.write_all(&sealed)?;
        self.written += 1;
        Ok(())
    }
}

/// A file that lacks its signature alone.
pub struct Unsigned<W> {
    out: W,
    sum: [u8; 32],
}

impl<W: Write> Unsigned<W> {
    /// Returns the SHA-256 of everything that was written.
    #[must_use]
    pub fn sum(&self) -> [u8; 32] {
        self.sum
    }

    /// Writes the signature, and returns where it was written to.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::TooLong`].
    pub fn signed(mut self, signature: &str) -> Result<W, Error> {
        let length = u32::try_from(signature.len()).ok().filter(|_| signature.len() <= MAX_SIGNATURE);
        self.out.write_all(&0_u32.to_be_bytes())?;
        self.out.write_all(&length.ok_or(Error::TooLong)?.to_be_bytes())?;
        self.out.write_all(signature.as_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }
}
