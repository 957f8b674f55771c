//! Proofs about the tree (RFC 9162 sections 2.1.3 and 2.1.4): which hashes they consist of, and how they are checked.
//!
//! A proof is a list of hashes of runs of leaves. Whoever has the tree computes each from the [`tree::subtrees`] of its run with
//! [`tree::join`].
//!
//! [`tree::subtrees`]: crate::tree::subtrees
//! [`tree::join`]: crate::tree::join

use std::ops::Range;

use crate::tree::{EMPTY_ROOT, Frontier, Hash, node_hash};

/// Returns the runs of leaves whose hashes prove that the leaf at `index` is in the tree of `size` leaves; `None` where it is not.
#[must_use]
pub fn inclusion(index: u64, size: u64) -> Option<Vec<Range<u64>>> {
    if index >= size {
        return None;
    }
    let (mut low, mut high) = (0, size);
    let mut runs = Vec::new();
    while high - low > 1 {
        let middle = low + left(high - low);
        if index < middle {
            runs.push(middle..high);
            high = middle;
        } else {
            runs.push(low..middle);
            low = middle;
        }
    }
    runs.reverse();
    Some(runs)
}

/// Returns the runs of leaves whose hashes prove that the tree of `from` leaves is the beginning of the one of `to` leaves; `None` where it
/// cannot be. Every tree begins with the empty one, and that needs no hash.
#[must_use]
pub fn consistency(from: u64, to: u64) -> Option<Vec<Range<u64>>> {
    if from > to {
        return None;
    }
    if from == 0 {
        return Some(Vec::new());
    }
    let (mut low, mut high) = (0, to);
    let mut runs = Vec::new();
    while high != from {
        let middle = low + left(high - low);
        if from <= middle {
            runs.push(middle..high);
            high = middle;
        } else {
            runs.push(low..middle);
            low = middle;
        }
    }
    if low > 0 {
        runs.push(low..high);
    }
    runs.reverse();
    Some(runs)
}

/// How many leaves the left subtree of a tree with two or more has: the largest power of two below.
fn left(size: u64) -> u64 {
    1 << size.saturating_sub(1).max(1).ilog2()
}

/// Returns the root to which an inclusion proof leads; `None` where it has not the length that its place asks for.
#[must_use]
pub fn root_from_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash]) -> Option<Hash> {
    let mut last = size.checked_sub(1).filter(|last| index <= *last)?;
    let (mut at, mut root) = (index, *leaf);
    for hash in proof {
        if last == 0 {
            return None;
        }
        if at & 1 == 1 || at == last {
            root = node_hash(hash, &root);
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            root = node_hash(&root, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    (last == 0).then_some(root)
}

/// Says whether a leaf is at a place of the tree with this root.
#[must_use]
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    root_from_inclusion(leaf, index, size, proof).as_ref() == Some(root)
}

/// Says whether the tree of `from` leaves is the beginning of the tree of `to` leaves.
#[must_use]
pub fn verify_consistency(from: u64, from_root: &Hash, to: u64, to_root: &Hash, proof: &[Hash]) -> bool {
    if from == 0 || from >= to {
        let same = if from == 0 { *from_root == EMPTY_ROOT } else { from == to };
        return same && proof.is_empty() && (from != to || from_root == to_root);
    }
    let (mut at, mut last) = (from - 1, to - 1);
    while at & 1 == 1 {
        (at, last) = (at >> 1, last >> 1);
    }
    // The first hash is the last complete subtree of the smaller tree; where that is the whole of it, it is known.
    let (start, rest) = match proof.split_first() {
        _ if from.is_power_of_two() => (from_root, proof),
        Some(split) => split,
        None => return false,
    };
    let (mut smaller, mut larger) = (*start, *start);
    for hash in rest {
        if last == 0 {
            return false;
        }
        if at & 1 == 1 || at == last {
            (smaller, larger) = (node_hash(hash, &smaller), node_hash(hash, &larger));
            while at & 1 == 0 && at != 0 {
                (at, last) = (at >> 1, last >> 1);
            }
        } else {
            larger = node_hash(&larger, hash);
        }
        (at, last) = (at >> 1, last >> 1);
    }
    last == 0 && smaller == *from_root && larger == *to_root
}

/// Returns the tree of what stands before an entry, out of its inclusion proof: who begins to read in the middle goes on from there.
/// `None` where the proof has not the length that its place asks for.
#[must_use]
pub fn before(index: u64, size: u64, proof: &[Hash]) -> Option<Frontier> {
    let runs = inclusion(index, size).filter(|runs| runs.len() == proof.len())?;
    // What lies to the left of the path are the complete subtrees before the entry, the smallest first.
    let left = runs.iter().zip(proof).filter(|(run, _)| run.end <= index);
    Frontier::new(index, left.map(|(_, hash)| *hash).rev().collect())
}

#[cfg(test)]
mod tests;
