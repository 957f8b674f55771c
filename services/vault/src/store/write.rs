//! Changing.

use coffre_crypto::value::{self, SealedValue};
use coffre_db::dialect::Insert;
use coffre_db::{Bind, Error, Sql};
use coffre_types::{AttributeId, CredentialId, Description, LockerId, TENANT, Timestamp, UserId, ValueId, Version};
use diesel::dsl::{exists, select};
use diesel::prelude::*;

use super::rows::{
    AttributeRow, CREDENTIAL, CredentialRow, EVERYBODY, FIND_VALUE, FindValueTypes, ValueHeadRow, user_column,
};
use super::schema::{attribute_values, attributes, credentials, departed_users};
use super::{Tx, dialect};
use crate::domain::model::{Attribute, Credential, NewAttribute, NewCredential, Stamp, Value};
use crate::domain::policy::{Assign, Change, Creation, Delete, Permit, Transfer, Withdraw, WriteValue};
use crate::domain::ports::{DeletedValue, Departure, NewValueRow, Result, Write};

/// What is told of a value that goes.
const DELETED: (attribute_values::id, attribute_values::version) = (attribute_values::id, attribute_values::version);

fn deleted(values: Vec<(i64, i64)>) -> Vec<DeletedValue> {
    values.into_iter().map(|(id, version)| (ValueId::from_trusted(id), Version::from_trusted(version))).collect()
}

fn text(description: Option<&Description>) -> Option<&str> {
    description.map(Description::as_str)
}

/// The version before one that is about to be written.
fn before(next: Version) -> i64 {
    next.get().saturating_sub(1)
}

/// What the column `term` of a value holds.
pub(super) fn term_column(sealed: &SealedValue) -> Result<i64> {
    let term =
        value::term_of(sealed.as_bytes()).ok_or_else(|| Error::Bug("a value was sealed without a term".to_owned()));
    Ok(i64::from(term?.get()))
}

impl Tx<'_> {
    fn add_attributes(&mut self, credential: CredentialId, new: &[NewAttribute], stamp: Stamp) -> Result<()> {
        const COLUMNS: &[&str] = &[
            "tenant_id",
            "credential_id",
            "name",
            "name_key",
            "description",
            "user_provided",
            "masked",
            "password",
            "version",
            "created_by",
            "created_at",
            "updated_by",
            "updated_at",
        ];
        let rows = new.iter().map(|attribute| -> Vec<Bind> {
            vec![
                TENANT.get().into(),
                credential.get().into(),
                attribute.name.as_str().into(),
                attribute.name.key().into_string().into(),
                text(attribute.description.as_ref()).into(),
                attribute.traits.user_provided.into(),
                attribute.traits.masked.into(),
                attribute.traits.password.into(),
                Version::FIRST.get().into(),
                stamp.created_by.get().into(),
                stamp.created_at.micros().into(),
                stamp.updated_by.get().into(),
                stamp.updated_at.micros().into(),
            ]
        });
        Insert::into("attributes", COLUMNS).rows(rows).execute(self.conn).map(|_| ())
    }
}

