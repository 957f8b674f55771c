//! Who may see which entries.

use coffre_types::{Caller, Permission, UserId};

/// The entries that a caller may see. Only [`Visibility::of`], [`Visibility::own`] and [`Visibility::of_log`] make one, and every read asks
/// for one.
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

    /// Everything, for what the service itself finds out and of which no entry leaves.
    pub(crate) fn of_log() -> Self {
        Self(None)
    }

    /// The only user whose entries are visible; `None` where all are.
    pub(crate) fn only(self) -> Option<UserId> {
        self.0
    }

    /// Says whether who reads by this visibility may go on where it would be given that one now.
    pub(crate) fn allows(self, now: Self) -> bool {
        now.0.is_none() || now == self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_reads_everything_goes_on_only_while_everything_is_visible() {
        let (all, mine) = (Visibility(None), Visibility::own(UserId::from_trusted(7)));
        let theirs = Visibility::own(UserId::from_trusted(8));
        for (reading, now, expected) in
            [(all, all, true), (all, mine, false), (mine, all, true), (mine, mine, true), (mine, theirs, false)]
        {
            assert_eq!(reading.allows(now), expected, "{reading:?} {now:?}");
        }
    }
}
