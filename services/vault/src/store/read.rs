//! Reading. Every statement here is always the same text, so that it is prepared once a connection.
//!
//! One row is read with `get_result`, not with `first`: SQLite looks at the value that is bound to a `LIMIT` when it plans a statement, and
//! prepares it again each time a value is bound.

use std::collections::BTreeSet;

use coffre_db::Sql;
use coffre_types::{AttributeId, CredentialId, UserId};
use diesel::prelude::*;

use super::Tx;
use super::rows::{
    ATTRIBUTE, AttributeRow, CREDENTIAL, CredentialRow, EVERYBODY, ValueHeadRow, WITH_VALUES, WithValuesTypes,
};
use super::schema::{attribute_values, attributes, credentials};
use crate::domain::model::{Attribute, Credential, Value};
use crate::domain::policy::{Assign, Explain, Permit, See, Unreleased, Users};
use crate::domain::ports::{Overview, Read, Result, WithValues};

type ValueRow = (CredentialRow, AttributeRow, Option<(ValueHeadRow, Vec<u8>)>);

impl Read for Tx<'_> {
    fn credential(&mut self, id: CredentialId) -> Result<Option<Credential>> {
        let row = credentials::table
            .filter(credentials::id.eq(id.get()))
            .filter(credentials::deleted_at.is_null())
            .select(CREDENTIAL)
            .get_result::<CredentialRow>(self.conn)
            .optional()?;
        Ok(row.map(Credential::from))
    }

    fn overview(&mut self, id: CredentialId, user: UserId) -> Result<Option<Overview>> {
        // An attribute has one value for everybody or one for each user: the join finds at most one.
        let rows = credentials::table
            .inner_join(attributes::table.on(attributes::credential_id.eq(credentials::id)))
            .left_join(
                attribute_values::table.on(attribute_values::attribute_id
                    .eq(attributes::id)
                    .and(attribute_values::user_id.eq(EVERYBODY).or(attribute_values::user_id.eq(user.get())))),
            )
            .filter(credentials::id.eq(id.get()))
            .filter(credentials::deleted_at.is_null())
            .select((CREDENTIAL, ATTRIBUTE, attribute_values::id.nullable()))
            .load::<(CredentialRow, AttributeRow, Option<i64>)>(self.conn)?;
        let mut found: Option<Overview> = None;
        for (credential, attribute, value) in rows {
            let overview = found.get_or_insert_with(|| Overview::new(Credential::from(credential)));
            overview.attributes.push(Attribute::from(attribute));
            overview.filled += usize::from(value.is_some());
        }
        if let Some(overview) = &mut found {
            overview.attributes.sort_unstable_by_key(|attribute| attribute.id);
        }
        Ok(found)
    }

    fn attributes(&mut self, permit: &Permit<See>) -> Result<Vec<Attribute>> {
        let rows = attributes::table
            .filter(attributes::credential_id.eq(permit.credential().get()))
            .order(attributes::id)
            .select(ATTRIBUTE)
            .load::<AttributeRow>(self.conn)?;
        Ok(rows.into_iter().map(Attribute::from).collect())
    }

    fn count_filled(&mut self, permit: &Permit<See>, user: UserId) -> Result<usize> {
        let count = attribute_values::table
            .filter(attribute_values::credential_id.eq(permit.credential().get()))
            .filter(attribute_values::user_id.eq(EVERYBODY).or(attribute_values::user_id.eq(user.get())))
            .count()
            .get_result::<i64>(self.conn)?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    fn with_values(&mut self, id: CredentialId, users: Users) -> Result<Option<WithValues>> {
        let joined = Sql::new(WITH_VALUES);
        let joined = match users {
            Users::All => joined,
            Users::Nobody => joined.push(" AND v.user_id = 0"),
            // A standard attribute has a value of nobody's, a user-provided one only values of users. Said so, it is one look into the
            // unique index; `IN (0, ?)` would make SQLite build a table of two rows first, which costs as much as the rest.
            Users::One(user) => {
                joined.push(" AND v.user_id = CASE WHEN a.user_provided THEN ").bind(user.get()).push(" ELSE 0 END")
            }
        };
        let this = joined.push(" WHERE c.deleted_at IS NULL AND c.id = ").bind(id.get());
        let rows: Vec<ValueRow> = this.cached().typed::<WithValuesTypes>().load(self.conn)?;
        let mut credential = None;
        let (mut attributes, mut values) =
            (Vec::<Attribute>::with_capacity(rows.len()), Vec::<Value>::with_capacity(rows.len()));
        for (of, attribute, value) in rows {
            credential.get_or_insert_with(|| Credential::from(of));
            attributes.push(attribute.into());
            values.extend(value.map(|(head, sealed)| head.with(sealed)));
        }
        attributes.sort_unstable_by_key(|attribute| attribute.id);
        attributes.dedup_by_key(|attribute| attribute.id);
        Ok(credential.map(|credential| WithValues { credential, attributes, values: Unreleased::new(values) }))
    }

    fn entry_epoch(&mut self, permit: &Permit<Assign>) -> Result<i64> {
        Ok(credentials::table
            .filter(credentials::id.eq(permit.credential().get()))
            .select(credentials::entry_epoch)
            .get_result::<i64>(self.conn)?)
    }

    fn stored_by(&mut self, permit: &Permit<Explain>) -> Result<BTreeSet<(UserId, AttributeId)>> {
        let rows = attribute_values::table
            .filter(attribute_values::credential_id.eq(permit.credential().get()))
            .filter(attribute_values::user_id.ne(EVERYBODY))
            .select((attribute_values::user_id, attribute_values::attribute_id))
            .load::<(i64, i64)>(self.conn)?;
        let ids = |(user, attribute)| (UserId::from_trusted(user), AttributeId::from_trusted(attribute));
        Ok(rows.into_iter().map(ids).collect())
    }
}
