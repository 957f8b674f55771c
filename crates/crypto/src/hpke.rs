//! Sealing to a public key: HPKE (RFC 9180) in base mode, one message a key schedule.
//!
//! The suite is DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM. The implementation is that of rustls, over the library that we
//! use for everything else. What it does not offer is a key pair from given material (RFC 9180, section 7.1.3); that is here.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use coffre_secret::SecretBytes;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256 as SUITE;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke as _, HpkePrivateKey, HpkePublicKey};
use zeroize::Zeroizing;

use crate::aead::TAG_LEN;
use crate::{CryptoError, Key256, hkdf};

/// The numbers of KEM, KDF and AEAD in the registry of RFC 9180, section 7.
pub(crate) const SUITE_ID: [u8; 6] = [0x00, 0x20, 0x00, 0x01, 0x00, 0x02];
/// The length of a public key, and of the encapsulated one in front of a ciphertext.
pub(crate) const PUBLIC_LEN: usize = 32;
/// By how many bytes a sealed message is longer than its plaintext.
pub(crate) const OVERHEAD: usize = PUBLIC_LEN + TAG_LEN;

/// `"HPKE-v1" ‖ suite id` of the KEM, which is in front of every label of its key derivation.
const LABEL: &[u8] = b"HPKE-v1KEM\x00\x20";

/// Whom a message is sealed to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PublicKey(pub(crate) [u8; PUBLIC_LEN]);

/// Both halves of a key pair. The private one is wiped when dropped.
pub(crate) struct KeyPair {
    private: HpkePrivateKey,
    public: PublicKey,
}

impl KeyPair {
    /// Derives the key pair of some material: `DeriveKeyPair`.
    pub(crate) fn derive(material: &Key256) -> Result<Self, CryptoError> {
        let labelled = Zeroizing::new([LABEL, b"dkp_prk", material.expose()].concat());
        let info = [b"\x00\x20", LABEL, b"sk"].concat();
        let private = hkdf::derive_bytes(&labelled, b"", &info)?;
        let key = PrivateKey::from_private_key(&X25519, private.expose()).map_err(|_| CryptoError::Library)?;
        let public = key.compute_public_key().map_err(|_| CryptoError::Library)?;
        let public = public.as_ref().try_into().map_err(|_| CryptoError::Library)?;
        Ok(Self { private: private.expose().to_vec().into(), public: PublicKey(public) })
    }

    pub(crate) fn public(&self) -> PublicKey {
        self.public
    }

    /// Opens what [`seal`] made for this key pair.
    pub(crate) fn open(&self, info: &[u8], associated: &[u8], sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        let (encapsulated, ciphertext) = sealed.split_at_checked(PUBLIC_LEN).ok_or(CryptoError::Malformed)?;
        let encapsulated = EncapsulatedSecret(encapsulated.to_vec());
        SUITE
            .open(&encapsulated, info, associated, ciphertext, &self.private)
            .map(SecretBytes::new)
            .map_err(|_| CryptoError::Unauthentic)
    }
}

/// Seals a message: `encapsulated key (32) ‖ ciphertext ‖ tag (16)`.
pub(crate) fn seal(to: &PublicKey, info: &[u8], associated: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let to = HpkePublicKey(to.0.to_vec());
    let (encapsulated, ciphertext) = SUITE.seal(info, associated, plaintext, &to).map_err(|_| CryptoError::Library)?;
    Ok([encapsulated.0, ciphertext].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_pair_is_that_of_rfc_9180() {
        // Appendix A.1.1, the recipient; the KEM is that of our suite.
        let material = "6db9df30aa07dd42ee5e8181afdb977e538f5e1fec8a06223f33f7013e525037";
        let pair = KeyPair::derive(&Key256::from_slice(&hex::decode(material).unwrap()).unwrap()).unwrap();
        let private = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8";
        assert_eq!(hex::encode(pair.private.secret_bytes()), private);
        let public = "3948cfe0ad1ddb695d780e59077195da6c56506b027329794ab02bca80815c4d";
        assert_eq!(hex::encode(pair.public().0), public);
    }

    #[test]
    fn the_suite_is_the_one_that_slots_name() {
        let suite = SUITE.suite();
        let numbers = [u16::from(suite.kem), u16::from(suite.sym.kdf_id), u16::from(suite.sym.aead_id)];
        assert_eq!(numbers.map(u16::to_be_bytes).concat(), SUITE_ID);
    }

    #[test]
    fn only_the_recipient_opens_and_only_what_was_sealed() {
        let pair = KeyPair::derive(&Key256::generate().unwrap()).unwrap();
        let sealed = seal(&pair.public(), b"info", b"header", b"message").unwrap();
        assert_eq!(sealed.len(), b"message".len() + OVERHEAD);
        assert_eq!(pair.open(b"info", b"header", &sealed).unwrap().expose(), b"message");
        assert_eq!(pair.open(b"other", b"header", &sealed).unwrap_err(), CryptoError::Unauthentic);
        assert_eq!(pair.open(b"info", b"other", &sealed).unwrap_err(), CryptoError::Unauthentic);
        let other = KeyPair::derive(&Key256::generate().unwrap()).unwrap();
        assert_eq!(other.open(b"info", b"header", &sealed).unwrap_err(), CryptoError::Unauthentic);
        for length in 0..sealed.len() {
            assert!(pair.open(b"info", b"header", &sealed[..length]).is_err(), "length {length}");
        }
        for index in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[index] ^= 1;
            assert!(pair.open(b"info", b"header", &changed).is_err(), "byte {index}");
        }
    }
}
