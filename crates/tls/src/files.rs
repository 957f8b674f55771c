//! The files, and what was read from them at one moment.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use coffre_secret::SecretBytes;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::{Error, TrustDomain};

/// A file larger than this is none of ours.
const LARGEST: u64 = 1024 * 1024;
const ROOT: u32 = 0;

/// The files of a public port.
#[derive(Clone, Debug)]
pub struct Files {
    /// The certificate and those that lead to its authority, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
}

/// The files of a service.
#[derive(Clone, Debug)]
pub struct InternalFiles {
    /// The certificate and those that lead to its authority, in PEM.
    pub cert: PathBuf,
    /// Its key, in PEM.
    pub key: PathBuf,
    /// The authorities whose certificates are taken, in PEM: while they are exchanged, the old and the new one.
    pub ca: PathBuf,
    /// The name under which services know each other.
    pub trust_domain: TrustDomain,
}

/// Tells one content of the files from another.
pub(crate) type Mark = [u8; digest::SHA256_OUTPUT_LEN];

/// What was read.
pub(crate) struct Read {
    pub(crate) mark: Mark,
    pub(crate) certificates: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) authorities: Vec<CertificateDer<'static>>,
}

impl Read {
    pub(crate) fn pair(cert: &Path, key: &Path) -> Result<Self, Error> {
        Self::all(cert, key, None)
    }

    pub(crate) fn with_authorities(files: &InternalFiles) -> Result<Self, Error> {
        Self::all(&files.cert, &files.key, Some(&files.ca))
    }

    fn all(cert: &Path, key: &Path, ca: Option<&Path>) -> Result<Self, Error> {
        let (chain, secret) = (open(cert)?, open_key(key)?);
        let authorities = ca.map(open).transpose()?;
        let mut context = digest::Context::new(&digest::SHA256);
        for part in [Some(chain.as_slice()), Some(secret.expose()), authorities.as_deref()].into_iter().flatten() {
            context.update(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            context.update(part);
        }
        let mut mark = Mark::default();
        mark.copy_from_slice(context.finish().as_ref());
        let read = Self {
            mark,
            certificates: certificates(&chain, cert)?,
            key: PrivateKeyDer::from_pem_slice(secret.expose()).map_err(|_| Error::NoKey { path: key.to_owned() })?,
            authorities: match (authorities, ca) {
                (Some(pem), Some(path)) => certificates(&pem, path)?,
                _ => Vec::new(),
            },
        };
        Ok(read)
    }
}

fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| Error::NoCertificate { path: path.to_owned() })
}

fn open(path: &Path) -> Result<Vec<u8>, Error> {
    let unreadable = |why| Error::Unreadable { path: path.to_owned(), why };
    let mut content = Vec::new();
    let file = fs::File::open(path).map_err(unreadable)?;
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(unreadable)?;
    if content.len() as u64 > LARGEST {
        return Err(Error::Unusable { path: path.to_owned(), why: format!("it is larger than {LARGEST} bytes") });
    }
    Ok(content)
}

fn open_key(path: &Path) -> Result<SecretBytes, Error> {
    let metadata = fs::metadata(path).map_err(|why| Error::Unreadable { path: path.to_owned(), why })?;
    if !is_private(metadata.mode(), metadata.uid(), rustix::process::geteuid().as_raw()) {
        return Err(Error::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o777 });
    }
    open(path).map(SecretBytes::new)
}

/// Says whether a file is for its owner's eyes alone, by its mode, its owner, and who we are. A file that root put there for a group of
/// ours is private, too: so does Kubernetes mount secrets.
#[must_use]
pub fn is_private(mode: u32, owner: u32, me: u32) -> bool {
    let forbidden = if owner == ROOT && me != ROOT { 0o037 } else { 0o077 };
    mode & forbidden == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_private_where_nobody_else_reads_it() {
        for (mode, owner, me, private) in [
            (0o100_600, 1000, 1000, true),
            (0o100_400, 1000, 1000, true),
            (0o100_640, 1000, 1000, false),
            (0o100_604, 1000, 1000, false),
            (0o100_440, ROOT, 1000, true),
            (0o100_640, ROOT, 1000, true),
            (0o100_660, ROOT, 1000, false),
            (0o100_444, ROOT, 1000, false),
            (0o100_440, ROOT, ROOT, false),
        ] {
            assert_eq!(is_private(mode, owner, me), private, "{mode:o} of {owner} for {me}");
        }
    }
}
