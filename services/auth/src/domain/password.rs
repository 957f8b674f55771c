//! What makes a password acceptable, and how one's own is changed.

use std::sync::Arc;

use coffre_audit_client::{CallRecord, audited_write};
use coffre_secret::SecretText;
use coffre_types::{Caller, NameKey, UserId};

use super::api_keys::end_other_ways_in;
use super::error::{PasswordError, WeakPassword};
use super::sign_in::Attempt;
use super::strength::Known;
use super::{Auth, ClientAddress, throttle};
use crate::store::changes::{self, Subject};
use crate::store::{sessions, users};

/// The longest password, in bytes. A longer one is refused before anything is computed.
pub(crate) const MAX_BYTES: usize = 1024;

/// Checks a new password against the rules.
pub(crate) fn check(password: &SecretText, username: &str, least: usize) -> Result<(), WeakPassword> {
    if password.len_bytes() > MAX_BYTES {
        return Err(WeakPassword::TooLong { most: MAX_BYTES });
    }
    let least = least.max(crate::config::PASSWORD_MIN_LENGTH_FLOOR);
    if password.expose().chars().count() < least {
        return Err(WeakPassword::TooShort { least });
    }
    if NameKey::of(password.expose()) == NameKey::of(username) {
        return Err(WeakPassword::IsTheName);
    }
    Ok(())
}

/// How somebody changes the own password.
pub(crate) struct PasswordChange {
    pub(crate) old: SecretText,
    pub(crate) new: SecretText,
    /// Also end every other way in: API keys, and what was confirmed for API accesses.
    pub(crate) revoke_other_access: bool,
}

impl Auth {
    /// Changes the caller's own password. The other sessions of the caller end; this one goes on.
    pub(crate) async fn change_password(
        &self,
        caller: &Caller,
        change: &PasswordChange,
        address: ClientAddress,
        record: &Arc<CallRecord>,
    ) -> Result<(), PasswordError> {
        let PasswordChange { old, new, revoke_other_access } = change;
        if !caller.signed_in_within(self.config.recent_sign_in, self.now()) {
            return Err(PasswordError::SignInTooOld);
        }
        record.object("user", caller.user_id, caller.username.to_string());
        check(new, &caller.username, self.config.password_min_length).map_err(PasswordError::Weak)?;
        if old.expose() == new.expose() {
            return Err(PasswordError::Weak(WeakPassword::Unchanged));
        }
        let attempt = self.attempt(&NameKey::of(&caller.username), address, old).await?;
        let Attempt { matched: Some(user), counted, .. } = attempt else {
            self.count_failure(attempt.counted).await?;
            return Err(PasswordError::Wrong);
        };
        if user.id != caller.user_id {
            self.count_failure(counted).await?;
            return Err(PasswordError::SessionEnded);
        }
        // Only now: whoever does not know the old password makes nobody estimate a new one.
        let turn = self.gate.turn(throttle::address_key(address)).await.map_err(|_| PasswordError::Overloaded)?;
        if let Err(refused) = self.refuse_guessable::<PasswordError>(new, self.known_of(user.id).await?).await {
            self.count_success(counted).await?;
            return Err(refused);
        }
        let keyed = self.secrets.keyed_password(user.id, new.expose().as_bytes());
        let hash = self.hasher.hash(keyed, Some(turn)).await?;
        let (session, now, seen_epoch) = (caller.session_id, self.now(), user.epoch);
        let (rules, revoke) = (self.config.throttle, *revoke_other_access);
        let recorded = record.clone();
        audited_write(&self.database, record, move |tx| {
            recorded.clear_changes();
            let conn = tx.conn();
            counted.settle(conn, &rules, true, now)?;
            let epoch = users::raise_epoch(conn, user.id).map_err(|error| match error {
                coffre_db::Error::NotFound => PasswordError::SessionEnded,
                other => other.into(),
            })?;
            // Somebody else changed the password, or disabled the user, while the old one was being checked.
            if epoch != seen_epoch + 1 {
                return Err(PasswordError::SessionEnded);
            }
            sessions::end_all(conn, user.id, Some(session), now)?;
            sessions::carry_on(conn, session, epoch).map_err(|error| match error {
                coffre_db::Error::NotFound => PasswordError::SessionEnded,
                other => other.into(),
            })?;
            users::set_password(conn, user.id, &hash, false)?;
            changes::record(conn, Subject::User(user.id), now)?;
            recorded.change("password", None, Some("changed".to_owned()));
            if revoke {
                end_other_ways_in(conn, user.id, now, &recorded)?;
            }
            Ok::<_, PasswordError>(())
        })
        .await?;
        self.hub.poke();
        Ok(())
    }

    async fn known_of(&self, user: UserId) -> Result<Known, coffre_db::Error> {
        let user = self.database.read(move |conn| users::find(conn, user)).await?;
        Ok(user.map(|user| Known::of_user(&user)).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(password: &str, least: usize) -> Result<(), WeakPassword> {
        check(&SecretText::new(password.to_owned()), "Administrator", least)
    }

    #[test]
    fn the_shortest_length_counts_characters_and_has_a_floor() {
        assert_eq!(checked("éééééééééééé", 12), Ok(()));
        assert_eq!(checked("ééééééééééé", 12), Err(WeakPassword::TooShort { least: 12 }));
        assert_eq!(checked("1234567", 1), Err(WeakPassword::TooShort { least: 8 }));
        assert_eq!(checked("12345678", 1), Ok(()));
    }

    #[test]
    fn the_user_name_is_no_password_in_any_spelling() {
        assert_eq!(checked(" ADMINISTRATOR ", 12), Err(WeakPassword::IsTheName));
        assert_eq!(checked("ａdministrator", 12), Err(WeakPassword::IsTheName));
    }

    #[test]
    fn a_kibibyte_is_the_most() {
        assert_eq!(checked(&"x".repeat(1024), 12), Ok(()));
        assert_eq!(checked(&"x".repeat(1025), 12), Err(WeakPassword::TooLong { most: 1024 }));
    }
}
