//! Looking at the log again: are its entries what was hashed, and its hashes what was signed?

use coffre_audit_proof::tree::{Hash, leaf_hash, over};

/// How many leaves, or nodes, one kept node stands for.
pub(crate) const WIDTH: u64 = 256;

/// Entries that are not what they were.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Finding {
    pub(crate) first: i64,
    pub(crate) last: i64,
}

/// A row of the log.
pub(crate) struct Leaf {
    pub(crate) log_index: i64,
    pub(crate) canonical: Vec<u8>,
    pub(crate) leaf_hash: Vec<u8>,
}

/// Looks at the rows of a block: the expected ones, and the node above them where the block is complete. What is missing, changed, or there
/// without having arrived is named one by one; where the rows are whole and yet not those that were hashed, the block is.
pub(crate) fn look(first: i64, expected: i64, rows: &[Leaf], above: Option<&Hash>) -> Vec<Finding> {
    let end = first.saturating_add(expected);
    let mut findings = Vec::new();
    let mut rows = rows.iter().peekable();
    let mut leaves = Vec::with_capacity(rows.len());
    for log_index in first..end {
        match rows.next_if(|row| row.log_index == log_index) {
            Some(row) if row.leaf_hash == leaf_hash(&row.canonical) => {
                leaves.extend(Hash::try_from(row.leaf_hash.as_slice()))
            }
            _ => findings.push(Finding { first: log_index, last: log_index }),
        }
    }
    findings.extend(rows.map(|row| Finding { first: row.log_index, last: row.log_index }));
    let complete = u64::try_from(expected) == Ok(WIDTH);
    if findings.is_empty() && complete && above != Some(&over(&leaves)) {
        findings.push(Finding { first, last: end.saturating_sub(1) });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(first: i64, count: i64) -> Vec<Leaf> {
        let leaf = |log_index: i64| {
            let canonical = format!("event {log_index}").into_bytes();
            Leaf { log_index, leaf_hash: leaf_hash(&canonical).to_vec(), canonical }
        };
        (first..first + count).map(leaf).collect()
    }

    fn above(rows: &[Leaf]) -> Hash {
        over(&rows.iter().map(|row| row.leaf_hash.clone().try_into().unwrap()).collect::<Vec<Hash>>())
    }

    fn one(index: i64) -> Finding {
        Finding { first: index, last: index }
    }

    #[test]
    fn a_whole_block_has_nothing_to_tell() {
        let good = rows(512, 256);
        assert_eq!(look(512, 256, &good, Some(&above(&good))), []);
        assert_eq!(look(0, 7, &rows(0, 7), None), [], "nothing stands above an incomplete one");
    }

    #[test]
    fn what_was_changed_removed_or_put_in_is_named() {
        let node = above(&rows(512, 256));
        let mut changed = rows(512, 256);
        changed[3].canonical.push(b'!');
        assert_eq!(look(512, 256, &changed, Some(&node)), [one(515)]);
        let mut removed = rows(512, 256);
        removed.remove(9);
        assert_eq!(look(512, 256, &removed, Some(&node)), [one(521)]);
        assert_eq!(look(0, 3, &rows(0, 5), None), [one(3), one(4)], "rows beyond the end");
    }

    #[test]
    fn what_was_hashed_anew_or_put_in_another_order_is_found() {
        let node = above(&rows(512, 256));
        let whole = [Finding { first: 512, last: 767 }];
        let mut changed = rows(512, 256);
        changed[3].canonical.push(b'!');
        changed[3].leaf_hash = leaf_hash(&changed[3].canonical).to_vec();
        assert_eq!(look(512, 256, &changed, Some(&node)), whole);
        let mut moved = rows(512, 256);
        moved.swap(1, 2);
        (moved[1].log_index, moved[2].log_index) = (513, 514);
        assert_eq!(look(512, 256, &moved, Some(&node)), whole);
        assert_eq!(look(512, 256, &rows(512, 256), None), whole, "the node is gone");
    }
}
