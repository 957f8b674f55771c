//! 256-bit keys and random bytes.

use std::fmt;

use aws_lc_rs::rand;
use coffre_secret::SecretBytes;
use zeroize::Zeroize as _;

use crate::CryptoError;
use crate::locked::LockedKey;

/// The length of every symmetric key of ours, in bytes.
pub const KEY_LEN: usize = 32;

/// A symmetric key of 256 bits, wiped when dropped. It stays at one place on the heap: moved about on stacks it would leave a copy at
/// each place where it was.
pub struct Key256(Place);

enum Place {
    Heap(Box<[u8; KEY_LEN]>),
    Page(LockedKey),
}

impl Key256 {
    /// Makes a random key.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        let mut bytes = Box::new([0; KEY_LEN]);
        let filled = rand::fill(bytes.as_mut_slice());
        let key = Self(Place::Heap(bytes));
        filled.map(|()| key).map_err(|_| CryptoError::Random)
    }

    /// Takes the bytes of a key, from a key file for instance.
    ///
    /// # Errors
    /// [`CryptoError::KeyLength`] unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        if bytes.len() != KEY_LEN {
            return Err(CryptoError::KeyLength);
        }
        let mut key = Box::new([0; KEY_LEN]);
        key.copy_from_slice(bytes);
        Ok(Self(Place::Heap(key)))
    }

    /// Puts the key on a memory page of its own, kept out of the swap where the system allows it: for one that stays.
    ///
    /// # Errors
    /// None that happens: the length is right.
    pub fn on_locked_page(self) -> Result<Self, CryptoError> {
        LockedKey::from_slice(self.expose()).map(Place::Page).map(Self)
    }

    /// Takes secret bytes.
    ///
    /// # Errors
    /// [`CryptoError::KeyLength`] unless there are exactly 32.
    pub fn from_secret(bytes: &SecretBytes) -> Result<Self, CryptoError> {
        Self::from_slice(bytes.expose())
    }

    /// Returns the bytes of the key, for wrapping it or writing it to a key file.
    #[must_use]
    pub fn expose(&self) -> &[u8; KEY_LEN] {
        match &self.0 {
            Place::Heap(bytes) => bytes,
            Place::Page(key) => key.expose(),
        }
    }
}

impl Drop for Key256 {
    fn drop(&mut self) {
        // A locked page wipes itself.
        if let Place::Heap(bytes) = &mut self.0 {
            bytes.zeroize();
        }
    }
}

impl fmt::Debug for Key256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key256")
    }
}

/// Returns random bytes.
///
/// # Errors
/// [`CryptoError::Random`] where the system gives none.
pub fn random<const N: usize>() -> Result<[u8; N], CryptoError> {
    let mut bytes = [0; N];
    rand::fill(&mut bytes).map_err(|_| CryptoError::Random)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_bytes_are_a_key() {
        for length in [0, 31, 33] {
            assert_eq!(Key256::from_slice(&vec![7; length]).unwrap_err(), CryptoError::KeyLength);
        }
        assert_ne!(Key256::generate().unwrap().expose(), Key256::generate().unwrap().expose());
    }

    #[test]
    fn a_key_is_the_same_on_a_page_of_its_own() {
        let key = Key256::from_slice(&[7; KEY_LEN]).unwrap().on_locked_page().unwrap();
        assert_eq!(key.expose(), &[7; KEY_LEN]);
        assert!(matches!(key.0, Place::Page(_)));
        assert_eq!(format!("{key:?}"), "Key256");
    }
}
