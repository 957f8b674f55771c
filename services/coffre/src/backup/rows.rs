//! Columns in rows that come as they are stored.

use coffre_db::Bind;
use coffre_db::copy::{Column, Row};

/// Where the columns of a table are in its rows.
pub(super) struct Columns<'c>(pub(super) &'c [Column]);

impl Columns<'_> {
    fn cell<'r>(&self, row: &'r Row, column: &str) -> anyhow::Result<&'r Bind> {
        let place = self.0.iter().position(|known| known.name == column);
        place.and_then(|place| row.get(place)).ok_or_else(|| anyhow::anyhow!("the column {column} is missing"))
    }

    /// Returns a number.
    pub(super) fn number(&self, row: &Row, column: &str) -> anyhow::Result<i64> {
        match self.cell(row, column)? {
            Bind::Integer(Some(number)) => Ok(*number),
            _ => anyhow::bail!("the column {column} holds no number"),
        }
    }

    /// Returns a text.
    pub(super) fn text<'r>(&self, row: &'r Row, column: &str) -> anyhow::Result<&'r str> {
        match self.cell(row, column)? {
            Bind::Text(Some(text)) => Ok(text),
            _ => anyhow::bail!("the column {column} holds no text"),
        }
    }

    /// Returns bytes.
    pub(super) fn bytes<'r>(&self, row: &'r Row, column: &str) -> anyhow::Result<&'r [u8]> {
        match self.cell(row, column)? {
            Bind::Bytes(Some(bytes)) => Ok(bytes),
            _ => anyhow::bail!("the column {column} holds no bytes"),
        }
    }
}
