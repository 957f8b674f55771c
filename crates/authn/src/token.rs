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
        Ok(VerifiedToken { identity, kid, generation: self.generation })
    }
}

/// Signs a token with an Ed25519 key in PKCS#8.
///
/// # Errors
/// Where the key is not an Ed25519 key.
pub fn sign(
    identity: &Identity,
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
        jti: Uuid::new_v4().to_string(),
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
