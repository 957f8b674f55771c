//! Signing in: the same answer and the same work for whatever is wrong (`security.md` 2.1, 2.2).

use std::sync::Arc;
use std::time::Duration;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_authn::token::Identity;
use coffre_db::Connection;
use coffre_secret::SecretText;
use coffre_types::{NameKey, SessionId, Timestamp, TokenKind, UserId};
use uuid::Uuid;

use super::error::{Fault, PasswordError, SignInError};
use super::session::{NewSession, Origin};
use super::throttle::{self, BucketKey, Counted, Outlook, Shown};
use super::user::{SignInRow, User};
use super::{Auth, ClientAddress};
use crate::config::Throttle;
use crate::hashing::HashFault;
use crate::store::{sessions, users};

/// A password that was checked.
pub(crate) struct Attempt {
    /// The user, where the password is right and the user may sign in.
    pub(crate) matched: Option<SignInRow>,
    /// What is to be settled.
    pub(crate) counted: Counted,
    /// The stored hash was made with other parameters than those of today.
    outdated: bool,
    /// Why nothing matched, for the audit alone.
    pub(super) cause: &'static str,
}

/// A password that was right, on its way into the transaction that opens a session with it.
pub(super) struct Proven {
    user: UserId,
    epoch: i64,
    name: NameKey,
    counted: Counted,
    /// Under the parameters of today, where the stored hash was made with others.
    rehashed: Option<String>,
}

impl Proven {
    /// Settles the attempt and renews an outdated hash. `false`: the password is not the user's any more, or opens nothing.
    pub(super) fn holds(
        &self,
        conn: &mut Connection,
        rules: &Throttle,
        now: Timestamp,
    ) -> Result<bool, coffre_db::Error> {
        self.counted.settle(conn, rules, true, now)?;
        // Hash and epoch were read together before the hash was computed: a password that was changed or reset since, or a user that was
        // disabled, has another epoch and ends this attempt.
        let current = users::for_sign_in(conn, &self.name)?;
        let unchanged = current.is_some_and(|user| user.id == self.user && user.epoch == self.epoch && !user.disabled);
        if let Some(hash) = self.rehashed.as_deref().filter(|_| unchanged) {
            users::renew_hash(conn, self.user, hash)?;
        }
        Ok(unchanged)
    }
}

/// Why a password was not checked.
#[derive(Debug)]
pub(crate) enum AttemptError {
    Throttled(Duration),
    Overloaded,
    Fault(Fault),
}

/// A session that was opened.
pub(crate) struct SignedIn {
    pub(crate) token: String,
    pub(crate) expires: Timestamp,
    pub(crate) user: User,
}

