//! Giving the root key to another replica of the vault. `docs/vault-peers.md` tells the bytes; `tests/vectors/peer.json` pins them.
//!
//! It goes through mutual TLS, and does not rely on that alone:
//!
//! - it is sealed (HPKE) to a key pair that the asker made for this one ask and forgets with it ([`Ask`]): what somebody recorded or got at
//!   where TLS ends opens to nobody, and an answer to another ask opens nothing;
//! - an ask carries a proof that the asker reads the database of this very vault, as it is now ([`StoredKeys`]): a certificate alone gets
//!   nothing, and nobody who is asked learns from an ask how to ask;
//! - proof and answer are bound to who asks whom.
//!
//! The root key leaves this crate sealed alone ([`OpenKeyring::share`]).

use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};

use crate::hmac::{MAC_LEN, MacKey};
use crate::hpke::{self, KeyPair, PUBLIC_LEN, PublicKey};
use crate::keyring::{OpenKeyring, RootKey, WrappedTerm};
use crate::slot::SlotKind;
use crate::state::Generation;
use crate::{CryptoError, Key256, hkdf, key};

const LABEL: &[u8] = b"coffre/peer/v1";
const STORED_LABEL: &[u8] = b"coffre/peer/stored/v1";
const PROOF_KEY: &str = "coffre/peer/proof/v1";
const NONCE_LEN: usize = 32;
/// The length of a sealed root key.
pub const SEALED_LEN: usize = key::KEY_LEN + hpke::OVERHEAD;

/// What tells the keys of a vault, as they are stored at one moment, from those of every other vault and moment. Whoever knows it reads the
/// database; it is not told to others.
pub struct StoredKeys(Key256);

impl StoredKeys {
    /// Takes the generation of the seal state, all slots and all terms of that generation, in any order.
    ///
    /// # Errors
    /// None that happens: the length is right.
    pub fn of(generation: Generation, slots: &[(SlotKind, &[u8])], terms: &[WrappedTerm]) -> Result<Self, CryptoError> {
        let mut slots = slots.to_vec();
        slots.sort_by_key(|(kind, _)| kind.number());
        let mut terms: Vec<&WrappedTerm> = terms.iter().collect();
        terms.sort_by_key(|term| term.term);
        let mut hash = Context::new(&SHA256);
        hash.update(STORED_LABEL);
        hash.update(&generation.0.to_be_bytes());
        hash.update(&length(slots.len()));
        for (kind, slot) in slots {
            hash.update(&[kind.number()]);
            hash.update(&length(slot.len()));
            hash.update(slot);
        }
        hash.update(&length(terms.len()));
        for term in terms {
            hash.update(&term.term.get().to_be_bytes());
            hash.update(&length(term.wrapped.len()));
            hash.update(&term.wrapped);
        }
        Key256::from_slice(hash.finish().as_ref()).map(Self)
    }

    fn proof(&self, ask: &[u8]) -> Result<[u8; MAC_LEN], CryptoError> {
        Ok(MacKey::new(&hkdf::derive(&self.0, b"", PROOF_KEY)?).mac(&[ask]))
    }
}

impl fmt::Debug for StoredKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoredKeys")
    }
}

/// Who asks whom, for which keys.
#[derive(Clone, Copy, Debug)]
pub struct Between<'a> {
    /// The identity in the asker's certificate, such as `spiffe://coffre.internal/vault`.
    pub asker: &'a str,
    /// What the asker calls itself, for the audit.
    pub asker_name: &'a str,
    /// The identity in the giver's certificate.
    pub giver: &'a str,
    /// The generation in which both are.
    pub generation: Generation,
    /// The keys that both read.
    pub stored: &'a StoredKeys,
}

