//! Who may do what, as messages.

use coffre_proto::vault::v1 as proto;
use coffre_types::{AttributeId, RoleId};

use crate::domain::access::{AccessPath, LockerSharers, MissingValues, UserAccess};
use crate::domain::policy::{Action, Standing};

pub(super) fn explained(users: Vec<UserAccess>, locker: Option<LockerSharers>) -> proto::ExplainAccessResponse {
    let users = users.into_iter().map(|user| proto::UserAccess {
        user_id: user.id.get(),
        username: user.name,
        disabled: user.disabled,
        actions: actions(&user.actions),
        paths: user.paths.into_iter().map(path).collect(),
    });
    proto::ExplainAccessResponse {
        users: users.collect(),
        locker_id: locker.as_ref().map(|locker| locker.id.get()),
        locker_name: locker.map(|locker| locker.name).unwrap_or_default(),
    }
}

fn path(path: AccessPath) -> proto::AccessPath {
    let actions = actions(&path.actions);
    let (role_id, role_name) = path.role.map_or((None, String::new()), |(id, name)| (Some(RoleId::get(id)), name));
    proto::AccessPath {
        standing: standing(path.standing).into(),
        role_id,
        role_name,
        effective: path.missing.is_none(),
        missing_permission: path.missing.map_or_else(String::new, |missing| missing.display_name().to_owned()),
        actions,
    }
}

pub(super) fn missing(user: MissingValues) -> proto::MissingValues {
    proto::MissingValues {
        user_id: user.id.get(),
        username: user.name,
        disabled: user.disabled,
        attribute_ids: user.attributes.into_iter().map(AttributeId::get).collect(),
    }
}

fn standing(standing: Standing) -> proto::Standing {
    match standing {
        Standing::Owner => proto::Standing::Owner,
        Standing::Manager => proto::Standing::Manager,
        Standing::Participant => proto::Standing::Participant,
        Standing::Consumer => proto::Standing::Consumer,
        Standing::LockerAdmin => proto::Standing::LockerAdministrator,
        Standing::ValueAdmin => proto::Standing::ValueAdministrator,
    }
}

fn actions(actions: &[Action]) -> Vec<i32> {
    actions.iter().filter_map(|action| row(*action)).map(i32::from).collect()
}

/// Returns the row of the contract's matrix; asking for this explanation is none of them.
fn row(action: Action) -> Option<proto::Action> {
    Some(match action {
        Action::See => proto::Action::See,
        Action::Change => proto::Action::Change,
        Action::Delete => proto::Action::Delete,
        Action::Assign => proto::Action::Assign,
        Action::Withdraw => proto::Action::Withdraw,
        Action::Transfer => proto::Action::Transfer,
        Action::ReadStandard => proto::Action::ReadStandard,
        Action::WriteStandard => proto::Action::WriteStandard,
        Action::ReadOwn => proto::Action::ReadOwn,
        Action::WriteOwn => proto::Action::WriteOwn,
        Action::ReadOther => proto::Action::ReadOther,
        Action::WriteOther => proto::Action::WriteOther,
        Action::Explain => return None,
    })
}
