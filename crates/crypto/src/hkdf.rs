//! HKDF-SHA-256 (RFC 5869): one key out of another, for one purpose.

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use zeroize::Zeroizing;

use crate::key::KEY_LEN;
use crate::{CryptoError, Key256};

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        KEY_LEN
    }
}

/// Derives a key of 32 bytes. `info` names the purpose: `coffre/<area>/<purpose>/v1`.
///
/// # Errors
/// [`CryptoError::Library`], which does not happen for these lengths.
pub fn derive(key: &Key256, salt: &[u8], info: &str) -> Result<Key256, CryptoError> {
    derive_from(key.expose(), salt, info)
}

/// Derives a key of 32 bytes from material of any length.
///
/// # Errors
/// [`CryptoError::Library`], which does not happen for these lengths.
pub fn derive_from(material: &[u8], salt: &[u8], info: &str) -> Result<Key256, CryptoError> {
    derive_bytes(material, salt, info.as_bytes())
}

/// Derives a key of 32 bytes for a purpose whose name is no text.
pub(crate) fn derive_bytes(material: &[u8], salt: &[u8], info: &[u8]) -> Result<Key256, CryptoError> {
    let mut out = Zeroizing::new([0; KEY_LEN]);
    Salt::new(HKDF_SHA256, salt)
        .extract(material)
        .expand(&[info], Length)
        .and_then(|okm| okm.fill(out.as_mut_slice()))
        .map_err(|_| CryptoError::Library)?;
    Key256::from_slice(out.as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn salt_and_purpose_tell_keys_apart() {
        let key = Key256::from_slice(&[7; 32]).unwrap();
        let one = derive(&key, b"salt", "coffre/test/one/v1").unwrap();
        assert_eq!(one.expose(), derive(&key, b"salt", "coffre/test/one/v1").unwrap().expose());
        assert_ne!(one.expose(), derive(&key, b"salt", "coffre/test/two/v1").unwrap().expose());
        assert_ne!(one.expose(), derive(&key, b"other", "coffre/test/one/v1").unwrap().expose());
    }

    #[test]
    fn agrees_with_rfc_5869_case_3() {
        let okm = derive_from(&[0x0b; 22], b"", "").unwrap();
        let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d";
        let hex: String = okm.expose().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, expected);
    }
}
