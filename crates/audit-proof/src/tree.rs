//! The Merkle tree of RFC 9162 section 2.1: the hash of a leaf, of a node, of a run of leaves, and a tree that grows at its end.

use std::ops::Range;

use aws_lc_rs::digest;

/// A SHA-256 hash.
pub type Hash = [u8; 32];

/// The root of a tree without leaves: SHA-256 of nothing.
pub const EMPTY_ROOT: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// Returns the hash of a leaf: SHA-256(00 ‖ entry).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    sha256(&[&[0], entry])
}

/// Returns the hash of a node: SHA-256(01 ‖ left ‖ right).
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    sha256(&[&[1], left, right])
}

pub(crate) fn sha256(parts: &[&[u8]]) -> Hash {
    let mut context = digest::Context::new(&digest::SHA256);
    for part in parts {
        context.update(part);
    }
    let mut out = [0; 32];
    // SHA-256 gives 32 bytes; the copy is without a panic path.
    for (to, from) in out.iter_mut().zip(context.finish().as_ref()) {
        *to = *from;
    }
    out
}

/// A complete subtree: the 2^`level` leaves that begin at `index` · 2^`level`. A leaf is one of level 0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Node {
    /// How far above the leaves it is.
    pub level: u32,
    /// Its position among the nodes of its level, from 0.
    pub index: u64,
}

impl Node {
    /// Returns the leaves below it.
    #[must_use]
    pub fn leaves(self) -> Range<u64> {
        self.at(0)
    }

    /// Returns the positions of its nodes at a lower level, such as the ones that are stored; its own where the level is not lower.
    #[must_use]
    pub fn at(self, level: u32) -> Range<u64> {
        let up = self.level.saturating_sub(level);
        self.index << up..(self.index + 1) << up
    }
}

/// Splits a run of leaves into complete subtrees, as large as possible, from left to right.
#[must_use]
pub fn subtrees(leaves: Range<u64>) -> Vec<Node> {
    let (mut start, end) = (leaves.start, leaves.end);
    let mut nodes = Vec::new();
    while start < end {
        let level = start.trailing_zeros().min((end - start).ilog2());
        nodes.push(Node { level, index: start >> level });
        start += 1 << level;
    }
    nodes
}

/// Returns the hash of a run of leaves from the hashes of its [`subtrees`]; the runs are those of a proof, or begin at 0.
#[must_use]
pub fn join(subtrees: &[Hash]) -> Hash {
    let joined = subtrees.iter().rev().copied().reduce(|right, left| node_hash(&left, &right));
    joined.unwrap_or(EMPTY_ROOT)
}

/// Returns the hash of nodes of one level that lie side by side: the node above them, where they are all nodes below it.
#[must_use]
pub fn over(nodes: &[Hash]) -> Hash {
    let mut frontier = Frontier::default();
    for node in nodes {
        frontier.push(*node, |_, _| {});
    }
    frontier.root()
}

/// A tree that grows at its end, and keeps of itself only what later roots need: one hash for each bit of its size.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Frontier {
    size: u64,
    /// The roots of `subtrees(0..size)`.
    roots: Vec<Hash>,
}

impl Frontier {
    /// Takes a size and the hashes of `subtrees(0..size)`; `None` where they are not as many.
    #[must_use]
    pub fn new(size: u64, roots: Vec<Hash>) -> Option<Self> {
        let fits = usize::try_from(size.count_ones()) == Ok(roots.len()) && i64::try_from(size).is_ok();
        fits.then_some(Self { size, roots })
    }

    /// Returns how many leaves there are.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Returns the hashes of `subtrees(0..size)`.
    #[must_use]
    pub fn roots(&self) -> &[Hash] {
        &self.roots
    }

    /// Returns the root of the tree.
    #[must_use]
    pub fn root(&self) -> Hash {
        join(&self.roots)
    }

    /// Adds a leaf by its hash. `complete` is told of each node above it that became complete, from below.
    pub fn push(&mut self, leaf: Hash, complete: impl FnMut(Node, &Hash)) {
        self.grow(0, leaf, complete);
    }

    /// Adds a complete subtree, in place of its leaves; `false`, and nothing is added, where it cannot stand at the end of this tree.
    pub fn push_subtree(&mut self, level: u32, hash: Hash) -> bool {
        let fits = level < 63 && self.size.is_multiple_of(1 << level);
        if fits {
            self.grow(level, hash, |_, _| {});
        }
        fits
    }

    fn grow(&mut self, mut level: u32, mut hash: Hash, mut complete: impl FnMut(Node, &Hash)) {
        let mut index = self.size >> level;
        self.size += 1 << level;
        while index & 1 == 1
            && let Some(left) = self.roots.pop()
        {
            hash = node_hash(&left, &hash);
            (level, index) = (level + 1, index >> 1);
            complete(Node { level, index }, &hash);
        }
        self.roots.push(hash);
    }

    /// Returns it as bytes: the size, 8 bytes, big endian, and the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.size.to_be_bytes(), self.roots.as_flattened()].concat()
    }

    /// Reads it from bytes; `None` where they are something else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (size, hashes) = bytes.split_first_chunk()?;
        let (roots, rest) = hashes.as_chunks();
        if rest.is_empty() { Self::new(u64::from_be_bytes(*size), roots.to_vec()) } else { None }
    }
}

#[cfg(test)]
mod tests;
