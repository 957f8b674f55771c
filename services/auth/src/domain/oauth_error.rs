//! Why a use case of the OAuth side refuses.

use std::time::Duration;

use super::error::{Denied, Fault, Invalid, WeakPassword, from_faults};
use super::sign_in::AttemptError;

/// Why no token is issued, ended or explained.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OAuthError {
    #[error("the client is not who it says, or may ask for nothing")]
    ClientInvalid,
    #[error("the client may not use this grant")]
    ClientUnauthorized(&'static str),
    #[error("the operator or the refresh token is refused")]
    GrantInvalid,
    #[error("another scope than ours")]
    ScopeInvalid,
    #[error("too many failures")]
    Throttled { retry_after: Duration },
    #[error("too many sign-ins at once")]
    Overloaded,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why an API access stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiAccessError {
    #[error("a field is invalid")]
    Invalid(Invalid),
    #[error("no such API access")]
    NotFound,
    #[error("the client id is taken")]
    ClientIdTaken,
    #[error("another version is current")]
    VersionConflict { current: i64 },
    #[error("If-Match does not hold")]
    PreconditionFailed,
    #[error("no user {0} who could be its operator")]
    OperatorNotFound(i64),
    #[error("there is nothing to confirm")]
    NotBindable,
    #[error("a permission is missing")]
    Denied(Denied),
    #[error("the session has ended")]
    SessionEnded,
    #[error("too many sign-ins at once")]
    Overloaded,
    #[error(transparent)]
    Fault(#[from] Fault),
}

from_faults!(OAuthError, ApiAccessError);

impl From<Invalid> for ApiAccessError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<WeakPassword> for ApiAccessError {
    fn from(weak: WeakPassword) -> Self {
        let what = match weak {
            WeakPassword::Guessable { why } => {
                format!("is easy to guess: {why}; leave it out and one is generated, or choose one at random")
            }
            other @ (WeakPassword::TooShort { .. }
            | WeakPassword::TooLong { .. }
            | WeakPassword::IsTheName
            | WeakPassword::Unchanged) => other.to_string(),
        };
        Self::Invalid(Invalid::new("client_secret", what))
    }
}

impl From<Denied> for ApiAccessError {
    fn from(denied: Denied) -> Self {
        Self::Denied(denied)
    }
}

impl From<AttemptError> for OAuthError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Throttled(retry_after) => Self::Throttled { retry_after },
            AttemptError::Overloaded => Self::Overloaded,
            AttemptError::Fault(fault) => Self::Fault(fault),
        }
    }
}
