//! API accesses: the clients of the OAuth side, and what a field of theirs may be.

use std::time::Duration;

use coffre_secret::SecretText;
use coffre_types::{ApiAccessId, ApiSecretId, Name, TextFault, Timestamp, UserId, Version};

use super::error::Invalid;
use super::secret_text::OURS;

/// The only scope.
pub(crate) const SCOPE: &str = "public-api";

/// How long an access token is good where nobody says.
pub(crate) const ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(60 * MINUTE);
/// How long a refresh token and its successors are good where nobody says.
pub(crate) const REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(12 * 60 * MINUTE);
/// The longest life of an access token.
pub(crate) const LONGEST_ACCESS_TOKEN_LIFE: Duration = Duration::from_secs(24 * 60 * MINUTE);
/// The longest life of a refresh token and its successors.
pub(crate) const LONGEST_REFRESH_TOKEN_LIFE: Duration = Duration::from_secs(90 * 24 * 60 * MINUTE);
/// How long a secret may go on beside its successor.
pub(crate) const LONGEST_GRACE: Duration = Duration::from_secs(30 * 24 * 60 * MINUTE);

const MINUTE: u64 = 60;
const SHORTEST_SECRET: usize = 16;
const LONGEST_SECRET: usize = 256;

/// A client of the OAuth side.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiAccess {
    pub(crate) id: ApiAccessId,
    pub(crate) client_id: String,
    pub(crate) description: Option<String>,
    pub(crate) access_token_life: Duration,
    pub(crate) refresh_token_life: Duration,
    pub(crate) password_grant: bool,
    pub(crate) refresh_grant: bool,
    pub(crate) client_credentials_grant: bool,
    /// As whom it acts with its own secret alone.
    pub(crate) operator: Option<UserId>,
    pub(crate) disabled: bool,
    pub(crate) epoch: i64,
    /// Raised whenever what was confirmed for it is void.
    pub(crate) confirmation_epoch: i64,
    /// Raised whenever all that its operator has confirmed is void.
    pub(crate) operator_epoch: i64,
    pub(crate) version: Version,
    pub(crate) created_by: i64,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_by: i64,
    pub(crate) updated_at: Timestamp,
    /// Those that count now, the newest first.
    pub(crate) secrets: Vec<ApiSecret>,
}

impl ApiAccess {
    /// Returns the newest secret.
    pub(crate) fn newest(&self) -> Option<&ApiSecret> {
        self.secrets.first()
    }

    /// Returns how the audit names it.
    pub(crate) fn named(&self) -> String {
        format!("{} ({})", self.id, self.client_id)
    }

    /// Returns to what a confirmation of its operator is bound; `None`: it has none.
    pub(crate) fn binding(&self) -> Option<Binding> {
        self.operator.map(|operator| Binding {
            access: self.id,
            operator,
            access_epoch: self.confirmation_epoch,
            operator_epoch: self.operator_epoch,
        })
    }
}

/// To what a confirmation is bound beside the secret. One that was taken back stays void wherever its bytes are put: one of the two epochs was
/// raised then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Binding {
    pub(crate) access: ApiAccessId,
    pub(crate) operator: UserId,
    pub(crate) access_epoch: i64,
    pub(crate) operator_epoch: i64,
}

/// A secret of an API access, as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct ApiSecret {
    pub(crate) id: ApiSecretId,
    /// A PHC string of a chosen secret, or the keyed hash of a generated one.
    pub(crate) hash: String,
    pub(crate) created_at: Timestamp,
    /// When it ends, where a newer one has taken its place.
    pub(crate) expires_at: Option<Timestamp>,
    /// The MAC of the operator's confirmation.
    pub(crate) confirmation: Option<Vec<u8>>,
    pub(crate) confirmed_at: Option<Timestamp>,
}

/// An API access about to be stored.
#[derive(Clone)]
pub(crate) struct NewApiAccess {
    pub(crate) client_id: Name,
    pub(crate) description: Option<String>,
    pub(crate) access_token_life: Duration,
    pub(crate) refresh_token_life: Duration,
    pub(crate) password_grant: bool,
    pub(crate) refresh_grant: bool,
    pub(crate) client_credentials_grant: bool,
    pub(crate) operator: Option<UserId>,
    pub(crate) disabled: bool,
}

