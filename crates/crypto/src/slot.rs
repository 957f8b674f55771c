//! Key slots: the root key wrapped once for each key that may open the vault. `docs/values-at-rest.md` tells their bytes;
//! `tests/vectors/slot.json` pins them.
//!
//! | slot | its key | how the root key is wrapped |
//! |---|---|---|
//! | express | a key file that the server holds | AEAD |
//! | manual | a master key that people type, through Argon2id | AEAD, and that sealed to a public key (HPKE) |
//! | recovery | the recovery key | AEAD, and that sealed to a public key (HPKE) |
//!
//! Each slot has a salt, and out of its key and the salt come a key check value, a wrapping key and, for keys that people type, a key
//! pair. The check value tells a wrong key from a damaged slot. The header with all parameters is associated data.
//!
//! **Putting a new root key into a slot without asking for its key** is what the key pair is for. A public key alone would let whoever
//! writes the database seal a root key of his own to it, or put his own public key there and wait for the next root key. So
//! the slot's wrapping key also stands in the slot, sealed under the root key and bound to the header (the *bond*). Only who knows the
//! present root key gets at it, and takes public key and header for good only if the bond opens; whoever does not know it cannot
//! make a slot that opens. Who knows an old root key has the wrapping key, but not the private key: nothing of the new one opens to him.
//!
//! The digest at the end tells accidental damage before a key is asked for. It is no protection against whoever writes the
//! database; the tags are.

mod header;

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use coffre_secret::SecretBytes;

use self::header::{Derivation, Header, SALT_LEN};
use crate::hpke::{self, KeyPair, PublicKey};
use crate::keyring::RootKey;
use crate::master::MasterKey;
use crate::recovery::RecoveryKey;
use crate::stretch::{self, Cost};
use crate::{CryptoError, Key256, aead, hkdf, key};

const CHECK_LEN: usize = 32;
const WRAPPED_LEN: usize = aead::NONCE_LEN + key::KEY_LEN + aead::TAG_LEN;
const SEALED_LEN: usize = WRAPPED_LEN + hpke::OVERHEAD;
const DIGEST_LEN: usize = 32;
const LABEL: &[u8] = b"coffre/slot/v1";
const BOND_LABEL: &[u8] = b"coffre/slot/bond/v1";
const BOND_KEY: &str = "coffre/root/slot-bond/v1";

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
#[derive(Clone, PartialEq, Eq)]
pub struct Slot {
    bytes: Vec<u8>,
    header: Header,
    header_len: usize,
}

