//! Reading. Every statement here is always the same text, so that it is prepared once a connection.

use coffre_db::Error;
use coffre_types::{AttributeId, CredentialId, UserId};
use diesel::prelude::*;

use super::Tx;
use super::rows::{ATTRIBUTE, AttributeRow, CREDENTIAL, CredentialRow, VALUE, ValueRow};
use super::schema::{attribute_values, attributes, credentials};
use crate::domain::model::{Attribute, Credential, Value};
use crate::domain::policy::{Permit, ReadScope, See, Users};
use crate::domain::ports::{Read, Result};

impl Read for Tx<'_> {
    fn credential(&mut self, id: CredentialId) -> Result<Option<Credential>> {
        let row = credentials::table
            .filter(credentials::id.eq(id.get()))
            .filter(credentials::deleted_at.is_null())
            .select(CREDENTIAL)
            .first::<CredentialRow>(self.conn)
            .optional()?;
        Ok(row.map(Credential::from))
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
            .filter(attribute_values::user_id.is_null().or(attribute_values::user_id.eq(user.get())))
            .count()
            .get_result::<i64>(self.conn)?;
        usize::try_from(count).map_err(|_| Error::Bug("a negative count".to_owned()))
    }

    fn values(&mut self, scope: &ReadScope, attribute: Option<AttributeId>) -> Result<Vec<Value>> {
        let of_credential =
            attribute_values::table.filter(attribute_values::credential_id.eq(scope.credential().get())).select(VALUE);
        let rows: Vec<ValueRow> = match (scope.users(), attribute) {
            (Users::Nobody, _) => of_credential.filter(attribute_values::user_id.is_null()).load(self.conn)?,
            (Users::One(user), _) => of_credential
                .filter(attribute_values::user_id.is_null().or(attribute_values::user_id.eq(user.get())))
                .load(self.conn)?,
            (Users::All, None) => of_credential.load(self.conn)?,
            (Users::All, Some(attribute)) => {
                of_credential.filter(attribute_values::attribute_id.eq(attribute.get())).load(self.conn)?
            }
        };
        let mut values: Vec<Value> = rows
            .into_iter()
            .map(Value::from)
            .filter(|value| attribute.is_none_or(|attribute| value.attribute == attribute))
            .collect();
        values.sort_unstable_by_key(|value| (value.attribute, value.user, value.id));
        Ok(values)
    }
}
