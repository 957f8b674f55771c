//! The table `checkpoints`, and the identity of the log.

use std::sync::Arc;

use async_trait::async_trait;
use coffre_audit_proof::checkpoint::{LogId, StreamHead};
use coffre_db::dialect::{self, Insert};
use coffre_db::{Connection, Error, Result, Sql};
use coffre_proto::audit::v1::CheckpointStreamHead;
use coffre_types::{EventId, Timestamp};
use diesel::prelude::*;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use prost::Message as _;

use super::tree::{Growth, Head, Tree};
use super::{Store, streams};
use crate::domain::checkpoint::{Checkpoint, Known, Moment, Signer, signed};
use crate::domain::cut::{Beginning, StoredCut};
use crate::domain::ports::{Comparison, KeepCheckpoints, Unprovable};

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = BigInt)]
    size: i64,
    #[diesel(sql_type = Binary)]
    root: Vec<u8>,
    #[diesel(sql_type = Binary)]
    heads: Vec<u8>,
    #[diesel(sql_type = Text)]
    note: String,
    #[diesel(sql_type = BigInt)]
    first_kept: i64,
    #[diesel(sql_type = BigInt)]
    created_at: i64,
    #[diesel(sql_type = Nullable<BigInt>)]
    witnessed_at: Option<i64>,
}

const COLUMNS: &str = "SELECT size, root, heads, note, first_kept, created_at, witnessed_at FROM checkpoints";

impl TryFrom<Row> for Checkpoint {
    type Error = Error;

    fn try_from(row: Row) -> Result<Self> {
        let broken = || Error::Bug(format!("the checkpoint of size {} cannot be read", row.size));
        Ok(Self {
            size: row.size,
            root: row.root.as_slice().try_into().map_err(|_| broken())?,
            heads: heads_from(&row.heads).ok_or_else(broken)?,
            note: row.note,
            first_kept: row.first_kept,
            created_at: Timestamp::from_micros(row.created_at),
            witnessed_at: row.witnessed_at.map(Timestamp::from_micros),
        })
    }
}

/// Heads are stored as messages, one behind the other, each with its length before it.
fn heads_to(heads: &[StreamHead]) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    for head in heads {
        let message = CheckpointStreamHead {
            service: head.service.clone(),
            stream_id: head.stream_id.to_vec(),
            last_sequence: head.sequence,
            head_hash: head.hash.to_vec(),
        };
        message.encode_length_delimited(&mut bytes).map_err(|error| Error::Bug(error.to_string()))?;
    }
    Ok(bytes)
}

fn heads_from(mut bytes: &[u8]) -> Option<Vec<StreamHead>> {
    let mut heads = Vec::new();
    while !bytes.is_empty() {
        let message = CheckpointStreamHead::decode_length_delimited(&mut bytes).ok()?;
        heads.push(StreamHead {
            service: message.service,
            stream_id: message.stream_id.try_into().ok()?,
            sequence: message.last_sequence,
            hash: message.head_hash.try_into().ok()?,
        });
    }
    Some(heads)
}

fn latest(conn: &mut Connection) -> Result<Option<Checkpoint>> {
    let query = Sql::new(COLUMNS).push(" ORDER BY size DESC LIMIT 1");
    query.get_result::<Row>(conn).optional()?.map(Checkpoint::try_from).transpose()
}

/// Returns the size of the last checkpoint that by its row is so old, and the checkpoint where its row can be read.
pub(super) fn until(conn: &mut Connection, moment: Timestamp) -> Result<Option<(i64, Option<Checkpoint>)>> {
    let query = Sql::new(COLUMNS)
        .push(" WHERE created_at <= ")
        .bind(moment.micros())
        .push(" ORDER BY created_at DESC, size DESC LIMIT 1");
    let row = query.get_result::<Row>(conn).optional()?;
    Ok(row.map(|row| (row.size, Checkpoint::try_from(row).ok())))
}

fn sign(conn: &mut Connection, signer: &Signer, beginning: Beginning, now: Timestamp) -> Result<Checkpoint> {
    const COLUMNS: &[&str] = &["size", "root", "heads", "note", "first_kept", "created_at", "witnessed_at"];
    let head = Head::lock(conn)?;
    // An older binary may have written since the tree was brought up to the log.
    let frontier = head.frontier().filter(|frontier| signed(frontier.size()) == head.size).ok_or(Error::Retryable)?;
    let latest = latest(conn)?;
    let first_kept = beginning.provable;
    if head.first_kept != beginning.stored || latest.as_ref().is_some_and(|latest| latest.first_kept > first_kept) {
        return Err(Error::Retryable);
    }
    let (mut at, mut heads) = (now, Vec::new());
    if let Some(latest) = latest {
        if latest.size > head.size {
            return Err(Error::Bug("the log is smaller than its latest checkpoint".to_owned()));
        }
        if latest.size == head.size {
            if latest.first_kept == first_kept {
                return Ok(latest);
            }
            // Only the cut is news: the checkpoint is signed anew.
            heads = latest.heads;
        }
        // The clock may have been put back; the times of checkpoints are not.
        at = at.max(latest.created_at);
    }
    heads.extend(streams::take_moved(conn)?);
    let moment = Moment { size: head.size, root: frontier.root(), heads, first_kept, at };
    let checkpoint = signer.sign(moment).map_err(|error| Error::Bug(error.to_string()))?;
    Insert::into("checkpoints", COLUMNS)
        .row([
            checkpoint.size.into(),
            checkpoint.root.as_slice().into(),
            heads_to(&checkpoint.heads)?.into(),
            checkpoint.note.as_str().into(),
            checkpoint.first_kept.into(),
            checkpoint.created_at.micros().into(),
            None::<i64>.into(),
        ])
        .or_update(&["size"], &["heads", "note", "first_kept", "created_at", "witnessed_at"])
        .execute(conn)?;
    Ok(checkpoint)
}

