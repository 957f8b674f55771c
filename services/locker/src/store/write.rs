//! Changing.

use coffre_db::dialect::Insert;
use coffre_db::{Bind, Sql, dialect};
use coffre_types::{Description, LockerId, RoleId, TENANT, Timestamp, UserId, Version};
use diesel::sql_types::{BigInt, Bool};
use diesel::{OptionalExtension as _, RunQueryDsl as _};

use super::Tx;
use crate::domain::deletion::Marked;
use crate::domain::holdings::Fence;
use crate::domain::model::{Locker, Member, Membership, NewLocker, Stamp};
use crate::domain::policy::{Change, ChangeConsumers, ChangeMembers, Creation, Delete, Enter, Permit};
use crate::domain::ports::{Deleter, Entry, Result, Subject, Write};

fn text(description: Option<&Description>) -> Option<&str> {
    description.map(Description::as_str)
}

/// The version before one that is about to be written.
fn before(next: Version) -> i64 {
    next.get().saturating_sub(1)
}

fn fence_row(id: i64, fence: Fence, now: Timestamp) -> [Bind; 5] {
    [id.into(), TENANT.get().into(), fence.attempt.into(), fence.held.into(), now.micros().into()]
}

impl Tx<'_> {
    fn run(&mut self, sql: Sql) -> Result<usize> {
        Ok(sql.cached().execute(self.conn)?)
    }

    fn put_member(&mut self, locker: LockerId, member: Member) -> Result<()> {
        let Member { user, membership: Membership { own, manage } } = member;
        Insert::into("members", &["locker_id", "user_id", "tenant_id", "own", "manage"])
            .row([locker.get().into(), user.get().into(), TENANT.get().into(), own.into(), manage.into()])
            .or_update(&["locker_id", "user_id"], &["own", "manage"])
            .execute(self.conn)?;
        Ok(())
    }

    fn fence_of(&mut self, sql: Sql) -> Result<Option<Fence>> {
        let row: Option<(i64, bool)> = sql.cached().typed::<(BigInt, Bool)>().get_result(self.conn).optional()?;
        Ok(row.map(|(attempt, held)| Fence { attempt, held }))
    }
}

