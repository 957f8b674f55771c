//! Domain errors as refusals: what was wrong and what to do. No match has a `_` arm: a new error must choose.

use std::time::Duration;

use coffre_db::Error as StoreError;
use coffre_db::list::Error as ListError;
use coffre_error::{Reason, Refusal};
use coffre_types::Permission;

use super::holdings;
use crate::domain::error::{
    ApiKeyError, CallerFault, CannotGive, Denied, Fault, GrantFault, Invalid, PasswordError, RoleError, SessionError,
    SignInError, UserError, WeakPassword,
};
use crate::domain::ports::Keeper;

const SOON: Duration = Duration::from_secs(1);

pub(crate) fn store(error: StoreError) -> Refusal {
    coffre_rpc::store_refused(error, "the database of auth")
}

fn fault(fault: Fault) -> Refusal {
    match fault {
        Fault::Store(error) => store(error),
        Fault::Hash(fault) => Refusal::internal(&fault),
        Fault::Crypto(error) => Refusal::internal(&error),
        fault @ (Fault::NoSigningKey | Fault::Signing) => Refusal::internal(&fault),
    }
}

pub(crate) fn of_fault(error: Fault) -> Refusal {
    fault(error)
}

pub(super) fn throttled(retry_after: Duration) -> Refusal {
    let seconds = retry_after.as_secs().max(1);
    Refusal::new(Reason::AuthThrottled, format!("too many failed sign-ins; wait {seconds} seconds and repeat the call"))
        .retry_after(Duration::from_secs(seconds))
}

pub(super) fn overloaded() -> Refusal {
    Refusal::new(Reason::RequestOverloaded, "too many sign-ins at once; repeat the call a little later")
        .retry_after(SOON)
}

fn invalid(invalid: Invalid) -> Refusal {
    Refusal::invalid(invalid.field, invalid.what)
}

pub(crate) fn of_invalid(error: Invalid) -> Refusal {
    invalid(error)
}

fn weak(weak: WeakPassword, field: &'static str) -> Refusal {
    let advice = match weak {
        WeakPassword::TooShort { .. }
        | WeakPassword::TooLong { .. }
        | WeakPassword::IsTheName
        | WeakPassword::Unchanged => "choose another",
        WeakPassword::Guessable { .. } => {
            "choose another, such as four words that have nothing to do with each other or with the user"
        }
    };
    let text = weak.to_string();
    Refusal::new(Reason::AuthPasswordWeak, format!("{text}; {advice}")).violation(field, text)
}

pub(crate) fn of_denied(Denied(permission): Denied) -> Refusal {
    coffre_rpc::missing(permission)
}

fn caller(fault: CallerFault) -> Refusal {
    match fault {
        CallerFault::Gone => session_ended(),
        CallerFault::Denied(denied) => of_denied(denied),
    }
}

pub(crate) fn session_ended() -> Refusal {
    Refusal::new(Reason::AuthTokenInvalid, "the session has ended in the meantime; sign in again")
}

fn grant(fault: GrantFault) -> Refusal {
    match fault {
        GrantFault::Exceeds(Some(permission)) => {
            let name = permission.display_name();
            Refusal::new(
                Reason::AuthzGrantExceeds,
                format!("this would give \"{name}\", which you do not hold; a holder of AAE_Admin can do it"),
            )
            .with("permission", name)
        }
        GrantFault::Exceeds(None) => Refusal::new(
            Reason::AuthzGrantExceeds,
            "this would give the rights of an administrator; only a holder of AAE_Admin can do it",
        ),
        GrantFault::OfAdministrator => Refusal::new(
            Reason::AuthzGrantExceeds,
            "this would take AAE_Admin from an administrator; only a holder of AAE_Admin can do it",
        ),
        GrantFault::Reserved(permission) => {
            let name = permission.map_or("AAE_Admin", Permission::display_name);
            Refusal::new(
                Reason::AuthRecentSignInRequired,
                format!(
                    "this would give \"{name}\", which takes a sign-in of the last minutes, with the password, and neither an API key nor a token \
                     of the OAuth side; sign in again (POST /v1/authentication) and repeat the call with the new token"
                ),
            )
            .with("permission", name)
        }
        GrantFault::Renames(permission) => {
            let name = permission.map_or("AAE_Admin", Permission::display_name);
            Refusal::new(
                Reason::AuthzGrantExceeds,
                format!(
                    "whoever is renamed cannot sign in until he knows the new name, and this user holds \"{name}\", which you do not; a holder of \
                     AAE_Admin can do it"
                ),
            )
            .with("permission", name)
        }
        GrantFault::Consumes(role) => Refusal::new(
            Reason::AuthzGrantExceeds,
            format!(
                "role {role} consumes lockers, and whoever gets it, or the password of a user who holds it, gets what they share; you do not \
                 hold it: a holder of AAE_Admin can do it"
            ),
        )
        .with("roleId", role.to_string()),
        GrantFault::ConsumesToSelf(role) => Refusal::new(
            Reason::AuthzSelfGrant,
            format!("role {role} consumes lockers, and nobody gives himself what lockers share; ask another administrator"),
        )
        .with("roleId", role.to_string()),
        GrantFault::ToSelf => Refusal::new(
            Reason::AuthzSelfGrant,
            "nobody gives himself, or a role he holds, more than he holds already; ask another administrator",
        ),
    }
}

