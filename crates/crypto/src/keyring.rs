//! The root key, the data keys of the terms, and the open keyring that holds them.

use std::fmt;

use coffre_secret::SecretBytes;

use crate::hmac::{MAC_LEN, MacKey};
use crate::locked::LockedKey;
use crate::slot::Slot;
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

    /// Returns the term after this one.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] after four thousand million rotations.
    pub fn next(self) -> Result<Self, CryptoError> {
        self.0.checked_add(1).map(Self).ok_or(CryptoError::Malformed)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The key that wraps everything else. It exists in memory while the vault is open, on a locked page where the system allows it, and
/// wrapped in slots.
pub struct RootKey(LockedKey);

impl RootKey {
    /// Makes a random one.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        LockedKey::generate().map(Self)
    }

    pub(crate) fn from_secret(bytes: &SecretBytes) -> Result<Self, CryptoError> {
        LockedKey::from_slice(bytes.expose()).map(Self)
    }

    pub(crate) fn expose(&self) -> &[u8; 32] {
        self.0.expose()
    }

    /// Derives the key for one purpose.
    pub(crate) fn purpose(&self, info: &str) -> Result<Key256, CryptoError> {
        hkdf::derive_from(self.expose(), b"", info)
    }

    /// Makes a data key for a term and wraps it.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn new_term(&self, term: Term) -> Result<WrappedTerm, CryptoError> {
        self.wrap_term(term, Key256::generate()?.expose())
    }

    fn wrap_term(&self, term: Term, data_key: &[u8; 32]) -> Result<WrappedTerm, CryptoError> {
        let wrap = self.purpose(TERM_WRAP)?;
        Ok(WrappedTerm { term, wrapped: aead::seal(&wrap, &term_associated(term), data_key)? })
    }
}

impl fmt::Debug for RootKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RootKey")
    }
}

const TERM_WRAP: &str = "coffre/root/term/v1";
const TRANSPORT_WRAP: &str = "coffre/root/transport/v1";
const VALUE_MAC: &str = "coffre/term/value-mac/v1";

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

struct DataKey {
    term: Term,
    key: LockedKey,
    // Of the term, not of the root key: so that the entries of the audit stay good when the root key changes.
    value_mac: MacKey,
}

impl DataKey {
    fn new(term: Term, key: LockedKey) -> Result<Self, CryptoError> {
        let value_mac = MacKey::new(&hkdf::derive_from(key.expose(), b"", VALUE_MAC)?);
        Ok(Self { term, key, value_mac })
    }
}

/// The keys of an open vault. Whoever seals or opens a value must hold one: sealed is a type, not a flag.
pub struct OpenKeyring {
    root: RootKey,
    // Few: one a rotation, and old ones go when nothing uses them. Never empty, the newest last.
    terms: Vec<DataKey>,
    current: Term,
    transport: Key256,
}

impl OpenKeyring {
    /// Unwraps the terms under the root key. The newest becomes the current one.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where a term does not open, [`CryptoError::Malformed`] where there is none.
    pub fn open(root: &RootKey, wrapped: &[WrappedTerm]) -> Result<Self, CryptoError> {
        let root = RootKey(LockedKey::from_slice(root.expose())?);
        let wrap = root.purpose(TERM_WRAP)?;
        let mut terms = wrapped
            .iter()
            .map(|item| {
                let key = aead::open(&wrap, &term_associated(item.term), &item.wrapped)?;
                DataKey::new(item.term, LockedKey::from_slice(key.expose())?)
            })
            .collect::<Result<Vec<_>, CryptoError>>()?;
        terms.sort_by_key(|data_key| data_key.term);
        let current = terms.last().map(|data_key| data_key.term).ok_or(CryptoError::Malformed)?;
        let transport = root.purpose(TRANSPORT_WRAP)?;
        Ok(Self { root, terms, current, transport })
    }

