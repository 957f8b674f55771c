//! Key slots: the root key wrapped once for each key that may open the vault.
//!
//! A slot's bytes, integers big-endian:
//!
//! | offset | length | field |
//! |---|---|---|
//! | 0 | 1 | format, 1 |
//! | 1 | 1 | kind: 1 express, 2 manual, 3 recovery |
//! | 2 | 16 | slot id, random |
//! | 18 | 32 | salt, random |
//! | 50 | 1 | derivation: 1 HKDF-SHA-256 |
//! | 51 | 32 | key check value |
//! | 83 | 60 | root key: nonce (12), ciphertext (32), tag (16) of AES-256-GCM; associated data: `coffre/slot/v1` and bytes 0–50 |
//! | 143 | 32 | SHA-256 of bytes 0–142 |
//!
//! From the slot's key and salt come a wrapping key and the key check value, each for its own purpose. The check value tells a wrong
//! key from a damaged slot; the digest tells accidental damage before a key is asked for. The digest is no protection against
//! whoever writes the database; the tag is.

use aws_lc_rs::digest::{SHA256, digest};

use crate::keyring::RootKey;
use crate::{CryptoError, Key256, aead, hkdf, key};

const FORMAT: u8 = 1;
const DERIVATION_HKDF: u8 = 1;
const HEADER_LEN: usize = 51;
const CHECK_LEN: usize = 32;
const WRAPPED_LEN: usize = aead::NONCE_LEN + key::KEY_LEN + aead::TAG_LEN;
const DIGEST_LEN: usize = 32;
const SLOT_LEN: usize = HEADER_LEN + CHECK_LEN + WRAPPED_LEN + DIGEST_LEN;
const LABEL: &[u8] = b"coffre/slot/v1";

/// Who holds the key of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SlotKind {
    /// The server: a key file.
    Express,
    /// People, who type it.
    Manual,
    /// Nobody until everything else is lost.
    Recovery,
}

impl SlotKind {
    /// Returns the number that slots and rows carry.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Express => 1,
            Self::Manual => 2,
            Self::Recovery => 3,
        }
    }

    const fn from_number(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Express),
            2 => Some(Self::Manual),
            3 => Some(Self::Recovery),
            _ => None,
        }
    }
}

/// The root key, wrapped.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Slot(Vec<u8>);

impl Slot {
    /// Wraps a root key under an express key.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn express(root: &RootKey, express_key: &Key256) -> Result<Self, CryptoError> {
        let mut bytes = Vec::with_capacity(SLOT_LEN);
        bytes.push(FORMAT);
        bytes.push(SlotKind::Express.number());
        bytes.extend_from_slice(&key::random::<16>()?);
        let salt = key::random::<32>()?;
        bytes.extend_from_slice(&salt);
        bytes.push(DERIVATION_HKDF);
        let keys = SlotKeys::from_express(express_key, &salt)?;
        let wrapped = aead::seal(&keys.wrap, &associated(&bytes), root.expose())?;
        bytes.extend_from_slice(keys.check.expose());
        bytes.extend_from_slice(&wrapped);
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        Ok(Self(bytes))
    }

    /// Reads the bytes of a slot.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] where they are no slot or a damaged one.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CryptoError> {
        let slot = Self(bytes);
        let (body, sum) = slot.0.split_last_chunk::<DIGEST_LEN>().ok_or(CryptoError::Malformed)?;
        let known = slot.0.len() == SLOT_LEN
            && body.first() == Some(&FORMAT)
            && body.get(HEADER_LEN - 1) == Some(&DERIVATION_HKDF)
            && body.get(1).copied().and_then(SlotKind::from_number).is_some();
        if !known || digest(&SHA256, body).as_ref() != sum {
            return Err(CryptoError::Malformed);
        }
        Ok(slot)
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Returns who holds its key; `None` only where the bytes are damaged.
    #[must_use]
    pub fn kind(&self) -> Option<SlotKind> {
        self.0.get(1).copied().and_then(SlotKind::from_number)
    }

    /// Opens an express slot.
    ///
    /// # Errors
    /// [`CryptoError::WrongKey`] where the key is not the one of this slot, [`CryptoError::Unauthentic`] where it is and the slot is
    /// damaged, [`CryptoError::Malformed`] where this is no express slot.
    pub fn open_express(&self, express_key: &Key256) -> Result<RootKey, CryptoError> {
        if self.kind() != Some(SlotKind::Express) {
            return Err(CryptoError::Malformed);
        }
        let (header, rest) = self.0.split_at_checked(HEADER_LEN).ok_or(CryptoError::Malformed)?;
        let (check, rest) = rest.split_at_checked(CHECK_LEN).ok_or(CryptoError::Malformed)?;
        let wrapped = rest.get(..WRAPPED_LEN).ok_or(CryptoError::Malformed)?;
        let salt = header.get(18..50).ok_or(CryptoError::Malformed)?;
        let keys = SlotKeys::from_express(express_key, salt)?;
        if !coffre_secret::equal(keys.check.expose(), check) {
            return Err(CryptoError::WrongKey);
        }
        let root = aead::open(&keys.wrap, &associated(header), wrapped)?;
        Ok(RootKey::new(Key256::from_secret(&root)?))
    }
}

fn associated(header: &[u8]) -> Vec<u8> {
    [LABEL, header].concat()
}

struct SlotKeys {
    wrap: Key256,
    check: Key256,
}

impl SlotKeys {
    fn from_express(express_key: &Key256, salt: &[u8]) -> Result<Self, CryptoError> {
        Ok(Self {
            wrap: hkdf::derive(express_key, salt, "coffre/slot/express/wrap/v1")?,
            check: hkdf::derive(express_key, salt, "coffre/slot/express/check/v1")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot() -> (RootKey, Key256, Slot) {
        let root = RootKey::generate().unwrap();
        let key = Key256::generate().unwrap();
        let slot = Slot::express(&root, &key).unwrap();
        (root, key, slot)
    }

    #[test]
    fn the_express_key_opens_its_slot() {
        let (root, key, slot) = slot();
        assert_eq!(slot.as_bytes().len(), SLOT_LEN);
        let read = Slot::from_bytes(slot.as_bytes().to_vec()).unwrap();
        assert_eq!(read.kind(), Some(SlotKind::Express));
        assert_eq!(read.open_express(&key).unwrap().expose(), root.expose());
    }

    #[test]
    fn a_wrong_key_is_told_from_a_damaged_slot() {
        let (_, key, slot) = slot();
        assert_eq!(slot.open_express(&Key256::generate().unwrap()).unwrap_err(), CryptoError::WrongKey);
        for index in 0..SLOT_LEN {
            let mut bytes = slot.as_bytes().to_vec();
            bytes[index] ^= 1;
            assert_eq!(Slot::from_bytes(bytes).unwrap_err(), CryptoError::Malformed, "byte {index}");
        }
        // Whoever writes the database can make the digest fit; the tag still holds.
        let mut bytes = slot.as_bytes()[..SLOT_LEN - DIGEST_LEN].to_vec();
        bytes[2] ^= 1;
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        assert_eq!(Slot::from_bytes(bytes).unwrap().open_express(&key).unwrap_err(), CryptoError::Unauthentic);
    }

    #[test]
    fn a_truncated_slot_is_malformed() {
        let (_, _, slot) = slot();
        for length in 0..SLOT_LEN {
            assert!(Slot::from_bytes(slot.as_bytes()[..length].to_vec()).is_err());
        }
    }
}
