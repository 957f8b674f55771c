//! API keys: what a program shows in place of its user's password.

use std::time::Duration;

use coffre_types::{ApiKeyId, Name, Timestamp, UserId};

use super::error::Invalid;
use super::user;

/// The most keys of one user that work.
pub(crate) const MOST_LIVE: i64 = 50;
/// The most keys of one user that have expired and are still listed.
pub(crate) const MOST_EXPIRED: i64 = 50;
/// How long a key works where nobody says otherwise, and at most.
pub(crate) const DEFAULT_LIFE: Duration = days(90);
pub(crate) const LONGEST_LIFE: Duration = days(366);
/// How long a key is listed after it has expired.
pub(crate) const LISTED_AFTER: Duration = days(30);

const fn days(number: u64) -> Duration {
    Duration::from_secs(number * 24 * 60 * 60)
}

/// What is shown of a key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ApiKey {
    pub(crate) id: ApiKeyId,
    pub(crate) name: String,
    pub(crate) hint: String,
    pub(crate) created_at: Timestamp,
    pub(crate) expires_at: Timestamp,
    pub(crate) last_used_at: Option<Timestamp>,
}

/// What a sign-in needs of a key.
#[derive(Clone)]
pub(crate) struct SignInKey {
    pub(crate) id: ApiKeyId,
    pub(crate) user: UserId,
    pub(crate) name: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) expires_at: Timestamp,
    pub(crate) revoked: bool,
}

/// A key as the records name it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NamedKey {
    pub(crate) id: ApiKeyId,
    pub(crate) name: String,
}

impl NamedKey {
    pub(crate) fn text(&self) -> String {
        format!("{} ({})", self.name, self.id)
    }
}

/// What a caller asks for when it makes a key.
#[derive(Clone, Debug)]
pub(crate) struct ApiKeyDraft {
    pub(crate) name: Name,
    /// `None`: [`DEFAULT_LIFE`] from now.
    pub(crate) expires_at: Option<Timestamp>,
}

impl ApiKeyDraft {
    /// Reads what was asked for.
    pub(crate) fn new(name: String, expires_at: Option<Timestamp>) -> Result<Self, Invalid> {
        Ok(Self { name: user::name("name", name)?, expires_at })
    }

    /// Returns when the key expires that is made now.
    pub(crate) fn expiry(&self, now: Timestamp) -> Result<Timestamp, Invalid> {
        let expires = self.expires_at.unwrap_or_else(|| now.plus(DEFAULT_LIFE));
        if expires <= now {
            return Err(Invalid::new("expire_time", "must lie in the future"));
        }
        if expires > now.plus(LONGEST_LIFE) {
            let most = LONGEST_LIFE.as_secs() / (24 * 60 * 60);
            return Err(Invalid::new("expire_time", format!("must be at most {most} days from now")));
        }
        Ok(expires)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_expires_within_a_year_whatever_is_asked() {
        let now = Timestamp::from_seconds(1_800_000_000);
        let second = Duration::from_secs(1);
        let expiry = |expires_at| ApiKeyDraft::new("key".into(), expires_at).unwrap().expiry(now).map_err(|e| e.field);
        assert_eq!(expiry(None), Ok(now.plus(DEFAULT_LIFE)));
        assert_eq!(expiry(Some(now.plus(second))), Ok(now.plus(second)));
        assert_eq!(expiry(Some(now.plus(LONGEST_LIFE))), Ok(now.plus(LONGEST_LIFE)));
        for refused in [now, now.minus(second), now.plus(LONGEST_LIFE + second), Timestamp::from_micros(i64::MIN)] {
            assert_eq!(expiry(Some(refused)), Err("expire_time".to_owned()), "{refused:?}");
        }
    }
}
