//! The seals of values: what the record says of each value's last write or of its deletion, against what the vault stores.

use std::collections::{BinaryHeap, HashMap, HashSet};

use coffre_proto::audit::v1::{Event, Outcome};

use crate::tree::Hash;

/// What is wrong with a stored value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ValueFinding {
    /// It has an older version than the last one that was recorded.
    #[error("rolled back: value {value_id} is stored in version {stored}, and version {recorded} was recorded")]
    RolledBack {
        /// The value.
        value_id: i64,
        /// Its version as stored.
        stored: i64,
        /// Its last version in the record.
        recorded: i64,
    },
    /// Its bytes are not those that were recorded.
    #[error(
        "changed: value {value_id}, version {version}, is not the one that was recorded, or was put in another's place"
    )]
    Changed {
        /// The value.
        value_id: i64,
        /// Its version.
        version: i64,
    },
    /// It does not open.
    #[error("unreadable: value {value_id}, version {version}, does not open under any key of the vault")]
    Unreadable {
        /// The value.
        value_id: i64,
        /// Its version.
        version: i64,
    },
    /// It was deleted, and is stored again.
    #[error("rolled back: value {value_id} was deleted, and is stored all the same, in version {version}")]
    Revived {
        /// The value.
        value_id: i64,
        /// Its version as stored.
        version: i64,
    },
    /// It was recorded and not deleted, and is not stored.
    #[error("removed: value {value_id}, last recorded in version {version}, is not stored, and nobody deleted it")]
    Removed {
        /// The value.
        value_id: i64,
        /// Its last version in the record.
        version: i64,
    },
    /// Nothing was recorded of it, or only of earlier versions.
    #[error("not recorded: value {value_id}, version {version}, was written past the record")]
    NotRecorded {
        /// The value.
        value_id: i64,
        /// Its version.
        version: i64,
    },
}

impl ValueFinding {
    /// Returns its kind for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::RolledBack { .. } | Self::Revived { .. } => "rolledBack",
            Self::Removed { .. } => "removed",
            Self::Changed { .. } => "changed",
            Self::Unreadable { .. } => "unreadable",
            Self::NotRecorded { .. } => "notRecorded",
        }
    }
}

/// Events of values that were created at the same time arrive in any order: that many values are not told apart from those before a cut.
const AT_THE_SAME_TIME: usize = 256;

/// The last seals of each value: about 150 bytes for each, and 20 for each that was deleted.
#[derive(Clone, Debug, Default)]
pub struct LastSeals {
    seals: HashMap<i64, Seals>,
    /// A value's number never comes again: what is here is gone for good, whichever of its entries arrives last.
    deleted: HashSet<i64>,
    /// The smallest ids of values whose creation is in the record, the largest of them on top.
    created: BinaryHeap<i64>,
}

/// A re-encryption writes the same version anew, and its event may overtake that of the write: both seals of the version count. What they
/// seal is the same plaintext.
#[derive(Clone, Copy, Debug)]
struct Seals {
    version: i64,
    last: [Hash; 2],
    /// It was compared with what is stored.
    stored: bool,
}

impl LastSeals {
    /// Takes what an event says. Entries arrive in another order than values are written, so the highest version counts. Whether a change
    /// was made that has an outcome which is not known, its own entry tells: that one is written with the change, or not at all.
    pub fn take(&mut self, event: &Event) {
        if matches!(event.outcome(), Outcome::Unknown | Outcome::Unsuccessful) {
            return;
        }
        for seal in &event.value_seals {
            if seal.mac.is_empty() {
                self.seals.remove(&seal.value_id);
                self.deleted.insert(seal.value_id);
            }
            let Ok(mac) = Hash::try_from(seal.mac.as_slice()) else { continue };
            if event.event == "credential.value.created" {
                self.created.push(seal.value_id);
                if self.created.len() > AT_THE_SAME_TIME {
                    self.created.pop();
                }
            }
            if self.deleted.contains(&seal.value_id) {
                continue;
            }
            let new = Seals { version: seal.version, last: [mac; 2], stored: false };
            let known = self.seals.entry(seal.value_id).or_insert(new);
            if seal.version > known.version {
                *known = Seals { stored: known.stored, ..new };
            } else if seal.version == known.version {
                let [newest, _] = known.last;
                known.last = [mac, newest];
            }
        }
    }

    /// Returns how many values there should be.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seals.len()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seals.is_empty()
    }

    /// Says of a log that was cut whether what was recorded of a value may have gone with the cut: nothing is recorded of it now, and it is not
    /// younger than the values that were created since. Ids are never given twice.
    #[must_use]
    pub fn may_be_cut_off(&self, value_id: i64) -> bool {
        let oldest = self.created.peek().filter(|_| self.created.len() == AT_THE_SAME_TIME);
        !self.seals.contains_key(&value_id)
            && !self.deleted.contains(&value_id)
            && oldest.is_none_or(|oldest| value_id <= *oldest)
    }

    /// Compares a stored value with its last seal, and notes that it is there; `mac` is empty where the value does not open.
    #[must_use]
    pub fn compare(&mut self, value_id: i64, version: i64, mac: &[u8]) -> Option<ValueFinding> {
        if self.deleted.contains(&value_id) {
            return Some(ValueFinding::Revived { value_id, version });
        }
        let Some(Seals { version: recorded, last, stored }) = self.seals.get_mut(&value_id) else {
            return Some(ValueFinding::NotRecorded { value_id, version });
        };
        *stored = true;
        if version < *recorded {
            Some(ValueFinding::RolledBack { value_id, stored: version, recorded: *recorded })
        } else if version > *recorded {
            Some(ValueFinding::NotRecorded { value_id, version })
        } else if mac.is_empty() {
            Some(ValueFinding::Unreadable { value_id, version })
        } else {
            let recorded = last.iter().any(|recorded| recorded == mac);
            (!recorded).then_some(ValueFinding::Changed { value_id, version })
        }
    }

    /// Returns what is wrong with a value that is not stored.
    #[must_use]
    pub fn absent(&self, value_id: i64) -> Option<ValueFinding> {
        let Seals { version, .. } = self.seals.get(&value_id)?;
        Some(ValueFinding::Removed { value_id, version: *version })
    }

    /// Returns the values that were recorded and never compared, once all stored ones were.
    pub fn missing(&self) -> impl Iterator<Item = (i64, ValueFinding)> {
        let missing = self.seals.iter().filter(|(_, seals)| !seals.stored);
        missing.map(|(id, seals)| (*id, ValueFinding::Removed { value_id: *id, version: seals.version }))
    }
}

#[cfg(test)]
mod tests;
