//! The Merkle tree over the log: grown in the transaction that appends, read for proofs.
//!
//! Of its nodes those are stored that stand for 256, 65 536, … leaves: one row for 256 entries. What is between is computed from a block of
//! 256 leaves or nodes, which lie side by side in their tables.

use std::collections::HashMap;
use std::ops::Range;

use coffre_audit_proof::tree::{Frontier, Hash, Node, join, over, subtrees};
use coffre_db::dialect::{self, Insert};
use coffre_db::{Connection, Error, Result, Sql};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable};

use crate::domain::check::WIDTH;
use crate::domain::checkpoint::{signed, unsigned};
use crate::domain::ports::Unprovable;
use crate::domain::stretch::Ends;

/// Stored nodes are that many levels apart.
const STEP: u32 = WIDTH.trailing_zeros();
/// As many leaves are put under the tree in one transaction where it lies behind the log.
const CATCH_UP: u64 = 8192;

/// The row of the log, as far as the tree goes.
#[derive(QueryableByName)]
pub(super) struct Head {
    #[diesel(sql_type = BigInt)]
    pub(super) size: i64,
    #[diesel(sql_type = BigInt)]
    pub(super) first_kept: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    frontier: Option<Vec<u8>>,
}

const HEAD: &str = "SELECT size, first_kept, frontier FROM log_head WHERE id = 1";

impl Head {
    /// Reads it.
    pub(super) fn read(conn: &mut Connection) -> Result<Self> {
        Sql::new(HEAD).cached().get_result(conn).map_err(Self::missing)
    }

    /// Reads it and keeps every other writer of the log away until the commit.
    pub(super) fn lock(conn: &mut Connection) -> Result<Self> {
        Sql::new(HEAD).push(dialect::for_update(conn)).cached().get_result(conn).map_err(Self::missing)
    }

    fn missing(error: diesel::result::Error) -> Error {
        match error {
            diesel::result::Error::NotFound => Error::Bug("the log has no head row".to_owned()),
            error => error.into(),
        }
    }

    pub(super) fn ends(&self) -> Ends {
        Ends { size: self.size, first_kept: self.first_kept }
    }

    /// Returns the end of the tree, which may lie behind that of the log; `None` where what is stored is no such thing.
    pub(super) fn frontier(&self) -> Option<Frontier> {
        let Some(bytes) = &self.frontier else { return Some(Frontier::default()) };
        Frontier::from_bytes(bytes).filter(|frontier| frontier.size() <= unsigned(self.size))
    }
}

/// The tree as it grows in a transaction.
pub(super) struct Growth {
    frontier: Frontier,
    nodes: Vec<(Node, Hash)>,
    /// The log is further: what arrives now is put under the tree later.
    behind: bool,
}

impl Growth {
    /// Takes up the tree where it is, and brings it nearer to the end of the log.
    pub(super) fn take_up(conn: &mut Connection, head: &Head) -> Result<Self> {
        let frontier = match head.frontier() {
            Some(frontier) => frontier,
            None => Tree::new(conn, head.ends()).frontier(head.size)?,
        };
        let mut growth = Self { frontier, nodes: Vec::new(), behind: false };
        let (from, end) = (growth.frontier.size(), unsigned(head.size));
        let to = end.min(from.saturating_add(CATCH_UP));
        for leaf in leaves(conn, from..to)? {
            let missing = || Error::Bug("an entry that the tree has to go over is missing".to_owned());
            growth.push(leaf.ok_or_else(missing)?);
        }
        growth.behind = to < end;
        Ok(growth)
    }

    /// Adds the entry that was appended last.
    pub(super) fn append(&mut self, leaf: Hash) {
        if !self.behind {
            self.push(leaf);
        }
    }

    fn push(&mut self, leaf: Hash) {
        let nodes = &mut self.nodes;
        self.frontier.push(leaf, |node, hash| {
            if node.level.is_multiple_of(STEP) {
                nodes.push((node, *hash));
            }
        });
    }

    /// Says whether the log is further than the tree.
    pub(super) fn is_behind(&self) -> bool {
        self.behind
    }

    /// Stores what was added, and how large the log is.
    pub(super) fn store(self, conn: &mut Connection, size: i64) -> Result<()> {
        if !self.nodes.is_empty() {
            let rows = self.nodes.iter().map(|(node, hash)| {
                vec![i64::from(node.level).into(), signed(node.index).into(), hash.as_slice().into()]
            });
            Insert::into("tree_nodes", &["height", "node_index", "hash"])
                .rows(rows)
                .or_update(&["height", "node_index"], &["hash"])
                .execute(conn)?;
        }
        Sql::new("UPDATE log_head SET size = ")
            .bind(size)
            .push(", frontier = ")
            .bind(self.frontier.to_bytes())
            .push(" WHERE id = 1")
            .cached()
            .execute(conn)?;
        Ok(())
    }
}

#[derive(QueryableByName)]
struct HashRow {
    #[diesel(sql_type = BigInt)]
    place: i64,
    #[diesel(sql_type = Binary)]
    hash: Vec<u8>,
}

/// Loads the hashes of leaves that lie side by side.
fn leaves(conn: &mut Connection, run: Range<u64>) -> Result<Vec<Option<Hash>>> {
    let query = Sql::new("SELECT log_index AS place, leaf_hash AS hash FROM entries WHERE log_index >= ")
        .bind(signed(run.start))
        .push(" AND log_index < ")
        .bind(signed(run.end))
        .cached();
    side_by_side(conn, query, run)
}