impl Slot {
    /// Wraps a root key under an express key.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn express(root: &RootKey, express_key: &Key256) -> Result<Self, CryptoError> {
        let header = Header { id: key::random()?, salt: key::random()?, derivation: Derivation::Express };
        let keys = SlotKeys::derive(express_key, &header.salt, SlotKind::Express)?;
        let bytes = header.to_bytes();
        let wrapped = aead::seal(&keys.wrap, &associated(&bytes), root.expose())?;
        Self::finish(bytes, &[keys.check.expose(), &wrapped])
    }

    /// Wraps a root key for a master key. Takes as long as [`crate::stretch`] says: never on an async thread.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes, [`CryptoError::Library`] where it does not give the memory.
    pub fn manual(root: &RootKey, master: &MasterKey, cost: Cost) -> Result<Self, CryptoError> {
        let salt = key::random()?;
        let stretched = stretch::stretch(master.expose(), &salt, cost)?;
        Self::typed(root, &stretched, salt, |public| Derivation::Manual(cost, public))
    }

    /// Wraps a root key for a recovery key.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn recovery(root: &RootKey, recovery: &RecoveryKey) -> Result<Self, CryptoError> {
        Self::typed(root, recovery.key(), key::random()?, Derivation::Recovery)
    }

    fn typed(
        root: &RootKey,
        secret: &Key256,
        salt: [u8; SALT_LEN],
        derivation: impl Fn(PublicKey) -> Derivation,
    ) -> Result<Self, CryptoError> {
        // The kind does not depend on the public key, which comes from keys that depend on the kind.
        let kind = derivation(PublicKey([0; hpke::PUBLIC_LEN])).kind();
        let keys = TypedKeys::derive(secret, &salt, kind)?;
        let public = keys.pair.public();
        let header = Header { id: key::random()?, salt, derivation: derivation(public) };
        let slot = Self::seal(root, header, &public, &keys.slot.wrap, keys.slot.check.expose())?;
        // Nobody types the key again before it is needed: what would not open must not be stored.
        if slot.open_typed(kind, secret)?.expose() == root.expose() { Ok(slot) } else { Err(CryptoError::Library) }
    }

    fn seal(
        root: &RootKey,
        header: Header,
        public: &PublicKey,
        wrap: &Key256,
        check: &[u8],
    ) -> Result<Self, CryptoError> {
        let bytes = header.to_bytes();
        let associated = associated(&bytes);
        let wrapped = aead::seal(wrap, &associated, root.expose())?;
        let sealed = hpke::seal(public, LABEL, &associated, &wrapped)?;
        let bond = aead::seal(&root.purpose(BOND_KEY)?, &bond_associated(&bytes, check), wrap.expose())?;
        Self::finish(bytes, &[check, &sealed, &bond])
    }

    fn finish(header: Vec<u8>, parts: &[&[u8]]) -> Result<Self, CryptoError> {
        let mut bytes = header;
        for part in parts {
            bytes.extend_from_slice(part);
        }
        let sum = digest(&SHA256, &bytes);
        bytes.extend_from_slice(sum.as_ref());
        Self::from_bytes(bytes)
    }

    /// Makes a slot of the same manual or recovery key for another root key, without that key.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] unless this slot was made under the present root key, [`CryptoError::Malformed`] for an express
    /// slot.
    pub(crate) fn renew(&self, present: &RootKey, next: &RootKey) -> Result<Self, CryptoError> {
        let public = self.header.derivation.public().ok_or(CryptoError::Malformed)?;
        let wrap = self.bonded(present)?;
        Self::seal(next, Header { id: key::random()?, ..self.header }, public, &wrap, self.parts()?.check)
    }

    /// Opens the bond: the wrapping key.
    pub(crate) fn bonded(&self, present: &RootKey) -> Result<Key256, CryptoError> {
        let parts = self.parts()?;
        let bond = parts.body.get(SEALED_LEN..).ok_or(CryptoError::Malformed)?;
        let associated = bond_associated(parts.header, parts.check);
        Key256::from_secret(&aead::open(&present.purpose(BOND_KEY)?, &associated, bond)?)
    }

    /// Reads the bytes of a slot.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] where they are no slot or a damaged one, or ask for more memory or time than we give.
    pub fn from_bytes(bytes: Vec<u8>) -> Result<Self, CryptoError> {
        let (header, header_len) = Header::read(&bytes).ok_or(CryptoError::Malformed)?;
        let body_len = match header.derivation {
            Derivation::Express => WRAPPED_LEN,
            Derivation::Manual(..) | Derivation::Recovery(_) => SEALED_LEN + WRAPPED_LEN,
        };
        let (content, sum) = bytes.split_last_chunk::<DIGEST_LEN>().ok_or(CryptoError::Malformed)?;
        if content.len() != header_len + CHECK_LEN + body_len || digest(&SHA256, content).as_ref() != sum {
            return Err(CryptoError::Malformed);
        }
        Ok(Self { bytes, header, header_len })
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns who holds its key.
    #[must_use]
    pub fn kind(&self) -> SlotKind {
        self.header.derivation.kind()
    }

    /// Returns what a guess at the master key costs; `None` unless this is a manual slot.
    #[must_use]
    pub fn cost(&self) -> Option<Cost> {
        match self.header.derivation {
            Derivation::Manual(cost, _) => Some(cost),
            Derivation::Express | Derivation::Recovery(_) => None,
        }
    }

    /// Opens an express slot.
    ///
    /// # Errors
    /// [`CryptoError::WrongKey`] where the key is not the one of this slot, [`CryptoError::Unauthentic`] where it is and the slot is
    /// damaged, [`CryptoError::Malformed`] where this is no express slot.
    pub fn open_express(&self, express_key: &Key256) -> Result<RootKey, CryptoError> {
        if self.header.derivation != Derivation::Express {
            return Err(CryptoError::Malformed);
        }
        let parts = self.parts()?;
        let keys = SlotKeys::derive(express_key, &self.header.salt, SlotKind::Express)?;
        keys.fit(parts.check)?;
        RootKey::from_secret(&aead::open(&keys.wrap, &associated(parts.header), parts.body)?)
    }

    /// Opens a manual slot. Takes as long as [`crate::stretch`] says: never on an async thread.
    ///
    /// # Errors
    /// As for [`Self::open_express`]; [`CryptoError::Library`] where the system does not give the memory.
    pub fn open_manual(&self, master: &MasterKey) -> Result<RootKey, CryptoError> {
        let cost = self.cost().ok_or(CryptoError::Malformed)?;
        self.open_typed(SlotKind::Manual, &stretch::stretch(master.expose(), &self.header.salt, cost)?)
    }

    /// Opens a recovery slot.
    ///
    /// # Errors
    /// As for [`Self::open_express`]. A wrong key is one of another vault, or one that was replaced: what is mistyped does not become
    /// a [`RecoveryKey`].
    pub fn open_recovery(&self, recovery: &RecoveryKey) -> Result<RootKey, CryptoError> {
        self.open_typed(SlotKind::Recovery, recovery.key())
    }

    fn open_typed(&self, kind: SlotKind, secret: &Key256) -> Result<RootKey, CryptoError> {
        let public = self.header.derivation.public().ok_or(CryptoError::Malformed)?;
        if self.kind() != kind {
            return Err(CryptoError::Malformed);
        }
        let parts = self.parts()?;
        let keys = TypedKeys::derive(secret, &self.header.salt, kind)?;
        keys.slot.fit(parts.check)?;
        if keys.pair.public() != *public {
            return Err(CryptoError::Unauthentic);
        }
        let sealed = parts.body.get(..SEALED_LEN).ok_or(CryptoError::Malformed)?;
        let associated = associated(parts.header);
        let wrapped: SecretBytes = keys.pair.open(LABEL, &associated, sealed)?;
        RootKey::from_secret(&aead::open(&keys.slot.wrap, &associated, wrapped.expose())?)
    }

    fn parts(&self) -> Result<Parts<'_>, CryptoError> {
        let (header, rest) = self.bytes.split_at_checked(self.header_len).ok_or(CryptoError::Malformed)?;
        let (check, rest) = rest.split_at_checked(CHECK_LEN).ok_or(CryptoError::Malformed)?;
        let (body, _digest) = rest.split_last_chunk::<DIGEST_LEN>().ok_or(CryptoError::Malformed)?;
        Ok(Parts { header, check, body })
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slot").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

/// The parts of a slot's bytes before the digest.
struct Parts<'a> {
    header: &'a [u8],
    check: &'a [u8],
    body: &'a [u8],
}

