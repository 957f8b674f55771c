//! What the OAuth side refuses, as refusals: what was wrong and what to do. No match has a `_` arm: a new error must choose.

use coffre_error::{Reason, Refusal};

use super::error::{of_denied, of_fault, of_invalid, overloaded, session_ended, throttled};
use crate::domain::oauth_error::{ApiAccessError, OAuthError};

pub(super) fn of_oauth(error: OAuthError) -> Refusal {
    match error {
        OAuthError::ClientInvalid => Refusal::new(
            Reason::OauthClientInvalid,
            "the client id or the client secret is wrong, or the API access is disabled; check them",
        ),
        OAuthError::ClientUnauthorized(grant) => Refusal::new(
            Reason::OauthClientUnauthorized,
            format!("the API access does not allow the grant {grant}; whoever manages API access can allow it"),
        )
        .with("grant", grant),
        OAuthError::GrantInvalid => Refusal::new(
            Reason::OauthGrantInvalid,
            "the user name, the password or the refresh token is wrong or has ended, or its user may not connect to the API; begin anew",
        ),
        OAuthError::ScopeInvalid => {
            Refusal::new(Reason::OauthScopeInvalid, "the only scope is public-api; ask for it or for none")
        }
        OAuthError::Throttled { retry_after } => throttled(retry_after),
        OAuthError::Overloaded => overloaded(),
        OAuthError::Fault(fault) => of_fault(fault),
    }
}

pub(super) fn of_api_access(error: ApiAccessError) -> Refusal {
    match error {
        ApiAccessError::Invalid(invalid) => of_invalid(invalid),
        ApiAccessError::NotFound => Refusal::new(Reason::ApiAccessNotFound, "there is no such API access"),
        ApiAccessError::ClientIdTaken => Refusal::new(
            Reason::ApiAccessClientIdTaken,
            "another API access has this client id (case and Unicode form do not tell ids apart); choose another",
        )
        .violation("client_id", "is taken"),
        ApiAccessError::VersionConflict { current } => Refusal::new(
            Reason::ApiAccessVersionConflict,
            format!("the API access was changed in the meantime and has version {current} now; read it again and repeat the change"),
        )
        .with("version", current.to_string()),
        ApiAccessError::PreconditionFailed => Refusal::new(
            Reason::RequestPreconditionFailed,
            "If-Match names another version than the current one; read the API access again and repeat the change",
        ),
        ApiAccessError::OperatorNotFound(id) => Refusal::new(
            Reason::UserNotFound,
            format!("there is no user {id} who could be the operator, or it is being deleted; name another"),
        )
        .violation("operator_id", format!("there is no user {id}")),
        ApiAccessError::NotBindable => Refusal::new(
            Reason::ApiAccessNotBindable,
            "the API access does not allow the grant client_credentials, so there is nothing to confirm; whoever manages API access can allow it",
        ),
        ApiAccessError::Denied(denied) => of_denied(denied),
        ApiAccessError::SessionEnded => session_ended(),
        ApiAccessError::Overloaded => overloaded(),
        ApiAccessError::Fault(fault) => of_fault(fault),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use coffre_types::Permission;

    use super::*;
    use crate::domain::error::{Denied, Fault, Invalid};

    #[test]
    fn each_error_has_its_reason() {
        let wait = Duration::from_secs(7);
        let table = [
            (of_oauth(OAuthError::ClientInvalid), Reason::OauthClientInvalid),
            (of_oauth(OAuthError::ClientUnauthorized("password")), Reason::OauthClientUnauthorized),
            (of_oauth(OAuthError::GrantInvalid), Reason::OauthGrantInvalid),
            (of_oauth(OAuthError::ScopeInvalid), Reason::OauthScopeInvalid),
            (of_oauth(OAuthError::Throttled { retry_after: wait }), Reason::AuthThrottled),
            (of_oauth(OAuthError::Overloaded), Reason::RequestOverloaded),
            (of_oauth(OAuthError::Fault(Fault::NoSigningKey)), Reason::Internal),
            (of_api_access(ApiAccessError::Invalid(Invalid::new("f", "is bad"))), Reason::RequestInvalid),
            (of_api_access(ApiAccessError::NotFound), Reason::ApiAccessNotFound),
            (of_api_access(ApiAccessError::ClientIdTaken), Reason::ApiAccessClientIdTaken),
            (of_api_access(ApiAccessError::VersionConflict { current: 1 }), Reason::ApiAccessVersionConflict),
            (of_api_access(ApiAccessError::PreconditionFailed), Reason::RequestPreconditionFailed),
            (of_api_access(ApiAccessError::OperatorNotFound(1)), Reason::UserNotFound),
            (of_api_access(ApiAccessError::NotBindable), Reason::ApiAccessNotBindable),
            (
                of_api_access(ApiAccessError::Denied(Denied(Permission::ManageApiAccess))),
                Reason::AuthzPermissionRequired,
            ),
            (of_api_access(ApiAccessError::SessionEnded), Reason::AuthTokenInvalid),
            (of_api_access(ApiAccessError::Overloaded), Reason::RequestOverloaded),
            (of_api_access(ApiAccessError::Fault(Fault::Signing)), Reason::Internal),
        ];
        for (refusal, reason) in table {
            assert_eq!(refusal.reason(), reason, "{refusal}");
        }
        assert_eq!(of_oauth(OAuthError::Throttled { retry_after: wait }).delay(), Some(wait));
    }
}