pub(crate) fn of_sign_in(error: SignInError) -> Refusal {
    match error {
        SignInError::Failed => Refusal::new(
            Reason::AuthSignInFailed,
            "the user name or the password is wrong, or the user may not sign in; check both",
        ),
        SignInError::Throttled { retry_after } => throttled(retry_after),
        SignInError::Overloaded => overloaded(),
        SignInError::Fault(error) => fault(error),
    }
}

pub(crate) fn of_session(error: SessionError) -> Refusal {
    match error {
        SessionError::TokenInvalid => {
            Refusal::new(Reason::AuthTokenInvalid, "the token is not valid, or its session has ended; sign in again")
        }
        SessionError::PasswordChangeRequired => coffre_rpc::password_change_required(),
        SessionError::Fault(error) => fault(error),
    }
}

pub(crate) fn of_password(error: PasswordError) -> Refusal {
    match error {
        PasswordError::Wrong => {
            Refusal::new(Reason::AuthPasswordWrong, "the old password is wrong; nothing was changed")
        }
        PasswordError::Weak(fault) => weak(fault, "new_password"),
        PasswordError::Throttled { retry_after } => throttled(retry_after),
        PasswordError::Overloaded => overloaded(),
        PasswordError::SignInTooOld => coffre_rpc::recent_sign_in_required(),
        PasswordError::SessionEnded => session_ended(),
        PasswordError::Fault(error) => fault(error),
    }
}

pub(crate) fn of_api_key(error: ApiKeyError) -> Refusal {
    match error {
        ApiKeyError::Invalid(error) => invalid(error),
        ApiKeyError::NotFound => Refusal::new(
            Reason::ApiKeyNotFound,
            "you have no such API key, or it was revoked already; GET /v1/apikeys lists yours",
        ),
        ApiKeyError::NameTaken => Refusal::new(
            Reason::ApiKeyNameTaken,
            "another of your API keys has this name (case and Unicode form do not tell names apart; one that has expired counts as well); \
             choose another name or delete that key",
        )
        .violation("name", "is taken"),
        ApiKeyError::Limit { most } => Refusal::new(
            Reason::ApiKeyLimit,
            format!("you have {most} API keys, which is the most there may be; delete one that is no longer used"),
        )
        .with("limit", most.to_string()),
        ApiKeyError::Denied(denied) => of_denied(denied),
        ApiKeyError::SessionEnded => session_ended(),
        ApiKeyError::Fault(error) => fault(error),
    }
}