impl Write for Tx<'_> {
    fn has_departed(&mut self, user: UserId) -> Result<bool> {
        let found = departed_users::table
            .filter(departed_users::user_id.eq(user.get()))
            .filter(departed_users::held.eq(true))
            .select(departed_users::user_id)
            .get_result::<i64>(self.conn)
            .optional()?;
        Ok(found.is_some())
    }

    fn insert_credential(&mut self, _: &Creation, new: &NewCredential, stamp: Stamp) -> Result<CredentialId> {
        let id = diesel::insert_into(credentials::table)
            .values((
                credentials::tenant_id.eq(TENANT.get()),
                credentials::name.eq(new.name.as_str()),
                credentials::name_key.eq(new.name.key().into_string()),
                credentials::description.eq(text(new.description.as_ref())),
                credentials::owner_id.eq(stamp.created_by.get()),
                credentials::version.eq(Version::FIRST.get()),
                credentials::created_by.eq(stamp.created_by.get()),
                credentials::created_at.eq(stamp.created_at.micros()),
                credentials::updated_by.eq(stamp.updated_by.get()),
                credentials::updated_at.eq(stamp.updated_at.micros()),
            ))
            .returning(credentials::id)
            .get_result::<i64>(self.conn)?;
        let id = CredentialId::from_trusted(id);
        self.add_attributes(id, &new.attributes, stamp)?;
        Ok(id)
    }

    fn update_credential(&mut self, permit: &Permit<Change>, next: &Credential) -> Result<bool> {
        let changed = diesel::update(
            credentials::table
                .filter(credentials::id.eq(permit.credential().get()))
                .filter(credentials::version.eq(before(next.version)))
                .filter(credentials::deleted_at.is_null()),
        )
        .set((
            credentials::name.eq(next.name.as_str()),
            credentials::name_key.eq(next.name.key().into_string()),
            credentials::description.eq(text(next.description.as_ref())),
            credentials::version.eq(next.version.get()),
            credentials::updated_by.eq(next.stamp.updated_by.get()),
            credentials::updated_at.eq(next.stamp.updated_at.micros()),
        ))
        .execute(self.conn)?;
        Ok(changed == 1)
    }

    fn transfer_credential(&mut self, permit: &Permit<Transfer>, next: &Credential) -> Result<bool> {
        let changed = diesel::update(
            credentials::table
                .filter(credentials::id.eq(permit.credential().get()))
                .filter(credentials::version.eq(before(next.version)))
                .filter(credentials::deleted_at.is_null()),
        )
        .set((
            credentials::owner_id.eq(next.owner.get()),
            credentials::version.eq(next.version.get()),
            credentials::updated_by.eq(next.stamp.updated_by.get()),
            credentials::updated_at.eq(next.stamp.updated_at.micros()),
        ))
        .execute(self.conn)?;
        Ok(changed == 1)
    }

    fn assign_credential(&mut self, permit: &Permit<Assign>, next: &Credential, epoch: i64) -> Result<bool> {
        let changed = diesel::update(
            credentials::table
                .filter(credentials::id.eq(permit.credential().get()))
                .filter(credentials::version.eq(before(next.version)))
                .filter(credentials::entry_epoch.eq(epoch))
                .filter(credentials::locker_id.is_null())
                .filter(credentials::deleted_at.is_null()),
        )
        .set((
            credentials::locker_id.eq(next.locker.map(LockerId::get)),
            credentials::entry_epoch.eq(epoch.saturating_add(1)),
            credentials::version.eq(next.version.get()),
            credentials::updated_by.eq(next.stamp.updated_by.get()),
            credentials::updated_at.eq(next.stamp.updated_at.micros()),
        ))
        .execute(self.conn)?;
        Ok(changed == 1)
    }

    fn withdraw_credential(&mut self, permit: &Permit<Withdraw>, next: &Credential) -> Result<bool> {
        let changed = diesel::update(
            credentials::table
                .filter(credentials::id.eq(permit.credential().get()))
                .filter(credentials::version.eq(before(next.version)))
                .filter(credentials::deleted_at.is_null()),
        )
        .set((
            credentials::locker_id.eq(None::<i64>),
            credentials::version.eq(next.version.get()),
            credentials::updated_by.eq(next.stamp.updated_by.get()),
            credentials::updated_at.eq(next.stamp.updated_at.micros()),
        ))
        .execute(self.conn)?;
        Ok(changed == 1)
    }

    fn raise_entry_epoch(&mut self, id: CredentialId, epoch: i64) -> Result<()> {
        diesel::update(
            credentials::table.filter(credentials::id.eq(id.get())).filter(credentials::entry_epoch.eq(epoch)),
        )
        .set(credentials::entry_epoch.eq(epoch.saturating_add(1)))
        .execute(self.conn)?;
        Ok(())
    }

    fn delete_credential(&mut self, permit: &Permit<Delete>, stamp: Stamp) -> Result<Vec<DeletedValue>> {
        let id = permit.credential().get();
        let stored = attribute_values::table.filter(attribute_values::credential_id.eq(id));
        let values = stored.select(DELETED).order(attribute_values::id).load(self.conn)?;
        diesel::delete(stored).execute(self.conn)?;
        diesel::delete(attributes::table.filter(attributes::credential_id.eq(id))).execute(self.conn)?;
        diesel::update(credentials::table.filter(credentials::id.eq(id)))
            .set((
                credentials::deleted_at.eq(stamp.updated_at.micros()),
                credentials::updated_by.eq(stamp.updated_by.get()),
                credentials::updated_at.eq(stamp.updated_at.micros()),
            ))
            .execute(self.conn)?;
        Ok(deleted(values))
    }

    fn insert_attributes(&mut self, permit: &Permit<Change>, new: &[NewAttribute], stamp: Stamp) -> Result<()> {
        self.add_attributes(permit.credential(), new, stamp)
    }

    fn update_attributes(&mut self, permit: &Permit<Change>, next: &[Attribute]) -> Result<()> {
        let credential = permit.credential().get();
        if next.len() > 1 {
            // Attributes may exchange their names: all let go of theirs first. No key holds a control character.
            for attribute in next {
                diesel::update(attributes::table.filter(attributes::id.eq(attribute.id.get())))
                    .set(attributes::name_key.eq(format!("\u{1}{}", attribute.id)))
                    .execute(self.conn)?;
            }
        }
        for attribute in next {
            diesel::update(
                attributes::table
                    .filter(attributes::id.eq(attribute.id.get()))
                    .filter(attributes::credential_id.eq(credential)),
            )
            .set((
                attributes::name.eq(attribute.name.as_str()),
                attributes::name_key.eq(attribute.name.key().into_string()),
                attributes::description.eq(text(attribute.description.as_ref())),
                attributes::user_provided.eq(attribute.traits.user_provided),
                attributes::masked.eq(attribute.traits.masked),
                attributes::password.eq(attribute.traits.password),
                attributes::version.eq(attribute.version.get()),
                attributes::updated_by.eq(attribute.stamp.updated_by.get()),
                attributes::updated_at.eq(attribute.stamp.updated_at.micros()),
            ))
            .execute(self.conn)?;
        }
        Ok(())
    }

    fn delete_attribute(&mut self, permit: &Permit<Change>, id: AttributeId) -> Result<Vec<DeletedValue>> {
        let credential = permit.credential().get();
        let stored = attribute_values::table
            .filter(attribute_values::attribute_id.eq(id.get()))
            .filter(attribute_values::credential_id.eq(credential));
        let values = stored.select(DELETED).order(attribute_values::id).load(self.conn)?;
        diesel::delete(stored).execute(self.conn)?;
        diesel::delete(
            attributes::table.filter(attributes::id.eq(id.get())).filter(attributes::credential_id.eq(credential)),
        )
        .execute(self.conn)?;
        Ok(deleted(values))
    }

    fn has_values(&mut self, _: &Permit<Change>, attribute: AttributeId) -> Result<bool> {
        let values = attribute_values::table.filter(attribute_values::attribute_id.eq(attribute.get()));
        Ok(select(exists(values)).get_result(self.conn)?)
    }

    fn find_value(&mut self, credential: CredentialId, id: ValueId) -> Result<Option<(Credential, Attribute, Value)>> {
        let sql = Sql::new(FIND_VALUE)
            .bind(id.get())
            .push(" AND v.credential_id = ")
            .bind(credential.get())
            .push(" AND c.deleted_at IS NULL");
        let row = sql
            .cached()
            .typed::<FindValueTypes>()
            .get_result::<(CredentialRow, AttributeRow, ValueHeadRow)>(self.conn)
            .optional()?;
        Ok(row.map(|(credential, attribute, value)| (credential.into(), attribute.into(), value.with(Vec::new()))))
    }

    fn find_value_of(&mut self, attribute: AttributeId, user: Option<UserId>) -> Result<Option<ValueId>> {
        let id = attribute_values::table
            .filter(attribute_values::attribute_id.eq(attribute.get()))
            .filter(attribute_values::user_id.eq(user_column(user)))
            .select(attribute_values::id)
            .get_result::<i64>(self.conn);
        Ok(id.optional()?.map(ValueId::from_trusted))
    }

    fn take_value_ids(&mut self, count: usize) -> Result<Vec<ValueId>> {
        dialect::take_value_ids(self.conn, count)
    }

    fn insert_value(&mut self, permit: &Permit<WriteValue>, new: &NewValueRow) -> Result<()> {
        diesel::insert_into(attribute_values::table)
            .values((
                attribute_values::id.eq(new.id.get()),
                attribute_values::tenant_id.eq(TENANT.get()),
                attribute_values::credential_id.eq(permit.credential().get()),
                attribute_values::attribute_id.eq(new.attribute.get()),
                attribute_values::user_id.eq(user_column(new.user)),
                attribute_values::term.eq(term_column(&new.sealed)?),
                attribute_values::sealed.eq(new.sealed.as_bytes()),
                attribute_values::version.eq(Version::FIRST.get()),
                attribute_values::created_by.eq(new.stamp.created_by.get()),
                attribute_values::created_at.eq(new.stamp.created_at.micros()),
                attribute_values::updated_by.eq(new.stamp.updated_by.get()),
                attribute_values::updated_at.eq(new.stamp.updated_at.micros()),
            ))
            .execute(self.conn)?;
        Ok(())
    }

    fn update_value(
        &mut self,
        permit: &Permit<WriteValue>,
        id: ValueId,
        next: Version,
        stamp: Stamp,
        sealed: &SealedValue,
    ) -> Result<bool> {
        let changed = Sql::new("UPDATE attribute_values SET sealed = ")
            .bind(sealed.as_bytes())
            .push(", term = ")
            .bind(term_column(sealed)?)
            .push(", version = ")
            .bind(next.get())
            .push(", updated_by = ")
            .bind(stamp.updated_by.get())
            .push(", updated_at = ")
            .bind(stamp.updated_at.micros())
            .push(" WHERE id = ")
            .bind(id.get())
            .push(" AND credential_id = ")
            .bind(permit.credential().get())
            .push(" AND version = ")
            .bind(before(next))
            .cached()
            .execute(self.conn)?;
        Ok(changed == 1)
    }

    fn delete_value(&mut self, permit: &Permit<WriteValue>, id: ValueId) -> Result<bool> {
        let gone = diesel::delete(
            attribute_values::table
                .filter(attribute_values::id.eq(id.get()))
                .filter(attribute_values::credential_id.eq(permit.credential().get())),
        )
        .execute(self.conn)?;
        Ok(gone == 1)
    }

    fn owned_by(&mut self, user: UserId, limit: usize) -> Result<Vec<Credential>> {
        let rows = credentials::table
            .filter(credentials::owner_id.eq(user.get()))
            .filter(credentials::deleted_at.is_null())
            .order(credentials::id)
            .limit(i64::try_from(limit).unwrap_or(i64::MAX))
            .select(CREDENTIAL)
            .load::<CredentialRow>(self.conn)?;
        Ok(rows.into_iter().map(Credential::from).collect())
    }

    fn count_owned_by(&mut self, user: UserId) -> Result<i64> {
        Ok(credentials::table
            .filter(credentials::owner_id.eq(user.get()))
            .filter(credentials::deleted_at.is_null())
            .count()
            .get_result(self.conn)?)
    }

    fn departure(&mut self, user: UserId) -> Result<Option<Departure>> {
        let row = departed_users::table
            .filter(departed_users::user_id.eq(user.get()))
            .select((departed_users::attempt, departed_users::held, departed_users::released_at))
            .get_result::<(i64, bool, Option<i64>)>(self.conn)
            .optional()?;
        Ok(row.map(|(attempt, held, released)| Departure { attempt, held, released: released.is_some() }))
    }

    fn note_departure(&mut self, user: UserId, attempt: i64, held: bool, now: Timestamp) -> Result<()> {
        Insert::into("departed_users", &["user_id", "tenant_id", "attempt", "held", "departed_at"])
            .row([user.get().into(), TENANT.get().into(), attempt.into(), held.into(), now.micros().into()])
            .or_update(&["user_id"], &["attempt", "held", "departed_at"])
            .execute(self.conn)
            .map(|_| ())
    }

    fn release_user(&mut self, user: UserId, now: Timestamp) -> Result<Vec<DeletedValue>> {
        // The second condition lets SQLite take the index of own values.
        let own = attribute_values::table
            .filter(attribute_values::user_id.eq(user.get()))
            .filter(attribute_values::user_id.ne(EVERYBODY));
        let values = own.select(DELETED).order(attribute_values::id).load(self.conn)?;
        diesel::delete(own).execute(self.conn)?;
        let at = || Bind::from(now.micros());
        Insert::into("departed_users", &["user_id", "tenant_id", "attempt", "held", "departed_at", "released_at"])
            .row([user.get().into(), TENANT.get().into(), 0_i64.into(), true.into(), at(), at()])
            .or_update(&["user_id"], &["held", "released_at"])
            .execute(self.conn)?;
        Ok(deleted(values))
    }
}
