//! For whom a backup is sealed: a key pair that comes from the root key.
//!
//! Its public half lies beside the slots, so that a backup is made without anybody's key, also while the vault is sealed. Whoever opens one
//! of the slots that the backup brings along, with whatever key, has the root key, and with it the private half. A new root key makes another pair.
//!
//! A public key alone would let whoever writes the database put his own there, and wait for the key files that are in the next backup. So
//! an open vault vouches for it, with a key that is in no database, for the slots that stand beside it.

use coffre_secret::SecretBytes;

use crate::hmac::{MAC_LEN, MacKey};
use crate::hpke::{self, KeyPair, PUBLIC_LEN, PublicKey};
use crate::keyring::{OpenKeyring, RootKey};
use crate::{CryptoError, Key256};

const PAIR: &str = "coffre/root/backup/pair/v1";
const LABEL: &[u8] = b"coffre/backup/key/v1";
const VOUCH_LABEL: &[u8] = b"coffre/backup/recipient/v1";

/// The public half.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recipient(PublicKey);

impl Recipient {
    /// Reads the bytes that are stored.
    ///
    /// # Errors
    /// [`CryptoError::KeyLength`] where there are too few or too many.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CryptoError> {
        let bytes: [u8; PUBLIC_LEN] = bytes.try_into().map_err(|_| CryptoError::KeyLength)?;
        Ok(Self(PublicKey(bytes)))
    }

    /// Returns the bytes to store.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0.0
    }

    /// Seals the key of a backup, bound to what is said of that backup.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    pub fn seal(&self, associated: &[u8], key: &Key256) -> Result<Vec<u8>, CryptoError> {
        hpke::seal(&self.0, LABEL, associated, key.expose())
    }

    /// Returns what says that it stands beside these slots: each with its kind's number.
    #[must_use]
    pub fn vouch<'s>(&self, key: &MacKey, slots: impl IntoIterator<Item = (u8, &'s [u8])>) -> [u8; MAC_LEN] {
        let mut content = [VOUCH_LABEL, self.as_bytes()].concat();
        for (kind, slot) in slots {
            content.push(kind);
            content.extend_from_slice(&u64::try_from(slot.len()).unwrap_or(u64::MAX).to_be_bytes());
            content.extend_from_slice(slot);
        }
        key.mac(&[&content])
    }
}

impl OpenKeyring {
    /// Returns for whom backups of this vault are sealed.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    pub fn backup_recipient(&self) -> Result<Recipient, CryptoError> {
        Ok(Recipient(pair(self.root())?.public()))
    }
}

impl RootKey {
    /// Opens the key of a backup.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where it was sealed under another root key or said of another backup, [`CryptoError::Malformed`] where it
    /// is none.
    pub fn open_backup_key(&self, associated: &[u8], sealed: &[u8]) -> Result<Key256, CryptoError> {
        let key: SecretBytes = pair(self)?.open(LABEL, associated, sealed)?;
        Key256::from_secret(&key)
    }
}

fn pair(root: &RootKey) -> Result<KeyPair, CryptoError> {
    KeyPair::derive(&root.purpose(PAIR)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyring::Term;

    fn ring(root: &RootKey) -> OpenKeyring {
        OpenKeyring::open(root, &[root.new_term(Term::FIRST).unwrap()]).unwrap()
    }

    #[test]
    fn only_the_root_key_opens_what_is_sealed_for_it() {
        let (root, other) = (RootKey::generate().unwrap(), RootKey::generate().unwrap());
        let recipient = Recipient::from_bytes(ring(&root).backup_recipient().unwrap().as_bytes()).unwrap();
        let key = Key256::generate().unwrap();
        let sealed = recipient.seal(b"head", &key).unwrap();
        assert_eq!(root.open_backup_key(b"head", &sealed).unwrap().expose(), key.expose());
        assert_eq!(root.open_backup_key(b"other", &sealed).unwrap_err(), CryptoError::Unauthentic);
        assert_eq!(other.open_backup_key(b"head", &sealed).unwrap_err(), CryptoError::Unauthentic);
        assert_ne!(ring(&other).backup_recipient().unwrap(), recipient);
    }

    #[test]
    fn somebody_vouches_for_one_recipient_beside_one_set_of_slots() {
        let key = MacKey::new(&Key256::generate().unwrap());
        let mine = ring(&RootKey::generate().unwrap()).backup_recipient().unwrap();
        let planted = ring(&RootKey::generate().unwrap()).backup_recipient().unwrap();
        let slots = [(1, &b"express"[..]), (3, &b"recovery"[..])];
        let vouched = mine.vouch(&key, slots);
        assert_eq!(mine.vouch(&key, slots), vouched);
        assert_ne!(planted.vouch(&key, slots), vouched);
        assert_ne!(mine.vouch(&key, [(1, &b"express"[..]), (3, &b"planted!"[..])]), vouched);
        assert_ne!(mine.vouch(&key, [(1, &b"express"[..])]), vouched);
        assert_ne!(mine.vouch(&MacKey::new(&Key256::generate().unwrap()), slots), vouched);
    }
}
