//! What a role consumes is given with the role (`security.md` 3.1).
//!
//! Auth knows who holds a role, locker knows what it consumes, and no transaction spans the two. Whoever administers lockers and users could
//! make a role consume a locker here while it gives the role to itself there, each allowed by what was true before the other. So both sides
//! count how often they told the other one about a role, and neither goes on where the count is not what it was before it asked:
//!
//! ```text
//! auth:   read the count ─▶ ask locker: does it consume?  (locker counts) ─▶ give the role, where auth's count is the same
//! locker: read the count ─▶ ask auth: does the caller hold it? (auth counts) ─▶ add the consumer, where locker's count is the same
//! ```
//!
//! Whichever is asked later is asked after the other side has begun, and either sees what the other one did or makes it begin anew. Nothing
//! is locked meanwhile, so nothing is left behind by a crash.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_db::Connection;
use coffre_types::{RoleId, UserId};

use super::Auth;
use super::error::{Fault, UserError};
use super::policy::{Giver, Grant};
use super::role::Role;
use super::turn;
use super::user::{User, UserPatch};
use super::users::{check_reset, grants};
use crate::store::deletions::is_leaving;
use crate::store::{inspections, roles, users};

/// Roles of which locker said that they consume nothing, with how often auth had been asked about each before.
#[derive(Default)]
pub(super) struct Idle(BTreeMap<RoleId, i64>);

impl Idle {
    /// Decides within the transaction that gives roles to a user, or chooses its password.
    pub(super) fn check(
        &self,
        conn: &mut Connection,
        giver: &Giver,
        target: Option<UserId>,
        in_question: &[RoleId],
    ) -> Result<(), UserError> {
        if in_question.is_empty() {
            return Ok(());
        }
        let now = inspections::of(conn, in_question)?;
        // What others hold before it consumes something they may go on holding; what the caller gives to himself is another matter.
        let same = |role: &RoleId, count: &i64| now.get(role) == Some(count) || !giver.is(target);
        let known = in_question.iter().all(|role| self.0.get(role).is_some_and(|count| same(role, count)));
        if known { Ok(()) } else { Err(UserError::Overtaken) }
    }
}

/// What a change of a user would give.
pub(super) struct Weighed {
    /// The roles that the user shall hold.
    pub(super) roles: Option<Vec<Grant>>,
    /// Those that count for what they consume.
    pub(super) in_question: Vec<RoleId>,
}

/// Says whether a change of a user gives no more permissions than its caller may give, and shuts nobody out who holds more, and which roles count for what they consume.
pub(super) fn weigh(
    conn: &mut Connection,
    giver: &Giver,
    target: &User,
    patch: &UserPatch,
) -> Result<Weighed, UserError> {
    let mut given = Vec::new();
    let wanted = match &patch.roles {
        None => None,
        Some(wanted) => {
            let wanted = grants(conn, wanted)?;
            let new = |grant: &&Grant| !target.roles.iter().any(|held| held.id == grant.role);
            given.extend(wanted.iter().filter(new).cloned());
            giver.may_assign(Some(target.id), &given)?;
            Some(wanted)
        }
    };
    if patch.username.as_ref().is_some_and(|name| name.as_str() != target.username) {
        giver.may_rename(target)?;
    }
    if patch.password.is_some() {
        check_reset(giver, target)?;
        let held: Vec<RoleId> = target.roles.iter().map(|role| role.id).collect();
        given.append(&mut roles::grants(conn, &held)?);
    }
    Ok(Weighed { roles: wanted, in_question: giver.in_question(Some(target.id), &given) })
}

impl Auth {
    /// Asks locker about the roles that a change would give to a user, or whose holder it would let the caller act as. Where there are none
    /// nobody is asked.
    pub(super) async fn idle(
        &self,
        target: Option<UserId>,
        weigh: impl Fn(&mut Connection) -> Result<(Giver, Vec<RoleId>), UserError> + Send + Sync + 'static,
    ) -> Result<Idle, UserError> {
        let weigh = Arc::new(weigh);
        let (giver, counts) = self
            .database
            .read(move |conn| {
                let (giver, in_question) = weigh(conn)?;
                Ok::<_, UserError>((giver, inspections::of(conn, &in_question)?))
            })
            .await?;
        if counts.is_empty() {
            return Ok(Idle::default());
        }
        let roles: Vec<RoleId> = counts.keys().copied().collect();
        match self.keepers.consumers.consuming(&roles).await?.first() {
            Some(role) => Err(giver.may_not_hand(target, *role).into()),
            None => Ok(Idle(counts)),
        }
    }

    /// Says whether a role exists and can consume lockers, and whether a user holds it.
    pub(crate) async fn look_up_role(&self, id: RoleId, holder: Option<UserId>) -> Result<Option<(Role, bool)>, Fault> {
        let look = move |conn: &mut Connection| match roles::find(conn, id)? {
            Some(_) if is_leaving(conn, super::deletion::Leaving::Role(id))? => Ok(None),
            found => Ok::<_, Fault>(found),
        };
        let Some(holder) = holder else {
            return Ok(self.database.read(look).await?.map(|role| (role, false)));
        };
        self.database
            .write(move |tx| {
                let conn = tx.conn();
                turn::wait(conn)?;
                let Some(role) = look(conn)? else { return Ok(None) };
                inspections::note(conn, id)?;
                let held = users::find(conn, holder)?.is_some_and(|user| user.roles.iter().any(|held| held.id == id));
                Ok::<_, Fault>(Some((role, held)))
            })
            .await
    }
}