impl Write for Tx<'_> {
    fn user_fence(&mut self, user: UserId) -> Result<Option<Fence>> {
        self.fence_of(Sql::new("SELECT attempt, held FROM departed_users WHERE user_id = ").bind(user.get()))
    }

    fn role_fence(&mut self, role: RoleId) -> Result<Option<Fence>> {
        self.fence_of(Sql::new("SELECT attempt, held FROM departed_roles WHERE role_id = ").bind(role.get()))
    }

    fn count_owners(&mut self, id: LockerId) -> Result<i64> {
        let sql = Sql::new(
            "SELECT count(*) AS id FROM members m WHERE m.own \
             AND NOT EXISTS (SELECT 1 FROM departed_users d WHERE d.user_id = m.user_id AND d.held) AND m.locker_id = ",
        );
        dialect::id(self.conn, sql.bind(id.get()).cached())
    }

    fn tell(&mut self, subjects: &[Subject], now: Timestamp) -> Result<()> {
        for subject in subjects {
            super::shares::record(self.conn, *subject, now)?;
        }
        Ok(())
    }

    fn insert_locker(&mut self, _: &Creation, new: &NewLocker, stamp: Stamp) -> Result<LockerId> {
        let sql = Sql::new(
            "INSERT INTO lockers (tenant_id, name, name_key, description, version, created_by, created_at, updated_by, updated_at) \
             VALUES (",
        )
        .bind(TENANT.get())
        .push(", ")
        .bind(new.name.as_str())
        .push(", ")
        .bind(new.name.key().into_string())
        .push(", ")
        .bind(text(new.description.as_ref()))
        .push(", ")
        .bind(Version::FIRST.get())
        .push(", ")
        .bind(stamp.created_by.get())
        .push(", ")
        .bind(stamp.created_at.micros())
        .push(", ")
        .bind(stamp.updated_by.get())
        .push(", ")
        .bind(stamp.updated_at.micros())
        .push(") RETURNING id");
        let id = LockerId::from_trusted(dialect::id(self.conn, sql.cached())?);
        self.put_member(id, Member { user: stamp.created_by, membership: Membership::FULL })?;
        Ok(id)
    }

    fn update_locker(&mut self, permit: &Permit<Change>, next: &Locker) -> Result<bool> {
        let sql = Sql::new("UPDATE lockers SET name = ")
            .bind(next.name.as_str())
            .push(", name_key = ")
            .bind(next.name.key().into_string())
            .push(", description = ")
            .bind(text(next.description.as_ref()))
            .push(", version = ")
            .bind(next.version.get())
            .push(", updated_by = ")
            .bind(next.stamp.updated_by.get())
            .push(", updated_at = ")
            .bind(next.stamp.updated_at.micros())
            .push(" WHERE deleted_at IS NULL AND id = ")
            .bind(permit.locker().get())
            .push(" AND version = ")
            .bind(before(next.version));
        Ok(self.run(sql)? == 1)
    }

    fn raise_locker(&mut self, next: &Locker) -> Result<bool> {
        let sql = Sql::new("UPDATE lockers SET version = ")
            .bind(next.version.get())
            .push(", updated_by = ")
            .bind(next.stamp.updated_by.get())
            .push(", updated_at = ")
            .bind(next.stamp.updated_at.micros())
            .push(" WHERE deleted_at IS NULL AND id = ")
            .bind(next.id.get())
            .push(" AND version = ")
            .bind(before(next.version));
        Ok(self.run(sql)? == 1)
    }

    fn set_member(&mut self, permit: &Permit<ChangeMembers>, member: Member) -> Result<()> {
        self.put_member(permit.locker(), member)
    }

    fn remove_member(&mut self, permit: &Permit<ChangeMembers>, user: UserId) -> Result<()> {
        let sql = Sql::new("DELETE FROM members WHERE locker_id = ").bind(permit.locker().get());
        self.run(sql.push(" AND user_id = ").bind(user.get())).map(|_| ())
    }

    fn add_consumer(&mut self, permit: &Permit<ChangeConsumers>, role: RoleId) -> Result<()> {
        Insert::into("consumers", &["locker_id", "role_id", "tenant_id"])
            .row([permit.locker().get().into(), role.get().into(), TENANT.get().into()])
            .or_ignore(&["locker_id", "role_id"])
            .execute(self.conn)?;
        Ok(())
    }

    fn remove_consumer(&mut self, permit: &Permit<ChangeConsumers>, role: RoleId) -> Result<()> {
        let sql = Sql::new("DELETE FROM consumers WHERE locker_id = ").bind(permit.locker().get());
        self.run(sql.push(" AND role_id = ").bind(role.get())).map(|_| ())
    }

    fn mark(&mut self, permit: &Permit<Delete>, deletions: i64, by: &Deleter<'_>, now: Timestamp) -> Result<()> {
        let sql = Sql::new("UPDATE lockers SET deletions = ")
            .bind(deletions)
            .push(", deleting_at = ")
            .bind(now.micros())
            .push(", deleting_by = ")
            .bind(by.user.get())
            .push(", deleting_name = ")
            .bind(by.name)
            .push(", deleting_request = ")
            .bind(by.request_id)
            .push(" WHERE id = ")
            .bind(permit.locker().get());
        self.run(sql).map(|_| ())
    }

    fn unmark(&mut self, marked: Marked) -> Result<()> {
        let sql = Sql::new(
            "UPDATE lockers SET deleting_at = NULL, deleting_by = NULL, deleting_name = NULL, deleting_request = NULL \
             WHERE deleted_at IS NULL AND id = ",
        );
        self.run(sql.bind(marked.locker().get()).push(" AND deletions = ").bind(marked.deletions())).map(|_| ())
    }

    fn bury(&mut self, marked: Marked, stamp: Stamp) -> Result<()> {
        let id = marked.locker().get();
        self.run(Sql::new("DELETE FROM members WHERE locker_id = ").bind(id))?;
        self.run(Sql::new("DELETE FROM consumers WHERE locker_id = ").bind(id))?;
        let sql = Sql::new(
            "UPDATE lockers SET deleting_at = NULL, deleting_by = NULL, deleting_name = NULL, deleting_request = NULL, \
             deleted_at = ",
        )
        .bind(stamp.updated_at.micros())
        .push(", updated_by = ")
        .bind(stamp.updated_by.get())
        .push(", updated_at = ")
        .bind(stamp.updated_at.micros())
        .push(" WHERE id = ")
        .bind(id);
        self.run(sql).map(|_| ())
    }

    fn reserve(&mut self, permit: &Permit<Enter>, entry: Entry, now: Timestamp) -> Result<()> {
        self.run(Sql::new("UPDATE lockers SET entries = entries + 1 WHERE id = ").bind(permit.locker().get()))?;
        Insert::into("reservations", &["locker_id", "credential_id", "epoch", "tenant_id", "created_at"])
            .row([
                permit.locker().get().into(),
                entry.credential.get().into(),
                entry.epoch.into(),
                TENANT.get().into(),
                now.micros().into(),
            ])
            .or_update(&["locker_id", "credential_id", "epoch"], &["created_at"])
            .execute(self.conn)?;
        Ok(())
    }

    fn close(&mut self, entry: Entry) -> Result<()> {
        let sql = Sql::new("DELETE FROM reservations WHERE locker_id = ")
            .bind(entry.locker.get())
            .push(" AND credential_id = ")
            .bind(entry.credential.get())
            .push(" AND epoch = ")
            .bind(entry.epoch);
        self.run(sql).map(|_| ())
    }

    fn set_user_fence(&mut self, user: UserId, fence: Fence, now: Timestamp) -> Result<()> {
        Insert::into("departed_users", &["user_id", "tenant_id", "attempt", "held", "departed_at"])
            .row(fence_row(user.get(), fence, now))
            .or_update(&["user_id"], &["attempt", "held", "departed_at"])
            .execute(self.conn)?;
        Ok(())
    }

    fn set_role_fence(&mut self, role: RoleId, fence: Fence, now: Timestamp) -> Result<()> {
        Insert::into("departed_roles", &["role_id", "tenant_id", "attempt", "held", "departed_at"])
            .row(fence_row(role.get(), fence, now))
            .or_update(&["role_id"], &["attempt", "held", "departed_at"])
            .execute(self.conn)?;
        Ok(())
    }

    fn release_user(&mut self, user: UserId, by: UserId, now: Timestamp) -> Result<Vec<LockerId>> {
        let sql = Sql::new("SELECT locker_id AS id FROM members WHERE user_id = ").bind(user.get());
        let left = dialect::ids(self.conn, sql.push(" ORDER BY locker_id").cached())?;
        let sql = Sql::new("UPDATE lockers SET version = version + 1, updated_by = ")
            .bind(by.get())
            .push(", updated_at = ")
            .bind(now.micros())
            .push(" WHERE id IN (SELECT locker_id FROM members WHERE user_id = ")
            .bind(user.get())
            .push(")");
        self.run(sql)?;
        self.run(Sql::new("DELETE FROM members WHERE user_id = ").bind(user.get()))?;
        Ok(left.into_iter().map(LockerId::from_trusted).collect())
    }
}
