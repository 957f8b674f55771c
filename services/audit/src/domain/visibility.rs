//! Who may see which entries.

use coffre_types::{Caller, Permission, UserId};

/// The entries that a caller may see. Only [`Visibility::of`] and [`Visibility::own`] make one, and every read asks for one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Visibility(Option<UserId>);

impl Visibility {
    /// Everything for holders of *View everyone's audit log actions*, else the entries of one's own calls: by the user's id, because
    /// names change hands.
    pub(crate) fn of(caller: &Caller) -> Self {
        Self(if caller.has(Permission::ViewAllAudit) { None } else { Some(caller.user_id) })
    }

    /// The entries of one user's own calls, whatever else it may see.
    pub(crate) fn own(user: UserId) -> Self {
        Self(Some(user))
    }

    /// The only user whose entries are visible; `None` where all are.
    pub(crate) fn only(self) -> Option<UserId> {
        self.0
    }
}
