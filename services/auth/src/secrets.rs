//! What auth derives from its key file. The database holds nothing that opens without it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use coffre_crypto::hmac::{MAC_LEN, MacKey};
use coffre_crypto::{CryptoError, Key256, aead, hkdf};
use coffre_secret::{SecretBytes, equal};
use coffre_types::{ApiAccessId, ApiKeyId, SessionId, UserId};

use crate::domain::api_access::Binding;

/// What the stored hash of a generated client secret begins with; that of a chosen one is a PHC string.
const GENERATED: &str = "hmac-sha256$";

/// Says whether a key file opens a stored signing key: it is then the one of the installation.
#[must_use]
pub fn opens_signing_key(auth_key: &SecretBytes, kid: &str, public_key: &[u8], sealed: &[u8]) -> bool {
    Secrets::derive(auth_key).is_ok_and(|secrets| secrets.open_signing_key(kid, public_key, sealed).is_ok())
}

/// Hashes API keys. A key gets its id within the transaction that makes it, and is hashed there.
#[derive(Clone)]
pub(crate) struct ApiKeyHashes(MacKey);

impl ApiKeyHashes {
    /// Returns the hash of an API key as it is stored, bound to the key and to its user.
    pub(crate) fn hash(&self, user: UserId, key: ApiKeyId, secret: &SecretBytes) -> [u8; MAC_LEN] {
        self.0.mac(&[&user.get().to_be_bytes(), &key.get().to_be_bytes(), secret.expose()])
    }
}

/// Makes the MACs of refresh tokens. They are checked within the transaction that renews.
#[derive(Clone)]
pub(crate) struct RefreshMacs(MacKey);

impl RefreshMacs {
    /// Returns the MAC of a refresh token. Whoever writes the database and gives the session to another user or access breaks it.
    pub(crate) fn mac(&self, session: SessionId, user: UserId, access: ApiAccessId, generation: i64) -> [u8; MAC_LEN] {
        let numbers = [user.get(), access.get(), generation].map(i64::to_be_bytes);
        let [user, access, generation] = &numbers;
        self.0.mac(&[session.uuid().as_bytes(), user, access, generation])
    }
}

/// Makes the MACs by which confirmations count. They are made and checked within the transactions that rest on them.
#[derive(Clone)]
pub(crate) struct ConfirmationMacs(MacKey);

impl ConfirmationMacs {
    /// Returns the MAC of an operator's confirmation of one secret.
    pub(crate) fn mac(&self, binding: Binding, secret_hash: &str) -> [u8; MAC_LEN] {
        let Binding { access, operator, access_epoch, operator_epoch } = binding;
        let numbers = [access.get(), operator.get(), access_epoch, operator_epoch].map(i64::to_be_bytes);
        let [access, operator, access_epoch, operator_epoch] = &numbers;
        self.0.mac(&[access, operator, access_epoch, operator_epoch, secret_hash.as_bytes()])
    }

    /// Says whether what is stored is that MAC.
    pub(crate) fn confirms(&self, binding: Binding, secret_hash: &str, stored: &[u8]) -> bool {
        equal(stored, &self.mac(binding, secret_hash))
    }
}