/// Loads stored nodes that lie side by side.
fn nodes(conn: &mut Connection, height: u32, run: Range<u64>) -> Result<Vec<Option<Hash>>> {
    let query = Sql::new("SELECT node_index AS place, hash FROM tree_nodes WHERE height = ")
        .bind(i64::from(height))
        .push(" AND node_index >= ")
        .bind(signed(run.start))
        .push(" AND node_index < ")
        .bind(signed(run.end))
        .cached();
    side_by_side(conn, query, run)
}

fn side_by_side(conn: &mut Connection, query: Sql, run: Range<u64>) -> Result<Vec<Option<Hash>>> {
    let mut hashes = vec![None; usize::try_from(run.end.saturating_sub(run.start)).unwrap_or(0)];
    if hashes.is_empty() {
        return Ok(hashes);
    }
    for row in query.load::<HashRow>(conn)? {
        let place = usize::try_from(unsigned(row.place).saturating_sub(run.start)).unwrap_or(usize::MAX);
        // A hash of another length is none.
        if let (Some(hash), Ok(found)) = (hashes.get_mut(place), row.hash.try_into()) {
            *hash = Some(found);
        }
    }
    Ok(hashes)
}

/// Returns a stored node.
pub(super) fn stored(conn: &mut Connection, height: u32, index: u64) -> Result<Option<Hash>> {
    Ok(nodes(conn, height, index..index.saturating_add(1))?.pop().flatten())
}

/// Says whether a stored node is the one over those below it, where all of them are complete.
pub(super) fn fits(conn: &mut Connection, height: u32, index: u64) -> Result<bool> {
    let below = nodes(conn, height.saturating_sub(STEP), index * WIDTH..(index + 1) * WIDTH)?;
    let below: Option<Vec<Hash>> = below.into_iter().collect();
    let above = stored(conn, height, index)?;
    Ok(matches!((below, above), (Some(below), Some(above)) if over(&below) == above))
}

/// Reads hashes of the tree, whole blocks at a time.
pub(super) struct Tree<'c> {
    conn: &'c mut Connection,
    ends: Ends,
    blocks: HashMap<(u32, u64), Vec<Option<Hash>>>,
}

impl<'c> Tree<'c> {
    pub(super) fn new(conn: &'c mut Connection, ends: Ends) -> Self {
        Self { conn, ends, blocks: HashMap::new() }
    }

    /// Computes the end of the tree anew, for a log whose own was spoilt: the record goes on.
    fn frontier(&mut self, size: i64) -> Result<Frontier> {
        tracing::error!(size, "the end of the audit's tree is not what it was; it is computed anew");
        let spoilt = || Error::Bug("the end of the audit's tree cannot be computed".to_owned());
        let roots =
            subtrees(0..unsigned(size)).into_iter().map(|node| self.subtree(node)).collect::<Result<Vec<_>, _>>();
        let roots = roots.map_err(|error| match error {
            Unprovable::Store(error) => error,
            Unprovable::Cut { .. } | Unprovable::Missing { .. } => spoilt(),
        });
        Frontier::new(unsigned(size), roots?).ok_or_else(spoilt)
    }

    /// Returns the root of the log as it was at a size.
    pub(super) fn root(&mut self, size: i64) -> Result<Hash, Unprovable> {
        self.run(0..unsigned(size))
    }

    /// Returns the hash of a run of leaves, as proofs have them.
    pub(super) fn run(&mut self, leaves: Range<u64>) -> Result<Hash, Unprovable> {
        let hashes = subtrees(leaves).into_iter().map(|node| self.subtree(node)).collect::<Result<Vec<_>, _>>()?;
        Ok(join(&hashes))
    }

    fn subtree(&mut self, node: Node) -> Result<Hash, Unprovable> {
        let height = node.level - node.level % STEP;
        let children = node.at(height);
        let block = children.start / WIDTH;
        if !self.blocks.contains_key(&(height, block)) {
            let all = block * WIDTH..(block + 1) * WIDTH;
            let hashes = match height {
                0 => leaves(self.conn, all)?,
                height => nodes(self.conn, height, all)?,
            };
            self.blocks.insert((height, block), hashes);
        }
        let hashes = self.blocks.get(&(height, block)).map(Vec::as_slice).unwrap_or_default();
        let offset = usize::try_from(children.start % WIDTH).unwrap_or(usize::MAX);
        let count = usize::try_from(children.end - children.start).unwrap_or(usize::MAX);
        let found: Option<Vec<Hash>> = hashes.iter().skip(offset).take(count).copied().collect();
        match found {
            Some(found) if found.len() == count => Ok(over(&found)),
            _ => {
                let missing = hashes.iter().skip(offset).take(count).position(Option::is_none).unwrap_or_default();
                Err(self.missing(Node { level: height, index: children.start + missing as u64 }))
            }
        }
    }

    fn missing(&self, node: Node) -> Unprovable {
        let leaves = node.leaves();
        match node.level == 0 && leaves.start < unsigned(self.ends.first_kept) {
            true => Unprovable::Cut { first_kept: self.ends.first_kept },
            false => Unprovable::Missing { first: signed(leaves.start), last: signed(leaves.end).saturating_sub(1) },
        }
    }
}
