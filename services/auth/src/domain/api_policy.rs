//! Who may do what with API accesses. The permits of this module are made here and nowhere else; a use case asks for one.

use coffre_types::{Caller, Permission, SessionId, UserId};

use super::api_access::ApiAccess;
use super::error::Denied;

/// The right to administer API accesses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ManageApiAccesses {
    by: UserId,
}

impl ManageApiAccesses {
    /// Returns who holds it.
    pub(crate) fn by(self) -> UserId {
        self.by
    }
}

/// Gives the right to administer API accesses to those who hold it.
pub(crate) fn manage(caller: &Caller) -> Result<ManageApiAccesses, Denied> {
    match caller.has(Permission::ManageApiAccess) {
        true => Ok(ManageApiAccesses { by: caller.user_id }),
        false => Err(Denied(Permission::ManageApiAccess)),
    }
}

/// The right of somebody to whom an API access may be bound: to see it, and to take a confirmation back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Concern {
    who: UserId,
    manages: bool,
}

/// Gives the right to see what is bound to oneself; whoever administers API accesses sees all of them.
pub(crate) fn concern(caller: &Caller) -> Concern {
    Concern { who: caller.user_id, manages: caller.has(Permission::ManageApiAccess) }
}

impl Concern {
    /// Returns whose it is.
    pub(crate) fn who(self) -> UserId {
        self.who
    }

    /// Says whether every API access concerns the caller.
    pub(crate) fn manages(self) -> bool {
        self.manages
    }

    /// Says whether an API access concerns the caller.
    pub(crate) fn covers(self, access: &ApiAccess) -> bool {
        self.manages || access.operator == Some(self.who)
    }
}

/// The right to let an API access act as oneself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirm {
    operator: UserId,
    session: SessionId,
}

impl Confirm {
    /// Returns as whom.
    pub(crate) fn operator(self) -> UserId {
        self.operator
    }

    /// Returns the session in which it is said.
    pub(crate) fn session(self) -> SessionId {
        self.session
    }
}

/// Gives the right to confirm to whoever may connect to the API: a program gets no more than that.
pub(crate) fn confirm(caller: &Caller) -> Result<Confirm, Denied> {
    match caller.has(Permission::ConnectToApi) {
        true => Ok(Confirm { operator: caller.user_id, session: caller.session_id }),
        false => Err(Denied(Permission::ConnectToApi)),
    }
}
