//! Values at rest. `docs/values-at-rest.md` tells the format byte for byte; `tests/vectors/value.json` pins it.

use coffre_secret::SecretBytes;

use crate::aead::{self, NONCE_LEN, TAG_LEN};
use crate::keyring::{OpenKeyring, Term};
use crate::{CryptoError, hkdf, key};

/// The first byte of every sealed value.
pub const FORMAT: u8 = 1;
const SALT_LEN: usize = 32;
const HEAD_LEN: usize = 1 + 4 + SALT_LEN + NONCE_LEN;
/// By how many bytes a sealed value is longer than its plaintext.
pub const OVERHEAD: usize = HEAD_LEN + TAG_LEN;
const LABEL: &[u8] = b"coffre/value/v1";
const KEY_INFO: &str = "coffre/value/key/v1";

/// Where a value belongs: everything that it is bound to besides its term.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// The tenant.
    pub tenant: i64,
    /// The credential.
    pub credential: i64,
    /// The attribute.
    pub attribute: i64,
    /// The user to whom it belongs; `None` for a standard value.
    pub user: Option<i64>,
    /// The value's id.
    pub value: i64,
    /// The value's version.
    pub version: i64,
}

impl Place {
    #[cfg(test)]
    pub(crate) fn example() -> Self {
        Self { tenant: 1, credential: 2, attribute: 3, user: Some(4), value: 5, version: 6 }
    }

    /// Returns the associated data: every part with its length (4 bytes, big-endian) in front.
    fn associated(&self, term: Term) -> Vec<u8> {
        let mut out = Vec::with_capacity(104);
        put(&mut out, LABEL);
        put(&mut out, &self.tenant.to_be_bytes());
        put(&mut out, &self.credential.to_be_bytes());
        put(&mut out, &self.attribute.to_be_bytes());
        match self.user {
            Some(user) => put(&mut out, &user.to_be_bytes()),
            None => put(&mut out, &[]),
        }
        put(&mut out, &self.value.to_be_bytes());
        put(&mut out, &self.version.to_be_bytes());
        put(&mut out, &term.get().to_be_bytes());
        out
    }
}

fn put(out: &mut Vec<u8>, part: &[u8]) {
    let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(part);
}

/// A value as the store may see it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SealedValue(Vec<u8>);