/// The keys derived from `auth.key`, one a purpose.
pub(crate) struct Secrets {
    pepper: MacKey,
    api_keys: ApiKeyHashes,
    client_secrets: MacKey,
    client_pepper: MacKey,
    refresh_tokens: RefreshMacs,
    token_ids: MacKey,
    confirmations: ConfirmationMacs,
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
            api_keys: ApiKeyHashes(mac("coffre/auth/api-key/v1")?),
            client_secrets: mac("coffre/auth/generated-client-secret/v1")?,
            client_pepper: mac("coffre/auth/client-secret-pepper/v1")?,
            refresh_tokens: RefreshMacs(mac("coffre/auth/refresh-token/v1")?),
            token_ids: mac("coffre/auth/token-id/v1")?,
            confirmations: ConfirmationMacs(mac("coffre/auth/confirmation/v1")?),
            buckets: mac("coffre/auth/throttle-bucket/v1")?,
            sealing: hkdf::derive(&root, b"", "coffre/auth/signing-key-seal/v1")?,
            list_tokens: hkdf::derive(&root, b"", "coffre/auth/list-token/v1")?,
        })
    }

    /// Keys a password and binds it to its user: a hash copied to another user's row does not match there.
    pub(crate) fn keyed_password(&self, user: UserId, password: &[u8]) -> SecretBytes {
        SecretBytes::new(self.pepper.mac(&[&user.get().to_be_bytes(), password]).to_vec())
    }

    /// Returns what hashes API keys.
    pub(crate) fn api_key_hashes(&self) -> &ApiKeyHashes {
        &self.api_keys
    }

    /// Returns the hash of a generated client secret as it is stored, bound to its access.
    pub(crate) fn client_secret_hash(&self, access: ApiAccessId, secret: &SecretBytes) -> String {
        let mac = self.client_secrets.mac(&[&access.get().to_be_bytes(), secret.expose()]);
        format!("{GENERATED}{}", STANDARD_NO_PAD.encode(mac))
    }

    /// Keys a chosen client secret and binds it to its access, for Argon2id.
    pub(crate) fn keyed_client_secret(&self, access: ApiAccessId, secret: &[u8]) -> SecretBytes {
        SecretBytes::new(self.client_pepper.mac(&[&access.get().to_be_bytes(), secret]).to_vec())
    }

    /// Returns what makes the MACs of refresh tokens.
    pub(crate) fn refresh_macs(&self) -> &RefreshMacs {
        &self.refresh_tokens
    }

    /// Derives the id of the access token of a session's generation, so that the same token can be made again.
    pub(crate) fn token_id(&self, session: SessionId, generation: i64) -> uuid::Uuid {
        let mac = self.token_ids.mac(&[session.uuid().as_bytes(), &generation.to_be_bytes()]);
        uuid::Builder::from_random_bytes(mac.first_chunk().copied().unwrap_or_default()).into_uuid()
    }

    /// Returns what makes the MACs of confirmations.
    pub(crate) fn confirmation_macs(&self) -> &ConfirmationMacs {
        &self.confirmations
    }

    /// Chooses the counter of a key among `slots`, and the tag by which the key is known there.
    pub(crate) fn bucket(&self, kind: i64, parts: &[&[u8]], slots: u32) -> (i64, i64) {
        let kind = kind.to_be_bytes();
        let mut framed: Vec<u8> = kind.to_vec();
        for part in parts {
            framed.extend_from_slice(&u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            framed.extend_from_slice(part);
        }
        let mac = self.buckets.mac(&[&framed]);
        let first = mac.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
        let last = mac.last_chunk::<8>().map_or(0, |bytes| i64::from_be_bytes(*bytes));
        (i64::from(first % slots.max(1)), last)
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
    fn rule_2_5_no_hash_counts_for_anybody_else() {
        let secrets = secrets();
        let (secret, session) = (SecretBytes::new(vec![1; 32]), SessionId::new(uuid::Uuid::from_u128(9)));
        let [one, two] = [1, 2].map(ApiAccessId::from_trusted);
        let [ada, bob] = [1, 2].map(UserId::from_trusted);
        let [first, second] = [1, 2].map(ApiKeyId::from_trusted);
        let key = secrets.api_key_hashes().hash(ada, first, &secret);
        assert_ne!(key, secrets.api_key_hashes().hash(bob, first, &secret));
        assert_ne!(key, secrets.api_key_hashes().hash(ada, second, &secret));
        let stored = secrets.client_secret_hash(one, &secret);
        assert_eq!(stored, secrets.client_secret_hash(one, &secret));
        assert_ne!(stored, secrets.client_secret_hash(two, &secret));
        assert_ne!(stored, secrets.client_secret_hash(one, &SecretBytes::new(vec![2; 32])));
        let keyed = |access| secrets.keyed_client_secret(access, b"a chosen secret").expose().to_vec();
        assert_ne!(keyed(one), keyed(two));
        let mac = secrets.refresh_macs().mac(session, ada, one, 0);
        assert_ne!(mac, secrets.refresh_macs().mac(session, bob, one, 0));
        assert_ne!(mac, secrets.refresh_macs().mac(session, ada, two, 0));
        assert_ne!(mac, secrets.refresh_macs().mac(session, ada, one, 1));
        let binding = Binding { access: one, operator: ada, access_epoch: 0, operator_epoch: 0 };
        let macs = secrets.confirmation_macs();
        let confirmed = macs.mac(binding, &stored);
        assert!(macs.confirms(binding, &stored, &confirmed));
        for other in [
            Binding { access: two, ..binding },
            Binding { operator: bob, ..binding },
            Binding { access_epoch: 1, ..binding },
            Binding { operator_epoch: 1, ..binding },
        ] {
            assert!(!macs.confirms(other, &stored, &confirmed), "{other:?}");
        }
        assert!(!macs.confirms(binding, "hmac-sha256$another", &confirmed));
        assert!(!macs.confirms(binding, &stored, &[]));
    }

    #[test]
    fn a_token_id_is_the_same_each_time_and_a_uuid() {
        let (secrets, session) = (secrets(), SessionId::new(uuid::Uuid::from_u128(9)));
        let id = secrets.token_id(session, 3);
        assert_eq!((id, id.get_version_num()), (secrets.token_id(session, 3), 4));
        assert_ne!(id, secrets.token_id(session, 4));
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
            assert!((0..8).contains(&secrets.bucket(1, &[&[index]], 8).0));
        }
        assert_eq!(secrets.bucket(3, &[b"ab", b"c"], 1 << 30), secrets.bucket(3, &[b"ab", b"c"], 1 << 30));
        let [one, other] = [[&b"ab"[..], b"c"], [b"a", b"bc"]].map(|parts| secrets.bucket(3, &parts, 1 << 30));
        assert!(one.0 != other.0 && one.1 != other.1);
        assert_ne!(secrets.bucket(1, &[b"a"], 1).1, secrets.bucket(1, &[b"b"], 1).1, "one place, two tags");
    }
}