/// What a caller asks to change. `None` leaves a field as it is.
#[derive(Clone, Default)]
pub(crate) struct ApiAccessPatch {
    pub(crate) version: Option<i64>,
    pub(crate) etag: String,
    pub(crate) client_id: Option<Name>,
    /// `Some(None)` removes it.
    pub(crate) description: Option<Option<String>>,
    pub(crate) access_token_life: Option<Duration>,
    pub(crate) refresh_token_life: Option<Duration>,
    pub(crate) password_grant: Option<bool>,
    pub(crate) refresh_grant: Option<bool>,
    pub(crate) client_credentials_grant: Option<bool>,
    /// `Some(None)`: nobody.
    pub(crate) operator: Option<Option<UserId>>,
    pub(crate) disabled: Option<bool>,
}

/// A new secret, as somebody wants it.
pub(crate) enum WantedSecret {
    Generated,
    Chosen(SecretText),
}

/// What somebody has read of an API access before he says something about it.
pub(crate) struct Read {
    pub(crate) version: Option<i64>,
    pub(crate) if_match: String,
}

/// A secret that takes the place of another.
pub(crate) struct Rotation {
    pub(crate) wanted: WantedSecret,
    /// How long the other goes on beside it.
    pub(crate) grace: Duration,
    pub(crate) if_match: String,
}

/// Checks a client id. A colon would end it in HTTP Basic (RFC 7617 section 2).
pub(crate) fn client_id(text: String) -> Result<Name, Invalid> {
    let invalid = |what: String| Invalid::new("client_id", what);
    let name = Name::parse(text).map_err(|fault: TextFault| invalid(fault.to_string()))?;
    if name.as_str().contains(':') {
        return Err(invalid("must not contain a colon: HTTP Basic could not carry it".to_owned()));
    }
    Ok(name)
}

/// Checks a new secret; an empty one asks for one that is generated.
pub(crate) fn wanted_secret(text: String) -> Result<WantedSecret, Invalid> {
    let secret = SecretText::new(text);
    if secret.expose().is_empty() {
        return Ok(WantedSecret::Generated);
    }
    let invalid = |what: String| Err(Invalid::new("client_secret", what));
    if !secret.expose().bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
        return invalid("must be printable ASCII characters".to_owned());
    }
    if !(SHORTEST_SECRET..=LONGEST_SECRET).contains(&secret.len_bytes()) {
        return invalid(format!(
            "must have {SHORTEST_SECRET} to {LONGEST_SECRET} characters; leave it out and one is generated"
        ));
    }
    if secret.expose().starts_with(OURS) {
        return invalid(format!("must not begin with {OURS}, as the secrets do that are generated here"));
    }
    Ok(WantedSecret::Chosen(secret))
}

/// Checks the scope of an API access.
pub(crate) fn scope(text: &str) -> Result<(), Invalid> {
    if is_our_scope(text) { Ok(()) } else { Err(Invalid::new("scope", format!("must be {SCOPE}; there is no other"))) }
}

/// Says whether a scope that was asked for is the one there is.
pub(crate) fn is_our_scope(text: &str) -> bool {
    text.is_empty() || text == SCOPE
}

/// Checks a life in whole minutes, given in seconds.
pub(crate) fn life(field: &str, seconds: Option<u64>, longest: Duration) -> Result<Duration, Invalid> {
    match seconds {
        Some(seconds) if seconds % MINUTE == 0 && (MINUTE..=longest.as_secs()).contains(&seconds) => {
            Ok(Duration::from_secs(seconds))
        }
        _ => Err(Invalid::new(field, format!("must be whole minutes, from 1 minute to {}", in_words(longest)))),
    }
}