    #[cfg(test)]
    pub(crate) fn of_one(term: Term, data_key: &Key256) -> Self {
        let root = RootKey::generate().unwrap();
        let wrapped = root.wrap_term(term, data_key.expose()).unwrap();
        Self::open(&root, &[wrapped]).unwrap()
    }

    /// Makes and wraps the data key of the term after the current one. It counts when it is stored and read again ([`Self::reload`]).
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn next_term(&self) -> Result<WrappedTerm, CryptoError> {
        self.root.new_term(self.current.next()?)
    }

    /// Makes a keyring of the terms that are stored now, under the same root key.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where a term does not open, so too where the root key has changed meanwhile;
    /// [`CryptoError::Malformed`] where there is none.
    pub fn reload(&self, wrapped: &[WrappedTerm]) -> Result<Self, CryptoError> {
        Self::open(&self.root, wrapped)
    }

    /// Says whether a slot that was opened holds the root key of this keyring.
    #[must_use]
    pub fn is_under(&self, root: &RootKey) -> bool {
        coffre_secret::equal(self.root.expose(), root.expose())
    }

    /// Says whether the slot of a key that people hold was made under this root key and is whole. One that was not opens nothing of this
    /// vault, whoever shows whatever key.
    #[must_use]
    pub fn vouches_for(&self, slot: &Slot) -> bool {
        slot.bonded(&self.root).is_ok()
    }

    /// Says whether it has the data key under which stored bytes say that they were sealed; so too where they say nothing.
    #[must_use]
    pub fn has_key_of(&self, sealed: &[u8]) -> bool {
        value::term_of(sealed).is_none_or(|term| self.find(term).is_some())
    }

    /// Says whether the pages of root key and data keys are locked into memory. Where they are not the vault says so in its log.
    #[must_use]
    pub fn is_memory_locked(&self) -> bool {
        self.root.0.is_locked() && self.terms.iter().all(|data_key| data_key.key.is_locked())
    }

    pub(crate) fn root(&self) -> &RootKey {
        &self.root
    }

    /// Wraps every data key under another root key.
    pub(crate) fn wrap_terms(&self, root: &RootKey) -> Result<Vec<WrappedTerm>, CryptoError> {
        self.terms.iter().map(|data_key| root.wrap_term(data_key.term, data_key.key.expose())).collect()
    }

    /// Returns the term under which new values are sealed.
    #[must_use]
    pub fn current(&self) -> Term {
        self.current
    }

    fn find(&self, term: Term) -> Option<&DataKey> {
        self.terms.iter().rev().find(|data_key| data_key.term == term)
    }

