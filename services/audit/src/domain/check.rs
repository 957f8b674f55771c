//! Looking at the log again: are its entries what was hashed, its hashes what was signed, and the columns by which it is searched what the
//! entries say?

use coffre_audit_client::canonical;
use coffre_audit_proof::tree::{Hash, leaf_hash, over};
use coffre_audit_proof::words::WORDS;

use super::entry::{Columns, Said};

/// How many leaves, or nodes, one kept node stands for.
pub(crate) const WIDTH: u64 = 256;

/// Entries that are not what they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl Finding {
    /// Names one entry.
    pub(crate) fn one(log_index: i64) -> Self {
        Self { first: log_index, last: log_index }
    }
}

/// An entry whose description or detail is in other words than ours, and what they are in ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Outdated {
    pub(crate) log_index: i64,
    pub(crate) said: Said,
}

/// What a look at some entries found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) findings: Vec<Finding>,
    pub(crate) outdated: Vec<Outdated>,
}

/// A row of the log.
pub(crate) struct Leaf {
    pub(crate) log_index: i64,
    pub(crate) canonical: Vec<u8>,
    pub(crate) leaf_hash: Vec<u8>,
    pub(crate) event_id: Vec<u8>,
    pub(crate) columns: Columns,
    pub(crate) said: Said,
    /// The version of the words in which `said` is.
    pub(crate) words: i64,
}

impl Leaf {
    /// Compares the columns with the event. Description and detail in another version's words are not wrong, whoever put that version there:
    /// they are said anew, and nobody is shown them.
    fn derived(&self) -> Derived {
        let Some(event) = canonical::decode(&self.canonical) else { return Derived::Wrong };
        let (is_same_event, said) = (event.id == self.event_id, Said::of(&event));
        if !is_same_event || Columns::of(event) != self.columns {
            Derived::Wrong
        } else if said == self.said {
            Derived::Right
        } else if self.words == i64::from(WORDS) {
            Derived::Wrong
        } else {
            Derived::Outdated(said)
        }
    }
}

enum Derived {
    Right,
    Wrong,
    Outdated(Said),
}

/// Looks at the rows of a block: the expected ones, and the node above them where the block is complete. What is missing, changed, or there
/// without having arrived is named one by one; where the rows are whole and yet not those that were hashed, the block is.
pub(crate) fn look(first: i64, expected: i64, rows: &[Leaf], above: Option<&Hash>) -> Seen {
    let end = first.saturating_add(expected);
    let Seen { mut findings, mut outdated } = Seen::default();
    let mut rows = rows.iter().peekable();
    let mut leaves = Vec::with_capacity(rows.len());
    let mut are_whole = true;
    for log_index in first..end {
        match rows.next_if(|row| row.log_index == log_index) {
            Some(row) if row.leaf_hash == leaf_hash(&row.canonical) => {
                leaves.extend(Hash::try_from(row.leaf_hash.as_slice()));
                match row.derived() {
                    Derived::Right => {}
                    Derived::Wrong => findings.push(Finding::one(log_index)),
                    Derived::Outdated(said) => outdated.push(Outdated { log_index, said }),
                }
            }
            _ => {
                are_whole = false;
                findings.push(Finding::one(log_index));
            }
        }
    }
    are_whole &= rows.peek().is_none();
    findings.extend(rows.map(|row| Finding::one(row.log_index)));
    let complete = u64::try_from(expected) == Ok(WIDTH);
    if are_whole && complete && above != Some(&over(&leaves)) {
        findings.push(Finding { first, last: end.saturating_sub(1) });
    }
    Seen { findings, outdated }
}
