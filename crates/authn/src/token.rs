//! The form of a token: what it claims, how its kinds are told apart, how its signature is checked.
//!
//! A token carries identity and nothing else. Its kind is said three times, in the header's `typ`, in `aud` and in the claim `typ`;
//! all three must agree, so that a token of one kind never passes for one of another.

use std::collections::HashSet;

use coffre_types::{SessionId, Timestamp, TokenKind, UserId};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The largest token that is looked at, in bytes.
pub const MAX_BYTES: usize = 8192;

/// The claims of a token (RFC 7519).
#[derive(Serialize, Deserialize, Clone, Debug)]
pub struct Claims {
    /// Who issued it.
    pub iss: String,
    /// For whom: `coffre` for sessions, `public-api` for OAuth.
    pub aud: String,
    /// The kind: `session` or `public-api`.
    pub typ: String,
    /// The user's id.
    pub sub: String,
    /// The session, a UUID.
    pub sid: String,
    /// The user's epoch when the token was issued.
    pub epoch: i64,
    /// The token's own id.
    pub jti: String,
    /// When it was issued, in seconds since 1970.
    pub iat: i64,
    /// When it expires, in seconds since 1970.
    pub exp: i64,
}

/// The words by which a kind of token is known.
struct Words {
    header: &'static str,
    audience: &'static str,
    claim: &'static str,
}

const fn words(kind: TokenKind) -> Words {
    match kind {
        TokenKind::Session => Words { header: "JWT", audience: "coffre", claim: "session" },
        TokenKind::PublicApi => Words { header: "at+jwt", audience: "public-api", claim: "public-api" },
    }
}

/// What a new token says.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The user.
    pub user_id: UserId,
    /// The session.
    pub session_id: SessionId,
    /// The user's epoch.
    pub epoch: i64,
    /// The kind of token.
    pub kind: TokenKind,
    /// When it is issued.
    pub issued: Timestamp,
    /// When it expires.
    pub expires: Timestamp,
}

/// A token whose signature, issuer and kind were checked. Its expiry was not: see [`VerifiedToken::is_expired`].
#[derive(Clone, Debug)]
pub struct VerifiedToken {
    /// What it says.
    pub identity: Identity,
    /// The token's own id.
    pub token_id: String,
    /// The key that signed it.
    pub kid: String,
    /// The generation of the key set against which it was checked.
    pub generation: u64,
}

impl VerifiedToken {
    /// Says whether it has expired.
    #[must_use]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.identity.expires <= now
    }
}

/// Why a token was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is no token of ours: form, algorithm, signature, issuer, kind or a claim.
    #[error("not a token of this installation")]
    Invalid,
    /// It names a key that is not in the set.
    #[error("signed with a key that is not in use")]
    UnknownKey,
}

/// The public keys under which tokens are accepted now.
pub struct KeySet {
    generation: u64,
    issuer: String,
    keys: Vec<(String, DecodingKey)>,
    validation: Validation,
}