    pub(crate) fn data_key(&self, term: Term) -> Result<&[u8; 32], CryptoError> {
        self.find(term).map(|data_key| data_key.key.expose()).ok_or(CryptoError::UnknownTerm(term.get()))
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

    /// Seals the bytes of a stored value once more for the same place, under the current term.
    ///
    /// # Errors
    /// As for [`Self::open_value`] and [`Self::seal`].
    pub fn reseal(&self, place: &Place, sealed: &[u8]) -> Result<SealedValue, CryptoError> {
        let plaintext = self.open_value(place, sealed)?;
        self.seal(place, plaintext.expose())
    }

    /// Makes the MAC that ties an audit entry to a stored value: over `value id (8) ‖ version (8) ‖ sealed bytes`, integers
    /// big-endian, under a key of the term of the sealed bytes. `None` where the keyring does not have that term, or there is none in
    /// the bytes.
    #[must_use]
    pub fn value_mac_of(&self, value_id: i64, version: i64, sealed: &[u8]) -> Option<[u8; MAC_LEN]> {
        let data_key = self.find(value::term_of(sealed)?)?;
        Some(data_key.value_mac.mac(&[&value_id.to_be_bytes(), &version.to_be_bytes(), sealed]))
    }

    /// Makes the MAC of [`Self::value_mac_of`] for bytes that this keyring has sealed.
    #[must_use]
    pub fn value_mac(&self, value_id: i64, version: i64, sealed: &[u8]) -> [u8; MAC_LEN] {
        self.value_mac_of(value_id, version, sealed).unwrap_or_default()
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

    /// Takes a transport key over from the keyring that was there before the root key changed.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where it does not belong to that keyring.
    pub fn take_over_transport_key(
        &self,
        from: &Self,
        public_key: &str,
        sealed: &[u8],
    ) -> Result<Vec<u8>, CryptoError> {
        self.seal_transport_key(public_key, from.open_transport_key(public_key, sealed)?.expose())
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
    fn rule_5_3_the_value_mac_covers_id_version_and_bytes() {
        let root = RootKey::generate().unwrap();
        let ring = OpenKeyring::open(&root, &[root.new_term(Term::FIRST).unwrap()]).unwrap();
        let sealed = ring.seal(&Place::example(), b"x").unwrap().into_bytes();
        let mac = ring.value_mac(1, 2, &sealed);
        assert_eq!(mac, ring.value_mac(1, 2, &sealed));
        assert_ne!(mac, ring.value_mac(2, 2, &sealed));
        assert_ne!(mac, ring.value_mac(1, 1, &sealed));
        let mut changed = sealed.clone();
        changed[60] ^= 1;
        assert_ne!(mac, ring.value_mac(1, 2, &changed));
        changed[4] = 9;
        assert_eq!(ring.value_mac_of(1, 2, &changed), None);
        assert_eq!(ring.value_mac_of(1, 2, b""), None);
    }

    #[test]
    fn a_rotation_seals_anew_and_leaves_the_old_macs_good() {
        let root = RootKey::generate().unwrap();
        let first = root.new_term(Term::FIRST).unwrap();
        let before = OpenKeyring::open(&root, std::slice::from_ref(&first)).unwrap();
        let place = Place::example();
        let old = before.seal(&place, b"x").unwrap().into_bytes();
        let mac = before.value_mac(1, 2, &old);

        let second = before.next_term().unwrap();
        assert_eq!(second.term, Term::new(2));
        let after = before.reload(&[second.clone(), first]).unwrap();
        assert_eq!(after.current(), Term::new(2));
        assert_eq!(after.value_mac_of(1, 2, &old), Some(mac));
        let new = after.reseal(&place, &old).unwrap().into_bytes();
        assert_eq!(value::term_of(&new), Some(Term::new(2)));

        let alone = after.reload(&[second]).unwrap();
        assert_eq!(alone.open_value(&place, &new).unwrap().expose(), b"x");
        assert_eq!(alone.open_value(&place, &old).unwrap_err(), CryptoError::UnknownTerm(1));
    }

    #[test]
    fn a_keyring_knows_which_terms_it_has() {
        let root = RootKey::generate().unwrap();
        let first = root.new_term(Term::FIRST).unwrap();
        let before = OpenKeyring::open(&root, std::slice::from_ref(&first)).unwrap();
        let after = before.reload(&[first, before.next_term().unwrap()]).unwrap();
        let new = after.seal(&Place::example(), b"x").unwrap().into_bytes();
        assert!(after.has_key_of(&new) && !before.has_key_of(&new));
        assert!(before.has_key_of(b"") && before.has_key_of(b"\x02no value of ours"));
    }

    #[test]
    fn a_keyring_knows_its_root_key() {
        let root = RootKey::generate().unwrap();
        let ring = OpenKeyring::open(&root, &[root.new_term(Term::FIRST).unwrap()]).unwrap();
        assert!(ring.is_under(&root));
        assert!(!ring.is_under(&RootKey::generate().unwrap()));
        assert_eq!(ring.is_memory_locked(), root.0.is_locked());
    }

    #[test]
    fn the_last_term_has_none_after_it() {
        assert_eq!(Term::new(u32::MAX).next().unwrap_err(), CryptoError::Malformed);
    }
}
