//! AES-256-GCM with a fresh random nonce in front: `nonce (12) ‖ ciphertext ‖ tag (16)`.
//!
//! With random nonces one key may seal 2³² times (NIST SP 800-38D, section 8.3). Values have a key each ([`crate::value`]); what is
//! sealed here directly is rare: terms, slots, signing and transport keys.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use coffre_secret::SecretBytes;
use zeroize::Zeroize as _;

use crate::{CryptoError, Key256, key};

/// The length of a nonce in bytes.
pub const NONCE_LEN: usize = 12;
/// The length of a tag in bytes.
pub const TAG_LEN: usize = 16;

fn cipher(key: &Key256) -> Result<LessSafeKey, CryptoError> {
    UnboundKey::new(&AES_256_GCM, key.expose()).map(LessSafeKey::new).map_err(|_| CryptoError::Library)
}

/// Seals a plaintext and binds it to the associated data.
///
/// # Errors
/// [`CryptoError::Random`] where there is no nonce to be had.
pub fn seal(key: &Key256, associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let nonce = key::random::<NONCE_LEN>()?;
    let mut out = Vec::with_capacity(NONCE_LEN + plaintext.len() + TAG_LEN);
    out.extend_from_slice(&nonce);
    seal_after(key, nonce, associated, plaintext, &mut out)?;
    Ok(out)
}

/// Appends ciphertext and tag to what is in `out` already.
pub(crate) fn seal_after(
    key: &Key256,
    nonce: [u8; NONCE_LEN],
    associated: &[u8],
    plaintext: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), CryptoError> {
    let start = out.len();
    // Room for the tag too, so that the plaintext is never left behind by a reallocation.
    out.reserve(plaintext.len() + TAG_LEN);
    out.extend_from_slice(plaintext);
    let sealed = match out.get_mut(start..) {
        Some(body) => cipher(key)
            .and_then(|cipher| {
                cipher
                    .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), Aad::from(associated), body)
                    .map_err(|_| CryptoError::Library)
            })
            .inspect_err(|_| body.zeroize()),
        None => Err(CryptoError::Library),
    };
    out.extend_from_slice(sealed?.as_ref());
    Ok(())
}

/// Opens what [`seal`] made under the same key and associated data.
///
/// # Errors
/// [`CryptoError::Malformed`] where it is too short, [`CryptoError::Unauthentic`] where it does not open.
pub fn open(key: &Key256, associated: &[u8], sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE_LEN>().ok_or(CryptoError::Malformed)?;
    open_body(key, *nonce, associated, body)
}

/// Opens `ciphertext ‖ tag`.
pub(crate) fn open_body(
    key: &Key256,
    nonce: [u8; NONCE_LEN],
    associated: &[u8],
    body: &[u8],
) -> Result<SecretBytes, CryptoError> {
    if body.len() < TAG_LEN {
        return Err(CryptoError::Malformed);
    }
    let mut buffer = body.to_vec();
    let opened = cipher(key)?
        .open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(associated), &mut buffer)
        .map(|plaintext| plaintext.len());
    match opened {
        Ok(length) => {
            buffer.truncate(length);
            Ok(SecretBytes::new(buffer))
        }
        Err(_) => {
            buffer.zeroize();
            Err(CryptoError::Unauthentic)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_under_its_key_and_associated_data() {
        let key = Key256::generate().unwrap();
        let sealed = seal(&key, b"place", b"plaintext").unwrap();
        assert_eq!(open(&key, b"place", &sealed).unwrap().expose(), b"plaintext");
        assert_eq!(open(&key, b"other", &sealed).unwrap_err(), CryptoError::Unauthentic);
        let other = Key256::generate().unwrap();
        assert_eq!(open(&other, b"place", &sealed).unwrap_err(), CryptoError::Unauthentic);
    }

    #[test]
    fn no_changed_bit_opens() {
        let key = Key256::generate().unwrap();
        let sealed = seal(&key, b"", b"x").unwrap();
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(open(&key, b"", &changed).is_err(), "byte {index}");
        }
        for length in 0..sealed.len() {
            assert!(open(&key, b"", &sealed[..length]).is_err(), "length {length}");
        }
    }

    #[test]
    fn the_same_plaintext_never_looks_the_same() {
        let key = Key256::generate().unwrap();
        assert_ne!(seal(&key, b"", b"x").unwrap(), seal(&key, b"", b"x").unwrap());
    }
}
