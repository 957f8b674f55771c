//! Reading. Every statement here is always the same text, so that it is prepared once a connection.
//!
//! One row is read with `get_result`, not with `first`: SQLite looks at the value that is bound to a `LIMIT` when it plans a statement, and
//! prepares it again each time a value is bound.

use std::collections::BTreeSet;

use coffre_db::{Connection, Sql};
use coffre_types::{AttributeId, CredentialId, UserId};
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::sql_types::{Array, BigInt};

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
        Ok(with_values(rows))
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

fn with_values(rows: Vec<ValueRow>) -> Option<WithValues> {
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
    credential.map(|credential| WithValues { credential, attributes, values: Unreleased::new(values) })
}

/// Reads for many callers: on PostgreSQL in one statement.
pub(super) fn gathered(conn: &mut Connection, keys: &[(CredentialId, UserId)]) -> Result<Vec<Option<WithValues>>> {
    match conn {
        Connection::Postgres(conn) if keys.len() > 1 => {
            let mut rows: Vec<Vec<ValueRow>> = keys.iter().map(|_| Vec::new()).collect();
            for (number, row) in EachWithValues::of(keys).load::<(i64, ValueRow)>(conn)? {
                // Numbered from 1 on.
                if let Some(of_key) =
                    usize::try_from(number).ok().and_then(|number| rows.get_mut(number.checked_sub(1)?))
                {
                    of_key.push(row);
                }
            }
            Ok(rows.into_iter().map(with_values).collect())
        }
        conn => keys.iter().map(|(id, user)| Tx { conn }.with_values(*id, Users::One(*user))).collect(),
    }
}

/// [`WITH_VALUES`] for each of some credentials and users. Its type names it, so that its prepared statement is found without its text.
struct EachWithValues {
    credentials: Vec<i64>,
    users: Vec<i64>,
}

impl EachWithValues {
    fn of(keys: &[(CredentialId, UserId)]) -> Self {
        Self {
            credentials: keys.iter().map(|(id, _)| id.get()).collect(),
            users: keys.iter().map(|(_, user)| user.get()).collect(),
        }
    }
}

impl QueryFragment<Pg> for EachWithValues {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("SELECT k.number, found.* FROM unnest(");
        out.push_bind_param::<Array<BigInt>, _>(&self.credentials)?;
        out.push_sql(", ");
        out.push_bind_param::<Array<BigInt>, _>(&self.users)?;
        out.push_sql(") WITH ORDINALITY AS k (credential_id, user_id, number) CROSS JOIN LATERAL (");
        out.push_sql(WITH_VALUES);
        out.push_sql(" AND v.user_id = CASE WHEN a.user_provided THEN k.user_id ELSE 0 END");
        // Without the OFFSET the planner would take it apart, and read all credentials where it believes in many keys.
        out.push_sql(" WHERE c.deleted_at IS NULL AND c.id = k.credential_id OFFSET 0) AS found");
        Ok(())
    }
}

impl QueryId for EachWithValues {
    type QueryId = Self;

    const HAS_STATIC_QUERY_ID: bool = true;
}

impl Query for EachWithValues {
    type SqlType = (BigInt, WithValuesTypes);
}

impl RunQueryDsl<PgConnection> for EachWithValues {}
