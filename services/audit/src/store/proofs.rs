//! Reading the tree for proofs, and to see whether it is what it was.

use std::ops::Range;

use async_trait::async_trait;
use coffre_audit_proof::tree::Hash;
use coffre_audit_proof::words::WORDS;
use coffre_db::{Connection, Error, Result, Sql, dialect};
use coffre_types::EventId;
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Text};

use super::Store;
use super::tree::{self, Head, Tree};
use crate::domain::check::{Finding, Leaf, Outdated, Seen, WIDTH, look};
use crate::domain::checkpoint::{signed, unsigned};
use crate::domain::entry::{Columns, Said};
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
    #[diesel(sql_type = Binary)]
    event_id: Vec<u8>,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = BigInt)]
    activity: i64,
    #[diesel(sql_type = Text)]
    event: String,
    #[diesel(sql_type = BigInt)]
    status: i64,
    #[diesel(sql_type = BigInt)]
    source: i64,
    #[diesel(sql_type = BigInt)]
    user_id: i64,
    #[diesel(sql_type = Text)]
    user_name_key: String,
    #[diesel(sql_type = Text)]
    object_type: String,
    #[diesel(sql_type = Text)]
    object_id: String,
    #[diesel(sql_type = Text)]
    object_name_key: String,
    #[diesel(sql_type = Text)]
    request_id: String,
    #[diesel(sql_type = Text)]
    host_name: String,
    #[diesel(sql_type = Text)]
    environment_name: String,
    #[diesel(sql_type = Text)]
    client_address: String,
    #[diesel(sql_type = Text)]
    description: String,
    #[diesel(sql_type = Text)]
    detail: String,
    #[diesel(sql_type = BigInt)]
    words: i64,
}

impl From<LeafRow> for Leaf {
    fn from(row: LeafRow) -> Self {
        Self {
            log_index: row.log_index,
            canonical: row.canonical,
            leaf_hash: row.leaf_hash,
            event_id: row.event_id,
            columns: Columns {
                created_at: row.created_at,
                activity: row.activity,
                event: row.event,
                status: row.status,
                source: row.source,
                user_id: row.user_id,
                user_name_key: row.user_name_key,
                object_type: row.object_type,
                object_id: row.object_id,
                object_name_key: row.object_name_key,
                request_id: row.request_id,
                host_name: row.host_name,
                environment_name: row.environment_name,
                client_address: row.client_address,
            },
            said: Said { description: row.description, detail: row.detail },
            words: row.words,
        }
    }
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

    async fn check(&self, block: u64) -> Result<Option<Seen>> {
        self.database.read(move |conn| dialect::snapshot(conn, |conn| check(conn, block))).await
    }

    async fn say_anew(&self, outdated: Vec<Outdated>) -> Result<()> {
        self.database
            .write(move |tx| {
                for Outdated { log_index, said } in &outdated {
                    Sql::new("UPDATE entries SET description = ")
                        .bind(said.description.as_str())
                        .push(", detail = ")
                        .bind(said.detail.as_str())
                        .push(", words = ")
                        .bind(i64::from(WORDS))
                        .push(" WHERE log_index = ")
                        .bind(*log_index)
                        .cached()
                        .execute(tx.conn())?;
                }
                Ok(())
            })
            .await
    }
}

fn check(conn: &mut Connection, block: u64) -> Result<Option<Seen>> {
    let head = Head::read(conn)?;
    let (first, size) = (signed(block.saturating_mul(WIDTH)), head.size);
    if first >= size {
        return Ok(None);
    }
    let end = first.saturating_add(signed(WIDTH));
    let mut seen = Seen::default();
    if end > head.first_kept {
        const COLUMNS: &str = "SELECT log_index, canonical, leaf_hash, event_id, created_at, activity, event, status, source, user_id, \
            user_name_key, object_type, object_id, object_name_key, request_id, host_name, environment_name, client_address, description, \
            detail, words FROM entries WHERE log_index >= ";
        let query =
            Sql::new(COLUMNS).bind(first).push(" AND log_index < ").bind(end).push(" ORDER BY log_index").cached();
        let rows: Option<Vec<Leaf>> = match query.load::<LeafRow>(conn) {
            Ok(rows) => Some(rows.into_iter().map(Leaf::from).collect()),
            // A text that is none was written by nobody but by whoever has the database's password.
            Err(diesel::result::Error::DeserializationError(_)) => None,
            Err(error) => return Err(error.into()),
        };
        let hashed = head.frontier().is_none_or(|frontier| frontier.size() >= unsigned(end.min(size)));
        // What the tree has not reached yet is looked at the next time.
        if hashed {
            seen = match rows {
                Some(rows) => look(first, end.min(size) - first, &rows, tree::stored(conn, 8, block)?.as_ref()),
                None => Seen { findings: vec![Finding { first, last: end.min(size) - 1 }], ..Seen::default() },
            };
        }
    }
    if end >= size {
        seen.findings.extend(beyond(conn, size.max(end))?);
    }
    let (mut height, mut index) = (8, block);
    while (index + 1).is_multiple_of(WIDTH) && end <= size {
        (height, index) = (height + 8, index / WIDTH);
        if !tree::fits(conn, height, index)? {
            let leaves = WIDTH.saturating_pow(height / 8);
            seen.findings.push(Finding {
                first: signed(index.saturating_mul(leaves)),
                last: signed((index + 1).saturating_mul(leaves)) - 1,
            });
        }
    }
    Ok(Some(seen))
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
