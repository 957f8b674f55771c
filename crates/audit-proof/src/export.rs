//! The lines of an export: JSON objects, one a line, for programs and verifiers; CSV for tables.
//!
//! A JSON export begins with a line of the kind `export`, holds a line for each entry, after each complete block of 256 entries a line of the
//! kind `block`, and ends with a line of the kind `end`, without which it is truncated. [`Lines`] writes them in order.

mod csv;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_proto::audit::v1;
use coffre_types::Timestamp;
use serde::{Deserialize, Serialize};

pub use self::csv::{CSV_HEADER, csv_row};
use crate::tree::{Frontier, Hash, leaf_hash};
use crate::verify::{BLOCK_LEVEL, Finding};
use crate::words::WORDS;
use crate::{canonical, detail, sentence, words};

/// The version of the form.
pub const VERSION: u32 = 1;

/// Writes a hash.
#[must_use]
pub fn hash_text(hash: &Hash) -> String {
    STANDARD.encode(hash)
}

/// Reads a hash; `None` where the text is something else.
#[must_use]
pub fn parse_hash(text: &str) -> Option<Hash> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

/// A number as the text that REST makes of it.
mod number {
    use serde::{Deserialize as _, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &u64, out: S) -> Result<S::Ok, S::Error> {
        out.collect_str(value)
    }

    pub(super) fn deserialize<'a, D: Deserializer<'a>>(input: D) -> Result<u64, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(input)?;
        text.parse().map_err(|_| serde::de::Error::custom("a number is written in decimal digits"))
    }
}

/// A line that is no entry.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase")]
pub enum Mark {
    /// The first line.
    Export(Header),
    /// After the last entry of a block.
    #[serde(rename_all = "camelCase")]
    Block {
        /// Its number, from 0.
        #[serde(with = "number")]
        index: u64,
        /// The hash of its 256 entries in the tree.
        hash: String,
    },
    /// The last line.
    #[serde(rename_all = "camelCase")]
    End {
        /// How many entries the export has.
        #[serde(with = "number")]
        entries: u64,
    },
}

/// What an export says of itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Header {
    /// The version of the form.
    pub version: u32,
    /// When it was begun.
    pub created_on: String,
    /// The version of the words in which it says [`Entry::event_description`] and [`Entry::detail`]: [`WORDS`] where this program wrote it.
    #[serde(default)]
    pub words: u32,
    /// The filter that chose the entries, as text for people; absent where the export has all entries up to its checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// The position of its first entry.
    #[serde(with = "number")]
    pub from_index: u64,
    /// What the entries before the first are in the tree: the hashes of the complete subtrees, the largest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<String>,
    /// The checkpoint up to which it reaches, a signed note.
    pub checkpoint: String,
    /// The key that the server says to sign with. Compare it with the one that you know.
    pub verifier_key: String,
}

impl Header {
    /// Returns the tree before the first entry; `None` where the hashes are not those of such a tree.
    #[must_use]
    pub fn frontier(&self) -> Option<Frontier> {
        let roots = self.before.iter().map(|hash| parse_hash(hash)).collect::<Option<_>>()?;
        Frontier::new(self.from_index, roots)
    }

    /// Takes over what stands before the first entry.
    #[must_use]
    pub fn after(mut self, before: &Frontier) -> Self {
        self.from_index = before.size();
        self.before = before.roots().iter().map(hash_text).collect();
        self
    }
}

/// An entry, in the words of REST. What is shown is for people and made of `canonical`, which is what is proved.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[allow(missing_docs, reason = "the names of the contract, section 6")]
pub struct Entry {
    #[serde(with = "number")]
    pub log_index: u64,
    pub id: String,
    pub created_on: String,
    pub activity_type: String,
    pub event: String,
    pub event_description: String,
    pub status: String,
    pub source: String,
    pub user_name: String,
    pub created_by: String,
    pub object_type: String,
    pub object_id: String,
    pub object_name: String,
    pub detail: String,
    pub client_address: String,
    pub host_name: String,
    pub environment_name: String,
    pub request_id: String,
    /// The leaf hash, base64.
    pub leaf_hash: String,
    /// The event in its canonical form, base64.
    pub canonical: String,
    /// The inclusion proof against the checkpoint of the first line, base64; only where entries were picked by a filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Vec<String>>,
}

/// The two fields that are not a field of the event each.
const SENTENCE: &str = "eventDescription";
const DETAIL: &str = "detail";

impl Entry {
    /// Makes the line of an entry that was asked for with its canonical form; `None` where it came without. What it shows is made of these
    /// bytes, whatever else the server says of them.
    #[must_use]
    pub fn of(entry: &v1::Entry) -> Option<Self> {
        // Bytes that are no event are shown as the server shows them: a verifier names them.
        let event = &canonical::decode(&entry.canonical).or_else(|| entry.event.clone())?;
        let line = Self {
            leaf_hash: STANDARD.encode(&entry.leaf_hash),
            canonical: STANDARD.encode(&entry.canonical),
            ..Self::shown(u64::try_from(entry.log_index).ok()?, event)
        };
        (!entry.canonical.is_empty()).then_some(line)
    }

