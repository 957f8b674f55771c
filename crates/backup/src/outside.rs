//! What is seen of a backup without any key: its head, its signature, and what that is of.

use std::io::{self, ErrorKind, Read};

use aws_lc_rs::digest::{Context, SHA256};

use crate::{Error, Head, MAX_RECORD, MAX_SIGNATURE};

/// A file that was read to its end without any key.
#[derive(Debug)]
pub struct Outside {
    /// Its head.
    pub head: Head,
    /// The SHA-256 of everything before the signature.
    pub signed: [u8; 32],
    /// The signature, as it is in the file.
    pub signature: String,
    /// The SHA-256 of the whole file.
    pub whole: [u8; 32],
}

impl Outside {
    /// Reads a file. Its records are passed over, whatever is in them.
    ///
    /// # Errors
    /// [`Error::Foreign`], [`Error::Newer`], [`Error::Truncated`], [`Error::Changed`], [`Error::Io`].
    pub fn read(from: impl Read) -> Result<Self, Error> {
        let mut from = Summed { from, sum: Context::new(&SHA256) };
        let (head, _) = Head::read(&mut from)?;
        loop {
            let before = from.sum.clone();
            match number(&mut from)? {
                0 => {
                    let signature = signature(&mut from)?;
                    return Ok(Self { head, signed: sum(before), signature, whole: sum(from.sum) });
                }
                length => pass(&mut from, length)?,
            }
        }
    }
}

fn pass(from: &mut impl Read, length: usize) -> Result<(), Error> {
    if length > MAX_RECORD {
        return Err(Error::Changed("a record is longer than any"));
    }
    let length = u64::try_from(length).unwrap_or(u64::MAX);
    match io::copy(&mut from.take(length), &mut io::sink())? {
        passed if passed == length => Ok(()),
        _ => Err(Error::Truncated("its last record is not whole")),
    }
}

/// Reads what follows the last record and its mark, to the end of the file.
pub(crate) fn signature(from: &mut impl Read) -> Result<String, Error> {
    let length = number(from)?;
    if length > MAX_SIGNATURE {
        return Err(Error::Changed("its signature is longer than any"));
    }
    let mut bytes = vec![0; length];
    fill(from, &mut bytes)?;
    let mut more = Vec::new();
    if from.take(1).read_to_end(&mut more)? > 0 {
        return Err(Error::Changed("something follows its end"));
    }
    String::from_utf8(bytes).map_err(|_| Error::Changed("its signature is no text"))
}

/// Reads a length.
pub(crate) fn number(from: &mut impl Read) -> Result<usize, Error> {
    let mut bytes = [0; 4];
    fill(from, &mut bytes)?;
    Ok(usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX))
}

fn fill(from: &mut impl Read, bytes: &mut [u8]) -> Result<(), Error> {
    from.read_exact(bytes).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => Error::Truncated("its end is missing"),
        _ => error.into(),
    })
}

/// Returns a sum as bytes.
pub(crate) fn sum(of: Context) -> [u8; 32] {
    let mut bytes = [0; 32];
    // Both are as long as SHA-256 is.
    bytes.iter_mut().zip(of.finish().as_ref()).for_each(|(to, from)| *to = *from);
    bytes
}

struct Summed<R> {
    from: R,
    sum: Context,
}

impl<R: Read> Read for Summed<R> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(to)?;
        self.sum.update(to.get(..read).unwrap_or_default());
        Ok(read)
    }
}