/// Checks how long a secret goes on beside its successor, given in seconds.
pub(crate) fn grace(seconds: Option<u64>) -> Result<Duration, Invalid> {
    let invalid = |what: String| Err(Invalid::new("grace_period", what));
    match seconds {
        Some(seconds) if seconds <= LONGEST_GRACE.as_secs() => Ok(Duration::from_secs(seconds)),
        Some(_) => {
            let hours = LONGEST_GRACE.as_secs() / (60 * MINUTE);
            invalid(format!("must be at most {}, which are {hours} hours", in_words(LONGEST_GRACE)))
        }
        None => invalid("must be whole seconds, and none or more".to_owned()),
    }
}

/// Writes a life as people say it.
pub(crate) fn in_words(life: Duration) -> String {
    let minutes = life.as_secs() / MINUTE;
    match (minutes / (24 * 60), minutes / 60, minutes % 60) {
        (days, hours, 0) if days > 1 && hours % 24 == 0 => format!("{days} days"),
        (_, hours, 0) => format!("{hours} h"),
        (_, 0, minutes) => format!("{minutes} min"),
        (_, hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(refused: Result<WantedSecret, Invalid>) -> String {
        refused.err().map_or_else(|| "it is taken".to_owned(), |invalid| invalid.what)
    }

    #[test]
    fn a_chosen_secret_is_16_to_256_printable_ascii_characters() {
        for good in ["0123456789abcdef", "a:b%c+d e/f?g=h&i", &"x".repeat(72), &"x".repeat(200), &"~".repeat(256)] {
            assert!(matches!(wanted_secret(good.to_owned()), Ok(WantedSecret::Chosen(_))), "{good}");
        }
        assert!(matches!(wanted_secret(String::new()), Ok(WantedSecret::Generated)));
        for bad in ["0123456789abcde", &"x".repeat(257)] {
            assert!(what(wanted_secret(bad.to_owned())).contains("16 to 256"), "{bad}");
        }
        for bad in ["0123456789abcde\0", "0123456789abcde\n", "0123456789abcdé", "0123456789abcde\u{7f}"] {
            assert!(what(wanted_secret(bad.to_owned())).contains("printable ASCII"), "{bad:?}");
        }
        assert!(what(wanted_secret("coffre_cs_but_chosen".to_owned())).contains("must not begin with coffre_"));
    }

    #[test]
    fn a_client_id_is_a_name_without_a_colon() {
        assert_eq!(client_id("Supervision (prod)".into()).unwrap().as_str(), "Supervision (prod)");
        for bad in ["", " ", "a:b", "a\nb", &"x".repeat(256)] {
            assert!(client_id(bad.to_owned()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn lives_are_whole_minutes_within_their_bounds() {
        let of = |seconds| life("f", seconds, LONGEST_ACCESS_TOKEN_LIFE).map(|life| life.as_secs());
        for good in [60, 3600, 24 * 3600] {
            assert_eq!(of(Some(good)), Ok(good));
        }
        for bad in [None, Some(0), Some(59), Some(90), Some(24 * 3600 + 60)] {
            assert!(of(bad).unwrap_err().what.ends_with("to 24 h"), "{bad:?}");
        }
        assert!(life("f", Some(90 * 24 * 3600), LONGEST_REFRESH_TOKEN_LIFE).is_ok());
        assert!(life("f", Some(91 * 24 * 3600), LONGEST_REFRESH_TOKEN_LIFE).unwrap_err().what.ends_with("90 days"));
        assert!(grace(Some(0)).is_ok() && grace(Some(30 * 24 * 3600)).is_ok());
        assert_eq!(grace(None).unwrap_err().what, "must be whole seconds, and none or more");
        assert_eq!(grace(Some(30 * 24 * 3600 + 1)).unwrap_err().what, "must be at most 30 days, which are 720 hours");
    }

    #[test]
    fn lives_are_written_as_people_say_them() {
        let texts = [60, 3600, 5400, 12 * 3600, 90 * 24 * 3600].map(|seconds| in_words(Duration::from_secs(seconds)));
        assert_eq!(texts, ["1 min", "1 h", "1 h 30 min", "12 h", "90 days"]);
    }
}