fn compare(conn: &mut Connection, known: &[Known]) -> Result<Comparison> {
    let head = Head::read(conn)?;
    let all = Comparison::Changed { first: head.first_kept, last: (head.size - 1).max(head.first_kept) };
    let Some(frontier) = head.frontier() else { return Ok(all) };
    let size = signed(frontier.size());
    let mut tree = Tree::new(conn, head.ends());
    let (mut good, mut contradicted) = (0, false);
    for known in known {
        let fits = match tree.root(known.size) {
            _ if known.size > size => false,
            Ok(root) => root == known.root,
            // Nobody can say any more what the log was there.
            Err(Unprovable::Cut { .. }) => true,
            Err(Unprovable::Missing { first, last }) => return Ok(Comparison::Changed { first, last }),
            Err(Unprovable::Store(error)) => return Err(error),
        };
        if fits {
            good = known.size;
            break;
        }
        contradicted = true;
    }
    if let Some(newest) = known.first().filter(|_| contradicted) {
        return Ok(Comparison::RolledBack { first: good, last: (newest.size - 1).max(good) });
    }
    match tree.root(size) {
        Ok(root) if root == frontier.root() => Ok(Comparison::Same),
        Ok(_) => Ok(Comparison::Changed { first: good, last: (size - 1).max(good) }),
        Err(Unprovable::Missing { first, last }) => Ok(Comparison::Changed { first, last }),
        Err(Unprovable::Cut { .. }) => Ok(all),
        Err(Unprovable::Store(error)) => Err(error),
    }
}

fn had(conn: &mut Connection, known: Known) -> Result<Option<bool>> {
    let head = Head::read(conn)?;
    let reached = head.frontier().map_or(0, |frontier| signed(frontier.size()));
    if known.size > reached {
        // A tree that lies behind its log, or whose end was spoilt, tells nothing; a log that is too short does.
        return Ok((known.size > head.size).then_some(false));
    }
    match Tree::new(conn, head.ends()).root(known.size) {
        Ok(root) => Ok(Some(root == known.root)),
        // What is missing is named where the entries are looked at.
        Err(Unprovable::Cut { .. } | Unprovable::Missing { .. }) => Ok(None),
        Err(Unprovable::Store(error)) => Err(error),
    }
}

#[derive(QueryableByName)]
struct LogIdRow {
    #[diesel(sql_type = Binary)]
    log_id: Vec<u8>,
}

#[derive(QueryableByName)]
struct CutRow {
    #[diesel(sql_type = BigInt)]
    first_kept: i64,
    #[diesel(sql_type = Nullable<Text>)]
    cut_note: Option<String>,
}

impl Store {
    /// Names a witness of this host: replicas have files of their own under one path. Empty stays empty.
    fn on_this_host(&self, witness: &str) -> String {
        if witness.is_empty() { String::new() } else { format!("{} {witness}", self.site.host_name) }
    }
}

#[async_trait]
impl KeepCheckpoints for Store {
    async fn log_id(&self, fresh: LogId) -> Result<LogId> {
        let row = self.database.write(move |tx| {
            let conn = tx.conn();
            Sql::new("UPDATE log_head SET log_id = ")
                .bind(fresh.as_bytes().as_slice())
                .push(" WHERE id = 1 AND log_id IS NULL")
                .execute(conn)?;
            Ok::<LogIdRow, Error>(Sql::new("SELECT log_id FROM log_head WHERE id = 1").get_result(conn)?)
        });
        let id = row.await?.log_id.try_into();
        id.map(LogId::new).map_err(|_| Error::Bug("the log's name has not 16 bytes".to_owned()))
    }

    async fn knows_verifier(&self, key: String) -> Result<bool> {
        let known = self.database.write(move |tx| {
            let conn = tx.conn();
            Sql::new("UPDATE log_head SET verifier_key = ")
                .bind(key.as_str())
                .push(" WHERE id = 1 AND verifier_key IS NULL")
                .execute(conn)?;
            let same =
                Sql::new("SELECT count(*) AS id FROM log_head WHERE id = 1 AND verifier_key = ").bind(key.as_str());
            dialect::id(conn, same)
        });
        Ok(known.await? == 1)
    }

