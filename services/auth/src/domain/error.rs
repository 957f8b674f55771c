//! Why a use case refuses.

use std::time::Duration;

use coffre_crypto::CryptoError;
use coffre_types::{Permission, RoleId};

use super::ports::{Held, Holdings, Keeper, Silent};
use crate::hashing::HashFault;

/// A fault of ours, or of what we stand on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    Store(#[from] coffre_db::Error),
    #[error(transparent)]
    Hash(#[from] HashFault),
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    #[error("no signing key is usable")]
    NoSigningKey,
    #[error("a token could not be signed")]
    Signing,
}

/// A field that breaks a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Invalid {
    pub(crate) field: String,
    pub(crate) what: String,
}

impl Invalid {
    pub(crate) fn new(field: impl Into<String>, what: impl Into<String>) -> Self {
        Self { field: field.into(), what: what.into() }
    }
}

/// Why nobody is signed in.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignInError {
    #[error("unknown user, wrong password or disabled")]
    Failed,
    #[error("too many failures")]
    Throttled { retry_after: Duration },
    #[error("too many sign-ins at once")]
    Overloaded,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a token does not help.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionError {
    #[error("the token is not valid")]
    TokenInvalid,
    #[error("the password must be changed first")]
    PasswordChangeRequired,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a password stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("the old password is wrong")]
    Wrong,
    #[error("the new password is weak")]
    Weak(WeakPassword),
    #[error("too many failures")]
    Throttled { retry_after: Duration },
    #[error("too many sign-ins at once")]
    Overloaded,
    #[error("the sign-in was too long ago")]
    SignInTooOld,
    #[error("the session has ended")]
    SessionEnded,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// What is wrong with a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WeakPassword {
    #[error("a password needs {least} characters or more")]
    TooShort { least: usize },
    #[error("a password has at most {most} bytes")]
    TooLong { most: usize },
    #[error("a password must not be the user name")]
    IsTheName,
    #[error("the new password is the old one")]
    Unchanged,
    #[error("the password is easy to guess: {why}")]
    Guessable { why: &'static str },
}

/// A call that the caller's rights do not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denied(pub(crate) Permission);

/// Why what a user holds may not be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CannotGive {
    Denied(Denied),
    /// It would go to the caller.
    ToSelf,
}

/// Why a caller may not change users and roles any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CallerFault {
    /// He was disabled or deleted in the meantime.
    Gone,
    /// He does not hold the right any more.
    Denied(Denied),
}

/// Why somebody may not give something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum GrantFault {
    /// It is more than the caller holds. `None`: it is the rank of an administrator.
    Exceeds(Option<Permission>),
    /// It would go to the caller.
    ToSelf,
    /// It would be taken from an administrator, by somebody who is none.
    OfAdministrator,
    /// It is given after a recent sign-in alone. `None`: it is the rank of an administrator.
    Reserved(Option<Permission>),
    /// The user that would be renamed holds more than the caller. `None`: it is an administrator.
    Renames(Option<Permission>),
    /// The role consumes lockers, and the caller does not hold it.
    Consumes(RoleId),
    /// The same, and it would go to the caller.
    ConsumesToSelf(RoleId),
}

