//! Cutting off the beginning of the log. The hashes stay in `tree_nodes`.

use std::sync::Arc;

use async_trait::async_trait;
use coffre_audit_client::{CallRecord, audited_write};
use coffre_db::{Error, Result, Sql, dialect};
use coffre_types::Timestamp;
use diesel::prelude::*;

use super::tree::Head;
use super::{Store, checkpoints};
use crate::domain::checkpoint::Signer;
use crate::domain::cut::{Covering, Cut, SignedCut};
use crate::domain::ports::CutLog;

/// Entries that are removed in one transaction: it holds up the others for some milliseconds.
const SWEPT_AT_ONCE: i64 = 512;

#[async_trait]
impl CutLog for Store {
    async fn covering(&self, before: Timestamp) -> Result<Covering> {
        self.database
            .read(move |conn| {
                Ok(Covering { first_kept: Head::read(conn)?.first_kept, checkpoint: checkpoints::until(conn, before)? })
            })
            .await
    }

    async fn cut(&self, record: &Arc<CallRecord>, first_kept: i64, signer: Arc<Signer>) -> Result<Cut> {
        let told = record.clone();
        audited_write(&self.database, record, move |tx| {
            told.clear_changes();
            let conn = tx.conn();
            let before = Head::lock(conn)?.first_kept;
            let first_kept = first_kept.max(before);
            let cut = Cut { first_kept, removed: first_kept - before };
            told.change("firstKept", Some(before.to_string()), Some(first_kept.to_string()));
            told.detail("removed", cut.removed.to_string());
            if cut.removed > 0 {
                let signed = SignedCut { first_kept, entry: told.id() };
                let note = signer.sign_cut(&signed).map_err(|error| Error::Bug(error.to_string()))?;
                Sql::new("UPDATE log_head SET first_kept = ")
                    .bind(first_kept)
                    .push(", cut_note = ")
                    .bind(note.as_str())
                    .push(" WHERE id = 1")
                    .execute(conn)?;
            }
            Ok(cut)
        })
        .await
    }

    async fn sweep(&self, below: i64) -> Result<bool> {
        let oldest = |conn: &mut coffre_db::Connection| match dialect::id(
            conn,
            Sql::new("SELECT log_index AS id FROM entries ORDER BY log_index LIMIT 1"),
        ) {
            Err(Error::NotFound) => Ok(i64::MAX),
            outcome => outcome,
        };
        let left = move |conn: &mut coffre_db::Connection| Ok(oldest(conn)? < Head::read(conn)?.first_kept.min(below));
        if !self.database.read(left).await? {
            return Ok(false);
        }
        self.database
            .write(move |tx| {
                let conn = tx.conn();
                let end = Head::read(conn)?.first_kept.min(below).min(oldest(conn)?.saturating_add(SWEPT_AT_ONCE));
                // Entries hold no secret: their pages need not be wiped.
                dialect::without_wiping(conn, |conn| {
                    Sql::new("DELETE FROM entries WHERE log_index < ").bind(end).execute(conn).map_err(Error::from)
                })?;
                left(conn)
            })
            .await
    }
}