    /// Makes what is shown of an event.
    fn shown(log_index: u64, event: &v1::Event) -> Self {
        let id = uuid::Uuid::from_slice(&event.id).map_or_else(|_| String::new(), |id| id.to_string());
        let (actor, object) = (event.actor.clone().unwrap_or_default(), event.object.clone().unwrap_or_default());
        Self {
            log_index,
            id,
            created_on: Timestamp::from_micros(event.time_us).to_rfc3339_millis(),
            activity_type: words::activity(event.activity_type()).to_owned(),
            event: event.event.clone(),
            event_description: sentence::sentence(event),
            status: words::status(event.outcome()).to_owned(),
            source: words::source(event.source()).to_owned(),
            user_name: actor.user_name,
            created_by: actor.user_id.to_string(),
            object_type: object.r#type,
            object_id: object.id,
            object_name: object.name,
            detail: detail::detail(event),
            client_address: event.client_address.clone(),
            host_name: event.host_name.clone(),
            environment_name: event.environment_name.clone(),
            request_id: event.request_id.clone(),
            leaf_hash: String::new(),
            canonical: String::new(),
            proof: None,
        }
    }

    /// Compares what it shows with its event; sentence and detail only where they are in the words of this program.
    pub(crate) fn misleads(&self, event: &v1::Event, our_words: bool) -> Option<Finding> {
        let told = Self::shown(self.log_index, event);
        let pairs = [
            ("id", &self.id, &told.id),
            ("createdOn", &self.created_on, &told.created_on),
            ("activityType", &self.activity_type, &told.activity_type),
            ("event", &self.event, &told.event),
            (SENTENCE, &self.event_description, &told.event_description),
            ("status", &self.status, &told.status),
            ("source", &self.source, &told.source),
            ("userName", &self.user_name, &told.user_name),
            ("createdBy", &self.created_by, &told.created_by),
            ("objectType", &self.object_type, &told.object_type),
            ("objectId", &self.object_id, &told.object_id),
            ("objectName", &self.object_name, &told.object_name),
            (DETAIL, &self.detail, &told.detail),
            ("clientAddress", &self.client_address, &told.client_address),
            ("hostName", &self.host_name, &told.host_name),
            ("environmentName", &self.environment_name, &told.environment_name),
            ("requestId", &self.request_id, &told.request_id),
        ];
        let is_compared = |field: &str| our_words || ![SENTENCE, DETAIL].contains(&field);
        let (field, ..) = pairs.into_iter().find(|(field, shown, held)| shown != held && is_compared(field))?;
        Some(Finding::Shown { index: self.log_index, id: told.id, field })
    }
}

/// Writes the lines of an export in order, each with its line feed.
#[derive(Clone, Debug)]
pub struct Lines {
    /// The tree, where all entries come.
    tree: Option<Frontier>,
    entries: u64,
}

impl Lines {
    /// Begins; returns the first line, too.
    ///
    /// # Errors
    /// Where the header's hashes are no tree.
    pub fn begin(header: Header) -> Result<(Self, String), serde_json::Error> {
        let tree = match header.filter {
            None => {
                let tree = header.frontier();
                Some(tree.ok_or_else(|| serde::ser::Error::custom("the hashes before the first entry are no tree"))?)
            }
            Some(_) => None,
        };
        let first = line(&Mark::Export(Header { version: VERSION, words: WORDS, ..header }))?;
        Ok((Self { tree, entries: 0 }, first))
    }

    /// Goes on after an interruption: with the tree over what was written, where all entries come.
    #[must_use]
    pub fn resumed(tree: Option<Frontier>, entries: u64) -> Self {
        Self { tree, entries }
    }

    /// Returns the tree over what was written, where all entries come.
    #[must_use]
    pub fn tree(&self) -> Option<&Frontier> {
        self.tree.as_ref()
    }

    /// Returns the position of the next entry, where all entries come.
    #[must_use]
    pub fn next_index(&self) -> Option<u64> {
        self.tree.as_ref().map(Frontier::size)
    }

    /// Writes an entry, and the block's line after the last entry of a block.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn entry(&mut self, entry: &Entry) -> Result<String, serde_json::Error> {
        let mut out = line(entry)?;
        self.entries += 1;
        let mut block = None;
        if let Some(tree) = &mut self.tree {
            let leaf = parse_hash(&entry.leaf_hash).unwrap_or_else(|| leaf_hash(&[]));
            tree.push(leaf, |node, hash| {
                if node.level == BLOCK_LEVEL {
                    block = Some(Mark::Block { index: node.index, hash: hash_text(hash) });
                }
            });
        }
        if let Some(block) = block {
            out.push_str(&line(&block)?);
        }
        Ok(out)
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub fn end(&self) -> Result<String, serde_json::Error> {
        line(&Mark::End { entries: self.entries })
    }
}

fn line(value: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut line = serde_json::to_string(value)?;
    line.push('\n');
    Ok(line)
}

#[cfg(test)]
mod tests;