impl KeySet {
    /// Makes a set from key ids and Ed25519 public keys of 32 bytes. Keys of another length are left out.
    #[must_use]
    pub fn new<'a>(issuer: &str, generation: u64, keys: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Self {
        install_crypto();
        // The algorithm is ours to say, never the token's. `exp` is checked against the injected clock, on every use.
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.validate_exp = false;
        validation.leeway = 0;
        validation.set_issuer(&[issuer]);
        validation.set_audience(&[words(TokenKind::Session).audience, words(TokenKind::PublicApi).audience]);
        validation.required_spec_claims =
            ["exp", "iss", "aud", "sub"].map(str::to_owned).into_iter().collect::<HashSet<_>>();
        let keys = keys
            .into_iter()
            .filter(|(_, public)| public.len() == 32)
            .map(|(kid, public)| (kid.to_owned(), DecodingKey::from_ed_der(public)))
            .collect();
        Self { generation, issuer: issuer.to_owned(), keys, validation }
    }

    /// Returns the set's generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Says whether a key is in the set.
    #[must_use]
    pub fn contains(&self, kid: &str) -> bool {
        self.keys.iter().any(|(known, _)| known == kid)
    }

    /// Checks a token's form, signature, issuer and kind; not its expiry.
    ///
    /// # Errors
    /// [`TokenFault`].
    pub fn verify(&self, token: &str) -> Result<VerifiedToken, TokenFault> {
        if token.len() > MAX_BYTES {
            return Err(TokenFault::Invalid);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenFault::Invalid)?;
        if header.alg != Algorithm::EdDSA || header.crit.is_some() {
            return Err(TokenFault::Invalid);
        }
        let kid = header.kid.ok_or(TokenFault::Invalid)?;
        let (_, key) = self.keys.iter().find(|(known, _)| *known == kid).ok_or(TokenFault::UnknownKey)?;
        let claims: Claims =
            jsonwebtoken::decode(token, key, &self.validation).map_err(|_| TokenFault::Invalid)?.claims;
        if claims.iss != self.issuer {
            return Err(TokenFault::Invalid);
        }
        let kind = [TokenKind::Session, TokenKind::PublicApi]
            .into_iter()
            .find(|kind| {
                let words = words(*kind);
                header.typ.as_deref() == Some(words.header) && claims.aud == words.audience && claims.typ == words.claim
            })
            .ok_or(TokenFault::Invalid)?;
        let identity = Identity {
            user_id: claims.sub.parse().map_err(|_| TokenFault::Invalid)?,
            session_id: SessionId::new(claims.sid.parse().map_err(|_| TokenFault::Invalid)?),
            epoch: claims.epoch,
            kind,
            issued: Timestamp::from_seconds(claims.iat),
            expires: Timestamp::from_seconds(claims.exp),
        };
        Ok(VerifiedToken { identity, token_id: claims.jti, kid, generation: self.generation })
    }
}

/// Signs a token with an Ed25519 key in PKCS#8, under an id of its own.
///
/// # Errors
/// Where the key is not an Ed25519 key.
pub fn sign(
    identity: &Identity,
    issuer: &str,
    kid: &str,
    key: &EncodingKey,
) -> Result<String, jsonwebtoken::errors::Error> {
    sign_with_id(identity, Uuid::new_v4(), issuer, kid, key)
}

/// Signs a token under a given id: the same token each time, as Ed25519 signs the same alike.
///
/// # Errors
/// Where the key is not an Ed25519 key.
pub fn sign_with_id(
    identity: &Identity,
    token_id: Uuid,
    issuer: &str,
    kid: &str,
    key: &EncodingKey,
) -> Result<String, jsonwebtoken::errors::Error> {
    install_crypto();
    let words = words(identity.kind);
    let mut header = Header::new(Algorithm::EdDSA);
    header.typ = Some(words.header.to_owned());
    header.kid = Some(kid.to_owned());
    let claims = Claims {
        iss: issuer.to_owned(),
        aud: words.audience.to_owned(),
        typ: words.claim.to_owned(),
        sub: identity.user_id.to_string(),
        sid: identity.session_id.to_string(),
        epoch: identity.epoch,
        jti: token_id.to_string(),
        iat: identity.issued.seconds(),
        exp: identity.expires.seconds(),
    };
    jsonwebtoken::encode(&header, &claims, key)
}

