//! Signing keys: made, known before they sign, rotated, withdrawn.
//!
//! ```text
//! made ── key_overlap ──▶ signing ── a newer one signs ──▶ accepted until its last token has expired ──▶ gone
//!                            └── withdrawn: refused everywhere within a second
//! ```

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use coffre_authn::token::{self, Identity, KeySet, TokenFault, VerifiedToken};
use coffre_types::Timestamp;
use jsonwebtoken::EncodingKey;
use uuid::Uuid;

use super::Auth;
use super::api_access::LONGEST_ACCESS_TOKEN_LIFE;
use super::error::Fault;
use crate::secrets::Secrets;
use crate::store::changes::{self, Subject};
use crate::store::installation::{self, Guard};
use crate::store::keys::{self, KeyRow};

/// A public signing key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct PublicKey {
    pub(crate) kid: String,
    pub(crate) bytes: Vec<u8>,
}

struct PrivateKey {
    kid: String,
    active_from: Timestamp,
    key: EncodingKey,
}

struct Keys {
    set: KeySet,
    private: Vec<PrivateKey>,
    public: Arc<[PublicKey]>,
}

/// Signs and verifies tokens with the keys that are accepted now.
pub(crate) struct Signer {
    issuer: String,
    keys: ArcSwap<Keys>,
}

impl Signer {
    /// Opens the keys.
    pub(crate) fn new(issuer: &str, secrets: &Secrets, rows: Vec<KeyRow>) -> Result<Self, Fault> {
        let keys = open(issuer, secrets, rows)?;
        Ok(Self { issuer: issuer.to_owned(), keys: ArcSwap::from_pointee(keys) })
    }

    /// Replaces the keys.
    pub(crate) fn replace(&self, secrets: &Secrets, rows: Vec<KeyRow>) -> Result<(), Fault> {
        self.keys.store(Arc::new(open(&self.issuer, secrets, rows)?));
        Ok(())
    }

    /// Signs a token under an id of its own, with the newest key that is active.
    pub(crate) fn sign(&self, identity: &Identity, now: Timestamp) -> Result<String, Fault> {
        self.sign_with_id(identity, Uuid::new_v4(), now)
    }

    /// Signs a token under a given id with the key that was active at a moment: the same token each time, while the keys are the same.
    ///
    /// Before the first key, which is where a clock that was set back may stand, the oldest signs: everybody knows it.
    pub(crate) fn sign_with_id(&self, identity: &Identity, id: Uuid, then: Timestamp) -> Result<String, Fault> {
        let keys = self.keys.load();
        let active = keys.private.iter().filter(|key| key.active_from <= then).max_by_key(|key| key.active_from);
        let oldest = || keys.private.iter().min_by_key(|key| key.active_from);
        let key = active.or_else(oldest).ok_or(Fault::NoSigningKey)?;
        token::sign_with_id(identity, id, &self.issuer, &key.kid, &key.key).map_err(|_| Fault::Signing)
    }

    /// Returns the `iss` of its tokens.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Checks a token's form, signature, issuer and kind; not its expiry, and not its session.
    pub(crate) fn verify(&self, token: &str) -> Result<VerifiedToken, TokenFault> {
        self.keys.load().set.verify(token)
    }

    /// Returns the public keys.
    pub(crate) fn public(&self) -> Arc<[PublicKey]> {
        self.keys.load().public.clone()
    }
}

fn open(issuer: &str, secrets: &Secrets, rows: Vec<KeyRow>) -> Result<Keys, Fault> {
    let mut private = Vec::with_capacity(rows.len());
    let mut public = Vec::with_capacity(rows.len());
    for row in rows {
        let opened = secrets.open_signing_key(&row.kid, &row.public_key, &row.sealed_private)?;
        private.push(PrivateKey {
            kid: row.kid.clone(),
            active_from: Timestamp::from_micros(row.active_from),
            key: EncodingKey::from_ed_der(opened.expose()),
        });
        public.push(PublicKey { kid: row.kid, bytes: row.public_key });
    }
    let set = KeySet::new(issuer, 0, public.iter().map(|key| (key.kid.as_str(), key.bytes.as_slice())));
    Ok(Keys { set, private, public: public.into() })
}

/// Makes a key that signs from a moment on.
pub(crate) fn generate(secrets: &Secrets, now: Timestamp, active_from: Timestamp) -> Result<KeyRow, Fault> {
    let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).map_err(|_| Fault::Signing)?;
    let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).map_err(|_| Fault::Signing)?;
    let public_key = pair.public_key().as_ref().to_vec();
    let kid = Uuid::new_v4().simple().to_string();
    let sealed_private = secrets.seal_signing_key(&kid, &public_key, document.as_ref())?;
    let (created_at, active_from) = (now.micros(), active_from.micros());
    Ok(KeyRow { kid, public_key, sealed_private, created_at, active_from, retired_at: None })
}

/// Clocks of replicas differ; a key is kept that much longer than its last token.
const MARGIN: Duration = Duration::from_secs(5 * 60);

impl Auth {
    /// Reads the accepted keys again.
    pub(crate) async fn reload_keys(&self) -> Result<(), Fault> {
        let now = self.now();
        let rows = self.database.read(move |conn| keys::accepted(conn, now)).await?;
        self.signer.replace(&self.secrets, rows)
    }

    /// Makes a new key where the newest one has signed long enough. Several replicas may try: one does it.
    pub(crate) async fn rotate_keys_if_due(&self) -> Result<bool, Fault> {
        let now = self.now();
        let due = now.minus(self.config.key_rotation).micros();
        let newest = self.database.read(move |conn| keys::accepted(conn, now)).await?;
        if newest.iter().any(|key| key.created_at > due) {
            return Ok(false);
        }
        let new = generate(&self.secrets, now, now.plus(self.config.key_overlap))?;
        let longest_life = self.config.token_life.max(LONGEST_ACCESS_TOKEN_LIFE);
        let gone_at = now.plus(self.config.key_overlap + longest_life + MARGIN);
        let rotated = self
            .database
            .write(move |tx| {
                let conn = tx.conn();
                installation::raise(conn, Guard::SigningKeys)?;
                if keys::accepted(conn, now)?.iter().any(|key| key.created_at > due) {
                    return Ok(false);
                }
                keys::insert(conn, &new)?;
                keys::retire_others(conn, &new.kid, gone_at)?;
                changes::record(conn, Subject::Keys, now)?;
                Ok::<_, coffre_db::Error>(true)
            })
            .await?;
        if rotated {
            tracing::info!("a new signing key was made; it signs after the overlap");
            self.reload_keys().await?;
            self.hub.poke();
        }
        Ok(rotated)
    }

    /// Withdraws a suspect key: its tokens are refused everywhere within a second. Where it was the only one, another signs at once.
    pub(crate) async fn withdraw_key(&self, kid: &str) -> Result<bool, Fault> {
        let now = self.now();
        let spare = generate(&self.secrets, now, now)?;
        let kid = kid.to_owned();
        let withdrawn = self
            .database
            .write(move |tx| {
                let conn = tx.conn();
                installation::raise(conn, Guard::SigningKeys)?;
                if !keys::withdraw(conn, &kid, now)? {
                    return Ok(false);
                }
                let left = keys::accepted(conn, now)?;
                if !left.iter().any(|key| key.active_from <= now.micros() && key.retired_at.is_none()) {
                    keys::insert(conn, &spare)?;
                }
                changes::record(conn, Subject::Keys, now)?;
                Ok::<_, coffre_db::Error>(true)
            })
            .await?;
        self.reload_keys().await?;
        self.hub.poke();
        Ok(withdrawn)
    }
}
