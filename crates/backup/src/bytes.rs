//! Numbers, texts and cells as bytes: lengths and numbers are big-endian.

use coffre_db::Bind;

use crate::Error;

const CUT: Error = Error::Changed("a record is too short");

pub(crate) fn put_number(out: &mut Vec<u8>, number: usize) {
    out.extend_from_slice(&u64::try_from(number).unwrap_or(u64::MAX).to_be_bytes());
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// NULL: 0, an integer: 1 and 8 bytes, a text: 2, length and UTF-8, bytes: 3, length and they, false: 4, true: 5.
pub(crate) fn put_cell(out: &mut Vec<u8>, cell: &Bind) {
    match cell {
        Bind::Integer(Some(number)) => {
            out.push(1);
            out.extend_from_slice(&number.to_be_bytes());
        }
        Bind::Text(Some(text)) => {
            out.push(2);
            put_bytes(out, text.as_bytes());
        }
        Bind::Bytes(Some(bytes)) => {
            out.push(3);
            put_bytes(out, bytes);
        }
        Bind::Bool(Some(value)) => out.push(if *value { 5 } else { 4 }),
        Bind::Integer(None) | Bind::Text(None) | Bind::Bytes(None) | Bind::Bool(None) => out.push(0),
    }
}

/// What is left of a record's bytes.
pub(crate) struct Rest<'a>(pub(crate) &'a [u8]);

impl<'a> Rest<'a> {
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        let (first, rest) = self.0.split_first().ok_or(CUT)?;
        self.0 = rest;
        Ok(*first)
    }

    fn eight(&mut self) -> Result<[u8; 8], Error> {
        let (first, rest) = self.0.split_first_chunk::<8>().ok_or(CUT)?;
        self.0 = rest;
        Ok(*first)
    }

    pub(crate) fn number(&mut self) -> Result<usize, Error> {
        usize::try_from(u64::from_be_bytes(self.eight()?)).map_err(|_| CUT)
    }

    pub(crate) fn integer(&mut self) -> Result<i64, Error> {
        Ok(i64::from_be_bytes(self.eight()?))
    }

    pub(crate) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let length = self.number()?;
        let (bytes, rest) = self.0.split_at_checked(length).ok_or(CUT)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String, Error> {
        String::from_utf8(self.bytes()?.to_vec()).map_err(|_| Error::Changed("a text is no text"))
    }

    /// Reads a cell of a column that holds what the given NULL is of.
    pub(crate) fn cell(&mut self, null: &Bind) -> Result<Bind, Error> {
        Ok(match (self.byte()?, null) {
            (0, _) => null.clone(),
            (1, Bind::Integer(_)) => self.integer()?.into(),
            (2, Bind::Text(_)) => self.text()?.into(),
            (3, Bind::Bytes(_)) => self.bytes()?.into(),
            (4, Bind::Bool(_)) => false.into(),
            (5, Bind::Bool(_)) => true.into(),
            _ => return Err(Error::Changed("a value is not of its column's kind")),
        })
    }

    pub(crate) fn end(&self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Changed("a record is too long")) }
    }
}
