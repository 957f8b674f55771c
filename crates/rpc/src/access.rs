//! Who may call what, and what the audit calls it: one row for each RPC.
//!
//! | door | token | besides |
//! |---|---|---|
//! | [`Access::Open`] | none is looked at | |
//! | [`Access::Caller`] | of a session or of the OAuth side | |
//! | [`Access::Permission`] | of a session or of the OAuth side | the permission |
//! | [`Access::Session`] | of a session | |
//! | [`Access::SessionPermission`] | of a session | the permission |
//! | [`Access::Recent`] | of a session opened with a password a moment ago | |
//! | [`Access::RecentPermission`] | of a session opened with a password a moment ago | the permission |
//! | [`Access::PasswordChange`] | of a session | also whoever must change the password first |
//!
//! A kind of token that a row does not name is refused, however much its user may do otherwise (`security.md` 1.6, 1.7).

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_proto::audit::v1::ActivityType;
use coffre_types::{Caller, Permission, Timestamp, TokenKind};

/// Who may call an RPC. What a caller may do with one object is the service's own policy; this is only the door.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Anybody, without a token.
    Open,
    /// Any signed-in user.
    Caller,
    /// Holders of a permission.
    Permission(Permission),
    /// Any signed-in user, with a token of a session alone.
    Session,
    /// Holders of a permission, with a token of a session alone.
    SessionPermission(Permission),
    /// Any user who signed in with the password a moment ago.
    Recent,
    /// Holders of a permission who signed in with the password a moment ago.
    RecentPermission(Permission),
    /// Any signed-in user, with a token of a session alone, also one who must change the password first.
    PasswordChange,
}

/// The row of one RPC.
#[derive(Clone, Copy, Debug)]
pub struct Rpc {
    /// The path, such as `/coffre.vault.v1.CredentialService/GetCredential`.
    pub path: &'static str,
    /// Who may call it.
    pub access: Access,
    /// The audit's fine word for it, such as `credential.read`.
    pub event: &'static str,
    /// The audit's documented word for it.
    pub activity: ActivityType,
}

impl Access {
    /// Says whether a token is looked at.
    #[must_use]
    pub const fn needs_caller(self) -> bool {
        !matches!(self, Self::Open)
    }

    /// Returns the permission that is asked for.
    #[must_use]
    pub const fn permission(self) -> Option<Permission> {
        match self {
            Self::Permission(permission) | Self::SessionPermission(permission) | Self::RecentPermission(permission) => {
                Some(permission)
            }
            Self::Open | Self::Caller | Self::Session | Self::Recent | Self::PasswordChange => None,
        }
    }

    /// Says whether tokens of the OAuth side are taken.
    #[must_use]
    pub const fn takes_public_api(self) -> bool {
        matches!(self, Self::Open | Self::Caller | Self::Permission(_))
    }

    /// Says whether the sign-in must be a recent one.
    #[must_use]
    pub const fn needs_recent_sign_in(self) -> bool {
        matches!(self, Self::Recent | Self::RecentPermission(_))
    }

    /// Lets a caller in, or says what is missing. A sign-in is recent for as long as `recent`.
    ///
    /// # Errors
    /// `AUTH_PASSWORD_CHANGE_REQUIRED`, `AUTH_TOKEN_KIND`, `AUTHZ_PERMISSION_REQUIRED` and `AUTH_RECENT_SIGN_IN_REQUIRED`, in this order:
    /// what signing in once more would not mend comes before what it would.
    pub fn admit(self, caller: &Caller, now: Timestamp, recent: Duration) -> Result<(), Refusal> {
        if caller.password_change_required && self != Self::PasswordChange {
            return Err(password_change_required());
        }
        let wants_session = !self.takes_public_api() && !self.needs_recent_sign_in();
        if wants_session && caller.kind != TokenKind::Session {
            return Err(session_required());
        }
        if let Some(permission) = self.permission().filter(|permission| !caller.has(*permission)) {
            return Err(missing(permission));
        }
        if self.needs_recent_sign_in() && !caller.signed_in_within(recent, now) {
            return Err(recent_sign_in_required());
        }
        Ok(())
    }
}

/// Refuses whoever must change the password first.
#[must_use]
pub fn password_change_required() -> Refusal {
    Refusal::new(
        Reason::AuthPasswordChangeRequired,
        "the password was generated or reset: change it first (PUT /v1/authentication/password), then repeat the call",
    )
}

/// Refuses a token of the OAuth side where a session is asked for.
#[must_use]
pub fn session_required() -> Refusal {
    Refusal::new(
        Reason::AuthTokenKind,
        "this call takes the token of a session, not one of the OAuth side; sign in (POST /v1/authentication) and repeat the call with that token",
    )
}

/// Refuses whoever did not sign in with the password a moment ago.
#[must_use]
pub fn recent_sign_in_required() -> Refusal {
    Refusal::new(
        Reason::AuthRecentSignInRequired,
        "this call needs a sign-in of the last minutes, with the password; sign in again (POST /v1/authentication) and repeat the call with the new token",
    )
}

