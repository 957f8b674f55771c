//! How refusals read to callers. No `_` arm: a new reason must choose its words.

use std::time::Duration;

use coffre_error::{Reason, Refusal};
use coffre_types::Permission;
use tonic::Status;

use crate::domain::error::LockerError;
use crate::domain::policy::{Action, Grant};

const DATABASE: &str = "the database of lockers";
const SOON: Duration = Duration::from_secs(1);

pub(super) fn status(error: LockerError) -> Status {
    refusal(error).into()
}

fn refusal(error: LockerError) -> Refusal {
    use LockerError as E;
    match error {
        E::Invalid { field, description } => Refusal::invalid(field, description),
        E::LockerNotFound => Refusal::new(Reason::LockerNotFound, "there is no such locker, or none that you may see"),
        E::NameTaken => Refusal::new(
            Reason::LockerNameTaken,
            "another locker has this name; names differ by more than case and Unicode form: choose another",
        ),
        E::VersionConflict => Refusal::new(
            Reason::LockerVersionConflict,
            "the locker was changed meanwhile: read it again and repeat the change with its version",
        ),
        E::PreconditionFailed => Refusal::new(
            Reason::RequestPreconditionFailed,
            "If-Match does not match the present version: read it again and repeat with its ETag",
        ),
        E::NotPermitted(action) => Refusal::new(Reason::LockerNotPermitted, not_permitted(action)),
        E::PermissionRequired(permission) => coffre_rpc::missing(permission),
        E::SelfGrant(grant) => Refusal::new(Reason::AuthzSelfGrant, self_grant(grant)),
        E::LastOwner => Refusal::new(
            Reason::LockerLastOwner,
            "a locker keeps at least one owner who stays: give \"own\" to another member first",
        ),
        E::BeingDeleted => Refusal::new(
            Reason::LockerBeingDeleted,
            "the locker is being deleted and takes nothing any more; where it is kept after all, repeat the call",
        ),
        E::NotEmpty(count) => Refusal::new(
            Reason::LockerNotEmpty,
            format!(
                "the locker holds {count} {}; nothing was deleted: take them out first (DELETE …/lockers/{{id}}/credentials/{{credentialId}})",
                if count == 1 { "credential" } else { "credentials" }
            ),
        )
        .with("credential_count", count.to_string()),
        E::UserNotFound(user) => Refusal::new(
            Reason::UserNotFound,
            format!("user {user} does not exist or is being deleted: name another"),
        )
        .with("user_id", user.to_string()),
        E::RoleNotFound(role) => Refusal::new(
            Reason::RoleNotFound,
            format!("role {role} does not exist or is being deleted: name another"),
        )
        .with("role_id", role.to_string()),
        E::SystemRole { name } => Refusal::invalid(
            "role_id",
            format!("\"{name}\" is a system role, and only roles that users defined consume lockers: choose another"),
        ),
        E::MemberNotFound(user) => {
            Refusal::new(Reason::LockerMemberNotFound, format!("user {user} is no member of the locker"))
        }
        E::ConsumerNotFound(role) => {
            Refusal::new(Reason::LockerConsumerNotFound, format!("role {role} is no consumer of the locker"))
        }
        E::Superseded => Refusal::new(Reason::StoreConflict, "this attempt to delete it was given up: begin a new one"),
        E::Overtaken => Refusal::new(
            Reason::StoreConflict,
            "another call deleted this locker or gave its deletion up at the same time: read it again and repeat the call",
        )
        .retry_after(SOON),
        E::RoleOvertaken(role) => Refusal::new(
            Reason::StoreConflict,
            format!("role {role} was being given to users at the same time; repeat the call"),
        )
        .retry_after(SOON),
        E::List(error) => coffre_rpc::list_refused(error, DATABASE),
        E::AuthUnavailable => Refusal::new(
            Reason::AuthUnavailable,
            "the service that knows users and roles does not answer; repeat the call",
        )
        .retry_after(SOON),
        E::VaultUnavailable => Refusal::new(
            Reason::ServiceUnavailable,
            "the service that knows what lies in lockers does not answer; nothing was done: repeat the call",
        )
        .retry_after(SOON),
        E::Store(error) => coffre_rpc::store_refused(error, DATABASE),
    }
}

fn not_permitted(action: Action) -> String {
    let admin = Permission::AdministerAllLockers.display_name();
    let who = match action {
        Action::See | Action::SeeConsumers => {
            format!("its members, users of its consumer roles or the permission \"{admin}\" may see it")
        }
        Action::SeeMembers => format!("its members or the permission \"{admin}\" may see who its members are"),
        Action::Change => format!("an own or manage member or the permission \"{admin}\" may change it"),
        Action::ChangeConsumers => {
            format!("an own or manage member or the permission \"{admin}\" may add and remove consumers")
        }
        Action::ChangeMembers => {
            format!("an own member or the permission \"{admin}\" may add and remove members")
        }
        Action::Delete => format!("an own member or the permission \"{admin}\" may delete it"),
        Action::Enter => "only a member may put credentials in".to_owned(),
    };
    format!("you see this locker but may not do this: {who}")
}

fn self_grant(grant: Grant) -> String {
    let admin = Permission::AdministerAllLockers.display_name();
    match grant {
        Grant::Membership => format!(
            "\"{admin}\" changes members but never makes oneself one, nor changes one's own membership; ask an owner or another administrator"
        ),
        Grant::Consumption(role) => format!(
            "\"{admin}\" adds consumers but never a role that one holds, and you hold role {role}; ask an owner or another administrator"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_an_action_names_a_right_that_allows_it() {
        for action in Action::ALL {
            let text = not_permitted(action);
            assert!(text.contains("may") && (text.contains("member") || text.contains("permission")), "{text}");
        }
    }

    #[test]
    fn a_locker_that_is_not_empty_says_how_many_it_holds() {
        for (count, words) in [(1, "holds 1 credential;"), (3, "holds 3 credentials;")] {
            let refusal = refusal(LockerError::NotEmpty(count));
            assert_eq!(refusal.reason(), Reason::LockerNotEmpty);
            assert!(refusal.message().contains(words), "{}", refusal.message());
            assert_eq!(refusal.fact("credential_count"), Some(count.to_string().as_str()));
        }
    }

    #[test]
    fn whoever_gives_to_himself_is_told_of_what() {
        for grant in [Grant::Membership, Grant::Consumption(coffre_types::RoleId::from_trusted(14))] {
            let refusal = refusal(LockerError::SelfGrant(grant));
            assert_eq!(refusal.reason(), Reason::AuthzSelfGrant);
            assert!(refusal.message().contains("Administer all lockers"));
        }
        assert!(self_grant(Grant::Consumption(coffre_types::RoleId::from_trusted(14))).contains("role 14"));
    }
}
