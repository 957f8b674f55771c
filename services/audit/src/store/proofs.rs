//! Reading the tree for proofs, and to see whether it is what it was.

use std::ops::Range;

use async_trait::async_trait;
use coffre_audit_proof::tree::Hash;
use coffre_db::{Connection, Error, Result, Sql, dialect};
use coffre_types::EventId;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary};

use super::Store;
use super::tree::{self, Head, Tree};
use crate::domain::check::{Finding, Leaf, WIDTH, look};
use crate::domain::checkpoint::{signed, unsigned};
use crate::domain::ports::{Located, ReadTree, Unprovable};
use crate::domain::visibility::Visibility;

#[derive(QueryableByName)]
struct LocatedRow {
    #[diesel(sql_type = BigInt)]
    log_index: i64,
    #[diesel(sql_type = Binary)]
    canonical: Vec<u8>,
}

#[derive(QueryableByName)]
struct LeafRow {
    #[diesel(sql_type = BigInt)]
    log_index: i64,
    #[diesel(sql_type = Binary)]
    canonical: Vec<u8>,
    #[diesel(sql_type = Binary)]
    leaf_hash: Vec<u8>,
}

#[async_trait]
impl ReadTree for Store {
    async fn locate(&self, id: EventId, visibility: Visibility) -> Result<Located> {
        self.database
            .read(move |conn| {
                let mut query = Sql::new("SELECT log_index, canonical FROM entries WHERE event_id = ")
                    .bind(id.uuid().as_bytes().as_slice());
                if let Some(user) = visibility.only() {
                    query = query.push(" AND user_id = ").bind(user.get());
                }
                let LocatedRow { log_index, canonical } = query.get_result(conn)?;
                Ok(Located { log_index, canonical })
            })
            .await
    }

    async fn runs(&self, runs: Vec<Range<u64>>) -> Result<Vec<Hash>, Unprovable> {
        self.database
            .read(move |conn| {
                let ends = Head::read(conn)?.ends();
                let mut tree = Tree::new(conn, ends);
                runs.iter().map(|run| tree.run(run.clone())).collect()
            })
            .await
    }

    async fn check(&self, block: u64) -> Result<Option<Vec<Finding>>> {
        self.database.read(move |conn| dialect::snapshot(conn, |conn| check(conn, block))).await
    }
}

fn check(conn: &mut Connection, block: u64) -> Result<Option<Vec<Finding>>> {
    let head = Head::read(conn)?;
    let (first, size) = (signed(block.saturating_mul(WIDTH)), head.size);
    if first >= size {
        return Ok(None);
    }
    let end = first.saturating_add(signed(WIDTH));
    let mut findings = Vec::new();
    if end > head.first_kept {
        let query = Sql::new("SELECT log_index, canonical, leaf_hash FROM entries WHERE log_index >= ")
            .bind(first)
            .push(" AND log_index < ")
            .bind(end)
            .push(" ORDER BY log_index")
            .cached();
        let rows: Vec<LeafRow> = query.load(conn)?;
        let rows: Vec<Leaf> = rows
            .into_iter()
            .map(|row| Leaf { log_index: row.log_index, canonical: row.canonical, leaf_hash: row.leaf_hash })
            .collect();
        let hashed = head.frontier().is_none_or(|frontier| frontier.size() >= unsigned(end.min(size)));
        // What the tree has not reached yet is looked at the next time.
        if hashed {
            findings = look(first, end.min(size) - first, &rows, tree::stored(conn, 8, block)?.as_ref());
        }
    }
    if end >= size {
        findings.extend(beyond(conn, size.max(end))?);
    }
    let (mut height, mut index) = (8, block);
    while (index + 1).is_multiple_of(WIDTH) && end <= size {
        (height, index) = (height + 8, index / WIDTH);
        if !tree::fits(conn, height, index)? {
            let leaves = WIDTH.saturating_pow(height / 8);
            findings.push(Finding {
                first: signed(index.saturating_mul(leaves)),
                last: signed((index + 1).saturating_mul(leaves)) - 1,
            });
        }
    }
    Ok(Some(findings))
}

/// Finds the first row that is there without having arrived.
fn beyond(conn: &mut Connection, from: i64) -> Result<Option<Finding>> {
    let query = Sql::new("SELECT log_index AS id FROM entries WHERE log_index >= ")
        .bind(from)
        .push(" ORDER BY log_index LIMIT 1");
    match dialect::id(conn, query) {
        Ok(place) => Ok(Some(Finding { first: place, last: place })),
        Err(Error::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}