/// Refuses for want of a permission, and names it.
#[must_use]
pub fn missing(permission: Permission) -> Refusal {
    let name = permission.display_name();
    Refusal::new(
        Reason::AuthzPermissionRequired,
        format!("the permission \"{name}\" is missing; somebody who manages roles can give it to one of yours"),
    )
    .with("permission", name)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use coffre_types::{PermissionSet, SessionId, UserId};

    use super::*;

    const RECENT: Duration = Duration::from_secs(300);
    const NOW: Timestamp = Timestamp::from_seconds(1_800_000_000);
    const HELD: Permission = Permission::ManageSettings;
    const DOORS: [Access; 8] = [
        Access::Open,
        Access::Caller,
        Access::Permission(HELD),
        Access::Session,
        Access::SessionPermission(HELD),
        Access::Recent,
        Access::RecentPermission(HELD),
        Access::PasswordChange,
    ];

    fn caller(kind: TokenKind, password_time: Timestamp) -> Caller {
        Caller {
            user_id: UserId::from_trusted(7),
            username: Arc::from("seven"),
            session_id: SessionId::new(uuid::Uuid::nil()),
            roles: Arc::from([]),
            permissions: PermissionSet::EMPTY.with(HELD),
            administrator: false,
            password_time,
            password_change_required: false,
            kind,
            client_id: None,
        }
    }

    fn refused(door: Access, caller: &Caller) -> Option<Reason> {
        door.admit(caller, NOW, RECENT).err().map(|refusal| refusal.reason())
    }

    #[test]
    fn rule_1_6_each_door_says_which_kinds_of_token_it_takes() {
        let fresh = caller(TokenKind::Session, NOW);
        let key = caller(TokenKind::Session, Timestamp::default());
        let client = caller(TokenKind::PublicApi, Timestamp::default());
        let kind = Some(Reason::AuthTokenKind);
        let recent = Some(Reason::AuthRecentSignInRequired);
        let expected = [
            // a sign-in of now, a session of an API key, a token of the OAuth side
            (Access::Open, [None, None, None]),
            (Access::Caller, [None, None, None]),
            (Access::Permission(HELD), [None, None, None]),
            (Access::Session, [None, None, kind]),
            (Access::SessionPermission(HELD), [None, None, kind]),
            (Access::Recent, [None, recent, recent]),
            (Access::RecentPermission(HELD), [None, recent, recent]),
            (Access::PasswordChange, [None, None, kind]),
        ];
        assert_eq!(expected.map(|(door, _)| door), DOORS);
        for (door, outcome) in expected {
            assert_eq!([&fresh, &key, &client].map(|caller| refused(door, caller)), outcome, "{door:?}");
        }
    }

    #[test]
    fn rule_1_7_a_sign_in_is_recent_for_five_minutes_whatever_the_clock_does() {
        let at = |password_time| refused(Access::Recent, &caller(TokenKind::Session, password_time));
        let (least, second) = (NOW.minus(RECENT), Duration::from_secs(1));
        assert_eq!((at(NOW), at(least)), (None, None));
        assert_eq!(at(least.minus(second)), Some(Reason::AuthRecentSignInRequired));
        assert_eq!(at(NOW.plus(second)), None, "the clocks of two replicas differ a little");
        let ahead = at(NOW.plus(RECENT + second));
        assert_eq!(ahead, Some(Reason::AuthRecentSignInRequired), "a clock that was set back makes nothing recent");
        assert_eq!(at(Timestamp::default()), Some(Reason::AuthRecentSignInRequired), "no password opened it");
        let client = caller(TokenKind::PublicApi, NOW);
        assert_eq!(
            refused(Access::Recent, &client),
            Some(Reason::AuthRecentSignInRequired),
            "the OAuth side never is, whatever its row says"
        );
    }

    #[test]
    fn what_signing_in_again_would_not_mend_comes_first() {
        let old = NOW.minus(RECENT * 2);
        let poor = |kind| Caller { permissions: PermissionSet::EMPTY, ..caller(kind, old) };
        let missing = Some(Reason::AuthzPermissionRequired);
        assert_eq!(refused(Access::RecentPermission(HELD), &poor(TokenKind::Session)), missing);
        assert_eq!(refused(Access::SessionPermission(HELD), &poor(TokenKind::Session)), missing);
        assert_eq!(refused(Access::SessionPermission(HELD), &poor(TokenKind::PublicApi)), Some(Reason::AuthTokenKind));
    }

    #[test]
    fn rule_2_6_whoever_must_change_the_password_may_do_that_alone() {
        let must = Caller { password_change_required: true, ..caller(TokenKind::Session, NOW) };
        for door in DOORS.into_iter().filter(|door| door.needs_caller()) {
            let expected = (door != Access::PasswordChange).then_some(Reason::AuthPasswordChangeRequired);
            assert_eq!(refused(door, &must), expected, "{door:?}");
        }
    }
}
