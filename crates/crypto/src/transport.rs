//! Transport keys: RSA-3072 with OAEP (SHA-256, MGF1 with SHA-256), to hide values from logs and proxies on their way.

use std::fmt;

use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, PrivateDecryptingKey, PublicEncryptingKey,
};
use coffre_secret::SecretBytes;

use crate::CryptoError;

/// The length of a ciphertext in bytes.
pub const CIPHERTEXT_LEN: usize = 384;
/// The longest plaintext in bytes: 384 − 2 × 32 − 2.
pub const MAX_PLAINTEXT_LEN: usize = 318;

/// A transport key with both halves. Its memory is wiped by the library when dropped.
pub struct TransportKey {
    key: OaepPrivateDecryptingKey,
    source: PrivateDecryptingKey,
}

impl TransportKey {
    /// Makes a key. It takes from a tenth of a second to a few seconds of one core.
    ///
    /// # Errors
    /// [`CryptoError::Random`] where the system gives no random bytes.
    pub fn generate() -> Result<Self, CryptoError> {
        let source = PrivateDecryptingKey::generate(KeySize::Rsa3072).map_err(|_| CryptoError::Random)?;
        Self::new(source)
    }

    fn new(source: PrivateDecryptingKey) -> Result<Self, CryptoError> {
        let key = OaepPrivateDecryptingKey::new(source.clone()).map_err(|_| CryptoError::Library)?;
        if key.key_size_bytes() != CIPHERTEXT_LEN {
            return Err(CryptoError::KeyLength);
        }
        Ok(Self { key, source })
    }

    /// Reads the private half in PKCS#8.
    ///
    /// # Errors
    /// [`CryptoError::Malformed`] where the bytes are no RSA key of 3 072 bits.
    pub fn from_pkcs8(der: &SecretBytes) -> Result<Self, CryptoError> {
        PrivateDecryptingKey::from_pkcs8(der.expose()).map_err(|_| CryptoError::Malformed).and_then(Self::new)
    }

    /// Returns the private half in PKCS#8, to be sealed.
    ///
    /// # Errors
    /// [`CryptoError::Library`] where the library cannot write it.
    pub fn to_pkcs8(&self) -> Result<SecretBytes, CryptoError> {
        let der: Pkcs8V1Der<'_> = self.source.as_der().map_err(|_| CryptoError::Library)?;
        Ok(SecretBytes::new(der.as_ref().to_vec()))
    }

    /// Returns modulus and exponent of the public half, big-endian without leading zeros.
    ///
    /// # Errors
    /// [`CryptoError::Library`] where the library cannot write it.
    pub fn public_parts(&self) -> Result<(Vec<u8>, Vec<u8>), CryptoError> {
        let public: PublicEncryptingKey = self.source.public_key();
        let der: PublicKeyX509Der<'_> = public.as_der().map_err(|_| CryptoError::Library)?;
        read_public_parts(der.as_ref()).ok_or(CryptoError::Library)
    }

    /// Decrypts a ciphertext.
    ///
    /// # Errors
    /// [`CryptoError::Unauthentic`] where it does not decrypt under this key, without saying why.
    pub fn decrypt(&self, ciphertext: &[u8]) -> Result<SecretBytes, CryptoError> {
        let mut buffer = vec![0; self.key.min_output_size()];
        let length = self
            .key
            .decrypt(&OAEP_SHA256_MGF1SHA256, ciphertext, &mut buffer, None)
            .map(|plaintext| plaintext.len())
            .map_err(|_| CryptoError::Unauthentic)?;
        let whole = SecretBytes::new(buffer);
        Ok(SecretBytes::new(whole.expose().get(..length).unwrap_or_default().to_vec()))
    }
}

impl fmt::Debug for TransportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TransportKey")
    }
}

/// Reads modulus and exponent out of a `SubjectPublicKeyInfo` (RFC 5280, section 4.1; RFC 3279, section 2.3.1).
fn read_public_parts(der: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (info, _) = read_element(der, 0x30)?;
    let (_algorithm, rest) = read_element(info, 0x30)?;
    let (bits, _) = read_element(rest, 0x03)?;
    let (unused, key) = bits.split_first()?;
    if *unused != 0 {
        return None;
    }
    let (numbers, _) = read_element(key, 0x30)?;
    let (modulus, rest) = read_element(numbers, 0x02)?;
    let (exponent, _) = read_element(rest, 0x02)?;
    Some((without_zeros(modulus), without_zeros(exponent)))
}

fn without_zeros(number: &[u8]) -> Vec<u8> {
    number.iter().copied().skip_while(|byte| *byte == 0).collect()
}

/// Splits one DER element with the expected tag off: its content and what follows.
fn read_element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = if *first < 0x80 {
        (usize::from(*first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.len() > 4 {
            return None;
        }
        (digits.iter().fold(0, |sum, digit| (sum << 8) | usize::from(*digit)), rest)
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::OaepPublicEncryptingKey;

    use super::*;

    #[test]
    fn a_transport_key_survives_its_table_and_decrypts() {
        let key = TransportKey::generate().unwrap();
        let read = TransportKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
        let (modulus, exponent) = read.public_parts().unwrap();
        assert_eq!(modulus.len(), CIPHERTEXT_LEN);
        assert_eq!(exponent, [1, 0, 1]);

        let public = OaepPublicEncryptingKey::new(key.source.public_key()).unwrap();
        assert_eq!(public.max_plaintext_size(&OAEP_SHA256_MGF1SHA256), MAX_PLAINTEXT_LEN);
        let mut buffer = [0; CIPHERTEXT_LEN];
        let ciphertext = public.encrypt(&OAEP_SHA256_MGF1SHA256, b"secret", &mut buffer, None).unwrap().to_vec();
        assert_eq!(read.decrypt(&ciphertext).unwrap().expose(), b"secret");
        let mut changed = ciphertext.clone();
        changed[100] ^= 1;
        assert_eq!(read.decrypt(&changed).unwrap_err(), CryptoError::Unauthentic);
        assert_eq!(read.decrypt(&ciphertext[..383]).unwrap_err(), CryptoError::Unauthentic);
    }
}