/// Chooses aws-lc for signatures. A dependency that switches on a second backend would otherwise panic at the first token.
fn install_crypto() {
    // An error means that it is installed already.
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::tests::Key;

    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);

    fn identity(kind: TokenKind) -> Identity {
        Identity {
            user_id: UserId::from_trusted(7),
            session_id: SessionId::new(Uuid::from_u128(5)),
            epoch: 3,
            kind,
            issued: NOW,
            expires: NOW.plus(Duration::from_secs(1200)),
        }
    }

    fn set(key: &Key) -> KeySet {
        KeySet::new("coffre", 1, [(key.kid, key.public.as_slice())])
    }

    /// Signs any header and claims with a good key.
    fn forge(key: &Key, header: &Value, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(header), encode(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key.private, Algorithm::EdDSA).unwrap();
        format!("{message}.{signature}")
    }

    fn header() -> Value {
        json!({"alg": "EdDSA", "typ": "JWT", "kid": "one"})
    }

    fn claims() -> Value {
        json!({"iss": "coffre", "aud": "coffre", "typ": "session", "sub": "7", "sid": Uuid::from_u128(5).to_string(),
               "epoch": 3, "jti": "x", "iat": NOW.seconds(), "exp": NOW.seconds() + 1200})
    }

    #[test]
    fn a_token_of_ours_comes_back_with_its_identity() {
        let key = Key::new("one");
        let token = sign(&identity(TokenKind::Session), "coffre", "one", &key.private).unwrap();
        let verified = set(&key).verify(&token).unwrap();
        assert_eq!(verified.identity.user_id.get(), 7);
        assert_eq!(verified.identity.epoch, 3);
        assert!(!verified.is_expired(NOW.plus(Duration::from_millis(1_199_999))));
        assert!(verified.is_expired(NOW.plus(Duration::from_secs(1200))));
        assert!(
            set(&key).verify(&forge(&key, &header(), &claims())).is_ok(),
            "the forge below is good but for its fault"
        );
    }

    #[test]
    fn alg_none_and_hs256_with_the_public_key_are_refused() {
        let key = Key::new("one");
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        for name in ["none", "None", "NONE", "nOnE"] {
            let head = encode(&json!({"alg": name, "typ": "JWT", "kid": "one"}));
            for signature in ["", "AAAA"] {
                let token = format!("{head}.{}.{signature}", encode(&claims()));
                assert_eq!(set(&key).verify(&token).unwrap_err(), TokenFault::Invalid, "{name}");
            }
        }
        let mut head = Header::new(Algorithm::HS256);
        head.kid = Some("one".into());
        for secret in [key.public.clone(), URL_SAFE_NO_PAD.encode(&key.public).into_bytes()] {
            let token = jsonwebtoken::encode(&head, &claims(), &EncodingKey::from_secret(&secret)).unwrap();
            assert_eq!(set(&key).verify(&token).unwrap_err(), TokenFault::Invalid);
        }
    }

    #[test]
    fn a_foreign_key_is_refused_whatever_kid_it_claims() {
        let (key, foreign) = (Key::new("one"), Key::new("one"));
        let token = sign(&identity(TokenKind::Session), "coffre", "one", &foreign.private).unwrap();
        assert_eq!(set(&key).verify(&token).unwrap_err(), TokenFault::Invalid);
        for kid in ["two", "../../keys/one", "' OR '1'='1", ""] {
            let token = sign(&identity(TokenKind::Session), "coffre", kid, &key.private).unwrap();
            assert_eq!(set(&key).verify(&token).unwrap_err(), TokenFault::UnknownKey, "{kid}");
        }
        let mut without = header();
        without.as_object_mut().unwrap().remove("kid");
        assert_eq!(set(&key).verify(&forge(&key, &without, &claims())).unwrap_err(), TokenFault::Invalid);
    }

    #[test]
    fn rule_1_6_kinds_never_pass_for_one_another() {
        let key = Key::new("one");
        for kind in [TokenKind::Session, TokenKind::PublicApi] {
            let token = sign(&identity(kind), "coffre", "one", &key.private).unwrap();
            assert_eq!(set(&key).verify(&token).unwrap().identity.kind, kind);
        }
        let with = |place: &str, name: &str, value: &str| {
            let (mut header, mut claims) = (header(), claims());
            let target = if place == "header" { &mut header } else { &mut claims };
            target[name] = json!(value);
            set(&key).verify(&forge(&key, &header, &claims)).map(|_| ())
        };
        for (place, name, value) in [
            ("header", "typ", "at+jwt"),
            ("header", "typ", "jwt"),
            ("claims", "aud", "public-api"),
            ("claims", "aud", "internal"),
            ("claims", "typ", "public-api"),
            ("claims", "iss", "another"),
            ("claims", "sub", "07"),
            ("claims", "sub", "-7"),
            ("claims", "sid", "not a uuid"),
        ] {
            assert_eq!(with(place, name, value), Err(TokenFault::Invalid), "{place} {name} {value}");
        }
    }

    #[test]
    fn every_claim_is_required() {
        let key = Key::new("one");
        for claim in ["iss", "aud", "typ", "sub", "sid", "epoch", "jti", "iat", "exp"] {
            let mut claims = claims();
            claims.as_object_mut().unwrap().remove(claim);
            assert_eq!(set(&key).verify(&forge(&key, &header(), &claims)).unwrap_err(), TokenFault::Invalid, "{claim}");
        }
    }

    #[test]
    fn garbage_is_refused_without_a_panic() {
        let key = Key::new("one");
        for token in ["", ".", "..", "...", "a.b.c", "é.é.é", &"x".repeat(MAX_BYTES + 1), "eyJ.eyJ.eyJ"] {
            assert_eq!(set(&key).verify(token).unwrap_err(), TokenFault::Invalid);
        }
    }
}