pub(crate) fn of_user(error: UserError) -> Refusal {
    match error {
        UserError::Invalid(error) => invalid(error),
        UserError::Weak(fault) => weak(fault, "password"),
        UserError::NotFound => Refusal::new(Reason::UserNotFound, "there is no such user"),
        UserError::NameTaken => Refusal::new(
            Reason::UserNameTaken,
            "another user has this name (case and Unicode form do not tell names apart); choose another",
        )
        .violation("username", "is taken"),
        UserError::NameIsPassword => Refusal::new(
            Reason::AuthPasswordWeak,
            "the new name is the password of the user, and a password must not be the user name; choose another name, or change the password first",
        )
        .violation("username", "is the password of the user"),
        UserError::VersionConflict { current } => Refusal::new(
            Reason::UserVersionConflict,
            format!("the user was changed in the meantime and has version {current} now; read it again and repeat the change"),
        )
        .with("version", current.to_string()),
        UserError::PreconditionFailed => Refusal::new(
            Reason::RequestPreconditionFailed,
            "If-Match names another version than the current one; read the user again and repeat the change",
        ),
        UserError::LastAdministrator => Refusal::new(
            Reason::UserLastAdministrator,
            "this is the last enabled administrator; give AAE_Admin to another user first",
        ),
        UserError::HoldsObjects(held) => holdings::holds_objects(&held),
        UserError::RoleNotFound(id) => {
            Refusal::new(Reason::RoleNotFound, format!("there is no role {id}")).violation("roles", format!("there is no role {id}"))
        }
        UserError::Caller(fault) => caller(fault),
        UserError::Grant(fault) => grant(fault),
        UserError::OwnPassword => Refusal::new(
            Reason::AuthzSelfGrant,
            "one's own password is changed with the old one (PUT /v1/authentication/password), not reset",
        ),
        UserError::SignInTooOld => coffre_rpc::recent_sign_in_required(),
        UserError::Overloaded => overloaded(),
        UserError::KeeperSilent(keeper) => silent(keeper, "the user holds, or what its roles consume"),
        UserError::Superseded => superseded("user"),
        UserError::Overtaken => Refusal::new(
            Reason::StoreConflict,
            "roles or what they consume changed at the same time; repeat the call",
        ),
        UserError::Denied(denied) => of_denied(denied),
        UserError::RecipientNotFound(id) => Refusal::new(
            Reason::UserNotFound,
            format!("there is no user {id} who could get something, or it is being deleted; name another"),
        )
        .violation("recipient_id", format!("there is no user {id}")),
        UserError::RecipientDisabled(id) => {
            Refusal::invalid("recipient_id", format!("user {id} is disabled; enable it first or name another"))
        }
        UserError::Fault(error) => fault(error),
    }
}

pub(crate) fn of_cannot_give(error: CannotGive) -> Refusal {
    match error {
        CannotGive::Denied(denied) => of_denied(denied),
        CannotGive::ToSelf => Refusal::new(
            Reason::AuthzSelfGrant,
            "whoever administers lockers never hands what others hold to himself; ask the user, or another administrator",
        ),
    }
}

fn silent(keeper: Keeper, what: &str) -> Refusal {
    let service = match keeper {
        Keeper::Vault => "vault",
        Keeper::Locker => "locker",
    };
    Refusal::new(
        Reason::ServiceUnavailable,
        format!("the {service} service does not answer, so nobody knows what {what}; repeat the call"),
    )
    .retry_after(SOON)
}

fn superseded(what: &str) -> Refusal {
    Refusal::new(
        Reason::StoreConflict,
        format!("another call deletes the {what} at the same time; look what became of it before you repeat the call"),
    )
}

pub(crate) fn of_role(error: RoleError) -> Refusal {
    match error {
        RoleError::Invalid(error) => invalid(error),
        RoleError::NotFound => Refusal::new(Reason::RoleNotFound, "there is no such role"),
        RoleError::NameTaken => Refusal::new(
            Reason::RoleNameTaken,
            "another role has this name (case and Unicode form do not tell names apart); choose another",
        )
        .violation("name", "is taken"),
        RoleError::VersionConflict { current } => Refusal::new(
            Reason::RoleVersionConflict,
            format!("the role was changed in the meantime and has version {current} now; read it again and repeat the change"),
        )
        .with("version", current.to_string()),
        RoleError::PreconditionFailed => Refusal::new(
            Reason::RequestPreconditionFailed,
            "If-Match names another version than the current one; read the role again and repeat the change",
        ),
        RoleError::System => Refusal::new(
            Reason::RoleSystem,
            "a system role cannot be changed or deleted; make a role of your own",
        ),
        RoleError::InUse { users } => Refusal::new(
            Reason::RoleInUse,
            format!("{users} users hold the role; take it from them first"),
        )
        .with("users", users.to_string()),
        RoleError::ConsumesLockers(lockers) => holdings::consumes_lockers(&lockers),
        RoleError::KeeperSilent(keeper) => silent(keeper, "the role consumes"),
        RoleError::Superseded => superseded("role"),
        RoleError::Caller(fault) => caller(fault),
        RoleError::Grant(fault) => grant(fault),
        RoleError::Fault(error) => fault(error),
    }
}