fn associated(header: &[u8]) -> Vec<u8> {
    [LABEL, header].concat()
}

fn bond_associated(header: &[u8], check: &[u8]) -> Vec<u8> {
    [BOND_LABEL, header, check].concat()
}

/// What comes from the key of every slot.
struct SlotKeys {
    wrap: Key256,
    check: Key256,
}

impl SlotKeys {
    fn derive(secret: &Key256, salt: &[u8], kind: SlotKind) -> Result<Self, CryptoError> {
        let (wrap, check) = match kind {
            SlotKind::Express => ("coffre/slot/express/wrap/v1", "coffre/slot/express/check/v1"),
            SlotKind::Manual => ("coffre/slot/manual/wrap/v1", "coffre/slot/manual/check/v1"),
            SlotKind::Recovery => ("coffre/slot/recovery/wrap/v1", "coffre/slot/recovery/check/v1"),
        };
        Ok(Self { wrap: hkdf::derive(secret, salt, wrap)?, check: hkdf::derive(secret, salt, check)? })
    }

    fn fit(&self, check: &[u8]) -> Result<(), CryptoError> {
        if coffre_secret::equal(self.check.expose(), check) { Ok(()) } else { Err(CryptoError::WrongKey) }
    }
}

/// What comes from a key that people type: Argon2id's output, or the recovery key.
struct TypedKeys {
    slot: SlotKeys,
    pair: KeyPair,
}

impl TypedKeys {
    fn derive(secret: &Key256, salt: &[u8], kind: SlotKind) -> Result<Self, CryptoError> {
        let pair = match kind {
            SlotKind::Manual => "coffre/slot/manual/pair/v1",
            SlotKind::Recovery => "coffre/slot/recovery/pair/v1",
            SlotKind::Express => return Err(CryptoError::Malformed),
        };
        Ok(Self {
            slot: SlotKeys::derive(secret, salt, kind)?,
            pair: KeyPair::derive(&hkdf::derive(secret, salt, pair)?)?,
        })
    }
}

#[cfg(test)]
mod tests;
