//! What stands in front, for everybody to read.

use std::io::Read;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use crate::{Error, MAX_HEAD, NAME, VERSION};

/// A slot of the vault, by which the root key is had.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StoredSlot {
    /// Whose key opens it.
    pub kind: String,
    /// Its bytes, base64.
    slot: String,
}

impl StoredSlot {
    /// Takes the bytes of a slot.
    #[must_use]
    pub fn new(kind: &str, bytes: &[u8]) -> Self {
        Self { kind: kind.to_owned(), slot: STANDARD.encode(bytes) }
    }

    /// Returns the bytes of the slot.
    ///
    /// # Errors
    /// [`Error::Changed`] where it is not base64.
    pub fn bytes(&self) -> Result<Vec<u8>, Error> {
        STANDARD.decode(&self.slot).map_err(|_| Error::Changed("a slot in its head is no base64"))
    }
}

/// What is said of a backup without any key.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Head {
    /// Its name: 16 random bytes, hexadecimal.
    pub id: String,
    /// When its cut was made: RFC 3339.
    pub made_on: String,
    /// The version of the program that made it.
    pub program: String,
    /// The engine that it was read from.
    pub engine: String,
    /// The slots of the vault at that moment.
    pub slots: Vec<StoredSlot>,
    /// The key of the file, sealed for the root key; base64.
    #[serde(default)]
    key: String,
}

impl Head {
    /// Says everything but the key.
    #[must_use]
    pub fn new(id: String, made_on: String, program: &str, engine: &str, slots: Vec<StoredSlot>) -> Self {
        Self { id, made_on, program: program.to_owned(), engine: engine.to_owned(), slots, key: String::new() }
    }

    /// Returns what the key of the file is bound to: everything else.
    ///
    /// # Errors
    /// [`Error::Changed`] where it cannot be written as JSON; never.
    pub fn bound_to_key(&self) -> Result<Vec<u8>, Error> {
        json(&Self { key: String::new(), ..self.clone() })
    }

    /// Adds the sealed key.
    #[must_use]
    pub fn with_key(mut self, sealed: &[u8]) -> Self {
        self.key = STANDARD.encode(sealed);
        self
    }

    /// Returns the sealed key.
    ///
    /// # Errors
    /// [`Error::Changed`] where it is not base64.
    pub fn key(&self) -> Result<Vec<u8>, Error> {
        STANDARD.decode(&self.key).map_err(|_| Error::Changed("the key in its head is no base64"))
    }

    /// Returns the lines.
    pub(crate) fn lines(&self) -> Result<Vec<u8>, Error> {
        Ok([format!("{NAME}{VERSION}\n").as_bytes(), &json(self)?, b"\n"].concat())
    }

    /// Reads the lines.
    pub(crate) fn read(from: &mut impl Read) -> Result<(Self, Vec<u8>), Error> {
        let first = line(from, NAME.len() + 12)?.ok_or(Error::Foreign)?;
        let text = std::str::from_utf8(&first).map_err(|_| Error::Foreign)?;
        let version = text.strip_prefix(NAME).and_then(|version| version.parse::<u32>().ok()).ok_or(Error::Foreign)?;
        if version > VERSION {
            return Err(Error::Newer(version));
        }
        let second = line(from, MAX_HEAD)?.ok_or(Error::Truncated("its head is not whole"))?;
        let head = serde_json::from_slice(&second).map_err(|_| Error::Changed("its head is not one"))?;
        Ok((head, [&first[..], b"\n", &second[..], b"\n"].concat()))
    }
}

fn json(head: &Head) -> Result<Vec<u8>, Error> {
    serde_json::to_vec(head).map_err(|_| Error::Changed("its head is not one"))
}

/// Reads a line, without its end; `None` where it has none within so many bytes.
fn line(from: &mut impl Read, most: usize) -> Result<Option<Vec<u8>>, Error> {
    let mut bytes = Vec::new();
    let mut one = [0_u8; 1];
    while bytes.len() < most {
        match from.read(&mut one) {
            Ok(0) => return Ok(None),
            Ok(_) if one == [b'\n'] => return Ok(Some(bytes)),
            Ok(_) => bytes.extend_from_slice(&one),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

/// Returns what a record is bound to: the lines before all, its number, and whether it is the last.
pub(crate) fn associated(lines: &[u8]) -> impl Fn(u64, bool) -> Vec<u8> + use<> {
    let sum = digest(&SHA256, lines);
    let before = [&b"coffre/backup/record/v1"[..], sum.as_ref()].concat();
    move |number, last| [&before[..], &number.to_be_bytes(), &[u8::from(last)]].concat()
}