pub(crate) fn of_list(error: ListError) -> Refusal {
    match error {
        ListError::FieldUnknown { field, known } => Refusal::new(
            Reason::ListFieldUnknown,
            format!("the list has no field {field:?}; it has {}", known.join(", ")),
        )
        .with("field", field),
        ListError::Invalid { part, message } => Refusal::invalid(part, message),
        ListError::TooLarge => Refusal::new(
            Reason::ListTooLarge,
            "the list is larger than one answer may be; ask for pages and pass `page.next` on as `page.token`",
        ),
        ListError::TokenInvalid => {
            Refusal::new(Reason::ListTokenInvalid, "the page token belongs to no such list; start again without it")
        }
        // None of ours is bounded.
        wide @ ListError::TooWide { .. } => Refusal::new(Reason::AuditSearchTooWide, wide.to_string()),
        ListError::Store(error) => store(error),
    }
}

#[cfg(test)]
mod tests {
    use coffre_types::RoleId;

    use super::*;
    use crate::domain::ports::{Held, Holdings, Object};
    use crate::hashing::HashFault;

    #[test]
    fn each_error_has_its_reason() {
        let (wait, soon) = (Duration::from_secs(7), Some(SOON));
        let held = || Held { total: 1, first: vec![Object { id: 1, name: "x".into() }] };
        let holdings = || Holdings { credentials: held(), lockers: Held::default() };
        let bad = || Invalid::new("f", "is bad");
        let table = [
            (of_sign_in(SignInError::Failed), Reason::AuthSignInFailed, None),
            (of_sign_in(SignInError::Throttled { retry_after: wait }), Reason::AuthThrottled, Some(wait)),
            (of_sign_in(SignInError::Overloaded), Reason::RequestOverloaded, soon),
            (of_sign_in(SignInError::Fault(Fault::NoSigningKey)), Reason::Internal, None),
            (of_session(SessionError::TokenInvalid), Reason::AuthTokenInvalid, None),
            (of_session(SessionError::PasswordChangeRequired), Reason::AuthPasswordChangeRequired, None),
            (of_session(SessionError::Fault(Fault::Signing)), Reason::Internal, None),
            (of_password(PasswordError::Wrong), Reason::AuthPasswordWrong, None),
            (of_password(PasswordError::Weak(WeakPassword::Unchanged)), Reason::AuthPasswordWeak, None),
            (of_password(PasswordError::Throttled { retry_after: wait }), Reason::AuthThrottled, Some(wait)),
            (of_password(PasswordError::Overloaded), Reason::RequestOverloaded, soon),
            (of_password(PasswordError::SignInTooOld), Reason::AuthRecentSignInRequired, None),
            (of_password(PasswordError::SessionEnded), Reason::AuthTokenInvalid, None),
            (of_password(PasswordError::Fault(Fault::Hash(HashFault::Stopped))), Reason::Internal, None),
            (of_api_key(ApiKeyError::Invalid(bad())), Reason::RequestInvalid, None),
            (of_api_key(ApiKeyError::NotFound), Reason::ApiKeyNotFound, None),
            (of_api_key(ApiKeyError::NameTaken), Reason::ApiKeyNameTaken, None),
            (of_api_key(ApiKeyError::Limit { most: 50 }), Reason::ApiKeyLimit, None),
            (
                of_api_key(ApiKeyError::Denied(Denied(Permission::GenerateApiKey))),
                Reason::AuthzPermissionRequired,
                None,
            ),
            (of_api_key(ApiKeyError::SessionEnded), Reason::AuthTokenInvalid, None),
            (of_api_key(ApiKeyError::Fault(Fault::Store(StoreError::Unavailable))), Reason::StoreUnavailable, soon),
            (of_user(UserError::Invalid(bad())), Reason::RequestInvalid, None),
            (of_user(UserError::Weak(WeakPassword::IsTheName)), Reason::AuthPasswordWeak, None),
            (of_user(UserError::Weak(WeakPassword::Guessable { why: "x" })), Reason::AuthPasswordWeak, None),
            (of_user(UserError::NotFound), Reason::UserNotFound, None),
            (of_user(UserError::NameTaken), Reason::UserNameTaken, None),
            (of_user(UserError::NameIsPassword), Reason::AuthPasswordWeak, None),
            (of_user(UserError::VersionConflict { current: 3 }), Reason::UserVersionConflict, None),
            (of_user(UserError::PreconditionFailed), Reason::RequestPreconditionFailed, None),
            (of_user(UserError::LastAdministrator), Reason::UserLastAdministrator, None),
            (of_user(UserError::HoldsObjects(holdings())), Reason::UserHoldsObjects, None),
            (of_user(UserError::RoleNotFound(9)), Reason::RoleNotFound, None),
            (of_user(UserError::Caller(CallerFault::Gone)), Reason::AuthTokenInvalid, None),
            (of_user(UserError::Grant(GrantFault::ToSelf)), Reason::AuthzSelfGrant, None),
            (of_user(UserError::Grant(GrantFault::Exceeds(None))), Reason::AuthzGrantExceeds, None),
            (of_user(UserError::Grant(GrantFault::OfAdministrator)), Reason::AuthzGrantExceeds, None),
            (of_user(UserError::Grant(GrantFault::Reserved(None))), Reason::AuthRecentSignInRequired, None),
            (of_role(RoleError::Grant(GrantFault::Reserved(None))), Reason::AuthRecentSignInRequired, None),
            (of_user(UserError::Grant(GrantFault::Renames(None))), Reason::AuthzGrantExceeds, None),
            (of_user(UserError::Grant(GrantFault::Consumes(RoleId::from_trusted(9)))), Reason::AuthzGrantExceeds, None),
            (
                of_user(UserError::Grant(GrantFault::ConsumesToSelf(RoleId::from_trusted(9)))),
                Reason::AuthzSelfGrant,
                None,
            ),
            (of_user(UserError::Overtaken), Reason::StoreConflict, None),
            (of_user(UserError::Denied(Denied(Permission::ManageMyLockers))), Reason::AuthzPermissionRequired, None),
            (of_user(UserError::OwnPassword), Reason::AuthzSelfGrant, None),
            (of_user(UserError::SignInTooOld), Reason::AuthRecentSignInRequired, None),
            (of_user(UserError::Overloaded), Reason::RequestOverloaded, soon),
            (of_user(UserError::KeeperSilent(Keeper::Vault)), Reason::ServiceUnavailable, soon),
            (of_user(UserError::Superseded), Reason::StoreConflict, None),
            (of_user(UserError::RecipientNotFound(9)), Reason::UserNotFound, None),
            (of_user(UserError::RecipientDisabled(9)), Reason::RequestInvalid, None),
            (of_cannot_give(CannotGive::ToSelf), Reason::AuthzSelfGrant, None),
            (
                of_cannot_give(CannotGive::Denied(Denied(Permission::AdministerAllLockers))),
                Reason::AuthzPermissionRequired,
                None,
            ),
            (of_role(RoleError::Invalid(bad())), Reason::RequestInvalid, None),
            (of_role(RoleError::NotFound), Reason::RoleNotFound, None),
            (of_role(RoleError::NameTaken), Reason::RoleNameTaken, None),
            (of_role(RoleError::VersionConflict { current: 3 }), Reason::RoleVersionConflict, None),
            (of_role(RoleError::PreconditionFailed), Reason::RequestPreconditionFailed, None),
            (of_role(RoleError::System), Reason::RoleSystem, None),
            (of_role(RoleError::InUse { users: 2 }), Reason::RoleInUse, None),
            (of_role(RoleError::ConsumesLockers(held())), Reason::RoleInUse, None),
            (of_role(RoleError::KeeperSilent(Keeper::Locker)), Reason::ServiceUnavailable, soon),
            (of_role(RoleError::Superseded), Reason::StoreConflict, None),
            (
                of_role(RoleError::Caller(CallerFault::Denied(Denied(Permission::ManageUsers)))),
                Reason::AuthzPermissionRequired,
                None,
            ),
            (of_denied(Denied(Permission::ManageUsers)), Reason::AuthzPermissionRequired, None),
            (store(StoreError::Retryable), Reason::StoreConflict, soon),
            (store(StoreError::Unavailable), Reason::StoreUnavailable, soon),
            (store(StoreError::Full), Reason::StoreUnavailable, soon),
            (store(StoreError::NotFound), Reason::Internal, None),
            (of_list(ListError::TooLarge), Reason::ListTooLarge, None),
            (of_list(ListError::TokenInvalid), Reason::ListTokenInvalid, None),
        ];
        for (refusal, reason, delay) in table {
            assert_eq!((refusal.reason(), refusal.delay()), (reason, delay), "{refusal}");
        }
    }

    #[test]
    fn what_the_database_says_does_not_pass() {
        let refusal = store(StoreError::Bug("relation \"users\" does not exist".into()));
        assert!(!refusal.message().contains("users"), "{refusal}");
    }

    #[test]
    fn a_grant_names_the_permission_that_is_missing() {
        let refusal = of_role(RoleError::Grant(GrantFault::Exceeds(Some(Permission::ManageAllValues))));
        assert_eq!(refusal.fact("permission"), Some(Permission::ManageAllValues.display_name()));
    }
}
