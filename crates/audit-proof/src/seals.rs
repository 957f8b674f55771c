//! The seals of values: what the record says of each value's last write, against what the vault stores.

use std::collections::HashMap;

use coffre_proto::audit::v1::Event;

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
            Self::RolledBack { .. } => "rolledBack",
            Self::Changed { .. } => "changed",
            Self::Unreadable { .. } => "unreadable",
            Self::NotRecorded { .. } => "notRecorded",
        }
    }
}

/// The last seals of each value: about 150 bytes for each.
#[derive(Clone, Debug, Default)]
pub struct LastSeals {
    seals: HashMap<i64, Seals>,
}

/// A re-encryption writes the same version anew, and its event may overtake that of the write: both seals of the version count. What they
/// seal is the same plaintext.
#[derive(Clone, Copy, Debug)]
struct Seals {
    version: i64,
    last: [Hash; 2],
}

impl LastSeals {
    /// Takes what an event says. Entries arrive in another order than values are written, so the highest version counts.
    pub fn take(&mut self, event: &Event) {
        for seal in &event.value_seals {
            let Ok(mac) = Hash::try_from(seal.mac.as_slice()) else { continue };
            let new = Seals { version: seal.version, last: [mac; 2] };
            let known = self.seals.entry(seal.value_id).or_insert(new);
            if seal.version > known.version {
                *known = new;
            } else if seal.version == known.version {
                let [newest, _] = known.last;
                known.last = [mac, newest];
            }
        }
    }

    /// Returns how many values have one.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seals.len()
    }

    /// Says whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.seals.is_empty()
    }

    /// Compares a stored value with its last seal; `mac` is empty where the value does not open.
    #[must_use]
    pub fn compare(&self, value_id: i64, version: i64, mac: &[u8]) -> Option<ValueFinding> {
        let Some(Seals { version: recorded, last }) = self.seals.get(&value_id) else {
            return Some(ValueFinding::NotRecorded { value_id, version });
        };
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
}

#[cfg(test)]
mod tests;
