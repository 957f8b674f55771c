//! Numbers that name things.

use std::fmt;
use std::str::FromStr;

use uuid::Uuid;

/// A text or number that is not an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id is a plain decimal number from 1 to 9223372036854775807")]
pub struct NotAnId;

/// Reads a plain decimal number from 1: no sign, no space, no leading zero.
fn parse_decimal(text: &str) -> Result<i64, NotAnId> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit()) && !text.starts_with('0');
    if !plain {
        return Err(NotAnId);
    }
    text.parse().map_err(|_| NotAnId)
}

macro_rules! id_type {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(i64);

        impl $name {
            /// Takes a number from outside; `None` unless it is positive.
            #[must_use]
            pub const fn new(number: i64) -> Option<Self> {
                if number > 0 { Some(Self(number)) } else { None }
            }

            /// Takes a number that our own database issued.
            #[must_use]
            pub const fn from_trusted(number: i64) -> Self {
                Self(number)
            }

            /// Returns the number.
            #[must_use]
            pub const fn get(self) -> i64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NotAnId;

            fn from_str(text: &str) -> Result<Self, NotAnId> {
                parse_decimal(text).map(Self)
            }
        }

        impl TryFrom<i64> for $name {
            type Error = NotAnId;

            fn try_from(number: i64) -> Result<Self, NotAnId> {
                Self::new(number).ok_or(NotAnId)
            }
        }
    )*};
}

id_type! {
    /// Names a tenant. There is one today, [`TENANT`].
    TenantId;
    /// Names a user.
    UserId;
    /// Names a role.
    RoleId;
    /// An API access: an OAuth client.
    ApiAccessId;
    /// A secret of an API access.
    ApiSecretId;
    /// An API key.
    ApiKeyId;
    /// Names a credential.
    CredentialId;
    /// Names an attribute of a credential.
    AttributeId;
    /// Names the value of an attribute.
    ValueId;
    /// Names a locker.
    LockerId;
}

/// The only tenant.
pub const TENANT: TenantId = TenantId(1);

/// Names a session: a UUIDv4.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(Uuid);

impl SessionId {
    /// Takes a UUID.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Reads the 16 bytes of a UUID.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names an audit event: a UUIDv7, so that ids sort by time.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct EventId(Uuid);

impl EventId {
    /// Makes a new one.
    #[must_use]
    pub fn now_v7() -> Self {
        Self(Uuid::now_v7())
    }

    /// Takes a UUID.
    #[must_use]
    pub const fn new(uuid: Uuid) -> Self {
        Self(uuid)
    }

    /// Returns the UUID.
    #[must_use]
    pub const fn uuid(self) -> Uuid {
        self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the changes of a resource, from 0.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Version(i64);

impl Version {
    /// The version of a new resource.
    pub const FIRST: Self = Self(0);

    /// Takes a number from outside; `None` where it is negative.
    #[must_use]
    pub const fn new(number: i64) -> Option<Self> {
        if number >= 0 { Some(Self(number)) } else { None }
    }

    /// Takes a number that our own database holds.
    #[must_use]
    pub const fn from_trusted(number: i64) -> Self {
        Self(number)
    }

    /// Returns the number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// Returns the version after one more change.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_decimals_are_ids() {
        assert_eq!("12".parse::<UserId>().map(UserId::get), Ok(12));
        for text in ["", "0", "-1", "+1", " 1", "1 ", "01", "1e3", "0x1", "٣", "9223372036854775808", "12abc"] {
            assert_eq!(text.parse::<UserId>(), Err(NotAnId), "{text:?}");
        }
        assert_eq!("9223372036854775807".parse::<UserId>().map(UserId::get), Ok(i64::MAX));
    }

    #[test]
    fn numbers_from_outside_are_positive() {
        assert!(CredentialId::new(0).is_none());
        assert!(CredentialId::new(-5).is_none());
        assert!(Version::new(-1).is_none());
        assert_eq!(Version::FIRST.next().get(), 1);
    }
}
