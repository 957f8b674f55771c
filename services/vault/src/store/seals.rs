//! The stored values as they are, by their numbers.

use coffre_db::Error;
use diesel::prelude::*;

use super::Tx;
use super::schema::attribute_values;

impl Tx<'_> {
    /// Loads number, version and sealed bytes of the values after a number, whatever their term.
    ///
    /// # Errors
    /// What the database says.
    pub fn sealed_values(&mut self, after: i64, limit: i64) -> Result<Vec<(i64, i64, Vec<u8>)>, Error> {
        Ok(attribute_values::table
            .filter(attribute_values::id.gt(after))
            .order(attribute_values::id)
            .limit(limit)
            .select((attribute_values::id, attribute_values::version, attribute_values::sealed))
            .load(self.conn)?)
    }
}
