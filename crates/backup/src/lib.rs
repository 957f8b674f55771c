//! The file of a backup: the same for both engines, written and read as a stream. `docs/backup.md` tells its bytes.
//!
//! ```text
//! coffre-backup 1\n
//! {"id":…,"madeOn":…,"slots":[…],"key":…}\n       Head: what everybody may know, and by which keys the rest opens
//! length (4, big-endian) ‖ sealed Record          …as often as there is something
//! length ‖ sealed Record::End                     the last one says so, within its seal
//! 0 (4) ‖ length (4) ‖ signature                  of everything before it, whoever made it
//! ```
//!
//! Each record is sealed under a key of this file, bound to the head, to its number and to whether it is the last: one that is changed, moved,
//! left out or added does not open, and a file that was cut off has no end. The file's key is sealed for whoever opens a slot.
//!
//! That says nothing of who made the file: everybody can seal a key for them who reads for whom to. [`Outside`] reads the signature and what it
//! is of, without any key; what it means is for others to say.

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing))]

mod bytes;
mod head;
mod outside;
mod reader;
mod record;
mod writer;

pub use head::{Head, StoredSlot};
pub use outside::Outside;
pub use reader::Reader;
pub use record::Record;
pub use writer::{Unsigned, Writer};

/// What the first line of every backup begins with.
pub(crate) const NAME: &str = "coffre-backup ";
/// The version of the format.
pub(crate) const VERSION: u32 = 1;
/// The longest head, in bytes.
pub(crate) const MAX_HEAD: usize = 1024 * 1024;
/// The longest sealed record, in bytes.
pub(crate) const MAX_RECORD: usize = 256 * 1024 * 1024;

/// The longest signature, in bytes.
pub(crate) const MAX_SIGNATURE: usize = 4096;

/// Why a file cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is something else.
    #[error("this is no backup of Coffre: it does not begin as one")]
    Foreign,
    /// A newer program made it.
    #[error(
        "this backup has the format {0}, and this program knows {VERSION} and older: use the program that made it, or a newer one"
    )]
    Newer(u32),
    /// It ends too early.
    #[error("this backup is cut off: {0}; it was not copied or written to its end")]
    Truncated(&'static str),
    /// It is not what was written.
    #[error("this backup was changed since it was made: {0}")]
    Changed(&'static str),
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// A row that does not fit.
    #[error("a record is longer than {MAX_RECORD} bytes")]
    TooLong,
    /// The system gives no random bytes, or no memory.
    #[error(transparent)]
    Crypto(#[from] coffre_crypto::CryptoError),
}

#[cfg(test)]
mod tests;
