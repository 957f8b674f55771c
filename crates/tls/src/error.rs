//! Why certificates cannot be used: which file, what is wrong with it, what to do.

use std::io;
use std::path::PathBuf;

use coffre_types::Timestamp;

use crate::IdentityError;

/// Why certificates cannot be used. Each says all of it: none has a source, which whoever prints one would say again.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is not there, or closed to us.
    #[error("{} cannot be read: {why}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: io::Error,
    },
    /// A key lies open.
    #[error("the key file {} can be read by others (mode {mode:o}): chmod 600 it", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// A file without a certificate.
    #[error("{} holds no certificate in PEM (-----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file without a key.
    #[error("{} holds no private key in PEM (-----BEGIN PRIVATE KEY-----)", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// The halves of two pairs.
    #[error("the key {} does not belong to the certificate {}: put the two files of one pair there", key.display(), cert.display())]
    Mismatch {
        /// The certificate.
        cert: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// Its time is over.
    #[error("the certificate {} expired at {}: put a new one there", path.display(), at.to_rfc3339_millis())]
    Expired {
        /// The file.
        path: PathBuf,
        /// When.
        at: Timestamp,
    },
    /// Its time has not begun.
    #[error(
        "the certificate {} is valid from {} on: wait until then, or look at the clock of this machine",
        path.display(), at.to_rfc3339_millis()
    )]
    NotYetValid {
        /// The file.
        path: PathBuf,
        /// From when on.
        at: Timestamp,
    },
    /// Not of the authority that everybody trusts.
    #[error("the certificate {} is not what the authorities in {} vouch for, as server and as client: {why}", cert.display(), ca.display())]
    NotVouchedFor {
        /// The certificate.
        cert: PathBuf,
        /// The authorities.
        ca: PathBuf,
        /// What the check says.
        why: String,
    },
    /// Says to be somebody else, or nobody.
    #[error("the certificate {}: {why}", path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: IdentityError,
    },
    /// Something else is wrong with a file.
    #[error("{} cannot be used: {why}", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// What.
        why: String,
    },
    /// A trust domain that is none.
    #[error(
        "{0:?} is no trust domain: it is 1 to 255 lower-case letters, digits, dots, hyphens and underscores, such as coffre.internal"
    )]
    TrustDomain(String),
}
