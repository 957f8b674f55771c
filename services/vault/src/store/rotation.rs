//! The re-encryption of values under the newest term.

use coffre_crypto::value::SealedValue;
use coffre_db::dialect::{self, Insert};
use coffre_db::{Error, Sql};
use coffre_types::{TENANT, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::Tx;
use super::schema::{attribute_values, rotation, terms};
use super::write::term_column;

type Result<T> = std::result::Result<T, Error>;

/// A re-encryption.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RotationRow {
    /// The term under which values are sealed.
    pub term: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; `None` while it goes on.
    pub ended_at: Option<Timestamp>,
}

/// Where a value stands in the index of terms.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Spot {
    /// Its term.
    pub term: i64,
    /// Its number.
    pub id: i64,
}

impl Spot {
    /// Before all values.
    pub const FIRST: Self = Self { term: 0, id: 0 };
    /// After all values.
    pub const LAST: Self = Self { term: i64::MAX, id: i64::MAX };
}

/// The values after a place and up to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stretch {
    /// This one is not in it.
    pub after: Spot,
    /// This one is.
    pub up_to: Spot,
}

impl Stretch {
    /// All values.
    pub const ALL: Self = Self { after: Spot::FIRST, up_to: Spot::LAST };
}

type OldValueTypes = (BigInt, BigInt, BigInt, BigInt, BigInt, Binary, BigInt);

/// A value that is sealed under an old term.
#[derive(Clone, Queryable, Debug)]
pub struct OldValue {
    /// Its number.
    pub id: i64,
    /// Its credential.
    pub credential: i64,
    /// Its attribute.
    pub attribute: i64,
    /// The user to whom it belongs; 0 for a standard value.
    pub user: i64,
    /// How often it was changed.
    pub version: i64,
    /// The sealed bytes.
    pub sealed: Vec<u8>,
    /// The term under which they were sealed.
    pub term: i64,
}

impl Tx<'_> {
    /// Reads the last re-encryption.
    ///
    /// # Errors
    /// What the database says.
    pub fn rotation(&mut self) -> Result<Option<RotationRow>> {
        let row = rotation::table
            .select((rotation::term, rotation::started_at, rotation::ended_at))
            .get_result::<(i64, i64, Option<i64>)>(self.conn)
            .optional()?;
        Ok(row.map(|(term, started_at, ended_at)| RotationRow {
            term,
            started_at: Timestamp::from_micros(started_at),
            ended_at: ended_at.map(Timestamp::from_micros),
        }))
    }

    /// Notes that values are re-encrypted under a term from now on.
    ///
    /// # Errors
    /// What the database says.
    pub fn start_rotation(&mut self, term: u32, now: Timestamp) -> Result<()> {
        Insert::into("rotation", &["id", "tenant_id", "term", "started_at", "ended_at"])
            .row([1_i64.into(), TENANT.get().into(), i64::from(term).into(), now.micros().into(), None::<i64>.into()])
            .or_update(&["id"], &["term", "started_at", "ended_at"])
            .execute(self.conn)
            .map(|_| ())
    }

    /// Notes that a re-encryption under a term ended, and says whether it went on until now.
    ///
    /// # Errors
    /// What the database says.
    pub fn end_rotation(&mut self, term: u32, now: Timestamp) -> Result<bool> {
        let going_on = rotation::table.filter(rotation::term.eq(i64::from(term))).filter(rotation::ended_at.is_null());
        let ended = diesel::update(going_on).set(rotation::ended_at.eq(now.micros())).execute(self.conn)?;
        Ok(ended == 1)
    }

    /// Returns the newest term.
    ///
    /// # Errors
    /// What the database says.
    pub fn newest_term(&mut self) -> Result<i64> {
        Ok(terms::table.select(diesel::dsl::max(terms::term)).get_result::<Option<i64>>(self.conn)?.unwrap_or(0))
    }

    /// Returns the oldest term.
    ///
    /// # Errors
    /// What the database says.
    pub fn oldest_term(&mut self) -> Result<i64> {
        Ok(terms::table.select(diesel::dsl::min(terms::term)).get_result::<Option<i64>>(self.conn)?.unwrap_or(0))
    }

    /// Counts the values under a term, and all.
    ///
    /// # Errors
    /// What the database says.
    pub fn count_under(&mut self, term: i64) -> Result<(i64, i64)> {
        let done = attribute_values::table.filter(attribute_values::term.eq(term)).count().get_result(self.conn)?;
        let all = attribute_values::table.count().get_result(self.conn)?;
        Ok((done, all))
    }

    /// Returns the greatest number of a value; 0 where there is none.
    ///
    /// # Errors
    /// What the database says.
    pub fn last_value(&mut self) -> Result<i64> {
        let last = attribute_values::table.select(diesel::dsl::max(attribute_values::id));
        Ok(last.get_result::<Option<i64>>(self.conn)?.unwrap_or(0))
    }

    /// Loads values under terms before one, after a place and up to another, in the order of places.
    ///
    /// Term and number are compared as a row, and rows come in that order: only the index of both serves it, on both engines. By number alone
    /// a database walks all values to find the few that are left.
    ///
    /// # Errors
    /// What the database says.
    pub fn old_values(&mut self, before: u32, stretch: Stretch, limit: i64) -> Result<Vec<OldValue>> {
        Ok(Sql::new(
            "SELECT id, credential_id, attribute_id, user_id, version, sealed, term FROM attribute_values WHERE term < ",
        )
        .bind(i64::from(before))
        .push(" AND (term, id) > (")
        .binds([stretch.after.term, stretch.after.id])
        .push(") AND (term, id) <= (")
        .binds([stretch.up_to.term, stretch.up_to.id])
        .push(") ORDER BY term, id LIMIT ")
        .bind(limit)
        .cached()
        .typed::<OldValueTypes>()
        .load::<OldValue>(self.conn)?)
    }

    /// Writes the bytes of a value that was sealed anew, where nobody changed it meanwhile; says whether it was so. The value stays what it
    /// was, so its version and stamp stay.
    ///
    /// # Errors
    /// What the database says.
    pub fn put_resealed(&mut self, old: &OldValue, sealed: &SealedValue) -> Result<bool> {
        let changed = Sql::new("UPDATE attribute_values SET sealed = ")
            .bind(sealed.as_bytes())
            .push(", term = ")
            .bind(term_column(sealed)?)
            .push(" WHERE id = ")
            .bind(old.id)
            .push(" AND version = ")
            .bind(old.version)
            .push(" AND sealed = ")
            .bind(old.sealed.as_slice())
            .cached()
            .execute(self.conn)?;
        Ok(changed == 1)
    }

    /// Returns the terms before one under which no value is sealed.
    ///
    /// # Errors
    /// What the database says.
    pub fn unused_terms(&mut self, before: u32) -> Result<Vec<i64>> {
        let query = Sql::new(
            "SELECT t.term AS id FROM terms t WHERE NOT EXISTS (SELECT 1 FROM attribute_values v WHERE v.term = t.term) AND t.term < ",
        );
        dialect::ids(self.conn, query.bind(i64::from(before)).push(" ORDER BY t.term"))
    }

    /// Destroys terms. The database refuses one under which a value is sealed.
    ///
    /// # Errors
    /// What the database says.
    pub fn destroy_terms(&mut self, destroyed: &[i64]) -> Result<()> {
        diesel::delete(terms::table.filter(terms::term.eq_any(destroyed.to_vec()))).execute(self.conn)?;
        Ok(())
    }
}