    async fn grow(&self) -> Result<bool> {
        let is_whole = |head: &Head| head.frontier().is_some_and(|frontier| signed(frontier.size()) == head.size);
        if self.database.read(move |conn| Head::read(conn).map(|head| is_whole(&head))).await? {
            return Ok(false);
        }
        self.database
            .write(|tx| {
                let head = Head::lock(tx.conn())?;
                let growth = Growth::take_up(tx.conn(), &head)?;
                let behind = growth.is_behind();
                growth.store(tx.conn(), head.size)?;
                Ok(behind)
            })
            .await
    }

    async fn compare(&self, known: Vec<Known>) -> Result<Comparison> {
        self.database.read(move |conn| dialect::snapshot(conn, |conn| compare(conn, &known))).await
    }

    async fn stored_cut(&self) -> Result<StoredCut> {
        let row: CutRow = self
            .database
            .read(|conn| {
                Ok::<_, Error>(Sql::new("SELECT first_kept, cut_note FROM log_head WHERE id = 1").get_result(conn)?)
            })
            .await?;
        Ok(StoredCut { first_kept: row.first_kept, note: row.cut_note })
    }

    async fn is_in_log(&self, id: EventId) -> Result<bool> {
        let query = "SELECT count(*) AS id FROM entries WHERE event_id = ";
        self.database
            .read(move |conn| Ok(dialect::id(conn, Sql::new(query).bind(id.uuid().as_bytes().as_slice()))? > 0))
            .await
    }

    async fn sign(&self, signer: Arc<Signer>, beginning: Beginning, now: Timestamp) -> Result<Checkpoint> {
        self.database.write(move |tx| sign(tx.conn(), &signer, beginning, now)).await
    }

    async fn witnessed(&self, size: i64, by: String, at: Timestamp) -> Result<()> {
        let by = self.on_this_host(&by);
        self.database
            .write(move |tx| {
                Sql::new("UPDATE checkpoints SET witnessed_at = ")
                    .bind(at.micros())
                    .push(", witnessed_by = ")
                    .bind(by.as_str())
                    .push(" WHERE witnessed_at IS NULL AND size = ")
                    .bind(size)
                    .execute(tx.conn())?;
                Ok(())
            })
            .await
    }

    async fn latest(&self) -> Result<Option<Checkpoint>> {
        self.database.read(latest).await
    }

    async fn at(&self, size: i64) -> Result<Option<Checkpoint>> {
        self.database
            .read(move |conn| {
                let row = Sql::new(COLUMNS).push(" WHERE size = ").bind(size).get_result::<Row>(conn).optional()?;
                row.map(Checkpoint::try_from).transpose()
            })
            .await
    }

    async fn from(&self, size: i64) -> Result<Option<(i64, Option<Checkpoint>)>> {
        self.database
            .read(move |conn| {
                let query =
                    Sql::new(COLUMNS).push(" WHERE size >= ").bind(size).push(" ORDER BY size LIMIT 1").cached();
                let row = query.get_result::<Row>(conn).optional()?;
                Ok(row.map(|row| (row.size, Checkpoint::try_from(row).ok())))
            })
            .await
    }

    async fn had(&self, known: Known) -> Result<Option<bool>> {
        self.database.read(move |conn| dialect::snapshot(conn, |conn| had(conn, known))).await
    }

    async fn witnessed_by(&self, by: String) -> Result<i64> {
        let by = self.on_this_host(&by);
        self.database
            .read(move |conn| {
                let query = Sql::new("SELECT size AS id FROM checkpoints WHERE witnessed_by = ").bind(by.as_str());
                match dialect::id(conn, query.push(" ORDER BY size DESC LIMIT 1")) {
                    Err(Error::NotFound) => Ok(0),
                    outcome => outcome,
                }
            })
            .await
    }

    async fn witnessed_size(&self) -> Result<i64> {
        const NEWEST: &str =
            "SELECT size AS id FROM checkpoints WHERE witnessed_at IS NOT NULL ORDER BY size DESC LIMIT 1";
        self.database
            .read(|conn| match dialect::id(conn, Sql::new(NEWEST)) {
                Err(Error::NotFound) => Ok(0),
                outcome => outcome,
            })
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_as_they_were_stored() {
        let head = |number: u8| StreamHead {
            service: format!("service-{number}"),
            stream_id: [number; 16],
            sequence: i64::from(number) * 1000,
            hash: [number; 32],
        };
        let heads: Vec<StreamHead> = (0..5).map(head).collect();
        assert_eq!(heads_from(&heads_to(&heads).unwrap()), Some(heads));
        assert_eq!(heads_from(b"\x05junk"), None);
    }
}
