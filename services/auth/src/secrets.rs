//! What auth derives from its key file. The database holds nothing that opens without it.

use coffre_crypto::hmac::MacKey;
use coffre_crypto::{CryptoError, Key256, aead, hkdf};
use coffre_secret::SecretBytes;
use coffre_types::UserId;

/// The keys derived from `auth.key`, one a purpose.
pub(crate) struct Secrets {
    pepper: MacKey,
    buckets: MacKey,
    sealing: Key256,
    list_tokens: Key256,
}

impl Secrets {
    /// Derives the keys from the key file's 32 bytes.
    pub(crate) fn derive(auth_key: &SecretBytes) -> Result<Self, CryptoError> {
        let root = Key256::from_secret(auth_key)?;
        let mac = |purpose| hkdf::derive(&root, b"", purpose).map(|key| MacKey::new(&key));
        Ok(Self {
            pepper: mac("coffre/auth/password-pepper/v1")?,
            buckets: mac("coffre/auth/throttle-bucket/v1")?,
            sealing: hkdf::derive(&root, b"", "coffre/auth/signing-key-seal/v1")?,
            list_tokens: hkdf::derive(&root, b"", "coffre/auth/list-token/v1")?,
        })
    }

    /// Keys a password and binds it to its user: a hash copied to another user's row does not match there.
    pub(crate) fn keyed_password(&self, user: UserId, password: &[u8]) -> SecretBytes {
        SecretBytes::new(self.pepper.mac(&[&user.get().to_be_bytes(), password]).to_vec())
    }

    /// Chooses the counter of a key among `slots`.
    pub(crate) fn bucket(&self, kind: i64, parts: &[&[u8]], slots: u32) -> i64 {
        let kind = kind.to_be_bytes();
        let mut framed: Vec<u8> = kind.to_vec();
        for part in parts {
            framed.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            framed.extend_from_slice(part);
        }
        let mac = self.buckets.mac(&[&framed]);
        let first = mac.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        i64::from(first % slots.max(1))
    }

    /// Seals a private signing key to its place.
    pub(crate) fn seal_signing_key(&self, kid: &str, public: &[u8], private: &[u8]) -> Result<Vec<u8>, CryptoError> {
        aead::seal(&self.sealing, &signing_key_place(kid, public), private)
    }

    /// Opens a private signing key.
    pub(crate) fn open_signing_key(&self, kid: &str, public: &[u8], sealed: &[u8]) -> Result<SecretBytes, CryptoError> {
        aead::open(&self.sealing, &signing_key_place(kid, public), sealed)
    }

    /// Returns the key that signs page tokens.
    pub(crate) fn list_token_key(&self) -> &[u8; 32] {
        self.list_tokens.expose()
    }
}

fn signing_key_place(kid: &str, public: &[u8]) -> Vec<u8> {
    let mut place = b"coffre/auth/signing_keys/sealed_private/v1".to_vec();
    for part in [kid.as_bytes(), public] {
        place.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
        place.extend_from_slice(part);
    }
    place
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets() -> Secrets {
        Secrets::derive(&SecretBytes::new(vec![7; 32])).unwrap()
    }

    #[test]
    fn a_keyed_password_belongs_to_its_user() {
        let secrets = secrets();
        let of = |user| secrets.keyed_password(UserId::from_trusted(user), b"a long password").expose().to_vec();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }

    #[test]
    fn a_signing_key_opens_in_its_own_row_only() {
        let secrets = secrets();
        let sealed = secrets.seal_signing_key("a", b"public", b"private").unwrap();
        assert_eq!(secrets.open_signing_key("a", b"public", &sealed).unwrap().expose(), b"private");
        assert!(secrets.open_signing_key("b", b"public", &sealed).is_err());
        assert!(secrets.open_signing_key("a", b"other", &sealed).is_err());
    }

    #[test]
    fn buckets_are_within_their_number() {
        let secrets = secrets();
        for index in 0..100_u8 {
            assert!((0..8).contains(&secrets.bucket(1, &[&[index]], 8)));
        }
        assert_eq!(secrets.bucket(3, &[b"ab", b"c"], 1 << 30), secrets.bucket(3, &[b"ab", b"c"], 1 << 30));
        assert_ne!(secrets.bucket(3, &[b"ab", b"c"], 1 << 30), secrets.bucket(3, &[b"a", b"bc"], 1 << 30));
    }
}