/// Why there is no API key, or it stays.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiKeyError {
    #[error("a field is invalid")]
    Invalid(Invalid),
    #[error("no such key")]
    NotFound,
    #[error("the name is taken")]
    NameTaken,
    #[error("there are {most} keys")]
    Limit { most: i64 },
    #[error("a permission is missing")]
    Denied(Denied),
    #[error("the session has ended")]
    SessionEnded,
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a user stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UserError {
    #[error("a field is invalid")]
    Invalid(Invalid),
    #[error("the password is weak")]
    Weak(WeakPassword),
    #[error("no such user")]
    NotFound,
    #[error("the name is taken")]
    NameTaken,
    #[error("the new name is the password")]
    NameIsPassword,
    #[error("another version is current")]
    VersionConflict { current: i64 },
    #[error("If-Match does not hold")]
    PreconditionFailed,
    #[error("the last administrator")]
    LastAdministrator,
    #[error("the user owns objects")]
    HoldsObjects(Holdings),
    #[error("no role {0}")]
    RoleNotFound(i64),
    #[error("the caller has lost the right")]
    Caller(CallerFault),
    #[error("the grant is refused")]
    Grant(GrantFault),
    #[error("one's own password is changed elsewhere")]
    OwnPassword,
    #[error("the sign-in was too long ago")]
    SignInTooOld,
    #[error("too many sign-ins at once")]
    Overloaded,
    #[error("{0:?} does not answer")]
    KeeperSilent(Keeper),
    #[error("another attempt to delete the user is under way")]
    Superseded,
    #[error("what was known of roles has changed meanwhile")]
    Overtaken,
    #[error("a permission is missing")]
    Denied(Denied),
    #[error("no user {0} who could get something")]
    RecipientNotFound(i64),
    #[error("user {0} is disabled")]
    RecipientDisabled(i64),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Why a role stays as it is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RoleError {
    #[error("a field is invalid")]
    Invalid(Invalid),
    #[error("no such role")]
    NotFound,
    #[error("the name is taken")]
    NameTaken,
    #[error("another version is current")]
    VersionConflict { current: i64 },
    #[error("If-Match does not hold")]
    PreconditionFailed,
    #[error("a system role")]
    System,
    #[error("users hold the role")]
    InUse { users: i64 },
    #[error("the role consumes lockers")]
    ConsumesLockers(Held),
    #[error("{0:?} does not answer")]
    KeeperSilent(Keeper),
    #[error("another attempt to delete the role is under way")]
    Superseded,
    #[error("the caller has lost the right")]
    Caller(CallerFault),
    #[error("the grant is refused")]
    Grant(GrantFault),
    #[error(transparent)]
    Fault(#[from] Fault),
}

/// Lets `?` turn what goes wrong below a use case into one of its errors.
macro_rules! from_faults {
    ($($error:ty),* $(,)?) => {$(
        impl From<$crate::hashing::HashFault> for $error {
            fn from(fault: $crate::hashing::HashFault) -> Self {
                Self::Fault($crate::domain::error::Fault::Hash(fault))
            }
        }

        impl From<coffre_db::Error> for $error {
            fn from(error: coffre_db::Error) -> Self {
                Self::Fault($crate::domain::error::Fault::Store(error))
            }
        }

        impl From<coffre_crypto::CryptoError> for $error {
            fn from(error: coffre_crypto::CryptoError) -> Self {
                Self::Fault($crate::domain::error::Fault::Crypto(error))
            }
        }
    )*};
}

pub(super) use from_faults;

from_faults!(SignInError, SessionError, PasswordError, ApiKeyError, UserError, RoleError);

impl From<Silent> for UserError {
    fn from(Silent(keeper): Silent) -> Self {
        Self::KeeperSilent(keeper)
    }
}

impl From<Silent> for RoleError {
    fn from(Silent(keeper): Silent) -> Self {
        Self::KeeperSilent(keeper)
    }
}

impl From<Invalid> for ApiKeyError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Invalid> for UserError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<Invalid> for RoleError {
    fn from(invalid: Invalid) -> Self {
        Self::Invalid(invalid)
    }
}

impl From<CallerFault> for UserError {
    fn from(fault: CallerFault) -> Self {
        Self::Caller(fault)
    }
}

impl From<CallerFault> for RoleError {
    fn from(fault: CallerFault) -> Self {
        Self::Caller(fault)
    }
}

impl From<GrantFault> for UserError {
    fn from(fault: GrantFault) -> Self {
        Self::Grant(fault)
    }
}

impl From<GrantFault> for RoleError {
    fn from(fault: GrantFault) -> Self {
        Self::Grant(fault)
    }
}

impl From<WeakPassword> for PasswordError {
    fn from(weak: WeakPassword) -> Self {
        Self::Weak(weak)
    }
}

impl From<WeakPassword> for UserError {
    fn from(weak: WeakPassword) -> Self {
        Self::Weak(weak)
    }
}
