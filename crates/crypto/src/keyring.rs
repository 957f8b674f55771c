//! The root key, the data keys of the terms, and the open keyring that holds them.

use std::fmt;

use coffre_secret::SecretBytes;

use crate::hmac::{MAC_LEN, MacKey};
use crate::value::{self, Place, SealedValue};
use crate::{CryptoError, Key256, aead, hkdf};

/// The number of a data key. The first is 1; they grow by one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Term(u32);

impl Term {
    /// The first term.
    pub const FIRST: Self = Self(1);

    /// Takes a number.
    #[must_use]
    pub const fn new(number: u32) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key that wraps everything else. It exists in memory while the vault is open, and wrapped in slots.
pub struct RootKey(Key256);

impl RootKey {
    /// Makes a random one.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        Key256::generate().map(Self)
    }

    pub(crate) fn new(key: Key256) -> Self {
        Self(key)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    fn purpose(&self, info: &str) -> Result<Key256, CryptoError> {
        hkdf::derive(&self.0, b"", info)
    }

    /// Makes a data key for a term and wraps it.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn new_term(&self, term: Term) -> Result<WrappedTerm, CryptoError> {
        let data_key = Key256::generate()?;
        let wrap = self.purpose(TERM_WRAP)?;
        Ok(WrappedTerm { term, wrapped: aead::seal(&wrap, &term_associated(term), data_key.expose())? })
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

const TERM_WRAP: &str = "coffre/root/term/v1";
const VALUE_MAC: &str = "coffre/root/value-mac/v1";
const TRANSPORT_WRAP: &str = "coffre/root/transport/v1";

fn term_associated(term: Term) -> Vec<u8> {
    let mut out = b"coffre/term/v1".to_vec();
    out.extend_from_slice(&term.get().to_be_bytes());
    out
}

/// A data key, wrapped under the root key: `nonce (12) ‖ ciphertext (32) ‖ tag (16)`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WrappedTerm {
    /// The term.
    pub term: Term,
    /// The bytes to store.
    pub wrapped: Vec<u8>,
}

/// The keys of an open vault. Whoever seals or opens a value must hold one: sealed is a type, not a flag.
pub struct OpenKeyring {
    // Few: one a rotation, and old ones go when nothing uses them.
    terms: Vec<(Term, Key256)>,
    current: Term,
    value_mac: MacKey,
    transport: Key256,
}

impl OpenKeyring {
    /// Unwraps the terms under the root key. The newest becomes the current one.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where a term does not open, [`CryptoError::Malformed`] where there is none.
    pub fn open(root: &RootKey, wrapped: &[WrappedTerm]) -> Result<Self, CryptoError> {
        let wrap = root.purpose(TERM_WRAP)?;
        let mut terms = wrapped
            .iter()
            .map(|item| {
                let key = aead::open(&wrap, &term_associated(item.term), &item.wrapped)?;
                Ok((item.term, Key256::from_secret(&key)?))
            })
            .collect::<Result<Vec<_>, CryptoError>>()?;
        terms.sort_by_key(|(term, _)| *term);
        let current = terms.last().map(|(term, _)| *term).ok_or(CryptoError::Malformed)?;
        Ok(Self {
            terms,
            current,
            value_mac: MacKey::new(&root.purpose(VALUE_MAC)?),
            transport: root.purpose(TRANSPORT_WRAP)?,
        })
    }

    #[cfg(test)]
    pub(crate) fn of_one(term: Term, data_key: Key256) -> Self {
        let spare = Key256::from_slice(&[0; 32]).unwrap();
        Self { terms: vec![(term, data_key)], current: term, value_mac: MacKey::new(&spare), transport: spare }
    }

    /// Returns the term under which new values are sealed.
    #[must_use]
    pub fn current(&self) -> Term {
        self.current
    }

    pub(crate) fn data_key(&self, term: Term) -> Result<&Key256, CryptoError> {
        self.terms
            .iter()
            .rev()
            .find_map(|(number, key)| (*number == term).then_some(key))
            .ok_or(CryptoError::UnknownTerm(term.get()))
    }

    /// Seals a value for its place under the current term.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn seal(&self, place: &Place, plaintext: &[u8]) -> Result<SealedValue, CryptoError> {
        value::seal(self, place, plaintext)
    }

    /// Opens the bytes of a value that were stored at a place.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], [`CryptoError::UnknownTerm`] or [`CryptoError::Unauthentic`]: the value was moved, rolled back,
    /// cut or changed.
    pub fn open_value(&self, place: &Place, sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        value::open(self, place, sealed)
    }

    /// Makes the MAC that ties an audit entry to a stored value: over `value id (8) ‖ version (8) ‖ sealed bytes`, integers
    /// big-endian.
    #[must_use]
    pub fn value_mac(&self, value_id: i64, version: i64, sealed: &[u8]) -> [u8; MAC_LEN] {
        self.value_mac.mac(&[&value_id.to_be_bytes(), &version.to_be_bytes(), sealed])
    }

    /// Seals the private half of a transport key for the shared table.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn seal_transport_key(&self, public_key: &str, private_key: &[u8]) -> Result<Vec<u8>, CryptoError> {
        aead::seal(&self.transport, public_key.as_bytes(), private_key)
    }

    /// Opens the private half of a transport key.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where it does not belong to this public key or root key.
    pub fn open_transport_key(&self, public_key: &str, sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        aead::open(&self.transport, public_key.as_bytes(), sealed)
    }
}

impl fmt::Debug for OpenKeyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenKeyring").field("current", &self.current).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_term_is_current_and_old_ones_still_open() {
        let root = RootKey::generate().unwrap();
        let first = root.new_term(Term::new(1)).unwrap();
        let place = Place::example();
        let old = OpenKeyring::open(&root, std::slice::from_ref(&first)).unwrap().seal(&place, b"x").unwrap();
        let both = OpenKeyring::open(&root, &[root.new_term(Term::new(2)).unwrap(), first]).unwrap();
        assert_eq!(both.current(), Term::new(2));
        assert_eq!(both.open_value(&place, old.as_bytes()).unwrap().expose(), b"x");
    }

    #[test]
    fn a_term_opens_only_under_its_number_and_root_key() {
        let root = RootKey::generate().unwrap();
        let mut term = root.new_term(Term::new(1)).unwrap();
        let other = RootKey::generate().unwrap();
        assert_eq!(OpenKeyring::open(&other, std::slice::from_ref(&term)).unwrap_err(), CryptoError::Unauthentic);
        term.term = Term::new(2);
        assert_eq!(OpenKeyring::open(&root, &[term]).unwrap_err(), CryptoError::Unauthentic);
    }

    #[test]
    fn a_vault_without_terms_does_not_open() {
        assert_eq!(OpenKeyring::open(&RootKey::generate().unwrap(), &[]).unwrap_err(), CryptoError::Malformed);
    }

    #[test]
    fn the_value_mac_covers_id_version_and_bytes() {
        let root = RootKey::generate().unwrap();
        let ring = OpenKeyring::open(&root, &[root.new_term(Term::FIRST).unwrap()]).unwrap();
        let mac = ring.value_mac(1, 2, b"sealed");
        assert_eq!(mac, ring.value_mac(1, 2, b"sealed"));
        assert_ne!(mac, ring.value_mac(2, 2, b"sealed"));
        assert_ne!(mac, ring.value_mac(1, 1, b"sealed"));
        assert_ne!(mac, ring.value_mac(1, 2, b"sealeD"));
    }
}
