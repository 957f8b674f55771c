//! What a backup is made of.

use coffre_db::Bind;
use coffre_db::copy::{Column, Kind, Row};
use coffre_secret::SecretBytes;

use crate::Error;
use crate::bytes::{Rest, put_bytes, put_cell, put_number};

/// A part of a backup. Rows belong to the table that was named last, and that to the service.
#[derive(Debug)]
pub enum Record {
    /// A key file.
    KeyFile {
        /// Its name.
        name: String,
        /// What is in it.
        bytes: SecretBytes,
    },
    /// A service, with the versions of the migrations that made its schema.
    Service {
        /// Its name.
        name: String,
        /// The versions.
        versions: Vec<String>,
    },
    /// A table.
    Table {
        /// Its name.
        name: String,
        /// Its columns.
        columns: Vec<Column>,
    },
    /// Rows of the table.
    Rows(Vec<Row>),
    /// The last id that a database gave out in a table of the service.
    Counter {
        /// The table.
        table: String,
        /// The id.
        last: i64,
    },
    /// The end, with how many rows there are.
    End {
        /// In all tables.
        rows: u64,
    },
}

impl Record {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        match self {
            Self::KeyFile { name, bytes } => {
                out.push(b'K');
                put_bytes(&mut out, name.as_bytes());
                put_bytes(&mut out, bytes.expose());
            }
            Self::Service { name, versions } => {
                out.push(b'S');
                put_bytes(&mut out, name.as_bytes());
                put_number(&mut out, versions.len());
                versions.iter().for_each(|version| put_bytes(&mut out, version.as_bytes()));
            }
            Self::Table { name, columns } => {
                out.push(b'T');
                put_bytes(&mut out, name.as_bytes());
                put_number(&mut out, columns.len());
                for column in columns {
                    put_bytes(&mut out, column.name.as_bytes());
                    out.push(letter(column.kind));
                }
            }
            Self::Rows(rows) => {
                out.push(b'R');
                put_number(&mut out, rows.len());
                rows.iter().flatten().for_each(|cell| put_cell(&mut out, cell));
            }
            Self::Counter { table, last } => {
                out.push(b'C');
                put_bytes(&mut out, table.as_bytes());
                out.extend_from_slice(&last.to_be_bytes());
            }
            Self::End { rows } => {
                out.push(b'E');
                out.extend_from_slice(&rows.to_be_bytes());
            }
        }
        out
    }

    /// Reads a record. Rows are those of the columns.
    pub(crate) fn from_bytes(bytes: &[u8], columns: &[Column]) -> Result<Self, Error> {
        let mut rest = Rest(bytes);
        let record = match rest.byte()? {
            b'K' => Self::KeyFile { name: rest.text()?, bytes: SecretBytes::new(rest.bytes()?.to_vec()) },
            b'S' => Self::Service { name: rest.text()?, versions: list(&mut rest, Rest::text)? },
            b'T' => {
                let column = |rest: &mut Rest<'_>| Ok(Column { name: rest.text()?, kind: kind(rest.byte()?)? });
                let table = (rest.text()?, list(&mut rest, column)?);
                if table.1.is_empty() {
                    return Err(Error::Changed("a table has no columns"));
                }
                Self::Table { name: table.0, columns: table.1 }
            }
            b'R' if columns.is_empty() => return Err(Error::Changed("rows come before their table")),
            b'R' => {
                let nulls: Vec<Bind> = columns.iter().map(|column| null(column.kind)).collect();
                Self::Rows(list(&mut rest, |rest| nulls.iter().map(|null| rest.cell(null)).collect())?)
            }
            b'C' => Self::Counter { table: rest.text()?, last: rest.integer()? },
            b'E' => Self::End { rows: u64::try_from(rest.number()?).unwrap_or(u64::MAX) },
            _ => return Err(Error::Changed("a record is of no known kind")),
        };
        rest.end()?;
        Ok(record)
    }
}

fn list<'a, T>(rest: &mut Rest<'a>, mut one: impl FnMut(&mut Rest<'a>) -> Result<T, Error>) -> Result<Vec<T>, Error> {
    let count = rest.number()?;
    // Each takes a byte or more.
    if count > rest.0.len() {
        return Err(Error::Changed("a record tells of more than it holds"));
    }
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(one(rest)?);
    }
    Ok(all)
}

const fn letter(kind: Kind) -> u8 {
    match kind {
        Kind::Integer => b'i',
        Kind::Text => b't',
        Kind::Bytes => b'b',
        Kind::Bool => b'o',
    }
}

fn kind(letter: u8) -> Result<Kind, Error> {
    [Kind::Integer, Kind::Text, Kind::Bytes, Kind::Bool]
        .into_iter()
        .find(|kind| self::letter(*kind) == letter)
        .ok_or(Error::Changed("a column is of no known kind"))
}

const fn null(kind: Kind) -> Bind {
    match kind {
        Kind::Integer => Bind::Integer(None),
        Kind::Text => Bind::Text(None),
        Kind::Bytes => Bind::Bytes(None),
        Kind::Bool => Bind::Bool(None),
    }
}