impl Between<'_> {
    /// Returns what the proof is over: every part with its length (4 bytes, big-endian) in front.
    fn ask(&self, public: &[u8; PUBLIC_LEN], nonce: &[u8; NONCE_LEN]) -> Vec<u8> {
        let generation = self.generation.0.to_be_bytes();
        let texts = [self.asker, self.giver, self.asker_name].map(str::as_bytes);
        let [asker, giver, asker_name] = texts;
        let mut out = Vec::with_capacity(256);
        for part in [LABEL, asker, giver, asker_name, &generation, public, nonce] {
            out.extend_from_slice(&length(part.len()));
            out.extend_from_slice(part);
        }
        out
    }
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).unwrap_or(u32::MAX).to_be_bytes()
}

/// What is sent to ask for the root key. There is no secret in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Whom the answer is sealed to: an X25519 key that was made for this ask.
    pub public_key: [u8; PUBLIC_LEN],
    /// Random, other bytes for each ask.
    pub nonce: [u8; NONCE_LEN],
    /// Shows that the asker knows the [`StoredKeys`].
    pub proof: [u8; MAC_LEN],
}

impl Asked {
    /// Reads what came.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] where a part has another length than 32 bytes.
    pub fn read(public_key: &[u8], nonce: &[u8], proof: &[u8]) -> Result<Self, CryptoError> {
        let part = |bytes: &[u8]| bytes.try_into().map_err(|_| CryptoError::Malformed);
        Ok(Self { public_key: part(public_key)?, nonce: part(nonce)?, proof: part(proof)? })
    }

    /// Returns the name by which giver and asker note it: the first eight bytes of the nonce, in hexadecimal.
    #[must_use]
    pub fn id(&self) -> String {
        self.nonce.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Returns what the answer is bound to.
    fn associated(&self, between: &Between<'_>) -> Vec<u8> {
        let mut out = between.ask(&self.public_key, &self.nonce);
        out.extend_from_slice(&self.proof);
        out
    }
}

/// An ask that waits for its answer. Its private key was made for it alone, and is wiped with it.
pub struct Ask {
    pair: KeyPair,
    asked: Asked,
    associated: Vec<u8>,
}

impl Ask {
    /// Makes a key pair, a nonce and the proof.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn new(between: &Between<'_>) -> Result<Self, CryptoError> {
        Self::of(between, &Key256::generate()?, key::random()?)
    }

    fn of(between: &Between<'_>, material: &Key256, nonce: [u8; NONCE_LEN]) -> Result<Self, CryptoError> {
        let pair = KeyPair::derive(material)?;
        let public_key = pair.public().0;
        let proof = between.stored.proof(&between.ask(&public_key, &nonce))?;
        let asked = Asked { public_key, nonce, proof };
        let associated = asked.associated(between);
        Ok(Self { pair, asked, associated })
    }

    /// Returns what is to be sent.
    #[must_use]
    pub fn asked(&self) -> &Asked {
        &self.asked
    }

    /// Opens the answer. There is one to an ask. Whether it is the root key of the stored terms is not known yet:
    /// [`OpenKeyring::open`] tells.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`], [`CryptoError::Unauthentic`] where it was not made for this ask.
    pub fn open(self, sealed: &[u8]) -> Result<RootKey, CryptoError> {
        if sealed.len() != SEALED_LEN {
            return Err(CryptoError::Malformed);
        }
        RootKey::from_secret(&self.pair.open(LABEL, &self.associated, sealed)?)
    }
}

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ask").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl OpenKeyring {
    /// Seals the root key to whoever asks.
    ///
    /// # Errors
    /// [`CryptoError::WrongKey`] where the proof is not one of the stored keys and of who asks whom; [`CryptoError::Library`] for a public
    /// key that is none.
    pub fn share(&self, between: &Between<'_>, asked: &Asked) -> Result<Vec<u8>, CryptoError> {
        let proof = between.stored.proof(&between.ask(&asked.public_key, &asked.nonce))?;
        if !coffre_secret::equal(&proof, &asked.proof) {
            return Err(CryptoError::WrongKey);
        }
        hpke::seal(&PublicKey(asked.public_key), LABEL, &asked.associated(between), self.root().expose())
    }
}

#[cfg(test)]
mod tests;