impl SealedValue {
    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

pub(crate) fn seal(keyring: &OpenKeyring, place: &Place, plaintext: &[u8]) -> Result<SealedValue, CryptoError> {
    seal_with(keyring, place, plaintext, key::random()?, key::random()?)
}

fn seal_with(
    keyring: &OpenKeyring,
    place: &Place,
    plaintext: &[u8],
    salt: [u8; SALT_LEN],
    nonce: [u8; NONCE_LEN],
) -> Result<SealedValue, CryptoError> {
    let term = keyring.current();
    let value_key = hkdf::derive_from(keyring.data_key(term)?, &salt, KEY_INFO)?;
    let mut out = Vec::with_capacity(plaintext.len() + OVERHEAD);
    out.push(FORMAT);
    out.extend_from_slice(&term.get().to_be_bytes());
    out.extend_from_slice(&salt);
    out.extend_from_slice(&nonce);
    aead::seal_after(&value_key, nonce, &place.associated(term), plaintext, &mut out)?;
    Ok(SealedValue(out))
}

pub(crate) fn open(keyring: &OpenKeyring, place: &Place, sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
    let (format, rest) = sealed.split_first().ok_or(CryptoError::Malformed)?;
    if *format != FORMAT {
        return Err(CryptoError::Malformed);
    }
    let (term, rest) = rest.split_first_chunk::<4>().ok_or(CryptoError::Malformed)?;
    let (salt, rest) = rest.split_first_chunk::<SALT_LEN>().ok_or(CryptoError::Malformed)?;
    let (nonce, body) = rest.split_first_chunk::<NONCE_LEN>().ok_or(CryptoError::Malformed)?;
    let term = Term::new(u32::from_be_bytes(*term));
    let value_key = hkdf::derive_from(keyring.data_key(term)?, salt, KEY_INFO)?;
    aead::open_body(&value_key, *nonce, &place.associated(term), body)
}

/// Returns the term under which a stored value was sealed.
#[must_use]
pub fn term_of(sealed: &[u8]) -> Option<Term> {
    let (format, rest) = sealed.split_first()?;
    let (term, _) = rest.split_first_chunk::<4>()?;
    (*format == FORMAT).then(|| Term::new(u32::from_be_bytes(*term)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Key256;
    use crate::keyring::{RootKey, WrappedTerm};

    fn ring(terms: &[u32]) -> OpenKeyring {
        let root = RootKey::generate().unwrap();
        let wrapped: Vec<WrappedTerm> = terms.iter().map(|term| root.new_term(Term::new(*term)).unwrap()).collect();
        OpenKeyring::open(&root, &wrapped).unwrap()
    }

    #[test]
    fn a_value_opens_at_its_place() {
        let ring = ring(&[1]);
        for plaintext in [&b""[..], b"x", "gehe\u{ef}m".as_bytes(), &[0x61; 65_536]] {
            let sealed = ring.seal(&Place::example(), plaintext).unwrap();
            assert_eq!(sealed.as_bytes().len(), plaintext.len() + OVERHEAD);
            assert_eq!(ring.open_value(&Place::example(), sealed.as_bytes()).unwrap().expose(), plaintext);
        }
    }

    #[test]
    fn rule_5_3_a_moved_row_does_not_open() {
        let ring = ring(&[1]);
        let place = Place::example();
        let sealed = ring.seal(&place, b"x").unwrap();
        let elsewhere = [
            Place { tenant: 2, ..place },
            Place { credential: 3, ..place },
            Place { attribute: 4, ..place },
            Place { user: Some(5), ..place },
            Place { user: None, ..place },
            Place { value: 6, ..place },
        ];
        for place in elsewhere {
            assert_eq!(ring.open_value(&place, sealed.as_bytes()).unwrap_err(), CryptoError::Unauthentic, "{place:?}");
        }
    }

    #[test]
    fn swapped_rows_do_not_open() {
        let ring = ring(&[1]);
        let (one, two) = (Place::example(), Place { value: 9, ..Place::example() });
        let (sealed_one, sealed_two) = (ring.seal(&one, b"one").unwrap(), ring.seal(&two, b"two").unwrap());
        assert!(ring.open_value(&one, sealed_two.as_bytes()).is_err());
        assert!(ring.open_value(&two, sealed_one.as_bytes()).is_err());
    }

    #[test]
    fn rule_5_3_a_rolled_back_version_does_not_open() {
        let ring = ring(&[1]);
        let old = ring.seal(&Place::example(), b"old").unwrap();
        let now = Place { version: 7, ..Place::example() };
        assert_eq!(ring.open_value(&now, old.as_bytes()).unwrap_err(), CryptoError::Unauthentic);
    }

    #[test]
    fn a_truncated_or_changed_value_does_not_open() {
        let ring = ring(&[1]);
        let sealed = ring.seal(&Place::example(), b"secret").unwrap().into_bytes();
        for length in 0..sealed.len() {
            assert!(ring.open_value(&Place::example(), &sealed[..length]).is_err(), "length {length}");
        }
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(ring.open_value(&Place::example(), &changed).is_err(), "byte {index}");
        }
    }

    #[test]
    fn a_wrong_term_does_not_open() {
        let ring = ring(&[1, 2]);
        let mut sealed = ring.seal(&Place::example(), b"x").unwrap().into_bytes();
        assert_eq!(term_of(&sealed), Some(Term::new(2)));
        sealed[4] = 1;
        assert_eq!(ring.open_value(&Place::example(), &sealed).unwrap_err(), CryptoError::Unauthentic);
        sealed[4] = 9;
        assert_eq!(ring.open_value(&Place::example(), &sealed).unwrap_err(), CryptoError::UnknownTerm(9));
    }

    #[test]
    fn another_vault_opens_nothing() {
        let sealed = ring(&[1]).seal(&Place::example(), b"x").unwrap();
        assert_eq!(ring(&[1]).open_value(&Place::example(), sealed.as_bytes()).unwrap_err(), CryptoError::Unauthentic);
    }

    #[test]
    fn the_same_plaintext_is_sealed_differently_each_time() {
        let ring = ring(&[1]);
        let place = Place::example();
        assert_ne!(ring.seal(&place, b"x").unwrap(), ring.seal(&place, b"x").unwrap());
    }

    #[derive(serde::Deserialize)]
    struct Vector {
        data_key: String,
        term: u32,
        salt: String,
        nonce: String,
        tenant: i64,
        credential: i64,
        attribute: i64,
        user: Option<i64>,
        value: i64,
        version: i64,
        plaintext: String,
        associated_data: String,
        value_key: String,
        sealed: String,
    }

    #[test]
    fn golden_vectors_hold() {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../tests/vectors/value.json")).unwrap();
        assert!(vectors.len() >= 3);
        for vector in vectors {
            let data_key = Key256::from_slice(&hex::decode(&vector.data_key).unwrap()).unwrap();
            let term = Term::new(vector.term);
            let place = Place {
                tenant: vector.tenant,
                credential: vector.credential,
                attribute: vector.attribute,
                user: vector.user,
                value: vector.value,
                version: vector.version,
            };
            let salt: [u8; 32] = hex::decode(&vector.salt).unwrap().try_into().unwrap();
            let nonce: [u8; 12] = hex::decode(&vector.nonce).unwrap().try_into().unwrap();
            assert_eq!(hex::encode(place.associated(term)), vector.associated_data);
            assert_eq!(hex::encode(hkdf::derive(&data_key, &salt, KEY_INFO).unwrap().expose()), vector.value_key);
            let ring = OpenKeyring::of_one(term, &data_key);
            let sealed = seal_with(&ring, &place, vector.plaintext.as_bytes(), salt, nonce).unwrap();
            assert_eq!(hex::encode(sealed.as_bytes()), vector.sealed);
            let opened = ring.open_value(&place, sealed.as_bytes()).unwrap();
            assert_eq!(opened.expose(), vector.plaintext.as_bytes());
        }
    }
}
