//! 256-bit keys and random bytes.

use std::fmt;

use aws_lc_rs::rand;
use coffre_secret::SecretBytes;
use zeroize::Zeroizing;

use crate::CryptoError;

/// The length of every symmetric key of ours, in bytes.
pub const KEY_LEN: usize = 32;

/// A symmetric key of 256 bits, wiped when dropped.
pub struct Key256(Zeroizing<[u8; KEY_LEN]>);

impl Key256 {
    /// Makes a random key.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        let mut bytes = Zeroizing::new([0; KEY_LEN]);
        rand::fill(bytes.as_mut_slice()).map_err(|_| CryptoError::Random)?;
        Ok(Self(bytes))
    }

    /// Takes the bytes of a key, from a key file for instance.
    ///
    /// # Errors
    /// [`CryptoError::KeyLength`] unless there are exactly 32.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, CryptoError> {
        let array: [u8; KEY_LEN] = bytes.try_into().map_err(|_| CryptoError::KeyLength)?;
        Ok(Self(Zeroizing::new(array)))
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
        &self.0
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
