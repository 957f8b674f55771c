//! What was read, put into the form in which connections use it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffre_types::Timestamp;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use rustls::{CertificateError, Error as TlsError, InconsistentKeys, RootCertStore};

use crate::Error;

/// The end of the year 9999: later than any certificate's end, but for those that say to have none.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_800);

/// The cryptography of our connections: keys are agreed in a way that a recording is of no use to later machines, where the other side
/// can do that.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let kx_groups = vec![
        aws_lc_rs::kx_group::X25519MLKEM768,
        aws_lc_rs::kx_group::X25519,
        aws_lc_rs::kx_group::SECP256R1,
        aws_lc_rs::kx_group::SECP384R1,
    ];
    Arc::new(CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() })
}

/// A certificate with its key, of which the time has come and is not over.
pub(crate) fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    (cert_path, key_path): (&Path, &Path),
    provider: &CryptoProvider,
    now: UnixTime,
) -> Result<Arc<CertifiedKey>, Error> {
    let first = chain.first().ok_or_else(|| Error::NoCertificate { path: cert_path.to_owned() })?;
    valid_now(first, cert_path, now)?;
    let pair = CertifiedKey::from_der(chain, key, provider).map_err(|fault| match fault {
        TlsError::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Error::Mismatch { cert: cert_path.to_owned(), key: key_path.to_owned() }
        }
        TlsError::InvalidCertificate(_) => unusable(cert_path, "its first certificate cannot be read"),
        _ => unusable(key_path, "its key is of a kind that is not known: take ECDSA P-256, Ed25519 or RSA, as PKCS#8"),
    })?;
    Ok(Arc::new(pair))
}

/// The authorities of a file.
pub(crate) fn roots(authorities: Vec<CertificateDer<'static>>, path: &Path) -> Result<Arc<RootCertStore>, Error> {
    let mut roots = RootCertStore::empty();
    for authority in authorities {
        roots.add(authority).map_err(|_| unusable(path, "one of its certificates cannot be read"))?;
    }
    Ok(Arc::new(roots))
}

fn unusable(path: &Path, why: &str) -> Error {
    Error::Unusable { path: path.to_owned(), why: why.to_owned() }
}

fn valid_now(certificate: &CertificateDer<'_>, path: &Path, now: UnixTime) -> Result<(), Error> {
    match at(certificate, now) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => {
            Err(Error::Expired { path: path.to_owned(), at: timestamp(not_after) })
        }
        Some(CertificateError::NotValidYetContext { not_before, .. }) => {
            Err(Error::NotYetValid { path: path.to_owned(), at: timestamp(not_before) })
        }
        // Who vouches for it, its readers know.
        _ => Ok(()),
    }
}

/// Returns when the first of some certificates ends; where none says so, the end of time.
pub(crate) fn expires<'c>(certificates: impl IntoIterator<Item = &'c CertificateDer<'static>>) -> Timestamp {
    let end = UnixTime::since_unix_epoch(END_OF_TIME);
    let ends = certificates.into_iter().filter_map(|certificate| match at(certificate, end) {
        Some(CertificateError::ExpiredContext { not_after, .. }) => Some(timestamp(not_after)),
        _ => None,
    });
    ends.min().unwrap_or_else(|| timestamp(end))
}

/// Says what the check of a certificate finds at a moment; without authorities it always finds something, and the time is looked at first.
fn at(certificate: &CertificateDer<'_>, moment: UnixTime) -> Option<CertificateError> {
    let parsed = ParsedCertificate::try_from(certificate).ok()?;
    let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms.all;
    match verify_server_cert_signed_by_trust_anchor(&parsed, &RootCertStore::empty(), &[], moment, algorithms) {
        Err(TlsError::InvalidCertificate(found)) => Some(found),
        _ => None,
    }
}

fn timestamp(time: UnixTime) -> Timestamp {
    Timestamp::from_seconds(i64::try_from(time.as_secs()).unwrap_or(i64::MAX))
}