impl Auth {
    /// Opens a session.
    pub(crate) async fn sign_in(
        &self,
        username: &str,
        password: &SecretText,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<SignedIn, SignInError> {
        let name = NameKey::of(username);
        self.name_the_actor(&name, record).await?;
        let attempt = self.attempt(&name, address, password).await?;
        let Some(user) = &attempt.matched else {
            record.detail("cause", attempt.cause);
            self.count_failure(attempt.counted).await?;
            return Err(SignInError::Failed);
        };
        let (user, proven) = (user.clone(), self.proven(name, user, &attempt, password).await?);
        let now = self.now();
        let session = NewSession {
            session_id: SessionId::new(Uuid::new_v4()),
            user_id: user.id,
            epoch: user.epoch,
            opened_at: now,
            expires_at: now.plus(self.config.session_life),
            origin: Origin::Password,
        };
        let (token, expires) = self.issue(session.user_id, session.session_id, session.epoch, session.expires_at)?;
        let rules = self.config.throttle;
        let recorded = record.clone();
        let user = audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            if !proven.holds(conn, &rules, now)? {
                return Err(SignInError::Failed);
            }
            sessions::insert(conn, &session)?;
            let found = users::find(conn, user.id)?.ok_or(SignInError::Failed)?;
            recorded.actor(found.id, found.username.as_str(), Some(session.session_id));
            recorded.object("session", session.session_id, found.username.clone());
            Ok(found)
        })
        .await?;
        Ok(SignedIn { token, expires, user })
    }

    /// Says in the record who tries, whatever comes of it. The same row is read for names that exist and names that do not.
    pub(super) async fn name_the_actor(&self, name: &NameKey, record: &CallRecord) -> Result<(), Fault> {
        let key = name.clone();
        let known: Option<SignInRow> =
            self.database.read(move |conn| users::for_sign_in(conn, &key).map_err(Fault::from)).await?;
        match known {
            Some(user) => record.actor(user.id, user.username, None),
            None => record.actor_unknown_name(self.outbox.key().unknown_name_hash(name.as_str())),
        }
        Ok(())
    }

    /// Lets an attempt wait as long as the failures before it ask for; refuses it where they block it.
    pub(crate) async fn hold_back(&self, keys: [BucketKey; 3]) -> Result<Outlook, AttemptError> {
        let (rules, now) = (self.config.throttle, self.now());
        let outlook = self.database.read(move |conn| throttle::look(conn, &rules, &keys, now)).await?;
        if outlook.ahead {
            self.database.write(move |tx| throttle::mend(tx.conn(), &rules, &keys, now)).await?;
        }
        if let Some(wait) = outlook.refused {
            return Err(AttemptError::Throttled(wait));
        }
        if !outlook.delay.is_zero() {
            tokio::time::sleep(outlook.delay).await;
        }
        Ok(outlook)
    }

    /// Checks a password, counted before it is hashed. The caller settles the attempt.
    pub(crate) async fn attempt(
        &self,
        name: &NameKey,
        address: ClientAddress,
        password: &SecretText,
    ) -> Result<Attempt, AttemptError> {
        let rules = self.config.throttle;
        let address = throttle::address_key(address);
        let keys = throttle::keys(&self.secrets, Shown::Password(name), address, rules.slots);
        let _trying = self.crowd.enter(address).map_err(|_| AttemptError::Overloaded)?;
        self.hold_back(keys).await?;
        let turn = self.gate.turn(address).await.map_err(|_| AttemptError::Overloaded)?;
        let (now, name) = (self.now(), name.clone());
        let (begun, user) = self
            .database
            .write(move |tx| {
                let begun = throttle::begin(tx.conn(), &rules, &keys, now)?;
                Ok::<_, coffre_db::Error>((begun, users::for_sign_in(tx.conn(), &name)?))
            })
            .await?;
        let counted = begun.map_err(AttemptError::Throttled)?;
        // An unknown name costs what a known one costs: nobody has the user id 0, and nothing matches the dummy hash.
        let id = user.as_ref().map_or(UserId::from_trusted(0), |user| user.id);
        let secret = self.secrets.keyed_password(id, password.expose().as_bytes());
        let stored = user.as_ref().and_then(|user| user.password_hash.as_deref());
        let verdict =
            self.hasher.verify(secret, stored, Some(turn)).await.map_err(|fault| AttemptError::Fault(fault.into()))?;
        let cause = match &user {
            None => "unknown user",
            Some(_) if !verdict.matches => "wrong password",
            Some(_) => "disabled",
        };
        let matched = user.filter(|user| verdict.matches && !user.disabled);
        Ok(Attempt { matched, counted, outdated: verdict.outdated, cause })
    }

    /// Takes a password that was right on, with a new hash where the stored one is outdated.
    pub(super) async fn proven(
        &self,
        name: NameKey,
        user: &SignInRow,
        attempt: &Attempt,
        password: &SecretText,
    ) -> Result<Proven, HashFault> {
        let rehashed = match attempt.outdated {
            true => {
                let keyed = self.secrets.keyed_password(user.id, password.expose().as_bytes());
                Some(self.hasher.hash(keyed, None).await?)
            }
            false => None,
        };
        Ok(Proven { user: user.id, epoch: user.epoch, name, counted: attempt.counted, rehashed })
    }

    /// Settles an attempt that failed.
    pub(crate) async fn count_failure(&self, counted: Counted) -> Result<(), Fault> {
        let (rules, now) = (self.config.throttle, self.now());
        self.database.write(move |tx| counted.settle(tx.conn(), &rules, false, now)).await?;
        Ok(())
    }

    /// Settles an attempt whose password was right, though nothing comes of it.
    pub(crate) async fn count_success(&self, counted: Counted) -> Result<(), Fault> {
        let (rules, now) = (self.config.throttle, self.now());
        self.database.write(move |tx| counted.settle(tx.conn(), &rules, true, now)).await?;
        Ok(())
    }

    /// Signs a token that does not outlive its session.
    pub(crate) fn issue(
        &self,
        user_id: UserId,
        session_id: SessionId,
        epoch: i64,
        session_end: Timestamp,
    ) -> Result<(String, Timestamp), Fault> {
        let issued = self.now();
        let expires = issued.plus(self.config.token_life).min(session_end);
        let identity = Identity { user_id, session_id, epoch, kind: TokenKind::Session, issued, expires };
        Ok((self.signer.sign(&identity, issued)?, Timestamp::from_seconds(expires.seconds())))
    }
}

impl From<coffre_db::Error> for AttemptError {
    fn from(error: coffre_db::Error) -> Self {
        Self::Fault(Fault::Store(error))
    }
}

impl From<AttemptError> for SignInError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Throttled(retry_after) => Self::Throttled { retry_after },
            AttemptError::Overloaded => Self::Overloaded,
            AttemptError::Fault(fault) => Self::Fault(fault),
        }
    }
}

impl From<AttemptError> for PasswordError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Throttled(retry_after) => Self::Throttled { retry_after },
            AttemptError::Overloaded => Self::Overloaded,
            AttemptError::Fault(fault) => Self::Fault(fault),
        }
    }
}
